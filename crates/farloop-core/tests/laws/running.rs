//! Tasks that run, retry, depend on each other and end.

use std::time::Duration;

use farloop_core::api::{Config, Event, Input, Record};
use farloop_core::frame::{Activity, Down, Owner, Up};
use farloop_core::id::Epoch;
use farloop_core::limits;
use farloop_core::outcome::{FailureKind, Outcome};
use farloop_core::spec::{Dependency, Spec};

use crate::driver::*;

fn depends(function: &str, on: &[u128]) -> Spec {
    let dependencies = vec![Dependency { position: 0, tasks: on.iter().map(|n| id(*n)).collect(), list: on.len() > 1 }];
    Spec { dependencies, ..spec(function) }
}

fn with(function: &str, set: impl FnOnce(&mut Spec)) -> Spec {
    let mut spec = spec(function);
    set(&mut spec);
    spec
}

#[test]
pub(crate) fn l3_a_task_runs_and_its_outcome_comes_back_once() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 4));
    c.submit(client, id(1), spec("f"));
    assert_eq!(c.starts(worker).len(), 1);
    c.end(id(1), returned("value"));
    assert_eq!(c.outcome(client, id(1)), returned("value"));
    assert_eq!(c.core.stats().live, 0);
    c.end(id(1), returned("another"));
    assert_eq!(c.outcome(client, id(1)), returned("value"));
    assert_eq!(c.view(id(1)).outcome, Some(returned("value")));
}

#[test]
pub(crate) fn l2_submitting_twice_is_submitting_once() {
    let mut c = Cluster::new();
    let (client, other, worker) = (c.client(1), c.client(3), c.worker(2, &["f"], 4));
    c.submit(client, id(1), spec("f"));
    c.submit(client, id(1), spec("f"));
    c.submit(other, id(1), spec("f"));
    c.submit(other, id(1), spec("g"));
    assert_eq!(c.failure(other, id(1)).kind, FailureKind::AlreadyExists);
    c.end(id(1), returned("v"));
    assert_eq!(c.starts(worker).len(), 1);
    assert_eq!(c.outcome(client, id(1)), returned("v"));
    assert_eq!(c.failure(other, id(1)).kind, FailureKind::AlreadyExists, "told once, not the outcome as well");
    // Large arguments are dropped at the end; the body is still told from another one.
    let large = |byte: u8| with("f", |s| s.args = vec![byte; 5_000].into());
    c.submit(client, id(2), large(1));
    c.end(id(2), returned("w"));
    assert!(c.view(id(2)).spec.args.is_empty());
    c.submit(other, id(2), large(1));
    assert_eq!(c.outcome(other, id(2)), returned("w"));
    c.peers.get_mut(&other).expect("is there").got.clear();
    c.submit(other, id(2), large(2));
    assert_eq!(c.failure(other, id(2)).kind, FailureKind::AlreadyExists);
}

#[test]
pub(crate) fn l2_an_id_older_than_retention_is_expired_and_never_runs() {
    let now_ms: u64 = 1_800_000_000_000;
    let mut c = Cluster::with(Config { wall_at_zero_ms: now_ms, ..Config::default() });
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 4));
    let v7 = |ms: u64| id((u128::from(ms) << 80) | (7 << 76) | 5);
    // Retention, and what clocks may differ by.
    c.submit(client, v7(now_ms - 4_300_000), spec("f"));
    assert_eq!(c.failure(client, v7(now_ms - 4_300_000)).kind, FailureKind::Expired);
    c.submit(client, v7(now_ms - 3_500_000), spec("f"));
    assert_eq!(c.starts(worker).len(), 1);
}

#[test]
pub(crate) fn l1_finished_tasks_leave_by_age_number_and_size_oldest_first() {
    let mut c = Cluster::with(Config { retained_tasks: 3, ..Config::default() });
    let (client, _) = (c.client(1), c.worker(2, &["f"], 10));
    for n in 1..=5 {
        c.submit(client, id(n), spec("f"));
        c.end(id(n), returned("v"));
    }
    assert_eq!(c.core.stats().retained, 3);
    c.send(client, Up::Watch(id(2)));
    assert_eq!(c.outcomes(client, id(2)).len(), 2, "the outcome, then a refusal");
    assert!(matches!(&c.outcomes(client, id(2))[1], Outcome::Raised(f) if f.kind == FailureKind::Expired));
    c.pass(Duration::from_secs(3_601));
    assert_eq!(c.core.stats().retained, 0);

    let mut c = Cluster::with(Config { retained_bytes: 10_000, ..Config::default() });
    let (client, _) = (c.client(1), c.worker(2, &["f"], 10));
    for n in 1..=5 {
        c.submit(client, id(n), spec("f"));
        c.end(id(n), Outcome::Returned(vec![0; 4_000].into()));
    }
    assert_eq!(c.core.stats().retained, 2);
}

