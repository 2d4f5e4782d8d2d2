//! Actors: coroutines that stay. An actor is a task whose attempt does not end by itself, and that attempt is an
//! *incarnation*: its lease is what makes it the only one (L11), and its epoch what fences an older one. A call is a task
//! as well, which runs where its actor is, so that it is awaited, cancelled, gathered, recorded and traced as any other.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::id::TaskId;
use crate::spec::{Backoff, Spec};

/// What a spec is to an actor.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// The task is an actor. Its function is the actor's type; it makes the state, and what it made stays.
    Host(Host),
    /// The task is a call: it runs at the actor, in its turn (L12, L13). Its function is `type.method`.
    Call {
        /// Of whom.
        to: Address,
        /// Whether it waits for room where the mailbox is full; else it is refused.
        waits: bool,
    },
    /// Returns the actor's id (16 bytes, as MessagePack's binary).
    Find {
        /// Whom.
        of: Address,
        /// Not before it is up, and not before it is made, if the address says how.
        up: bool,
    },
    /// Lets the actor finish its mailbox and stop; returns nil when it has.
    Stop(Address),
    /// A reminder: stays until it is cancelled, or until it was due, if it is due once.
    Remind(Reminder),
}

impl Part {
    /// Whom it is about; none if it is an actor itself.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Host(_) => None,
            Self::Call { to, .. } => Some(to),
            Self::Find { of, .. } => Some(of),
            Self::Stop(of) => Some(of),
            Self::Remind(reminder) => Some(&reminder.to),
        }
    }

    /// Whether specs nest deeper in it than that: the spec of an actor to make, or of a call to make later.
    #[must_use]
    pub fn nests_deeper(&self, levels: usize) -> bool {
        let made = match self.address() {
            Some(Address::Name { make, .. }) => make.as_ref(),
            _ => None,
        };
        let later = match self {
            Self::Remind(reminder) => Some(&reminder.call),
            _ => None,
        };
        let mut inside = made.into_iter().chain(later).filter_map(|spec| spec.actor.as_ref());
        match levels {
            0 => made.is_some() || later.is_some(),
            _ => inside.any(|part| part.nests_deeper(levels - 1)),
        }
    }

    /// Bytes of its parts that have no fixed size, specs inside included.
    #[must_use]
    pub fn weight(&self) -> usize {
        let address = match self.address() {
            Some(Address::Name { name, make }) => {
                name.len() + make.as_ref().map_or(0, |s| s.args.len() + s.aside_len())
            }
            Some(Address::Actor(_)) => 16,
            None => 0,
        };
        64 + address
            + match self {
                Self::Host(host) => host.name.as_ref().map_or(0, |n| n.len()) + host.placement.weight(),
                Self::Remind(r) => r.name.len() + r.call.args.len() + r.call.aside_len(),
                _ => 0,
            }
    }
}

/// Which actor.
#[derive(Clone, Debug, PartialEq)]
pub enum Address {
    /// This one, by the id of its task.
    Actor(TaskId),
    /// The one of the type that has this name.
    Name {
        /// The name.
        name: Arc<str>,
        /// Nobody has it: make this one. None: as the type says, which makes actors on demand or refuses.
        make: Option<Arc<Spec>>,
    },
}

/// What an actor is, besides what a task is.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// One actor of a type has a name at a time.
    pub name: Option<Arc<str>>,
    /// Made by the first call of its name; asleep, or forgotten, while nobody calls it.
    pub on_demand: bool,
    /// Where a [`Part::Find`] or a call makes it: nobody owns it. Else the session at the top of who made it does.
    pub detached: bool,
    /// Calls that may wait for it, of all callers together.
    pub mailbox: u32,
    /// Calls of one caller (a session) that may be under way or wait.
    pub per_caller: u32,
    /// What follows when an incarnation fails or is lost.
    pub restart: Restart,
    /// One that was made on demand leaves its worker after that long without a call. None: never.
    pub idle: Option<Duration>,
    /// Where it may be.
    pub placement: Placement,
    /// Supervised one for all: when one of the group starts again, all do, and when one is over, all are.
    pub group: Option<u128>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            name: None,
            on_demand: false,
            detached: false,
            mailbox: crate::limits::MAILBOX,
            per_caller: crate::limits::MAILBOX_PER_CALLER,
            restart: Restart::default(),
            idle: None,
            placement: Placement::default(),
            group: None,
        }
    }
}

