//! The public API.

use std::time::Duration;

use farloop_core::api::{Call, GatherMode, Input, ListTasks, Reply, TaskState};
use farloop_core::id::TaskId;
use farloop_core::outcome::FailureKind;

use crate::driver::*;

#[test]
fn submit_wait_and_get() {
    let mut c = Cluster::new();
    c.worker(2, &["f"], 9);
    let Ok(Reply::Task(view)) =
        c.ask(Call::Submit { task: id(1), spec: spec("f").into(), await_worker: true, request: None })
    else {
        panic!("refused")
    };
    assert_eq!((view.root, view.parent), (None, None));
    let wait = c.call(Call::Wait { task: id(1), timeout: Duration::from_secs(5) });
    let short = c.call(Call::Wait { task: id(1), timeout: Duration::from_secs(1) });
    let gone = c.call(Call::Wait { task: id(1), timeout: Duration::from_secs(5) });
    c.input(Input::Hangup(gone));
    assert!(c.replies.is_empty());
    c.pass(Duration::from_secs(2));
    assert!(matches!(&c.replies[&short], Ok(Reply::Task(v)) if v.state == TaskState::Running));
    c.end(id(1), returned("v"));
    assert!(matches!(&c.replies[&wait], Ok(Reply::Task(v)) if v.outcome == Some(returned("v"))));
    assert!(!c.replies.contains_key(&gone));
    assert_eq!(c.core.stats().calls, 0);
    assert_eq!(c.ask(Call::Get(id(9))).expect_err("unknown").kind, FailureKind::NotFound);
}

#[test]
fn cancel_says_whether_it_counted() {
    let mut c = Cluster::new();
    c.worker(2, &["f"], 9);
    for (n, over) in [(1, false), (2, true)] {
        let _ = c.ask(Call::Submit { task: id(n), spec: spec("f").into(), await_worker: true, request: None });
        if over {
            c.end(id(n), returned("v"));
        }
        let reply = c.ask(Call::Cancel { task: id(n), message: None, request: None });
        assert!(matches!(reply, Ok(Reply::Cancelled { requested, .. }) if requested != over));
    }
}

#[test]
fn l8_gathers_answer_in_argument_order_by_their_mode() {
    let run = |mode: GatherMode, ends: &[(u128, bool)]| {
        let mut c = Cluster::new();
        c.worker(2, &["f"], 9);
        for n in 1..=3 {
            let _ = c.ask(Call::Submit { task: id(n), spec: spec("f").into(), await_worker: true, request: None });
        }
        let members = vec![id(3), id(1), id(2), id(1)];
        let call = c.call(Call::Gather { members: members.clone(), mode, timeout: Duration::from_secs(9) });
        for (at, (n, ok)) in ends.iter().enumerate() {
            assert!(!c.replies.contains_key(&call), "{mode:?}: too early, before end {at}");
            c.end(id(*n), if *ok { returned("v") } else { raised("no") });
        }
        let Some(Ok(Reply::Gathered { done: true, tasks })) = c.replies.remove(&call) else {
            panic!("{mode:?}: not met")
        };
        assert_eq!(tasks.iter().map(|t| t.task).collect::<Vec<TaskId>>(), members);
    };
    run(GatherMode::All, &[(1, true), (2, false), (3, true)]);
    run(GatherMode::FirstException, &[(1, true), (2, false)]);
    run(GatherMode::FirstException, &[(1, true), (2, true), (3, true)]);
    run(GatherMode::FirstCompleted, &[(2, false)]);
    run(GatherMode::AnyOk, &[(2, false), (1, true)]);
    run(GatherMode::AnyOk, &[(2, false), (1, false), (3, false)]);
}

#[test]
fn lists_are_newest_first_with_exact_totals_over_pages() {
    let mut c = Cluster::new();
    c.worker(2, &["f"], 0);
    for n in 1..=10_000u128 {
        let mut s = spec(if n % 2 == 0 { "f" } else { "g" });
        s.options.labels = vec![("k".into(), (n % 5).to_string())];
        c.core.handle(
            c.now,
            Input::Call {
                call: farloop_core::id::CallId(1 << 40),
                request: Call::Submit { task: id(n), spec: s.into(), await_worker: true, request: None },
            },
        );
        while c.core.poll_output().is_some() {}
    }
    let mut query = ListTasks {
        function: Some("f".into()),
        labels: vec![("k".into(), "0".into())],
        limit: 3,
        ..ListTasks::default()
    };
    let page = |c: &mut Cluster, query: &ListTasks| match c.ask(Call::List(query.clone())) {
        Ok(Reply::Tasks { tasks, total, .. }) => (tasks.iter().map(|t| t.task.0).collect::<Vec<_>>(), total),
        other => panic!("{other:?}"),
    };
    assert_eq!(page(&mut c, &query), (vec![10_000, 9_990, 9_980], 1_000));
    query.before = Some(id(9_980));
    assert_eq!(page(&mut c, &query), (vec![9_970, 9_960, 9_950], 1_000));
    query.state = Some(TaskState::Running);
    assert_eq!(page(&mut c, &query), (vec![], 0));
}

#[test]
fn tasks_are_found_by_the_end_of_their_id() {
    let mut c = Cluster::new();
    let (a, b) = (id(0xaa_1234_5678_9abc), id(0xbb_1234_5678_9abc));
    for task in [a, b] {
        let _ = c.ask(Call::Submit { task, spec: spec("f").into(), await_worker: true, request: None });
    }
    assert!(matches!(c.ask(Call::Find(a.to_string())), Ok(Reply::Task(v)) if v.task == a));
    assert!(matches!(c.ask(Call::Find("bb123456789abc".into())), Ok(Reply::Task(v)) if v.task == b));
    let error = c.ask(Call::Find("3456789abc".into())).expect_err("two of them");
    assert!(error.message.contains("give more digits"), "{error}");
    assert!(c.ask(Call::Find("9abc".into())).is_err());
    assert_eq!(c.ask(Call::Find("ffffffff".into())).expect_err("none").kind, FailureKind::NotFound);
}

#[test]
fn l15_every_standing_task_can_be_explained() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let worker = c.worker(2, &["demo.f"], 1);
    c.submit(client, id(1), spec("demo.f"));
    c.submit(client, id(2), spec("demo.f"));
    c.submit(client, id(3), spec("demo.g"));
    let mut dependent = spec("demo.f");
    dependent.dependencies = vec![farloop_core::spec::Dependency { position: 0, tasks: vec![id(1)], list: false }];
    c.submit(client, id(4), dependent);
    for (n, part) in
        [(1, "runs at worker"), (2, "are busy"), (3, "did you mean 'demo.f'"), (4, "waits for 1 of its arguments")]
    {
        let Ok(Reply::Explained { why, .. }) = c.ask(Call::Explain(id(n))) else { panic!("refused") };
        assert!(why.iter().any(|w| w.contains(part)), "{n}: {why:?}");
    }
    let Ok(Reply::Workers(workers)) = c.ask(Call::Workers) else { panic!("refused") };
    assert_eq!(workers.len(), 1);
    assert_eq!((workers[0].worker.0, workers[0].leased, workers[0].credits), (worker.0, 1, 0));
}
