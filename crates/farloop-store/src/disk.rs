//! Files, as the journal needs them: one folder, whole files by name, reads and writes at an offset.
//!
//! What is written survives a crash of the process. What survives a crash of the machine is said by
//! [`sync`](DiskFile::sync) for a file's content, and by [`sync_folder`](Disk::sync_folder) for the creation and
//! removal of files. The simulator implements the same traits over memory that loses, tears and flips.

mod real;

pub use real::{RealDisk, RealFile};

use std::io;

/// A folder.
///
/// All errors are those of the system; `ErrorKind::StorageFull` says that the disk is full, and `NotFound` that there
/// is no such file.
pub trait Disk: Send {
    /// An open file.
    type File: DiskFile;

    /// For people: where it is.
    fn place(&self) -> String;

    /// Names of all files, in any order.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file that is there, for reading and writing.
    ///
    /// # Errors
    /// There is none, or it cannot be opened.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Makes an empty file, in place of one that is there. Its name is not durable before
    /// [`sync_folder`](Self::sync_folder).
    ///
    /// # Errors
    /// It cannot be made.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Removes a file. Not durable before [`sync_folder`](Self::sync_folder).
    ///
    /// # Errors
    /// There is none, or it cannot be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names of files durable.
    ///
    /// # Errors
    /// Nobody knows which names are durable: the process must stop.
    fn sync_folder(&self) -> io::Result<()>;

    /// Takes the folder for this process alone, until the answer is dropped or the process ends. False if another one
    /// has it.
    ///
    /// # Errors
    /// The folder cannot be locked.
    fn lock(&mut self) -> io::Result<bool>;
}

/// A file that is open for reading and writing.
pub trait DiskFile: Send {
    /// Its length in bytes.
    ///
    /// # Errors
    /// It cannot be asked.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no byte.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Reads bytes from an offset on, and says how many: fewer than asked for only at the end of the file.
    ///
    /// # Errors
    /// It cannot be read.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all these bytes at an offset; the file grows if it has to. Not durable before [`sync`](Self::sync).
    ///
    /// # Errors
    /// Nobody knows what is written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes the content and the length durable.
    ///
    /// # Errors
    /// Nobody knows what is durable, and trying again would not tell: the process must stop.
    fn sync(&self) -> io::Result<()>;

    /// Cuts it to that length. Not durable before [`sync`](Self::sync).
    ///
    /// # Errors
    /// It cannot be cut.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes it at least that long, with zeros, and takes the room on the disk: a later write within that length does
    /// not fail because the disk is full.
    ///
    /// # Errors
    /// The room is not there.
    fn preallocate(&self, len: u64) -> io::Result<()>;
}