/// When an actor starts again, from its snapshot if it saved one, else from its first arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Restart {
    /// After what.
    pub when: RestartWhen,
    /// So often within `within`; once more, and it is over.
    pub at_most: u32,
    /// The window.
    pub within: Duration,
    /// Pause before it.
    pub backoff: Backoff,
}

impl Default for Restart {
    /// As often as a task survives lost workers, in a minute.
    fn default() -> Self {
        Self {
            when: RestartWhen::OnFailure,
            at_most: crate::limits::MAX_CRASHES,
            within: Duration::from_secs(60),
            backoff: Backoff::new(Duration::from_millis(100)),
        }
    }
}

impl Restart {
    /// It does not start again.
    #[must_use]
    pub fn never() -> Self {
        Self { when: RestartWhen::Never, ..Self::default() }
    }

    /// After a panic, a failed start, or the loss of its worker; as [`Restart::default`].
    #[must_use]
    pub fn on_failure() -> Self {
        Self::default()
    }

    /// Also when it ended itself.
    #[must_use]
    pub fn always() -> Self {
        Self { when: RestartWhen::Always, ..Self::default() }
    }

    /// So often within the [window](Self::within); once more, and it is over.
    #[must_use]
    pub fn at_most(self, restarts: u32) -> Self {
        Self { at_most: restarts, ..self }
    }

    /// The window.
    #[must_use]
    pub fn within(self, window: Duration) -> Self {
        Self { within: window, ..self }
    }

    /// Pause before it; a plain `Duration` is the first one, and each further one is twice as long.
    #[must_use]
    pub fn backoff(self, backoff: impl Into<Backoff>) -> Self {
        Self { backoff: backoff.into(), ..self }
    }
}

/// After which ends an actor starts again. One that is stopped or cancelled from outside never does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartWhen {
    /// After none.
    Never,
    /// After a panic, a failed start, or the loss of its worker.
    #[default]
    OnFailure,
    /// Also when it ended itself.
    Always,
}

/// Where an actor may be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// Only at workers with all of these labels.
    pub labels: Vec<(String, String)>,
    /// Which of those.
    pub strategy: Strategy,
    /// At the worker where this actor is, if that is possible now.
    pub near: Option<TaskId>,
}

impl Placement {
    /// Whether any worker will do.
    #[must_use]
    pub fn is_anywhere(&self) -> bool {
        self.labels.is_empty() && self.near.is_none() && self.strategy == Strategy::Spread
    }

    fn weight(&self) -> usize {
        self.labels.iter().map(|(k, v)| k.len() + v.len() + 8).sum()
    }
}

/// How actors of a type are distributed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// To the worker that has least to do.
    #[default]
    Spread,
    /// To the worker that has most actors and still takes some.
    Pack,
}

/// A call that is made later, or again and again, whether or not its actor is there (Orleans' reminders). One of the same
/// name takes the place of an older one.
#[derive(Clone, Debug, PartialEq)]
pub struct Reminder {
    /// Whom.
    pub to: Address,
    /// Its name, one of the actor's.
    pub name: Arc<str>,
    /// When it is due first, from its acceptance.
    pub first: Duration,
    /// And then every so often; none: once.
    pub every: Option<Duration>,
    /// The call.
    pub call: Arc<Spec>,
}

/// What a function is to an actor.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // it is shared, and there is one for each function
pub enum ActorDef {
    /// It makes actors. The options are those of actors made on demand, and the ones that `on_demand` allows.
    Type(Host),
    /// It is a method of the type before the last dot of its name.
    Method(Turns),
}

/// With which other methods one may run at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turns {
    /// With none: `&mut self`.
    #[default]
    Alone,
    /// With others of its kind: `&self`.
    Shared,
    /// With others of its kind, each of which changes the state between two awaits: `#[farloop(interleave)]`.
    Interleaved,
}

impl Turns {
    /// Whether a method of the one kind may run while one of the other does.
    #[must_use]
    pub fn with(self, other: Self) -> bool {
        self == other && self != Self::Alone
    }
}
