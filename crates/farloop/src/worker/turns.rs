//! Turns of one actor: which of its calls may run now (L12, L13).
//!
//! Calls run in the order in which they came. The first one waits until nothing runs that excludes it, and meanwhile
//! nobody passes it. A call that was made, directly or not, by one that runs here is in a line of its own before the
//! others: what runs waits for it, so behind the others it would wait for ever. It waits as well for what excludes it:
//! if that is its own caller, nobody here can help, and the coordinator finds the cycle.

use std::collections::VecDeque;

use farloop_core::actor::Turns;
use farloop_core::id::AttemptId;

/// Calls that run, and calls that wait for their turn.
pub(super) struct TurnQueue<C> {
    running: Vec<(AttemptId, Turns)>,
    waiting: VecDeque<Waiting<C>>,
    /// How many of `waiting`, at its front, were made by calls that ran here when they came.
    inner: usize,
}

struct Waiting<C> {
    call: AttemptId,
    turns: Turns,
    what: C,
}

impl<C> Default for TurnQueue<C> {
    fn default() -> Self {
        Self { running: Vec::new(), waiting: VecDeque::new(), inner: 0 }
    }
}

impl<C> TurnQueue<C> {
    /// A call came. `reenters`: one that runs here made it.
    pub(super) fn arrive(&mut self, call: AttemptId, turns: Turns, reenters: bool, what: C) {
        let waiting = Waiting { call, turns, what };
        if reenters {
            self.waiting.insert(self.inner, waiting);
            self.inner += 1;
        } else {
            self.waiting.push_back(waiting);
        }
    }

    /// The next one whose turn it is; it runs from here on. `inner_only`: of those that what runs waits for.
    pub(super) fn next(&mut self, inner_only: bool) -> Option<C> {
        let fits = |waiting: &Waiting<C>| self.running.iter().all(|(_, running)| waiting.turns.with(*running));
        let inner = self.waiting.iter().take(self.inner).position(fits);
        // Behind an inner one that waits, the others wait too: its caller must be over before it is.
        let outer = self.inner == 0 && !inner_only && self.waiting.front().is_some_and(fits);
        let at = inner.or(outer.then_some(0))?;
        let Waiting { call, turns, what } = self.take(at)?;
        self.running.push((call, turns));
        Some(what)
    }

    /// A call that ran is over, however; whether it did run.
    pub(super) fn ended(&mut self, call: AttemptId) -> bool {
        let place = self.running.iter().position(|(running, _)| *running == call);
        if let Some(place) = place {
            self.running.swap_remove(place);
        }
        place.is_some()
    }

    /// Takes out a call that has not begun.
    pub(super) fn remove(&mut self, call: AttemptId) -> Option<C> {
        let at = self.waiting.iter().position(|waiting| waiting.call == call)?;
        self.take(at).map(|waiting| waiting.what)
    }

    fn take(&mut self, at: usize) -> Option<Waiting<C>> {
        let taken = self.waiting.remove(at)?;
        self.inner -= usize::from(at < self.inner);
        Some(taken)
    }

    /// Takes out all calls that have not begun, in order; those that what runs waits for only if nothing runs.
    pub(super) fn drain(&mut self) -> Vec<C> {
        let kept = if self.running.is_empty() { 0 } else { self.inner };
        self.inner = kept;
        self.waiting.drain(kept..).map(|waiting| waiting.what).collect()
    }

    /// As [`drain`](Self::drain), without exception.
    pub(super) fn drain_all(&mut self) -> Vec<C> {
        self.inner = 0;
        self.waiting.drain(..).map(|waiting| waiting.what).collect()
    }

    pub(super) fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    pub(super) fn waits(&self, call: AttemptId) -> bool {
        self.waiting.iter().any(|waiting| waiting.call == call)
    }

    /// All calls: those that run, then those that wait, in order.
    pub(super) fn calls(&self) -> impl Iterator<Item = AttemptId> {
        self.running.iter().map(|(call, _)| *call).chain(self.waiting.iter().map(|waiting| waiting.call))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
