//! Actors on their loop: they are made, their calls have their turns, and they end. All of this runs on the loop's own
//! thread, where their states are, and never inside the code of one.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use farloop_core::frame::{Snapshot, Up};
use farloop_core::id::WorkerId;
use farloop_core::limits;
use farloop_core::outcome::{Cancellation, Failure, Outcome};

use super::super::attempt::{Attempt, Role, Slot};
use super::super::held::Told;
use super::super::host::{Started, WorkerShared};
use super::super::loop_host::refused;
use super::incarnation::{Doing, Ending, Incarnation, Next, Part};
use super::{Happening, NIL, instances};
use crate::body::Body;
use crate::definition::{self, BodyEnd, Instance, LocalBoxFuture, MethodRun, Origin};
use crate::stream;

/// Where `new` leaves what it made.
pub(in super::super) type Made = Rc<Cell<Option<Instance>>>;

impl WorkerShared {
    /// Something happened to an actor of this loop.
    pub(in super::super) fn happens(self: &Arc<Self>, actor: &Arc<Incarnation>, what: Happening) {
        match what {
            Happening::Call => self.go_on(actor),
            Happening::Stop => self.ends(actor, Ending::Stop),
            Happening::Move => self.ends(actor, Ending::Move),
            Happening::Cancel { number, message } => self.cancel_actor(actor, number, message),
            Happening::Failed(failure) => self.fails(actor, *failure),
            Happening::Drop => self.discard(actor),
        }
    }

    /// While `new` runs it is a body as any other, and may clean up. Later a cancel is the end: there is no await of the
    /// actor's own that could fail.
    fn cancel_actor(self: &Arc<Self>, actor: &Arc<Incarnation>, number: u32, message: Option<String>) {
        match actor.own_body().filter(|_| actor.is_making()) {
            Some(body) => body.deliver(number, message),
            None => self.ends(actor, Ending::Kill { number, message }),
        }
    }

    /// It is to end like that.
    pub(in super::super) fn ends(self: &Arc<Self>, actor: &Arc<Incarnation>, ending: Ending) {
        let (given_back, dropped) = actor.end_with(ending);
        given_back.iter().for_each(|call| self.forget_call(*call));
        actor.while_it_counts(|| self.give_back(&given_back));
        for body in dropped {
            // Its next poll finds that it is cut off.
            body.fence_served();
            body.wake();
        }
        self.go_on(actor);
    }

    /// Starts the calls whose turn it is, and lets the actor go if it is to go.
    pub(in super::super) fn go_on(self: &Arc<Self>, actor: &Arc<Incarnation>) {
        loop {
            match actor.next() {
                Next::Call(started) => self.begin_call(actor, *started),
                Next::Leave(ending) => return self.leave(actor, ending),
                Next::Wait => return,
            }
        }
    }

    // ---- making

    /// The future of `new`; what it makes is in the place that comes with it.
    pub(in super::super) fn making(
        &self,
        actor: &Arc<Incarnation>,
        started: &mut Started,
        body: &Arc<Body>,
    ) -> (Option<LocalBoxFuture<'static, BodyEnd>>, Made) {
        let made = Made::default();
        if !actor.begin(body) {
            body.fence();
        }
        let function = started.start.spec.function.clone();
        if actor.definition.is_none() {
            return (None, made);
        }
        let Some(code) = actor.code() else {
            let refused = refused(&function, format!("function {function} makes no actors: call it"));
            return (Some(refused), made);
        };
        // Under its own id comes what it saved last.
        let own = started.inputs.iter().position(|(task, _)| *task == actor.attempt.task);
        let snapshot = own.map(|at| started.inputs.swap_remove(at).1);
        let origin = Origin { again: snapshot.is_some() || started.start.number > 1, snapshot };
        let invocation = self.invocation(started);
        let place = made.clone();
        let making = body.on_behalf(|| (code.make)(invocation, origin));
        let future = async move {
            place.set(Some(making.await?));
            Ok(NIL)
        };
        (Some(Box::pin(future)), made)
    }

    /// `new` has ended well. False: it was fenced meanwhile, and the state is gone.
    pub(in super::super) fn is_up(&self, actor: &Arc<Incarnation>, instance: Instance) -> bool {
        let place = instances::put(actor.home.id, instance);
        // From here on it is parked, until it is over: the coordinator sends calls.
        let up = actor.up(place, || self.session.push(Told::parked().progress(actor.attempt)));
        if !up {
            instances::discard(actor.home.id, place);
        }
        up
    }

    /// `new` has not ended well, or `on_stop` has ended: the calls that wait are given back, and then it is over.
    pub(in super::super) fn is_over(
        &self,
        actor: &Arc<Incarnation>,
        outcome: Outcome,
        delivered: u32,
        state: Option<Bytes>,
    ) {
        self.discard(actor);
        let given_back = actor.close(|waiting| {
            self.give_back(waiting);
            if let Some(state) = state {
                self.session.push(snapshot(actor, state));
            }
            self.session.push(Up::Ended { attempt: actor.attempt, outcome, delivered });
        });
        self.is_gone(actor, &given_back);
    }

    // ---- calls

    fn begin_call(self: &Arc<Self>, actor: &Arc<Incarnation>, started: Started) {
        let late = started.is_late();
        let start = &started.start;
        let part = Part { of: actor.clone(), doing: Doing::Call };
        let body = self.body_of_start(start, &actor.home, Some(part));
        if !actor.began(&body) {
            body.fence();
        }
        if let Some(mut placed) = self.placed.get_mut(&start.attempt.task) {
            placed.body = Some(body.clone());
        }
        let instance = actor.place().and_then(|place| instances::get(actor.home.id, place));
        let method = self.registry().get(&start.spec.function).and_then(|definition| definition.body);
        let future = match (method, instance) {
            (Some(definition::Body::Method(method)), Some(instance)) if !late => {
                Some(self.method_future(method.run, instance, &started, &body))
            }
            _ => None,
        };
        let told = self.announce(start);
        let attempt = Attempt::new(body, self.clone(), &started.start, future, Slot::None, Role::Call(actor.clone()));
        tokio::task::spawn_local(attempt.late(late).told(told));
    }

