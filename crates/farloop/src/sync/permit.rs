//! What a lock or semaphore gave, until it is given back.

use std::panic::Location;
use std::sync::Arc;

use farloop_core::frame::Up;
use farloop_core::sync::{SyncAction, SyncAnswer, SyncEnd};

use super::calling::{Answered, Calling, unexpected};
use super::handle::Handle;
use crate::error::{Error, Result, SyncError};
use crate::session::SessionShared;

/// A permit of this process. Given back on drop.
pub(crate) struct Holding {
    pub(crate) handle: Handle,
    pub(crate) token: u64,
    /// None: given back, or on its way.
    call: Option<(Arc<SessionShared>, u64)>,
    /// How often the coordinator that gave it had started again.
    recoveries: u64,
}

impl Holding {
    pub(crate) fn of(handle: &Handle, answered: Answered) -> Result<Self> {
        match answered.answer {
            SyncAnswer::Granted(token) => Ok(Self {
                handle: handle.clone(),
                token,
                call: Some((answered.session, answered.call)),
                recoveries: answered.recoveries,
            }),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes one, or says that it would have to wait.
    pub(crate) async fn take(handle: &Handle, now: bool, location: &'static Location<'static>) -> Result<Option<Self>> {
        match Calling::new(handle, SyncAction::Acquire { now }, location).await {
            Ok(answered) => Self::of(handle, answered).map(Some),
            Err(Error::Sync(SyncError::WouldBlock(_))) if now => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives it back and waits until that is known.
    pub(crate) async fn release(mut self, location: &'static Location<'static>) -> Result<()> {
        self.current()?;
        let done = Calling::new(&self.handle, SyncAction::Release(self.token), location).await;
        // Not before: a release that is dropped on its way must give it back all the same.
        if !matches!(&done, Err(error) if error.is_cancelled()) {
            self.call = None;
        }
        done?.done()
    }

    /// Whether the coordinator has been the same all the time.
    ///
    /// # Errors
    /// `Stale`: it started again, and knows of no holders.
    pub(crate) fn current(&self) -> Result<()> {
        match &self.call {
            Some((session, _)) if session.recoveries() != self.recoveries => {
                Err(Error::Sync(SyncError::Stale(format!(
                    "{} is not held any more: the coordinator started again since token {} was given, and keeps no \
                     holders over a restart; take it anew",
                    self.handle.label(),
                    self.token
                ))))
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn check(&self, location: &'static Location<'static>) -> Result<()> {
        self.current()?;
        Calling::new(&self.handle, SyncAction::Check(self.token), location).await?.done()
    }

    /// It is the coordinator's from here on.
    pub(crate) fn let_go(&mut self) {
        self.call = None;
    }

    pub(crate) fn is_held(&self) -> bool {
        self.call.is_some()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if let Some((session, call)) = self.call.take() {
            session.push(Up::SyncEnd { call, end: SyncEnd::Release });
        }
    }
}

impl std::fmt::Debug for Holding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<token {} of {}>", self.token, self.handle.label())
    }
}
