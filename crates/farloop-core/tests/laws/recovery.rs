//! A life after others: nothing that was acknowledged is lost, nothing that runs is run again (L1, L5, L10, L16, L17).

use std::time::Duration;

use farloop_core::api::{Call, Config, Input, Record, Reply, TaskState};
use farloop_core::frame::{Down, Owner, Submit, Up};
use farloop_core::id::TaskId;
use farloop_core::limits;
use farloop_core::link::Link;
use farloop_core::outcome::{FailureKind, Outcome};
use farloop_core::spec::{Dependency, Durability, Retention, Spec};

use crate::driver::*;

#[test]
pub(crate) fn l1_what_ran_goes_on_and_what_waited_is_served() {
    let mut c = Cluster::durable();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 1));
    c.sync();
    for n in 1..=3 {
        c.submit(client, id(n), spec("f"));
    }
    c.sync();
    let (_, attempt) = c.running(id(1));
    c.restart();
    assert_eq!(c.core.stats().live, 3);
    c.all_back();
    assert_eq!(c.starts(worker).len(), 1, "what runs is not run again");
    assert_eq!(c.view(id(1)).state, TaskState::Running);
    c.end(id(1), returned("v"));
    c.grant(worker, 2);
    c.sync();
    assert_eq!(c.outcome(client, id(1)), returned("v"));
    let second = c.running(id(2)).1;
    assert!(second.epoch > attempt.epoch, "L5: epochs grow over lives");
    c.end(id(2), returned("w"));
    c.end(id(3), returned("x"));
    c.sync();
    assert_eq!(c.outcome(client, id(3)), returned("x"));
    assert_eq!(c.core.stats().live, 0);
}

#[test]
pub(crate) fn l5_nothing_from_before_starts_until_its_worker_is_back_or_dead() {
    let mut c = Cluster::durable();
    let (client, lost, other) = (c.client(1), c.worker(2, &["f"], 1), c.worker(3, &["f"], 0));
    c.sync();
    c.submit(client, id(1), spec("f"));
    c.submit(client, id(2), spec("f"));
    c.sync();
    let (at, first) = c.running(id(1));
    assert_eq!(at, lost);
    c.restart();
    c.connect(client, true);
    c.connect(other, true);
    c.grant(other, 9);
    c.submit(client, id(3), spec("f"));
    c.sync();
    assert_eq!(c.starts(other).iter().map(|s| s.attempt.task).collect::<Vec<_>>(), [id(3)], "new tasks run at once");
    match c.ask(Call::Explain(id(1))) {
        Ok(Reply::Explained { why, .. }) => assert!(why[0].starts_with("held: waits for workers 'peer 2'"), "{why:?}"),
        other => panic!("{other:?}"),
    }
    c.pass(Duration::from_secs(4));
    c.sync();
    assert_eq!(c.starts(other).iter().map(|s| s.attempt.task).collect::<Vec<_>>(), [id(3), id(1), id(2)]);
    // Too late: another one has it.
    c.connect(lost, true);
    c.sync();
    assert!(c.got(lost).contains(&Down::Fence(first)));
    assert!(c.running(id(1)).1.epoch > first.epoch);
}

