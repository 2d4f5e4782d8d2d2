//! What the public API is told of a type that nobody offers, a method that its type has not, or arguments that are too
//! many or too few: a person who types a name may be wrong, and an actor that waits for its type would wait for ever.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::address::type_of;
use crate::actor::{ActorDef, Address, Part};
use crate::api::{About, CallError};
use crate::machine::Core;
use crate::machine::calls::error;
use crate::machine::explain::{listing, meant};
use crate::outcome::FailureKind;
use crate::spec::{FunctionDef, Spec};

/// Names compared to find what was meant.
const COMPARED: usize = 1_024;

impl Core {
    /// Why a spec cannot be meant as it is, as far as the workers that are connected tell. None: it can, or nobody is
    /// there to tell.
    pub(crate) fn misspelt_part(&self, spec: &Spec) -> Option<CallError> {
        let Some(part) = spec.actor.as_deref() else { return self.is_an_actors(&spec.function) };
        match part {
            Part::Host(_) => self.cannot_make(spec),
            Part::Find { of: Address::Name { make: Some(make), .. }, .. } => self.cannot_make(make),
            // What is there can be found and stopped, whether or not somebody offers its type.
            Part::Find { .. } | Part::Stop(_) => None,
            Part::Call { to, .. } => self.cannot_call(spec, to),
            Part::Remind(reminder) => self.cannot_call(&reminder.call, &reminder.to),
        }
    }

    /// The sentence for a type that nobody offers, with what may have been meant.
    pub(crate) fn misspelt_type(&self, kind: &str) -> Option<String> {
        if self.type_def(kind).is_some() || !self.anything_offered() {
            return None;
        }
        if self.offered(kind).is_some() {
            return Some(format!("'{kind}' is no type of actors; SubmitTask calls it"));
        }
        let types = self.names_of(|def| match def.actor.as_deref() {
            Some(ActorDef::Type(_)) => Some(&def.name),
            _ => None,
        });
        if types.is_empty() {
            return Some(format!("no worker offers the type of actors '{kind}', nor any other"));
        }
        Some(format!(
            "no worker offers the type of actors '{kind}'; offered: {}{}",
            listing(&types),
            meant(kind, &types)
        ))
    }

    fn cannot_make(&self, spec: &Spec) -> Option<CallError> {
        self.unknown_type(&spec.function).or_else(|| wrong_count(spec, self.type_def(&spec.function)?))
    }

    fn unknown_type(&self, kind: &str) -> Option<CallError> {
        self.misspelt_type(kind).map(|why| CallError { about: About::Type, ..error(FailureKind::NotFound, why) })
    }

    fn cannot_call(&self, spec: &Spec, to: &Address) -> Option<CallError> {
        let kind = type_of(&spec.function);
        let def = self.offered(&spec.function);
        if let Some(def) = def.filter(|def| matches!(def.actor.as_deref(), Some(ActorDef::Method(_)))) {
            return wrong_count(spec, def);
        }
        if self.type_def(kind).is_some() {
            return Some(self.unknown_method(kind, &spec.function));
        }
        // One that is there was made of a type that exists: its worker may come back.
        if self.at_address(kind, to).is_some() { None } else { self.unknown_type(kind) }
    }

    fn unknown_method(&self, kind: &str, method: &str) -> CallError {
        let all = self.names_of(|def| match def.actor.as_deref() {
            Some(ActorDef::Method(_)) => def.name.strip_prefix(kind)?.strip_prefix('.'),
            _ => None,
        });
        let asked = method.get(kind.len() + 1..).unwrap_or(method);
        let has = if all.is_empty() { "none".into() } else { listing(&all) };
        let message = format!("type {kind} has no method '{asked}'; it has: {has}{}", meant(asked, &all));
        CallError { about: About::Method, ..error(FailureKind::NotFound, message) }
    }

    /// A task is asked for by the name of something that belongs to actors.
    fn is_an_actors(&self, function: &str) -> Option<CallError> {
        let message = match self.offered(function)?.actor.as_deref()? {
            ActorDef::Type(_) => format!("'{function}' is a type of actors, no function: SpawnActor makes one"),
            ActorDef::Method(_) => {
                format!("'{function}' is a method of the actors of type {}: CallActor calls it", type_of(function))
            }
        };
        Some(error(FailureKind::BadArguments, message))
    }

    fn type_def(&self, kind: &str) -> Option<&FunctionDef> {
        self.offered(kind).filter(|def| matches!(def.actor.as_deref(), Some(ActorDef::Type(_))))
    }

    /// What one of the workers that offer it says of a function.
    fn offered(&self, name: &str) -> Option<&FunctionDef> {
        let queues = self.names.get(name)?;
        let worker = queues.iter().find_map(|(_, f)| self.functions[*f as usize].workers.first().copied())?;
        self.def(worker, name)
    }

    fn names_of<'a>(&'a self, name: impl Fn(&'a FunctionDef) -> Option<&'a str>) -> BTreeSet<&'a str> {
        let defs = self.workers().filter_map(|(_, session)| session.worker.as_ref()).flat_map(|w| &w.defs);
        let mut names = BTreeSet::new();
        for found in defs.filter_map(name) {
            names.insert(found);
            if names.len() >= COMPARED {
                break;
            }
        }
        names
    }
}

/// Too many arguments or too few; whether each is of its type only the worker can say.
fn wrong_count(spec: &Spec, def: &FunctionDef) -> Option<CallError> {
    let given = count_of(&spec.args).filter(|given| *given != def.args.len())?;
    let takes: Vec<String> = def.args.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    let message =
        format!("'{}' takes {} arguments, ({}), and {given} were given", def.name, takes.len(), takes.join(", "));
    Some(error(FailureKind::BadArguments, message))
}

/// Elements of the array that arguments are, in MessagePack.
fn count_of(args: &[u8]) -> Option<usize> {
    match *args {
        [head @ 0x90..=0x9f, ..] => Some(usize::from(head & 0x0f)),
        [0xdc, a, b, ..] => Some(usize::from(u16::from_be_bytes([a, b]))),
        [0xdd, a, b, c, d, ..] => usize::try_from(u32::from_be_bytes([a, b, c, d])).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::count_of;

    #[test]
    fn arguments_are_counted_by_their_head() {
        assert_eq!(count_of(&[0x92, 1, 2]), Some(2));
        assert_eq!(count_of(&[0xdc, 1, 0]), Some(256));
        assert_eq!(count_of(&[0xdd, 0, 1, 0, 0]), Some(65_536));
        assert_eq!((count_of(&[]), count_of(&[0xc0])), (None, None));
    }
}
