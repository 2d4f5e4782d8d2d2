//! Protobuf, read by hand: `None` means "not as it usually is", and the generated code takes over.

use std::sync::Arc;

use bytes::Bytes;
use farloop_core::actor::{Address, Part};
use farloop_core::id::{AttemptId, Epoch, TaskId};
use farloop_core::spec::{Options, Spec};
use prost::Message;

use super::write::{ID, ONCE};
use crate::convert;
use crate::v1;

/// Payloads up to this many bytes are copied out: a result of three bytes must not keep a batch of 256 KiB alive.
const COPIED: usize = 4_096;

/// Every byte, for payloads of one byte.
static BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut at = 0;
    while at < 256 {
        bytes[at] = at as u8;
        at += 1;
    }
    bytes
};

/// A place in a message.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    whole: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(whole: &'a Bytes) -> Self {
        Self { whole, rest: whole }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    /// What is left, without copying it.
    pub(super) fn all(&self) -> Bytes {
        self.whole.slice_ref(self.rest)
    }

    /// The next key, if it is one byte; none at the end.
    pub(super) fn key(&mut self) -> Option<u8> {
        let (key, rest) = self.rest.split_first()?;
        // Longer keys are read as one that nobody knows.
        self.rest = rest;
        Some(*key)
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for (at, byte) in self.rest.iter().take(9).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Some(number);
            }
        }
        // Ten bytes: a number past 2^63.
        let (bytes, rest) = self.rest.split_first_chunk::<10>()?;
        self.rest = rest;
        (bytes[9] == 1).then_some(number | 1 << 63)
    }

    pub(super) fn number<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.varint()?).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    /// A field that is a message.
    pub(super) fn sub(&mut self) -> Option<Self> {
        let rest = self.bytes()?;
        Some(Self { whole: self.whole, rest })
    }

    fn fixed(&mut self) -> Option<u64> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    /// Both halves of an id.
    fn halves(&mut self) -> Option<u128> {
        let (bytes, rest) = self.rest.split_first_chunk::<ID>()?;
        self.rest = rest;
        let (high, low) = bytes.split_at(ID / 2);
        let half = |bytes: &[u8], key| {
            let (first, number) = bytes.split_first()?;
            (*first == key).then_some(u64::from_le_bytes(number.try_into().ok()?))
        };
        Some(u128::from(half(high, 0x09)?) << 64 | u128::from(half(low, 0x11)?))
    }

    /// A field that is an id.
    pub(super) fn id(&mut self) -> Option<u128> {
        let mut id = self.sub()?;
        let halves = id.halves()?;
        id.is_empty().then_some(halves)
    }

    /// A field that is an attempt.
    pub(super) fn attempt(&mut self) -> Option<AttemptId> {
        let mut attempt = self.sub()?;
        let task = TaskId(attempt.halves()?);
        let epoch = match attempt.key() {
            None => 0,
            Some(0x18) => attempt.varint()?,
            Some(_) => return None,
        };
        attempt.is_empty().then_some(AttemptId { task, epoch: Epoch(epoch) })
    }

    /// A field that is a spec as [`spec_len`](super::write::spec_len) knows it.
    pub(super) fn spec(&mut self, names: &mut Names) -> Option<Arc<Spec>> {
        let mut body = self.sub()?;
        let mut spec = Spec {
            function: Arc::clone(&names.empty),
            fingerprint: 0,
            args: Bytes::new(),
            dependencies: Vec::new(),
            name: None,
            options: Options::default(),
            trace: None,
            context: None,
            stream: false,
            actor: None,
        };
        while let Some(key) = body.key() {
            match key {
                0x0a => spec.function = names.of(body.bytes()?)?,
                0x11 => spec.fingerprint = body.fixed()?,
                0x1a => spec.args = payload(&body.sub()?),
                0x2a => spec.name = Some(std::str::from_utf8(body.bytes()?).ok()?.into()),
                0x32 if body.bytes()? == ONCE => spec.options.max_crashes = 0,
                0x52 => spec.actor = Some(body.part(names)?),
                _ => return None,
            }
        }
        Some(Arc::new(spec))
    }

    /// A field that says what a spec is to an actor: a call of one that is made, or an actor.
    fn part(&mut self, names: &mut Names) -> Option<Arc<Part>> {
        let part = self.sub()?;
        let mut body = part.clone();
        if body.key()? != 0x12 {
            // The generated code reads it; those of a type are alike, and a million of them share what is alike.
            let part = convert::part_from_wire(v1::ActorPart::decode(part.all()).ok()?).ok()?;
            return Some(names.part(part));
        }
        let mut call = body.sub()?;
        let (mut to, mut waits) = (None, false);
        while let Some(key) = call.key() {
            match key {
                0x0a => to = Some(call.sub()?.address(names)?),
                0x10 => waits = call.varint()? != 0,
                _ => return None,
            }
        }
        body.is_empty().then_some(())?;
        Some(names.part(Part::Call { to: to?, waits }))
    }

    /// All of this is an address.
    fn address(mut self, names: &Names) -> Option<Address> {
        let address = match self.key()? {
            0x0a => Address::Actor(TaskId(self.id()?)),
            0x12 => {
                let mut named = self.sub()?;
                let name = match named.key() {
                    None => "",
                    Some(0x0a) => std::str::from_utf8(named.bytes()?).ok()?,
                    Some(_) => return None,
                };
                named.is_empty().then_some(())?;
                Address::Name { name: names.of_actor(name), make: None }
            }
            _ => return None,
        };
        self.is_empty().then_some(address)
    }
}

/// All bytes of a field, as a payload.
pub(super) fn payload(field: &Reader<'_>) -> Bytes {
    match field.rest {
        // Nil, a bool, a small integer: the commonest results need no memory of their own.
        [byte] => Bytes::from_static(std::slice::from_ref(&BYTES[usize::from(*byte)])),
        small if small.len() <= COPIED => Bytes::copy_from_slice(small),
        _ => field.all(),
    }
}

/// The last function name of a batch, and what the last spec was to an actor: the next task very likely has the same, and
/// shares it.
pub(super) struct Names {
    last: Arc<str>,
    empty: Arc<str>,
    part: Option<Arc<Part>>,
}

impl Default for Names {
    fn default() -> Self {
        let empty: Arc<str> = Arc::default();
        Self { last: Arc::clone(&empty), empty, part: None }
    }
}

impl Names {
    fn of(&mut self, name: &[u8]) -> Option<Arc<str>> {
        if self.last.as_bytes() != name {
            self.last = std::str::from_utf8(name).ok()?.into();
        }
        Some(Arc::clone(&self.last))
    }

    /// An actor's name, which is that of the last one if that is the same.
    fn of_actor(&self, name: &str) -> Arc<str> {
        match self.part.as_deref() {
            Some(Part::Call { to: Address::Name { name: last, .. }, .. }) if **last == *name => Arc::clone(last),
            _ => name.into(),
        }
    }

    fn part(&mut self, part: Part) -> Arc<Part> {
        match &self.part {
            Some(last) if **last == part => Arc::clone(last),
            _ => Arc::clone(self.part.insert(Arc::new(part))),
        }
    }
}
