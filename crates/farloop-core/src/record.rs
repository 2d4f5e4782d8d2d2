//! What must survive a restart. Leases, wait edges, sessions and the state of locks and queues are not stored: workers
//! and clients say what they hold when they come back (ARCHITECTURE.md, Durability).
//!
//! A record is complete in itself, and the state is the fold of all of them in order (L17). One about a task that is not
//! known is passed over: its beginning left with its part of the journal, after [`Record::Carried`] had taken its place
//! or its retention was over.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::frame::Owner;
use crate::id::{Epoch, Life, SessionId, TaskId, WorkerId};
use crate::outcome::{Failure, Outcome};
use crate::spec::Spec;
use crate::time::Time;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A life of the coordinator began. The first record of each.
    Life(LifeBegan),
    /// What is known besides tasks, once more, so that the parts of the journal before it may leave.
    Standing(Standing),
    /// A worker's session opened.
    WorkerJoined(Rostered),
    /// A worker's session is over.
    WorkerLeft {
        /// Which.
        worker: WorkerId,
    },
    /// A task was accepted.
    Submitted(Box<Submitted>),
    /// A task ended.
    Ended {
        /// Which.
        task: TaskId,
        /// How.
        outcome: Outcome,
        /// When.
        at: Time,
        /// Whether all that its last attempt created and that is not detached is cancelled, rather than what it awaited.
        all: bool,
        /// State that its actor saved together with the outcome.
        snapshot: Option<Box<Saved>>,
    },
    /// An actor saved its state.
    Snapshot(Saved),
    /// An attempt failed or was lost, and another will follow.
    AttemptFailed(Box<AttemptFailed>),
    /// Written before dispatch when `max_crashes = 0`, and before the first item of a stream is told: from here on it
    /// does not start again.
    Started {
        /// Which.
        task: TaskId,
    },
    /// A cancel request was counted, or withdrawn.
    CancelRequested(Box<CancelRequested>),
    /// Nobody needs the outcome of a task any more ([`Retention::Pinned`](crate::spec::Retention::Pinned) is over).
    Released {
        /// Which.
        task: TaskId,
    },
    /// All that is known of a task, once more: takes the place of what was said of it before.
    Carried(Box<Carried>),
}

/// The state of an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The actor.
    pub actor: TaskId,
    /// The state, encoded.
    pub state: Bytes,
}

/// See [`Record::Life`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifeBegan {
    /// Which.
    pub life: Life,
    /// Milliseconds since 1970 at time zero. The same in all lives of a cluster: times go on where the last life ended.
    pub zero_ms: u64,
    /// When.
    pub at: Time,
}

/// See [`Record::Standing`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The life that says so.
    pub began: LifeBegan,
    /// Workers whose sessions are open.
    pub roster: Vec<Rostered>,
    /// Ids made before this moment and not known may have run (L2): milliseconds since 1970.
    pub horizon_ms: u64,
}

/// A worker that may hold attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rostered {
    /// Which.
    pub worker: WorkerId,
    /// For people.
    pub name: String,
}

/// See [`Record::Submitted`].
#[derive(Clone, Debug, PartialEq)]
pub struct Submitted {
    /// Which.
    pub task: TaskId,
    /// What it is.
    pub spec: Arc<Spec>,
    /// Who owns it.
    pub owner: Owner,
    /// Root session, if it has one.
    pub root: Option<SessionId>,
    /// Creator's task and the lease under which it created this one, if a task did.
    pub parent: Option<(TaskId, Epoch)>,
    /// Nesting depth.
    pub depth: u32,
    /// Higher first: its own, or what it inherited.
    pub priority: i32,
    /// Fairness key, its own or inherited.
    pub key: Option<Arc<str>>,
    /// When it was accepted.
    pub at: Time,
    /// Nearest deadline of the task and its ancestors (L19).
    pub deadline: Option<Time>,
    /// End of the scope that it was called in.
    pub within: Option<Time>,
    /// The request of the public API that made it, by the caller's own name for it.
    pub request: Option<Arc<str>>,
    /// Who is told its items, if it is a stream.
    pub consumer: Option<SessionId>,
}

