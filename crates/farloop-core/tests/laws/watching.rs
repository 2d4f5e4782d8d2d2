//! What the public API is told of actors: who watches one, and who asks for a type or a method that nobody has.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farloop_core::actor::{ActorDef, Address, Host, Part, Restart, Turns};
use farloop_core::api::{About, Call, CallError, Config, Input, Reply, TaskState, Told, Whom};
use farloop_core::frame::{Down, Role, Up};
use farloop_core::id::{CallId, SessionId, TaskId};
use farloop_core::limits;
use farloop_core::outcome::{Failure, FailureKind, Outcome};
use farloop_core::spec::{FunctionDef, Spec};

use crate::driver::*;

const KIND: &str = "shop.Cart";
const ADD: &str = "shop.Cart.add";

fn acting(part: Part, function: &str) -> Spec {
    let mut spec = Spec { actor: Some(Arc::new(part)), ..spec(function) };
    spec.options.max_crashes = 0;
    // As many arguments as `def` says that there are.
    spec.args = Bytes::from_static(&[0x90]);
    spec
}

fn host(name: Option<&str>) -> Spec {
    let host =
        Host { name: name.map(Into::into), restart: Restart { at_most: 1, ..Restart::default() }, ..Host::default() };
    acting(Part::Host(host), KIND)
}

fn call(to: TaskId, method: &str) -> Spec {
    acting(Part::Call { to: Address::Actor(to), waits: false }, method)
}

fn shop() -> Vec<FunctionDef> {
    let what = |name: &str, actor| FunctionDef { actor: Some(Arc::new(actor)), args: Vec::new(), ..def(name, 1) };
    vec![
        what(KIND, ActorDef::Type(Host::default())),
        what(ADD, ActorDef::Method(Turns::Alone)),
        what("shop.Cart.peek", ActorDef::Method(Turns::Shared)),
        def("f", 1),
    ]
}

impl Cluster {
    fn shop_worker(&mut self, n: u128) -> SessionId {
        let worker = self.join(n, Role::Worker, shop());
        self.grant(worker, 100);
        worker
    }

    fn submit_over_api(&mut self, task: TaskId, spec: Spec) -> Result<Reply, CallError> {
        self.ask(Call::Submit { task, spec: spec.into(), await_worker: false, request: None })
    }

    fn watch_actor(&mut self, actor: TaskId) -> CallId {
        self.open(Call::WatchActor(Whom::Id(actor)))
    }

    /// Messages so far, as short as they can be: incarnation, and where the actor stands.
    fn seen(&self, call: CallId) -> Vec<String> {
        let short = |told: &Told| match told {
            Told::Actor(view) => {
                let state = match view.task.state {
                    TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled => {
                        assert!(view.task.outcome.is_some(), "an end has an outcome");
                        format!("{:?}", view.task.state)
                    }
                    _ if view.stopping => "stopping".into(),
                    _ if view.asleep => "asleep".into(),
                    _ if view.up => "up".into(),
                    _ if view.worker.is_some() => "starting".into(),
                    _ => "nowhere".into(),
                };
                format!("{} {state}", view.incarnation)
            }
            Told::Lost(n) => format!("lost {n}"),
            other => format!("{other:?}"),
        };
        self.told.get(&call).into_iter().flatten().map(short).collect()
    }
}

#[test]
fn l15_who_watches_an_actor_is_told_of_each_incarnation_and_of_the_end() {
    let mut c = Cluster::new();
    let worker = c.shop_worker(2);
    c.submit_over_api(id(1), host(None)).expect("accepted");
    let call = c.watch_actor(id(1));
    assert_eq!(c.seen(call), ["1 starting"], "as it stands");
    c.suspend(id(1), &[], false);
    c.end(id(1), raised("it fell over"));
    c.pass(Duration::from_secs(1));
    c.suspend(id(1), &[], false);
    assert_eq!(c.seen(call)[1..], ["1 up", "1 nowhere", "2 starting", "2 up"]);
    c.submit_over_api(id(2), acting(Part::Stop(Address::Actor(id(1))), KIND)).expect("it is there");
    assert!(c.got(worker).iter().any(|down| matches!(down, Down::Stop(_))));
    c.end(id(1), returned("ok"));
    assert_eq!(c.seen(call)[5..], ["2 stopping", "2 Succeeded"]);
    assert!(c.over.contains(&call), "and that was all");
    assert_eq!(c.core.stats().watches, 0);
    // Who comes afterwards is told the end, and no more.
    let late = c.watch_actor(id(1));
    assert_eq!(c.seen(late), ["2 Succeeded"]);
    assert!(c.over.contains(&late));
}

