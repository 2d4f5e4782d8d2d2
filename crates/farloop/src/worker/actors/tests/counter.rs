//! An actor written by hand, as the macro would write it, and what happened to it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use farloop_core::actor::{ActorDef, Host, Turns};

use crate::actor::{Stays, save, save_with_reply, spawn_with_actor};
use crate::definition::{
    ActorBody, ActorInfo, Body, BodyEnd, BodyError, Definition, Instance, LocalBoxFuture, MethodBody, MethodRun,
    Origin, Outlet,
};
use crate::invocation::Invocation;

thread_local! {
    /// What the code of all actors of this thread did.
    pub(super) static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Called by the method `within`, inside of its poll.
    pub(super) static WITHIN: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    static STAYS: RefCell<Option<Stays>> = const { RefCell::new(None) };
}

pub(super) fn log(text: impl Into<String>) {
    LOG.with_borrow_mut(|log| log.push(text.into()));
}

pub(super) fn take_log() -> Vec<String> {
    LOG.take()
}

pub(super) struct Counter {
    count: Cell<u64>,
}

impl Drop for Counter {
    fn drop(&mut self) {
        log(format!("dropped at {}", self.count.get()));
    }
}

type End = LocalBoxFuture<'static, BodyEnd>;

fn arg(invocation: &Invocation) -> u64 {
    crate::codec::decode::<(u64,)>(&invocation.args).unwrap().0
}

fn of(instance: Instance) -> Rc<Counter> {
    instance.downcast().unwrap()
}

fn encoded(value: u64) -> BodyEnd {
    Ok(crate::codec::encode(&value).unwrap())
}

/// 13: fails. 17: takes a second. 19: keeps a timer. Else begins there.
fn make(invocation: Invocation, origin: Origin) -> LocalBoxFuture<'static, Result<Instance, BodyError>> {
    Box::pin(async move {
        let from = arg(&invocation);
        match from {
            13 => return Err(BodyError::message("no luck")),
            17 => crate::sleep(Duration::from_secs(1)).await?,
            19 => tick().map(drop)?,
            _ => {}
        }
        let count = match &origin.snapshot {
            Some(state) => crate::codec::decode(state).unwrap(),
            None => from,
        };
        log(format!("made at {count}, again: {}", origin.again));
        Ok(Rc::new(Counter { count: Cell::new(count) }) as Instance)
    })
}

fn tick() -> crate::Result<Stays> {
    struct Gone;
    impl Drop for Gone {
        fn drop(&mut self) {
            log("timer dropped");
        }
    }
    spawn_with_actor("every", async {
        let _gone = Gone;
        loop {
            log("tick");
            if crate::sleep(Duration::from_secs(10)).await.is_err() {
                return;
            }
        }
    })
}

fn stop(instance: Instance) -> End {
    Box::pin(async move {
        log(format!("stopping at {}", of(instance).count.get()));
        crate::sleep(Duration::from_secs(1)).await?;
        log("stopped");
        encoded(99)
    })
}

fn keep(instance: &Instance) -> BodyEnd {
    encoded(of(instance.clone()).count.get())
}

/// Adds after that many seconds; logs when it begins and when it is dropped.
fn add(instance: Instance, invocation: Invocation) -> End {
    struct Ends(u64);
    impl Drop for Ends {
        fn drop(&mut self) {
            log(format!("add {} over", self.0));
        }
    }
    Box::pin(async move {
        let by = arg(&invocation);
        log(format!("add {by}"));
        let _ends = Ends(by);
        if by > 0 {
            crate::sleep(Duration::from_secs(by)).await?;
        }
        let counter = of(instance);
        counter.count.set(counter.count.get() + by);
        encoded(counter.count.get())
    })
}

fn boom(_: Instance, _: Invocation) -> End {
    Box::pin(async { panic!("boom") })
}

/// Saves, then saves another state with its reply, and fails if it is asked to.
fn keeps(instance: Instance, invocation: Invocation) -> End {
    Box::pin(async move {
        let counter = of(instance);
        save(&counter.count.get())?;
        counter.count.set(counter.count.get() + 1);
        save_with_reply(&counter.count.get())?;
        match arg(&invocation) {
            0 => encoded(counter.count.get()),
            1 => Err(BodyError::message("kept and failed")),
            _ => panic!("kept and panicked"),
        }
    })
}

/// Something happens while its poll goes on.
fn within(_: Instance, _: Invocation) -> End {
    Box::pin(async move {
        if let Some(f) = WITHIN.take() {
            f();
        }
        log(match save(&1_u64) {
            Ok(()) => "saved".to_owned(),
            Err(error) => format!("not saved: {error}"),
        });
        let reply = save_with_reply(&1_u64).is_ok();
        log(format!("with reply: {reply}"));
        encoded(0)
    })
}

/// 0 stops the timer, 1 starts it, 2 starts one that panics.
fn timer(_: Instance, invocation: Invocation) -> End {
    Box::pin(async move {
        match arg(&invocation) {
            0 => {
                if let Some(stays) = STAYS.take() {
                    stays.cancel();
                }
            }
            1 => STAYS.set(Some(tick()?)),
            _ => drop(spawn_with_actor("call_later", async { panic!("too late") })?),
        }
        encoded(0)
    })
}

fn count(_: Instance, invocation: Invocation, outlet: Outlet) -> End {
    Box::pin(async move {
        let out = crate::Yielder::<u64>::to(outlet);
        for n in 0..arg(&invocation) {
            out.send(n).await?;
        }
        encoded(0)
    })
}

macro_rules! definition {
    ($name:ident, $of:literal, $body:expr, $def:expr) => {
        pub(super) static $name: Definition = Definition {
            name: $of,
            fingerprint: 1,
            args: &[("n", "u64")],
            returns: "u64",
            concurrency: 0,
            location: ("counter.rs", 1),
            body: Some($body),
            actor: Some(ActorInfo { def: || $def, family: || FAMILY }),
        };
    };
}

macro_rules! method {
    ($name:ident, $of:literal, $turns:ident, $run:expr) => {
        definition!(
            $name,
            $of,
            Body::Method(MethodBody { turns: Turns::$turns, run: $run }),
            ActorDef::Method(Turns::$turns)
        );
    };
}

definition!(
    COUNTER,
    "t.Counter",
    Body::Actor(ActorBody { make, stop, save: Some(keep) }),
    ActorDef::Type(Host::default())
);
method!(ADD, "t.Counter.add", Alone, MethodRun::Value(add));
method!(SHARED, "t.Counter.shared", Shared, MethodRun::Value(add));
method!(MIXED, "t.Counter.mixed", Interleaved, MethodRun::Value(add));
method!(BOOM, "t.Counter.boom", Shared, MethodRun::Value(boom));
method!(KEEPS, "t.Counter.keeps", Alone, MethodRun::Value(keeps));
method!(WITHIN_POLL, "t.Counter.within", Alone, MethodRun::Value(within));
method!(TIMER, "t.Counter.timer", Alone, MethodRun::Value(timer));
method!(COUNT, "t.Counter.count", Alone, MethodRun::Stream(count));

pub(super) static FAMILY: &[&Definition] =
    &[&COUNTER, &ADD, &SHARED, &MIXED, &BOOM, &KEEPS, &WITHIN_POLL, &TIMER, &COUNT];
