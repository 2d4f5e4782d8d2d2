//! A disk that loses what was not synced, in sectors and in any order, fails when it is told to, and flips bits.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farloop_store::disk::{Disk, DiskFile};

use crate::rng::Rng;

/// What is written whole or not at all, in bytes.
const SECTOR: usize = 512;

/// A write as short as this is no record, in bytes.
const MARK: usize = 64;

/// A folder in memory. Clones are the same folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

/// An open file in it.
#[derive(Clone, Debug)]
pub(crate) struct SimFile {
    disk: SimDisk,
    node: u64,
}

#[derive(Clone, Debug, Default)]
struct State {
    names: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    /// Changes of names since the folder was synced.
    moves: Vec<Move>,
    nodes: BTreeMap<u64, Node>,
    next: u64,
    /// Operations until one fails, and all after it.
    fails_in: Option<u64>,
}

#[derive(Clone, Debug)]
enum Move {
    Create(String, u64),
    Remove(String),
}

#[derive(Clone, Debug, Default)]
struct Node {
    data: Vec<u8>,
    durable: Vec<u8>,
    changes: Vec<Change>,
    /// Where the last two writes began that went further than all before.
    begun: (usize, usize),
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Grow(usize),
    Cut(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                let end = at + bytes.len();
                to.resize(to.len().max(end), 0);
                to[*at..end].copy_from_slice(bytes);
            }
            Self::Grow(len) => to.resize(to.len().max(*len), 0),
            Self::Cut(len) => to.truncate(*len),
        }
    }
}

impl Move {
    fn apply(&self, to: &mut BTreeMap<String, u64>) {
        match self {
            Self::Create(name, node) => {
                to.insert(name.clone(), *node);
            }
            Self::Remove(name) => {
                to.remove(name);
            }
        }
    }
}

/// What a crash leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    /// The process ended, the machine did not.
    All,
    Nothing,
    /// As it was written, up to somewhere.
    Beginning,
    /// Any sectors.
    Some,
}

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        // A world that panicked is not looked at again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy that is a folder of its own.
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    pub(crate) fn fail_after(&self, operations: Option<u64>) {
        self.state().fails_in = operations;
    }

    /// The machine or the process ended.
    pub(crate) fn crash(&self, rng: &mut Rng) {
        let leaves = *rng.pick(&[Leaves::All, Leaves::Nothing, Leaves::Beginning, Leaves::Some, Leaves::Some]);
        self.state().crash(leaves, rng);
    }

    /// Flips a bit of something durable that something durable follows. None: there is nothing.
    pub(crate) fn flip(&self, rng: &mut Rng) -> Option<(String, usize)> {
        let mut state = self.state();
        let long = |(_, node): &(&String, &u64)| state.nodes.get(node).is_some_and(|n| n.begun.0 > 0);
        let places = state.names.iter().filter(long).map(|(name, node)| (name.clone(), *node)).collect::<Vec<_>>();
        if places.is_empty() {
            return None;
        }
        let (name, node) = rng.pick(&places).clone();
        let node = state.nodes.get_mut(&node)?;
        let at = rng.index(node.begun.0.min(node.data.len()));
        let bit = 1 << rng.below(8);
        *node.data.get_mut(at)? ^= bit;
        Some((name, at))
    }
}

impl State {
    /// An operation that changes something. True: it fails, in the middle.
    fn works(&mut self) -> io::Result<()> {
        match &mut self.fails_in {
            Some(0) => Err(io::Error::other("the disk failed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn crash(&mut self, leaves: Leaves, rng: &mut Rng) {
        self.fails_in = None;
        let moved = match leaves {
            Leaves::All => self.moves.len(),
            Leaves::Nothing => 0,
            Leaves::Beginning | Leaves::Some => rng.index(self.moves.len() + 1),
        };
        let mut names = std::mem::take(&mut self.durable);
        self.moves.drain(..).take(moved).for_each(|change| change.apply(&mut names));
        let kept = names.values().copied().collect::<std::collections::BTreeSet<_>>();
        self.nodes.retain(|node, _| kept.contains(node));
        self.nodes.values_mut().for_each(|node| node.crash(leaves, rng));
        self.durable.clone_from(&names);
        self.names = names;
    }

    fn change(&mut self, node: u64, change: Change) -> io::Result<()> {
        let works = self.works();
        let Some(node) = self.nodes.get_mut(&node) else { return works };
        if let Change::Write(at, bytes) = &change
            && bytes.len() > MARK
            && *at > node.begun.1
        {
            node.begun = (node.begun.1, *at);
        }
        change.apply(&mut node.data);
        node.changes.push(change);
        works
    }
}

impl Node {
    fn crash(&mut self, leaves: Leaves, rng: &mut Rng) {
        let changes = std::mem::take(&mut self.changes);
        let some = if leaves == Leaves::Beginning { rng.index(changes.len() + 1) } else { changes.len() };
        for (n, change) in changes.iter().enumerate() {
            match (leaves, change) {
                (Leaves::All, _) => change.apply(&mut self.durable),
                (Leaves::Nothing, _) => return self.data.clone_from(&self.durable),
                (Leaves::Beginning, _) if n < some => change.apply(&mut self.durable),
                (Leaves::Beginning, Change::Write(at, bytes)) if n == some => {
                    let torn = rng.index(bytes.len() + 1);
                    Change::Write(*at, bytes[..torn].to_vec()).apply(&mut self.durable);
                }
                (Leaves::Some, Change::Write(at, bytes)) => {
                    let (mut from, end) = (*at, at + bytes.len());
                    while from < end {
                        let to = ((from / SECTOR + 1) * SECTOR).min(end);
                        if rng.chance(500) {
                            Change::Write(from, bytes[from - at..to - at].to_vec()).apply(&mut self.durable);
                        }
                        from = to;
                    }
                }
                (Leaves::Some, _) if rng.chance(500) => change.apply(&mut self.durable),
                (Leaves::Beginning | Leaves::Some, _) => {}
            }
        }
        self.data.clone_from(&self.durable);
    }
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no {name}"))
}

impl Disk for SimDisk {
    type File = SimFile;

    fn place(&self) -> String {
        "the simulator".into()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let node = *self.state().names.get(name).ok_or_else(|| missing(name))?;
        Ok(SimFile { disk: self.clone(), node })
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.state();
        state.works()?;
        state.next += 1;
        let node = state.next;
        state.nodes.insert(node, Node::default());
        state.names.insert(name.into(), node);
        state.moves.push(Move::Create(name.into(), node));
        drop(state);
        Ok(SimFile { disk: self.clone(), node })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.works()?;
        state.names.remove(name).ok_or_else(|| missing(name))?;
        state.moves.push(Move::Remove(name.into()));
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.state();
        state.works()?;
        state.moves.clear();
        state.durable = state.names.clone();
        Ok(())
    }

    fn lock(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&Node) -> T) -> io::Result<T> {
        self.disk.state().nodes.get(&self.node).map(act).ok_or_else(|| missing("file"))
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|node| node.data.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.with(|node| {
            let from = (offset as usize).min(node.data.len());
            let count = into.len().min(node.data.len() - from);
            into[..count].copy_from_slice(&node.data[from..from + count]);
            count
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.state().change(self.node, Change::Write(offset as usize, bytes.to_vec()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.works()?;
        if let Some(node) = state.nodes.get_mut(&self.node) {
            let changes = std::mem::take(&mut node.changes);
            changes.iter().for_each(|change| change.apply(&mut node.durable));
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.disk.state().change(self.node, Change::Cut(len as usize))
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.disk.state().change(self.node, Change::Grow(len as usize))
    }
}
