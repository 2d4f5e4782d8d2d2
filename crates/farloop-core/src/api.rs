//! How a shell drives the core: inputs, outputs, and the calls of the public API.
//!
//! ```text
//! core.handle(now, input);                       // one mutation
//! while let Some(output) = core.poll_output() {} // one drain
//! let wake_me_at = core.next_deadline();         // then Input::Tick
//! ```
//! [`Output::Wake`] says that a session has something to send; the shell then takes batches with
//! `core.poll_batch(now, session, force_ack)` for as long as its connection takes them. Frames are derived from state
//! at that moment, so a slow peer costs no memory, and nothing that rests on a record leaves before the record is
//! durable ([`Input::Durable`]).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use crate::frame::{Activity, Hello, HelloReply, Role, Up};
use crate::id::{CallId, ConnId, SessionId, TaskId, WorkerId};
use crate::link::Batch;
use crate::outcome::{FailureKind, Outcome};
#[cfg(feature = "planted-bugs")]
pub use crate::planted::Planted;
pub use crate::record::Record;
use crate::spec::{FunctionDef, Spec};
use crate::time::Time;

/// What happens to the core.
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection said hello. Answered by [`Output::Hello`]; an older connection of the session is closed.
    Hello {
        /// The connection.
        conn: ConnId,
        /// What it said.
        hello: Hello,
    },
    /// A batch came over a connection.
    Batch {
        /// Its session.
        session: SessionId,
        /// The connection; ignored if it is not the session's current one.
        conn: ConnId,
        /// The frames.
        batch: Batch<Up>,
    },
    /// A connection broke or was closed. The session lives on until its time is over.
    Cut {
        /// Its session.
        session: SessionId,
        /// The connection.
        conn: ConnId,
    },
    /// The public API asks. Answered by [`Output::Reply`], now or later.
    Call {
        /// Number for the answer.
        call: CallId,
        /// What is asked.
        request: Call,
    },
    /// Whoever made the call is gone; no answer is wanted.
    Hangup(CallId),
    /// All records up to this number are on disk.
    Durable(u64),
    /// The records of former lives were read ([`Core::replay`](crate::machine::Core::replay)), all of them, or there are
    /// none: this life begins. Comes first, and only where records are kept.
    Recovered {
        /// Drawn by the shell; counts if the records name no cluster yet.
        cluster: u128,
    },
    /// Whether the store has room for new tasks. What was accepted goes on without.
    Room(bool),
    /// A part of the store is to leave. What is still known of these tasks is said once more; then [`Output::Carried`].
    Carry {
        /// Which part: for the answer.
        part: u64,
        /// Tasks whose beginning stands there.
        tasks: Vec<TaskId>,
    },
    /// Time passed: a deadline may be due.
    Tick,
    /// The coordinator is about to stop: tell every peer, start nothing more.
    Drain,
}

/// What the core wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Answer to a hello. After a rejection the shell closes the connection.
    Hello {
        /// The connection.
        conn: ConnId,
        /// The answer.
        reply: HelloReply,
    },
    /// The session has something to send: poll batches.
    Wake(SessionId),
    /// Close a connection (superseded, protocol error, session over).
    Close {
        /// Its session.
        session: SessionId,
        /// The connection.
        conn: ConnId,
        /// For the log, and for the peer.
        reason: String,
    },
    /// Answer to a call.
    Reply {
        /// Which.
        call: CallId,
        /// The answer.
        reply: Box<Result<Reply, CallError>>,
    },
    /// A call that is answered by many messages has one: poll it with [`Core::poll_call`](crate::machine::Core).
    More(CallId),
    /// Make this durable, in order; then [`Input::Durable`]. Never emitted when `Config::durable` is off.
    Persist {
        /// Number of the record, from 1; goes on over the lives of a coordinator.
        seq: u64,
        /// The record.
        record: Record,
    },
    /// Answer to [`Input::Carry`]: the part may leave when the records up to this number are durable.
    Carried {
        /// Which part.
        part: u64,
        /// Number of the last record.
        seq: u64,
    },
    /// For the log.
    Event(Event),
}

