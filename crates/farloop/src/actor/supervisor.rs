//! Several actors under one policy.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farloop_core::actor::Restart;

use super::starting::here;
use super::{ActorRef, Handle, Made, Spawn};
use crate::cell::Cell;
use crate::combine::as_completed::as_completed;
use crate::error::{Error, Result};
use crate::task::Task;

/// Owns actors and says what follows when one of them fails (Erlang's supervisor).
///
/// * [`one_for_one`](Self::one_for_one): the one that failed starts again, the others do not notice.
/// * [`one_for_all`](Self::one_for_all): they depend on each other, so all start again; and when one is over for good, all
///   are.
///
/// It belongs to whoever has it, a body or the state of another actor, and its actors end with it: **dropping** it kills
/// them, [`stop`](Self::stop) lets them finish first. Clones are the same supervisor; the last one counts.
///
/// ```
/// # use farloop::prelude::*;
/// # use farloop::actor::{Restart, Supervisor};
/// # struct Reader;
/// # #[farloop::actor]
/// # impl Reader { pub fn new() -> Self { Reader } pub async fn read(&mut self) -> i64 { 7 } }
/// # async fn f() -> farloop::Result<()> {
/// let team = Supervisor::one_for_all().restart(Restart::on_failure().at_most(5));
/// let first = team.spawn(Reader::spawn()).await?;
/// let second = team.spawn(Reader::spawn().name("second")).await?;
/// gather((first.read(), second.read())).await?;
/// team.stop().await
/// # }
/// ```
#[derive(Clone)]
#[must_use = "its actors end with it"]
pub struct Supervisor(Arc<Inner>);

struct Inner {
    /// Of those that start again together.
    group: Option<u128>,
    restart: Mutex<Restart>,
    /// In the order in which they were made.
    children: Mutex<Vec<(Handle, Arc<Cell>)>>,
}

impl Supervisor {
    /// The one that failed starts again.
    pub fn one_for_one() -> Self {
        Self::of(None)
    }

    /// When one fails, all start again.
    pub fn one_for_all() -> Self {
        Self::of(Some(crate::session::new_id().0))
    }

    fn of(group: Option<u128>) -> Self {
        Self(Arc::new(Inner { group, restart: Mutex::default(), children: Mutex::default() }))
    }

    /// When they start again, and how often; [`Restart::default`] unless given. Holds for what is spawned from here on,
    /// whatever the types of the actors say.
    pub fn restart(self, restart: Restart) -> Self {
        *lock(&self.0.restart) = restart;
        self
    }

    /// Makes an actor, and waits until it is up. It is one of these from then on, whatever owner it was described with.
    ///
    /// # Errors
    /// As awaiting the [`Spawn`]; [`Misuse`](Error::Misuse) for `get_or_spawn`, which may give somebody else's.
    pub async fn spawn<R: ActorRef>(&self, actor: Spawn<R>) -> Result<R> {
        let restart = lock(&self.0.restart).clone();
        let actor = own(actor)?.group(self.0.group).restart(restart);
        let (name, limit) = (actor.name_of(), actor.limit());
        let made = Made::<R>::of(actor.begin(true, &here(true)));
        let host = made.host.clone();
        let up: R = made.up(name, limit).await?;
        if let Some(host) = host {
            // What becomes of it is told by `ended`, if somebody asks.
            host.mark_read();
            self.0.children().push((Handle::clone(&up), host));
        }
        Ok(up)
    }

    /// Its actors, in the order in which they were made; those that are over, too.
    #[must_use]
    pub fn children(&self) -> Vec<Handle> {
        self.0.children().iter().map(|(child, _)| child.clone()).collect()
    }

    /// Waits until one is over that is not to start again and fails, and gives that error; or until all are over. Waits
    /// for those that were there when it was called.
    ///
    /// # Errors
    /// How the first one failed; `Cancelled` of the waiting task.
    pub async fn ended(&self) -> Result<()> {
        let watches: Vec<Task<()>> = self.children().iter().map(Handle::watch).collect();
        let mut ends = as_completed(watches);
        while let Some(end) = ends.next().await {
            match end?.result {
                // Stopped or killed: somebody wanted that.
                Ok(()) | Err(Error::Cancelled(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Stops its actors, the last one first, each when the one before has finished its mailbox.
    ///
    /// # Errors
    /// The first failure of an `on_stop`, after all were asked; `Cancelled` of the waiting task, and the rest is killed
    /// when this is dropped.
    pub async fn stop(&self) -> Result<()> {
        let mut first = Ok(());
        loop {
            let Some((child, _)) = self.0.children().last().cloned() else { return first };
            match child.stop().await {
                Err(Error::Cancelled(cancelled)) if cancelled.is_mine() => return Err(Error::Cancelled(cancelled)),
                // It was over already, and that has been told.
                Err(Error::ActorDied(_)) | Ok(()) => {}
                Err(error) => first = first.and(Err(error)),
            }
            self.0.children().retain(|(other, _)| *other != child);
        }
    }
}

/// An actor that a scope may own.
pub(crate) fn own<R: ActorRef>(actor: Spawn<R>) -> Result<Spawn<R>> {
    if actor.is_shared() {
        actor.close();
        return Err(super::spawn::shared());
    }
    Ok(actor.for_await())
}

impl Inner {
    fn children(&self) -> MutexGuard<'_, Vec<(Handle, Arc<Cell>)>> {
        lock(&self.children)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing user-written runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Inner {
    fn drop(&mut self) {
        for (_, host) in self.children().drain(..).rev() {
            if !host.is_done() {
                host.cancel(None);
            }
        }
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.0.group.is_some() { "one for all" } else { "one for one" };
        write!(f, "<Supervisor {kind} of {:?}>", self.children())
    }
}
