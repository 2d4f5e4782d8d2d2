//! Actors that this worker hosts: what the coordinator sends for them, and how they end.
//!
//! An actor is an attempt that stays. Its start is placed as any other; when `new` has ended it gives its slot back, and
//! what is left of it is its [`Incarnation`] and its state. Its calls come to it without grant and slot and wait in its
//! own line. This half runs on whatever thread the frames come in; [`stage`] is the half that runs on the actor's loop.

mod incarnation;
pub(crate) mod instances;
mod stage;

use std::sync::Arc;

use bytes::Bytes;
use farloop_core::actor::{Part as SpecPart, Turns};
use farloop_core::frame::Up;
use farloop_core::id::{AttemptId, WorkerId};
use farloop_core::outcome::{Cancellation, Failure, FailureKind, Outcome};

pub(crate) use self::incarnation::{Doing, Incarnation, Part};
pub(super) use self::stage::Made;
use super::held::Placed;
use super::host::{Started, WorkerShared};
use crate::definition::{Body as Code, Definition};
use crate::event_loop::{LoopShared, Ready};

/// What happens to an actor, as its loop is told.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A call came, or one that was in the way has left the line.
    Call,
    Stop,
    Move,
    Cancel {
        number: u32,
        message: Option<String>,
    },
    /// What stays with it panicked.
    Failed(Box<Failure>),
    /// It was fenced: its state can go.
    Drop,
}

/// What an actor returns that was stopped.
pub(super) const NIL: Bytes = Bytes::from_static(&[0xc0]);

/// Hands something to a loop.
type To<'a> = &'a mut dyn FnMut(&Arc<LoopShared>, Ready);

impl WorkerShared {
    /// The actor of that lease, if it is here.
    pub(super) fn actor(&self, attempt: AttemptId) -> Option<Arc<Incarnation>> {
        if self.actors.is_empty() {
            return None;
        }
        self.actors.get(&attempt.task).filter(|actor| actor.attempt == attempt).map(|actor| actor.clone())
    }

    /// All actors here.
    pub(super) fn all_actors(&self) -> Vec<Arc<Incarnation>> {
        self.actors.iter().map(|actor| actor.clone()).collect()
    }

    /// The start of an actor came. Its loop is chosen now, for its calls may come before it has a slot.
    pub(super) fn host_arrives(&self, started: &mut Started) {
        if !matches!(started.start.spec.actor.as_deref(), Some(SpecPart::Host(_))) {
            return;
        }
        let known = self.actors.get(&started.start.attempt.task).map(|actor| actor.clone());
        if let Some(older) = known {
            // The coordinator fences the one before; there is never more than one.
            self.drop_actor(&older, false);
        }
        let definition = self.registry().get(&started.start.spec.function);
        let actor = Incarnation::of(&started.start, definition, self.choose_loop());
        self.actors.insert(actor.attempt.task, actor.clone());
        started.actor = Some(actor);
    }

    /// A call came for an actor that is, or was, here.
    pub(super) fn call_arrives(&self, incarnation: AttemptId, started: Started, reenters: bool, to: To<'_>) {
        let call = started.start.attempt;
        let Some(actor) = self.actor(incarnation) else {
            self.session.push(Up::Returned(call));
            return;
        };
        let turns = match self.method(&actor, &started.start.spec.function) {
            Ok(turns) => turns,
            Err(message) => {
                let mut failure = Failure::new(FailureKind::NotFound, started.start.spec.function.clone(), message);
                failure.task = Some(call.task);
                failure.worker = Some(WorkerId(self.session.id().0));
                failure.attempt = started.start.number;
                failure.may_have_run = Some(false);
                let outcome = Outcome::Raised(Arc::new(failure));
                self.session.push(Up::Ended { attempt: call, outcome, delivered: started.start.cancels });
                return;
            }
        };
        // Before it is in line: its loop may take it out at once.
        self.placed.insert(call.task, Placed::call(&started.start, &actor));
        match actor.arrive(Box::new(started), turns, reenters) {
            Ok(()) => to(&actor.home.clone(), Ready::Actor(actor, Happening::Call)),
            Err(_) => {
                self.forget_call(call);
                self.session.push(Up::Returned(call));
            }
        }
    }

    /// How that method of an actor takes its turns; else, which methods there are.
    fn method(&self, actor: &Incarnation, function: &str) -> Result<Turns, String> {
        let of = actor.type_name();
        let is_its = |name: &str| name.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'));
        let found = self.registry().get(function).filter(|definition| is_its(definition.name));
        match found.and_then(|definition| definition.body) {
            Some(Code::Method(method)) => Ok(method.turns),
            // A type that is not here: its start says so, and what waits for it is given back.
            _ if actor.definition.is_none() => Ok(Turns::Alone),
            _ => Err(format!("{of} has no method of that name at this worker; it has {}", methods(actor.definition))),
        }
    }

    pub(super) fn forget_call(&self, call: AttemptId) {
        self.placed.remove_if(&call.task, |_, placed| placed.attempt == call);
    }

