//! Out of time.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use farloop_core::outcome::Failure as Recorded;

use super::{Cancelled, Failure};

/// asyncio's `TimeoutError`: a `wait_for` that ended by its limit, or a task whose timeout or deadline passed.
#[derive(Clone)]
pub struct TimedOut(Arc<Inner>);

struct Inner {
    limit: Option<Duration>,
    cause: Option<EndedBy>,
    still_running: bool,
    failure: Option<Failure>,
}

/// A type of its own: a `Cancelled` in the chain of a body's error makes the body's end a cancellation, and this one
/// is none any more.
#[derive(Debug)]
struct EndedBy(Cancelled);

impl fmt::Display for EndedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for EndedBy {}

impl TimedOut {
    /// A `wait_for` (or a timeout scope) that hit its limit. `cause` is how the cancelled inner task ended, if it
    /// ended so; `still_running` says that it had not ended when the waiter went on.
    pub(crate) fn waiting(limit: Duration, cause: Option<Cancelled>, still_running: bool) -> Self {
        // The cancellation has done its work and become a timeout: its token must not turn the waiter's own end
        // into a cancellation.
        let cause = cause.map(|cancelled| EndedBy(cancelled.into_news()));
        Self(Arc::new(Inner { limit: Some(limit), cause, still_running, failure: None }))
    }

    /// The recorded failure of a task whose own timeout passed.
    pub(crate) fn recorded(recorded: Arc<Recorded>) -> Self {
        let failure = Some(recorded.into());
        Self(Arc::new(Inner { limit: None, cause: None, still_running: false, failure }))
    }

    /// The limit that was given to `wait_for`; none for a task's own timeout.
    #[must_use]
    pub fn limit(&self) -> Option<Duration> {
        self.0.limit
    }

    /// How the inner task ended once it was cancelled, where it did.
    #[must_use]
    pub fn cause(&self) -> Option<&Cancelled> {
        self.0.cause.as_ref().map(|EndedBy(cancelled)| cancelled)
    }

    /// The inner task had been asked to stop but had not ended when the waiter was told.
    #[must_use]
    pub fn still_running(&self) -> bool {
        self.0.still_running
    }

    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.0.failure.as_ref()
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(failure) = self.failure() {
            return fmt::Display::fmt(failure, f);
        }
        match self.0.limit {
            Some(limit) => write!(f, "timed out after {limit:?}")?,
            None => f.write_str("timed out")?,
        }
        if self.0.still_running {
            f.write_str("; the task was asked to stop and is still running")?;
        }
        Ok(())
    }
}

impl fmt::Debug for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TimedOut");
        if let Some(failure) = self.failure() {
            out.field("failure", failure);
        }
        if let Some(limit) = self.0.limit {
            out.field("limit", &limit).field("still_running", &self.0.still_running);
        }
        out.finish_non_exhaustive()
    }
}

impl StdError for TimedOut {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match (&self.0.cause, &self.0.failure) {
            (Some(cause), _) => Some(cause),
            (None, Some(failure)) => failure.source(),
            (None, None) => None,
        }
    }
}
