//! `wait`: who is done and who is not (L9, asyncio rows 115-133). Never raises a member's error, never cancels.

use std::cell::Cell as Counter;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use farloop_core::id::TaskId;
use farloop_core::outcome::Outcome;

use crate::body::Point;
use crate::cell::{Cell, Wakeable};
use crate::error::{Error, Result};
use crate::task::{IntoTask, Task};
use crate::time::Timer;

/// When [`wait`] returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReturnWhen {
    /// When all are done.
    #[default]
    AllCompleted,
    /// When one is done.
    FirstCompleted,
    /// When one has failed (a cancelled one does not count, asyncio row 124), or all are done.
    FirstException,
}

/// What [`wait`] found: each input once, on one side or the other.
#[derive(Debug)]
pub struct Done<T> {
    /// In order of completion.
    pub done: Vec<Task<T>>,
    /// In argument order. They go on.
    pub pending: Vec<Task<T>>,
}

/// A wait that is being described; `.await` it.
#[must_use = "wait() does nothing until it is awaited"]
pub struct Wait<T> {
    tasks: Vec<Task<T>>,
    timeout: Option<Duration>,
    when: ReturnWhen,
    first: usize,
}

/// Waits for tasks (not coroutines, as in asyncio from 3.11: see [`wait_coros`]) until all are done.
///
/// A timeout is no error and cancels nothing; nor does cancelling the waiter. Dropping it leaves the tasks running.
///
/// # Errors
/// When awaited: `Misuse` if there are none; the waiter's own `Cancelled`.
pub fn wait<T>(tasks: impl IntoIterator<Item = impl Into<Task<T>>>) -> Wait<T> {
    let mut seen = std::collections::HashSet::new();
    let tasks = tasks.into_iter().map(Into::into).filter(|t: &Task<T>| seen.insert(t.id())).collect();
    Wait { tasks, timeout: None, when: ReturnWhen::AllCompleted, first: usize::MAX }
}

/// As [`wait`], but schedules coroutines first: what asyncio's `wait` did up to 3.10.
#[track_caller]
pub fn wait_coros<A: IntoTask>(coros: impl IntoIterator<Item = A>) -> Wait<A::Out> {
    let tasks: Vec<Task<A::Out>> = coros.into_iter().map(IntoTask::into_member).collect();
    wait(tasks)
}

impl<T> From<&Task<T>> for Task<T> {
    fn from(task: &Self) -> Self {
        task.clone()
    }
}

impl<T> Wait<T> {
    /// Returns at the latest after `limit`; zero looks once (asyncio rows 121, 122).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// When to return.
    pub fn return_when(mut self, when: ReturnWhen) -> Self {
        self.when = when;
        self
    }

    /// Returns when `k` are done.
    pub fn first(mut self, k: usize) -> Self {
        self.first = k.max(1);
        self
    }
}

impl<T> fmt::Debug for Wait<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("tasks", &self.tasks.len())
            .field("return_when", &self.when)
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// How many waits were begun on this thread.
    static MADE: Counter<u64> = const { Counter::new(0) };
}

/// Makes a future, and tells whether it is a wait itself. An `async` block that awaits one makes it later, when it is
/// polled. (Its type would tell as well, if `T` were known.)
pub(crate) fn is_made_by<F>(make: impl FnOnce() -> F) -> (F, bool) {
    let before = MADE.get();
    let future = make();
    (future, MADE.get() != before)
}

impl<T> IntoFuture for Wait<T> {
    type Output = Result<Done<T>>;
    type IntoFuture = Waiting<T>;
    fn into_future(self) -> Waiting<T> {
        MADE.set(MADE.get().wrapping_add(1));
        Waiting { wait: Some(self), shared: Arc::default(), keys: Vec::new(), timer: None, point: Point::default() }
    }
}

/// A wait that is going on.
pub struct Waiting<T> {
    wait: Option<Wait<T>>,
    shared: Arc<Mutex<Shared>>,
    keys: Vec<(Arc<Cell>, u64)>,
    timer: Option<Timer>,
    point: Point,
}

#[derive(Default)]
struct Shared {
    order: Vec<TaskId>,
    left: usize,
    failed: bool,
    whom: Option<Wakeable>,
}

impl<T> Unpin for Waiting<T> {}

impl<T> fmt::Debug for Waiting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.wait, f)
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    // Only counting happens under this lock.
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl<T> Waiting<T> {
    /// Counts what is done now and listens to the rest.
    fn begin(&mut self, wait: &Wait<T>) {
        let (when, first, total) = (wait.when, wait.first, wait.tasks.len());
        let mut pending = Vec::new();
        {
            let mut shared = lock(&self.shared);
            for task in &wait.tasks {
                match task.cell().outcome() {
                    Some(outcome) => {
                        shared.order.push(task.id());
                        shared.failed |= matches!(outcome, Outcome::Raised(_));
                    }
                    None => pending.push(task.cell().clone()),
                }
            }
            shared.left = pending.len();
        }
        for cell in pending {
            let shared = self.shared.clone();
            let key = cell.listen_internal(move |cell| {
                let mut shared = lock(&shared);
                shared.order.push(cell.id);
                shared.left -= 1;
                shared.failed |= matches!(cell.outcome(), Some(Outcome::Raised(_)));
                if met(&shared, when, first, total)
                    && let Some(whom) = shared.whom.take()
                {
                    drop(shared);
                    whom.wake();
                }
            });
            self.keys.push((cell, key));
        }
        self.timer = wait.timeout.map(Timer::after);
    }

    fn finish(&mut self) -> Option<Done<T>> {
        for (cell, key) in self.keys.drain(..) {
            cell.unlisten_key(key);
        }
        let wait = self.wait.take()?;
        let order = std::mem::take(&mut lock(&self.shared).order);
        let rank: std::collections::HashMap<TaskId, usize> =
            order.into_iter().enumerate().map(|(i, t)| (t, i)).collect();
        // As of now, not as of the wake (row 123).
        let (mut done, pending): (Vec<_>, Vec<_>) = wait.tasks.into_iter().partition(Task::done);
        done.sort_by_key(|t| rank.get(&t.id()).copied().unwrap_or(usize::MAX));
        Some(Done { done, pending })
    }
}

fn met(shared: &Shared, when: ReturnWhen, first: usize, total: usize) -> bool {
    let done = total - shared.left;
    shared.left == 0
        || done >= first
        || match when {
            ReturnWhen::AllCompleted => false,
            ReturnWhen::FirstCompleted => done > 0,
            ReturnWhen::FirstException => shared.failed,
        }
}

impl<T> Future for Waiting<T> {
    type Output = Result<Done<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(error) = this.point.cut() {
            return Poll::Ready(Err(error));
        }
        let Some(wait) = this.wait.take() else { return Poll::Ready(Err(Error::already_awaited())) };
        if wait.tasks.is_empty() {
            return Poll::Ready(Err(Error::empty_set()));
        }
        let (when, first, total) = (wait.when, wait.first, wait.tasks.len());
        let begun = this.timer.is_some() || !this.keys.is_empty();
        if !begun {
            this.begin(&wait);
        }
        this.wait = Some(wait);
        let over = {
            let mut shared = lock(&this.shared);
            shared.whom = Some(Wakeable::of(cx.waker()));
            met(&shared, when, first, total)
        };
        let over = over || this.timer.as_mut().is_some_and(|t| t.poll(cx).is_ready());
        if over {
            let done = this.finish().expect("the wait was put back above");
            return Poll::Ready(Ok(done));
        }
        match this.point.local(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        for (cell, key) in self.keys.drain(..) {
            cell.unlisten_key(key);
        }
    }
}
