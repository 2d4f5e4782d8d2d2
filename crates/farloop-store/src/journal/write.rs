//! Writing: records gather in a batch, a commit makes them durable, full segments make way for those taken ahead.

use std::io;
use std::mem;

use farloop_core::record::Record;
use farloop_core::time::Time;
use farloop_proto::journal as wire;
use prost::Message as _;

use super::Journal;
use super::blob::{self, Reference};
use super::frame::{Batch, HEADER, Head};
use super::parts::Sealed;
use super::segment::{self, Segment};
use crate::disk::{Disk, DiskFile};
use crate::{Entry, Room, StoreError};

/// Bytes that a batch keeps for the next one.
const BATCH: usize = 8 * 1024 * 1024;
/// Blobs that may be open at once.
const OPEN_BLOBS: usize = 64;

impl<D: Disk> Journal<D> {
    /// Puts the next record into the batch; a large one into a blob.
    pub(super) fn take(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let (seq, newest) = (entry.seq, entry.record.newest());
        let message = wire::Record::from(&entry.record);
        let len = message.encoded_len();
        let limit = self.options.frame;
        if len <= self.options.blob {
            self.batch.push(seq, newest, limit, false, |to| message.encode_raw(to));
        } else {
            let bytes = message.encode_to_vec();
            if self.write_blob(seq, &bytes)? {
                let reference = Reference::new(&bytes, entry.record.begins());
                self.batch.push(seq, newest, limit, true, |to| reference.write(to));
            } else {
                self.take_whole(seq, newest, &bytes)?;
            }
        }
        self.parts.earn(len, matches!(entry.record, Record::Carried(_)));
        self.last = seq;
        Ok(())
    }

    /// A large record where there is no room for a blob: it takes its share of what was taken ahead.
    fn take_whole(&mut self, seq: u64, newest: Time, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() as u64 + 16 > segment::largest_frame(self.options.segment) {
            return Err(failed(format!("writing {}", blob::name(seq)), io::ErrorKind::StorageFull.into()));
        }
        self.batch.close();
        self.batch.push(seq, newest, self.options.frame, false, |to| to.extend_from_slice(bytes));
        self.batch.close();
        Ok(())
    }

    /// Whether there was room for it.
    fn write_blob(&mut self, seq: u64, bytes: &[u8]) -> Result<bool, StoreError> {
        let name = blob::name(seq);
        let len = bytes.len() as u64;
        let written = self.disk.create(&name).and_then(|file| {
            // First, for a write within it does not fail for want of room.
            file.preallocate(len)?;
            file.write_at(0, bytes)?;
            Ok(file)
        });
        match written {
            Ok(file) => self.blobs.push((seq, file)),
            Err(error) if full(&error) => {
                let _ = self.disk.remove(&name);
                return Ok(false);
            }
            Err(error) => return Err(failed(format!("writing {name}"), error)),
        }
        self.parts.wrote_blob(len);
        if self.blobs.len() >= OPEN_BLOBS {
            self.sync_blobs()?;
        }
        Ok(true)
    }

    fn sync_blobs(&mut self) -> Result<(), StoreError> {
        if self.blobs.is_empty() {
            return Ok(());
        }
        for (seq, file) in self.blobs.drain(..) {
            file.sync().map_err(|source| failed(format!("syncing {}", blob::name(seq)), source))?;
        }
        self.disk.sync_folder().map_err(|source| failed(format!("syncing {}", self.disk.place()), source))
    }

    /// Makes everything durable that was taken.
    pub(super) fn commit(&mut self) -> Result<u64, StoreError> {
        if self.batch.is_empty() {
            return Ok(self.durable);
        }
        self.sync_blobs()?;
        let mut batch = mem::take(&mut self.batch);
        batch.finish();
        self.write(&mut batch)?;
        batch.clear(BATCH);
        self.batch = batch;
        self.active.sync()?;
        self.durable = self.written;
        // Not synced: it stands where the next frame will, and until then it tells a torn write from damage.
        let mark = self.mark();
        if self.active.left() >= HEADER as u64 {
            self.active.write_ahead(&mark)?;
        }
        if self.room == Room::Plenty {
            self.refill()?;
        }
        Ok(self.durable)
    }

