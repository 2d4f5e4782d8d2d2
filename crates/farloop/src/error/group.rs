//! Several failures at once.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use farloop_core::outcome::Failure as Recorded;

use super::{Error, Failure};

/// asyncio's `ExceptionGroup`: the failures of a [`TaskGroup`](crate::TaskGroup), in the order in which they happened,
/// the body's own last. A group inside a group stays one.
///
/// One that comes from another process keeps the first 64 failures; [`message`](Self::message) tells how many there
/// were.
#[derive(Clone)]
pub struct ErrorGroup(Arc<Inner>);

struct Inner {
    errors: Vec<Error>,
    /// Of the task that raised it, where that was another one.
    failure: Option<Failure>,
}

impl ErrorGroup {
    pub(crate) fn new(errors: Vec<Error>) -> Self {
        Self(Arc::new(Inner { errors, failure: None }))
    }

    /// The group that another task raised.
    pub(crate) fn recorded(errors: Vec<Error>, recorded: Arc<Recorded>) -> Self {
        Self(Arc::new(Inner { errors, failure: Some(recorded.into()) }))
    }

    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.0.failure.as_ref()
    }

    /// The failures.
    #[must_use]
    pub fn errors(&self) -> &[Error] {
        &self.0.errors
    }

    /// The failures that are no groups themselves, groups inside looked through, in order.
    #[must_use]
    pub fn leaves(&self) -> Vec<&Error> {
        let mut leaves = Vec::new();
        for error in self.errors() {
            match error {
                Error::Group(group) => leaves.extend(group.leaves()),
                other => leaves.push(other),
            }
        }
        leaves
    }

    /// `unhandled errors in a TaskGroup (2 sub-exceptions)`
    #[must_use]
    pub fn message(&self) -> String {
        if let Some(failure) = self.failure() {
            return failure.message().to_owned();
        }
        let n = self.errors().len();
        format!("unhandled errors in a TaskGroup ({n} sub-exception{})", if n == 1 { "" } else { "s" })
    }
}

impl fmt::Display for ErrorGroup {
    /// The line; with `{:#}` the failures too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failure() {
            Some(failure) => fmt::Display::fmt(failure, f)?,
            None => f.write_str(&self.message())?,
        }
        if f.alternate() {
            for (n, error) in self.errors().iter().enumerate() {
                write!(f, "{} {error:#}", if n == 0 { ":" } else { ";" })?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ErrorGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.errors()).finish()
    }
}

impl StdError for ErrorGroup {
    /// The first failure.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.errors().first().map(|error| error as _)
    }
}
