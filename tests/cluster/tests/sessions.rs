//! Who owns what when clients die, close, lose their session, or pass their handles on.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::time::{Duration, Instant};

use farloop::Task;
use farloop::prelude::*;
use farloop_test_cluster::bounded;
use farloop_test_cluster::embedded::Embedded;
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::{People, State};
use farloop_test_cluster::proxy::{How, Proxy};
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::tasks::{gated, number, park};

/// Longer than any test: what ends before that has another reason.
const FOR_EVER: Duration = Duration::from_secs(3_600);

struct Cluster {
    _worker: Node,
    tally: Tally,
    people: People,
    coordinator: Embedded,
}

impl Cluster {
    async fn start(session_ttl: Duration) -> Self {
        let tally = Tally::new();
        let coordinator = Embedded::with(|core| core.session_ttl = session_ttl);
        let worker = Program::new(env!("CARGO_BIN_EXE_counting_worker")).named("counting").tally(&tally);
        let worker = worker.at(&coordinator.url()).start();
        let mut people = People::at(&coordinator.url()).await;
        people.joined(&["counting"]).await;
        Self { _worker: worker, tally, people, coordinator }
    }

    fn client(&self) -> Program {
        Program::new(env!("CARGO_BIN_EXE_cluster_client")).at(&self.coordinator.url())
    }
}

#[test]
fn what_a_killed_client_owns_is_cancelled_after_the_session_ttl() {
    bounded(async {
        let ttl = Duration::from_secs(1);
        let mut cluster = Cluster::start(ttl).await;
        let mut client = cluster.client().arg("owns").start();
        let _event_loop = farloop::connect(cluster.coordinator.url()).await.unwrap();
        let (owned, detached) = (client.line(), client.line());
        // A handle that travels around the cluster may be faster than its task.
        cluster.tally.sees(1, "begun", "owned").await;
        cluster.tally.sees(1, "begun", "detached").await;
        let owned: Task<()> = serde_json::from_str(&owned).unwrap();
        let detached: Task<u32> = serde_json::from_str(&detached).unwrap();

        let killed = Instant::now();
        client.kill();
        assert!(owned.await.unwrap_err().is_cancelled());
        assert!(killed.elapsed() >= ttl, "it might have come back: {:?}", killed.elapsed());
        assert_eq!(cluster.tally.of("cancelled", "owned").len(), 1);
        assert_eq!(cluster.people.state(detached.id()).await, State::Running);
        cluster.tally.open("gate");
        detached.await.unwrap();
    });
}

#[test]
fn what_a_closing_client_owns_is_cancelled_at_once() {
    bounded(async {
        let mut cluster = Cluster::start(FOR_EVER).await;
        let event_loop = farloop::connect(cluster.coordinator.url()).await.unwrap();
        let owned = ensure_future(park("owned"));
        let detached = ensure_future(gated("detached", "gate").detached());
        cluster.tally.sees(1, "begun", "owned").await;
        cluster.tally.sees(1, "begun", "detached").await;
        event_loop.close().await;
        cluster.people.reaches(owned.id(), State::Cancelled).await;
        assert_eq!(cluster.people.state(detached.id()).await, State::Running);
        cluster.tally.open("gate");
        cluster.people.reaches(detached.id(), State::Succeeded).await;
    });
}

/// What was submitted and not sent yet when the connection broke must leave before the goodbye: `farloop run --detach`
/// has printed the task's id by then.
#[test]
fn closing_waits_for_what_a_cut_held_back() {
    bounded(async {
        let mut cluster = Cluster::start(FOR_EVER).await;
        let proxy = Proxy::to(cluster.coordinator.address());
        let event_loop = farloop::connect(proxy.url()).await.unwrap();
        let owned = ensure_future(park("owned"));
        cluster.tally.sees(1, "begun", "owned").await;
        proxy.cut(How::Reset);
        let detached = ensure_future(number(7, 0).detached());
        event_loop.close().await;
        cluster.people.reaches(detached.id(), State::Succeeded).await;
        cluster.people.reaches(owned.id(), State::Cancelled).await;
    });
}

#[test]
fn handles_travel_to_other_processes() {
    bounded(async {
        let cluster = Cluster::start(FOR_EVER).await;
        let _event_loop = farloop::connect(cluster.coordinator.url()).await.unwrap();
        let done = ensure_future(number(7, 0));
        done.clone().await.unwrap();
        let running = ensure_future(gated("elsewhere", "gate"));
        let pid = cluster.tally.sees(1, "begun", "elsewhere").await[0].pid;
        let awaits = |handle: String| cluster.client().arg("awaits").arg(&handle).start();
        let (of_done, of_running) =
            (awaits(serde_json::to_string(&done).unwrap()), awaits(serde_json::to_string(&running).unwrap()));
        assert_eq!(of_done.line(), "7");
        cluster.tally.open("gate");
        assert_eq!(of_running.line(), pid.to_string());
        assert_eq!(running.await.unwrap(), pid);
    });
}

/// The coordinator forgot the session: what waited is told, and the next session is as good as the first, also when
/// its connection breaks in turn.
#[test]
fn a_lost_session_is_told_and_the_next_one_resumes() {
    bounded(async {
        // More than the longest pause between two tries to connect.
        let cluster = Cluster::start(Duration::from_secs(4)).await;
        let proxy = Proxy::to(cluster.coordinator.address());
        let _event_loop = farloop::connect(proxy.url()).await.unwrap();
        let lost = ensure_future(park("lost"));
        cluster.tally.sees(1, "begun", "lost").await;
        proxy.refuse();
        cluster.tally.sees(1, "cancelled", "lost").await;
        proxy.accept();
        let error = lost.await.unwrap_err();
        assert!(matches!(error, farloop::Error::SessionLost(_)), "{error}");

        let value = number(7, 0).await.unwrap();
        let running = ensure_future(gated("running", "gate"));
        cluster.tally.sees(1, "begun", "running").await;
        proxy.cut(How::Reset);
        cluster.tally.open("gate");
        assert_eq!((value, running.await.is_ok()), (7, true));
        assert_eq!(cluster.tally.of("begun", "running").len(), 1);
    });
}
