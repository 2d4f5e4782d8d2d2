//! Calls that are answered by many messages, and workers that are told to leave.

use std::time::Duration;

use farloop_core::api::{About, Call, Config, GatherMode, Input, ListTasks, Output, Reply, TaskState, Told};
use farloop_core::frame::{Activity, Down, Up};
use farloop_core::id::{CallId, TaskId};
use farloop_core::limits;
use farloop_core::outcome::{FailureKind, Outcome};

use crate::driver::*;

const LONG: Duration = Duration::from_secs(60);

/// Messages so far, as short as they can be.
fn told(c: &Cluster, call: CallId) -> Vec<String> {
    let short = |told: &Told| match told {
        Told::Task(view) => format!("{} {:?}", view.task.0, view.state),
        Told::Actor(view) => format!("{} {:?}", view.task.task.0, view.task.state),
        Told::SnapshotEnd => "end".into(),
        Told::Lost(n) => format!("lost {n}"),
        Told::Pending(tasks) => format!("pending {:?}", tasks.iter().map(|t| t.0).collect::<Vec<_>>()),
    };
    c.told.get(&call).into_iter().flatten().map(short).collect()
}

fn submit(c: &mut Cluster, task: TaskId, function: &str) {
    c.ask(Call::Submit { task, spec: spec(function).into(), await_worker: true, request: None }).expect("accepted");
}

/// Many, without a look at the laws after each.
fn submit_many(c: &mut Cluster, tasks: std::ops::RangeInclusive<u128>) {
    for n in tasks {
        let request = Call::Submit { task: id(n), spec: spec("f").into(), await_worker: true, request: None };
        c.core.handle(c.now, Input::Call { call: CallId(1 << 40), request });
        while let Some(output) = c.core.poll_output() {
            if let Output::Wake(session) = output {
                c.take(session, usize::MAX);
            }
        }
    }
}

#[test]
pub(crate) fn l9_each_task_is_told_once_in_the_order_of_the_ends() {
    let mut c = Cluster::new();
    c.worker(2, &["f"], 9);
    for n in 1..=4 {
        submit(&mut c, id(n), "f");
    }
    c.end(id(4), returned("v"));
    let call = c.open(Call::AsCompleted { tasks: vec![id(1), id(2), id(3), id(4), id(1)], timeout: LONG });
    assert_eq!(told(&c, call), ["4 Succeeded"], "what is over already comes at once");
    c.end(id(3), returned("v"));
    c.end(id(1), raised("no"));
    assert!(!c.over.contains(&call));
    c.ask(Call::Cancel { task: id(2), message: None, request: None }).expect("counted");
    c.end(id(2), Outcome::Cancelled(Default::default()));
    assert_eq!(told(&c, call), ["4 Succeeded", "3 Succeeded", "1 Failed", "2 Cancelled"]);
    assert!(c.over.contains(&call), "and that was all");
    assert_eq!(c.core.stats().calls, 0);
}

#[test]
fn l9_time_that_runs_out_names_what_is_pending_and_cancels_nothing() {
    let mut c = Cluster::new();
    c.worker(2, &["f"], 9);
    for n in 1..=3 {
        submit(&mut c, id(n), "f");
    }
    let call = c.open(Call::AsCompleted { tasks: vec![id(3), id(2), id(1)], timeout: Duration::from_secs(5) });
    c.end(id(2), returned("v"));
    c.pass(Duration::from_secs(6));
    assert_eq!(told(&c, call), ["2 Succeeded", "pending [3, 1]"]);
    assert!(c.over.contains(&call));
    assert_eq!(c.view(id(1)).state, TaskState::Running);
    let now = c.open(Call::AsCompleted { tasks: vec![id(2), id(1)], timeout: Duration::ZERO });
    assert_eq!(told(&c, now), ["2 Succeeded", "pending [1]"]);
    assert_eq!(c.ask(Call::AsCompleted { tasks: vec![id(9)], timeout: LONG }).unwrap_err().kind, FailureKind::NotFound);
}

#[test]
fn a_slow_reader_of_as_completed_misses_nothing_even_beyond_retention() {
    let mut c = Cluster::with(Config { retained_tasks: 1, ..Config::default() });
    c.worker(2, &["f"], 9);
    for n in 1..=3 {
        submit(&mut c, id(n), "f");
    }
    let call = c.call(Call::AsCompleted { tasks: (1..=3).map(id).collect(), timeout: LONG });
    c.slow.insert(call);
    for n in 1..=3 {
        c.end(id(n), returned("v"));
    }
    c.read(call, 10);
    assert_eq!(told(&c, call), ["1 Succeeded", "2 Succeeded", "3 Succeeded"]);
}

