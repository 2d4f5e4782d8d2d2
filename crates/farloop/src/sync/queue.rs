//! Items from those who put to those who get (asyncio rows 352, 353).

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use farloop_core::frame::Up;
use farloop_core::sync::{PrimitiveKind, SyncAction, SyncAnswer, SyncEnd, SyncView};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::calling::{Calling, unexpected};
use super::handle::{Handle, of_kind};
use crate::error::{Error, Result, SyncError};

/// A queue of the cluster: each item goes to one getter, in order.
///
/// It holds `maxsize` items (0: as many as the limits allow, 262,144), and 64 MiB of encoded items; beyond, `put` waits.
/// An item whose `put` has returned is kept until a getter has it: one that is on its way to a body whose attempt or
/// worker is lost goes back to its place.
pub struct Queue<T> {
    handle: Handle,
    item: PhantomData<fn(T) -> T>,
}

impl<T> Queue<T> {
    /// One of its own, known to whom its handles are given: first in, first out.
    #[must_use]
    pub fn new(maxsize: u64) -> Self {
        Self::from(Handle::own(PrimitiveKind::Queue, maxsize))
    }

    /// The one that everybody in the cluster gets who says this name (256 bytes at most) and this size.
    #[must_use]
    pub fn named(name: impl Into<Arc<str>>, maxsize: u64) -> Self {
        Self::from(Handle::shared(name.into(), PrimitiveKind::Queue, maxsize))
    }

    /// The same queue, last in first out (asyncio's `LifoQueue`): all its users must say so.
    #[must_use]
    pub fn lifo(self) -> Self {
        Self::from(self.handle.with_kind(PrimitiveKind::LifoQueue))
    }

    /// The same queue, lowest priority number first (asyncio's `PriorityQueue`): all its users must say so.
    #[must_use]
    pub fn by_priority(self) -> Self {
        Self::from(self.handle.with_kind(PrimitiveKind::PriorityQueue))
    }

    fn from(handle: Handle) -> Self {
        Self { handle, item: PhantomData }
    }

    /// How many items it holds at most; 0: as many as the limits allow.
    #[must_use]
    pub fn maxsize(&self) -> u64 {
        self.handle.size()
    }

    /// Its name, if it was made with one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.handle.name()
    }

    /// How many items are in it.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn qsize(&self) -> impl Future<Output = Result<u64>> + use<T> {
        let look = self.look(Location::caller());
        async move { Ok(look.await?.count) }
    }

    /// Whether there is no item in it.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn empty(&self) -> impl Future<Output = Result<bool>> + use<T> {
        let look = self.look(Location::caller());
        async move { Ok(look.await?.count == 0) }
    }

    /// Whether there are `maxsize` items in it; never, if that is 0.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn full(&self) -> impl Future<Output = Result<bool>> + use<T> {
        let (look, max) = (self.look(Location::caller()), self.maxsize());
        async move { Ok(look.await?.count >= max && max > 0) }
    }

    /// Says that an item that was got is worked off.
    ///
    /// # Errors
    /// [`TaskDoneTooOften`](SyncError::TaskDoneTooOften) if more would be done than were put; and as
    /// [all operations](crate::sync).
    #[track_caller]
    pub fn task_done(&self) -> impl Future<Output = Result<()>> + use<T> {
        self.plain(SyncAction::TaskDone, Location::caller())
    }

    /// Waits until all items that were put are worked off.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn join(&self) -> impl Future<Output = Result<()>> + use<T> {
        self.plain(SyncAction::Join, Location::caller())
    }

    /// Nothing more may be put: `put` fails with [`QueueShutDown`](SyncError::QueueShutDown) at once, also where it
    /// waits, and `get` when the queue is empty. `immediate` empties it; what was in it counts as worked off.
    ///
    /// # Errors
    /// As [all operations](crate::sync).
    #[track_caller]
    pub fn shutdown(&self, immediate: bool) -> impl Future<Output = Result<()>> + use<T> {
        self.plain(SyncAction::ShutDown { immediate }, Location::caller())
    }

    fn plain(
        &self,
        action: SyncAction,
        location: &'static Location<'static>,
    ) -> impl Future<Output = Result<()>> + use<T> {
        let calling = Calling::new(&self.handle, action, location);
        async move { calling.await?.done() }
    }

    fn look(&self, location: &'static Location<'static>) -> impl Future<Output = Result<SyncView>> + use<T> {
        let calling = Calling::new(&self.handle, SyncAction::Look, location);
        async move {
            match calling.await?.answer {
                SyncAnswer::View(view) => Ok(view),
                other => Err(unexpected(&other)),
            }
        }
    }
}

