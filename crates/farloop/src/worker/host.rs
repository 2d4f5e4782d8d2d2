//! Runs attempts: routes what the coordinator sends to the loop an attempt is on, starts bodies, and reports how
//! they stand and end. The wire and the public builder are elsewhere.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use dashmap::DashMap;
use farloop_core::frame::{Activity, Down, Start, Up};
use farloop_core::id::{AttemptId, TaskId, WorkerId};
use farloop_core::limits;
use farloop_core::outcome::{Cancellation, Failure, FailureKind, Outcome};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::abandoned::Abandoned;
use super::held::{Placed, Told};
use super::slots::Slots;
use crate::body::{Body, Who};
use crate::context;
use crate::definition::{self, BodyEnd, BodyError, BodyVerdict, LocalBoxFuture, Registry};
use crate::event_loop::{LoopShared, Ready};
use crate::invocation::{Input, Invocation};
use crate::report::Caught;
use crate::session::SessionShared;
use crate::state::StateMap;
use crate::stream::{self, Outlet};

/// A start with the values of its dependencies.
pub(crate) struct Started {
    pub(crate) start: Start,
    inputs: Vec<(TaskId, Bytes)>,
    /// It must not begin after this moment (L19): while it waits for a slot the coordinator may be out of reach.
    until: Option<Instant>,
}

/// What the loops of one worker share.
pub(crate) struct WorkerShared {
    pub(super) session: Arc<SessionShared>,
    registry: RwLock<Registry>,
    state: Arc<StateMap>,
    pub(super) slots: Slots,
    loops: OnceLock<Vec<Arc<LoopShared>>>,
    next_loop: AtomicUsize,
    pub(super) placed: DashMap<TaskId, Placed, foldhash::fast::RandomState>,
    inputs: Mutex<HashMap<AttemptId, Vec<(TaskId, Bytes)>>>,
    pub(super) draining: AtomicBool,
    idle: Notify,
    leave: Notify,
    pub(super) abandoned: Abandoned,
}

impl WorkerShared {
    pub(crate) fn new(
        session: Arc<SessionShared>,
        registry: Registry,
        state: Arc<StateMap>,
        slots: u32,
        max_resident: usize,
    ) -> Arc<Self> {
        let worker = Arc::new(Self {
            session: session.clone(),
            registry: RwLock::new(registry),
            state,
            slots: Slots::new(slots, max_resident),
            loops: OnceLock::new(),
            next_loop: AtomicUsize::new(0),
            placed: DashMap::default(),
            inputs: Mutex::default(),
            draining: AtomicBool::new(false),
            idle: Notify::new(),
            leave: Notify::new(),
            abandoned: Abandoned::default(),
        });
        session.set_worker(worker.clone());
        worker
    }

    pub(crate) fn set_loops(&self, loops: Vec<Arc<LoopShared>>) {
        // Once, before the first start can come.
        let _ = self.loops.set(loops);
        self.grant();
    }

