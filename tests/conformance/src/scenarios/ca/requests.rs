//! Cancel requests: made, counted, delivered, answered (rows 221-236, 242-250).

use farloop::Error;
use farloop::prelude::*;
use serde_json::json;

use crate::bodies::jobs::{nap, with_finally, with_finally_after};
use crate::bodies::nested;
use crate::bodies::stubborn::{
    asks_itself_twice, cancels_itself, converts, counts_cancels, goes_on, interruptible_cleanup, outlasts_three,
    recovers, says_why, uncancels, withdraws,
};
use crate::faults::Fault;
use crate::judge::{Check, Order, holds, same};
use crate::oracle::oracle;
use crate::python::{arg_list, args, ex, message, truth, value_or_ex};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_221_cancel_is_a_request;
    covered row_222_cancel_of_a_done_task_is_refused;
    covered row_223_a_request_is_delivered_at_the_current_or_next_await;
    covered row_224_a_task_cancelled_before_its_first_step_never_runs;
    covered row_225_a_cancel_is_no_ordinary_error;
    covered row_226_a_suppressed_cancel_ends_with_the_value;
    covered row_227_later_awaits_work_after_a_suppressed_cancel;
    deviates row_228_an_error_raised_instead_fails_the_task "an error that carries the delivered cancel in its chain is that cancel, so the new error does not name it as its cause";
    covered row_229_every_accepted_request_is_counted;
    covered row_230_requests_before_delivery_are_one_delivery;
    covered row_231_a_second_request_interrupts_the_cleanup;
    covered row_232_uncancel_counts_down_and_undoes_no_delivery;
    covered row_233_uncancel_to_zero_withdraws_what_was_not_delivered;
    covered row_234_uncancel_after_the_end_changes_nothing;
    covered row_235_a_task_may_cancel_itself;
    covered row_236_a_return_before_any_await_is_lost_and_an_error_is_not;
    covered row_242_the_message_travels_with_the_error;
    deviates row_243_the_first_message_wins "CPython delivers the first if the task was suspended and the last if it had not started; here the first, always";
    deviates row_244_the_message_is_there_on_every_read "CPython has it on the first read only; here it is kept on the handle";
    covered row_245_a_cancelled_task_nobody_awaits_is_not_reported;
    covered row_246_cancel_of_a_failed_task_takes_note_of_its_error;
    covered row_247_a_cancelled_sleep_leaves_nothing_behind;
    deviates row_248_a_panic_while_being_cancelled_is_the_outcome "there are no exit-style exceptions; a panic is the task's failure and harms no loop";
    deviates row_249_a_cancelled_error_is_about_its_task "CPython has a traceback; here the error tells of a cancel and the handle names function and task, not the line";
    covered row_250_repeated_requests_end_what_does_not_suppress_for_ever;
};

async fn row_221_cancel_is_a_request(run: Run) -> Check {
    // CA3's task shows it best: it is asked, is not cancelled afterwards, and decides for itself.
    let task = create_task(goes_on(run.journal.clone()));
    run.sleep(1.0).await?;
    let at_once = (task.cancel(()), task.cancelled(), task.done(), task.cancelling());
    // The first three are CA1's, and so is the count.
    same(at_once, json!(oracle("CA1").out[0]))?;
    same((task.clone().await?, task.cancelled()), (42, false))
}

async fn row_222_cancel_of_a_done_task_is_refused(run: Run) -> Check {
    // FU6, with a coroutine of this loop: its end and its callbacks are two turns, and the cancel comes in between.
    let task = ensure_future(farloop::local(async { Ok(1) }));
    let pen = run.clone();
    task.add_done_callback(move |done| {
        pen.log(format!("cb {} {}", truth(done.cancelled()), done.result().unwrap_or_default()));
    });
    run.sleep(0.0).await?;
    run.log(format!("done? {} cancel() {}", truth(task.done()), truth(task.cancel(()))));
    run.sleep(0.0).await?;
    run.journal_in(Order::Strict, &oracle("FU6"))?;
    // And a remote one.
    let remote = create_task(run.nap(0.1, "v"));
    remote.clone().await?;
    same((remote.cancel(()), remote.cancelled(), remote.cancelling(), remote.result()?), (false, false, 0, "v"))
}

