//! The error that a body ended with, and what the task's outcome becomes because of it.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use farloop_core::outcome::{Failure as Recorded, FailureKind};

use crate::error::{Cancelled, DeliveryToken, Error};
use crate::failure::{BoxError, Failure};

/// The error that a body ended with, still alive: whether a cancellation is hidden in it shows when it is dropped.
pub struct BodyError {
    error: BoxError,
    type_name: &'static str,
    details: Option<Bytes>,
}

/// What a body's error makes of its task.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "it lives from the end of a body to its report, on the stack")]
pub enum BodyVerdict {
    /// The body passed a cancellation on.
    Cancelled {
        /// asyncio's `msg`.
        message: Option<String>,
    },
    /// The body failed.
    Failed(Recorded),
}

impl BodyError {
    /// Wraps what a body returned. `details` is the encoded error, where its declared type can be encoded.
    pub(crate) fn raised<E: Into<BoxError>>(error: E, details: Option<Bytes>) -> Self {
        // Nobody learns anything from "alloc::string::String".
        let type_name = match std::any::type_name::<E>() {
            "alloc::string::String" | "&str" => "",
            name if name.contains("dyn ") => "",
            name => name,
        };
        Self { error: error.into(), type_name, details }
    }

    /// A failure that is just a text.
    pub(crate) fn message(message: impl fmt::Display) -> Self {
        Error::msg(message).into()
    }

    /// The cluster's own refusal: arguments that do not decode, a result that does not encode.
    pub(crate) fn refused(kind: FailureKind, function: &str, message: String) -> Self {
        Recorded::new(kind, function.into(), message).into()
    }

    /// Whether a farloop cancellation stands at the top or in the chain of sources.
    #[must_use]
    pub fn is_cancelled_error(&self) -> bool {
        cancellation(&*self.error).is_some()
    }

    /// Drops the error and says what it makes of the task.
    ///
    /// It is a cancellation if one stands in the chain of sources (asyncio rows 42 and 240), or if dropping the
    /// error dropped a reference to `token`, the token of the deliveries to this body: then one was inside, whatever
    /// wrapped it. References elsewhere do not count, since only the difference does. To be called on the loop that
    /// ran the body, as long as nobody else there drops errors of this body in between.
    ///
    /// The failure of another task that was passed on stays as it is; a new one gets the name of `function`, and its
    /// task, worker and attempt are for the caller to fill in.
    pub(crate) fn finish(self, function: &Arc<str>, token: Option<&Arc<DeliveryToken>>) -> BodyVerdict {
        let Self { error, type_name, details } = self;
        if let Some(found) = cancellation(&*error) {
            let message = found.message().map(str::to_owned);
            return BodyVerdict::Cancelled { message };
        }
        let mut recorded = match error.downcast_ref::<Error>() {
            Some(own) => Recorded::clone(&own.recorded()),
            None => match error.downcast_ref::<Failure>() {
                Some(failure) => Recorded::clone(failure.recorded()),
                None => crate::failure::describe(type_name, &*error, details),
            },
        };
        if recorded.task.is_none() && recorded.function.is_empty() {
            recorded.function = function.clone();
        }
        let Some(token) = token else { return BodyVerdict::Failed(recorded) };
        let before = Arc::strong_count(token);
        drop(error);
        if Arc::strong_count(token) < before {
            return BodyVerdict::Cancelled { message: token.message().map(str::to_owned) };
        }
        BodyVerdict::Failed(recorded)
    }
}

impl From<Error> for BodyError {
    fn from(error: Error) -> Self {
        Self::raised(error, None)
    }
}

impl From<Recorded> for BodyError {
    fn from(recorded: Recorded) -> Self {
        Error::from(recorded).into()
    }
}

impl fmt::Debug for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

/// Links of a chain that is followed before it is taken for endless.
const CHAIN: usize = 64;

/// The cancellation that an error chain carries. The first farloop error decides: what it says about others (the
/// cause of a timeout, the failure of another task) is history.
pub(crate) fn cancellation<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Cancelled> {
    let mut next = Some(error);
    for _ in 0..CHAIN {
        let error = next?;
        if let Some(cancelled) = error.downcast_ref::<Cancelled>() {
            return Some(cancelled);
        }
        if let Some(own) = error.downcast_ref::<Error>() {
            return match own {
                Error::Cancelled(cancelled) => Some(cancelled),
                // An error of this body that `?` turned into ours: what it was made of still counts.
                Error::Failed(failure) => cancellation(failure.origin()?),
                _ => None,
            };
        }
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return cancellation(failure.origin()?);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
