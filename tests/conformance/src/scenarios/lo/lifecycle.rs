//! Closing, callbacks, and what a loop is asked (rows 269-280).

use std::sync::Arc;

use farloop::blocking::EventLoop;
use farloop::prelude::*;
use farloop::{Error, get_running_loop};
use serde_json::json;

use crate::bodies::jobs::echo;
use crate::faults::Fault;
use crate::interrupted::interrupt;
use crate::judge::{Check, Order, holds, same};
use crate::oracle::oracle;
use crate::registry::{Row, rows};
use crate::run::Run;
use crate::run::by_hand::text;
use crate::run::reports;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_269_close_drops_what_is_queued_and_may_be_called_twice;
    covered row_270_after_close_every_entry_says_so;
    covered row_271_pending_tasks_of_a_closed_loop_never_run_again;
    covered row_272_a_loop_tells_its_state;
    covered row_273_callbacks_and_steps_share_one_queue;
    covered row_274_what_a_callback_queues_runs_in_the_next_turn;
    covered row_275_a_panic_in_a_callback_is_reported_and_the_loop_goes_on;
    deviates row_276_an_interrupt_ends_the_run_and_leaves_other_tasks "there are no exit-style exceptions: no task is the author of Ctrl-C; it cancels what the run itself scheduled and waits for that, and ends the run";
    covered row_277_without_a_running_loop_it_is_an_error;
    deviates row_278_inside_it_is_the_running_loop "there is no get_event_loop() that makes a loop (3.14 has none either): EventLoop::new and connect do, and theirs is the ambient loop of the thread";
    covered row_279_blocking_code_blocks_the_loop;
    covered row_280_timers_and_coroutines_stand_still_while_the_loop_does_not_run;
};

async fn row_269_close_drops_what_is_queued_and_may_be_called_twice(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = EventLoop::from_env()?;
        let held = Arc::new(());
        let (soon, later) = (held.clone(), held.clone());
        event_loop.call_soon(move || drop(soon))?;
        event_loop.call_later(hand.seconds(1.0), move || drop(later))?;
        same(Arc::strong_count(&held), 3)?;
        event_loop.close()?;
        event_loop.close()?;
        same((Arc::strong_count(&held), event_loop.is_closed()), (1, true))?;
        // Closing a running one: row 267. Dropping one that is open:
        hand.run.collect_reports();
        drop(EventLoop::from_env()?);
        same(reports::take(), ["unclosed event loop"])
    })
}

async fn row_270_after_close_every_entry_says_so(run: Run) -> Check {
    run.by_hand(|_| {
        let event_loop = EventLoop::from_env()?;
        let handle = event_loop.handle();
        event_loop.close()?;
        fn told<T>(result: farloop::Result<T>) -> String {
            result.err().map_or_else(|| "it worked".to_owned(), |error| text(&error))
        }
        let entries = [
            ("run_until_complete", told(event_loop.run_until_complete(echo("never")))),
            ("run_forever", told(event_loop.run_forever())),
            ("call_soon", told(event_loop.call_soon(|| {}))),
            ("call_later", told(event_loop.call_later(Duration::from_secs(1), || {}))),
            ("call_soon_threadsafe", told(handle.call_soon_threadsafe(|| {}))),
            ("create_task", told(event_loop.create_task(echo("never")).result())),
            ("run_coroutine_threadsafe", told(handle.run_coroutine_threadsafe(echo("never")))),
            ("ensure_future", told(handle.create_task(echo("never")).result())),
        ];
        // These two do not complain.
        event_loop.stop();
        drop(event_loop.create_future::<i64>());
        let probe = oracle("LO2").out;
        same(event_loop.is_closed(), &probe[0])?;
        for (n, entry) in entries.into_iter().enumerate() {
            same(entry, &probe[n + 1])?;
        }
        same(&probe[9], ["stop", "None"])
    })
}

