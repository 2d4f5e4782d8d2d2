//! What paces a task: pauses between attempts, its four timeouts, heartbeats, and the progress it tells.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farloop_core::api::{Call, Reply, TaskState};
use farloop_core::frame::{Activity, Down, Owner, Up};
use farloop_core::id::{AttemptId, SessionId};
use farloop_core::outcome::{Failure, FailureKind, Outcome};
use farloop_core::spec::{Backoff, Policy, Spec};

use crate::driver::*;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn paced(set: impl FnOnce(&mut Policy, &mut Spec)) -> Spec {
    let mut spec = spec("f");
    let mut policy = Policy::default();
    set(&mut policy, &mut spec);
    spec.options.policy = Some(Box::new(policy));
    spec
}

/// A second, two, four, and five from then on; nothing is left to chance.
fn backoff(attempts: u32) -> Spec {
    paced(|p, s| {
        p.backoff = Some(Backoff::new(secs(1)).coefficient(2.0).maximum(secs(5)).jitter(0.0));
        s.options.max_attempts = attempts;
    })
}

fn why(c: &mut Cluster, task: u128) -> String {
    match c.ask(Call::Explain(id(task))) {
        Ok(Reply::Explained { why, .. }) => why.join("; "),
        other => panic!("{other:?}"),
    }
}

/// The body has a slot and begins.
fn begin(c: &mut Cluster, task: u128) -> AttemptId {
    let (worker, attempt) = c.running(id(task));
    c.send(worker, Up::Progress { attempt, activity: Activity::Running, awaits: Vec::new(), blocked: false });
    attempt
}

fn beat(c: &mut Cluster, worker: SessionId, attempt: AttemptId, details: &'static [u8]) {
    c.send(worker, Up::TaskHeartbeat { attempt, details: Bytes::from_static(details) });
}

fn details(start: &farloop_core::frame::Start) -> Option<Bytes> {
    start.more.as_ref().and_then(|more| more.details.clone())
}

#[test]
pub(crate) fn a_failed_attempt_is_followed_after_a_pause_that_grows() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 10));
    c.submit(client, id(1), backoff(6));
    for (attempt, pause) in (1..).zip([1, 2, 4, 5, 5]) {
        c.end(id(1), raised("no luck"));
        assert_eq!(c.starts(worker).len(), attempt, "the next one waits");
        let view = c.view(id(1));
        assert_eq!((view.state, view.retry_at.is_some()), (TaskState::Pending, true));
        let said = why(&mut c, 1);
        assert!(said.contains("no luck") && said.contains(&format!("attempt {attempt} failed")), "{said}");
        c.pass(secs(pause) - Duration::from_millis(1));
        assert_eq!(c.starts(worker).len(), attempt, "not yet");
        c.send(worker, Up::Heartbeat);
        c.pass(Duration::from_millis(1));
        assert_eq!(c.starts(worker).len(), attempt + 1);
    }
    c.end(id(1), raised("for good"));
    assert_eq!(c.failure(client, id(1)).message, "for good");
    assert_eq!(c.core.stats().timers, 1, "the worker's own");
}

#[test]
fn chance_takes_its_part_of_a_pause_and_no_more() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 1_000));
    let spec = paced(|p, s| {
        p.backoff = Some(Backoff::new(secs(10)).jitter(0.5));
        s.options.max_attempts = 2;
    });
    for n in 1..=100 {
        c.submit(client, id(n), spec.clone());
        c.end(id(n), raised("no"));
    }
    c.pass(Duration::from_millis(4_900));
    assert_eq!(c.starts(worker).len(), 100);
    c.pass(Duration::from_millis(2_600));
    let half = c.starts(worker).len() - 100;
    assert!((20..80).contains(&half), "{half} of 100 before the middle");
    c.pass(Duration::from_millis(2_600));
    assert_eq!(c.starts(worker).len(), 200);
}

