//! TI: timers and sleep (rows 304-319).

use std::sync::Arc;
use std::time::Instant;

use farloop::get_running_loop;
use farloop::prelude::*;
use serde_json::json;

use crate::judge::{Check, Order, holds, same};
use crate::oracle::oracle;
use crate::python::ex;
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_304_timers_run_in_order_of_their_deadlines;
    deviates row_305_equal_deadlines_are_first_in_first_out "V18: CPython's heap scrambles them";
    covered row_306_a_timer_can_be_cancelled_and_twice_does_no_harm;
    covered row_307_a_timer_tells_when_it_is_due;
    covered row_308_what_is_due_already_runs_in_the_next_turn;
    impossible row_309_none_is_no_delay "a delay is a Duration";
    covered row_310_timers_are_late_and_in_order_if_the_loop_did_not_run;
    covered row_311_a_timer_fires_once;
    covered row_312_cancelled_timers_hold_nothing;
    covered row_313_sleep_gives_its_value;
    covered row_314_a_sleep_of_zero_is_one_turn;
    covered row_315_cancelling_a_sleep_cancels_its_timer;
    impossible row_316_not_a_number_is_no_delay "a delay is a Duration, which is a number";
    covered row_317_time_is_monotonic_and_of_the_loop;
    covered row_318_a_timer_coroutine_prints_once;
    covered row_319_many_sleepers_take_as_long_as_the_longest;
};

async fn row_304_timers_run_in_order_of_their_deadlines(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        let zero = event_loop.time();
        event_loop.call_later(hand.seconds(2.0), hand.pen("b"))?;
        event_loop.call_later(hand.seconds(1.0), hand.pen("a"))?;
        event_loop.call_at(zero + hand.seconds(1.5), hand.pen("at"))?;
        event_loop.call_later(hand.seconds(3.0), hand.stopper())?;
        event_loop.run_forever()?;
        hand.run.journal_in(Order::Strict, &oracle("TI1"))
    })
}

async fn row_305_equal_deadlines_are_first_in_first_out(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        let when = event_loop.time() + hand.seconds(1.0);
        for n in 0..6 {
            event_loop.call_at(when, hand.pen(&n.to_string()))?;
        }
        event_loop.call_at(when, hand.stopper())?;
        event_loop.run_forever()?;
        // The same of sleeping coroutines (TI6).
        let sleepers = (0..6).map(|n| {
            let (pen, second) = (hand.run.clone(), hand.seconds(1.0));
            farloop::local(async move {
                farloop::sleep(second).await?;
                pen.log(format!("{n}"));
                Ok(())
            })
        });
        let all: Vec<_> = sleepers.map(|sleeper| event_loop.create_task(sleeper)).collect();
        event_loop.run_until_complete(gather_all(all))?;
        let mut sorted: Vec<String> = oracle("TI2").log.iter().map(|line| line.text.clone()).collect();
        sorted.sort();
        same(hand.run.texts(), [sorted.clone(), sorted].concat())
    })
}

async fn row_306_a_timer_can_be_cancelled_and_twice_does_no_harm(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        let zero = event_loop.time();
        let never = event_loop.call_later(hand.seconds(1.0), hand.pen("never"))?;
        let before = never.cancelled();
        let when = never.when().saturating_sub(zero).as_secs_f64() / hand.seconds(1.0).as_secs_f64();
        never.cancel();
        never.cancel();
        let after = never.cancelled();
        let ran = event_loop.call_later(hand.seconds(0.5), hand.pen("ran"))?;
        event_loop.call_later(hand.seconds(2.0), hand.stopper())?;
        event_loop.run_forever()?;
        ran.cancel();
        hand.run.out_is(&oracle("TI3"), json!([[before, when, null, null, after], ran.cancelled()]))?;
        hand.run.journal_in(Order::Strict, &oracle("TI3"))
    })
}