/// Things worth a log line or a metric; the core logs nothing itself.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A worker joined.
    WorkerJoined(WorkerId),
    /// A worker is gone.
    WorkerLost {
        /// Which.
        worker: WorkerId,
        /// Attempts it held.
        attempts: usize,
    },
    /// A session is over, and that many tasks it owned were cancelled.
    SessionOver {
        /// Which.
        session: SessionId,
        /// Cancelled tasks.
        cancelled: usize,
    },
    /// A task cannot run now, and why (L15); once per task and reason.
    Stranded {
        /// Which.
        task: TaskId,
        /// One sentence.
        why: String,
    },
    /// The result of a pinned task did not fit into `PINNED_BYTES`: it is kept as others are.
    Unpinned {
        /// Which.
        task: TaskId,
    },
    /// A report under an old lease was dropped (L4).
    StaleReport {
        /// Which.
        task: TaskId,
    },
    /// A traced task went to a worker. Of tasks without a trace nothing is told.
    Scheduled {
        /// Which.
        task: TaskId,
        /// What it is; has a trace.
        spec: Arc<Spec>,
        /// Number of the attempt, from 1.
        attempt: u32,
        /// Where it went.
        worker: WorkerId,
        /// Since when it waited for that: since it was accepted, or its last attempt was lost or failed.
        since: Time,
    },
    /// A traced task is over.
    Over {
        /// Which.
        task: TaskId,
        /// What it was; has a trace.
        spec: Arc<Spec>,
        /// Attempts that were sent to workers.
        attempts: u32,
        /// When it was accepted.
        created: Time,
        /// How it ended.
        outcome: Outcome,
    },
}

/// A call of the public API.
#[derive(Clone, Debug)]
pub enum Call {
    /// Start a task that nobody owns. Answered by [`Reply::Task`], or by [`Reply::Again`] if it was started before.
    Submit {
        /// Made by the shell.
        task: TaskId,
        /// What to run.
        spec: Arc<Spec>,
        /// Accept it even if workers are connected and none of them offers the function.
        await_worker: bool,
        /// The caller's name for this request: under the same name the same task, and nothing new.
        request: Option<Arc<str>>,
    },
    /// Answered when the task is over or `timeout` has passed, by [`Reply::Task`].
    Wait {
        /// Which.
        task: TaskId,
        /// Longest wait.
        timeout: Duration,
    },
    /// Answered at once by [`Reply::Task`].
    Get(TaskId),
    /// Answered at once by [`Reply::Cancelled`].
    Cancel {
        /// Which.
        task: TaskId,
        /// asyncio's `msg`.
        message: Option<String>,
        /// The caller's name for this request: under the same name it counts once.
        request: Option<Arc<str>>,
    },
    /// Nobody needs the outcome any more: it is forgotten as soon as the task is over. Answered at once by
    /// [`Reply::Released`].
    Release(TaskId),
    /// Answered at once by [`Reply::Tasks`], newest first.
    List(ListTasks),
    /// A gather over tasks that are known: answered by [`Reply::Gathered`] when its mode is met or time is over.
    Gather {
        /// Members, in order; one may stand several times.
        members: Vec<TaskId>,
        /// When it is over.
        mode: GatherMode,
        /// Longest wait.
        timeout: Duration,
    },
    /// Several tasks, each told once, as it is over. Answered by [`Reply::Opened`]; then poll.
    AsCompleted {
        /// Which; one that stands twice counts once.
        tasks: Vec<TaskId>,
        /// Longest wait for all of them.
        timeout: Duration,
    },
    /// The tasks that fit (`before` and `limit` are not looked at), then their changes, until [`Input::Hangup`].
    /// Answered by [`Reply::Opened`]; then poll.
    WatchTasks(ListTasks),
    /// An actor as it stands, then each change of its incarnation, its state and its place, until it is over or
    /// [`Input::Hangup`]. Answered by [`Reply::Opened`]; then poll.
    WatchActor(Whom),
    /// Answered at once by [`Reply::Workers`].
    Workers,
    /// A worker is to leave: a whole id, or a unique ending of one. Answered at once by [`Reply::Worker`].
    DrainWorker(String),
    /// An actor. Answered at once by [`Reply::Actor`].
    Actor(Whom),
    /// Answered at once by [`Reply::Actors`], newest first.
    Actors(ListActors),
    /// Whoever started a worker's process says how it ended. Answered at once by [`Reply::WorkerExit`].
    WorkerExit {
        /// Which process.
        who: Exited,
        /// How: `exit code 3`, `signal 9 (SIGKILL)`; at most [`MAX_NAME`](crate::limits::MAX_NAME) bytes are kept.
        ending: String,
    },
    /// Answered at once by [`Reply::Explained`] (L15).
    Explain(TaskId),
    /// Turns text into a task id: whole, or a unique ending of 6 or more hexadecimal digits.
    /// Answered at once by [`Reply::Task`].
    Find(String),
}

