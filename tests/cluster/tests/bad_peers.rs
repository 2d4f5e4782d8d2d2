//! Peers that are wrong about the coordinator, or wrong altogether: they are told why, in time, and nobody else notices.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use farloop::TaskId;
use farloop_test_cluster::node::{Node, Program, run_to_end};
use farloop_test_cluster::people::{People, State};
use farloop_test_cluster::{bounded, bounded_by, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const NODE: &str = env!("CARGO_BIN_EXE_cluster_node");
const CLIENT: &str = env!("CARGO_BIN_EXE_cluster_client");
const MIB: usize = 1024 * 1024;

async fn demo_worker(url: &str) -> Node {
    let worker = Program::new(NODE).arg("worker").at(url).named("demo").start();
    People::at(url).await.joined(&["demo"]).await;
    worker
}

/// What `farloop run` prints when it fails.
fn refusal(url: &str, variables: &[(&str, &str)]) -> String {
    let run = run_to_end(NODE, &["run", "demo.add", "2", "3", "--address", url], variables);
    assert!(!run.status.success());
    String::from_utf8_lossy(&run.stderr).into_owned()
}

#[test]
fn without_the_token_neither_client_nor_worker_gets_in() {
    bounded(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "client for-clients\nworker for-workers\n").unwrap();
        let path = path.display().to_string();
        let coordinator = Program::new(NODE).arg("coordinator").arg("--port").arg("0").env("FARLOOP_TOKEN_FILE", &path);
        let coordinator = coordinator.start();
        let line = coordinator.line();
        let url = format!("http://{}", line.rsplit(' ').next().unwrap());

        for wrong in [&[][..], &[("FARLOOP_TOKEN", "guessed")]] {
            let text = refusal(&url, wrong);
            assert!(text.contains("a token is needed here") && text.contains("FARLOOP_TOKEN"), "{text}");
        }
        // A worker must not hammer on: it ends, and says why.
        let mut worker = Program::new(NODE).arg("worker").at(&url).env("FARLOOP_TOKEN", "for-clients").start();
        assert_eq!(worker.ended().await.code(), Some(1));
        let text = refusal(&url, &[("FARLOOP_TOKEN", "for-workers")]);
        assert!(text.contains("does not allow a session as client"), "{text}");

        // The file of the coordinator is enough for everybody: each finds the own role.
        let _worker = Program::new(NODE).arg("worker").at(&url).env("FARLOOP_TOKEN_FILE", &path).start();
        let run = run_to_end(NODE, &["run", "demo.add", "2", "3", "--address", &url], &[("FARLOOP_TOKEN_FILE", &path)]);
        assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), "5");
    });
}

#[test]
fn a_coordinator_that_is_not_there_is_given_up_in_time() {
    bounded(async {
        // A port that nobody has, and one where somebody listens and says nothing.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let give_up = async |address: SocketAddr, why: &str| {
            let began = Instant::now();
            let error = farloop::connect(format!("http://{address}")).await.unwrap_err().to_string();
            assert!(error.contains(&format!("no coordinator answered at http://{address}")), "{error}");
            assert!(
                error.contains(why) && error.contains("farloop dev") && error.contains("FARLOOP_ADDRESS"),
                "{error}"
            );
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        };
        tokio::join!(give_up(free, "Connection refused"), give_up(silent.local_addr().unwrap(), "no welcome came"),);
        let error = farloop::connect("ftp://example").await.unwrap_err().to_string();
        assert!(error.contains("'ftp://example' is no coordinator's address"), "{error}");
    });
}

