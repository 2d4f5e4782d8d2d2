//! Actors (L11, L12, L13): one incarnation, calls in order, and an answer for every call.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farloop_core::actor::{ActorDef, Address, Host, Part, Placement, Reminder, Restart, RestartWhen, Strategy, Turns};
use farloop_core::api::{Call, ListActors, Reply, Whom};
use farloop_core::frame::{Down, Owner, Role, Snapshot, Up};
use farloop_core::id::{AttemptId, SessionId, TaskId};
use farloop_core::outcome::{FailureKind, Outcome};
use farloop_core::spec::{Backoff, FunctionDef, Spec};

use crate::driver::*;

const KIND: &str = "shop.Cart";
const ADD: &str = "shop.Cart.add";
const PEEK: &str = "shop.Cart.peek";

fn of(part: Part, function: &str) -> Spec {
    let mut spec = Spec { actor: Some(Arc::new(part)), ..spec(function) };
    if spec.actor.as_ref().is_some_and(|part| matches!(**part, Part::Call { .. })) {
        spec.options.max_crashes = 0;
    }
    spec
}

fn host() -> Spec {
    hosted(Host::default())
}

fn hosted(host: Host) -> Spec {
    of(Part::Host(host), KIND)
}

fn named(name: &str) -> Host {
    Host { name: Some(name.into()), ..Host::default() }
}

fn by_name(name: &str) -> Address {
    Address::Name { name: name.into(), make: None }
}

fn call(to: Address) -> Spec {
    of(Part::Call { to, waits: false }, ADD)
}

fn peek(to: Address) -> Spec {
    of(Part::Call { to, waits: false }, PEEK)
}

fn offered(on_demand: Option<Host>) -> Vec<FunctionDef> {
    let what = |name: &str, actor| FunctionDef { actor: Some(Arc::new(actor)), ..def(name, 1) };
    vec![
        what(KIND, ActorDef::Type(on_demand.unwrap_or_default())),
        what(ADD, ActorDef::Method(Turns::Alone)),
        what(PEEK, ActorDef::Method(Turns::Shared)),
        def("f", 1),
    ]
}

impl Cluster {
    fn actor_worker(&mut self, n: u128) -> SessionId {
        self.demand_worker(n, None)
    }

    fn demand_worker(&mut self, n: u128, on_demand: Option<Host>) -> SessionId {
        let worker = self.join(n, Role::Worker, offered(on_demand));
        self.grant(worker, 100);
        worker
    }

    /// What made the incarnation has returned.
    fn up(&mut self, actor: TaskId) -> (SessionId, AttemptId) {
        let (worker, attempt) = self.running(actor);
        self.suspend(actor, &[], false);
        (worker, attempt)
    }

    fn calls_at(&self, worker: SessionId) -> Vec<TaskId> {
        let calls = self
            .starts(worker)
            .into_iter()
            .filter(|s| s.spec.function.ends_with(".add") || s.spec.function.ends_with(".peek"));
        calls.map(|start| start.attempt.task).collect()
    }

    fn leaves(&self, worker: SessionId) -> Vec<&Down> {
        self.got(worker).iter().filter(|d| matches!(d, Down::Stop(_) | Down::Move(_))).collect()
    }

    fn actor(&mut self, id: TaskId) -> farloop_core::api::ActorView {
        match self.ask(Call::Actor(Whom::Id(id))) {
            Ok(Reply::Actor(view)) => *view,
            other => panic!("{other:?}"),
        }
    }

    /// The only task of the type that is not over.
    fn host_of(&mut self, kind: &str) -> TaskId {
        let query = ListActors { kind: Some(kind.into()), limit: 10, ..ListActors::default() };
        match self.ask(Call::Actors(query)) {
            Ok(Reply::Actors { actors, total: 1 }) => actors[0].task.task,
            other => panic!("{other:?}"),
        }
    }
}

fn at(n: u128) -> Address {
    Address::Actor(id(n))
}