#[test]
pub(crate) fn l4_a_report_of_an_older_attempt_changes_nothing_and_is_fenced() {
    let mut c = Cluster::new();
    let (client, first) = (c.client(1), c.worker(2, &["f"], 4));
    c.submit(client, id(1), spec("f"));
    let (_, old) = c.running(id(1));
    let second = c.worker(3, &["f"], 4);
    c.cut(first);
    c.pass(Duration::from_secs(4));
    let (at, new) = c.running(id(1));
    assert_eq!(at, second);
    assert!(new.epoch > old.epoch, "L5: epochs grow");
    c.connect(first, true);
    assert!(!c.peers[&first].resumed);
    c.send(first, Up::Ended { attempt: old, outcome: returned("old"), delivered: 0 });
    assert!(c.outcomes(client, id(1)).is_empty());
    assert!(c.got(first).contains(&Down::Fence(old)));
    assert!(c.events.contains(&Event::StaleReport { task: id(1) }));
    c.end(id(1), returned("new"));
    assert_eq!(c.outcome(client, id(1)), returned("new"));
}

#[test]
pub(crate) fn l4_a_worker_cannot_report_for_another() {
    let mut c = Cluster::new();
    let (client, _worker) = (c.client(1), c.worker(2, &["f"], 4));
    c.submit(client, id(1), spec("f"));
    let (_, attempt) = c.running(id(1));
    let thief = c.worker(3, &["g"], 1);
    c.send(thief, Up::Ended { attempt, outcome: returned("x"), delivered: 0 });
    assert!(c.outcomes(client, id(1)).is_empty());
    assert!(c.got(thief).contains(&Down::Fence(attempt)));
}

#[test]
pub(crate) fn l16_a_lost_worker_costs_a_crash_until_the_budget_is_spent() {
    let mut c = Cluster::new();
    let client = c.client(1);
    c.submit(client, id(1), with("f", |s| s.options.max_crashes = 1));
    for n in 0..2 {
        let worker = c.worker(10 + n, &["f"], 1);
        assert_eq!(c.running(id(1)).0, worker);
        assert_eq!(c.starts(worker)[0].number, n as u32 + 1);
        c.cut(worker);
        c.pass(Duration::from_secs(4));
    }
    let failure = c.failure(client, id(1));
    assert_eq!(failure.kind, FailureKind::WorkerLost);
    assert!(failure.message.contains("peer 11"), "{}", failure.message);
    assert_eq!(c.core.stats().leases, 0);
}

#[test]
pub(crate) fn l16_a_worker_that_says_goodbye_costs_no_crash() {
    let mut c = Cluster::new();
    let (client, first) = (c.client(1), c.worker(2, &["f"], 1));
    c.submit(client, id(1), with("f", |s| s.options.max_crashes = 1));
    c.send(first, Up::Bye);
    c.settle();
    assert_eq!(c.view(id(1)).attempt, 1);
    let second = c.worker(3, &["f"], 1);
    assert_eq!(c.running(id(1)).0, second);
}

#[test]
pub(crate) fn a_failed_attempt_is_repeated_while_its_budget_lasts() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    c.submit(client, id(1), with("f", |s| s.options.max_attempts = 3));
    for _ in 0..3 {
        c.end(id(1), raised("no"));
    }
    assert_eq!(c.starts(worker).len(), 3);
    assert_eq!(c.failure(client, id(1)).message, "no");
    // A failure that says it is final is not repeated.
    c.submit(client, id(2), with("f", |s| s.options.max_attempts = 3));
    let Outcome::Raised(failure) = raised("never") else { unreachable!() };
    let mut failure = (*failure).clone();
    failure.retryable = Some(false);
    c.end(id(2), Outcome::Raised(failure.into()));
    assert_eq!(c.failure(client, id(2)).message, "never");
}

