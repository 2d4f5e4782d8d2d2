//! A disk that breaks under `farloop coordinator`: a sync that fails, a write that fails in its middle. The process says so
//! and ends, since nobody knows what is on the disk; the next one reads what is there, and nothing acknowledged is missing.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::path::{Path, PathBuf};
use std::process::Command;

use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::{People, State};
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::{bounded, until};

const NODE: &str = env!("CARGO_BIN_EXE_cluster_node");
const COUNTING: &str = env!("CARGO_BIN_EXE_counting_worker");
const SHIM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broken_disk/shim.c");
/// As that file reads it.
const BREAKS: &str = "FARLOOP_TEST_BREAKS";
/// Standard error goes to a file; the shell is gone before the disk breaks.
const ERRORS_TO: &str = "errors=$1; shift; exec \"$0\" \"$@\" 2>\"$errors\"";

/// Rust links with `cc`, so it is there where this is built.
fn shim(place: &Path) -> String {
    let library = place.join("shim.so");
    let cc = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(SHIM).arg("-ldl").status();
    assert!(cc.unwrap().success(), "{SHIM} compiles");
    library.display().to_string()
}

struct Breaking {
    place: tempfile::TempDir,
    node: Node,
    address: String,
}

impl Breaking {
    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn start() -> Self {
        let place = tempfile::TempDir::new().unwrap();
        let path = |name: &str| place.path().join(name).display().to_string();
        let program = Program::new("sh").env("LD_PRELOAD", &shim(place.path())).env(BREAKS, &path("breaks"));
        let words = ["-c", ERRORS_TO, NODE, &path("errors"), "coordinator", "--port", "0", "--data-dir", &path("data")];
        let node = words.into_iter().fold(program, Program::arg).start();
        let address = node.line().rsplit(' ').next().unwrap().to_owned();
        Self { place, node, address }
    }

    fn breaks(&self, what: &str) {
        // At once, not when it is half written.
        std::fs::write(self.path("prepared"), what).unwrap();
        std::fs::rename(self.path("prepared"), self.path("breaks")).unwrap();
    }

    /// Another process on the same records and the same port, with a disk that works.
    fn again(&mut self) {
        let port = self.address.rsplit(':').next().unwrap();
        let dir = self.path("data").display().to_string();
        let words = ["coordinator", "--port", port, "--data-dir", &dir];
        self.node = words.into_iter().fold(Program::new(NODE), Program::arg).start();
        assert!(self.node.line().ends_with(&self.address));
    }
}

fn a_disk_breaks(what: &str) {
    bounded(async {
        let mut coordinator = Breaking::start();
        let url = format!("http://{}", coordinator.address);
        let tally = Tally::new();
        let worker = Program::new(COUNTING).at(&url).named("one").tally(&tally);
        let _worker = worker.start();
        People::at(&url).await.joined(&["one"]).await;
        let mut people = People::at(&url).await;
        let mut ended = Vec::new();
        for _ in 0..20 {
            let task = people.submit("count.echo", "early").await.unwrap();
            people.reaches(task, State::Succeeded).await;
            ended.push(task);
        }
        // One after the other, as fast as they are acknowledged, until one is not. Nobody sends one again.
        let mut acknowledged = Vec::new();
        while let Ok(task) = people.submit("count.echo", "late").await {
            acknowledged.push(task);
            if acknowledged.len() == 100 {
                coordinator.breaks(what);
            }
        }
        let status = coordinator.node.ended().await;
        assert_eq!(status.code(), Some(1));
        let said = std::fs::read_to_string(coordinator.path("errors")).unwrap();
        println!("after {} acknowledged: {said}", acknowledged.len());
        for part in ["the store failed, so the coordinator stopped", ".journal: Input/output error"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let last = said.lines().last().unwrap();
        assert_eq!(last.matches("Input/output error").count(), 1, "{last}");
        assert!(acknowledged.len() >= 100);

        coordinator.again();
        let mut people = until("it is there again", async || Some(People::at(&url).await)).await;
        until("it has read its records", async || people.task(ended[0]).await.ok()).await;
        for task in ended {
            assert_eq!(people.state(task).await, State::Succeeded);
        }
        for task in acknowledged {
            people.task(task).await.unwrap();
            people.reaches(task, State::Succeeded).await;
        }
    });
}

#[test]
fn l1_a_sync_that_fails_stops_the_coordinator_and_loses_nothing_acknowledged() {
    a_disk_breaks("sync");
}

#[test]
fn l1_a_write_that_fails_stops_the_coordinator_and_loses_nothing_acknowledged() {
    a_disk_breaks("write");
}
