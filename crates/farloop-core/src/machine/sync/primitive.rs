//! One primitive's record: its state, and the lines in front of it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use bytes::Bytes;

use super::barrier::Barrier;
use super::event::Event;
use super::permits::Permits;
use super::queue::Queue;
use super::waves::Wave;
use super::{CallKey, Refused, what};
use crate::id::PrimitiveId;
use crate::limits;
use crate::machine::sessions::SessionKey;
use crate::sync::{Primitive, PrimitiveKind, PrimitiveName, SyncRefusal};
use crate::time::Time;

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) name: PrimitiveName,
    pub(crate) kind: PrimitiveKind,
    pub(crate) size: u64,
    pub(crate) owner: Option<SessionKey>,
    pub(crate) serial: u32,
    pub(crate) state: State,
    /// Everybody who waits, by line and then in the order of their coming.
    pub(crate) lines: BTreeMap<(Line, u64), Waiter>,
    /// Number of the next who waits.
    pub(crate) next: u64,
    /// Calls that are open.
    pub(crate) open: u32,
    /// Wakes that remain to be done.
    pub(crate) waves: VecDeque<Wave>,
    /// Work on it is queued.
    pub(crate) busy: bool,
    /// It is found no more; what is left of it is being cleared.
    pub(crate) gone: bool,
    pub(crate) used: Time,
    /// Of one that nobody owns: when it will be looked at.
    pub(crate) idle: Option<Time>,
}

/// A line in front of a primitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Line {
    /// For a permit, the flag, or the others at the barrier.
    Main,
    /// For an item.
    Get,
    /// For room.
    Put,
    /// For the end of all work.
    Join,
    /// To be notified.
    Condition(PrimitiveId),
}

#[derive(Clone, Debug)]
pub(crate) struct Waiter {
    pub(crate) key: CallKey,
    /// Its number at the barrier; the priority of its item.
    pub(crate) rank: i64,
    /// What it wants to put.
    pub(crate) item: Option<Bytes>,
}

impl Waiter {
    pub(crate) fn plain(key: CallKey) -> Self {
        Self { key, rank: 0, item: None }
    }
}

#[derive(Debug)]
pub(crate) enum State {
    Permits(Permits),
    Event(Event),
    Queue(Queue),
    Barrier(Barrier),
}

impl State {
    pub(crate) fn fresh(wanted: &Primitive) -> Result<Self, Refused> {
        Ok(match wanted.kind {
            PrimitiveKind::Semaphore => Self::Permits(Permits::new(wanted.size)),
            PrimitiveKind::Lock => Self::Permits(Permits::new(1)),
            PrimitiveKind::Event => Self::Event(Event::default()),
            PrimitiveKind::Queue | PrimitiveKind::LifoQueue | PrimitiveKind::PriorityQueue => {
                Self::Queue(Queue::new(wanted.kind, wanted.size))
            }
            PrimitiveKind::Barrier if wanted.size == 0 => {
                return Err((SyncRefusal::Misuse, "parties must be > 0".into()));
            }
            PrimitiveKind::Barrier if wanted.size > limits::SYNC_WAITERS as u64 => {
                let message =
                    format!("a barrier of {} parties; the limit SYNC_WAITERS is {}", wanted.size, limits::SYNC_WAITERS);
                return Err((SyncRefusal::Exhausted, message));
            }
            PrimitiveKind::Barrier => Self::Barrier(Barrier::new(wanted.size)),
        })
    }

    /// Whether nobody could tell it from a new one, apart from who waits.
    pub(crate) fn is_fresh(&self) -> bool {
        match self {
            Self::Permits(permits) => permits.is_fresh(),
            Self::Event(event) => event.is_fresh(),
            Self::Queue(queue) => queue.is_fresh(),
            Self::Barrier(barrier) => barrier.is_fresh(),
        }
    }
}

impl Record {
    pub(crate) fn new(
        wanted: &Primitive,
        owner: Option<SessionKey>,
        state: State,
        serial: u32,
        now: Time,
        idle: Option<Time>,
    ) -> Self {
        Self {
            name: wanted.name.clone(),
            kind: wanted.kind,
            size: wanted.size,
            owner,
            serial,
            state,
            lines: BTreeMap::new(),
            next: 0,
            open: 0,
            waves: VecDeque::new(),
            busy: false,
            gone: false,
            used: now,
            idle,
        }
    }

    /// Who is first in a line.
    pub(crate) fn first(&self, line: Line) -> Option<(u64, &Waiter)> {
        self.lines.range((line, 0)..=(line, u64::MAX)).next().map(|((_, number), waiter)| (*number, waiter))
    }

    /// Name or id, for people.
    pub(crate) fn called(&self) -> String {
        let kind = match self.kind {
            PrimitiveKind::Semaphore => "semaphore",
            PrimitiveKind::Lock => "lock",
            PrimitiveKind::Event => "event",
            PrimitiveKind::Queue | PrimitiveKind::LifoQueue | PrimitiveKind::PriorityQueue => "queue",
            PrimitiveKind::Barrier => "barrier",
        };
        match &self.name {
            PrimitiveName::Shared(name) => format!("{kind} '{name}'"),
            PrimitiveName::Own { id, .. } => format!("{kind} {id}"),
        }
    }

    /// Kind and size, for people.
    pub(crate) fn what(&self) -> String {
        what(self.kind, self.size)
    }
}
