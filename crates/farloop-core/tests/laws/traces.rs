//! What is told about traced tasks, for the spans of a coordinator.

use std::sync::Arc;
use std::time::Duration;

use farloop_core::api::Event;
use farloop_core::id::WorkerId;
use farloop_core::spec::{Spec, Trace};

use crate::driver::*;

fn traced(function: &str) -> Spec {
    let trace =
        Trace { parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(), state: String::new() };
    Spec { trace: Some(Arc::new(trace)), ..spec(function) }
}

#[test]
fn a_traced_task_tells_each_start_and_its_end_and_others_tell_nothing() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let accepted = c.now;
    let mut spec_of_two = traced("f");
    spec_of_two.options.max_attempts = 2;
    c.submit(client, id(1), spec_of_two);
    c.submit(client, id(2), spec("f"));
    c.pass(Duration::from_secs(1));
    let worker = c.worker(3, &["f"], 4);
    c.pass(Duration::from_secs(1));
    let failed = c.now;
    c.end(id(1), raised("once"));
    c.end(id(2), returned("untraced"));
    c.end(id(1), returned("v"));

    let mut told = Vec::new();
    for event in &c.events {
        match event {
            Event::Scheduled { task, attempt, worker: at, since, .. } => {
                assert_eq!((*task, *at), (id(1), WorkerId(worker.0)));
                told.push(format!("start {attempt} since {}", since.0 - accepted.0));
            }
            Event::Over { task, attempts, created, outcome, .. } => {
                assert_eq!((*task, *created), (id(1), accepted));
                assert_eq!(*outcome, returned("v"));
                told.push(format!("over after {attempts}"));
            }
            _ => {}
        }
    }
    let retried = failed.0 - accepted.0;
    assert_eq!(told, ["start 1 since 0".to_owned(), format!("start 2 since {retried}"), "over after 2".to_owned()]);
}

#[test]
fn l2_a_submit_that_is_tried_again_in_another_span_is_the_same_submit() {
    let mut c = Cluster::new();
    let (client, other, worker) = (c.client(1), c.client(3), c.worker(2, &["f"], 4));
    c.submit(client, id(1), traced("f"));
    c.submit(other, id(1), spec("f"));
    c.end(id(1), returned("v"));
    assert_eq!((c.outcome(client, id(1)), c.outcome(other, id(1))), (returned("v"), returned("v")));
    assert_eq!(c.starts(worker).len(), 1);
}
