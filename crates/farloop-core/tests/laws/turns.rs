//! Whose turn it is: limits per function and per key, and keys that take turns.

use std::collections::BTreeMap;
use std::time::Duration;

use farloop_core::api::{Call, Reply};
use farloop_core::frame::{Owner, Role, Up};
use farloop_core::id::SessionId;
use farloop_core::outcome::FailureKind;
use farloop_core::spec::{FunctionDef, Limit, Spec};

use crate::driver::*;

fn limited(function: &str, key: &str, at_once: u32) -> Spec {
    let mut spec = spec(function);
    spec.options.policy_mut().limit = Some(Limit { key: key.into(), at_once });
    spec
}

fn fair(function: &str, key: &str) -> Spec {
    let mut spec = spec(function);
    spec.options.policy_mut().fairness_key = Some(key.into());
    spec
}

fn tasks(c: &Cluster, worker: SessionId) -> Vec<u128> {
    c.starts(worker).iter().map(|s| s.attempt.task.0).collect()
}

fn why(c: &mut Cluster, task: u128) -> String {
    match c.ask(Call::Explain(id(task))) {
        Ok(Reply::Explained { why, .. }) => why.join("; "),
        other => panic!("{other:?}"),
    }
}

/// A worker whose function allows that many at once.
fn bounded(c: &mut Cluster, n: u128, concurrency: u32) -> SessionId {
    let worker = c.join(n, Role::Worker, vec![FunctionDef { concurrency, ..def("f", 1) }]);
    c.grant(worker, 100);
    worker
}

#[test]
pub(crate) fn l18_no_more_tasks_of_a_key_run_than_it_allows_over_all_functions_and_workers() {
    let mut c = Cluster::new();
    let (client, first, second) = (c.client(1), c.worker(2, &["f"], 100), c.worker(3, &["f", "g"], 100));
    for n in 1..=10 {
        c.submit(client, id(n), limited(if n % 3 == 0 { "g" } else { "f" }, "db", 3));
    }
    c.submit(client, id(11), spec("f"));
    c.submit(client, id(12), limited("f", "other", 3));
    let running = |c: &Cluster| tasks(c, first).len() + tasks(c, second).len();
    assert_eq!(running(&c), 5, "three of the key, and who is not under it");
    let said = why(&mut c, 9);
    assert!(said.contains("'db'") && said.contains("3 at once"), "{said}");
    // A permit comes back with every end, however it comes about.
    c.end(id(1), returned("v"));
    assert_eq!(running(&c), 6);
    c.end(id(2), raised("no"));
    assert_eq!(running(&c), 7);
    c.send(client, Up::Cancel { task: id(10), message: None });
    c.cut(first);
    c.pass(Duration::from_secs(4));
    for n in 3..10 {
        c.end(id(n), returned("v"));
    }
    for n in 3..10 {
        assert_eq!(c.outcome(client, id(n)), returned("v"));
    }
    c.end(id(12), returned("v"));
    c.end(id(11), returned("v"));
    assert_eq!(c.core.stats().live, 0);
}

#[test]
fn a_suspended_task_keeps_its_permit_and_what_it_calls_needs_none() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 100));
    c.submit(client, id(1), limited("f", "k", 1));
    let (_, parent) = c.running(id(1));
    c.submit_as(worker, id(2), spec("f"), Owner::Await, Some(parent));
    c.suspend(id(1), &[id(2)], true);
    c.submit(client, id(3), limited("f", "k", 1));
    assert_eq!(tasks(&c, worker), [1, 2]);
    c.end(id(2), returned("v"));
    c.end(id(1), returned("v"));
    assert_eq!(tasks(&c, worker), [1, 2, 3]);
}

#[test]
fn the_last_number_named_for_a_key_counts() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 100));
    for n in 1..=5 {
        c.submit(client, id(n), limited("f", "k", 1));
    }
    assert_eq!(tasks(&c, worker).len(), 1);
    c.submit(client, id(6), limited("f", "k", 4));
    c.settle();
    assert_eq!(tasks(&c, worker).len(), 4);
    // Lowered: nothing is taken away from who runs.
    c.submit(client, id(7), limited("f", "k", 2));
    for n in 1..=7 {
        c.end(id(n), returned("v"));
    }
    assert_eq!(tasks(&c, worker).len(), 7);
    c.submit(client, id(8), limited("f", "k", 0));
    assert_eq!(c.failure(client, id(8)).kind, FailureKind::BadArguments);
}

