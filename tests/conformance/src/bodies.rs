//! What the probes' coroutines do, as remote functions. The worker binary offers all of them.

pub mod inside;
pub mod jobs;
pub mod locks;
pub mod nested;
pub mod scoped;
pub mod stubborn;

/// The worker with every body of this crate.
#[must_use]
pub fn offered(worker: farloop::Worker) -> farloop::Worker {
    let worker = locks::offered(jobs::offered(worker));
    let worker = scoped::offered(nested::offered(stubborn::offered(worker)));
    inside::offered(worker)
}
