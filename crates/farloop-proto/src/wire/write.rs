//! Protobuf, written by hand: small fields gather on the stack and go out together.

use bytes::BufMut;
use farloop_core::id::AttemptId;
use farloop_core::spec::{Options, Spec};
use prost::encoding::encoded_len_varint;

/// Bytes of an id: two fixed64 with their keys, also where a half is zero.
pub(super) const ID: usize = 18;
const GATHER: usize = 128;

/// A buffer in front of another one.
pub(super) struct Out<'a, B> {
    gathered: [u8; GATHER],
    len: usize,
    to: &'a mut B,
}

impl<'a, B: BufMut> Out<'a, B> {
    pub(super) fn new(to: &'a mut B) -> Self {
        Self { gathered: [0; GATHER], len: 0, to }
    }

    pub(super) fn flush(&mut self) {
        self.to.put_slice(&self.gathered[..self.len]);
        self.len = 0;
    }

    /// The buffer behind, for who writes to it directly.
    pub(super) fn direct(&mut self) -> &mut B {
        self.flush();
        self.to
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if self.len + bytes.len() > GATHER {
            self.flush();
        }
        if bytes.len() > GATHER {
            self.to.put_slice(bytes);
        } else {
            self.gathered[self.len..self.len + bytes.len()].copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    fn varint(&mut self, mut number: u64) {
        let mut bytes = [0u8; 10];
        let mut len = 0;
        while number >= 0x80 {
            bytes[len] = (number & 0x7f) as u8 | 0x80;
            number >>= 7;
            len += 1;
        }
        bytes[len] = (number & 0x7f) as u8;
        self.bytes(&bytes[..=len]);
    }

    /// Begins a field of that many bytes.
    pub(super) fn open(&mut self, key: u8, len: usize) {
        if len < 0x80 {
            self.bytes(&[key, (len & 0x7f) as u8]);
        } else {
            self.bytes(&[key]);
            self.varint(len as u64);
        }
    }

    /// A number; zero is not written.
    pub(super) fn number(&mut self, key: u8, number: u64) {
        if number != 0 {
            self.bytes(&[key]);
            self.varint(number);
        }
    }

    /// A fixed64; zero is not written.
    pub(super) fn fixed(&mut self, key: u8, number: u64) {
        if number != 0 {
            let mut bytes = [key; 9];
            bytes[1..].copy_from_slice(&number.to_le_bytes());
            self.bytes(&bytes);
        }
    }

    /// Text or bytes; empty ones are not written.
    pub(super) fn text(&mut self, key: u8, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.present(key, bytes);
        }
    }

    /// Text or bytes whose presence says something.
    pub(super) fn present(&mut self, key: u8, bytes: &[u8]) {
        self.open(key, bytes.len());
        self.bytes(bytes);
    }

    pub(super) fn id(&mut self, key: u8, id: u128) {
        self.open(key, ID);
        self.halves(id);
    }

    pub(super) fn attempt(&mut self, key: u8, attempt: AttemptId) {
        self.open(key, attempt_len(attempt));
        self.halves(attempt.task.0);
        self.number(0x18, attempt.epoch.0);
    }

    #[allow(clippy::cast_possible_truncation)] // each half is 64 bits by construction
    fn halves(&mut self, id: u128) {
        let mut bytes = [0u8; ID];
        bytes[0] = 0x09;
        bytes[1..9].copy_from_slice(&((id >> 64) as u64).to_le_bytes());
        bytes[9] = 0x11;
        bytes[10..].copy_from_slice(&(id as u64).to_le_bytes());
        self.bytes(&bytes);
    }

    /// The body of a spec that [`spec_len`] knows.
    pub(super) fn spec(&mut self, spec: &Spec) {
        self.text(0x0a, spec.function.as_bytes());
        self.fixed(0x11, spec.fingerprint);
        self.text(0x1a, &spec.args);
        if let Some(name) = &spec.name {
            self.present(0x2a, name.as_bytes());
        }
    }
}

/// Bytes of a field of that many bytes, with a key of one byte.
pub(super) fn field_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

pub(super) fn number_len(number: u64) -> usize {
    if number == 0 { 0 } else { 1 + encoded_len_varint(number) }
}

pub(super) fn text_len(bytes: &[u8]) -> usize {
    if bytes.is_empty() { 0 } else { field_len(bytes.len()) }
}

pub(super) fn attempt_len(attempt: AttemptId) -> usize {
    ID + number_len(attempt.epoch.0)
}

/// Bytes of a spec without dependencies, options, trace and context, that is no stream and has to do with no actor; none
/// if it is another one.
pub(super) fn spec_len(spec: &Spec) -> Option<usize> {
    let plain = spec.trace.is_none() && spec.context.is_none() && !spec.stream && spec.actor.is_none();
    let usual = plain && spec.dependencies.is_empty() && spec.options == Options::default();
    let name = spec.name.as_ref().map_or(0, |name| field_len(name.len()));
    let fingerprint = if spec.fingerprint == 0 { 0 } else { 9 };
    usual.then(|| text_len(spec.function.as_bytes()) + fingerprint + text_len(&spec.args) + name)
}
