//! TH: entering from other threads (rows 288-303). All of it on real time: threads have no other.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Instant;

use farloop::blocking::{BlockingHandle, EventLoop};
use farloop::error::Misuse;
use farloop::prelude::*;
use farloop::{Error, LoopHandle};
use serde_json::json;

use crate::bodies::jobs::{boom, echo};
use crate::bodies::stubborn::gives_in;
use crate::faults::Fault;
use crate::judge::{Check, holds, same, wrong};
use crate::oracle::oracle;
use crate::python::ex;
use crate::registry::{Row, rows};
use crate::run::Run;
use crate::run::by_hand::text;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_288_call_soon_threadsafe_wakes_a_sleeping_loop;
    covered row_289_calls_of_one_thread_keep_their_order;
    covered row_290_it_gives_a_handle_that_can_be_cancelled;
    covered row_291_blocking_callbacks_run_one_after_the_other;
    covered row_292_run_coroutine_threadsafe_gives_a_blocking_future;
    covered row_293_several_coroutines_run_at_the_same_time;
    covered row_294_result_raises_the_error_with_its_type;
    covered row_295_a_limit_on_result_cancels_nothing;
    covered row_296_cancel_marks_the_handle_at_once;
    covered row_297_a_task_cancelled_in_the_loop_makes_the_handle_raise;
    impossible row_298_what_is_no_coroutine_is_refused "the types say so: a number is no coroutine";
    covered row_299_on_a_closed_loop_it_raises_and_on_an_idle_one_it_waits;
    deviates row_300_result_on_the_loops_own_thread_would_deadlock "CPython hangs; here it is an error that says so";
    impossible row_301_a_loop_stays_on_its_thread "EventLoop is neither Send nor Sync, where CPython checks in debug mode only; a handle's calls may be made from any thread";
    deviates row_302_cancel_may_be_called_from_any_thread "CPython's is not thread-safe; here a handle is Send and Sync, and cancel a message";
    covered row_303_work_in_a_thread_is_not_stopped;
};

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// What a callback has no use for.
fn let_go<T>(_: T) {}

/// Plays with a loop that another thread runs.
fn threaded(run: &Run, program: impl FnOnce(&LoopHandle) -> Check) -> Check {
    let (handle, thread) = run.on_a_thread();
    let check = program(&handle);
    handle.stop();
    thread.join().map_err(|_| wrong("the loop's thread panics"))??;
    check
}

async fn row_288_call_soon_threadsafe_wakes_a_sleeping_loop(run: Run) -> Check {
    threaded(&run, |handle| {
        // It sleeps for a timer that is far away.
        let (ready, sleeps) = mpsc::channel();
        let far = handle.clone();
        handle.call_soon_threadsafe(move || {
            drop(far.call_later(LONG * 3, || ()));
            let_go(ready.send(()));
        })?;
        holds(sleeps.recv_timeout(LONG).is_ok(), "it runs")?;
        std::thread::sleep(Duration::from_millis(20));
        let (give, take) = mpsc::channel();
        handle.call_soon_threadsafe(move || let_go(give.send(())))?;
        same(take.recv_timeout(LONG).is_ok(), &oracle("TH2").out[0])
    })
}

async fn row_289_calls_of_one_thread_keep_their_order(run: Run) -> Check {
    threaded(&run, |handle| {
        let (give, take) = mpsc::channel();
        for n in 0..50 {
            let give = give.clone();
            handle.call_soon_threadsafe(move || let_go(give.send(n)))?;
        }
        let got: Vec<i32> = (0..50).map_while(|_| take.recv_timeout(LONG).ok()).collect();
        same(got == (0..50).collect::<Vec<_>>(), &oracle("TH1").out[0])?;
        // On the loop's own thread it works as well.
        let (own, nested) = (handle.clone(), give);
        handle.call_soon_threadsafe(move || drop(own.call_soon_threadsafe(move || let_go(nested.send(99)))))?;
        same(take.recv_timeout(LONG).ok(), 99)
    })
}

async fn row_290_it_gives_a_handle_that_can_be_cancelled(run: Run) -> Check {
    threaded(&run, |handle| {
        let (hold, held) = mpsc::channel::<()>();
        let (give, take) = mpsc::channel();
        // The loop is held, so that the next ones are still queued.
        handle.call_soon_threadsafe(move || let_go(held.recv_timeout(LONG)))?;
        let (never, kept) = (give.clone(), give);
        let cancelled = handle.call_soon_threadsafe(move || let_go(never.send("never")))?;
        handle.call_soon_threadsafe(move || let_go(kept.send("kept")))?;
        cancelled.cancel();
        drop(hold);
        same((take.recv_timeout(LONG).ok(), cancelled.cancelled()), ("kept", true))?;
        holds(take.try_recv().is_err(), "the cancelled one does not run")
    })
}

