//! gather: members that fail or are cancelled by somebody else (rows 87-94).

use farloop::Error;
use farloop::prelude::*;
use serde_json::json;

use crate::faults::Fault;
use crate::judge::{Check, holds, same};
use crate::oracle::oracle;
use crate::python::{args, ex, truth, value_or_ex};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_087_the_first_exception_completes_the_gather;
    covered row_088_the_others_go_on_after_a_failure;
    covered row_089_later_exceptions_are_consumed_quietly;
    covered row_090_settled_puts_exceptions_into_the_list;
    covered row_091_a_cancelled_member_fails_the_gather_which_is_not_cancelled;
    covered row_092_settled_has_a_cancelled_entry;
    deviates row_093_a_cancelled_entry_keeps_its_message "CPython loses the message of such an entry; farloop keeps it on the outcome";
    covered row_094_an_early_cancel_wins_over_a_later_failure;
};

/// Done and cancelled of each, as the probes print it.
pub(super) fn states(tasks: &[Task<String>]) -> String {
    let each: Vec<String> =
        tasks.iter().map(|task| format!("({}, {})", truth(task.done()), truth(task.cancelled()))).collect();
    format!("[{}]", each.join(", "))
}

async fn row_087_the_first_exception_completes_the_gather(run: Run) -> Check {
    // GA21: both fail at one instant, `a` first, and `b` is the first argument.
    run.collect_reports();
    let a = create_task(run.failing("a", 1.0, Fault::value("A")));
    let b = create_task(run.failing("b", run.after(1.0), Fault::key("B")));
    let failed = gather((b.clone(), a)).await;
    let shown = failed.map_or_else(|error| ex(&error), |_| "no error".to_owned());
    b.await.map_or(Ok(()), |_| holds(false, "b fails"))?;
    run.out_is(&oracle("GA21"), (shown, run.reports().await?))?;
    run.journal_is(&oracle("GA21"))
}

/// GA4, for three of its sentences.
async fn ga4(run: &Run) -> Check {
    run.collect_reports();
    let tasks = [
        create_task(run.failing("a", 1.0, Fault::value("A"))),
        create_task(run.job("b", 2.0)),
        create_task(run.failing("c", 3.0, Fault::key("C"))),
    ];
    if let Err(error) = gather_all(tasks.clone()).await {
        run.log(format!("gather raised {}", ex(&error)));
    }
    run.log(states(&tasks));
    run.sleep(5.0).await?;
    run.log(states(&tasks));
    Ok(())
}

async fn row_088_the_others_go_on_after_a_failure(run: Run) -> Check {
    ga4(&run).await?;
    run.journal_is(&oracle("GA4"))
}

async fn row_089_later_exceptions_are_consumed_quietly(run: Run) -> Check {
    ga4(&run).await?;
    run.journal_is(&oracle("GA4"))?;
    // All handles are gone now; `c` failed after the gather had ended, and nobody looked.
    same(run.reports().await?, &oracle("GA4").out[1])
}

async fn row_090_settled_puts_exceptions_into_the_list(run: Run) -> Check {
    let probe = oracle("GA5");
    let members = [run.failing("a", 1.0, Fault::value("A")), run.job("b", 2.0), run.failing("c", 3.0, Fault::key("C"))];
    let results = gather_settled_all(members).await?;
    let shown: Vec<String> = results.into_iter().map(value_or_ex).collect();
    run.out_is(&probe, (shown, run.time()))?;
    run.journal_is(&probe)
}

async fn row_091_a_cancelled_member_fails_the_gather_which_is_not_cancelled(run: Run) -> Check {
    let inside = run.clone();
    // As a task of its own, so that there is a counter to look at.
    ensure_future(farloop::local(async move {
        let run = inside;
        let tasks = [("a", 5.0), ("b", 2.0), ("c", 3.0)].map(|(name, delay)| create_task(run.job(name, delay)));
        let mut gathered = gather_all(tasks.clone());
        let first = tasks[0].clone();
        run.later(1.0, move || first.cancel("m"));
        if let Err(error) = (&mut gathered).await {
            run.log(format!("gather raised Cancelled {}", args(&error)));
        }
        let me = farloop::current_task().map_or(99, |me| me.cancelling());
        let (cancelled, done) = (truth(gathered.cancelled()), truth(gathered.done()));
        run.log(format!("g.cancelled {cancelled} g.done {done} main.cancelling {me}"));
        run.sleep(5.0).await?;
        run.log(states(&tasks));
        Ok(())
    }))
    .await?;
    run.journal_is(&oracle("GA6"))
}

/// GA7: the entries, and the time.
async fn ga7(run: &Run) -> Result<(Vec<String>, f64), Error> {
    let tasks = [("a", 5.0), ("b", 2.0)].map(|(name, delay)| create_task(run.job(name, delay)));
    let first = tasks[0].clone();
    let gathered = gather_settled_all(tasks);
    run.later(1.0, move || first.cancel("m"));
    let entries = gathered.await?.into_iter().map(value_or_ex).collect();
    Ok((entries, run.time()))
}

async fn row_092_settled_has_a_cancelled_entry(run: Run) -> Check {
    let (entries, time) = ga7(&run).await?;
    let shown: Vec<String> = entries.into_iter().map(|entry| entry.replace("(m)", "()")).collect();
    run.out_is(&oracle("GA7"), (shown, time))?;
    run.journal_is(&oracle("GA7"))
}

async fn row_093_a_cancelled_entry_keeps_its_message(run: Run) -> Check {
    let (entries, _) = ga7(&run).await?;
    same(entries, json!(["CancelledError(m)", "b"]))
}

async fn row_094_an_early_cancel_wins_over_a_later_failure(run: Run) -> Check {
    let probe = oracle("GA24");
    run.collect_reports();
    let a = create_task(run.job("a", 3.0));
    let cancelled = a.clone();
    run.later(1.0, move || cancelled.cancel(()));
    let failed = gather((a, run.failing("b", 1.5, Fault::value("B")))).await;
    let shown = failed.map_or_else(|error| ex(&error), |_| "no error".to_owned());
    run.sleep(5.0).await?;
    run.out_is(&probe, (shown, run.reports().await?))?;
    run.journal_is(&probe)
}