/// See [`Record::AttemptFailed`].
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptFailed {
    /// Which.
    pub task: TaskId,
    /// Reports under this lease and earlier ones change nothing any more (L4).
    pub epoch: Epoch,
    /// How many attempts began so far.
    pub attempts: u32,
    /// How many crashes so far.
    pub crashes: u32,
    /// How many user errors so far.
    pub errors: u32,
    /// When.
    pub at: Time,
    /// When the next may begin, if it has to wait.
    pub next_at: Option<Time>,
    /// Details of its last heartbeat: the next attempt is given them.
    pub details: Option<Bytes>,
    /// Why, if its body said why.
    pub failure: Option<Arc<Failure>>,
    /// What is known of the worker's end, if it was lost with it.
    pub crash: Option<Crash>,
}

/// A worker that was lost while it ran a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Which.
    pub worker: WorkerId,
    /// For people.
    pub name: String,
    /// When it was taken for lost.
    pub at: Time,
    /// How its process ended, if somebody saw it: `exit code 3`, `signal 9 (SIGKILL)`.
    pub ending: Option<String>,
    /// Other attempts that it held at that moment. 0: the task ran alone, and nothing else can have ended the worker.
    pub company: u32,
    /// The last lines that the task printed, at most [`limits::CRASH_LOG`](crate::limits::CRASH_LOG) bytes.
    pub log: String,
}

/// See [`Record::CancelRequested`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelRequested {
    /// Which.
    pub task: TaskId,
    /// Requests that stand.
    pub standing: u32,
    /// Highest number given.
    pub number: u32,
    /// Its message.
    pub message: Option<String>,
    /// Who asked: the session, and the number of the item on its link. The same item may come once more.
    pub by: Option<(SessionId, u64)>,
}

/// See [`Record::Carried`].
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// As it was accepted.
    pub submitted: Submitted,
    /// The state of its attempts, if one failed or was lost.
    pub attempts: Option<AttemptFailed>,
    /// Workers that were lost with it, oldest first.
    pub crashes: Vec<Crash>,
    /// It must not start again.
    pub started: bool,
    /// Cancel requests.
    pub cancel: Option<CancelRequested>,
    /// Values of arguments that are there, by the task that returned them.
    pub inputs: Vec<(TaskId, Bytes)>,
    /// Length and hash of arguments that were dropped when it was over.
    pub args_were: Option<(u64, u64)>,
    /// State that it saved, if it is an actor.
    pub snapshot: Option<Bytes>,
    /// It was released.
    pub released: bool,
    /// How it ended, and when.
    pub ended: Option<(Outcome, Time)>,
}

impl Record {
    /// The latest moment that it tells of: nothing in it ended later. Time zero if it tells of none.
    #[must_use]
    pub fn newest(&self) -> Time {
        match self {
            Self::Life(life) => life.at,
            Self::Standing(standing) => standing.began.at,
            Self::Submitted(submitted) => submitted.at,
            Self::Ended { at, .. } => *at,
            Self::AttemptFailed(failed) => failed.at,
            Self::Carried(carried) => carried.ended.as_ref().map_or(carried.submitted.at, |(_, at)| *at),
            Self::Snapshot(_)
            | Self::WorkerJoined(_)
            | Self::WorkerLeft { .. }
            | Self::Started { .. }
            | Self::Released { .. }
            | Self::CancelRequested(_) => Time(0),
        }
    }

    /// The task that is known from here on, if one is: what is said of it later needs this record.
    #[must_use]
    pub fn begins(&self) -> Option<TaskId> {
        match self {
            Self::Submitted(submitted) => Some(submitted.task),
            Self::Carried(carried) => Some(carried.submitted.task),
            _ => None,
        }
    }
}
