//! TS: task states and their representation (rows 25-48).

use std::cell::RefCell;
use std::rc::Rc;

use farloop::Error;
use farloop::prelude::*;
use serde_json::json;

use crate::bodies::jobs::{boom, nothing, unencodable};
use crate::bodies::nested;
use crate::faults::Fault;
use crate::judge::{Check, Order, holds, same, wrong};
use crate::oracle::oracle;
use crate::python::{arg_list, ex, value_or_ex};
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_025_the_states_are_pending_cancelling_finished_cancelled;
    covered row_026_a_task_prints_its_state_name_and_coroutine;
    covered row_027_between_cancel_and_the_end_it_is_cancelling;
    covered row_028_it_prints_what_it_waits_for_and_its_callbacks;
    covered row_029_recursive_structures_are_cut;
    covered row_030_names_are_task_n_or_given_or_changed;
    covered row_031_done_is_true_after_any_end;
    covered row_032_cancelled_is_true_only_if_it_ended_so;
    covered row_033_result_of_a_pending_task_is_an_error_at_once;
    covered row_034_exception_of_a_pending_finished_or_cancelled_task;
    covered row_035_result_gives_the_outcome_as_often_as_asked;
    deviates row_036_every_read_gives_an_equal_error "identity cannot cross the wire; what is read is equal every time, and so is the error's task";
    impossible row_037_a_task_cannot_be_completed_from_outside "Task has no set_result; only a Promise has";
    covered row_038_awaiting_a_finished_task_does_not_suspend;
    covered row_039_awaiters_resume_in_the_order_in_which_they_began;
    covered row_040_a_task_that_awaits_itself_gets_an_error;
    deviates row_041_tasks_that_await_each_other_are_told "CPython's wait for ever, and cancelling one overflows its stack; here the cycle is an error";
    covered row_042_a_body_that_raises_cancelled_unasked_ends_cancelled;
    covered row_043_nothing_is_a_result;
    covered row_044_a_returned_handle_is_handed_over_not_awaited;
    deviates row_045_a_task_tells_its_function_and_no_stack "there is no stack to print of a body on another machine; the handle tells the function";
    covered row_046_a_failure_tells_where_it_happened;
    covered row_047_an_error_keeps_the_one_it_wraps;
    deviates row_048_a_value_that_cannot_be_encoded_is_a_failure "Rust has no StopIteration; what must not be lost here is the end of a body whose value cannot travel";
};

/// A representation as both languages have it: function names are `f`, `running at F:L` and what is waited for left out.
fn shape(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(from) = text.find(" wait_for=<") {
        let (mut depth, mut to) = (0, from);
        for (at, c) in text[from..].char_indices() {
            depth += match c {
                '<' => 1,
                '>' => -1,
                _ => 0,
            };
            if c == '>' && depth == 0 {
                to = from + at + 1;
                break;
            }
        }
        text.replace_range(from..to, "");
    }
    if let (Some(from), Some(call)) = (text.find("coro=<"), text.find("()")) {
        let rest = text[call + 2..].replacen(" running at F:L", "", 1).replacen(" done, defined at F:L", "", 1);
        text = format!("{}f(){rest}", &text[..from + "coro=<".len()]);
    }
    for callbacks in [" cb=[_.<locals>.print_cb() at F:L]", " cb=[1 callback]"] {
        text = text.replace(callbacks, " cb=1");
    }
    text.replace('"', "'").replace("name='Task-", "name='N").split("name='N").enumerate().fold(
        String::new(),
        |done, (at, part)| {
            if at == 0 {
                part.to_owned()
            } else {
                format!("{done}name='Task-N'{}", part.split_once('\'').map_or("", |(_, rest)| rest))
            }
        },
    )
}

/// TS1's task `nm`, through its states: pending, pending after its start, with a callback, cancelling, cancelled.
async fn ts1(run: &Run) -> Result<Vec<String>, Error> {
    let mut shapes = Vec::new();
    let task = create_task(run.job("nm", 9.0).name("nm"));
    shapes.push(shape(&format!("{task:?}")));
    run.sleep(1.0).await?;
    shapes.push(shape(&format!("{task:?}")));
    task.add_done_callback(|_| {});
    shapes.push(shape(&format!("{task:?}")));
    task.cancel(());
    shapes.push(shape(&format!("{task:?}")));
    drop(task.clone().await);
    run.sleep(0.1).await?;
    shapes.push(shape(&format!("{task:?}")));
    Ok(shapes)
}

fn oracle_shapes(range: std::ops::Range<usize>) -> Vec<String> {
    oracle("TS1").log[range].iter().map(|line| shape(&line.text)).collect()
}

