//! SH: shield (rows 181-192).

use farloop::Error;
use farloop::prelude::*;
use serde_json::json;

use crate::bodies::nested;
use crate::faults::Fault;
use crate::judge::{Check, holds, same};
use crate::oracle::oracle;
use crate::python::{args, ex, message, truth, value_or_ex};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_181_a_shield_gives_the_inner_result_or_error;
    covered row_182_cancelling_the_awaiter_does_not_reach_the_inner_task;
    covered row_183_the_inner_result_can_be_fetched_later;
    covered row_184_cancelling_the_shield_itself_is_immediate;
    covered row_185_cancelling_the_inner_task_cancels_the_shield;
    covered row_186_the_shield_of_a_done_task_is_done;
    covered row_187_the_shield_of_a_coroutine_schedules_it;
    covered row_188_a_failure_after_the_awaiter_is_gone_is_reported;
    covered row_189_an_abandoned_shield_leaves_nothing_at_the_inner_task;
    covered row_190_a_shield_does_not_protect_from_a_cancel_of_the_task_itself;
    covered row_191_after_the_shield_is_cut_the_same_body_may_await_the_task;
    covered row_192_gather_and_shield_combine_in_both_nestings;
};

async fn row_181_a_shield_gives_the_inner_result_or_error(run: Run) -> Check {
    same(shield(run.nap(0.5, "v")).await?, "v")?;
    let failing = create_task(run.failing("in", 2.0, Fault::value("E")));
    let raised = value_or_ex(shield(failing.clone()).await);
    // One error per handle is CPython's identity; here the two are equal to the letter.
    let kept = failing.exception()?.map(|error| ex(&error)).unwrap_or_default();
    run.out_is(&oracle("SH6"), (&raised, raised == kept))
}

/// SH1: cancels the awaiter of a shield.
async fn sh1(run: &Run) -> Check {
    let inner = create_task(run.job("in", 3.0));
    let outer = create_task(nested::shields(inner.clone()));
    run.sleep(1.0).await?;
    outer.cancel("oc");
    if let Err(error) = outer.clone().await {
        run.log(format!("outer cancelled {} {} {}", args(&error), truth(outer.cancelled()), truth(inner.cancelled())));
    }
    run.log(inner.await?);
    run.journal_is(&oracle("SH1"))
}

async fn row_182_cancelling_the_awaiter_does_not_reach_the_inner_task(run: Run) -> Check {
    sh1(&run).await?;
    same(run.texts().iter().filter(|text| text.starts_with("cancelled in")).count(), 0)
}

async fn row_183_the_inner_result_can_be_fetched_later(run: Run) -> Check {
    sh1(&run).await?;
    same(run.count("in"), 1)
}

async fn row_184_cancelling_the_shield_itself_is_immediate(run: Run) -> Check {
    let task = create_task(run.job("in", 2.0));
    let shielded = shield(task.clone());
    let accepted = shielded.cancel(());
    let out = (accepted, shielded.cancelled(), task.cancelled());
    task.await?;
    run.out_is(&oracle("SH7"), out)?;
    run.journal_is(&oracle("SH7"))
}

async fn row_185_cancelling_the_inner_task_cancels_the_shield(run: Run) -> Check {
    let inner = create_task(run.job("in", 3.0));
    let outer = create_task(nested::shields(inner.clone()));
    run.sleep(1.0).await?;
    inner.cancel("ic");
    if let Err(error) = outer.clone().await {
        // CPython loses the message on the way; here it is kept.
        same(message(&error), Some("ic"))?;
        run.log(format!("outer () {} {}", truth(outer.cancelled()), outer.cancelling()));
    }
    run.journal_is(&oracle("SH2"))
}

async fn row_186_the_shield_of_a_done_task_is_done(run: Run) -> Check {
    let task = create_task(run.nap(0.0, "1"));
    task.clone().await?;
    let shielded = shield(task.clone());
    // Identity is that of the task.
    same((shielded.done(), ensure_future(shielded) == task), json!([true, oracle("SH2").out]))
}

async fn row_187_the_shield_of_a_coroutine_schedules_it(run: Run) -> Check {
    // SH1's other half: nobody holds the task but the shield, and when that is gone it still runs to its end.
    drop(shield(run.job("in", 1.0)));
    run.sleep(2.0).await?;
    same(run.texts(), ["start in", "done in"])
}

