//! `shield`: an await that a cancel does not pass (asyncio rows 181-192).

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use farloop_core::outcome::Outcome;

use crate::cell::{Cell, Kind};
use crate::error::Result;
use crate::task::{CancelMessage, IntoTask, Task, same_loop};

/// A wall between whoever awaits it and the task behind it. Dropping it leaves the task running.
pub struct Shield<T> {
    outer: Task<T>,
    /// Kept so that the task is not taken for abandoned while the shield stands.
    inner: Task<T>,
}

/// Awaits `what` without passing cancels on: the waiter gets `Cancelled` at once, the task does not notice.
///
/// A task that is done already is returned as it is. Keep a handle of your own to await the task later; a
/// [session](crate::Loop) that closes cancels shielded tasks too, unless they are detached.
#[track_caller]
pub fn shield<A: IntoTask>(what: A) -> Shield<A::Out> {
    let location = Location::caller();
    let inner = what.into_task();
    if inner.done() {
        return Shield { outer: inner.clone(), inner };
    }
    let cell = inner.cell();
    let outer = Cell::new(
        crate::session::new_id(),
        cell.function.clone(),
        None,
        location,
        cell.home.clone(),
        Kind::Shield(cell.clone()),
    );
    let mirror = std::sync::Arc::downgrade(&outer);
    cell.listen_internal(move |inner| {
        if let (Some(outer), Some(outcome)) = (mirror.upgrade(), inner.outcome()) {
            let error = if matches!(outcome, Outcome::Returned(_)) { None } else { inner.error() };
            outer.complete_with(outcome, error);
        }
    });
    let read = inner.reader();
    Shield { outer: Task::from_cell(outer, read), inner }
}

impl<T> Shield<T> {
    /// Ends the shield, at once, as cancelled; the task behind it goes on (asyncio row 184). False if it was over.
    pub fn cancel(&self, message: impl Into<CancelMessage>) -> bool {
        self.outer.cancel(message)
    }

    /// Whether the shield is over.
    #[must_use]
    pub fn done(&self) -> bool {
        self.outer.done()
    }

    /// Whether it ended cancelled.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.outer.cancelled()
    }

    /// The task behind it.
    #[must_use]
    pub fn task(&self) -> &Task<T> {
        &self.inner
    }
}

impl<T> Unpin for Shield<T> {}

impl<T> Future for Shield<T> {
    type Output = Result<T>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        Pin::new(&mut self.outer).poll(cx)
    }
}

impl<T> IntoTask for Shield<T> {
    type Out = T;
    fn into_task(self) -> Task<T> {
        self.outer.keeping(self.inner)
    }
    fn check(&self) -> Result<()> {
        same_loop(self.outer.cell())
    }
}

impl<T> fmt::Debug for Shield<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.outer, f)
    }
}