    fn method_future(
        &self,
        run: MethodRun,
        instance: Instance,
        started: &Started,
        body: &Arc<Body>,
    ) -> LocalBoxFuture<'static, BodyEnd> {
        let start = &started.start;
        let invocation = self.invocation(started);
        match run {
            MethodRun::Value(_) if start.spec.stream => {
                let function = &start.spec.function;
                refused(function, format!("method {function} is no stream: await it, it returns one value"))
            }
            MethodRun::Value(run) => body.on_behalf(|| run(instance, invocation)),
            MethodRun::Stream(run) => {
                let outlet = self.outlet(start);
                body.on_behalf(|| {
                    stream::run(|invocation, outlet| run(instance, invocation, outlet), invocation, outlet)
                })
            }
        }
    }

    /// A call's method is over, or was dropped.
    pub(in super::super) fn call_over(self: &Arc<Self>, actor: &Arc<Incarnation>, body: &Body) {
        let Some(call) = body.attempt() else { return };
        self.forget_call(call);
        actor.ended(call);
        self.go_on(actor);
    }

    /// A method panicked: who knows what it left behind. The incarnation is over.
    pub(in super::super) fn method_panicked(self: &Arc<Self>, actor: &Arc<Incarnation>, of_call: &Failure) {
        let mut failure = of_call.clone();
        failure.message = format!("its method {} panicked: {}", of_call.function, of_call.message);
        self.fails(actor, failure);
    }

    /// The actor itself fails.
    fn fails(self: &Arc<Self>, actor: &Arc<Incarnation>, mut failure: Failure) {
        failure.function = actor.type_name().into();
        failure.task = Some(actor.attempt.task);
        failure.worker = Some(WorkerId(self.session.id().0));
        failure.attempt = actor.number;
        self.ends(actor, Ending::Failed(Arc::new(failure.bounded())));
    }

    // ---- the end

    /// No call runs any more.
    fn leave(self: &Arc<Self>, actor: &Arc<Incarnation>, ending: Ending) {
        self.dismiss(actor);
        let given_back = match ending {
            Ending::Stop => return self.stop(actor),
            Ending::Move => {
                let state = self.saved(actor);
                self.discard(actor);
                actor.close(|waiting| {
                    self.give_back(waiting);
                    if let Some(state) = state {
                        self.session.push(snapshot(actor, state));
                    }
                    self.session.push(Up::Returned(actor.attempt));
                })
            }
            Ending::Failed(_) | Ending::Kill { .. } => return self.is_cut_off(actor),
        };
        self.is_gone(actor, &given_back);
    }

    /// Runs `on_stop`.
    fn stop(self: &Arc<Self>, actor: &Arc<Incarnation>) {
        let instance = actor.place().and_then(|place| instances::get(actor.home.id, place));
        let (Some(code), Some(instance)) = (actor.code(), instance) else {
            return self.is_over(actor, Outcome::Returned(NIL), actor.cancels, None);
        };
        let body = actor.body(Doing::Stop);
        if !actor.stopping(&body) {
            return self.discard(actor);
        }
        let future = body.on_behalf(|| (code.stop)(instance));
        tokio::task::spawn_local(Attempt::stopping(actor, body, self.clone(), future));
    }

    /// The state as it is between two turns, if its type has snapshots. What cannot be saved is not: the last snapshot
    /// stands.
    pub(in super::super) fn saved(&self, actor: &Incarnation) -> Option<Bytes> {
        let save = actor.code()?.save?;
        let instance = instances::get(actor.home.id, actor.place()?)?;
        let why = match std::panic::catch_unwind(AssertUnwindSafe(|| save(&instance))) {
            Ok(Ok(state)) if state.len() <= limits::SNAPSHOT => return Some(state),
            Ok(Ok(state)) => format!("it takes {} bytes and SNAPSHOT is {}", state.len(), limits::SNAPSHOT),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => crate::report::Caught::of(panic).message,
        };
        tracing::error!(
            actor = actor.type_name(),
            task = %actor.attempt.task,
            why,
            "the state of an actor could not be saved; the last snapshot stands"
        );
        None
    }

    /// What stays with it ends.
    fn dismiss(&self, actor: &Incarnation) {
        for staying in actor.take_staying() {
            instances::quietly(|| staying.remove());
        }
    }

    /// Drops its state, and what stays with it.
    pub(in super::super) fn discard(&self, actor: &Incarnation) {
        self.dismiss(actor);
        if let Some(place) = actor.take_place() {
            instances::discard(actor.home.id, place);
        }
    }

    /// Nothing of it runs any more, since it failed or was cancelled.
    pub(in super::super) fn is_cut_off(&self, actor: &Arc<Incarnation>) {
        let (outcome, delivered) = match actor.ending() {
            Some(Ending::Kill { number, message }) => {
                (Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false })), number)
            }
            Some(Ending::Failed(failure)) => (Outcome::Raised(failure), actor.cancels),
            Some(Ending::Move | Ending::Stop) | None => return,
        };
        self.is_over(actor, outcome, delivered, None);
    }
}

fn snapshot(actor: &Incarnation, state: Bytes) -> Up {
    Up::Snapshot(Box::new(Snapshot { incarnation: actor.attempt, state, with: None }))
}