#[test]
pub(crate) fn l12_calls_are_sent_in_the_order_in_which_they_were_made() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    c.submit(client, id(1), host());
    for n in 2..=4 {
        c.submit(client, id(n), call(at(1)));
    }
    // They follow the start of their actor at once, and say for which incarnation they are.
    let starts = c.starts(worker);
    assert_eq!(starts.iter().map(|s| s.attempt.task).collect::<Vec<_>>(), [id(1), id(2), id(3), id(4)]);
    let incarnation = starts[1].more.as_ref().and_then(|more| more.incarnation);
    assert_eq!(incarnation, Some(starts[0].attempt));
    c.up(id(1));
    for n in 2..=4 {
        c.end(id(n), returned("ok"));
        assert_eq!(c.outcome(client, id(n)), returned("ok"));
    }
    assert_eq!(c.actor(id(1)).served, 3);
    assert!(c.actor(id(1)).up);
}

#[test]
pub(crate) fn l14_calls_use_no_credit() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let worker = c.join(2, Role::Worker, offered(None));
    c.grant(worker, 1);
    c.submit(client, id(1), host());
    for n in 2..=20 {
        c.submit(client, id(n), call(at(1)));
    }
    assert_eq!(c.calls_at(worker).len(), 19);
    c.submit(client, id(30), spec("f"));
    assert_eq!(c.starts(worker).len(), 20, "the one start allowed went to the actor");
}

#[test]
pub(crate) fn l12_one_that_waits_for_an_argument_is_not_overtaken_by_its_caller() {
    let mut c = Cluster::new();
    let (client, other, worker) = (c.client(1), c.client(3), c.actor_worker(2));
    c.submit(client, id(1), host());
    c.up(id(1));
    c.submit(client, id(5), spec("f"));
    let mut first = call(at(1));
    first.dependencies = vec![farloop_core::spec::Dependency { position: 0, tasks: vec![id(5)], list: false }];
    c.submit(client, id(2), first);
    c.submit(client, id(3), call(at(1)));
    c.submit(other, id(4), call(at(1)));
    assert_eq!(c.calls_at(worker), [id(4)], "another caller does not wait for it");
    c.end(id(5), returned("5"));
    c.settle();
    assert_eq!(c.calls_at(worker), [id(4), id(2), id(3)]);
}

#[test]
pub(crate) fn l12_calls_that_come_back_go_before_younger_ones() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    let limits = Host { mailbox: 10_000, per_caller: 10_000, ..Host::default() };
    c.submit(client, id(1), hosted(limits));
    let (_, first) = c.up(id(1));
    let ahead = farloop_core::limits::CALLS_AHEAD as u128;
    for n in 0..ahead + 10 {
        c.submit(client, id(100 + n), call(at(1)));
    }
    assert_eq!(c.calls_at(worker).len() as u128, ahead);
    c.end(id(100), returned("ok"));
    // Its worker is to leave: what has not begun comes back, then the incarnation.
    let second = c.actor_worker(4);
    c.send(worker, Up::Drain);
    c.settle();
    assert_eq!(c.leaves(worker), [&Down::Move(first)]);
    let out: Vec<AttemptId> = c.starts(worker).into_iter().skip(2).map(|s| s.attempt).collect();
    c.send(worker, Up::Ended { attempt: out[0], outcome: returned("ok"), delivered: 0 });
    for attempt in out[1..].iter().rev() {
        c.send(worker, Up::Returned(*attempt));
    }
    assert!(c.calls_at(second).is_empty(), "the old one is not over yet");
    c.send(worker, Up::Returned(first));
    c.settle();
    c.up(id(1));
    let there = c.calls_at(second);
    assert_eq!(there[..3], [id(102), id(103), id(104)]);
    for n in 102..100 + ahead + 10 {
        c.end(id(n), returned("ok"));
    }
    let moved: Vec<TaskId> = (102..100 + ahead + 10).map(id).collect();
    assert_eq!(c.calls_at(second), moved, "L12: all in order, each once");
}

#[test]
pub(crate) fn a_call_whose_incarnation_is_lost_says_that_it_may_have_run_and_others_wait() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    c.submit(client, id(1), host());
    c.up(id(1));
    c.submit(client, id(2), call(at(1)));
    let mut twice = call(at(1));
    twice.options.max_crashes = 1;
    c.submit(client, id(3), twice);
    c.cut(worker);
    c.pass(Duration::from_secs(4));
    let failure = c.failure(client, id(2));
    assert_eq!((failure.kind, failure.may_have_run), (FailureKind::ActorUnavailable, Some(true)));
    c.submit(client, id(4), call(at(1)));
    let second = c.actor_worker(5);
    c.settle();
    assert_eq!(c.running(id(1)).0, second);
    assert_eq!(c.calls_at(second), [id(3), id(4)], "what may run twice does, in its place");
    c.up(id(1));
    c.end(id(3), returned("ok"));
    c.end(id(4), returned("ok"));
    assert_eq!(c.outcome(client, id(4)), returned("ok"));
    assert_eq!(c.actor(id(1)).restarts, 1);
}

