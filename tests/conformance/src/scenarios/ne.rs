//! NE: nested coroutines (rows 329-336).

use farloop::prelude::*;
use serde_json::json;

use crate::bodies::nested;
use crate::faults::Fault;
use crate::judge::{Check, Order, holds, same};
use crate::oracle::oracle;
use crate::python::{ex, value_or_ex};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_329_sequential_awaits_add_up_and_created_tasks_do_not;
    covered row_330_results_and_errors_pass_up_unchanged;
    covered row_331_a_failure_waits_until_somebody_awaits_it;
    covered row_332_a_parent_may_end_before_its_child;
    covered row_333_cancelling_a_parent_cancels_only_what_it_awaits;
    covered row_334_main_returns_the_list_of_gather_or_the_two_sets_of_wait;
    covered row_335_deep_chains_of_tasks_end_and_cancel;
    covered row_336_bodies_create_await_and_cancel_other_tasks;
};

async fn row_329_sequential_awaits_add_up_and_created_tasks_do_not(run: Run) -> Check {
    let shown = |time: f64| if run.exact() { format!("{:.1}", time) } else { String::new() };
    let a = run.job("a", 1.0).await?;
    let b = run.job("b", 2.0).await?;
    run.log(format!("sequential {}", shown(run.time())));
    let tasks = [("c", 1.0), ("d", 2.0), ("e", 4.0)].map(|(name, delay)| create_task(run.job(name, delay)));
    for task in tasks {
        run.log(format!("ret {}", task.await?));
    }
    run.log(format!("concurrent {}", shown(run.time())));
    run.out_is(&oracle("NE1"), a + &b)?;
    // The two times are in the lines' own times, too; on the real clock only there.
    let probe = oracle("NE1").edited(|line| {
        let timed = line.starts_with("sequential") || line.starts_with("concurrent");
        Some(if timed && !run.exact() { line.trim_end_matches(|c: char| c != ' ').to_owned() } else { line.to_owned() })
    });
    run.journal_is(&probe)
}

async fn row_330_results_and_errors_pass_up_unchanged(run: Run) -> Check {
    let raised = create_task(nested::top(run.journal.clone())).await;
    match raised {
        Ok(value) => holds(false, &format!("it fails: {value}"))?,
        Err(error) => {
            // Python's RuntimeError from E is the Rust error `Wrapped` with a source.
            same(ex(&error).replace("Wrapped", "RuntimeError"), &oracle("NE2").out[0])?;
            let causes: Vec<String> = error.causes().map(ToString::to_string).collect();
            holds(causes.iter().any(|cause| cause.contains("deep")), &format!("the cause came along: {causes:?}"))?;
        }
    }
    run.journal_is(&oracle("NE2"))
}

async fn row_331_a_failure_waits_until_somebody_awaits_it(run: Run) -> Check {
    let a = create_task(run.failing("a", 1.0, Fault::value("A")));
    let b = create_task(run.job("b", 3.0));
    run.log(format!("b {}", b.await?));
    if let Err(error) = a.await {
        run.log(format!("a raised at its await {}", ex(&error)));
    }
    run.journal_is(&oracle("NE6"))
}

async fn row_332_a_parent_may_end_before_its_child(run: Run) -> Check {
    let ended = create_task(nested::parent(run.journal.clone(), false)).await?;
    run.log(ended);
    run.sleep(5.0).await?;
    // The child may start on its own machine before the parent's end is known here.
    run.journal_in(Order::Loose, &oracle("NE7"))
}

async fn row_333_cancelling_a_parent_cancels_only_what_it_awaits(run: Run) -> Check {
    let parent = create_task(nested::parent(run.journal.clone(), true));
    run.sleep(1.0).await?;
    parent.cancel(());
    if parent.await.is_err_and(|error| error.is_cancelled()) {
        run.log("parent cancelled");
    }
    run.sleep(5.0).await?;
    run.journal_is(&oracle("NE8"))
}

async fn row_334_main_returns_the_list_of_gather_or_the_two_sets_of_wait(run: Run) -> Check {
    let naps = |run: &Run| [1.0, 2.0, 4.0].map(|delay| run.nap(delay, &format!("Done after {delay}s")));
    let inside = run.clone();
    let results = ensure_future(farloop::local(async move { gather_all(naps(&inside)).await })).await?;
    same(results, ["Done after 1s", "Done after 2s", "Done after 4s"])?;
    let inside = run.clone();
    let main = farloop::local(async move {
        // Handles are values: main can return the two sets themselves.
        let ended = wait(naps(&inside).map(create_task)).await?;
        Ok((ended.done, ended.pending))
    });
    let (done, pending) = ensure_future(main).await?;
    same((done.len(), pending.len()), (3, 0))?;
    // One after the other, each the time of its slowest.
    run.time_is(8.0)
}

async fn row_335_deep_chains_of_tasks_end_and_cancel(run: Run) -> Check {
    let value = create_task(nested::chain(run.journal.clone(), 300, 1.0)).await?;
    let chain = create_task(nested::chain(run.journal.clone(), 200, 1_000.0));
    while run.count("bottom") < 2 {
        run.sleep(0.5).await?;
    }
    chain.cancel(());
    let cancelled = chain.await.is_err_and(|error| error.is_cancelled());
    run.out_is(&oracle("NE4"), (value, if cancelled { "cancelled chain ok" } else { "not cancelled" }))
}

async fn row_336_bodies_create_await_and_cancel_other_tasks(run: Run) -> Check {
    let seen = create_task(nested::orchestrates(run.journal.clone())).await?;
    same(seen, json!(["first", "second", "CancelledError(enough)"]))?;
    let cancelled = run.count("cancelled third ('enough',)");
    same((run.count("done first"), run.count("done second"), cancelled), (1, 1, 1))?;
    // Bodies that await hold no slot: more of them than the cluster has slots do not block it.
    let chains = (0..4).map(|_| nested::chain(run.journal.clone(), 40, 1.0));
    same(gather_all(chains).await?, [40, 40, 40, 40])?;
    same(value_or_ex(create_task(nested::awaits(create_task(run.nap(0.1, "v")))).await), "v")
}