async fn row_223_a_request_is_delivered_at_the_current_or_next_await(run: Run) -> Check {
    // The current one:
    let task = create_task(run.job("a", 5.0));
    run.sleep(1.0).await?;
    task.cancel(());
    holds(task.await.is_err_and(|error| error.is_cancelled()), "a sleep is cut")?;
    run.time_is(1.0)?;
    // The next one (CA6, c):
    let next = value_or_ex(create_task(cancels_itself(run.journal.clone(), "c".to_owned())).await);
    same((next, run.count("never")), json!([oracle("CA6").out[2][1], 0]))
}

async fn row_224_a_task_cancelled_before_its_first_step_never_runs(run: Run) -> Check {
    let probe = oracle("CA1");
    let gate = create_task(run.nap(1.0, "gate"));
    // The probe's task waits for its creator to yield. On another machine a task may begin as soon as it is submitted, so
    // there it is made to wait for an argument.
    let task = if run.exact() {
        create_task(with_finally(run.journal.clone()))
    } else {
        create_task(with_finally_after(run.journal.clone(), &gate))
    };
    let accepted = task.cancel("early");
    let at_once = (accepted, task.cancelled(), task.done(), task.cancelling());
    let raised = task.clone().await.map_or_else(|error| arg_list(&error), |()| vec!["no raise".to_owned()]);
    run.out_is(&probe, (at_once, task.cancelled(), raised, task.cancel(())))?;
    gate.await?;
    run.sleep(2.0).await?;
    run.journal_is(&probe)
}

async fn row_225_a_cancel_is_no_ordinary_error(run: Run) -> Check {
    let task = create_task(recovers(run.journal.clone()));
    run.sleep(1.0).await?;
    task.cancel(());
    holds(task.clone().await.is_err_and(|error| error.is_cancelled()), "recover() did not see it")?;
    run.journal_is(&oracle("CA2"))
}

/// CA3.
async fn ca3(run: &Run) -> Check {
    let task = create_task(goes_on(run.journal.clone()));
    run.sleep(1.0).await?;
    task.cancel(());
    let value = task.clone().await?;
    run.out_is(&oracle("CA3"), (value, task.cancelled(), task.cancelling(), run.time()))?;
    run.journal_is(&oracle("CA3"))
}

async fn row_226_a_suppressed_cancel_ends_with_the_value(run: Run) -> Check {
    ca3(&run).await
}

/// CA4: two requests at one instant, then a third.
async fn ca4(run: &Run) -> Check {
    let task = create_task(counts_cancels(run.journal.clone()));
    run.sleep(1.0).await?;
    let accepted = (task.cancel("1"), task.cancel("2"));
    run.sleep(1.0).await?;
    task.cancel(());
    let seen = task.clone().await?;
    run.out_is(&oracle("CA4"), (accepted, seen, task.cancelling(), run.time()))?;
    run.journal_is(&oracle("CA4"))
}

async fn row_227_later_awaits_work_after_a_suppressed_cancel(run: Run) -> Check {
    ca3(&run).await?;
    same((run.lines()[1].time - run.lines()[0].time) > 0.9, true)
}

async fn row_228_an_error_raised_instead_fails_the_task(run: Run) -> Check {
    let task = create_task(converts(run.journal.clone(), Fault::Value("converted".to_owned())));
    run.sleep(1.0).await?;
    task.cancel(());
    let raised = value_or_ex(task.clone().await);
    let probe = oracle("CA9");
    same((raised, task.cancelled()), json!([probe.out[0], probe.out[2]]))
}

async fn row_229_every_accepted_request_is_counted(run: Run) -> Check {
    if run.exact() {
        return ca4(&run).await;
    }
    // Two requests of one instant may be one delivery or two on another machine (row 230); they are counted either way.
    let task = create_task(counts_cancels(run.journal.clone()));
    run.sleep(1.0).await?;
    let accepted = (task.cancel("1"), task.cancel("2"));
    run.sleep(1.0).await?;
    task.cancel(());
    task.clone().await?;
    let probe = oracle("CA4");
    same((accepted, task.cancelling()), (&probe.out[0], &probe.out[2]))
}

async fn row_230_requests_before_delivery_are_one_delivery(run: Run) -> Check {
    if run.exact() {
        // The requests of one instant arrive at one instant.
        return ca4(&run).await;
    }
    // A body on another machine may be reached by the first request before the second is made; a body of this loop that
    // makes both itself cannot be.
    let inside = run.clone();
    let task = ensure_future(farloop::local(async move {
        let me = farloop::current_task().ok_or_else(|| Error::msg("a local task is current"))?;
        me.cancel("1");
        me.cancel("2");
        let mut seen = 0;
        for _ in 0..3 {
            if inside.sleep(0.5).await.is_err() {
                seen += 1;
            }
        }
        Ok((seen, me.cancelling()))
    }));
    same(task.await?, (1, 2))
}

