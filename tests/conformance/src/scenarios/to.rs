//! TO: timeout scopes (rows 165-180).

use std::cell::RefCell;

use farloop::prelude::*;
use farloop::{Error, Timeout};
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::backend;
use crate::bodies::scoped;
use crate::faults::Fault;
use crate::judge::{Check, holds, same};
use crate::oracle::oracle;
use crate::python::{args, ex, truth};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_165_the_deadline_cancels_and_the_edge_raises_timeout;
    covered row_166_the_task_is_not_left_cancelled;
    covered row_167_expired_and_when_and_no_limit;
    covered row_168_a_deadline_in_the_past_fires_at_the_next_await;
    covered row_169_of_two_scopes_at_one_deadline_the_outer_one_raises;
    covered row_170_an_inner_timeout_can_be_handled_in_the_outer_block;
    covered row_171_a_swallowed_cancel_is_no_timeout;
    covered row_172_another_error_leaves_as_it_is;
    covered row_173_a_cancel_from_outside_passes_through;
    covered row_174_a_cancel_from_outside_and_expiry_are_a_cancel;
    covered row_175_a_scope_in_the_handler_of_an_earlier_cancel;
    covered row_176_the_deadline_can_be_moved_while_the_scope_is_active;
    impossible row_177_a_scope_is_entered_once "the scope is the future of its block, and a future is awaited once; that it needs a task is tested beside it (crates/farloop/tests/timeouts.rs)";
    covered row_178_a_scope_needs_a_running_loop;
    covered row_179_the_timeout_error_has_the_cancelled_one_as_its_cause;
    covered row_180_a_scope_prints_its_state;
};

fn counted() -> u32 {
    farloop::current_task().map_or(99, |me| me.cancelling())
}

/// A deadline in virtual seconds since the run began, as the probes' `loop.time()` counts.
fn when(run: &Run, scope: &Timeout) -> Option<f64> {
    let unit = run.seconds(1.0).as_secs_f64();
    let (when, now) = (scope.when()?, Instant::now());
    let left = when.saturating_duration_since(now).as_secs_f64() - now.saturating_duration_since(when).as_secs_f64();
    Some(run.time() + left / unit)
}

/// The program of TO1; its value has all that a scope tells.
async fn to1(run: &Run) -> farloop::Result<Vec<Value>> {
    let kept: RefCell<Option<Timeout>> = RefCell::default();
    let scope = || kept.borrow().clone().ok_or_else(|| Error::msg("the block has begun"));
    let mut out = Vec::new();
    let late = timeout_with(run.seconds(1.0), async |scope| {
        kept.replace(Some(scope));
        run.sleep(10.0).await
    });
    if let Err(Error::TimedOut(late)) = late.await {
        let scope = scope()?;
        // The cause is a `Cancelled` by type; the probe prints the name of its type.
        let cause = late.cause().map_or("None", |_| "CancelledError");
        let printed = format!("{scope:?}");
        out.push(json!(["TimeoutError", scope.expired(), when(run, &scope), run.time(), printed, cause, counted()]));
    }
    timeout_with(None, async |scope| {
        kept.replace(Some(scope));
        run.sleep(1.0).await
    })
    .await?;
    out.push(json!([scope()?.expired(), when(run, &scope()?)]));
    timeout_with(run.seconds(5.0), async |scope| {
        kept.replace(Some(scope));
        run.sleep(1.0).await
    })
    .await?;
    out.push(json!([scope()?.expired(), format!("{:?}", scope()?)]));
    Ok(out)
}

async fn row_165_the_deadline_cancels_and_the_edge_raises_timeout(run: Run) -> Check {
    run.out_is(&oracle("TO1"), to1(&run).await?)?;
    // A call is cancelled on its worker, and the deadline of an instant is one of a delay.
    let task = create_task(run.job("a", 10.0));
    let late = timeout_at(Instant::now() + run.seconds(1.0), task.clone()).await;
    holds(matches!(late, Err(Error::TimedOut(_))), "timeout_at raises TimeoutError")?;
    same((task.cancelled(), run.count("cancelled a ()")), (true, 1))
}