#[test]
fn an_error_that_is_permanent_ends_the_task_at_once() {
    let mut c = Cluster::new();
    let (client, _) = (c.client(1), c.worker(2, &["f"], 10));
    c.submit(client, id(1), backoff(6));
    let failure = Failure { retryable: Some(false), ..Failure::new(FailureKind::Raised, "f".into(), "never".into()) };
    c.end(id(1), Outcome::Raised(Arc::new(failure)));
    assert_eq!(c.failure(client, id(1)).message, "never");
}

#[test]
fn a_pause_beyond_the_deadline_is_not_waited_for() {
    let mut c = Cluster::new();
    let (client, _) = (c.client(1), c.worker(2, &["f"], 10));
    let mut spec = backoff(6);
    spec.options.timeout = Some(Duration::from_millis(2_500));
    c.submit(client, id(1), spec);
    c.end(id(1), raised("first"));
    c.pass(secs(1));
    c.end(id(1), raised("second"));
    assert_eq!(c.failure(client, id(1)).message, "second", "what went wrong, rather than that time is over");
}

#[test]
fn a_cancel_during_a_pause_ends_the_task() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 10));
    c.submit(client, id(1), backoff(6));
    c.end(id(1), raised("no"));
    c.send(client, Up::Cancel { task: id(1), message: None });
    assert!(matches!(c.outcome(client, id(1)), Outcome::Cancelled(_)));
    assert_eq!(c.core.stats().timers, 1, "the worker's own");
    c.pass(secs(60));
    assert_eq!(c.starts(worker).len(), 1);
}

#[test]
fn l7_children_of_a_failed_attempt_are_asked_to_stop_before_the_pause() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 10));
    c.submit(client, id(1), backoff(2));
    let (_, attempt) = c.running(id(1));
    c.submit_as(worker, id(2), spec("f"), Owner::Root, Some(attempt));
    c.end(id(1), raised("no"));
    let asked = c.got(worker).iter().any(|d| matches!(d, Down::Cancel { attempt, .. } if attempt.task == id(2)));
    assert!(asked && c.view(id(1)).retry_at.is_some());
}

#[test]
fn schedule_to_start_ends_what_no_worker_takes() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let spec = paced(|p, s| {
        p.schedule_to_start = Some(secs(5));
        s.options.max_attempts = 3;
    });
    c.submit(client, id(1), spec.clone());
    c.pass(Duration::from_millis(4_900));
    assert!(c.outcomes(client, id(1)).is_empty());
    c.pass(Duration::from_millis(200));
    let failure = c.failure(client, id(1));
    assert_eq!(failure.kind, FailureKind::ScheduleToStartTimeout);
    assert!(failure.message.contains("5s") && failure.message.contains("no worker offers"), "{}", failure.message);
    // Taken in time: the clock stops, however long it runs.
    let again = spec.clone();
    c.submit(client, id(2), spec);
    let worker = c.worker(2, &["f"], 2);
    begin(&mut c, 2);
    c.pass(secs(60));
    assert_eq!(c.starts(worker).len(), 1);
    assert!(c.outcomes(client, id(2)).is_empty());
    c.end(id(2), returned("v"));
    assert_eq!(c.outcome(client, id(2)), returned("v"));
    // Fetched ahead, it still waits: for a slot there.
    c.submit(client, id(3), again);
    let (_, attempt) = c.running(id(3));
    c.pass(Duration::from_millis(5_100));
    let failure = c.failure(client, id(3));
    assert_eq!(failure.kind, FailureKind::ScheduleToStartTimeout);
    assert!(failure.message.contains("waits for a slot") && c.got(worker).contains(&Down::Fence(attempt)));
}

