//! gather: cancelling it, or the task that awaits it (rows 95-102, 109-112).

use farloop::Error;
use farloop::prelude::*;
use serde_json::{Value, json};

use super::failures::states;
use crate::bodies::nested;
use crate::bodies::stubborn::stubborn;
use crate::faults::Fault;
use crate::judge::{Check, holds, same};
use crate::oracle::oracle;
use crate::python::{arg_list, args, ex, truth, value_or_ex};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_095_cancelling_a_gather_cancels_every_unfinished_member;
    covered row_096_a_cancelled_gather_is_done_when_its_members_are;
    covered row_097_a_cancelled_gather_raises_cancelled_even_when_settled;
    covered row_098_cancelling_a_gather_of_done_members_is_refused;
    covered row_099_members_that_suppress_do_not_save_the_gather;
    covered row_100_the_first_member_that_dies_ends_the_gather;
    covered row_101_cancelling_the_awaiter_cancels_all_members;
    covered row_102_after_a_failure_cancel_is_refused_and_touches_nobody;
    covered row_109_cancelling_one_gather_cancels_a_shared_member_for_all;
    covered row_110_a_shielded_member_survives_the_gather;
    covered row_111_a_shielded_gather_survives_its_caller;
    covered row_112_wait_for_cancels_all_members_on_timeout;
};

fn stubborn_pair(run: &Run) -> [Coro<String>; 2] {
    ["a", "b"].map(|name| stubborn(run.journal.clone(), name.to_owned(), 5.0))
}

/// GA8 in one of its modes: what cancel() said, whether the gather was done at once, what awaiting it raised, whether it is
/// done, whether it is cancelled, what a second cancel() says, which members are cancelled.
async fn ga8(run: &Run, settled: bool) -> Result<Value, Error> {
    let tasks = [("a", 5.0), ("b", 7.0)].map(|(name, delay)| create_task(run.job(name, delay)));
    let members = tasks.clone();
    let shown = |raised: Option<Error>| match raised {
        Some(error) => format!("CancelledError{}", args(&error)),
        None => "no raise".to_owned(),
    };
    // The two modes are two types; the program is the same.
    macro_rules! cancelled {
        ($gather:expr) => {{
            let mut gathered = $gather;
            run.sleep(1.0).await?;
            let (accepted, at_once) = (gathered.cancel("stop"), gathered.done());
            let raised = (&mut gathered).await.err();
            (accepted, at_once, shown(raised), gathered.done(), gathered.cancelled(), gathered.cancel(()))
        }};
    }
    let out = if settled { cancelled!(gather_settled_all(members)) } else { cancelled!(gather_all(members)) };
    // Without the flag the first member's end is the gather's; the other one's is a moment later.
    wait(tasks.clone()).await?;
    Ok(json!([out.0, out.1, out.2, out.3, out.4, out.5, tasks.each_ref().map(Task::cancelled)]))
}

/// GA8, whole: without the flag, then with it.
async fn ga8_both(run: &Run) -> Check {
    let out = [ga8(run, false).await?, ga8(run, true).await?];
    run.out_is(&oracle("GA8"), out)?;
    run.journal_is(&oracle("GA8"))
}

async fn row_095_cancelling_a_gather_cancels_every_unfinished_member(run: Run) -> Check {
    ga8_both(&run).await
}

async fn row_096_a_cancelled_gather_is_done_when_its_members_are(run: Run) -> Check {
    let out = ga8(&run, true).await?;
    let probe = oracle("GA8").out[1].clone();
    same([&out[1], &out[3]], [&probe[1], &probe[3]])?;
    // And with members that take their time, it is done no earlier than they are.
    let mut gathered = gather_all(stubborn_pair(&run));
    run.sleep(1.0).await?;
    let cancelled_at = run.time();
    holds(gathered.cancel(()), "the members are running")?;
    run.sleep(1.0).await?;
    holds(!gathered.done(), "the members go on for two seconds, and so does the gather")?;
    holds((&mut gathered).await.is_err_and(|error| error.is_cancelled()), "it raises Cancelled")?;
    crate::judge::same_with_times(run.time() - cancelled_at, 2.0, run.exact())
}

async fn row_097_a_cancelled_gather_raises_cancelled_even_when_settled(run: Run) -> Check {
    // GA22: when the request comes through the task that awaits the gather.
    let outer = create_task(nested::gathers(run.journal.clone(), true, Fault::value("B")));
    run.sleep(1.0).await?;
    outer.cancel(());
    let raised = outer.await.map_or_else(|error| ex(&error), |()| "no raise".to_owned());
    same(raised.trim_end_matches("()"), oracle("GA22").out)?;
    run.journal_is(&oracle("GA22"))?;
    // GA8: when it is made to the gather.
    same(ga8(&run, true).await?, &oracle("GA8").out[1])
}

async fn row_098_cancelling_a_gather_of_done_members_is_refused(run: Run) -> Check {
    let member = create_task(run.nap(0.0, "1"));
    let mut gathered = gather_all([member.clone()]);
    member.await?;
    // The probe looks in the turn in which the members are done and the gather is not; here it may be, and must refuse, too.
    same(gathered.cancel(()), &oracle("GA9").out[1])?;
    same((&mut gathered).await?, ["1"])
}