#[test]
pub(crate) fn l12_what_is_tried_again_goes_before_what_waited_behind_it() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    c.submit(client, id(1), host());
    c.up(id(1));
    let mut twice = call(at(1));
    twice.options.max_crashes = 1;
    c.submit(client, id(2), twice);
    // What its lost attempt created is looked after first, which takes its time.
    let (_, attempt) = c.running(id(2));
    for n in 0..2 * farloop_core::limits::TOUCH as u128 {
        c.submit_as(worker, id(1_000 + n), spec("g"), Owner::Root, Some(attempt));
    }
    let second = c.actor_worker(5);
    c.send(worker, Up::Bye);
    c.submit(client, id(3), call(at(1)));
    c.settle();
    c.pass(Duration::from_secs(1));
    assert_eq!(c.calls_at(second), [id(2), id(3)], "L12");
}

#[test]
pub(crate) fn l11_a_named_actor_waits_until_a_lost_worker_must_have_stopped_it() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    let second = c.actor_worker(5);
    let third = c.actor_worker(6);
    c.submit(client, id(1), hosted(named("a")));
    let (first, stale) = c.up(id(1));
    // Cut off, not dead: it goes on until two thirds of its lease are over.
    c.cut(first);
    c.pass(Duration::from_secs(9));
    let lives = |c: &Cluster| [worker, second, third].iter().flat_map(|w| c.starts(*w)).count();
    assert_eq!(lives(&c), 1, "L11: its lease is not over");
    c.pass(Duration::from_secs(2));
    assert_eq!(lives(&c), 2);
    let (now, attempt) = c.running(id(1));
    assert!(now != first && attempt.epoch > stale.epoch);
    // A zombie can neither answer nor write.
    c.connect(first, true);
    c.send(
        first,
        Up::Snapshot(Box::new(Snapshot { incarnation: stale, state: Bytes::from_static(b"old"), with: None })),
    );
    assert_eq!(c.actor(id(1)).snapshot, 0);
    // One that is seen to end is free at once.
    c.up(id(1));
    let (now, _) = c.running(id(1));
    c.send(now, Up::Bye);
    c.settle();
    assert_eq!(lives(&c), 3);
}

#[test]
pub(crate) fn l11_a_name_is_one_actors() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    c.submit(client, id(1), hosted(named("a")));
    c.up(id(1));
    c.submit(client, id(2), hosted(named("a")));
    assert_eq!(c.failure(client, id(2)).kind, FailureKind::AlreadyExists);
    c.submit(client, id(3), call(by_name("a")));
    assert_eq!(c.calls_at(worker), [id(3)]);
    c.end(id(3), returned("ok"));
    // Found, and made once however often it is asked for.
    let find = |make: Option<Host>, up| {
        let make = make.map(|host| Arc::new(hosted(host)));
        of(Part::Find { of: Address::Name { name: "a".into(), make }, up }, KIND)
    };
    c.submit(client, id(4), find(None, false));
    c.submit(client, id(5), find(Some(named("a")), true));
    let mut bytes = vec![0xc4, 16];
    bytes.extend_from_slice(&1u128.to_be_bytes());
    for n in [4, 5] {
        assert_eq!(c.outcome(client, id(n)), Outcome::Returned(bytes.clone().into()));
    }
    // When it is over the name is free.
    c.send(client, Up::Cancel { task: id(1), message: None });
    let (_, attempt) = c.running(id(1));
    c.send(worker, Up::Ended { attempt, outcome: Outcome::Cancelled(Arc::default()), delivered: 1 });
    c.settle();
    c.submit(client, id(6), find(None, false));
    assert_eq!(c.failure(client, id(6)).kind, FailureKind::ActorDied);
    c.submit(client, id(7), find(Some(named("a")), true));
    assert!(c.outcomes(client, id(7)).is_empty(), "it is not up yet");
    let made = c.host_of(KIND);
    assert_ne!(made, id(1));
    c.up(made);
    c.settle();
    assert!(matches!(c.outcome(client, id(7)), Outcome::Returned(_)));
}