    /// Takes a call out of the line that it waits in; whether it did. The others may go on without it.
    fn take_out(&self, call: AttemptId, to: To<'_>) -> bool {
        let found = self.placed.get(&call.task).filter(|placed| placed.attempt == call);
        // Not under the guard of the map: the actor has a lock of its own.
        let Some(actor) = found.and_then(|placed| placed.of.clone()) else { return false };
        if actor.remove(call).is_none() {
            return false;
        }
        self.forget_call(call);
        to(&actor.home.clone(), Ready::Actor(actor, Happening::Call));
        true
    }

    /// A cancel for a call in line, or for an actor. False: it is for a body, or for nobody here.
    pub(super) fn cancel_at_actor(
        &self,
        attempt: AttemptId,
        number: u32,
        message: &Option<String>,
        to: To<'_>,
    ) -> bool {
        if let Some(actor) = self.actor(attempt) {
            let happening = Happening::Cancel { number, message: message.clone() };
            to(&actor.home.clone(), Ready::Actor(actor, happening));
            return true;
        }
        let taken = self.take_out(attempt, to);
        if taken {
            // Never began, so no body saw it: the coordinator makes it Cancelled.
            self.session.push(never_seen(attempt, message.clone()));
        }
        taken
    }

    pub(super) fn recall_at_actor(&self, attempt: AttemptId, to: To<'_>) -> bool {
        let taken = self.take_out(attempt, to);
        if taken {
            self.session.push(Up::Returned(attempt));
        }
        taken
    }

    pub(super) fn fence_at_actor(&self, attempt: AttemptId, to: To<'_>) -> bool {
        if let Some(actor) = self.actor(attempt) {
            self.drop_actor(&actor, false);
            return true;
        }
        self.take_out(attempt, to)
    }

    /// It is to stop, or to leave. One that has not begun does so at once.
    pub(super) fn end_actor(&self, attempt: AttemptId, happening: Happening, to: To<'_>) {
        let Some(actor) = self.actor(attempt) else { return };
        match self.slots.remove(attempt) {
            Some(started) => self.never_began(
                &started,
                match happening {
                    Happening::Stop => Up::Ended { attempt, outcome: Outcome::Returned(NIL), delivered: actor.cancels },
                    _ => Up::Returned(attempt),
                },
            ),
            None => to(&actor.home.clone(), Ready::Actor(actor, happening)),
        }
    }

    /// A start that waited for a slot leaves, and `end` says how. Of an actor its calls leave first.
    pub(super) fn never_began(&self, started: &Started, end: Up) {
        match &started.actor {
            Some(actor) => {
                let given_back = actor.close(|waiting| {
                    self.give_back(waiting);
                    self.session.push(end);
                });
                self.is_gone(actor, &given_back);
            }
            None => self.session.push(end),
        }
    }

    pub(super) fn give_back(&self, calls: &[AttemptId]) {
        for call in calls {
            self.session.push(Up::Returned(*call));
        }
    }

    /// It is over, and these calls are not here any more.
    pub(super) fn is_gone(&self, actor: &Incarnation, calls: &[AttemptId]) {
        calls.iter().for_each(|call| self.forget_call(*call));
        self.actors.remove_if(&actor.attempt.task, |_, known| known.attempt == actor.attempt);
        self.tell_idle();
    }

    /// Drops an actor and all that is its own, from any thread: what is inside a poll can tell nothing from here on, and
    /// is dropped when that is over. `tell`: it is given back, with the calls that have not begun. Else nothing is told.
    pub(super) fn drop_actor(&self, actor: &Arc<Incarnation>, tell: bool) {
        if self.actors.remove_if(&actor.attempt.task, |_, known| known.attempt == actor.attempt).is_none() {
            return;
        }
        drop(self.slots.remove(actor.attempt));
        let fenced = actor.fence();
        fenced.waiting.iter().for_each(|call| self.forget_call(*call));
        if tell {
            self.give_back(&fenced.waiting);
        }
        for body in &fenced.bodies {
            self.write_off(body, &actor.home);
            body.fence();
        }
        if tell {
            self.session.push(Up::Returned(actor.attempt));
        }
        actor.home.push(Ready::Actor(actor.clone(), Happening::Drop));
        self.tell_idle();
    }
}

/// The end of an attempt that no body saw (row 224).
pub(super) fn never_seen(attempt: AttemptId, message: Option<String>) -> Up {
    let outcome = Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false }));
    Up::Ended { attempt, outcome, delivered: 0 }
}

/// The methods of a type, for people.
fn methods(of: Option<&'static Definition>) -> String {
    let family = of.and_then(|of| of.actor).map(|actor| (actor.family)()).unwrap_or_default();
    let names: Vec<&str> = family
        .iter()
        .filter(|definition| matches!(definition.body, Some(Code::Method(_))))
        .filter_map(|definition| definition.name.rsplit('.').next())
        .collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
