//! The await of a coroutine itself, which owns what it starts.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use farloop_core::frame::Owner;
use serde::de::DeserializeOwned;

use super::Task;
use super::scheduling::schedule;
use crate::body::Point;
use crate::coro::Coro;
use crate::error::{Error, Result};

/// The await of a coroutine: owns what it started.
///
/// Starts at the first poll. **Dropping** it before the end cancels the task, because nobody else can.
pub struct Call<T> {
    coro: Option<Coro<T>>,
    task: Option<Task<T>>,
    over: bool,
    /// Makes a task of the coroutine, which nobody in particular owns.
    begin: fn(Coro<T>) -> Task<T>,
}

impl<T> Call<T> {
    /// The task, which does not end with this await any more.
    ///
    /// # Errors
    /// The await is over.
    pub(crate) fn begin(mut self) -> Result<Task<T>> {
        if std::mem::replace(&mut self.over, true) {
            return Err(Error::already_awaited());
        }
        match (self.coro.take(), self.task.take()) {
            (Some(coro), _) => Ok((self.begin)(coro)),
            (None, Some(task)) => Ok(task),
            (None, None) => Err(Error::already_awaited()),
        }
    }
}

impl<T: DeserializeOwned> std::future::IntoFuture for Coro<T> {
    type Output = Result<T>;
    type IntoFuture = Call<T>;
    fn into_future(self) -> Call<T> {
        Call { coro: Some(self), task: None, over: false, begin: |coro| schedule(coro, Owner::Root, false) }
    }
}

impl<T> Unpin for Call<T> {}

impl<T: DeserializeOwned> Future for Call<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = &mut *self;
        if let Some(coro) = this.coro.take() {
            // A request that stands already is delivered here: nothing is started (rows 223, 224).
            let mut point = Point::default();
            if let Err(error) = point.local(cx) {
                coro.close();
                this.over = true;
                return Poll::Ready(Err(error));
            }
            drop(point);
            this.task = Some(schedule(coro, Owner::Await, false));
        }
        let Some(task) = &mut this.task else {
            return Poll::Ready(Err(Error::already_awaited()));
        };
        let polled = Pin::new(&mut *task).poll(cx);
        this.over = polled.is_ready() && task.done();
        polled
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        if let (Some(task), false) = (&self.task, self.over)
            && !task.done()
        {
            task.cell().cancel(None);
            task.cell().mark_read();
        }
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) => write!(f, "Call({task:?})"),
            None => write!(f, "Call(not started)"),
        }
    }
}
