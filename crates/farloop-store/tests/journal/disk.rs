//! A disk in memory that counts what is asked of it, stops at any of it, loses and tears what was not synced, runs full
//! and fails.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use farloop_store::disk::{Disk, DiskFile};

const SECTOR: usize = 64;

/// Shared: what a test keeps while a journal has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// As a process sees them.
    names: BTreeMap<String, usize>,
    /// As they are after a crash of the machine.
    durable_names: BTreeMap<String, usize>,
    files: Vec<Content>,
    operations: u64,
    stop_at: Option<u64>,
    fail: Option<(Operation, u64)>,
    capacity: Option<u64>,
    locked: bool,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// What a disk is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Name,
    Write,
    Sync,
    Other,
}

#[derive(Debug)]
pub(crate) struct SimFile {
    disk: SimDisk,
    file: usize,
}

/// splitmix64
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, mut keep: impl FnMut() -> bool) {
        match self {
            Self::Write(at, written) => {
                bytes.resize(bytes.len().max(at + written.len()), 0);
                let mut from = 0;
                while from < written.len() {
                    let to = ((at + from) / SECTOR * SECTOR + SECTOR - at).min(written.len());
                    if keep() {
                        bytes[at + from..at + to].copy_from_slice(&written[from..to]);
                    }
                    from = to;
                }
            }
            Self::Length(len) => bytes.resize(*len, 0),
        }
    }
}

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// From this operation on everything fails, until a crash.
    pub(crate) fn stop_at(&self, operation: u64) {
        self.state().stop_at = Some(operation);
    }

    /// The next operation but `skip` of that kind fails, once.
    pub(crate) fn fail(&self, operation: Operation, skip: u64) {
        self.state().fail = Some((operation, skip));
    }

    /// Bytes that fit.
    pub(crate) fn hold(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes that are taken.
    pub(crate) fn used(&self) -> u64 {
        self.state().used()
    }

    /// The process ends; the machine goes on.
    pub(crate) fn kill(&self) {
        let mut state = self.state();
        state.locked = false;
        state.stop_at = None;
        state.fail = None;
    }

    /// The machine stops: what was not synced is there, or not, or partly.
    pub(crate) fn crash(&self, dice: &mut Dice) {
        self.kill();
        let mut state = self.state();
        // Some crashes lose all, some nothing, most some.
        let mood = dice.roll(4);
        let keep = |dice: &mut Dice| mood == 0 || mood > 1 && dice.roll(2) == 0;
        for file in &mut state.files {
            let mut bytes = std::mem::take(&mut file.durable);
            for change in std::mem::take(&mut file.pending) {
                let lost = matches!(change, Change::Length(_)) && !keep(dice);
                if !lost {
                    change.apply(&mut bytes, || keep(dice));
                }
            }
            file.durable.clone_from(&bytes);
            file.bytes = bytes;
        }
        let State { names, durable_names, .. } = &mut *state;
        let mut all: Vec<String> = names.keys().chain(durable_names.keys()).cloned().collect();
        all.dedup();
        for name in all {
            if keep(dice) {
                match names.get(&name) {
                    Some(&file) => durable_names.insert(name, file),
                    None => durable_names.remove(&name),
                };
            }
        }
        *names = durable_names.clone();
    }

    pub(crate) fn files(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.names[name]].bytes.clone()
    }

    /// A disk with the same files, and a life of its own.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::default();
        for name in self.files() {
            copy.put(&name, self.bytes(&name));
        }
        copy
    }

    /// Changes a file behind everybody's back.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let file = state.files.len();
        state.files.push(Content { durable: bytes.clone(), bytes, pending: Vec::new() });
        state.names.insert(name.into(), file);
        state.durable_names.insert(name.into(), file);
    }

    pub(crate) fn take_away(&self, name: &str) {
        let mut state = self.state();
        state.names.remove(name);
        state.durable_names.remove(name);
    }
}

impl State {
    fn used(&self) -> u64 {
        self.names.values().map(|&file| self.files[file].bytes.len() as u64).sum()
    }

    /// Counts an operation, unless it is the one that fails.
    fn count(&mut self, operation: Operation, grows: u64) -> io::Result<()> {
        if self.stop_at.is_some_and(|at| self.operations >= at) {
            return Err(io::Error::other("the machine stopped"));
        }
        self.operations += 1;
        if let Some((kind, skip)) = &mut self.fail
            && *kind == operation
        {
            if *skip == 0 {
                self.fail = None;
                return Err(io::Error::other("input/output error"));
            }
            *skip -= 1;
        }
        match self.capacity {
            Some(capacity) if grows > 0 && self.used() + grows > capacity => Err(ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn place(&self) -> String {
        "memory".into()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files())
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let state = self.state();
        let file = *state.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(SimFile { disk: self.clone(), file })
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.state();
        state.count(Operation::Name, 0)?;
        let file = state.files.len();
        state.files.push(Content::default());
        state.names.insert(name.into(), file);
        Ok(SimFile { disk: self.clone(), file })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.count(Operation::Name, 0)?;
        state.names.remove(name).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.state();
        state.count(Operation::Sync, 0)?;
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn lock(&mut self) -> io::Result<bool> {
        Ok(!std::mem::replace(&mut self.state().locked, true))
    }
}

impl SimFile {
    fn change(&self, operation: Operation, grows: u64, change: Change) -> io::Result<()> {
        let mut state = self.disk.state();
        state.count(operation, grows)?;
        let file = &mut state.files[self.file];
        change.apply(&mut file.bytes, || true);
        file.pending.push(change);
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.file].bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        let bytes = state.files[self.file].bytes.get(offset as usize..).unwrap_or_default();
        let read = bytes.len().min(into.len());
        into[..read].copy_from_slice(&bytes[..read]);
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let grows = (offset + bytes.len() as u64).saturating_sub(self.len()?);
        self.change(Operation::Write, grows, Change::Write(offset as usize, bytes.to_vec()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.count(Operation::Sync, 0)?;
        let file = &mut state.files[self.file];
        file.durable.clone_from(&file.bytes);
        file.pending.clear();
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.change(Operation::Other, 0, Change::Length(len as usize))
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        let now = self.len()?;
        let len = len.max(now);
        self.change(Operation::Other, len - now, Change::Length(len as usize))
    }
}
