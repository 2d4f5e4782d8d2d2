//! From frames to records.

use bytes::Bytes;
use farloop_core::record::Record;
use farloop_proto::journal as wire;
use prost::Message as _;

use super::blob::{self, Reference};
use super::frame::{self, Body};
use super::scan::Frame;
use super::segment;
use crate::disk::Disk;
use crate::{Entry, StoreError};

/// Records of a frame, not read yet.
pub(super) fn bodies<'a>(frame: &'a Frame<'_>) -> impl Iterator<Item = Result<Body<'a>, StoreError>> {
    frame::records(frame.body).map(|body| body.ok_or_else(|| unreadable(frame, "a record is longer than its frame")))
}

/// Gives all entries of a frame in order, with their encoded length, and what is wrong in place of one that cannot be
/// read.
pub(super) fn entries<D: Disk>(
    disk: &D,
    frame: &Frame<'_>,
    each: &mut dyn FnMut(Result<(Entry, usize), StoreError>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for (seq, body) in (frame.head.first..).zip(bodies(frame)) {
        each(body.and_then(|body| entry(disk, frame, seq, body)))?;
    }
    Ok(())
}

fn entry<D: Disk>(disk: &D, frame: &Frame<'_>, seq: u64, body: Body<'_>) -> Result<(Entry, usize), StoreError> {
    let (decoded, len) = match body {
        Body::Here(record) => (wire::Record::decode(record), record.len()),
        Body::Blob(bytes) => {
            let record: Bytes = blob::read(disk, seq, reference(frame, bytes)?)?;
            let len = record.len();
            (wire::Record::decode(record), len)
        }
    };
    let record = decoded.map_err(|why| unreadable(frame, &why))?;
    let record = Record::try_from(record).map_err(|why| unreadable(frame, &why))?;
    Ok((Entry { seq, record }, len))
}

pub(super) fn reference(frame: &Frame<'_>, bytes: &[u8]) -> Result<Reference, StoreError> {
    Reference::read(bytes).ok_or_else(|| unreadable(frame, "a reference to a blob is malformed"))
}

/// The checksum holds, so this is no damage: another version of farloop wrote it, or a defect.
pub(super) fn unreadable(frame: &Frame<'_>, why: &(impl ToString + ?Sized)) -> StoreError {
    StoreError::Unreadable { file: segment::name(frame.at.segment), offset: frame.at.offset, why: why.to_string() }
}
