//! From an address to an actor, which is made on the way if the address, or its type, says so.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use super::Named;
use crate::actor::{ActorDef, Address, Host, Part};
use crate::frame::{Owner, Submit};
use crate::id::{AttemptId, TaskId};
use crate::limits;
use crate::machine::Core;
use crate::machine::ending::Family;
use crate::machine::sessions::SessionKey;
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::spec::{Options, Spec};

type Refusal = (FailureKind, String);

/// The type that a method belongs to: what stands before the last dot.
pub(crate) fn type_of(method: &str) -> &str {
    method.rsplit_once('.').map_or(method, |(kind, _)| kind)
}

/// The type of the actor that a spec is about.
fn kind_of<'a>(spec: &'a Spec, part: &Part) -> &'a str {
    match part {
        Part::Call { .. } => type_of(&spec.function),
        _ => &spec.function,
    }
}

impl Core {
    /// Who submits, as callers of actors are told apart: a session, or the public API.
    pub(crate) fn caller(&self, from: Option<SessionKey>) -> u128 {
        from.and_then(|key| self.session(key)).map_or(0, |session| session.id.0)
    }

    /// The actor that a task will join. Comes last of all that may refuse it, for it makes actors.
    pub(crate) fn addressee(
        &mut self,
        spec: &Spec,
        from: Option<SessionKey>,
        creator: Option<AttemptId>,
    ) -> Result<Option<u32>, Refusal> {
        let Some(part) = spec.actor.as_deref() else { return Ok(None) };
        self.part_within_limits(spec, part)?;
        let address = match part {
            Part::Host(host) => return self.may_be_hosted(spec, host).map(|()| None),
            Part::Remind(_) => return Ok(None),
            Part::Call { to, .. } => to,
            Part::Find { of, .. } => of,
            Part::Stop(of) => of,
        };
        let kind = kind_of(spec, part);
        let makes = matches!(part, Part::Call { .. } | Part::Find { up: true, .. });
        let at = match self.at_address(kind, address).filter(|at| self.actors[*at].over.is_none()) {
            Some(at) => at,
            None if makes => self.make(kind, address, from, creator)?,
            None => return Err(self.no_actor(kind, address)),
        };
        let host = &self.tasks[self.actors[at].host.index];
        if *host.spec.function != *kind {
            let message = format!("actor {} is of type {}, not of type {kind}", host.id, host.spec.function);
            return Err((FailureKind::BadArguments, message));
        }
        if let Part::Call { waits, .. } = part {
            if self.actors[at].stopping {
                let message = format!("actor {} is stopping, and takes no more calls", self.title(at));
                return Err((FailureKind::ActorDied, message));
            }
            self.room_at(at, self.caller(from), *waits)?;
        }
        Ok(Some(at))
    }

    fn part_within_limits(&self, spec: &Spec, part: &Part) -> Result<(), Refusal> {
        if part.nests_deeper(limits::SPEC_NESTING) {
            let message =
                format!("specs nest deeper in an actor's description than SPEC_NESTING, {}", limits::SPEC_NESTING);
            return Err((FailureKind::ResourceExhausted, message));
        }
        let name = match part {
            Part::Host(host) => host.name.as_ref(),
            other => match other.address() {
                Some(Address::Name { name, .. }) => Some(name),
                _ => None,
            },
        };
        if let Some(name) = name
            && (name.len() > limits::MAX_NAME || name.is_empty())
        {
            let message =
                format!("an actor's name has from 1 to MAX_NAME bytes, {}; this has {}", limits::MAX_NAME, name.len());
            return Err((FailureKind::BadArguments, message));
        }
        if part.weight() > self.config.max_payload {
            let message = format!(
                "bytes of an actor's description: {}; the limit MAX_PAYLOAD is {}",
                part.weight(),
                self.config.max_payload
            );
            return Err((FailureKind::ResourceExhausted, message));
        }
        if spec.stream && !matches!(part, Part::Call { .. }) {
            return Err((FailureKind::BadArguments, "only calls of an actor are streams".into()));
        }
        let Part::Remind(reminder) = part else { return Ok(()) };
        if reminder.name.len() > limits::MAX_NAME {
            let message = format!(
                "bytes of a reminder's name: {}; the limit MAX_NAME is {}",
                reminder.name.len(),
                limits::MAX_NAME
            );
            return Err((FailureKind::ResourceExhausted, message));
        }
        if !matches!(reminder.call.actor.as_deref(), Some(Part::Call { .. })) {
            return Err((FailureKind::BadArguments, "a reminder is of a call of an actor".into()));
        }
        if reminder.every.is_some_and(|every| every.is_zero()) {
            return Err((FailureKind::BadArguments, "a reminder that is due every 0 seconds would never rest".into()));
        }
        Ok(())
    }

