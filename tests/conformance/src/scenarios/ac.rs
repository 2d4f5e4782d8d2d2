//! AC: as_completed (rows 134-147).

use std::cell::RefCell;
use std::rc::Rc;

use farloop::Error;
use farloop::prelude::*;
use serde_json::json;

use crate::bodies::nested;
use crate::faults::Fault;
use crate::judge::{Check, Order, holds, same};
use crate::oracle::oracle;
use crate::python::{ex, truth};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_134_outcomes_come_in_completion_order;
    covered row_135_each_item_is_the_next_to_finish;
    covered row_136_items_say_which_input_finished;
    covered row_137_duplicates_collapse;
    covered row_138_no_inputs_no_items;
    covered row_139_coroutines_start_at_the_call;
    deviates row_140_coroutines_start_in_argument_order "CPython starts them in the order of a set; argument order is what one expects";
    covered row_141_a_failed_input_is_one_item;
    covered row_142_a_cancelled_input_is_one_item_and_the_consumer_is_not_cancelled;
    covered row_143_with_a_timeout_every_missing_item_is_a_timeout;
    covered row_144_finished_inputs_come_first;
    covered row_145_several_items_may_be_awaited_by_several_tasks;
    covered row_146_an_abandoned_consumer_leaves_the_tasks;
    impossible row_147_a_single_task_instead_of_a_collection "as_completed takes IntoIterator, and a task is no iterator";
};

async fn row_134_outcomes_come_in_completion_order(run: Run) -> Check {
    let probe = oracle("AC1");
    let mut got = Vec::new();
    let mut done = as_completed([run.job("a", 3.0), run.job("b", 1.0), run.job("c", 2.0)]);
    while let Some(next) = done.next().await {
        let value = next?.result?;
        run.log(format!("got {value}"));
        got.push(value);
    }
    same(got, &probe.out[0])?;
    run.journal_is(&probe)?;
    // A consumer that comes late gets them in the same order.
    let mut done = as_completed([("a", 3.0), ("b", 1.0), ("c", 2.0)].map(|(name, delay)| run.nap(delay, name)));
    run.sleep(4.0).await?;
    let mut got = Vec::new();
    while let Some(next) = done.next().await {
        got.push(next?.result?);
    }
    same(got, &probe.out[0])
}

async fn row_135_each_item_is_the_next_to_finish(run: Run) -> Check {
    // The probe makes a list of the awaitables and awaits the second one first: it gets the first to finish. A stream has no
    // places to confuse: whichever `next` is awaited gets the next to finish.
    let probe = oracle("AC5");
    let mut done = as_completed([run.job("slow", 2.0), run.job("fast", 1.0)]);
    for place in ["fs[1]", "fs[0]"] {
        match done.next().await {
            Some(next) => run.log(format!("{place} gave {}", next?.result?)),
            None => holds(false, "two inputs give two items")?,
        }
    }
    run.journal_is(&probe)
}

async fn row_136_items_say_which_input_finished(run: Run) -> Check {
    let tasks = [create_task(run.job("a", 2.0)), create_task(run.job("b", 1.0))];
    let mut done = as_completed(tasks.clone());
    while let Some(next) = done.next().await {
        let task = next?.task;
        let which = tasks.each_ref().map(|input| truth(*input == task));
        run.log(format!("{} {} {} {}", which[0], which[1], truth(task.done()), task.result()?));
    }
    run.journal_is(&oracle("AC8"))
}

async fn row_137_duplicates_collapse(run: Run) -> Check {
    let probe = oracle("AC2");
    let duplicate = create_task(run.job("dup", 1.0));
    let mut got = Vec::new();
    let mut done = as_completed([duplicate.clone(), duplicate, create_task(run.job("z", 2.0))]);
    while let Some(next) = done.next().await {
        got.push(next?.result?);
    }
    run.out_is(&probe, got)?;
    run.journal_is(&probe)
}

async fn row_138_no_inputs_no_items(run: Run) -> Check {
    let mut done = as_completed(Vec::<Coro<String>>::new());
    same((done.next().await.is_none(), &oracle("AC1").out[1]), json!([true, []]))?;
    run.time_is(0.0)
}

async fn row_139_coroutines_start_at_the_call(run: Run) -> Check {
    let mut done = as_completed([run.job("a", 1.0), run.job("b", 2.0)]);
    run.sleep(0.5).await?;
    run.log("before first next");
    if let Some(next) = done.next().await {
        run.log(next?.result?);
    }
    drop(done);
    run.sleep(3.0).await?;
    run.journal_is(&oracle("AC6"))
}

