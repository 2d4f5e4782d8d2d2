//! Traces: one tree from the caller's span through coordinator and workers, over nested calls and retries, told to a real
//! OTLP receiver by real processes.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use farloop_test_cluster::collector::{Collector, Told};
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::People;
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::{bounded, until};

const NODE: &str = env!("CARGO_BIN_EXE_cluster_node");

fn program(binary: &str, traces_to: &str) -> Program {
    // No batch leaves by the clock: what arrives was flushed by a process that ended.
    Program::new(binary).env("OTEL_EXPORTER_OTLP_ENDPOINT", traces_to).env("OTEL_BSP_SCHEDULE_DELAY", "600000")
}

fn coordinator(traces_to: &str) -> (Node, String) {
    let coordinator = program(NODE, traces_to).arg("coordinator").arg("--port").arg("0").start();
    let line = coordinator.line();
    let url = format!("http://{}", line.rsplit(' ').next().unwrap());
    (coordinator, url)
}

/// The only one of that name below that parent.
fn only<'a>(told: &'a [Told], name: &str, above: &Told) -> &'a Told {
    let found: Vec<&Told> = told.iter().filter(|t| t.span.name == name && t.is_below(above)).collect();
    assert_eq!(found.len(), 1, "{name} below {}: {found:#?}", above.span.name);
    found[0]
}

#[test]
fn a_nested_gather_with_a_retry_is_one_tree() {
    bounded(async {
        let (collector, tally) = (Collector::start().await, Tally::new());
        let (mut coordinator, url) = coordinator(&collector.url());
        let worker = |name: &str| {
            let program = program(env!("CARGO_BIN_EXE_counting_worker"), &collector.url()).at(&url).tally(&tally);
            // One slot: two that hold theirs are on two workers.
            program.named(name).env("FARLOOP_SLOTS", "1").start()
        };
        let mut workers = [worker("a"), worker("b")];
        People::at(&url).await.joined(&["a", "b"]).await;
        let mut client = program(env!("CARGO_BIN_EXE_cluster_client"), &collector.url())
            .at(&url)
            .tally(&tally)
            .arg("traced")
            .start();
        tally.sees(1, "begun", "left").await;
        tally.sees(1, "begun", "right").await;
        tally.open("gate");
        assert!(client.ended().await.success());
        for process in workers.iter_mut().chain([&mut coordinator]) {
            process.terminate();
            assert!(process.ended().await.success());
        }

        // 1 of the caller; for each task 1, and for each attempt 2: waiting for a worker, and running.
        let told = until("all spans arrive", async || Some(collector.told()).filter(|t| t.len() >= 12)).await;
        assert_eq!(told.len(), 12, "{told:#?}");
        let traces: BTreeSet<_> = told.iter().map(|t| t.span.trace_id.clone()).collect();
        assert_eq!(traces.len(), 1);

        let request = told.iter().find(|t| t.span.name == "request").unwrap();
        assert!(request.span.parent_span_id.is_empty() && request.service == "client", "{request:?}");
        let pair = only(&told, "task count.pair", request);
        assert_eq!(
            (pair.service.as_str(), pair.about("farloop.task.state")),
            ("farloop-coordinator", "SUCCEEDED".into())
        );
        only(&told, "schedule count.pair", pair);
        let run = only(&told, "run count.pair", pair);
        assert_eq!(run.service, "farloop-worker");

        let members: Vec<&Told> = told.iter().filter(|t| t.span.name == "task count.flaky").collect();
        assert!(members.len() == 2 && members.iter().all(|member| member.is_below(run)), "{members:#?}");
        let tries = |member: &Told| {
            let below =
                |name: &str| told.iter().filter(|t| t.span.name == name && t.is_below(member)).cloned().collect();
            let (waits, runs): (Vec<Told>, Vec<Told>) = (below("schedule count.flaky"), below("run count.flaky"));
            let number = |t: &Told| t.about("farloop.task.attempt");
            assert_eq!(waits.iter().map(number).collect::<Vec<_>>(), runs.iter().map(number).collect::<Vec<_>>());
            assert!(waits.iter().zip(&runs).all(|(wait, run)| {
                wait.span.start_time_unix_nano <= wait.span.end_time_unix_nano
                    && member.span.start_time_unix_nano <= run.span.start_time_unix_nano
            }));
            runs
        };
        let mut runs: Vec<Vec<Told>> = members.iter().map(|member| tries(member)).collect();
        runs.sort_by_key(Vec::len);
        let [once, twice] = &runs[..] else { panic!("{runs:#?}") };
        assert!(once.len() == 1 && !once[0].failed());
        assert!(twice.len() == 2 && twice[0].failed() && !twice[1].failed(), "{twice:#?}");
        assert_eq!(twice[0].about("farloop.outcome"), "raised");
        assert_eq!(twice[1].about("farloop.outcome"), "returned");
        assert_ne!(once[0].pid, twice[0].pid, "they held their slots at once, on two workers");
    });
}

#[test]
fn a_call_of_an_actor_and_what_its_method_calls_are_one_tree() {
    bounded(async {
        let collector = Collector::start().await;
        let (mut coordinator, url) = coordinator(&collector.url());
        let mut worker = program(env!("CARGO_BIN_EXE_counting_worker"), &collector.url()).at(&url).named("a").start();
        People::at(&url).await.joined(&["a"]).await;
        let client = program(env!("CARGO_BIN_EXE_cluster_client"), &collector.url()).at(&url);
        let mut client = client.arg("traced").arg("actors").start();
        assert!(client.ended().await.success());
        assert_eq!(client.line(), "7");
        for process in [&mut worker, &mut coordinator] {
            process.terminate();
            assert!(process.ended().await.success());
        }
        let run = "run lines.Counter.add";
        let told = until("the innermost span arrives", async || {
            let told = collector.told();
            let all = [run, "task lines.Counter.give", "request"];
            all.iter().all(|name| told.iter().any(|t| t.span.name == *name)).then_some(told)
        })
        .await;
        let request = told.iter().find(|t| t.span.name == "request").unwrap();
        let outer = only(&told, "task lines.Counter.give", request);
        let method = only(&told, "run lines.Counter.give", outer);
        assert_eq!(method.service, "farloop-worker");
        let inner = only(&told, "task lines.Counter.add", method);
        assert_eq!(only(&told, run, inner).about("farloop.outcome"), "returned");
        assert_eq!(request.span.trace_id, only(&told, run, inner).span.trace_id);
    });
}

#[test]
fn a_collector_that_says_nothing_holds_nobody_up() {
    bounded(async {
        // It listens, and never answers.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nowhere = format!("http://{}", silent.local_addr().unwrap());
        let tally = Tally::new();
        tally.open("gate");
        let (mut coordinator, url) = coordinator(&nowhere);
        let _worker =
            program(env!("CARGO_BIN_EXE_counting_worker"), &nowhere).at(&url).tally(&tally).named("a").start();
        People::at(&url).await.joined(&["a"]).await;
        let began = Instant::now();
        let mut client = program(env!("CARGO_BIN_EXE_cluster_client"), &nowhere).at(&url).arg("traced").start();
        assert!(client.ended().await.success());
        coordinator.terminate();
        assert!(coordinator.ended().await.success());
        // Each waits for the collector once; far below what an export may take by default.
        assert!(
            began.elapsed() < 2 * farloop::telemetry::FLUSH_LIMIT + Duration::from_secs(8),
            "{:?}",
            began.elapsed()
        );
    });
}
