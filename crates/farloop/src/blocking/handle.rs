//! [`BlockingHandle`]: what another thread holds of a coroutine that it gave to a loop (asyncio's
//! `concurrent.futures.Future`, rows 292-300).

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::LoopHandle;
use crate::ambient;
use crate::error::{Cancelled, Error, Misuse, Result};
use crate::event_loop::LoopShared;
use crate::task::{CancelMessage, IntoTask, Task};

/// A loop that does not run for so long is worth a word: perhaps nobody will run it (row 299).
const SILENT_FOR: Duration = Duration::from_secs(5);

/// A coroutine on a loop, for threads that can block: `Clone`, `Send` and `Sync`.
///
/// Dropping it changes nothing: the coroutine goes on.
pub struct BlockingHandle<T> {
    shared: Arc<Shared<T>>,
    home: Arc<LoopShared>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    /// Once the loop has scheduled it.
    task: Option<Task<T>>,
    /// The task is over, or never will be scheduled.
    over: bool,
    cancelled: Option<CancelMessage>,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing user-written runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn over(&self) {
        self.state().over = true;
        self.changed.notify_all();
    }
}

/// Whoever waits is told, if the loop drops the callback that was to schedule the coroutine.
struct Scheduling<T>(Arc<Shared<T>>);

impl<T> Drop for Scheduling<T> {
    fn drop(&mut self) {
        if self.0.state().task.is_none() {
            self.0.over();
        }
    }
}

impl<T> BlockingHandle<T> {
    #[track_caller]
    pub(crate) fn schedule<A>(on: &LoopHandle, coro: A) -> Result<Self>
    where
        A: IntoTask<Out = T> + Send + 'static,
        T: Send + 'static,
    {
        let state = State { task: None, over: false, cancelled: None };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let scheduling = Scheduling(shared.clone());
        let home = on.0.clone();
        on.call_soon(move || {
            let shared = &scheduling.0;
            if shared.state().cancelled.is_some() {
                coro.discard();
                return;
            }
            let task = ambient::on(&home, || coro.into_task());
            let told = shared.clone();
            task.cell().listen_internal(move |_| told.over());
            let cancelled = {
                let mut state = shared.state();
                state.task = Some(task.clone());
                state.cancelled.clone()
            };
            if let Some(message) = cancelled {
                task.cancel(message);
            }
        })?;
        Ok(Self { shared, home: on.0.clone() })
    }

    /// Waits for the outcome, `limit` at most if one is given; as often as asked. A limit that passes cancels nothing
    /// (row 295).
    ///
    /// # Errors
    /// The coroutine's. `TimedOut` after `limit`; `Cancelled` after [`cancel`](Self::cancel); `LoopClosed` if the loop
    /// was closed first; [`Misuse::WouldDeadlock`] on the loop's own thread, which cannot wait for itself.
    pub fn result(&self, limit: impl Into<Option<Duration>>) -> Result<T> {
        {
            let state = self.shared.state();
            if let Some(message) = &state.cancelled {
                return Err(Error::Cancelled(Cancelled::news(message.0.clone())));
            }
        }
        self.wait(limit.into(), |state| state.over || state.cancelled.is_some())?;
        let state = self.shared.state();
        if let Some(message) = &state.cancelled {
            return Err(Error::Cancelled(Cancelled::news(message.0.clone())));
        }
        match state.task.clone() {
            Some(task) => {
                drop(state);
                task.result()
            }
            None => Err(Error::LoopClosed),
        }
    }

    /// Cancels: this handle is cancelled at once, and the coroutine is asked to stop, which it may decline (row 296).
    /// False if it was done.
    pub fn cancel(&self, message: impl Into<CancelMessage>) -> bool {
        let message = message.into();
        let task = {
            let mut state = self.shared.state();
            if state.over || state.cancelled.is_some() {
                return false;
            }
            state.cancelled = Some(message.clone());
            state.task.clone()
        };
        self.shared.changed.notify_all();
        if let Some(task) = task {
            // On the loop: its coroutines are asked where they run.
            let (on, cell) = (LoopHandle(self.home.clone()), task.cell().clone());
            let _ = on.call_soon(move || {
                cell.cancel(message.0);
            });
        }
        true
    }

    /// Cancels, and waits until the coroutine has really ended: its value if it declined. asyncio has no such call
    /// (gh-105836).
    ///
    /// # Errors
    /// `Cancelled` if it ended so; otherwise as [`result`](Self::result).
    pub fn cancel_and_wait(&self, message: impl Into<CancelMessage>, limit: impl Into<Option<Duration>>) -> Result<T> {
        let message = message.into();
        self.cancel(message.clone());
        self.wait(limit.into(), |state| state.over)?;
        match self.shared.state().task.clone() {
            Some(task) => task.result(),
            None if self.home.is_closed() => Err(Error::LoopClosed),
            None => Err(Error::Cancelled(Cancelled::news(message.0))),
        }
    }

    /// Whether the outcome is here, or it was cancelled.
    #[must_use]
    pub fn done(&self) -> bool {
        let state = self.shared.state();
        state.over || state.cancelled.is_some()
    }

    /// Whether it was cancelled: by this handle, or the coroutine ended so.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        let state = self.shared.state();
        state.cancelled.is_some() || state.over && state.task.as_ref().is_some_and(Task::cancelled)
    }

    /// The task, once the loop has scheduled it.
    #[must_use]
    pub fn task(&self) -> Option<Task<T>> {
        self.shared.state().task.clone()
    }

    fn wait(&self, limit: Option<Duration>, over: impl Fn(&State<T>) -> bool) -> Result<()> {
        let mut state = self.shared.state();
        if over(&state) {
            return Ok(());
        }
        if self.home.runs_local() {
            return Err(Error::Misuse(Misuse::WouldDeadlock));
        }
        let begun = Instant::now();
        let mut warned = false;
        while !over(&state) {
            let waited = begun.elapsed();
            let left = match limit {
                Some(limit) if waited >= limit => return Err(Error::timed_out(limit)),
                Some(limit) => limit - waited,
                None => SILENT_FOR,
            };
            if waited >= SILENT_FOR && !warned && !self.home.is_running() {
                warned = true;
                tracing::warn!("a thread has waited {waited:?} for a coroutine of an event loop that does not run");
            }
            let waited = self.shared.changed.wait_timeout(state, left.min(SILENT_FOR));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

impl<T> Clone for BlockingHandle<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), home: self.home.clone() }
    }
}

impl<T> fmt::Debug for BlockingHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match (self.done(), self.cancelled()) {
            (_, true) => "cancelled",
            (true, _) => "finished",
            _ => "pending",
        };
        write!(f, "<BlockingHandle {word}>")
    }
}
