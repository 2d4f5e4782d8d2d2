//! Handling a failure without swallowing one's own cancellation.

use super::{Error, Result};

/// `except Exception:` for results of awaits.
pub trait Recover<T> {
    /// Handles an error, as `or_else` does, except one's own cancellation: that passes by untouched, so that a
    /// catch-all cannot make a body uncancellable (in asyncio, `CancelledError` is no `Exception`).
    ///
    /// News that something *else* was cancelled is an error like any other.
    ///
    /// # Errors
    /// What `f` returns; one's own cancellation.
    fn recover(self, f: impl FnOnce(Error) -> Result<T>) -> Result<T>;
}

impl<T> Recover<T> for Result<T> {
    fn recover(self, f: impl FnOnce(Error) -> Self) -> Self {
        match self {
            Err(Error::Cancelled(cancelled)) if cancelled.is_mine() => Err(Error::Cancelled(cancelled)),
            Err(error) => f(error),
            Ok(value) => Ok(value),
        }
    }
}