#[test]
pub(crate) fn l14_starts_never_exceed_what_was_granted() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 2));
    for n in 1..=5 {
        c.submit(client, id(n), spec("f"));
    }
    assert_eq!(c.starts(worker).len(), 2);
    c.end(id(1), returned("v"));
    assert_eq!(c.starts(worker).len(), 2, "an end gives no credit by itself");
    c.grant(worker, 1);
    assert_eq!(c.starts(worker).len(), 3);
    // A grant that is said again, or falls, allows nothing.
    c.send(worker, Up::Grant(1));
    assert_eq!(c.starts(worker).len(), 3);
}

#[test]
pub(crate) fn l14_a_start_that_never_left_gives_its_credit_back() {
    let mut c = Cluster::with(Config { durable: true, ..Config::default() });
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 1));
    c.submit(client, id(1), spec("f"));
    assert!(c.starts(worker).is_empty(), "its record is not durable");
    c.send(client, Up::Cancel { task: id(1), message: None });
    c.submit(client, id(2), spec("f"));
    let last = c.records.len() as u64;
    c.input(farloop_core::api::Input::Durable(last));
    assert_eq!(c.starts(worker).iter().map(|s| s.attempt.task).collect::<Vec<_>>(), [id(2)]);
    assert!(matches!(c.outcome(client, id(1)), Outcome::Cancelled(_)));
}

#[test]
pub(crate) fn higher_priority_first_then_first_come_and_children_inherit() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f", "g"], 1));
    c.submit(client, id(1), with("f", |s| s.options.priority = Some(5)));
    c.submit(client, id(2), spec("f"));
    c.submit(client, id(3), with("g", |s| s.options.priority = Some(1)));
    c.submit(client, id(4), spec("g"));
    let (_, parent) = c.running(id(1));
    c.submit_as(worker, id(5), spec("f"), Owner::Await, Some(parent));
    c.grant(worker, 4);
    let order: Vec<u128> = c.starts(worker).iter().map(|s| s.attempt.task.0).collect();
    assert_eq!(order, [1, 5, 3, 2, 4]);
    assert_eq!(c.starts(worker)[1].depth, 1);
    assert_eq!(c.starts(worker)[1].root, Some(client));
}

#[test]
pub(crate) fn an_idle_worker_beats_a_busy_one() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let workers: Vec<_> = (0..4).map(|n| c.worker(10 + n, &["f"], 100)).collect();
    for n in 0..40 {
        c.submit(client, id(n + 1), spec("f"));
    }
    for worker in workers {
        assert_eq!(c.starts(worker).len(), 10);
    }
    // Many workers: two are drawn, and the load stays even.
    let mut c = Cluster::new();
    let client = c.client(1);
    let workers: Vec<_> = (0..40).map(|n| c.worker(10 + n, &["f"], 100)).collect();
    for n in 0..400 {
        c.submit(client, id(n + 1), spec("f"));
    }
    for worker in workers {
        assert!((7..=13).contains(&c.starts(worker).len()), "{}", c.starts(worker).len());
    }
}

#[test]
pub(crate) fn l15_a_function_nobody_offers_is_reported_and_starts_when_one_appears() {
    let mut c = Cluster::new();
    let (client, _) = (c.client(1), c.worker(2, &["demo.add"], 4));
    c.submit(client, id(1), spec("demo.ad"));
    c.pass(Duration::from_secs(1));
    let why = "no worker offers 'demo.ad'; offered: demo.add; did you mean 'demo.add'?";
    assert!(c.events.contains(&Event::Stranded { task: id(1), why: why.into() }), "{:?}", c.events);
    let late = c.worker(3, &["demo.ad"], 1);
    assert_eq!(c.starts(late).len(), 1);
    // A worker that learns the function later serves it too.
    c.submit(client, id(2), spec("demo.late"));
    c.send(late, Up::Offer(vec![def("demo.late", 1)]));
    c.grant(late, 1);
    assert_eq!(c.starts(late).len(), 2);
}