#[test]
pub(crate) fn l18_a_full_mailbox_refuses_by_name_or_lets_wait() {
    let mut c = Cluster::new();
    let (client, other, worker) = (c.client(1), c.client(3), c.actor_worker(2));
    c.submit(client, id(1), hosted(Host { mailbox: 2, per_caller: 2, ..Host::default() }));
    c.up(id(1));
    c.submit(client, id(2), call(at(1)));
    c.submit(client, id(3), call(at(1)));
    c.submit(client, id(4), call(at(1)));
    let failure = c.failure(client, id(4));
    assert_eq!(failure.kind, FailureKind::ResourceExhausted);
    assert!(failure.message.contains("MAILBOX_PER_CALLER"), "{}", failure.message);
    c.submit(other, id(5), call(at(1)));
    c.submit(other, id(6), call(at(1)));
    let failure = c.failure(other, id(6));
    assert!(failure.message.contains("(MAILBOX)"), "{}", failure.message);
    let waits = of(Part::Call { to: at(1), waits: true }, ADD);
    c.submit(other, id(7), waits);
    assert!(c.outcomes(other, id(7)).is_empty());
    assert_eq!(c.calls_at(worker), [id(2), id(3), id(5)]);
    c.end(id(2), returned("ok"));
    assert_eq!(c.calls_at(worker), [id(2), id(3), id(5), id(7)]);
}

#[test]
pub(crate) fn an_actor_starts_again_as_often_as_its_policy_allows() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    let restart = Restart {
        when: RestartWhen::OnFailure,
        at_most: 2,
        within: Duration::from_secs(60),
        backoff: Backoff::new(Duration::from_millis(100)),
    };
    c.submit(client, id(1), hosted(Host { restart, ..Host::default() }));
    for _ in 0..2 {
        c.up(id(1));
        c.end(id(1), raised("broken"));
        c.pass(Duration::from_secs(1));
    }
    c.up(id(1));
    assert_eq!(c.starts(worker).len(), 3);
    c.submit(client, id(2), call(at(1)));
    let (_, attempt) = c.running(id(2));
    c.send(worker, Up::Returned(attempt));
    c.end(id(1), raised("broken"));
    c.settle();
    assert_eq!(c.failure(client, id(1)).kind, FailureKind::Raised);
    let failure = c.failure(client, id(2));
    assert_eq!((failure.kind, failure.may_have_run), (FailureKind::ActorDied, Some(false)));
    assert!(failure.message.contains("broken"), "{}", failure.message);
    c.submit(client, id(3), call(at(1)));
    assert_eq!(c.failure(client, id(3)).kind, FailureKind::ActorDied);
}

#[test]
pub(crate) fn restarts_are_counted_within_their_window() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    let restart = Restart { at_most: 1, within: Duration::from_secs(10), ..Restart::default() };
    c.submit(client, id(1), hosted(Host { restart, ..Host::default() }));
    for _ in 0..3 {
        c.up(id(1));
        c.end(id(1), raised("broken"));
        c.pass(Duration::from_secs(11));
    }
    assert_eq!(c.starts(worker).len(), 4);
}

#[test]
pub(crate) fn stopping_lets_the_mailbox_end_first() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    c.submit(client, id(1), host());
    let (_, attempt) = c.up(id(1));
    c.submit(client, id(2), call(at(1)));
    c.submit(client, id(3), of(Part::Stop(at(1)), KIND));
    c.submit(client, id(4), call(at(1)));
    assert_eq!(c.failure(client, id(4)).kind, FailureKind::ActorDied);
    assert!(c.leaves(worker).is_empty());
    c.end(id(2), returned("ok"));
    assert_eq!(c.leaves(worker), [&Down::Stop(attempt)]);
    c.end(id(1), Outcome::Returned(Bytes::from_static(&[0xc0])));
    c.settle();
    assert!(matches!(c.outcome(client, id(1)), Outcome::Returned(_)));
    assert!(matches!(c.outcome(client, id(3)), Outcome::Returned(_)));
}

