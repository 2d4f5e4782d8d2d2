//! gather: what it takes, when it starts, what it gives (rows 80-86, 103-108, 113-114).

use farloop::Error;
use farloop::prelude::*;
use serde_json::json;

use crate::bodies::jobs;
use crate::bodies::nested;
use crate::faults::Fault;
use crate::judge::{Check, Order, holds, same};
use crate::oracle::oracle;
use crate::python::{ex, value_or_ex};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_080_gather_of_nothing_is_done;
    covered row_081_gather_starts_its_members_even_if_nobody_awaits_it;
    covered row_082_results_come_in_argument_order;
    covered row_083_elapsed_time_is_that_of_the_slowest;
    covered row_084_arguments_may_be_of_any_kind;
    covered row_085_the_same_task_twice_runs_once_and_shows_at_both_places;
    covered row_086_members_are_scheduled_in_argument_order;
    covered row_103_nested_gathers_nest_their_lists;
    covered row_104_members_of_another_loop_are_refused;
    deviates row_105_a_refused_argument_starts_nothing "CPython has already scheduled the coroutines before the bad argument; farloop makes all checks first";
    deviates row_106_a_list_is_the_normal_form "CPython wants the list unpacked; gather_all takes anything that iterates";
    covered row_107_a_gather_of_done_members_is_done_at_once;
    covered row_108_a_failed_gather_that_nobody_awaits_is_reported;
    covered row_113_panics_are_collected_like_other_errors;
    covered row_114_a_gather_holds_its_members;
};

async fn row_080_gather_of_nothing_is_done(run: Run) -> Check {
    let nothing = || Vec::<Coro<String>>::new();
    let gather = gather_all(nothing());
    let out = (gather.done(), gather.result()?, gather.await?, gather_settled_all(nothing()).await?.len());
    // The probe also prints the type's name first; its last element is the empty list of the other mode.
    same(out, json!([true, [], [], 0]))?;
    same(oracle("GA1").out.as_array().map(|out| out[1..].to_vec()), json!([true, [], [], []]))?;
    run.time_is(0.0)
}

async fn row_081_gather_starts_its_members_even_if_nobody_awaits_it(run: Run) -> Check {
    drop(gather((run.job("a", 1.0), run.job("b", 2.0))));
    run.sleep(3.0).await?;
    run.journal_is(&oracle("GA19"))
}

async fn row_082_results_come_in_argument_order(run: Run) -> Check {
    let probe = oracle("GA2");
    let results = gather_all([run.job("a", 3.0), run.job("b", 1.0), run.job("c", 2.0)]).await?;
    run.out_is(&probe, (results, run.time()))?;
    run.journal_is(&probe)
}

async fn row_083_elapsed_time_is_that_of_the_slowest(run: Run) -> Check {
    gather((run.job("a", 3.0), run.job("b", 1.0), run.job("c", 2.0))).await?;
    let elapsed = run.time();
    holds(elapsed < 5.0, "three members take the time of the slowest, not the sum of 6 s")?;
    run.out_is(&oracle("GA2"), (["a", "b", "c"], elapsed))
}

async fn row_084_arguments_may_be_of_any_kind(run: Run) -> Check {
    let coroutine = run.job("coroutine", 1.0);
    let task = create_task(run.job("task", 1.0));
    let nested = gather((run.job("nested", 1.0), run.job("too", 1.0)));
    let (promise, future) = create_future::<String>();
    let shielded = shield(run.job("shield", 1.0));
    let here = farloop::local(async { Ok("local".to_owned()) });
    run.later(0.5, move || promise.set_result("future".to_owned()));
    let out = gather((coroutine, task, nested, future, shielded, here)).await?;
    same(out, json!(["coroutine", "task", ["nested", "too"], "future", "shield", "local"]))
}

async fn row_085_the_same_task_twice_runs_once_and_shows_at_both_places(run: Run) -> Check {
    // GA3 passes a coroutine object three times and a task twice. A coroutine is moved, so it can be passed once (row 4);
    // as a task, it is the probe's program. Equal arguments are not duplicates: `y` is called twice.
    let call = |text: &str| jobs::counted(run.journal.clone(), text.to_owned());
    let (o, t) = (create_task(call("x")), create_task(call("t")));
    let results = gather_all([o.clone(), o.clone(), create_task(call("y")), t.clone(), o, t]).await?;
    let shape: Vec<String> = results.iter().map(|text| text.chars().take(1).collect()).collect();
    let probe: Vec<String> = oracle("GA3").out[0]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|text| text.as_str().map(|text| text.chars().take(1).collect()))
        .collect();
    same(shape, probe)?;
    same((run.count("run x"), run.count("run t"), run.count("run y")), (1, 1, 1))?;
    gather((call("y"), call("y"))).await?;
    same(run.count("run y"), 3)
}