async fn row_291_blocking_callbacks_run_one_after_the_other(run: Run) -> Check {
    threaded(&run, |handle| {
        let (order, begun) = (Arc::new(Mutex::new(Vec::new())), Instant::now());
        for ms in [200, 100] {
            let order = order.clone();
            handle.call_soon_threadsafe(move || {
                let note = |what| order.lock().unwrap_or_else(PoisonError::into_inner).push(json!([what, ms]));
                note("start");
                std::thread::sleep(Duration::from_millis(ms));
                note("end");
            })?;
        }
        let free = begun.elapsed() < Duration::from_millis(150);
        let (give, take) = mpsc::channel();
        handle.call_soon_threadsafe(move || let_go(give.send(())))?;
        holds(take.recv_timeout(LONG).is_ok() && begun.elapsed() >= Duration::from_millis(300), "in turn")?;
        let order = order.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // The probe's seconds are milliseconds here.
        let expected = json!([["start", 200], ["end", 200], ["start", 100], ["end", 100]]);
        same((order, free), (expected, &oracle("TH7").out[1]))
    })
}

async fn row_292_run_coroutine_threadsafe_gives_a_blocking_future(run: Run) -> Check {
    threaded(&run, |handle| {
        let future: BlockingHandle<String> = handle.run_coroutine_threadsafe(run.nap(0.02, "v"))?;
        same(future.result(LONG)?, &oracle("TH3").out[0][1])?;
        same((future.result(None)?, future.done(), future.cancelled()), ("v", true, false))
    })
}

async fn row_293_several_coroutines_run_at_the_same_time(run: Run) -> Check {
    threaded(&run, |handle| {
        let long = handle.run_coroutine_threadsafe(run.job("long", 0.6))?;
        let short = handle.run_coroutine_threadsafe(run.job("short", 0.3))?;
        same((long.result(LONG)?, short.result(LONG)?), ("long", "short"))?;
        // Seed S48: one begins before the other ends, and the shorter one ends first.
        let texts = run.texts();
        let at = |text: &str| texts.iter().position(|line| line == text);
        holds(at("start short") < at("done long") && at("done short") < at("done long"), &format!("{texts:?}"))
    })
}

async fn row_294_result_raises_the_error_with_its_type(run: Run) -> Check {
    threaded(&run, |handle| {
        let future = handle.run_coroutine_threadsafe(boom(Fault::Value("b".to_owned())))?;
        same(future.result(LONG).err().map(|error| ex(&error)), &oracle("TH3").out[1])
    })
}

async fn row_295_a_limit_on_result_cancels_nothing(run: Run) -> Check {
    threaded(&run, |handle| {
        let future = handle.run_coroutine_threadsafe(run.nap(2.0, "late"))?;
        let limited = future.result(Duration::from_millis(5));
        holds(matches!(limited, Err(Error::TimedOut(_))), &format!("{limited:?}"))?;
        let probe = oracle("TH3");
        same(json!(["still running", future.done(), []]), &probe.out[3])?;
        same(future.result(LONG)?, &probe.out[4])
    })
}

