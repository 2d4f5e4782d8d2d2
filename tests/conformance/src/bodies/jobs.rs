//! Bodies that await only a clock.

use farloop::prelude::*;
use serde::{Deserialize, Serialize};

use crate::faults::Fault;
use crate::journal::Journal;
use crate::python::args;

/// The probes' `job`: says that it starts, sleeps, then says that it is done, failed or cancelled.
#[farloop::task]
pub async fn job(journal: Journal, name: String, delay: f64, fail: Option<Fault>) -> farloop::Result<String> {
    let journal = journal.by(&name);
    journal.log(format!("start {name}"));
    if let Err(error) = farloop::sleep(journal.seconds(delay)).await {
        journal.log(format!("cancelled {name} {}", args(&error)));
        return Err(error);
    }
    if let Some(fault) = fail {
        journal.log(format!("fail {name}"));
        return Err(fault.raise());
    }
    journal.log(format!("done {name}"));
    Ok(name)
}

/// `asyncio.sleep(delay, value)`.
#[farloop::task]
pub async fn nap(journal: Journal, delay: f64, value: String) -> farloop::Result<String> {
    farloop::sleep(journal.seconds(delay)).await?;
    Ok(value)
}

/// Fails at once.
#[farloop::task]
pub async fn boom(fault: Fault) -> farloop::Result<String> {
    Err(fault.raise())
}

/// Returns what it was given.
#[farloop::task]
pub async fn echo(value: String) -> String {
    value
}

/// Returns nothing, after a while.
#[farloop::task]
pub async fn nothing(journal: Journal, delay: f64) -> farloop::Result<()> {
    farloop::sleep(journal.seconds(delay)).await
}

/// Is pending for a while of real time.
#[farloop::task]
pub async fn pending_for_a_while() -> farloop::Result<String> {
    farloop::sleep(Duration::from_secs(8)).await?;
    Ok("at last".to_owned())
}

/// Says that it ran, and returns its argument: how often a coroutine is scheduled can be counted.
#[farloop::task]
pub async fn counted(journal: Journal, text: String) -> String {
    journal.by(&text).log(format!("run {text}"));
    text
}

/// The probes' CA1: says that it began and, whatever happens, that it ended.
#[farloop::task]
pub async fn with_finally(journal: Journal) -> farloop::Result<()> {
    let journal = journal.by("body");
    journal.log("body");
    let slept = farloop::sleep(journal.seconds(1.0)).await;
    journal.log("finally");
    slept
}

/// As [`with_finally()`], after another task has returned what it stands for.
#[farloop::task]
pub async fn with_finally_after(journal: Journal, gate: String) -> farloop::Result<()> {
    journal.by("body").log(format!("body after {gate}"));
    with_finally::local(journal).await
}

/// TS3: raises Cancelled though nobody asked: one that it got from a future of its own.
#[farloop::task]
pub async fn cancelled_by_itself(message: String) -> farloop::Result<String> {
    let (_promise, future) = create_future::<String>();
    future.cancel(message);
    future.await
}

/// A body that blocks its thread and cannot be interrupted.
#[farloop::task]
pub fn blocks(journal: Journal, milliseconds: u64) -> String {
    let journal = journal.by("blocks");
    journal.log("start blocks");
    std::thread::sleep(Duration::from_millis(milliseconds));
    journal.log("done blocks");
    "blocks".to_owned()
}

/// A value that cannot be encoded.
#[derive(Debug, Deserialize)]
pub struct Unencodable;

impl Serialize for Unencodable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("this value has no form on the wire"))
    }
}

/// Returns a value that cannot be encoded.
#[farloop::task]
pub async fn unencodable() -> Unencodable {
    Unencodable
}

/// Takes an argument that cannot be encoded.
#[farloop::task]
pub async fn takes_unencodable(value: Unencodable) -> String {
    format!("{value:?}")
}

/// Adds the bodies of this file.
#[must_use]
pub fn offered(worker: farloop::Worker) -> farloop::Worker {
    worker
        .task::<job>()
        .task::<nap>()
        .task::<boom>()
        .task::<echo>()
        .task::<nothing>()
        .task::<counted>()
        .task::<pending_for_a_while>()
        .task::<with_finally>()
        .task::<with_finally_after>()
        .task::<cancelled_by_itself>()
        .task::<blocks>()
        .task::<unencodable>()
        .task::<takes_unencodable>()
}