/// A cancel that was counted is delivered by the next life, or is the outcome; and counted once, though it comes again.
#[test]
pub(crate) fn l6_a_cancel_that_was_counted_is_delivered_after_a_restart_once() {
    let mut c = Cluster::durable();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 2));
    c.sync();
    c.submit(client, id(1), spec("f"));
    c.submit(client, id(2), spec("f"));
    c.sync();
    c.cut(worker);
    c.send(client, Up::Cancel { task: id(1), message: Some("enough".into()) });
    c.send(client, Up::Cancel { task: id(2), message: None });
    // On disk, and nobody was told: the client sends it again.
    let last = c.records.last().expect("records").0;
    c.restart_with(last);
    c.connect(client, true);
    assert_eq!(c.view(id(1)).cancelling, 1, "counted once");
    c.connect(worker, true);
    c.sync();
    let asked = |c: &Cluster| -> Vec<Option<String>> {
        let cancel = |d: &Down| match d {
            Down::Cancel { message, number: 1, .. } => Some(message.clone()),
            _ => None,
        };
        c.got(worker).iter().filter_map(cancel).collect()
    };
    assert_eq!(asked(&c), [Some("enough".into()), None]);
    c.end_delivered(id(1), Outcome::Cancelled(Default::default()), 1);
    // The worker dies before it could deliver the other.
    c.cut(worker);
    c.pass(Duration::from_secs(4));
    c.sync();
    for n in 1..=2 {
        assert!(matches!(c.outcome(client, id(n)), Outcome::Cancelled(_)));
    }
}

#[test]
pub(crate) fn l6_a_cancel_that_came_before_its_task_is_kept_for_it() {
    let mut c = Cluster::durable();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 2));
    c.sync();
    c.send(client, Up::Cancel { task: id(1), message: None });
    c.sync();
    c.deliver(client);
    c.restart();
    c.all_back();
    c.submit(client, id(1), spec("f"));
    c.sync();
    assert!(c.starts(worker).is_empty());
    assert!(matches!(c.outcome(client, id(1)), Outcome::Cancelled(_)));
}

/// The parent's attempt does not come back: what it created is asked to stop, and it starts again after that.
#[test]
pub(crate) fn l7_children_of_an_attempt_that_does_not_come_back_are_cancelled() {
    let mut c = Cluster::durable();
    let (client, lost, other) = (c.client(1), c.worker(2, &["f"], 1), c.worker(3, &["g"], 9));
    c.sync();
    c.submit(client, id(1), spec("f"));
    c.sync();
    let (_, parent) = c.running(id(1));
    for (n, owner) in [(2, Owner::Await), (3, Owner::Root), (4, Owner::Nobody)] {
        c.submit_as(lost, id(n), spec("g"), owner, Some(parent));
    }
    c.sync();
    c.restart();
    c.connect(client, true);
    c.connect(other, true);
    c.pass(Duration::from_secs(4));
    c.sync();
    let asked = |c: &Cluster, n: u128| {
        c.got(other).iter().filter(|d| matches!(d, Down::Cancel { attempt, .. } if attempt.task == id(n))).count()
    };
    assert_eq!((asked(&c, 2), asked(&c, 3), asked(&c, 4)), (1, 1, 0));
    // The attempt that created them comes back too late.
    c.connect(lost, true);
    c.grant(lost, 1);
    c.sync();
    assert!(c.got(lost).contains(&Down::Fence(parent)));
    assert!(c.running(id(1)).1.epoch > parent.epoch, "it starts again");
}

/// A parent that comes back finds its children as it left them, those that ended meanwhile as well.
#[test]
pub(crate) fn l10_a_parent_that_comes_back_is_told_of_its_children() {
    let mut c = Cluster::durable();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 3));
    c.sync();
    c.submit(client, id(1), spec("f"));
    c.sync();
    let (_, parent) = c.running(id(1));
    for n in 2..=3 {
        c.submit_as(worker, id(n), spec("f"), Owner::Await, Some(parent));
    }
    c.sync();
    c.end(id(2), returned("a"));
    // Recorded, and told to nobody.
    let last = c.records.last().expect("records").0;
    c.restart_with(last);
    c.all_back();
    assert_eq!(c.outcome(worker, id(2)), returned("a"));
    c.end(id(3), returned("b"));
    c.sync();
    assert_eq!(c.outcome(worker, id(3)), returned("b"));
    c.end(id(1), returned("c"));
    c.sync();
    assert_eq!(c.outcome(client, id(1)), returned("c"));
    assert_eq!(c.starts(worker).len(), 3, "nothing ran twice");
}

