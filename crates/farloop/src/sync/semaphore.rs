//! A number of permits (asyncio row 350).

use std::panic::Location;
use std::sync::Arc;

use farloop_core::sync::{PrimitiveKind, SyncAction, SyncAnswer};

use super::calling::{Calling, unexpected};
use super::handle::{Handle, handle};
use super::permit::Holding;
use crate::error::Result;

/// At most so many holders at once, in the whole cluster; first come, first served.
///
/// As asyncio's `BoundedSemaphore`: a permit can only be given back by giving back a [`Permit`], so there are never more
/// than there were.
#[derive(Clone)]
pub struct Semaphore(Handle);
handle!(Semaphore, Semaphore);

/// One permit of a [`Semaphore`]. **Dropping** it gives it back.
#[derive(Debug)]
#[must_use = "a permit is given back when it is dropped"]
pub struct Permit(Holding);

impl Semaphore {
    /// One of its own, known to whom its handles are given.
    #[must_use]
    pub fn new(permits: u64) -> Self {
        Self(Handle::own(PrimitiveKind::Semaphore, permits))
    }

    /// The one that everybody in the cluster gets who says this name (256 bytes at most) and this number.
    #[must_use]
    pub fn named(name: impl Into<Arc<str>>, permits: u64) -> Self {
        Self(Handle::shared(name.into(), PrimitiveKind::Semaphore, permits))
    }

    /// Takes a permit, when it is this caller's turn.
    ///
    /// # Errors
    /// As [all operations](crate::sync). Dropped or cancelled, it keeps no permit.
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<Permit>> + use<> {
        let (handle, location) = (self.0.clone(), Location::caller());
        async move {
            let answered = Calling::new(&handle, SyncAction::Acquire { now: false }, location).await?;
            Holding::of(&handle, answered).map(Permit)
        }
    }

    /// Takes a permit if one is free and nobody waits.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn try_acquire(&self) -> impl Future<Output = Result<Option<Permit>>> + use<> {
        let (handle, location) = (self.0.clone(), Location::caller());
        async move { Ok(Holding::take(&handle, true, location).await?.map(Permit)) }
    }

    /// Whether `acquire` would have to wait now.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn locked(&self) -> impl Future<Output = Result<bool>> + use<> {
        let calling = Calling::new(&self.0, SyncAction::Look, Location::caller());
        async move {
            match calling.await?.answer {
                SyncAnswer::View(view) => Ok(view.flag),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Gives back the permit with this token, whoever holds it.
    ///
    /// # Errors
    /// [`Stale`](crate::sync::SyncError::Stale) if nobody does; and as [all operations](crate::sync).
    #[track_caller]
    pub fn release(&self, token: u64) -> impl Future<Output = Result<()>> + use<> {
        let calling = Calling::new(&self.0, SyncAction::Release(token), Location::caller());
        async move { calling.await?.done() }
    }

    /// How many permits there are.
    #[must_use]
    pub fn permits(&self) -> u64 {
        self.0.size()
    }

    /// Its name, if it was made with one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name()
    }
}

impl Permit {
    /// Grows with every permit that this semaphore gives: see [`sync`](crate::sync).
    #[must_use]
    pub fn token(&self) -> u64 {
        self.0.token
    }

    /// Gives it back and returns when the coordinator has it.
    ///
    /// # Errors
    /// [`Stale`](crate::sync::SyncError::Stale) if it was taken away before; and as [all operations](crate::sync).
    #[track_caller]
    pub fn release(self) -> impl Future<Output = Result<()>> {
        self.0.release(Location::caller())
    }

    /// Asks the coordinator whether this permit still counts.
    ///
    /// # Errors
    /// [`Stale`](crate::sync::SyncError::Stale) if not; and as [all operations](crate::sync).
    #[track_caller]
    pub fn check(&self) -> impl Future<Output = Result<()>> {
        self.0.check(Location::caller())
    }
}
