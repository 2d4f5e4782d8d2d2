//! A folder of this machine.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{Disk, DiskFile};

/// Locked for as long as a process uses the folder. It stays when the process ends; the lock does not.
const LOCK: &str = "lock";

/// A folder of the file system.
#[derive(Debug)]
pub struct RealDisk {
    folder: PathBuf,
    /// For syncs of the folder itself.
    handle: File,
    /// Files are opened to be read alone.
    reading: bool,
    lock: Option<File>,
}

/// A file in it.
#[derive(Debug)]
pub struct RealFile(File);

impl RealDisk {
    /// Opens the folder, and makes it if it is not there.
    ///
    /// # Errors
    /// It cannot be made or opened.
    pub fn new(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        if !folder.is_dir() {
            fs::create_dir_all(&folder)?;
            // Or the folder itself would be lost with the machine, and everything in it.
            if let Some(parent) = folder.canonicalize()?.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        Self::existing(folder).map(|disk| Self { reading: false, ..disk })
    }

    /// Opens a folder that is there, to read what is in it.
    ///
    /// # Errors
    /// It is not there, or cannot be opened.
    pub fn existing(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        if !folder.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let handle = File::open(&folder)?;
        Ok(Self { folder, handle, reading: true, lock: None })
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Disk for RealDisk {
    type File = RealFile;

    fn place(&self) -> String {
        self.folder.display().to_string()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // What has no text for a name is not ours.
            if let (true, Ok(name)) = (entry.file_type()?.is_file(), entry.file_name().into_string()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<RealFile> {
        OpenOptions::new().read(true).write(!self.reading).open(self.path(name)).map(RealFile)
    }

    fn create(&self, name: &str) -> io::Result<RealFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).open(self.path(name)).map(RealFile)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn lock(&mut self) -> io::Result<bool> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.path(LOCK))?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < into.len() {
            match self.0.read_at(&mut into[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(bytes) => read += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        // Its length counts as data; times do not.
        self.0.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        match fallocate(&self.0, FallocateFlags::empty(), 0, len) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.fill(len),
            answer => Ok(answer?),
        }
    }
}

impl RealFile {
    /// Takes room where the file system cannot be asked for it: by zeros.
    fn fill(&self, len: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let mut at = self.len()?;
        while at < len {
            let piece = ZEROS.len().min(usize::try_from(len - at).unwrap_or(usize::MAX));
            self.0.write_all_at(&ZEROS[..piece], at)?;
            at += piece as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on fails
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = RealDisk::new(folder.path()).unwrap();
        let mut second = RealDisk::new(folder.path()).unwrap();
        assert!(first.lock().unwrap());
        assert!(!second.lock().unwrap());
        drop(first);
        assert!(second.lock().unwrap());
    }

    #[test]
    fn room_is_zeros_however_it_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(folder.path().join("made")).unwrap();
        for take in [RealFile::preallocate, RealFile::fill] {
            let file = disk.create("file").unwrap();
            file.write_at(0, b"kept").unwrap();
            take(&file, 100_000).unwrap();
            let mut bytes = vec![1; 100_001];
            assert_eq!(file.read_at(0, &mut bytes).unwrap(), 100_000);
            assert_eq!(&bytes[..4], b"kept");
            assert!(bytes[4..100_000].iter().all(|&byte| byte == 0));
        }
        assert_eq!(disk.list().unwrap(), ["file"]);
    }
}