async fn row_025_the_states_are_pending_cancelling_finished_cancelled(run: Run) -> Check {
    let word = |shape: &String| shape.split(' ').nth(1).unwrap_or_default().trim_end_matches('>').to_owned();
    let words: Vec<String> = ts1(&run).await?.iter().map(word).collect();
    // TS1 prints the task's first state twice: from outside and from inside.
    let want: Vec<String> = oracle_shapes(1..6).iter().map(word).collect();
    same(words, want)?;
    let finished = create_task(run.nap(0.0, "r"));
    finished.clone().await?;
    same(word(&shape(&format!("{finished:?}"))), word(&oracle_shapes(6..7)[0]))
}

async fn row_026_a_task_prints_its_state_name_and_coroutine(run: Run) -> Check {
    same(ts1(&run).await?, oracle_shapes(1..6))?;
    let finished = create_task(run.nap(0.0, "r"));
    finished.clone().await?;
    same(shape(&format!("{finished:?}")), &oracle_shapes(6..7)[0])?;
    let failed = create_task(boom(Fault::Value("x".to_owned())));
    drop(failed.clone().await);
    let text = shape(&format!("{failed:?}"));
    // The error prints in Rust's manner behind `exception=`.
    let (begin, error) = text.split_once("exception=").ok_or_else(|| wrong(&text))?;
    same(Some(begin), oracle_shapes(7..8)[0].split_once("exception=").map(|(begin, _)| begin))?;
    holds(error.contains("ValueError") && error.contains('x'), &text)?;
    let (promise, future) = create_future::<i64>();
    let mut futures = vec![shape(&format!("{future:?}"))];
    promise.set_result(4)?;
    futures.push(shape(&format!("{future:?}")));
    let (_promise, cancelled) = create_future::<i64>();
    cancelled.cancel(());
    futures.push(shape(&format!("{cancelled:?}")));
    same(futures, oracle_shapes(8..11))
}

async fn row_027_between_cancel_and_the_end_it_is_cancelling(run: Run) -> Check {
    let shapes = ts1(&run).await?;
    same(&shapes[3], &oracle_shapes(4..5)[0])?;
    holds(shapes[3].starts_with("<Task cancelling ") && shapes[4].starts_with("<Task cancelled "), "then cancelled")
}

async fn row_028_it_prints_what_it_waits_for_and_its_callbacks(run: Run) -> Check {
    let task = create_task(run.nap(5.0, "v"));
    for expected in ["cb=[1 callback]", "cb=[2 callbacks]"] {
        task.add_done_callback(|_| {});
        holds(format!("{task:?}").contains(expected), &format!("{task:?} has {expected}"))?;
    }
    let awaited = task.clone();
    let waiter = ensure_future(farloop::local(awaited));
    run.sleep(0.1).await?;
    let text = format!("{waiter:?}");
    holds(
        text.contains("wait_for=") && text.contains(&task.id().to_string()),
        &format!("{text} waits for {}", task.id()),
    )
}

async fn row_029_recursive_structures_are_cut(run: Run) -> Check {
    // A task whose result is a handle, a gather of a task that waits for the gather's other member, a task in its own callback.
    let handing = create_task(nested::hands_over(run.journal.clone()));
    let inner = handing.clone().await?;
    let task = create_task(run.nap(1.0, "v"));
    let own = task.clone();
    task.add_done_callback(move |_| drop(format!("{own:?}")));
    let gathered = gather((task.clone(), nested::awaits(task.clone())));
    let texts = [format!("{handing:?}"), format!("{gathered:?}"), format!("{task:?}")];
    holds(texts.iter().all(|text| text.len() < 400), &format!("{texts:?}"))?;
    holds(texts[0].contains(&inner.id().to_string()), "a handle prints as its id")?;
    drop(gathered.await?);
    Ok(())
}

async fn row_030_names_are_task_n_or_given_or_changed(run: Run) -> Check {
    let tasks = [create_task(run.nap(0.1, "a")), create_task(run.nap(0.1, "b"))];
    let numbers: Vec<Option<u64>> =
        tasks.iter().map(|task| task.name().strip_prefix("Task-").and_then(|n| n.parse().ok())).collect();
    holds(numbers[0].is_some() && numbers[0] < numbers[1], &format!("{numbers:?}"))?;
    same(create_task(run.nap(0.1, "c").name("given")).name(), "given")?;
    tasks[0].set_name(format!("{{{}}}", 6));
    same(tasks[0].name(), &oracle("TS2").out[6])
}

async fn row_031_done_is_true_after_any_end(run: Run) -> Check {
    let ends = [
        create_task(run.nap(0.5, "v")),
        create_task(boom(Fault::Value("x".to_owned()))),
        create_task(run.nap(9.0, "v")),
    ];
    same(ends.each_ref().map(Task::done), [false, false, false])?;
    ends[2].cancel(());
    wait(ends.clone()).await?;
    same(ends.each_ref().map(Task::done), [true, true, true])
}

