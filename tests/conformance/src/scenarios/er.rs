//! ER: error reporting (rows 337-343).

use farloop::blocking::EventLoop;
use farloop::prelude::*;
use serde_json::json;

use crate::backend;
use crate::bodies::jobs::{boom, nothing};
use crate::faults::Fault;
use crate::judge::{Check, holds, same, wrong};
use crate::oracle::oracle;
use crate::registry::{Row, rows};
use crate::run::{Run, reports};

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_337_an_error_that_nobody_reads_is_reported_once;
    covered row_338_reading_it_suppresses_the_report;
    covered row_339_what_a_report_says;
    covered row_340_a_handler_of_ones_own;
    covered row_341_a_pending_task_that_is_destroyed_is_reported;
    covered row_342_what_a_combinator_collects_counts_as_read;
    deviates row_343_debug_mode "what asyncio tracks in debug mode alone is tracked always, where it costs nothing: creation places, and polls that block; debug mode adds callbacks";
};

fn failing(text: &str) -> Task<String> {
    let task = create_task(boom(Fault::Value(text.to_owned())));
    drop(task.clone());
    task
}

/// Until it is done, without reading it.
async fn done(run: &Run, task: &Task<String>) -> farloop::Result<()> {
    while !task.done() {
        run.sleep(0.1).await?;
    }
    Ok(())
}

async fn row_337_an_error_that_nobody_reads_is_reported_once(run: Run) -> Check {
    run.collect_reports();
    let task = failing("b");
    done(&run, &task).await?;
    let running = run.reports().await?.len();
    let kept = run.reports().await?.len();
    drop(task);
    let dropped = run.reports().await?.len();
    same((running, kept, dropped), oracle("ER2").out)?;
    same(run.reports().await?.len(), 0)?;
    // Nobody holds it when it fails: then.
    drop(failing("b"));
    let mut late = Vec::new();
    for _ in 0..20 {
        late.extend(run.reports().await?);
        if !late.is_empty() {
            break;
        }
    }
    same(late, ["Task exception was never retrieved | ValueError(b)"])
}

async fn row_338_reading_it_suppresses_the_report(run: Run) -> Check {
    type Use = fn(&Task<String>);
    let uses: [(&str, Use); 7] = [
        ("untouched", |_| {}),
        ("exception()", |t| drop(t.exception())),
        ("result()", |t| drop(t.result())),
        ("cancel() on done", |t| _ = t.cancel(())),
        ("done callback not reading", |t| _ = t.add_done_callback(|_| {})),
        ("done() only", |t| _ = t.done()),
        ("kept in repr", |t| drop(format!("{t:?}"))),
    ];
    let mut out = Vec::new();
    for (label, used) in uses {
        run.collect_reports();
        let task = failing(label);
        done(&run, &task).await?;
        used(&task);
        run.sleep(0.1).await?;
        drop(task);
        let messages: Vec<String> =
            run.reports().await?.iter().map(|text| text.split(" | ").next().unwrap_or_default().to_owned()).collect();
        out.push(json!([label, messages]));
    }
    same(out, oracle("FU2").out)
}

async fn row_339_what_a_report_says(run: Run) -> Check {
    run.collect_reports();
    let line = line!() + 1;
    let task = create_task(boom(Fault::Value("b".to_owned())).name("T"));
    let id = task.id();
    done(&run, &task).await?;
    reports::take_whole();
    drop(task);
    run.sleep(0.1).await?;
    let whole = reports::take_whole();
    let [report] = &whole[..] else { return Err(wrong(&format!("one report, not {whole:?}"))) };
    // ER1: message, exception, future; and in debug mode, which this always is, where it was made.
    let keys = [
        ("exception", report.error.is_some()),
        ("future", report.task == Some(id)),
        ("message", !report.message.is_empty()),
    ];
    let keys: Vec<&str> = keys.into_iter().filter(|(_, there)| *there).map(|(key, _)| key).collect();
    same(json!([keys]), oracle("ER1").out)?;
    same(report.name.as_deref(), Some("T"))?;
    let made = report.created_at.ok_or_else(|| wrong("a place"))?;
    same((made.file(), made.line()), (file!(), line))
}

async fn row_340_a_handler_of_ones_own(run: Run) -> Check {
    // LO13, in a process of its own, for the handler is the process's: custom, default, broken, custom again. The broken
    // one falls back to the default and harms nothing. What is no function does not compile.
    same(&oracle("LO13").log[0].text, "alive")?;
    same(&backend::without_loop()?["handlers"], [1, 0, 0, 1])?;
    run.time_is(0.0)
}

async fn row_341_a_pending_task_that_is_destroyed_is_reported(run: Run) -> Check {
    let journal = run.journal.clone();
    // LO8: a loop of its own is stopped and closed while its coroutine sleeps.
    let messages = std::thread::spawn(move || -> farloop::Result<Vec<String>> {
        let event_loop = EventLoop::from_env()?;
        reports::collect();
        let sleeps = async move {
            let slept = nothing(journal.clone(), 9.0).await;
            journal.log("finally ran");
            slept
        };
        drop(event_loop.create_task(farloop::local(sleeps)));
        event_loop.stop();
        event_loop.run_forever()?;
        event_loop.close()?;
        Ok(reports::take())
    });
    let messages = messages.join().map_err(|_| wrong("the thread of the other loop panicked"))??;
    same(messages, oracle("LO8").out)
}

async fn row_342_what_a_combinator_collects_counts_as_read(run: Run) -> Check {
    run.collect_reports();
    let fails = [("a", 1.0, "A"), ("b", 2.0, ""), ("c", 3.0, "C")];
    let tasks = fails.map(|(name, delay, fault)| {
        create_task(run.failing(name, delay, (!fault.is_empty()).then(|| Fault::Value(fault.to_owned()))))
    });
    let raised = gather_all(tasks.clone()).await;
    holds(raised.is_err(), "the first failure surfaces")?;
    run.sleep(5.0).await?;
    drop(tasks);
    same(run.reports().await?, Vec::<String>::new())?;
    same(&oracle("GA4").out[1], Vec::<String>::new())
}

async fn row_343_debug_mode(run: Run) -> Check {
    run.collect_reports();
    reports::take_whole();
    let line = line!() + 1;
    let slow = farloop::local(async {
        std::thread::sleep(Duration::from_millis(120));
        Ok(())
    });
    ensure_future(slow).await?;
    let held = |text: &str| reports::take_whole().into_iter().filter(|r| r.message.contains(text)).count();
    same(held("held its event loop"), 1)?;
    // Creation places are always known.
    drop(run.nap(0.1, "dropped"));
    let dropped = reports::take_whole();
    let place = dropped.first().and_then(|report| report.created_at).map(|at| (at.file(), at.line() > line));
    same(place, Some((file!(), true)))?;
    // Callbacks are watched in debug mode.
    let was = farloop::debug();
    let mut seen = Vec::new();
    for on in [false, true] {
        farloop::set_debug(on);
        let task = create_task(run.nap(0.1, "v"));
        task.add_done_callback(|_| std::thread::sleep(Duration::from_millis(120)));
        task.await?;
        run.sleep(0.1).await?;
        seen.push(held("done callback"));
    }
    farloop::set_debug(was);
    same(seen, [0, 1])
}
