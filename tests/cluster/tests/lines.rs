//! What actors promise, line by line, on both backends: a cluster in this process, and one of real processes.

use std::time::Duration;

use farloop::blocking::EventLoop;
use farloop::{testing, timeout};
use farloop_test_cluster::lines;
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::People;
use farloop_test_cluster::{bounded, tally::Tally};

/// So long a scenario may take; it only bounds one that fails.
const LONG: Duration = Duration::from_secs(60);

/// In this process: two workers, virtual time.
fn here<F: Future<Output = farloop::Result<()>> + 'static>(scenario: impl FnOnce() -> F) {
    let cluster = testing::Cluster::new().workers(2).actor::<lines::Cart>();
    cluster.run(scenario).expect("the scenario goes through");
}

/// A coordinator, and two workers; this is their client.
fn there<F: Future<Output = farloop::Result<()>> + 'static>(scenario: impl FnOnce() -> F) {
    let (_coordinator, address) = Node::coordinator(env!("CARGO_BIN_EXE_cluster_node"));
    let url = format!("http://{address}");
    let tally = Tally::new();
    let workers = ["left", "right"];
    let start =
        |name: &&str| Program::new(env!("CARGO_BIN_EXE_counting_worker")).at(&url).named(name).tally(&tally).start();
    let _workers: Vec<Node> = workers.iter().map(start).collect();
    bounded(async { People::at(&url).await.joined(&workers).await });
    let event_loop = EventLoop::connect(&url).expect("the coordinator is there");
    event_loop.run_until_complete(timeout(LONG, scenario())).expect("the scenario goes through");
    event_loop.close().expect("it has done its work");
}

macro_rules! lines {
    ($($line:ident)*) => {
        mod in_process {
            $(#[test]
            fn $line() {
                super::here(super::lines::$line);
            })*
        }
        mod cluster {
            $(#[test]
            fn $line() {
                super::there(super::lines::$line);
            })*
        }
    };
}

lines! {
    calls_are_coroutines
    references_travel
    errors_of_methods
    turns
    order
    cancels
    deadlines
    streams
    mailboxes
    cycles
    names
    on_demand
    lifetimes
    stops_and_kills
    restarts
    hooks
    supervisors
    snapshots
    timers
    reminders
}
