//! SIGKILL of a client and of a worker in the middle of a submit, a gather, a cancel, a stream. (The coordinator's are in
//! `durable`, `load` and `restart`; a worker's in the middle of a stream in `streams`.)

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use farloop::prelude::*;
use farloop_test_cluster::kept::{Kept, SESSION_TTL};
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::{People, State};
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::tasks::{number, park, tree_sum};
use farloop_test_cluster::{bounded, until};

const COUNTING: &str = env!("CARGO_BIN_EXE_counting_worker");

/// A coordinator that gives up on a client a second after its connection has broken, and a worker.
struct Short {
    coordinator: Kept,
    tally: Tally,
    worker: Node,
    people: People,
}

impl Short {
    async fn start() -> Self {
        let coordinator = Kept::start_keeping(env!("CARGO_BIN_EXE_kept_coordinator"), &[(SESSION_TTL, "1")]).await;
        let tally = Tally::new();
        let worker = Program::new(COUNTING).named("counting").tally(&tally).at(&coordinator.url()).start();
        let mut people = People::at(&coordinator.url()).await;
        people.joined(&["counting"]).await;
        Self { coordinator, tally, worker, people }
    }

    /// A client that is in the middle of something.
    async fn client_in(&self, what: &str, label: &str) -> Node {
        let client = Program::new(env!("CARGO_BIN_EXE_cluster_client")).at(&self.coordinator.url()).tally(&self.tally);
        let client = client.arg("dies").arg("in").arg(what).start();
        self.tally.sees(1, "begun", label).await;
        self.tally.open("it has begun");
        client.line();
        client
    }

    /// Nobody would take a result, so all is cancelled; each body that began has heard of it and is gone, and its worker
    /// is as good as new.
    async fn nothing_is_left(&mut self, label: &str) {
        let people = &mut self.people;
        for state in ["PENDING", "RUNNING", "SUSPENDED"] {
            let filter = format!("state={state}");
            until("nothing is left", async || (people.count(&filter).await == 0).then_some(())).await;
        }
        assert_eq!(people.count("").await, people.count("state=CANCELLED").await);
        let begun = self.tally.of("begun", label).len();
        until("all bodies end", async || (self.tally.of("left", label).len() == begun).then_some(())).await;
        assert_eq!(self.tally.of("cancelled", label).len(), begun);
        let _event_loop = farloop::connect(&self.coordinator.url()).await.unwrap();
        assert_eq!(number(7, 0).await.unwrap(), 7);
        assert!(self.worker.runs());
    }
}

/// Kills a client in the middle of something; then one together with the coordinator, whose next life has to find out that
/// nobody comes back for what is on record.
fn client_dies_in(what: &str, label: &str) {
    for with_the_coordinator in [false, true] {
        bounded(async {
            let mut short = Short::start().await;
            let mut client = short.client_in(what, label).await;
            client.kill();
            if with_the_coordinator {
                short.coordinator.kill();
                short.coordinator.again().await;
                short.people = People::at(&short.coordinator.url()).await;
                assert!(short.people.any_task().await, "there is something to be given up");
            }
            short.nothing_is_left(label).await;
        });
    }
}

#[test]
fn l16_a_client_killed_in_a_submit_leaves_nothing_behind() {
    client_dies_in("submit", "submitted");
}

#[test]
fn l16_a_client_killed_in_a_gather_leaves_nothing_behind() {
    client_dies_in("gather", "gathered");
}

#[test]
fn l6_a_client_killed_in_a_cancel_has_cancelled() {
    client_dies_in("cancel", "asked");
}

#[test]
fn l23_a_client_killed_in_a_stream_stops_its_producer() {
    client_dies_in("stream", "consumed");
}

/// A durable coordinator, a worker that will be killed, and one that stays.
struct Two {
    kept: Kept,
    tally: Tally,
    dying: Node,
    staying: Node,
    _event_loop: farloop::Loop,
}

impl Two {
    async fn start() -> Self {
        let kept = Kept::start_with(env!("CARGO_BIN_EXE_kept_coordinator"), 6).await;
        let tally = Tally::new();
        let start = |name: &str| Program::new(COUNTING).named(name).tally(&tally).at(&kept.url()).start();
        let (dying, staying) = (start("dying"), start("staying"));
        People::at(&kept.url()).await.joined(&["dying", "staying"]).await;
        let event_loop = farloop::connect(kept.url()).await.unwrap();
        Self { kept, tally, dying, staying, _event_loop: event_loop }
    }

    /// Waits until so many bodies have begun in the one that is to die.
    async fn begun_there(&self, n: usize) {
        let pid = self.dying.pid();
        until("bodies begin there", async || {
            let there = self.tally.marks().into_iter().filter(|m| m.what == "begun" && m.pid == pid).count();
            (there >= n).then_some(())
        })
        .await;
    }
}

/// Bodies there submit and gather when it dies.
#[test]
fn l5_a_worker_killed_while_its_bodies_submit_is_made_up_for() {
    bounded(async {
        let mut two = Two::start().await;
        let sums = gather_all((0..4).map(|_| tree_sum(5)));
        two.begun_there(20).await;
        two.dying.kill();
        assert_eq!(sums.await.unwrap(), [32; 4]);
        assert!(two.staying.runs());
    });
}

#[test]
fn l8_a_worker_killed_in_a_gather_costs_none_of_its_members() {
    bounded(async {
        let mut two = Two::start().await;
        let numbers = gather_all((0..100).map(|n| number(n, 300)));
        two.begun_there(20).await;
        two.dying.kill();
        assert_eq!(numbers.await.unwrap(), (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn l6_a_worker_killed_in_a_cancel_does_not_run_it_again() {
    bounded(async {
        let mut two = Two::start().await;
        let parked: Vec<Task<()>> = (0..40).map(|_| ensure_future(park("parked"))).collect();
        two.tally.sees(40, "begun", "parked").await;
        two.dying.freeze();
        for task in &parked {
            assert!(task.cancel("enough"));
        }
        two.dying.kill();
        for task in &parked {
            assert!(task.clone().await.unwrap_err().is_cancelled());
        }
        assert_eq!(two.tally.of("begun", "parked").len(), 40, "a cancelled task does not begin again");
        let mut people = People::at(&two.kept.url()).await;
        for task in &parked {
            assert_eq!(people.state(task.id()).await, State::Cancelled);
        }
    });
}
