//! CB: done callbacks (rows 62-79).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use farloop::prelude::*;
use serde_json::json;

use crate::bodies::jobs::boom;
use crate::faults::Fault;
use crate::judge::{Check, Order, holds, same};
use crate::oracle::oracle;
use crate::python::{ex, truth};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_062_a_callback_gets_the_future_itself;
    covered row_063_extra_arguments_are_captured;
    covered row_064_callbacks_run_in_registration_order;
    covered row_065_callbacks_run_through_the_loop;
    covered row_066_a_callback_registered_twice_runs_twice;
    covered row_067_removing_by_key_removes_all_and_counts_them;
    deviates row_068_equal_callbacks_have_equal_keys "closures cannot be compared: the key that one gives them decides, as the bound method does in CPython";
    covered row_069_a_callback_on_a_done_future_runs_in_the_next_turn;
    covered row_070_callbacks_run_for_every_kind_of_end;
    covered row_071_callbacks_and_awaiters_are_one_list;
    covered row_072_a_panic_in_a_callback_is_reported_and_harms_nothing;
    deviates row_073_no_callback_stops_the_loop "there are no exit-style exceptions: a panic is reported like any other, and std::process::exit does exit";
    covered row_074_removing_a_scheduled_callback_has_no_effect;
    covered row_075_changing_the_list_meanwhile_does_not_corrupt_it;
    covered row_076_a_callback_has_no_current_task;
    covered row_077_a_callback_runs_in_the_context_of_its_registration;
    impossible row_078_a_coroutine_function_as_a_callback "a callback returns (), and a function that makes a coroutine returns the coroutine";
    covered row_079_a_callback_that_does_not_look_has_not_retrieved;
};

/// CB1.
async fn cb1(run: &Run) -> Check {
    let (promise, future) = create_future::<i64>();
    let (pen, id) = (run.clone(), future.id());
    future.add_done_callback(move |done| pen.log(format!("cb1 {}", truth(done.id() == id))));
    let pen = run.clone();
    future.add_done_callback(move |_| pen.log("cb2"));
    promise.set_result(1)?;
    run.log("after set_result");
    run.sleep(0.0).await?;
    run.log("tick");
    run.journal_in(Order::Strict, &oracle("CB1"))
}

async fn row_062_a_callback_gets_the_future_itself(run: Run) -> Check {
    cb1(&run).await?;
    let task = create_task(run.nap(0.5, "v"));
    let (pen, expected) = (run.clone(), task.clone());
    task.add_done_callback(move |done| pen.log(format!("itself {}", truth(*done == expected))));
    task.await?;
    run.sleep(0.1).await?;
    same(run.count("itself True"), 1)
}

async fn row_063_extra_arguments_are_captured(run: Run) -> Check {
    let task = create_task(run.nap(1.0, "v"));
    let (pen, tag) = (run.clone(), "tag");
    task.add_done_callback(move |done| pen.log(format!("{tag} {}", done.result().unwrap_or_default())));
    task.await?;
    run.sleep(0.1).await?;
    run.journal_is(&oracle("CB11"))
}

async fn row_064_callbacks_run_in_registration_order(run: Run) -> Check {
    cb1(&run).await?;
    let task = create_task(run.nap(0.5, "v"));
    let before = run.lines().len();
    for n in 0..10 {
        let pen = run.clone();
        task.add_done_callback(move |_| pen.log(format!("{n}")));
    }
    task.await?;
    run.sleep(0.1).await?;
    same(run.texts().split_off(before), (0..10).map(|n| n.to_string()).collect::<Vec<_>>())
}

async fn row_065_callbacks_run_through_the_loop(run: Run) -> Check {
    cb1(&run).await
}

async fn row_066_a_callback_registered_twice_runs_twice(run: Run) -> Check {
    let (promise, future) = create_future::<i64>();
    let callback = {
        let pen = run.clone();
        move |_: &Task<i64>| pen.log("cb")
    };
    let ids = [future.add_done_callback(callback.clone()), future.add_done_callback(callback)];
    holds(ids[0] != ids[1], "two registrations have two ids")?;
    promise.set_result(1)?;
    run.sleep(0.0).await?;
    run.journal_is(&oracle("CB2"))
}

