//! What an await can fail with.
//!
//! An [`Error`] is cheap to clone: every handle of a failed task gives the same one. How it came to be is in the
//! variant, what exactly failed and where in the [`Failure`] inside, and the chain of causes in `source()`.

use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use farloop_core::id::{TaskId, WorkerId};
use farloop_core::outcome::{Cancellation, Failure as Recorded, FailureKind, Outcome};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{self, BoxError};

mod cancelled;
mod convert;
mod group;
mod misuse;
mod recover;
mod sync;
mod timed_out;

pub use crate::failure::{Cause, Failure};
pub use cancelled::Cancelled;
pub(crate) use cancelled::DeliveryToken;
pub use group::ErrorGroup;
pub use misuse::{AlreadyRunning, InvalidState, Misuse, NoRunningLoop};
pub use recover::Recover;
pub use sync::SyncError;
pub use timed_out::TimedOut;

/// `Result` with farloop's [`Error`], unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no value. Cheap to clone; comparable by its variant and what the accessors say.
///
/// `{}` is one line for people; `{:#}` adds the causes. `source()` gives the cause chain one by one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The body failed: it returned an error, panicked, or could not read its arguments.
    Failed(Failure),
    /// A cancellation: one's own ([`Cancelled::is_mine`]), or that of what was awaited.
    Cancelled(Cancelled),
    /// Out of time: `wait_for`, a `timeout` or an ancestor's deadline.
    TimedOut(TimedOut),
    /// Failures in a [`TaskGroup`](crate::TaskGroup), all of them.
    Group(ErrorGroup),
    /// The worker died more often than the task's `max_crashes` allows.
    WorkerLost(Failure),
    /// The actor is not there now and will be again: its worker was lost, or it starts anew. Whether the call may have run
    /// says [`may_have_run`](Error::may_have_run).
    ActorUnavailable(Failure),
    /// The actor is over for good, or nobody has that name; the text says why.
    ActorDied(Failure),
    /// An argument was another task, and that one failed ([`Failure::dependency`]); this one never ran.
    DependencyFailed(Failure),
    /// A limit was reached; the message names it. The task never ran.
    ResourceExhausted(Failure),
    /// These tasks await each other; the first is the one that gets the error.
    Deadlock(Vec<TaskId>),
    /// A future was asked for what it does not have (yet), or told its outcome twice.
    InvalidState(InvalidState),
    /// Nothing runs here that could schedule a coroutine.
    NoRunningLoop(NoRunningLoop),
    /// A handle of one event loop was given to another.
    LoopMismatch,
    /// The event loop has been closed.
    LoopClosed,
    /// The event loop was stopped before what it ran for was done; that goes on in the next run.
    LoopStopped,
    /// A loop can't run, or close, here and now, because one runs.
    AlreadyRunning(AlreadyRunning),
    /// Ctrl-C.
    Interrupted,
    /// A call that can never work; nothing was started.
    Misuse(Misuse),
    /// The coordinator is gone, or no longer knows this session; the text says which, and what to do. What became of the
    /// task is unknown. Of a stream: the coordinator started again, and the last items were lost with it.
    SessionLost(String),
    /// The last `Promise` was dropped before it set an outcome.
    BrokenPromise,
    /// The id is older than what the coordinator keeps.
    Expired(Failure),
    /// No such task.
    NotFound(Failure),
    /// A lock, queue or barrier of the cluster says no ([`farloop::sync`](crate::sync)).
    Sync(SyncError),
    /// Another refusal by the cluster ([`Failure::kind`] says which).
    Other(Failure),
}

impl Error {
    /// An error that is just a text.
    #[must_use]
    pub fn msg(message: impl fmt::Display) -> Self {
        Self::Failed(Failure::of_text("", message.to_string()))
    }

