//! What awaiters see when bodies fail: kind, place, chain and the declared error itself.
#![allow(clippy::unwrap_used)]

use farloop::prelude::*;
use farloop::testing::Cluster;
use farloop::{Error, Result};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("bigger than {limit}")]
struct TooBig {
    limit: u32,
}

#[farloop::task]
async fn declared(limit: u32) -> std::result::Result<u32, TooBig> {
    Err(TooBig { limit })
}

#[farloop::task]
async fn within(limit: u32) -> Result<u32> {
    Err(Error::typed(TooBig { limit }))
}

#[farloop::task]
async fn erased(limit: u32) -> anyhow::Result<u32> {
    use anyhow::Context;
    Err(TooBig { limit }).context("while packing").context("while sending")
}

#[farloop::task]
async fn passes_on(limit: u32) -> Result<u32> {
    declared(limit).await
}

#[farloop::task]
async fn passes_on_in_anyhow(limit: u32) -> anyhow::Result<u32> {
    Ok(declared(limit).await?)
}

#[farloop::task]
async fn panics() -> u32 {
    panic!("no way")
}

#[farloop::task]
async fn next(n: u32) -> u32 {
    n + 1
}

#[farloop::task]
async fn large(n: u64, label: String) -> u64 {
    assert_eq!(label, "7");
    n + 1
}

#[farloop::task]
async fn sleeps() -> anyhow::Result<u32> {
    use anyhow::Context;
    farloop::sleep(Duration::from_secs(60)).await.context("while sleeping")?;
    Ok(1)
}

#[farloop::task]
async fn awaits_cancelled() -> anyhow::Result<u32> {
    use anyhow::Context;
    let task = ensure_future(sleeps());
    farloop::yield_now().await?;
    task.cancel("not needed");
    task.await.context("while waiting")
}

#[farloop::task]
async fn impatient() -> anyhow::Result<u32> {
    use anyhow::Context;
    wait_for(sleeps(), Duration::from_secs(1)).await.context("too slow")
}

#[test]
fn a_declared_error_comes_back() {
    Cluster::new().run(async || {
        for coro in [declared(3), within(3)] {
            let function = coro.function().to_owned();
            let error = coro.await.unwrap_err();
            assert_eq!(error.downcast::<TooBig>(), Some(TooBig { limit: 3 }));
            assert_eq!(error.function(), Some(&*function));
            assert!(error.task().is_some(), "{error:?}");
            assert!(error.to_string().contains("bigger than 3"), "{error}");
        }
    });
}

#[test]
fn an_erased_error_crosses_as_text_and_chain() {
    Cluster::new().run(async || {
        let error = erased(4).await.unwrap_err();
        let causes: Vec<String> = error.causes().map(ToString::to_string).collect();
        assert_eq!(causes, ["while packing", "bigger than 4"]);
        assert!(format!("{error:#}").contains("while sending: while packing: bigger than 4"), "{error:#}");
        assert_eq!(error.downcast::<TooBig>(), None);
    });
}

#[test]
fn a_failure_that_passes_up_keeps_the_task_that_failed_first() {
    Cluster::new().run(async || {
        let task = ensure_future(passes_on(5));
        let error = task.clone().await.unwrap_err();
        assert_eq!(error.function(), Some("farloop.declared"));
        assert_ne!(error.task(), Some(task.id()));
        assert_eq!(error.downcast::<TooBig>(), Some(TooBig { limit: 5 }));
        // Wrapped, it is a failure of its own with the first one in its chain.
        let error = passes_on_in_anyhow(5).await.unwrap_err();
        assert!(error.to_string().contains("bigger than 5"), "{error}");
    });
}

#[test]
fn a_panic_names_its_line() {
    Cluster::new().run(async || {
        let error = panics().await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("farloop.panics panicked: no way") && text.contains("failures.rs:"), "{text}");
    });
}

#[test]
fn a_failed_argument_is_the_source() {
    Cluster::new().run(async || {
        let argument = ensure_future(declared(6));
        let error = next(&argument).await.unwrap_err();
        assert!(matches!(error, Error::DependencyFailed(_)), "{error:?}");
        assert_eq!(error.failure().unwrap().dependency(), Some(argument.id()));
        assert_eq!(error.downcast::<TooBig>(), Some(TooBig { limit: 6 }));
        assert!(argument.exception().unwrap().is_some());
    });
}

#[test]
fn wrong_arguments_of_an_untyped_call_are_named() {
    Cluster::new().task::<next>().task::<large>().run(async || {
        assert_eq!(farloop::call("farloop.next").arg(1).returns::<u32>().await.unwrap(), 2);
        assert_eq!(farloop::call("farloop.next").arg(1).await.unwrap(), serde_json::json!(2));
        let task = ensure_future(next(1));
        assert_eq!(farloop::call("farloop.next").arg_task(&task).returns::<u32>().await.unwrap(), 3);
        // JSON has no whole numbers past 2^53: they are shown, and typed, as texts.
        let large = farloop::call("farloop.large").arg("18446744073709551614").arg("7");
        assert_eq!(large.returns::<u64>().await.unwrap(), u64::MAX);
        let text = farloop::call("farloop.large").arg("17").arg("7").await.unwrap_err().to_string();
        assert!(text.contains("argument 1 (n: u64): expected u64, found the text \"17\""), "{text}");
        let text = farloop::call("farloop.next").arg("x").await.unwrap_err().to_string();
        assert!(text.contains("argument 1 (n: u32): expected u32, found the text \"x\""), "{text}");
        let text = farloop::call("farloop.next").await.unwrap_err().to_string();
        assert!(text.contains("takes 1 argument (n: u32), 0 were given"), "{text}");
    });
}

#[test]
fn a_cancellation_wrapped_by_anyhow_is_one() {
    Cluster::new().run(async || {
        let task = ensure_future(sleeps());
        farloop::sleep(Duration::from_secs(1)).await.unwrap();
        assert!(task.cancel("enough"));
        let error = task.clone().await.unwrap_err();
        assert!(matches!(&error, Error::Cancelled(c) if c.message() == Some("enough") && !c.is_mine()), "{error:?}");
        // Row 240: news that was not caught ends the body as cancelled, though nobody asked it to.
        let task = ensure_future(awaits_cancelled());
        assert!(task.clone().await.unwrap_err().is_cancelled());
        assert!(task.cancelled());
    });
}

#[test]
fn a_timeout_inside_is_a_failure_and_no_cancellation() {
    Cluster::new().run(async || {
        let error = impatient().await.unwrap_err();
        assert!(!error.is_cancelled(), "{error:?}");
        assert!(error.to_string().contains("too slow"), "{error}");
    });
}
