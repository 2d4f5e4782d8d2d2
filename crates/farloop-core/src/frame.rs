//! What travels on a session, typed. The wire form is `farloop-proto`'s matter.
//!
//! Frames of the data lane keep their order among each other; a frame of the control lane may overtake them,
//! so a cancel may arrive before its task does.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use crate::id::{AttemptId, Life, SessionId, TaskId};
use crate::link::{Lane, LinkFrame};
use crate::outcome::Outcome;
use crate::spec::{FunctionDef, Spec};
use crate::sync::{SyncAction, SyncAnswer, SyncCall, SyncEnd};

/// Version of the session protocol. A peer with another one is refused.
pub const PROTOCOL_VERSION: u32 = 1;

/// Reason of [`HelloReply::Rejected`] that concerns one connection alone: a newer one of the session has said hello.
pub const SUPERSEDED: &str = "SUPERSEDED";

/// What a peer may do. Every rpc and every frame is in the role table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Submits, awaits, cancels.
    Client,
    /// Does what a client does, and runs tasks.
    Worker,
    /// Reads everything, drains workers.
    Operator,
}

/// First message of each connection of a session, outside the numbered frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// Chosen by the peer once per process; the same after a cut.
    pub session: SessionId,
    /// Must be [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// What the peer is.
    pub role: Role,
    /// Host, process, program: for people.
    pub name: String,
    /// Whether the peer has been welcomed on this session before.
    pub resume: bool,
    /// Items received from the coordinator so far.
    pub received: u64,
    /// Functions offered (workers).
    pub functions: Vec<FunctionDef>,
    /// Attempts that may hold a slot at once (workers); for people.
    pub slots: u32,
    /// Number of this connection among those that the peer opened for this session, from 1: a hello that arrives after
    /// its successor's is then no resume. 0: the peer does not count.
    pub connection: u64,
    /// Of the items that the peer sent, how many the coordinator acknowledged: it still has those above.
    pub acked: u64,
    /// Life of the coordinator that welcomed the peer last on this session; none if it keeps no records.
    pub life: Option<Life>,
    /// Labels of a worker, for the placement of actors.
    pub labels: Vec<(String, String)>,
    /// Given to the process by whoever started it, and who will say how it ended
    /// ([`Call::WorkerExit`](crate::api::Call::WorkerExit)).
    pub process: Option<u128>,
}

/// Answer to [`Hello`].
#[derive(Clone, Debug, PartialEq)]
pub enum HelloReply {
    /// Go on.
    Welcome {
        /// The coordinator still had the session. False on a session that said `resume`: it is lost.
        resumed: bool,
        /// Items received from the peer so far: the peer sends again what is above.
        received: u64,
        /// Silence after which the peer is taken for dead; beats go at a third of it or more often.
        dead_after: Duration,
        /// Largest payload in bytes.
        max_payload: u64,
        /// The coordinator's life; none if it keeps no records.
        life: Option<Life>,
        /// The coordinator started again since the peer was welcomed last, and knows from its records what it
        /// acknowledged. The link goes on where it was; the peer says what it holds and waits for: [`Up::Attempt`] and
        /// [`Up::Watch`] for each, then [`Up::Rejoined`].
        recovered: bool,
        /// The coordinator's wall clock, in milliseconds since 1970; 0 if it has none. Ids are made on this clock (L2).
        clock_ms: u64,
    },
    /// No: say why in words a person can act upon.
    Rejected {
        /// `PROTOCOL_MISMATCH`, `SESSION_IN_USE`, `TOO_MANY_SESSIONS`, [`SUPERSEDED`], …
        reason: String,
        /// One sentence.
        message: String,
    },
}

/// Who owns a task: exactly one, recorded (ARCHITECTURE.md, Ownership).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// An `.await` of the creating attempt (or of the session itself): dropped or ended, it takes the task with it.
    Await,
    /// The session at the top of the task tree.
    Root,
    /// Nobody: `.detached()`.
    Nobody,
}

