//! `as_completed`: outcomes in order of completion (L9, asyncio rows 134-147).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use farloop_core::id::TaskId;
use futures_core::Stream;

use crate::body::Point;
use crate::cell::{Cell, Wakeable};
use crate::error::{Error, Result};
use crate::task::{IntoTask, Task};
use crate::time::Timer;

/// One finished input of [`as_completed`].
#[derive(Debug)]
pub struct Completed<T> {
    /// Which input.
    pub task: Task<T>,
    /// How it ended. A failed or cancelled input does not end the stream.
    pub result: Result<T>,
}

/// A stream of the inputs in order of completion. Clones share it: each input is yielded once, to one of them.
///
/// Dropping it leaves the tasks running.
pub struct AsCompleted<T> {
    shared: Arc<Mutex<Shared<T>>>,
    point: Point,
    timer: Option<Timer>,
    waiter: Option<u64>,
}

struct Shared<T> {
    tasks: HashMap<TaskId, Task<T>>,
    ready: VecDeque<TaskId>,
    waiters: VecDeque<(u64, Wakeable)>,
    next_waiter: u64,
    timeout: Option<Duration>,
    listening: Vec<(Arc<Cell>, u64)>,
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        for (cell, key) in self.listening.drain(..) {
            cell.unlisten_key(key);
        }
    }
}

/// Schedules what is not scheduled yet, at the call, in argument order (3.13), and yields each input once, when it
/// is done; those done already come first. An input given twice counts once.
#[track_caller]
pub fn as_completed<A>(items: impl IntoIterator<Item = A>) -> AsCompleted<A::Out>
where
    A: IntoTask,
    A::Out: Send + 'static,
{
    let mut order = Vec::new();
    let mut tasks = HashMap::new();
    for task in items.into_iter().map(IntoTask::into_member) {
        tasks.entry(task.id()).or_insert_with(|| {
            order.push(task.cell().clone());
            task
        });
    }
    let shared = Shared {
        tasks,
        ready: VecDeque::new(),
        waiters: VecDeque::new(),
        next_waiter: 0,
        timeout: None,
        listening: Vec::new(),
    };
    let shared = Arc::new(Mutex::new(shared));
    let mut listening = Vec::new();
    for cell in order {
        if cell.is_done() {
            lock(&shared).ready.push_back(cell.id);
            continue;
        }
        let weak = Arc::downgrade(&shared);
        let key = cell.listen_internal(move |cell| {
            let Some(shared) = weak.upgrade() else { return };
            let waiter = {
                let mut shared = lock(&shared);
                shared.ready.push_back(cell.id);
                shared.waiters.pop_front()
            };
            if let Some((_, whom)) = waiter {
                whom.wake();
            }
        });
        listening.push((cell, key));
    }
    lock(&shared).listening = listening;
    AsCompleted { shared, point: Point::default(), timer: None, waiter: None }
}

fn lock<T>(shared: &Mutex<Shared<T>>) -> MutexGuard<'_, Shared<T>> {
    // Only queueing happens under this lock.
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl<T> AsCompleted<T> {
    /// After `limit`, each input that is not done yields `TimedOut`, and the stream ends. Nothing is cancelled.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        lock(&self.shared).timeout = Some(limit);
        self.timer = Some(Timer::after(limit));
        self
    }

    /// The next one; none when all were yielded.
    pub async fn next(&mut self) -> Option<Result<Completed<T>>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T> Clone for AsCompleted<T> {
    fn clone(&self) -> Self {
        let timer = lock(&self.shared).timeout.map(Timer::after);
        Self { shared: self.shared.clone(), point: Point::default(), timer, waiter: None }
    }
}

impl<T> Unpin for AsCompleted<T> {}

impl<T> Stream for AsCompleted<T> {
    type Item = Result<Completed<T>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(error) = this.point.cut() {
            return Poll::Ready(Some(Err(error)));
        }
        let expired = this.timer.as_mut().is_some_and(|t| t.poll(cx).is_ready());
        {
            let mut shared = lock(&this.shared);
            if let Some(waiter) = this.waiter.take() {
                shared.waiters.retain(|(w, _)| *w != waiter);
            }
            // One that ran out of time before may still come in: it was answered for.
            let mut found = None;
            while found.is_none() {
                let Some(id) = shared.ready.pop_front() else { break };
                found = shared.tasks.remove(&id);
            }
            if let Some(task) = found {
                // More may be ready than were woken for: pass the turn on.
                let next = if shared.ready.is_empty() { None } else { shared.waiters.pop_front() };
                drop(shared);
                if let Some((_, whom)) = next {
                    whom.wake();
                }
                this.point = Point::default();
                let result = task.result();
                return Poll::Ready(Some(Ok(Completed { task, result })));
            }
            if shared.tasks.is_empty() {
                for (_, whom) in shared.waiters.drain(..) {
                    whom.wake();
                }
                return Poll::Ready(None);
            }
            if expired {
                let id = shared.tasks.keys().min().copied().expect("not empty");
                shared.tasks.remove(&id);
                this.point = Point::default();
                let limit = shared.timeout.unwrap_or_default();
                return Poll::Ready(Some(Err(Error::timed_out(limit))));
            }
            let waiter = shared.next_waiter;
            shared.next_waiter += 1;
            shared.waiters.push_back((waiter, Wakeable::of(cx.waker())));
            this.waiter = Some(waiter);
        }
        match this.point.local(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

impl<T> Drop for AsCompleted<T> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            lock(&self.shared).waiters.retain(|(w, _)| *w != waiter);
        }
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = lock(&self.shared);
        f.debug_struct("AsCompleted").field("left", &shared.tasks.len()).field("ready", &shared.ready.len()).finish()
    }
}
