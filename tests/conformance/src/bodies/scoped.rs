//! Bodies with a timeout or a task group in them, on workers: what is asked of them from outside comes over the wire.

use std::cell::RefCell;

use farloop::prelude::*;
use farloop::{Error, Timeout};

use crate::bodies::jobs::job;
use crate::bodies::stubborn::converts;
use crate::faults::{Fault, ValueError};
use crate::journal::Journal;
use crate::python::{ex, truth};

fn counted() -> u32 {
    farloop::current_task().map_or(99, |me| me.cancelling())
}

/// TO5, the first: says whether its limit had expired when it was cut.
#[farloop::task]
pub async fn limited(journal: Journal) -> farloop::Result<()> {
    let pen = journal.by("limited");
    timeout_with(pen.seconds(5.0), async |scope| {
        let slept = farloop::sleep(pen.seconds(10.0)).await;
        pen.log(format!("expired? {}", truth(scope.expired())));
        slept
    })
    .await
}

/// TO5, the second: its deadline comes while it cleans up after a cancel.
#[farloop::task]
pub async fn limited_cleanup(journal: Journal) -> farloop::Result<()> {
    let pen = journal.by("both");
    let kept: RefCell<Option<Timeout>> = RefCell::default();
    let end = timeout_with(pen.seconds(2.0), async |scope| {
        kept.replace(Some(scope));
        let slept = farloop::sleep(pen.seconds(10.0)).await;
        if slept.is_err() {
            farloop::sleep(pen.seconds(3.0)).await?;
        }
        slept
    })
    .await;
    if let Err(error) = &end {
        let expired = kept.take().is_some_and(|scope| scope.expired());
        pen.log(format!("block raised {} {} {}", ex(error), truth(expired), counted()));
    }
    end
}

/// Row 175: cleans up after a cancel under a limit of its own. Says what that ended with; `again`: it expects another
/// cancel meanwhile.
#[farloop::task]
pub async fn limits_its_cleanup(journal: Journal, limit: f64) -> farloop::Result<()> {
    let pen = journal.by("cleanup");
    let slept = farloop::sleep(pen.seconds(9.0)).await;
    let cleanup = timeout(pen.seconds(limit), farloop::sleep(pen.seconds(5.0))).await;
    pen.log(cleanup.as_ref().map_or_else(ex, |()| "cleaned up".to_owned()));
    slept
}

/// TG5: a group of two.
#[farloop::task]
pub async fn groups(journal: Journal) -> farloop::Result<()> {
    TaskGroup::scope(async |group| {
        for name in ["a", "b"] {
            drop(group.create_task(job(journal.clone(), name.to_owned(), 9.0, None)));
        }
        Ok(())
    })
    .await
}

/// TG6: a group of one that fails when it is cancelled, and another one.
#[farloop::task]
pub async fn groups_a_bad_one(journal: Journal) -> farloop::Result<()> {
    TaskGroup::scope(async |group| {
        drop(group.create_task(converts(journal.clone(), Fault::Value("cleanup".to_owned()))));
        drop(group.create_task(job(journal.clone(), "b".to_owned(), 9.0, None)));
        Ok(())
    })
    .await
}

/// TG15: handles the failure of its group, and awaits something else.
#[farloop::task]
pub async fn handles_its_group(journal: Journal) -> farloop::Result<()> {
    let pen = journal.by("body");
    let group = TaskGroup::scope(async |group| {
        drop(group.create_task(converts(journal.clone(), Fault::Value("on cancel".to_owned()))));
        Ok(())
    });
    match group.await {
        Err(Error::Group(errors)) if errors.errors().iter().all(|e| e.downcast::<ValueError>().is_some()) => {
            pen.log(format!("handled group {}", counted()));
        }
        other => return other,
    }
    let slept = farloop::sleep(pen.seconds(1.0)).await;
    pen.log(if slept.is_ok() { "went on" } else { "re-cancelled" });
    slept
}

/// TG2: a group whose first member fails, and whose body says that it was cancelled.
#[farloop::task]
pub async fn groups_a_failing_one(journal: Journal) -> farloop::Result<(u32, Task<String>)> {
    let pen = journal.by("body");
    let kept = RefCell::new(None);
    let end = TaskGroup::scope(async |group| {
        drop(group.create_task(job(journal.clone(), "a".to_owned(), 1.0, Fault::value("A"))));
        kept.replace(Some(group.create_task(job(journal.clone(), "b".to_owned(), 5.0, None))));
        let slept = farloop::sleep(pen.seconds(10.0)).await;
        if slept.is_err() {
            pen.log(format!("body cancelled {}", counted()));
        }
        slept
    })
    .await;
    let b = kept.take().ok_or_else(|| Error::msg("b was created"))?;
    match end {
        Err(Error::Group(_)) => Ok((counted(), b)),
        Err(other) => Err(other),
        Ok(()) => Err(Error::msg("the group does not fail")),
    }
}

/// TG19: a limit around a group.
#[farloop::task]
pub async fn limits_a_group(journal: Journal) -> farloop::Result<()> {
    timeout(journal.seconds(1.0), groups::local(journal.clone())).await
}

/// Adds the bodies of this file.
#[must_use]
pub fn offered(worker: farloop::Worker) -> farloop::Worker {
    worker
        .task::<limited>()
        .task::<limited_cleanup>()
        .task::<limits_its_cleanup>()
        .task::<groups>()
        .task::<groups_a_bad_one>()
        .task::<handles_its_group>()
        .task::<groups_a_failing_one>()
        .task::<limits_a_group>()
}
