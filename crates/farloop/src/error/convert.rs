//! What `?` turns into an [`Error`].
//!
//! A blanket `From<E: std::error::Error>` cannot exist beside `Error: std::error::Error`, so the usual errors are
//! listed; for any other there are [`Error::new`] and [`Error::typed`], or a body that declares its own error type.

use std::error::Error as StdError;
use std::sync::Arc;

use farloop_core::outcome::{Failure as Recorded, FailureKind};

use super::{Cancelled, Error, ErrorGroup, Failure, InvalidState, Misuse, NoRunningLoop, SyncError, TimedOut};

impl From<Arc<Recorded>> for Error {
    fn from(recorded: Arc<Recorded>) -> Self {
        match &recorded.kind {
            FailureKind::Group(members) => {
                let errors = members.iter().map(|member| member.clone().into()).collect();
                Self::Group(ErrorGroup::recorded(errors, recorded))
            }
            FailureKind::TimedOut
            | FailureKind::ScheduleToStartTimeout
            | FailureKind::StartToCloseTimeout
            | FailureKind::HeartbeatTimeout => Self::TimedOut(TimedOut::recorded(recorded)),
            FailureKind::Deadlock(cycle) => Self::Deadlock(cycle.clone()),
            FailureKind::SessionLost => Self::SessionLost(recorded.message.clone()),
            FailureKind::WorkerLost => Self::WorkerLost(recorded.into()),
            FailureKind::ActorUnavailable => Self::ActorUnavailable(recorded.into()),
            FailureKind::ActorDied => Self::ActorDied(recorded.into()),
            FailureKind::DependencyFailed(_) => Self::DependencyFailed(recorded.into()),
            FailureKind::ResourceExhausted => Self::ResourceExhausted(recorded.into()),
            FailureKind::Expired => Self::Expired(recorded.into()),
            FailureKind::NotFound => Self::NotFound(recorded.into()),
            FailureKind::Raised | FailureKind::Panicked | FailureKind::BadArguments | FailureKind::BadPayload => {
                Self::Failed(recorded.into())
            }
            _ => Self::Other(recorded.into()),
        }
    }
}

impl From<Recorded> for Error {
    fn from(recorded: Recorded) -> Self {
        Arc::new(recorded).into()
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure.kind() {
            // Keeps the error that the failure may hold alive.
            FailureKind::Raised => Self::Failed(failure),
            _ => failure.recorded().clone().into(),
        }
    }
}

macro_rules! variants {
    ($($type:ident),*) => {$(
        impl From<$type> for Error {
            fn from(error: $type) -> Self {
                Self::$type(error)
            }
        }
    )*};
}
variants!(Cancelled, InvalidState, Misuse, NoRunningLoop, TimedOut);

impl From<SyncError> for Error {
    fn from(error: SyncError) -> Self {
        Self::Sync(error)
    }
}

macro_rules! usual_errors {
    ($($type:ty),* $(,)?) => {$(
        impl From<$type> for Error {
            fn from(error: $type) -> Self {
                Self::new(error)
            }
        }
    )*};
}
usual_errors!(
    std::io::Error,
    std::fmt::Error,
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::num::TryFromIntError,
    std::str::ParseBoolError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    std::char::ParseCharError,
    std::net::AddrParseError,
    std::env::VarError,
    std::time::SystemTimeError,
    std::sync::mpsc::RecvError,
    serde_json::Error,
    tokio::time::error::Elapsed,
    tokio::task::JoinError,
    tokio::sync::oneshot::error::RecvError,
);

impl From<Box<dyn StdError + Send + Sync>> for Error {
    fn from(error: Box<dyn StdError + Send + Sync>) -> Self {
        Self::of_boxed("", error, None)
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::msg(message)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::msg(message)
    }
}
