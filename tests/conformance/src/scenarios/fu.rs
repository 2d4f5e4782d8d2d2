//! FU: futures that are completed by hand (rows 49-61).

use farloop::Error;
use farloop::prelude::*;
use serde_json::json;

use crate::backend;
use crate::faults::ValueError;
use crate::judge::{Check, Order, holds, same};
use crate::oracle::oracle;
use crate::python::{arg_list, ex, value_or_ex};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_049_a_future_is_pending_until_it_is_completed_once;
    covered row_050_completing_twice_is_an_error_and_changes_nothing;
    covered row_051_cancelling_a_pending_future_is_immediate;
    covered row_052_cancelling_a_done_future_is_refused;
    covered row_053_a_late_value_for_a_cancelled_future_can_be_ignored;
    impossible row_054_an_exception_type_instead_of_an_exception "set_exception takes a value; a type is none";
    covered row_055_an_awaiter_gets_the_outcome_and_a_cancel_of_another_leaves_its_counter;
    covered row_056_awaiters_resume_later_never_inside_set_result;
    deviates row_057_a_dropped_promise_breaks_the_future "CPython leaves the awaiters waiting for ever; the last promise fails them";
    covered row_058_state_is_copied_unless_the_target_is_cancelled;
    covered row_059_a_future_of_a_thread_pool_can_be_awaited;
    covered row_060_futures_are_bound_to_a_loop;
    covered row_061_a_future_goes_wherever_a_task_may;
};

/// The error of an operation that must fail, with our longer text of a second completion cut to CPython's.
fn refused<T>(result: Result<T, Error>) -> String {
    let text = result.err().map_or_else(|| "no error".to_owned(), |error| ex(&error));
    if text.starts_with("InvalidStateError(invalid state") {
        "InvalidStateError(invalid state)".to_owned()
    } else {
        text
    }
}

fn value_error(text: &str) -> Error {
    Error::typed(ValueError(text.to_owned()))
}

async fn row_049_a_future_is_pending_until_it_is_completed_once(run: Run) -> Check {
    let probe = oracle("FU1");
    let (promise, future) = create_future::<i64>();
    same(
        (refused(future.result()), refused(future.exception()), future.done()),
        json!([probe.out[0], probe.out[1], false]),
    )?;
    promise.set_result(1)?;
    same((future.result()?, future.done(), future.exception()?.is_none()), (1, true, true))?;
    let (promise, future) = create_future::<i64>();
    promise.set_exception(value_error("x"))?;
    same((future.exception()?.map(|error| ex(&error)), future.done()), ("ValueError(x)", true))?;
    run.time_is(0.0)
}

async fn row_050_completing_twice_is_an_error_and_changes_nothing(_run: Run) -> Check {
    let probe = oracle("FU1");
    let (promise, future) = create_future::<i64>();
    promise.set_result(1)?;
    let twice = (refused(promise.set_result(2)), refused(promise.set_exception(value_error(""))));
    same(twice, (&probe.out[2], &probe.out[3]))?;
    same((future.cancel(()), future.result()?, future.exception()?.map(|error| ex(&error))), &probe.out[4])?;
    let (promise, future) = create_future::<i64>();
    future.cancel(());
    same(refused(promise.set_result(1)), &probe.out[8])?;
    same(future.cancelled(), true)
}

async fn row_051_cancelling_a_pending_future_is_immediate(_run: Run) -> Check {
    let probe = oracle("FU1");
    let (_promise, future) = create_future::<i64>();
    same((future.cancel(()), future.cancel(()), future.cancelled(), future.done()), &probe.out[5])?;
    let reads = (format!("result {}", refused(future.result())), format!("exception {}", refused(future.exception())));
    same(reads, (&probe.out[6], &probe.out[7]))
}

async fn row_052_cancelling_a_done_future_is_refused(_run: Run) -> Check {
    let (promise, future) = create_future::<i64>();
    promise.set_result(1)?;
    let out = (future.cancel("late"), future.result()?, future.exception()?.map(|error| ex(&error)));
    same(out, &oracle("FU1").out[4])?;
    same((future.cancelled(), future.done()), (false, true))
}

async fn row_053_a_late_value_for_a_cancelled_future_can_be_ignored(_run: Run) -> Check {
    let (promise, future) = create_future::<i64>();
    future.cancel(());
    promise.set_result_unless_cancelled(1)?;
    same((future.cancelled(), refused(future.result())), (true, "CancelledError()"))?;
    let (promise, future) = create_future::<i64>();
    promise.set_result_unless_cancelled(1)?;
    same(future.result()?, 1)
}

