//! WF: wait_for (rows 148-164).

use farloop::Error;
use farloop::prelude::*;
use serde_json::json;

use crate::bodies::stubborn::{cleans_up, converts, gives_in, very_stubborn};
use crate::bodies::{jobs, nested};
use crate::faults::Fault;
use crate::judge::{Check, holds, same};
use crate::oracle::oracle;
use crate::python::{truth, value_or_ex};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_148_the_result_or_the_error_if_it_ends_in_time;
    covered row_149_a_timeout_cancels_the_inner_task_and_waits_for_its_end;
    covered row_150_elapsed_time_includes_the_inner_cleanup;
    covered row_151_the_timeout_error_keeps_the_cancelled_one_as_its_cause;
    covered row_152_no_limit_waits_without_one;
    covered row_153_a_limit_of_zero;
    covered row_154_a_suppressed_cancel_gives_the_value;
    covered row_155_an_error_raised_during_the_cancel_is_raised;
    covered row_156_cancelling_the_caller_cancels_the_inner_task_and_waits;
    deviates row_157_a_second_cancel_ends_the_caller "V3: from 3.12 the second request goes to the inner task, too, and the caller returns its value; a caller must stay cancellable, as up to 3.11";
    covered row_158_a_cancel_in_the_turn_of_the_completion_is_not_lost;
    covered row_159_a_third_party_cancelling_the_inner_task_is_no_timeout;
    covered row_160_a_limit_on_a_shield_does_not_cancel_the_task;
    deviates row_161_completion_at_the_deadline_is_in_time "V4: CPython's answer depends on version and registration order; here a completion recorded at or before the deadline wins";
    covered row_162_nested_limits;
    deviates row_163_the_inner_coroutine_is_a_task_of_its_own "V2: from 3.12 it runs inside the caller's task; a remote coroutine always has an execution of its own";
    covered row_164_a_blocking_body_is_not_interrupted_by_a_limit;
};

async fn row_148_the_result_or_the_error_if_it_ends_in_time(run: Run) -> Check {
    let value = wait_for(run.job("a", 1.0), run.seconds(5.0)).await?;
    run.out_is(&oracle("WF1"), (value, run.time()))?;
    run.journal_is(&oracle("WF1"))?;
    let failed = wait_for(run.failing("a", 1.0, Fault::value("A")), run.seconds(5.0)).await;
    run.out_is(&oracle("WF14"), value_or_ex(failed))
}

/// WF2: the kind of error, the time, the name of its cause.
async fn wf2(run: &Run) -> (String, f64, String) {
    let slow = cleans_up(run.journal.clone(), "cleanup starts".to_owned(), 3.0, "cleanup ends".to_owned());
    match wait_for(slow, run.seconds(1.0)).await {
        Err(Error::TimedOut(late)) => {
            // The cause is a `Cancelled` by type; the probe prints the name of its type.
            let cause = late.cause().map_or("None", |_| "CancelledError").to_owned();
            ("TimeoutError".to_owned(), run.time(), cause)
        }
        other => (value_or_ex(other), run.time(), String::new()),
    }
}

async fn row_149_a_timeout_cancels_the_inner_task_and_waits_for_its_end(run: Run) -> Check {
    let (kind, time, _) = wf2(&run).await;
    let probe = oracle("WF2");
    crate::judge::same_with_times((kind, time), (&probe.out[0], &probe.out[1]), run.exact())?;
    run.journal_is(&probe)
}

async fn row_150_elapsed_time_includes_the_inner_cleanup(run: Run) -> Check {
    let (_, time, _) = wf2(&run).await;
    crate::judge::same_with_times(time, &oracle("WF2").out[1], run.exact())?;
    same(run.texts(), ["cleanup starts", "cleanup ends"])
}

async fn row_151_the_timeout_error_keeps_the_cancelled_one_as_its_cause(run: Run) -> Check {
    let (_, _, cause) = wf2(&run).await;
    same(cause, &oracle("WF2").out[2])
}