#[test]
pub(crate) fn a_signature_that_differs_is_refused_with_both_sides() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    c.submit(client, id(1), with("f", |s| s.fingerprint = 99));
    let failure = c.failure(client, id(1));
    assert_eq!(failure.kind, FailureKind::SignatureMismatch);
    assert!(
        failure.message.contains("0000000000000063") && failure.message.contains("f(x: f64) -> f64"),
        "{}",
        failure.message
    );
    c.submit(client, id(2), with("f", |s| s.fingerprint = 1));
    assert_eq!(c.starts(worker).len(), 1);
    // Queued before any worker came: refused when one comes with another signature, not before.
    c.submit(client, id(3), with("late", |s| s.fingerprint = 99));
    assert!(c.outcomes(client, id(3)).is_empty());
    c.worker(3, &["late"], 1);
    c.settle();
    assert_eq!(c.failure(client, id(3)).kind, FailureKind::SignatureMismatch);
}

#[test]
pub(crate) fn l22_a_task_starts_with_its_arguments_values_or_not_at_all() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 99));
    c.submit(client, id(1), spec("f"));
    c.submit(client, id(2), spec("f"));
    c.submit(client, id(3), depends("f", &[1, 2, 1]));
    assert_eq!(c.starts(worker).len(), 2);
    c.end(id(2), returned("two"));
    assert_eq!(c.starts(worker).len(), 2);
    c.end(id(1), returned("one"));
    let (_, attempt) = c.running(id(3));
    let inputs: Vec<(u128, bytes::Bytes)> = c
        .got(worker)
        .iter()
        .filter_map(|d| match d {
            Down::Input { attempt: a, task, value } if *a == attempt => Some((task.0, value.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(inputs, [(1, "one".into()), (2, "two".into())]);
    let start = c.got(worker).iter().position(|d| matches!(d, Down::Start(s) if s.attempt == attempt));
    let input = c.got(worker).iter().rposition(|d| matches!(d, Down::Input { .. }));
    assert!(input < start, "values go first");
}

#[test]
pub(crate) fn l22_failures_and_cancels_of_arguments_use_no_attempt() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 99));
    c.submit(client, id(1), spec("f"));
    c.submit(client, id(2), depends("f", &[1]));
    c.submit(client, id(3), depends("f", &[2]));
    c.end(id(1), raised("broken"));
    for n in [2, 3] {
        let failure = c.failure(client, id(n));
        let FailureKind::DependencyFailed(first) = failure.kind else { panic!("{failure:?}") };
        assert_eq!((first.0, &*first.1.message), (id(1), "broken"), "the first cause, at every distance");
        let indirect = failure.message.contains(&format!("its argument, task {}, could not run", id(2)));
        assert_eq!(indirect, n == 3, "{}", failure.message);
    }
    c.submit(client, id(4), spec("nobody"));
    c.submit(client, id(5), depends("f", &[4]));
    c.send(client, Up::Cancel { task: id(4), message: None });
    assert!(matches!(c.outcome(client, id(5)), Outcome::Cancelled(_)));
    // Over already when it is named.
    c.submit(client, id(6), depends("f", &[1]));
    assert!(matches!(c.failure(client, id(6)).kind, FailureKind::DependencyFailed(_)));
    c.submit(client, id(7), depends("f", &[7]));
    assert_eq!(c.failure(client, id(7)).kind, FailureKind::DependencyCycle);
    c.submit(client, id(8), depends("f", &[99]));
    assert!(c.failure(client, id(8)).message.contains("submit it first"));
    assert_eq!(c.starts(worker).len(), 1);
    assert_eq!(c.core.stats().live, 0);
}

#[test]
pub(crate) fn l22_values_survive_retention_and_retries() {
    let mut c = Cluster::with(Config { retained_tasks: 0, ..Config::default() });
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 1));
    c.submit(client, id(1), spec("f"));
    c.submit(client, id(2), Spec { options: with("f", |s| s.options.max_attempts = 2).options, ..depends("f", &[1]) });
    c.end(id(1), returned("one"));
    c.grant(worker, 2);
    c.end(id(2), raised("again"));
    let values = c.got(worker).iter().filter(|d| matches!(d, Down::Input { task, .. } if *task == id(1))).count();
    assert_eq!(values, 2, "one for each attempt");
    assert_eq!(c.outcome(client, id(1)), returned("one"));
}

