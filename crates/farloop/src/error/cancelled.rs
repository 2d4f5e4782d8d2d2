//! Cancellation as an error value, and how a body's end is recognised as its consequence.

use std::fmt;
use std::sync::{Arc, OnceLock};

use farloop_core::outcome::Cancellation;

/// asyncio's `CancelledError`.
///
/// Two different things arrive under this name. Somebody asked *this* body (or whoever waits here) to stop: then
/// [`is_mine`](Self::is_mine) is true, and the right thing is to clean up and pass it on with `?`. Or the thing that
/// was awaited has been cancelled by somebody else: then it is news, to be handled like any failure.
#[derive(Clone)]
pub struct Cancelled {
    message: Option<Arc<str>>,
    /// Each clone holds the token itself: its count tells whether any copy of the delivery is alive.
    token: Option<Arc<DeliveryToken>>,
    abandoned: bool,
}

/// One per body (attempt): alive inside every [`Cancelled`] that was delivered to it.
///
/// If dropping the error that a body returned drops a reference to the token, then a cancellation was inside it,
/// whatever wrapped it: anyhow, eyre, `Box<dyn Error>` and thiserror hide it from `downcast`, but not from this count.
#[derive(Debug, Default)]
pub(crate) struct DeliveryToken {
    /// Message of the first delivery: the first one given wins.
    message: OnceLock<Arc<str>>,
}

impl DeliveryToken {
    pub(crate) fn message(&self) -> Option<&str> {
        self.message.get().map(|message| &**message)
    }
}

impl Cancelled {
    /// The delivery of a request to the body that holds `token`.
    pub(crate) fn delivered(message: Option<String>, token: Arc<DeliveryToken>) -> Self {
        let message: Option<Arc<str>> = message.map(Into::into);
        if let Some(message) = &message {
            token.message.get_or_init(|| message.clone());
        }
        Self { message, token: Some(token), abandoned: false }
    }

    /// Word that something awaited was cancelled.
    pub(crate) fn news(message: Option<String>) -> Self {
        Self { message: message.map(Into::into), token: None, abandoned: false }
    }

    pub(crate) fn of(cancellation: &Cancellation) -> Self {
        Self { abandoned: cancellation.abandoned, ..Self::news(cancellation.message.clone()) }
    }

    /// The same words without the token: for what is told about a cancellation that has done its work.
    pub(crate) fn into_news(self) -> Self {
        Self { token: None, ..self }
    }

    /// asyncio's `msg`: the first one that was given to `cancel`.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Whether this is the delivery of a request to the body or waiter that sees it, rather than news that something
    /// else was cancelled.
    #[must_use]
    pub fn is_mine(&self) -> bool {
        self.token.is_some()
    }

    /// The cancelled body did not end within its grace and was fenced; it may still be running.
    #[must_use]
    pub fn abandoned(&self) -> bool {
        self.abandoned
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled")?;
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        if self.abandoned {
            f.write_str(" (did not end within its grace and may still be running)")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled")
            .field("message", &self.message)
            .field("mine", &self.is_mine())
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Cancelled {}