async fn row_271_pending_tasks_of_a_closed_loop_never_run_again(run: Run) -> Check {
    run.by_hand(|hand| {
        hand.run.collect_reports();
        let event_loop = EventLoop::from_env()?;
        struct Finally(Run);
        impl Drop for Finally {
            fn drop(&mut self) {
                self.0.log("finally ran");
            }
        }
        let (pen, far) = (hand.run.clone(), hand.seconds(9.0));
        let task = event_loop.create_task(farloop::local(async move {
            let _finally = Finally(pen);
            farloop::sleep(far).await
        }));
        let remote = event_loop.create_task(hand.run.nap(9.0, "never"));
        event_loop.call_soon({
            let handle = event_loop.handle();
            move || handle.stop()
        })?;
        event_loop.run_forever()?;
        event_loop.close()?;
        drop(task);
        same(reports::take(), &oracle("LO8").out)?;
        // Whoever asks for a task of the cluster is told; the session's end has cancelled it.
        same(text(&remote.result().err().unwrap_or(Error::Interrupted)), "RuntimeError(Event loop is closed)")?;
        same(hand.run.texts(), ["finally ran"])
    })
}

async fn row_272_a_loop_tells_its_state(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = EventLoop::from_env()?;
        let (handle, pen) = (event_loop.handle(), hand.run.clone());
        let state = |l: &EventLoop| format!("{} {} {l:?}", l.is_running(), l.is_closed());
        hand.log(state(&event_loop));
        event_loop.run_until_complete(async move {
            pen.log(format!("{} {} {handle:?}", handle.is_running(), handle.is_closed()));
            Ok(())
        })?;
        event_loop.close()?;
        hand.log(state(&event_loop));
        let expected = [
            "false false <EventLoop running=false closed=false>",
            "true false <EventLoop running=true closed=false>",
            "false true <EventLoop running=false closed=true>",
        ];
        same(hand.run.texts(), expected)
    })
}

async fn row_273_callbacks_and_steps_share_one_queue(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        let step = |name: &'static str| {
            let pen = hand.run.clone();
            farloop::local(async move {
                pen.log(format!("{name}1"));
                farloop::yield_now().await?;
                pen.log(format!("{name}2"));
                Ok(())
            })
        };
        let (a, b, cs, pen) = (step("a"), step("b"), hand.pen("cs"), hand.run.clone());
        event_loop.run_until_complete(async move {
            let here = get_running_loop()?;
            let first = create_task(a);
            here.call_soon(cs)?;
            let second = create_task(b);
            farloop::yield_now().await?;
            pen.log("m1");
            farloop::yield_now().await?;
            pen.log("m2");
            drop((first, second));
            Ok(())
        })?;
        hand.run.journal_in(Order::Strict, &oracle("LO17"))?;
        let before = hand.run.lines().len();
        let handles: Vec<_> =
            (0..4).map(|n| event_loop.call_soon(hand.pen(&n.to_string()))).collect::<Result<_, _>>()?;
        handles[1].cancel();
        event_loop.call_soon(hand.stopper())?;
        event_loop.run_forever()?;
        let texts = hand.run.texts().split_off(before);
        same(texts, oracle("TI10").log.iter().map(|line| line.text.clone()).collect::<Vec<_>>())
    })
}

async fn row_274_what_a_callback_queues_runs_in_the_next_turn(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        let (handle, pen, nested) = (event_loop.handle(), hand.run.clone(), hand.pen("nested"));
        event_loop.call_soon(move || {
            pen.log("first");
            drop(handle.call_soon(nested));
        })?;
        for n in 0..3 {
            event_loop.call_soon(hand.pen(&format!("queued {n}")))?;
        }
        event_loop.call_soon(hand.stopper())?;
        event_loop.run_forever()?;
        same(hand.run.texts(), ["first", "queued 0", "queued 1", "queued 2"])?;
        event_loop.stop();
        event_loop.run_forever()?;
        same(hand.run.count("nested"), 1)
    })
}

async fn row_275_a_panic_in_a_callback_is_reported_and_the_loop_goes_on(run: Run) -> Check {
    run.by_hand(|hand| {
        hand.run.collect_reports();
        let event_loop = &hand.event_loop;
        event_loop.call_soon(|| drop(Fault::Panic("cb".to_owned()).raise()))?;
        event_loop.call_soon(hand.pen("next"))?;
        event_loop.call_soon(hand.stopper())?;
        event_loop.run_forever()?;
        let reports = reports::take();
        let probe = oracle("LO9");
        let begins = probe.out[0][0].as_str().unwrap_or("?");
        holds(
            reports.len() == 1 && reports[0].starts_with(begins) && reports[0].contains("cb"),
            &format!("{reports:?}"),
        )?;
        hand.run.journal_in(Order::Strict, &probe)
    })
}

