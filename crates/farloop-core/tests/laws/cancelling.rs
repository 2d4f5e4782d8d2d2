//! Cancel requests, ownership, and everything that ends because something else did.

use std::time::Duration;

use farloop_core::api::{Config, Event, Input};
use farloop_core::frame::{Down, Owner, Up};
use farloop_core::id::TaskId;
use farloop_core::limits;
use farloop_core::outcome::{FailureKind, Outcome};

use crate::driver::*;

fn cancel(task: TaskId, message: &str) -> Up {
    Up::Cancel { task, message: Some(message.into()) }
}

fn message(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Cancelled(c) => c.message.as_deref(),
        other => panic!("{other:?}"),
    }
}

fn abandoned(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Cancelled(c) if c.abandoned)
}

fn cancels(c: &Cluster, worker: farloop_core::id::SessionId, task: TaskId) -> Vec<(u32, Option<String>)> {
    let told = c.got(worker).iter().filter_map(|d| match d {
        Down::Cancel { attempt, number, message } if attempt.task == task => Some((*number, message.clone())),
        _ => None,
    });
    told.collect()
}

#[test]
pub(crate) fn l6_a_pending_task_is_cancelled_at_once_and_never_starts() {
    let mut c = Cluster::new();
    let client = c.client(1);
    c.submit(client, id(1), spec("f"));
    c.send(client, cancel(id(1), "why"));
    assert_eq!(message(&c.outcome(client, id(1))), Some("why"));
    let worker = c.worker(2, &["f"], 1);
    assert!(c.starts(worker).is_empty());
}

#[test]
pub(crate) fn l6_a_request_that_the_body_never_saw_makes_the_outcome_cancelled() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 1));
    c.submit(client, id(1), spec("f"));
    c.send(client, cancel(id(1), "first"));
    c.send(client, cancel(id(1), "second"));
    assert_eq!(cancels(&c, worker, id(1)).last(), Some(&(2, Some("first".into()))));
    assert!(c.got(client).contains(&Down::CancelCount { task: id(1), count: 2 }));
    c.end_delivered(id(1), returned("v"), 1);
    assert_eq!(message(&c.outcome(client, id(1))), Some("second"), "the first message that was not seen");
}

#[test]
pub(crate) fn l6_a_suppressed_cancel_ends_returned() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 1));
    c.submit(client, id(1), spec("f"));
    c.send(client, cancel(id(1), "why"));
    let (_, attempt) = c.running(id(1));
    c.send(worker, Up::CancelSeen { attempt, seen: 1 });
    c.end_delivered(id(1), returned("v"), 1);
    assert_eq!(c.outcome(client, id(1)), returned("v"));
}

#[test]
pub(crate) fn l6_an_uncancel_to_zero_withdraws_what_was_not_delivered() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 1));
    c.submit(client, id(1), spec("f"));
    c.send(client, cancel(id(1), "why"));
    c.send(client, Up::Uncancel(id(1)));
    c.send(client, Up::Uncancel(id(1)));
    let (_, attempt) = c.running(id(1));
    assert!(c.got(worker).contains(&Down::CancelWithdrawn { attempt, standing: 0 }));
    assert!(c.got(client).contains(&Down::CancelCount { task: id(1), count: 0 }));
    c.end_delivered(id(1), returned("v"), 0);
    assert_eq!(c.outcome(client, id(1)), returned("v"));
    // After a withdrawal a new request counts again.
    c.grant(worker, 1);
    c.submit(client, id(2), spec("f"));
    c.send(client, cancel(id(2), "a"));
    c.send(client, Up::Uncancel(id(2)));
    c.send(client, cancel(id(2), "b"));
    assert_eq!(cancels(&c, worker, id(2)).last(), Some(&(2, Some("b".into()))));
    c.end_delivered(id(2), returned("v"), 1);
    assert_eq!(message(&c.outcome(client, id(2))), Some("b"));
}

