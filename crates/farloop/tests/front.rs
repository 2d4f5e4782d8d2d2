//! What stands in front of the cluster: the generated functions, their arguments, their ends, and their errors.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use farloop::definition::{Body, BodyEnd, TaskFn};
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
    }
}

fn run<F: TaskFn>(args: impl serde::Serialize) -> BodyEnd {
    run_with::<F>(farloop::codec::encode(&args).unwrap(), Vec::new(), StateMap::default())
}

fn value<F: TaskFn<Output: serde::de::DeserializeOwned>>(args: impl serde::Serialize) -> F::Output {
    farloop::codec::decode(&run::<F>(args).unwrap()).unwrap()
}

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
        tokio::task::yield_now().await;
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
    assert_eq!(blocking::local(&Db(1), 1).unwrap(), 42);
}

#[test]
fn bodies_run_on_what_was_encoded() {
    assert_eq!(value::<add>((2, 3)), 5);
    assert_eq!(value::<shout>(("a",)), "A");
    assert_eq!(value::<not_send>((7,)), 7);
    value::<nothing>(());
}

#[test]
fn definitions_say_what_was_written() {
    let d = add::DEFINITION;
    assert_eq!(d.name, "farloop.add");
    assert_eq!(d.args, [("a", "i64"), ("b", "i64")]);
    assert!(d.location.0.ends_with("front.rs"));
    assert_eq!(elsewhere::DEFINITION.signature(), "farloop.elsewhere(type: Vec<i64>, by: Option<f64>) -> Vec<(String, i64)>");
    assert!(elsewhere::DEFINITION.body.is_none());
    assert_eq!(with_state::DEFINITION.args, [("a", "i64"), ("b", "i64")]);
    assert_ne!(add::DEFINITION.fingerprint, with_state::DEFINITION.fingerprint);
}

#[test]
fn debug_print() {
    let bad = [
        run::<add>((1, 2, 3)).unwrap_err().to_string(),
        run::<add>((1, "three")).unwrap_err().to_string(),
        run::<add>((1, ())).unwrap_err().to_string(),
        run::<add>((1, 2.5)).unwrap_err().to_string(),
        run::<add>(7).unwrap_err().to_string(),
        run::<sum>((vec!["x"],)).unwrap_err().to_string(),
        run::<with_state>((1, 2)).unwrap_err().to_string(),
        run::<typed>(()).unwrap_err().to_string(),
        run::<shout>(("",)).unwrap_err().to_string(),
        run::<by_anyhow>(()).unwrap_err().to_string(),
        run::<boxed_here>(()).unwrap_err().to_string(),
        run::<text>(()).unwrap_err().to_string(),
    ];
    for b in bad { println!("{b}"); }
    let mut s = StateMap::default(); s.insert(Db(100));
    let _ = s;
    let c = add(1, 2); println!("{c:?}"); c.close();
    drop(shout("x").name("n").label("a", "b"));
}
