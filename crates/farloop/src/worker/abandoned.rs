//! Threads that bodies hold after nobody waits for them any more.
//!
//! A fenced body that is parked is dropped on its loop. One that is inside a poll, or on the blocking pool, cannot be
//! stopped: its thread is written off and counted until the body lets go, its slot goes to others, and a loop that is
//! written off is given no new work. If a loop does not come back the worker gives up: it drains and ends with an error,
//! so that whoever supervises it starts another. A loop that only computes for long, for somebody who waits for it, is
//! left alone.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use farloop_core::frame::Up;
use tokio::sync::Notify;

use super::host::WorkerShared;
use crate::body::Body;
use crate::event_loop::LoopShared;

/// Where a written-off body is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Held {
    /// Inside a poll on its loop's thread, since then.
    Loop(Instant),
    /// As before, and it has no slot: it runs for an actor.
    Turn(Instant),
    /// On a thread of the blocking pool.
    Pool,
}

/// What is written off on one worker.
#[derive(Default)]
pub(crate) struct Abandoned {
    threads: AtomicU32,
    /// Of those, loops: the attempt that holds one still counts as resident.
    loops: AtomicUsize,
    news: Notify,
    /// Loops that are written off, and since when their body has not let go.
    stuck: Mutex<Vec<(u64, Instant)>>,
}

impl Abandoned {
    pub(crate) fn loops(&self) -> usize {
        self.loops.load(Ordering::Acquire)
    }

    pub(super) fn threads(&self) -> u32 {
        self.threads.load(Ordering::Acquire)
    }

    fn stuck(&self) -> MutexGuard<'_, Vec<(u64, Instant)>> {
        // Only pushes and removals happen under this lock.
        self.stuck.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl WorkerShared {
    /// A body was fenced. If it holds a thread, the thread is written off.
    pub(crate) fn write_off(&self, body: &Arc<Body>, home: &Arc<LoopShared>) {
        let Some(held) = body.write_off() else { return };
        let threads = self.abandoned.threads.fetch_add(1, Ordering::AcqRel) + 1;
        tracing::warn!(
            function = %body.function,
            task = %body.task_id(),
            threads,
            "nobody waits for this body any more; its thread is written off until it lets go"
        );
        self.session().push(Up::Abandoned(threads));
        let (Held::Loop(since) | Held::Turn(since)) = held else { return };
        home.set_written_off(true);
        self.abandoned.stuck().push((home.id, since));
        if let Held::Loop(_) = held {
            self.abandoned.loops.fetch_add(1, Ordering::AcqRel);
            // Its slot is there for what runs on other loops.
            self.release();
        }
        self.abandoned.news.notify_waiters();
    }

    /// A written-off body has let go of its thread.
    pub(crate) fn came_back(&self, held: Held, home: &Arc<LoopShared>) {
        let threads = self.abandoned.threads.fetch_sub(1, Ordering::AcqRel).saturating_sub(1);
        self.session().push(Up::Abandoned(threads));
        if held == Held::Pool {
            return;
        }
        self.abandoned.stuck().retain(|(id, _)| *id != home.id);
        if let Held::Loop(_) = held {
            self.abandoned.loops.fetch_sub(1, Ordering::AcqRel);
        }
        home.set_written_off(false);
    }

    /// Returns when a loop has been stuck in a written-off body for that long: how many such loops there are.
    pub(crate) async fn stuck_for(&self, limit: Duration) -> usize {
        loop {
            let news = self.abandoned.news.notified();
            let oldest = self.abandoned.stuck().iter().map(|(_, since)| *since).min();
            let Some(since) = oldest else {
                news.await;
                continue;
            };
            let left = limit.saturating_sub(since.elapsed());
            if left.is_zero() {
                return self.abandoned.stuck().len();
            }
            tokio::time::sleep(left).await;
        }
    }
}
