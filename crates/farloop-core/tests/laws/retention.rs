//! How long outcomes are remembered, and what is said about those that are not (L1, L2).

use std::sync::Arc;
use std::time::Duration;

use farloop_core::api::{Call, Config, Event, Record, Reply};
use farloop_core::frame::Up;
use farloop_core::id::TaskId;
use farloop_core::outcome::{FailureKind, Outcome};
use farloop_core::spec::{Retention, Spec};

use crate::driver::{Cluster, id, returned, spec};

fn kept(retention: Retention) -> Spec {
    let mut spec = spec("f");
    spec.options.policy_mut().retention = retention;
    spec
}

fn submit(task: TaskId, spec: Spec, request: Option<&str>) -> Call {
    Call::Submit { task, spec: Arc::new(spec), await_worker: true, request: request.map(Into::into) }
}

/// A UUIDv7 made at that moment.
fn v7(ms: u64, n: u128) -> TaskId {
    id((u128::from(ms) << 80) | (7 << 76) | n)
}

fn refusal(c: &mut Cluster, call: Call) -> FailureKind {
    c.ask(call).expect_err("is refused").kind
}

#[test]
pub(crate) fn l1_a_time_of_its_own_is_longer_or_shorter_than_usual() {
    let mut c = Cluster::new();
    let (client, _) = (c.client(1), c.worker(2, &["f"], 10));
    c.submit(client, id(1), kept(Retention::For(Duration::from_secs(10))));
    c.submit(client, id(2), spec("f"));
    c.submit(client, id(3), kept(Retention::For(Duration::from_secs(10_000))));
    for n in 1..=3 {
        c.end(id(n), returned("v"));
    }
    c.pass(Duration::from_secs(9));
    assert_eq!(c.core.stats().retained, 3);
    c.pass(Duration::from_secs(2));
    assert_eq!(c.core.stats().retained, 2);
    assert_eq!(refusal(&mut c, Call::Get(id(1))), FailureKind::Expired);
    c.pass(Duration::from_secs(3_600));
    assert_eq!(c.core.stats().retained, 1);
    assert_eq!(c.view(id(3)).outcome, Some(returned("v")));
    c.pass(Duration::from_secs(6_400));
    assert_eq!((c.core.stats().retained, c.core.stats().timers), (0, 1), "the worker's own is left");
}

#[test]
fn l18_a_time_of_its_own_does_not_count_above_the_bounds() {
    let mut c = Cluster::with(Config { retained_tasks: 2, ..Config::default() });
    let (client, _) = (c.client(1), c.worker(2, &["f"], 10));
    for n in 1..=4 {
        let keep = if n % 2 == 1 { Retention::For(Duration::from_secs(10_000)) } else { Retention::Usual };
        c.submit(client, id(n), kept(keep));
        c.end(id(n), returned("v"));
    }
    assert_eq!(c.core.stats().retained, 2);
    assert!(c.ask(Call::Get(id(1))).is_err() && c.ask(Call::Get(id(2))).is_err());
    assert!(c.ask(Call::Get(id(3))).is_ok() && c.ask(Call::Get(id(4))).is_ok());
}

#[test]
pub(crate) fn l1_what_is_kept_until_consumed_is_forgotten_once_all_who_asked_have_it() {
    let mut c = Cluster::new();
    let (client, other, _) = (c.client(1), c.client(3), c.worker(2, &["f"], 10));
    c.submit(client, id(1), kept(Retention::UntilConsumed));
    c.send(other, Up::Watch(id(1)));
    c.cut(other);
    c.end(id(1), returned("v"));
    assert_eq!(c.outcome(client, id(1)), returned("v"));
    c.send(client, Up::Heartbeat);
    assert_eq!(c.core.stats().retained, 1, "the other one has not received it");
    c.connect(other, true);
    assert_eq!(c.outcome(other, id(1)), returned("v"));
    assert_eq!(c.core.stats().retained, 1, "it was sent and nobody said that it came");
    c.send(other, Up::Heartbeat);
    c.settle();
    assert_eq!((c.core.stats().retained, c.core.stats().forgotten), (0, 1));
    // Nobody asked: as usual.
    c.ask(submit(id(2), kept(Retention::UntilConsumed), None)).expect("accepted");
    c.end(id(2), returned("v"));
    c.ask(Call::Get(id(2))).expect("is there");
    c.pass(Duration::from_secs(3_599));
    assert_eq!(c.core.stats().retained, 1);
    c.pass(Duration::from_secs(2));
    assert_eq!(c.core.stats().retained, 0);
}