async fn row_086_members_are_scheduled_in_argument_order(run: Run) -> Check {
    gather((run.job("a", 3.0), run.job("b", 1.0), run.job("c", 2.0))).await?;
    // On one loop the starts are in argument order. Machines race once a task is handed to them, so there only the results are.
    let order = if run.exact() { Order::Strict } else { Order::Causal };
    run.journal_in(order, &oracle("GA2"))
}

async fn row_103_nested_gathers_nest_their_lists(run: Run) -> Check {
    let probe = oracle("GA14");
    let inner = gather_all([run.job("a", 1.0), run.job("b", 2.0)]);
    let failing = gather_all([run.failing("c", 3.0, Fault::value("C"))]);
    let results = gather_settled_all([inner, failing]).await?;
    let shown: Vec<_> = results
        .into_iter()
        .map(|result| match result {
            Ok(list) => json!(list),
            Err(error) => json!(ex(&error)),
        })
        .collect();
    run.out_is(&probe, (shown, run.time()))?;
    run.journal_is(&probe)
}

async fn row_104_members_of_another_loop_are_refused(run: Run) -> Check {
    let foreign = crate::backend::foreign_task(&run).await?;
    let refused = gather_all([create_task(run.nap(0.0, "own")), foreign]).await;
    same(refused.as_ref().map_err(ex), Err::<Vec<String>, _>("LoopMismatch()".to_owned()))?;
    // CPython's is a ValueError with this text; farloop has a variant of its own.
    holds(oracle("GA15").out.to_string().contains("different loop"), "the probe refuses it, too")
}

async fn row_105_a_refused_argument_starts_nothing(run: Run) -> Check {
    let foreign = crate::backend::foreign_task(&run).await?;
    let refused = gather((run.job("first", 1.0), foreign)).await;
    same(refused.as_ref().map_err(ex), Err::<(String, String), _>("LoopMismatch()".to_owned()))?;
    run.sleep(3.0).await?;
    // The probe has three such programs, and each of them logs `start first`.
    let probe = oracle("GA16").edited(|_| None);
    run.journal_is(&probe)
}

async fn row_106_a_list_is_the_normal_form(run: Run) -> Check {
    let from_list = gather_all(vec![run.nap(0.0, "a"), run.nap(0.0, "b")]).await?;
    let from_iterator = gather_all(["a", "b"].map(|value| run.nap(0.0, value))).await?;
    same((from_list, from_iterator), json!([["a", "b"], ["a", "b"]]))
}

async fn row_107_a_gather_of_done_members_is_done_at_once(run: Run) -> Check {
    let (promise, future) = create_future::<String>();
    promise.set_result("1".to_owned())?;
    let task = create_task(run.nap(0.0, "2"));
    task.clone().await?;
    let gathered = gather((future, task));
    same(gathered.done(), oracle("GA17").out)?;
    same(gathered.await?, ("1", "2"))
}

async fn row_108_a_failed_gather_that_nobody_awaits_is_reported(run: Run) -> Check {
    run.collect_reports();
    let boom = || jobs::boom(Fault::Value("x".to_owned()));
    let gathered = gather((boom(), boom()));
    run.sleep(1.0).await?;
    let done = gathered.done();
    drop(gathered);
    let reports = run.reports().await?;
    same(done, &oracle("GA18").out[0])?;
    same(reports.len(), oracle("GA18").handler.len())?;
    holds(
        reports
            .iter()
            .all(|text| text.to_lowercase().contains("gather") && text.contains("exception was never retrieved")),
        &format!("the report is the probe's, about the gather and not about its members: {reports:?}"),
    )
}

async fn row_113_panics_are_collected_like_other_errors(run: Run) -> Check {
    let probe = oracle("GA23");
    let boom = jobs::boom(Fault::Panic("b".to_owned()));
    let (boom, x) = gather_settled((boom, run.job("x", 1.0))).await?;
    // The probe raises a BaseException of its own; the Rust error beyond `Result` is a panic.
    holds(
        matches!(&boom, Err(Error::Failed(failure)) if failure.message().contains('b')),
        &format!("a panic: {boom:?}"),
    )?;
    same(value_or_ex(x), &probe.out[1])?;
    run.journal_is(&probe)
}

async fn row_114_a_gather_holds_its_members(run: Run) -> Check {
    let gathered = {
        let a = create_task(run.job("a", 1.0));
        let b = create_task(nested::awaits(a.clone()));
        gather((a, b))
    };
    // No handle is left but the gather's.
    run.sleep(0.5).await?;
    same(gathered.await?, ("a", "a"))
}