#[test]
pub(crate) fn l19_a_deadline_travels_and_work_past_it_never_starts() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 1));
    c.submit(client, id(1), with("f", |s| s.options.timeout = Some(Duration::from_secs(2))));
    let (_, parent) = c.running(id(1));
    c.pass(Duration::from_secs(1));
    c.submit_as(worker, id(2), spec("f"), Owner::Root, Some(parent));
    c.submit_as(worker, id(3), spec("f"), Owner::Nobody, Some(parent));
    c.pass(Duration::from_millis(1_100));
    assert_eq!(c.failure(client, id(1)).kind, FailureKind::TimedOut);
    assert_eq!(c.failure(worker, id(2)).kind, FailureKind::TimedOut);
    assert!(c.got(worker).contains(&Down::Fence(parent)));
    c.grant(worker, 5);
    let started: Vec<u128> = c.starts(worker).iter().map(|s| s.attempt.task.0).collect();
    assert_eq!(started, [1, 3], "the detached one has no deadline");
    assert_eq!(c.starts(worker)[0].remaining, Some(Duration::from_secs(2)));
}

#[test]
pub(crate) fn l19_a_call_does_not_start_once_the_scope_it_is_made_in_is_over() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 2));
    let second = Duration::from_secs(1);
    c.submit_within(client, id(1), spec("f"), None, 2 * second);
    let (_, parent) = c.running(id(1));
    c.submit_within(worker, id(2), spec("f"), Some(parent), 10 * second);
    // No credit is left: these wait. The third is the nested one's by its caller's scope, the fourth detached.
    c.submit_as(worker, id(3), spec("f"), Owner::Await, Some(parent));
    c.submit_as(worker, id(4), spec("f"), Owner::Nobody, Some(parent));
    c.submit_within(worker, id(5), with("f", |s| s.options.priority = Some(-1)), Some(parent), second);
    c.pass(1_500 * Duration::from_millis(1));
    let Outcome::Cancelled(told) = c.outcome(worker, id(5)) else { panic!("its scope is over") };
    assert!(told.message.as_ref().is_some_and(|m| m.contains("before it could start")), "{told:?}");
    assert!(c.outcomes(worker, id(3)).is_empty(), "its caller's scope is not");
    c.pass(second);
    assert!(matches!(c.outcome(worker, id(3)), Outcome::Cancelled(_)), "a deadline travels");
    // What runs is for the caller to stop: nobody here touches it.
    assert!(c.outcomes(client, id(1)).is_empty() && c.outcomes(worker, id(2)).is_empty());
    assert!(!c.got(worker).iter().any(|d| matches!(d, Down::Cancel { .. } | Down::Fence(_))));
    c.grant(worker, 9);
    let started: Vec<u128> = c.starts(worker).iter().map(|s| s.attempt.task.0).collect();
    assert_eq!(started, [1, 2, 4]);
    // A submit that comes too late; and the cleanup of one that was asked to stop, which is not late at all.
    c.submit_within(worker, id(6), spec("f"), Some(parent), Duration::ZERO);
    assert!(matches!(c.outcome(worker, id(6)), Outcome::Cancelled(_)));
    c.send(client, Up::Cancel { task: id(1), message: None });
    c.submit_as(worker, id(7), spec("f"), Owner::Await, Some(parent));
    assert_eq!(c.running(id(7)).0, worker);
}

#[test]
pub(crate) fn l19_no_second_attempt_starts_once_the_scope_is_over() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 5));
    c.submit_within(client, id(1), with("f", |s| s.options.max_attempts = 3), None, Duration::from_secs(1));
    let (_, attempt) = c.running(id(1));
    c.pass(Duration::from_secs(2));
    c.end(id(1), raised("no"));
    assert_eq!(c.starts(worker).len(), 1, "{attempt:?}");
    // What went wrong says more than that it is late.
    assert_eq!(c.failure(client, id(1)).kind, FailureKind::Raised);
}

#[test]
pub(crate) fn l18_refusals_name_their_limit_and_leave_no_trace() {
    let mut c = Cluster::with(Config { max_live_tasks: 2, max_payload: 100, ..Config::default() });
    let client = c.client(1);
    c.submit(client, id(1), spec("f"));
    c.submit(client, id(2), spec("f"));
    c.submit(client, id(3), spec("f"));
    c.submit(client, id(4), with("f", |s| s.args = vec![0; 101].into()));
    c.submit(client, id(5), with("f", |s| s.function = "x".repeat(300).into()));
    for (n, limit) in [(3, "MAX_LIVE_TASKS"), (4, "MAX_PAYLOAD"), (5, "MAX_NAME")] {
        let failure = c.failure(client, id(n));
        assert_eq!(failure.kind, FailureKind::ResourceExhausted);
        assert!(failure.message.contains(limit), "{}", failure.message);
    }
    assert_eq!((c.core.stats().live, c.core.stats().retained), (2, 0));
}