    fn may_be_hosted(&self, spec: &Spec, host: &Host) -> Result<(), Refusal> {
        if host.placement.labels.len() > limits::WORKER_LABELS {
            let message = format!(
                "{} labels of a worker asked for; the limit WORKER_LABELS is {}",
                host.placement.labels.len(),
                limits::WORKER_LABELS
            );
            return Err((FailureKind::ResourceExhausted, message));
        }
        let Some(name) = &host.name else { return Ok(()) };
        let Some(&at) = self.actors.names.get(&Named(&spec.function, name)) else { return Ok(()) };
        if planted!(self, NameGivenTwice) {
            return Ok(());
        }
        let message = format!(
            "there is an actor {} already; get_or_spawn takes the one that is there, and lookup finds it",
            self.title(at)
        );
        Err((FailureKind::AlreadyExists, message))
    }

    /// Makes the actor that an address asks for.
    fn make(
        &mut self,
        kind: &str,
        address: &Address,
        from: Option<SessionKey>,
        creator: Option<AttemptId>,
    ) -> Result<u32, Refusal> {
        let Address::Name { name, make } = address else { return Err(self.no_actor(kind, address)) };
        let spec = match make {
            Some(spec) => spec.clone(),
            None => self.on_demand(kind, name)?,
        };
        let Some(Part::Host(host)) = spec.actor.as_deref() else {
            return Err((FailureKind::BadArguments, format!("what is to be made for the name '{name}' is no actor")));
        };
        if host.name.as_ref() != Some(name) || *spec.function != *kind {
            let message = format!("what is to be made for the name '{name}' of type {kind} has another name or type");
            return Err((FailureKind::BadArguments, message));
        }
        let owner = if host.detached || make.is_none() { Owner::Nobody } else { Owner::Root };
        let task = self.new_id();
        let creator = creator.filter(|_| owner != Owner::Nobody);
        let index = self.accept(Submit { task, spec, owner, creator, within: None }, from, None)?;
        if let Some(from) = from {
            // Who calls it waits for the answer, not for its end.
            self.unwatch(task, from);
        }
        self.actor_of(index).ok_or_else(|| self.no_actor(kind, address))
    }

    /// An actor as its type says that they are made on demand: of its name alone.
    fn on_demand(&self, kind: &str, name: &Arc<str>) -> Result<Arc<Spec>, Refusal> {
        let def = self.workers().find_map(|(worker, _)| self.def(worker, kind));
        let Some(def) = def else {
            let message = format!(
                "there is no actor '{name}' of type {kind}, and the type is not known: {}",
                self.nobody_offers(kind)
            );
            return Err((FailureKind::ActorDied, message));
        };
        match def.actor.as_deref() {
            Some(ActorDef::Type(host)) if host.on_demand => {
                let actor = Host { name: Some(name.clone()), ..host.clone() };
                Ok(Arc::new(Spec {
                    function: def.name.clone(),
                    fingerprint: def.fingerprint,
                    args: one_text(name),
                    dependencies: Vec::new(),
                    name: None,
                    options: Options::default(),
                    trace: None,
                    context: None,
                    stream: false,
                    actor: Some(Arc::new(Part::Host(actor))),
                }))
            }
            _ => Err((
                FailureKind::ActorDied,
                format!(
                    "no actor of type {kind} has the name '{name}', and the type makes none on demand: spawn it first"
                ),
            )),
        }
    }

    fn no_actor(&self, kind: &str, address: &Address) -> Refusal {
        match address {
            Address::Name { name, .. } => {
                (FailureKind::ActorDied, format!("no actor of type {kind} has the name '{name}'"))
            }
            Address::Actor(id) => match self.tasks.find(*id) {
                Some(index) if self.tasks[index].as_host().is_none() => (
                    FailureKind::BadArguments,
                    format!("task {id} ('{}') is no actor", self.tasks[index].spec.function),
                ),
                Some(index) => (FailureKind::ActorDied, self.how_it_ended(index)),
                None => {
                    let (_, why) = self.unknown(*id);
                    (FailureKind::ActorDied, format!("actor {id}, of type {kind}, is over: {why}"))
                }
            },
        }
    }