    pub(crate) fn loops(&self) -> &[Arc<LoopShared>] {
        self.loops.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn registry(&self) -> std::sync::RwLockReadGuard<'_, Registry> {
        // The registry is whole after any panic: insertion is its only change.
        self.registry.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Offers one more function; whether it was new.
    ///
    /// # Errors
    /// Another definition has the name.
    pub(crate) fn learn(&self, definition: &'static definition::Definition) -> crate::error::Result<bool> {
        if self.registry().get(definition.name).is_some_and(|known| std::ptr::eq(known, definition)) {
            return Ok(false);
        }
        self.registry.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(definition)?;
        self.session.push(Up::Offer(vec![definition.function_def()]));
        Ok(true)
    }

    /// Sends a frame of the coordinator to where it belongs.
    pub(crate) fn route(self: &Arc<Self>, frame: Down, mut to: impl FnMut(&Arc<LoopShared>, Ready)) {
        match frame {
            Down::Input { attempt, task, value } => {
                self.inputs().entry(attempt).or_default().push((task, value));
            }
            Down::Start(start) => {
                let inputs = self.inputs().remove(&start.attempt).unwrap_or_default();
                if let Some(started) = self.slots.arrive(Started {
                    until: start.remaining.map(|left| Instant::now() + left),
                    start,
                    inputs,
                }) {
                    let home = self.place(&started);
                    to(&home, Ready::Start(Box::new(started)));
                }
            }
            Down::Cancel { attempt, number, message } => {
                if self.slots.remove(attempt) {
                    // Never began, so no body saw it (row 224): the coordinator makes it Cancelled.
                    let outcome = Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false }));
                    self.session.push(Up::Ended { attempt, outcome, delivered: 0 });
                } else if let Some(home) = self.home_of(attempt) {
                    to(&home, Ready::Cancel { attempt, number, message });
                }
            }
            Down::CancelWithdrawn { attempt, standing } => {
                if let Some(home) = self.home_of(attempt) {
                    to(&home, Ready::CancelWithdrawn { attempt, standing });
                }
            }
            Down::Fence(attempt) => {
                self.inputs().remove(&attempt);
                if !self.slots.remove(attempt)
                    && let Some(home) = self.home_of(attempt)
                {
                    // Not by way of its loop, which may be what it holds.
                    if let Some(body) = self.body_of(attempt) {
                        self.write_off(&body, &home);
                    }
                    to(&home, Ready::Fence(attempt));
                }
            }
            Down::Recall(attempt) => {
                if self.slots.remove(attempt) {
                    self.session.push(Up::Returned(attempt));
                }
            }
            Down::Deadlock { attempt, cycle } => {
                if let Some(home) = self.home_of(attempt) {
                    to(&home, Ready::Deadlock { attempt, cycle });
                }
            }
            Down::Credit { attempt, taken } => {
                let outlet = self.placed.get(&attempt.task).filter(|p| p.attempt == attempt);
                if let Some(outlet) = outlet.and_then(|p| p.outlet.clone()) {
                    outlet.credit(taken);
                }
            }
            // It hosts no actors yet.
            Down::Stop(_)
            | Down::Move(_)
            | Down::Drain
            | Down::Resolved { .. }
            | Down::CancelCount { .. }
            | Down::TaskProgress { .. }
            | Down::Stranded { .. }
            | Down::Print { .. }
            | Down::Item { .. }
            | Down::Sync { .. } => {}
            Down::Leave => self.leave.notify_one(),
        }
        self.tell_idle();
        self.grant();
    }

    pub(super) fn inputs(&self) -> std::sync::MutexGuard<'_, HashMap<AttemptId, Vec<(TaskId, Bytes)>>> {
        self.inputs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn home_of(&self, attempt: AttemptId) -> Option<Arc<LoopShared>> {
        self.placed.get(&attempt.task).filter(|p| p.attempt == attempt).map(|p| p.home.clone())
    }

    fn body_of(&self, attempt: AttemptId) -> Option<Arc<Body>> {
        self.placed.get(&attempt.task).filter(|p| p.attempt == attempt).and_then(|p| p.body.clone())
    }

    pub(super) fn session(&self) -> &Arc<SessionShared> {
        &self.session
    }

    fn place(&self, started: &Started) -> Arc<LoopShared> {
        let loops = self.loops();
        let first = self.next_loop.fetch_add(1, Ordering::Relaxed);
        let nth = |step: usize| &loops[(first + step) % loops.len().max(1)];
        // A loop that is stuck is passed over, unless all are.
        let free = (0..loops.len()).map(nth).find(|home| !home.is_written_off());
        let home = free.unwrap_or_else(|| nth(0)).clone();
        self.placed.insert(started.start.attempt.task, Placed::new(&started.start, home.clone()));
        home
    }

    /// Tells the coordinator of starts that may be sent in addition.
    pub(crate) fn grant(&self) {
        if let Some(total) = self.slots.grant(self.draining.load(Ordering::Acquire)) {
            self.session.push(Up::Grant(total));
        }
    }

    /// A start got a slot: from here on its loop has it.
    fn begin(&self, started: Started) {
        let home = self.place(&started);
        home.push(Ready::Start(Box::new(started)));
    }

    pub(super) fn release(&self) {
        if let Some(resumed) = self.slots.release(|started| self.begin(started)) {
            resumed.wake();
        }
        self.grant();
    }

    fn ended(self: &Arc<Self>, attempt: AttemptId, held: bool) {
        self.placed.remove_if(&attempt.task, |_, p| p.attempt == attempt);
        if let Some(resumed) = self.slots.ended(held, |started| self.begin(started)) {
            resumed.wake();
        }
        self.grant();
        self.tell_idle();
    }

    fn tell_idle(&self) {
        if self.draining.load(Ordering::Acquire) && self.only_abandoned() {
            self.idle.notify_waiters();
        }
    }

    /// Whether nothing is left but bodies that nobody waits for.
    fn only_abandoned(&self) -> bool {
        self.slots.load() <= self.abandoned.loops()
    }

    /// The session is lost: nothing that runs here counts any more.
    pub(crate) fn forget_all(&self) {
        self.slots.reset();
        self.inputs().clear();
        let bodies: Vec<Arc<Body>> = self.placed.iter().filter_map(|p| p.body.clone()).collect();
        for body in bodies {
            body.fence();
        }
        self.grant();
    }

    /// Returns when somebody asked the coordinator to let this worker go. For one caller.
    pub(crate) async fn told_to_leave(&self) {
        self.leave.notified().await;
    }

    /// No new work; returns when all that runs has ended.
    pub(crate) async fn drain(&self) {
        if !self.draining.swap(true, Ordering::AcqRel) {
            self.session.push(Up::Drain);
        }
        loop {
            let idle = self.idle.notified();
            if self.only_abandoned() {
                return;
            }
            idle.await;
        }
    }
}