async fn row_140_coroutines_start_in_argument_order(run: Run) -> Check {
    let mut done = as_completed([run.job("a", 3.0), run.job("b", 1.0), run.job("c", 2.0)]);
    while let Some(next) = done.next().await {
        next?.result?;
    }
    let mut starts: Vec<String> = run.texts().into_iter().filter(|text| text.starts_with("start")).collect();
    if !run.exact() {
        // They race once they are on three machines.
        starts.sort();
    }
    same(starts, ["start a", "start b", "start c"])
}

async fn row_141_a_failed_input_is_one_item(run: Run) -> Check {
    let mut done = as_completed([run.failing("a", 1.0, Fault::value("A")), run.job("b", 2.0)]);
    while let Some(next) = done.next().await {
        match next?.result {
            Ok(value) => run.log(format!("ok {value}")),
            Err(error) => run.log(ex(&error)),
        }
    }
    run.journal_is(&oracle("AC4"))
}

async fn row_142_a_cancelled_input_is_one_item_and_the_consumer_is_not_cancelled(run: Run) -> Check {
    let inside = run.clone();
    ensure_future(farloop::local(async move {
        let run = inside;
        let (a, b) = (create_task(run.job("a", 1.0)), create_task(run.job("b", 9.0)));
        let cancelled = a.clone();
        run.later(0.5, move || cancelled.cancel(()));
        let mut done = as_completed([a, b]);
        while let Some(next) = done.next().await {
            match next?.result {
                Ok(value) => run.log(format!("ok {value}")),
                Err(error) if error.is_cancelled() => {
                    let counter = farloop::current_task().map_or(99, |me| me.cancelling());
                    run.log(format!("CancelledError from item; main.cancelling {counter}"));
                }
                Err(error) => run.log(ex(&error)),
            }
        }
        Ok(())
    }))
    .await?;
    run.journal_is(&oracle("AC9"))
}

async fn row_143_with_a_timeout_every_missing_item_is_a_timeout(run: Run) -> Check {
    let tasks = [("a", 1.0), ("b", 5.0), ("c", 6.0)].map(|(name, delay)| create_task(run.job(name, delay)));
    let mut done = as_completed(tasks.clone()).timeout(run.seconds(2.0));
    while let Some(next) = done.next().await {
        match next {
            Ok(item) => run.log(format!("ok {}", item.result?)),
            Err(Error::TimedOut(_)) => run.log("TimeoutError"),
            Err(error) => run.log(ex(&error)),
        }
    }
    let cancelled = tasks.each_ref().map(|task| truth(task.cancelled())).join(", ");
    run.log(format!("[{cancelled}]"));
    wait(tasks).await?;
    run.journal_is(&oracle("AC3"))
}

async fn row_144_finished_inputs_come_first(run: Run) -> Check {
    let probe = oracle("AC11");
    let first = create_task(run.nap(0.0, "done first"));
    first.clone().await?;
    let mut got = Vec::new();
    let mut done = as_completed([create_task(run.job("a", 1.0)), first]);
    while let Some(next) = done.next().await {
        got.push(next?.result?);
    }
    same(got, &probe.out)?;
    if run.exact() { run.journal_is(&probe) } else { Ok(()) }
}

async fn row_145_several_items_may_be_awaited_by_several_tasks(run: Run) -> Check {
    // Clones share the stream: three tasks await an item each, at the same time, and no item comes twice.
    let done = as_completed([("a", 1.0), ("b", 2.0), ("c", 3.0)].map(|(name, delay)| run.nap(delay, name)));
    let got = Rc::new(RefCell::new(Vec::new()));
    let takers = ["x", "y", "z"].map(|_| {
        let (mut done, got) = (done.clone(), Rc::clone(&got));
        ensure_future(farloop::local(async move {
            if let Some(next) = done.next().await {
                let value = next?.result?;
                got.borrow_mut().push(value);
            }
            Ok(())
        }))
    });
    gather_all(takers).await?;
    same(&*got.borrow(), ["a", "b", "c"])?;
    run.time_is(3.0)
}

async fn row_146_an_abandoned_consumer_leaves_the_tasks(run: Run) -> Check {
    let member = create_task(run.job("a", 2.0));
    let consumer = create_task(nested::consumes(vec![member.clone()]));
    run.sleep(1.0).await?;
    consumer.cancel(());
    if consumer.await.is_err_and(|error| error.is_cancelled()) {
        run.log("consumer cancelled");
    }
    run.log(member.await?);
    run.journal_in(Order::Causal, &oracle("AC10"))
}
