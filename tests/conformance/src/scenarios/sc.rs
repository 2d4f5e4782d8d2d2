//! SC: scheduling (rows 13-24).

use farloop::prelude::*;
use serde_json::json;

use crate::backend;
use crate::bodies::jobs::{Unencodable, counted, takes_unencodable};
use crate::judge::{Check, Order, holds, same};
use crate::oracle::oracle;
use crate::python::{ex, value_or_ex};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_013_a_body_does_not_run_before_its_creator_yields;
    covered row_014_first_steps_are_in_creation_order;
    covered row_015_without_a_loop_the_coroutine_stays_usable;
    covered row_016_ensure_future_of_a_task_is_that_task;
    covered row_017_ensure_future_schedules_coroutines_and_wraps_local_futures;
    impossible row_018_what_is_not_awaitable_is_refused "ensure_future wants IntoTask, which a closure does not implement";
    covered row_019_a_task_of_another_loop_is_refused_at_once;
    covered row_020_awaiting_a_task_of_another_loop_is_an_error;
    covered row_021_a_closed_loop_refuses_and_no_warning_follows;
    missing row_022_a_task_factory "the design has no task factory: names, routing and retries are options of the coroutine";
    deviates row_023_a_submission_that_fails_is_told_by_the_handle "there is no task factory that could fail; arguments that cannot be encoded are what fails at that point";
    deviates row_024_a_task_that_nobody_references_goes_on "CPython may collect it while it is pending; the coordinator owns it, and dropping a handle detaches";
};

/// CO8 with coroutines of this loop.
async fn co8(run: &Run) -> Check {
    let body = |n: u32| {
        let run = run.clone();
        farloop::local(async move {
            run.log(format!("body {n}"));
            Ok(())
        })
    };
    let (first, second) = (create_task(body(1)), create_task(body(2)));
    run.log("after create");
    run.sleep(0.0).await?;
    run.log("after one tick");
    first.await?;
    second.await?;
    run.journal_in(Order::Strict, &oracle("CO8"))
}

async fn row_013_a_body_does_not_run_before_its_creator_yields(run: Run) -> Check {
    co8(&run).await?;
    // A remote body may run elsewhere meanwhile; creating its task does not wait for that.
    let task = create_task(run.job("remote", 0.0));
    holds(!task.done(), "creating a task returns at once")?;
    same(task.await?, "remote")
}

async fn row_014_first_steps_are_in_creation_order(run: Run) -> Check {
    co8(&run).await?;
    if run.exact() {
        // Remote ones, dispatched by one coordinator; across machines only the dispatch has an order.
        let before = run.lines().len();
        let tasks = ["a", "b", "c", "d"].map(|name| create_task(run.job(name, 1.0)));
        gather_all(tasks).await?;
        let starts: Vec<String> =
            run.texts().split_off(before).into_iter().filter(|text| text.starts_with("start")).collect();
        same(starts, ["start a", "start b", "start c", "start d"])?;
    }
    Ok(())
}

async fn row_015_without_a_loop_the_coroutine_stays_usable(run: Run) -> Check {
    // A process without a loop: this one has some.
    let told = backend::without_loop()?;
    same(told["create_task"].as_str(), Some("NoRunningLoop(tests/conformance/src/loopless.rs)"))?;
    same(told["given_back"].as_str(), Some("farloop-test-conformance.echo"))?;
    same(told["then_runs"].as_str(), Some("usable"))?;
    same(oracle("CO9").out, "RuntimeError(no running event loop)")?;
    holds(
        told["text"].as_str().is_some_and(|text| text.starts_with("no running event loop")),
        "the words are CPython's",
    )?;
    run.time_is(0.0)
}

async fn row_016_ensure_future_of_a_task_is_that_task(run: Run) -> Check {
    let task = create_task(run.nap(0.5, "v"));
    let (promise, future) = create_future::<String>();
    promise.set_result("3".to_owned())?;
    let same_task = ensure_future(task.clone()).id() == task.id() && ensure_future(&task) == task;
    let same_future = ensure_future(future.clone()) == future;
    let probe = oracle("CO6");
    same((same_future, same_task), (&probe.out[5], &probe.out[6]))?;
    same(task.await?, "v")
}

async fn row_017_ensure_future_schedules_coroutines_and_wraps_local_futures(run: Run) -> Check {
    let remote = ensure_future(run.job("a", 1.0));
    // Any future of this process, too: here one that is not farloop's.
    let local = ensure_future(farloop::local(async {
        tokio::task::yield_now().await;
        Ok("aw".to_owned())
    }));
    same(local.await?, &oracle("CO6").out[7])?;
    same(remote.await?, "a")
}

async fn row_019_a_task_of_another_loop_is_refused_at_once(run: Run) -> Check {
    let foreign = backend::foreign_task(&run).await?;
    let refused = create_task(counted(run.journal.clone(), &foreign));
    holds(refused.done(), "the handle has failed already")?;
    same(refused.result().map_err(|error| ex(&error)).err(), "LoopMismatch()")?;
    run.sleep(1.0).await?;
    same(run.texts().len(), 0)?;
    holds(oracle("GA15").out.to_string().contains("belongs to a different loop"), "the probe refuses it, too")
}

async fn row_020_awaiting_a_task_of_another_loop_is_an_error(run: Run) -> Check {
    let foreign = backend::foreign_task(&run).await?;
    let task = ensure_future(farloop::local(foreign));
    let raised = value_or_ex(task.await);
    same((raised, oracle("TS8").out), json!(["LoopMismatch()", true]))
}

async fn row_021_a_closed_loop_refuses_and_no_warning_follows(run: Run) -> Check {
    let told = backend::without_loop()?;
    let refused = (&told["closed"], &told["closed_text"], &told["closed_reports"]);
    same(refused, json!(["LoopClosed()", "Event loop is closed", []]))?;
    same(oracle("LO2").out[8].clone(), json!(["ensure_future", "RuntimeError(Event loop is closed)"]))?;
    run.time_is(0.0)
}

async fn row_023_a_submission_that_fails_is_told_by_the_handle(run: Run) -> Check {
    let task = create_task(takes_unencodable(Unencodable));
    let raised = tokio::time::timeout(run.seconds(5.0), task).await;
    match raised {
        Err(_) => holds(false, "the handle is not left pending"),
        Ok(Ok(value)) => holds(false, &format!("it cannot have run: {value}")),
        Ok(Err(error)) => {
            let text = error.to_string();
            holds(text.contains("has no form on the wire") && text.contains("takes_unencodable"), &text)
        }
    }
}

async fn row_024_a_task_that_nobody_references_goes_on(run: Run) -> Check {
    drop(create_task(run.job("a", 2.0)));
    run.sleep(3.0).await?;
    same(run.texts(), ["start a", "done a"])?;
    same(&oracle("CX2").out[0], ["Task was destroyed but it is pending!"])
}
