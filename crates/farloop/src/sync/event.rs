//! A flag to wait for (asyncio row 349).

use std::panic::Location;
use std::sync::Arc;

use farloop_core::sync::{PrimitiveKind, SyncAction, SyncAnswer};

use super::calling::{Calling, unexpected};
use super::handle::{Handle, handle};
use crate::error::Result;

/// A flag that is set once for all who wait, in the order of their coming, until it is cleared.
#[derive(Clone)]
pub struct Event(Handle);
handle!(Event, Event);

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl Event {
    /// One of its own, known to whom its handles are given. Not set.
    #[must_use]
    pub fn new() -> Self {
        Self(Handle::own(PrimitiveKind::Event, 0))
    }

    /// The one that everybody in the cluster gets who says this name (256 bytes at most).
    #[must_use]
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self(Handle::shared(name.into(), PrimitiveKind::Event, 0))
    }

    /// Waits until it is set. Whoever waits when it is set goes on, even if it is cleared at once.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<()>> + use<> {
        self.plain(SyncAction::Wait, Location::caller())
    }

    /// Sets it.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn set(&self) -> impl Future<Output = Result<()>> + use<> {
        self.plain(SyncAction::Set, Location::caller())
    }

    /// Clears it.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn clear(&self) -> impl Future<Output = Result<()>> + use<> {
        self.plain(SyncAction::Clear, Location::caller())
    }

    /// Whether it is set.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn is_set(&self) -> impl Future<Output = Result<bool>> + use<> {
        let calling = Calling::new(&self.0, SyncAction::Look, Location::caller());
        async move {
            match calling.await?.answer {
                SyncAnswer::View(view) => Ok(view.flag),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Its name, if it was made with one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name()
    }

    fn plain(
        &self,
        action: SyncAction,
        location: &'static Location<'static>,
    ) -> impl Future<Output = Result<()>> + use<> {
        let calling = Calling::new(&self.0, action, location);
        async move { calling.await?.done() }
    }
}
