//! Coroutines of this loop: an `async` block that runs here, with the same handle as a remote task (asyncio row 17).

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};

use farloop_core::outcome::{Cancellation, Failure, FailureKind, Outcome};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ambient;
use crate::body::{Body, Under, Who};
use crate::cell::{Cell, Kind};
use crate::context;
use crate::error::{Error, Result};
use crate::event_loop::{LoopShared, steps};
use crate::report::Caught;
use crate::task::{IntoTask, Task, read_value};

/// A coroutine that runs on the loop of whoever schedules it. Inert until then; dropped unscheduled, it is reported
/// once.
#[must_use = "a coroutine does nothing until it is awaited or given to ensure_future()"]
pub struct LocalCoro<T> {
    future: Option<Pin<Box<dyn Future<Output = Result<T>>>>>,
    name: Option<Arc<str>>,
    context: Option<context::Context>,
    location: &'static Location<'static>,
}

/// Makes a coroutine of an `async` block. It needs a loop whose thread farloop runs: `#[farloop::main]`, a task's
/// body, or `farloop::testing`.
#[track_caller]
pub fn local<T>(future: impl Future<Output = Result<T>> + 'static) -> LocalCoro<T> {
    LocalCoro { future: Some(Box::pin(future)), name: None, context: None, location: Location::caller() }
}

impl<T> LocalCoro<T> {
    /// Names the task; `Task-N` otherwise.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into());
        self
    }

    /// Context variables that it sees as a task, instead of a copy of the current ones (asyncio's `context=`).
    /// Awaited directly it runs in its caller's context.
    pub fn context(mut self, context: context::Context) -> Self {
        self.context = Some(context);
        self
    }

    /// Gives it up without a report.
    pub fn close(mut self) {
        self.future = None;
    }
}

impl<T> Drop for LocalCoro<T> {
    fn drop(&mut self) {
        if self.future.is_some() {
            crate::report::never_awaited("local", self.location);
        }
    }
}

impl<T> fmt::Debug for LocalCoro<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<local coroutine at {}>", self.location)
    }
}

impl<T: Serialize + DeserializeOwned + 'static> IntoTask for LocalCoro<T> {
    type Out = T;
    fn into_task(self) -> Task<T> {
        self.start(None)
    }
    fn is_fresh(&self) -> bool {
        true
    }
    fn discard(self) {
        self.close();
    }
}

impl<T: Serialize + DeserializeOwned + 'static> LocalCoro<T> {
    /// Starts it as a member of a group: its calls keep the deadlines around that.
    pub(crate) fn start_under(self, under: Under) -> Task<T> {
        self.start(Some(under))
    }

    fn start(mut self, under: Option<Under>) -> Task<T> {
        let future = self.future.take().expect("only close() and into_task() take it, and both consume");
        let name = self.name.take();
        let home = under.as_ref().map(|under| under.body.home.clone()).or_else(ambient::find);
        let cell = match home {
            Some(home) if home.is_closed() => home.failed("local".into(), self.location, Error::LoopClosed),
            Some(home) if home.runs_local() => {
                let context = self.context.take().unwrap_or_else(context::Context::current);
                spawn(&home, future, name, context, self.location, under)
            }
            Some(home) => home.failed("local".into(), self.location, Error::no_local_loop()),
            None => ambient::nowhere("local".into(), self.location),
        };
        Task::from_cell(cell, read_value::<T>)
    }
}

impl<T: Serialize + DeserializeOwned + 'static> std::future::IntoFuture for LocalCoro<T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>>>>;
    /// Awaited directly it runs inline, in the current task, as in asyncio (row 8).
    fn into_future(mut self) -> Self::IntoFuture {
        self.future.take().expect("only close() and into_task() take it, and both consume")
    }
}

/// Starts a coroutine of this loop, on its thread.
pub(crate) fn spawn<T: Serialize + 'static>(
    home: &Arc<LoopShared>,
    future: Pin<Box<dyn Future<Output = Result<T>>>>,
    name: Option<Arc<str>>,
    context: context::Context,
    location: &'static Location<'static>,
    under: Option<Under>,
) -> Arc<Cell> {
    let name = name.unwrap_or_else(|| home.next_task_name());
    let kind = Kind::Local(Mutex::new(Weak::new()));
    let cell = Cell::new(crate::session::new_id(), "local".into(), Some(name.clone()), location, home.clone(), kind);
    let body = Body::new(Who::Local(cell.clone()), "local".into(), Some(name), home.clone());
    body.set_context(context);
    if let Some(under) = under {
        body.set_under(under);
    }
    if let Kind::Local(slot) = &cell.kind {
        *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::downgrade(&body);
    }
    home.session().remember_local(&cell);
    steps::spawn(home, Run { body, cell: cell.clone(), future: Some(future), begun: false });
    cell
}

/// One local coroutine as a step of its loop.
struct Run<T> {
    body: Arc<Body>,
    cell: Arc<Cell>,
    future: Option<Pin<Box<dyn Future<Output = Result<T>>>>>,
    begun: bool,
}

impl<T> Unpin for Run<T> {}

impl<T: Serialize> Future for Run<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(future) = &mut this.future else { return Poll::Ready(()) };
        if this.body.is_fenced() {
            // So is the attempt that it served.
            this.future = None;
            this.end(cancelled(None), None);
            return Poll::Ready(());
        }
        if !this.begun {
            this.begun = true;
            if let Some(message) = this.body.undelivered() {
                // Cancelled before its first step: the body never runs (row 224).
                this.future = None;
                this.end(cancelled(message), None);
                return Poll::Ready(());
            }
        }
        let (polled, _) = this.body.poll(future.as_mut(), cx.waker());
        let (outcome, error) = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(end)) => verdict(&this.body, end),
            Err(panic) => {
                let Caught { message, location } = Caught::of(panic);
                let mut failure = Failure::new(FailureKind::Panicked, "local".into(), message);
                failure.location = location;
                failure.task = Some(this.cell.id);
                (Outcome::Raised(Arc::new(failure)), None)
            }
        };
        this.future = None;
        this.end(outcome, error);
        Poll::Ready(())
    }
}

impl<T> Run<T> {
    fn end(&self, outcome: Outcome, error: Option<Error>) {
        self.cell.home.session().forget_local(&self.cell);
        self.cell.complete_with(outcome, error);
    }
}

impl<T> Drop for Run<T> {
    /// The runtime stops under it: nobody will poll it again.
    fn drop(&mut self) {
        if self.future.take().is_some() {
            self.end(cancelled(None), None);
        }
    }
}

fn cancelled(message: Option<String>) -> Outcome {
    Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false }))
}

fn verdict<T: Serialize>(body: &Body, end: Result<T>) -> (Outcome, Option<Error>) {
    match end {
        Ok(value) => match (body.undelivered(), crate::codec::encode(&value)) {
            // It returned before any await could deliver the request (row 236).
            (Some(message), _) => (cancelled(message), None),
            (None, Ok(value)) => (Outcome::Returned(value), None),
            (None, Err(error)) => (error.to_outcome(), Some(error)),
        },
        Err(error) => match &error {
            Error::Cancelled(c) => (cancelled(c.message().map(str::to_owned)), None),
            _ => (error.to_outcome(), Some(error)),
        },
    }
}