/// A new task.
#[derive(Clone, Debug, PartialEq)]
pub struct Submit {
    /// Made by the submitter (UUIDv7).
    pub task: TaskId,
    /// What to run.
    pub spec: Arc<Spec>,
    /// Who owns it.
    pub owner: Owner,
    /// The attempt whose body submits; none at the top of the tree.
    pub creator: Option<AttemptId>,
    /// Time left of the timeout scope that the call is made in (L19): past it the task does not start any more, and
    /// ends Cancelled. One that runs then is the caller's to stop. What its body calls inherits it, if an await owns that.
    /// None: without limit.
    pub within: Option<Duration>,
}

/// How an attempt stands at its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Holds a slot.
    Running,
    /// Every open await point is farloop's own; the slot is given back.
    Suspended,
}

/// Where a body prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdio {
    /// `println!`, `print!`.
    Out,
    /// `eprintln!`, `eprint!`.
    Err,
}

/// Something that an attempt printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Print {
    /// Where to.
    pub stream: Stdio,
    /// At most [`limits::PRINT`](crate::limits::PRINT) bytes.
    pub text: String,
    /// Lines lost on the way since the last piece, because more was printed than the bounds allow.
    pub lost: u32,
}

/// An attempt that a worker holds, as it tells a coordinator that started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub attempt: AttemptId,
    /// Which attempt it is, from 1.
    pub number: u32,
    /// Whether its body has begun; one that has not can be asked back.
    pub begun: bool,
    /// Whether it holds a slot.
    pub activity: Activity,
    /// As in [`Up::Progress`].
    pub awaits: Vec<TaskId>,
    /// As in [`Up::Progress`].
    pub blocked: bool,
    /// Highest cancel request that was told to it.
    pub told: u32,
    /// Highest cancel request that its body saw.
    pub seen: u32,
    /// Items that it yielded and that its consumer is known to have taken; what is above is sent once more.
    pub taken: u64,
}

