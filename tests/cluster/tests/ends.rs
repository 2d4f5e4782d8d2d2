//! Every process ends within its deadline when it is asked to, whoever has stopped reading or does not answer, and what
//! it leaves behind goes on elsewhere.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use farloop::prelude::*;
use farloop_proto::v1;
use farloop_proto::v1::task_service_client::TaskServiceClient;
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::{People, State};
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::tasks::{echo, gated, number};
use farloop_test_cluster::{bounded, bounded_by, until};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const NODE: &str = env!("CARGO_BIN_EXE_cluster_node");
const COUNTING: &str = env!("CARGO_BIN_EXE_counting_worker");
/// What a machine that does other things too may add to any deadline.
const SLACK: Duration = Duration::from_secs(5);

/// A coordinator that waits for one second when it stops.
fn coordinator() -> (Node, SocketAddr) {
    let node = Program::new(NODE).arg("coordinator").arg("--port").arg("0").env("FARLOOP_STOP_SECONDS", "1").start();
    let address = node.line().rsplit(' ').next().unwrap().parse().unwrap();
    (node, address)
}

struct Cluster {
    coordinator: Node,
    url: String,
    tally: Tally,
    people: People,
}

impl Cluster {
    async fn start() -> Self {
        let (coordinator, address) = coordinator();
        let url = format!("http://{address}");
        Self { people: People::at(&url).await, coordinator, url, tally: Tally::new() }
    }

    /// A worker that is given one second to drain.
    async fn worker(&mut self, name: &str) -> Node {
        let program = Program::new(COUNTING).at(&self.url).named(name).tally(&self.tally);
        let worker = program.env("FARLOOP_DRAIN_SECONDS", "1").start();
        self.people.joined(&[name]).await;
        worker
    }

    fn farloop(&self, words: &[&str]) -> Node {
        let program = Program::new(NODE).at(&self.url).tally(&self.tally);
        words.iter().fold(program, |program, word| program.arg(word)).start()
    }
}

#[test]
fn a_coordinator_ends_in_time_whoever_has_stopped_reading() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let worker = cluster.worker("frozen").await;
        let _event_loop = farloop::connect(&cluster.url).await.unwrap();
        let running = ensure_future(gated("running", "gate"));
        cluster.tally.sees(1, "begun", "running").await;

        // A reader, a client and a worker that stop reading, and streams that are open and well.
        let watcher = cluster.farloop(&["api", "TaskService/WatchTasks"]);
        watcher.line();
        watcher.freeze();
        let client =
            Program::new(env!("CARGO_BIN_EXE_cluster_client")).arg("owns").at(&cluster.url).tally(&cluster.tally);
        let client = client.start();
        client.line();
        client.freeze();
        let channel = tonic::transport::Channel::from_shared(cluster.url.clone()).unwrap().connect().await.unwrap();
        let mut health = HealthClient::new(channel.clone());
        let mut serving = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert!(serving.message().await.unwrap().is_some());
        let watch = v1::WatchTasksRequest::default();
        let mut watched = TaskServiceClient::new(channel).watch_tasks(watch).await.unwrap().into_inner();
        assert!(watched.message().await.unwrap().is_some());
        let reader = tokio::spawn(async move {
            loop {
                match watched.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("the stream ends with a reason"),
                    Err(end) => return end,
                }
            }
        });
        // More than any window takes.
        let text = "x".repeat(1_000);
        gather_all((0..1_000).map(|_| echo(text.clone()))).await.unwrap();
        worker.freeze();

        let began = Instant::now();
        cluster.coordinator.terminate();
        let status = cluster.coordinator.ended().await;
        let took = began.elapsed();
        assert!(status.success(), "{status}");
        assert!(took < Duration::from_secs(2) + SLACK, "{took:?}");
        // The one that read was told why.
        let end = reader.await.unwrap();
        assert!(end.message().contains("stops"), "{end:?}");
        drop(running);
    });
}