async fn row_166_the_task_is_not_left_cancelled(run: Run) -> Check {
    let out = to1(&run).await?;
    same(&out[0][6], &oracle("TO1").out[0][6])?;
    run.sleep(0.0).await?;
    same(counted(), 0)
}

async fn row_167_expired_and_when_and_no_limit(run: Run) -> Check {
    let (out, probe) = (to1(&run).await?, oracle("TO1").out);
    crate::judge::same_with_times((&out[0][1], &out[0][2]), (&probe[0][1], &probe[0][2]), run.exact())?;
    same((&out[1], &out[2]), (&probe[1], &probe[2]))
}

/// Blocking code.
fn blocks(run: &Run, seconds: f64) {
    if run.exact() {
        // The virtual clock moves only if it is told to; the advance itself happens at the first poll.
        let _ = tokio::time::advance(run.seconds(seconds)).now_or_never();
    } else {
        std::thread::sleep(run.seconds(seconds));
    }
}

async fn row_168_a_deadline_in_the_past_fires_at_the_next_await(run: Run) -> Check {
    let mut out = Vec::new();
    out.push(match timeout(Duration::ZERO, async { Ok(()) }).await {
        Ok(()) => json!("no await: no timeout"),
        Err(_) => json!("TimeoutError"),
    });
    out.push(match timeout(Duration::ZERO, run.sleep(0.0)).await {
        Err(Error::TimedOut(_)) => json!("TimeoutError sleep0"),
        _ => json!("none"),
    });
    let kept: RefCell<Option<Timeout>> = RefCell::default();
    let past = timeout_with(run.seconds(5.0), async |scope| {
        // A Duration is never negative: the probe's -5 is a moment that has passed.
        scope.reschedule(Instant::now().checked_sub(Duration::from_millis(1)))?;
        kept.replace(Some(scope));
        run.sleep(0.0).await
    });
    if matches!(past.await, Err(Error::TimedOut(_))) {
        out.push(json!(["past", kept.take().is_some_and(|scope| scope.expired())]));
    }
    same(out, &oracle("TO2").out)?;
    timeout(run.seconds(1.0), async {
        blocks(&run, 5.0);
        run.log("blocking code finished");
        Ok(())
    })
    .await?;
    run.log("no error without an await after it");
    let late = timeout(run.seconds(1.0), async {
        blocks(&run, 5.0);
        run.sleep(0.0).await
    });
    if late.await.is_err() {
        run.log("TimeoutError at the next await");
    }
    run.journal_is(&oracle("TO7"))
}

/// The program of TO3.
async fn to3(run: &Run) -> Check {
    let (outer, inner): (RefCell<Option<Timeout>>, RefCell<Option<Timeout>>) = Default::default();
    let expired = |kept: &RefCell<Option<Timeout>>| truth(kept.borrow().as_ref().is_some_and(Timeout::expired));
    let deadline = Instant::now() + run.seconds(1.0);
    let both = timeout_with(None, async |scope| {
        scope.reschedule(deadline)?;
        outer.replace(Some(scope));
        let block = timeout_with(None, async |scope| {
            scope.reschedule(deadline)?;
            inner.replace(Some(scope));
            run.sleep(10.0).await
        })
        .await;
        if let Err(error) = &block {
            run.log(format!("inner block raised {}", ex(error)));
        }
        block
    });
    if matches!(both.await, Err(Error::TimedOut(_))) {
        run.log(format!("outer TimeoutError {} {}", expired(&outer), expired(&inner)));
    }
    let one = timeout_with(run.seconds(5.0), async |scope| {
        outer.replace(Some(scope));
        let block = timeout_with(run.seconds(1.0), async |scope| {
            inner.replace(Some(scope));
            run.sleep(10.0).await
        });
        if matches!(block.await, Err(Error::TimedOut(_))) {
            run.log(format!("inner only {} {}", expired(&outer), expired(&inner)));
        }
        run.sleep(1.0).await
    });
    if one.await.is_err() {
        run.log("no");
    }
    Ok(())
}