/// From a client or worker to the coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum Up {
    /// Start a task. Implies [`Up::Watch`].
    Submit(Submit),
    /// Tell this session the outcome of a task that another session submitted.
    Watch(TaskId),
    /// Ask a task to stop; counted, never coalesced before delivery.
    Cancel {
        /// Which.
        task: TaskId,
        /// asyncio's `msg`.
        message: Option<String>,
    },
    /// Nobody needs the outcome of this task any more, once all who asked for it have it.
    Release(TaskId),
    /// Withdraw one request (`Task.uncancel`). Never below zero.
    Uncancel(TaskId),
    /// Worker: offers these functions too, besides those of its hello (an in-process worker learns a definition at
    /// its first use). Tasks that waited for them start.
    Offer(Vec<FunctionDef>),
    /// Worker: that many starts have been allowed since the session began (cumulative, never falls; L14).
    Grant(u64),
    /// Worker: an attempt that did not end at once. Replaces what was said before about it. Where the spec's policy has
    /// clocks, it is said as soon as the body begins.
    Progress {
        /// Which.
        attempt: AttemptId,
        /// Whether it holds a slot.
        activity: Activity,
        /// Tasks that it awaits on forwarding edges (await, gather, wait_for): its part of the wait graph.
        /// At most [`limits::EDGES`](crate::limits::EDGES).
        awaits: Vec<TaskId>,
        /// Nothing else can wake it: if these tasks form a cycle, it is a deadlock.
        blocked: bool,
    },
    /// Worker: cancel request number `seen` reached the body: delivered at its await points, or forwarded to
    /// what it awaits. Acknowledges all requests up to that number.
    CancelSeen {
        /// Which.
        attempt: AttemptId,
        /// Highest request that this body saw.
        seen: u32,
    },
    /// Worker: the attempt ended.
    Ended {
        /// Which.
        attempt: AttemptId,
        /// How. A `Cancelled` nobody asked for is legal (asyncio row 42).
        outcome: Outcome,
        /// Highest cancel request that this body saw: a request above it makes the outcome Cancelled.
        delivered: u32,
    },
    /// Worker: answer to [`Down::Recall`]: it never started and never will here.
    Returned(AttemptId),
    /// Worker: the body printed something. Before the attempt's [`Up::Ended`], so that what it printed is there when
    /// its outcome is.
    Print {
        /// Which.
        attempt: AttemptId,
        /// What.
        print: Print,
    },
    /// Worker: an item of a stream. What the consumer has not taken stays within
    /// [`limits::STREAM_ITEMS`](crate::limits::STREAM_ITEMS) and [`limits::STREAM_BYTES`](crate::limits::STREAM_BYTES).
    Item {
        /// Which.
        attempt: AttemptId,
        /// From 1, without gaps.
        seq: u64,
        /// The item.
        value: Bytes,
    },
    /// Consumer of a stream: that many items have been taken in all (cumulative, never falls). Makes room for more.
    Credit {
        /// Which.
        task: TaskId,
        /// Items taken.
        taken: u64,
    },
    /// A call about a lock, semaphore, event, queue or barrier.
    Sync(Box<SyncCall>),
    /// What becomes of a [`Up::Sync`] call that waits, or of what it was given.
    SyncEnd {
        /// Which.
        call: u64,
        /// What.
        end: SyncEnd,
    },
    /// Worker, after the coordinator started again: it holds this attempt. What it reports about it before it gets to
    /// say so counts as well.
    Attempt(Box<Held>),
    /// After the coordinator started again: that was all that the peer holds and waits for. `starts`: how many starts a
    /// worker received since its session began (L14); a [`Up::Grant`] follows.
    Rejoined {
        /// Starts received.
        starts: u64,
    },
    /// Sign of life.
    Heartbeat,
    /// Worker: the body gave a sign of life. The details replace the last ones; the next attempt is given them.
    TaskHeartbeat {
        /// Which.
        attempt: AttemptId,
        /// Encoded, at most [`limits::MAX_DETAILS`](crate::limits::MAX_DETAILS).
        details: Bytes,
    },
    /// Worker: the body set its progress value. Replaces the last one; told to who watches.
    TaskProgress {
        /// Which.
        attempt: AttemptId,
        /// Encoded, at most [`limits::MAX_DETAILS`](crate::limits::MAX_DETAILS).
        value: Bytes,
    },
    /// Tell this session the progress values of a task, until it is over.
    WatchProgress(TaskId),
    /// Worker: threads that bodies hold which nobody waits for any more.
    Abandoned(u32),
    /// Worker: an actor saved its state. It counts if the incarnation does (L11).
    Snapshot(Box<Snapshot>),
    /// Worker: give me no new work; end the session when the last attempt is over.
    Drain,
    /// The session ends now; what it owns is cancelled. A worker's attempts count as handed back, not as crashed.
    Bye,
}