#[test]
fn l1_a_session_that_is_over_before_it_has_the_outcome_leaves_it_as_usual() {
    let mut c = Cluster::new();
    let (client, other, _) = (c.client(1), c.client(3), c.worker(2, &["f"], 10));
    c.submit(client, id(1), kept(Retention::UntilConsumed));
    c.send(other, Up::Watch(id(1)));
    c.cut(other);
    c.end(id(1), returned("v"));
    c.send(client, Up::Heartbeat);
    c.pass(Duration::from_secs(60));
    assert_eq!((c.core.stats().sessions, c.core.stats().retained), (2, 1));
}

#[test]
fn l21_many_consumed_outcomes_are_forgotten_in_pieces() {
    let mut c = Cluster::new();
    let (client, _) = (c.client(1), c.worker(2, &["f"], 20_000));
    for n in 1..=9_000 {
        c.submit(client, id(n), kept(Retention::UntilConsumed));
    }
    c.lose(client);
    for n in 1..=9_000 {
        c.end(id(n), returned("v"));
    }
    assert_eq!(c.core.stats().retained, 9_000);
    c.cut(client);
    c.connect(client, true);
    c.send(client, Up::Heartbeat);
    assert!(c.core.stats().retained > 0, "one input touches so many records, and no more");
    c.settle();
    assert_eq!((c.core.stats().retained, c.core.stats().live), (0, 0));
}

#[test]
pub(crate) fn l1_what_is_pinned_stays_until_it_is_released() {
    let mut c = Cluster::with(Config { durable: true, retained_tasks: 1, ..Config::default() });
    let (client, _) = (c.client(1), c.worker(2, &["f"], 10));
    for n in 1..=4 {
        c.submit(client, id(n), if n == 1 { kept(Retention::Pinned) } else { spec("f") });
        c.sync();
        c.end(id(n), returned("v"));
        c.sync();
    }
    c.pass(Duration::from_secs(100_000));
    assert_eq!((c.core.stats().retained, c.core.stats().pinned), (1, 1));
    assert!(c.view(id(1)).pinned);
    let call = c.call(Call::Release(id(1)));
    assert!(!c.replies.contains_key(&call), "L1: not before that is recorded");
    c.sync();
    assert!(matches!(c.replies.remove(&call), Some(Ok(Reply::Released))));
    assert!(matches!(c.records.last(), Some((_, Record::Released { task })) if *task == id(1)));
    assert_eq!((c.core.stats().retained, c.core.stats().pinned), (0, 0));
    // Once more is the same; of what never was it is refused.
    assert!(matches!(c.ask(Call::Release(id(1))), Ok(Reply::Released)));
    assert_eq!(refusal(&mut c, Call::Release(id(77))), FailureKind::NotFound);
}

#[test]
fn l1_a_task_may_be_released_before_it_is_over_and_its_waiters_are_told() {
    let mut c = Cluster::new();
    let (client, _) = (c.client(1), c.worker(2, &["f"], 10));
    for (n, keep) in [(1, Retention::Pinned), (2, Retention::For(Duration::from_secs(9))), (3, Retention::Usual)] {
        c.submit(client, id(n), kept(keep));
        c.send(client, Up::Release(id(n)));
        assert!(c.view(id(n)).outcome.is_none());
        c.end(id(n), returned("v"));
        c.settle();
        assert_eq!(c.outcome(client, id(n)), returned("v"));
    }
    assert_eq!((c.core.stats().retained, c.core.stats().pinned, c.core.stats().forgotten), (0, 0, 3));
}