impl<T: Serialize> Queue<T> {
    /// Puts an item, when there is room and it is this caller's turn. Accepted when it returns.
    ///
    /// # Errors
    /// [`QueueShutDown`](SyncError::QueueShutDown); `Failed` if the item does not encode; and as
    /// [all operations](crate::sync). Dropped or cancelled while it waits, it puts nothing; a cancel that crosses the
    /// acceptance on the wire leaves the item in the queue.
    #[track_caller]
    pub fn put(&self, item: T) -> impl Future<Output = Result<()>> + use<T> {
        self.putting(&item, 0, false, Location::caller())
    }

    /// As [`put`](Self::put), with a priority for a queue [`by_priority`](Self::by_priority): lower goes first, equal
    /// ones in order.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    #[track_caller]
    pub fn put_at(&self, priority: i64, item: T) -> impl Future<Output = Result<()>> + use<T> {
        self.putting(&item, priority, false, Location::caller())
    }

    /// Puts an item if there is room.
    ///
    /// # Errors
    /// [`QueueFull`](SyncError::QueueFull); else as [`put`](Self::put).
    #[track_caller]
    pub fn put_nowait(&self, item: T) -> impl Future<Output = Result<()>> + use<T> {
        self.putting(&item, 0, true, Location::caller())
    }

    fn putting(
        &self,
        item: &T,
        priority: i64,
        now: bool,
        location: &'static Location<'static>,
    ) -> impl Future<Output = Result<()>> + use<T> {
        let calling = crate::codec::encode(item)
            .map(|item| Calling::new(&self.handle, SyncAction::Put { item, priority, now }, location));
        async move {
            match calling?.await {
                Err(Error::Sync(SyncError::WouldBlock(_))) => Err(Error::Sync(SyncError::QueueFull)),
                answered => answered?.done(),
            }
        }
    }
}

impl<T: DeserializeOwned> Queue<T> {
    /// Takes the next item, when it is this caller's turn.
    ///
    /// # Errors
    /// [`QueueShutDown`](SyncError::QueueShutDown) if the queue is shut down and empty; `Failed` if the item is no
    /// `T` (it is taken all the same); and as [all operations](crate::sync). Dropped or cancelled, it takes nothing.
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<T>> + use<T> {
        self.getting(false, Location::caller())
    }

    /// Takes the next item if there is one and nobody waits for it.
    ///
    /// # Errors
    /// [`QueueEmpty`](SyncError::QueueEmpty); else as [`get`](Self::get).
    #[track_caller]
    pub fn get_nowait(&self) -> impl Future<Output = Result<T>> + use<T> {
        self.getting(true, Location::caller())
    }

    fn getting(&self, now: bool, location: &'static Location<'static>) -> impl Future<Output = Result<T>> + use<T> {
        let calling = Calling::new(&self.handle, SyncAction::Get { now }, location);
        async move {
            let answered = match calling.await {
                Err(Error::Sync(SyncError::WouldBlock(_))) => return Err(Error::Sync(SyncError::QueueEmpty)),
                answered => answered?,
            };
            match answered.answer {
                SyncAnswer::Item(item) => {
                    // From here on it is this caller's: there is no await before it has it.
                    answered.session.push(Up::SyncEnd { call: answered.call, end: SyncEnd::Taken });
                    crate::codec::decode(&item)
                }
                other => Err(unexpected(&other)),
            }
        }
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self::from(self.handle.clone())
    }
}

impl<T> PartialEq for Queue<T> {
    fn eq(&self, other: &Self) -> bool {
        self.handle.is_same(&other.handle)
    }
}
impl<T> Eq for Queue<T> {}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.handle, f)
    }
}

impl<T> Serialize for Queue<T> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        self.handle.serialize(to)
    }
}

impl<'de, T> Deserialize<'de> for Queue<T> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let kinds = [PrimitiveKind::Queue, PrimitiveKind::LifoQueue, PrimitiveKind::PriorityQueue];
        of_kind(&kinds, from).map(Self::from)
    }
}
