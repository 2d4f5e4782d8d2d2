//! What a container's healthcheck is told: `farloop health` and its exit code, within its time.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::time::{Duration, Instant};

use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::People;
use farloop_test_cluster::{bounded, until};

const NODE: &str = env!("CARGO_BIN_EXE_cluster_node");

/// Whether all is well, and how long it took to know.
async fn health(url: &str, words: &[&str]) -> (bool, Duration) {
    let began = Instant::now();
    let program = words.iter().fold(Program::new(NODE).at(url).arg("health"), |program, word| program.arg(word));
    let ended = program.start().ended().await;
    assert!(matches!(ended.code(), Some(0 | 1)), "{ended}");
    (ended.success(), began.elapsed())
}

#[test]
fn health_tells_how_the_coordinator_stands() {
    bounded(async {
        let (mut coordinator, address) = Node::coordinator(NODE);
        let url = format!("http://{address}");
        assert!(health(&url, &[]).await.0);
        assert!(health(&url, &["--ready"]).await.0);
        // It is there and says nothing: the check must not wait with it.
        coordinator.freeze();
        let (well, took) = health(&url, &[]).await;
        assert!(!well && took < Duration::from_secs(6), "{took:?}");
        coordinator.thaw();
        coordinator.kill();
        assert!(!health(&url, &[]).await.0);
    });
}

#[test]
fn health_tells_whether_a_worker_has_its_session() {
    bounded(async {
        let (_coordinator, address) = Node::coordinator(NODE);
        let url = format!("http://{address}");
        assert!(!health(&url, &["--worker"]).await.0, "no worker has come");
        let mut worker = Program::new(NODE).arg("worker").at(&url).start();
        // It has no name: the one of this host is meant.
        until("the worker is well", async || health(&url, &["--worker"]).await.0.then_some(())).await;
        assert!(!health(&url, &["--worker", "another"]).await.0);
        worker.kill();
        until("the worker is missed", async || (!health(&url, &["--worker"]).await.0).then_some(())).await;
        let _named = Program::new(NODE).arg("worker").at(&url).named("gpu").start();
        People::at(&url).await.joined(&["gpu"]).await;
        assert!(health(&url, &["--worker", "gpu"]).await.0);
    });
}

#[test]
fn a_coordinator_makes_its_token_once() {
    bounded(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token").display().to_string();
        let start = || {
            let program = Program::new(NODE).arg("coordinator").arg("--port").arg("0");
            program.arg("--token-file").arg(&path).arg("--create-token").start()
        };
        let token = || Program::new(NODE).arg("token").env("FARLOOP_TOKEN_FILE", &path).start().line();
        let first = start();
        first.line();
        let made = token();
        assert_eq!(made.len(), 64, "{made}");
        drop(first);
        start().line();
        assert_eq!(token(), made);
    });
}
