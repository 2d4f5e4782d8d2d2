//! Who did what, across processes: each body appends a line to one file, and waits at gates that are files too. Not a
//! word of it goes through farloop, so it can bear witness against farloop.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use farloop::TaskId;
use tempfile::TempDir;

use crate::until;

/// Where a process finds the directory.
pub const VARIABLE: &str = "FARLOOP_TEST_TALLY";

/// One thing that a body did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// `begun`, `cancelled`, `left`.
    pub what: String,
    /// What the test calls it.
    pub label: String,
    /// Task id.
    pub task: String,
    /// Process.
    pub pid: u32,
    /// When, in milliseconds since the machine started: the same clock for all processes.
    pub at: u64,
}

/// The directory, gone when this is dropped.
#[derive(Debug)]
pub struct Tally(TempDir);

impl Tally {
    /// An empty one.
    ///
    /// # Panics
    /// If there is no place for it.
    #[must_use]
    pub fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    /// For processes that are started.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// All marks so far, in order.
    #[must_use]
    pub fn marks(&self) -> Vec<Mark> {
        let text = fs::read_to_string(self.path().join("marks")).unwrap_or_default();
        // A line that is being written has no end yet.
        text.split_inclusive('\n').filter(|line| line.ends_with('\n')).filter_map(Mark::parse).collect()
    }

    /// Marks of that kind and label.
    #[must_use]
    pub fn of(&self, what: &str, label: &str) -> Vec<Mark> {
        self.marks().into_iter().filter(|m| m.what == what && m.label == label).collect()
    }

    /// Waits until bodies have made `n` marks of that kind and label, or more.
    pub async fn sees(&self, n: usize, what: &str, label: &str) -> Vec<Mark> {
        until(&format!("'{label}' is {what} {n} times"), async || {
            Some(self.of(what, label)).filter(|marks| marks.len() >= n)
        })
        .await
    }

    /// Waits until a body with that label has begun in that process.
    pub async fn begins_in(&self, label: &str, pid: u32) -> Mark {
        until(&format!("'{label}' begins in process {pid}"), async || {
            self.of("begun", label).into_iter().find(|m| m.pid == pid)
        })
        .await
    }

    /// Lets everybody through who waits at that gate.
    ///
    /// # Panics
    /// If the file cannot be made.
    pub fn open(&self, gate: &str) {
        fs::write(self.path().join(gate), "").expect("a file in a directory of one's own");
    }

    /// How often each task's body began, from the `skip`th mark on.
    #[must_use]
    pub fn begun_since(&self, skip: usize) -> BTreeMap<String, (String, usize)> {
        let mut begun = BTreeMap::new();
        for mark in self.marks().into_iter().skip(skip).filter(|m| m.what == "begun") {
            begun.entry(mark.task).or_insert((mark.label, 0)).1 += 1;
        }
        begun
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Mark {
    /// The task's id, as the SDK has it.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn id(&self) -> TaskId {
        TaskId::parse(&self.task).expect("a body notes the id of its task")
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.trim_end().split('\t').map(str::to_owned);
        let (what, label, task) = (words.next()?, words.next()?, words.next()?);
        let (pid, at) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { what, label, task, pid, at })
    }
}

fn place(name: &str) -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(|dir| Path::new(&dir).join(name))
}

/// The time of a [`Mark`] that is made now.
///
/// # Panics
/// Where there is no `/proc`.
#[must_use]
pub fn now() -> u64 {
    let uptime = fs::read_to_string("/proc/uptime").expect("/proc/uptime can be read");
    let seconds: Option<f64> = uptime.split_whitespace().next().and_then(|word| word.parse().ok());
    (seconds.expect("it begins with a number of seconds") * 1_000.0) as u64
}

/// Notes what the body of `task` did. Nothing without a directory.
pub(crate) fn mark(what: &str, label: &str, task: &str) {
    let Some(path) = place("marks") else { return };
    let line = format!("{what}\t{label}\t{task}\t{}\t{}\n", std::process::id(), now());
    // One write to a file in append mode: lines of several processes do not mix.
    let written =
        OpenOptions::new().create(true).append(true).open(path).and_then(|mut f| f.write_all(line.as_bytes()));
    if let Err(error) = written {
        eprintln!("no mark could be made: {error}");
    }
}

/// Whether a gate is open.
#[must_use]
pub fn is_open(gate: &str) -> bool {
    place(gate).is_some_and(|path| path.exists())
}

/// Whether nobody has asked this before, in any process.
pub(crate) fn is_first(what: &str) -> bool {
    place(what).is_some_and(|path| OpenOptions::new().write(true).create_new(true).open(path).is_ok())
}
