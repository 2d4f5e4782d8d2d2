//! Workers that die, freeze and leave: what ran there runs elsewhere, once more and no more often than allowed, and
//! what an old attempt still says changes nothing.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use farloop::Task;
use farloop::prelude::*;
use farloop_test_cluster::bounded;
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::{People, State};
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::tasks::{gated, number, parent, resumes};

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

    fn worker(&self, name: &str) -> Program {
        Program::new(env!("CARGO_BIN_EXE_counting_worker")).at(&self.url).named(name).tally(&self.tally)
    }

    async fn with(&mut self, name: &str) -> Node {
        self.joined(name, self.worker(name)).await
    }

    async fn joined(&mut self, name: &str, program: Program) -> Node {
        let worker = program.start();
        self.people.joined(&[name]).await;
        worker
    }
}

fn waiting(label: &str, gate: &str) -> Coro<u32> {
    gated(label, gate)
}

fn lost(result: farloop::Result<u32>) -> String {
    match result {
        Err(farloop::Error::WorkerLost(failure)) => failure.to_string(),
        other => panic!("it was lost with its worker, and ended as {other:?}"),
    }
}

#[test]
fn the_attempt_after_a_killed_worker_reads_the_details_of_the_last_heartbeat() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let mut first = cluster.with("first").await;
        let task = ensure_future(resumes("resumes"));
        // Told after the heartbeat, in the same order: who hears of it knows that the details are safe.
        let mut progress = task.progress::<String>();
        assert_eq!(progress.next().await.unwrap().unwrap(), "seven");
        let shown = cluster.people.task(task.id()).await.unwrap();
        assert!(shown.progress.is_some(), "{shown:?}");
        let _second = cluster.with("second").await;
        first.kill();
        assert_eq!(task.await.unwrap(), Some(7));
        assert!(progress.next().await.is_none());
    });
}

#[test]
fn what_a_killed_worker_ran_runs_elsewhere_as_often_as_allowed() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let mut first = cluster.with("first").await;
        let labels = ["kept 0", "kept 1", "kept 2"];
        let kept = labels.map(|label| ensure_future(waiting(label, "gate")));
        let never = ensure_future(waiting("never again", "gate").max_crashes(0));
        let once = ensure_future(waiting("once more", "gate").max_crashes(1));
        for label in labels.into_iter().chain(["never again", "once more"]) {
            cluster.tally.begins_in(label, first.pid()).await;
        }

        let mut second = cluster.with("second").await;
        first.kill();
        let why = lost(never.await);
        assert!(why.contains("'first'") && why.contains("max_crashes"), "{why}");
        for label in labels.into_iter().chain(["once more"]) {
            cluster.tally.begins_in(label, second.pid()).await;
        }

        let third = cluster.with("third").await;
        second.kill();
        for label in labels {
            cluster.tally.begins_in(label, third.pid()).await;
        }
        // Its budget is used up, and others ran there each time: it waits until the worker is idle, to run alone.
        assert_eq!(cluster.people.state(once.id()).await, State::Pending);
        assert_eq!(cluster.tally.of("begun", "once more").len(), 2);
        cluster.tally.open("gate");
        for task in kept {
            assert_eq!(task.await.unwrap(), third.pid());
        }
        assert_eq!(once.await.unwrap(), third.pid(), "it was a bystander");
        assert_eq!(cluster.tally.of("begun", "never again").len(), 1);
        assert_eq!(cluster.tally.of("begun", "once more").len(), 3);
    });
}

