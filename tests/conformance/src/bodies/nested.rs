//! Bodies that create, await, gather, shield and cancel other remote tasks.

use farloop::Error;
use farloop::prelude::*;

use crate::bodies::jobs::{job, nap};
use crate::bodies::stubborn::cleans_up;
use crate::faults::{Fault, RuntimeError, ValueError};
use crate::journal::Journal;
use crate::python::ex;

fn me() -> farloop::Result<farloop::CurrentTask> {
    farloop::current_task().ok_or_else(|| Error::msg("a body has a current task"))
}

/// GA12, GA22: gathers `a` (5 s) and `b` (6 s), with `return_exceptions` if `settled`.
#[farloop::task]
pub async fn gathers(journal: Journal, settled: bool, fail: Option<Fault>) -> farloop::Result<()> {
    let a = job(journal.clone(), "a".to_owned(), 5.0, None);
    let b = job(journal.clone(), "b".to_owned(), 6.0, fail);
    if settled {
        let both = gather_settled((a, b)).await?;
        journal.by("gathers").log(format!("never {both:?}"));
    } else {
        gather((a, b)).await?;
    }
    Ok(())
}

/// Awaits a task that it was given.
#[farloop::task]
pub async fn awaits(task: Task<String>) -> farloop::Result<String> {
    task.await
}

/// CA8, CA13: awaits a task that it was given; says the value, or that it was cancelled and its own counter then.
#[farloop::task]
pub async fn tells(journal: Journal, who: String, words: String, task: Task<String>) -> farloop::Result<String> {
    let journal = journal.by(&who);
    match task.await {
        Ok(value) => {
            journal.log(format!("{who} {value}"));
            Ok(value)
        }
        Err(error) => {
            journal.log(format!("{words} {}", me()?.cancelling()));
            Err(error)
        }
    }
}

/// CA12: awaits a task that it was given; says the value.
#[farloop::task]
pub async fn outer_gets(journal: Journal, task: Task<String>) -> farloop::Result<String> {
    let value = task.await?;
    journal.by("outer").log(format!("outer got {value}"));
    Ok(value)
}

/// WA7: waits for tasks that it was given.
#[farloop::task]
pub async fn waits(tasks: Vec<Task<String>>) -> farloop::Result<()> {
    wait(tasks).await?;
    Ok(())
}

/// AC10: consumes tasks that it was given as they complete.
#[farloop::task]
pub async fn consumes(tasks: Vec<Task<String>>) -> farloop::Result<()> {
    let mut done = as_completed(tasks);
    while let Some(next) = done.next().await {
        next?.result?;
    }
    Ok(())
}

/// SH1, SH2: awaits the shield of a task that it was given.
#[farloop::task]
pub async fn shields(task: Task<String>) -> farloop::Result<String> {
    shield(task).await
}

/// SH3: shields a job of its own, which fails after three seconds.
#[farloop::task]
pub async fn shields_late_failure(journal: Journal) -> farloop::Result<()> {
    shield(job(journal, "in".to_owned(), 3.0, Fault::value("late"))).await?;
    Ok(())
}

/// SH5: leaves a job in the background and shields another.
#[farloop::task]
pub async fn shields_one_of_two(journal: Journal) -> farloop::Result<()> {
    drop(create_task(job(journal.clone(), "bg".to_owned(), 3.0, None)));
    shield(job(journal, "shielded".to_owned(), 5.0, None)).await?;
    Ok(())
}

/// SH8: when the shield is cut, goes on to await the same task.
#[farloop::task]
pub async fn shields_then_awaits(journal: Journal, task: Task<String>) -> farloop::Result<String> {
    let journal = journal.by("outer");
    match shield(task.clone()).await {
        Ok(value) => Ok(value),
        Err(_) => {
            journal.log("first");
            let value = task.await?;
            journal.log(format!("then awaited {value}"));
            Ok(value)
        }
    }
}

/// NE7, NE8: creates a child that takes three seconds; returns, or sleeps.
#[farloop::task]
pub async fn parent(journal: Journal, sleeps: bool) -> farloop::Result<String> {
    drop(create_task(job(journal.clone(), "child".to_owned(), 3.0, None)));
    if sleeps {
        farloop::sleep(journal.seconds(9.0)).await?;
    }
    Ok("parent done".to_owned())
}

/// NE4: awaits a chain of `depth` tasks, the last of which says that it is there, and sleeps.
#[farloop::task]
pub async fn chain(journal: Journal, depth: u32, sleeps: f64) -> farloop::Result<u32> {
    if depth == 0 {
        journal.by("bottom").log("bottom");
        farloop::sleep(journal.seconds(sleeps)).await?;
        return Ok(0);
    }
    Ok(1 + create_task(chain(journal, depth - 1, sleeps)).await?)
}

/// WF7, WF13: waits so long for a task that it was given.
#[farloop::task]
pub async fn limits(journal: Journal, task: Task<String>, seconds: f64) -> farloop::Result<String> {
    wait_for(task, journal.seconds(seconds)).await
}

/// WF6: waits five seconds for a coroutine that takes two to clean up.
#[farloop::task]
pub async fn limits_cleanup(journal: Journal) -> farloop::Result<String> {
    let slow = cleans_up(journal.clone(), "cleanup".to_owned(), 2.0, "cleanup end".to_owned());
    wait_for(slow, journal.seconds(5.0)).await
}

