//! Running and stopping (rows 252-268).

use farloop::blocking::EventLoop;
use farloop::prelude::*;
use farloop::{Error, get_running_loop};
use serde_json::{Value, json};

use crate::bodies::jobs::{boom, echo};
use crate::faults::Fault;
use crate::judge::{Check, Order, holds, same};
use crate::oracle::oracle;
use crate::registry::{Row, rows};
use crate::run::Run;
use crate::run::by_hand::{ByHand, text};
use crate::run::reports;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_252_run_until_complete_gives_the_value_or_the_error;
    covered row_253_it_takes_coroutines_futures_and_blocks;
    covered row_254_a_future_of_another_loop_is_refused;
    covered row_255_a_finished_task_is_answered_at_once;
    impossible row_256_a_coroutine_runs_once "run_until_complete takes the coroutine: it can't be given twice";
    covered row_257_a_cancelled_task_raises_cancelled;
    deviates row_258_other_tasks_are_left_alone "as in CPython they are not cancelled and their continuations wait; but tasks of the cluster go on while the loop does not run";
    covered row_259_stopped_first_it_says_so_and_the_task_goes_on_later;
    covered row_260_its_callback_is_gone_on_every_path;
    covered row_261_run_forever_runs_until_stop;
    covered row_262_stop_finishes_the_turn;
    covered row_263_stop_before_the_run_makes_it_one_turn;
    covered row_264_stop_inside_a_coroutine_leaves_the_others_pending;
    covered row_265_gather_and_a_callback_that_stops;
    covered row_266_a_loop_runs_again;
    covered row_267_a_running_loop_refuses_and_is_not_disturbed;
    covered row_268_a_refused_run_leaves_the_coroutine_unawaited;
};

async fn row_252_run_until_complete_gives_the_value_or_the_error(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        let value = event_loop.run_until_complete(hand.run.nap(1.0, "v"))?;
        let raised = event_loop.run_until_complete(boom(Fault::Value("b".to_owned())));
        let probe = oracle("LO1");
        same([hand.r(Ok(value)), hand.r(raised)], [&probe.out[0], &probe.out[4]])?;
        hand.run.time_is(1.0)
    })
}

async fn row_253_it_takes_coroutines_futures_and_blocks(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        let (promise, future) = event_loop.create_future::<String>();
        promise.set_result("pre".to_owned())?;
        same(event_loop.run_until_complete(future)?, &oracle("LO1").out[1])?;
        same(event_loop.run_until_complete(create_task(echo("task")))?, "task")?;
        same(event_loop.run_until_complete(gather((echo("a"), echo("b"))))?, ["a", "b"])?;
        same(event_loop.run_until_complete(shield(echo("shield")))?, "shield")?;
        same(event_loop.run_until_complete(async { Ok(echo("block").await?.len()) })?, 5)?;
        same(event_loop.run_until_complete(wait([create_task(echo("w"))]))?.done.len(), 1)
        // What is none of these does not compile: row 18.
    })
}

async fn row_254_a_future_of_another_loop_is_refused(run: Run) -> Check {
    run.by_hand(|hand| {
        let other = EventLoop::new()?;
        let (promise, future) = other.create_future::<String>();
        let refused = hand.event_loop.run_until_complete(future);
        holds(matches!(refused, Err(Error::LoopMismatch)), &format!("{refused:?}"))?;
        drop(promise);
        Ok(other.close()?)
    })
}

async fn row_255_a_finished_task_is_answered_at_once(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        let task = event_loop.create_task(farloop::local(async { Ok(7) }));
        let mut out = Vec::new();
        for _ in 0..3 {
            out.push(event_loop.run_until_complete(task.clone())?);
        }
        let probe = oracle("RU3");
        same(out, [&probe.out[1], &probe.out[2], &probe.out[3]])?;
        // One turn passes all the same.
        event_loop.call_soon(hand.pen("the turn"))?;
        event_loop.run_until_complete(task)?;
        same(hand.run.texts(), ["the turn"])
    })
}

async fn row_257_a_cancelled_task_raises_cancelled(run: Run) -> Check {
    run.by_hand(|hand| {
        let task = hand.event_loop.create_task(hand.run.nap(9.0, "never"));
        let cancelled = task.clone();
        hand.event_loop.call_soon(move || {
            cancelled.cancel(());
        })?;
        let first = hand.r(hand.event_loop.run_until_complete(task.clone()));
        let again = hand.r(hand.event_loop.run_until_complete(task));
        let probe = oracle("RU3");
        same([first, again], [&probe.out[5], &probe.out[6]])
    })
}

