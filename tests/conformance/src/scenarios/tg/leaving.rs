//! How a group is filled and left: values, handles, adding, and what is asked from outside.

use std::cell::RefCell;

use farloop::error::Misuse;
use farloop::prelude::*;
use farloop::{Error, context::ContextVar};
use serde_json::json;

use super::{counted, kept, local_job, raised};
use crate::bodies::jobs::{cancelled_by_itself, counted as says_that_it_runs};
use crate::bodies::{jobs, scoped};
use crate::faults::Fault;
use crate::judge::{Check, holds, same};
use crate::oracle::oracle;
use crate::python::{ex, truth, value_or_ex};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_193_leaving_waits_for_all_tasks;
    covered row_194_results_are_read_from_the_handles;
    covered row_195_an_empty_group_ends_at_once_and_a_return_waits;
    covered row_199_a_cancelled_task_is_no_error_of_the_group;
    covered row_201_a_cancel_from_outside_cancels_the_tasks;
    covered row_210_tasks_are_added_while_the_group_runs;
    covered row_211_adding_after_the_end_or_during_an_abort_is_an_error;
    covered row_212_a_refused_coroutine_is_closed;
    impossible row_214_a_group_is_entered_once "the group is the argument of its block, and the scope a future, which is awaited once; that it needs a task is tested beside it (crates/farloop/tests/groups.rs)";
    covered row_216_a_cancelled_error_of_the_body_leaves_as_one;
    covered row_217_names_and_contexts_are_given_per_task;
    covered row_218_a_timeout_around_a_group_stops_it;
    covered row_220_cancel_stops_all_and_is_no_error;
};

/// The program of TG1.
async fn tg1(run: &Run) -> Check {
    let printed = RefCell::new(None);
    let (a, b) = TaskGroup::scope(async |group| {
        let handles = (group.create_task(run.job("a", 1.0)), group.create_task(run.job("b", 2.0)));
        run.log("body end");
        printed.replace(Some(group));
        Ok(handles)
    })
    .await?;
    let group = kept(printed)?;
    run.out_is(&oracle("TG1"), (a.result()?, b.result()?, run.time(), format!("{group:?}")))?;
    run.journal_is(&oracle("TG1"))
}

async fn row_193_leaving_waits_for_all_tasks(run: Run) -> Check {
    tg1(&run).await
}

async fn row_194_results_are_read_from_the_handles(run: Run) -> Check {
    tg1(&run).await?;
    // Beyond CPython: the scope gives what its body returns.
    same(TaskGroup::scope(async |_| Ok("value")).await?, "value")
}

async fn row_195_an_empty_group_ends_at_once_and_a_return_waits(run: Run) -> Check {
    let group = TaskGroup::scope(async |group| Ok(group)).await?;
    run.out_is(&oracle("TG12"), (run.time(), format!("{group:?}")))?;
    let early = TaskGroup::scope(async |group| {
        drop(group.create_task(run.job("a", 2.0)));
        Ok("early")
    });
    run.out_is(&oracle("TG22"), (early.await?, run.time()))?;
    run.journal_is(&oracle("TG22"))
}

async fn row_199_a_cancelled_task_is_no_error_of_the_group(run: Run) -> Check {
    let (a, b) = TaskGroup::scope(async |group| {
        let a = group.create_task(run.job("a", 9.0));
        let b = group.create_task(run.job("b", 2.0));
        let theirs = a.clone();
        run.later(1.0, move || theirs.cancel(()));
        Ok((a, b))
    })
    .await?;
    run.out_is(&oracle("TG3"), (a.cancelled(), b.result()?, run.time()))?;
    run.journal_is(&oracle("TG3"))?;
    let (t, u) = TaskGroup::scope(async |group| {
        let t = group.create_task(cancelled_by_itself("mine".to_owned()));
        Ok((t, group.create_task(run.job("u", 1.0))))
    })
    .await?;
    same((t.cancelled(), u.result()?), oracle("TG18").out)
}