/// WF10: an inner limit that is passed first, then a long sleep.
#[farloop::task]
pub async fn inner_limit_first(journal: Journal) -> farloop::Result<String> {
    match wait_for(nap(journal.clone(), 10.0, "slept".to_owned()), journal.seconds(1.0)).await {
        Err(Error::TimedOut(_)) => {
            journal.by("inner").log("inner timed out");
            farloop::sleep(journal.seconds(10.0)).await?;
            Ok("slept".to_owned())
        }
        other => other,
    }
}

/// WF10: an inner limit that is never reached, because an outer one is passed first.
#[farloop::task]
pub async fn outer_limit_first(journal: Journal) -> farloop::Result<String> {
    let limited = wait_for(nap(journal.clone(), 10.0, "slept".to_owned()), journal.seconds(5.0)).await;
    if let Err(error) = &limited {
        journal.by("inner").log(format!("inner saw {}", ex(error)));
    }
    limited
}

/// Which task runs this.
#[farloop::task]
pub async fn whoami() -> farloop::Result<String> {
    Ok(me()?.id().to_string())
}

/// WF9, CO7: its own task, that of a coroutine awaited inline, and that of one under `wait_for`.
#[farloop::task]
pub async fn who_runs_what() -> farloop::Result<Vec<String>> {
    let inline = whoami().await?;
    let limited = wait_for(whoami(), Duration::from_secs(60)).await?;
    Ok(vec![me()?.id().to_string(), inline, limited])
}

/// CO8 of the table: awaits a job inline, which a cancel of this body must then reach.
#[farloop::task]
pub async fn awaits_inline(journal: Journal) -> farloop::Result<String> {
    job(journal, "inline".to_owned(), 5.0, None).await
}

/// The four things that a coroutine may do: await a future, await a coroutine, return, raise.
#[farloop::task]
pub async fn four_things(journal: Journal, task: Task<String>, raise: bool) -> farloop::Result<String> {
    let future = task.await?;
    let coroutine = nap(journal, 1.0, "coroutine".to_owned()).await?;
    if raise { Err(Error::typed(ValueError(future + &coroutine))) } else { Ok(future + " and " + &coroutine) }
}

/// NE2, lowest level: fails.
#[farloop::task]
pub async fn deep() -> farloop::Result<String> {
    Err(Error::typed(ValueError("deep".to_owned())))
}

/// NE2, middle level: passes on, and says that it was left.
#[farloop::task]
pub async fn middle(journal: Journal) -> farloop::Result<String> {
    let journal = journal.by("l2");
    let below = deep().await;
    journal.log("l2 finally");
    below
}

/// An error with a cause.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Wrapped {
    text: String,
    source: Error,
}

/// NE2, highest level: wraps what comes from below.
#[farloop::task]
pub async fn top(journal: Journal) -> Result<String, Wrapped> {
    let pen = journal.by("l1");
    middle(journal).await.map_err(|source| {
        pen.log(format!("l1 caught {}", text_of(&source)));
        Wrapped { text: "wrapped".to_owned(), source }
    })
}

/// The text of the error itself, without what farloop adds about where it happened.
fn text_of(error: &Error) -> String {
    match error {
        Error::Failed(failure) => failure.message().to_owned(),
        other => other.to_string(),
    }
}

/// Raises what it is told, untyped.
#[farloop::task]
pub async fn raises_runtime_error(text: String) -> Result<String, RuntimeError> {
    Err(RuntimeError(text))
}

/// NE5: returns a handle, not its value.
#[farloop::task]
pub async fn hands_over(journal: Journal) -> farloop::Result<Task<String>> {
    Ok(create_task(nap(journal, 2.0, "handed over".to_owned())))
}

/// Row 336: creates three tasks, awaits one, gathers another, cancels the third.
#[farloop::task]
pub async fn orchestrates(journal: Journal) -> farloop::Result<Vec<String>> {
    let first = create_task(job(journal.clone(), "first".to_owned(), 1.0, None));
    let second = create_task(job(journal.clone(), "second".to_owned(), 2.0, None));
    let third = create_task(job(journal.clone(), "third".to_owned(), 9.0, None));
    let mut seen = vec![first.await?];
    seen.extend(gather_all([second]).await?);
    third.cancel("enough");
    let end = third.await.unwrap_or_else(|error| ex(&error));
    seen.push(end);
    Ok(seen)
}

/// Row 41: creates a task that awaits this one, and awaits it.
#[farloop::task]
pub async fn awaits_each_other(journal: Journal) -> farloop::Result<String> {
    let other = create_task(awaits(Task::<String>::attach(me()?.id())));
    journal.by("a").pin("other", &other.id().to_string());
    other.await
}

/// Row 40: awaits itself.
#[farloop::task]
pub async fn awaits_itself() -> farloop::Result<String> {
    Task::<String>::attach(me()?.id()).await
}

/// Adds the bodies of this file.
#[must_use]
pub fn offered(worker: farloop::Worker) -> farloop::Worker {
    worker
        .task::<gathers>()
        .task::<awaits>()
        .task::<tells>()
        .task::<outer_gets>()
        .task::<waits>()
        .task::<consumes>()
        .task::<shields>()
        .task::<shields_late_failure>()
        .task::<shields_one_of_two>()
        .task::<shields_then_awaits>()
        .task::<parent>()
        .task::<chain>()
        .task::<limits>()
        .task::<limits_cleanup>()
        .task::<inner_limit_first>()
        .task::<outer_limit_first>()
        .task::<whoami>()
        .task::<who_runs_what>()
        .task::<awaits_inline>()
        .task::<four_things>()
        .task::<deep>()
        .task::<middle>()
        .task::<top>()
        .task::<raises_runtime_error>()
        .task::<hands_over>()
        .task::<orchestrates>()
        .task::<awaits_each_other>()
        .task::<awaits_itself>()
}
