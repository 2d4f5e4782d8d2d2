//! What is sent for what a program says, without a cluster; and actors as the ordinary structs that they are.

use std::sync::Arc;
use std::time::Duration;

use farloop_core::actor::{ActorDef, Address, Host, Part, RestartWhen, Strategy, Turns};
use farloop_core::frame::{Owner, Role, Submit, Up};
use farloop_core::id::TaskId;
use farloop_core::link::Item;
use futures_core::Stream;
use serde::{Deserialize, Serialize};

use super::*;
use crate::ambient;
use crate::definition::{ActorType, Body, Definition};
use crate::error::Error;
use crate::event_loop::LoopShared;
use crate::session::SessionShared;
use crate::stream::Yielder;

#[derive(Debug, Serialize, Deserialize)]
struct Counter {
    count: i64,
}

#[derive(Debug, thiserror::Error)]
#[error("{0} is below zero")]
struct Negative(i64);

#[farloop::actor(
    name = "shop.Counter",
    mailbox = 100,
    per_caller = 10,
    snapshot,
    restart = "always",
    max_restarts = 5,
    restart_window = "30s",
    backoff = "200ms",
    labels = "disk=ssd, zone=a",
    placement = "pack"
)]
impl Counter {
    const STEP: i64 = 1;

    pub async fn new(start: i64) -> Result<Self, Negative> {
        if start < 0 { Err(Negative(start)) } else { Ok(Self { count: start }) }
    }

    /// Adds.
    pub async fn add(&mut self, by: i64) -> i64 {
        self.bump(by)
    }

    #[farloop(timeout = "5s", priority = 2)]
    pub fn get(&self) -> i64 {
        self.count
    }

    #[farloop(interleave)]
    pub async fn swap(this: &Interleaved<Self>, value: i64) -> Result<i64, Error> {
        Ok(this.with(|counter| std::mem::replace(&mut counter.count, value)))
    }

    pub fn down(&self) -> impl Stream<Item = i64> {
        futures_util::stream::iter((0..self.count).rev())
    }

    pub async fn up(&mut self, to: i64, out: Yielder<i64>) -> Result<(), Error> {
        while self.count < to {
            out.send(self.bump(Self::STEP)).await?;
        }
        Ok(())
    }

    pub async fn other(&self, other: CounterRef, own: Vec<CounterRef>) -> CounterRef {
        own.into_iter().next().unwrap_or(other)
    }

    async fn on_start(&mut self) -> Result<(), Error> {
        self.count += 1;
        Ok(())
    }

    fn on_stop(&mut self) {}

    fn bump(&mut self, by: i64) -> i64 {
        self.count += by;
        self.count
    }

    #[farloop(skip)]
    pub fn local(&self) -> &i64 {
        &self.count
    }
}

/// Nothing in it is `pub`: all of it can be called.
struct Session {
    user: String,
}

#[farloop::actor(on_demand, idle = "5m")]
impl Session {
    fn new(name: String) -> Self {
        Self { user: name }
    }
    async fn user(&self) -> String {
        self.user.clone()
    }
}

fn definition(name: &str) -> &'static Definition {
    let family = Counter::DEFINITION.actor.map(|actor| (actor.family)()).unwrap_or_default();
    family.iter().find(|definition| definition.name == name).copied().unwrap()
}

/// What is submitted while `f` runs on a loop of its own.
fn submitted<R>(f: impl FnOnce() -> R) -> (R, Vec<Submit>) {
    let session = SessionShared::new(Role::Client, "test".into());
    let home = LoopShared::new(session.clone(), None);
    let result = ambient::on(&home, f);
    let frames = session.poll_batch(true).map(|batch| batch.items).unwrap_or_default();
    let submits = frames.into_iter().filter_map(|item| match item {
        Item::Frame(Up::Submit(submit)) => Some(submit),
        _ => None,
    });
    (result, submits.collect())
}

fn host(submit: &Submit) -> &Host {
    match submit.spec.actor.as_deref() {
        Some(Part::Host(host)) => host,
        other => panic!("no host: {other:?}"),
    }
}

#[tokio::test]
async fn an_actor_is_tested_as_the_struct_that_it_is() {
    let mut counter = Counter::new(1).await.unwrap();
    assert_eq!((counter.add(2).await, counter.get(), *counter.local()), (3, 3, 3));
    let out = Yielder::keeping();
    counter.up(5, out.clone()).await.unwrap();
    assert_eq!(out.sent().unwrap(), [4, 5]);
    assert!(Counter::new(-1).await.is_err());
    let state = Interleaved::new(counter);
    assert_eq!(Counter::swap(&state, 9).await.unwrap(), 5);
    assert_eq!(state.clone().with(|counter| counter.count), 9);
}