#[test]
fn a_function_runs_no_more_often_at_once_than_its_definition_allows() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let (first, second) = (bounded(&mut c, 2, 3), bounded(&mut c, 3, 3));
    for n in 1..=8 {
        // With and without a fingerprint: two queues of one function.
        c.submit(client, id(n), Spec { fingerprint: (n % 2) as u64, ..spec("f") });
    }
    let running = |c: &Cluster| tasks(c, first).len() + tasks(c, second).len();
    assert_eq!(running(&c), 3);
    let said = why(&mut c, 8);
    assert!(said.contains("function 'f'") && said.contains("3 at once"), "{said}");
    for n in 1..=8 {
        c.end(id(n), returned("v"));
        assert_eq!(running(&c), (n as usize + 3).min(8));
    }
    // A worker that says otherwise is the last to have said so.
    for n in 11..=15 {
        c.submit(client, id(n), spec("f"));
    }
    assert_eq!(running(&c), 11);
    bounded(&mut c, 4, 0);
    c.settle();
    assert_eq!(running(&c) + tasks(&c, session(4)).len(), 13);
}

#[test]
fn keys_take_turns_within_one_priority_of_one_function() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 0));
    // A tenant with a thousand, then two that come later; and somebody without a key.
    for n in 1..=1_000 {
        c.submit(client, id(n), fair("f", "large"));
    }
    for n in 0..3 {
        c.submit(client, id(2_001 + n), fair("f", "small"));
        c.submit(client, id(3_001 + n), spec("f"));
    }
    let mut first = fair("f", "urgent");
    first.options.priority = Some(1);
    c.submit(client, id(4_001), first);
    c.grant(worker, 13);
    assert_eq!(tasks(&c, worker), [4_001, 1, 2_001, 3_001, 2, 2_002, 3_002, 3, 2_003, 3_003, 4, 5, 6]);
    // A tenant that comes back is not made to wait for the thousand.
    c.submit(client, id(2_010), fair("f", "small"));
    c.grant(worker, 2);
    assert!(tasks(&c, worker)[13..].contains(&2_010));
}

#[test]
fn what_a_task_calls_has_its_fairness_key_unless_it_has_its_own() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f", "g"], 1));
    c.submit(client, id(1), fair("g", "large"));
    let (_, parent) = c.running(id(1));
    for n in 10..13 {
        c.submit_as(worker, id(n), spec("f"), Owner::Root, Some(parent));
    }
    c.submit_as(worker, id(20), fair("f", "small"), Owner::Root, Some(parent));
    c.submit(client, id(30), fair("f", "third"));
    c.grant(worker, 5);
    assert_eq!(tasks(&c, worker), [1, 10, 20, 30, 11, 12]);
}

#[test]
fn limits_and_turns_go_together() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 0));
    for n in 0..5 {
        for (tenant, from) in [("a", 100), ("b", 200), ("c", 300)] {
            let mut spec = limited("f", "db", 2);
            spec.options.policy_mut().fairness_key = Some(tenant.into());
            c.submit(client, id(from + n), spec);
        }
        c.submit(client, id(400 + n), spec("f"));
    }
    c.grant(worker, 100);
    let mut order = tasks(&c, worker);
    assert_eq!(order.len(), 7, "two under the limit, and five who are not: {order:?}");
    while order.len() < 20 {
        let under = order.iter().copied().filter(|t| *t < 400);
        let open: Vec<u128> = under.filter(|t| c.outcomes(client, id(*t)).is_empty()).collect();
        assert_eq!(open.len(), 2, "{order:?}");
        c.end(id(open[0]), returned("v"));
        order = tasks(&c, worker);
    }
    let tenants: Vec<u128> = order.iter().filter(|t| **t < 400).map(|t| t / 100).collect();
    assert_eq!(tenants, [1, 2, 3].repeat(5));
}

/// Ten thousand keys: no operation looks at all of them.
#[test]
fn ten_thousand_keys_cost_no_scans() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 0));
    let begun = std::time::Instant::now();
    // The driver's check is linear: the inputs go past it, in batches.
    let submit = |n: u128, key: u128| {
        let mut spec = limited("f", "all", 10);
        spec.options.policy_mut().fairness_key = Some(format!("tenant {key}").into());
        let spec = std::sync::Arc::new(spec);
        Up::Submit(farloop_core::frame::Submit { task: id(n), spec, owner: Owner::Root, creator: None, within: None })
    };
    let peer = c.peers.get_mut(&client).expect("is there");
    for n in 1..=20_000 {
        peer.link.push(submit(n, n / 2));
    }
    c.deliver(client);
    c.grant(worker, 1_000);
    assert_eq!(tasks(&c, worker).len(), 10);
    let mut seen: BTreeMap<u128, usize> = BTreeMap::new();
    for round in 0..50 {
        let next = tasks(&c, worker)[round];
        *seen.entry(next / 2).or_default() += 1;
        c.end(id(next), returned("v"));
    }
    assert!(seen.values().all(|n| *n == 1), "each tenant once before any is served twice");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}