/// From the coordinator to a client or worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Down {
    /// The outcome of a task that this session submitted or watches. Once per task and session (L10).
    Resolved {
        /// Which.
        task: TaskId,
        /// How it ended.
        outcome: Outcome,
    },
    /// A cancel request was counted (or withdrawn) for a task that this session submitted or watches.
    CancelCount {
        /// Which.
        task: TaskId,
        /// What `cancelling()` answers.
        count: u32,
    },
    /// A task that this session submitted or watches cannot run now, and why: within a second (L15).
    Stranded {
        /// Which.
        task: TaskId,
        /// One sentence.
        why: String,
    },
    /// A body of the tree whose root this session is printed something.
    Print {
        /// Which.
        task: TaskId,
        /// What.
        print: Print,
    },
    /// Worker: value of a dependency, sent before the [`Down::Start`] that needs it. Under the task's own id: the last
    /// snapshot of the actor that is started.
    Input {
        /// Attempt that it is for.
        attempt: AttemptId,
        /// Task that returned it.
        task: TaskId,
        /// The value.
        value: Bytes,
    },
    /// The newest progress value of a task that this session asked for ([`Up::WatchProgress`]). Values in between are
    /// left out.
    TaskProgress {
        /// Which.
        task: TaskId,
        /// Encoded.
        value: Bytes,
    },
    /// Worker: run this. Uses one grant.
    Start(Start),
    /// Worker: cancel request `number` for a body.
    Cancel {
        /// Which.
        attempt: AttemptId,
        /// From 1, per attempt; delivery carries the highest.
        number: u32,
        /// Message of the first request that was not seen yet.
        message: Option<String>,
    },
    /// Worker: the number of standing requests fell to `standing` (`uncancel` from elsewhere). A pending
    /// delivery is withdrawn when it reaches zero (3.13, row 233).
    CancelWithdrawn {
        /// Which.
        attempt: AttemptId,
        /// Requests that stand.
        standing: u32,
    },
    /// Worker: this attempt is over for the cluster; drop its body and report nothing (L4).
    Fence(AttemptId),
    /// Worker: give this lease back if it has not started; answered by [`Up::Returned`], or not at all.
    Recall(AttemptId),
    /// Worker: the tasks this attempt awaits await it in turn; fail its await with the cycle.
    Deadlock {
        /// Which.
        attempt: AttemptId,
        /// The cycle, beginning with the attempt's own task.
        cycle: Vec<TaskId>,
    },
    /// Answer to [`Up::Sync`]. Once per call.
    Sync {
        /// Which.
        call: u64,
        /// The answer.
        answer: SyncAnswer,
    },
    /// Peer: no new work; the coordinator is about to stop.
    Drain,
    /// Worker: no further call comes for this incarnation; let it stop. Answered by its [`Up::Ended`].
    Stop(AttemptId),
    /// Worker: let this incarnation end its turn, save its state and leave. Calls that have not begun are given back
    /// ([`Up::Returned`]), and then the incarnation itself.
    Move(AttemptId),
    /// Worker: take no new work, let what runs end within the drain limit, hand the rest back, and end.
    Leave,
    /// Consumer: an item of a stream that this session submitted; all come before its [`Down::Resolved`].
    Item {
        /// Which.
        task: TaskId,
        /// From 1, without gaps, each once.
        seq: u64,
        /// The item.
        value: Bytes,
    },
    /// Worker: the consumer has taken that many items of this attempt.
    Credit {
        /// Which.
        attempt: AttemptId,
        /// Items taken (cumulative).
        taken: u64,
    },
}

/// Everything a worker needs to run one attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Task and lease.
    pub attempt: AttemptId,
    /// From 1; counts attempts that began, crashes included.
    pub number: u32,
    /// What to run.
    pub spec: Arc<Spec>,
    /// Session at the top of the task tree: owner of what the body gives to `ensure_future`.
    pub root: Option<SessionId>,
    /// Nesting depth: 0 for what a client submits.
    pub depth: u32,
    /// Time left to the nearest deadline of the task and its ancestors (L19); none: without limit.
    pub remaining: Option<Duration>,
    /// Cancel requests that stood before the start (and made it moot on arrival, unless withdrawn).
    pub cancels: u32,
    /// What few starts have; every frame is as large as the largest.
    pub more: Option<Box<StartMore>>,
}

/// What few starts have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartMore {
    /// Details of the last heartbeat of the attempts before.
    pub details: Option<Bytes>,
    /// A call: the incarnation that it is for, which is at this worker.
    pub incarnation: Option<AttemptId>,
    /// A call made, directly or not, by a call that runs there: it does not queue behind others.
    pub reenters: bool,
}

/// See [`Up::Snapshot`].
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The incarnation.
    pub incarnation: AttemptId,
    /// The state, encoded; at most [`limits::SNAPSHOT`](crate::limits::SNAPSHOT) bytes.
    pub state: Bytes,
    /// It counts together with the outcome of this call, whose [`Up::Ended`] follows, or not at all.
    pub with: Option<AttemptId>,
}

// Frames are moved from queue to queue: what is larger than this is moved by calls of memcpy, which showed (a tenth of what
// a task costs).
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<crate::link::Item<Up>>() <= 128 && size_of::<crate::link::Item<Down>>() <= 128);