async fn row_307_a_timer_tells_when_it_is_due(run: Run) -> Check {
    run.by_hand(|hand| {
        let zero = hand.event_loop.time();
        let timer = hand.event_loop.call_at(zero + Duration::from_secs(7), || {})?;
        same((timer.when() - zero, timer.cancelled()), (Duration::from_secs(7), false))?;
        let soon = hand.event_loop.call_later(Duration::from_secs(3), || {})?;
        holds(soon.when() >= zero + Duration::from_secs(3) && soon.when() < timer.when(), "3 s from its call")?;
        timer.cancel();
        soon.cancel();
        holds(format!("{timer:?}").starts_with("<TimerHandle cancelled when="), &format!("{timer:?}"))
    })
}

async fn row_308_what_is_due_already_runs_in_the_next_turn(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        // A Duration is not negative: moments that are over stand for the probe's negative delays.
        hand.idle(2.0);
        let now = event_loop.time();
        event_loop.call_at(now - hand.seconds(1.0), hand.pen("neg a"))?;
        event_loop.call_at(now - hand.seconds(2.0), hand.pen("neg b"))?;
        event_loop.call_later(Duration::ZERO, hand.pen("zero"))?;
        event_loop.call_soon(hand.pen("soon"))?;
        let (handle, soon2) = (event_loop.handle(), hand.pen("soon2"));
        event_loop.call_soon(move || drop(handle.call_soon(soon2)))?;
        event_loop.call_later(hand.seconds(1.0), hand.stopper())?;
        event_loop.run_forever()?;
        same(hand.run.texts(), oracle("TI4").log.iter().map(|line| line.text.clone()).collect::<Vec<_>>())
    })
}

async fn row_310_timers_are_late_and_in_order_if_the_loop_did_not_run(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        event_loop.call_later(hand.seconds(1.0), hand.pen("timer"))?;
        hand.idle(5.0);
        hand.log("not running");
        event_loop.call_soon(hand.stopper())?;
        event_loop.run_forever()?;
        hand.run.journal_in(Order::Strict, &oracle("TI7"))?;
        // TI8: blocked. A callback blocks real time only.
        let other = farloop::blocking::EventLoop::from_env()?;
        other.call_later(Duration::from_millis(20), hand.pen("t2"))?;
        other.call_later(Duration::from_millis(10), hand.pen("t1"))?;
        let unblocked = hand.pen("unblocked");
        other.call_soon(move || {
            std::thread::sleep(Duration::from_millis(40));
            unblocked();
        })?;
        let handle = other.handle();
        other.call_later(Duration::from_millis(30), move || handle.stop())?;
        other.run_forever()?;
        other.close()?;
        let texts = hand.run.texts().split_off(2);
        same(texts, oracle("TI8").log.iter().map(|line| line.text.clone()).collect::<Vec<_>>())
    })
}

async fn row_311_a_timer_fires_once(run: Run) -> Check {
    run.by_hand(|hand| {
        hand.event_loop.call_later(hand.seconds(1.0), hand.pen("once"))?;
        for _ in 0..3 {
            hand.event_loop.run_until_complete(hand.sleeps(2.0))?;
        }
        same(hand.run.texts(), ["once"])
    })
}

async fn row_312_cancelled_timers_hold_nothing(run: Run) -> Check {
    run.by_hand(|hand| {
        let held = Arc::new(());
        let mut timers = Vec::new();
        for _ in 0..1_000 {
            let inside = held.clone();
            timers.push(hand.event_loop.call_later(Duration::from_secs(3_600), move || drop(inside))?);
        }
        same(Arc::strong_count(&held), 1_001)?;
        timers.iter().for_each(|timer| timer.cancel());
        // What they captured went at once. That they leave the heap is tested where the heap is.
        same(Arc::strong_count(&held), 1)?;
        hand.event_loop.run_until_complete(hand.sleeps(1.0))?;
        hand.run.time_is(1.0)
    })
}

async fn row_313_sleep_gives_its_value(run: Run) -> Check {
    let value = farloop::sleep_with(run.seconds(1.0), "v").await?;
    farloop::sleep(run.seconds(1.0)).await?;
    same(value, "v")?;
    run.time_is(2.0)
}