    /// For people: an actor that is over, and why.
    pub(super) fn how_it_ended(&self, index: u32) -> String {
        let task = &self.tasks[index];
        let name = task
            .as_host()
            .and_then(|host| host.name.as_deref())
            .map_or_else(String::new, |n| format!("'{n}' of type "));
        let why = match &task.outcome {
            Some(Outcome::Raised(failure)) => failure.message.clone(),
            Some(Outcome::Cancelled(c)) => match &c.message {
                Some(message) => format!("it was killed: {message}"),
                None => "it was killed".into(),
            },
            Some(Outcome::Returned(_)) => "it was stopped".into(),
            None => "it is ending".into(),
        };
        format!("actor {name}{} ({}) is over: {why}", task.spec.function, task.id)
    }

    /// How what waits for an actor ends when that is over.
    pub(super) fn actor_is_over(&self, index: u32, at: u32) -> Outcome {
        let task = &self.tasks[index];
        let why = self.actors[at].over.as_deref().unwrap_or("it is over");
        // One of a former life may be at a worker that is not back.
        let ran = task.attempts > 0 || task.phase == crate::machine::tasks::Phase::Held;
        let kind = FailureKind::ActorDied;
        Outcome::Raised(Arc::new(Failure {
            task: Some(task.id),
            may_have_run: Some(ran),
            ..Failure::new(kind, task.spec.function.clone(), why.into())
        }))
    }

    /// A question for an actor's id.
    pub(super) fn find(&mut self, index: u32, at: u32) {
        let waits = matches!(self.tasks[index].part(), Some(Part::Find { up: true, .. }));
        if waits && !self.actors[at].up {
            return;
        }
        let outcome = self.found(at);
        self.end_task(index, outcome, Family::All);
    }

    /// The id: 16 bytes, as MessagePack's binary.
    pub(super) fn found(&self, at: u32) -> Outcome {
        let mut bytes = Vec::from([0xc4, 16]);
        bytes.extend_from_slice(&self.tasks[self.host(at)].id.0.to_be_bytes());
        Outcome::Returned(bytes.into())
    }

    /// An id of the coordinator's own, for what nobody else submits: a UUIDv7 like those of submitters. Its chance is the
    /// core's (L20).
    pub(crate) fn new_id(&mut self) -> TaskId {
        loop {
            let ms = u128::from(self.wall_ms()) & ((1 << 48) - 1);
            let chance = (u128::from(self.rng.next()) << 64) | u128::from(self.rng.next());
            let low = (0b10 << 62) | ((chance >> 2) & ((1 << 62) - 1));
            let id = TaskId((ms << 80) | (7 << 76) | ((chance >> 64) & 0xfff) << 64 | low);
            if self.tasks.find(id).is_none() && id != TaskId(0) {
                return id;
            }
        }
    }
}

/// Arguments: one text, in MessagePack.
fn one_text(text: &str) -> Bytes {
    let mut args = Vec::with_capacity(text.len() + 4);
    args.push(0x91);
    match text.len() {
        len @ 0..=31 => args.push(0xa0 | len as u8),
        len @ 32..=255 => args.extend_from_slice(&[0xd9, len as u8]),
        len => {
            args.push(0xda);
            args.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    args.extend_from_slice(text.as_bytes());
    args.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_name_is_the_one_argument_of_an_actor_on_demand() {
        assert_eq!(&one_text("ab")[..], &[0x91, 0xa2, b'a', b'b']);
        let long = "x".repeat(200);
        assert_eq!(&one_text(&long)[..4], &[0x91, 0xd9, 200, b'x']);
        let longest = "x".repeat(256);
        assert_eq!(&one_text(&longest)[..5], &[0x91, 0xda, 1, 0, b'x']);
    }

    #[test]
    fn a_method_belongs_to_what_stands_before_its_last_dot() {
        assert_eq!(type_of("shop.Cart.add").to_string(), "shop.Cart");
        assert_eq!(type_of("add").to_string(), "add");
    }
}