async fn row_188_a_failure_after_the_awaiter_is_gone_is_reported(run: Run) -> Check {
    run.collect_reports();
    let journal = run.journal.clone();
    // A local awaiter, so that the report comes to this process.
    let outer = ensure_future(farloop::local(async move {
        shield(crate::bodies::jobs::job(journal, "in".to_owned(), 3.0, Fault::value("late"))).await
    }));
    run.sleep(1.0).await?;
    outer.cancel(());
    if outer.await.is_err_and(|error| error.is_cancelled()) {
        run.log("outer cancelled");
    }
    run.sleep(5.0).await?;
    let reports = run.reports().await?;
    same(reports, ["Task exception was never retrieved | ValueError(late)"])?;
    same(oracle("SH3").handler, ["Task exception was never retrieved"])?;
    run.journal_is(&oracle("SH3"))
}

async fn row_189_an_abandoned_shield_leaves_nothing_at_the_inner_task(run: Run) -> Check {
    let task = create_task(run.nap(3.0, "v"));
    let before = format!("{task:?}");
    for _ in 0..5 {
        let raised = wait_for(shield(task.clone()), run.seconds(0.1)).await;
        holds(matches!(raised, Err(Error::TimedOut(_))), "the limit is passed before the task is done")?;
    }
    same(format!("{task:?}"), before)?;
    same(task.await?, "v")
}

async fn row_190_a_shield_does_not_protect_from_a_cancel_of_the_task_itself(run: Run) -> Check {
    // The outer task is one of this loop, so that the other two are this session's and `all_tasks` shows them.
    let inside = run.clone();
    let outer = ensure_future(farloop::local(async move {
        drop(create_task(inside.job("bg", 3.0)));
        shield(inside.job("shielded", 5.0)).await
    }));
    run.sleep(1.0).await?;
    outer.cancel(());
    drop(outer.await);
    let left: Vec<_> = farloop::all_tasks()?.into_iter().filter(|task| task.function.ends_with(".job")).collect();
    run.log(format!("left {}", left.len()));
    let handles: Vec<Task<String>> = left.iter().map(|task| Task::attach(task.id)).collect();
    for task in &left {
        task.cancel(());
    }
    let ends: Vec<bool> = gather_settled_all(handles)
        .await?
        .into_iter()
        .map(|end| end.is_err_and(|error| error.is_cancelled()))
        .collect();
    same(ends, [true, true])?;
    run.journal_is(&oracle("SH5"))
}

async fn row_191_after_the_shield_is_cut_the_same_body_may_await_the_task(run: Run) -> Check {
    let inner = create_task(run.job("in", 3.0));
    let outer = create_task(nested::shields_then_awaits(run.journal.clone(), inner));
    run.sleep(1.0).await?;
    outer.cancel(());
    let value = outer.clone().await?;
    run.out_is(&oracle("SH8"), (value, outer.cancelled(), outer.cancelling()))?;
    run.journal_is(&oracle("SH8"))
}

async fn row_192_gather_and_shield_combine_in_both_nestings(run: Run) -> Check {
    let shielded = shield(gather((run.nap(0.5, "a"), run.nap(0.5, "b"))));
    same(shielded.await?, ("a", "b"))?;
    let gathered = gather((shield(run.nap(0.5, "c")), run.nap(0.5, "d")));
    same(gathered.await?, ("c", "d"))?;
    // What a cancel reaches in each of the two: nobody, and the bare member.
    let (a, b) = (create_task(run.nap(1.0, "a")), create_task(run.nap(1.0, "b")));
    let outside = shield(gather((a.clone(), b.clone())));
    outside.cancel(());
    same(gather((a, b)).await?, ("a", "b"))?;
    let (c, d) = (create_task(run.nap(1.0, "c")), create_task(run.nap(1.0, "d")));
    let inside = gather((shield(c.clone()), d.clone()));
    inside.cancel(());
    drop(inside.await);
    same(c.await?, "c")?;
    holds(d.await.is_err_and(|error| error.is_cancelled()), "the bare member is cancelled")
}