#[test]
fn garbage_on_the_port_harms_nobody() {
    bounded(async {
        let (mut coordinator, address) = Node::coordinator(NODE);
        let url = format!("http://{address}");
        let _worker = demo_worker(&url).await;
        let before = coordinator.memory();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let noise: Vec<u8> = (0..64 * 1024_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let frame_of_16_mib = [&preface[..], &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat();
        let kinds: [&[u8]; 6] = [
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            &noise,
            &[&preface[..], &noise].concat(),
            &frame_of_16_mib,
            b"",
        ];
        let mut open = Vec::new();
        for round in 0..50 {
            for bytes in kinds {
                let mut stranger = TcpStream::connect(address).await.unwrap();
                // It may hang up while it is still being told.
                let _ = stranger.write_all(bytes).await;
                // Half of them read what is said, the others just stay.
                if round % 2 == 0 {
                    stranger.shutdown().await.ok();
                    let mut said = Vec::new();
                    let _ = tokio::time::timeout(Duration::from_millis(200), stranger.read_to_end(&mut said)).await;
                } else {
                    open.push(stranger);
                }
            }
        }
        let run = run_to_end(NODE, &["run", "demo.add", "2", "3", "--address", &url], &[]);
        assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), "5");
        let grown = coordinator.memory().saturating_sub(before);
        assert!(coordinator.runs() && grown < 32 * MIB, "the coordinator has grown by {grown} bytes");
    });
}

#[test]
fn a_client_that_stops_reading_costs_what_it_is_owed_and_gets_it_later() {
    const TASKS: usize = 200_000;
    bounded(async {
        let (mut coordinator, address) = Node::coordinator(NODE);
        let url = format!("http://{address}");
        let client = Program::new(CLIENT).at(&url).arg("queues").arg(&TASKS.to_string()).start();
        let last = TaskId::parse(&client.line()).unwrap();
        let mut people = People::at(&url).await;
        people.reaches(last, State::Pending).await;
        let waiting = coordinator.memory();
        client.freeze();

        let mut worker = demo_worker(&url).await;
        people.reaches(last, State::Succeeded).await;
        until("the worker is idle", async || people.worker("demo").await.filter(|w| w.leased() == 0)).await;
        // Outcomes are kept once, with their tasks: what waits for the client is a note for each.
        let grown = coordinator.memory().saturating_sub(waiting);
        assert!(grown < 64 * MIB, "the coordinator has grown by {grown} bytes on top of {waiting}");
        assert!(worker.memory() < 256 * MIB, "the worker has {} bytes", worker.memory());
        assert!(coordinator.runs() && worker.runs());

        client.thaw();
        assert_eq!(client.line(), format!("{TASKS} returned"));
    });
}

#[test]
fn a_million_submits_that_nobody_awaits_are_held_or_refused() {
    bounded_by(Duration::from_secs(180), async {
        let (mut coordinator, address) = Node::coordinator(NODE);
        let url = format!("http://{address}");
        let mut worker = demo_worker(&url).await;
        let mut client = Program::new(CLIENT).at(&url).arg("hoards").arg("1000000").start();
        // How many are refused depends on who is faster.
        let answers = [client.long_line().await, client.long_line().await, client.long_line().await];
        assert_eq!(answers[2], "served");
        assert!(client.ended().await.success());
        // Half of a KiB for each at the coordinator; at the worker nothing is kept.
        let (of_coordinator, of_worker) = (coordinator.memory(), worker.memory());
        assert!(of_coordinator < 768 * MIB && of_worker < 128 * MIB, "{of_coordinator}, {of_worker}");
        assert!(coordinator.runs() && worker.runs());
        let run = run_to_end(NODE, &["run", "demo.add", "2", "3", "--address", &url], &[]);
        assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), "5");
    });
}

#[test]
fn a_session_that_cannot_send_refuses_above_its_buffer_and_names_it() {
    bounded(async {
        let (coordinator, address) = Node::coordinator(NODE);
        let url = format!("http://{address}");
        let client = Program::new(CLIENT).at(&url).arg("hoards").arg("250000").start();
        // The client is in, and from here on nothing leaves it.
        let mut people = People::at(&url).await;
        until("the client's first tasks", async || people.any_task().await.then_some(())).await;
        coordinator.freeze();
        let refused: usize = client.line().parse().unwrap();
        assert!((1..250_000).contains(&refused), "{refused}");
        let why = client.line();
        assert!(why.contains("BUFFER_TASKS = 65536") && why.contains("submit()"), "{why}");
        // What was accepted is not lost, and there is room again.
        coordinator.thaw();
        let _worker = demo_worker(&url).await;
        assert_eq!(client.line(), "served");
    });
}
