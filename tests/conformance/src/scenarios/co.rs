//! CO: coroutine objects (rows 1-12).

use farloop::prelude::*;
use serde_json::json;

use crate::bodies::jobs::{with_finally, with_finally_after};
use crate::bodies::nested;
use crate::faults::Fault;
use crate::judge::{Check, Order, holds, same};
use crate::oracle::oracle;
use crate::python::value_or_ex;
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_001_calling_runs_nothing;
    impossible row_002_a_coroutine_is_no_function_and_no_future "three types, Coro<T>, Task<T> and the function: what one offers the others do not have";
    covered row_003_a_coroutine_that_is_dropped_warns_once;
    impossible row_004_a_coroutine_is_awaited_once "an await takes the coroutine by value";
    impossible row_005_a_coroutine_that_is_being_awaited_is_gone "creating the task took it by value";
    impossible row_006_a_coroutine_makes_one_task "creating the task took it by value";
    covered row_007_closing_a_coroutine_silences_the_warning;
    deviates row_008_an_inline_await_is_an_execution_of_its_own "a remote coroutine cannot run inside the caller's task; it is owned by the await instead (V2). A local one does run inline";
    covered row_009_the_value_of_an_await_is_the_return_value;
    covered row_010_a_body_awaits_futures_and_coroutines_returns_and_raises;
    covered row_011_what_never_started_has_nothing_to_clean_up;
    impossible row_012_only_coroutines_become_tasks "create_task wants IntoTask, which a number does not implement";
};

async fn row_001_calling_runs_nothing(run: Run) -> Check {
    let coro = run.job("a", 0.0);
    run.sleep(1.0).await?;
    let seen = run.texts();
    coro.close();
    same(seen, &oracle("CO1").out[0])
}

async fn row_003_a_coroutine_that_is_dropped_warns_once(run: Run) -> Check {
    run.collect_reports();
    drop(run.job("a", 0.0));
    let reports = run.reports().await?;
    let want: Vec<String> = oracle("CO2")
        .warnings
        .iter()
        .map(|text| text.replace("RuntimeWarning: ", "").replace("_.<locals>.c", "farloop-test-conformance.job"))
        .collect();
    same(reports, want)?;
    same(run.texts().len(), 0)
}

async fn row_007_closing_a_coroutine_silences_the_warning(run: Run) -> Check {
    run.collect_reports();
    with_finally(run.journal.clone()).close();
    run.sleep(2.0).await?;
    // CO5 has no warning and no `finally`; that it cannot be awaited afterwards is row 4.
    let probe = oracle("CO5");
    same((run.reports().await?, run.texts()), (&probe.warnings, &probe.handler))
}

async fn row_008_an_inline_await_is_an_execution_of_its_own(run: Run) -> Check {
    let ids = nested::who_runs_what().await?;
    holds(ids[0] != ids[1], "the remote coroutine has a task of its own")?;
    // What follows from being inline holds all the same: a cancel of the caller reaches it, and dropping the await ends it.
    let caller = create_task(nested::awaits_inline(run.journal.clone()));
    run.sleep(1.0).await?;
    caller.cancel("through");
    holds(caller.await.is_err_and(|error| error.is_cancelled()), "the caller ends cancelled")?;
    same(run.texts(), ["start inline", "cancelled inline ('through',)"])?;
    let abandoned = tokio::time::timeout(run.seconds(1.0), async { run.job("dropped", 5.0).await }).await;
    holds(abandoned.is_err(), "the limit is passed first")?;
    run.sleep(1.0).await?;
    same(run.count("cancelled dropped ()"), 1)?;
    // CO7, with a local coroutine: inline, in the same task, with no turn in between.
    let inside = run.clone();
    let before = run.lines().len();
    let out = ensure_future(farloop::local(async move {
        let run = inside;
        let me = || farloop::current_task().map(|me| me.id().to_string());
        let pen = run.clone();
        tokio::task::spawn_local(async move { pen.log("soon") });
        let inner = farloop::local(async move { Ok(me()) }).await?;
        run.log("after inline await");
        Ok(inner == farloop::current_task().map(|me| me.id().to_string()))
    }))
    .await?;
    farloop::yield_now().await?;
    let texts: Vec<String> = run.texts().split_off(before);
    same((out, texts), json!([oracle("CO7").out[0], ["after inline await", "soon"]]))
}

async fn row_009_the_value_of_an_await_is_the_return_value(run: Run) -> Check {
    same(run.job("a", 1.0).await?, "a")?;
    same(value_or_ex(run.failing("b", 1.0, Fault::value("A")).await), oracle("WF14").out)
}

async fn row_010_a_body_awaits_futures_and_coroutines_returns_and_raises(run: Run) -> Check {
    let future = create_task(run.nap(1.0, "future"));
    let returned = nested::four_things(run.journal.clone(), future.clone(), false).await;
    let raised = nested::four_things(run.journal.clone(), future, true).await;
    same((value_or_ex(returned), value_or_ex(raised)), ("future and coroutine", "ValueError(futurecoroutine)"))
}

async fn row_011_what_never_started_has_nothing_to_clean_up(run: Run) -> Check {
    with_finally(run.journal.clone()).close();
    // Scheduled, and cancelled while it waits for its argument.
    let gate = create_task(run.nap(1.0, "gate"));
    let queued = create_task(with_finally_after(run.journal.clone(), &gate));
    queued.cancel(());
    holds(queued.await.is_err_and(|error| error.is_cancelled()), "it is cancelled")?;
    gate.await?;
    run.sleep(2.0).await?;
    // Neither `body` nor `finally`, as in CO5 and CA1.
    run.journal_in(Order::Strict, &oracle("CO5"))?;
    run.journal_in(Order::Strict, &oracle("CA1"))
}
