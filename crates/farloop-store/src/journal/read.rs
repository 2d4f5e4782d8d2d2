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

/// All entries of a frame, in order.
pub(super) fn entries<D: Disk>(
    disk: &D,
    frame: &Frame<'_>,
    each: &mut dyn FnMut(Entry, usize),
) -> Result<(), StoreError> {
    for (seq, body) in (frame.head.first..).zip(bodies(frame)) {
        let (decoded, len) = match body? {
            Body::Here(record) => (wire::Record::decode(record), record.len()),
            Body::Blob(bytes) => {
                let record: Bytes = blob::read(disk, seq, reference(frame, bytes)?)?;
                let len = record.len();
                (wire::Record::decode(record), len)
            }
        };
        let record = decoded.map_err(|why| unreadable(frame, &why))?;
        each(Entry { seq, record: Record::try_from(record).map_err(|why| unreadable(frame, &why))? }, len);
    }
    Ok(())
}

pub(super) fn reference(frame: &Frame<'_>, bytes: &[u8]) -> Result<Reference, StoreError> {
    Reference::read(bytes).ok_or_else(|| unreadable(frame, "a reference to a blob is malformed"))
}

/// The checksum holds, so this is no damage: another version of farloop wrote it, or a defect.
pub(super) fn unreadable(frame: &Frame<'_>, why: &(impl ToString + ?Sized)) -> StoreError {
    StoreError::Unreadable { file: segment::name(frame.at.segment), offset: frame.at.offset, why: why.to_string() }
}
