//! Where the coordinator's durable records go.
//!
//! The core numbers its records from 1 and says in which order they count; a [`Store`] makes them durable in that
//! order and says how far it got. Group commit is the whole interface: append many, [`sync`](Store::sync) once.
//! What the core tells the world waits for that answer, so a store may be slow and must never be wrong.
//!
//! Records leave by whole parts, the oldest first ([`leaving`](Store::leaving), [`drop_part`](Store::drop_part)), after
//! the core has said once more what it still needs of them.
//!
//! [`MemoryStore`] is for tests; [`Journal`] is for coordinators. How many tasks a journal makes durable per second:
//!
//! ```text
//! cargo run --release -p farloop-store --example durable_pairs
//! ```

pub mod disk;
mod journal;
mod memory;

pub use journal::{Journal, JournalOptions, Report, snapshot, verify};
pub use memory::MemoryStore;

use farloop_core::id::TaskId;
use farloop_core::record::Record;
use farloop_core::time::Time;

/// A record and its number.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// From 1, without gaps, over all lives of the coordinator.
    pub seq: u64,
    /// What happened.
    pub record: Record,
}

/// Whether a store can take more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// Yes.
    #[default]
    Plenty,
    /// Only what ends or carries on what is there: new work should be refused, with this reason.
    Low(String),
}

/// Records that may leave together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which: what [`Store::drop_part`] is told.
    pub number: u64,
    /// Tasks whose beginning it holds (`Submitted` or `Carried`), each once, by id. Those that are still known must be
    /// carried before the part leaves.
    pub tasks: Vec<TaskId>,
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
    /// After any error nobody knows what is on the disk: the process must stop, and recover when it starts.
    fn sync(&mut self) -> Result<u64, StoreError>;

    /// Number of the last record that survives a crash now (0: none).
    fn durable(&self) -> u64;

    /// Every durable record that has not left, oldest first, for recovery: the fold of exactly these is the state
    /// (L17). The first number is above 1 once a part has left.
    ///
    /// # Errors
    /// The records cannot be read, or one in the middle is corrupt.
    fn replay(&mut self, each: &mut dyn FnMut(Entry)) -> Result<(), StoreError>;

    /// Bytes of all records that have not left; 0 where nobody counts them.
    fn bytes(&self) -> u64 {
        0
    }

    /// Whether it can take more. To be asked after each [`sync`](Self::sync), and from time to time while it is low:
    /// asking looks whether there is room again.
    fn room(&mut self) -> Room;

    /// The oldest part, if it is time for it to leave: what ended in it ended before that moment, or the store needs
    /// the room. Asked again, it answers the same until [`drop_part`](Self::drop_part).
    ///
    /// # Errors
    /// As [`replay`](Self::replay).
    fn leaving(&mut self, finished_before: Time) -> Result<Option<Part>, StoreError>;

    /// Lets the oldest part go. What is still needed of it must be durable: carried, below the answer of
    /// [`sync`](Self::sync).
    ///
    /// # Errors
    /// As [`sync`](Self::sync); [`StoreError::NotOldest`] changes nothing.
    fn drop_part(&mut self, number: u64) -> Result<(), StoreError>;
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
    /// Parts leave in order, and the one that is written to does not leave: a defect of the driver.
    #[error("part {0} is not the oldest one that may leave")]
    NotOldest(u64),
    /// Reading, writing or syncing failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with the place.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Nothing is written after a failed write or sync: nobody knows what it left behind.
    #[error("the store stopped after an earlier failure")]
    Stopped,
    /// Another process has it open.
    #[error("{0} is in use by another process")]
    Locked(String),
    /// A later version of farloop wrote it.
    #[error("{file} has format {found}, and this version of farloop reads up to {known}: start the later version")]
    TooNew {
        /// Where.
        file: String,
        /// Its format.
        found: u32,
        /// The last format that is known here.
        known: u32,
    },
    /// A record that holds its checksum is none that is known here: a later version wrote it.
    #[error("{file} has a record at byte {offset} that cannot be read: {why}")]
    Unreadable {
        /// Where.
        file: String,
        /// First byte of the frame that it is in.
        offset: u64,
        /// Why.
        why: String,
    },
    /// Something bad is followed by good records, or was known to be durable: not a torn write but damage (L17).
    #[error("{file} is corrupt at byte {offset}, and good records follow; restore it from a copy")]
    Corrupt {
        /// Where.
        file: String,
        /// First byte of the bad record.
        offset: u64,
    },
}