async fn row_314_a_sleep_of_zero_is_one_turn(run: Run) -> Check {
    run.by_hand(|hand| {
        let (pen, soon) = (hand.run.clone(), hand.pen("soon"));
        let out = hand.event_loop.run_until_complete(async move {
            get_running_loop()?.call_soon(soon)?;
            let value = farloop::sleep_with(Duration::ZERO, "r").await?;
            pen.log("after sleep(0)");
            farloop::yield_now().await?;
            Ok(value)
        })?;
        same(out, &oracle("TI5").out[0])?;
        hand.run.journal_in(Order::Strict, &oracle("TI5"))
    })
}

async fn row_315_cancelling_a_sleep_cancels_its_timer(run: Run) -> Check {
    run.by_hand(|hand| {
        let far = hand.seconds(100.0);
        let raised = hand.event_loop.run_until_complete(async move {
            let task = create_task(farloop::local(async move { farloop::sleep(far).await }));
            farloop::yield_now().await?;
            task.cancel(());
            Ok(task.await.err().map(|error| ex(&error)))
        })?;
        same(raised, "CancelledError()")?;
        // With its timer, virtual time would run on to it here.
        hand.event_loop.run_until_complete(hand.sleeps(1.0))?;
        hand.run.time_is(1.0)?;
        holds(hand.run.time() < 50.0, "nothing waited for it")
    })
}

async fn row_317_time_is_monotonic_and_of_the_loop(run: Run) -> Check {
    run.by_hand(|hand| {
        let event_loop = &hand.event_loop;
        let zero = event_loop.time();
        event_loop.run_until_complete(hand.sleeps(1.0))?;
        let one = event_loop.time();
        let inside = event_loop.run_until_complete(async { Ok(get_running_loop()?.time()) })?;
        holds(one - zero >= hand.seconds(0.98) && inside >= one, &format!("{zero:?} {one:?} {inside:?}"))?;
        // Each loop counts from its own beginning.
        let begun = Instant::now();
        let other = farloop::blocking::EventLoop::new()?;
        holds(other.time() <= begun.elapsed(), "it has just begun")?;
        Ok(other.close()?)
    })
}

async fn row_318_a_timer_coroutine_prints_once(run: Run) -> Check {
    run.by_hand(|hand| {
        // Seed S30.
        let (second, pen) = (hand.seconds(1.0), hand.run.clone());
        let timer = hand.event_loop.create_task(farloop::local(async move {
            farloop::sleep(second).await?;
            Ok("timer".to_owned())
        }));
        timer.add_done_callback(move |done| pen.log(done.result().unwrap_or_default()));
        hand.event_loop.run_until_complete(timer)?;
        hand.event_loop.run_until_complete(hand.sleeps(1.0))?;
        same(hand.run.texts(), ["timer"])?;
        hand.run.time_is(2.0)
    })
}

async fn row_319_many_sleepers_take_as_long_as_the_longest(run: Run) -> Check {
    run.by_hand(|hand| {
        let sleeper = |name: &'static str, delay: f64| {
            let (pen, delay) = (hand.run.clone(), hand.seconds(delay));
            hand.event_loop.create_task(farloop::local(async move {
                farloop::sleep(delay).await?;
                pen.log(name);
                Ok(())
            }))
        };
        let three = gather_all([sleeper("c", 3.0), sleeper("a", 1.0), sleeper("b", 2.0)]);
        hand.event_loop.run_until_complete(three)?;
        hand.run.journal_in(Order::Strict, &oracle("TI11"))?;
        // A hundred on the cluster, which has fewer slots than that in process.
        let many: Vec<_> = (0..100).map(|_| hand.run.nap(2.0, "n")).collect();
        let before = hand.run.time();
        same(hand.event_loop.run_until_complete(gather_all(many))?.len(), 100)?;
        let took = hand.run.time() - before;
        holds(took < if hand.run.exact() { 2.1 } else { 100.0 }, &format!("it took {took} s"))
    })
}
