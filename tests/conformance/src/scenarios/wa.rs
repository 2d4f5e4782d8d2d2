//! WA: wait (rows 115-133).

use farloop::Error;
use farloop::prelude::*;
use serde_json::json;

use crate::bodies::jobs;
use crate::bodies::nested;
use crate::faults::Fault;
use crate::judge::{Check, Order, holds, same};
use crate::oracle::oracle;
use crate::python::{ex, truth};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_115_nothing_to_wait_for_is_an_error;
    impossible row_116_a_bare_task_as_the_collection "wait takes IntoIterator<Item = Task<T>>, and a task is no iterator";
    impossible row_117_coroutines_in_the_collection "the items are tasks by type; wait_coros is the named helper";
    impossible row_118_an_unknown_return_when "ReturnWhen is an enum";
    covered row_119_done_and_pending_together_are_the_input;
    covered row_120_wait_does_not_raise_its_members_errors;
    covered row_121_a_timeout_is_no_error_and_cancels_nothing;
    covered row_122_a_timeout_of_zero_polls;
    covered row_123_first_completed_reports_all_that_are_done_by_then;
    covered row_124_first_exception_ignores_cancelled_members;
    covered row_125_first_exception_without_any_waits_for_all;
    covered row_126_a_member_that_had_failed_ends_it_at_once;
    covered row_127_duplicates_collapse;
    covered row_128_any_iterable_will_do_and_an_empty_one_is_an_error;
    covered row_129_waiting_for_finished_members_returns_promptly_and_again;
    covered row_130_cancelling_the_waiter_leaves_the_members;
    deviates row_131_wait_reads_no_exceptions "CPython's FIRST_EXCEPTION consumes the exception that ended it; here only reading accessors do, in every mode";
    deviates row_132_done_at_the_deadline_is_done "CPython's answer depends on which timer was registered first; here what is done at or before the deadline counts as done";
    covered row_133_wait_leaves_no_callbacks_behind;
};

async fn row_115_nothing_to_wait_for_is_an_error(run: Run) -> Check {
    let refused = wait(Vec::<Task<String>>::new()).await;
    let text = refused.err().map(|error| ex(&error)).unwrap_or_default();
    // CPython's ValueError is a variant of ours; the words are CPython's.
    same(text.replace("Misuse(", "ValueError("), &oracle("WA1").out[0])?;
    run.time_is(0.0)
}

/// WA2: a value and a failure.
async fn wa2(run: &Run) -> Result<(Vec<Task<String>>, Vec<Task<String>>), Error> {
    let tasks = [create_task(run.job("a", 1.0)), create_task(run.failing("b", 2.0, Fault::value("B")))];
    let ended = wait(tasks).await?;
    Ok((ended.done, ended.pending))
}

async fn row_119_done_and_pending_together_are_the_input(run: Run) -> Check {
    let tasks = [create_task(run.job("a", 1.0)), create_task(run.job("b", 4.0)), create_task(run.job("c", 2.0))];
    let ended = wait(tasks.clone()).timeout(run.seconds(3.0)).await?;
    // Done in completion order: better than CPython's sets, which have none.
    same((ended.done == [tasks[0].clone(), tasks[2].clone()], ended.pending == [tasks[1].clone()]), (true, true))?;
    let coros = wait_coros(["x", "y"].map(|name| run.nap(0.5, name))).await?;
    same((coros.done.len(), coros.pending.len()), (2, 0))
}

async fn row_120_wait_does_not_raise_its_members_errors(run: Run) -> Check {
    let probe = oracle("WA2");
    let (done, pending) = wa2(&run).await?;
    let mut errors = Vec::new();
    for task in &done {
        errors.push(task.exception()?.map_or_else(|| "None".to_owned(), |error| ex(&error)));
    }
    errors.sort();
    run.out_is(&probe, ("set", done.len(), pending.len(), errors, run.time()))?;
    run.journal_is(&probe)
}