#[test]
fn l18_depth_is_bounded_and_what_nobody_waits_for_is_inside_of_nothing() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 1_000_000));
    let last = |c: &Cluster| {
        let started =
            c.got(worker).iter().rev().find_map(|d| if let Down::Start(s) = d { Some(s.attempt) } else { None });
        started.expect("it was started")
    };
    let depth = u128::from(limits::MAX_DEPTH);
    c.submit(client, id(1), spec("f"));
    for n in 1..=depth {
        let above = last(&c);
        assert_eq!(above.task, id(n));
        c.submit_as(worker, id(n + 1), spec("f"), Owner::Await, Some(above));
    }
    let deepest = last(&c);
    c.submit_as(worker, id(depth + 2), spec("f"), Owner::Await, Some(deepest));
    let refused = c.failure(worker, id(depth + 2));
    assert!(refused.message.contains("MAX_DEPTH"), "{}", refused.message);
    c.submit_as(worker, id(depth + 3), spec("f"), Owner::Nobody, Some(deepest));
    let detached = last(&c);
    c.submit_as(worker, id(depth + 4), spec("f"), Owner::Await, Some(detached));
    assert_eq!(last(&c).task, id(depth + 4));
}

#[test]
pub(crate) fn records_leave_before_what_rests_on_them() {
    let mut c = Cluster::with(Config { durable: true, ..Config::default() });
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    let durable = |c: &mut Cluster, seq| c.input(farloop_core::api::Input::Durable(seq));
    durable(&mut c, 1);
    c.submit(client, id(1), with("f", |s| s.options.max_crashes = 0));
    assert!(matches!(c.records[1..], [(2, Record::Submitted { .. }), (3, Record::Started { .. })]));
    durable(&mut c, 2);
    assert!(c.starts(worker).is_empty());
    durable(&mut c, 3);
    assert_eq!(c.starts(worker).len(), 1);
    c.end(id(1), returned("v"));
    assert!(c.outcomes(client, id(1)).is_empty());
    assert!(matches!(&c.records[3], (4, Record::Ended { outcome, .. }) if *outcome == returned("v")));
    durable(&mut c, 4);
    assert_eq!(c.outcome(client, id(1)), returned("v"));
}

#[test]
pub(crate) fn deadlocks_are_told_with_their_cycle() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    for n in 1..=3 {
        c.submit(client, id(n), spec("f"));
    }
    c.suspend(id(1), &[id(2)], true);
    c.suspend(id(2), &[id(3)], true);
    let told = |c: &Cluster| c.got(worker).iter().filter(|d| matches!(d, Down::Deadlock { .. })).count();
    assert_eq!(told(&c), 0);
    c.suspend(id(3), &[id(1)], false);
    assert_eq!(told(&c), 0, "something else may wake it");
    c.suspend(id(3), &[id(1)], true);
    let (_, attempt) = c.running(id(3));
    assert!(c.got(worker).contains(&Down::Deadlock { attempt, cycle: vec![id(3), id(1), id(2)] }));
    // An argument counts as an edge: a child that takes its awaiting parent's result.
    c.submit_as(worker, id(4), depends("f", &[3]), Owner::Await, Some(attempt));
    c.suspend(id(3), &[id(4)], true);
    assert!(c.got(worker).contains(&Down::Deadlock { attempt, cycle: vec![id(3), id(4)] }));
    assert_eq!(c.view(id(3)).awaits, [id(4)]);
    assert_eq!(c.view(id(3)).state, farloop_core::api::TaskState::Suspended);
}

#[test]
pub(crate) fn l21_a_long_chain_ends_in_pieces() {
    let mut c = Cluster::new();
    let (client, _) = (c.client(1), c.worker(2, &["f"], 1));
    c.submit(client, id(1), spec("f"));
    for n in 2..=10_000 {
        c.submit(client, id(n), depends("f", &[n - 1]));
    }
    c.end(id(1), raised("first"));
    assert!(c.core.stats().live > 1_000, "one input does not do it all");
    assert_eq!(c.core.next_deadline(), Some(c.now));
    c.settle();
    assert_eq!(c.core.stats().live, 0);
    assert!(matches!(c.failure(client, id(10_000)).kind, FailureKind::DependencyFailed(_)));
}