#[test]
fn start_to_close_asks_the_attempt_to_stop_and_counts_it_as_failed() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 10));
    let spec = paced(|p, s| {
        p.start_to_close = Some(secs(3));
        s.options.max_attempts = 2;
    });
    c.submit(client, id(1), spec.clone());
    c.pass(secs(60));
    assert!(c.outcomes(client, id(1)).is_empty(), "it waits for a slot at its worker");
    let first = begin(&mut c, 1);
    c.pass(Duration::from_millis(3_100));
    let told = c.got(worker).iter().find_map(|d| match d {
        Down::Cancel { attempt, number, message } if *attempt == first => Some((*number, message.clone())),
        _ => None,
    });
    let (number, message) = told.expect("the body is asked to stop");
    assert!(message.is_some_and(|m| m.contains("start_to_close of 3s")));
    assert_eq!(c.view(id(1)).cancelling, 0, "nobody cancelled the task");
    // It passes the cancel on: the attempt failed, the next one begins.
    c.end_delivered(id(1), Outcome::Cancelled(Default::default()), number);
    let second = begin(&mut c, 1);
    assert!(second.epoch > first.epoch);
    c.pass(Duration::from_millis(3_100));
    // The second one spins: after its grace nobody waits for it any more.
    c.pass(secs(11));
    let failure = c.failure(client, id(1));
    assert_eq!(failure.kind, FailureKind::StartToCloseTimeout);
    assert!(failure.message.contains("may still be running"), "{}", failure.message);
    assert!(c.got(worker).contains(&Down::Fence(second)));
    // A value that was on its way when time was over stands.
    c.submit(client, id(2), spec);
    begin(&mut c, 2);
    c.pass(Duration::from_millis(3_100));
    c.end_delivered(id(2), returned("just"), 0);
    assert_eq!(c.outcome(client, id(2)), returned("just"));
}

#[test]
fn a_cancel_wins_over_an_attempt_whose_time_is_over() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 10));
    let spec = paced(|p, s| {
        p.start_to_close = Some(secs(3));
        s.options.max_attempts = 9;
    });
    c.submit(client, id(1), spec.clone());
    begin(&mut c, 1);
    c.pass(Duration::from_millis(3_100));
    c.send(client, Up::Cancel { task: id(1), message: Some("enough".into()) });
    c.end_delivered(id(1), Outcome::Cancelled(Default::default()), 1);
    assert!(matches!(c.outcome(client, id(1)), Outcome::Cancelled(c) if c.message.as_deref() == Some("enough")));
    // Withdrawn again, the attempt is over all the same.
    c.submit(client, id(2), spec);
    begin(&mut c, 2);
    c.pass(Duration::from_millis(3_100));
    c.send(client, Up::Cancel { task: id(2), message: None });
    c.send(client, Up::Uncancel(id(2)));
    c.end_delivered(id(2), Outcome::Cancelled(Default::default()), 2);
    assert_eq!(c.starts(worker).iter().filter(|s| s.attempt.task == id(2)).count(), 2);
}

#[test]
pub(crate) fn a_silent_attempt_is_fenced_and_the_next_is_given_the_last_details() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 10));
    let spec = paced(|p, s| {
        p.heartbeat = Some(secs(2));
        s.options.max_crashes = 1;
    });
    c.submit(client, id(1), spec);
    let first = begin(&mut c, 1);
    assert_eq!(details(&c.starts(worker)[0]), None);
    for step in [&b"one"[..], b"two", b"three"] {
        c.pass(Duration::from_millis(1_900));
        beat(&mut c, worker, first, step);
    }
    assert_eq!(c.starts(worker).len(), 1, "it lives");
    c.pass(Duration::from_millis(2_100));
    assert!(c.got(worker).contains(&Down::Fence(first)));
    assert_eq!(c.starts(worker).len(), 2);
    assert_eq!(details(&c.starts(worker)[1]).as_deref(), Some(&b"three"[..]));
    // What the fenced one says counts no more (L4).
    beat(&mut c, worker, first, b"ghost");
    begin(&mut c, 1);
    c.pass(Duration::from_millis(2_100));
    let failure = c.failure(client, id(1));
    assert_eq!(failure.kind, FailureKind::HeartbeatTimeout);
    assert!(failure.message.contains("2s") && failure.message.contains("max_crashes"), "{}", failure.message);
}