async fn row_099_members_that_suppress_do_not_save_the_gather(run: Run) -> Check {
    let probe = oracle("GA10");
    let mut out = Vec::new();
    for settled in [false, true] {
        macro_rules! outcome {
            ($gather:expr) => {{
                let gathered = $gather;
                run.sleep(1.0).await?;
                let from = run.time();
                gathered.cancel(());
                let raised = match gathered.await {
                    Ok(_) => "no raise".to_owned(),
                    Err(error) => ex(&error).trim_end_matches("()").to_owned(),
                };
                (raised, run.time() - from)
            }};
        }
        let members = stubborn_pair(&run);
        out.push(if settled { outcome!(gather_settled_all(members)) } else { outcome!(gather_all(members)) });
    }
    run.out_is(&probe, out)?;
    run.journal_is(&probe)
}

async fn row_100_the_first_member_that_dies_ends_the_gather(run: Run) -> Check {
    let probe = oracle("GA11");
    let mut out = Vec::new();
    for settled in [false, true] {
        macro_rules! outcome {
            ($gather:expr) => {{
                let gathered = $gather;
                run.sleep(1.0).await?;
                let from = run.time();
                gathered.cancel(());
                let raised = match gathered.await {
                    Ok(_) => "no raise".to_owned(),
                    Err(error) => ex(&error).trim_end_matches("()").to_owned(),
                };
                let elapsed = run.time() - from;
                (raised, elapsed)
            }};
        }
        let members = [run.job("plain", 5.0), stubborn(run.journal.clone(), "s".to_owned(), 5.0)];
        let one = if settled { outcome!(gather_settled_all(members)) } else { outcome!(gather_all(members)) };
        if !settled {
            holds(one.1 < 1.5, "it ends when the plain member dies, two seconds before the stubborn one")?;
        }
        out.push(one);
        run.sleep(5.0).await?;
    }
    run.out_is(&probe, out)?;
    run.journal_is(&probe)
}

async fn row_101_cancelling_the_awaiter_cancels_all_members(run: Run) -> Check {
    let probe = oracle("GA12");
    let outer = create_task(nested::gathers(run.journal.clone(), false, None));
    run.sleep(1.0).await?;
    outer.cancel("msg");
    match outer.clone().await {
        Ok(()) => holds(false, "it raises")?,
        Err(error) => run.out_is(&probe, (arg_list(&error), outer.cancelled(), run.time()))?,
    }
    run.sleep(0.5).await?;
    run.journal_is(&probe)
}

async fn row_102_after_a_failure_cancel_is_refused_and_touches_nobody(run: Run) -> Check {
    let probe = oracle("GA13");
    let b = create_task(run.job("b", 5.0));
    let mut gathered = gather((run.failing("a", 1.0, Fault::value("A")), b.clone()));
    holds((&mut gathered).await.is_err(), "a fails")?;
    let accepted = gathered.cancel(());
    b.clone().await?;
    same((accepted, b.cancelled()), &probe.out)?;
    run.journal_is(&probe)
}

async fn row_109_cancelling_one_gather_cancels_a_shared_member_for_all(run: Run) -> Check {
    let probe = oracle("GA20");
    let (t, u) = (create_task(run.job("t", 5.0)), create_task(run.job("u", 2.0)));
    let first = gather_all([t.clone()]);
    let second = gather_settled_all([t, u]);
    run.sleep(1.0).await?;
    first.cancel(());
    if first.await.is_err_and(|error| error.is_cancelled()) {
        run.log("g1 cancelled");
    }
    let shown: Vec<String> = second.await?.into_iter().map(value_or_ex).collect();
    run.out_is(&probe, shown)?;
    run.journal_is(&probe)
}

async fn row_110_a_shielded_member_survives_the_gather(run: Run) -> Check {
    let (a, b) = (create_task(run.job("a", 3.0)), create_task(run.job("b", 2.0)));
    let gathered = gather((shield(a.clone()), b.clone()));
    run.sleep(1.0).await?;
    gathered.cancel(());
    if gathered.await.is_err_and(|error| error.is_cancelled()) {
        // The shield dies at once, `b` when its worker has said so.
        wait([b.clone()]).await?;
        run.log(format!("gather cancelled {} {}", truth(a.cancelled()), truth(b.cancelled())));
    }
    run.log(a.await?);
    run.journal_is(&oracle("SH4"))
}

async fn row_111_a_shielded_gather_survives_its_caller(run: Run) -> Check {
    let probe = oracle("CX1").between(2.0, 100.0).edited(|line| {
        let of_this_part = !(line.ends_with("c ()") || line.ends_with("d ()") || line == "TimeoutError 2");
        of_this_part.then(|| line.to_owned())
    });
    let gathered = ensure_future(gather((run.job("e", 2.0), run.job("f", 3.0))));
    if let Err(Error::TimedOut(_)) = wait_for(shield(gathered.clone()), run.seconds(1.0)).await {
        run.log("TimeoutError 3");
    }
    let (e, f) = gathered.await?;
    run.log(format!("['{e}', '{f}']"));
    run.journal_is(&probe)
}

async fn row_112_wait_for_cancels_all_members_on_timeout(run: Run) -> Check {
    let probe = oracle("CX1").between(0.0, 1.5).edited(|line| {
        let of_this_part = !(line == "start c" || line == "start d");
        of_this_part.then(|| line.to_owned())
    });
    let tasks = [create_task(run.job("a", 5.0)), create_task(run.job("b", 6.0))];
    if let Err(Error::TimedOut(_)) = wait_for(gather_all(tasks.clone()), run.seconds(1.0)).await {
        // wait_for waits for the gather, which ends with the first member that dies.
        wait(tasks.clone()).await?;
        run.log("TimeoutError");
    }
    same(states(&tasks), "[(True, True), (True, True)]")?;
    run.journal_is(&probe)
}
