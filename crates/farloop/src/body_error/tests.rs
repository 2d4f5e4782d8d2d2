//! Which errors make a body's end a cancellation, whatever wraps them, and which do not.

use super::*;
use crate::error::TimedOut;
use anyhow::Context;
use farloop_core::id::TaskId;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
enum Mine {
    #[error("far: {0}")]
    Far(#[from] Error),
    #[error(transparent)]
    Transparent(Error),
    #[error("several")]
    Several(Vec<Error>),
}

fn function() -> Arc<str> {
    "demo.f".into()
}

fn finish<E: Into<BoxError>>(error: E, token: &Arc<DeliveryToken>) -> BodyVerdict {
    BodyError::raised(error, None).finish(&function(), Some(token))
}

fn recorded(verdict: BodyVerdict) -> Recorded {
    match verdict {
        BodyVerdict::Failed(recorded) => recorded,
        BodyVerdict::Cancelled { message } => panic!("cancelled: {message:?}"),
    }
}

fn anyhow_plain(e: Error) -> anyhow::Error {
    e.into()
}

type Wrap = fn(Error) -> BoxError;

/// Ways in which people pass an error on.
fn wrappings() -> Vec<(&'static str, Wrap)> {
    vec![
        ("itself", |e| e.into()),
        ("thiserror #[from]", |e| Mine::from(e).into()),
        ("thiserror transparent", |e| Mine::Transparent(e).into()),
        ("anyhow", |e| anyhow_plain(e).into()),
        ("anyhow with context", |e| Err::<(), _>(e).context("while resizing").unwrap_err().into()),
        ("anyhow with two contexts", |e| anyhow_plain(e).context("inner").context("outer").into()),
        ("farloop::Error around a box", |e| Error::from(BoxError::from(Mine::from(e))).into()),
        ("farloop::Error around anyhow", |e| Error::from(BoxError::from(anyhow_plain(e).context("why"))).into()),
        ("farloop::Error::new", |e| Error::new(Mine::from(e)).into()),
        ("permanent", |e| Error::new(Mine::from(e)).permanent().into()),
    ]
}

fn cancelled(message: &str) -> BodyVerdict {
    BodyVerdict::Cancelled { message: Some(message.into()) }
}

#[test]
fn a_delivery_is_found_whatever_wraps_it() {
    for (name, wrap) in wrappings() {
        let token = Arc::new(DeliveryToken::default());
        let elsewhere = token.clone();
        let error = Error::Cancelled(Cancelled::delivered(Some("stop".into()), token.clone()));
        assert_eq!(finish(wrap(error), &token), cancelled("stop"), "{name}");
        drop(elsewhere);
    }
}

#[test]
fn news_is_found_along_the_chain() {
    for (name, wrap) in wrappings() {
        let token = Arc::new(DeliveryToken::default());
        let error = Error::Cancelled(Cancelled::news(Some("theirs".into())));
        assert_eq!(finish(wrap(error), &token), cancelled("theirs"), "{name}");
    }
}

#[test]
fn a_delivery_hidden_from_the_chain_shows_when_it_is_dropped() {
    let token = Arc::new(DeliveryToken::default());
    let delivery = Error::Cancelled(Cancelled::delivered(Some("stop".into()), token.clone()));
    assert_eq!(finish(Mine::Several(vec![delivery]), &token), cancelled("stop"));
}

#[test]
fn news_in_a_collection_of_errors_is_no_cancellation() {
    let token = Arc::new(DeliveryToken::default());
    let news = Error::Cancelled(Cancelled::news(None));
    assert_eq!(recorded(finish(Mine::Several(vec![news]), &token)).message, "several");
}

#[test]
fn a_delivery_that_is_kept_elsewhere_is_not_the_bodys_end() {
    let token = Arc::new(DeliveryToken::default());
    let kept = Cancelled::delivered(None, token.clone());
    assert_eq!(recorded(finish("another thing", &token)).message, "another thing");
    drop(kept);
}

#[test]
fn the_delivery_of_another_body_is_news() {
    let (mine, theirs) = (Arc::new(DeliveryToken::default()), Arc::new(DeliveryToken::default()));
    let error = Error::Cancelled(Cancelled::delivered(None, theirs));
    assert_eq!(recorded(finish(Mine::Several(vec![error]), &mine)).message, "several");
}

#[test]
fn a_timeout_is_a_failure_though_a_cancellation_caused_it() {
    let token = Arc::new(DeliveryToken::default());
    for (name, wrap) in wrappings() {
        let cause = Cancelled::delivered(None, token.clone());
        let timed_out = TimedOut::waiting(Duration::from_secs(1), Some(cause), false);
        assert!(timed_out.cause().is_some_and(|c| !c.is_mine()));
        recorded(finish(wrap(Error::TimedOut(timed_out)), &token));
        assert_eq!(Arc::strong_count(&token), 1, "{name}");
    }
}

#[test]
fn the_failure_of_another_task_is_passed_on_as_it_is() {
    let mut first = Recorded::new(FailureKind::Raised, "demo.inner".into(), "it broke".into());
    first.task = Some(TaskId(7));
    first.attempt = 2;
    let verdict = finish(Error::from(first.clone()), &Arc::default());
    assert_eq!(recorded(verdict), first);
}

#[test]
fn a_failure_of_ones_own_gets_the_functions_name_and_no_place() {
    let failure = recorded(finish(Error::msg("it broke"), &Arc::default()));
    assert_eq!((&*failure.function, &*failure.message, failure.task), ("demo.f", "it broke", None));
    let failure = recorded(finish(Mine::from(Error::msg("inside")), &Arc::default()));
    assert!(failure.type_name.ends_with("::Mine"), "{}", failure.type_name);
    assert_eq!(failure.message, "far: inside");
    assert_eq!(failure.causes, [(String::new(), "inside".to_owned())]);
}

#[test]
fn every_error_has_a_wire_form() {
    let kinds = [
        (Error::LoopClosed, FailureKind::Raised),
        (Error::SessionLost("gone".into()), FailureKind::SessionLost),
        (Error::Deadlock(vec![TaskId(1), TaskId(2)]), FailureKind::Deadlock(vec![TaskId(1), TaskId(2)])),
        (Error::TimedOut(TimedOut::waiting(Duration::from_secs(1), None, true)), FailureKind::TimedOut),
    ];
    for (error, kind) in kinds {
        assert_eq!(recorded(finish(error, &Arc::default())).kind, kind);
    }
}