#[test]
fn the_next_attempt_is_given_the_details_also_after_its_worker_was_lost() {
    let mut c = Cluster::new();
    let (client, first) = (c.client(1), c.worker(2, &["f"], 10));
    c.submit(client, id(1), spec("f"));
    let (_, attempt) = c.running(id(1));
    beat(&mut c, first, attempt, b"halfway");
    let second = c.worker(3, &["f"], 10);
    c.cut(first);
    c.pass(secs(4));
    assert_eq!(details(&c.starts(second)[0]).as_deref(), Some(&b"halfway"[..]));
}

#[test]
fn l18_details_beyond_the_limit_close_the_connection() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 10));
    c.submit(client, id(1), spec("f"));
    let (_, attempt) = c.running(id(1));
    c.send(worker, Up::TaskHeartbeat { attempt, details: vec![0; 40_000].into() });
    assert!(c.closed.iter().any(|(_, reason)| reason.contains("MAX_DETAILS")), "{:?}", c.closed);
}

fn told(c: &Cluster, session: SessionId) -> Vec<Bytes> {
    let values = c.got(session).iter().filter_map(|d| match d {
        Down::TaskProgress { value, .. } => Some(value.clone()),
        _ => None,
    });
    values.collect()
}

#[test]
fn who_watches_is_told_the_newest_progress() {
    let mut c = Cluster::new();
    let (client, other, worker) = (c.client(1), c.client(3), c.worker(2, &["f"], 10));
    c.submit(client, id(1), spec("f"));
    let (_, attempt) = c.running(id(1));
    let set = |c: &mut Cluster, n: u8| c.send(worker, Up::TaskProgress { attempt, value: vec![n].into() });
    set(&mut c, 1);
    assert!(told(&c, client).is_empty(), "nobody asked");
    c.send(client, Up::WatchProgress(id(1)));
    assert_eq!(told(&c, client), [vec![1]], "the value that is there");
    // While it is away values pile up to one.
    c.cut(client);
    for n in 2..10 {
        set(&mut c, n);
    }
    c.connect(client, true);
    assert_eq!(told(&c, client), [vec![1], vec![9]]);
    assert!(told(&c, other).is_empty());
    assert_eq!(c.view(id(1)).progress.as_deref(), Some(&[9][..]));
    c.end(id(1), returned("v"));
    assert_eq!(c.view(id(1)).progress.as_deref(), Some(&[9][..]), "how far it came");
    c.send(client, Up::WatchProgress(id(77)));
}

/// Over two levels: the client's task has five seconds, what it calls has less, and what that calls less still.
#[test]
fn l19_the_nearest_deadline_travels_over_two_levels() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f", "g"], 2));
    let timed = |limit: u64| {
        let mut spec = spec("f");
        spec.options.timeout = Some(secs(limit));
        spec
    };
    c.submit(client, id(1), timed(5));
    c.pass(secs(1));
    let (_, top) = c.running(id(1));
    // Its own limit is longer: what is left of its caller's counts.
    c.submit_as(worker, id(2), timed(60), Owner::Await, Some(top));
    assert_eq!(c.starts(worker)[1].remaining, Some(secs(4)));
    c.pass(secs(1));
    let (_, middle) = c.running(id(2));
    // No limit of its own, and no free worker: it never starts.
    c.submit_as(worker, id(3), spec("g"), Owner::Root, Some(middle));
    c.submit_as(worker, id(4), timed(1), Owner::Root, Some(middle));
    c.pass(Duration::from_millis(1_100));
    assert_eq!(c.failure(worker, id(4)).kind, FailureKind::TimedOut, "its own is nearer");
    assert!(c.outcomes(worker, id(3)).is_empty());
    c.pass(secs(2));
    for (session, task) in [(client, 1), (worker, 2), (worker, 3)] {
        assert_eq!(c.failure(session, id(task)).kind, FailureKind::TimedOut, "task {task}");
    }
    c.grant(worker, 10);
    assert_eq!(c.starts(worker).len(), 2, "what is past its deadline never starts");
}
