//! Protobuf, written by hand: small fields gather on the stack and go out together.

use bytes::BufMut;
use farloop_core::actor::{Address, Part};
use farloop_core::id::AttemptId;
use farloop_core::limits::MAX_CRASHES;
use farloop_core::spec::{Options, Spec};
use prost::encoding::encoded_len_varint;

/// Bytes of an id: two fixed64 with their keys, also where a half is zero.
pub(super) const ID: usize = 18;
const GATHER: usize = 128;
/// The options of a call of an actor, whose only one that is not at its default is that it survives no lost worker: one
/// attempt, and ten seconds of grace.
pub(super) const ONCE: [u8; 6] = [0x10, 1, 0x2a, 2, 0x08, 10];

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
        if spec.options.max_crashes == 0 {
            self.present(0x32, &ONCE);
        }
        if let Some(Part::Call { to, waits }) = spec.actor.as_deref() {
            let address = address_len(to).unwrap_or_default();
            let call = field_len(address) + waits_len(*waits);
            self.open(0x52, field_len(call));
            self.open(0x12, call);
            self.open(0x0a, address);
            match to {
                Address::Actor(id) => self.id(0x0a, id.0),
                Address::Name { name, .. } => {
                    self.open(0x12, text_len(name.as_bytes()));
                    self.text(0x0a, name.as_bytes());
                }
            }
            self.number(0x10, u64::from(*waits));
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

/// Bytes of a spec without dependencies, trace and context that is no stream, where all options are at their defaults or
/// those of a call of an actor, and that has to do with no actor or is a call of one that is made; none if it is another.
pub(super) fn spec_len(spec: &Spec) -> Option<usize> {
    let plain = spec.trace.is_none() && spec.context.is_none() && !spec.stream && spec.dependencies.is_empty();
    if !plain {
        return None;
    }
    let options = options_len(&spec.options)?;
    let actor = match spec.actor.as_deref() {
        None => 0,
        Some(Part::Call { to, waits }) => field_len(field_len(field_len(address_len(to)?) + waits_len(*waits))),
        Some(_) => return None,
    };
    let name = spec.name.as_ref().map_or(0, |name| field_len(name.len()));
    let fingerprint = if spec.fingerprint == 0 { 0 } else { 9 };
    Some(text_len(spec.function.as_bytes()) + fingerprint + text_len(&spec.args) + name + options + actor)
}

fn options_len(options: &Options) -> Option<usize> {
    let Options { max_attempts: 1, timeout: None, priority: None, policy: None, labels, cancel_grace, max_crashes } =
        options
    else {
        return None;
    };
    let usual = labels.is_empty() && *cancel_grace == Some(farloop_core::limits::CANCEL_GRACE);
    match *max_crashes {
        MAX_CRASHES if usual => Some(0),
        0 if usual => Some(field_len(ONCE.len())),
        _ => None,
    }
}

fn address_len(address: &Address) -> Option<usize> {
    match address {
        Address::Actor(_) => Some(field_len(ID)),
        Address::Name { name, make: None } => Some(field_len(text_len(name.as_bytes()))),
        Address::Name { make: Some(_), .. } => None,
    }
}

fn waits_len(waits: bool) -> usize {
    number_len(u64::from(waits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    /// They are constants here, and defaults in the core.
    #[test]
    fn a_call_of_an_actor_has_the_options_that_are_written_for_it() {
        let defaults = Options::default();
        assert_eq!(options_len(&defaults), Some(0));
        let call = Options { max_crashes: 0, ..defaults };
        assert_eq!(options_len(&call), Some(8));
        let grace = prost_types::Duration { seconds: 10, nanos: 0 };
        let wire = crate::v1::Options { max_attempts: 1, cancel_grace: Some(grace), ..Default::default() };
        assert_eq!(wire.encode_to_vec(), ONCE);
        assert_eq!(options_len(&Options { max_attempts: 2, ..call }), None);
    }
}