async fn row_121_a_timeout_is_no_error_and_cancels_nothing(run: Run) -> Check {
    let tasks = [create_task(run.job("a", 1.0)), create_task(run.job("b", 4.0))];
    let mut ended = wait(tasks).timeout(run.seconds(2.0)).await?;
    let cancelled: Vec<&str> = ended.pending.iter().map(|task| truth(task.cancelled())).collect();
    run.log(format!("{} {} [{}]", ended.done.len(), ended.pending.len(), cancelled.join(", ")));
    if let Some(rest) = ended.pending.pop() {
        run.log(rest.await?);
    }
    run.journal_is(&oracle("WA3"))
}

async fn row_122_a_timeout_of_zero_polls(run: Run) -> Check {
    // A Duration is never negative, so the probe's second half, with -1, is the first once more.
    let probe = oracle("WA4");
    let mut out = Vec::new();
    for name in ["x0", "x-1"] {
        let done = create_task(run.nap(0.0, "1"));
        done.clone().await?;
        let task = create_task(run.job(name, 1.0));
        let ended = wait([done, task.clone()]).timeout(Duration::ZERO).await?;
        out.push((ended.done.len(), ended.pending.len(), run.time()));
        task.await?;
    }
    run.out_is(&probe, out)?;
    run.journal_is(&probe)
}

async fn row_123_first_completed_reports_all_that_are_done_by_then(run: Run) -> Check {
    let tasks = [create_task(run.job("a", 1.0)), create_task(run.job("b", 1.0)), create_task(run.job("c", 2.0))];
    if run.exact() {
        let ended = wait(tasks).return_when(ReturnWhen::FirstCompleted).await?;
        run.log(format!("{} {}", ended.done.len(), ended.pending.len()));
        wait(ended.pending).await?;
        return run.journal_is(&oracle("WA5"));
    }
    // Two machines do not finish at one instant: one at least is done, and what is done when the caller goes on is in `done`.
    let ended = wait(tasks).return_when(ReturnWhen::FirstCompleted).await?;
    holds(!ended.done.is_empty() && ended.done.iter().all(Task::done), "what is in `done` is done")?;
    holds(ended.pending.iter().all(|task| !task.done()), "what is done by the time the caller goes on is in `done`")?;
    wait(ended.pending).await?;
    same(run.count("done c"), 1)
}

/// WA6: a cancelled member, two values, a failure; then members of which none fails.
async fn wa6(run: &Run) -> Check {
    let [a, b, c] = [("a", 9.0), ("b", 2.0), ("c", 3.0)].map(|(name, delay)| create_task(run.job(name, delay)));
    let f = create_task(run.failing("f", 4.0, Fault::value("F")));
    let cancelled = a.clone();
    run.later(1.0, move || cancelled.cancel(()));
    let ended = wait([a, b, c, f.clone()]).return_when(ReturnWhen::FirstException).await?;
    run.log(format!("woke {} {}", ended.done.len(), ended.pending.len()));
    let (x, y) = (create_task(run.job("x", 1.0)), create_task(run.job("y", 9.0)));
    let cancelled = y.clone();
    run.later(0.5, move || cancelled.cancel(()));
    let ended = wait([x, y]).return_when(ReturnWhen::FirstException).await?;
    run.log(format!("no exception -> all {} {}", ended.done.len(), ended.pending.len()));
    drop(f.exception());
    Ok(())
}

async fn row_124_first_exception_ignores_cancelled_members(run: Run) -> Check {
    wa6(&run).await?;
    run.journal_is(&oracle("WA6"))?;
    same(run.count("woke 4 0"), 1)
}

async fn row_125_first_exception_without_any_waits_for_all(run: Run) -> Check {
    wa6(&run).await?;
    run.journal_is(&oracle("WA6"))?;
    same(run.count("no exception -> all 2 0"), 1)
}

async fn row_126_a_member_that_had_failed_ends_it_at_once(run: Run) -> Check {
    let b = create_task(jobs::boom(Fault::Value("b".to_owned())));
    wait([b.clone()]).await?;
    let from = run.time();
    let a = create_task(run.job("a", 5.0));
    let ended = wait([a.clone(), b.clone()]).return_when(ReturnWhen::FirstException).await?;
    holds(run.time() - from < 2.5, "it does not wait for `a`")?;
    run.log(format!("{} {}", ended.done.len(), ended.pending.len()));
    // The probe's `a` has started by then; a remote one is given the time to, so that it can say how it was cancelled.
    run.sleep(0.5).await?;
    a.cancel(());
    drop(b.exception());
    wait([a]).await?;
    let mut probe = oracle("WA10");
    if let Some(line) = probe.log.last_mut() {
        line.time = 0.5;
    }
    run.journal_in(Order::Loose, &probe)
}