#[test]
pub(crate) fn who_watches_sees_what_is_there_and_then_each_change() {
    let mut c = Cluster::new();
    c.worker(2, &["f"], 9);
    submit(&mut c, id(1), "f");
    let call = c.open(Call::WatchTasks(ListTasks::default()));
    assert_eq!(told(&c, call), ["1 Running", "end"]);
    submit(&mut c, id(2), "f");
    c.suspend(id(1), &[id(2)], false);
    c.end(id(2), returned("v"));
    c.ask(Call::Cancel { task: id(1), message: None, request: None }).expect("counted");
    assert_eq!(
        told(&c, call)[2..],
        ["2 Pending", "2 Running", "1 Suspended", "2 Succeeded", "1 Suspended"],
        "a cancel request is news, though the state is the same"
    );
    c.input(Input::Hangup(call));
    assert_eq!(c.core.stats().watches, 0);
}

#[test]
fn a_filter_shows_the_change_by_which_a_task_leaves_it_too() {
    let mut c = Cluster::new();
    c.worker(2, &["f", "g"], 9);
    let query = ListTasks { state: Some(TaskState::Running), function: Some("f".into()), ..ListTasks::default() };
    let call = c.open(Call::WatchTasks(query));
    submit(&mut c, id(1), "f");
    submit(&mut c, id(2), "g");
    c.end(id(1), returned("v"));
    c.end(id(2), returned("v"));
    assert_eq!(told(&c, call), ["end", "1 Running", "1 Succeeded"]);
}

#[test]
fn a_snapshot_and_the_changes_meanwhile_fit_together() {
    let mut c = Cluster::new();
    c.worker(2, &["f"], 20_000);
    submit_many(&mut c, 1..=9_000);
    let call = c.call(Call::WatchTasks(ListTasks::default()));
    c.slow.insert(call);
    c.read(call, 4_500);
    // One that was shown, one that was not, and a new one.
    c.end(id(1), returned("v"));
    c.end(id(9_000), returned("v"));
    submit(&mut c, id(9_001), "f");
    c.read(call, 100_000);
    let told = told(&c, call);
    let end = told.iter().position(|t| t == "end").expect("the snapshot ends");
    assert_eq!(end, 9_001, "each once");
    for shown in ["1 Running", "9000 Succeeded", "9001 Running"] {
        assert!(told[..end].contains(&shown.into()), "{shown} as it was when the snapshot came to it");
    }
    assert_eq!(told[end + 1..], ["1 Succeeded"]);
}

#[test]
fn l18_a_reader_that_stopped_costs_a_bounded_number_of_notes_and_learns_what_it_lost() {
    let mut c = Cluster::new();
    let call = c.open(Call::WatchTasks(ListTasks::default()));
    c.slow.insert(call);
    let many = limits::WATCH_CHANGES as u128 + 1_000;
    submit_many(&mut c, 1..=many);
    c.read(call, 3);
    assert_eq!(told(&c, call), ["end", "lost 1000", "1001 Pending", "1002 Pending"]);
    c.read(call, usize::MAX - 1);
    assert_eq!(told(&c, call).len(), limits::WATCH_CHANGES + 2);

    for _ in 1..limits::WATCHES {
        c.open(Call::WatchTasks(ListTasks::default()));
    }
    let refused = c.ask(Call::WatchTasks(ListTasks::default())).unwrap_err();
    assert_eq!(refused.kind, FailureKind::ResourceExhausted);
    assert!(refused.message.contains("WATCHES"), "{refused}");
}

#[test]
fn a_change_is_told_when_its_record_is_durable() {
    let mut c = Cluster::with(Config { durable: true, ..Config::default() });
    c.worker(2, &["f"], 9);
    c.sync();
    let call = c.open(Call::WatchTasks(ListTasks::default()));
    let submit = c.call(Call::Submit { task: id(1), spec: spec("f").into(), await_worker: true, request: None });
    assert_eq!(told(&c, call), ["end"]);
    c.sync();
    assert!(c.replies.contains_key(&submit));
    assert_eq!(told(&c, call)[..2], ["end", "1 Pending"]);
    let each = c.open(Call::AsCompleted { tasks: vec![id(1)], timeout: LONG });
    c.end(id(1), returned("v"));
    assert!(told(&c, each).is_empty());
    c.sync();
    assert_eq!(told(&c, each), ["1 Succeeded"]);
    assert_eq!(told(&c, call).last().expect("told"), "1 Succeeded");
}

