//! Many tasks through a coordinator that keeps its records: memory and disk are flat once they have warmed up.
//!
//! `cargo xtask soak` runs ten million; `FARLOOP_SOAK_TASKS` says how many it is here.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::path::Path;
use std::time::{Duration, Instant};

use farloop::prelude::*;
use farloop_test_cluster::bounded_by;
use farloop_test_cluster::kept::{Kept, RETAINED};
use farloop_test_cluster::node::{Program, memory_of};
use farloop_test_cluster::people::People;

const KEPT: &str = env!("CARGO_BIN_EXE_kept_coordinator");
const NODE: &str = env!("CARGO_BIN_EXE_cluster_node");

const TASKS: usize = 20_000;
/// Tasks of one gather: that many are under way at a time.
const AT_ONCE: usize = 1_000;
/// How often memory and disk are looked at.
const SAMPLES: usize = 20;
/// Of those, the first ones, in which buffers and tables find their size.
const WARM_UP: usize = 8;
const MIB: usize = 1024 * 1024;
/// How far a process may grow after that: an allocator does not give everything back.
const GROWTH: usize = 24 * MIB;
/// The journal's own bound, and the segments that are being written, left or taken ahead.
const DISK: usize = 512 * MIB + 4 * 64 * MIB;

#[farloop::task(name = "demo.add")]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

/// What one look shows, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    coordinator: usize,
    worker: usize,
    client: usize,
    disk: usize,
}

/// Bytes in the files of a directory.
fn size(dir: &Path) -> usize {
    let files = std::fs::read_dir(dir).unwrap().filter_map(Result::ok);
    files.map(|f| f.metadata().map_or(0, |m| if m.is_dir() { size(&f.path()) } else { m.len() as usize })).sum()
}

#[test]
fn memory_and_disk_stay_flat() {
    let tasks = std::env::var("FARLOOP_SOAK_TASKS").map_or(TASKS, |text| text.parse().unwrap());
    // At a thousand a second it would be too slow.
    let limit = Duration::from_secs(60 + tasks as u64 / 250);
    bounded_by(limit, async {
        // What is kept must be full before the warm-up is over.
        let retained = (tasks / SAMPLES * 2).clamp(1_000, 100_000);
        let mut kept = Kept::start_keeping(KEPT, &[(RETAINED, &retained.to_string())]).await;
        let worker = Program::new(NODE).at(&kept.url()).arg("worker").start();
        let mut people = People::at(&kept.url()).await;
        farloop_test_cluster::until("a worker joins", async || (!people.workers().await.is_empty()).then_some(()))
            .await;
        let event_loop = farloop::connect(kept.url()).await.unwrap();
        let (began, mut looks) = (Instant::now(), Vec::new());
        println!(
            "{:>10} {:>8} {:>12} {:>9} {:>9} {:>9}",
            "tasks", "per s", "coordinator", "worker", "client", "disk MiB"
        );
        for sample in 1..=SAMPLES {
            let (from, to) = (tasks * (sample - 1) / SAMPLES, tasks * sample / SAMPLES);
            for first in (from..to).step_by(AT_ONCE) {
                let numbers = first..(first + AT_ONCE).min(to);
                let sums = gather_all(numbers.clone().map(|n| add(n as i64, 1))).await.unwrap();
                assert!(sums.into_iter().eq(numbers.map(|n| n as i64 + 1)));
            }
            let look = Look {
                coordinator: kept.node().memory(),
                worker: worker.memory(),
                client: memory_of("self"),
                disk: size(kept.dir()),
            };
            let Look { coordinator, worker, client, disk } = look;
            let rate = to as f64 / began.elapsed().as_secs_f64();
            let mib = |bytes: usize| bytes / MIB;
            println!(
                "{to:>10} {rate:>8.0} {:>12} {:>9} {:>9} {:>9}",
                mib(coordinator),
                mib(worker),
                mib(client),
                mib(disk)
            );
            looks.push(look);
        }
        event_loop.close().await;
        let (warm, later) = looks.split_at(WARM_UP);
        let most = |of: fn(&Look) -> usize, looks: &[Look]| looks.iter().map(of).max().unwrap();
        for (what, of) in [
            ("coordinator", (|l| l.coordinator) as fn(&Look) -> usize),
            ("worker", |l| l.worker),
            ("client", |l| l.client),
        ] {
            let (before, after) = (most(of, warm), most(of, later));
            assert!(after <= before + GROWTH, "the {what} grew from {before} to {after} bytes");
        }
        let disk = most(|l| l.disk, &looks);
        assert!(disk <= DISK, "{disk} bytes on disk");
    });
}
