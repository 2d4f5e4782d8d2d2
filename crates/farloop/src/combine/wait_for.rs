//! `wait_for`: an await with a limit (asyncio rows 148-164).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use farloop_core::outcome::Outcome;

use crate::error::{Error, Result};
use crate::task::{Await, Forwarding, IntoTask, Task, read_outcome};
use crate::time::Timer;

/// A bounded await that is going on, or has not begun.
#[must_use = "wait_for() does nothing until it is awaited"]
pub struct WaitFor<A: IntoTask> {
    what: Option<A>,
    limit: Option<Duration>,
    task: Option<Task<A::Out>>,
    timer: Option<Timer>,
    wait: Await,
    timed_out: bool,
    owns: bool,
}

/// Awaits `what` for at most `limit`; none: without limit.
///
/// At the limit the task is cancelled, and the error comes when it has really ended (so later than the limit, by its
/// cleanup). A task that suppresses the cancel and returns is a success; one that fails meanwhile gives its error. A
/// limit of zero never starts a coroutine. What was finished at the limit is done, not late.
///
/// Cancelling the waiter cancels the task and waits for it; a second cancel while it is stubborn ends the waiter.
/// **Dropping** it cancels a coroutine that it started, and leaves a task that was passed in.
///
/// # Errors
/// [`Error::TimedOut`], with the `Cancelled` that it caused; the task's own error; the waiter's `Cancelled`.
pub fn wait_for<A: IntoTask>(what: A, limit: impl Into<Option<Duration>>) -> WaitFor<A> {
    WaitFor {
        owns: what.is_fresh(),
        what: Some(what),
        limit: limit.into(),
        task: None,
        timer: None,
        wait: Await::default(),
        timed_out: false,
    }
}

impl<A: IntoTask> Unpin for WaitFor<A> {}

impl<A: IntoTask> Future for WaitFor<A> {
    type Output = Result<A::Out>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(what) = this.what.take() {
            if this.limit.is_some_and(|l| l.is_zero()) && what.is_fresh() {
                what.discard();
                return Poll::Ready(Err(Error::timed_out(Duration::ZERO)));
            }
            this.task = Some(what.into_owned_task());
            this.timer = this.limit.map(Timer::after);
        }
        let Some(task) = &this.task else { return Poll::Ready(Err(Error::already_awaited())) };
        match this.wait.poll(task.cell(), Forwarding::Once, cx) {
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                let error = match task.cell().outcome() {
                    Some(Outcome::Cancelled(c)) if this.timed_out => {
                        let cause = task.cell().error();
                        task.cell().mark_read();
                        Some(Error::timed_out_after(this.limit.unwrap_or_default(), cause, c.abandoned))
                    }
                    _ => None,
                };
                let task = this.task.take().expect("polled above");
                return Poll::Ready(match error {
                    Some(error) => Err(error),
                    None => read_outcome(task.cell(), task.reader()),
                });
            }
            Poll::Pending => {}
        }
        if !this.timed_out && this.timer.as_mut().is_some_and(|t| t.poll(cx).is_ready()) {
            this.timed_out = true;
            this.timer = None;
            this.wait.spend();
            if !task.cell().cancel(None) {
                cx.waker().wake_by_ref();
            } else if task.done() {
                // A promise or a shield ends at once.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

impl<A: IntoTask> Drop for WaitFor<A> {
    fn drop(&mut self) {
        if let (Some(task), true) = (&self.task, self.owns)
            && !task.done()
        {
            task.cell().cancel(None);
            task.cell().mark_read();
        }
        if let Some(what) = self.what.take() {
            drop(what);
        }
    }
}

impl<A: IntoTask> fmt::Debug for WaitFor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitFor")
            .field("limit", &self.limit)
            .field("timed_out", &self.timed_out)
            .finish_non_exhaustive()
    }
}