#[test]
fn l9_a_wait_for_the_first_failure_lets_a_cancel_pass() {
    let mut c = Cluster::new();
    c.worker(2, &["f"], 9);
    for n in 1..=3 {
        submit(&mut c, id(n), "f");
    }
    let members = (1..=3).map(id).collect();
    let call = c.call(Call::Gather { members, mode: GatherMode::FirstFailure, timeout: LONG });
    c.end(id(1), Outcome::Cancelled(Default::default()));
    c.end(id(2), returned("v"));
    assert!(!c.replies.contains_key(&call));
    c.end(id(3), raised("no"));
    assert!(matches!(c.replies.remove(&call), Some(Ok(Reply::Gathered { done: true, .. }))));
}

#[test]
fn a_worker_that_is_told_to_leave_hears_it_gives_back_and_goes() {
    let mut c = Cluster::new();
    let (client, first) = (c.client(1), c.worker(2, &["f"], 2));
    let idle = c.worker(3, &["g"], 2);
    for n in 1..=2 {
        c.submit(client, id(n), spec("f"));
    }
    let (_, begun) = c.running(id(1));
    c.send(first, Up::Progress { attempt: begun, activity: Activity::Running, awaits: vec![], blocked: false });
    let text = first.to_string();
    let Ok(Reply::Worker(view)) = c.ask(Call::DrainWorker(text[text.len() - 8..].into())) else { panic!("refused") };
    assert!(view.draining && view.worker.0 == first.0);
    let (_, unbegun) = c.running(id(2));
    let got = c.got(first);
    assert!(got.contains(&Down::Leave) && got.contains(&Down::Recall(unbegun)), "{got:?}");
    // What comes now runs elsewhere.
    c.send(first, Up::Drain);
    c.send(first, Up::Returned(unbegun));
    let other = c.worker(4, &["f"], 2);
    assert_eq!(c.running(id(2)).0, other);
    c.end(id(1), returned("v"));
    c.settle();
    assert!(c.closed.iter().any(|(s, why)| *s == first && why.contains("drained")));

    // One that idles must hear of it before its session is over.
    c.ask(Call::DrainWorker(idle.to_string())).expect("known");
    assert!(c.got(idle).contains(&Down::Leave) && c.closed.iter().all(|(s, _)| *s != idle));
    c.send(idle, Up::Drain);
    c.settle();
    assert!(c.closed.iter().any(|(s, _)| *s == idle));

    let unknown = c.ask(Call::DrainWorker("ffffffff".into())).unwrap_err();
    assert_eq!((unknown.kind, unknown.about), (FailureKind::NotFound, About::Worker));
    assert_eq!(c.ask(Call::DrainWorker("the first".into())).unwrap_err().kind, FailureKind::BadArguments);
}

#[test]
fn a_misspelt_function_is_refused_while_workers_are_there() {
    let mut c = Cluster::new();
    let call = |task, await_worker| Call::Submit { task, spec: spec("demo.ad").into(), await_worker, request: None };
    c.ask(call(id(1), false)).expect("nobody can tell yet");
    c.worker(2, &["demo.add"], 1);
    let refused = c.ask(call(id(2), false)).unwrap_err();
    assert_eq!((&refused.kind, refused.about), (&FailureKind::NotFound, About::Function));
    assert!(refused.message.contains("did you mean 'demo.add'?"), "{refused}");
    c.ask(call(id(1), false)).expect("it is known");
    c.ask(call(id(3), true)).expect("one will come");
}

/// A goodbye hands attempts back, and that is no crash; but what may run at most once and has begun must not begin
/// again elsewhere.
#[test]
fn l16_a_goodbye_does_not_run_twice_what_may_run_once() {
    let mut c = Cluster::new();
    let (client, first) = (c.client(1), c.worker(2, &["f"], 2));
    let mut once = spec("f");
    once.options.max_crashes = 0;
    c.submit(client, id(1), once);
    c.submit(client, id(2), spec("f"));
    c.worker(3, &["f"], 2);
    c.send(first, Up::Bye);
    c.settle();
    assert!(matches!(c.failure(client, id(1)).kind, FailureKind::WorkerLost));
    assert_eq!(c.running(id(2)).1.task, id(2));
    assert_eq!(c.view(id(2)).attempt, 2);
}

#[test]
fn l18_sessions_have_a_limit_that_the_refusal_names() {
    let mut c = Cluster::with(Config { max_sessions: 2, ..Config::default() });
    c.client(1);
    let second = c.client(2);
    c.client(3);
    assert_eq!(c.rejected, ["TOO_MANY_SESSIONS"]);
    c.send(second, Up::Bye);
    c.client(4);
    assert_eq!(c.rejected.len(), 1, "there is room again");
}