async fn row_067_removing_by_key_removes_all_and_counts_them(run: Run) -> Check {
    let (promise, future) = create_future::<i64>();
    for _ in 0..3 {
        let pen = run.clone();
        future.add_done_callback_keyed("cb", move |_| pen.log("removed"));
    }
    let pen = run.clone();
    let kept = future.add_done_callback(move |_| pen.log("kept"));
    let (all, again) = (future.remove_done_callbacks("cb"), future.remove_done_callbacks("cb"));
    promise.set_result(1)?;
    run.sleep(0.0).await?;
    let after_the_end = future.remove_done_callbacks("cb") + future.remove_done_callback(kept);
    run.out_is(&oracle("CB2"), (all, again, after_the_end))?;
    same(run.texts(), ["kept"])?;
    let (_promise, future) = create_future::<i64>();
    let id = future.add_done_callback(|_| {});
    same((future.remove_done_callback(id), future.remove_done_callback(id)), (1, 0))
}

async fn row_068_equal_callbacks_have_equal_keys(run: Run) -> Check {
    // CB12: a bound method is equal to itself (1), two partial objects are not (0).
    let (_promise, future) = create_future::<i64>();
    future.add_done_callback_keyed("a.m", |_| {});
    let bound = future.remove_done_callbacks("a.m");
    future.add_done_callback_keyed("partial 1", |_| {});
    let partial = future.remove_done_callbacks("partial 2");
    run.out_is(&oracle("CB12"), (bound, partial))
}

async fn row_069_a_callback_on_a_done_future_runs_in_the_next_turn(run: Run) -> Check {
    let (promise, future) = create_future::<i64>();
    promise.set_result(1)?;
    let pen = run.clone();
    future.add_done_callback(move |_| pen.log("late cb"));
    run.log("registered");
    run.sleep(0.0).await?;
    run.log("tick");
    run.journal_in(Order::Strict, &oracle("CB3"))
}

async fn row_070_callbacks_run_for_every_kind_of_end(run: Run) -> Check {
    let failing = create_task(boom(Fault::Value("b".to_owned())));
    let pen = run.clone();
    failing.add_done_callback(move |done| {
        let error = done.exception().ok().flatten().map(|error| ex(&error)).unwrap_or_default();
        pen.log(format!("exc cb {error}"));
    });
    wait([failing]).await?;
    let cancelled = create_task(run.nap(9.0, "v"));
    let pen = run.clone();
    cancelled.add_done_callback(move |done| pen.log(format!("cancel cb {}", truth(done.cancelled()))));
    cancelled.cancel(());
    wait([cancelled]).await?;
    run.sleep(0.1).await?;
    run.journal_in(Order::Strict, &oracle("CB5"))?;
    let succeeded = create_task(run.nap(0.1, "v"));
    let pen = run.clone();
    succeeded.add_done_callback(move |done| pen.log(format!("value cb {}", done.result().unwrap_or_default())));
    succeeded.await?;
    run.sleep(0.1).await?;
    same(run.count("value cb v"), 1)
}

async fn row_071_callbacks_and_awaiters_are_one_list(run: Run) -> Check {
    let task = create_task(run.nap(1.0, "v"));
    let pen = run.clone();
    task.add_done_callback(move |_| pen.log("cb before"));
    let (pen, awaited) = (run.clone(), task.clone());
    let awaiter = ensure_future(farloop::local(async move {
        awaited.await?;
        pen.log("awaiter");
        Ok(())
    }));
    run.sleep(0.0).await?;
    let pen = run.clone();
    task.add_done_callback(move |_| pen.log("cb after"));
    awaiter.await?;
    run.sleep(0.1).await?;
    run.journal_in(Order::Strict, &oracle("CB6"))
}

async fn row_072_a_panic_in_a_callback_is_reported_and_harms_nothing(run: Run) -> Check {
    run.collect_reports();
    let task = create_task(run.nap(1.0, "v"));
    let pen = run.clone();
    task.add_done_callback(move |_| {
        pen.log("bad");
        panic!("cb");
    });
    let pen = run.clone();
    task.add_done_callback(move |_| pen.log("next cb runs"));
    let value = task.clone().await?;
    let reports = run.reports().await?;
    let probe = oracle("CB4");
    same((value, reports.len(), task.result()?), json!([probe.out[0], 1, "v"]))?;
    // The handler's text begins as CPython's; Python's ValueError is a panic here.
    let begins = probe.out[1][0][0].as_str().unwrap_or("?");
    holds(reports[0].starts_with(begins) && reports[0].contains("cb"), &reports[0])?;
    run.journal_in(Order::Strict, &probe)
}

