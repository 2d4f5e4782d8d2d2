//! A real disk that is full: new tasks are refused in words, what was accepted ends, and with room again all is as before.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::time::Duration;

use farloop::prelude::*;
use farloop_test_cluster::node::Program;
use farloop_test_cluster::people::People;
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::tasks::{echo, gated};
use farloop_test_cluster::{bounded_by, until};

/// The coordinator sees a file system of 136 MiB, of which another file takes 30: there is room for the three segments
/// that are taken at the start, and not for a fourth. Nobody else sees it, and it is gone with the process.
const SMALL_DISK: &str = "mount -t tmpfs -o size=136m tmpfs \"$1\" && head -c 31457280 /dev/zero > \"$1/ballast\" && \
                          exec \"$0\" \"$1/data\" 0";

#[test]
fn l18_a_full_disk_refuses_new_tasks_and_ends_what_it_has() {
    bounded_by(Duration::from_secs(120), async {
        let place = tempfile::TempDir::new().unwrap();
        // A mount of one's own needs no rights where user namespaces are allowed, and nothing else as root.
        let program = Program::new("unshare").arg("--map-root-user").arg("--mount").arg("sh").arg("-c").arg(SMALL_DISK);
        let program = program.arg(env!("CARGO_BIN_EXE_kept_coordinator")).arg(place.path().to_str().unwrap());
        let mut coordinator = program.start();
        let url = format!("http://{}", coordinator.line());
        let tally = Tally::new();
        let mut people = People::at(&url).await;
        let worker = Program::new(env!("CARGO_BIN_EXE_counting_worker")).at(&url).named("one").tally(&tally);
        let _worker = worker.start();
        people.joined(&["one"]).await;
        let _event_loop = farloop::connect(&url).await.unwrap();
        let running = ensure_future(gated("running", "gate"));
        tally.sees(1, "begun", "running").await;

        let text = "x".repeat(60_000);
        let mut accepted = 0;
        let refused = loop {
            match echo(text.clone()).await {
                Ok(back) => {
                    accepted += 1;
                    assert!(back == text && accepted < 2_000, "so much does not fit");
                }
                Err(error) => break error,
            }
        };
        println!("{accepted} accepted, then: {refused}");
        assert!(refused.to_string().contains("disk"), "{refused}");
        assert!(!people.store().await.full.is_empty());
        // What is under way ends, out of what was taken ahead.
        tally.open("gate");
        running.await.unwrap();
        assert!(coordinator.runs());

        let ballast = format!("/proc/{}/root{}/ballast", coordinator.pid(), place.path().display());
        std::fs::remove_file(ballast).unwrap();
        until("there is room again", async || people.store().await.full.is_empty().then_some(())).await;
        assert_eq!(echo("again").await.unwrap(), "again");
    });
}
