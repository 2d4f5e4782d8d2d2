//! Reading frames in order, and judging what cannot be read: a write that a crash tore, or damage (L17).
//!
//! A batch is written after the one before it is durable, and each frame says up to where records were durable when it
//! was written. So what a crash can spoil lies behind the last record that any good frame calls durable. There the
//! journal ends; a bad place before it means that something was lost which was promised to be kept.

use std::io;

use super::frame::{ALIGN, HEADER, Head, MAGIC, Place};
use super::segment::{self, Header, SEGMENT_HEADER};
use crate::StoreError;
use crate::disk::{Disk, DiskFile};

/// Bytes that are read at once.
const CHUNK: usize = 1024 * 1024;
/// Bytes that are compared at once where all should be zero.
static ZEROS: [u8; 4_096] = [0; 4_096];

/// A good frame.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) at: Place,
    pub(super) head: Head,
    pub(super) body: &'a [u8],
}

/// Where the good frames end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Where the next frame goes.
    pub(super) at: Place,
    /// Number of the last record (0: none).
    pub(super) last: u64,
    /// Number of the last record that a frame calls durable.
    pub(super) durable: u64,
    /// The oldest segment that is still needed.
    pub(super) oldest: u64,
    /// Whether bytes of an unfinished write lie behind.
    pub(super) torn: bool,
}

impl End {
    /// No frame was read yet.
    fn before(at: Place) -> Self {
        Self { at, last: 0, durable: 0, oldest: 0, torn: false }
    }
}

/// What lies at an offset.
enum Found {
    Good(Head),
    /// Nothing was written here.
    Nothing,
    Bad,
}