/// One that must not run twice does not, unless its worker comes back with it.
#[test]
pub(crate) fn l5_what_may_run_once_is_lost_with_its_worker() {
    let mut c = Cluster::durable();
    let (client, back, lost) = (c.client(1), c.worker(2, &["f"], 1), c.worker(3, &["g"], 1));
    c.sync();
    for (n, function) in [(1, "f"), (2, "g")] {
        let mut once = spec(function);
        once.options.max_crashes = 0;
        c.submit(client, id(n), once);
    }
    c.sync();
    c.restart();
    c.connect(client, true);
    c.connect(back, true);
    c.pass(Duration::from_secs(4));
    c.sync();
    assert_eq!(c.failure(client, id(2)).kind, FailureKind::WorkerLost);
    c.end(id(1), returned("v"));
    c.sync();
    assert_eq!(c.outcome(client, id(1)), returned("v"));
    assert_eq!((c.starts(back).len(), c.starts(lost).len()), (1, 1));
}

#[test]
pub(crate) fn l22_arguments_that_were_there_are_still_there() {
    let mut c = Cluster::durable();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 2));
    c.sync();
    c.submit(client, id(1), spec("f"));
    c.submit(client, id(2), spec("f"));
    let on =
        |tasks: Vec<TaskId>| Spec { dependencies: vec![Dependency { position: 0, tasks, list: true }], ..spec("f") };
    c.submit(client, id(3), on(vec![id(1), id(2)]));
    c.sync();
    c.submit(client, id(4), on(vec![id(2)]));
    c.end(id(1), returned("a"));
    c.sync();
    c.restart();
    c.all_back();
    c.grant(worker, 2);
    c.end(id(2), raised("no"));
    c.sync();
    for n in 3..=4 {
        assert!(matches!(c.failure(client, id(n)).kind, FailureKind::DependencyFailed(_)));
    }
}

/// What an item told is not told anew: the stream goes on at its worker, or ends and says so.
#[test]
pub(crate) fn l23_a_stream_goes_on_where_its_consumer_is_or_says_that_it_cannot() {
    let mut c = Cluster::durable();
    let (client, back, lost) = (c.client(1), c.worker(2, &["f"], 1), c.worker(3, &["g"], 1));
    c.sync();
    for (n, function) in [(1, "f"), (2, "g")] {
        c.submit(client, id(n), Spec { stream: true, ..spec(function) });
    }
    c.sync();
    let item = |c: &mut Cluster, n: u128, seq: u64| {
        let (worker, attempt) = c.running(id(n));
        c.send(worker, Up::Item { attempt, seq, value: bytes::Bytes::from(format!("{seq}")) });
    };
    for seq in 1..=3 {
        item(&mut c, 1, seq);
    }
    item(&mut c, 2, 1);
    c.sync();
    c.send(client, Up::Credit { task: id(1), taken: 2 });
    c.sync();
    c.restart();
    c.connect(client, true);
    c.connect(back, true);
    c.sync();
    // What was not taken comes again, then what is new.
    item(&mut c, 1, 3);
    item(&mut c, 1, 4);
    c.sync();
    let told: Vec<u64> = c
        .got(client)
        .iter()
        .filter_map(|d| match d {
            Down::Item { task, seq, .. } if *task == id(1) => Some(*seq),
            _ => None,
        })
        .collect();
    assert_eq!(told, [1, 2, 3, 3, 4]);
    c.pass(Duration::from_secs(4));
    c.sync();
    assert_eq!(c.failure(client, id(2)).kind, FailureKind::WorkerLost);
    assert_eq!(c.starts(lost).len(), 1, "it does not start again");
    c.end(id(1), returned(""));
    c.sync();
    assert_eq!(c.outcome(client, id(1)), returned(""));
}

