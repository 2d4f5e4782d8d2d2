//! `asyncio.run` and its Runner: a loop for one program, and nothing left behind (rows 281-287).

use std::cell::Cell as Slot;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use farloop_core::outcome::Outcome;
use futures_util::FutureExt;

use super::EventLoop;
use super::event_loop::{Kept, Target, own_value};
use crate::ambient;
use crate::body::Body;
use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::task::Task;

/// Runs a coroutine or an `async` block on a fresh loop (the cluster at `FARLOOP_ADDRESS`, or one in this process), and
/// closes the loop: asyncio's `run`.
///
/// When it is done, tasks of this session that are left are cancelled and awaited first; their errors are reported
/// (`unhandled exception during run() shutdown`). Detached tasks, and those of others, are left alone.
///
/// The first Ctrl-C cancels it and waits for it; the second gives it up at once.
///
/// ```
/// assert_eq!(farloop::run(async { Ok(farloop::current_task().is_some()) })?, true);
/// # Ok::<(), farloop::Error>(())
/// ```
///
/// # Errors
/// What it fails with. [`Error::Interrupted`] if it ended cancelled because of Ctrl-C; those of
/// [`EventLoop::from_env`]; [`Error::AlreadyRunning`] inside of a running loop or tokio runtime (nothing is started
/// then).
#[track_caller]
pub fn run<W, T>(what: W) -> Result<T>
where
    W: IntoFuture<Output = Result<T>>,
    W::IntoFuture: 'static,
    T: 'static,
{
    let runner = Runner::new()?;
    let result = runner.run(what);
    runner.close()?;
    result
}

/// As [`run`], for several programs on one loop, one after the other, in one context: a context variable that an
/// `async` block sets, the next program sees. **Dropped**, it closes.
pub struct Runner {
    event_loop: EventLoop,
    /// Nobody waits for anything any more: Ctrl-C came twice.
    abandoned: Slot<bool>,
    /// What one program sets, the next one sees (row 287).
    kept: Kept,
}

impl Runner {
    /// With a loop of its own: the cluster at `FARLOOP_ADDRESS`, or one in this process.
    ///
    /// # Errors
    /// As [`EventLoop::from_env`]; [`Error::AlreadyRunning`] inside of a running loop or tokio runtime.
    pub fn new() -> Result<Self> {
        super::event_loop::refuse_inside()?;
        Ok(Self::with(EventLoop::from_env()?))
    }

    /// With this loop.
    #[must_use]
    pub fn with(event_loop: EventLoop) -> Self {
        Self { event_loop, abandoned: Slot::new(false), kept: Kept::default() }
    }

    /// The loop.
    #[must_use]
    pub fn get_loop(&self) -> &EventLoop {
        &self.event_loop
    }

    /// Runs a coroutine or an `async` block to its end.
    ///
    /// # Errors
    /// As [`run`]; [`Error::LoopClosed`] after [`close`](Self::close).
    #[track_caller]
    pub fn run<W, T>(&self, what: W) -> Result<T>
    where
        W: IntoFuture<Output = Result<T>>,
        W::IntoFuture: 'static,
        T: 'static,
    {
        self.event_loop.may_run()?;
        let target = self.event_loop.target(what.into_future(), None, &self.kept)?;
        self.run_cell(target.cell())?;
        target.read()
    }

    /// Runs the body of a `main`, whatever it returns. A panic in it goes through.
    pub(crate) fn run_main<F, R>(&self, body: F) -> Result<R>
    where
        F: Future<Output = R> + 'static,
        R: 'static,
    {
        self.event_loop.may_run()?;
        let main = async move {
            let result = AssertUnwindSafe(body).catch_unwind().await;
            // What it returns is nothing that can be looked into; the token of a cancel that was delivered to it can be
            // counted.
            let passes_cancel = Body::current().is_some_and(|me| Arc::strong_count(&me.token) > 1);
            Ok((result, passes_cancel))
        };
        let Target::Own(cell, value) = self.event_loop.target(main, Some("main"), &self.kept)? else {
            return Err(Error::already_awaited());
        };
        let interrupted = self.run_cell(&cell)?;
        match own_value(&cell, &value)? {
            (Err(panic), _) => std::panic::resume_unwind(panic),
            (Ok(_), true) if interrupted => Err(Error::Interrupted),
            (Ok(result), _) => Ok(result),
        }
    }

    /// Runs until the cell is done; whether Ctrl-C came meanwhile.
    fn run_cell(&self, cell: &Arc<Cell>) -> Result<bool> {
        let ran = self.event_loop.run_to_its_end(cell);
        self.abandoned.set(matches!(ran, Err(Error::Interrupted)) && !cell.is_done());
        ran
    }

    /// Cancels what is left, waits for it, reports its errors, and closes the loop. A second time it does nothing.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] from inside of its own run.
    pub fn close(&self) -> Result<()> {
        if !self.event_loop.is_closed() {
            self.event_loop.may_run()?;
            if !self.abandoned.get() {
                self.finish_leftovers();
            }
        }
        self.event_loop.close()
    }

    fn finish_leftovers(&self) {
        let left: Vec<Arc<Cell>> =
            self.event_loop.home().session().pending_cells().into_iter().filter(|cell| cell.is_ours()).collect();
        if left.is_empty() {
            return;
        }
        for cell in &left {
            cell.cancel(None);
        }
        let waits: Vec<Task<()>> = left.iter().map(|cell| Task::from_cell(cell.clone(), |_| Ok(()))).collect();
        let ended = self.event_loop.run_beside(async move {
            for task in waits {
                // How it ended is told below.
                let _ = task.await;
            }
        });
        if let Err(error) = ended {
            tracing::warn!(%error, "tasks were left behind when the loop was closed");
        }
        for cell in left {
            if let (Some(Outcome::Raised(_)), Some(error)) = (cell.outcome(), cell.error()) {
                cell.mark_read();
                crate::report::failed_at_shutdown(&cell, &error);
            }
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "a runner was dropped while it runs");
        }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("loop", &self.event_loop).finish_non_exhaustive()
    }
}

/// What `#[farloop::main]` does: the loop is the process's default besides.
///
/// # Errors
/// As [`run`].
pub(crate) fn main<F, R>(body: F) -> Result<R>
where
    F: Future<Output = R> + 'static,
    R: 'static,
{
    let runner = Runner::new()?;
    ambient::offer_default(runner.get_loop().home());
    let result = runner.run_main(body);
    runner.close()?;
    result
}
