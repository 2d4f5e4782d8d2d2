//! The public API with the real grpcurl, where `GRPCURL` names one.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::process::Command;

use farloop_test_cluster::bounded;
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::People;

#[test]
fn grpcurl_gets_what_it_asks_for() {
    bounded(async {
        let Ok(grpcurl) = std::env::var("GRPCURL") else {
            eprintln!("skipped: GRPCURL names no grpcurl");
            return;
        };
        let node = env!("CARGO_BIN_EXE_cluster_node");
        let (_coordinator, address) = Node::coordinator(node);
        let url = format!("http://{address}");
        let _worker = Program::new(node).arg("worker").at(&url).named("demo").start();
        People::at(&url).await.joined(&["demo"]).await;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/grpcurl.sh");
        let run = Command::new("sh")
            .arg(script)
            .env("GRPCURL", grpcurl)
            .env("ADDRESS", address.to_string())
            .env("DRAIN", "yes")
            .output();
        let run = run.expect("a shell");
        assert!(
            run.status.success(),
            "{}{}",
            String::from_utf8_lossy(&run.stdout),
            String::from_utf8_lossy(&run.stderr)
        );
    });
}