async fn row_169_of_two_scopes_at_one_deadline_the_outer_one_raises(run: Run) -> Check {
    to3(&run).await?;
    run.journal_is(&oracle("TO3"))
}

async fn row_170_an_inner_timeout_can_be_handled_in_the_outer_block(run: Run) -> Check {
    to3(&run).await?;
    run.journal_is(&oracle("TO3"))?;
    run.time_is(3.0)
}

/// The program of TO4.
async fn to4(run: &Run) -> Check {
    let kept: RefCell<Option<Timeout>> = RefCell::default();
    let expired = || truth(kept.borrow().as_ref().is_some_and(Timeout::expired));
    let swallows = timeout_with(run.seconds(1.0), async |scope| {
        kept.replace(Some(scope));
        if run.sleep(10.0).await.is_err() {
            run.log("swallowed");
        }
        Ok(())
    });
    match swallows.await {
        Ok(()) => run.log(format!("no TimeoutError {}", expired())),
        Err(_) => run.log("TimeoutError"),
    }
    let fails = timeout_with(run.seconds(1.0), async |scope| {
        kept.replace(Some(scope));
        drop(run.sleep(10.0).await);
        Err::<(), _>(Fault::Key("k".to_owned()).raise())
    });
    if let Err(error) = fails.await {
        run.log(format!("{} {} {}", ex(&error), expired(), counted()));
    }
    Ok(())
}

async fn row_171_a_swallowed_cancel_is_no_timeout(run: Run) -> Check {
    to4(&run).await?;
    run.journal_is(&oracle("TO4"))
}

async fn row_172_another_error_leaves_as_it_is(run: Run) -> Check {
    to4(&run).await?;
    run.journal_is(&oracle("TO4"))
}

/// The program of TO5: both bodies on workers, so that the cancels come over the wire.
async fn to5(run: &Run) -> Check {
    let task = create_task(scoped::limited(run.journal.clone()));
    run.sleep(1.0).await?;
    task.cancel("ext");
    if let Err(error) = task.clone().await {
        run.log(format!("{} {} {}", ex(&error), truth(task.cancelled()), task.cancelling()));
    }
    let task = create_task(scoped::limited_cleanup(run.journal.clone()));
    run.sleep(1.0).await?;
    task.cancel("ext2");
    if let Err(error) = task.clone().await {
        run.log(format!("task {} {}", ex(&error), truth(task.cancelled())));
    }
    Ok(())
}

async fn row_173_a_cancel_from_outside_passes_through(run: Run) -> Check {
    to5(&run).await?;
    run.journal_is(&oracle("TO5"))
}

async fn row_174_a_cancel_from_outside_and_expiry_are_a_cancel(run: Run) -> Check {
    to5(&run).await?;
    run.journal_is(&oracle("TO5"))
}

async fn row_175_a_scope_in_the_handler_of_an_earlier_cancel(run: Run) -> Check {
    // test_timeout_after_cancellation: the cleanup is too slow for its limit.
    let task = create_task(scoped::limits_its_cleanup(run.journal.clone(), 1.0));
    run.sleep(1.0).await?;
    task.cancel("first");
    let raised = task.clone().await.err().map(|error| args(&error));
    same((raised, task.cancelled(), run.texts()), ("('first',)", true, ["TimeoutError()"]))?;
    run.time_is(2.0)?;
    // test_cancel_in_timeout_after_cancellation: a second cancel comes before the limit.
    let task = create_task(scoped::limits_its_cleanup(run.journal.clone(), 4.0));
    run.sleep(1.0).await?;
    task.cancel("first");
    run.sleep(1.0).await?;
    task.cancel("second");
    holds(task.clone().await.is_err_and(|error| error.is_cancelled()), "it ends cancelled")?;
    same((task.cancelling(), &run.texts()[1..]), (2, ["CancelledError(second)"]))
}