    /// Frames next to each other go out in one write.
    fn write(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        let mut run = 0..0;
        for index in 0..batch.frames() {
            let (draft, range) = batch.frame(index);
            if self.active.left() < (range.end - run.start) as u64 {
                self.active.write(&batch.bytes()[run])?;
                self.rotate()?;
                run = range.start..range.start;
            }
            let mut at = self.active.place();
            at.offset += (range.start - run.start) as u64;
            let head = Head {
                len: draft.bytes(),
                count: draft.count,
                first: draft.first,
                durable: self.durable,
                oldest: self.oldest,
                newest: draft.newest,
            };
            head.seal(&mut batch.bytes_mut()[range.clone()], at);
            self.written = head.last();
            self.parts.wrote(range.len() as u64, self.written, draft.newest);
            run.end = range.end;
        }
        self.active.write(&batch.bytes()[run])
    }

    /// A frame without records.
    fn mark(&self) -> [u8; HEADER] {
        let (durable, oldest) = (self.durable, self.oldest);
        let head = Head { len: 0, count: 0, first: self.written + 1, durable, oldest, newest: Time(0) };
        let mut frame = [0; HEADER];
        head.seal(&mut frame, self.active.place());
        frame
    }

    /// Goes on to the next segment.
    fn rotate(&mut self) -> Result<(), StoreError> {
        let next = match self.reserves.pop_front() {
            Some(next) => next,
            None => self
                .make(self.active.number + 1)
                .map_err(|source| failed(format!("making {}", segment::name(self.active.number + 1)), source))?,
        };
        let full = mem::replace(&mut self.active, next);
        full.close()?;
        self.parts.rotated(self.active.number, self.active.written);
        Ok(())
    }

    fn make(&self, number: u64) -> io::Result<Segment<D::File>> {
        Segment::create(&self.disk, number, self.options.segment)
    }

    /// Takes segments ahead, as many as there should be.
    pub(super) fn refill(&mut self) -> Result<(), StoreError> {
        while self.reserves.len() < self.options.reserve {
            let number = self.active.number + 1 + self.reserves.len() as u64;
            match self.make(number) {
                Ok(next) => self.reserves.push_back(next),
                Err(error) if full(&error) => {
                    self.room = Room::Low(format!("the disk of {} is full ({error})", self.disk.place()));
                    return Ok(());
                }
                Err(error) => return Err(failed(format!("making {}", segment::name(number)), error)),
            }
        }
        self.room = Room::Plenty;
        Ok(())
    }

    /// Removes the oldest part, once it is durable that it is not needed.
    pub(super) fn let_go(&mut self, part: Sealed) -> Result<(), StoreError> {
        if self.active.left() < HEADER as u64 {
            self.rotate()?;
        }
        self.oldest = part.number + 1;
        let mark = self.mark();
        self.active.write(&mark)?;
        self.active.sync()?;
        self.parts.wrote(HEADER as u64, self.written, Time(0));
        self.parts.dropped();
        // Durable before the next one goes: there is never a gap.
        let removed = self.disk.remove(&segment::name(part.number)).and_then(|()| self.disk.sync_folder());
        removed.map_err(|source| failed(format!("removing {}", segment::name(part.number)), source))?;
        let place = || format!("reading {}", self.disk.place());
        let names = self.disk.list().map_err(|source| failed(place(), source))?;
        for name in names.iter().filter(|name| blob::seq(name).is_some_and(|seq| seq <= part.last)) {
            self.disk.remove(name).map_err(|source| failed(format!("removing {name}"), source))?;
        }
        Ok(())
    }
}

fn full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn failed(what: String, source: io::Error) -> StoreError {
    StoreError::Io { what, source }
}