async fn row_032_cancelled_is_true_only_if_it_ended_so(run: Run) -> Check {
    let stubborn = create_task(crate::bodies::stubborn::goes_on(run.journal.clone()));
    let plain = create_task(run.nap(9.0, "v"));
    run.sleep(1.0).await?;
    stubborn.cancel(());
    plain.cancel(());
    same((stubborn.cancelled(), plain.cancelled()), (false, false))?;
    wait([plain.clone()]).await?;
    stubborn.clone().await?;
    same((stubborn.cancelled(), plain.cancelled()), json!([oracle("CA3").out[1], oracle("CA1").out[1]]))
}

/// TS2's pending half: what the two accessors say, and the two states.
async fn row_033_result_of_a_pending_task_is_an_error_at_once(run: Run) -> Check {
    let task = create_task(run.nap(1.0, "v"));
    same(value_or_ex(task.result()), &oracle("TS2").out[0])?;
    same((task.done(), task.cancelled()), &oracle("TS2").out[4])
}

async fn row_034_exception_of_a_pending_finished_or_cancelled_task(run: Run) -> Check {
    let task = create_task(run.nap(1.0, "v"));
    same(task.exception().err().map(|error| ex(&error)), &oracle("TS2").out[1])?;
    task.clone().await?;
    same(task.exception()?.map(|error| ex(&error)), &oracle("TS2").out[5][2])?;
    let cancelled = create_task(run.nap(9.0, "v"));
    cancelled.cancel("m");
    wait([cancelled.clone()]).await?;
    same(cancelled.exception().err().map(|error| arg_list(&error)), &oracle("CA18").out[0])
}

async fn row_035_result_gives_the_outcome_as_often_as_asked(run: Run) -> Check {
    let task = create_task(nothing(run.journal.clone(), 1.0));
    task.clone().await?;
    let out = (task.result()?, task.result()?, task.exception()?.map(|error| ex(&error)), task.done());
    same(out, &oracle("TS2").out[5])?;
    let failed = create_task(boom(Fault::Value("same".to_owned())));
    drop(failed.clone().await);
    same([0; 3].map(|_| value_or_ex(failed.result())), ["ValueError(same)"; 3])
}

async fn row_036_every_read_gives_an_equal_error(_run: Run) -> Check {
    let task = create_task(boom(Fault::Value("same".to_owned())));
    let reads = [task.clone().await.err(), task.clone().await.err(), task.result().err(), task.exception()?];
    let shown: Vec<_> = reads.iter().flatten().map(|error| (ex(error), error.task(), error.attempt())).collect();
    holds(shown.len() == 4 && shown.iter().all(|read| *read == shown[0]), &format!("{shown:?}"))?;
    same((&shown[0].0, shown[0].1 == Some(task.id())), ("ValueError(same)", true))?;
    same(oracle("TS10").out, [true, true, true, true])
}

async fn row_038_awaiting_a_finished_task_does_not_suspend(run: Run) -> Check {
    let task = create_task(run.nap(0.1, "v"));
    task.clone().await?;
    let pen = run.clone();
    let soon = ensure_future(farloop::local(async move {
        pen.log("soon");
        Ok(())
    }));
    task.clone().await?;
    run.log("after await of done task");
    soon.await?;
    let texts: Vec<String> = oracle("TS5").log.into_iter().map(|line| line.text).collect();
    same(run.texts(), texts)?;
    holds(futures_util::FutureExt::now_or_never(task).is_some(), "one poll is enough")
}

async fn row_039_awaiters_resume_in_the_order_in_which_they_began(run: Run) -> Check {
    let task = create_task(run.nap(1.0, "v"));
    let awaiters = ["a", "b", "c"].map(|name| {
        let (run, task) = (run.clone(), task.clone());
        ensure_future(farloop::local(async move {
            run.log(format!("{name} {}", task.await?));
            Ok(())
        }))
    });
    gather_all(awaiters).await?;
    run.log(format!("again {}", task.clone().await?));
    run.log(format!("again {}", task.await?));
    run.journal_in(Order::Strict, &oracle("TS4"))
}

async fn row_040_a_task_that_awaits_itself_gets_an_error(run: Run) -> Check {
    let words = oracle("TS6").out.as_str().unwrap_or_default().replace("RuntimeError(", "");
    let remote = tokio::time::timeout(run.seconds(20.0), create_task(nested::awaits_itself())).await;
    let text = remote.map_or_else(|_| "it hangs".to_owned(), value_or_ex);
    holds(text.contains(&words), &format!("a remote one: {text}"))?;
    let own: Rc<RefCell<Option<Task<String>>>> = Rc::default();
    let inside = Rc::clone(&own);
    let task = ensure_future(farloop::local(async move {
        let me = inside.borrow().clone();
        match me {
            Some(me) => me.await,
            None => Ok("no handle".to_owned()),
        }
    }));
    *own.borrow_mut() = Some(task.clone());
    let local = tokio::time::timeout(run.seconds(20.0), task).await;
    let text = local.map_or_else(|_| "it hangs".to_owned(), value_or_ex);
    holds(text.contains(&words), &format!("a local one: {text}"))
}

