//! [`LoopHandle`]: a loop's door for other threads, and for code that runs on it.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::ambient;
use crate::blocking::BlockingHandle;
use crate::error::{Error, Result};
use crate::event_loop::LoopShared;
use crate::event_loop::calls::{Callback, Handle, TimerHandle};
use crate::task::{IntoTask, Task};

/// A handle to an event loop: `Clone`, `Send` and `Sync`. Every call may be made from any thread and wakes the loop if
/// it sleeps, so `call_soon` and `call_soon_threadsafe` are one thing here (asyncio rows 288, 289, 301).
///
/// Dropping it changes nothing. After the loop was closed each call says [`Error::LoopClosed`].
#[derive(Clone)]
pub struct LoopHandle(pub(crate) Arc<LoopShared>);

/// The loop that runs here: that of the coroutine or callback that asks.
///
/// # Errors
/// [`Error::NoRunningLoop`] outside of one: a `blocking::EventLoop` that exists and does not run is none (asyncio row
/// 277). [`Error::LoopClosed`] where the loop of this runtime was closed.
#[track_caller]
pub fn get_running_loop() -> Result<LoopHandle> {
    match ambient::running() {
        Some(home) if home.is_closed() => Err(Error::LoopClosed),
        Some(home) => Ok(LoopHandle(home)),
        None => Err(Error::no_running_loop(Location::caller())),
    }
}

impl LoopHandle {
    /// Queues a callback: it runs on the loop's thread in the next turn, once, after all that was queued before it.
    /// A panic in it is reported, and the loop goes on.
    ///
    /// The callback has no current task; its loop is the ambient one. While it blocks, the loop stands still.
    ///
    /// # Errors
    /// [`Error::LoopClosed`]; the callback is dropped.
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + Send + 'static) -> Result<Handle> {
        let callback = Callback::new(callback, Location::caller());
        self.0.call_soon(&callback)?;
        Ok(Handle(callback))
    }

    /// asyncio's name for [`call_soon`](Self::call_soon) from another thread; the same.
    ///
    /// # Errors
    /// As [`call_soon`](Self::call_soon).
    #[track_caller]
    pub fn call_soon_threadsafe(&self, callback: impl FnOnce() + Send + 'static) -> Result<Handle> {
        self.call_soon(callback)
    }

    /// Queues a callback for later, once; those of one moment run in the order of their calls (V18). While the loop is
    /// blocked, or does not run, it waits, and is late then (row 310).
    ///
    /// # Errors
    /// As [`call_soon`](Self::call_soon).
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + Send + 'static) -> Result<TimerHandle> {
        self.call_at(self.time().saturating_add(delay), callback)
    }

    /// As [`call_later`](Self::call_later), for a moment on the clock of [`time`](Self::time).
    ///
    /// # Errors
    /// As [`call_soon`](Self::call_soon).
    #[track_caller]
    pub fn call_at(&self, when: Duration, callback: impl FnOnce() + Send + 'static) -> Result<TimerHandle> {
        let callback = Callback::new(callback, Location::caller());
        self.0.call_at(when, &callback)?;
        Ok(TimerHandle { callback, when, home: Arc::downgrade(&self.0) })
    }

    /// Time since the loop began: monotonic, and comparable on this loop only (row 317).
    #[must_use]
    pub fn time(&self) -> Duration {
        self.0.time()
    }

    /// As [`ensure_future`](crate::ensure_future), on this loop. A [`local`](crate::local) coroutine must be given to
    /// it on the loop's own thread.
    #[track_caller]
    pub fn create_task<A: IntoTask>(&self, coro: A) -> Task<A::Out> {
        ambient::on(&self.0, || coro.into_task())
    }

    /// Schedules a coroutine on the loop from another thread, and gives a handle that this thread can block on
    /// (asyncio rows 292-300). The loop schedules it when it runs.
    ///
    /// # Errors
    /// [`Error::LoopClosed`]; the coroutine is dropped.
    #[track_caller]
    pub fn run_coroutine_threadsafe<A>(&self, coro: A) -> Result<BlockingHandle<A::Out>>
    where
        A: IntoTask + Send + 'static,
        A::Out: Send + 'static,
    {
        BlockingHandle::schedule(self, coro)
    }

    /// Ends the run of a [`blocking::EventLoop`](crate::blocking::EventLoop) after its turn: what is queued runs, what
    /// that queues waits for the next run. If it does not run, its next run ends after one turn (rows 262, 263).
    ///
    /// No other loop can be stopped: there it has no effect, and a warning is logged.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Whether it runs now. A loop that farloop or a tokio runtime drives runs until it is closed.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.0.is_running()
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl PartialEq for LoopHandle {
    /// Whether they are one loop.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for LoopHandle {}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        repr(&self.0, f)
    }
}

/// asyncio's words (row 272).
pub(crate) fn repr(home: &LoopShared, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "<EventLoop running={} closed={}>", home.is_running(), home.is_closed())
}
