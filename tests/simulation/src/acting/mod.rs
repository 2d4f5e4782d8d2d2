//! Worlds of actors: the laws L11, L12 and L13, and that every call is answered, under faults.
//!
//! A world of its own beside the one of tasks, whose observer judges outcomes by what bodies did; here bodies are turns at
//! an actor, and what counts is where an incarnation is, in which order calls begin, how often, and what a snapshot
//! promises. [`world`] has the events and the shell, [`client`] and [`worker`] the processes, [`judge`] the observer, which
//! sees both ends and never looks into the core.

mod client;
mod judge;
mod worker;
mod world;

pub use world::run_acting;

use bytes::{BufMut, Bytes, BytesMut};
use farloop_core::actor::Turns;
use farloop_core::id::SessionId;

/// Actors that are made by who wants them.
pub(crate) const NAMED: &str = "sim.Named";
/// Actors that a call of their name makes.
pub(crate) const DEMAND: &str = "sim.Demand";

/// What a method does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Counts one up.
    Add,
    /// Reads; with others of its kind.
    Peek,
    /// Counts one up, and saves that with its reply.
    Save,
    /// Calls another actor and awaits that.
    Relay,
    /// The same, with others of its kind meanwhile: a call that comes back to an actor enters it again.
    Weave,
    /// Panics.
    Boom,
}

impl Method {
    pub(crate) const ALL: [Self; 6] = [Self::Add, Self::Peek, Self::Save, Self::Relay, Self::Weave, Self::Boom];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Peek => "peek",
            Self::Save => "save",
            Self::Relay => "relay",
            Self::Weave => "weave",
            Self::Boom => "boom",
        }
    }

    pub(crate) fn of(function: &str) -> Option<Self> {
        let (_, name) = function.rsplit_once('.')?;
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    pub(crate) fn turns(self) -> Turns {
        match self {
            Self::Peek => Turns::Shared,
            Self::Weave => Turns::Interleaved,
            Self::Add | Self::Save | Self::Relay | Self::Boom => Turns::Alone,
        }
    }
}

/// What a call's argument bytes say: whose it is, and which one of its caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    pub(crate) caller: SessionId,
    pub(crate) seq: u64,
}

impl Ticket {
    pub(crate) fn encode(self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u128(self.caller.0);
        out.put_u64(self.seq);
        out.freeze()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Option<Self> {
        let caller = u128::from_be_bytes(bytes.get(..16)?.try_into().ok()?);
        let seq = u64::from_be_bytes(bytes.get(16..24)?.try_into().ok()?);
        Some(Self { caller: SessionId(caller), seq })
    }
}