#[test]
pub(crate) fn one_on_demand_is_made_by_a_call_and_leaves_when_it_idles() {
    let mut c = Cluster::new();
    let on_demand = Host { on_demand: true, idle: Some(Duration::from_secs(60)), ..Host::default() };
    let (client, worker) = (c.client(1), c.demand_worker(2, Some(on_demand)));
    c.submit(client, id(2), call(by_name("u42")));
    let made = c.host_of(KIND);
    let starts = c.starts(worker);
    assert_eq!((starts[0].attempt.task, starts[1].attempt.task), (made, id(2)));
    assert_eq!(&starts[0].spec.args[..], b"\x91\xa3u42");
    c.up(made);
    c.end(id(2), returned("ok"));
    c.pass(Duration::from_secs(50));
    c.submit(client, id(3), call(by_name("u42")));
    c.end(id(3), returned("ok"));
    c.pass(Duration::from_secs(50));
    assert!(c.leaves(worker).is_empty(), "it had something to do meanwhile");
    c.pass(Duration::from_secs(11));
    assert_eq!(c.leaves(worker).len(), 1);
    // One that has something to remember sleeps; a call wakes it, with what it remembers.
    let (_, attempt) = c.running(made);
    c.send(
        worker,
        Up::Snapshot(Box::new(Snapshot { incarnation: attempt, state: Bytes::from_static(b"two"), with: None })),
    );
    c.submit(client, id(4), call(by_name("u42")));
    assert!(!c.calls_at(worker).contains(&id(4)), "it is leaving");
    c.end(made, returned("nil"));
    c.settle();
    assert_eq!(c.actor(made).incarnation, 2);
    c.up(made);
    c.end(id(4), returned("ok"));
    c.pass(Duration::from_secs(61));
    c.end(made, returned("nil"));
    c.settle();
    assert!(c.actor(made).asleep);
    c.submit(client, id(5), call(by_name("u42")));
    let got = c.got(worker);
    let (_, attempt) = c.running(made);
    assert!(got.contains(&Down::Input { attempt, task: made, value: Bytes::from_static(b"two") }));
    assert_eq!(c.calls_at(worker).last(), Some(&id(5)));
}

#[test]
pub(crate) fn one_that_remembers_nothing_is_forgotten_and_made_anew() {
    let mut c = Cluster::new();
    let on_demand = Host { on_demand: true, idle: Some(Duration::from_secs(60)), ..Host::default() };
    let (client, _) = (c.client(1), c.demand_worker(2, Some(on_demand)));
    c.submit(client, id(2), call(by_name("u42")));
    let made = c.host_of(KIND);
    c.up(made);
    c.end(id(2), returned("ok"));
    c.pass(Duration::from_secs(61));
    c.end(made, returned("nil"));
    c.settle();
    c.submit(client, id(3), call(by_name("u42")));
    assert_ne!(c.host_of(KIND), made);
}

#[test]
pub(crate) fn l13_a_snapshot_counts_with_the_reply_or_not_at_all() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    c.submit(client, id(1), host());
    let (_, incarnation) = c.up(id(1));
    c.submit(client, id(2), call(at(1)));
    let (_, with) = c.running(id(2));
    let snapshot = |state: &'static [u8], with| {
        Up::Snapshot(Box::new(Snapshot { incarnation, state: Bytes::from_static(state), with }))
    };
    c.send(worker, snapshot(b"four", Some(with)));
    assert_eq!(c.actor(id(1)).snapshot, 0, "its call is not over");
    c.end(id(2), returned("ok"));
    assert_eq!(c.actor(id(1)).snapshot, 4);
    c.submit(client, id(3), call(at(1)));
    let (_, with) = c.running(id(3));
    c.send(worker, snapshot(b"lost with it", Some(with)));
    c.cut(worker);
    c.pass(Duration::from_secs(4));
    assert_eq!(c.actor(id(1)).snapshot, 4);
}

#[test]
pub(crate) fn actors_that_wait_for_each_other_are_told_at_once() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    c.submit(client, id(1), host());
    c.submit(client, id(2), host());
    c.up(id(1));
    c.up(id(2));
    // A awaits B awaits A.
    c.submit(client, id(10), call(at(1)));
    let (_, a) = c.running(id(10));
    c.submit_as(worker, id(11), call(at(2)), Owner::Await, Some(a));
    let (_, b) = c.running(id(11));
    c.submit_as(worker, id(12), call(at(1)), Owner::Await, Some(b));
    c.suspend(id(10), &[id(11)], true);
    c.suspend(id(11), &[id(12)], true);
    let cycle = c.got(worker).iter().find_map(|d| match d {
        Down::Deadlock { attempt, cycle } => Some((*attempt, cycle.clone())),
        _ => None,
    });
    assert_eq!(cycle, Some((b, vec![id(11), id(12), id(10)])));
    // The call that can never have its turn does not get it when the others have ended.
    let asked = |d: &Down| matches!(d, Down::Cancel { attempt, .. } if attempt.task == id(12));
    assert!(c.got(worker).iter().any(asked));
}

