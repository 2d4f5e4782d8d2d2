//! Bodies that do not let go: they cost their event loop, not the worker's life, and no cancel waits for them longer
//! than its grace.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::time::Duration;

use farloop::Error;
use farloop::prelude::*;
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::People;
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::tasks::{defiant, grinds, number, spins, stubborn};
use farloop_test_cluster::{bounded, until};
use farloop_worker::demo;

const NODE: &str = env!("CARGO_BIN_EXE_cluster_node");
const COUNTING: &str = env!("CARGO_BIN_EXE_counting_worker");

fn abandoned<T>(result: farloop::Result<T>) -> bool {
    matches!(result, Err(Error::Cancelled(cancelled)) if cancelled.abandoned())
}

struct Cluster {
    _worker: Node,
    _event_loop: farloop::Loop,
    _coordinator: Node,
    people: People,
    tally: Tally,
}

impl Cluster {
    async fn with(program: Program) -> Self {
        let tally = Tally::new();
        let (coordinator, address) = Node::coordinator(NODE);
        let url = format!("http://{address}");
        let event_loop = farloop::connect(&url).await.unwrap();
        let mut people = People::at(&url).await;
        let worker = program.at(&url).named("it").tally(&tally).start();
        people.joined(&["it"]).await;
        Self { _worker: worker, _event_loop: event_loop, _coordinator: coordinator, people, tally }
    }
}

#[test]
fn a_spinning_body_keeps_its_worker_alive() {
    bounded(async {
        let mut cluster = Cluster::with(Program::new(NODE).arg("worker").arg("--loops").arg("1")).await;
        let before = cluster.people.worker("it").await.unwrap().worker_id;
        // A second longer than a silent worker lives.
        let spinning = ensure_future(demo::spin(4.0));
        spinning.clone().await.unwrap();
        let task = cluster.people.task(spinning.id()).await.unwrap();
        assert_eq!((task.attempt, &task.worker_id), (1, &before));
        let after = cluster.people.workers().await.into_iter().map(|w| w.worker_id).collect::<Vec<_>>();
        assert_eq!(after, [before], "it is the same worker");
    });
}

#[test]
fn a_body_that_defies_a_cancel_is_abandoned_after_its_grace() {
    bounded(async {
        let grace = Duration::from_millis(200);
        let cluster = Cluster::with(Program::new(COUNTING).env("FARLOOP_LOOPS", "1")).await;
        // One goes on waiting: it is dropped where it waits.
        let task = ensure_future(stubborn("stubborn").cancel_grace(grace));
        cluster.tally.sees(1, "begun", "stubborn").await;
        assert!(task.cancel("enough"));
        assert!(abandoned(task.await));
        assert_eq!(cluster.tally.sees(1, "cancelled", "stubborn").await.len(), 1);
        cluster.tally.sees(1, "left", "stubborn").await;

        // One does not let go of its event loop: nobody waits for it.
        let task = ensure_future(defiant("defiant", 2_000).cancel_grace(grace));
        cluster.tally.sees(1, "begun", "defiant").await;
        assert!(task.cancel("enough"));
        assert!(abandoned(task.await));
        assert!(cluster.tally.of("left", "defiant").is_empty(), "its body is still at it");
        cluster.tally.sees(1, "left", "defiant").await;
        assert_eq!(number(7, 0).await.unwrap(), 7, "the loop lives on");
    });
}

#[test]
fn a_body_that_never_awaits_is_given_up_and_its_thread_counted_until_it_lets_go() {
    bounded(async {
        let grace = Duration::from_millis(200);
        let program = Program::new(COUNTING).env("FARLOOP_LOOPS", "2").env("FARLOOP_SLOTS", "2");
        let mut cluster = Cluster::with(program).await;
        let written_off = async |people: &mut People, threads: i32| {
            until(&format!("{threads} threads are written off"), async || {
                people.worker("it").await.filter(|w| w.abandoned == threads).map(drop)
            })
            .await;
        };

        // One on a loop: no await point of it is ever open, so nothing can be delivered to it.
        let task = ensure_future(spins("spins", "loop").cancel_grace(grace));
        cluster.tally.sees(1, "begun", "spins").await;
        assert!(task.cancel("enough"));
        assert!(abandoned(task.await));
        assert!(cluster.tally.of("left", "spins").is_empty(), "its body is still at it");
        written_off(&mut cluster.people, 1).await;
        // One on the blocking pool.
        let task = ensure_future(grinds("grinds", "pool").cancel_grace(grace));
        cluster.tally.sees(1, "begun", "grinds").await;
        assert!(task.cancel("enough"));
        assert!(abandoned(task.await));
        written_off(&mut cluster.people, 2).await;

        // Both slots and one loop are there for others.
        let numbers = gather_all((0..20).map(|n| number(n, 10))).await.unwrap();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        cluster.tally.open("loop");
        cluster.tally.open("pool");
        written_off(&mut cluster.people, 0).await;
        assert_eq!(number(7, 0).await.unwrap(), 7, "the loop lives on");
    });
}

#[test]
fn a_worker_whose_loop_does_not_come_back_drains_and_ends_with_an_error() {
    bounded(async {
        let tally = Tally::new();
        let (_coordinator, address) = Node::coordinator(NODE);
        let url = format!("http://{address}");
        let _event_loop = farloop::connect(&url).await.unwrap();
        let mut people = People::at(&url).await;
        let program = |name: &str| {
            let program = Program::new(COUNTING).env("FARLOOP_LOOPS", "1").env("FARLOOP_STUCK_SECONDS", "1");
            program.at(&url).named(name).tally(&tally).start()
        };
        let mut first = program("first");
        people.joined(&["first"]).await;
        let task = ensure_future(spins("spins", "never").cancel_grace(Duration::from_millis(100)));
        tally.sees(1, "begun", "spins").await;
        task.cancel(());
        assert!(abandoned(task.await));
        assert!(!first.ended().await.success(), "whoever supervises it has to know");
        let _second = program("second");
        assert_eq!(number(7, 0).await.unwrap(), 7);
    });
}