/// Which actor is asked for.
#[derive(Clone, Debug)]
pub enum Whom {
    /// By its id.
    Id(TaskId),
    /// By type and name.
    Name {
        /// The type.
        kind: String,
        /// The name.
        name: String,
    },
}

/// Which actors to list.
#[derive(Clone, Debug, Default)]
pub struct ListActors {
    /// Only of this type.
    pub kind: Option<String>,
    /// Only at this worker.
    pub worker: Option<WorkerId>,
    /// Also those that are over and still remembered.
    pub over: bool,
    /// Only older than this one (the last of the page before).
    pub before: Option<TaskId>,
    /// At most that many.
    pub limit: usize,
}

/// Whose process ended.
#[derive(Clone, Debug)]
pub enum Exited {
    /// A worker's: a whole id, or an ending of one.
    Worker(String),
    /// That of all workers which said this in their [`Hello::process`].
    Process(u128),
}

/// When a gather is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatherMode {
    /// All members are over.
    All,
    /// All are over, or one failed or was cancelled.
    FirstException,
    /// One is over.
    FirstCompleted,
    /// One succeeded, or all are over.
    AnyOk,
    /// All are over, or one failed; a cancelled one does not count (`asyncio.wait`).
    FirstFailure,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default)]
pub struct ListTasks {
    /// Only in this state.
    pub state: Option<TaskState>,
    /// Only of this function.
    pub function: Option<String>,
    /// Only with all of these labels.
    pub labels: Vec<(String, String)>,
    /// Only created by this task.
    pub parent: Option<TaskId>,
    /// Only older than this one (the last of the page before).
    pub before: Option<TaskId>,
    /// At most that many.
    pub limit: usize,
}

/// Answers.
#[derive(Clone, Debug)]
pub enum Reply {
    /// One task; of a `Wait` that ran out of time, not over yet.
    Task(TaskView),
    /// The task that the same submit started before.
    Again(TaskView),
    /// Nobody needs the outcome any more.
    Released,
    /// A page, and how many match over all pages.
    Tasks {
        /// The page.
        tasks: Vec<TaskView>,
        /// All that match.
        total: usize,
        /// Tasks of any kind that were forgotten so far, because their retention was over.
        dropped: u64,
    },
    /// One actor.
    Actor(Box<ActorView>),
    /// A page, and how many match over all pages.
    Actors {
        /// The page.
        actors: Vec<ActorView>,
        /// All that match.
        total: usize,
    },
    /// The call is answered by many messages: poll them.
    Opened,
    /// One worker.
    Worker(WorkerView),
    /// Of how many workers that was the process: connected ones, and ones that were lost lately.
    WorkerExit {
        /// That many.
        workers: usize,
    },
    /// Whether the request was counted (false: the task was over).
    Cancelled {
        /// Counted.
        requested: bool,
        /// The task.
        task: TaskView,
    },
    /// The members, in argument order.
    Gathered {
        /// Whether the mode was met; false: time was over.
        done: bool,
        /// One each.
        tasks: Vec<TaskView>,
    },
    /// All workers.
    Workers(Vec<WorkerView>),
    /// Why a task stands where it stands, in sentences.
    Explained {
        /// The task.
        task: TaskView,
        /// Sentences.
        why: Vec<String>,
    },
}

/// What a reader of a call with many answers gets when it asks for the next.
#[derive(Clone, Debug)]
pub enum More {
    /// A message.
    Told(Told),
    /// Nothing now; [`Output::More`] says when.
    Later,
    /// Nothing yet, but there is more to look through (L21): ask again, after others had their turn.
    Again,
    /// That was the last.
    Over,
}