#[test]
pub(crate) fn the_end_of_a_call_that_is_withdrawn_is_no_answer() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    c.submit(client, id(1), host());
    c.up(id(1));
    c.submit(client, id(10), call(at(1)));
    let (_, a) = c.running(id(10));
    // So many are ahead of it that it stays here, where its withdrawal is its end at once.
    for n in 0..farloop_core::limits::CALLS_AHEAD as u128 {
        c.submit(client, id(100 + n), call(at(1)));
    }
    c.submit_as(worker, id(11), call(at(1)), Owner::Await, Some(a));
    c.suspend(id(10), &[id(11)], true);
    let about = |d: &&Down| match d {
        Down::Deadlock { attempt, .. } => *attempt == a,
        Down::Resolved { task, .. } => *task == id(11),
        _ => false,
    };
    let told: Vec<&Down> = c.got(worker).iter().filter(about).collect();
    assert!(matches!(told[..], [Down::Deadlock { .. }, Down::Resolved { .. }]), "{told:?}");
}

#[test]
pub(crate) fn methods_that_may_overlap_do_not_wait_for_each_other() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    c.submit(client, id(1), host());
    c.up(id(1));
    c.submit(client, id(10), peek(at(1)));
    let (_, a) = c.running(id(10));
    c.submit(client, id(20), call(at(1)));
    c.submit_as(worker, id(11), peek(at(1)), Owner::Await, Some(a));
    let inner = c.starts(worker).into_iter().find(|s| s.attempt.task == id(11)).expect("sent");
    assert!(inner.more.is_some_and(|more| more.reenters), "it goes before what waits");
    c.suspend(id(10), &[id(11)], true);
    assert!(!c.got(worker).iter().any(|d| matches!(d, Down::Deadlock { .. })));
}

#[test]
pub(crate) fn one_for_all_starts_again_together_and_ends_together() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    let restart = Restart { at_most: 1, ..Restart::default() };
    let member = || hosted(Host { group: Some(7), restart: restart.clone(), ..Host::default() });
    c.submit(client, id(1), member());
    c.submit(client, id(2), member());
    let (_, first) = c.up(id(1));
    let (_, second) = c.up(id(2));
    c.end(id(1), raised("broken"));
    c.pass(Duration::from_secs(1));
    assert!(c.got(worker).contains(&Down::Fence(second)));
    assert!(c.running(id(1)).1.epoch > first.epoch && c.running(id(2)).1.epoch > second.epoch);
    assert_eq!((c.actor(id(1)).restarts, c.actor(id(2)).restarts), (1, 1));
    c.up(id(1));
    c.up(id(2));
    // Whichever it is the next time: the group has started again as often as it may.
    c.end(id(2), raised("broken"));
    c.settle();
    assert_eq!(c.failure(client, id(2)).kind, FailureKind::Raised);
    assert!(c.got(worker).iter().any(|d| matches!(d, Down::Cancel { attempt, .. } if attempt.task == id(1))));
}

#[test]
pub(crate) fn placement_looks_for_a_worker_that_fits() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let plain = c.actor_worker(2);
    let wanted = |strategy| Placement { labels: vec![("disk".into(), "ssd".into())], strategy, near: None };
    c.submit(client, id(1), hosted(Host { placement: wanted(Strategy::Spread), ..Host::default() }));
    assert!(c.starts(plain).is_empty());
    let Ok(Reply::Explained { why, .. }) = c.ask(Call::Explain(id(1))) else { panic!() };
    assert!(why[0].contains("disk=ssd"), "{why:?}");
    let fast = c.labelled_worker(3, offered(None), &[("disk", "ssd")]);
    c.grant(fast, 10);
    c.settle();
    assert_eq!(c.running(id(1)).0, fast);
    let other = c.labelled_worker(4, offered(None), &[("disk", "ssd")]);
    c.grant(other, 10);
    c.submit(client, id(2), hosted(Host { placement: wanted(Strategy::Pack), ..Host::default() }));
    assert_eq!(c.running(id(2)).0, fast);
    c.submit(client, id(3), hosted(Host { placement: wanted(Strategy::Spread), ..Host::default() }));
    assert_eq!(c.running(id(3)).0, other);
    let near = Placement { near: Some(id(3)), ..Placement::default() };
    c.submit(client, id(4), hosted(Host { placement: near, ..Host::default() }));
    assert_eq!(c.running(id(4)).0, other);
}

