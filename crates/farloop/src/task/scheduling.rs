//! From a coroutine to a task: what can be scheduled, and the ways to do it.

use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::task::Poll;

use farloop_core::frame::Owner;
use serde::de::DeserializeOwned;

use super::{Task, read_value};
use crate::ambient;
use crate::body::{Point, Under};
use crate::cell::Cell;
use crate::context::Context;
use crate::coro::Coro;
use crate::error::{Error, Result};

/// What can be scheduled: a coroutine, or something that already is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no coroutine, task or gather",
    label = "expected a farloop coroutine, task, gather or shield",
    note = "a local async block goes through `farloop::local(async move {{ … }})`"
)]
pub trait IntoTask: Sized {
    /// What it returns.
    type Out;
    /// Schedules it on the ambient loop, if it is not scheduled yet.
    #[doc(hidden)]
    #[track_caller]
    fn into_task(self) -> Task<Self::Out>;
    /// As `into_task`, for combinators that hold their members: these don't count against the session's buffer.
    #[doc(hidden)]
    #[track_caller]
    fn into_member(self) -> Task<Self::Out> {
        self.into_task()
    }
    /// As `into_task`, for an await that owns what it starts.
    #[doc(hidden)]
    #[track_caller]
    fn into_owned_task(self) -> Task<Self::Out> {
        self.into_task()
    }
    /// What can be said against it before anything is started.
    #[doc(hidden)]
    fn check(&self) -> Result<()> {
        Ok(())
    }
    /// Whether there is something to start.
    #[doc(hidden)]
    fn is_fresh(&self) -> bool {
        false
    }
    /// Gives up what was never started, quietly.
    #[doc(hidden)]
    fn discard(self) {}
}

impl<T> IntoTask for Task<T> {
    type Out = T;
    fn into_task(self) -> Self {
        self
    }
    fn check(&self) -> Result<()> {
        same_loop(self.cell())
    }
}

impl<T> IntoTask for &Task<T> {
    type Out = T;
    fn into_task(self) -> Task<T> {
        self.clone()
    }
    fn check(&self) -> Result<()> {
        same_loop(self.cell())
    }
}

/// A future of another loop is refused before anything is started (rows 19, 104).
pub(crate) fn same_loop(cell: &Arc<Cell>) -> Result<()> {
    match ambient::find() {
        Some(home) if !cell.home.is_nowhere() && !Arc::ptr_eq(home.session(), cell.home.session()) => {
            Err(Error::LoopMismatch)
        }
        _ => Ok(()),
    }
}

impl<T: DeserializeOwned> IntoTask for Coro<T> {
    type Out = T;
    fn into_task(self) -> Task<T> {
        schedule(self, Owner::Root, false)
    }
    fn into_member(self) -> Task<T> {
        schedule(self, Owner::Root, true)
    }
    fn into_owned_task(self) -> Task<T> {
        schedule(self, Owner::Await, true)
    }
    fn check(&self) -> Result<()> {
        self.check_call()
    }
    fn is_fresh(&self) -> bool {
        true
    }
    fn discard(self) {
        self.close();
    }
}

/// Schedules a member of a group, as a call of the group's code.
pub(crate) fn schedule_under<T: DeserializeOwned>(coro: Coro<T>, owner: Owner, under: &Under) -> Task<T> {
    let mut call = coro.take();
    call.deadline = under.deadline();
    // Of whoever adds it, who may be a member itself.
    call.context.get_or_insert_with(Context::current);
    Task::from_cell(under.body.on_behalf(|| under.body.home.schedule(call, owner)), read_value::<T>)
}

pub(crate) fn schedule<T: DeserializeOwned>(coro: Coro<T>, owner: Owner, reserved: bool) -> Task<T> {
    let mut call = coro.take();
    call.reserved = reserved;
    let cell = match ambient::find() {
        Some(home) => home.schedule(call, owner),
        None => ambient::nowhere(call.function, call.location),
    };
    Task::from_cell(cell, read_value::<T>)
}

/// Schedules a coroutine and returns at once; a task, gather or shield is returned as it is (asyncio rows 16, 17).
///
/// The task belongs to the session at the top of the task tree. Where the session's buffer is full, or no loop is
/// there, the handle has failed already and the body never runs; [`submit`](crate::submit) waits for room instead.
#[track_caller]
pub fn ensure_future<A: IntoTask>(what: A) -> Task<A::Out> {
    what.into_task()
}

/// As [`ensure_future`], for coroutines only (asyncio's `create_task`).
#[track_caller]
pub fn create_task<A: IntoTask>(coro: A) -> Task<A::Out> {
    coro.into_task()
}

/// As [`ensure_future`], but gives the coroutine back where it can't be scheduled.
///
/// # Errors
/// No loop, a closed loop, or a full buffer; with the coroutine.
#[track_caller]
#[allow(clippy::result_large_err, reason = "the coroutine comes back as it was, and this is no hot path")]
pub fn try_ensure_future<T: DeserializeOwned>(coro: Coro<T>) -> std::result::Result<Task<T>, (Error, Coro<T>)> {
    let Some(home) = ambient::find() else {
        return Err((Error::no_running_loop(Location::caller()), coro));
    };
    if home.is_closed() || home.session().is_closing() {
        return Err((Error::LoopClosed, coro));
    }
    if let Some(limit) = home.session().full() {
        return Err((Error::resource_exhausted(coro.function(), limit), coro));
    }
    Ok(schedule(coro, Owner::Root, false))
}

/// Waits until the session's buffer has room, then schedules.
///
/// Cancelled or dropped while it waits, the coroutine never runs.
///
/// # Errors
/// No loop, or a closed one; `Cancelled` of the waiting task.
pub async fn submit<T: DeserializeOwned>(coro: Coro<T>) -> Result<Task<T>> {
    let location = coro.location();
    let home = ambient::find().ok_or_else(|| Error::no_running_loop(location))?;
    let mut room = std::pin::pin!(home.session().room());
    let mut point = Point::default();
    std::future::poll_fn(|cx| {
        if let Some(error) = point.cut() {
            return Poll::Ready(Err(error));
        }
        if room.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        match point.local(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    })
    .await?;
    Ok(schedule(coro, Owner::Root, false))
}