    /// Any error: its type's name, text and chain of causes cross to the awaiter. For errors without a `From` into
    /// this type. A farloop error inside stays what it is.
    #[must_use]
    pub fn new<E: StdError + Send + Sync + 'static>(error: E) -> Self {
        Self::of_boxed(std::any::type_name::<E>(), Box::new(error), None)
    }

    /// As [`new`](Self::new), and the error itself crosses too: the awaiter gets it back from
    /// [`downcast`](Self::downcast).
    #[must_use]
    pub fn typed<E: StdError + Serialize + Send + Sync + 'static>(error: E) -> Self {
        let details = failure::details(&error);
        Self::of_boxed(std::any::type_name::<E>(), Box::new(error), details)
    }

    /// The same error, saying that another attempt cannot help: the cluster will not make one, whatever `attempts`
    /// allows. Has no effect on cancellations and on refusals.
    #[must_use]
    pub fn permanent(self) -> Self {
        match self {
            Self::Failed(failure) => Self::Failed(failure.with_retryable(false)),
            other => other,
        }
    }

    /// Whether this is a cancellation, one's own or another's.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// The failure inside, if there is one.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(f)
            | Self::WorkerLost(f)
            | Self::ActorUnavailable(f)
            | Self::ActorDied(f)
            | Self::DependencyFailed(f)
            | Self::ResourceExhausted(f)
            | Self::Expired(f)
            | Self::NotFound(f)
            | Self::Other(f) => Some(f),
            Self::TimedOut(timed_out) => timed_out.failure(),
            Self::Group(group) => group.failure(),
            _ => None,
        }
    }

    /// Of a call that an actor did not answer: whether its method may have run. `Some(false)`: it has not, and to call
    /// again is safe. None: that is not the question, or nobody knows.
    #[must_use]
    pub fn may_have_run(&self) -> Option<bool> {
        self.failure()?.may_have_run()
    }

    /// Function that failed first, where one did.
    #[must_use]
    pub fn function(&self) -> Option<&str> {
        self.failure().map(Failure::function).filter(|name| !name.is_empty())
    }

    /// Task that failed first.
    #[must_use]
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Self::Deadlock(cycle) => cycle.first().copied(),
            other => other.failure()?.task(),
        }
    }

    /// Worker it failed on.
    #[must_use]
    pub fn worker(&self) -> Option<WorkerId> {
        self.failure()?.worker()
    }

    /// Attempt that failed, from 1; none if nothing ran.
    #[must_use]
    pub fn attempt(&self) -> Option<u32> {
        self.failure().map(Failure::attempt).filter(|attempt| *attempt > 0)
    }

    /// The chain of causes, nearest first: what `source()` gives, one after the other.
    pub fn causes(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        std::iter::successors(self.source(), |cause| (*cause).source())
    }

    /// The error as the type the body declared, if that type implements `Serialize` or came from
    /// [`typed`](Self::typed). Types are compared by the last segment of their path.
    #[must_use]
    pub fn downcast<E: DeserializeOwned + 'static>(&self) -> Option<E> {
        self.failure()?.downcast()
    }

    /// What an outcome raises in whoever awaits it; none for a value.
    ///
    /// A cancellation is news here, not a delivery: [`Cancelled::is_mine`] is false.
    #[must_use]
    pub fn from_outcome(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Returned(_) => None,
            Outcome::Raised(recorded) => Some(recorded.clone().into()),
            Outcome::Cancelled(cancellation) => Some(Self::Cancelled(Cancelled::of(cancellation))),
        }
    }

    /// The outcome of a task or future that ends with this error.
    pub(crate) fn to_outcome(&self) -> Outcome {
        match self {
            Self::Cancelled(cancelled) => Outcome::Cancelled(Arc::new(Cancellation {
                message: cancelled.message().map(str::to_owned),
                abandoned: cancelled.abandoned(),
            })),
            other => Outcome::Raised(other.recorded()),
        }
    }

    /// The wire form. The original failure of another task is passed on as it is.
    pub(crate) fn recorded(&self) -> Arc<Recorded> {
        if let Some(failure) = self.failure() {
            return failure.recorded().clone();
        }
        let kind = match self {
            Self::TimedOut(_) => FailureKind::TimedOut,
            Self::Deadlock(cycle) => FailureKind::Deadlock(cycle.clone()),
            Self::Group(group) => FailureKind::Group(group.errors().iter().map(Self::recorded).collect()),
            Self::SessionLost(_) => FailureKind::SessionLost,
            _ => FailureKind::Raised,
        };
        let message = match self {
            // Its own text; the reader's Display adds the rest again.
            Self::SessionLost(why) => why.clone(),
            Self::Group(group) => group.message(),
            other => other.to_string(),
        };
        let mut recorded = Recorded::new(kind, "".into(), message);
        let (type_name, details) = match self {
            Self::InvalidState(e) => (std::any::type_name::<InvalidState>(), failure::details(e)),
            Self::Misuse(e) => (std::any::type_name::<Misuse>(), failure::details(e)),
            Self::Sync(e) => (std::any::type_name::<SyncError>(), failure::details(e)),
            Self::NoRunningLoop(_) => (std::any::type_name::<NoRunningLoop>(), None),
            Self::LoopMismatch => ("farloop::LoopMismatch", None),
            Self::LoopClosed => ("farloop::LoopClosed", None),
            Self::LoopStopped => ("farloop::LoopStopped", None),
            Self::AlreadyRunning(_) => (std::any::type_name::<AlreadyRunning>(), None),
            Self::Interrupted => ("farloop::Interrupted", None),
            Self::BrokenPromise => ("farloop::BrokenPromise", None),
            _ => ("", None),
        };
        type_name.clone_into(&mut recorded.type_name);
        recorded.details = details;
        Arc::new(recorded)
    }

    /// `Set of Tasks/Futures is empty.`
    pub(crate) fn empty_set() -> Self {
        Self::Misuse(Misuse::EmptySet)
    }

    /// `Task cannot await on itself`
    pub(crate) fn self_await() -> Self {
        Self::Misuse(Misuse::SelfAwait)
    }

    /// `cannot reuse already awaited coroutine`
    pub(crate) fn already_awaited() -> Self {
        Self::Misuse(Misuse::AlreadyAwaited)
    }

    /// A limit stands against the call; it never runs.
    pub(crate) fn resource_exhausted(function: &str, limit: String) -> Self {
        Recorded::new(FailureKind::ResourceExhausted, function.into(), limit).into()
    }

    /// A waiter's limit passed; what it waited for goes on.
    pub(crate) fn timed_out(limit: Duration) -> Self {
        Self::TimedOut(TimedOut::waiting(limit, None, false))
    }

    /// A waiter's limit passed and what it waited for was cancelled: `cause` is how it ended.
    pub(crate) fn timed_out_after(limit: Duration, cause: Option<Self>, still_running: bool) -> Self {
        let cause = match cause {
            Some(Self::Cancelled(cancelled)) => Some(cancelled),
            _ => None,
        };
        Self::TimedOut(TimedOut::waiting(limit, cause, still_running))
    }

    /// A local coroutine where no runtime of farloop's runs.
    pub(crate) fn no_local_loop() -> Self {
        Misuse::Other("a local coroutine needs a loop whose thread farloop runs: #[farloop::main], a task's body, or farloop::testing".into()).into()
    }

    /// There is no loop for the call at `location`.
    pub(crate) fn no_running_loop(location: &'static Location<'static>) -> Self {
        Self::NoRunningLoop(NoRunningLoop::at(location))
    }

    fn of_boxed(type_name: &str, error: BoxError, details: Option<bytes::Bytes>) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => *own,
            Err(error) => Self::Failed(Failure::of_error(type_name, error, details)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(failure), false) = (self.failure(), matches!(self, Self::Group(_))) {
            return fmt::Display::fmt(failure, f);
        }
        match self {
            Self::Cancelled(cancelled) => fmt::Display::fmt(cancelled, f),
            Self::TimedOut(timed_out) => fmt::Display::fmt(timed_out, f),
            Self::Group(group) => fmt::Display::fmt(group, f),
            Self::Deadlock(cycle) => {
                f.write_str("deadlock: these tasks await each other: ")?;
                for task in cycle {
                    write!(f, "{task} -> ")?;
                }
                match cycle.first() {
                    Some(first) => write!(f, "{first}"),
                    None => f.write_str("(unknown)"),
                }
            }
            Self::InvalidState(state) => fmt::Display::fmt(state, f),
            Self::NoRunningLoop(at) => fmt::Display::fmt(at, f),
            Self::LoopMismatch => f.write_str("The task belongs to a different event loop"),
            Self::LoopClosed => f.write_str("Event loop is closed"),
            Self::LoopStopped => f.write_str("Event loop stopped before Future completed."),
            Self::AlreadyRunning(how) => fmt::Display::fmt(how, f),
            Self::Interrupted => f.write_str("interrupted by Ctrl-C"),
            Self::Misuse(misuse) => fmt::Display::fmt(misuse, f),
            Self::Sync(error) => fmt::Display::fmt(error, f),
            Self::SessionLost(why) => write!(f, "the session with the coordinator is lost: {why}"),
            Self::BrokenPromise => f.write_str("the promise was dropped without an outcome"),
            // The ones with a failure inside were written above.
            _ => f.write_str("unknown error"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            // Not a second error: it lets those find a cancellation who look along the chain through a wrapper that
            // shows only its content's sources (anyhow, thiserror's `transparent`).
            Self::Cancelled(cancelled) => Some(cancelled),
            Self::TimedOut(timed_out) => timed_out.source(),
            Self::Group(group) => group.source(),
            other => other.failure()?.source(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