#[test]
pub(crate) fn a_reminder_calls_again_and_again_until_it_is_cancelled() {
    let mut c = Cluster::new();
    let on_demand = Host { on_demand: true, ..Host::default() };
    let (client, worker) = (c.client(1), c.demand_worker(2, Some(on_demand)));
    let remind = |every| {
        let reminder = Reminder {
            to: by_name("u42"),
            name: "bill".into(),
            first: Duration::from_secs(10),
            every,
            call: Arc::new(call(by_name("u42"))),
        };
        of(Part::Remind(reminder), KIND)
    };
    c.submit_as(client, id(1), remind(Some(Duration::from_secs(60))), Owner::Nobody, None);
    c.pass(Duration::from_secs(9));
    assert!(c.starts(worker).is_empty());
    c.pass(Duration::from_secs(2));
    assert_eq!(c.calls_at(worker).len(), 1);
    c.pass(Duration::from_secs(60));
    assert_eq!(c.calls_at(worker).len(), 2);
    // One of the same name takes its place.
    c.submit_as(client, id(2), remind(None), Owner::Nobody, None);
    assert!(matches!(c.outcome(client, id(1)), Outcome::Cancelled(_)));
    c.pass(Duration::from_secs(120));
    assert_eq!(c.calls_at(worker).len(), 3);
    assert!(matches!(c.outcome(client, id(2)), Outcome::Returned(_)));
}

#[test]
pub(crate) fn an_actor_ends_with_who_owns_it() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    c.submit(client, id(10), spec("f"));
    let (_, maker) = c.running(id(10));
    c.submit_as(worker, id(1), host(), Owner::Await, Some(maker));
    c.submit_as(worker, id(2), host(), Owner::Root, Some(maker));
    c.submit_as(worker, id(3), host(), Owner::Nobody, Some(maker));
    for n in 1..=3 {
        c.up(id(n));
    }
    let asked = |c: &Cluster, n| {
        c.got(worker).iter().any(|d| matches!(d, Down::Cancel { attempt, .. } if attempt.task == id(n)))
    };
    c.end(id(10), returned("ok"));
    c.settle();
    assert!(asked(&c, 1) && !asked(&c, 2) && !asked(&c, 3));
    c.send(client, Up::Bye);
    c.settle();
    assert!(asked(&c, 2) && !asked(&c, 3));
}

#[test]
pub(crate) fn a_call_that_may_not_wait_for_ever_is_told_that_its_actor_is_away() {
    let mut c = Cluster::new();
    let (client, _) = (c.client(1), c.client(9));
    c.submit(client, id(1), host());
    let mut patient = call(at(1));
    patient.options.policy_mut().schedule_to_start = Some(Duration::from_secs(5));
    c.submit(client, id(2), patient);
    c.pass(Duration::from_secs(6));
    let failure = c.failure(client, id(2));
    assert_eq!((failure.kind, failure.may_have_run), (FailureKind::ActorUnavailable, Some(false)));
}

#[test]
pub(crate) fn cancelling_a_call_that_waits_removes_it() {
    let mut c = Cluster::new();
    let client = c.client(1);
    c.submit(client, id(1), host());
    c.submit(client, id(2), call(at(1)));
    c.submit(client, id(3), call(at(1)));
    c.send(client, Up::Cancel { task: id(2), message: None });
    assert!(matches!(c.outcome(client, id(2)), Outcome::Cancelled(_)));
    let worker = c.actor_worker(2);
    c.settle();
    assert_eq!(c.calls_at(worker), [id(3)]);
}

// ---- restarts of the coordinator

