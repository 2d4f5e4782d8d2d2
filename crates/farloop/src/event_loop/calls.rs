//! Callbacks of a loop: `call_soon`, and `call_later` and `call_at` with their timers (asyncio rows 273-275, 304-312).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::LoopShared;
use crate::body::Body;
use crate::context::Context;

/// Below that many timers, cancelled ones stay until they are due.
const PURGE_ABOVE: usize = 100;

type Run = Box<dyn FnOnce() + Send>;

pub(crate) struct Callback {
    /// Taken when it runs or is cancelled, so that what it holds goes at once.
    run: Mutex<Option<Run>>,
    cancelled: AtomicBool,
    location: &'static Location<'static>,
    span: tracing::Span,
    context: Mutex<Context>,
}

impl Callback {
    pub(crate) fn new(run: impl FnOnce() + Send + 'static, location: &'static Location<'static>) -> Arc<Self> {
        Arc::new(Self {
            run: Mutex::new(Some(Box::new(run))),
            cancelled: AtomicBool::new(false),
            location,
            span: tracing::Span::current(),
            context: Mutex::new(Context::current()),
        })
    }

    fn take(&self) -> Option<Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Runs it in the context in which it was registered; once, and not if it was cancelled.
    pub(super) fn run(&self) {
        let Some(run) = self.take() else { return };
        let begun = std::time::Instant::now();
        let mut context = std::mem::take(&mut *self.context.lock().unwrap_or_else(PoisonError::into_inner));
        let ran = std::panic::catch_unwind(AssertUnwindSafe(|| {
            Body::nobody(|| self.span.in_scope(|| context.run(run)));
        }));
        let took = begun.elapsed();
        if took > crate::debug::slow_callback_duration() {
            crate::report::slow_poll(&format!("the callback of {}", self.location), took);
        }
        if let Err(panic) = ran {
            crate::report::call_panicked(self.location, &*panic);
        }
    }

    /// Whether it was still to run.
    fn cancel(&self) -> bool {
        self.cancelled.store(true, Ordering::Release);
        self.take().is_some()
    }
}

/// A callback that [`call_soon`](crate::LoopHandle::call_soon) queued. Dropping it changes nothing.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Callback>);

impl Handle {
    /// Takes the callback back, if it has not run; harmless otherwise (row 306).
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Whether [`cancel`](Self::cancel) was called, in time or not.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cancelled = if self.cancelled() { " cancelled" } else { "" };
        write!(f, "<Handle{cancelled} created at {}>", self.0.location)
    }
}

/// A callback with a time, from [`call_later`](crate::LoopHandle::call_later) or
/// [`call_at`](crate::LoopHandle::call_at). Dropping it changes nothing.
#[derive(Clone)]
pub struct TimerHandle {
    pub(crate) callback: Arc<Callback>,
    pub(crate) when: Duration,
    pub(crate) home: Weak<LoopShared>,
}

impl TimerHandle {
    /// Takes the callback back, if it has not run; harmless otherwise, and a second time (row 306).
    pub fn cancel(&self) {
        if self.callback.cancel()
            && let Some(home) = self.home.upgrade()
        {
            home.timer_cancelled();
        }
    }

    /// Whether [`cancel`](Self::cancel) was called, in time or not.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.callback.cancelled.load(Ordering::Acquire)
    }

    /// The moment it is for, on the clock of [`time`](crate::LoopHandle::time).
    #[must_use]
    pub fn when(&self) -> Duration {
        self.when
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cancelled = if self.cancelled() { " cancelled" } else { "" };
        write!(f, "<TimerHandle{cancelled} when={:?} created at {}>", self.when, self.callback.location)
    }
}

/// Timers by deadline; those of one deadline in the order of their calls (V18).
#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    next: u64,
    cancelled: usize,
}

struct Entry {
    at: Instant,
    number: u64,
    callback: Arc<Callback>,
}

impl Entry {
    fn cancelled(&self) -> bool {
        self.callback.cancelled.load(Ordering::Acquire)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Timers {
    pub(super) fn add(&mut self, at: Instant, callback: Arc<Callback>) {
        let number = self.next;
        self.next += 1;
        self.heap.push(Reverse(Entry { at, number, callback }));
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// When the next one is due.
    pub(super) fn next(&mut self) -> Option<Instant> {
        while self.heap.peek().is_some_and(|Reverse(entry)| entry.cancelled()) {
            self.heap.pop();
            self.cancelled = self.cancelled.saturating_sub(1);
        }
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes those that are due, in order.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Arc<Callback>> {
        let mut due = Vec::new();
        while self.next().is_some_and(|at| at <= now) {
            due.extend(self.heap.pop().map(|Reverse(entry)| entry.callback));
        }
        due
    }

    /// One more was cancelled: when they are more than half of many, they leave.
    pub(super) fn cancelled(&mut self) {
        self.cancelled += 1;
        if self.heap.len() > PURGE_ABOVE && self.cancelled * 2 > self.heap.len() {
            self.heap.retain(|Reverse(entry)| !entry.cancelled());
            self.cancelled = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelled_timers_leave_when_they_are_many() {
        let mut timers = Timers::default();
        let now = Instant::now();
        let callbacks: Vec<_> = (0..1_000)
            .map(|n| {
                let callback = Callback::new(|| {}, Location::caller());
                timers.add(now + Duration::from_secs(n), callback.clone());
                callback
            })
            .collect();
        for callback in callbacks.iter().skip(10) {
            assert!(callback.cancel());
            timers.cancelled();
        }
        assert!(timers.len() <= PURGE_ABOVE, "{} of 10 are left", timers.len());
        assert_eq!(timers.due(now + Duration::from_secs(2_000)).len(), 10);
        assert_eq!((timers.len(), timers.next()), (0, None));
    }

    #[test]
    fn equal_deadlines_are_first_in_first_out() {
        let mut timers = Timers::default();
        let at = Instant::now();
        let callbacks: Vec<_> = (0..20).map(|_| Callback::new(|| {}, Location::caller())).collect();
        for callback in &callbacks {
            timers.add(at, callback.clone());
        }
        let due = timers.due(at);
        assert!(due.iter().zip(&callbacks).all(|(a, b)| Arc::ptr_eq(a, b)), "FIFO");
    }
}