#[test]
pub(crate) fn l6_a_cancel_may_come_before_its_task() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    c.send(client, cancel(id(1), "early"));
    c.submit(client, id(1), spec("f"));
    assert_eq!(message(&c.outcome(client, id(1))), Some("early"));
    assert!(c.starts(worker).is_empty());
    // Withdrawn before the task came.
    c.send(client, cancel(id(2), "early"));
    c.send(client, Up::Uncancel(id(2)));
    c.submit(client, id(2), spec("f"));
    assert_eq!(c.starts(worker).len(), 1);
    // The oldest is forgotten, the bound holds.
    for n in 0..limits::TOMBSTONES as u128 + 10 {
        c.core.handle(c.now, farloop_core::api::Input::Tick);
        c.send(client, cancel(id(1_000 + n), "early"));
    }
    assert_eq!(c.core.stats().tombstones, limits::TOMBSTONES);
}

#[test]
pub(crate) fn a_cancel_of_a_finished_task_does_nothing() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 1));
    c.submit(client, id(1), spec("f"));
    c.end(id(1), returned("v"));
    c.send(client, cancel(id(1), "late"));
    assert_eq!(c.outcome(client, id(1)), returned("v"));
    assert!(cancels(&c, worker, id(1)).is_empty());
}

#[test]
pub(crate) fn patience_runs_from_the_sending_and_anew_from_the_delivery() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 3));
    // A body that spins: the host never gets to deliver the request.
    c.submit(client, id(3), spec("f"));
    c.send(client, cancel(id(3), "why"));
    c.pass(Duration::from_secs(9));
    assert!(c.outcomes(client, id(3)).is_empty());
    c.pass(Duration::from_secs(2));
    assert!(abandoned(&c.outcome(client, id(3))));

    // One that is reached after a while has all of its grace from then on.
    c.submit(client, id(1), spec("f"));
    c.send(client, cancel(id(1), "why"));
    c.pass(Duration::from_secs(9));
    let (_, attempt) = c.running(id(1));
    c.send(worker, Up::CancelSeen { attempt, seen: 1 });
    c.pass(Duration::from_secs(9));
    assert!(c.outcomes(client, id(1)).is_empty());
    c.pass(Duration::from_secs(2));
    let outcome = c.outcome(client, id(1));
    assert!(abandoned(&outcome) && message(&outcome) == Some("why"));
    assert!(c.got(worker).contains(&Down::Fence(attempt)));
    // No grace: for ever.
    let mut patient = spec("f");
    patient.options.cancel_grace = None;
    c.submit(client, id(2), patient);
    c.send(client, cancel(id(2), "why"));
    let (_, attempt) = c.running(id(2));
    c.send(worker, Up::CancelSeen { attempt, seen: 1 });
    c.pass(Duration::from_secs(3_000));
    assert!(c.outcomes(client, id(2)).is_empty());
}

#[test]
pub(crate) fn l6_a_worker_lost_with_a_request_standing_ends_the_task_cancelled() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 1));
    c.submit(client, id(1), spec("f"));
    c.send(client, cancel(id(1), "why"));
    c.cut(worker);
    c.pass(Duration::from_secs(4));
    assert_eq!(message(&c.outcome(client, id(1))), Some("why"));
}

/// A parent that runs, and children of every kind of owner: 10 awaited, 11 of the root, 12 detached.
fn family() -> (Cluster, farloop_core::id::SessionId, farloop_core::id::SessionId) {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    let mut parent = spec("f");
    parent.options.max_attempts = 2;
    c.submit(client, id(1), parent);
    let (_, attempt) = c.running(id(1));
    for (n, owner) in [(10, Owner::Await), (11, Owner::Root), (12, Owner::Nobody)] {
        c.submit_as(worker, id(n), spec("f"), owner, Some(attempt));
    }
    (c, client, worker)
}

#[test]
pub(crate) fn l7_an_attempt_that_ends_takes_what_it_awaits() {
    let (mut c, _, worker) = family();
    c.end(id(1), returned("v"));
    c.settle();
    assert_eq!(cancels(&c, worker, id(10)).len(), 1);
    assert!(cancels(&c, worker, id(11)).is_empty() && cancels(&c, worker, id(12)).is_empty());
}