/// The producer of a stream failed and forgot its items while the coordinator was away. That the stream had started is on
/// record because it may start only once, so the records do not say whether items of it were told: they may have been.
#[test]
pub(crate) fn l23_a_stream_that_fails_after_a_restart_does_not_begin_again() {
    let mut c = Cluster::durable();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    c.sync();
    let mut once = Spec { stream: true, ..spec("f") };
    (once.options.max_crashes, once.options.max_attempts) = (0, 3);
    c.submit(client, id(1), once.clone());
    // Of this one no item comes: while the coordinator lives it knows that, and tries again.
    c.submit(client, id(2), once);
    c.sync();
    let (_, attempt) = c.running(id(1));
    c.send(worker, Up::Item { attempt, seq: 1, value: bytes::Bytes::from_static(b"1") });
    c.end(id(2), raised("no"));
    c.sync();
    assert_eq!(c.starts(worker).iter().filter(|s| s.attempt.task == id(2)).count(), 2, "nothing of it had come");
    c.lose(worker);
    c.end(id(1), raised("in the middle"));
    c.restart();
    c.all_back();
    assert_eq!(c.failure(client, id(1)).message, "in the middle");
    assert_eq!(c.starts(worker).iter().filter(|s| s.attempt.task == id(1)).count(), 1);
}

/// A peer forgets what was acknowledged: so only what is durable is, and a payload only when it is whole.
#[test]
pub(crate) fn l1_nothing_is_acknowledged_before_it_is_durable() {
    let mut c = Cluster::durable();
    let client = c.client(1);
    c.sync();
    let acked = |c: &Cluster| c.peers[&client].link.acked();
    c.submit(client, id(1), spec("f"));
    assert!(c.core.poll_batch(c.now, client, true).is_none(), "nothing may be said yet");
    assert_eq!(acked(&c), 0);
    c.sync();
    assert_eq!(acked(&c), 1, "it is told at once when it may be");
    let large = bytes::Bytes::from(vec![7; limits::WINDOW_BYTES + 3 * limits::PART]);
    c.submit(client, id(2), Spec { args: large, ..spec("f") });
    c.core.poll_batch(c.now, client, true);
    c.sync();
    assert_eq!(c.peers[&client].link.in_flight(), 0, "one that exceeds the window is not stuck in it");
    assert_eq!(c.core.stats().live, 2);
}

/// What a task asks for: everything waits for the disk, or nothing does, or nothing is recorded.
#[test]
pub(crate) fn a_submission_says_what_its_records_promise() {
    let mut c = Cluster::durable();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    c.sync();
    let with = |durability: Durability| {
        let mut s = spec("f");
        s.options.policy_mut().durability = durability;
        s
    };
    c.submit(client, id(1), with(Durability::Buffered));
    c.submit(client, id(2), with(Durability::Memory));
    let before = c.records.len();
    assert_eq!(c.starts(worker).len(), 2, "neither waits");
    let attempt = c.running(id(2)).1;
    c.submit_as(worker, id(3), spec("f"), Owner::Await, Some(attempt));
    c.submit_as(worker, id(4), spec("f"), Owner::Nobody, Some(attempt));
    c.end(id(3), returned("v"));
    let recorded: Vec<_> = c.records[before..].iter().filter_map(|(_, record)| record.begins()).collect();
    assert_eq!(recorded, [id(4)], "what belongs to a task that is not recorded is not recorded");
    c.end(id(1), returned("v"));
    c.end(id(2), returned("v"));
    assert_eq!((c.outcomes(client, id(1)).len(), c.outcomes(client, id(2)).len()), (1, 1));
    c.sync();
    c.restart();
    c.sync();
    assert_eq!(c.view(id(1)).state, TaskState::Succeeded);
    assert!(c.ask(Call::Get(id(2))).is_err());
}