/// One of many messages.
#[derive(Clone, Debug)]
pub enum Told {
    /// A task: there at the start, changed, or over.
    Task(Box<TaskView>),
    /// An actor: as it stood at the start, or changed, or over.
    Actor(Box<ActorView>),
    /// The tasks that were there have been told; what follows is live.
    SnapshotEnd,
    /// That many changes were lost, because the reader was slow.
    Lost(u64),
    /// Time was over before these were.
    Pending(Vec<TaskId>),
}

/// A call that failed (a failed *task* is an answer).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// For programs.
    pub kind: FailureKind,
    /// For people: what was wrong and what to do.
    pub message: String,
    /// What it is about.
    pub about: About,
}

/// What a failed call is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum About {
    /// A task.
    #[default]
    Task,
    /// A function.
    Function,
    /// A worker.
    Worker,
    /// An actor.
    Actor,
    /// A type of actors.
    Type,
    /// A method of a type of actors.
    Method,
    /// An ending that the ids of several tasks, or workers, have.
    Ending,
}

/// States as people read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskState {
    /// Accepted; waits for a worker, a slot, a dependency.
    Pending,
    /// On a worker.
    Running,
    /// Awaits other tasks; holds no slot.
    Suspended,
    /// Returned a value.
    Succeeded,
    /// Failed.
    Failed,
    /// Was cancelled.
    Cancelled,
}

/// A task as people see it.
#[derive(Clone, Debug)]
pub struct TaskView {
    /// Its id.
    pub task: TaskId,
    /// What it is.
    pub spec: Arc<Spec>,
    /// Where it stands.
    pub state: TaskState,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Who created it.
    pub parent: Option<TaskId>,
    /// Root session; none if detached.
    pub root: Option<SessionId>,
    /// Where it is or was last.
    pub worker: Option<WorkerId>,
    /// Attempts begun.
    pub attempt: u32,
    /// Cancel requests that stand.
    pub cancelling: u32,
    /// Tasks it awaits.
    pub awaits: Vec<TaskId>,
    /// The request that started it, by the caller's own name for it.
    pub request: Option<Arc<str>>,
    /// It is kept until it is released.
    pub pinned: bool,
    /// Higher first: its own, or what it inherited.
    pub priority: i32,
    /// The last progress value that its body set.
    pub progress: Option<Bytes>,
    /// When the next attempt begins, if it waits for that.
    pub retry_at: Option<Time>,
    /// When it was accepted.
    pub created: Time,
    /// When the last attempt was leased.
    pub started: Option<Time>,
    /// When it was over.
    pub ended: Option<Time>,
    /// What it printed, in answers to [`Call::Get`] and [`Call::Explain`].
    pub log: TaskLog,
}

/// The end of what a task printed, over all its attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskLog {
    /// At most [`LOG`](crate::limits::LOG) bytes, both streams in the order in which they came.
    pub text: String,
    /// Lines before it that are not kept, or were lost on the way.
    pub lost: u64,
}

/// An actor as people see it.
#[derive(Clone, Debug)]
pub struct ActorView {
    /// Its task: id, type, owner, worker, how it ended.
    pub task: TaskView,
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// Whether it takes calls.
    pub up: bool,
    /// It has left its worker until somebody calls.
    pub asleep: bool,
    /// It takes no more calls, and ends when those that it has are over.
    pub stopping: bool,
    /// Which one it is, from 1; 0 before the first.
    pub incarnation: u32,
    /// Where it is.
    pub worker: Option<WorkerId>,
    /// Calls that wait for it.
    pub mailbox: usize,
    /// Calls that are at its worker: running, or next.
    pub running: usize,
    /// Calls that are over.
    pub served: u64,
    /// How often it started again within the window of its policy.
    pub restarts: usize,
    /// Bytes of its snapshot.
    pub snapshot: usize,
}