async fn row_258_other_tasks_are_left_alone(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        let bg = event_loop.create_task(hand.run.job("bg", 3.0));
        let m = event_loop.run_until_complete(hand.run.job("m", 1.0))?;
        hand.log(format!("returned {m} {}", crate::python::truth(bg.done())));
        event_loop.run_until_complete(hand.sleeps(5.0))?;
        hand.log(bg.result()?);
        hand.run.journal_is(&oracle("LO7"))?;
        if !hand.run.exact() {
            // Where the workers have a clock of their own, they go on by themselves.
            let alone = event_loop.create_task(hand.run.job("alone", 1.0));
            for _ in 0..200 {
                if hand.run.count("done alone") == 1 {
                    break;
                }
                hand.idle(0.5);
            }
            same((hand.run.count("done alone"), alone.done()), (1, false))?;
            same(event_loop.run_until_complete(alone)?, "alone")?;
        }
        Ok(())
    })
}

/// LO6: a task that ticks, and a stop at 1.5 (at 2 it would meet a tick, and equal timers have no order there).
fn ticks(hand: &ByHand) -> Task<String> {
    let (pen, second) = (hand.run.clone(), hand.seconds(1.0));
    hand.event_loop.create_task(farloop::local(async move {
        for n in 0..4 {
            farloop::sleep(second).await?;
            pen.log(format!("tick {n}"));
        }
        Ok("end".to_owned())
    }))
}

async fn row_259_stopped_first_it_says_so_and_the_task_goes_on_later(run: Run) -> Check {
    run.by_hand(|hand| {
        let task = ticks(hand);
        hand.event_loop.call_later(hand.seconds(1.5), hand.stopper())?;
        let first = hand.r(hand.event_loop.run_until_complete(task.clone()));
        holds(!task.done(), "it is left pending")?;
        hand.log("paused");
        let second = hand.r(hand.event_loop.run_until_complete(task));
        let probe = oracle("LO6");
        same([first, second], [&probe.out[0], &probe.out[1]])?;
        same(hand.run.texts(), probe.log.iter().map(|line| line.text.clone()).collect::<Vec<_>>())
    })
}

async fn row_260_its_callback_is_gone_on_every_path(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        let (promise, future) = event_loop.create_future::<String>();
        event_loop.call_later(hand.seconds(1.0), hand.stopper())?;
        let r = hand.r(event_loop.run_until_complete(future.clone()));
        // CPython counts the callbacks; here, the future's end does not stop another run.
        let (promise, ran) = (std::sync::Arc::new(promise), future.done());
        event_loop.call_soon(move || drop(promise.set_result("late".to_owned())))?;
        event_loop.call_later(hand.seconds(1.0), hand.pen("still running"))?;
        event_loop.call_later(hand.seconds(2.0), hand.stopper())?;
        event_loop.run_forever()?;
        same(json!([r, ran, 0]), oracle("LO12").out)?;
        same((hand.run.texts(), future.result()?), (["still running"], "late"))
    })
}

async fn row_261_run_forever_runs_until_stop(run: Run) -> Check {
    run.by_hand(|hand| {
        let task = hand.event_loop.create_task(hand.run.job("a", 1.0));
        hand.event_loop.call_later(hand.seconds(3.0), hand.stopper())?;
        hand.event_loop.run_forever()?;
        holds(task.done(), "it is done, and did not end the run")?;
        hand.run.time_is(3.0)
    })
}

async fn row_262_stop_finishes_the_turn(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        let (pen, handle, after) = (hand.run.clone(), event_loop.handle(), hand.pen("C scheduled after stop"));
        event_loop.call_soon(move || {
            pen.log("A stop");
            handle.stop();
            drop(handle.call_soon(after));
        })?;
        event_loop.call_soon(hand.pen("B already scheduled"))?;
        event_loop.run_forever()?;
        hand.log("-- returned");
        event_loop.call_soon(hand.stopper())?;
        event_loop.run_forever()?;
        hand.run.journal_in(Order::Strict, &oracle("LO5"))
    })
}

