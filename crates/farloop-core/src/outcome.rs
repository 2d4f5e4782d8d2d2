//! How a task ends: exactly one [`Outcome`], once, for ever (L3).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::id::{TaskId, WorkerId};

/// The one end of a task. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The encoded value (MessagePack).
    Returned(Bytes),
    /// It failed.
    Raised(Arc<Failure>),
    /// It was cancelled.
    Cancelled(Arc<Cancellation>),
}

/// What is known about a cancelled task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cancellation {
    /// asyncio's `msg`: the first one given wins.
    pub message: Option<String>,
    /// The body did not end within its grace and was fenced; it may still be running.
    pub abandoned: bool,
}

/// Why a task did not return a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong, for programs.
    pub kind: FailureKind,
    /// The error's type as the body's code names it (`std::io::Error`); empty where the cluster made the failure.
    pub type_name: String,
    /// The error's text.
    pub message: String,
    /// The error itself, encoded (MessagePack), if its type can be.
    pub details: Option<Bytes>,
    /// The chain of causes, nearest first: type name (may be empty) and text.
    pub causes: Vec<(String, String)>,
    /// Function that failed.
    pub function: Arc<str>,
    /// Task that failed first: a failure that passes up through awaits keeps it.
    pub task: Option<TaskId>,
    /// Where it ran.
    pub worker: Option<WorkerId>,
    /// Which attempt it was, from 1; 0 if it never ran.
    pub attempt: u32,
    /// `file:line:column` of a panic.
    pub location: Option<String>,
    /// Whether another attempt may help; none if the body did not say.
    pub retryable: Option<bool>,
    /// Of a call of an actor that has no value to return: whether its method may have run. None if nobody asks.
    pub may_have_run: Option<bool>,
    /// Workers that were lost with the task, oldest first; the last [`limits::CRASHES`](crate::limits::CRASHES).
    pub crashes: Vec<LostWorker>,
}

/// A worker that was lost while it ran a task, as the task's failure tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LostWorker {
    /// Which.
    pub worker: WorkerId,
    /// For people.
    pub name: String,
    /// When it was taken for lost, in milliseconds since 1970; 0: not known.
    pub at_ms: u64,
    /// How its process ended, if somebody saw it: `exit code 3`, `signal 9 (SIGKILL)`.
    pub ending: Option<String>,
    /// Other attempts that it held at that moment. 0: the task ran alone, and nothing else can have ended the worker.
    pub company: u32,
    /// The last lines that the task printed there, at most [`limits::CRASH_LOG`](crate::limits::CRASH_LOG) bytes.
    pub log: String,
}

impl LostWorker {
    fn weight(&self) -> usize {
        64 + self.name.len() + self.ending.as_ref().map_or(0, String::len) + self.log.len()
    }
}

impl Failure {
    /// A failure made by the cluster itself.
    #[must_use]
    pub fn new(kind: FailureKind, function: Arc<str>, message: String) -> Self {
        Self {
            kind,
            type_name: String::new(),
            message,
            details: None,
            causes: Vec::new(),
            function,
            task: None,
            worker: None,
            attempt: 0,
            location: None,
            retryable: None,
            may_have_run: None,
            crashes: Vec::new(),
        }
    }
}

/// What a failure may still take, members of groups included.
struct Room {
    text: usize,
    details: usize,
    members: usize,
}

impl Failure {
    /// Cuts what exceeds the limits on failures (L18): they travel beside payloads and are never split.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        use crate::limits;
        let mut room =
            Room { text: limits::FAILURE_TEXT, details: limits::FAILURE_DETAILS, members: limits::FAILURE_MEMBERS };
        self.fit(&mut room, limits::FAILURE_LEVELS);
        self
    }

    fn fit(&mut self, room: &mut Room, levels: usize) {
        cut(&mut self.message, &mut room.text);
        let more = self.crashes.len().saturating_sub(crate::limits::CRASHES);
        drop(self.crashes.drain(..more));
        for lost in &mut self.crashes {
            cut(&mut lost.name, &mut room.text);
            lost.ending.iter_mut().for_each(|ending| cut(ending, &mut room.text));
            cut(&mut lost.log, &mut room.text);
        }
        self.causes.truncate(crate::limits::FAILURE_CAUSES);
        for (type_name, text) in &mut self.causes {
            cut(type_name, &mut room.text);
            cut(text, &mut room.text);
        }
        match &self.details {
            Some(details) if details.len() > room.details => self.details = None,
            Some(details) => room.details -= details.len(),
            None => {}
        }
        if let FailureKind::Group(members) = &mut self.kind {
            members.truncate(if levels == 0 { 0 } else { room.members });
            room.members -= members.len();
            for member in members {
                Arc::make_mut(member).fit(room, levels - 1);
            }
        }
    }

    /// Bytes of its parts that have no fixed size.
    #[must_use]
    pub fn weight(&self) -> usize {
        let causes: usize = self.causes.iter().map(|(t, m)| t.len() + m.len() + 16).sum();
        let below = match &self.kind {
            FailureKind::DependencyFailed(cause) => cause.1.weight(),
            FailureKind::Deadlock(cycle) => cycle.len() * 20,
            FailureKind::Group(members) => members.iter().map(|member| member.weight() + 64).sum(),
            _ => 0,
        };
        let crashes: usize = self.crashes.iter().map(LostWorker::weight).sum();
        self.message.len() + self.details.as_ref().map_or(0, Bytes::len) + causes + crashes + below
    }
}

fn cut(text: &mut String, left: &mut usize) {
    let mut end = text.len().min(*left);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    *left -= end;
}

/// The kinds of failure that programs can tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// The body returned an error.
    Raised,
    /// The body panicked.
    Panicked,
    /// The worker died more often than `max_crashes` allows.
    WorkerLost,
    /// An argument was another task, and that task failed (L22).
    DependencyFailed(Box<(TaskId, Arc<Failure>)>),
    /// The task did not end within its timeout or deadline (L19): schedule to close.
    TimedOut,
    /// No worker took the task in time: schedule to start. It did not run, or not again.
    ScheduleToStartTimeout,
    /// An attempt did not end in time: start to close.
    StartToCloseTimeout,
    /// Attempts gave no sign of life in time.
    HeartbeatTimeout,
    /// A limit was reached; the message names it. The task never ran (L18).
    ResourceExhausted,
    /// The arguments do not decode as the function's types.
    BadArguments,
    /// The result could not be encoded, or did not decode as the type that was asked for.
    BadPayload,
    /// The id is taken by a task with another body (L2).
    AlreadyExists,
    /// The id is older than the retention horizon (L2).
    Expired,
    /// The task is unknown.
    NotFound,
    /// The submit came from an attempt whose end is recorded (L7).
    Stale,
    /// Two or more tasks await each other.
    Deadlock(Vec<TaskId>),
    /// The arguments depend on the task itself (L22).
    DependencyCycle,
    /// The session ended before the outcome was known.
    SessionLost,
    /// The definition at the caller and at the workers disagree.
    SignatureMismatch,
    /// The actor is not there now and will be again; [`Failure::may_have_run`] says whether the call had begun.
    ActorUnavailable,
    /// The actor is over, or never was.
    ActorDied,
    /// Several failures at once, of a task group, in the order in which they happened.
    Group(Vec<Arc<Failure>>),
}
