//! Coroutines of a loop's own thread. Waking one puts it at the end of the loop's ready queue, among the callbacks,
//! and so they run in the order in which they became ready (row 273).
//!
//! The futures need not be `Send`, and whatever wakes them may be on any thread: so they stay in a table of the
//! thread, and what travels is their [`Step`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;

use super::{LoopShared, Ready};

type Coroutine = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    /// By loop. A future that is being polled is taken out meanwhile.
    static STEPS: RefCell<HashMap<u64, Slab<Option<Coroutine>>, foldhash::fast::RandomState>> = RefCell::default();
}

/// One coroutine, as its wakers and the queue know it.
pub(crate) struct Step {
    home: Arc<LoopShared>,
    key: AtomicUsize,
    /// Is in the queue: waking it again adds nothing.
    queued: AtomicBool,
    over: AtomicBool,
}

impl Wake for Step {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if !self.over.load(Ordering::Acquire) && !self.queued.swap(true, Ordering::AcqRel) {
            self.home.push(Ready::Step(self.clone()));
        }
    }
}

/// Adds a coroutine to a loop of this thread; its first step is queued.
pub(crate) fn spawn(home: &Arc<LoopShared>, future: impl Future<Output = ()> + 'static) -> Arc<Step> {
    let future: Coroutine = Box::pin(future);
    let key = STEPS.with_borrow_mut(|steps| steps.entry(home.id).or_default().insert(Some(future)));
    let step = Arc::new(Step {
        home: home.clone(),
        key: AtomicUsize::new(key),
        queued: AtomicBool::new(false),
        over: AtomicBool::new(false),
    });
    step.wake_by_ref();
    step
}

impl Step {
    /// Polls the coroutine.
    pub(super) fn run(self: &Arc<Self>) {
        self.queued.store(false, Ordering::Release);
        let Some(mut future) = self.with(Option::take) else { return };
        let waker = Waker::from(self.clone());
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => self.with(|place| {
                *place = Some(future);
                None
            }),
            Poll::Ready(()) => self.leave(),
        };
    }

    /// Drops the coroutine, if it is not over.
    pub(crate) fn remove(&self) {
        drop(self.leave());
    }

    fn leave(&self) -> Option<Coroutine> {
        if self.over.swap(true, Ordering::AcqRel) {
            return None;
        }
        let key = self.key.load(Ordering::Relaxed);
        STEPS.with_borrow_mut(|steps| steps.get_mut(&self.home.id)?.try_remove(key).flatten())
    }

    fn with(&self, f: impl FnOnce(&mut Option<Coroutine>) -> Option<Coroutine>) -> Option<Coroutine> {
        if self.over.load(Ordering::Acquire) {
            return None;
        }
        let key = self.key.load(Ordering::Relaxed);
        STEPS.with_borrow_mut(|steps| f(steps.get_mut(&self.home.id)?.get_mut(key)?))
    }
}

/// Drops what is left of a loop's coroutines on this thread.
pub(crate) fn drop_all(id: u64) {
    // Dropping one may start another; each is dropped outside of the borrow.
    while let Some(left) = STEPS.with_borrow_mut(|steps| steps.remove(&id)) {
        drop(left);
    }
}

/// Does so when it is dropped itself.
pub(crate) struct DropAll(pub(crate) u64);

impl Drop for DropAll {
    fn drop(&mut self) {
        // A thread that ends may have lost its table already.
        if STEPS.try_with(|_| ()).is_ok() {
            drop_all(self.0);
        }
    }
}
