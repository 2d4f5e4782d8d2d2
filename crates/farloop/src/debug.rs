//! Debug mode: what asyncio's `loop.set_debug(True)` and `PYTHONASYNCIODEBUG` switch on, as far as it is not on anyway.
//!
//! Always on: a poll that holds its loop for longer than [`slow_callback_duration`] is reported, and every report says
//! where its coroutine was made (rows 339, 343). Debug mode watches done callbacks in the same way.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Set to anything but `0` or nothing, it switches debug mode on.
pub const DEBUG_VARIABLE: &str = "FARLOOP_DEBUG";

static DEBUG: LazyLock<AtomicBool> = LazyLock::new(|| {
    let on = std::env::var(DEBUG_VARIABLE).is_ok_and(|value| !value.is_empty() && value != "0");
    AtomicBool::new(on)
});

/// In microseconds.
static SLOW: AtomicU64 = AtomicU64::new(100_000);

/// Whether this process is in debug mode: `FARLOOP_DEBUG=1`, or [`set_debug`].
#[must_use]
pub fn debug() -> bool {
    DEBUG.load(Ordering::Relaxed)
}

/// Switches debug mode on or off, for all loops of this process.
pub fn set_debug(on: bool) {
    DEBUG.store(on, Ordering::Relaxed);
}

/// What holds a loop for longer than this is reported; 100 ms unless set.
#[must_use]
pub fn slow_callback_duration() -> Duration {
    Duration::from_micros(SLOW.load(Ordering::Relaxed))
}

/// Sets [`slow_callback_duration`], for all loops of this process.
pub fn set_slow_callback_duration(limit: Duration) {
    SLOW.store(u64::try_from(limit.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
}
