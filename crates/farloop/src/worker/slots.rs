//! Slots and grants of one worker: how many attempts run at once, who gets the next free slot, and how many starts
//! the coordinator may send (L14).
//!
//! A slot is held from start to end, except while every open await is farloop's own. Resumed attempts go before new
//! starts, deepest first: the deeper one is what the others wait for.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use farloop_core::id::AttemptId;
use tokio::time::Instant;

use super::host::Started;
use crate::body::Body;

/// The window over which the rate of work is measured: starts for about that long are fetched ahead.
const WINDOW: Duration = Duration::from_millis(10);
/// Starts fetched ahead, at most.
const MAX_PREFETCH: u64 = 4_096;
/// Root starts held back at `max_resident`, beyond which they count as fetched ahead.
const HELD: usize = 1_024;

pub(crate) struct Slots {
    total: u32,
    max_resident: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    free: u32,
    /// Attempts that have begun and not ended.
    resident: usize,
    queue: VecDeque<Started>,
    /// Roots that wait until fewer attempts are resident; descendants never do.
    held: VecDeque<Started>,
    resumers: BinaryHeap<Resumer>,
    sequence: u64,
    granted: u64,
    arrived: u64,
    window_began: Instant,
    ended_in_window: u64,
    prefetch: u64,
}

struct Resumer {
    depth: u32,
    sequence: u64,
    body: Arc<Body>,
}

impl PartialEq for Resumer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Resumer {}
impl PartialOrd for Resumer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Resumer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.depth.cmp(&other.depth).then(other.sequence.cmp(&self.sequence))
    }
}

impl Slots {
    pub(crate) fn new(total: u32, max_resident: usize) -> Self {
        let inner = Inner {
            free: total,
            resident: 0,
            queue: VecDeque::new(),
            held: VecDeque::new(),
            resumers: BinaryHeap::new(),
            sequence: 0,
            granted: 0,
            arrived: 0,
            window_began: Instant::now(),
            ended_in_window: 0,
            prefetch: 0,
        };
        Self { total, max_resident, inner: Mutex::new(inner) }
    }

    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Only bookkeeping happens under this lock.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A start came. Out again if it has a slot at once.
    pub(crate) fn arrive(&self, started: Started) -> Option<Started> {
        let mut inner = self.inner();
        inner.arrived += 1;
        if started.start.depth == 0 && inner.resident >= self.max_resident {
            inner.held.push_back(started);
            return None;
        }
        if inner.free == 0 || !inner.queue.is_empty() {
            inner.queue.push_back(started);
            return None;
        }
        inner.free -= 1;
        inner.resident += 1;
        Some(started)
    }

    /// A suspended attempt wants to run again. True: it has a slot; false: it is in line and will be woken.
    pub(crate) fn resume(&self, body: &Arc<Body>, depth: u32) -> bool {
        let mut inner = self.inner();
        if inner.free > 0 {
            inner.free -= 1;
            return true;
        }
        let sequence = inner.sequence;
        inner.sequence += 1;
        inner.resumers.push(Resumer { depth, sequence, body: body.clone() });
        false
    }

    /// An attempt in line for a slot is over: out of the line, or out of the slot it was just given.
    pub(crate) fn leave_line(&self, body: &Arc<Body>) -> bool {
        let mut inner = self.inner();
        let before = inner.resumers.len();
        inner.resumers.retain(|r| !Arc::ptr_eq(&r.body, body));
        inner.resumers.len() == before && body.take_slot_grant()
    }

    /// Gives a slot back: to a suspended attempt, which is to be woken, or to a new start.
    ///
    /// `begin` runs under this lock: whoever looks for a start finds it here or on its loop, never in between, or a
    /// cancel could miss it (L6).
    pub(crate) fn release(&self, begin: impl FnOnce(Started)) -> Option<Arc<Body>> {
        let mut inner = self.inner();
        inner.free += 1;
        inner.take_next(self.max_resident, begin)
    }

    /// An attempt is over; whether it held a slot at the end.
    pub(crate) fn ended(&self, held: bool, begin: impl FnOnce(Started)) -> Option<Arc<Body>> {
        let mut inner = self.inner();
        inner.resident = inner.resident.saturating_sub(1);
        inner.ended_in_window += 1;
        if held {
            inner.free += 1;
        }
        inner.take_next(self.max_resident, begin)
    }

    /// Takes out a start that has no slot yet.
    pub(crate) fn remove(&self, attempt: AttemptId) -> Option<Started> {
        let mut inner = self.inner();
        let is_it = |started: &Started| started.start.attempt == attempt;
        if let Some(at) = inner.queue.iter().position(is_it) {
            return inner.queue.remove(at);
        }
        let at = inner.held.iter().position(is_it)?;
        inner.held.remove(at)
    }

    /// What may be granted in addition now: the new total, if it grew.
    pub(crate) fn grant(&self, draining: bool) -> Option<u64> {
        let mut inner = self.inner();
        if draining {
            return None;
        }
        let now = Instant::now();
        if now.duration_since(inner.window_began) >= WINDOW {
            inner.prefetch = inner.ended_in_window.min(MAX_PREFETCH);
            inner.ended_in_window = 0;
            inner.window_began = now;
        }
        let want = u64::from(inner.free) + inner.prefetch.max(inner.ended_in_window.min(MAX_PREFETCH));
        let waiting = inner.queue.len() + inner.held.len().saturating_sub(HELD);
        let have = inner.granted.saturating_sub(inner.arrived) + waiting as u64;
        // A grant per finished task would double the traffic: above a handful they go in larger steps.
        let missing = want.saturating_sub(have);
        if missing == 0 || (have > 8 && missing < want / 4) {
            return None;
        }
        inner.granted += missing;
        Some(inner.granted)
    }

    /// Starts allowed since the session began.
    pub(crate) fn granted(&self) -> u64 {
        self.inner().granted
    }

    /// Starts that came since the session began.
    pub(crate) fn arrived(&self) -> u64 {
        self.inner().arrived
    }

    /// All starts that have no slot yet.
    pub(crate) fn each_waiting(&self, mut each: impl FnMut(&Started)) {
        let inner = self.inner();
        inner.queue.iter().chain(&inner.held).for_each(&mut each);
    }

    /// The session is a new one: what it granted and queued is void.
    pub(crate) fn reset(&self) {
        let mut inner = self.inner();
        inner.queue.clear();
        inner.held.clear();
        inner.granted = 0;
        inner.arrived = 0;
    }

    /// Attempts that have begun and not ended, and starts that wait.
    pub(crate) fn load(&self) -> usize {
        let inner = self.inner();
        inner.resident + inner.queue.len() + inner.held.len()
    }
}

impl Inner {
    fn take_next(&mut self, max_resident: usize, begin: impl FnOnce(Started)) -> Option<Arc<Body>> {
        if self.free == 0 {
            return None;
        }
        if let Some(resumer) = self.resumers.pop() {
            self.free -= 1;
            // Under this lock, so that an attempt that ends meanwhile either finds itself in line or owns the slot.
            resumer.body.grant_slot();
            return Some(resumer.body);
        }
        let root_fits = self.resident < max_resident;
        let next = match self.queue.pop_front() {
            Some(started) => Some(started),
            None if root_fits => self.held.pop_front(),
            None => None,
        }?;
        self.free -= 1;
        self.resident += 1;
        begin(next);
        None
    }
}
