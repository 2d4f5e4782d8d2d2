//! RU: run() and Runner (rows 281-287).

use std::sync::{Arc, Mutex, PoisonError};

use farloop::context::ContextVar;
use farloop::prelude::*;
use farloop::{Error, Runner, get_running_loop};
use serde_json::json;

use crate::bodies::jobs::{boom, echo};
use crate::faults::Fault;
use crate::interrupted::interrupt;
use crate::judge::{Check, Wrong, holds, same, wrong};
use crate::oracle::oracle;
use crate::python::ex;
use crate::registry::{Row, rows};
use crate::run::Run;
use crate::run::by_hand::text;
use crate::run::reports;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_281_run_gives_the_result_and_closes_its_loop;
    impossible row_282_only_what_can_be_awaited_is_run "the types say so: a number is no coroutine";
    covered row_283_run_is_refused_inside_a_running_loop;
    covered row_284_what_is_left_is_cancelled_and_awaited;
    covered row_285_errors_of_what_is_left_are_reported;
    covered row_286_an_interrupt_cancels_main_and_a_second_one_gives_it_up;
    covered row_287_a_runner_runs_several_in_one_context;
};

/// On a thread without a runtime.
fn apart<R: Send + 'static>(program: impl FnOnce() -> Result<R, Wrong> + Send + 'static) -> Result<R, Wrong> {
    std::thread::spawn(program).join().unwrap_or_else(|_| Err(wrong("it panics")))
}

async fn row_281_run_gives_the_result_and_closes_its_loop(_run: Run) -> Check {
    apart(|| {
        let (value, here) = farloop::run(async { Ok((echo("main result").await?, get_running_loop()?)) })?;
        same((value, here.is_closed(), here.is_running()), json!([oracle("RU1").out[0], true, false]))?;
        same(farloop::run(echo("a coroutine"))?, "a coroutine")?;
        let kept = Arc::new(Mutex::new(None));
        let keep = kept.clone();
        let raised = farloop::run(async move {
            *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(get_running_loop()?);
            boom(Fault::Value("b".to_owned())).await
        });
        same(raised.err().map(|error| ex(&error)), "ValueError(b)")?;
        let closed = kept.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|l| l.is_closed());
        holds(closed, "it is closed after an error, too")
    })
}

async fn row_283_run_is_refused_inside_a_running_loop(_run: Run) -> Check {
    apart(|| {
        let inside = farloop::run(async {
            let refused = farloop::run(async { Ok(()) });
            // Nothing was disturbed.
            Ok((refused.err().map(|error| text(&error)), echo("goes on").await?))
        })?;
        same(inside, json!(["RuntimeError(Cannot run the event loop while another loop is running)", "goes on"]))
    })
}

/// RU1: what was seen, the reports, and whether the two were cancelled.
fn ru1() -> Result<serde_json::Value, Wrong> {
    apart(|| {
        reports::collect();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = {
            let seen = seen.clone();
            move |text: &'static str| seen.lock().unwrap_or_else(PoisonError::into_inner).push(text)
        };
        let far = Duration::from_secs(9);
        let (result, kept) = farloop::run(async move {
            let bg = create_task(farloop::local(async move {
                let slept = farloop::sleep(far).await;
                note("bg cancelled");
                farloop::sleep(Duration::from_millis(10)).await?;
                note("bg cleaned");
                slept
            }));
            let bad = create_task(farloop::local(async move {
                match farloop::sleep(far).await {
                    Err(_) => Err(Fault::Value("x".to_owned()).raise()),
                    Ok(()) => Ok(()),
                }
            }));
            farloop::yield_now().await?;
            Ok(("main result", [bg, bad]))
        })?;
        let messages: Vec<String> =
            reports::take().iter().filter_map(|text| text.split(" | ").next().map(ToOwned::to_owned)).collect();
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(json!([result, seen, messages, kept.map(|task| task.cancelled())]))
    })
}

async fn row_284_what_is_left_is_cancelled_and_awaited(run: Run) -> Check {
    let out = ru1()?;
    same((&out[0], &out[1], &out[3]), (&oracle("RU1").out[0], &oracle("RU1").out[1], &oracle("RU1").out[3]))?;
    // The same of a task of the cluster: it has ended when the loop is closed. One that is detached is left alone.
    let (first, second) = (run.job("left", 30.0), run.job("detached", 1.0).detached());
    let pen = run.clone();
    let (left, detached) = apart(move || {
        Ok(farloop::run(async move {
            let tasks = (create_task(first), create_task(second));
            while pen.count("start left") + pen.count("start detached") < 2 {
                farloop::sleep(Duration::from_millis(5)).await?;
            }
            Ok(tasks)
        })?)
    })?;
    same((left.cancelled(), run.count("cancelled left ()")), (true, 1))?;
    same((detached.cancelled(), run.count("cancelled detached ()")), (false, 0))
}

async fn row_285_errors_of_what_is_left_are_reported(_run: Run) -> Check {
    // Here it is no function of a module `asyncio`.
    let expected = oracle("RU1").out[2][0].as_str().map(|text| text.replace("asyncio.run()", "run()"));
    same(&ru1()?[2], [expected])
}

async fn row_286_an_interrupt_cancels_main_and_a_second_one_gives_it_up(run: Run) -> Check {
    // The probe's harness prints the name alone.
    let seen = &oracle("RU2").out[1];
    same(interrupt("run", run.backend)?, json!([0, [["KeyboardInterrupt()", seen]]]))?;
    same(interrupt("stubborn", run.backend)?, json!([0, ["KeyboardInterrupt()"]]))?;
    same(interrupt("main", run.backend)?, json!([0, ["KeyboardInterrupt()"]]))
}

async fn row_287_a_runner_runs_several_in_one_context(_run: Run) -> Check {
    static WHO: ContextVar<String> = ContextVar::new("conformance.runner");
    apart(|| {
        let runner = Runner::new()?;
        let first = runner.run(async {
            WHO.set("set by the first".to_owned())?;
            get_running_loop()
        })?;
        let (seen, second) = runner.run(async { Ok((WHO.get()?, get_running_loop()?)) })?;
        same((seen, first == second), ("set by the first", true))?;
        same(WHO.get()?, None::<String>)?;
        runner.close()?;
        runner.close()?;
        let refused = runner.run(async { Ok(()) });
        holds(matches!(refused, Err(Error::LoopClosed)), &format!("{refused:?}"))
    })
}