#[test]
pub(crate) fn l1_an_actor_and_its_calls_survive_the_coordinator_in_order() {
    let mut c = Cluster::durable();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    c.sync();
    c.submit(client, id(1), hosted(named("a")));
    c.sync();
    let (_, incarnation) = c.up(id(1));
    for n in 2..=5 {
        c.submit(client, id(n), call(by_name("a")));
    }
    c.sync();
    c.send(worker, Up::Snapshot(Box::new(Snapshot { incarnation, state: Bytes::from_static(b"seven"), with: None })));
    c.sync();
    c.end(id(2), returned("ok"));
    c.sync();
    c.restart();
    c.connect(client, true);
    c.sync();
    assert_eq!(c.actor(id(1)).snapshot, 5, "L1: what it saved is there");
    c.submit(client, id(6), call(by_name("a")));
    c.sync();
    c.connect(worker, true);
    c.sync();
    c.settle();
    c.sync();
    assert_eq!(c.actor(id(1)).snapshot, 5, "L1: what it saved is there");
    assert_eq!(c.running(id(1)).1, incarnation, "it goes on");
    for n in 3..=6 {
        c.end(id(n), returned("ok"));
        c.sync();
        assert_eq!(c.outcome(client, id(n)), returned("ok"));
    }
    assert_eq!(c.calls_at(worker), [id(2), id(3), id(4), id(5), id(6)], "L12");
}

#[test]
pub(crate) fn l1_an_actor_whose_worker_does_not_come_back_starts_from_its_snapshot() {
    let mut c = Cluster::durable();
    let (client, worker) = (c.client(1), c.actor_worker(2));
    c.sync();
    c.submit(client, id(1), hosted(named("a")));
    c.sync();
    let (_, incarnation) = c.up(id(1));
    c.send(worker, Up::Snapshot(Box::new(Snapshot { incarnation, state: Bytes::from_static(b"seven"), with: None })));
    c.submit(client, id(2), call(by_name("a")));
    c.sync();
    c.restart();
    c.connect(client, true);
    c.sync();
    let second = c.actor_worker(3);
    c.sync();
    c.pass(Duration::from_secs(4));
    c.sync();
    let failure = c.failure(client, id(2));
    assert_eq!((failure.kind, failure.may_have_run), (FailureKind::ActorUnavailable, Some(true)));
    assert!(c.starts(second).is_empty(), "L11: the worker that has it may be cut off");
    c.pass(Duration::from_secs(8));
    c.sync();
    let (at, attempt) = c.running(id(1));
    assert_eq!(at, second);
    assert!(c.got(second).contains(&Down::Input { attempt, task: id(1), value: Bytes::from_static(b"seven") }));
}

#[test]
pub(crate) fn a_call_that_nobody_came_back_with_may_have_run_in_every_later_life() {
    for lives in 1..=2 {
        let mut c = Cluster::durable();
        let (client, _lost) = (c.client(1), c.actor_worker(2));
        c.sync();
        c.submit(client, id(1), hosted(named("a")));
        c.sync();
        c.up(id(1));
        let mut twice = call(by_name("a"));
        twice.options.max_crashes = 1;
        c.submit(client, id(2), twice);
        c.sync();
        c.running(id(2));
        for _ in 0..lives {
            c.restart();
            c.connect(client, true);
            c.sync();
            c.pass(Duration::from_secs(4));
            c.sync();
        }
        assert!(c.outcomes(client, id(2)).is_empty(), "it may run again");
        c.send(client, Up::Cancel { task: id(1), message: None });
        c.sync();
        c.settle();
        c.sync();
        let failure = c.failure(client, id(2));
        assert_eq!((failure.kind, failure.may_have_run), (FailureKind::ActorDied, Some(true)), "after {lives}");
    }
}

#[test]
pub(crate) fn a_reminder_survives_the_coordinator() {
    let mut c = Cluster::durable();
    let on_demand = Host { on_demand: true, ..Host::default() };
    let (client, worker) = (c.client(1), c.demand_worker(2, Some(on_demand)));
    c.sync();
    let reminder = Reminder {
        to: by_name("u42"),
        name: "bill".into(),
        first: Duration::from_secs(60),
        every: None,
        call: Arc::new(call(by_name("u42"))),
    };
    c.submit_as(client, id(1), of(Part::Remind(reminder), KIND), Owner::Nobody, None);
    c.sync();
    c.restart();
    c.connect(worker, true);
    c.sync();
    c.connect(client, true);
    c.sync();
    c.pass(Duration::from_secs(61));
    c.sync();
    c.settle();
    c.sync();
    assert_eq!(c.calls_at(worker).len(), 1);
}