/// A full disk refuses what is new; what was accepted ends.
#[test]
pub(crate) fn l18_a_store_without_room_refuses_new_tasks_and_ends_old_ones() {
    let mut c = Cluster::durable();
    let (client, _) = (c.client(1), c.worker(2, &["f"], 9));
    c.submit(client, id(1), spec("f"));
    c.sync();
    c.input(Input::Room(false));
    c.submit(client, id(2), spec("f"));
    c.submit(client, id(1), spec("f"));
    c.end(id(1), returned("v"));
    c.sync();
    let refused = c.failure(client, id(2));
    assert!(refused.kind == FailureKind::ResourceExhausted && refused.message.contains("disk"), "{refused:?}");
    assert_eq!(c.outcome(client, id(1)), returned("v"));
    c.input(Input::Room(true));
    c.submit(client, id(3), spec("f"));
    c.sync();
    assert_eq!(c.view(id(3)).state, TaskState::Running);
}

/// More than one call may touch.
#[test]
pub(crate) fn l21_what_nobody_came_back_with_is_taken_on_in_pieces_and_in_order() {
    let mut c = Cluster::durable();
    let (client, _) = (c.client(1), c.worker(2, &["nothing"], 0));
    let many = 2 * limits::TOUCH as u128;
    for n in 1..=many {
        let peer = c.peers.get_mut(&client).expect("is there");
        let (spec, owner) = (std::sync::Arc::new(spec("f")), Owner::Root);
        peer.link.push(Up::Submit(Submit { task: id(n), spec, owner, creator: None, within: None }));
    }
    c.deliver(client);
    c.sync();
    c.restart();
    c.now = c.now + Duration::from_secs(4);
    c.core.handle(c.now, Input::Tick);
    assert!(c.core.next_deadline() == Some(c.now) && c.core.stats().queued < many as usize, "in pieces");
    c.settle();
    let other = c.worker(3, &["f"], 2);
    c.sync();
    c.settle();
    let started: Vec<_> = c.starts(other).iter().map(|s| s.attempt.task).collect();
    assert_eq!(started, [id(1), id(2)], "the oldest first");
}

/// Its worker did not hear that it was given up, and comes back with it.
#[test]
pub(crate) fn l4_an_attempt_that_was_lost_before_stays_lost() {
    let mut c = Cluster::durable();
    let (client, lost) = (c.client(1), c.worker(2, &["f"], 1));
    c.sync();
    c.submit(client, id(1), spec("f"));
    c.sync();
    let (_, first) = c.running(id(1));
    c.cut(lost);
    c.pass(Duration::from_secs(4));
    c.sync();
    c.restart();
    c.connect(client, true);
    c.connect(lost, true);
    c.sync();
    assert!(c.got(lost).contains(&Down::Fence(first)));
    c.send(lost, Up::Ended { attempt: first, outcome: returned("late"), delivered: 0 });
    c.sync();
    assert!(c.outcomes(client, id(1)).is_empty());
    c.grant(lost, 1);
    c.sync();
    c.end(id(1), returned("v"));
    c.sync();
    assert_eq!(c.outcome(client, id(1)), returned("v"));
}

/// The old part of the store leaves when all that is known was said once more.
#[test]
pub(crate) fn l1_what_was_carried_is_known_without_what_was_said_before() {
    let mut c = Cluster::durable();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    c.sync();
    let large = bytes::Bytes::from(vec![1; 1_000]);
    let with_args = |args: &bytes::Bytes| Spec { args: args.clone(), ..spec("f") };
    c.submit(client, id(1), with_args(&large));
    c.submit(client, id(2), spec("f"));
    c.submit(client, id(3), spec("nobody"));
    c.sync();
    c.end(id(1), returned("v"));
    c.cut(worker);
    c.send(client, Up::Cancel { task: id(2), message: Some("enough".into()) });
    c.sync();
    c.input(Input::Carry { part: 7, tasks: (1..=4).map(id).collect() });
    let (part, seq) = c.carried.pop().expect("answered");
    c.sync();
    assert_eq!((part, seq), (7, c.records.last().expect("records").0));
    c.records.retain(|(_, record)| matches!(record, Record::Carried(_) | Record::Standing(_)));
    c.restart();
    c.all_back();
    let (one, two) = (c.view(id(1)), c.view(id(2)));
    assert_eq!((one.outcome, two.cancelling, two.state), (Some(returned("v")), 1, TaskState::Running));
    assert_eq!(c.view(id(3)).state, TaskState::Pending);
    // L2: the same body is the same, another is not, though its arguments were dropped two lives ago.
    let other = c.client(4);
    c.submit(other, id(1), with_args(&large));
    c.sync();
    assert_eq!(c.outcome(other, id(1)), returned("v"));
    let another = c.client(5);
    c.submit(another, id(1), with_args(&bytes::Bytes::from(vec![2; 1_000])));
    c.sync();
    assert_eq!(c.failure(another, id(1)).kind, FailureKind::AlreadyExists);
}

