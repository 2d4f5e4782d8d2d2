//! Wire <-> core, and nowhere else.
//!
//! Core to wire cannot fail. Wire to core can, since a peer may send anything: a missing part or an unknown name is a
//! [`WireError`] that says which, and the connection that carried it is to be cut.

mod down;
mod hello;
mod outcome;
mod scalar;
mod spec;
mod up;

use farloop_core::frame::{Down, Hello, HelloReply, Up};
use farloop_core::link::{Batch, Item};

use crate::v1;
pub use outcome::failure_kind;
pub use scalar::{duration_from_wire, duration_to_wire};

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
    /// A frame says that its payload came before it, and it has none.
    #[error("a {0} cannot be the tail of a payload")]
    BadTail(&'static str),
}

impl From<FromPeer> for v1::ConnectRequest {
    fn from(message: FromPeer) -> Self {
        use v1::connect_request::Message;
        let message = match message {
            FromPeer::Hello(hello) => Message::Hello(hello.into()),
            FromPeer::Batch(batch) => Message::Batch(v1::UpBatch {
                first: batch.first,
                ack: batch.ack,
                items: batch.items.into_iter().map(up::to_wire).collect(),
            }),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<v1::ConnectRequest> for FromPeer {
    type Error = WireError;
    fn try_from(request: v1::ConnectRequest) -> Result<Self, WireError> {
        use v1::connect_request::Message;
        match request.message.ok_or(WireError::Missing("a hello or a batch"))? {
            Message::Hello(hello) => hello.try_into().map(Self::Hello),
            Message::Batch(batch) => Ok(Self::Batch(Batch {
                first: batch.first,
                ack: batch.ack,
                items: batch.items.into_iter().map(up::from_wire).collect::<Result<_, _>>()?,
            })),
        }
    }
}

impl From<ToPeer> for v1::ConnectResponse {
    fn from(message: ToPeer) -> Self {
        use v1::connect_response::Message;
        let message = match message {
            ToPeer::Reply(reply) => Message::Reply(reply.into()),
            ToPeer::Batch(batch) => Message::Batch(v1::DownBatch {
                first: batch.first,
                ack: batch.ack,
                items: batch.items.into_iter().map(down::to_wire).collect(),
            }),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<v1::ConnectResponse> for ToPeer {
    type Error = WireError;
    fn try_from(response: v1::ConnectResponse) -> Result<Self, WireError> {
        use v1::connect_response::Message;
        match response.message.ok_or(WireError::Missing("a reply or a batch"))? {
            Message::Reply(reply) => reply.try_into().map(Self::Reply),
            Message::Batch(batch) => Ok(Self::Batch(Batch {
                first: batch.first,
                ack: batch.ack,
                items: batch.items.into_iter().map(down::from_wire).collect::<Result<_, _>>()?,
            })),
        }
    }
}

/// Puts a frame that came off the wire into the item it was.
fn item<F>(frame: F, tail: bool) -> Item<F> {
    if tail { Item::Tail(frame) } else { Item::Frame(frame) }
}