#[test]
pub(crate) fn l7_an_attempt_that_is_lost_takes_all_that_is_not_detached() {
    let (mut c, _, first) = family();
    let (_, old) = c.running(id(1));
    c.end(id(1), raised("again"));
    c.settle();
    assert_eq!(cancels(&c, first, id(10)).len(), 1);
    assert_eq!(cancels(&c, first, id(11)).len(), 1);
    assert!(cancels(&c, first, id(12)).is_empty());
    let (_, new) = c.running(id(1));
    assert!(new.epoch > old.epoch);
    // The old body may not create anything any more, the new one may.
    c.submit_as(first, id(20), spec("f"), Owner::Await, Some(old));
    assert_eq!(c.failure(first, id(20)).kind, FailureKind::Stale);
    c.submit_as(first, id(21), spec("f"), Owner::Await, Some(new));
    assert!(c.outcomes(first, id(21)).is_empty());
    c.end(id(1), returned("v"));
    c.submit_as(first, id(22), spec("f"), Owner::Await, Some(new));
    assert_eq!(c.failure(first, id(22)).kind, FailureKind::Stale, "its end is recorded");
}

#[test]
pub(crate) fn l7_a_session_that_ends_takes_what_it_owns() {
    let (mut c, client, worker) = family();
    c.submit(client, id(2), spec("nobody"));
    c.cut(client);
    c.pass(Duration::from_secs(29));
    assert!(cancels(&c, worker, id(1)).is_empty());
    c.pass(Duration::from_secs(2));
    assert_eq!(cancels(&c, worker, id(1)).len(), 1);
    assert_eq!(cancels(&c, worker, id(11)).len(), 1);
    assert!(cancels(&c, worker, id(12)).is_empty());
    assert!(c.events.contains(&Event::SessionOver { session: client, cancelled: 3 }), "{:?}", c.events);
    assert!(matches!(c.view(id(2)).outcome, Some(Outcome::Cancelled(_))));
    // A body that is being cancelled may still submit; what nobody would own is cancelled at once.
    let (_, attempt) = c.running(id(1));
    c.submit_as(worker, id(30), spec("f"), Owner::Await, Some(attempt));
    c.submit_as(worker, id(31), spec("f"), Owner::Root, Some(attempt));
    assert!(c.outcomes(worker, id(30)).is_empty());
    assert!(matches!(c.outcome(worker, id(31)), Outcome::Cancelled(_)));
}

#[test]
pub(crate) fn l7_goodbye_ends_a_session_at_once() {
    let (mut c, client, worker) = family();
    c.send(client, Up::Bye);
    c.settle();
    assert_eq!(cancels(&c, worker, id(1)).len(), 1);
    assert_eq!(c.core.stats().sessions, 1);
}

#[test]
pub(crate) fn l21_a_session_with_many_tasks_ends_in_pieces() {
    let mut c = Cluster::new();
    let client = c.client(1);
    for n in 1..=10_000 {
        c.submit(client, id(n), spec("nobody"));
    }
    c.send(client, Up::Bye);
    assert!(c.core.stats().live > 1_000);
    c.settle();
    assert_eq!(c.core.stats().live, 0);
}

#[test]
pub(crate) fn l21_a_lost_attempt_with_many_children_starts_again_after_they_were_asked() {
    let mut c = Cluster::with(Config::default());
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 2));
    c.submit(client, id(1), {
        let mut s = spec("f");
        s.options.max_attempts = 2;
        s
    });
    let (_, attempt) = c.running(id(1));
    for n in 0..9_000 {
        c.submit_as(worker, id(100 + n), spec("nobody"), Owner::Await, Some(attempt));
    }
    let peer = c.peers.get_mut(&worker).expect("is there");
    peer.link.push(Up::Ended { attempt, outcome: raised("again"), delivered: 0 });
    let (conn, batch) = (peer.conn.expect("connected"), peer.link.poll_batch(true).expect("a frame waits"));
    c.core.handle(c.now, Input::Batch { session: worker, conn, batch });
    assert_eq!(c.core.stats().leases, 0, "the old children first");
    c.settle();
    assert_eq!(c.starts(worker).len(), 2);
    assert_eq!(c.core.stats().live, 1);
}
