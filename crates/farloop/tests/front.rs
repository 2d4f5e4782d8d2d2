//! What stands in front of the cluster: the generated functions, their arguments, their ends, and their errors.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use farloop::definition::{Body, BodyEnd, Registry, TaskFn};
use farloop::invocation::{Input, Invocation};
use farloop::state::StateMap;

/// Drives a future that never waits.
fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

fn run_with<F: TaskFn>(args: Bytes, inputs: Vec<Input>, state: StateMap) -> BodyEnd {
    let invocation = Invocation { function: F::DEFINITION.name.into(), args, inputs, state: Arc::new(state) };
    match F::DEFINITION.body.expect("a body") {
        Body::Async(run) => now(run(invocation)),
        Body::Blocking(run) => run(invocation),
        Body::Stream(_) => panic!("a stream has no one end"),
        Body::Actor(_) | Body::Method(_) => panic!("an actor's code runs at a worker"),
    }
}

/// No arguments.
const NONE: [i64; 0] = [];

fn encode(value: &impl serde::Serialize) -> Bytes {
    farloop::codec::encode(value).unwrap()
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> T {
    farloop::codec::decode(bytes).unwrap()
}

fn refused<F: TaskFn>(args: impl serde::Serialize) -> String {
    run::<F>(args).unwrap_err().to_string()
}

fn run<F: TaskFn>(args: impl serde::Serialize) -> BodyEnd {
    run_with::<F>(encode(&args), Vec::new(), StateMap::default())
}

fn value<F: TaskFn<Output: serde::de::DeserializeOwned>>(args: impl serde::Serialize) -> F::Output {
    decode(&run::<F>(args).unwrap())
}

#[allow(unreachable_pub, missing_docs, reason = "tasks are written here as they are in a library")]
mod tasks {
    use serde::{Deserialize, Serialize};

    #[derive(Debug)]
    pub struct Db(pub i64);

    /// Adds.
    #[farloop::task]
    pub async fn add(a: i64, b: i64) -> i64 {
        a + b
    }

    #[farloop::task(name = "demo.shout", attempts = 3, timeout = "1m30s", max_crashes = 0, priority = -2, cancel_grace = "none")]
    pub async fn shout(text: String) -> farloop::Result<String> {
        if text.is_empty() {
            return Err("nothing to shout".into());
        }
        Ok(text.to_uppercase())
    }

    #[farloop::task]
    pub async fn with_state(a: i64, #[state] db: &Db, b: i64) -> i64 {
        std::future::ready(()).await;
        a + b + db.0
    }

    #[farloop::task]
    pub fn blocking(#[state] db: &Db, mut a: i64) -> Result<i64, std::num::ParseIntError> {
        a += "40".parse::<i64>()?;
        Ok(a + db.0)
    }

    #[farloop::task]
    pub async fn nothing() {}

    #[farloop::task]
    pub async fn not_send(n: i64) -> i64 {
        let shared = std::rc::Rc::new(n);
        std::future::ready(()).await;
        *shared
    }

    #[farloop::task]
    pub async fn elsewhere(r#type: Vec<i64>, by: Option<f64>) -> farloop::Result<Vec<(String, i64)>>;

    #[farloop::task]
    pub async fn text() -> std::fmt::Result {
        Err(std::fmt::Error)
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub struct TooBig {
        pub limit: u32,
    }
    impl std::fmt::Display for TooBig {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "bigger than {}", self.limit)
        }
    }
    impl std::error::Error for TooBig {}

    #[farloop::task]
    pub async fn typed() -> Result<i64, TooBig> {
        Err(TooBig { limit: 7 })
    }

    #[farloop::task]
    pub async fn typed_within() -> farloop::Result<i64> {
        Err(farloop::Error::typed(TooBig { limit: 8 }))
    }

    #[farloop::task]
    pub async fn boxed_here() -> Result<i64, Box<dyn std::error::Error>> {
        Err(TooBig { limit: 9 })?
    }

    #[farloop::task]
    pub async fn by_anyhow() -> anyhow::Result<i64> {
        use anyhow::Context;
        Err(TooBig { limit: 10 }).context("while packing")
    }

    #[farloop::task]
    pub async fn sum(xs: Vec<i64>) -> i64 {
        xs.iter().sum()
    }
}
use tasks::*;

#[test]
fn local_is_the_body() {
    assert_eq!(now(add::local(2, 3)), 5);
    assert_eq!(blocking::local(&Db(1), 1), Ok(41 + 1));
}

#[test]
fn bodies_run_on_what_was_encoded() {
    assert_eq!(value::<add>((2, 3)), 5);
    assert_eq!(value::<shout>(("a",)), "A");
    assert_eq!(value::<not_send>((7,)), 7);
    value::<nothing>(NONE);
    // Named fields and positions alike: a caller may send a list of values as it has them.
    assert_eq!(value::<sum>((vec![1u8, 2, 3],)), 6);
}

#[test]
fn state_comes_from_the_worker_in_any_position() {
    let with = |db| {
        let mut state = StateMap::default();
        state.insert(Db(db));
        state
    };
    let end = run_with::<with_state>(encode(&(1, 2)), Vec::new(), with(100));
    assert_eq!(decode::<i64>(&end.unwrap()), 103);
    let end = run_with::<blocking>(encode(&(1,)), Vec::new(), with(1));
    assert_eq!(decode::<i64>(&end.unwrap()), 42);
    assert_eq!(
        refused::<with_state>((1, 2)),
        "farloop.with_state failed: function farloop.with_state wants the state front::tasks::Db, \
         and this worker has nothing: hand it in with Worker::with(..)"
    );
}

#[test]
fn results_of_tasks_stand_in_at_their_positions() {
    let input = |position, list, values: &[i64]| Input { position, list, values: values.iter().map(encode).collect() };
    let end = run_with::<add>(encode(&((), 3)), vec![input(0, false, &[4])], StateMap::default());
    assert_eq!(decode::<i64>(&end.unwrap()), 7);
    for n in [0, 1, 15, 16, 70_000] {
        let values: Vec<i64> = (0..n).collect();
        let end = run_with::<sum>(encode(&((),)), vec![input(0, true, &values)], StateMap::default());
        assert_eq!(decode::<i64>(&end.unwrap()), values.iter().sum::<i64>(), "{n} members");
    }
    let text = Input { position: 1, list: false, values: vec![encode(&"x")] };
    let end = run_with::<add>(encode(&(1, ())), vec![text], StateMap::default());
    assert_eq!(
        end.unwrap_err().to_string(),
        "function farloop.add, argument 2 (b: i64), the result of another task: expected i64, found the text \"x\""
    );
}

#[test]
fn wrong_arguments_name_function_argument_position_and_types() {
    assert_eq!(refused::<add>((1, 2, 3)), "function farloop.add takes 2 arguments (a: i64, b: i64), 3 were given");
    assert_eq!(refused::<sum>(NONE), "function farloop.sum takes 1 argument (xs: Vec<i64>), 0 were given");
    assert_eq!(refused::<nothing>((1,)), "function farloop.nothing takes 0 arguments (), 1 was given");
    assert_eq!(
        refused::<add>((1, "three")),
        "function farloop.add, argument 2 (b: i64): expected i64, found the text \"three\""
    );
    assert!(refused::<add>((1, ())).starts_with("function farloop.add, argument 2 (b: i64): expected i64, found nil"));
    assert!(
        refused::<add>((1.5, 1))
            .starts_with("function farloop.add, argument 1 (a: i64): expected i64, found the number 1.5")
    );
    assert_eq!(refused::<add>(7), "function farloop.add: the arguments are not one MessagePack array");
}

#[test]
fn definitions_say_what_was_written() {
    let d = add::DEFINITION;
    assert_eq!((d.name, d.args, d.returns), ("farloop.add", &[("a", "i64"), ("b", "i64")][..], "i64"));
    assert!(d.location.0.ends_with("front.rs") && d.location.1 > 0);
    assert_eq!(shout::DEFINITION.signature(), "demo.shout(text: String) -> String");
    let elsewhere = elsewhere::DEFINITION;
    assert_eq!(elsewhere.signature(), "farloop.elsewhere(type: Vec<i64>, by: Option<f64>) -> Vec<(String, i64)>");
    assert!(elsewhere.body.is_none());
    assert!(matches!(blocking::DEFINITION.body, Some(Body::Blocking(_))));
    assert_eq!(text::DEFINITION.returns, "()");
    // State is the worker's own matter.
    assert_eq!(with_state::DEFINITION.args, [("a", "i64"), ("b", "i64")]);
}

#[test]
fn a_clients_definition_matches_the_workers() {
    mod client {
        #[farloop::task(name = "demo.shout")]
        pub(super) async fn shout(t: String) -> String;
        #[farloop::task(name = "demo.shout")]
        pub(super) async fn other(t: String) -> Vec<u8>;
    }
    assert_eq!(client::shout::DEFINITION.fingerprint, shout::DEFINITION.fingerprint, "argument names may differ");
    assert_ne!(client::other::DEFINITION.fingerprint, shout::DEFINITION.fingerprint);
}

#[test]
fn a_registry_names_both_places() {
    mod again {
        #[farloop::task(name = "farloop.add")]
        pub(super) async fn plus(a: i64) -> i64 {
            a
        }
    }
    let mut registry = Registry::default();
    registry.insert(add::DEFINITION).unwrap();
    registry.insert(add::DEFINITION).unwrap();
    registry.insert(shout::DEFINITION).unwrap();
    assert_eq!(registry.function_defs().iter().map(|f| &*f.name).collect::<Vec<_>>(), ["demo.shout", "farloop.add"]);
    let text = registry.insert(again::plus::DEFINITION).unwrap_err().to_string();
    let places = text.matches("front.rs:").count();
    assert!(text.contains("farloop.add") && places == 2, "{text}");
    let text = registry.insert(elsewhere::DEFINITION).unwrap_err().to_string();
    assert!(text.contains("farloop.elsewhere") && text.contains("no body"), "{text}");
}

#[test]
fn errors_of_bodies_say_what_they_are() {
    assert_eq!(refused::<shout>(("",)), "nothing to shout");
    assert_eq!(refused::<typed>(NONE), "bigger than 7");
    assert_eq!(refused::<typed_within>(NONE), "bigger than 8");
    assert_eq!(refused::<boxed_here>(NONE), "bigger than 9");
    assert_eq!(refused::<by_anyhow>(NONE), "while packing");
    assert_eq!(refused::<text>(NONE), std::fmt::Error.to_string());
}

#[test]
fn tasks_can_be_written_inside_a_function() {
    #[farloop::task]
    async fn inner(a: i64) -> farloop::Result<i64> {
        Ok(a + 1)
    }
    assert_eq!(value::<inner>((1,)), 2);
    let coro = inner(1);
    assert_eq!(coro.function(), "farloop.inner");
    coro.close();
}

#[test]
fn arguments_may_be_what_stands_for_them() {
    let owned = String::from("b");
    for coro in [shout("a"), shout(&owned), shout(owned.clone()), shout(&*owned)] {
        coro.close();
    }
    add(1, "2".parse::<i64>().unwrap()).close();
    elsewhere(vec![], None).close();
    for coro in [1, 2].map(|n| add(n, n)) {
        coro.close();
    }
    for coro in ["a", "b"].map(shout) {
        coro.close();
    }
}

#[test]
fn the_name_of_a_coroutine_knows_its_place() {
    let coro = add(1, 2);
    assert_eq!(coro.location().line(), line!() - 1);
    coro.close();
}
