//! Opening a folder: what is in it, what is repaired, what goes.

use std::collections::VecDeque;
use std::io;

use farloop_core::time::Time;

use super::blob;
use super::frame::Place;
use super::parts::Sealed;
use super::scan::{self, End};
use super::segment::{self, SEGMENT_HEADER, Segment};
use crate::StoreError;
use crate::disk::{Disk, DiskFile};

/// What a folder holds.
#[derive(Debug)]
pub(super) struct Found {
    /// All files.
    pub(super) names: Vec<String>,
    /// All segments that are still needed, the oldest first: those with records, then those taken ahead.
    pub(super) segments: Vec<u64>,
    /// Segments that were about to be removed.
    pub(super) left_over: Vec<u64>,
    /// What those with records hold.
    pub(super) parts: VecDeque<Sealed>,
    /// Number of the first record.
    pub(super) first: u64,
    /// Where records end.
    pub(super) end: End,
}

/// Reads and judges all frames; changes nothing.
pub(super) fn look<D: Disk>(disk: &D) -> Result<Found, StoreError> {
    let names = disk.list().map_err(|source| failed("reading", &disk.place(), source))?;
    let mut segments = segment::list(&names);
    let mut parts: VecDeque<Sealed> = VecDeque::new();
    let mut firsts = Vec::new();
    let end = scan::walk(disk, &segments, &mut |frame| {
        let Place { segment: number, offset } = frame.at;
        if parts.back().is_none_or(|part| part.number != number) {
            parts.push_back(Sealed { number, last: 0, bytes: 0, newest: Time(0) });
            firsts.push((number, frame.head.first));
        }
        if let Some(part) = parts.back_mut() {
            part.last = frame.head.last();
            part.bytes = offset + frame.head.total() as u64;
            part.newest = part.newest.max(frame.head.newest);
        }
        Ok(())
    })?;
    if segments.first().is_some_and(|&first| first < end.oldest) {
        parts.retain(|part| part.number >= end.oldest);
    } else if !parts.is_empty() && segments.first() != Some(&end.oldest) {
        return Err(StoreError::Corrupt { file: segment::name(end.oldest), offset: 0 });
    }
    let needed = segments.partition_point(|&number| number < end.oldest);
    let left_over = segments.drain(..needed).collect();
    let first = firsts.iter().find(|(number, _)| *number >= end.oldest).map_or(1, |(_, first)| *first);
    for (seq, name) in names.iter().filter_map(|name| Some((blob::seq(name)?, name))) {
        if let Some(part) = parts.iter_mut().find(|part| seq <= part.last) {
            let file = disk.open(name).and_then(|file| file.len());
            part.bytes += file.map_err(|source| failed("reading", name, source))?;
        }
    }
    Ok(Found { names, segments, left_over, parts, first, end })
}

/// The segment that is written to next, and those behind it.
pub(super) type Writable<F> = (Segment<F>, VecDeque<Segment<F>>);

/// Erases what a crash left behind, removes what was about to go, and makes durable what is there.
pub(super) fn settle<D: Disk>(disk: &D, found: &Found, size: u64) -> Result<Writable<D::File>, StoreError> {
    for name in found.left_over.iter().map(|&number| segment::name(number)) {
        remove(disk, &name)?;
    }
    let End { at, last, torn, .. } = found.end;
    let records = found.first..=last;
    for name in found.names.iter().filter(|name| blob::seq(name).is_some_and(|seq| !records.contains(&seq))) {
        remove(disk, name)?;
    }
    let spoiled = |number: u64| found.parts.is_empty() || torn && number > at.segment;
    // From the last one down, one by one: a crash in between leaves no gap.
    for &number in found.segments.iter().rev().filter(|&&number| spoiled(number)) {
        remove(disk, &segment::name(number))?;
    }
    if found.parts.is_empty() {
        let made = Segment::create(disk, 1, size).map_err(|source| failed("making", &segment::name(1), source))?;
        return Ok((made, VecDeque::new()));
    }
    if torn {
        scan::erase(disk, at)?;
    }
    let reserves = found.segments.iter().filter(|&&number| number > at.segment && !spoiled(number));
    let reserves = reserves.map(|&number| open(disk, Place { segment: number, offset: SEGMENT_HEADER }, size));
    let reserves = reserves.collect::<Result<_, _>>()?;
    let active = open(disk, at, size)?;
    // Their names may be as young as the crash.
    disk.sync_folder().map_err(|source| failed("syncing", &disk.place(), source))?;
    Ok((active, reserves))
}

/// Opens a segment to write at that place, and makes durable what is in it: a crash of the process alone may have left
/// it to the system.
fn open<D: Disk>(disk: &D, at: Place, size: u64) -> Result<Segment<D::File>, StoreError> {
    let name = segment::name(at.segment);
    let file = disk.open(&name).map_err(|source| failed("opening", &name, source))?;
    match file.preallocate(size) {
        Ok(()) => {}
        // It stays as long as it is.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
        Err(error) => return Err(failed("taking room for", &name, error)),
    }
    let synced = file.sync().and_then(|()| file.len());
    let size = synced.map_err(|source| failed("syncing", &name, source))?;
    Ok(Segment { number: at.segment, file, written: at.offset, size })
}

fn remove<D: Disk>(disk: &D, name: &str) -> Result<(), StoreError> {
    disk.remove(name).and_then(|()| disk.sync_folder()).map_err(|source| failed("removing", name, source))
}

fn failed(what: &str, name: &str, source: io::Error) -> StoreError {
    StoreError::Io { what: format!("{what} {name}"), source }
}
