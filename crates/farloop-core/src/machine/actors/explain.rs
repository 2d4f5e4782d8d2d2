//! Actors as people see them, and why a call waits (L15).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use super::{At, Named};
use crate::api::{About, ActorView, CallError, Reply, Whom};
use crate::id::WorkerId;
use crate::machine::Core;
use crate::machine::calls::error;
use crate::machine::tasks::Phase;
use crate::outcome::FailureKind;

impl Core {
    pub(crate) fn explain_post(&self, index: u32) -> String {
        let task = &self.tasks[index];
        let Some(post) = task.post.as_deref() else { return "it is about to be queued".into() };
        let state = |at: u32| self.explain_actor(at);
        match post.at {
            At::Host => self.explain_unplaced(index),
            At::Reminder => {
                let due = task.extra().and_then(|extra| extra.clocks.retry).map(|at| at.since(self.now));
                due.map_or_else(|| "it is a reminder".into(), |due| format!("it is a reminder, due in {due:?}"))
            }
            At::Find => format!("it waits until actor {} is up: {}", self.title(post.actor), state(post.actor)),
            At::Stop => format!("it waits until actor {} has stopped: {}", self.title(post.actor), state(post.actor)),
            At::Line => format!(
                "it waits behind other calls of its caller, or for room, before the mailbox of actor {}: {}",
                self.title(post.actor),
                state(post.actor)
            ),
            At::Mailbox | At::Worker | At::Back { .. } => {
                format!("it waits in the mailbox of actor {}: {}", self.title(post.actor), state(post.actor))
            }
        }
    }

    fn explain_actor(&self, at: u32) -> String {
        let actor = &self.actors[at];
        let host = self.host(at);
        let calls =
            format!("{} calls are under way there and {} wait", actor.out.len(), actor.calls() - actor.out.len());
        match self.tasks[host].phase {
            Phase::Leased if actor.up => calls,
            Phase::Leased => format!("it is being made at worker {}; {calls}", self.tasks[host].worker),
            Phase::Asleep => format!("it sleeps; {calls}"),
            _ => {
                let why = self.explain(host).into_iter().next().unwrap_or_default();
                format!("it is nowhere now ({why}); {calls}")
            }
        }
    }

    /// An actor as people see it, if the task is one.
    pub(crate) fn actor_view(&self, index: u32) -> Option<ActorView> {
        let task = &self.tasks[index];
        let host = task.as_host()?;
        let actor = self.actor_of(index).and_then(|at| self.actors.get(at)).filter(|actor| actor.over.is_none());
        Some(ActorView {
            task: self.view(index),
            name: host.name.clone(),
            up: actor.is_some_and(|actor| actor.up),
            asleep: task.phase == Phase::Asleep,
            stopping: actor.is_some_and(|actor| actor.stopping),
            incarnation: task.attempts,
            worker: (task.phase == Phase::Leased && task.worker != WorkerId(0)).then_some(task.worker),
            mailbox: actor.map_or(0, |actor| actor.calls() - actor.out.len()),
            running: actor.map_or(0, |actor| actor.out.len()),
            served: actor.map_or(0, |actor| actor.served),
            restarts: actor.map_or(0, |actor| actor.restarts.len()),
            snapshot: task.extra().and_then(|extra| extra.snapshot.as_ref()).map_or(0, bytes::Bytes::len),
        })
    }

    /// An actor for whoever asks over the public API.
    pub(crate) fn actor_call(&self, whom: &Whom) -> Result<Reply, CallError> {
        let index = self.actor_index(whom)?;
        let view = self.actor_view(index).ok_or_else(|| self.no_actor_at(index))?;
        Ok(Reply::Actor(Box::new(view)))
    }

    /// The task that is meant; it may turn out to be no actor.
    pub(super) fn actor_index(&self, whom: &Whom) -> Result<u32, CallError> {
        let (kind, name) = match whom {
            Whom::Id(id) => return self.known(*id),
            Whom::Name { kind, name } => (kind, name),
        };
        let at = self.actors.names.get(&Named(kind, name)).copied();
        at.map(|at| self.host(at)).ok_or_else(|| {
            let message = match self.misspelt_type(kind) {
                Some(why) => why,
                None => format!("no actor of type {kind} has the name '{name}'; ListActors shows those that are there"),
            };
            CallError { about: About::Actor, ..error(FailureKind::NotFound, message) }
        })
    }

    pub(super) fn no_actor_at(&self, index: u32) -> CallError {
        let task = &self.tasks[index];
        let message = format!("task {} ('{}') is no actor", task.id, task.spec.function);
        CallError { about: About::Actor, ..error(FailureKind::NotFound, message) }
    }
}