#[test]
pub(crate) fn l18_pins_are_bounded_and_a_refused_one_never_runs() {
    let mut c = Cluster::with(Config { pinned_tasks: 2, pinned_bytes: 3_000, ..Config::default() });
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 10));
    for n in 1..=3 {
        c.submit(client, id(n), kept(Retention::Pinned));
    }
    let failure = c.failure(client, id(3));
    assert_eq!(failure.kind, FailureKind::ResourceExhausted);
    assert!(failure.message.contains("PINNED_TASKS is 2"), "{}", failure.message);
    assert_eq!(c.starts(worker).len(), 2);
    // A result that does not fit is there all the same, as others are.
    c.end(id(1), Outcome::Returned(vec![0; 5_000].into()));
    assert!(c.events.contains(&Event::Unpinned { task: id(1) }));
    assert_eq!((c.view(id(1)).pinned, c.core.stats().pinned), (false, 1));
    c.end(id(2), Outcome::Returned(vec![0; 2_488].into()));
    c.submit(client, id(4), kept(Retention::Pinned));
    let failure = c.failure(client, id(4));
    assert!(failure.message.contains("PINNED_BYTES is 3000"), "{}", failure.message);
    c.send(client, Up::Release(id(2)));
    c.submit(client, id(5), kept(Retention::Pinned));
    assert_eq!(c.starts(worker).len(), 3);
    c.pass(Duration::from_secs(3_601));
    assert_eq!(c.core.stats().retained, 0);
}

#[test]
pub(crate) fn l2_what_was_forgotten_early_does_not_run_again_and_says_so_at_every_door() {
    let now: u64 = 1_800_000_000_000;
    let mut c = Cluster::with(Config { retained_tasks: 1, wall_at_zero_ms: now, ..Config::default() });
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 10));
    let task = |n| v7(now, n);
    for n in 1..=3 {
        c.submit(client, task(n), spec("f"));
        c.end(task(n), returned("v"));
    }
    let gone = task(1);
    let other = c.client(3);
    c.submit(other, gone, spec("f"));
    let failure = c.failure(other, gone);
    assert_eq!(failure.kind, FailureKind::Expired);
    for part in ["2027-01-15T08:00:00.000Z", "2027-01-15T08:00:00.001Z", "1 of them", "does not run again"] {
        assert!(failure.message.contains(part), "{}", failure.message);
    }
    c.send(other, Up::Watch(gone));
    assert_eq!(c.outcomes(other, gone).len(), 2);
    let second = Duration::from_secs(1);
    let mut named = spec("f");
    named.dependencies.push(farloop_core::spec::Dependency { position: 0, tasks: vec![gone], list: false });
    let calls = [
        submit(gone, spec("f"), None),
        submit(gone, spec("f"), Some("a name")),
        submit(task(9), named.clone(), None),
        Call::Get(gone),
        Call::Wait { task: gone, timeout: second },
        Call::Cancel { task: gone, message: None, request: None },
        Call::Explain(gone),
        Call::Gather { members: vec![task(3), gone], mode: farloop_core::api::GatherMode::All, timeout: second },
        Call::AsCompleted { tasks: vec![gone], timeout: second },
    ];
    for call in calls {
        let what = format!("{call:?}");
        assert_eq!(refusal(&mut c, call), FailureKind::Expired, "{what}");
    }
    c.submit(other, task(10), named);
    assert_eq!(c.failure(other, task(10)).kind, FailureKind::Expired);
    assert_eq!(c.starts(worker).len(), 3);
    // What never was is told from what is forgotten.
    assert_eq!(refusal(&mut c, Call::Get(task(99))), FailureKind::NotFound);
}

#[test]
fn l2_a_clock_that_is_minutes_off_is_no_reason_to_refuse() {
    let now: u64 = 1_800_000_000_000;
    let config = Config { wall_at_zero_ms: now, retention: Duration::from_secs(10), ..Config::default() };
    let mut c = Cluster::with(config);
    let (client, _) = (c.client(1), c.worker(2, &["f"], 10));
    for off in [-400_000, -10_000, 0, 10_000, 400_000] {
        let task = v7(now.saturating_add_signed(off), 1);
        c.submit(client, task, spec("f"));
        c.end(task, returned("v"));
        c.pass(Duration::from_secs(11));
        assert_eq!(c.outcome(client, task), returned("v"));
        // Longer ago than outcomes are kept, and known all the same.
        assert_eq!(refusal(&mut c, submit(task, spec("f"), None)), FailureKind::Expired);
    }
    assert_eq!(c.core.stats().retained, 0);
}

