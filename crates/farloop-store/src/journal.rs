//! The journal: a store on a disk.
//!
//! A folder of segments, each a file of some megabytes that is taken from the disk before it is needed. A batch is one
//! write at the end of the last segment (or a few, if it is large) and one sync. `frame` says how records lie in it,
//! `scan` how they are found again and what counts as damage, `recover` what is repaired, `parts` when records leave.

mod blob;
mod frame;
mod parts;
mod read;
mod recover;
mod scan;
mod segment;
mod snapshot;
mod verify;
mod write;

use std::collections::VecDeque;

use farloop_core::limits;
use farloop_core::time::Time;
use farloop_proto::convert::begins;

pub use self::snapshot::snapshot;
pub use self::verify::{Report, verify};

use self::frame::{Batch, Body};
use self::parts::{Parts, Sealed};
use self::scan::Window;
use self::segment::Segment;
use crate::disk::Disk;
use crate::{Entry, Part, Room, Store, StoreError};

/// How a journal is kept. The default is for a coordinator: the limits of these names.
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// Bytes of a segment ([`JOURNAL_SEGMENT`](limits::JOURNAL_SEGMENT)). Records leave by whole segments.
    pub segment: u64,
    /// Segments that are taken from the disk ahead of need, at least one
    /// ([`JOURNAL_RESERVE`](limits::JOURNAL_RESERVE)). With the rest of the segment in use they are what can still be
    /// written when the disk is full.
    pub reserve: usize,
    /// Bytes of a frame after which the next one begins ([`JOURNAL_FRAME`](limits::JOURNAL_FRAME)).
    pub frame: usize,
    /// Bytes of a record above which it goes to a file of its own ([`JOURNAL_BLOB`](limits::JOURNAL_BLOB)).
    pub blob: usize,
    /// Bytes of the journal above which records leave before their time ([`JOURNAL_BYTES`](limits::JOURNAL_BYTES)). What
    /// is still known is carried, so a journal of much that lives is larger.
    pub keep: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            segment: limits::JOURNAL_SEGMENT,
            reserve: limits::JOURNAL_RESERVE,
            frame: limits::JOURNAL_FRAME,
            blob: limits::JOURNAL_BLOB,
            keep: limits::JOURNAL_BYTES,
        }
    }
}

impl JournalOptions {
    /// Values that fit each other.
    fn fitted(self) -> Self {
        let segment = self.segment.max(4_096);
        let eighth = usize::try_from(segment / 8).unwrap_or(usize::MAX);
        let reserve = self.reserve.max(1);
        Self { segment, reserve, frame: self.frame.min(eighth), blob: self.blob.min(eighth), keep: self.keep }
    }
}

/// A store in a folder.
///
/// It is the only one that writes there: it holds the folder's lock until it is dropped. Dropping it writes nothing;
/// what was not synced may be lost.
#[derive(Debug)]
pub struct Journal<D: Disk> {
    disk: D,
    name: String,
    options: JournalOptions,
    active: Segment<D::File>,
    /// What is written to next, in order.
    reserves: VecDeque<Segment<D::File>>,
    parts: Parts,
    batch: Batch,
    /// Blobs of the batch, not synced yet.
    blobs: Vec<(u64, D::File)>,
    /// Number of the last record that was appended.
    last: u64,
    /// Number of the last record that is in the file, durable or not.
    written: u64,
    durable: u64,
    /// The oldest segment that is still needed.
    oldest: u64,
    room: Room,
    stopped: bool,
}

impl<D: Disk> Journal<D> {
    /// Opens the journal in a folder, or begins one there. Everything in it but large payloads is checked, the end of a
    /// torn write is erased, and what is there is made durable.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Corrupt`] and [`StoreError::TooNew`] leave the folder as it is;
    /// [`StoreError::Io`] otherwise.
    pub fn open(mut disk: D, options: JournalOptions) -> Result<Self, StoreError> {
        let options = options.fitted();
        let place = disk.place();
        let locked = disk.lock().map_err(|source| StoreError::Io { what: format!("locking {place}"), source })?;
        if !locked {
            return Err(StoreError::Locked(place));
        }
        let mut found = recover::look(&disk)?;
        let (active, reserves) = recover::settle(&disk, &found, options.segment)?;
        let last = found.end.last;
        let fresh = Sealed { number: active.number, last, bytes: active.written, newest: Time(0) };
        let in_use = found.parts.pop_back().unwrap_or(fresh);
        let mut journal = Self {
            name: format!("journal in {place}"),
            oldest: found.end.oldest.max(1),
            parts: Parts::new(found.parts, in_use, options.segment, options.keep),
            disk,
            options,
            active,
            reserves,
            batch: Batch::default(),
            blobs: Vec::new(),
            last,
            written: last,
            durable: last,
            room: Room::Plenty,
            stopped: false,
        };
        journal.refill()?;
        Ok(journal)
    }

    /// Numbers of all segments with records, the oldest first.
    fn segments(&self) -> Vec<u64> {
        (self.oldest..=self.active.number).collect()
    }

    /// Refuses everything after a failure; remembers one.
    fn guarded<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.stopped {
            return Err(StoreError::Stopped);
        }
        let done = act(self);
        self.stopped = done.is_err();
        done
    }
}

impl<D: Disk> Store for Journal<D>
where
    D::File: Send,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn append(&mut self, entry: Entry) -> Result<(), StoreError> {
        let expected = self.last + 1;
        if entry.seq != expected {
            return Err(StoreError::OutOfOrder { expected, got: entry.seq });
        }
        self.guarded(|journal| journal.take(&entry))
    }

    fn sync(&mut self) -> Result<u64, StoreError> {
        self.guarded(Self::commit)
    }

    fn durable(&self) -> u64 {
        self.durable
    }

    fn replay(&mut self, each: &mut dyn FnMut(Entry)) -> Result<(), StoreError> {
        let mut each = |entry: Result<(Entry, usize), StoreError>| entry.map(|(entry, _)| each(entry));
        scan::walk(&self.disk, &self.segments(), &mut |frame| read::entries(&self.disk, &frame, &mut each))?;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.parts.bytes()
    }

    fn room(&mut self) -> Room {
        if self.room != Room::Plenty && !self.stopped {
            // A failure that is not about room shows at the next write.
            let _ = self.guarded(Self::refill);
        }
        self.room.clone()
    }

    fn leaving(&mut self, finished_before: Time) -> Result<Option<Part>, StoreError> {
        let reserves = self.reserves.iter().map(Segment::left).sum::<u64>();
        let free = (self.room != Room::Plenty).then(|| self.active.left() + reserves);
        let Some(oldest) = self.parts.leaving(finished_before, free) else { return Ok(None) };
        let mut tasks = Vec::new();
        Window::open(&self.disk, oldest.number)?.frames(&mut |frame| {
            for body in read::bodies(&frame) {
                tasks.extend(match body? {
                    Body::Here(record) => begins(record).map_err(|why| read::unreadable(&frame, &why))?,
                    Body::Blob(bytes) => read::reference(&frame, bytes)?.begins,
                });
            }
            Ok(())
        })?;
        tasks.sort_unstable();
        tasks.dedup();
        Ok(Some(Part { number: oldest.number, tasks }))
    }

    fn drop_part(&mut self, number: u64) -> Result<(), StoreError> {
        let oldest = self.parts.oldest(number).ok_or(StoreError::NotOldest(number))?;
        self.guarded(|journal| journal.let_go(oldest))
    }
}
