//! The farloop client that puts load on a cluster: an ordinary program on the SDK, nothing that users could not write.

mod actors;
mod pending;
mod tree;

pub use actors::{actor_calls, actor_worker, calls_by_name, leave_idle, ring, spawn_actors};
pub use pending::memory_of_pending;
pub use tree::cancel_tree;

use std::time::{Duration, Instant};

use anyhow::Result;
use farloop::prelude::*;

use crate::drive::Drive;
use crate::figures::Figures;

/// Nothing. Named as in the reference worker's catalogue, so that it serves this call.
#[farloop::task(name = "demo.noop")]
pub async fn noop() {}

/// No-op tasks, each awaited by the caller that scheduled it.
///
/// # Errors
/// A task failed.
pub async fn calls(drive: Drive) -> Result<Figures> {
    drive.run(async || Ok(ensure_future(noop()).await?)).await
}

/// `times` gathers of `size` no-ops, one after the other.
///
/// # Errors
/// A task failed.
pub async fn gathers(size: usize, times: usize) -> Result<Figures> {
    let once = async || {
        let begin = Instant::now();
        let results = gather_all((0..size).map(|_| noop())).await?;
        anyhow::ensure!(results.len() == size, "{} of {size} results", results.len());
        anyhow::Ok(begin.elapsed())
    };
    once().await?;
    let mut took = Vec::new();
    for _ in 0..times {
        took.push(once().await?);
    }
    let measured = took.iter().sum::<Duration>();
    let mut nanos: Vec<u32> = took.iter().map(|t| u32::try_from(t.as_nanos()).unwrap_or(u32::MAX)).collect();
    Ok(Figures::of(&mut nanos, measured))
}

/// One no-op, as soon as a worker is there.
///
/// # Errors
/// It failed.
pub async fn first() -> Result<Figures> {
    let begin = Instant::now();
    noop().await?;
    Ok(Figures::once(begin.elapsed()))
}