#[test]
fn l2_the_horizon_of_an_earlier_life_counts_for_what_may_have_been_said_before() {
    let now: u64 = 1_800_000_000_000;
    let mut c = Cluster::with(Config { wall_at_zero_ms: now, ..Config::default() });
    let (client, _) = (c.client(1), c.worker(2, &["f"], 10));
    c.core.raise_horizon(now - 5_000);
    assert_eq!(c.core.horizon_ms(), now - 5_000);
    assert_eq!(refusal(&mut c, submit(v7(now - 5_000, 1), spec("f"), None)), FailureKind::Expired);
    assert_eq!(refusal(&mut c, Call::Get(v7(now - 5_001, 1))), FailureKind::Expired);
    assert!(c.ask(submit(v7(now - 4_999, 1), spec("f"), None)).is_ok());
    // A link carries each frame once: what waited long at a client is new all the same.
    c.submit(client, v7(now - 60_000, 2), spec("f"));
    c.end(v7(now - 60_000, 2), returned("v"));
    assert_eq!(c.outcome(client, v7(now - 60_000, 2)), returned("v"));
}

#[test]
pub(crate) fn l2_a_request_is_known_again_by_its_name() {
    let mut c = Cluster::with(Config { durable: true, ..Config::default() });
    let worker = c.worker(2, &["f"], 10);
    let first = c.call(submit(id(1), spec("f"), Some("order 7")));
    // Once more while the first waits for its record: nothing new, and no answer before that either.
    let again = c.call(submit(id(2), spec("f"), Some("order 7")));
    assert!(c.replies.is_empty());
    c.sync();
    let answer = |c: &mut Cluster, call| c.replies.remove(&call).expect("answered");
    assert!(matches!(answer(&mut c, first), Ok(Reply::Task(view)) if view.task == id(1)));
    assert!(matches!(answer(&mut c, again), Ok(Reply::Again(view)) if view.task == id(1)));
    assert!(
        c.records.iter().any(
            |(_, r)| matches!(r, Record::Submitted(s) if s.task == id(1) && s.request.as_deref() == Some("order 7"))
        )
    );
    assert_eq!((c.starts(worker).len(), c.core.stats().live), (1, 1));
    let other = c.ask(submit(id(3), spec("g"), Some("order 7"))).unwrap_err();
    assert_eq!(other.kind, FailureKind::AlreadyExists);
    assert!(other.message.contains(&id(1).to_string()), "{}", other.message);
    // Over, with its outcome, as long as it is remembered.
    c.end(id(1), returned("v"));
    c.sync();
    let Ok(Reply::Again(view)) = c.ask(submit(id(4), spec("f"), Some("order 7"))) else { panic!("is known") };
    assert_eq!((view.outcome, view.request.as_deref()), (Some(returned("v")), Some("order 7")));
    c.pass(Duration::from_secs(3_601));
    let fresh = c.call(submit(id(5), spec("f"), Some("order 7")));
    c.sync();
    assert!(matches!(answer(&mut c, fresh), Ok(Reply::Task(view)) if view.task == id(5)));
    let long = "x".repeat(257);
    assert_eq!(refusal(&mut c, submit(id(6), spec("f"), Some(&long))), FailureKind::ResourceExhausted);
}

#[test]
pub(crate) fn l6_a_cancel_under_one_name_counts_once() {
    let mut c = Cluster::new();
    let (client, _) = (c.client(1), c.worker(2, &["f"], 10));
    c.submit(client, id(1), spec("f"));
    let cancel = |request: Option<&str>| Call::Cancel { task: id(1), message: None, request: request.map(Into::into) };
    for (request, counted) in [(Some("a"), 1), (Some("a"), 1), (None, 2), (None, 3), (Some("b"), 4), (Some("a"), 4)] {
        let Ok(Reply::Cancelled { requested, task }) = c.ask(cancel(request)) else { panic!("{request:?}") };
        assert_eq!((requested, task.cancelling), (true, counted), "{request:?}");
    }
    c.end(id(1), returned("v"));
    let asked = |c: &mut Cluster, name| match c.ask(cancel(name)) {
        Ok(Reply::Cancelled { requested, .. }) => requested,
        other => panic!("{other:?}"),
    };
    assert!(asked(&mut c, Some("a")), "the answer stays what it was");
    assert!(!asked(&mut c, Some("c")) && !asked(&mut c, None));
}