async fn row_041_tasks_that_await_each_other_are_told(run: Run) -> Check {
    let task = create_task(nested::awaits_each_other(run.journal.clone()));
    let ended = tokio::time::timeout(run.seconds(50.0), task.clone()).await;
    match ended {
        Err(_) => holds(false, "they are told within fifty seconds of the run's clock"),
        Ok(Ok(value)) => holds(false, &format!("no value can come: {value}")),
        Ok(Err(error)) => {
            let other = run.journal.look("other").unwrap_or_default();
            // Both ids are in the cycle, whichever of the two is told first and passes it on to the other.
            let cycle = error.to_string();
            let named = cycle.contains(&other) && cycle.contains(&task.id().to_string());
            holds(matches!(error, Error::Deadlock(_)) && named, &format!("{error:?}"))?;
            same(oracle("TS7").out, "RecursionError")
        }
    }
}

async fn row_042_a_body_that_raises_cancelled_unasked_ends_cancelled(run: Run) -> Check {
    let task = create_task(crate::bodies::jobs::cancelled_by_itself("self".to_owned()));
    let args = task.clone().await.err().map(|error| arg_list(&error));
    run.out_is(&oracle("TS3"), (task.cancelled(), task.cancelling(), args))
}

async fn row_043_nothing_is_a_result(run: Run) -> Check {
    let task = create_task(nothing(run.journal.clone(), 0.5));
    holds(task.result().is_err(), "not done is an error")?;
    task.clone().await?;
    same(task.result()?, ())?;
    holds(format!("{task:?}").starts_with("<Task finished "), &format!("{task:?}"))
}

async fn row_044_a_returned_handle_is_handed_over_not_awaited(run: Run) -> Check {
    let handle = create_task(nested::hands_over(run.journal.clone())).await?;
    run.out_is(&oracle("NE5"), (true, handle.done()))?;
    same(handle.await?, "handed over")
}

async fn row_045_a_task_tells_its_function_and_no_stack(run: Run) -> Check {
    let task = create_task(run.nap(0.1, "v"));
    same(task.function(), "farloop-test-conformance.nap")?;
    same(task.await?, "v")
}

async fn row_046_a_failure_tells_where_it_happened(_run: Run) -> Check {
    let task = create_task(boom(Fault::Value("x".to_owned())));
    let error = task.clone().await.err().ok_or_else(|| wrong("it fails"))?;
    same(error.function(), Some("farloop-test-conformance.boom"))?;
    holds(
        error.task() == Some(task.id()) && error.worker().is_some() && error.attempt() == Some(1),
        &format!("{error}"),
    )?;
    let panicked = create_task(boom(Fault::Panic("p".to_owned())));
    let error = panicked.await.err().ok_or_else(|| wrong("it panics"))?;
    holds(error.to_string().contains("tests/conformance/src/faults.rs"), &format!("a panic tells the line: {error}"))
}

async fn row_047_an_error_keeps_the_one_it_wraps(run: Run) -> Check {
    let error = create_task(nested::top(run.journal.clone())).await.err().ok_or_else(|| wrong("it fails"))?;
    let chain: Vec<String> = error.causes().map(ToString::to_string).collect();
    same(ex(&error).replace("Wrapped", "RuntimeError"), &oracle("NE2").out[0])?;
    holds(chain.iter().any(|cause| cause.contains("deep")), &format!("the chain has the first error: {chain:?}"))
}

async fn row_048_a_value_that_cannot_be_encoded_is_a_failure(run: Run) -> Check {
    let ended = tokio::time::timeout(run.seconds(20.0), create_task(unencodable())).await;
    match ended {
        Err(_) => holds(false, "the end is not lost"),
        Ok(Ok(_)) => holds(false, "no value can come"),
        Ok(Err(error)) => holds(error.to_string().contains("has no form on the wire"), &format!("{error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::shape;

    #[test]
    fn both_languages_have_one_shape() {
        let python = "<Task cancelling name='nm' coro=<_.<locals>.c() running at F:L> wait_for=<Future cancelled> cb=[_.<locals>.print_cb() at F:L]>";
        let rust = "<Task cancelling name='nm' coro=<demo.c()> cb=[1 callback]>";
        assert_eq!(shape(python), shape(rust));
        let python = "<Task finished name='Task-N' coro=<sleep() done, defined at F:L> result='r'>";
        let rust = "<Task finished name='Task-12' coro=<demo.nap()> result=\"r\">";
        assert_eq!(shape(python), shape(rust));
    }
}