#[test]
fn a_worker_ends_in_time_though_its_coordinator_does_not_answer() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let mut worker = cluster.worker("leaving").await;
        let _event_loop = farloop::connect(&cluster.url).await.unwrap();
        let running = ensure_future(gated("running", "gate"));
        cluster.tally.sees(1, "begun", "running").await;
        cluster.coordinator.freeze();
        let began = Instant::now();
        worker.terminate();
        let status = worker.ended().await;
        assert!(status.success(), "{status}");
        assert!(began.elapsed() < Duration::from_secs(3) + SLACK, "{:?}", began.elapsed());
        drop(running);
    });
}

#[test]
fn what_a_leaving_worker_cannot_finish_runs_elsewhere() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let mut leaving = cluster.worker("leaving").await;
        let _event_loop = farloop::connect(&cluster.url).await.unwrap();
        let long = ensure_future(gated("long", "gate"));
        let once = ensure_future(gated("once", "gate").max_crashes(0));
        for label in ["long", "once"] {
            cluster.tally.begins_in(label, leaving.pid()).await;
        }
        let staying = cluster.worker("staying").await;
        let began = Instant::now();
        leaving.terminate();
        assert!(leaving.ended().await.success());
        assert!(began.elapsed() < Duration::from_secs(3) + SLACK, "{:?}", began.elapsed());
        cluster.tally.begins_in("long", staying.pid()).await;
        cluster.tally.open("gate");
        assert_eq!(long.clone().await.unwrap(), staying.pid());
        assert_eq!(cluster.people.task(long.id()).await.unwrap().attempt, 2);
        // What may run once had begun, and is not begun again.
        assert!(matches!(once.await, Err(farloop::Error::WorkerLost(_))));
        assert_eq!(cluster.tally.of("begun", "once").len(), 1);
    });
}

#[test]
fn a_worker_that_is_drained_by_hand_finishes_and_ends() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let program = Program::new(COUNTING).at(&cluster.url).named("leaving").tally(&cluster.tally);
        let mut leaving = program.start();
        cluster.people.joined(&["leaving"]).await;
        let _event_loop = farloop::connect(&cluster.url).await.unwrap();
        let running = ensure_future(gated("running", "gate"));
        cluster.tally.begins_in("running", leaving.pid()).await;
        let staying = cluster.worker("staying").await;
        assert!(cluster.farloop(&["drain", "leaving"]).ended().await.success());
        for n in 0..20 {
            assert_eq!(number(n, 0).await.unwrap(), n);
        }
        let elsewhere = cluster.tally.marks().into_iter().filter(|m| m.label.starts_with("number"));
        assert!(elsewhere.into_iter().all(|mark| mark.pid == staying.pid()), "it takes no new work");
        assert!(leaving.runs(), "what runs is not interrupted");
        cluster.tally.open("gate");
        assert_eq!(running.await.unwrap(), leaving.pid());
        assert!(leaving.ended().await.success());
        // One that idles ends as well.
        let mut idle = staying;
        assert!(cluster.farloop(&["drain", "staying"]).ended().await.success());
        assert!(idle.ended().await.success());
    });
}

#[test]
fn run_ends_at_the_first_interrupt() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let _worker = cluster.worker("counting").await;
        // A coordinator that is well cancels the task, and says so.
        let mut run = cluster.farloop(&["run", "count.park", "cancelled"]);
        let task = cluster.tally.sees(1, "begun", "cancelled").await.remove(0);
        run.interrupt();
        assert_eq!(run.ended().await.code(), Some(130));
        cluster.tally.sees(1, "cancelled", "cancelled").await;
        cluster.people.reaches(task.id(), State::Cancelled).await;
        // One that does not answer, and one that is gone, are not waited for.
        let mut frozen = cluster.farloop(&["run", "count.park", "frozen"]);
        let mut gone = cluster.farloop(&["run", "count.park", "gone"]);
        for label in ["frozen", "gone"] {
            cluster.tally.sees(1, "begun", label).await;
        }
        cluster.coordinator.freeze();
        let began = Instant::now();
        frozen.interrupt();
        assert_eq!(frozen.ended().await.code(), Some(130));
        cluster.coordinator.kill();
        gone.interrupt();
        assert_eq!(gone.ended().await.code(), Some(130));
        assert!(began.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", began.elapsed());
    });
}