/// Runs the attempts of one loop.
pub(crate) struct Host {
    worker: Arc<WorkerShared>,
}

impl Host {
    pub(crate) fn new(worker: Arc<WorkerShared>) -> Self {
        Self { worker }
    }

    pub(crate) fn take(&mut self, home: &Arc<LoopShared>, ready: Ready) {
        match ready {
            Ready::Start(started) => self.start(home, *started),
            Ready::Cancel { attempt, number, message } => {
                if let Some(body) = self.body(attempt) {
                    body.deliver(number, message);
                }
            }
            Ready::CancelWithdrawn { attempt, standing } => {
                if let Some(body) = self.body(attempt) {
                    body.withdrawn(standing);
                }
            }
            Ready::Fence(attempt) => {
                if let Some(body) = self.body(attempt) {
                    body.fence();
                }
            }
            Ready::Deadlock { attempt, cycle } => {
                if let Some(body) = self.body(attempt) {
                    body.deadlocked(&cycle);
                }
            }
            Ready::TellLater { body, what, at } => {
                drop(tokio::task::spawn_local(async move {
                    tokio::time::sleep_until(at).await;
                    body.tell_waiting(what);
                }));
            }
            _ => {}
        }
    }

    fn body(&self, attempt: AttemptId) -> Option<Arc<Body>> {
        self.worker.body_of(attempt)
    }

    /// Where the items of a stream go: to its consumer, or into one list if nobody wants them one by one.
    fn outlet(&self, start: &Start) -> Outlet {
        // Made where it can be found at once: a coordinator that starts again is told of it, or is new to it.
        let mut placed = self.worker.placed.get_mut(&start.attempt.task);
        let consumer = start.spec.stream.then(|| (self.worker.session.clone(), start.attempt));
        let outlet = Outlet::new(consumer);
        if let Some(placed) = &mut placed {
            placed.outlet = Some(outlet.clone());
        }
        outlet
    }

    fn start(&self, home: &Arc<LoopShared>, started: Started) {
        let Started { start, inputs, until } = started;
        let late = until.is_some_and(|until| until <= Instant::now());
        let function = start.spec.function.clone();
        let who = Who::Attempt { attempt: start.attempt, depth: start.depth, root: start.root };
        let (name, trace) = (start.spec.name.clone(), start.spec.trace.clone());
        let body = Body::of_attempt(who, function.clone(), name, home.clone(), trace, start.number);
        body.had_before(start.cancels);
        body.set_root(start.root.is_some());
        if start.spec.context.is_some() {
            body.set_context(context::Context::from_spec(start.spec.context.clone()));
        }
        let heartbeat = start.spec.options.policy.as_ref().and_then(|p| p.heartbeat);
        body.given(start.more.as_ref().and_then(|more| more.details.clone()), heartbeat);
        if let Some(mut placed) = self.worker.placed.get_mut(&start.attempt.task) {
            placed.body = Some(body.clone());
        }
        let definition = self.worker.registry().get(&function);
        let future = match definition.and_then(|d| d.body) {
            Some(_) if late => None,
            Some(run) => {
                let invocation = invocation(&start, inputs, self.worker.state.clone());
                Some(match run {
                    definition::Body::Async(_) | definition::Body::Blocking(_) if start.spec.stream => {
                        let message = format!("function {function} is no stream: await it, it returns one value");
                        let refused = BodyError::refused(FailureKind::BadArguments, &function, message);
                        Box::pin(std::future::ready(Err(refused)))
                    }
                    // Handles among the arguments attach to the loop of the body that is being made.
                    definition::Body::Async(f) => body.on_behalf(|| f(invocation)),
                    definition::Body::Blocking(f) => on_blocking_pool(body.clone(), f, invocation),
                    definition::Body::Stream(f) => {
                        let outlet = self.outlet(&start);
                        body.on_behalf(|| stream::run(f, invocation, outlet))
                    }
                })
            }
            None => None,
        };
        // Its clocks begin here: what was fetched ahead may have waited.
        let announced = start.spec.options.policy.as_ref().is_some_and(|p| p.has_clocks());
        if announced {
            self.worker.session.push(Up::Progress {
                attempt: start.attempt,
                activity: Activity::Running,
                awaits: Vec::new(),
                blocked: false,
            });
        }
        let attempt = Attempt {
            body,
            worker: self.worker.clone(),
            depth: start.depth,
            number: start.number,
            late,
            future,
            slot: Slot::Held,
            told: announced.then(Arc::default),
            parked_as: None,
        };
        tokio::task::spawn_local(attempt);
    }
}

