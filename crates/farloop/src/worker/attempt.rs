//! One attempt as a task of its loop's runtime: polls the body, gives its slot back and takes it again, says how it
//! stands, and reports its end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use farloop_core::frame::{Activity, Snapshot, Start, Up};
use farloop_core::id::{AttemptId, WorkerId};
use farloop_core::limits;
use farloop_core::outcome::{Cancellation, Failure, FailureKind, Outcome};

use super::actors::{Incarnation, Made};
use super::held::Told;
use super::host::WorkerShared;
use crate::body::Body;
use crate::definition::{BodyEnd, BodyVerdict, Instance, LocalBoxFuture};
use crate::report::Caught;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Slot {
    Held,
    GivenBack,
    Waiting,
    /// It needs none: the actor that it runs for is here anyway.
    None,
}

/// What it is to an actor.
pub(super) enum Role {
    /// Nothing.
    Task,
    /// It makes the actor; what it made is in that place.
    Make(Arc<Incarnation>, Made),
    /// A method of the actor.
    Call(Arc<Incarnation>),
    /// The actor's `on_stop`.
    Stop(Arc<Incarnation>),
}

impl Role {
    fn actor(&self) -> Option<&Arc<Incarnation>> {
        match self {
            Self::Task => None,
            Self::Make(actor, _) | Self::Call(actor) | Self::Stop(actor) => Some(actor),
        }
    }

    /// What it is called where only farloop can wake it. An actor is suspended when it is up: until then, and when it
    /// stops, its own code runs, wherever that is parked.
    fn parked(&self) -> Activity {
        match self {
            Self::Task | Self::Call(_) => Activity::Suspended,
            Self::Make(..) | Self::Stop(_) => Activity::Running,
        }
    }
}

pub(super) struct Attempt {
    body: Arc<Body>,
    worker: Arc<WorkerShared>,
    depth: u32,
    number: u32,
    /// Its deadline passed before it could begin (L19).
    late: bool,
    /// None: it is late, or the function is not here (it was when the coordinator chose this worker).
    future: Option<LocalBoxFuture<'static, BodyEnd>>,
    slot: Slot,
    role: Role,
    /// What it said last of how it stands.
    told: Option<Arc<Told>>,
    /// The await points when that was found out.
    parked_as: Option<(u64, bool)>,
}

impl Attempt {
    pub(super) fn new(
        body: Arc<Body>,
        worker: Arc<WorkerShared>,
        start: &Start,
        future: Option<LocalBoxFuture<'static, BodyEnd>>,
        slot: Slot,
        role: Role,
    ) -> Self {
        let Start { depth, number, .. } = *start;
        Self { body, worker, depth, number, late: false, future, slot, role, told: None, parked_as: None }
    }

    /// The `on_stop` of an actor, which has been parked until now.
    pub(super) fn stopping(
        actor: &Arc<Incarnation>,
        body: Arc<Body>,
        worker: Arc<WorkerShared>,
        future: LocalBoxFuture<'static, BodyEnd>,
    ) -> Self {
        Self {
            body,
            worker,
            depth: 0,
            number: actor.number,
            late: false,
            future: Some(future),
            slot: Slot::None,
            role: Role::Stop(actor.clone()),
            told: Some(Arc::new(Told::parked())),
            parked_as: None,
        }
    }

    pub(super) fn late(self, late: bool) -> Self {
        Self { late, ..self }
    }

    pub(super) fn told(self, told: Option<Arc<Told>>) -> Self {
        Self { told, ..self }
    }
}

impl Future for Attempt {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.body.set_task_waker(cx.waker());
        if this.body.is_fenced() {
            return this.is_fenced();
        }
        if let Some((kind, why)) = this.role.actor().and_then(|actor| actor.cut_off()) {
            return this.is_cut_off(kind, &why);
        }
        match this.slot {
            Slot::Held | Slot::None => {}
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
        if this.body.is_fenced() && !matches!(polled, Ok(Poll::Pending)) {
            // While it was inside: what it ended with is nobody's any more.
            return this.is_fenced();
        }
        match polled {
            Ok(Poll::Pending) => {
                this.parked(foreign);
                Poll::Pending
            }
            Ok(Poll::Ready(end)) => {
                this.future = None;
                let outcome = this.verdict(end);
                this.ended(outcome)
            }
            Err(panic) => {
                this.future = None;
                let Caught { message, location } = Caught::of(panic);
                let mut failure = this.failure(FailureKind::Panicked, &message);
                failure.location = location;
                this.panicked(failure)
            }
        }
    }
}

