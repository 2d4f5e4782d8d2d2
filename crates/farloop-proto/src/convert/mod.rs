//! Wire <-> core, and nowhere else.
//!
//! Core to wire cannot fail. Wire to core can, since a peer may send anything: a missing part or an unknown name is a
//! [`WireError`] that says which, and the connection that carried it is to be cut.

mod actor;
pub(crate) mod down;
mod hello;
mod outcome;
mod print;
mod record;
mod scalar;
pub mod spec;
mod sync;
pub(crate) mod up;

use farloop_core::frame::{Down, Hello, HelloReply, Up};
use farloop_core::limits::SPEC_NESTING;
use farloop_core::link::{Batch, Item};

pub use outcome::{failure_kind, lost_worker};
pub use record::begins;
pub use scalar::{duration_from_wire, duration_to_wire};

/// What a spec that is in no other one is to an actor.
pub(crate) fn part_from_wire(part: crate::v1::ActorPart) -> Result<farloop_core::actor::Part, WireError> {
    actor::from_wire(part, 0)
}

/// What a client or worker says.
#[derive(Clone, Debug, PartialEq)]
pub enum FromPeer {
    /// First message of a connection.
    Hello(Hello),
    /// All that follow.
    Batch(Batch<Up>),
}

/// What the coordinator says.
#[derive(Clone, Debug, PartialEq)]
pub enum ToPeer {
    /// First message of a connection.
    Reply(HelloReply),
    /// All that follow.
    Batch(Batch<Down>),
}

/// A message that is not one of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Something is absent that must be there.
    #[error("the message lacks {0}")]
    Missing(&'static str),
    /// The bytes are no protobuf.
    #[error("the message is malformed")]
    Malformed,
    /// A number stands for nothing.
    #[error("{value} is no {what}")]
    Unknown {
        /// The enum.
        what: &'static str,
        /// What came.
        value: i32,
    },
    /// A duration is negative or has more than a second of nanoseconds.
    #[error("{0} is no length of time")]
    BadDuration(&'static str),
    /// Messages are inside of each other, more of them than a limit allows.
    #[error("{0} are inside of each other more than {SPEC_NESTING} deep (SPEC_NESTING)")]
    TooDeep(&'static str),
    /// A frame says that its payload came before it, and it has none.
    #[error("a {0} cannot be the tail of a payload")]
    BadTail(&'static str),
}

/// Puts a frame that came off the wire into the item it was.
fn item<F>(frame: F, tail: bool) -> Item<F> {
    if tail { Item::Tail(frame) } else { Item::Frame(frame) }
}