fn invocation(start: &Start, inputs: Vec<(TaskId, Bytes)>, state: Arc<StateMap>) -> Invocation {
    let inputs = start
        .spec
        .dependencies
        .iter()
        .map(|d| Input {
            position: d.position,
            list: d.list,
            values: d
                .tasks
                .iter()
                .filter_map(|task| inputs.iter().find(|(t, _)| t == task).map(|(_, v)| v.clone()))
                .collect(),
        })
        .collect();
    Invocation { function: start.spec.function.clone(), args: start.spec.args.clone(), inputs, state }
}

fn on_blocking_pool(
    body: Arc<Body>,
    f: fn(Invocation) -> BodyEnd,
    invocation: Invocation,
) -> LocalBoxFuture<'static, BodyEnd> {
    Box::pin(async move {
        match tokio::task::spawn_blocking(move || crate::report::catch(|| body.on_pool(|| f(invocation)))).await {
            Ok(Ok(end)) => end,
            Ok(Err(caught)) => crate::report::rethrow(caught),
            // The runtime is shutting down under it: nobody will read this.
            Err(_) => Err(definition::BodyError::message("the worker stopped before the function ended")),
        }
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Slot {
    Held,
    GivenBack,
    Waiting,
}

/// One attempt as a task of the loop's runtime.
struct Attempt {
    body: Arc<Body>,
    worker: Arc<WorkerShared>,
    depth: u32,
    number: u32,
    /// Its deadline passed before it could begin (L19).
    late: bool,
    /// None: it is late, or the function is not here (it was when the coordinator chose this worker).
    future: Option<LocalBoxFuture<'static, BodyEnd>>,
    slot: Slot,
    /// What it said last of how it stands.
    told: Option<Arc<Told>>,
    /// The await points when that was found out.
    parked_as: Option<(u64, bool)>,
}

impl Future for Attempt {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.body.set_task_waker(cx.waker());
        if this.body.is_fenced() {
            this.future = None;
            return this.over();
        }
        match this.slot {
            Slot::Held => {}
            Slot::GivenBack => {
                if this.worker.slots.resume(&this.body, this.depth) {
                    this.slot = Slot::Held;
                } else {
                    this.slot = Slot::Waiting;
                    return Poll::Pending;
                }
            }
            Slot::Waiting => {
                if !this.body.take_slot_grant() {
                    return Poll::Pending;
                }
                this.slot = Slot::Held;
            }
        }
        let Some(future) = &mut this.future else {
            let failure = if this.late {
                this.failure(FailureKind::TimedOut, "its deadline passed at the worker before it could start")
            } else {
                this.failure(FailureKind::NotFound, "this worker does not offer the function")
            };
            return this.report(Outcome::Raised(Arc::new(failure)));
        };
        let (polled, foreign) = this.body.poll(future.as_mut(), cx.waker());
        match polled {
            Ok(Poll::Pending) => {
                this.parked(foreign);
                Poll::Pending
            }
            Ok(Poll::Ready(end)) => {
                this.future = None;
                let outcome = this.verdict(end);
                this.report(outcome)
            }
            Err(panic) => {
                this.future = None;
                let Caught { message, location } = Caught::of(panic);
                let mut failure = this.failure(FailureKind::Panicked, &message);
                failure.location = location;
                this.report(Outcome::Raised(Arc::new(failure)))
            }
        }
    }
}

impl Attempt {
    fn attempt(&self) -> AttemptId {
        self.body.attempt().expect("an attempt's body is one: Host::start made it")
    }

    fn failure(&self, kind: FailureKind, message: &str) -> Failure {
        let mut failure = Failure::new(kind, self.body.function.clone(), message.to_owned());
        failure.task = Some(self.attempt().task);
        failure.worker = Some(WorkerId(self.worker.session.id().0));
        failure.attempt = self.number;
        failure
    }

    fn verdict(&self, end: BodyEnd) -> Outcome {
        let error = match end {
            Ok(value) if value.len() <= limits::MAX_PAYLOAD => {
                return match self.body.unraised() {
                    // It returned before any await could raise the request again (rows 203, 236).
                    Some(message) => Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false })),
                    None => Outcome::Returned(value),
                };
            }
            Ok(value) => {
                let text = format!("the result takes {} bytes and MAX_PAYLOAD is {}", value.len(), limits::MAX_PAYLOAD);
                return Outcome::Raised(Arc::new(self.failure(FailureKind::BadPayload, &text)));
            }
            Err(error) => error,
        };
        match error.finish(&self.body.function, Some(&self.body.token)) {
            BodyVerdict::Cancelled { message } => {
                Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false }))
            }
            BodyVerdict::Failed(mut failure) => {
                if failure.task.is_none() {
                    // The first one that failed; a failure that passes up keeps it.
                    failure.task = Some(self.attempt().task);
                    failure.worker = Some(WorkerId(self.worker.session.id().0));
                    failure.attempt = self.number;
                }
                Outcome::Raised(Arc::new(failure.bounded()))
            }
        }
    }

    fn report(&mut self, outcome: Outcome) -> Poll<()> {
        // What it told last is told before its end.
        self.body.tell_rest();
        // One that failed before it saw a request that had come fails all the same (row 236); one that returned is
        // cancelled, since an accepted request is never lost.
        let failed = matches!(outcome, Outcome::Raised(_));
        let delivered = if failed { self.body.heard() } else { self.body.seen() };
        self.body.end();
        self.body.trace_end(&outcome);
        self.worker.session.push(Up::Ended { attempt: self.attempt(), outcome, delivered });
        self.over()
    }

    fn over(&mut self) -> Poll<()> {
        let held = match self.slot {
            Slot::Held => !self.body.take_slot_lost(),
            Slot::GivenBack => false,
            Slot::Waiting => self.worker.slots.leave_line(&self.body),
        };
        self.slot = Slot::GivenBack;
        self.worker.ended(self.attempt(), held);
        Poll::Ready(())
    }

    /// Gives the slot back if only farloop can wake the body, and tells the coordinator what changed.
    fn parked(&mut self, foreign: bool) {
        let version = (self.body.points_version(), foreign);
        if self.slot == Slot::Held
            && self.parked_as == Some(version)
            && self.told.as_ref().is_some_and(|t| t.activity == Activity::Suspended)
        {
            // Woken for nothing that changed: back to where it was.
            return self.give_back();
        }
        self.parked_as = Some(version);
        if self.body.take_deadlock() {
            // The coordinator looks for a cycle when it is told of an await: the same await must be told once more.
            self.told = None;
        }
        let parked = if foreign { None } else { self.body.parked() };
        let now = match parked {
            Some((awaits, blocked)) => Told { activity: Activity::Suspended, awaits, blocked },
            None => {
                Told { awaits: self.body.parked().map(|(awaits, _)| awaits).unwrap_or_default(), ..Told::default() }
            }
        };
        let suspended = now.activity == Activity::Suspended;
        // The coordinator takes a leased attempt for running until it hears otherwise.
        if self.told.as_deref().map_or_else(|| now != Told::default(), |before| *before != now) {
            let now = Arc::new(now);
            // Before it leaves: a coordinator that starts again in between is told either by this or by that.
            self.body.set_told(now.clone());
            self.worker.session.push(now.progress(self.attempt()));
            self.told = Some(now);
        }
        if suspended {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        self.slot = Slot::GivenBack;
        if !self.body.take_slot_lost() {
            self.worker.release();
        }
    }
}