#[test]
fn tasks_that_a_lost_attempt_created_are_cancelled() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let offering =
            |cluster: &Cluster, name: &str, function: &str| cluster.worker(name).env("FARLOOP_TEST_OFFERS", function);
        let program = offering(&cluster, "of parents", "parent");
        let mut of_parents = cluster.joined("of parents", program).await;
        let program = offering(&cluster, "of children", "park");
        let _of_children = cluster.joined("of children", program).await;
        let task = ensure_future(parent("it"));
        let child = cluster.tally.sees(1, "begun", "child of it").await.remove(0);

        of_parents.kill();
        let cancelled = cluster.tally.sees(1, "cancelled", "child of it").await.remove(0);
        assert_eq!(cancelled.task, child.task);
        let program = offering(&cluster, "of parents again", "parent");
        let _again = cluster.joined("of parents again", program).await;
        let children = cluster.tally.sees(2, "begun", "child of it").await;
        assert_ne!(children[0].task, children[1].task, "the next attempt creates a child of its own");
        assert_eq!(cluster.people.state(child.id()).await, State::Cancelled);
        assert!(task.cancel("enough"));
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_frozen_worker_changes_nothing_when_it_comes_back() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let frozen = cluster.with("frozen").await;
        let decided = ensure_future(waiting("decided meanwhile", "first gate"));
        let open = ensure_future(waiting("open until then", "second gate"));
        cluster.tally.begins_in("decided meanwhile", frozen.pid()).await;
        cluster.tally.begins_in("open until then", frozen.pid()).await;

        frozen.freeze();
        let other = cluster.with("other").await;
        cluster.tally.begins_in("decided meanwhile", other.pid()).await;
        cluster.tally.begins_in("open until then", other.pid()).await;
        cluster.tally.open("first gate");
        assert_eq!(decided.clone().await.unwrap(), other.pid());

        frozen.thaw();
        // Its body finds the gate open, or is dropped first; either way it is over, and the worker is a new one.
        for label in ["decided meanwhile", "open until then"] {
            farloop_test_cluster::until("the frozen body ends", async || {
                cluster.tally.of("left", label).into_iter().find(|m| m.pid == frozen.pid())
            })
            .await;
        }
        cluster.people.joined(&["frozen"]).await;
        assert_eq!(cluster.people.task(decided.id()).await.unwrap().attempt, 2);
        assert_eq!(Task::<u32>::attach(decided.id()).await.unwrap(), other.pid());
        assert_eq!(cluster.people.state(open.id()).await, State::Running);
        cluster.tally.open("second gate");
        assert_eq!(open.await.unwrap(), other.pid());

        // And it is as good as new.
        assert_eq!(number(7, 0).await.unwrap(), 7);
        drop(other);
        assert_eq!(number(8, 0).await.unwrap(), 8);
    });
}

#[test]
fn sigterm_lets_work_end_and_hands_back_what_has_not_begun() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let program = cluster.worker("leaving").env("FARLOOP_SLOTS", "1");
        let mut leaving = cluster.joined("leaving", program).await;
        // A busy worker fetches ahead: some of the waiting ones are already there when it is asked to leave.
        let quick = gather_all((0..200).map(|n| number(n, 0)));
        let labels: Vec<String> = (0..8).map(|n| format!("waiting {n}")).collect();
        let waiting: Vec<Task<u32>> = labels.iter().map(|label| ensure_future(waiting(label, "gate"))).collect();
        cluster.tally.begins_in("waiting 0", leaving.pid()).await;

        leaving.terminate();
        let staying = cluster.with("staying").await;
        for label in &labels[1..] {
            cluster.tally.begins_in(label, staying.pid()).await;
        }
        assert!(cluster.tally.of("left", "waiting 0").is_empty(), "what runs is not interrupted");
        cluster.tally.open("gate");
        let mut pids = Vec::new();
        for task in waiting {
            pids.push(task.await.unwrap());
        }
        assert_eq!(pids[0], leaving.pid());
        assert!(pids[1..].iter().all(|pid| *pid == staying.pid()), "{pids:?}");
        // The last of them may have waited for the slot all the time.
        quick.await.unwrap();
        let status = leaving.ended().await;
        assert!(status.success(), "{status}");
        let handed_back = &cluster.tally.of("begun", "waiting 1")[0];
        // Handing back is no crash, and no attempt either.
        assert_eq!(cluster.people.task(handed_back.id()).await.unwrap().attempt, 1);
    });
}
