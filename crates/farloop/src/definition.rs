//! What runs for a call: the definition that `#[farloop::task]` writes for a function, and the register of them.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use farloop_core::actor::{ActorDef, Turns};
use farloop_core::spec::FunctionDef;

use crate::actor::ActorRef;
use crate::error::{Error, Misuse};
use crate::invocation::Invocation;

pub use crate::body_error::{BodyError, BodyVerdict};
pub use crate::stream::Outlet;
pub use futures_util::future::LocalBoxFuture;

/// How a body ends: the encoded value, or its error.
pub type BodyEnd = std::result::Result<Bytes, BodyError>;

/// A function that can run elsewhere: its name on the wire, its signature, and its body where this process has it.
#[derive(Clone, Copy)]
pub struct Definition {
    /// Name on the wire: `package.function` unless `name = ".."` says otherwise.
    pub name: &'static str,
    /// Hash of name, argument types and result type as written; caller and worker must agree.
    pub fingerprint: u64,
    /// Name and type of each argument, as written. State is not among them.
    pub args: &'static [(&'static str, &'static str)],
    /// Type of the value, as written; for a body that returns a `Result`, that of its `Ok`.
    pub returns: &'static str,
    /// Tasks of it that may be at workers at once, over the whole cluster; 0: without limit.
    pub concurrency: u32,
    /// File and line of the function.
    pub location: (&'static str, u32),
    /// What runs; none for a definition that only lets a client call.
    pub body: Option<Body>,
    /// What it is to an actor, if it has to do with one.
    pub actor: Option<ActorInfo>,
}

/// What a definition is to an actor.
#[derive(Clone, Copy, Debug)]
pub struct ActorInfo {
    /// The type, with the options of its actors, or a method.
    pub def: fn() -> ActorDef,
    /// The type, and its methods: who offers one of them offers all.
    pub family: fn() -> &'static [&'static Definition],
}

/// The code of a body.
#[derive(Clone, Copy)]
pub enum Body {
    /// An `async fn`: the future is made and polled on an event loop's thread and need not be `Send`.
    Async(fn(Invocation) -> LocalBoxFuture<'static, BodyEnd>),
    /// A plain `fn`: runs on the worker's blocking pool. A cancel cannot interrupt it.
    Blocking(fn(Invocation) -> BodyEnd),
    /// A `#[farloop::stream]` function: as `Async`, and items go to the outlet.
    Stream(fn(Invocation, Outlet) -> LocalBoxFuture<'static, BodyEnd>),
    /// A type of actors: what makes one stays.
    Actor(ActorBody),
    /// A method of an actor.
    Method(MethodBody),
}

/// The state of an actor, as its worker holds it: an `Rc<tokio::sync::RwLock<A>>`. The worker lets methods have their
/// turns, so nobody ever waits at that lock.
pub type Instance = Rc<dyn Any>;

/// The code of an actor's type.
#[derive(Clone, Copy, Debug)]
pub struct ActorBody {
    /// Runs `new`, or reads the snapshot, and then `on_start` or `on_restart`.
    pub make: fn(Invocation, Origin) -> LocalBoxFuture<'static, std::result::Result<Instance, BodyError>>,
    /// Runs `on_stop`.
    pub stop: fn(Instance) -> LocalBoxFuture<'static, BodyEnd>,
    /// Encodes the state, between two turns; none if the type has no snapshots.
    pub save: Option<fn(&Instance) -> BodyEnd>,
}

/// Where an incarnation comes from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// State that an earlier incarnation saved last.
    pub snapshot: Option<Bytes>,
    /// It is not the first one.
    pub again: bool,
}

/// The code of a method.
#[derive(Clone, Copy, Debug)]
pub struct MethodBody {
    /// With which others it may run.
    pub turns: Turns,
    /// What runs, when its turn has come.
    pub run: MethodRun,
}

/// How a method gives what it gives.
#[derive(Clone, Copy, Debug)]
pub enum MethodRun {
    /// One value.
    Value(fn(Instance, Invocation) -> LocalBoxFuture<'static, BodyEnd>),
    /// Items.
    Stream(fn(Instance, Invocation, Outlet) -> LocalBoxFuture<'static, BodyEnd>),
}

/// Implemented by `#[farloop::actor]` for the type of the state: `worker.actor::<Counter>()`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type of actors",
    label = "not an actor",
    note = "put `#[farloop::actor]` on the `impl {Self}` block that has `new` and the methods"
)]
pub trait ActorType: 'static {
    /// The definition of the type.
    const DEFINITION: &'static Definition;
    /// The reference that callers hold.
    type Ref: ActorRef;
}