async fn row_201_a_cancel_from_outside_cancels_the_tasks(run: Run) -> Check {
    let task = create_task(scoped::groups(run.journal.clone()));
    run.sleep(1.0).await?;
    task.cancel("ext");
    let error = raised(task.clone().await)?;
    same((ex(&error), task.cancelled(), task.cancelling()), oracle("TG5").out)?;
    run.journal_is(&oracle("TG5"))
}

async fn row_210_tasks_are_added_while_the_group_runs(run: Run) -> Check {
    let inside = run.clone();
    TaskGroup::scope(async |group| {
        let member = group.clone();
        drop(group.create_task(farloop::local(async move {
            inside.sleep(1.0).await?;
            drop(member.create_task(inside.job("late", 3.0)));
            Ok(())
        })));
        Ok(())
    })
    .await?;
    run.out_is(&oracle("TG8"), run.time())?;
    run.journal_is(&oracle("TG8"))
}

/// What adding to a group is told, as CPython's error prints.
fn refusal(group: &TaskGroup, coro: Coro<String>) -> Result<String, Error> {
    match group.create_task(coro).result() {
        Err(Error::Misuse(refused @ (Misuse::GroupFinished { .. } | Misuse::GroupShuttingDown { .. }))) => {
            Ok(format!("RuntimeError({refused})"))
        }
        other => Err(Error::msg(format!("refused: {other:?}"))),
    }
}

/// The program of TG7, without what is before and at entry: there is no group without its body.
async fn tg7(run: &Run) -> Check {
    let probe = oracle("TG7");
    let group = TaskGroup::scope(async |group| Ok(group)).await?;
    let never = || says_that_it_runs(run.journal.clone(), "never".to_owned());
    let mut out = vec![refusal(&group, never())?];
    let (inside, told) = (run.clone(), std::rc::Rc::new(RefCell::new(None)));
    let tells = told.clone();
    let end = TaskGroup::scope(async |group| {
        let member = group.clone();
        drop(group.create_task(farloop::local(async move {
            let slept = inside.sleep(9.0).await;
            if slept.is_err() {
                let never = says_that_it_runs(inside.journal.clone(), "never".to_owned());
                tells.replace(Some(refusal(&member, never)));
            }
            slept
        })));
        drop(group.create_task(run.failing("a", 1.0, Fault::value("A"))));
        Ok(())
    });
    let error = raised(end.await)?;
    out.push(told.take().ok_or_else(|| Error::msg("the member was cancelled"))??);
    out.push(ex(&error));
    same(out, probe.out.as_array().map(|out| out[2..].to_vec()))?;
    run.journal_is(&probe)
}

async fn row_211_adding_after_the_end_or_during_an_abort_is_an_error(run: Run) -> Check {
    tg7(&run).await
}

async fn row_212_a_refused_coroutine_is_closed(run: Run) -> Check {
    run.collect_reports();
    tg7(&run).await?;
    let never: Vec<String> =
        run.reports().await?.into_iter().filter(|report| report.contains("never awaited")).collect();
    same(never, Vec::<String>::new())
}

async fn row_216_a_cancelled_error_of_the_body_leaves_as_one(run: Run) -> Check {
    let end = TaskGroup::scope(async |group| {
        drop(group.create_task(run.job("a", 9.0)));
        run.sleep(1.0).await?;
        // One that nobody asked for: it comes from a future of its own.
        let (_promise, future) = create_future::<()>();
        future.cancel("body");
        future.await
    });
    let error = raised(end.await)?;
    same((ex(&error), counted()), oracle("TG21").out)?;
    run.journal_is(&oracle("TG21"))
}

static COLOUR: ContextVar<String> = ContextVar::new("conformance.colour");