async fn row_127_duplicates_collapse(run: Run) -> Check {
    let task = create_task(run.job("a", 1.0));
    let ended = wait([task.clone(), task.clone(), task]).await?;
    same(ended.done.len(), oracle("WA8").out)?;
    run.journal_is(&oracle("WA8"))
}

async fn row_128_any_iterable_will_do_and_an_empty_one_is_an_error(run: Run) -> Check {
    let generated = wait(["a", "b"].iter().map(|name| create_task(run.nap(0.5, name)))).await?;
    same(generated.done.len(), 2)?;
    // CPython 3.13.0 hits an assertion here (V13); what was meant is the error of an empty collection.
    let refused = wait(std::iter::empty::<Task<String>>()).await;
    same(refused.err().map(|error| ex(&error)), "Misuse(Set of Tasks/Futures is empty.)")
}

async fn row_129_waiting_for_finished_members_returns_promptly_and_again(run: Run) -> Check {
    let task = create_task(run.nap(1.0, "a"));
    wait([task.clone()]).await?;
    let from = run.time();
    for _ in 0..3 {
        let ended = wait([task.clone()]).await?;
        same((ended.done.len(), ended.pending.len()), (1, 0))?;
    }
    crate::judge::same_with_times(run.time() - from, 0.0, run.exact())
}

async fn row_130_cancelling_the_waiter_leaves_the_members(run: Run) -> Check {
    let member = create_task(run.job("a", 2.0));
    let outer = create_task(nested::waits(vec![member.clone()]));
    run.sleep(1.0).await?;
    outer.cancel(());
    if outer.await.is_err_and(|error| error.is_cancelled()) {
        run.log("wait cancelled");
    }
    run.log(member.await?);
    run.journal_is(&oracle("WA7"))
}

async fn row_131_wait_reads_no_exceptions(run: Run) -> Check {
    run.collect_reports();
    for mode in [ReturnWhen::AllCompleted, ReturnWhen::FirstException, ReturnWhen::FirstCompleted] {
        let slow = create_task(run.nap(1.0, "slow"));
        let boom = create_task(jobs::boom(Fault::Value("b".to_owned())));
        drop(wait([boom, slow.clone()]).return_when(mode).await?);
        slow.await?;
    }
    // WA13: ALL_COMPLETED and FIRST_COMPLETED report it, FIRST_EXCEPTION does not. Ours report it three times.
    same(&oracle("WA13").out[1], json!(["FIRST_EXCEPTION", []]))?;
    let reports = run.reports().await?;
    same(reports, ["Task exception was never retrieved | ValueError(b)"; 3])
}

async fn row_132_done_at_the_deadline_is_done(run: Run) -> Check {
    // WA12 is (1, 0) and WA11, where the deadline was registered before the sleep began, is (0, 1).
    same(oracle("WA12").out, (1, 0))?;
    let task = create_task(run.nap(1.0, "v"));
    let limit = if run.exact() { 1.0 } else { 4.0 };
    let ended = wait([task]).timeout(run.seconds(limit)).await?;
    same((ended.done.len(), ended.pending.len()), (1, 0))?;
    let late = create_task(run.nap(2.0, "v"));
    run.sleep(1.0).await?;
    let ended = wait([late]).timeout(run.seconds(limit)).await?;
    same((ended.done.len(), ended.pending.len()), (1, 0))
}

async fn row_133_wait_leaves_no_callbacks_behind(run: Run) -> Check {
    let task = create_task(run.nap(3.0, "a"));
    let before = format!("{task:?}");
    for _ in 0..3 {
        wait([task.clone()]).timeout(run.seconds(0.2)).await?;
    }
    same(format!("{task:?}"), before)?;
    holds(!format!("{task:?}").contains("cb="), "no callback is listed")
}
