//! Bodies that do something of their own when they are cancelled.

use farloop::Error;
use farloop::prelude::*;

use crate::faults::Fault;
use crate::journal::Journal;
use crate::python::args;

/// GA10, GA11: suppresses the cancel, goes on for two seconds, returns its name.
#[farloop::task]
pub async fn stubborn(journal: Journal, name: String, delay: f64) -> farloop::Result<String> {
    let journal = journal.by(&name);
    if farloop::sleep(journal.seconds(delay)).await.is_err() {
        journal.log(format!("suppress {name}"));
    }
    farloop::sleep(journal.seconds(2.0)).await?;
    journal.log(format!("end {name}"));
    Ok(name)
}

/// WF2, WF6: sleeps ten seconds; when cancelled, cleans up for a while and passes the cancel on.
#[farloop::task]
pub async fn cleans_up(journal: Journal, before: String, seconds: f64, after: String) -> farloop::Result<String> {
    let journal = journal.by("cleans_up");
    match farloop::sleep(journal.seconds(10.0)).await {
        Ok(()) => Ok("slept".to_owned()),
        Err(error) => {
            journal.log(before);
            farloop::sleep(journal.seconds(seconds)).await?;
            journal.log(after);
            Err(error)
        }
    }
}

/// Row 276: prints where its call was made that it runs, and, cancelled, that it has cleaned up.
#[farloop::task]
pub async fn tells_its_end() -> farloop::Result<String> {
    println!("ready");
    let slept = farloop::sleep(Duration::from_secs(60)).await;
    if slept.is_err() {
        farloop::sleep(Duration::from_millis(20)).await?;
        println!("\"cleaned up\"");
    }
    slept.map(|()| "slept".to_owned())
}

/// WF4: suppresses the cancel and returns at once.
#[farloop::task]
pub async fn gives_in(journal: Journal, value: String) -> farloop::Result<String> {
    match farloop::sleep(journal.seconds(10.0)).await {
        Ok(()) => Ok("slept".to_owned()),
        Err(_) => Ok(value),
    }
}

/// WF5, CA9: raises something else when it is cancelled. `chained` keeps the cancel as the cause.
#[farloop::task]
pub async fn converts(journal: Journal, fault: Fault) -> farloop::Result<String> {
    match farloop::sleep(journal.seconds(10.0)).await {
        Ok(()) => Ok("slept".to_owned()),
        Err(_) => Err(fault.raise()),
    }
}

/// WF13: suppresses the first cancel for ten more seconds, the second for one, then returns 42.
#[farloop::task]
pub async fn very_stubborn(journal: Journal) -> farloop::Result<String> {
    let journal = journal.by("stub");
    if farloop::sleep(journal.seconds(10.0)).await.is_err() {
        journal.log("1st");
        if farloop::sleep(journal.seconds(10.0)).await.is_err() {
            journal.log("2nd");
            farloop::sleep(journal.seconds(1.0)).await?;
            journal.log("end");
        }
    }
    Ok("42".to_owned())
}

/// CA3: suppresses the cancel, goes on for a second, returns.
#[farloop::task]
pub async fn goes_on(journal: Journal) -> farloop::Result<i64> {
    let journal = journal.by("goes_on");
    if farloop::sleep(journal.seconds(9.0)).await.is_err() {
        journal.log("suppressed");
    }
    farloop::sleep(journal.seconds(1.0)).await?;
    journal.log("goes on");
    Ok(42)
}

/// CA4: three sleeps of five seconds; counts the cancels that cut one short.
#[farloop::task]
pub async fn counts_cancels(journal: Journal) -> farloop::Result<i64> {
    let journal = journal.by("counts");
    let mut seen = 0;
    for _ in 0..3 {
        if farloop::sleep(journal.seconds(5.0)).await.is_err() {
            seen += 1;
            journal.log(format!("cancel #{seen}"));
        }
    }
    Ok(seen)
}

/// CA5: cleans up for five seconds, and says whether it could.
#[farloop::task]
pub async fn interruptible_cleanup(journal: Journal) -> farloop::Result<()> {
    let journal = journal.by("cleanup");
    let slept = farloop::sleep(journal.seconds(9.0)).await;
    journal.log("cleanup start");
    match farloop::sleep(journal.seconds(5.0)).await {
        Ok(()) => journal.log("cleanup end"),
        Err(error) => {
            journal.log("cleanup interrupted");
            return Err(error);
        }
    }
    slept
}

/// CA6: cancels itself, then does what it is told.
#[farloop::task]
pub async fn cancels_itself(journal: Journal, then: String) -> farloop::Result<String> {
    let journal = journal.by(&then);
    let me = farloop::current_task().ok_or_else(|| Error::msg("a body has a current task"))?;
    me.cancel(());
    match then.as_str() {
        "a" => Ok("12".to_owned()),
        "b" => Err(Fault::Value("v".to_owned()).raise()),
        "c" => {
            farloop::sleep(Duration::ZERO).await?;
            journal.log("never");
            Ok("never".to_owned())
        }
        _ => {
            journal.log("runs on until the next await");
            Ok("None".to_owned())
        }
    }
}

