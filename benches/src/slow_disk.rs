//! A disk whose syncs take their time, so that durable figures do not depend on the machine's own disk: the files are in
//! memory (`/dev/shm`), and each sync of a file sleeps.

use std::io;
use std::path::Path;
use std::time::Duration;

use farloop_store::disk::{Disk, DiskFile, RealDisk, RealFile};

/// A folder, as it is, but slow.
#[derive(Debug)]
pub struct SlowDisk {
    disk: RealDisk,
    sync: Duration,
}

/// One of its files.
#[derive(Debug)]
pub struct SlowFile {
    file: RealFile,
    sync: Duration,
}

impl SlowDisk {
    /// In that folder, with syncs that take so long at least.
    ///
    /// # Errors
    /// The folder cannot be made or opened.
    pub fn new(folder: &Path, sync: Duration) -> io::Result<Self> {
        Ok(Self { disk: RealDisk::new(folder)?, sync })
    }

    fn slow(&self, file: RealFile) -> SlowFile {
        SlowFile { file, sync: self.sync }
    }
}

impl Disk for SlowDisk {
    type File = SlowFile;

    fn place(&self) -> String {
        self.disk.place()
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn open(&self, name: &str) -> io::Result<SlowFile> {
        self.disk.open(name).map(|file| self.slow(file))
    }
    fn create(&self, name: &str) -> io::Result<SlowFile> {
        self.disk.create(name).map(|file| self.slow(file))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_folder(&self) -> io::Result<()> {
        self.disk.sync_folder()
    }
    fn lock(&mut self) -> io::Result<bool> {
        self.disk.lock()
    }
}

impl DiskFile for SlowFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, into)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        std::thread::sleep(self.sync);
        self.file.sync()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }
    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.file.preallocate(len)
    }
}