/// Implemented by the type that `#[farloop::task]` puts beside each function, under the function's own name:
/// `worker.task::<add>()`.
pub trait TaskFn {
    /// The definition.
    const DEFINITION: &'static Definition;
    /// What awaiting the task gives.
    type Output;
}

impl Definition {
    /// `demo.add(a: i64, b: i64) -> i64`
    #[must_use]
    pub fn signature(&self) -> String {
        format!("{}({}) -> {}", self.name, self.arguments(), self.returns)
    }

    /// What a worker tells the coordinator about it.
    #[must_use]
    pub fn function_def(&self) -> FunctionDef {
        FunctionDef {
            name: self.name.into(),
            fingerprint: self.fingerprint,
            args: self.args.iter().map(|(name, of)| ((*name).to_owned(), (*of).to_owned())).collect(),
            returns: self.returns.into(),
            concurrency: self.concurrency,
            actor: self.actor.map(|actor| Arc::new((actor.def)())),
        }
    }

    /// `a: i64, b: i64`
    pub(crate) fn arguments(&self) -> String {
        let args: Vec<String> = self.args.iter().map(|(name, of)| format!("{name}: {of}")).collect();
        args.join(", ")
    }

    fn place(&self) -> String {
        format!("{}:{}", self.location.0, self.location.1)
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = match self.body {
            Some(Body::Async(_)) => "async",
            Some(Body::Blocking(_)) => "blocking",
            Some(Body::Stream(_)) => "stream",
            Some(Body::Actor(_)) => "actor",
            Some(Body::Method(_)) => "method",
            None => "none",
        };
        f.debug_struct("Definition")
            .field("signature", &self.signature())
            .field("location", &self.place())
            .field("body", &body)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Async(_) => "Async",
            Self::Blocking(_) => "Blocking",
            Self::Stream(_) => "Stream",
            Self::Actor(_) => "Actor",
            Self::Method(_) => "Method",
        })
    }
}

/// The functions that a worker offers, by name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    definitions: BTreeMap<&'static str, &'static Definition>,
}

impl Registry {
    /// Adds a function. Adding the same one again changes nothing.
    ///
    /// # Errors
    /// [`Misuse::DuplicateName`] if another function has that name: it names both places. [`Misuse::NoBody`] if
    /// there is nothing to run.
    pub fn insert(&mut self, definition: &'static Definition) -> Result<(), Error> {
        if definition.body.is_none() {
            return Err(Misuse::NoBody { name: definition.name.into(), location: definition.place() }.into());
        }
        match self.definitions.get(definition.name) {
            Some(first) if first.location != definition.location => Err(Misuse::DuplicateName {
                name: definition.name.into(),
                first: first.place(),
                second: definition.place(),
            }
            .into()),
            Some(_) => Ok(()),
            None => {
                self.definitions.insert(definition.name, definition);
                Ok(())
            }
        }
    }

    /// Adds a function, and with a type of actors or one of its methods the whole family. Gives those that were new.
    ///
    /// # Errors
    /// As [`insert`](Self::insert); then none is added.
    pub fn insert_family(&mut self, definition: &'static Definition) -> Result<Vec<&'static Definition>, Error> {
        let family = definition.actor.map(|actor| (actor.family)()).unwrap_or_default();
        let mut all = self.clone();
        let mut new = Vec::new();
        for one in std::iter::once(&definition).chain(family) {
            if all.get(one.name).is_none() {
                new.push(*one);
            }
            all.insert(one)?;
        }
        *self = all;
        Ok(new)
    }

    /// The function with that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'static Definition> {
        self.definitions.get(name).copied()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.definitions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.definitions.is_empty()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &'static Definition> {
        self.definitions.values().copied()
    }

    /// What a worker tells the coordinator.
    #[must_use]
    pub fn function_defs(&self) -> Vec<FunctionDef> {
        self.iter().map(Definition::function_def).collect()
    }
}

/// FNV-1a over the parts in turn, at compile time. Never 0: that means "unknown" on the wire.
#[must_use]
pub const fn fingerprint(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut part = 0;
    while part < parts.len() {
        let bytes = parts[part].as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            at += 1;
        }
        part += 1;
    }
    if hash == 0 { 1 } else { hash }
}
