//! Streams between real processes: a producer that is killed, one that is too fast, and one that nobody wants any more.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use farloop::{Error, Items};
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::People;
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::tasks::yields;
use farloop_test_cluster::{bounded, until};
use farloop_worker::demo;

struct Cluster {
    tally: Tally,
    url: String,
    people: People,
    coordinator: Node,
    _event_loop: farloop::Loop,
}

impl Cluster {
    async fn start() -> Self {
        let (coordinator, address) = Node::coordinator(env!("CARGO_BIN_EXE_cluster_node"));
        let url = format!("http://{address}");
        let people = People::at(&url).await;
        let event_loop = farloop::connect(&url).await.expect("the coordinator is there");
        Self { tally: Tally::new(), url, people, coordinator, _event_loop: event_loop }
    }

    async fn worker(&mut self, name: &str) -> Node {
        let program = Program::new(env!("CARGO_BIN_EXE_counting_worker"));
        let worker = program.at(&self.url).named(name).tally(&self.tally).start();
        self.people.joined(&[name]).await;
        worker
    }

    /// Waits until the producer cannot go on for want of a consumer.
    async fn fills(&mut self, items: &Items<(u64, String)>) {
        let task = items.task_id().expect("it was started");
        until("a full window", async || {
            self.people.explain(task).await.contains("waits for its consumer").then_some(())
        })
        .await;
    }

    /// Memory of the coordinator, in KiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.coordinator.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number of KiB")
    }
}

async fn next(items: &mut Items<(u64, String)>) -> u64 {
    items.next().await.expect("there are more").unwrap().0
}

#[test]
fn a_killed_worker_ends_a_stream_that_has_begun_and_says_how_far_it_came() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let mut first = cluster.worker("first").await;
        let mut begun = yields("begun", 100_000, 10, 0, "");
        for n in 1..=500 {
            assert_eq!(next(&mut begun).await, n);
        }
        let mut waiting = yields("waiting", 3, 10, 1, "gate").start();
        let never = yields("never again", 3, 10, 1, "gate").max_crashes(0).start();
        for label in ["waiting", "never again"] {
            cluster.tally.begins_in(label, first.pid()).await;
        }
        let second = cluster.worker("second").await;
        first.kill();

        let mut seen = 500;
        let error = loop {
            match begun.next().await.expect("an error comes before the end") {
                Ok((n, _)) => {
                    seen += 1;
                    assert_eq!(n, seen);
                }
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::WorkerLost(_)), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains("'first'") && text.contains(&format!("; {seen} items of this stream had come")),
            "{text}"
        );
        assert!(begun.next().await.is_none() && begun.yielded() == seen);
        assert!(matches!(never.collect().await, Err(Error::WorkerLost(_))));

        // One of which nothing had come begins again, elsewhere.
        cluster.tally.begins_in("waiting", second.pid()).await;
        cluster.tally.open("gate");
        for n in 1..=3 {
            assert_eq!(next(&mut waiting).await, n);
        }
        assert!(waiting.next().await.is_none());
        assert_eq!(cluster.tally.of("begun", "begun").len(), 1, "a stream that has begun does not begin again");
    });
}

#[test]
fn a_fast_producer_of_100_000_items_costs_the_coordinator_one_window() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let _worker = cluster.worker("fast").await;
        // 100,000 items of 1 KiB are 100 MiB, if anybody kept them.
        let mut items = yields("fast", 100_000, 1_024, 0, "").start();
        cluster.fills(&items).await;
        let before = cluster.memory();
        let mut most = before;
        for n in 1..=100_000 {
            assert_eq!(next(&mut items).await, n);
            if n % 20_000 == 0 && n < 100_000 {
                // A consumer that stops for as long as it likes.
                cluster.fills(&items).await;
                most = most.max(cluster.memory());
            }
        }
        assert!(items.next().await.is_none());
        most = most.max(cluster.memory());
        assert!(most < before + 24 * 1_024, "from {before} KiB to {most} KiB");
        println!("coordinator: {before} KiB with one full window, {most} KiB at most later");
    });
}

#[test]
fn a_stream_that_is_dropped_stops_its_producer() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let _worker = cluster.worker("any").await;
        let mut items = yields("endless", u64::MAX, 10, 0, "");
        assert_eq!(next(&mut items).await, 1);
        drop(items);
        cluster.tally.sees(1, "cancelled", "endless").await;
        cluster.tally.sees(1, "left", "endless").await;
    });
}

#[test]
fn the_demo_counts_down() {
    bounded(async {
        let (_coordinator, address) = Node::coordinator(env!("CARGO_BIN_EXE_cluster_node"));
        let url = format!("http://{address}");
        let _worker = Program::new(env!("CARGO_BIN_EXE_cluster_node")).arg("worker").at(&url).named("demo").start();
        People::at(&url).await.joined(&["demo"]).await;
        let _event_loop = farloop::connect(&url).await.unwrap();
        assert_eq!(demo::countdown(1_000).collect().await.unwrap(), (1..=1_000).rev().collect::<Vec<_>>());
        // An item above one part of the wire.
        let list = farloop::call("demo.countdown").arg(100_000).returns::<Vec<u32>>().await.unwrap();
        assert_eq!((list.len(), list[0]), (100_000, 100_000));
    });
}
