//! What the runtime knows about a running coroutine: where it is parked, which cancel requests it has seen, and
//! whether anything foreign can wake it.
//!
//! A cancel request is delivered here and nowhere else, because only the host of a body knows at which awaits it is
//! parked at that moment (L6, L7):
//! - a *local* point (sleep, wait, as_completed, shield) fails with `Cancelled`;
//! - a *forwarding* point (await of a task, gather, wait_for) passes the request on to what it awaits, and the body
//!   goes on when that has ended (asyncio row 238);
//! - with no point open the request stays pending until the next one (row 223).
//!
//! Requests that a scope of the body makes (a timeout, a group) reach the points inside that scope only, and have no
//! number: see [`scopes`].

mod hold;
mod point;
mod requests;
mod scopes;

use std::cell::RefCell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use farloop_core::frame::Stdio;
use farloop_core::id::{AttemptId, SessionId, TaskId};
use farloop_core::outcome::Outcome;
use farloop_core::spec::Trace;
use farloop_telemetry::TraceContext;
use slab::Slab;

use self::hold::Hold;
pub(crate) use self::point::Point;
pub(crate) use self::scopes::Entered;
pub(crate) use self::scopes::Under;
use self::scopes::{Ask, Origin, Scopes};
use crate::cell::{Cell, Wakeable};
use crate::context;
use crate::error::{DeliveryToken, Error};
use crate::event_loop::LoopShared;
use crate::print::Prints;
use crate::progress::Telling;
use crate::worker::actors::{Doing, Part};
use crate::worker::held::Told;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Body>>> = const { RefCell::new(None) };
}

/// Who the body is.
#[derive(Debug)]
pub(crate) enum Who {
    /// An attempt at a task of the cluster, on a worker.
    Attempt {
        attempt: AttemptId,
        depth: u32,
        /// Session at the top of the task tree; none if it is detached.
        root: Option<SessionId>,
    },
    /// A task of this loop.
    Local(Arc<Cell>),
}

pub(crate) struct Body {
    pub(crate) who: Who,
    pub(crate) function: Arc<str>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) home: Arc<LoopShared>,
    pub(crate) token: Arc<DeliveryToken>,
    /// Of a coroutine that an attempt's body put on its loop: that body. What it calls, prints and takes is the attempt's
    /// while that runs.
    serves: Option<Weak<Body>>,
    /// There is, or was, one that serves this attempt.
    served: AtomicBool,
    /// What it is to an actor whose code it runs.
    pub(crate) part: Option<Part>,
    /// W3C context that the call came with: what the body calls carries it on.
    pub(crate) trace: Option<Arc<Trace>>,
    span: tracing::Span,
    /// It has told something about itself ([`crate::progress`]).
    pub(crate) tells: AtomicBool,
    state: Mutex<State>,
    /// What it printed and has not sent; made when it first prints.
    prints: OnceLock<Mutex<Prints>>,
}

#[derive(Default)]
struct State {
    /// Open await points. A body may have tens of thousands (a join of many awaits), so each knows its place.
    points: Slab<Open>,
    /// Grows with each point opened or closed: whether what was reported about them still holds.
    version: u64,
    /// A request that no await point took yet.
    pending: Option<Ask>,
    /// Highest request number heard of, and highest that reached the body.
    highest: u32,
    seen: u32,
    /// Highest request that an await point really raised.
    raised: u32,
    standing: u32,
    /// Its timeouts and groups; most bodies never have one.
    scopes: Option<Box<Scopes>>,
    task_waker: Option<Waker>,
    poll_waker: Option<Waker>,
    fenced: bool,
    /// Its outcome is on its way.
    over: bool,
    /// It was told of a deadlock since it last parked.
    deadlocked: bool,
    /// A slot was handed over while the attempt waited in line for one.
    slot_granted: bool,
    /// There is a client at the top of the tree, which is shown what the body prints.
    has_root: bool,
    context: context::Context,
    hold: Hold,
    /// How the coordinator was told that it stands.
    told: Option<Arc<Told>>,
    /// Few bodies tell anything.
    telling: Option<Box<Telling>>,
    /// State of its actor, that is saved together with what it returns.
    saved: Option<Box<bytes::Bytes>>,
}

