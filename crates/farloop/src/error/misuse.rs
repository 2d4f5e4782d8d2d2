//! Errors of the caller: wrong moment, wrong place, wrong argument. The texts are asyncio's where it has one.

use std::fmt;
use std::panic::Location;

use serde::{Deserialize, Serialize};

/// A future was asked for what it does not have, or told its outcome twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum InvalidState {
    /// `result()` of something that is not done.
    ResultNotSet,
    /// `exception()` of something that is not done.
    ExceptionNotSet,
    /// An outcome was set where one was set already.
    AlreadyDone,
}

impl fmt::Display for InvalidState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResultNotSet => "Result is not set.",
            Self::ExceptionNotSet => "Exception is not set.",
            Self::AlreadyDone => "invalid state: the outcome is set already",
        })
    }
}

impl std::error::Error for InvalidState {}

/// A call that can never work. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Misuse {
    /// `wait` on nothing.
    EmptySet,
    /// A task awaits its own handle.
    SelfAwait,
    /// A coroutine that was awaited or scheduled before.
    AlreadyAwaited,
    /// A loop's own thread would wait for what only itself can do.
    WouldDeadlock,
    /// A future stands where only a task can.
    NotATask,
    /// Two functions under one name, with the places of both.
    DuplicateName {
        /// The wire name.
        name: String,
        /// `file:line` of the one that was registered first.
        first: String,
        /// `file:line` of the other.
        second: String,
    },
    /// A definition without a body was given to a worker.
    NoBody {
        /// The wire name.
        name: String,
        /// `file:line` of the definition.
        location: String,
    },
    /// A timeout or a task group outside of a task: there is nobody to cancel.
    NoCurrentTask {
        /// `Timeout` or `TaskGroup`.
        what: String,
    },
    /// The deadline of a timeout that has expired, or whose block is over, was to be moved.
    TimeoutOver {
        /// `expiring`, `expired` or `finished`.
        state: String,
    },
    /// A coroutine was added to a task group whose members are being cancelled. It never ran.
    GroupShuttingDown {
        /// The group, as its `Debug` shows it.
        group: String,
    },
    /// A coroutine was added to a task group that is over. It never ran.
    GroupFinished {
        /// The group, as its `Debug` shows it.
        group: String,
    },
    /// `TaskGroup::cancel` ended a group before its body had the value that `TaskGroup::scope` returns.
    GroupCancelled,
    /// Anything else; the text says what.
    Other(String),
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptySet => f.write_str("Set of Tasks/Futures is empty."),
            Self::SelfAwait => f.write_str("Task cannot await on itself"),
            Self::AlreadyAwaited => f.write_str("cannot reuse already awaited coroutine"),
            Self::WouldDeadlock => f.write_str(
                "this thread runs the loop that the coroutine is on, and would wait for itself: await the task, or use run_until_complete",
            ),
            Self::NotATask => f.write_str("a task is needed here, and this future is none"),
            Self::DuplicateName { name, first, second } => write!(
                f,
                "two functions are called {name}: one at {first}, one at {second}; \
                 give one of them another name with #[farloop::task(name = \"…\")]"
            ),
            Self::NoBody { name, location } => {
                write!(f, "{name}, defined at {location}, has no body: a worker can only offer functions with one")
            }
            Self::NoCurrentTask { what } => {
                write!(f, "{what} should be used inside a task: #[farloop::main], a task's body, or farloop::local(..)")
            }
            Self::TimeoutOver { state } => write!(f, "Cannot change state of {state} Timeout"),
            Self::GroupShuttingDown { group } => write!(f, "TaskGroup {group} is shutting down"),
            Self::GroupFinished { group } => write!(f, "TaskGroup {group} is finished"),
            Self::GroupCancelled => f.write_str(
                "the task group was cancelled before its body had a value: \
                 use TaskGroup::scope_until_cancelled, or return a value when an await of the body is cancelled",
            ),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Misuse {}

/// Why a loop can't run, or close, here and now. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlreadyRunning {
    /// It runs.
    ThisLoop,
    /// Another loop, or a tokio runtime, runs on this thread: there one awaits.
    OtherLoop,
    /// It runs, and was to be closed.
    Closing,
}

impl fmt::Display for AlreadyRunning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThisLoop => "This event loop is already running",
            Self::OtherLoop => "Cannot run the event loop while another loop is running",
            Self::Closing => "Cannot close a running event loop",
        })
    }
}

impl std::error::Error for AlreadyRunning {}

/// Nothing runs here that could schedule a coroutine: no body, no bound runtime, no loop of this thread, no default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRunningLoop {
    location: &'static Location<'static>,
}

impl NoRunningLoop {
    pub(crate) fn at(location: &'static Location<'static>) -> Self {
        Self { location }
    }

    /// Where the call was made that needed a loop.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }
}

impl fmt::Display for NoRunningLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no running event loop (called at {}): use #[farloop::main], farloop::connect(..) or farloop::in_process() first",
            self.location
        )
    }
}

impl std::error::Error for NoRunningLoop {}
