//! Bodies that look at themselves: which task they are, and what context they have.

use farloop::context::{Context, ContextVar};

use crate::journal::Journal;

/// The probes' `v`.
pub static V: ContextVar<String> = ContextVar::new("conformance.v");

/// What `v` is here; `d` if it was not set, as in the probe.
///
/// # Errors
/// It is of another type.
pub fn v() -> farloop::Result<String> {
    Ok(V.get()?.unwrap_or_else(|| "d".to_owned()))
}

fn me() -> String {
    farloop::current_task().map(|task| task.id().to_string()).unwrap_or_default()
}

/// AT1's child: which task it is, and which one a coroutine is that it awaits. Then a second of sleep.
#[farloop::task]
pub async fn who(journal: Journal) -> farloop::Result<Vec<String>> {
    let nested = farloop::local(async { Ok(me()) });
    let ids = vec![me(), nested.await?];
    farloop::sleep(journal.seconds(1.0)).await?;
    Ok(ids)
}

/// Whether it is the same task after every turn of its loop.
#[farloop::task]
pub async fn stays_itself(turns: u32) -> farloop::Result<bool> {
    let id = me();
    for _ in 0..turns {
        farloop::yield_now().await?;
        if me() != id || id.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Says what it sees, and changes it.
#[farloop::task]
pub async fn sees_and_sets(journal: Journal) -> farloop::Result<String> {
    let seen = v()?;
    journal.by("child").log(format!("child sees {seen}"));
    V.set("child".to_owned())?;
    v()
}

/// Sets, and then calls one that sees: what a body sets reaches what it creates.
#[farloop::task]
pub async fn hands_down(journal: Journal, value: String) -> farloop::Result<(String, String)> {
    let from_above = v()?;
    V.set(value)?;
    sees_and_sets(journal).await?;
    Ok((from_above, v()?))
}

/// What `v` is in an empty context, and outside of it.
#[farloop::task]
pub async fn empty_and_own() -> farloop::Result<(String, String)> {
    Ok((Context::new().run(v)?, v()?))
}

pub(super) fn offered(worker: farloop::Worker) -> farloop::Worker {
    worker.task::<who>().task::<stays_itself>().task::<sees_and_sets>().task::<hands_down>().task::<empty_and_own>()
}
