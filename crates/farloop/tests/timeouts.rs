//! Timeout scopes on virtual time: asyncio rows 165-180 where a body runs on a worker, and what a Rust body adds
//! (foreign awaits, several awaits at once, drops).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use farloop::error::Misuse;
use farloop::prelude::*;
use farloop::testing::Cluster;
use farloop::{Error, Timeout, current_task, sleep};
use futures_util::future::{join, select};

const SECOND: Duration = Duration::from_secs(1);

fn seconds_since(start: tokio::time::Instant) -> u64 {
    start.elapsed().as_secs()
}

/// What an attempt on a worker saw: (kind of the end, cancelling() inside after the delivery and behind the scope).
#[farloop::task]
async fn limited(limit: u32) -> farloop::Result<(String, u32, u32)> {
    let inside = Cell::new(99);
    let end = timeout(limit * SECOND, async {
        let slept = sleep(100 * SECOND).await;
        inside.set(current_task().map_or(99, |me| me.cancelling()));
        slept
    })
    .await;
    let kind = match end {
        Err(Error::TimedOut(late)) => format!("timed out after {:?}, {:?}", late.limit(), late.cause().is_some()),
        other => format!("{other:?}"),
    };
    sleep(SECOND).await?;
    Ok((kind, inside.get(), current_task().map_or(99, |me| me.cancelling())))
}

#[test]
fn a_timeout_in_an_attempt_cancels_the_block_and_leaves_the_task_alone() {
    Cluster::new().slots(1).run(async || {
        let task = create_task(limited(3));
        assert_eq!(task.clone().await.unwrap(), ("timed out after Some(3s), true".to_owned(), 1, 0));
        // Nothing of it came to the coordinator.
        assert_eq!((task.cancelling(), task.cancelled()), (0, false));
    });
}

#[farloop::task]
async fn calls_in_time(limit: u32, seconds: u32) -> farloop::Result<u32> {
    timeout(limit * SECOND, async { cleans_up(seconds, 2).await }).await
}

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn seen() -> Vec<String> {
    SEEN.take()
}

/// Cleans up before it passes a cancel on.
#[farloop::task]
async fn cleans_up(seconds: u32, cleanup: u32) -> farloop::Result<u32> {
    if let Err(error) = sleep(seconds * SECOND).await {
        sleep(cleanup * SECOND).await?;
        SEEN.with_borrow_mut(|seen| seen.push(format!("cleaned up {seconds}")));
        return Err(error);
    }
    Ok(seconds)
}

#[test]
fn a_call_inside_is_cancelled_cleans_up_and_then_the_scope_times_out() {
    Cluster::new().workers(2).run(async || {
        let start = tokio::time::Instant::now();
        assert_eq!(calls_in_time(5, 1).await.unwrap(), 1);
        assert!(matches!(calls_in_time(5, 60).await, Err(Error::TimedOut(_))));
        assert_eq!((seconds_since(start), seen()), (8, vec!["cleaned up 60".to_owned()]));
    });
}

/// A scope of two seconds in a body that is cancelled from outside; says what left the scope.
#[farloop::task]
async fn asked_from_outside(cleanup: u32) -> farloop::Result<String> {
    let scope: RefCell<Option<Timeout>> = RefCell::new(None);
    let end = timeout_with(2 * SECOND, async |handle| {
        scope.replace(Some(handle));
        let slept = sleep(100 * SECOND).await;
        if slept.is_err() && cleanup > 0 {
            // Cut short by the deadline, if it comes while this goes on.
            sleep(cleanup * SECOND).await.ok();
        }
        slept
    })
    .await;
    let expired = scope.take().is_some_and(|scope| scope.expired());
    let counted = current_task().map_or(99, |me| me.cancelling());
    let kind = match &end {
        Err(Error::Cancelled(cancelled)) => cancelled.message().unwrap_or("no message").to_owned(),
        other => format!("{other:?}"),
    };
    SEEN.with_borrow_mut(|seen| seen.push(format!("{kind} {expired} {counted}")));
    end.map(|()| "slept".to_owned())
}

#[test]
fn a_cancel_over_the_wire_is_never_taken_for_the_scopes_own() {
    Cluster::new().workers(2).run(async || {
        for (cleanup, words) in [(0, "why false 1"), (5, "why true 1")] {
            let task = create_task(asked_from_outside(cleanup));
            sleep(SECOND).await.unwrap();
            task.cancel("why");
            assert!(task.clone().await.unwrap_err().is_cancelled());
            assert_eq!((task.cancelled(), task.cancelling(), seen()), (true, 1, vec![words.to_owned()]));
        }
    });
}