#[test]
fn l18_a_reader_who_stopped_loses_the_oldest_changes_and_never_the_end() {
    let mut c = Cluster::with(Config { retained_tasks: 1, ..Config::default() });
    c.shop_worker(2);
    c.submit_over_api(id(1), host(None)).expect("accepted");
    let call = c.call(Call::WatchActor(Whom::Id(id(1))));
    c.slow.insert(call);
    c.suspend(id(1), &[], false);
    // What it does besides is no news.
    for n in 10..20 {
        c.submit_over_api(id(n), call_of(id(1))).expect("accepted");
        c.end(id(n), returned("ok"));
    }
    c.ask(Call::Cancel { task: id(1), message: None, request: None }).expect("counted");
    c.end(id(1), Outcome::Cancelled(Default::default()));
    // Its record is forgotten before the reader comes.
    for n in 30..40 {
        c.submit_over_api(id(n), spec("f")).expect("accepted");
        c.end(id(n), returned("ok"));
    }
    assert!(c.ask(Call::Actor(Whom::Id(id(1)))).is_err());
    c.read(call, 100);
    let seen = c.seen(call);
    assert_eq!(
        (seen.first().map(String::as_str), seen.last().map(String::as_str)),
        (Some("1 starting"), Some("1 Cancelled"))
    );
    assert!(seen.len() <= 4 && c.over.contains(&call), "{seen:?}");
}

fn call_of(actor: TaskId) -> Spec {
    call(actor, ADD)
}

#[test]
fn l18_so_many_watch_and_one_more_is_refused() {
    let mut c = Cluster::new();
    c.shop_worker(2);
    c.submit_over_api(id(1), host(None)).expect("accepted");
    let first = c.watch_actor(id(1));
    for _ in 1..limits::WATCHES {
        c.watch_actor(id(1));
    }
    let refused = c.ask(Call::WatchActor(Whom::Id(id(1)))).expect_err("too many");
    assert!(refused.message.contains("WATCHES"), "{refused}");
    c.input(Input::Hangup(first));
    c.watch_actor(id(1));
    let unknown = Whom::Name { kind: KIND.into(), name: "nobody".into() };
    c.input(Input::Hangup(CallId(first.0 + 1)));
    let unknown = c.ask(Call::WatchActor(unknown)).expect_err("nobody has the name");
    assert_eq!((unknown.kind, unknown.about), (FailureKind::NotFound, About::Actor));
    let no_actor = c.submit_over_api(id(7), spec("f")).and_then(|_| c.ask(Call::WatchActor(Whom::Id(id(7)))));
    assert!(no_actor.expect_err("a task").message.contains("is no actor"));
}

#[test]
fn a_lost_worker_is_seen_by_who_watches() {
    let mut c = Cluster::new();
    let first = c.shop_worker(2);
    c.submit_over_api(id(1), host(None)).expect("accepted");
    c.suspend(id(1), &[], false);
    let call = c.watch_actor(id(1));
    c.send(first, Up::Bye);
    assert_eq!(c.seen(call), ["1 up", "1 nowhere"]);
    c.shop_worker(3);
    c.pass(Duration::from_secs(1));
    assert_eq!(c.seen(call)[2..], ["2 starting"]);
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_may_be() {
    let mut c = Cluster::new();
    c.shop_worker(2);
    let mut refused = |spec: Spec| c.submit_over_api(id(9), spec).expect_err("refused");
    let kind = refused(acting(Part::Host(Host::default()), "shop.Crat"));
    assert_eq!((&kind.kind, kind.about), (&FailureKind::NotFound, About::Type));
    assert!(kind.message.ends_with("offered: shop.Cart; did you mean 'shop.Cart'?"), "{kind}");
    let function = refused(acting(Part::Host(Host::default()), "f"));
    assert!(function.message.contains("'f' is no type of actors"), "{function}");
    let named = Address::Name { name: "x".into(), make: None };
    let method = refused(acting(Part::Call { to: named, waits: false }, "shop.Cart.ad"));
    assert_eq!((&method.kind, method.about), (&FailureKind::NotFound, About::Method));
    assert!(method.message.ends_with("has no method 'ad'; it has: add, peek; did you mean 'add'?"), "{method}");
    let two = Spec { args: Bytes::from_static(&[0x92, 1, 2]), ..host(None) };
    let count = refused(two);
    assert_eq!(count.kind, FailureKind::BadArguments);
    assert!(count.message.contains("takes 0 arguments, (), and 2 were given"), "{count}");
    // What belongs to actors is no task.
    assert!(refused(spec(KIND)).message.contains("SpawnActor makes one"));
    assert!(refused(spec(ADD)).message.contains("CallActor calls it"));
}

#[test]
fn an_actor_whose_arguments_do_not_decode_is_not_made_again() {
    let mut c = Cluster::new();
    c.shop_worker(2);
    c.submit_over_api(id(1), host(None)).expect("accepted");
    let failure = Failure::new(FailureKind::BadArguments, KIND.into(), "no whole number".into());
    c.end(id(1), Outcome::Raised(failure.into()));
    assert_eq!(c.view(id(1)).state, TaskState::Failed);
}

#[test]
fn an_actor_whose_type_nobody_offers_now_is_called_and_stopped_all_the_same() {
    let mut c = Cluster::new();
    let worker = c.shop_worker(2);
    c.worker(3, &["f"], 9);
    c.submit_over_api(id(1), host(Some("x"))).expect("accepted");
    c.send(worker, Up::Bye);
    c.submit_over_api(id(2), call_of(id(1))).expect("it waits for its worker");
    c.submit_over_api(id(3), acting(Part::Stop(Address::Actor(id(1))), KIND)).expect("it is there");
    let taken = c.submit_over_api(id(4), Spec { ..host(Some("x")) }).expect_err("nobody offers the type");
    assert_eq!(taken.about, About::Type);
}