async fn row_073_no_callback_stops_the_loop(run: Run) -> Check {
    run.collect_reports();
    let (promise, future) = create_future::<i64>();
    future.add_done_callback(|_| panic!("exit"));
    let pen = run.clone();
    future.add_done_callback(move |_| pen.log("second"));
    promise.set_result(0)?;
    run.sleep(0.5).await?;
    // The probe's run ends with SystemExit and without `second`.
    same((run.texts(), oracle("CB9").log.len()), json!([["second"], 0]))?;
    same((run.reports().await?.len(), run.nap(0.1, "end").await?), (1, "end"))
}

async fn row_074_removing_a_scheduled_callback_has_no_effect(run: Run) -> Check {
    let (promise, future) = create_future::<i64>();
    let second = Arc::new(std::sync::OnceLock::new());
    let (pen, to_remove) = (run.clone(), Arc::clone(&second));
    future.add_done_callback(move |done| {
        pen.log("a");
        let removed = to_remove.get().map_or(99, |id| done.remove_done_callback(*id));
        pen.log(format!("removed {removed}"));
    });
    let pen = run.clone();
    let id = future.add_done_callback(move |_| pen.log("b"));
    holds(second.set(id).is_ok(), "set once")?;
    promise.set_result(0)?;
    run.sleep(0.0).await?;
    run.journal_in(Order::Strict, &oracle("CB10"))
}

async fn row_075_changing_the_list_meanwhile_does_not_corrupt_it(run: Run) -> Check {
    let (promise, future) = create_future::<i64>();
    let ran = Arc::new(AtomicUsize::new(0));
    for n in 0..8 {
        let ran = Arc::clone(&ran);
        future.add_done_callback_keyed("k", move |done| {
            ran.fetch_add(1, SeqCst);
            // Each takes all others out and puts one in: what was scheduled runs, what is new runs in a later turn.
            done.remove_done_callbacks("k");
            if n < 4 {
                let ran = Arc::clone(&ran);
                done.add_done_callback_keyed("k", move |_| {
                    ran.fetch_add(100, SeqCst);
                });
            }
        });
    }
    promise.set_result(0)?;
    run.sleep(0.1).await?;
    same(ran.load(SeqCst), 408)
}

async fn row_076_a_callback_has_no_current_task(run: Run) -> Check {
    let pen = run.clone();
    // Completed from inside a task, so that there would be one to leak.
    ensure_future(farloop::local(async move {
        let (promise, future) = create_future::<i64>();
        let inner = pen.clone();
        future.add_done_callback(move |_| {
            let current = farloop::current_task().map_or_else(|| "None".to_owned(), |task| task.name());
            inner.log(format!("in cb current_task {current}"));
        });
        promise.set_result(0)?;
        pen.sleep(0.0).await
    }))
    .await?;
    run.journal_is(&oracle("CB7"))
}

async fn row_077_a_callback_runs_in_the_context_of_its_registration(run: Run) -> Check {
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry());
    let task = create_task(run.nap(0.5, "v"));
    let seen = Arc::new(std::sync::Mutex::new(None));
    let span = tracing::info_span!("registration");
    let inside = Arc::clone(&seen);
    span.in_scope(|| {
        task.add_done_callback(move |_| {
            if let Ok(mut seen) = inside.lock() {
                *seen = Some(tracing::Span::current().id());
            }
        })
    });
    task.await?;
    run.sleep(0.1).await?;
    let seen = seen.lock().map(|seen| seen.clone()).unwrap_or_default();
    holds(seen == Some(span.id()), &format!("the callback is in the span of its registration: {seen:?}"))
}

async fn row_079_a_callback_that_does_not_look_has_not_retrieved(run: Run) -> Check {
    type Way = fn(&Task<String>);
    run.collect_reports();
    // FU2, every way of its: what reads the error and what does not.
    let mut out = Vec::new();
    let ways: [(&str, Way); 7] = [
        ("untouched", |_| {}),
        ("exception()", |task| drop(task.exception())),
        ("result()", |task| drop(task.result())),
        ("cancel() on done", |task| _ = task.cancel(())),
        ("done callback not reading", |task| _ = task.add_done_callback(|_| {})),
        ("done() only", |task| _ = task.done()),
        ("kept in repr", |task| drop(format!("{task:?}"))),
    ];
    for (label, way) in ways {
        let task = create_task(boom(Fault::Value(label.to_owned())));
        wait([task.clone()]).await?;
        way(&task);
        drop(task);
        let reports = run.reports().await?;
        let expected = format!(" | ValueError({label})");
        let texts: Vec<String> = reports.iter().map(|text| text.trim_end_matches(&expected).to_owned()).collect();
        out.push((label, texts));
    }
    run.out_is(&oracle("FU2"), out)
}