/// Row 243: asks itself to stop, twice, before any await; returns the message that is delivered.
#[farloop::task]
pub async fn asks_itself_twice(journal: Journal) -> farloop::Result<String> {
    let me = farloop::current_task().ok_or_else(|| Error::msg("a body has a current task"))?;
    me.cancel("1");
    me.cancel("2");
    match farloop::sleep(journal.seconds(1.0)).await {
        Ok(()) => Ok("slept".to_owned()),
        Err(error) => Ok(args(&error)),
    }
}

/// CA7: awaits the next level down; the lowest sleeps. Each says what it saw.
#[farloop::task]
pub async fn level(journal: Journal, depth: u32) -> farloop::Result<String> {
    let pen = journal.by(format!("l{depth}"));
    let outcome = if depth == 3 {
        farloop::sleep(pen.seconds(9.0)).await.map(|()| "slept".to_owned())
    } else {
        create_task(level(journal.clone(), depth + 1)).await
    };
    if let Err(error) = &outcome {
        pen.log(format!("l{depth} {}", args(error)));
    }
    outcome
}

/// CA10: withdraws the request that was just delivered, goes on, returns.
#[farloop::task]
pub async fn uncancels(journal: Journal) -> farloop::Result<String> {
    let journal = journal.by("uncancels");
    if farloop::sleep(journal.seconds(9.0)).await.is_err() {
        let me = farloop::current_task().ok_or_else(|| Error::msg("a body has a current task"))?;
        me.uncancel();
        journal.log(format!("uncancelled {}", me.cancelling()));
    }
    farloop::sleep(journal.seconds(1.0)).await?;
    Ok("ok".to_owned())
}

/// CA11: asks itself to stop and withdraws that before any await.
#[farloop::task]
pub async fn withdraws(journal: Journal) -> farloop::Result<()> {
    let journal = journal.by("withdraws");
    let me = farloop::current_task().ok_or_else(|| Error::msg("a body has a current task"))?;
    me.cancel(());
    journal.log(format!("count {}", me.uncancel()));
    match farloop::sleep(journal.seconds(1.0)).await {
        Ok(()) => journal.log("not cancelled"),
        Err(_) => journal.log("still cancelled"),
    }
    Ok(())
}

/// CA12: suppresses the cancel, returns two seconds later.
#[farloop::task]
pub async fn inner(journal: Journal) -> farloop::Result<String> {
    let journal = journal.by("inner");
    if farloop::sleep(journal.seconds(9.0)).await.is_err() {
        journal.log("inner suppressed");
        farloop::sleep(journal.seconds(2.0)).await?;
    }
    Ok("inner".to_owned())
}

/// CA14: ends after the third cancel that reaches it.
#[farloop::task]
pub async fn outlasts_three(journal: Journal) -> farloop::Result<i64> {
    let mut seen = 0;
    while seen < 3 {
        if farloop::sleep(journal.seconds(100.0)).await.is_err() {
            seen += 1;
        }
    }
    Ok(seen)
}

/// CA17: sleeps, and says with what message it was cancelled.
#[farloop::task]
pub async fn says_why(journal: Journal) -> farloop::Result<String> {
    let journal = journal.by("says_why");
    match farloop::sleep(journal.seconds(9.0)).await {
        Ok(()) => Ok("slept".to_owned()),
        Err(error) => {
            journal.log(args(&error));
            Err(error)
        }
    }
}

/// CA2: recovers from every ordinary error, and so not from a cancel.
#[farloop::task]
pub async fn recovers(journal: Journal) -> farloop::Result<String> {
    let journal = journal.by("recovers");
    let slept = farloop::sleep(journal.seconds(9.0)).await;
    let slept = slept.recover(|error| {
        journal.log("Exception caught");
        Err(error)
    });
    match slept {
        Ok(()) => Ok("slept".to_owned()),
        Err(error) => {
            journal.log("BaseException BaseException");
            Err(error)
        }
    }
}

/// Adds the bodies of this file.
#[must_use]
pub fn offered(worker: farloop::Worker) -> farloop::Worker {
    worker
        .task::<stubborn>()
        .task::<cleans_up>()
        .task::<tells_its_end>()
        .task::<gives_in>()
        .task::<converts>()
        .task::<very_stubborn>()
        .task::<goes_on>()
        .task::<counts_cancels>()
        .task::<interruptible_cleanup>()
        .task::<cancels_itself>()
        .task::<asks_itself_twice>()
        .task::<level>()
        .task::<uncancels>()
        .task::<withdraws>()
        .task::<inner>()
        .task::<outlasts_three>()
        .task::<says_why>()
        .task::<recovers>()
}
