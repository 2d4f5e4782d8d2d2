//! What the tests of real clusters are made of: a [`proxy`] that cuts connections, [`node`]s that are processes, a
//! coordinator inside the test ([`embedded`]) where a test needs settings that no flag has, one that is killed and goes
//! on ([`kept`]), [`tasks`] and [`actors`] that note in a [`tally`] which of their bodies began, a [`storm`] that plays one
//! scenario undisturbed and cut, the [`lines`] of what actors promise, a network whose hosts are [`apart`], and the public API as [`people`] see it.
//!
//! Nothing here waits for a fixed time: a test waits for what it needs to see ([`until`]), and gives up late enough for
//! a machine that does other things too.

pub mod actors;
pub mod apart;
pub mod collector;
pub mod embedded;
pub mod kept;
pub mod lines;
pub mod misfits;
pub mod node;
pub mod people;
pub mod proxy;
pub mod storm;
pub mod tally;
pub mod tasks;

use std::time::Duration;

/// How long anything may take before a test gives up. Far more than it takes: it only bounds a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// How long a test may wait for what may never come, an outcome that got lost.
const LIMIT: Duration = Duration::from_secs(60);

/// How often something is looked at that cannot be awaited.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Runs a test on an event loop of its own.
///
/// # Panics
/// As the test does; and if it does not end.
pub fn bounded<T>(test: impl Future<Output = T>) -> T {
    bounded_by(LIMIT, test)
}

/// As [`bounded`], for a test with more to do.
///
/// # Panics
/// As [`bounded`].
pub fn bounded_by<T>(limit: Duration, test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
    let ended = runtime.block_on(async { tokio::time::timeout(limit, test).await });
    ended.unwrap_or_else(|_| panic!("it waits for what never comes: {limit:?} have passed"))
}

/// Looks again and again until `look` gives something.
///
/// # Panics
/// If nothing came within [`PATIENCE`].
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    match within(PATIENCE, look).await {
        Some(found) => found,
        None => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}

/// As [`until`], with a limit of one's own, and none if it has passed.
pub async fn within<T>(limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    tokio::time::timeout(limit, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await
    .ok()
}
