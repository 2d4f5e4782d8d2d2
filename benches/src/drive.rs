//! The closed loop that drives both programs, so that the difference between them is not the driver's.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use futures_util::future::try_join_all;

use crate::figures::Figures;

/// How hard and how long.
#[derive(Args, Clone, Copy, Debug)]
pub struct Drive {
    /// Operations in flight.
    #[arg(long, default_value_t = 1)]
    pub window: usize,
    /// Seconds measured.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Seconds before the measured ones: connections open, caches and allocators fill.
    #[arg(long, default_value_t = 0.3)]
    pub warm: f64,
}

impl Drive {
    /// `window` callers, each of which does one operation after the other until time is up.
    /// Everything stays on the calling thread.
    ///
    /// # Errors
    /// The first operation that fails ends the drive.
    pub async fn run(self, operation: impl AsyncFn() -> Result<()>) -> Result<Figures> {
        let begin = Instant::now() + Duration::from_secs_f64(self.warm);
        let end = begin + Duration::from_secs_f64(self.seconds);
        let nanos = RefCell::new(Vec::<u32>::new());
        let callers = try_join_all((0..self.window).map(async |_| {
            loop {
                let started = Instant::now();
                operation().await?;
                let now = Instant::now();
                if now >= end {
                    return anyhow::Ok(());
                }
                // Judged by its end: one that straddles the beginning counts, one that straddles the end does not.
                if now >= begin {
                    let took = u32::try_from((now - started).as_nanos()).unwrap_or(u32::MAX);
                    nanos.borrow_mut().push(took);
                }
            }
        }));
        // tokio's budget is per task, and all callers are one: without this, 128 of 10,000 get on at a time.
        tokio::task::coop::unconstrained(callers).await?;
        Ok(Figures::of(&mut nanos.into_inner(), end - begin))
    }
}