async fn row_152_no_limit_waits_without_one(run: Run) -> Check {
    let value = wait_for(run.job("n", 1.0), None).await?;
    same(value, &oracle("WF3").out[4])
}

async fn row_153_a_limit_of_zero(run: Run) -> Check {
    // A Duration is never negative: the probe's -1 is 0 here.
    let mut out = Vec::new();
    for _ in 0..2 {
        let never = jobs::counted(run.journal.clone(), "never".to_owned());
        let refused = wait_for(never, Duration::ZERO).await;
        holds(matches!(refused, Err(Error::TimedOut(_))), "a coroutine under a limit of zero times out")?;
        out.push(json!(["TimeoutError", run.texts()]));
    }
    let done = create_task(run.nap(0.0, "d"));
    done.clone().await?;
    out.push(json!(wait_for(done, Duration::ZERO).await?));
    let task = create_task(run.job("t", 5.0));
    // Until it runs: a remote start takes a moment.
    while run.count("start t") == 0 {
        run.sleep(0.1).await?;
    }
    match wait_for(task.clone(), Duration::ZERO).await {
        Err(Error::TimedOut(_)) => out.push(json!(["TimeoutError", task.cancelled()])),
        other => out.push(json!(value_or_ex(other))),
    }
    out.push(json!(wait_for(run.job("n", 1.0), None).await?));
    same(out, &oracle("WF3").out)?;
    same(run.texts(), oracle("WF3").log.iter().map(|line| line.text.clone()).collect::<Vec<_>>())
}

async fn row_154_a_suppressed_cancel_gives_the_value(run: Run) -> Check {
    let inside = run.clone();
    let out = ensure_future(farloop::local(async move {
        let run = inside;
        let stub = || gives_in(run.journal.clone(), "suppressed".to_owned());
        let coroutine = wait_for(stub(), run.seconds(1.0)).await?;
        let task = wait_for(create_task(stub()), run.seconds(1.0)).await?;
        Ok((coroutine, task, farloop::current_task().map_or(99, |me| me.cancelling())))
    }))
    .await?;
    run.out_is(&oracle("WF4"), out)
}

async fn row_155_an_error_raised_during_the_cancel_is_raised(run: Run) -> Check {
    let bad = converts(run.journal.clone(), Fault::Key("during cancel".to_owned()));
    let raised = wait_for(bad, run.seconds(1.0)).await;
    // Python quotes the key when it prints the error, and so does our KeyError.
    run.out_is(&oracle("WF5"), value_or_ex(raised))
}

async fn row_156_cancelling_the_caller_cancels_the_inner_task_and_waits(run: Run) -> Check {
    let caller = create_task(nested::limits_cleanup(run.journal.clone()));
    run.sleep(1.0).await?;
    caller.cancel("outer");
    let raised = value_or_ex(caller.clone().await);
    run.out_is(&oracle("WF6"), (raised, run.time(), caller.cancelled()))?;
    run.journal_is(&oracle("WF6"))
}

async fn row_157_a_second_cancel_ends_the_caller(run: Run) -> Check {
    let inner = create_task(very_stubborn(run.journal.clone()));
    let caller = create_task(nested::limits(run.journal.clone(), inner.clone(), 1.0));
    run.sleep(2.0).await?;
    caller.cancel("go");
    // The timeout has used the inner task's first request. CPython up to 3.11, which is the reference here, ends the caller.
    let raised = value_or_ex(caller.clone().await);
    same((raised.as_str(), caller.cancelled(), inner.done()), ("CancelledError(go)", true, false))?;
    // The second request is not lost to the inner task's own accounting either: it runs on, and its value can be had.
    same(run.texts(), ["1st"])?;
    inner.cancel(());
    same(shield(inner).await?, "42")?;
    same(oracle("WF13").log.last().map(|line| line.text.clone()), "42")
}