async fn row_296_cancel_marks_the_handle_at_once(run: Run) -> Check {
    threaded(&run, |handle| {
        let started = |text: &str| {
            let begun = Instant::now();
            while run.count(text) == 0 && begun.elapsed() < LONG {
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        let future = handle.run_coroutine_threadsafe(run.job("w", 60.0))?;
        started("start w");
        let accepted = future.cancel(());
        let raised = future.result(LONG).is_err_and(|error| error.is_cancelled());
        same((accepted, future.done(), raised, future.cancel(())), (true, true, true, false))?;
        let ended = future.cancel_and_wait((), LONG);
        same((ended.is_err_and(|error| error.is_cancelled()), run.count("cancelled w ()")), (true, 1))?;
        // TH4: it suppresses the request, and the handle stays cancelled; what asyncio cannot tell, cancel_and_wait does.
        let stubborn = handle.run_coroutine_threadsafe(gives_in(run.journal.clone(), "finished".to_owned()))?;
        while stubborn.task().is_none() {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(100));
        let state = (stubborn.cancel(()), stubborn.cancelled());
        same(state, (&oracle("TH4").out[0][0], &oracle("TH4").out[0][1]))?;
        same((stubborn.cancel_and_wait((), LONG)?, stubborn.cancelled()), ("finished", true))
    })
}

async fn row_297_a_task_cancelled_in_the_loop_makes_the_handle_raise(run: Run) -> Check {
    threaded(&run, |handle| {
        let future = handle.run_coroutine_threadsafe(run.nap(60.0, "never"))?;
        while future.task().is_none() {
            std::thread::yield_now();
        }
        let task = future.task();
        handle.call_soon_threadsafe(move || let_go(task.map(|task| task.cancel("inside"))))?;
        let raised = future.result(LONG).err().map(|error| ex(&error));
        same((raised, future.cancelled()), ("CancelledError(inside)", true))
    })
}

async fn row_299_on_a_closed_loop_it_raises_and_on_an_idle_one_it_waits(run: Run) -> Check {
    run.by_hand(|_| {
        let event_loop = EventLoop::from_env()?;
        let future = event_loop.handle().run_coroutine_threadsafe(echo("v"))?;
        let waiter = future.clone();
        let pending = std::thread::spawn(move || waiter.result(Duration::from_millis(100)));
        let pending = pending.join().map_err(|_| wrong("it panics"))?;
        let probe = oracle("TH3");
        holds(matches!(pending, Err(Error::TimedOut(_))), "loop not running: stays pending")?;
        let turn = event_loop.run_until_complete(async { farloop::sleep(Duration::from_millis(1)).await });
        holds(turn.is_ok(), "it runs")?;
        // The task is scheduled now; it is done when the cluster has answered.
        let task = future.task().ok_or_else(|| wrong("the loop has scheduled it"))?;
        event_loop.run_until_complete(task)?;
        same(json!(["after loop runs", future.done()]), &probe.out[10])?;
        // Whoever still waits when the loop is closed is told, and so is who comes late.
        let never = event_loop.handle().run_coroutine_threadsafe(echo("never"))?;
        let waiter = never.clone();
        let waits = std::thread::spawn(move || waiter.result(LONG).err().map(|error| text(&error)));
        event_loop.close()?;
        let closed = "RuntimeError(Event loop is closed)";
        same(waits.join().map_err(|_| wrong("it panics"))?, closed)?;
        same(event_loop.handle().run_coroutine_threadsafe(echo("late")).err().map(|error| text(&error)), closed)
    })
}

async fn row_300_result_on_the_loops_own_thread_would_deadlock(run: Run) -> Check {
    run.by_hand(|hand| {
        let handle = hand.event_loop.handle();
        let inside = handle.run_coroutine_threadsafe(hand.run.nap(1.0, "v"))?;
        let waits = inside.clone();
        let refused = hand.event_loop.run_until_complete(async move {
            Ok(matches!(waits.result(None), Err(Error::Misuse(Misuse::WouldDeadlock))))
        })?;
        same(refused, true)?;
        let task = inside.task().ok_or_else(|| wrong("the loop has scheduled it"))?;
        hand.event_loop.run_until_complete(task)?;
        same(inside.result(None)?, "v")
    })
}

async fn row_302_cancel_may_be_called_from_any_thread(run: Run) -> Check {
    run.by_hand(|_| {
        let event_loop = EventLoop::from_env()?;
        let (local, remote) = (
            event_loop.create_task(farloop::local(async { farloop::sleep(LONG).await })),
            event_loop.create_task(crate::bodies::jobs::pending_for_a_while()),
        );
        let tasks = (local.clone(), remote.clone());
        let canceller = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            (tasks.0.cancel("from afar"), tasks.1.cancel("from afar"))
        });
        let ended = [
            event_loop.run_until_complete(local).err().map(|error| ex(&error)),
            event_loop.run_until_complete(remote).err().map(|error| ex(&error)),
        ];
        same(canceller.join().unwrap_or_default(), (true, true))?;
        event_loop.close()?;
        same(ended, ["CancelledError(from afar)", "CancelledError(from afar)"])
    })
}

async fn row_303_work_in_a_thread_is_not_stopped(_run: Run) -> Check {
    let play = || {
        let done = Arc::new(Mutex::new(Vec::new()));
        let (work, seen) = (done.clone(), done.clone());
        let (begun, begins) = mpsc::channel();
        let (go, goes) = mpsc::channel::<()>();
        let inside = farloop::run(async move {
            let task = create_task(farloop::local(async move {
                farloop::to_thread(move || {
                    let_go(begun.send(()));
                    let_go(goes.recv_timeout(LONG));
                    work.lock().unwrap_or_else(PoisonError::into_inner).push(1);
                })
                .await
            }));
            while begins.try_recv().is_err() {
                farloop::sleep(Duration::from_millis(1)).await?;
            }
            task.cancel(());
            holds(task.await.is_err_and(|error| error.is_cancelled()), "it is cancelled at once").ok();
            let so_far = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
            drop(go);
            let value = farloop::to_thread(|| (farloop::current_task().is_some(), 7)).await?;
            Ok((so_far, value))
        })?;
        // The end of run() has waited for the thread.
        let done = done.lock().unwrap_or_else(PoisonError::into_inner).clone();
        same((inside.0, done), &oracle("TH6").out)?;
        same(inside.1, (true, 7))
    };
    std::thread::spawn(play).join().unwrap_or_else(|_| Err(wrong("it panics")))
}
