//! Where a stream's items wait for their consumer, in the consumer's process.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use farloop_core::window::{weight, worth_telling};

use crate::cell::Wakeable;

/// Items that came and were not taken: never more than the window allows.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    items: VecDeque<Bytes>,
    /// Those that come after them, behind lines that have yet to be shown.
    hidden: VecDeque<Bytes>,
    received: u64,
    taken: u64,
    /// Items taken that the producer has not heard of, and their weight.
    untold: (u64, usize),
    waiter: Option<Wakeable>,
}

/// An item, and what the producer should be told now, if anything: how many have been taken.
pub(crate) struct Taken {
    pub(crate) value: Bytes,
    pub(crate) credit: Option<u64>,
}

/// What is left to do about an item that came.
pub(crate) enum Pushed {
    Known,
    /// It waits for its turn on the loop: [`Inbox::reveal`].
    Hidden,
    /// It was known, and is the last one: the producer should be told how many have been taken.
    Again {
        taken: u64,
    },
}

impl Inbox {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Only queueing happens under this lock.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// An item came, `behind` lines that have yet to be shown or not. Those of a session come once and in order; only a
    /// coordinator that started again passes on items once more, from the first one that its producer does not know to
    /// be taken.
    pub(crate) fn push(&self, seq: u64, value: Bytes, behind: bool) -> Pushed {
        let waiter = {
            let mut inner = self.inner();
            if seq > inner.received + 1 {
                tracing::error!(seq, after = inner.received, "an item of a stream came out of order and is dropped");
                return Pushed::Known;
            }
            if seq <= inner.received {
                // Once, with the last one: the coordinator then knows as many items as it is told of.
                let last = seq == inner.received;
                if last {
                    inner.untold = (0, 0);
                }
                return if last { Pushed::Again { taken: inner.taken } } else { Pushed::Known };
            }
            inner.received = seq;
            if behind || !inner.hidden.is_empty() {
                inner.hidden.push_back(value);
                return Pushed::Hidden;
            }
            inner.items.push_back(value);
            inner.waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        Pushed::Known
    }

    /// The lines before the first hidden item have been shown.
    pub(crate) fn reveal(&self) {
        let waiter = {
            let mut inner = self.inner();
            let Some(value) = inner.hidden.pop_front() else { return };
            inner.items.push_back(value);
            inner.waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Items that came so far.
    pub(crate) fn received(&self) -> u64 {
        self.inner().received
    }

    pub(crate) fn take(&self) -> Option<Taken> {
        let mut inner = self.inner();
        let value = inner.items.pop_front()?;
        inner.taken += 1;
        inner.untold.0 += 1;
        inner.untold.1 += weight(value.len());
        let tell = worth_telling(inner.untold.0, inner.untold.1);
        if tell {
            inner.untold = (0, 0);
        }
        Some(Taken { value, credit: tell.then_some(inner.taken) })
    }

    /// Wakes `whom` for the next item. False: there is one already.
    pub(crate) fn listen(&self, whom: Wakeable) -> bool {
        let mut inner = self.inner();
        if inner.items.is_empty() {
            inner.waiter = Some(whom);
        }
        inner.items.is_empty()
    }

    pub(crate) fn unlisten(&self) {
        self.inner().waiter = None;
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.inner();
        f.debug_struct("Inbox").field("received", &inner.received).field("taken", &inner.taken).finish_non_exhaustive()
    }
}
