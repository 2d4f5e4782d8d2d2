//! Blobs: records with large payloads lie in files of their own, named by the record's number, and are durable before
//! the frame that refers to them. A blob leaves with the segment of its record.

use bytes::Bytes;
use farloop_core::id::TaskId;

use crate::StoreError;
use crate::disk::{Disk, DiskFile};

const SUFFIX: &str = ".blob";

/// What a frame holds in place of such a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// Bytes of the record.
    pub(super) len: u64,
    /// Their checksum.
    pub(super) sum: u32,
    /// The task that it begins.
    pub(super) begins: Option<TaskId>,
}

impl Reference {
    pub(super) fn new(record: &[u8], begins: Option<TaskId>) -> Self {
        Self { len: record.len() as u64, sum: crc32c::crc32c(record), begins }
    }

    pub(super) fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.len.to_le_bytes());
        to.extend_from_slice(&self.sum.to_le_bytes());
        if let Some(task) = self.begins {
            to.extend_from_slice(&task.0.to_le_bytes());
        }
    }

    /// None if these bytes are no reference.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let begins = match rest {
            [] => None,
            id => Some(TaskId(u128::from_le_bytes(id.try_into().ok()?))),
        };
        Some(Self { len: u64::from_le_bytes(*len), sum: u32::from_le_bytes(*sum), begins })
    }
}

pub(super) fn name(seq: u64) -> String {
    format!("{seq:020}{SUFFIX}")
}

/// Number of the record that a file holds, if it is a blob.
pub(super) fn seq(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// Reads a record from its blob.
pub(super) fn read<D: Disk>(disk: &D, seq: u64, reference: Reference) -> Result<Bytes, StoreError> {
    let name = name(seq);
    let corrupt = |name| StoreError::Corrupt { file: name, offset: 0 };
    let io = |what: &str, source| StoreError::Io { what: format!("{what} {}", self::name(seq)), source };
    let file = match disk.open(&name) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(corrupt(name)),
        Err(error) => return Err(io("opening", error)),
    };
    let len = file.len().map_err(|source| io("reading", source))?;
    let Some(len) = usize::try_from(len).ok().filter(|_| len == reference.len) else { return Err(corrupt(name)) };
    let mut bytes = vec![0; len];
    let read = file.read_at(0, &mut bytes).map_err(|source| io("reading", source))?;
    if read != len || crc32c::crc32c(&bytes) != reference.sum {
        return Err(corrupt(name));
    }
    Ok(bytes.into())
}