impl LinkFrame for Up {
    fn lane(&self) -> Lane {
        match self {
            Self::Cancel { .. } | Self::Uncancel(_) | Self::Heartbeat | Self::Grant(_) | Self::Credit { .. } => {
                Lane::Control
            }
            _ => Lane::Data,
        }
    }
    fn payload(&mut self) -> Option<&mut Bytes> {
        match self {
            Self::Submit(s) => Some(&mut Arc::make_mut(&mut s.spec).args),
            Self::Ended { outcome: Outcome::Returned(value), .. } | Self::Item { value, .. } => Some(value),
            Self::Sync(call) => match &mut call.action {
                SyncAction::Put { item, .. } => Some(item),
                _ => None,
            },
            Self::TaskHeartbeat { details: value, .. } | Self::TaskProgress { value, .. } => Some(value),
            Self::Snapshot(snapshot) => Some(&mut snapshot.state),
            _ => None,
        }
    }
    fn payload_len(&self) -> usize {
        match self {
            Self::Submit(s) => s.spec.args.len(),
            Self::Ended { outcome: Outcome::Returned(value), .. } | Self::Item { value, .. } => value.len(),
            Self::Sync(call) => match &call.action {
                SyncAction::Put { item, .. } => item.len(),
                _ => 0,
            },
            Self::TaskHeartbeat { details: value, .. } | Self::TaskProgress { value, .. } => value.len(),
            Self::Snapshot(snapshot) => snapshot.state.len(),
            _ => 0,
        }
    }
    fn aside_len(&self) -> usize {
        match self {
            Self::Submit(s) => s.spec.aside_len(),
            Self::Ended { outcome: Outcome::Raised(failure), .. } => failure.weight(),
            Self::Progress { awaits, .. } => awaits.len() * 20,
            Self::Attempt(held) => held.awaits.len() * 20,
            Self::Cancel { message, .. } => message.as_ref().map_or(0, String::len),
            Self::Print { print, .. } => print.text.len(),
            _ => 0,
        }
    }
}

impl LinkFrame for Down {
    fn lane(&self) -> Lane {
        match self {
            Self::Cancel { .. } | Self::CancelWithdrawn { .. } | Self::Drain | Self::Leave | Self::Credit { .. } => {
                Lane::Control
            }
            _ => Lane::Data,
        }
    }
    fn payload(&mut self) -> Option<&mut Bytes> {
        match self {
            Self::Resolved { outcome: Outcome::Returned(value), .. }
            | Self::Input { value, .. }
            | Self::Item { value, .. }
            | Self::TaskProgress { value, .. } => Some(value),
            Self::Start(s) => Some(&mut Arc::make_mut(&mut s.spec).args),
            Self::Sync { answer: SyncAnswer::Item(item), .. } => Some(item),
            _ => None,
        }
    }
    fn payload_len(&self) -> usize {
        match self {
            Self::Resolved { outcome: Outcome::Returned(value), .. }
            | Self::Input { value, .. }
            | Self::Item { value, .. }
            | Self::TaskProgress { value, .. } => value.len(),
            Self::Start(s) => s.spec.args.len(),
            Self::Sync { answer: SyncAnswer::Item(item), .. } => item.len(),
            _ => 0,
        }
    }
    fn aside_len(&self) -> usize {
        match self {
            Self::Start(s) => {
                let details = s.more.as_ref().and_then(|more| more.details.as_ref());
                s.spec.aside_len() + details.map_or(0, Bytes::len)
            }
            Self::Resolved { outcome: Outcome::Raised(failure), .. } => failure.weight(),
            Self::Stranded { why, .. } => why.len(),
            Self::Print { print, .. } => print.text.len(),
            Self::Sync { answer: SyncAnswer::Refused { message, .. }, .. } => message.len(),
            Self::Deadlock { cycle, .. } => cycle.len() * 20,
            Self::Cancel { message, .. } => message.as_ref().map_or(0, String::len),
            _ => 0,
        }
    }
}