#[test]
fn what_a_type_says_is_in_its_definition() {
    let Some(ActorDef::Type(host)) = Counter::DEFINITION.actor.map(|actor| (actor.def)()) else { panic!("no type") };
    assert_eq!((host.mailbox, host.per_caller, host.on_demand, host.idle), (100, 10, false, None));
    assert_eq!(host.placement.labels, [("disk".to_owned(), "ssd".to_owned()), ("zone".to_owned(), "a".to_owned())]);
    assert_eq!(host.placement.strategy, Strategy::Pack);
    assert_eq!((host.restart.when, host.restart.at_most), (RestartWhen::Always, 5));
    assert_eq!(host.restart.within, Duration::from_secs(30));
    assert_eq!(host.restart.backoff.initial, Duration::from_millis(200));
    let Some(ActorDef::Type(on_demand)) = Session::DEFINITION.actor.map(|actor| (actor.def)()) else {
        panic!("no type")
    };
    assert_eq!((on_demand.on_demand, on_demand.idle), (true, Some(Duration::from_secs(300))));
    assert_eq!(Session::DEFINITION.name, "farloop.Session");

    let family = Counter::DEFINITION.actor.map(|actor| (actor.family)()).unwrap();
    let names: Vec<&str> = family.iter().map(|definition| definition.name).collect();
    let methods = ["add", "get", "swap", "down", "up", "other"].map(|name| format!("shop.Counter.{name}"));
    assert_eq!(names[0], "shop.Counter");
    assert_eq!(names[1..], methods);
    let turns = |name: &str| match definition(name).body {
        Some(Body::Method(method)) => method.turns,
        other => panic!("no method: {other:?}"),
    };
    assert_eq!(turns("shop.Counter.add"), Turns::Alone);
    assert_eq!(turns("shop.Counter.get"), Turns::Shared);
    assert_eq!(turns("shop.Counter.swap"), Turns::Interleaved);
    assert_eq!(definition("shop.Counter.add").signature(), "shop.Counter.add(by: i64) -> i64");
    assert_eq!(definition("shop.Counter.up").signature(), "shop.Counter.up(to: i64) -> impl Stream<Item = i64>");
    assert_eq!(Counter::DEFINITION.signature(), "shop.Counter(start: i64) -> Counter");
}

#[test]
fn options_of_an_actor_land_in_its_spec() {
    let near = CounterRef::from(Handle::new(Counter::DEFINITION, Address::Actor(TaskId(9)), None));
    let (started, submits) = submitted(|| {
        Counter::spawn(3)
            .name("hits")
            .detached()
            .mailbox(0)
            .per_caller(2)
            .restart(Restart::never().within(Duration::from_secs(1)))
            .label("gpu", "yes")
            .spread()
            .near(&near)
            .options(|task| task.priority(7))
            .start()
    });
    let [submit] = submits.as_slice() else { panic!("{submits:?}") };
    let host = host(submit);
    assert_eq!(&*submit.spec.function, "shop.Counter");
    assert_eq!(crate::codec::decode::<(i64,)>(&submit.spec.args).unwrap(), (3,));
    assert_eq!((submit.owner, submit.spec.options.priority), (Owner::Nobody, Some(7)));
    assert_eq!((host.name.as_deref(), host.mailbox, host.per_caller, host.detached), (Some("hits"), 1, 2, true));
    assert_eq!((host.restart.when, host.restart.within), (RestartWhen::Never, Duration::from_secs(1)));
    assert_eq!(host.placement.labels.len(), 3);
    assert_eq!((host.placement.strategy, host.placement.near), (Strategy::Spread, Some(TaskId(9))));
    let started = started.unwrap();
    assert_eq!((started.id(), started.name()), (Some(submit.task), Some("hits")));
    assert_eq!(format!("{started:?}"), "<actor shop.Counter 'hits'>");

    let (_, submits) = submitted(|| Counter::spawn(3).owned().start());
    assert_eq!(submits[0].owner, Owner::Await);
    let (_, submits) = submitted(|| Counter::spawn(3).start());
    assert_eq!(submits[0].owner, Owner::Root);
    // Spawned by hand, an actor does not fall asleep.
    let (_, submits) = submitted(|| Session::spawn("ada").name("ada").start());
    assert_eq!((self::host(&submits[0]).on_demand, self::host(&submits[0]).idle), (false, None));
}

