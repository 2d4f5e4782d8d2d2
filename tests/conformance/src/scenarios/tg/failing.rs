//! What happens when a member or the body fails.

use std::cell::RefCell;

use farloop::Error;
use farloop::prelude::*;

use super::{counted, kept, local_job, raised};
use crate::bodies::jobs::{counted as says_that_it_runs, echo};
use crate::bodies::scoped;
use crate::bodies::stubborn::{cleans_up, converts};
use crate::faults::Fault;
use crate::judge::{Check, Order, holds, same};
use crate::oracle::oracle;
use crate::python::{ex, truth};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_196_the_first_failure_cancels_all_others_and_the_body;
    covered row_197_all_failures_are_raised_together;
    covered row_198_failures_of_cancelled_siblings_join_the_group;
    covered row_200_an_error_of_the_body_is_in_a_group_too;
    covered row_202_failures_beat_a_cancel_from_outside;
    covered row_203_the_cancel_from_outside_comes_again_at_the_next_await;
    covered row_204_the_own_request_is_undone;
    covered row_205_a_body_that_suppresses_it_goes_on;
    covered row_206_a_body_that_awaits_the_failing_task_is_cancelled;
    covered row_207_groups_in_groups_stay_groups;
    covered row_208_a_failing_outer_task_cancels_the_inner_group;
    covered row_209_inner_and_outer_failing_at_one_instant;
    covered row_213_a_task_that_has_not_started_never_runs;
    deviates row_215_a_panic_is_a_failure_like_any_other "Python raises SystemExit and KeyboardInterrupt bare; Rust has no exit exceptions, and what comes nearest, a panic in a member, is that member's failure";
    covered row_219_the_errors_of_members_count_as_retrieved;
};

/// The program of TG2; the body writes as one of its own, for main and body are no two authors there.
async fn tg2(run: &Run) -> Check {
    let b = RefCell::new(None);
    let end = TaskGroup::scope(async |group| {
        drop(group.create_task(run.failing("a", 1.0, Fault::value("A"))));
        b.replace(Some(group.create_task(run.job("b", 5.0))));
        let slept = run.sleep(10.0).await;
        if slept.is_err() {
            run.journal.by("body").log(format!("body cancelled {}", counted()));
        }
        slept
    });
    let error = raised(end.await)?;
    let Error::Group(group) = &error else { return holds(false, &format!("a group: {error:?}")) };
    let b = kept(b)?;
    run.out_is(&oracle("TG2"), (ex(&error), group.message(), run.time(), b.cancelled(), counted()))?;
    run.journal_is(&oracle("TG2"))
}

async fn row_196_the_first_failure_cancels_all_others_and_the_body(run: Run) -> Check {
    tg2(&run).await?;
    // In a body on a worker: the counter there and at the coordinator.
    let task = create_task(scoped::groups_a_failing_one(run.journal.clone()));
    let (counted, b) = task.clone().await?;
    same((counted, task.cancelling(), run.count("body cancelled 1")), (0, 0, 2))?;
    holds(b.await.is_err_and(|error| error.is_cancelled()), "b ends cancelled")
}

async fn row_197_all_failures_are_raised_together(run: Run) -> Check {
    tg2(&run).await
}

async fn row_198_failures_of_cancelled_siblings_join_the_group(run: Run) -> Check {
    let end = TaskGroup::scope(async |group| {
        drop(group.create_task(run.failing("a", 1.0, Fault::value("A"))));
        for name in ["x", "y"] {
            drop(group.create_task(converts(run.journal.clone(), Fault::Key(name.to_owned()))));
        }
        Ok(())
    });
    let error = raised(end.await)?;
    let Error::Group(group) = &error else { return holds(false, &format!("a group: {error:?}")) };
    // The first is the one that failed first; the order of the others is that of a set in CPython.
    let mut members: Vec<String> = group.errors().iter().map(ex).collect();
    same(&members[0], "ValueError(A)")?;
    members[1..].sort_by(|a, b| b.cmp(a));
    same((format!("ExceptionGroup[{}]", members.join(", ")), group.message()), oracle("TG9").out)?;
    run.journal_is(&oracle("TG9"))
}

