//! L1 with a real process: killed while it writes, it leaves behind all that it called durable.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use farloop_core::time::Time;
use farloop_store::disk::RealDisk;
use farloop_store::{Journal, Store as _, StoreError};

use crate::disk::Dice;
use crate::records::{SMALL, replayed, varied, write};

const FOLDER: &str = "FARLOOP_TEST_WRITE_TO";

fn open(folder: &std::ffi::OsStr) -> Result<Journal<RealDisk>, StoreError> {
    Journal::open(RealDisk::new(folder).unwrap(), SMALL)
}

/// Not a test on its own: what the test below starts, and kills. It ends by itself if nobody does.
#[test]
fn writes_until_it_is_killed() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let mut store = open(&folder).unwrap();
    let mut dice = Dice(store.durable());
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        write(&mut store, 1 + dice.roll(30)).unwrap();
        if let Some(part) = store.leaving(Time(store.durable().saturating_sub(100))).unwrap() {
            store.drop_part(part.number).unwrap();
        }
        writeln!(std::io::stderr(), "durable {}", store.durable()).unwrap();
    }
}

#[test]
fn a_killed_writer_leaves_all_that_it_called_durable_l1() {
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice(3);
    let mut called = 0;
    for round in 0..12 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "killed::writes_until_it_is_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = |line: std::io::Result<String>| line.ok()?.strip_prefix("durable ")?.parse().ok();
        let before = called;
        for _ in 0..=dice.roll(40) {
            called = lines.next().and_then(said).unwrap_or(called);
        }
        child.kill().unwrap();
        called = lines.filter_map(said).last().unwrap_or(called);
        child.wait().unwrap();
        assert!(called > before, "round {round}: it wrote nothing");
        let mut store = open(folder.path().as_os_str()).unwrap();
        let read = replayed(&mut store).unwrap();
        assert!(store.durable() >= called, "round {round}: {} of {called}", store.durable());
        let expected: Vec<_> = (read[0].seq..=store.durable()).map(varied).collect();
        assert!(read == expected, "round {round}");
    }
}