/// Takes one good frame after the other.
type Each<'a> = &'a mut dyn FnMut(Frame<'_>) -> Result<(), StoreError>;

/// Gives each good frame of these segments, which are all there are, oldest first.
pub(super) fn walk<D: Disk>(disk: &D, segments: &[u64], each: Each<'_>) -> Result<End, StoreError> {
    let first = segments.first().copied().unwrap_or(1);
    let mut end = End::before(Place { segment: first, offset: SEGMENT_HEADER });
    let mut begun = false;
    for (index, &number) in segments.iter().enumerate() {
        let mut window = Window::open(disk, number)?;
        let stop = if window.header()? { Some(window.follow(&mut end, &mut begun, each)?) } else { None };
        let later = &segments[index + 1..];
        if stop.is_none() || !continues(disk, number, later, &end, begun)? {
            let torn = judge(disk, &mut window, stop, later, &end)?;
            return Ok(End { torn, ..end });
        }
    }
    Ok(end)
}

/// Whether the next segment begins with the frame that follows.
fn continues<D: Disk>(disk: &D, number: u64, later: &[u64], end: &End, begun: bool) -> Result<bool, StoreError> {
    let Some(&next) = later.first().filter(|&&next| begun && next == number + 1) else { return Ok(false) };
    let mut window = Window::open(disk, next)?;
    let start = Place { segment: next, offset: SEGMENT_HEADER };
    Ok(window.header()? && matches!(window.frame(start)?, Found::Good(head) if head.first == end.last + 1))
}

/// Looks behind the last good frame, and says whether bytes of an unfinished write are there. `stop` is where the frames
/// of this segment end and what is there; none if not even its header is good.
fn judge<D: Disk>(
    disk: &D,
    window: &mut Window<D::File>,
    stop: Option<(Place, Found)>,
    later: &[u64],
    end: &End,
) -> Result<bool, StoreError> {
    let header = Place { segment: window.number, offset: 0 };
    let at = stop.as_ref().map_or(header, |(at, _)| *at);
    let rest = window.rest(Place { offset: at.offset.max(SEGMENT_HEADER), ..at }, end.last)?;
    if matches!(rest, Rest::Durable) {
        return Err(corrupt(at));
    }
    if later.first().is_some_and(|&next| next != at.segment + 1) {
        return Err(corrupt(Place { segment: at.segment + 1, offset: 0 }));
    }
    // Where nothing was written nothing is wrong; then the place to name is the next one that should be good.
    let clean = matches!((&stop, &rest), (Some((_, Found::Nothing)), Rest::Zeros));
    let mut torn = !clean;
    for &next in later {
        let mut window = Window::open(disk, next)?;
        let good = window.header()?;
        let start = Place { segment: next, offset: SEGMENT_HEADER };
        match window.rest(start, end.last)? {
            Rest::Durable if clean && !good => return Err(corrupt(Place { segment: next, offset: 0 })),
            Rest::Durable if clean && matches!(window.frame(start)?, Found::Bad) => return Err(corrupt(start)),
            Rest::Durable => return Err(corrupt(at)),
            Rest::Zeros => torn |= !good,
            Rest::Torn => torn = true,
        }
    }
    Ok(torn)
}

fn corrupt(at: Place) -> StoreError {
    StoreError::Corrupt { file: segment::name(at.segment), offset: at.offset }
}

/// What lies behind the last good frame of a segment.
enum Rest {
    Zeros,
    /// Nothing that was known to be durable.
    Torn,
    /// A good frame, written when records above the last good one were durable.
    Durable,
}

/// A segment that is read from its beginning to its end.
pub(super) struct Window<F> {
    file: F,
    number: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<F: DiskFile> Window<F> {
    pub(super) fn open(disk: &impl Disk<File = F>, number: u64) -> Result<Self, StoreError> {
        let file = disk.open(&segment::name(number)).map_err(|source| failed(number, source))?;
        Ok(Self { file, number, start: 0, bytes: Vec::new() })
    }

    /// Bytes from an offset on; none if the file ends before.
    fn get(&mut self, offset: u64, len: usize) -> Result<Option<&[u8]>, StoreError> {
        let inside = |window: &Self| {
            let from = usize::try_from(offset.checked_sub(window.start)?).ok()?;
            (from + len <= window.bytes.len()).then_some(from..from + len)
        };
        if inside(self).is_none() {
            let left = self.file.len().map_err(|source| failed(self.number, source))?.saturating_sub(offset);
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            if left < len {
                return Ok(None);
            }
            self.bytes.resize(len.max(CHUNK).min(left), 0);
            let read = self.file.read_at(offset, &mut self.bytes).map_err(|source| failed(self.number, source))?;
            self.bytes.truncate(read);
            self.start = offset;
        }
        Ok(inside(self).map(|range| &self.bytes[range]))
    }

    /// Whether the file is the segment that its name says.
    fn header(&mut self) -> Result<bool, StoreError> {
        let number = self.number;
        match segment::read_header(self.get(0, SEGMENT_HEADER as usize)?.unwrap_or_default(), number) {
            Header::Good => Ok(true),
            Header::Bad => Ok(false),
            Header::Format(found) => {
                Err(StoreError::TooNew { file: segment::name(number), found, known: segment::FORMAT })
            }
        }
    }

    /// Gives each frame that follows the ones before, and says where they end and what is there.
    fn follow(&mut self, end: &mut End, begun: &mut bool, each: Each<'_>) -> Result<(Place, Found), StoreError> {
        let mut at = Place { segment: self.number, offset: SEGMENT_HEADER };
        loop {
            match self.frame(at)? {
                Found::Good(head) if !*begun || head.first == end.last + 1 => {
                    let body = self.get(at.offset + HEADER as u64, head.len as usize)?.unwrap_or_default();
                    each(Frame { at, head, body })?;
                    *begun = true;
                    at.offset += head.total() as u64;
                    let (durable, oldest) = (head.durable.max(end.durable), head.oldest.max(end.oldest));
                    *end = End { at, last: head.last(), durable, oldest, torn: false };
                }
                // What does not follow is as bad as what does not hold.
                Found::Good(_) => return Ok((at, Found::Bad)),
                other => return Ok((at, other)),
            }
        }
    }

    fn frame(&mut self, at: Place) -> Result<Found, StoreError> {
        let Some(header) = self.get(at.offset, HEADER)?.and_then(|bytes| bytes.first_chunk::<HEADER>()) else {
            return Ok(Found::Nothing);
        };
        if *header == ZEROS[..HEADER] {
            return Ok(Found::Nothing);
        }
        let Some(head) = Head::read(header) else { return Ok(Found::Bad) };
        let good = self.get(at.offset, head.total())?.is_some_and(|frame| Head::holds(frame, at));
        Ok(if good { Found::Good(head) } else { Found::Bad })
    }

    /// Looks for good frames from there on, at every place where one could begin.
    fn rest(&mut self, from: Place, last: u64) -> Result<Rest, StoreError> {
        let mut at = from;
        let mut zeros = true;
        loop {
            let piece = ZEROS.len() - (at.offset as usize % ZEROS.len());
            let left = self.file.len().map_err(|source| failed(self.number, source))?.saturating_sub(at.offset);
            let piece = piece.min(usize::try_from(left).unwrap_or(usize::MAX));
            if piece == 0 {
                return Ok(if zeros { Rest::Zeros } else { Rest::Torn });
            }
            let bytes = self.get(at.offset, piece)?.unwrap_or_default();
            if *bytes != ZEROS[..piece] {
                zeros = false;
                let begins = |(index, bytes): (usize, &[u8])| bytes.starts_with(&MAGIC).then_some(index * ALIGN);
                let places: Vec<usize> = bytes.chunks(ALIGN).enumerate().filter_map(begins).collect();
                for place in places {
                    let at = Place { offset: at.offset + place as u64, ..at };
                    if matches!(self.frame(at)?, Found::Good(head) if head.durable > last) {
                        return Ok(Rest::Durable);
                    }
                }
            }
            at.offset += piece as u64;
        }
    }

    /// Gives each good frame up to the first place without one.
    pub(super) fn frames(&mut self, each: Each<'_>) -> Result<(), StoreError> {
        let at = Place { segment: self.number, offset: SEGMENT_HEADER };
        self.follow(&mut End::before(at), &mut false, each).map(drop)
    }
}

/// Writes zeros over whatever lies behind that place, and makes that durable.
pub(super) fn erase<D: Disk>(disk: &D, at: Place) -> Result<(), StoreError> {
    let mut window = Window::open(disk, at.segment)?;
    let len = window.file.len().map_err(|source| failed(at.segment, source))?;
    let mut offset = at.offset;
    while offset < len {
        let piece = ZEROS.len().min(usize::try_from(len - offset).unwrap_or(usize::MAX));
        if window.get(offset, piece)?.is_some_and(|bytes| *bytes != ZEROS[..piece]) {
            window.file.write_at(offset, &ZEROS[..piece]).map_err(|source| failed(at.segment, source))?;
        }
        offset += piece as u64;
    }
    window.file.sync().map_err(|source| failed(at.segment, source))
}

fn failed(number: u64, source: io::Error) -> StoreError {
    StoreError::Io { what: format!("reading {}", segment::name(number)), source }
}