async fn row_200_an_error_of_the_body_is_in_a_group_too(run: Run) -> Check {
    let a = RefCell::new(None);
    let end = TaskGroup::scope(async |group| {
        a.replace(Some(group.create_task(run.job("a", 9.0))));
        run.sleep(1.0).await?;
        Err::<(), _>(Fault::Key("body".to_owned()).raise())
    });
    let error = raised(end.await)?;
    run.out_is(&oracle("TG4"), (ex(&error), kept(a)?.cancelled(), run.time()))?;
    run.journal_is(&oracle("TG4"))
}

async fn row_202_failures_beat_a_cancel_from_outside(run: Run) -> Check {
    let task = create_task(scoped::groups_a_bad_one(run.journal.clone()));
    run.sleep(1.0).await?;
    task.cancel("ext");
    let error = raised(task.clone().await)?;
    same((ex(&error), task.cancelled(), task.cancelling()), oracle("TG6").out)?;
    run.journal_is(&oracle("TG6"))
}

async fn row_203_the_cancel_from_outside_comes_again_at_the_next_await(run: Run) -> Check {
    let task = create_task(scoped::handles_its_group(run.journal.clone()));
    run.sleep(1.0).await?;
    task.cancel(());
    if task.clone().await.is_err_and(|error| error.is_cancelled()) {
        run.log("task cancelled");
    }
    same((task.cancelled(), task.cancelling()), oracle("TG15").out)?;
    run.journal_is(&oracle("TG15"))
}

/// The program of TG14.
async fn tg14(run: &Run) -> Check {
    let end = TaskGroup::scope(async |group| {
        drop(group.create_task(run.failing("a", 1.0, Fault::value("A"))));
        if run.sleep(10.0).await.is_err() {
            run.log("suppressed");
        }
        run.log("body continues");
        run.sleep(1.0).await?;
        run.log("body end");
        Ok(())
    });
    let error = raised(end.await)?;
    run.out_is(&oracle("TG14"), (ex(&error), counted(), run.time()))?;
    run.journal_is(&oracle("TG14"))
}

async fn row_204_the_own_request_is_undone(run: Run) -> Check {
    tg14(&run).await?;
    run.sleep(0.1).await?;
    same(counted(), 0)
}

async fn row_205_a_body_that_suppresses_it_goes_on(run: Run) -> Check {
    tg14(&run).await
}

async fn row_206_a_body_that_awaits_the_failing_task_is_cancelled(run: Run) -> Check {
    let end = TaskGroup::scope(async |group| {
        let task = group.create_task(run.failing("a", 1.0, Fault::value("A")));
        match task.await {
            Err(error) if error.is_cancelled() => {
                run.log("body saw CancelledError");
                Err(error)
            }
            other => {
                run.log("body saw ValueError from awaiting child");
                other
            }
        }
    });
    let error = raised(end.await)?;
    same((ex(&error), counted()), oracle("TG11").out)?;
    run.journal_is(&oracle("TG11"))
}

async fn row_207_groups_in_groups_stay_groups(run: Run) -> Check {
    let end = TaskGroup::scope(async |outer| {
        drop(outer.create_task(run.job("o", 9.0)));
        TaskGroup::scope(async |inner| {
            drop(inner.create_task(run.failing("i", 1.0, Fault::value("I"))));
            Ok(())
        })
        .await
    });
    same(ex(&raised(end.await)?), oracle("TG10").out)?;
    run.journal_is(&oracle("TG10"))
}

async fn row_208_a_failing_outer_task_cancels_the_inner_group(run: Run) -> Check {
    // test_taskgroup_13: the inner group ends cancelled, and the outer one raises its own failure only.
    let i = RefCell::new(None);
    let end = TaskGroup::scope(async |outer| {
        drop(outer.create_task(run.failing("o", 1.0, Fault::value("O"))));
        let inner = TaskGroup::scope(async |inner| {
            i.replace(Some(inner.create_task(run.job("i", 9.0))));
            Ok(())
        })
        .await;
        if let Err(error) = &inner {
            run.log(format!("inner {}", ex(error)));
        }
        inner
    });
    let error = raised(end.await)?;
    same((ex(&error), kept(i)?.cancelled(), counted()), ("ExceptionGroup[ValueError(O)]", true, 0))?;
    run.time_is(1.0)?;
    same(run.count("inner CancelledError()"), 1)
}

