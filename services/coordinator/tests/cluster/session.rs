//! Sessions: a task from end to end, cuts, rejections, stops.

use std::time::{Duration, Instant};

use bytes::Bytes;
use farloop_coordinator::{Config, Coordinator, StartError, Tokens};
use farloop_core::frame::{Down, HelloReply, Role, Up};
use farloop_core::id::TaskId;
use farloop_core::outcome::{FailureKind, Outcome};
use farloop_core::spec::Dependency;
use farloop_store::MemoryStore;
use tonic::Code;

use crate::peer::Peer;
use crate::setup::start;

fn value(bytes: &'static [u8]) -> Outcome {
    Outcome::Returned(Bytes::from_static(bytes))
}

#[tokio::test]
async fn a_task_goes_there_and_its_outcome_comes_back() {
    let running = start(Config::default()).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = Peer::client(running.channel().await).await;
    let task = client.submit(&[0x92, 2, 3]).await;
    let start = worker.next_start().await;
    assert_eq!(
        (start.attempt.task, &*start.spec.function, &start.spec.args[..]),
        (task, "demo.add", &[0x92, 2, 3][..])
    );
    worker.returned(start.attempt, &[5]).await;
    assert_eq!(client.next().await, Down::Resolved { task, outcome: value(&[5]) });
}

#[tokio::test]
async fn with_a_store_outcomes_leave_once_they_are_durable() {
    let running = start(Config::default().keeping_with(MemoryStore::new())).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = Peer::client(running.channel().await).await;
    let task = client.submit(&[0x92, 2, 3]).await;
    let start = worker.next_start().await;
    worker.returned(start.attempt, &[5]).await;
    assert_eq!(client.next().await, Down::Resolved { task, outcome: value(&[5]) });
}

#[tokio::test]
async fn a_client_that_was_cut_gets_what_it_missed() {
    let running = start(Config::default()).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = Peer::client(running.channel().await).await;
    let first = client.submit(&[0x92, 1, 1]).await;
    let start = worker.next_start().await;
    client.cut();
    worker.returned(start.attempt, &[2]).await;
    // Submitted without a connection: it goes when there is one again.
    let second = client.submit(&[0x92, 2, 2]).await;
    let reply = client.connect(running.channel().await).await.unwrap();
    assert!(matches!(reply, HelloReply::Welcome { resumed: true, .. }));
    assert_eq!(client.next().await, Down::Resolved { task: first, outcome: value(&[2]) });
    let start = worker.next_start().await;
    assert_eq!(start.attempt.task, second);
    worker.returned(start.attempt, &[4]).await;
    assert_eq!(client.next().await, Down::Resolved { task: second, outcome: value(&[4]) });
}

#[tokio::test]
async fn a_worker_that_was_cut_goes_on_with_its_attempts() {
    let running = start(Config::default()).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = Peer::client(running.channel().await).await;
    let task = client.submit(&[0x92, 2, 3]).await;
    let start = worker.next_start().await;
    worker.cut();
    worker.returned(start.attempt, &[5]).await;
    worker.connect(running.channel().await).await.unwrap();
    assert_eq!(client.next().await, Down::Resolved { task, outcome: value(&[5]) });
}

#[tokio::test]
async fn a_newer_connection_takes_the_session_over() {
    let running = start(Config::default()).await;
    let mut old = Peer::client(running.channel().await).await;
    let hello = old.hello();
    let mut new = Peer::new(Role::Client, "the same, again");
    new.take_over(hello);
    new.connect(running.channel().await).await.unwrap();
    let end = old.next_batch().await.unwrap_err().expect("the old stream ends with a reason");
    assert_eq!(end.code(), Code::Aborted);
    assert!(end.message().contains("newer connection"), "{end:?}");
}

#[tokio::test]
async fn a_payload_above_one_part_comes_whole() {
    let running = start(Config::default()).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = Peer::client(running.channel().await).await;
    let large: Vec<u8> = (0..1_000_000u32).map(|i| i.to_le_bytes()[0]).collect();
    let task = client.submit(&large).await;
    let start = worker.next_start().await;
    assert_eq!(start.spec.args, large);
    worker.returned(start.attempt, &large).await;
    assert_eq!(client.next().await, Down::Resolved { task, outcome: Outcome::Returned(large.into()) });
}