async fn row_276_an_interrupt_ends_the_run_and_leaves_other_tasks(run: Run) -> Check {
    // LO16: the interrupt comes out of the run, the other task is not done and ends in a later run.
    same(oracle("LO16").log.iter().filter(|line| line.text.contains("KeyboardInterrupt")).count(), 1)?;
    let interrupted = "KeyboardInterrupt()";
    let first = json!([interrupted, ["cleaned up"], false, 0]);
    same(interrupt("loop", run.backend)?, json!([0, [[first, interrupted, [0], "o"]]]))?;
    same(interrupt("call", run.backend)?, json!([0, ["cleaned up", [interrupted, 0]]]))?;
    same(interrupt("stubborn loop", run.backend)?, json!([0, [[interrupted, 1]]]))?;
    // While no loop runs, the first is kept and the second ends the process.
    same(interrupt("idle", run.backend)?, json!([130, []]))
}

async fn row_277_without_a_running_loop_it_is_an_error(run: Run) -> Check {
    run.by_hand(|hand| {
        let here = get_running_loop().err().map(|error| text(&error));
        same((here, farloop::current_task().is_none()), (&oracle("LO11").out[0], true))?;
        // There is a loop on this thread, so there is something to list (seed S45): nothing yet.
        same(farloop::all_tasks()?.len(), &oracle("LO11").out[4])?;
        let _ = hand;
        let without = std::thread::spawn(|| {
            let all = farloop::all_tasks().err().map(|error| text(&error));
            (all, get_running_loop().err().map(|error| text(&error)))
        });
        let (all, here) = without.join().unwrap_or_default();
        // In a process where a program's main has a loop, other threads find that one.
        holds(all.is_none() || all == here, &format!("{all:?} {here:?}"))?;
        same(here, &oracle("LO11").out[0])
    })
}

async fn row_278_inside_it_is_the_running_loop(run: Run) -> Check {
    run.by_hand(|hand| {
        let (handle, stop) = (hand.event_loop.handle(), hand.stopper());
        let pen = hand.run.clone();
        hand.event_loop.call_soon(move || {
            pen.log(format!("callback {}", get_running_loop().is_ok_and(|here| here == handle)));
            stop();
        })?;
        hand.event_loop.run_forever()?;
        let handle = hand.event_loop.handle();
        same(hand.event_loop.run_until_complete(async move { Ok(get_running_loop()? == handle) })?, true)?;
        same(hand.run.texts(), ["callback true"])
    })
}

async fn row_279_blocking_code_blocks_the_loop(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = EventLoop::from_env()?;
        let (handle, pen, stop) = (event_loop.handle(), hand.run.clone(), event_loop.handle());
        let late = hand.pen("the timer is late");
        event_loop.call_soon(move || {
            drop(handle.call_later(Duration::from_millis(1), late));
            std::thread::sleep(Duration::from_millis(120));
            pen.log("unblocked");
        })?;
        event_loop.call_later(Duration::from_millis(150), move || stop.stop())?;
        event_loop.run_forever()?;
        event_loop.close()?;
        same(hand.run.texts(), ["unblocked", "the timer is late"])
    })
}

async fn row_280_timers_and_coroutines_stand_still_while_the_loop_does_not_run(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        let (pen, second) = (hand.run.clone(), hand.seconds(1.0));
        let task = event_loop.create_task(farloop::local(async move {
            farloop::sleep(second).await?;
            pen.log("slept");
            Ok(())
        }));
        event_loop.call_later(second, hand.pen("timer"))?;
        event_loop.stop();
        event_loop.run_forever()?;
        hand.idle(5.0);
        hand.log("not running");
        event_loop.run_until_complete(task)?;
        same((hand.run.texts().first().cloned(), hand.run.lines().len()), ("not running", 3))?;
        hand.run.time_is(5.0)
    })
}
