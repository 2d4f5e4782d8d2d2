//! Calls about primitives that wait for their answers, in one session.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use dashmap::DashMap;
use farloop_core::sync::SyncAnswer;

use crate::cell::Wakeable;
use crate::error::{Error, Result};
use crate::event_loop::LoopShared;

/// All calls of a session that wait.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    last: AtomicU64,
    waiting: DashMap<u64, Arc<Slot>, foldhash::fast::RandomState>,
}

/// Where an answer arrives.
pub(crate) struct Slot {
    home: Arc<LoopShared>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// With the life of the coordinator that gave it: how often it had started again.
    answer: Option<Result<(SyncAnswer, u64)>>,
    whom: Option<Wakeable>,
}

impl Calls {
    /// A number of its own, and a place for the answer.
    pub(crate) fn open(&self, home: &Arc<LoopShared>) -> (u64, Arc<Slot>) {
        let call = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let slot = Arc::new(Slot { home: home.clone(), inner: Mutex::default() });
        self.waiting.insert(call, slot.clone());
        (call, slot)
    }

    /// Nobody waits for this answer.
    pub(crate) fn forget(&self, call: u64) {
        self.waiting.remove(&call);
    }

    /// The answer came: gives whom to wake on which loop.
    pub(crate) fn answered(
        &self,
        call: u64,
        answer: SyncAnswer,
        recoveries: u64,
    ) -> Option<(Arc<LoopShared>, Wakeable)> {
        let (_, slot) = self.waiting.remove(&call)?;
        slot.put(Ok((answer, recoveries))).map(|whom| (slot.home.clone(), whom))
    }

    /// All that wait.
    pub(crate) fn waiting(&self) -> Vec<u64> {
        self.waiting.iter().map(|entry| *entry.key()).collect()
    }

    /// No answer will come to these.
    pub(crate) fn fail(&self, calls: Vec<u64>, error: &Error) {
        let slots = calls.into_iter().filter_map(|call| self.waiting.remove(&call));
        for (_, slot) in slots {
            if let Some(whom) = slot.put(Err(error.clone())) {
                whom.wake();
            }
        }
    }
}

impl Slot {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Two fields are set under this lock, and nothing else.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn put(&self, answer: Result<(SyncAnswer, u64)>) -> Option<Wakeable> {
        let mut inner = self.inner();
        inner.answer = Some(answer);
        inner.whom.take()
    }

    /// The answer; without one, whom to wake when it comes.
    pub(crate) fn take(&self, whom: Wakeable) -> Option<Result<(SyncAnswer, u64)>> {
        let mut inner = self.inner();
        let answer = inner.answer.take();
        if answer.is_none() {
            inner.whom = Some(whom);
        }
        answer
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}
