//! Starts the attempts of one loop, on its thread, and passes on to their bodies what the coordinator says to them.

use std::sync::Arc;

use bytes::Bytes;
use farloop_core::frame::Start;
use farloop_core::id::TaskId;
use farloop_core::outcome::FailureKind;

use super::actors::{Doing, Part};
use super::attempt::{Attempt, Role, Slot};
use super::held::Told;
use super::host::{Started, WorkerShared};
use crate::body::{Body, Who};
use crate::context;
use crate::definition::{self, BodyEnd, BodyError, LocalBoxFuture};
use crate::event_loop::{LoopShared, Ready};
use crate::invocation::{Input, Invocation};
use crate::stream::{self, Outlet};

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
            Ready::Start(started) => self.worker.start(home, *started),
            Ready::Actor(actor, what) => self.worker.happens(&actor, what),
            Ready::Cancel { attempt, number, message } => {
                if let Some(body) = self.worker.body_of(attempt) {
                    body.deliver(number, message);
                }
            }
            Ready::CancelWithdrawn { attempt, standing } => {
                if let Some(body) = self.worker.body_of(attempt) {
                    body.withdrawn(standing);
                }
            }
            Ready::Fence(attempt) => {
                if let Some(body) = self.worker.body_of(attempt) {
                    body.fence();
                }
            }
            Ready::Deadlock { attempt, cycle } => {
                if let Some(body) = self.worker.body_of(attempt) {
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
}

impl WorkerShared {
    /// Where the items of a stream go: to its consumer, or into one list if nobody wants them one by one.
    pub(super) fn outlet(&self, start: &Start) -> Outlet {
        // Made where it can be found at once: a coordinator that starts again is told of it, or is new to it.
        let mut placed = self.placed.get_mut(&start.attempt.task);
        let consumer = start.spec.stream.then(|| (self.session.clone(), start.attempt));
        let outlet = Outlet::new(consumer);
        if let Some(placed) = &mut placed {
            placed.outlet = Some(outlet.clone());
        }
        outlet
    }

    /// The body of an attempt that begins.
    pub(super) fn body_of_start(&self, start: &Start, home: &Arc<LoopShared>, part: Option<Part>) -> Arc<Body> {
        let who = Who::Attempt { attempt: start.attempt, depth: start.depth, root: start.root };
        let (function, name, trace) = (start.spec.function.clone(), start.spec.name.clone(), start.spec.trace.clone());
        let body = Body::of_attempt(who, function, name, home.clone(), trace, start.number, part);
        body.had_before(start.cancels);
        body.set_root(start.root.is_some());
        if start.spec.context.is_some() {
            body.set_context(context::Context::from_spec(start.spec.context.clone()));
        }
        let heartbeat = start.spec.options.policy.as_ref().and_then(|p| p.heartbeat);
        body.given(start.more.as_ref().and_then(|more| more.details.clone()), heartbeat);
        body
    }

    /// Says that an attempt begins, if clocks begin with it: what was fetched ahead may have waited.
    pub(super) fn announce(&self, start: &Start) -> Option<Arc<Told>> {
        let announced = start.spec.options.policy.as_ref().is_some_and(|p| p.has_clocks());
        announced.then(|| {
            let told = Told::default();
            self.session.push(told.progress(start.attempt));
            Arc::new(told)
        })
    }

    fn start(self: &Arc<Self>, home: &Arc<LoopShared>, mut started: Started) {
        let late = started.is_late();
        let actor = started.actor.clone();
        let part = actor.clone().map(|of| Part { of, doing: Doing::Make });
        let body = self.body_of_start(&started.start, home, part);
        if let Some(mut placed) = self.placed.get_mut(&started.start.attempt.task) {
            placed.body = Some(body.clone());
        }
        let (future, role) = match actor {
            Some(actor) => {
                let (future, made) = self.making(&actor, &mut started, &body);
                (future.filter(|_| !late), Role::Make(actor, made))
            }
            None if late => (None, Role::Task),
            None => (self.future_of(&started, &body), Role::Task),
        };
        let told = self.announce(&started.start);
        let attempt = Attempt::new(body, self.clone(), &started.start, future, Slot::Held, role);
        tokio::task::spawn_local(attempt.late(late).told(told));
    }

    /// The future of a function; none if it is not here.
    fn future_of(&self, started: &Started, body: &Arc<Body>) -> Option<LocalBoxFuture<'static, BodyEnd>> {
        let start = &started.start;
        let function = &start.spec.function;
        let run = self.registry().get(function).and_then(|definition| definition.body)?;
        let invocation = self.invocation(started);
        Some(match run {
            definition::Body::Async(_) | definition::Body::Blocking(_) if start.spec.stream => {
                refused(function, format!("function {function} is no stream: await it, it returns one value"))
            }
            // Handles among the arguments attach to the loop of the body that is being made.
            definition::Body::Async(f) => body.on_behalf(|| f(invocation)),
            definition::Body::Blocking(f) => on_blocking_pool(body.clone(), f, invocation),
            definition::Body::Stream(f) => {
                let outlet = self.outlet(start);
                body.on_behalf(|| stream::run(f, invocation, outlet))
            }
            definition::Body::Actor(_) => {
                refused(function, format!("{function} is a type of actors: spawn one, or call one by its name"))
            }
            definition::Body::Method(_) => {
                refused(function, format!("{function} is the method of an actor: call it on a reference to one"))
            }
        })
    }

    pub(super) fn invocation(&self, started: &Started) -> Invocation {
        let Started { start, inputs, .. } = started;
        let value = |task: &TaskId| inputs.iter().find(|(t, _)| t == task).map(|(_, value)| value.clone());
        let inputs = start
            .spec
            .dependencies
            .iter()
            .map(|d| Input {
                position: d.position,
                list: d.list,
                values: d.tasks.iter().filter_map(value).collect::<Vec<Bytes>>(),
            })
            .collect();
        Invocation {
            function: start.spec.function.clone(),
            args: start.spec.args.clone(),
            inputs,
            state: self.state.clone(),
        }
    }
}

/// A body that refuses its arguments.
pub(super) fn refused(function: &str, message: String) -> LocalBoxFuture<'static, BodyEnd> {
    Box::pin(std::future::ready(Err(BodyError::refused(FailureKind::BadArguments, function, message))))
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
            Err(_) => Err(BodyError::message("the worker stopped before the function ended")),
        }
    })
}
