//! Cancel requests that pass through awaits, and those that do not (rows 237-241, 251).

use farloop::prelude::*;

use crate::bodies::nested;
use crate::bodies::stubborn::{inner, level};
use crate::judge::{Check, holds, same};
use crate::oracle::oracle;
use crate::python::{arg_list, truth, value_or_ex};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_237_a_cancel_between_completion_and_resumption_wins;
    covered row_238_a_cancel_is_forwarded_to_the_awaited_task;
    covered row_239_a_suppressed_cancel_gives_the_outer_task_the_value;
    covered row_240_a_cancel_of_the_inner_task_reaches_the_outer_as_an_error;
    covered row_241_cancelling_one_of_two_awaiters_hits_the_other;
    covered row_251_children_that_were_merely_created_are_not_touched;
};

async fn row_237_a_cancel_between_completion_and_resumption_wins(run: Run) -> Check {
    let (promise, future) = create_future::<String>();
    let (pen, inside) = (run.clone(), future.clone());
    let task = ensure_future(farloop::local(async move {
        match inside.await {
            Ok(value) => {
                pen.log(format!("got {value}"));
                Ok(value)
            }
            Err(error) => {
                pen.log("cancel delivered");
                Err(error)
            }
        }
    }));
    farloop::yield_now().await?;
    promise.set_result("v".to_owned())?;
    run.log(format!("cancel returned {}", truth(task.cancel(()))));
    drop(task.clone().await);
    run.out_is(&oracle("FU5"), (task.cancelled(), future.result()?))?;
    run.journal_in(crate::judge::Order::Strict, &oracle("FU5"))
}

async fn row_238_a_cancel_is_forwarded_to_the_awaited_task(run: Run) -> Check {
    let task = create_task(level(run.journal.clone(), 1));
    run.sleep(1.0).await?;
    task.cancel("why");
    let raised = task.await.map_or_else(|error| arg_list(&error), |value| vec![value]);
    run.out_is(&oracle("CA7"), raised)?;
    // The lowest ends first, then each that awaits it: that order is the point of the row.
    run.journal_is(&oracle("CA7"))?;
    same(run.texts(), oracle("CA7").log.iter().map(|line| line.text.clone()).collect::<Vec<_>>())
}

async fn row_239_a_suppressed_cancel_gives_the_outer_task_the_value(run: Run) -> Check {
    let below = create_task(inner(run.journal.clone()));
    let outer = create_task(nested::outer_gets(run.journal.clone(), below.clone()));
    run.sleep(1.0).await?;
    outer.cancel(());
    let value = outer.clone().await?;
    // The request on `below` was made by the outer task's worker: this session hears of it as it hears of everything.
    run.out_is(&oracle("CA12"), (value, outer.cancelled(), outer.cancelling(), below.cancelling(), run.time()))?;
    run.journal_is(&oracle("CA12"))
}

async fn row_240_a_cancel_of_the_inner_task_reaches_the_outer_as_an_error(run: Run) -> Check {
    let below = create_task(run.nap(9.0, "v"));
    let words = "outer sees Cancelled, cancelling()=".to_owned();
    let outer = create_task(nested::tells(run.journal.clone(), "outer".to_owned(), words, below.clone()));
    run.sleep(1.0).await?;
    below.cancel(());
    drop(outer.clone().await);
    run.out_is(&oracle("CA8"), (below.cancelled(), outer.cancelled(), outer.cancelling()))?;
    run.journal_is(&oracle("CA8"))
}

async fn row_241_cancelling_one_of_two_awaiters_hits_the_other(run: Run) -> Check {
    let shared = create_task(run.nap(5.0, "v"));
    let [a, b] = ["a", "b"].map(|who| {
        let words = format!("{who} CancelledError cancelling=");
        create_task(nested::tells(run.journal.clone(), who.to_owned(), words, shared.clone()))
    });
    run.sleep(1.0).await?;
    a.cancel(());
    let (a, b) = gather_settled((a, b)).await?;
    run.out_is(&oracle("CA13"), ([value_or_ex(a), value_or_ex(b)], shared.cancelled()))?;
    run.journal_is(&oracle("CA13"))
}

async fn row_251_children_that_were_merely_created_are_not_touched(run: Run) -> Check {
    // NE7: the parent ends; then NE8: the parent is cancelled.
    same(create_task(nested::parent(run.journal.clone(), false)).await?, "parent done")?;
    run.sleep(5.0).await?;
    same(run.texts(), ["start child", "done child"])?;
    let parent = create_task(nested::parent(run.journal.clone(), true));
    run.sleep(1.0).await?;
    parent.cancel(());
    holds(parent.await.is_err_and(|error| error.is_cancelled()), "the parent is cancelled")?;
    run.sleep(5.0).await?;
    same(run.texts(), ["start child", "done child", "start child", "done child"])
}