async fn row_231_a_second_request_interrupts_the_cleanup(run: Run) -> Check {
    let task = create_task(interruptible_cleanup(run.journal.clone()));
    run.sleep(1.0).await?;
    task.cancel(());
    run.sleep(1.0).await?;
    task.cancel(());
    holds(task.await.is_err_and(|error| error.is_cancelled()), "it ends cancelled")?;
    run.out_is(&oracle("CA5"), run.time())?;
    run.journal_is(&oracle("CA5"))
}

/// CA10.
async fn ca10(run: &Run) -> Check {
    let task = create_task(uncancels(run.journal.clone()));
    run.sleep(1.0).await?;
    task.cancel(());
    let value = task.clone().await?;
    let left = task.uncancel();
    run.out_is(&oracle("CA10"), (value, task.cancelling(), left))?;
    run.journal_is(&oracle("CA10"))
}

async fn row_232_uncancel_counts_down_and_undoes_no_delivery(run: Run) -> Check {
    ca10(&run).await
}

async fn row_233_uncancel_to_zero_withdraws_what_was_not_delivered(run: Run) -> Check {
    create_task(withdraws(run.journal.clone())).await?;
    run.journal_is(&oracle("CA11"))
}

async fn row_234_uncancel_after_the_end_changes_nothing(run: Run) -> Check {
    let task = create_task(run.nap(5.0, "v"));
    run.sleep(0.5).await?;
    task.cancel("why");
    holds(task.clone().await.is_err(), "it is cancelled")?;
    let before = task.cancelling();
    task.uncancel();
    task.uncancel();
    same((task.cancelled(), value_or_ex(task.result()), before), (true, "CancelledError(why)", 1))
}

/// CA6: the four programs.
async fn ca6(run: &Run) -> Check {
    let mut out = Vec::new();
    for then in ["a", "b", "c", "d"] {
        let task = create_task(cancels_itself(run.journal.clone(), then.to_owned()));
        out.push((then, value_or_ex(task.clone().await), task.cancelled()));
    }
    run.out_is(&oracle("CA6"), out)?;
    same(run.texts(), ["runs on until the next await"])
}

async fn row_235_a_task_may_cancel_itself(run: Run) -> Check {
    ca6(&run).await
}

async fn row_236_a_return_before_any_await_is_lost_and_an_error_is_not(run: Run) -> Check {
    ca6(&run).await
}

async fn row_242_the_message_travels_with_the_error(run: Run) -> Check {
    let task = create_task(says_why(run.journal.clone()));
    run.sleep(1.0).await?;
    task.cancel("why, in all: \u{e9}\u{4e2d}\n'quoted'");
    let raised = task.await.map_or_else(|error| message(&error), Some);
    same(raised, Some("why, in all: \u{e9}\u{4e2d}\n'quoted'"))
}

async fn row_243_the_first_message_wins(run: Run) -> Check {
    let probe = oracle("CA17").edited(|line| Some(line.replace("unstarted ('b',)", "unstarted ('a',)")));
    let task = create_task(says_why(run.journal.clone()));
    run.sleep(1.0).await?;
    task.cancel("1");
    task.cancel("2");
    if let Err(error) = task.await {
        run.log(format!("awaiter {}", args(&error)));
    }
    let gate = create_task(run.nap(1.0, "gate"));
    let unstarted = create_task(with_finally_after(run.journal.clone(), &gate));
    unstarted.cancel("a");
    unstarted.cancel("b");
    if let Err(error) = unstarted.await {
        run.log(format!("unstarted {}", args(&error)));
    }
    // Between two awaits of a running body, too: remote and local.
    let remote = create_task(asks_itself_twice(run.journal.clone())).await?;
    let local = ensure_future(farloop::local(asks_itself_twice::local(run.journal.clone()))).await?;
    same((remote, local), ("('1',)", "('1',)"))?;
    run.journal_is(&probe)
}

