//! Whether the machine stood still. On a real clock a scenario can be judged only if its moments were apart: where threads
//! were not run for a good part of a virtual second, the run says nothing, and is repeated on a slower clock.

use std::collections::VecDeque;
use std::sync::{LazyLock, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

/// How often this thread wants to run.
const BEAT: Duration = Duration::from_millis(5);

static STALLS: LazyLock<Mutex<VecDeque<(Instant, Duration)>>> = LazyLock::new(Mutex::default);

/// Watches from now on, once per process.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::thread::spawn(|| {
            loop {
                let from = Instant::now();
                std::thread::sleep(BEAT);
                let late = from.elapsed().saturating_sub(BEAT);
                if late > BEAT {
                    let mut stalls = STALLS.lock().unwrap_or_else(PoisonError::into_inner);
                    stalls.push_back((from, late));
                    if stalls.len() > 10_000 {
                        stalls.pop_front();
                    }
                }
            }
        });
    });
}

/// The longest stall since then.
pub(super) fn longest_since(then: Instant) -> Duration {
    let stalls = STALLS.lock().unwrap_or_else(PoisonError::into_inner);
    stalls.iter().rev().take_while(|(at, late)| *at + *late >= then).map(|(_, late)| *late).max().unwrap_or_default()
}