#[test]
fn workers_wait_for_a_coordinator_that_is_late_and_survive_its_restart() {
    bounded(async {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let tally = Tally::new();
        let mut worker = Program::new(COUNTING).at(&url).named("patient").tally(&tally).start();
        let start = || {
            let node = Program::new(NODE).arg("coordinator").arg("--port").arg(&port.to_string()).start();
            assert!(node.line().ends_with(&format!("127.0.0.1:{port}")));
            node
        };
        let mut coordinator = start();
        People::at(&url).await.joined(&["patient"]).await;
        let _event_loop = farloop::connect(&url).await.unwrap();
        assert_eq!(number(1, 0).await.unwrap(), 1);
        let lost = ensure_future(gated("lost", "gate"));
        tally.sees(1, "begun", "lost").await;

        coordinator.kill();
        let _again = start();
        assert!(matches!(lost.await, Err(farloop::Error::SessionLost(_))), "what it forgot is told");
        People::at(&url).await.joined(&["patient"]).await;
        assert_eq!(number(2, 0).await.unwrap(), 2);
        assert!(worker.runs());
        assert!(tally.of("begun", "number 2")[0].pid == worker.pid());
    });
}

#[test]
fn a_second_signal_ends_the_drain() {
    bounded(async {
        let mut cluster = Cluster::start().await;
        let program = Program::new(COUNTING).at(&cluster.url).named("leaving").tally(&cluster.tally);
        let mut leaving = program.env("FARLOOP_DRAIN_SECONDS", "3600").start();
        cluster.people.joined(&["leaving"]).await;
        let _event_loop = farloop::connect(&cluster.url).await.unwrap();
        let running = ensure_future(gated("running", "gate"));
        cluster.tally.begins_in("running", leaving.pid()).await;
        leaving.terminate();
        until("it drains", async || cluster.people.worker("leaving").await.filter(|w| w.draining)).await;
        let staying = cluster.worker("staying").await;
        assert!(leaving.runs());
        leaving.terminate();
        assert!(leaving.ended().await.success());
        cluster.tally.begins_in("running", staying.pid()).await;
        cluster.tally.open("gate");
        assert_eq!(running.await.unwrap(), staying.pid());
    });
}

/// A watcher that has stopped costs the coordinator a bounded amount: the notes, not the changes.
#[test]
fn l18_a_reader_that_stopped_costs_a_bounded_amount_of_memory() {
    bounded_by(Duration::from_secs(180), async {
        const MIB: usize = 1024 * 1024;
        let mut cluster = Cluster::start().await;
        let _worker = cluster.worker("busy").await;
        let _event_loop = farloop::connect(&cluster.url).await.unwrap();
        let text = "x".repeat(2_000);
        let flow = async || gather_all((0..2_000).map(|_| echo(text.clone()))).await.unwrap();
        flow().await;
        let before = cluster.coordinator.memory();
        flow().await;
        // What retention keeps of one round.
        let round = cluster.coordinator.memory().saturating_sub(before).max(MIB);

        let everything = "{\"payloadFormat\":\"PAYLOAD_FORMAT_JSON\"}";
        let watcher = cluster.farloop(&["api", "TaskService/WatchTasks", "-d", everything]);
        watcher.line();
        watcher.freeze();
        let before = cluster.coordinator.memory();
        for _ in 0..4 {
            flow().await;
        }
        let grown = cluster.coordinator.memory().saturating_sub(before);
        eprintln!("{} KiB a round, {} KiB in four rounds with a reader that stopped", round / 1024, grown / 1024);
        // 24,000 changes with their payloads would be more than 100 MiB.
        assert!(grown < 5 * round + 16 * MIB, "{grown} bytes, where a round takes {round}");
        // And it is told what it lost, when it reads on.
        watcher.thaw();
        loop {
            let line = watcher.long_line().await;
            if line.contains("lostCount") {
                break;
            }
        }
    });
}
