//! A segment: a file with a header and frames one after the other, zeros behind them.

use std::io;

use super::frame::{HEADER, Place};
use crate::StoreError;
use crate::disk::{Disk, DiskFile};

/// What the files' format is called. One that an earlier version could misread gets the next number.
pub(super) const FORMAT: u32 = 1;
/// Bytes before the first frame.
pub(super) const SEGMENT_HEADER: u64 = 32;
const MAGIC: [u8; 8] = *b"farloopJ";
const SUFFIX: &str = ".journal";

pub(super) fn name(number: u64) -> String {
    format!("{number:012}{SUFFIX}")
}

/// Number of the segment that a file is, if it is one.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() >= 12).then(|| digits.parse().ok()).flatten()
}

/// Numbers of all segments, the oldest first.
pub(super) fn list(names: &[String]) -> Vec<u64> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number(name)).collect();
    numbers.sort_unstable();
    numbers
}

/// What a file says at its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// It is the segment that its name says.
    Good,
    /// Its making was not finished, or it is damaged.
    Bad,
    /// Another version of farloop wrote it.
    Format(u32),
}

pub(super) fn read_header(bytes: &[u8], number: u64) -> Header {
    let Some(bytes) = bytes.first_chunk::<{ SEGMENT_HEADER as usize }>() else { return Header::Bad };
    if bytes[..8] != MAGIC {
        return Header::Bad;
    }
    // These twelve bytes are the same in all formats.
    let format = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if *bytes == header(number) {
        Header::Good
    } else if format > FORMAT && bytes[28..] == crc32c::crc32c(&bytes[..28]).to_le_bytes() {
        Header::Format(format)
    } else {
        Header::Bad
    }
}

/// Magic, format, number, four bytes unused, and a checksum of these.
fn header(number: u64) -> [u8; SEGMENT_HEADER as usize] {
    let mut bytes = [0; SEGMENT_HEADER as usize];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[12..20].copy_from_slice(&number.to_le_bytes());
    let sum = crc32c::crc32c(&bytes[..28]);
    bytes[28..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// One that is written to, or will be.
#[derive(Debug)]
pub(super) struct Segment<F> {
    pub(super) number: u64,
    pub(super) file: F,
    /// Where the next frame goes.
    pub(super) written: u64,
    /// Bytes that are taken on the disk.
    pub(super) size: u64,
}

impl<F: DiskFile> Segment<F> {
    /// Makes one, all of it taken on the disk and its name durable.
    pub(super) fn create(disk: &impl Disk<File = F>, number: u64, size: u64) -> io::Result<Self> {
        let name = name(number);
        let file = disk.create(&name)?;
        let made = file
            .preallocate(size)
            .and_then(|()| file.write_at(0, &header(number)))
            .and_then(|()| file.sync())
            .and_then(|()| disk.sync_folder());
        match made {
            Ok(()) => Ok(Self { number, file, written: SEGMENT_HEADER, size }),
            Err(error) => {
                // What remains of it is found and made anew at the next start.
                let _ = disk.remove(&name);
                Err(error)
            }
        }
    }

    pub(super) fn place(&self) -> Place {
        Place { segment: self.number, offset: self.written }
    }

    /// Bytes that frames may still take.
    pub(super) fn left(&self) -> u64 {
        self.size.saturating_sub(self.written)
    }

    /// Writes frames that were sealed for this place.
    pub(super) fn write(&mut self, frames: &[u8]) -> Result<(), StoreError> {
        let written = self.file.write_at(self.written, frames);
        written.map_err(|source| self.failed("writing", source))?;
        self.written += frames.len() as u64;
        Ok(())
    }

    /// Writes what the next write takes the place of.
    pub(super) fn write_ahead(&self, frame: &[u8]) -> Result<(), StoreError> {
        self.file.write_at(self.written, frame).map_err(|source| self.failed("writing", source))
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync().map_err(|source| self.failed("syncing", source))
    }

    /// Nothing more is written to it: makes it durable, and gives back the room that it did not need.
    pub(super) fn close(self) -> Result<(), StoreError> {
        self.sync()?;
        self.file.truncate(self.written).map_err(|source| self.failed("closing", source))
    }

    fn failed(&self, what: &str, source: io::Error) -> StoreError {
        StoreError::Io { what: format!("{what} {}", name(self.number)), source }
    }
}

/// Bytes that one frame may have at most, in a segment of that size.
pub(super) fn largest_frame(size: u64) -> u64 {
    size - SEGMENT_HEADER - HEADER as u64
}
