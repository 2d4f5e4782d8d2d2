//! A frame: the records of one batch, or of a part of it, under one checksum.
//!
//! The checksum covers the frame's place, so a frame that landed elsewhere, or a copy of one inside a payload, is none.

use std::ops::Range;

use farloop_core::time::Time;

/// Bytes before the records.
pub(super) const HEADER: usize = 48;
/// Frames begin at multiples of this.
pub(super) const ALIGN: usize = 8;
pub(super) const MAGIC: [u8; 4] = *b"fJr1";
/// Set in a record's length: it lies in a blob, and here is only a reference.
const IN_BLOB: u32 = 1 << 31;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of records, padding excluded.
    pub(super) len: u32,
    /// Records. 0: a mark, which only says what is known.
    pub(super) count: u32,
    /// Number of its first record; of a mark, of the record that will follow.
    pub(super) first: u64,
    /// Number of the last record that was durable when it was written: a hole above it is a batch that never became
    /// durable, one below it is damage.
    pub(super) durable: u64,
    /// The oldest segment that was still needed.
    pub(super) oldest: u64,
    /// The latest moment that its records tell of.
    pub(super) newest: Time,
}

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

impl Head {
    /// Number of the last record up to here.
    pub(super) fn last(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count)) - 1
    }

    /// Bytes of the whole frame.
    pub(super) fn total(&self) -> usize {
        HEADER + padded(self.len as usize)
    }

    /// Fills in the header of a frame whose records and padding are there.
    pub(super) fn seal(&self, frame: &mut [u8], at: Place) {
        frame[..4].copy_from_slice(&MAGIC);
        frame[8..12].copy_from_slice(&self.len.to_le_bytes());
        frame[12..16].copy_from_slice(&self.count.to_le_bytes());
        let words = [self.first, self.durable, self.oldest, self.newest.0];
        for (to, word) in frame[16..HEADER].chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let sum = checksum(&frame[8..], at);
        frame[4..8].copy_from_slice(&sum.to_le_bytes());
    }

    /// Reads a header, without judging it; none if it does not begin as one.
    pub(super) fn read(header: &[u8; HEADER]) -> Option<Self> {
        let short = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let long = |at: usize| u64::from(short(at)) | u64::from(short(at + 4)) << 32;
        let head = Self {
            len: short(8),
            count: short(12),
            first: long(16),
            durable: long(24),
            oldest: long(32),
            newest: Time(long(40)),
        };
        (header[..4] == MAGIC && head.first > 0).then_some(head)
    }

    /// Whether all of a frame's bytes are as they were written.
    pub(super) fn holds(frame: &[u8], at: Place) -> bool {
        frame[4..8] == checksum(&frame[8..], at).to_le_bytes()
    }
}

fn checksum(bytes: &[u8], at: Place) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&at.segment.to_le_bytes());
    place[8..].copy_from_slice(&at.offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), bytes)
}

pub(super) fn padded(len: usize) -> usize {
    len.next_multiple_of(ALIGN)
}

/// One record of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    /// Encoded.
    Here(&'a [u8]),
    /// A [`Reference`](super::blob::Reference).
    Blob(&'a [u8]),
}

/// The records of a frame that holds, in order. None in place of one whose length does not fit: only a defect writes
/// such a frame.
pub(super) fn records(body: &[u8]) -> impl Iterator<Item = Option<Body<'_>>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = rest.split_first_chunk::<4>().and_then(|(len, after)| {
            let len = u32::from_le_bytes(*len);
            let (record, after) = after.split_at_checked((len & !IN_BLOB) as usize)?;
            rest = after;
            Some(if len & IN_BLOB == 0 { Body::Here(record) } else { Body::Blob(record) })
        });
        if record.is_none() {
            rest = &[];
        }
        Some(record)
    })
}

/// Frames that are being filled.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    frames: Vec<Draft>,
}

/// A frame whose place is not known yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft {
    start: usize,
    /// Bytes of records.
    len: usize,
    /// Takes no more.
    closed: bool,
    pub(super) count: u32,
    pub(super) first: u64,
    pub(super) newest: Time,
}

impl Draft {
    /// Bytes of its records.
    pub(super) fn bytes(&self) -> u32 {
        u32::try_from(self.len).expect("a frame is smaller than a segment")
    }
}

impl Batch {
    /// Adds a record; `write` appends its bytes. A frame takes records until it has that many bytes.
    pub(super) fn push(&mut self, seq: u64, newest: Time, limit: usize, blob: bool, write: impl FnOnce(&mut Vec<u8>)) {
        if self.frames.last().is_none_or(|draft| draft.closed || draft.len >= limit) {
            self.pad();
            self.frames.push(Draft { start: self.bytes.len(), len: 0, closed: false, count: 0, first: seq, newest });
            self.bytes.extend_from_slice(&[0; HEADER]);
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut self.bytes);
        let len = self.bytes.len() - at;
        let told = u32::try_from(len - 4).expect("a record is smaller than a segment") | if blob { IN_BLOB } else { 0 };
        self.bytes[at..at + 4].copy_from_slice(&told.to_le_bytes());
        let draft = self.frames.last_mut().expect("one was made above");
        draft.len += len;
        draft.count += 1;
        draft.newest = draft.newest.max(newest);
    }

    /// The next record begins a frame.
    pub(super) fn close(&mut self) {
        if let Some(draft) = self.frames.last_mut() {
            draft.closed = true;
        }
    }

    fn pad(&mut self) {
        self.bytes.resize(padded(self.bytes.len()), 0);
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) {
        self.pad();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn frames(&self) -> usize {
        self.frames.len()
    }

    /// What a frame will say of itself, and where it lies in the batch.
    pub(super) fn frame(&self, index: usize) -> (Draft, Range<usize>) {
        let draft = self.frames[index];
        let end = self.frames.get(index + 1).map_or(self.bytes.len(), |next| next.start);
        (draft, draft.start..end)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Forgets what it held, and keeps no more memory than that.
    pub(super) fn clear(&mut self, keep: usize) {
        self.frames.clear();
        self.bytes.clear();
        self.bytes.shrink_to(keep);
    }
}
