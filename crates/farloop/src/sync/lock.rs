//! One holder at a time (asyncio row 350).

use std::panic::Location;
use std::sync::Arc;

use farloop_core::sync::{PrimitiveKind, SyncAction, SyncAnswer};

use super::calling::{Calling, unexpected};
use super::handle::{Handle, handle};
use super::permit::Holding;
use crate::error::Result;

/// One holder at a time, in the whole cluster; first come, first served. Not reentrant, as in asyncio.
#[derive(Clone)]
pub struct Lock(pub(super) Handle);
handle!(Lock, Lock);

/// A [`Lock`] that is held. **Dropping** it lets the lock go.
#[derive(Debug)]
#[must_use = "a lock is let go when its guard is dropped"]
pub struct LockGuard(pub(super) Holding);

impl Default for Lock {
    fn default() -> Self {
        Self::new()
    }
}

impl Lock {
    /// One of its own, known to whom its handles are given.
    #[must_use]
    pub fn new() -> Self {
        Self(Handle::own(PrimitiveKind::Lock, 0))
    }

    /// The one that everybody in the cluster gets who says this name (256 bytes at most).
    #[must_use]
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self(Handle::shared(name.into(), PrimitiveKind::Lock, 0))
    }

    /// Takes it, when it is this caller's turn.
    ///
    /// # Errors
    /// As [all operations](crate::sync). Dropped or cancelled, it does not keep the lock.
    #[track_caller]
    pub fn lock(&self) -> impl Future<Output = Result<LockGuard>> + use<> {
        let (handle, location) = (self.0.clone(), Location::caller());
        async move {
            let answered = Calling::new(&handle, SyncAction::Acquire { now: false }, location).await?;
            Holding::of(&handle, answered).map(LockGuard)
        }
    }

    /// Takes it if nobody holds it or waits.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn try_lock(&self) -> impl Future<Output = Result<Option<LockGuard>>> + use<> {
        let (handle, location) = (self.0.clone(), Location::caller());
        async move { Ok(Holding::take(&handle, true, location).await?.map(LockGuard)) }
    }

    /// Whether somebody holds it.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn locked(&self) -> impl Future<Output = Result<bool>> + use<> {
        let calling = Calling::new(&self.0, SyncAction::Look, Location::caller());
        async move {
            match calling.await?.answer {
                SyncAnswer::View(view) => Ok(view.count > 0),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Lets it go for whoever holds it under this token.
    ///
    /// # Errors
    /// [`Stale`](crate::sync::SyncError::Stale) if nobody does; and as [all operations](crate::sync).
    #[track_caller]
    pub fn release(&self, token: u64) -> impl Future<Output = Result<()>> + use<> {
        let calling = Calling::new(&self.0, SyncAction::Release(token), Location::caller());
        async move { calling.await?.done() }
    }

    /// Its name, if it was made with one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name()
    }
}

impl LockGuard {
    /// Grows with every time that this lock is taken: see [`sync`](crate::sync).
    #[must_use]
    pub fn token(&self) -> u64 {
        self.0.token
    }

    /// Lets the lock go and returns when the coordinator has it.
    ///
    /// # Errors
    /// [`Stale`](crate::sync::SyncError::Stale) if it was taken away before; and as [all operations](crate::sync).
    #[track_caller]
    pub fn release(self) -> impl Future<Output = Result<()>> {
        self.0.release(Location::caller())
    }

    /// Asks the coordinator whether this guard still counts.
    ///
    /// # Errors
    /// [`Stale`](crate::sync::SyncError::Stale) if not; and as [all operations](crate::sync).
    #[track_caller]
    pub fn check(&self) -> impl Future<Output = Result<()>> {
        self.0.check(Location::caller())
    }
}
