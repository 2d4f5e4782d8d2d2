//! A place to wait for each other (asyncio row 354).

use std::panic::Location;
use std::sync::Arc;

use farloop_core::sync::{PrimitiveKind, SyncAction, SyncAnswer, SyncView};

use super::calling::{Calling, unexpected};
use super::handle::{Handle, handle};
use crate::error::Result;

/// Lets nobody pass until so many have come; then all pass, and it begins anew.
#[derive(Clone)]
pub struct Barrier(Handle);
handle!(Barrier, Barrier);

impl Barrier {
    /// One of its own, known to whom its handles are given. It takes at least one party, and 131,072 at most.
    #[must_use]
    pub fn new(parties: u64) -> Self {
        Self(Handle::own(PrimitiveKind::Barrier, parties))
    }

    /// The one that everybody in the cluster gets who says this name (256 bytes at most) and this number.
    #[must_use]
    pub fn named(name: impl Into<Arc<str>>, parties: u64) -> Self {
        Self(Handle::shared(name.into(), PrimitiveKind::Barrier, parties))
    }

    /// Waits for the others; gives the number of this caller in the order of coming, from 0.
    ///
    /// # Errors
    /// [`BrokenBarrier`](crate::sync::SyncError::BrokenBarrier) if it is broken, or is aborted or reset meanwhile;
    /// `Misuse` for a barrier of no parties; and as [all operations](crate::sync). One that is dropped or cancelled
    /// does not count.
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<u64>> + use<> {
        let calling = Calling::new(&self.0, SyncAction::Arrive, Location::caller());
        async move {
            match calling.await?.answer {
                SyncAnswer::Index(index) => Ok(index),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Makes it as new; whoever waits gets [`BrokenBarrier`](crate::sync::SyncError::BrokenBarrier).
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn reset(&self) -> impl Future<Output = Result<()>> + use<> {
        let calling = Calling::new(&self.0, SyncAction::Reset, Location::caller());
        async move { calling.await?.done() }
    }

    /// Breaks it: whoever waits, or comes before a reset, gets
    /// [`BrokenBarrier`](crate::sync::SyncError::BrokenBarrier).
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn abort(&self) -> impl Future<Output = Result<()>> + use<> {
        let calling = Calling::new(&self.0, SyncAction::Abort, Location::caller());
        async move { calling.await?.done() }
    }

    /// How many wait now.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn n_waiting(&self) -> impl Future<Output = Result<u64>> + use<> {
        let look = self.look(Location::caller());
        async move { Ok(look.await?.count) }
    }

    /// Whether it is broken.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn broken(&self) -> impl Future<Output = Result<bool>> + use<> {
        let look = self.look(Location::caller());
        async move { Ok(look.await?.flag) }
    }

    /// How many must come.
    #[must_use]
    pub fn parties(&self) -> u64 {
        self.0.size()
    }

    /// Its name, if it was made with one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name()
    }

    fn look(&self, location: &'static Location<'static>) -> impl Future<Output = Result<SyncView>> + use<> {
        let calling = Calling::new(&self.0, SyncAction::Look, location);
        async move {
            match calling.await?.answer {
                SyncAnswer::View(view) => Ok(view),
                other => Err(unexpected(&other)),
            }
        }
    }
}