#[test]
fn a_cancel_over_the_wire_at_the_deadline_itself_is_not_lost() {
    // The cancel leaves at the instant of the deadline: whichever comes first at the worker, the task ends cancelled
    // or timed out, and never with neither; the count at the coordinator is the request from outside.
    Cluster::new().workers(1).run(async || {
        let task = create_task(asked_from_outside(1));
        sleep(2 * SECOND).await.unwrap();
        task.cancel("why");
        let end = task.clone().await.unwrap_err();
        assert!(end.is_cancelled() || matches!(end, Error::TimedOut(_)), "{end:?}");
        assert_eq!(task.cancelling(), 1);
    });
}

#[test]
fn only_the_outermost_of_two_scopes_at_one_deadline_times_out() {
    Cluster::new().run(async || {
        let end = timeout(SECOND, async {
            let inner = timeout(SECOND, sleep(10 * SECOND)).await;
            assert!(inner.as_ref().is_err_and(Error::is_cancelled), "{inner:?}");
            inner
        });
        assert!(matches!(end.await, Err(Error::TimedOut(_))));
        // One that expires first is seen inside, and the outer goes on.
        let outer = timeout(5 * SECOND, async {
            let inner = timeout(SECOND, sleep(10 * SECOND)).await;
            assert!(matches!(inner, Err(Error::TimedOut(_))), "{inner:?}");
            sleep(SECOND).await
        });
        outer.await.unwrap();
    });
}

#[test]
fn a_scope_cancels_its_own_awaits_and_no_others_of_the_body() {
    Cluster::new().run(async || {
        let start = tokio::time::Instant::now();
        let (limited, free) = join(timeout(SECOND, sleep(10 * SECOND)), sleep(3 * SECOND)).await;
        assert!(matches!(limited, Err(Error::TimedOut(_))));
        free.unwrap();
        assert_eq!(seconds_since(start), 3);
    });
}

#[test]
fn a_thousand_scopes_at_once() {
    Cluster::new().run(async || {
        let ends = futures_util::future::join_all((0..1_000u32).map(|i| timeout(SECOND, sleep((i % 2) * 2 * SECOND))));
        let late = ends.await.into_iter().filter(|end| matches!(end, Err(Error::TimedOut(_)))).count();
        assert_eq!(late, 500);
        assert_eq!(current_task().unwrap().cancelling(), 0);
    });
}

struct Noise(Rc<Cell<bool>>);

impl Drop for Noise {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_block_that_waits_for_something_foreign_is_dropped_at_the_deadline() {
    Cluster::new().run(async || {
        let dropped = Rc::new(Cell::new(false));
        let noise = Noise(dropped.clone());
        let start = tokio::time::Instant::now();
        let end: farloop::Result<()> = timeout(SECOND, async move {
            let _noise = noise;
            tokio::time::sleep(100 * SECOND).await;
            Ok(())
        })
        .await;
        assert!(matches!(end, Err(Error::TimedOut(_))));
        assert_eq!((seconds_since(start), dropped.get()), (1, true));
        // In a nested scope too: the outer one's deadline.
        let end = timeout(
            SECOND,
            timeout(10 * SECOND, async {
                tokio::time::sleep(100 * SECOND).await;
                Ok(())
            }),
        );
        assert!(matches!(end.await, Err(Error::TimedOut(_))));
        assert_eq!(seconds_since(start), 2);
    });
}

#[test]
fn cleanup_after_the_delivery_may_wait_for_something_foreign() {
    Cluster::new().run(async || {
        let start = tokio::time::Instant::now();
        let end = timeout(SECOND, async {
            let slept = sleep(100 * SECOND).await;
            tokio::time::sleep(2 * SECOND).await;
            slept
        });
        assert!(matches!(end.await, Err(Error::TimedOut(_))));
        assert_eq!(seconds_since(start), 3);
    });
}

#[test]
fn a_handle_awaited_inside_can_be_awaited_again_behind_the_scope() {
    Cluster::new().run(async || {
        let mut task = create_task(farloop::local(async {
            // Suppresses the cancel that the scope forwards.
            sleep(100 * SECOND).await.ok();
            sleep(5 * SECOND).await?;
            Ok(7)
        }));
        let end = timeout(SECOND, async {
            // The loser of a select! keeps its await point open.
            select(&mut task, Box::pin(tokio::time::sleep(3 * SECOND))).await;
            Ok(())
        });
        // The task has suppressed it, so the block went on and returned: no timeout.
        end.await.unwrap();
        assert_eq!(task.await.unwrap(), 7);
        assert_eq!(current_task().unwrap().cancelling(), 0);
    });
}

#[test]
fn moving_the_deadline_from_a_callback_wakes_the_scope() {
    Cluster::new().run(async || {
        let start = tokio::time::Instant::now();
        let handle: Rc<RefCell<Option<Timeout>>> = Rc::default();
        let theirs = handle.clone();
        drop(create_task(farloop::local(async move {
            sleep(SECOND).await?;
            let scope = theirs.borrow().clone().unwrap();
            scope.reschedule(tokio::time::Instant::now() + SECOND)
        })));
        let end = timeout_with(None, async |scope| {
            assert_eq!((scope.when(), format!("{scope:?}")), (None, "<Timeout [active] when=None>".to_owned()));
            handle.replace(Some(scope));
            sleep(100 * SECOND).await
        });
        assert!(matches!(end.await, Err(Error::TimedOut(_))));
        assert_eq!(seconds_since(start), 2);
        let scope = handle.take().unwrap();
        assert_eq!((scope.expired(), format!("{scope:?}")), (true, "<Timeout [expired]>".to_owned()));
        let late = scope.reschedule(None).unwrap_err();
        assert!(matches!(&late, Error::Misuse(Misuse::TimeoutOver { state }) if state == "expired"), "{late:?}");
        assert_eq!(late.to_string(), "Cannot change state of expired Timeout");
    });
}

#[test]
fn a_limit_that_no_clock_can_express_is_none() {
    Cluster::new().run(async || {
        timeout(Duration::MAX, sleep(SECOND)).await.unwrap();
        let past = Instant::now().checked_sub(SECOND).unwrap();
        timeout_at(past, async { Ok(()) }).await.unwrap();
        assert!(matches!(timeout_at(past, sleep(SECOND)).await, Err(Error::TimedOut(_))));
    });
}

/// Keeps what went wrong and shows nobody: no source, no text.
#[derive(Debug)]
struct Opaque(#[allow(dead_code, reason = "kept, and nothing else")] Error);

impl std::fmt::Display for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("opaque")
    }
}