/// The result of a task that is forgotten is the argument of one that waits: it must not leave with the forgotten one.
#[test]
pub(crate) fn l22_an_argument_outlives_the_task_that_returned_it() {
    let mut c = Cluster::durable();
    let (client, worker) = (c.client(1), c.worker(2, &["f", "g"], 9));
    c.sync();
    let mut fleeting = spec("f");
    fleeting.options.policy_mut().retention = Retention::UntilConsumed;
    c.submit(client, id(1), fleeting);
    c.submit(client, id(2), spec("g"));
    let takes = vec![Dependency { position: 0, tasks: vec![id(1), id(2)], list: true }];
    c.submit(client, id(3), Spec { dependencies: takes, ..spec("f") });
    c.sync();
    c.end(id(1), returned("a"));
    for _ in 0..3 {
        c.send(client, Up::Heartbeat);
        c.sync();
    }
    assert_eq!(c.core.stats().retained, 0, "its outcome was consumed");
    c.input(Input::Carry { part: 7, tasks: vec![id(1)] });
    c.sync();
    assert_eq!(c.carried.pop().map(|(part, _)| part), Some(7));
    let of_the_first = |record: &Record| match record {
        Record::Submitted(submitted) => submitted.task == id(1),
        Record::Ended { task, .. } => *task == id(1),
        _ => false,
    };
    c.records.retain(|(_, record)| !of_the_first(record));
    c.restart();
    c.all_back();
    c.grant(worker, 9);
    c.end(id(2), returned("b"));
    c.sync();
    c.end(id(3), returned("c"));
    c.sync();
    assert_eq!(c.outcome(client, id(3)), returned("c"));
}

/// A result that is carried is read after the task that takes it, and may be forgotten before all is read.
#[test]
fn l22_an_argument_that_was_carried_is_found_before_it_is_forgotten() {
    let mut c = Cluster::with(Config { durable: true, retained_tasks: 1, ..Config::default() });
    c.input(Input::Recovered { cluster: 7 });
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    c.sync();
    c.submit(client, id(1), spec("f"));
    c.submit(client, id(2), spec("f"));
    c.submit(client, id(4), spec("f"));
    c.sync();
    c.end(id(1), returned("a"));
    let takes = vec![Dependency { position: 0, tasks: vec![id(1), id(2)], list: true }];
    c.submit(client, id(3), Spec { dependencies: takes, ..spec("f") });
    c.sync();
    c.input(Input::Carry { part: 7, tasks: vec![id(1)] });
    c.end(id(4), returned("of no use"));
    c.sync();
    c.records.retain(|(_, record)| match record {
        Record::Submitted(submitted) => submitted.task != id(1),
        Record::Ended { task, .. } => *task != id(1),
        _ => true,
    });
    c.restart();
    c.all_back();
    c.grant(worker, 9);
    c.end(id(2), returned("b"));
    c.sync();
    c.end(id(3), returned("c"));
    c.sync();
    assert_eq!(c.outcome(client, id(3)), returned("c"));
}