async fn row_217_names_and_contexts_are_given_per_task(run: Run) -> Check {
    COLOUR.set("red".to_owned())?;
    let reads = || farloop::local(async { Ok(COLOUR.get()?.unwrap_or_default()) });
    let blue = farloop::context::Context::current();
    COLOUR.set("green".to_owned())?;
    let (named, remote, own, given) = TaskGroup::scope(async |group| {
        Ok((
            group.create_task(reads().name("yolo")),
            group.create_task(run.nap(0.0, "v").name("remote")),
            group.create_task(reads()),
            group.create_task(reads().context(blue)),
        ))
    })
    .await?;
    same((named.name(), remote.name()), ("yolo", "remote"))?;
    same((own.result()?, given.result()?), ("green", "red"))
}

async fn row_218_a_timeout_around_a_group_stops_it(run: Run) -> Check {
    let (a, b) = (RefCell::new(None), RefCell::new(None));
    let end = timeout(run.seconds(1.0), async {
        TaskGroup::scope(async |group| {
            a.replace(Some(group.create_task(run.job("a", 9.0))));
            b.replace(Some(group.create_task(run.job("b", 9.0))));
            Ok(())
        })
        .await
    });
    let error = raised(end.await)?;
    let (a, b) = (kept(a)?, kept(b)?);
    run.out_is(&oracle("TG19"), (ex(&error), a.cancelled(), b.cancelled(), run.time()))?;
    run.journal_is(&oracle("TG19"))?;
    // The same in a body on a worker; nothing of it is a request of its task.
    let task = create_task(scoped::limits_a_group(run.journal.clone()));
    let remote = raised(task.clone().await)?;
    same((ex(&remote), task.cancelling(), task.cancelled()), ("TimeoutError()", 0, false))
}

async fn row_220_cancel_stops_all_and_is_no_error(run: Run) -> Check {
    // No recorded CPython has it; the words are those of its documentation (3.15).
    let a = RefCell::new(None);
    TaskGroup::scope(async |group| {
        a.replace(Some(group.create_task(run.job("a", 9.0))));
        let later = group.clone();
        run.later(1.0, move || {
            later.cancel();
            later.cancel();
        });
        run.sleep(99.0).await
    })
    .await?;
    run.time_is(1.0)?;
    let a = kept(a)?;
    same((a.cancelled(), counted(), run.count("cancelled a ()")), (true, 0, 1))?;
    // From the body itself: members are stopped, its value is the group's, and failures of the stopped still count.
    let group = RefCell::new(None);
    let value = TaskGroup::scope(async |inside| {
        drop(inside.create_task(local_job(&run, "b", 9.0, None)));
        run.sleep(0.0).await?;
        inside.cancel();
        group.replace(Some(inside));
        Ok(7)
    });
    same(value.await?, 7)?;
    let over = kept(group)?;
    over.cancel();
    same(format!("{over:?}"), "<TaskGroup cancelling>")?;
    let fails = TaskGroup::scope(async |group| {
        let bad = crate::bodies::stubborn::converts::local(run.journal.clone(), Fault::Key("x".to_owned()));
        drop(group.create_task(farloop::local(bad)));
        run.sleep(0.0).await?;
        group.cancel();
        Ok(())
    });
    same(ex(&raised(fails.await)?), "ExceptionGroup[KeyError('x')]")?;
    // A task that is cancelled from outside while its group is stopped is cancelled.
    let task = create_task(farloop::local({
        let run = run.clone();
        async move {
            TaskGroup::scope(async |group| {
                let slow = crate::bodies::stubborn::cleans_up(run.journal.clone(), "c".to_owned(), 2.0, "e".to_owned());
                drop(group.create_task(slow));
                run.sleep(1.0).await?;
                group.cancel();
                Ok(())
            })
            .await
        }
    }));
    run.sleep(run.after(1.5)).await?;
    task.cancel("ext");
    let end = value_or_ex(task.clone().await.map(|()| "no error".to_owned()));
    same((end, truth(task.cancelled())), json!(["CancelledError(ext)", "True"]))?;
    holds(run.count("e") <= 1, "the cleanup ran once at most")?;
    drop(jobs::echo("nothing is left over".to_owned()).await?);
    Ok(())
}