async fn row_209_inner_and_outer_failing_at_one_instant(run: Run) -> Check {
    let fault = |name: &str| Fault::value(name);
    let end = TaskGroup::scope(async |outer| {
        let inner = TaskGroup::scope(async |inner| {
            drop(inner.create_task(local_job(&run, "i", 1.0, fault("Ei"))));
            drop(outer.create_task(local_job(&run, "o", 1.0, fault("Eo"))));
            Ok(())
        });
        if let Err(Error::Group(_)) = inner.await {
            run.log(format!("inner handled {}", counted()));
        }
        run.sleep(5.0).await?;
        run.log("outer body went on");
        Ok(())
    });
    let error = raised(end.await)?;
    same(ex(&error), "ExceptionGroup[ValueError(Eo)]")?;
    run.log(format!("outer handled {}", counted()));
    run.out_is(&oracle("TG17"), run.time())?;
    run.journal_in(Order::Loose, &oracle("TG17"))
}

async fn row_213_a_task_that_has_not_started_never_runs(run: Run) -> Check {
    // CPython's task waits for its creator to yield, and so does one of this loop. One on another machine may begin as soon
    // as it is submitted, so there it is made to wait for an argument.
    let gate = create_task(run.nap(1.0, "gate"));
    let (here, there) = (RefCell::new(None), RefCell::new(None));
    let inside = run.clone();
    let end = TaskGroup::scope(async |group| {
        here.replace(Some(group.create_task(farloop::local(async move {
            inside.log("child runs 1");
            Ok(())
        }))));
        there.replace(Some(group.create_task(echo(&gate))));
        Err::<(), _>(Fault::Key("body".to_owned()).raise())
    });
    let error = raised(end.await)?;
    same((ex(&error), kept(here)?.cancelled()), oracle("TG16").out)?;
    same(kept(there)?.cancelled(), true)?;
    run.journal_is(&oracle("TG16"))?;
    gate.await?;
    drop(says_that_it_runs(run.journal.clone(), "after".to_owned()).await?);
    same(run.texts(), ["run after"])
}

async fn row_215_a_panic_is_a_failure_like_any_other(run: Run) -> Check {
    let a = RefCell::new(None);
    let end = TaskGroup::scope(async |group| {
        a.replace(Some(group.create_task(run.job("a", 9.0))));
        drop(group.create_task(run.failing("quitter", 1.0, Some(Fault::Panic("3".to_owned())))));
        Ok(())
    });
    let error = raised(end.await)?;
    same((ex(&error), truth(kept(a)?.cancelled())), ("ExceptionGroup[(3)]", "True"))
}

async fn row_219_the_errors_of_members_count_as_retrieved(run: Run) -> Check {
    run.collect_reports();
    let end = TaskGroup::scope(async |group| {
        drop(group.create_task(run.failing("a", 1.0, Fault::value("A"))));
        // It fails at the same instant in the probe. On several machines the cancel may be there first: it fails either way.
        drop(group.create_task(converts(run.journal.clone(), Fault::Key("B".to_owned()))));
        Ok(())
    });
    let Error::Group(group) = raised(end.await)? else { return holds(false, "it fails as a group") };
    let mut members: Vec<String> = group.errors().iter().map(ex).collect();
    members.sort();
    drop(group);
    same((members, run.reports().await?.len()), oracle("TG23").out)?;
    // TG20: the group waits for a member that cleans up.
    let begun = run.time();
    let end = TaskGroup::scope(async |group| {
        drop(group.create_task(cleans_up(
            run.journal.clone(),
            "cleanup starts".to_owned(),
            3.0,
            "cleanup done".to_owned(),
        )));
        drop(group.create_task(run.failing("a", 1.0, Fault::value("A"))));
        Ok(())
    });
    let error = raised(end.await)?;
    run.out_is(&oracle("TG20"), (ex(&error), run.time() - begun))?;
    same(run.count("cleanup done"), 1)
}