impl Attempt {
    fn attempt(&self) -> AttemptId {
        self.body.attempt().expect("an attempt's body is one: whoever starts it made it")
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

    /// The body has come to its end.
    fn ended(&mut self, outcome: Outcome) -> Poll<()> {
        match (&self.role, outcome) {
            (Role::Make(_, made), Outcome::Returned(_)) => {
                let made = made.take();
                match (made, self.body.standing()) {
                    (Some(instance), 0) => self.is_up(instance),
                    // It was to be cancelled, and `new` did not mind: the actor would live on against that.
                    (instance, _) => {
                        super::actors::instances::quietly(|| drop(instance));
                        self.report(Outcome::Cancelled(Arc::default()))
                    }
                }
            }
            (Role::Stop(_), Outcome::Returned(_)) => self.report(Outcome::Returned(super::actors::NIL)),
            (_, outcome) => self.report(outcome),
        }
    }

    fn panicked(&mut self, failure: Failure) -> Poll<()> {
        if let Role::Call(actor) = &self.role {
            let (actor, worker) = (actor.clone(), self.worker.clone());
            // What the method was about to save with its reply is as doubtful as the state.
            drop(self.body.take_saved());
            let outcome = Outcome::Raised(Arc::new(failure.clone()));
            self.tell_end(outcome);
            worker.method_panicked(&actor, &failure);
            return self.over();
        }
        self.report(Outcome::Raised(Arc::new(failure)))
    }

    fn report(&mut self, outcome: Outcome) -> Poll<()> {
        self.tell_end(outcome);
        self.over()
    }

    fn tell_end(&mut self, outcome: Outcome) {
        // What it told last is told before its end.
        self.body.tell_rest();
        // One that failed before it saw a request that had come fails all the same (row 236); one that returned is
        // cancelled, since an accepted request is never lost.
        let failed = matches!(outcome, Outcome::Raised(_));
        let delivered = if failed { self.body.heard() } else { self.body.seen() };
        self.body.end();
        self.body.trace_end(&outcome);
        let (attempt, session) = (self.attempt(), &self.worker.session);
        match &self.role {
            Role::Task => session.push(Up::Ended { attempt, outcome, delivered }),
            Role::Call(actor) => {
                let saved = self.body.take_saved();
                actor.while_it_counts(|| {
                    if let Some(state) = saved {
                        session.push(with_reply(actor, attempt, state));
                    }
                    session.push(Up::Ended { attempt, outcome, delivered });
                });
            }
            Role::Make(actor, _) => self.worker.is_over(actor, outcome, delivered, None),
            Role::Stop(actor) => {
                let stopped = matches!(outcome, Outcome::Returned(_));
                let state = if stopped { self.worker.saved(actor) } else { None };
                self.worker.is_over(actor, outcome, delivered, state);
            }
        }
    }

    /// `new` is over, and what it made stays.
    fn is_up(&mut self, instance: Instance) -> Poll<()> {
        self.body.tell_rest();
        self.body.end();
        let Role::Make(actor, _) = &self.role else { return self.over() };
        let (actor, worker) = (actor.clone(), self.worker.clone());
        worker.is_up(&actor, instance);
        // Its slot first: a call of it needs none, and others wait for this one.
        let over = self.over();
        worker.go_on(&actor);
        over
    }

    /// Nobody waits for it any more.
    fn is_fenced(&mut self) -> Poll<()> {
        self.drop_future();
        self.over()
    }

    /// Its actor has failed or was cancelled.
    fn is_cut_off(&mut self, kind: FailureKind, why: &str) -> Poll<()> {
        self.drop_future();
        match &self.role {
            Role::Call(_) => {
                let mut failure = self.failure(kind, why);
                failure.may_have_run = Some(true);
                drop(self.body.take_saved());
                self.report(Outcome::Raised(Arc::new(failure)))
            }
            Role::Make(actor, _) | Role::Stop(actor) => {
                self.body.end();
                self.worker.is_cut_off(actor);
                self.over()
            }
            Role::Task => self.over(),
        }
    }

    /// Drops the body's code where it is parked, and what it made.
    fn drop_future(&mut self) {
        let made = if let Role::Make(_, made) = &self.role { made.take() } else { None };
        let future = self.future.take();
        super::actors::instances::quietly(|| drop((future, made)));
    }

    fn over(&mut self) -> Poll<()> {
        let held = match self.slot {
            Slot::Held => !self.body.take_slot_lost(),
            Slot::GivenBack | Slot::None => false,
            Slot::Waiting => self.worker.slots.leave_line(&self.body),
        };
        self.slot = if self.slot == Slot::None { Slot::None } else { Slot::GivenBack };
        match &self.role {
            Role::Task | Role::Make(..) => self.worker.ended(self.attempt(), held),
            Role::Call(actor) => self.worker.call_over(&actor.clone(), &self.body),
            Role::Stop(_) => {}
        }
        Poll::Ready(())
    }

    /// Gives the slot back if only farloop can wake the body, and tells the coordinator what changed.
    fn parked(&mut self, foreign: bool) {
        let version = (self.body.points_version(), foreign);
        if self.parked_as == Some(version) && self.told.as_ref().is_some_and(|t| t.activity == Activity::Suspended) {
            // Woken for nothing that changed: back to where it was.
            return self.give_back();
        }
        self.parked_as = Some(version);
        if self.body.take_deadlock() {
            // The coordinator looks for a cycle when it is told of an await: the same await must be told once more.
            self.told = None;
        }
        let parked = if foreign { None } else { self.body.parked() };
        let suspended = parked.is_some();
        let now = match parked {
            Some((awaits, blocked)) => Told { activity: self.role.parked(), awaits, blocked },
            None => {
                Told { awaits: self.body.parked().map(|(awaits, _)| awaits).unwrap_or_default(), ..Told::default() }
            }
        };
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
        if self.slot != Slot::Held {
            return;
        }
        self.slot = Slot::GivenBack;
        if !self.body.take_slot_lost() {
            self.worker.release();
        }
    }
}

/// What a call saves together with its end.
fn with_reply(actor: &Incarnation, call: AttemptId, state: Bytes) -> Up {
    Up::Snapshot(Box::new(Snapshot { incarnation: actor.attempt, state, with: Some(call) }))
}