async fn row_176_the_deadline_can_be_moved_while_the_scope_is_active(run: Run) -> Check {
    // What TO6 does before and at entry has no program here: there is no scope without its block.
    let probe = oracle("TO6").out;
    let kept: RefCell<Option<Timeout>> = RefCell::default();
    timeout_with(run.seconds(1.0), async |scope| {
        scope.reschedule(Instant::now() + run.seconds(5.0))?;
        kept.replace(Some(scope));
        run.sleep(2.0).await
    })
    .await?;
    let scope = kept.take().ok_or_else(|| Error::msg("the block has begun"))?;
    crate::judge::same_with_times((run.time(), scope.expired()), &probe[2], run.exact())?;
    match scope.reschedule(Instant::now()) {
        Err(Error::Misuse(refused)) => same(format!("RuntimeError({refused})"), &probe[3])?,
        other => holds(false, &format!("a finished scope is not moved: {other:?}"))?,
    }
    // Lifted, it lets everything pass; one that is expiring is not moved any more.
    timeout_with(run.seconds(1.0), async |scope| {
        scope.reschedule(None)?;
        run.sleep(2.0).await
    })
    .await?;
    let late = timeout_with(run.seconds(1.0), async |scope| {
        let slept = run.sleep(9.0).await;
        let refused = scope.reschedule(None).err().map(|error| error.to_string());
        same(refused, "Cannot change state of expiring Timeout").map_err(|wrong| Error::msg(wrong.0))?;
        slept
    });
    holds(matches!(late.await, Err(Error::TimedOut(_))), "it times out all the same")
}

async fn row_178_a_scope_needs_a_running_loop(run: Run) -> Check {
    let probe = oracle("TO8").out;
    same(timeout(run.seconds(1.0), async { Ok("ok") }).await?, &probe[0])?;
    let told = backend::without_loop()?;
    same(told["timeout"].as_str(), Some("NoRunningLoop(tests/conformance/src/loopless.rs)"))
}

async fn row_179_the_timeout_error_has_the_cancelled_one_as_its_cause(run: Run) -> Check {
    same(&to1(&run).await?[0][5], &oracle("TO1").out[0][5])?;
    let late = timeout(run.seconds(1.0), run.sleep(9.0)).await.err().ok_or_else(|| Error::msg("it times out"))?;
    // The chain that people see; and it does not make a cancellation of whatever passes it on.
    let chain: Vec<String> = late.causes().map(ToString::to_string).collect();
    same((chain, late.is_cancelled()), (["cancelled"], false))
}

async fn row_180_a_scope_prints_its_state(run: Run) -> Check {
    let (out, probe) = (to1(&run).await?, oracle("TO1").out);
    same((&out[0][4], &out[2][1]), (&probe[0][4], &probe[2][1]))?;
    let printed = RefCell::new(Vec::new());
    let late = timeout_with(run.seconds(1.0), async |scope| {
        let text = format!("{scope:?}");
        // asyncio prints the loop's time; here it is what is left.
        let (state, left) = text.split_once(" when=+").unwrap_or((&text, ""));
        holds(left.ends_with("s>"), &text).map_err(|wrong| Error::msg(wrong.0))?;
        printed.borrow_mut().push(state.to_owned());
        let slept = run.sleep(9.0).await;
        printed.borrow_mut().push(format!("{scope:?}"));
        slept
    });
    holds(late.await.is_err(), "it times out")?;
    same(printed.take(), ["<Timeout [active]", "<Timeout [expiring]>"])
}