#[test]
fn get_or_spawn_asks_by_name_and_says_how_to_make_it() {
    let (task, submits) = submitted(|| crate::ensure_future(Counter::spawn(3).name("hits").get_or_spawn()));
    let [submit] = submits.as_slice() else { panic!("{submits:?}") };
    let Some(Part::Find { of: Address::Name { name, make: Some(make) }, up: true }) = submit.spec.actor.as_deref()
    else {
        panic!("{submit:?}")
    };
    assert_eq!((&**name, &*submit.spec.function, submit.owner), ("hits", "shop.Counter", Owner::Await));
    assert!(matches!(make.actor.as_deref(), Some(Part::Host(host)) if host.name.as_deref() == Some("hits")));
    assert_eq!(crate::codec::decode::<(i64,)>(&make.args).unwrap(), (3,));
    assert!(!task.done());

    let text = |result: crate::Result<CounterRef>| result.unwrap_err().to_string();
    let (nameless, _) = submitted(|| Counter::spawn(3).get_or_spawn().start());
    assert!(text(nameless).contains("give one with name(..)"));
    let (owned, _) = submitted(|| Counter::spawn(3).name("x").owned().get_or_spawn().start());
    assert!(text(owned).contains("somebody else's"));
    let (near, _) = submitted(|| Session::spawn("x").near(&Session::at("y")).start());
    assert!(near.unwrap_err().to_string().contains("give what `lookup` has found"));
    let nowhere = Counter::spawn(3).start();
    assert!(matches!(nowhere, Err(Error::NoRunningLoop(_))), "{nowhere:?}");
}

#[test]
fn a_spawn_that_is_awaited_asks_whether_it_is_up() {
    let (task, submits) = submitted(|| crate::ensure_future(Counter::spawn(3)));
    let [made, asked] = submits.as_slice() else { panic!("{submits:?}") };
    assert!(
        matches!(asked.spec.actor.as_deref(), Some(Part::Find { of: Address::Actor(id), up: true }) if *id == made.task)
    );
    assert_eq!((made.owner, asked.owner), (Owner::Root, Owner::Await));
    drop(task);
}

#[test]
fn calls_say_whom_and_run_at_most_once() {
    let counter = CounterRef::from(Handle::new(Counter::DEFINITION, Address::Actor(TaskId(5)), None));
    let (_, submits) = submitted(|| {
        drop(crate::ensure_future(counter.add(1)));
        drop(crate::ensure_future(Session::at("ada").user().waits().max_crashes(2)));
        counter.get().tell().unwrap();
        drop(counter.down().start());
        drop(crate::ensure_future(counter.other(&counter, vec![counter.clone()])));
        drop(crate::ensure_future(counter.stop()));
        drop(crate::ensure_future(Counter::lookup("hits")));
    });
    let to = |at: usize| match submits[at].spec.actor.as_deref() {
        Some(Part::Call { to, waits }) => (to.clone(), *waits),
        other => panic!("{other:?}"),
    };
    assert_eq!(to(0), (Address::Actor(TaskId(5)), false));
    assert_eq!((&*submits[0].spec.function, submits[0].spec.options.max_crashes), ("shop.Counter.add", 0));
    let (Address::Name { name, make: Some(make) }, true) = to(1) else { panic!("{:?}", to(1)) };
    assert_eq!((&*name, &*make.function), ("ada", "farloop.Session"));
    assert!(matches!(make.actor.as_deref(), Some(Part::Host(host)) if host.on_demand && host.detached));
    assert_eq!(submits[1].spec.options.max_crashes, 2);
    assert_eq!((to(2).1, submits[2].owner), (false, Owner::Nobody));
    assert_eq!(submits[2].spec.options.timeout, Some(Duration::from_secs(5)));
    assert_eq!(submits[2].spec.options.priority, Some(2));
    assert!(submits[3].spec.stream);
    let sent: (CounterRef, Vec<CounterRef>) = crate::codec::decode(&submits[4].spec.args).unwrap();
    assert_eq!(sent, (counter.clone(), vec![counter.clone()]));
    assert!(matches!(submits[5].spec.actor.as_deref(), Some(Part::Stop(Address::Actor(TaskId(5))))));
    let find = Part::Find { of: Address::Name { name: "hits".into(), make: None }, up: false };
    assert_eq!(submits[6].spec.actor, Some(Arc::new(find)));
    assert!(matches!(counter.add(1).tell(), Err(Error::NoRunningLoop(_))));
}

