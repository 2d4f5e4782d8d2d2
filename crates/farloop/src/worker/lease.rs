//! The lease of named actors (L11): there is one of a name at a time, also while the worker that has it is out of reach.
//! The coordinator gives the name to another worker when this one was not heard for [`limits::ACTOR_LEASE`]; so this one
//! stops them when two thirds of that are over.
//!
//! The clock here begins with the *sending* of what the coordinator is known to have received: it heard this worker
//! then or later. It runs on the session's own thread, so neither a broken connection nor a busy loop stops it.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use farloop_core::limits;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::host::WorkerShared;

/// What is left for the coordinator's own clock, and for a loop that is inside a poll.
const MARGIN: Duration = Duration::from_millis(limits::ACTOR_LEASE.as_millis() as u64 / 3);
/// For how long named actors may go on after the coordinator heard this worker last.
const PATIENCE: Duration = Duration::from_millis(limits::ACTOR_LEASE.as_millis() as u64 - MARGIN.as_millis() as u64);

/// When the coordinator is known to have heard this worker last.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// None: there was no welcome yet, so there are no actors.
    heard: Option<Instant>,
    /// A sign of life on its way: when it was sent, and how many items had been sent before it. Not the newest one, which
    /// may never be the one that is answered, but the oldest.
    asked: Option<(Instant, u64)>,
}

impl Lease {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Only bookkeeping happens under this lock.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The coordinator has answered the hello that was sent at that moment. Items are counted anew.
    pub(crate) fn welcomed(&self, sent: Instant) {
        *self.inner() = Inner { heard: Some(sent), asked: None };
        self.news.notify_one();
    }

    /// A sign of life is about to leave: it is `now`, and `sent` items had left then or left since.
    pub(crate) fn asks(&self, now: Instant, sent: u64) {
        self.inner().asked.get_or_insert((now, sent));
    }

    /// The coordinator has acknowledged so many items.
    pub(crate) fn acknowledged(&self, items: u64) {
        let mut inner = self.inner();
        if let Some((at, _)) = inner.asked.take_if(|(_, before)| items > *before) {
            inner.heard = Some(at);
            drop(inner);
            self.news.notify_one();
        }
    }

    /// When named actors must stop, as things stand.
    fn ends(&self) -> Option<Instant> {
        Some(self.inner().heard? + PATIENCE)
    }

    /// Returns when the lease is over.
    async fn over(&self) {
        loop {
            let news = self.news.notified();
            match self.ends() {
                None => news.await,
                Some(at) if at <= Instant::now() => return,
                // A newer end is found when this one is due: a sign of life costs no timer.
                Some(at) => tokio::time::sleep_until(at).await,
            }
        }
    }
}

impl WorkerShared {
    /// Stops named actors whenever their lease is over. For whoever keeps the session connected; never returns.
    pub(crate) async fn watch_lease(&self) {
        loop {
            self.lease.over().await;
            self.stop_named();
            // One that still arrives from what was received before is no better off.
            let _ = tokio::time::timeout(MARGIN, self.lease.news.notified()).await;
        }
    }

    fn stop_named(&self) {
        let named: Vec<_> = self.all_actors().into_iter().filter(|actor| actor.is_named()).collect();
        if named.is_empty() {
            return;
        }
        tracing::warn!(
            actors = named.len(),
            "the coordinator was not reached for {PATIENCE:?}: named actors stop here, since others may take their names"
        );
        for actor in named {
            self.drop_actor(&actor, true);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_runs_from_the_sending_of_what_was_acknowledged() {
        let (lease, begun) = (Lease::default(), Instant::now());
        lease.welcomed(begun);
        assert_eq!(lease.ends(), Some(begun + PATIENCE));
        tokio::time::advance(Duration::from_secs(1)).await;
        lease.asks(Instant::now(), 10);
        let asked = Instant::now();
        tokio::time::advance(Duration::from_secs(2)).await;
        // A later sign of life does not put off the answer to the first.
        lease.asks(Instant::now(), 12);
        lease.acknowledged(10);
        assert_eq!(lease.ends(), Some(begun + PATIENCE), "what had left before proves nothing");
        lease.acknowledged(11);
        assert_eq!(lease.ends(), Some(asked + PATIENCE));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_after_two_thirds() {
        let (lease, begun) = (Lease::default(), Instant::now());
        assert!(tokio::time::timeout(limits::ACTOR_LEASE, lease.over()).await.is_err(), "nobody was welcomed");
        lease.welcomed(Instant::now());
        let welcomed = Instant::now();
        lease.over().await;
        assert!(
            welcomed.elapsed() >= PATIENCE
                && welcomed.elapsed() <= limits::ACTOR_LEASE * 2 / 3 + Duration::from_millis(2)
        );
        assert!(begun.elapsed() > limits::ACTOR_LEASE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewed_one_goes_on() {
        let lease = Lease::default();
        lease.welcomed(Instant::now());
        for n in 0..10 {
            assert!(tokio::time::timeout(PATIENCE / 2, lease.over()).await.is_err());
            lease.asks(Instant::now(), n);
            lease.acknowledged(n + 1);
        }
    }
}