async fn row_055_an_awaiter_gets_the_outcome_and_a_cancel_of_another_leaves_its_counter(run: Run) -> Check {
    let (_promise, future) = create_future::<String>();
    let inner = future.clone();
    let task = ensure_future(farloop::local(inner));
    run.sleep(0.0).await?;
    future.cancel("why");
    let args = task.clone().await.err().map(|error| arg_list(&error));
    run.out_is(&oracle("FU4"), (task.cancelled(), task.cancelling(), args))?;
    let (promise, future) = create_future::<String>();
    promise.set_exception(value_error("x"))?;
    same(value_or_ex(future.await), "ValueError(x)")
}

async fn row_056_awaiters_resume_later_never_inside_set_result(run: Run) -> Check {
    let (promise, future) = create_future::<i64>();
    let (pen, inner, id) = (run.clone(), future.clone(), future.id());
    // CB1's first callback is an awaiter here.
    let awaiter = ensure_future(farloop::local(async move {
        inner.await?;
        pen.log("cb1 True");
        Ok(())
    }));
    run.sleep(0.0).await?;
    let pen = run.clone();
    future.add_done_callback(move |done| {
        if done.id() == id {
            pen.log("cb2");
        }
    });
    promise.set_result(1)?;
    run.log("after set_result");
    awaiter.await?;
    run.sleep(0.1).await?;
    let probe = oracle("CB1").edited(|line| (line != "tick").then(|| line.to_owned()));
    run.journal_in(Order::Strict, &probe)
}

async fn row_057_a_dropped_promise_breaks_the_future(_run: Run) -> Check {
    let (promise, future) = create_future::<String>();
    drop(promise);
    same(value_or_ex(future.await), "BrokenPromise()")
}

async fn row_058_state_is_copied_unless_the_target_is_cancelled(run: Run) -> Check {
    run.collect_reports();
    // What copies the state of one future to another is the shield.
    let (promise, future) = create_future::<String>();
    let copy = shield(future);
    promise.set_result("v".to_owned())?;
    same(copy.await?, "v")?;
    let (promise, future) = create_future::<String>();
    let copy = shield(future);
    promise.set_exception(value_error("x"))?;
    same(value_or_ex(copy.await), "ValueError(x)")?;
    let (promise, future) = create_future::<String>();
    let copy = shield(future);
    promise.cancel("why");
    same(value_or_ex(copy.await), "CancelledError(why)")?;
    let (promise, future) = create_future::<String>();
    let copy = shield(future.clone());
    copy.cancel("first");
    promise.set_result("late".to_owned())?;
    same((value_or_ex(copy.await), future.await?), ("CancelledError(first)", "late"))?;
    same(run.reports().await?, Vec::<String>::new())
}

async fn row_059_a_future_of_a_thread_pool_can_be_awaited(_run: Run) -> Check {
    // Both on the runtime's pool: a virtual clock waits for its threads, and for no others.
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let sent = tokio::task::spawn_blocking(move || sender.send("through a channel".to_owned()));
    let channel = ensure_future(farloop::local(async move { Ok(receiver.await?) }));
    let pool =
        ensure_future(farloop::local(async { Ok(tokio::task::spawn_blocking(|| "from the pool".to_owned()).await?) }));
    same(gather((channel, pool)).await?, ("through a channel", "from the pool"))?;
    holds(matches!(sent.await, Ok(Ok(()))), "the sender was heard")
}

async fn row_060_futures_are_bound_to_a_loop(run: Run) -> Check {
    let told = backend::without_loop()?;
    same(told["create_future"].as_str(), Some("NoRunningLoop(tests/conformance/src/loopless.rs)"))?;
    run.time_is(0.0)
}

async fn row_061_a_future_goes_wherever_a_task_may(run: Run) -> Check {
    let (promise, future) = create_future::<String>();
    let gathered = gather((future.clone(), run.nap(0.5, "task")));
    let shielded = shield(future.clone());
    let limited = ensure_future(farloop::local({
        let (future, limit) = (future.clone(), run.seconds(9.0));
        async move { wait_for(future, limit).await }
    }));
    run.later(1.0, move || promise.set_result("future".to_owned()));
    let ended = wait([future.clone()]).await?;
    same(ended.done.len(), 1)?;
    same(gathered.await?, ("future", "task"))?;
    same((shielded.await?, limited.await?), ("future", "future"))?;
    let mut done = as_completed([future]);
    let item = done.next().await.transpose()?.map(|item| value_or_ex(item.result));
    same(item, "future")
}
