//! Connections that nobody closes and that carry nothing any more: a peer notices by the silence, in time to keep its
//! session, and resumes on a new one.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::time::Duration;

use farloop::prelude::*;
use farloop_test_cluster::bounded;
use farloop_test_cluster::embedded::Embedded;
use farloop_test_cluster::node::Program;
use farloop_test_cluster::people::People;
use farloop_test_cluster::proxy::{Cut, How, Proxy};
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::tasks::{echo, gated, number};

#[test]
fn a_client_and_a_worker_leave_a_connection_that_is_silent() {
    bounded(async {
        let tally = Tally::new();
        // A worker has a third of this left to come back when it has noticed.
        let coordinator = Embedded::with(|core| core.worker_dead_after = Duration::from_secs(6));
        let client_side = Proxy::to(coordinator.address());
        let worker_side = Proxy::to(coordinator.address());
        let program = Program::new(env!("CARGO_BIN_EXE_counting_worker")).at(&worker_side.url()).tally(&tally);
        let _worker = program.named("counting").start();
        People::at(&coordinator.url()).await.joined(&["counting"]).await;
        let _event_loop = farloop::connect(client_side.url()).await.unwrap();

        let running = ensure_future(gated("running", "gate"));
        tally.sees(1, "begun", "running").await;
        worker_side.cut(How::Stall);
        client_side.plan([Cut::up(1_000).silently()]);
        let numbers = gather_all((0..40).map(|n| number(n, n)));
        let back = ensure_future(echo("x".repeat(1024 * 1024)));
        tally.open("gate");
        assert_eq!(numbers.await.unwrap(), (0..40).collect::<Vec<_>>());
        assert_eq!(back.await.unwrap().len(), 1024 * 1024);
        running.await.unwrap();
        assert!(tally.begun_since(0).values().all(|(_, times)| *times == 1), "the worker was never taken for dead");
        assert_eq!((client_side.connections(), worker_side.connections()), (2, 2));
    });
}
