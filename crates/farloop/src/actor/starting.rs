//! The wait until an actor is up.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use farloop_core::actor::Address;
use farloop_core::frame::Owner;
use farloop_core::outcome::Outcome;

use super::spawn::{Begun, Spawn};
use super::{ActorRef, Handle};
use crate::ambient;
use crate::cell::Cell;
use crate::coro::CallSpec;
use crate::error::{Error, Result};
use crate::task::{IntoTask, Task, read_value};

/// An actor that was made and is not known to be up yet.
pub(crate) struct Made<R> {
    /// Gives the reference when it is. Ends it, if it ends in any other way.
    pub(crate) find: Task<R>,
    /// The actor, if it is not somebody else's.
    pub(crate) host: Option<Arc<Cell>>,
}

/// Schedules at the ambient loop.
pub(super) fn here(reserved: bool) -> impl Fn(CallSpec, Owner) -> Arc<Cell> {
    move |mut call, owner| {
        call.reserved = reserved;
        match ambient::find() {
            Some(home) => home.schedule(call, owner),
            None => ambient::nowhere(call.function, call.location),
        }
    }
}

impl<R: ActorRef> Made<R> {
    pub(crate) fn of(begun: Begun) -> Self {
        let Begun { find, host, .. } = begun;
        let Some(find) = find.or_else(|| host.clone()) else {
            unreachable!("one of them is always begun: a find, or a host that was refused")
        };
        if let Some(host) = host.clone() {
            find.listen_internal(move |find| match find.outcome() {
                // It is on its own now: if it fails and nobody asked, that is told once.
                Some(Outcome::Returned(_)) => drop(Task::from_cell(host, read_value::<()>)),
                // Whoever waited is told; nobody has a reference.
                _ => {
                    host.mark_read();
                    host.cancel(None);
                }
            });
        }
        Self { find: Task::from_cell(find, read_value::<R>), host }
    }
}

/// The await of a [`Spawn`]. **Dropped** before the actor is up, it ends it, unless that may be somebody else's
/// (`get_or_spawn`).
pub struct Starting<R>(Pin<Box<dyn Future<Output = Result<R>> + Send>>);

impl<R> Unpin for Starting<R> {}

impl<R> Future for Starting<R> {
    type Output = Result<R>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R>> {
        self.0.as_mut().poll(cx)
    }
}

impl<R> fmt::Debug for Starting<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Starting").finish_non_exhaustive()
    }
}

impl<R: ActorRef> IntoFuture for Spawn<R> {
    type Output = Result<R>;
    type IntoFuture = Starting<R>;
    fn into_future(self) -> Starting<R> {
        Starting(Box::pin(async move {
            let (name, limit) = (self.name_of(), self.limit());
            let made = Made::of(self.begin(true, &here(true)));
            made.up(name, limit).await
        }))
    }
}

impl<R: ActorRef> Made<R> {
    /// Waits until it is up. The error is that of `new` or `on_start`, if it is one's own actor.
    pub(crate) async fn up(self, name: Option<Arc<str>>, limit: Option<std::time::Duration>) -> Result<R> {
        let Self { find, host } = self;
        let mut waiting = Waiting(find);
        let found = match limit {
            Some(limit) => crate::wait_for(&waiting.0, limit).await,
            None => (&mut waiting.0).await,
        };
        match (found, host) {
            (Ok(found), _) => Ok(named(found, name)),
            (Err(error @ Error::ActorDied(_)), Some(host)) => {
                match Task::from_cell(host, read_value::<()>).await {
                    // Of the waiting body, or why it never was up.
                    Err(Error::Cancelled(cancelled)) if !cancelled.is_mine() => Err(error),
                    Err(own) => Err(own),
                    Ok(()) => Err(error),
                }
            }
            (Err(error), _) => Err(error),
        }
    }
}

/// The same reference, which knows the name too.
fn named<R: ActorRef>(found: R, name: Option<Arc<str>>) -> R {
    match (found.id(), name) {
        (Some(id), Some(name)) => R::from(Handle::new(found.definition(), Address::Actor(id), Some(name))),
        _ => found,
    }
}

/// Nobody else can end what is asked for here.
struct Waiting<R>(Task<R>);

impl<R> Drop for Waiting<R> {
    fn drop(&mut self) {
        if !self.0.done() {
            self.0.cell().cancel(None);
            self.0.cell().mark_read();
        }
    }
}

impl<R: ActorRef> IntoTask for Spawn<R> {
    type Out = R;
    fn into_task(self) -> Task<R> {
        Made::of(self.begin(true, &here(false))).find
    }
    fn into_member(self) -> Task<R> {
        Made::of(self.begin(true, &here(true))).find
    }
    fn into_owned_task(self) -> Task<R> {
        self.into_member()
    }
    fn check(&self) -> Result<()> {
        Self::check(self)
    }
    fn is_fresh(&self) -> bool {
        true
    }
    fn discard(self) {
        self.close();
    }
}
