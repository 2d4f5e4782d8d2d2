//! Calls that cannot work: each fails with an error that says what was wrong and what to do, and the same cluster serves
//! the next call.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::sync::{Arc, Mutex};
use std::time::Duration;

use farloop::Task;
use farloop::prelude::*;
use farloop_test_cluster::misfits::{huge, length, misremembered, twin, unspeakable};
use farloop_test_cluster::node::{Node, Program, run_to_end};
use farloop_test_cluster::people::People;
use farloop_test_cluster::tasks::{echo, total};
use farloop_test_cluster::{bounded, until};

const MIB: usize = 1024 * 1024;

/// A coordinator, a worker with the counting functions and the misfits, and a client.
struct Cluster {
    coordinator: Node,
    worker: Node,
    url: String,
    _event_loop: farloop::Loop,
}

async fn cluster() -> Cluster {
    let (coordinator, address) = Node::coordinator(env!("CARGO_BIN_EXE_cluster_node"));
    let url = format!("http://{address}");
    let worker = Program::new(env!("CARGO_BIN_EXE_counting_worker")).at(&url).named("counting").start();
    People::at(&url).await.joined(&["counting"]).await;
    let event_loop = farloop::connect(&url).await.unwrap();
    Cluster { coordinator, worker, url, _event_loop: event_loop }
}

impl Cluster {
    /// Nothing has suffered.
    async fn serves(&mut self) {
        assert_eq!(echo("still here").await.unwrap(), "still here");
        assert!(self.coordinator.runs() && self.worker.runs());
    }
}

fn says(error: &farloop::Error, parts: &[&str]) {
    let text = format!("{error:#}");
    assert!(parts.iter().all(|part| text.contains(part)), "'{text}' does not say {parts:?}");
}

#[test]
fn an_unknown_function_is_told_with_one_that_is_meant_perhaps() {
    bounded(async {
        let mut cluster = cluster().await;
        let reports = Arc::new(Mutex::new(Vec::new()));
        let told = reports.clone();
        farloop::set_exception_handler(Some(Box::new(move |report| {
            told.lock().unwrap().push((report.task, report.message.clone()));
        })));
        let task = ensure_future(farloop::call("count.eco").arg("x").coro().timeout(Duration::from_secs(3)));
        let report = until("a report", async || {
            reports.lock().unwrap().iter().find(|(of, _)| *of == Some(task.id())).map(|(_, message)| message.clone())
        })
        .await;
        assert!(
            report.contains("no worker offers 'count.eco'") && report.contains("did you mean 'count.echo'?"),
            "{report}"
        );
        // And it does not wait for ever: its own limit ends it.
        says(&task.await.unwrap_err(), &["count.eco", "3"]);
        cluster.serves().await;
    });
}

#[test]
fn wrong_arguments_are_named_with_what_is_expected() {
    bounded(async {
        let mut cluster = cluster().await;
        let error = farloop::call("count.add").arg(1).await.unwrap_err();
        says(&error, &["count.add", "takes 2 arguments (a: u64, b: u64), 1 was given"]);
        let error = farloop::call("count.add").arg(1).arg(2).arg(3).await.unwrap_err();
        says(&error, &["takes 2 arguments", "3 were given"]);
        let error = farloop::call("count.add").arg(1).arg("two").await.unwrap_err();
        says(&error, &["argument 2 (b: u64): expected u64, found the text \"two\""]);
        let error = farloop::call("count.add").arg(1).arg(-2).await.unwrap_err();
        says(&error, &["argument 2 (b: u64)", "-2"]);
        // A typed call knows a signature, and it is not the worker's.
        let error = misremembered::add(vec![1, 2]).await.unwrap_err();
        says(&error, &["count.add(a: u64, b: u64) -> u64", "fingerprint", "build both from the same source"]);
        // The result is something else than the caller believes.
        let error = farloop::call("count.echo").arg("text").returns::<u64>().await.unwrap_err();
        says(&error, &["expected u64, found the text \"text\""]);
        cluster.serves().await;
    });
}

#[test]
fn payloads_over_the_limit_name_it_and_leave_nothing_behind() {
    bounded(async {
        let mut cluster = cluster().await;
        let before = cluster.coordinator.memory();
        let error = length("x".repeat(64 * MIB)).await.unwrap_err();
        says(&error, &["misfit.length", "MAX_PAYLOAD", "67108864"]);
        let error = huge(64 * MIB).await.unwrap_err();
        says(&error, &["misfit.huge", "MAX_PAYLOAD", "67108864"]);
        cluster.serves().await;
        // Neither went through the coordinator.
        let grown = cluster.coordinator.memory().saturating_sub(before);
        assert!(grown < 48 * MIB, "the coordinator has grown by {grown} bytes");
    });
}

#[test]
fn a_result_without_an_encoding_fails_its_task() {
    bounded(async {
        let mut cluster = cluster().await;
        let error = unspeakable().await.unwrap_err();
        says(&error, &["misfit.unspeakable", "words fail me"]);
        cluster.serves().await;
    });
}

#[test]
fn an_argument_from_a_task_that_nobody_knows_is_refused() {
    bounded(async {
        let mut cluster = cluster().await;
        let known = serde_json::to_string(&ensure_future(total(vec![1]))).unwrap();
        let task: Task<u64> = serde_json::from_str(&known).unwrap();
        let id = task.id().to_string();
        let never = format!("{}{}", &id[..id.len() - 4], if id.ends_with("0000") { "0001" } else { "0000" });
        let task: Task<u64> = serde_json::from_str(&known.replace(&id, &never)).unwrap();
        let error = farloop::call("count.add").arg(1).arg_task(&task).await.unwrap_err();
        says(&error, &[&never, "submit it first"]);
        cluster.serves().await;
    });
}

#[test]
fn waiting_for_nothing_is_an_error_and_not_a_wait() {
    bounded(async {
        let mut cluster = cluster().await;
        let error = wait(Vec::<Task<u64>>::new()).await.unwrap_err();
        says(&error, &["Set of Tasks/Futures is empty."]);
        assert_eq!(gather_all(Vec::<Task<u64>>::new()).await.unwrap(), Vec::<u64>::new());
        cluster.serves().await;
    });
}

#[test]
fn a_negative_time_is_refused_before_anything_starts() {
    bounded(async {
        let mut cluster = cluster().await;
        let words = ["run", "count.echo", "x", "--timeout=-1", "--address", &cluster.url];
        let run = run_to_end(env!("CARGO_BIN_EXE_cluster_node"), &words, &[]);
        let text = String::from_utf8_lossy(&run.stderr);
        assert!(!run.status.success() && text.contains("--timeout -1") && text.contains("not negative"), "{text}");
        cluster.serves().await;
    });
}

#[test]
fn two_functions_of_one_name_stop_a_worker_with_both_places() {
    bounded(async {
        let mut cluster = cluster().await;
        let worker = farloop::Worker::new(&cluster.url).task::<huge>().task::<twin::another>();
        says(&worker.run().await.unwrap_err(), &["misfit.huge", "misfits.rs:", "name = "]);
        cluster.serves().await;
    });
}
