//! Errors of the cluster's locks, queues and barriers ([`crate::sync`]).

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an operation on a primitive of [`farloop::sync`](crate::sync) can fail with, besides what every call can.
///
/// Where another task awaits the body that failed with it, it comes back by
/// [`downcast`](crate::Error::downcast).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SyncError {
    /// The lock or permit is not held any more: it was given back, its holder's attempt or session ended, or the
    /// coordinator started again. Whoever gets this must not touch what the lock protects.
    Stale(String),
    /// The name is in use for a primitive of another kind or size; the text names both.
    Mismatch(String),
    /// The session that made the primitive is over, and the primitive with it.
    Gone(String),
    /// It would have to wait, and was asked not to.
    WouldBlock(String),
    /// asyncio's `QueueFull`.
    QueueFull,
    /// asyncio's `QueueEmpty`.
    QueueEmpty,
    /// asyncio's `QueueShutDown` (3.13).
    QueueShutDown,
    /// asyncio's `BrokenBarrierError`.
    BrokenBarrier,
    /// asyncio's `ValueError`: `task_done() called too many times`.
    TaskDoneTooOften,
    /// The coordinator started again while this waited. It knows its tasks from its records, and no holders, no waiters
    /// and no items; whoever asks again is first in line, so what was held before may be held by somebody else.
    Restarted,
}

impl fmt::Display for SyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale(why) | Self::Mismatch(why) | Self::Gone(why) | Self::WouldBlock(why) => f.write_str(why),
            Self::QueueFull => f.write_str("the queue is full"),
            Self::QueueEmpty => f.write_str("the queue is empty"),
            Self::QueueShutDown => f.write_str("the queue is shut down"),
            Self::BrokenBarrier => f.write_str("the barrier is broken"),
            Self::TaskDoneTooOften => f.write_str("task_done() called too many times"),
            Self::Restarted => f.write_str(
                "the coordinator started again while this waited, and keeps no locks and queues over a restart; ask again",
            ),
        }
    }
}

impl std::error::Error for SyncError {}
