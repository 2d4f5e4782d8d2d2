//! Primitives that a whole cluster shares (asyncio's Lock, Semaphore, Event, Queue, Barrier): what travels about them.
//!
//! A peer numbers its calls. A call that takes something (a permit, an item) stays *open* until that is given back or
//! taken for good, so that the coordinator knows what to take away from whom when an attempt or a session ends.

use alloc::string::String;
use alloc::sync::Arc;
use bytes::Bytes;

use crate::id::{AttemptId, PrimitiveId, SessionId};

/// A call about a primitive. Answered once by [`Down::Sync`](crate::frame::Down::Sync), at once or when it is its turn.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncCall {
    /// Made by the session, never used twice.
    pub call: u64,
    /// Which primitive; made at its first use.
    pub primitive: Primitive,
    /// The attempt whose body calls: what it takes goes back when it ends. None: the session itself.
    pub attempt: Option<AttemptId>,
    /// What to do.
    pub action: SyncAction,
}

/// A primitive as its users know it. All must agree on kind and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primitive {
    /// Which.
    pub name: PrimitiveName,
    /// What it is.
    pub kind: PrimitiveKind,
    /// Permits of a semaphore, places of a queue (0: as many as the limits allow), parties of a barrier; else 0.
    pub size: u64,
}

/// How a primitive is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrimitiveName {
    /// Shared by everybody who says this name.
    Shared(Arc<str>),
    /// Made by one; known to whom its handle was given. It is over with the session that owns it.
    Own {
        /// Made by its creator.
        id: PrimitiveId,
        /// Session at the top of the creator's task tree; none if that tree is detached.
        owner: Option<SessionId>,
    },
}

/// What a primitive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrimitiveKind {
    /// Permits.
    Semaphore,
    /// One permit, and conditions that wait for it.
    Lock,
    /// A flag.
    Event,
    /// Items, first in first out.
    Queue,
    /// Items, last in first out.
    LifoQueue,
    /// Items, lowest priority number first.
    PriorityQueue,
    /// A place to wait for each other.
    Barrier,
}

/// What to do with a primitive.
#[derive(Clone, Debug, PartialEq)]
pub enum SyncAction {
    /// Semaphore, lock: take a permit. Answered by [`SyncAnswer::Granted`].
    Acquire {
        /// Rather be refused than wait.
        now: bool,
    },
    /// Semaphore, lock: give the permit with this token back. Refused as stale if it is not held.
    Release(u64),
    /// Semaphore, lock: whether the permit with this token is held. Refused as stale if it is not.
    Check(u64),
    /// Lock: let it go, wait to be notified, take it again. Answered by [`SyncAnswer::Granted`].
    WaitNotified {
        /// Which of the lock's conditions.
        condition: PrimitiveId,
        /// Of the permit that the caller holds.
        token: u64,
    },
    /// Lock: wake waiters of a condition.
    Notify {
        /// Which of the lock's conditions.
        condition: PrimitiveId,
        /// Of the permit that the caller holds.
        token: u64,
        /// How many at most.
        count: u64,
    },
    /// Event: set the flag; all who wait go on.
    Set,
    /// Event: clear the flag.
    Clear,
    /// Event: wait until the flag is set.
    Wait,
    /// Queue: put an item.
    Put {
        /// The item, encoded.
        item: Bytes,
        /// Of a priority queue: lower goes first.
        priority: i64,
        /// Rather be refused than wait.
        now: bool,
    },
    /// Queue: take an item. Answered by [`SyncAnswer::Item`].
    Get {
        /// Rather be refused than wait.
        now: bool,
    },
    /// Queue: an item that was taken is worked off.
    TaskDone,
    /// Queue: wait until all items that were put are worked off.
    Join,
    /// Queue: nothing more may be put.
    ShutDown {
        /// Nor taken: what is in it is dropped.
        immediate: bool,
    },
    /// Barrier: wait for the others. Answered by [`SyncAnswer::Index`].
    Arrive,
    /// Barrier: whoever waits is refused; then it is as new.
    Reset,
    /// Barrier: whoever waits or comes is refused until a reset.
    Abort,
    /// Any: answered by [`SyncAnswer::View`].
    Look,
}

/// What becomes of an open call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncEnd {
    /// Its permit is given back.
    Release,
    /// Nobody waits for it any more: it leaves the line, and what it was given meanwhile goes back.
    Withdraw,
    /// Its item has reached who asked for it.
    Taken,
    /// It waits for a notification no longer, only for the lock: its body was cancelled.
    Rejoin,
}

/// Answer to a [`SyncCall`].
#[derive(Clone, Debug, PartialEq)]
pub enum SyncAnswer {
    /// It is done.
    Done,
    /// A permit. The token grows with each grant of one primitive.
    Granted(u64),
    /// An item.
    Item(Bytes),
    /// The caller's number at the barrier, from 0.
    Index(u64),
    /// How the primitive stands.
    View(SyncView),
    /// No, and why.
    Refused {
        /// For programs.
        why: SyncRefusal,
        /// For people.
        message: String,
    },
}

/// How a primitive stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncView {
    /// Permits held; items in the queue; how many wait at the barrier.
    pub count: u64,
    /// Calls that wait.
    pub waiting: u64,
    /// Of a queue: items that were put and are not worked off.
    pub unfinished: u64,
    /// The event is set; the queue is shut down; the barrier is broken.
    pub flag: bool,
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncRefusal {
    /// The permit, or the attempt that calls, is not current.
    Stale,
    /// Others know this name as something else.
    Mismatch,
    /// A limit stands against it.
    Exhausted,
    /// The session that owned the primitive is over.
    Gone,
    /// It would have to wait and did not want to.
    Busy,
    /// The queue is shut down.
    ShutDown,
    /// The barrier is broken.
    Broken,
    /// More items were reported done than were put.
    TooManyDone,
    /// This primitive has no such operation.
    Misuse,
}
