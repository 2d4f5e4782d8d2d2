//! The messages of a session, between core frames and bytes without a stop in between.
//!
//! The schema is `session.proto` and the generated code remains its reference: it reads and writes every frame here but
//! the few that make up the traffic (submit, start, ended, resolved, parts of payloads; of tasks and of calls of actors). Those have a way of their own
//! that makes no intermediate message, copies no text and takes no detour for what is absent; whatever looks unusual to
//! it goes the general way. `tests/round_trip.rs` holds both to the same bytes.

mod batch;
mod down;
mod read;
mod up;
mod write;

use bytes::{Buf, BufMut, Bytes};
use farloop_core::frame::{Down, Hello, HelloReply, Up};
use farloop_core::link::Batch;
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};

use crate::convert::{FromPeer, ToPeer, WireError};
use crate::v1;

const HELLO: u32 = 1;
const BATCH: u32 = 2;

/// `farloop.v1.ConnectRequest`, made of and into a [`FromPeer`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectRequest(Content<FromPeer>);

/// `farloop.v1.ConnectResponse`, made of and into a [`ToPeer`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectResponse(Content<ToPeer>);

/// What a message holds.
#[derive(Clone, Debug, PartialEq)]
struct Content<T> {
    /// None: nothing was set. An error: it is well-formed protobuf and no message of the protocol.
    message: Option<Result<T, WireError>>,
    /// Of a batch: its bytes, counted once.
    len: usize,
}

impl<T> Default for Content<T> {
    fn default() -> Self {
        Self { message: None, len: 0 }
    }
}

macro_rules! message {
    ($name:ident, $typed:ident, $first:ident, $core:ty, $wire:ty, $frame:ty, $missing:literal) => {
        impl From<$typed> for $name {
            fn from(message: $typed) -> Self {
                let len = match &message {
                    $typed::$first(_) => 0,
                    $typed::Batch(b) => batch::len(b),
                };
                Self(Content { message: Some(Ok(message)), len })
            }
        }

        impl TryFrom<$name> for $typed {
            type Error = WireError;
            fn try_from(message: $name) -> Result<Self, WireError> {
                message.0.message.ok_or(WireError::Missing($missing))?
            }
        }

        impl Message for $name {
            fn encode_raw(&self, to: &mut impl BufMut) {
                match &self.0.message {
                    Some(Ok($typed::$first(first))) => {
                        encoding::message::encode(HELLO, &<$wire>::from(first.clone()), to);
                    }
                    Some(Ok($typed::Batch(b))) => {
                        encoding::encode_key(BATCH, WireType::LengthDelimited, to);
                        encoding::encode_varint(self.0.len as u64, to);
                        batch::write(b, to);
                    }
                    Some(Err(_)) | None => {}
                }
            }

            fn encoded_len(&self) -> usize {
                match &self.0.message {
                    Some(Ok($typed::$first(first))) => {
                        encoding::message::encoded_len(HELLO, &<$wire>::from(first.clone()))
                    }
                    Some(Ok($typed::Batch(_))) => 1 + encoding::encoded_len_varint(self.0.len as u64) + self.0.len,
                    Some(Err(_)) | None => 0,
                }
            }

            fn merge_field(
                &mut self,
                tag: u32,
                wire_type: WireType,
                from: &mut impl Buf,
                context: DecodeContext,
            ) -> Result<(), DecodeError> {
                match tag {
                    HELLO => {
                        let mut first = <$wire>::default();
                        encoding::message::merge(wire_type, &mut first, from, context)?;
                        self.0.message = Some(<$core>::try_from(first).map($typed::$first));
                    }
                    BATCH => {
                        let mut body = Bytes::new();
                        encoding::bytes::merge(wire_type, &mut body, from, context)?;
                        let read: Result<Batch<$frame>, WireError> = batch::read(&body);
                        self.0 = Content { message: Some(read.map($typed::Batch)), len: body.len() };
                    }
                    _ => encoding::skip_field(wire_type, tag, from, context)?,
                }
                Ok(())
            }

            fn clear(&mut self) {
                *self = Self::default();
            }
        }
    };
}

message!(ConnectRequest, FromPeer, Hello, Hello, v1::Hello, Up, "a hello or a batch");
message!(ConnectResponse, ToPeer, Reply, HelloReply, v1::HelloReply, Down, "a reply or a batch");