#[test]
pub(crate) fn a_draining_worker_gives_back_what_it_has_not_begun() {
    let mut c = Cluster::new();
    let (client, first) = (c.client(1), c.worker(2, &["f"], 2));
    c.submit(client, id(1), spec("f"));
    c.submit(client, id(2), spec("f"));
    let (_, begun) = c.running(id(1));
    c.send(first, Up::Progress { attempt: begun, activity: Activity::Running, awaits: vec![], blocked: false });
    let second = c.worker(3, &["f"], 2);
    c.send(first, Up::Drain);
    let (_, unbegun) = c.running(id(2));
    assert!(c.got(first).contains(&Down::Recall(unbegun)));
    c.send(first, Up::Returned(unbegun));
    assert_eq!(c.running(id(2)).0, second);
    assert_eq!(c.starts(second)[0].number, 1, "it never began");
    c.end(id(1), returned("v"));
    c.settle();
    assert!(c.closed.iter().any(|(s, why)| *s == first && why.contains("drained")));
    assert!(begun.epoch > Epoch(0));
}

#[test]
pub(crate) fn l21_a_draining_worker_is_asked_back_in_pieces() {
    let many = 3 * limits::TOUCH;
    let mut c = Cluster::new();
    let client = c.client(1);
    let first = c.worker(2, &["f"], many as u64);
    for n in 0..many {
        c.submit(client, id(1 + n as u128), spec("f"));
    }
    c.settle();
    assert_eq!(c.core.stats().leases, many);
    let recalled = |c: &Cluster| c.got(first).iter().filter(|d| matches!(d, Down::Recall(_))).count();
    let peer = c.peers.get_mut(&first).expect("is there");
    peer.link.push(Up::Drain);
    let (conn, batch) = (peer.conn.expect("connected"), peer.link.poll_batch(true).expect("a frame waits"));
    c.core.handle(c.now, Input::Batch { session: first, conn, batch });
    c.take(first, usize::MAX);
    assert!((1..=limits::TOUCH).contains(&recalled(&c)), "{} at once", recalled(&c));
    assert_eq!(c.core.next_deadline(), Some(c.now), "the rest is queued");
    // Where it stopped ends meanwhile.
    for n in limits::TOUCH - 2..limits::TOUCH + 2 {
        c.end(id(1 + n as u128), returned("v"));
    }
    c.settle();
    c.deliver(first);
    c.take(first, usize::MAX);
    assert!(recalled(&c) >= many - 4, "{}", recalled(&c));
    let each: std::collections::BTreeSet<String> = c.got(first).iter().map(|d| format!("{d:?}")).collect();
    assert!(each.len() >= recalled(&c), "nobody is asked twice");
}

#[test]
pub(crate) fn an_idle_worker_gets_what_another_has_not_begun() {
    let mut c = Cluster::new();
    let (client, busy) = (c.client(1), c.worker(2, &["f"], 6));
    for n in 1..=6 {
        c.submit(client, id(n), spec("f"));
    }
    let idle = c.worker(3, &["f"], 1);
    // Four slots, six starts: the youngest is asked back.
    let (_, youngest) = c.running(id(6));
    assert!(c.got(busy).contains(&Down::Recall(youngest)));
    c.send(busy, Up::Returned(youngest));
    assert_eq!(c.running(id(6)).0, idle);
    assert_eq!(c.starts(idle)[0].number, 1);
}

#[test]
pub(crate) fn tasks_of_an_older_signature_fail_when_its_last_worker_leaves() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let old = c.join(2, farloop_core::frame::Role::Worker, vec![def("f", 1)]);
    c.join(3, farloop_core::frame::Role::Worker, vec![def("f", 2)]);
    c.submit(client, id(1), with("f", |s| s.fingerprint = 1));
    c.settle();
    assert!(c.outcomes(client, id(1)).is_empty());
    c.send(old, Up::Bye);
    c.settle();
    assert_eq!(c.failure(client, id(1)).kind, FailureKind::SignatureMismatch);
}
