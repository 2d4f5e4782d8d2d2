//! What a task costs the coordinator while it waits.

use std::time::Duration;

use anyhow::Result;
use farloop::prelude::*;

use super::noop;
use crate::figures::Figures;
use crate::process::memory;

/// Long enough for buffers that carried the tasks to be given back.
const SETTLE: Duration = Duration::from_millis(300);

/// Submits `count` tasks of a function that no worker offers and looks how much the coordinator's process grew.
///
/// # Errors
/// A submit was refused; the coordinator's memory cannot be read.
pub async fn memory_of_pending(count: usize, coordinator: u32) -> Result<Figures> {
    // A first load, so that what the process allocates once is not counted as the tasks'.
    gather_all((0..5_000).map(|_| noop())).await?;
    tokio::time::sleep(SETTLE).await;
    let before = memory(coordinator)?;
    for _ in 0..count {
        // Dropped handles: the tasks stay, and only the coordinator's side is in question.
        drop(submit(farloop::call("nobody.offers_this").returns::<()>()).await?);
    }
    // Frames keep their order: when this one's outcome is here, all of the above were accepted.
    noop().await?;
    tokio::time::sleep(SETTLE).await;
    let grown = memory(coordinator)?.saturating_sub(before);
    Ok(Figures { operations: count as u64, bytes_each: grown as f64 / count as f64, ..Figures::default() })
}