#[test]
pub(crate) fn l19_a_deadline_goes_on_over_a_restart() {
    let mut c = Cluster::durable();
    let client = c.client(1);
    let mut late = spec("f");
    late.options.timeout = Some(Duration::from_secs(10));
    c.submit(client, id(1), late);
    c.sync();
    c.pass(Duration::from_secs(6));
    c.restart();
    c.all_back();
    c.pass(Duration::from_secs(3));
    assert_eq!(c.view(id(1)).state, TaskState::Pending);
    c.pass(Duration::from_secs(2));
    c.sync();
    assert_eq!(c.failure(client, id(1)).kind, FailureKind::TimedOut);
}

/// A host that lost its session talks about a body that it dropped. In the life in which that was, it is told to stop; the
/// next one hears it from a worker that comes back, and does not take that for holding it.
#[test]
pub(crate) fn l16_a_worker_that_reports_about_an_attempt_and_does_not_name_it_does_not_hold_it() {
    let mut c = Cluster::durable();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    c.sync();
    c.submit(client, id(1), spec("f"));
    let mut once = spec("f");
    once.options.max_crashes = 0;
    c.submit(client, id(2), once);
    c.submit(client, id(3), spec("f"));
    c.sync();
    let attempts = [1, 2, 3].map(|n| c.running(id(n)).1);
    c.lose(worker);
    for attempt in attempts {
        c.send(worker, Up::CancelSeen { attempt, seen: 0 });
    }
    for attempt in &attempts[..2] {
        c.peers.get_mut(&worker).expect("a peer of this test").memory.holds.remove(attempt);
    }
    c.restart();
    c.all_back();
    assert!(attempts[..2].iter().all(|attempt| c.got(worker).contains(&Down::Fence(*attempt))));
    assert!(!c.got(worker).contains(&Down::Fence(attempts[2])), "that one it holds");
    assert!(c.running(id(1)).1.epoch > attempts[0].epoch, "it starts again");
    assert_eq!(c.failure(client, id(2)).kind, FailureKind::WorkerLost);
    for n in [1, 3] {
        c.end(id(n), returned("v"));
        c.sync();
        assert_eq!(c.outcome(client, id(n)), returned("v"));
    }
    assert_eq!(c.running(id(3)).1, attempts[2]);
}

/// Its hello was recorded, and the answer was lost with that life: it says hello for the first time, and begins.
#[test]
pub(crate) fn l10_a_worker_whose_first_welcome_was_lost_begins() {
    let mut c = Cluster::durable();
    let worker = c.worker(2, &["f"], 0);
    c.sync();
    c.restart();
    let peer = c.peers.get_mut(&worker).expect("a peer of this test");
    (peer.link, peer.memory) = (Link::new(limits::MAX_PAYLOAD), Default::default());
    c.connect(worker, false);
    assert!(!c.peers[&worker].resumed, "nothing goes on that it knows of");
    let client = c.client(1);
    c.grant(worker, 1);
    c.submit(client, id(1), spec("f"));
    c.sync();
    c.end(id(1), returned("v"));
    c.sync();
    assert_eq!(c.outcome(client, id(1)), returned("v"));
}

/// What was given up in one life, and handed to another worker, is given up in the next one as well.
#[test]
pub(crate) fn l4_an_attempt_that_was_given_up_in_one_life_is_too_late_in_the_next() {
    let mut c = Cluster::durable();
    let (client, late) = (c.client(1), c.worker(2, &["f"], 1));
    c.sync();
    c.submit(client, id(1), spec("f"));
    c.sync();
    let (_, first) = c.running(id(1));
    c.restart();
    c.connect(client, true);
    c.pass(Duration::from_secs(4));
    let other = c.worker(3, &["f"], 1);
    c.sync();
    assert_eq!(c.starts(other).len(), 1);
    c.restart();
    c.connect(client, true);
    c.connect(late, true);
    c.sync();
    assert!(c.got(late).contains(&Down::Fence(first)));
    c.connect(other, true);
    c.end(id(1), returned("v"));
    c.sync();
    assert_eq!(c.outcome(client, id(1)), returned("v"));
}