/// An open await point.
struct Open {
    /// The scope it is in; none: in the body itself.
    scope: Origin,
    cut: Option<Cut>,
    whom: Wakeable,
    kind: PointKind,
}

/// What a point fails with, and whose request that is.
struct Cut {
    error: Error,
    origin: Origin,
}

enum PointKind {
    Local {
        /// What it waits for, where that has a name.
        on: Option<Arc<str>>,
    },
    Forward {
        to: Arc<Cell>,
        /// Only one cancel goes through; the next is delivered here (V3).
        once: bool,
        /// The one was used by the awaiter itself.
        spent: bool,
        /// A timer can wake it too.
        timed: bool,
        /// A request of the body's went through: whose.
        forwarded: Option<Origin>,
    },
}

impl State {
    fn open(&mut self, kind: PointKind, whom: Wakeable) -> usize {
        self.version += 1;
        let scope = self.scopes.as_ref().and_then(|scopes| scopes.current());
        let id = self.points.insert(Open { scope, cut: None, whom, kind });
        if let Some(scopes) = &mut self.scopes {
            scopes.opened(scope, id);
        }
        id
    }

    fn close(&mut self, id: usize) -> Option<Open> {
        self.version += 1;
        let point = self.points.try_remove(id)?;
        if let Some(scopes) = &mut self.scopes {
            scopes.closed(point.scope, id);
        }
        Some(point)
    }
}

impl Body {
    pub(crate) fn new(who: Who, function: Arc<str>, name: Option<Arc<str>>, home: Arc<LoopShared>) -> Arc<Self> {
        Self::with_span(who, function, name, home, None, tracing::Span::none(), None)
    }

    /// The attempt whose body schedules something on its own loop now.
    fn to_serve(home: &LoopShared) -> Option<Weak<Self>> {
        let here = Self::current()?;
        let attempt = here.at_work()?;
        std::ptr::eq(Arc::as_ptr(attempt.home.session()), Arc::as_ptr(home.session())).then(|| {
            attempt.served.store(true, Ordering::Relaxed);
            Arc::downgrade(&attempt)
        })
    }

    /// An attempt, which has a span if traces travel: below what the call came with, or else a root.
    pub(crate) fn of_attempt(
        who: Who,
        function: Arc<str>,
        name: Option<Arc<str>>,
        home: Arc<LoopShared>,
        trace: Option<Arc<Trace>>,
        number: u32,
        part: Option<Part>,
    ) -> Arc<Self> {
        // What stays with an actor may do so for days: it is no attempt that a trace could show.
        let stays = part.as_ref().is_some_and(|part| part.doing == Doing::Stay);
        let span = match &who {
            Who::Attempt { attempt, .. } if !stays && farloop_telemetry::propagates_traces() => {
                attempt_span(&function, *attempt, number, trace.as_deref())
            }
            _ => tracing::Span::none(),
        };
        Self::with_span(who, function, name, home, trace, span, part)
    }