/// A worker as people see it.
#[derive(Clone, Debug)]
pub struct WorkerView {
    /// Its id.
    pub worker: WorkerId,
    /// Its name.
    pub name: String,
    /// What it offers.
    pub functions: Vec<FunctionDef>,
    /// Its slots.
    pub slots: u32,
    /// Attempts leased to it.
    pub leased: usize,
    /// Starts that it would take now.
    pub credits: u64,
    /// Whether it takes no new work.
    pub draining: bool,
    /// Whether it has a connection now.
    pub connected: bool,
    /// Activity of its attempts: running, suspended.
    pub running: usize,
    /// Suspended attempts.
    pub suspended: usize,
    /// Threads held by bodies that nobody waits for any more.
    pub abandoned: u32,
    /// What it says of itself, for the placement of actors.
    pub labels: Vec<(String, String)>,
}

/// What the core is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// Seed of every hash and of placement.
    pub seed: u64,
    /// Whether records are persisted before what rests on them leaves.
    pub durable: bool,
    /// See [`crate::limits::WORKER_DEAD_AFTER`].
    pub worker_dead_after: Duration,
    /// See [`crate::limits::SESSION_TTL`].
    pub session_ttl: Duration,
    /// See [`crate::limits::RETENTION`].
    pub retention: Duration,
    /// See [`crate::limits::RETAINED_TASKS`].
    pub retained_tasks: usize,
    /// See [`crate::limits::RETAINED_BYTES`].
    pub retained_bytes: usize,
    /// See [`crate::limits::PINNED_TASKS`].
    pub pinned_tasks: usize,
    /// See [`crate::limits::PINNED_BYTES`].
    pub pinned_bytes: usize,
    /// See [`crate::limits::MAX_LIVE_TASKS`].
    pub max_live_tasks: usize,
    /// See [`crate::limits::MAX_PAYLOAD`].
    pub max_payload: usize,
    /// See [`crate::limits::MAX_SESSIONS`].
    pub max_sessions: usize,
    /// Wall clock at the shell's time zero, in milliseconds since 1970: tells ids that are older than the retention
    /// horizon (L2). 0: not known, no id is too old.
    pub wall_at_zero_ms: u64,
    /// A bug to plant, for the simulator to catch.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<Planted>,
}

impl Default for Config {
    fn default() -> Self {
        use crate::limits as l;
        Self {
            seed: 0,
            durable: false,
            worker_dead_after: l::WORKER_DEAD_AFTER,
            session_ttl: l::SESSION_TTL,
            retention: l::RETENTION,
            retained_tasks: l::RETAINED_TASKS,
            retained_bytes: l::RETAINED_BYTES,
            pinned_tasks: l::PINNED_TASKS,
            pinned_bytes: l::PINNED_BYTES,
            max_live_tasks: l::MAX_LIVE_TASKS,
            max_payload: l::MAX_PAYLOAD,
            max_sessions: l::MAX_SESSIONS,
            wall_at_zero_ms: 0,
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }
}

/// Which roles may send this frame; the shell and the core refuse the rest.
#[must_use]
pub fn may_send(role: Role, frame: &Up) -> bool {
    match frame {
        Up::Submit(_)
        | Up::Watch(_)
        | Up::WatchProgress(_)
        | Up::Cancel { .. }
        | Up::Uncancel(_)
        | Up::Release(_)
        | Up::Credit { .. }
        | Up::Rejoined { .. }
        | Up::Heartbeat
        | Up::Sync(_)
        | Up::SyncEnd { .. }
        | Up::Bye => matches!(role, Role::Client | Role::Worker),
        Up::Offer(_)
        | Up::Grant(_)
        | Up::Attempt(_)
        | Up::Progress { .. }
        | Up::CancelSeen { .. }
        | Up::TaskHeartbeat { .. }
        | Up::TaskProgress { .. }
        | Up::Abandoned(_)
        | Up::Ended { .. }
        | Up::Returned(_)
        | Up::Print { .. }
        | Up::Item { .. }
        | Up::Snapshot(_)
        | Up::Drain => role == Role::Worker,
    }
}

/// Whether an attempt with this activity counts as suspended in [`TaskState`].
impl From<Activity> for TaskState {
    fn from(activity: Activity) -> Self {
        match activity {
            Activity::Running => Self::Running,
            Activity::Suspended => Self::Suspended,
        }
    }
}