async fn row_158_a_cancel_in_the_turn_of_the_completion_is_not_lost(run: Run) -> Check {
    let (promise, future) = create_future::<String>();
    let inner = future.clone();
    let limit = run.seconds(10.0);
    let caller = ensure_future(farloop::local(async move { wait_for(inner, limit).await }));
    farloop::yield_now().await?;
    promise.set_result("v".to_owned())?;
    caller.cancel(());
    let raised = value_or_ex(caller.await);
    same(raised.trim_end_matches("()"), oracle("WF7").out)?;
    same(future.result()?, "v")
}

async fn row_159_a_third_party_cancelling_the_inner_task_is_no_timeout(run: Run) -> Check {
    let inside = run.clone();
    let out = ensure_future(farloop::local(async move {
        let run = inside;
        let task = create_task(run.job("t", 5.0));
        let cancelled = task.clone();
        run.later(1.0, move || cancelled.cancel("third"));
        let raised = value_or_ex(wait_for(task, run.seconds(3.0)).await);
        Ok((raised, farloop::current_task().map_or(99, |me| me.cancelling()), run.time()))
    }))
    .await?;
    run.out_is(&oracle("WF12"), out)?;
    run.journal_is(&oracle("WF12"))
}

async fn row_160_a_limit_on_a_shield_does_not_cancel_the_task(run: Run) -> Check {
    let task = create_task(run.job("t", 3.0));
    if let Err(Error::TimedOut(_)) = wait_for(shield(task.clone()), run.seconds(1.0)).await {
        run.log(format!("timeout {} {}", truth(task.cancelled()), truth(task.done())));
    }
    run.log(task.await?);
    run.journal_is(&oracle("WF8"))
}

async fn row_161_completion_at_the_deadline_is_in_time(run: Run) -> Check {
    // WF11 is TimeoutError twice; by our rule it is the value twice. On the real clock the limit leaves room.
    same(oracle("WF11").out, json!(["TimeoutError", "TimeoutError"]))?;
    let limit = run.seconds(if run.exact() { 1.0 } else { 4.0 });
    let coroutine = wait_for(run.nap(1.0, "v"), limit).await;
    let task = create_task(run.nap(1.0, "v"));
    farloop::yield_now().await?;
    let earlier = wait_for(task, limit).await;
    same((value_or_ex(coroutine), value_or_ex(earlier)), ("v", "v"))
}

async fn row_162_nested_limits(run: Run) -> Check {
    let mut out = Vec::new();
    let timed_out = |result: farloop::Result<String>| matches!(result, Err(Error::TimedOut(_)));
    if timed_out(wait_for(nested::inner_limit_first(run.journal.clone()), run.seconds(3.0)).await) {
        out.push(("outer", run.time()));
    }
    if timed_out(wait_for(nested::outer_limit_first(run.journal.clone()), run.seconds(1.0)).await) {
        out.push(("outer", run.time()));
    }
    run.out_is(&oracle("WF10"), out)?;
    run.journal_is(&oracle("WF10"))
}

async fn row_163_the_inner_coroutine_is_a_task_of_its_own(run: Run) -> Check {
    same(oracle("WF9").out, true)?;
    let ids = nested::who_runs_what().await?;
    holds(ids[0] != ids[2], "wait_for(whoami()) is another task than its caller")?;
    run.time_is(0.0)
}

async fn row_164_a_blocking_body_is_not_interrupted_by_a_limit(run: Run) -> Check {
    // TO7: blocking code is not interrupted. Its caller is on another thread, so it can learn of the limit all the same; a
    // virtual clock stands still while a thread blocks, so there the limit is never passed.
    let task = create_task(jobs::blocks(run.journal.clone(), 300));
    while run.count("start blocks") == 0 {
        run.sleep(0.05).await?;
    }
    let limited = wait_for(task, if run.exact() { Duration::from_secs(1) } else { Duration::from_millis(50) }).await;
    if run.exact() {
        same(value_or_ex(limited), "blocks")?;
    } else {
        holds(matches!(limited, Err(Error::TimedOut(_))), &format!("the caller learns of the limit: {limited:?}"))?;
    }
    for _ in 0..100 {
        if run.count("done blocks") == 1 {
            break;
        }
        run.sleep(0.1).await?;
    }
    same(run.texts(), ["start blocks", "done blocks"])
}