#[tokio::test]
async fn a_beat_is_acknowledged() {
    let running = start(Config::default()).await;
    let mut client = Peer::client(running.channel().await).await;
    client.submit(&[0x90]).await;
    assert_eq!(client.unacknowledged(), 1);
    client.send(Up::Heartbeat).await;
    while client.unacknowledged() > 0 {
        client.next_batch().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_hello_is_refused_in_words() {
    let running = start(Config::default()).await;
    let mut stranger = Peer::new(Role::Client, "from the future");
    stranger.speak(99);
    let reply = stranger.connect(running.channel().await).await.unwrap();
    let HelloReply::Rejected { reason, message } = reply else { panic!("{reply:?}") };
    assert_eq!(reason, "PROTOCOL_MISMATCH");
    assert!(message.contains("99"), "{message}");
    assert!(stranger.next_batch().await.unwrap_err().is_none(), "the stream ends after the refusal");
}

#[tokio::test]
async fn an_argument_that_is_the_call_itself_is_refused() {
    let running = start(Config::default()).await;
    let mut client = Peer::client(running.channel().await).await;
    let task = TaskId(uuid::Uuid::now_v7().as_u128());
    client.submit_with(task, &[0x92, 1, 0xc0], vec![Dependency { position: 1, tasks: vec![task], list: false }]).await;
    let Down::Resolved { task: of, outcome: Outcome::Raised(failure) } = client.next().await else {
        panic!("a refusal")
    };
    assert_eq!((of, &failure.kind), (task, &FailureKind::DependencyCycle));
    assert!(failure.message.contains(&format!("is task {task} itself")), "{}", failure.message);
}

#[tokio::test]
async fn a_token_lets_in_its_role_and_no_other() {
    let tokens = Tokens::parse("client c\nworker w\noperator o\n").unwrap();
    let running = start(Config { tokens, ..Config::default() }).await;
    let connect = async |role, token: Option<&'static str>| {
        let peer = Peer::new(role, "a test");
        let mut peer = match token {
            Some(token) => peer.with_token(token),
            None => peer,
        };
        peer.connect(running.channel().await).await.map(|_| ()).map_err(|status| status.code())
    };
    assert_eq!(connect(Role::Client, Some("c")).await, Ok(()));
    assert_eq!(connect(Role::Worker, Some("w")).await, Ok(()));
    assert_eq!(connect(Role::Worker, Some("c")).await, Err(Code::PermissionDenied));
    assert_eq!(connect(Role::Client, Some("o")).await, Err(Code::PermissionDenied));
    assert_eq!(connect(Role::Client, Some("x")).await, Err(Code::Unauthenticated));
    assert_eq!(connect(Role::Client, None).await, Err(Code::Unauthenticated));
}

#[tokio::test]
async fn it_does_not_listen_beyond_loopback_without_a_token() {
    let config = Config { listen: "0.0.0.0:0".into(), ..Config::default() };
    let refused = Coordinator::bind(config).await.unwrap_err();
    assert!(matches!(refused, StartError::NoToken { .. }));
    assert!(refused.to_string().contains("--token-file"));
    let tokens = Tokens::parse("secret").unwrap();
    Coordinator::bind(Config { listen: "0.0.0.0:0".into(), tokens, ..Config::default() }).await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let running = start(Config::default()).await;
    let listen = running.address.to_string();
    let refused = Coordinator::bind(Config { listen: listen.clone(), ..Config::default() }).await.unwrap_err();
    assert!(matches!(refused, StartError::PortBusy { .. }));
    assert!(refused.to_string().contains(&listen) && refused.to_string().contains("--port"));
}

#[tokio::test]
async fn a_stop_tells_every_peer_and_does_not_wait_for_ever() {
    let running = start(Config { stop_within: Duration::from_millis(300), ..Config::default() }).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = Peer::client(running.channel().await).await;
    client.submit(&[0x92, 2, 3]).await;
    worker.next_start().await;
    let begin = Instant::now();
    let served = running.begin_stop();
    assert_eq!(worker.next().await, Down::Drain);
    assert_eq!(client.next().await, Down::Drain);
    let end = worker.next_batch().await.unwrap_err().expect("the stream ends with a reason");
    assert_eq!(end.code(), Code::Unavailable);
    served.await.unwrap().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_stop_ends_when_the_last_attempt_does() {
    let running = start(Config { stop_within: Duration::from_secs(60), ..Config::default() }).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = Peer::client(running.channel().await).await;
    let task = client.submit(&[0x92, 2, 3]).await;
    let start = worker.next_start().await;
    let served = running.begin_stop();
    assert_eq!(worker.next().await, Down::Drain);
    worker.returned(start.attempt, &[5]).await;
    assert_eq!(client.next().await, Down::Drain);
    assert_eq!(client.next().await, Down::Resolved { task, outcome: value(&[5]) });
    tokio::time::timeout(Duration::from_secs(5), served).await.expect("it stops").unwrap().unwrap();
}
