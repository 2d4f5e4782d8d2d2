//! A lock between processes: the worker that holds it is killed, and the next in the line has it, under a higher token.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use farloop::prelude::*;
use farloop::sync::{Lock, Queue, SyncError};
use farloop_test_cluster::bounded;
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::{People, State};
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::tasks::{guarded, takes_item};

struct Cluster {
    tally: Tally,
    url: String,
    people: People,
    _event_loop: farloop::Loop,
    _coordinator: Node,
}

impl Cluster {
    async fn start() -> Self {
        let (coordinator, address) = Node::coordinator(env!("CARGO_BIN_EXE_cluster_node"));
        let url = format!("http://{address}");
        let people = People::at(&url).await;
        let event_loop = farloop::connect(&url).await.expect("the coordinator is there");
        Self { tally: Tally::new(), url, people, _event_loop: event_loop, _coordinator: coordinator }
    }

    async fn worker(&mut self, name: &str) -> Node {
        let program = Program::new(env!("CARGO_BIN_EXE_counting_worker"));
        let worker = program.at(&self.url).named(name).tally(&self.tally).start();
        self.people.joined(&[name]).await;
        worker
    }
}

#[test]
fn l24_a_killed_holder_gives_its_lock_to_the_next_under_a_higher_token() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let lock = Lock::named("till");
        let mut first = cluster.worker("first").await;
        let holder = ensure_future(guarded("holder", lock.clone()).max_crashes(0));
        cluster.tally.begins_in("holder", first.pid()).await;

        let second = cluster.worker("second").await;
        let next = ensure_future(guarded("next", lock.clone()));
        cluster.people.reaches(next.id(), State::Suspended).await;
        let why = cluster.people.explain(next.id()).await;
        assert!(why.contains(&format!("it waits for lock 'till', held by task {}", holder.id())), "{why}");
        assert!(lock.try_lock().await.unwrap().is_none());

        first.kill();
        cluster.tally.begins_in("next", second.pid()).await;
        assert!(matches!(holder.await, Err(farloop::Error::WorkerLost(_))));
        cluster.tally.open("gate");
        let second_token = next.await.unwrap();

        let guard = lock.lock().await.unwrap();
        assert!(guard.token() > second_token);
        let stale = lock.release(second_token).await.unwrap_err();
        assert!(matches!(stale, farloop::Error::Sync(SyncError::Stale(_))), "{stale}");
        guard.check().await.unwrap();
    });
}

#[test]
fn l24_a_frozen_holder_that_thaws_finds_its_token_stale() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let lock = Lock::named("till");
        let first = cluster.worker("first").await;
        let holder = ensure_future(guarded("holder", lock.clone()).max_crashes(0));
        cluster.tally.begins_in("holder", first.pid()).await;
        first.freeze();
        // It is taken for dead; its body still stands where it stood.
        let guard = lock.lock().await.unwrap();
        first.thaw();
        cluster.tally.open("gate");
        assert!(matches!(holder.await, Err(farloop::Error::WorkerLost(_))));
        cluster.people.joined(&["first"]).await;
        guard.check().await.unwrap();
    });
}

#[test]
fn l25_an_item_is_got_once_by_whoever_lives() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let queue = Queue::<u32>::named("jobs", 0);
        let mut first = cluster.worker("first").await;
        let getter = ensure_future(takes_item("getter", queue.clone()).max_crashes(3));
        cluster.tally.begins_in("getter", first.pid()).await;
        cluster.people.reaches(getter.id(), State::Suspended).await;
        let second = cluster.worker("second").await;
        first.kill();
        // Whether it goes to the dead one first or not: it is there for the next attempt.
        queue.put(7).await.unwrap();
        cluster.tally.begins_in("getter", second.pid()).await;
        assert_eq!(getter.await.unwrap(), 7);
        assert!(queue.empty().await.unwrap());
    });
}
