//! A coordinator that keeps its records is killed while 100,000 tasks live, and started again.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::collections::BTreeSet;
use std::time::Duration;

use farloop::prelude::*;
use farloop_test_cluster::kept::Kept;
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::People;
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::tasks::{gated, number, park};
use farloop_test_cluster::{bounded_by, until};

const KEPT: &str = env!("CARGO_BIN_EXE_kept_coordinator");
const COUNTING: &str = env!("CARGO_BIN_EXE_counting_worker");

fn worker(kept: &Kept, name: &str, tally: &Tally) -> Node {
    Program::new(COUNTING).at(&kept.url()).named(name).tally(tally).start()
}

/// Tasks that hold a slot each until the gate is open.
fn holding(label: &str, count: u32, gate: &str) -> Vec<Task<u32>> {
    (0..count).map(|n| ensure_future(gated(format!("{label} {n}"), gate))).collect()
}

/// The process is killed while 100,000 tasks live and more come in.
#[test]
fn l1_l5_l10_a_coordinator_killed_under_load_goes_on() {
    const QUEUED: u64 = 100_000;
    const MORE: u64 = 5_000;
    bounded_by(Duration::from_secs(400), async {
        let mut kept = Kept::start(KEPT).await;
        let tally = Tally::new();
        let mut workers = [worker(&kept, "one", &tally), worker(&kept, "two", &tally)];
        let pids = workers.each_ref().map(Node::pid);
        People::at(&kept.url()).await.joined(&["one", "two"]).await;
        let _event_loop = farloop::connect(kept.url()).await.unwrap();

        // Every slot is held, so that what follows is queued.
        let early = holding("early", 16, "early gate");
        let parked: Vec<Task<()>> = (0..8).map(|n| ensure_future(park(format!("parked {n}")))).collect();
        let held = holding("held", 2 * farloop::DEFAULT_SLOTS - 16, "gate");
        let marked = |what: &str, label: &str| {
            tally.marks().iter().filter(|m| m.what == what && m.label.starts_with(label)).count()
        };
        until("all slots are held", async || (marked("begun", "") == held.len() + 24).then_some(())).await;
        let queued = gather_all((0..QUEUED).map(|n| number(n, 0)));
        let mut people = People::at(&kept.url()).await;
        farloop_test_cluster::within(Duration::from_secs(200), async || {
            (people.count("").await as u64 >= QUEUED).then_some(())
        })
        .await
        .expect("100,000 tasks live");
        let cancelled = parked[0].cancel("before");
        let more = gather_all((QUEUED..QUEUED + MORE).map(|n| number(n, 0)));
        farloop::yield_now().await.unwrap();
        kept.kill();

        // Without a coordinator: bodies end, requests are made, work is described.
        tally.open("early gate");
        for task in &parked[1..4] {
            assert!(task.cancel("meanwhile"));
        }
        let meanwhile = gather_all((0..100).map(|n| number(QUEUED + MORE + n, 0)));
        until("what could end has ended", async || (marked("left", "early") == 16).then_some(())).await;

        let ready = kept.again().await;
        println!("ready after {ready:?}");
        assert!(ready < Duration::from_secs(30), "{ready:?}");
        let mut people = People::at(&kept.url()).await;
        people.joined(&["one", "two"]).await;
        assert_eq!(people.store().await.life, 2);

        for task in early {
            assert!(pids.contains(&task.await.unwrap()));
        }
        for task in &parked[4..] {
            assert!(task.cancel("after"));
        }
        assert!(cancelled);
        for task in &parked {
            assert!(task.clone().await.unwrap_err().is_cancelled());
        }
        tally.open("gate");
        for task in held {
            assert!(pids.contains(&task.await.unwrap()));
        }
        let sum = |from: u64, to: u64| (from..to).sum::<u64>();
        assert_eq!(queued.await.unwrap().into_iter().sum::<u64>(), sum(0, QUEUED));
        assert_eq!(more.await.unwrap().into_iter().sum::<u64>(), sum(QUEUED, QUEUED + MORE));
        assert_eq!(meanwhile.await.unwrap().into_iter().sum::<u64>(), sum(QUEUED + MORE, QUEUED + MORE + 100));
        assert!(workers.iter_mut().all(Node::runs));

        let twice: Vec<_> = tally.begun_since(0).into_values().filter(|(_, times)| *times != 1).collect();
        assert!(twice.is_empty(), "these began more than once: {twice:?}");
        let labels: BTreeSet<String> =
            tally.marks().into_iter().filter(|m| m.what == "begun").map(|m| m.label).collect();
        assert!((0..QUEUED + MORE + 100).all(|n| labels.contains(&format!("number {n}"))), "each has run");
    });
}