    fn with_span(
        who: Who,
        function: Arc<str>,
        name: Option<Arc<str>>,
        home: Arc<LoopShared>,
        trace: Option<Arc<Trace>>,
        span: tracing::Span,
        part: Option<Part>,
    ) -> Arc<Self> {
        let serves = if let Who::Local(_) = who { Self::to_serve(&home) } else { None };
        Arc::new(Self {
            who,
            serves,
            served: AtomicBool::new(false),
            part,
            function,
            name,
            home,
            token: Arc::new(DeliveryToken::default()),
            trace,
            span,
            tells: AtomicBool::new(false),
            state: Mutex::new(State::default()),
            prints: OnceLock::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing user-written runs under this lock.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Details of the attempts before, and the pace that is asked of its heartbeats.
    pub(crate) fn given(&self, details: Option<bytes::Bytes>, heartbeat_timeout: Option<Duration>) {
        if details.is_some() || heartbeat_timeout.is_some() {
            self.state().telling = Some(Box::new(Telling::new(details, heartbeat_timeout)));
        }
    }

    pub(crate) fn telling<R>(&self, f: impl FnOnce(&mut Telling) -> R) -> R {
        f(self.state().telling.get_or_insert_default())
    }

    pub(crate) fn telling_if_any<R>(&self, f: impl FnOnce(&mut Telling) -> R) -> Option<R> {
        self.state().telling.as_deref_mut().map(f)
    }

    /// The body that is being polled on this thread.
    pub(crate) fn current() -> Option<Arc<Self>> {
        CURRENT.with(|c| c.borrow().clone())
    }

    pub(crate) fn attempt(&self) -> Option<AttemptId> {
        match self.who {
            Who::Attempt { attempt, .. } => Some(attempt),
            Who::Local(_) => None,
        }
    }

    /// The attempt that is at work here and not over: this one, or the one that this coroutine serves.
    pub(crate) fn at_work(self: &Arc<Self>) -> Option<Arc<Self>> {
        match &self.who {
            Who::Attempt { .. } => Some(self.clone()),
            Who::Local(_) => self.serves.as_ref()?.upgrade().filter(|body| !body.state().over),
        }
    }

    /// Who creates what is called here.
    pub(crate) fn creator(self: &Arc<Self>) -> Option<AttemptId> {
        self.at_work()?.attempt()
    }

    /// Where an attempt is at work: the session at the top of its task tree, if there is one.
    pub(crate) fn root(self: &Arc<Self>) -> Option<Option<SessionId>> {
        match self.at_work()?.who {
            Who::Attempt { root, .. } => Some(root),
            Who::Local(_) => None,
        }
    }

    pub(crate) fn task_id(&self) -> TaskId {
        match &self.who {
            Who::Attempt { attempt, .. } => attempt.task,
            Who::Local(cell) => cell.id,
        }
    }

    /// A copy of its context variables.
    pub(crate) fn context(&self) -> context::Context {
        self.state().context.clone()
    }

    pub(crate) fn set_context(&self, context: context::Context) {
        self.state().context = context;
    }

    pub(crate) fn is_waker(&self, waker: &Waker) -> bool {
        self.state().poll_waker.as_ref().is_some_and(|w| w.will_wake(waker))
    }

    pub(crate) fn wake(&self) {
        let waker = self.state().task_waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn set_task_waker(&self, waker: &Waker) {
        let mut state = self.state();
        if !state.task_waker.as_ref().is_some_and(|w| w.will_wake(waker)) {
            state.task_waker = Some(waker.clone());
        }
    }

    pub(crate) fn grant_slot(&self) {
        self.state().slot_granted = true;
    }

    pub(crate) fn take_slot_grant(&self) -> bool {
        std::mem::take(&mut self.state().slot_granted)
    }

    /// How the attempt ended, for its span.
    pub(crate) fn trace_end(&self, outcome: &Outcome) {
        if self.span.is_disabled() {
            return;
        }
        let ended = match outcome {
            Outcome::Returned(_) => "returned",
            Outcome::Cancelled(_) => "cancelled",
            Outcome::Raised(failure) => {
                self.span.record("otel.status_code", "ERROR");
                self.span.record("otel.status_description", failure.message.as_str());
                "raised"
            }
        };
        self.span.record("farloop.outcome", ended);
    }

    /// Requests that earlier attempts had: they count, and this body will not see them.
    pub(crate) fn had_before(&self, cancels: u32) {
        let mut state = self.state();
        state.highest = cancels;
        state.seen = cancels;
        state.standing = cancels;
    }

    /// The coordinator is about to be told how it stands.
    pub(crate) fn set_told(&self, told: Arc<Told>) {
        self.state().told = Some(told);
    }

    pub(crate) fn told(&self) -> Option<Arc<Told>> {
        self.state().told.clone()
    }

    /// The attempt is over for the cluster: its body is dropped at the next poll, and so are the coroutines that it put
    /// on its loop (L7).
    pub(crate) fn fence(self: &Arc<Self>) {
        self.state().fenced = true;
        self.wake();
        self.fence_served();
    }

    /// Drops the coroutines that it put on its loop.
    pub(crate) fn fence_served(self: &Arc<Self>) {
        if !self.served.load(Ordering::Relaxed) {
            return;
        }
        for cell in self.home.session().pending_cells() {
            let serves = |body: &Arc<Self>| body.serves.as_ref().is_some_and(|of| of.as_ptr() == Arc::as_ptr(self));
            if let Some(body) = cell.local_body().filter(serves) {
                body.fence();
            }
        }
    }

    /// State of its actor that is to be saved with its reply; the last one counts.
    pub(crate) fn save_with_reply(&self, state: bytes::Bytes) {
        self.state().saved = Some(Box::new(state));
    }

    pub(crate) fn take_saved(&self) -> Option<bytes::Bytes> {
        self.state().saved.take().map(|state| *state)
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.state().fenced
    }

    /// What it awaits, for its representation (row 28): the oldest point that awaits something.
    pub(crate) fn waits_for(&self) -> Option<TaskId> {
        self.state().points.iter().find_map(|(_, p)| match &p.kind {
            PointKind::Forward { to, .. } => Some(to.id),
            PointKind::Local { .. } => None,
        })
    }

    /// The lock, queue or barrier it waits for: the oldest, if there are several.
    pub(crate) fn waits_on(&self) -> Option<Arc<str>> {
        self.state().points.iter().find_map(|(_, p)| match &p.kind {
            PointKind::Local { on } => on.clone(),
            PointKind::Forward { .. } => None,
        })
    }

    /// The tasks it awaits await it in turn.
    pub(crate) fn deadlocked(&self, cycle: &[TaskId]) {
        let mut wake = Vec::new();
        {
            let mut state = self.state();
            state.deadlocked = true;
            for (_, point) in &mut state.points {
                if let PointKind::Forward { .. } = point.kind {
                    point.cut.get_or_insert_with(|| Cut { error: Error::Deadlock(cycle.to_vec()), origin: None });
                    wake.push(point.whom.clone());
                }
            }
        }
        for whom in wake {
            whom.wake();
        }
    }

    /// Whether it was told of a deadlock since this was last asked.
    pub(crate) fn take_deadlock(&self) -> bool {
        std::mem::take(&mut self.state().deadlocked)
    }

    /// Whether it is at an await of farloop's own.
    pub(crate) fn is_parked(&self) -> bool {
        !self.state().points.is_empty()
    }

    /// Changes whenever an await point opens or closes.
    pub(crate) fn points_version(&self) -> u64 {
        self.state().version
    }

    /// Where it is parked: wait edges, and whether nothing but these edges can wake it. None: at no point of ours.
    pub(crate) fn parked(&self) -> Option<(Vec<TaskId>, bool)> {
        let cells: Vec<Arc<Cell>>;
        let blocked;
        {
            let state = self.state();
            if state.points.is_empty() {
                return None;
            }
            let timed = |scope| state.scopes.as_ref().is_some_and(|scopes| scopes.deadline(scope).is_some());
            blocked = state
                .points
                .iter()
                .all(|(_, p)| matches!(p.kind, PointKind::Forward { timed: false, .. }) && !timed(p.scope));
            cells = state
                .points
                .iter()
                .filter_map(|(_, p)| match &p.kind {
                    PointKind::Forward { to, .. } => Some(to.clone()),
                    PointKind::Local { .. } => None,
                })
                .collect();
        }
        let mut ids = Vec::new();
        for cell in cells {
            cell.remote_ids(&mut ids);
        }
        ids.truncate(farloop_core::limits::EDGES);
        Some((ids, blocked))
    }

    /// Polls a body as this one: current task set, panics caught, time watched. The second value tells whether
    /// something foreign holds the waker afterwards.
    pub(crate) fn poll<F: Future + ?Sized>(
        self: &Arc<Self>,
        future: Pin<&mut F>,
        outer: &Waker,
    ) -> (std::thread::Result<Poll<F::Output>>, bool) {
        // A fresh waker each time: whoever is still interested takes it again, so that a clone left over from a
        // finished await does not count.
        let marker = Arc::new(PollWaker(self.clone()));
        let waker = Waker::from(marker.clone());
        let begun = Instant::now();
        {
            self.set_task_waker(outer);
            let mut state = self.state();
            state.poll_waker = Some(waker.clone());
            state.hold.poll = Some(begun);
        }
        let before = CURRENT.with(|c| c.replace(Some(self.clone())));
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let _entered = self.span.enter();
            future.poll(&mut Context::from_waker(&waker))
        }));
        let took = begun.elapsed();
        CURRENT.with(|c| c.replace(before));
        if took > crate::debug::slow_callback_duration() {
            crate::report::slow_poll(&self.function, took);
        }
        drop(waker);
        let back = {
            let mut state = self.state();
            state.poll_waker = None;
            state.hold.poll_over()
        };
        self.came_back(back);
        let foreign = Arc::strong_count(&marker) > 1;
        (polled, foreign)
    }

    pub(crate) fn set_root(&self, has_root: bool) {
        self.state().has_root = has_root;
    }

    pub(crate) fn has_root(&self) -> bool {
        self.state().has_root
    }

    /// It printed this. A body that is over for the cluster is not heard any more.
    pub(crate) fn print(&self, stream: Stdio, text: &str) {
        let Who::Attempt { attempt, .. } = self.who else { return };
        let prints = self.prints.get_or_init(|| Mutex::new(Prints::new()));
        let mut prints = prints.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        prints.add(stream, text, |print, room| self.home.session().print(attempt, print, room));
    }

    /// Its outcome is about to be reported: what it printed goes first, and what outlives it is on its own.
    pub(crate) fn end(&self) {
        self.state().over = true;
        let (Who::Attempt { attempt, .. }, Some(prints)) = (&self.who, self.prints.get()) else { return };
        let mut prints = prints.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        prints.finish(|print, room| self.home.session().print(*attempt, print, room));
    }

    /// Runs `f` as this body, outside of a poll: making its future, or a blocking function on another thread.
    pub(crate) fn on_behalf<R>(self: &Arc<Self>, f: impl FnOnce() -> R) -> R {
        let _restore = Restore(CURRENT.with(|c| c.replace(Some(self.clone()))));
        f()
    }

    /// Runs `f` with no current body: done callbacks have none (row 76).
    pub(crate) fn nobody<R>(f: impl FnOnce() -> R) -> R {
        let _restore = Restore(CURRENT.take());
        f()
    }
}

/// Told when the last hold on the body is gone, which is when the attempt is over.
fn attempt_span(function: &str, attempt: AttemptId, number: u32, trace: Option<&Trace>) -> tracing::Span {
    let span = tracing::info_span!(
        parent: None,
        "farloop.attempt",
        otel.name = format!("run {function}"),
        otel.kind = "consumer",
        otel.status_code = tracing::field::Empty,
        otel.status_description = tracing::field::Empty,
        farloop.task.id = %attempt.task,
        farloop.task.attempt = number,
        farloop.function = function,
        farloop.outcome = tracing::field::Empty,
    );
    if let Some(trace) = trace {
        TraceContext { parent: trace.parent.clone(), state: trace.state.clone() }.adopt(&span);
    }
    span
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("who", &self.who).field("function", &self.function).finish_non_exhaustive()
    }
}

/// Puts the thread's current body back, also when a panic passes.
struct Restore(Option<Arc<Body>>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

struct PollWaker(Arc<Body>);

impl Wake for PollWaker {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}
