//! Waiting for a change of what a lock protects (asyncio row 351).

use std::panic::Location;

use farloop_core::id::PrimitiveId;
use farloop_core::sync::SyncAction;
use serde::{Deserialize, Serialize};

use super::calling::Calling;
use super::handle::new_id;
use super::lock::{Lock, LockGuard};
use super::permit::Holding;
use crate::error::{Error, Misuse, Result};

/// A place to wait until somebody who holds the lock says that something has changed. Several may share one lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    lock: Lock,
    id: PrimitiveId,
}

impl Default for Condition {
    fn default() -> Self {
        Self::new()
    }
}

impl Condition {
    /// One with a lock of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::of(&Lock::new())
    }

    /// One more of this lock's. Its waiters are those of this condition and its clones.
    #[must_use]
    pub fn of(lock: &Lock) -> Self {
        Self { lock: lock.clone(), id: new_id() }
    }

    /// Its lock.
    #[must_use]
    pub fn condition_lock(&self) -> &Lock {
        &self.lock
    }

    /// Takes its lock.
    ///
    /// # Errors
    /// As [`Lock::lock`].
    #[track_caller]
    pub fn lock(&self) -> impl Future<Output = Result<LockGuard>> + use<> {
        self.lock.lock()
    }

    /// Lets the lock go, waits until it is notified, and takes the lock again; the guard then has a new token.
    ///
    /// # Errors
    /// [`Stale`](crate::sync::SyncError::Stale) if the guard is; `Cancelled`, after the lock was taken again (the
    /// notification, if there was one, goes to another waiter); and as [all operations](crate::sync). **Dropped** on
    /// its way, it leaves the guard without its lock.
    #[track_caller]
    pub fn wait<'a>(&self, guard: &'a mut LockGuard) -> impl Future<Output = Result<()>> + use<'a> {
        let (lock, condition, location) = (self.lock.clone(), self.id, Location::caller());
        async move {
            mine(&lock, guard)?;
            let action = SyncAction::WaitNotified { condition, token: guard.0.token };
            let calling = Calling::new(&lock.0, action, location).stubborn();
            let mut answered = Waiting { guard: &mut guard.0, over: false }.through(calling).await?;
            let cancelled = answered.cancelled.take();
            guard.0 = Holding::of(&lock.0, answered)?;
            cancelled.map_or(Ok(()), Err)
        }
    }

    /// Waits until `met` says true; asks before each wait.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_for<'a, P>(&self, guard: &'a mut LockGuard, mut met: P) -> impl Future<Output = Result<()>> + use<'a, P>
    where
        P: FnMut() -> bool,
    {
        let condition = self.clone();
        async move {
            while !met() {
                condition.wait(guard).await?;
            }
            Ok(())
        }
    }

    /// Wakes up to `count` waiters, the longest waiting first. They go on when they have got the lock.
    ///
    /// # Errors
    /// [`Stale`](crate::sync::SyncError::Stale) if the guard is; `Misuse` if it is another lock's; and as
    /// [all operations](crate::sync).
    #[track_caller]
    pub fn notify<'a>(&self, guard: &'a LockGuard, count: u64) -> impl Future<Output = Result<()>> + use<'a> {
        let (lock, condition, location) = (self.lock.clone(), self.id, Location::caller());
        async move {
            mine(&lock, guard)?;
            if count == 0 {
                return Ok(());
            }
            let action = SyncAction::Notify { condition, token: guard.0.token, count };
            Calling::new(&lock.0, action, location).await?.done()
        }
    }

    /// Wakes all waiters.
    ///
    /// # Errors
    /// As [`notify`](Self::notify).
    #[track_caller]
    pub fn notify_all<'a>(&self, guard: &'a LockGuard) -> impl Future<Output = Result<()>> + use<'a> {
        self.notify(guard, u64::MAX)
    }
}

/// asyncio: `cannot wait on un-acquired lock`.
fn mine(lock: &Lock, guard: &LockGuard) -> Result<()> {
    if guard.0.handle.is_same(&lock.0) && guard.0.is_held() {
        return guard.0.current();
    }
    Err(Error::Misuse(Misuse::Other("the guard does not hold this condition's lock".into())))
}

/// While a wait goes on the guard holds nothing: the lock was let go with the call.
struct Waiting<'a> {
    guard: &'a mut Holding,
    over: bool,
}

impl Waiting<'_> {
    async fn through(mut self, calling: Calling) -> Result<super::calling::Answered> {
        let answered = calling.await;
        // A call that was refused at once has left the lock where it was; so has one that was never sent.
        self.over = answered.is_err();
        answered
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.guard.let_go();
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Travelling {
    lock: Lock,
    condition: String,
}

impl Serialize for Condition {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        Travelling { lock: self.lock.clone(), condition: self.id.to_string() }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let it = Travelling::deserialize(from)?;
        let id = PrimitiveId::parse(&it.condition)
            .ok_or_else(|| serde::de::Error::custom(format!("'{}' is no id", it.condition)))?;
        Ok(Self { lock: it.lock, id })
    }
}