async fn row_263_stop_before_the_run_makes_it_one_turn(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        let (pen, handle, nested) = (hand.run.clone(), event_loop.handle(), hand.pen("nested"));
        event_loop.call_soon(move || {
            pen.log("first");
            drop(handle.call_soon(nested));
        })?;
        event_loop.call_later(hand.seconds(1.0), hand.pen("timer"))?;
        event_loop.stop();
        event_loop.run_forever()?;
        hand.log("returned 1");
        event_loop.call_soon(hand.stopper())?;
        event_loop.run_forever()?;
        hand.log("returned 2");
        event_loop.call_later(hand.seconds(2.0), hand.stopper())?;
        event_loop.run_forever()?;
        hand.log("returned 3");
        hand.run.journal_in(Order::Strict, &oracle("LO4"))?;
        event_loop.stop();
        same(hand.r(event_loop.run_until_complete(hand.sleeps(1.0))), &oracle("RU3").out[0])
    })
}

/// The seeds' worker: says that it waits and that it is done, and does something then.
fn waits(hand: &ByHand, seconds: f64, then: impl FnOnce() + 'static) -> Task<()> {
    let (pen, delay, waiting) = (hand.run.clone(), hand.seconds(seconds), format!("Waiting {seconds}"));
    hand.event_loop.create_task(farloop::local(async move {
        pen.log(waiting);
        farloop::sleep(delay).await?;
        pen.log("Done");
        then();
        Ok(())
    }))
}

async fn row_264_stop_inside_a_coroutine_leaves_the_others_pending(run: Run) -> Check {
    run.by_hand(|hand| {
        let tasks = [waits(hand, 1.0, hand.stopper()), waits(hand, 3.0, hand.stopper())];
        hand.event_loop.run_forever()?;
        hand.log("loop returned");
        same(tasks.each_ref().map(Task::done), oracle("LO15").out)?;
        hand.run.journal_in(Order::Strict, &oracle("LO15"))
    })
}

async fn row_265_gather_and_a_callback_that_stops(run: Run) -> Check {
    run.by_hand(|hand| {
        let both = gather((waits(hand, 1.0, || ()), waits(hand, 3.0, || ())));
        let stop = hand.stopper();
        both.add_done_callback(move |_| stop());
        hand.event_loop.run_forever()?;
        hand.log("loop returned");
        same(both.done(), oracle("LO14").out)?;
        hand.run.journal_in(Order::Strict, &oracle("LO14"))
    })
}

async fn row_266_a_loop_runs_again(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        // Seed S26, then once more after a stop.
        event_loop.run_until_complete(hand.run.job("a", 1.0))?;
        event_loop.run_until_complete(hand.run.job("b", 3.0))?;
        event_loop.stop();
        event_loop.run_forever()?;
        event_loop.run_until_complete(hand.run.job("c", 1.0))?;
        same(hand.run.texts(), ["start a", "done a", "start b", "done b", "start c", "done c"])?;
        hand.run.time_is(5.0)
    })
}

async fn row_267_a_running_loop_refuses_and_is_not_disturbed(run: Run) -> Check {
    // Inside of a tokio runtime: this scenario is.
    let refused = farloop::run(async { Ok(()) }).err().map(|error| text(&error));
    let another = "RuntimeError(Cannot run the event loop while another loop is running)";
    same(&refused, another)?;
    run.by_hand(move |_| {
        let event_loop = std::rc::Rc::new(EventLoop::from_env()?);
        let inner = event_loop.clone();
        let out = event_loop.run_until_complete(async move {
            let told = |result: farloop::Result<()>| result.err().map_or_else(|| "it ran".to_owned(), |e| text(&e));
            let other = EventLoop::new()?;
            let out = json!([
                told(inner.run_forever()),
                inner.is_running(),
                get_running_loop()? == inner.handle(),
                told(other.run_forever()),
                told(inner.close()),
                told(inner.run_until_complete(async { Ok(()) })),
            ]);
            // It is not disturbed: it still awaits, and the cluster answers.
            Ok((out, echo("goes on").await?))
        })?;
        // RU4 is what 3.13.0 broke (V15): its text, and then the answers of a loop that still runs.
        let again: &Value = &oracle("RU4").out[0];
        let close = "RuntimeError(Cannot close a running event loop)";
        same(out, json!([[again, true, true, another, close, again], "goes on"]))?;
        Ok(event_loop.close()?)
    })
}

async fn row_268_a_refused_run_leaves_the_coroutine_unawaited(run: Run) -> Check {
    run.collect_reports();
    let event_loop = EventLoop::new()?;
    let refused = event_loop.run_until_complete(echo("never"));
    holds(matches!(refused, Err(Error::AlreadyRunning(_))), &format!("{refused:?}"))?;
    let reports = reports::take();
    holds(reports.len() == 1 && reports[0].contains("was never awaited"), &format!("{reports:?}"))?;
    Ok(event_loop.close()?)
}