async fn row_244_the_message_is_there_on_every_read(run: Run) -> Check {
    same(oracle("CA18").out, json!([["m"], [], [], []]))?;
    let task = create_task(run.nap(9.0, "v"));
    run.sleep(1.0).await?;
    task.cancel("m");
    let mut reads = vec![task.clone().await.err()];
    reads.push(task.result().err());
    reads.push(task.exception().err());
    reads.push(task.result().err());
    let shown: Vec<_> = reads.into_iter().map(|error| error.map(|error| arg_list(&error))).collect();
    same(shown, [["m"], ["m"], ["m"], ["m"]])
}

async fn row_245_a_cancelled_task_nobody_awaits_is_not_reported(run: Run) -> Check {
    run.collect_reports();
    let task = create_task(run.nap(9.0, "v"));
    run.sleep(0.2).await?;
    task.cancel(());
    run.sleep(1.0).await?;
    let ended = task.cancelled();
    drop(task);
    same((ended, run.reports().await?.len()), json!([true, oracle("CA19").out]))
}

async fn row_246_cancel_of_a_failed_task_takes_note_of_its_error(run: Run) -> Check {
    run.collect_reports();
    let task = create_task(crate::bodies::jobs::boom(Fault::Value("cancel() on done".to_owned())));
    wait([task.clone()]).await?;
    holds(!task.cancel(()), "it is done")?;
    drop(task);
    same(run.reports().await?, &oracle("FU2").out[3][1])
}

async fn row_247_a_cancelled_sleep_leaves_nothing_behind(run: Run) -> Check {
    // Local and remote: the sleeper ends at once, and the program does not wait for its timer.
    let limit = run.seconds(100.0);
    let here = ensure_future(farloop::local(async move { farloop::sleep(limit).await }));
    let there = create_task(nap(run.journal.clone(), 100.0, "slept".to_owned()));
    run.sleep(0.5).await?;
    here.cancel(());
    there.cancel(());
    holds(here.await.is_err_and(|error| error.is_cancelled()), "the local sleeper ends cancelled")?;
    holds(there.await.is_err_and(|error| error.is_cancelled()), "the remote sleeper ends cancelled")?;
    run.time_is(0.5)?;
    holds(run.time() < 50.0, "the timers are gone")?;
    // CA16: what a cancelled waiter would have taken is there for the next one.
    let (promise, future) = create_future::<String>();
    let waiter = future.clone();
    let first = ensure_future(farloop::local(async move { shield_of(waiter).await }));
    farloop::yield_now().await?;
    first.cancel(());
    holds(first.await.is_err(), "the waiter ends")?;
    promise.set_result("kept".to_owned())?;
    same(future.await?, "kept")
}

async fn shield_of(future: Fut<String>) -> farloop::Result<String> {
    // Awaiting the future itself would pass the cancel on to it, as in asyncio.
    shield(future).await
}

async fn row_248_a_panic_while_being_cancelled_is_the_outcome(run: Run) -> Check {
    let task = create_task(converts(run.journal.clone(), Fault::Panic("exit".to_owned())));
    run.sleep(1.0).await?;
    task.cancel(());
    let raised = task.clone().await;
    holds(
        matches!(&raised, Err(Error::Failed(failure)) if failure.message().contains("exit")),
        &format!("{raised:?}"),
    )?;
    holds(!task.cancelled(), "it failed")?;
    same(run.nap(0.1, "the loop goes on").await?, "the loop goes on")
}

async fn row_249_a_cancelled_error_is_about_its_task(run: Run) -> Check {
    let task = create_task(run.nap(9.0, "v"));
    run.sleep(0.5).await?;
    task.cancel("why");
    let error = task.clone().await.err();
    holds(error.as_ref().is_some_and(Error::is_cancelled), "it is cancelled")?;
    holds(task.function().ends_with(".nap"), "the handle names the function")?;
    same(error.map(|error| ex(&error)), "CancelledError(why)")
}

async fn row_250_repeated_requests_end_what_does_not_suppress_for_ever(run: Run) -> Check {
    let task = create_task(outlasts_three(run.journal.clone()));
    run.sleep(0.2).await?;
    let mut calls = 0;
    while !task.done() {
        if task.cancel(()) {
            calls += 1;
        }
        run.sleep(0.2).await?;
    }
    let counted = task.cancelling() == calls;
    run.out_is(&oracle("CA14"), (task.result()?, counted))?;
    // And nobody else was harmed.
    same(nested::awaits(create_task(run.nap(0.1, "v"))).await?, "v")
}
