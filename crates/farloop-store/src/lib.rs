//! Where the coordinator's durable records go.
//!
//! The core numbers its records from 1 and says in which order they count; a [`Store`] makes them durable in that
//! order and says how far it got. Group commit is the whole interface: append many, [`sync`](Store::sync) once.
//! What the core tells the world waits for that answer, so a store may be slow and must never be wrong.

mod memory;

pub use memory::MemoryStore;

use farloop_core::api::Record;

/// A record and its number.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// From 1, without gaps.
    pub seq: u64,
    /// What happened.
    pub record: Record,
}

/// Keeps records in order.
///
/// A store is driven by one writer. An adapter over a disk appends to a buffer and syncs from a thread of its own; the
/// driver keeps appending in the meantime and learns later how far the disk is.
pub trait Store: Send {
    /// For people: `memory`, or the kind of store and its place.
    fn name(&self) -> &str;

    /// Takes a record. It need not be durable yet.
    ///
    /// # Errors
    /// The number does not follow the last one, or the record cannot be taken. The store is unchanged.
    fn append(&mut self, entry: Entry) -> Result<(), StoreError>;

    /// Makes durable everything appended so far, and answers the number of the last durable record (0: none).
    ///
    /// # Errors
    /// After [`StoreError::Io`] nobody knows what is on the disk: the process must stop, and recover when it starts.
    fn sync(&mut self) -> Result<u64, StoreError>;

    /// Number of the last record that survives a crash now (0: none).
    fn durable(&self) -> u64;

    /// Every durable record, oldest first, for recovery: the fold of exactly these is the state (L17).
    ///
    /// # Errors
    /// The records cannot be read, or one in the middle is corrupt.
    fn replay(&mut self, each: &mut dyn FnMut(Entry)) -> Result<(), StoreError>;
}

/// What a store cannot do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Records came out of order: a defect of the driver.
    #[error("record {got} came where record {expected} was expected")]
    OutOfOrder {
        /// The number that follows.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// Reading, writing or syncing failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with the place.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A bad record is followed by a good one: not a torn write but damage (L17).
    #[error("{file} is corrupt at byte {offset}, and good records follow; restore it from a copy")]
    Corrupt {
        /// Where.
        file: String,
        /// First byte of the bad record.
        offset: u64,
    },
}