impl std::error::Error for Opaque {}

#[farloop::task]
async fn hides_it() -> farloop::Result<()> {
    timeout(SECOND, async { sleep(10 * SECOND).await.map_err(|error| Error::new(Opaque(error))) }).await
}

#[test]
fn an_error_made_of_the_scopes_cancel_is_an_error_and_no_cancellation() {
    Cluster::new().run(async || {
        let task = create_task(hides_it());
        let error = task.clone().await.unwrap_err();
        assert!(matches!(&error, Error::Failed(failure) if failure.message() == "opaque"), "{error:?}");
        assert!(!task.cancelled());
    });
}

#[test]
fn outside_of_a_task_there_is_nobody_to_cancel() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let nowhere = timeout(SECOND, async { Ok(()) }).await.unwrap_err();
        let event_loop = farloop::in_process().start().unwrap();
        let no_task = timeout(SECOND, async { Ok(()) }).await.unwrap_err();
        event_loop.close().await;
        assert!(matches!(nowhere, Error::NoRunningLoop(at) if at.location().file().ends_with("timeouts.rs")));
        assert!(matches!(&no_task, Error::Misuse(Misuse::NoCurrentTask { what }) if what == "Timeout"));
    });
}

#[farloop::task]
async fn keeps_its_slot() -> farloop::Result<()> {
    tokio::time::sleep(10 * SECOND).await;
    Ok(())
}

#[farloop::task]
async fn calls_on() -> farloop::Result<()> {
    late().await
}

#[farloop::task]
async fn late() -> farloop::Result<()> {
    SEEN.with_borrow_mut(|seen| seen.push("it ran".to_owned()));
    Ok(())
}

#[test]
fn l19_a_call_that_has_not_started_at_the_deadline_never_does() {
    Cluster::new().slots(1).run(async || {
        // Fills the slot, and what the worker takes in advance.
        let busy: Vec<Task<()>> = (0..20).map(|_| create_task(keeps_its_slot())).collect();
        sleep(Duration::from_millis(1)).await.unwrap();
        let kept: RefCell<Option<Timeout>> = RefCell::default();
        let end = timeout_with(SECOND, async |scope| {
            kept.replace(Some(scope));
            late().await
        });
        let Err(Error::TimedOut(timed_out)) = end.await else { panic!("it cannot start in time") };
        assert!(timed_out.cause().is_some());
        assert!(kept.take().is_some_and(|scope| scope.expired()));
        let group = timeout(SECOND, async {
            TaskGroup::scope(async |group| {
                drop(group.create_task(late()));
                drop(group.create_task(farloop::local(async { late().await })));
                Ok(())
            })
            .await
        });
        assert!(matches!(group.await, Err(Error::TimedOut(_))));
        // A task that is only created inside is nobody's to stop when the scope is over.
        let outlives = timeout(SECOND, async { Ok(create_task(calls_on())) }).await.unwrap();
        sleep(2 * SECOND).await.unwrap();
        assert!(!outlives.done());
        for task in busy {
            task.cancel(());
        }
        outlives.await.unwrap();
        assert_eq!(seen(), ["it ran"]);
    });
}