#[test]
fn references_travel_and_say_what_they_are() {
    let by_id = CounterRef::from(Handle::new(Counter::DEFINITION, Address::Actor(TaskId(5)), Some("hits".into())));
    let by_name = Session::at("ada");
    let again: CounterRef = crate::codec::decode(&crate::codec::encode(&by_id).unwrap()).unwrap();
    assert_eq!((again.clone(), again.name()), (by_id.clone(), Some("hits")));
    let json = serde_json::to_value(&by_id).unwrap();
    assert_eq!(json, serde_json::json!({"actor": "shop.Counter", "id": TaskId(5).to_string(), "name": "hits"}));
    assert_eq!(serde_json::from_value::<CounterRef>(json.clone()).unwrap(), by_id);
    let json = serde_json::json!({"actor": "farloop.Session", "name": "ada"});
    assert_eq!(serde_json::to_value(&by_name).unwrap(), json);
    assert_eq!(serde_json::from_value::<SessionRef>(json.clone()).unwrap(), by_name);
    let wrong = serde_json::from_value::<CounterRef>(json).unwrap_err().to_string();
    assert!(wrong.contains("of type farloop.Session, where one of type shop.Counter belongs"), "{wrong}");
    // The coordinator's answer to a question for the id.
    let mut found = vec![0xc4, 16];
    found.extend_from_slice(&5u128.to_be_bytes());
    assert_eq!(crate::codec::decode::<CounterRef>(&found).unwrap(), by_id);
    assert_ne!(Session::at("ada"), Session::at("bob"));
}

#[test]
fn a_reminder_has_the_call_inside() {
    let every = Duration::from_secs(60);
    let (reminder, submits) =
        submitted(|| Session::at("ada").user().remind("tick", Duration::from_secs(1)).every(every).start());
    reminder.unwrap();
    let Some(Part::Remind(reminder)) = submits[0].spec.actor.as_deref() else { panic!("{submits:?}") };
    assert_eq!((&*submits[0].spec.function, submits[0].owner), ("farloop.Session", Owner::Nobody));
    assert_eq!((&*reminder.name, reminder.first, reminder.every), ("tick", Duration::from_secs(1), Some(every)));
    assert!(matches!(&reminder.to, Address::Name { name, .. } if &**name == "ada"));
    assert_eq!(&*reminder.call.function, "farloop.Session.user");
    assert!(matches!(reminder.call.actor.as_deref(), Some(Part::Call { .. })));
    let (wrong, _) = submitted(|| crate::call("demo.f").returns::<()>().remind("x", every).start());
    assert!(wrong.unwrap_err().to_string().contains("only a call of an actor"));
}

#[tokio::test]
async fn a_worker_makes_saves_restores_and_ends_the_state() {
    use crate::definition::Origin;
    use crate::invocation::Invocation;
    let Some(Body::Actor(body)) = Counter::DEFINITION.body else { panic!("no body") };
    let invocation = |function: &str, args: bytes::Bytes| Invocation {
        function: function.into(),
        args,
        inputs: Vec::new(),
        state: Arc::default(),
    };
    let args = |n: i64| crate::codec::encode(&(n,)).unwrap();
    let made = (body.make)(invocation("shop.Counter", args(1)), Origin::default()).await.unwrap();
    let Some(Body::Method(add)) = definition("shop.Counter.add").body else { panic!("no method") };
    let crate::definition::MethodRun::Value(run) = add.run else { panic!("a stream") };
    let end = run(made.clone(), invocation("shop.Counter.add", args(5))).await.unwrap();
    assert_eq!(crate::codec::decode::<i64>(&end).unwrap(), 7, "1, and one of on_start, and 5");
    let saved = body.save.unwrap()(&made).unwrap();
    let origin = Origin { snapshot: Some(saved), again: true };
    let again = (body.make)(invocation("shop.Counter", args(1)), origin).await.unwrap();
    assert_eq!(Held::<Counter>::of(again.clone()).shared().count, 8, "without on_restart each start is a start");
    (body.stop)(again).await.unwrap();
    assert!((body.make)(invocation("shop.Counter", args(-1)), Origin::default()).await.is_err());
    let origin = Origin { snapshot: Some(crate::codec::encode("?").unwrap()), again: true };
    assert!((body.make)(invocation("shop.Counter", args(1)), origin).await.is_err());
    let wrong = run(made, invocation("shop.Counter.add", crate::codec::encode(&("x",)).unwrap())).await;
    assert!(wrong.is_err());
}
