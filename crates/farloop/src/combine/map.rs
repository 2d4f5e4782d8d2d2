//! `map`: a function over many items, a few at a time (what everybody builds with a semaphore; complaint P16).

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::body::Point;
use crate::cell::Wakeable;
use crate::error::Result;
use crate::task::{IntoTask, Task};

/// Calls in flight unless [`Map::limit`] says otherwise.
pub const MAP_LIMIT: usize = 1_024;

/// A stream of results; holds the items that have not been called yet.
///
/// Dropping it starts nothing more and leaves what runs.
pub struct Map<I, F, T> {
    items: I,
    f: F,
    limit: usize,
    ordered: bool,
    running: BTreeMap<usize, Task<T>>,
    held: BTreeMap<usize, Result<T>>,
    next_in: usize,
    next_out: usize,
    exhausted: bool,
    shared: Arc<Mutex<Shared>>,
    point: Point,
}

#[derive(Default)]
struct Shared {
    ready: VecDeque<usize>,
    whom: Option<Wakeable>,
}

/// Calls `f` on each item, at most [`Map::limit`] at a time, and yields results in order of completion.
pub fn map<I, F, A>(f: F, items: I) -> Map<I::IntoIter, F, A::Out>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> A,
    A: IntoTask,
{
    Map {
        items: items.into_iter(),
        f,
        limit: MAP_LIMIT,
        ordered: false,
        running: BTreeMap::new(),
        held: BTreeMap::new(),
        next_in: 0,
        next_out: 0,
        exhausted: false,
        shared: Arc::default(),
        point: Point::default(),
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    // Only queueing happens under this lock.
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl<I, F, T> Map<I, F, T> {
    /// At most `n` calls in flight; at least one.
    #[must_use]
    pub fn limit(mut self, n: usize) -> Self {
        self.limit = n.max(1);
        self
    }

    /// Yields in item order instead; finished results wait for their turn, within the limit.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// The next result; none when all were yielded.
    pub async fn next<A>(&mut self) -> Option<Result<T>>
    where
        I: Iterator,
        F: FnMut(I::Item) -> A,
        A: IntoTask<Out = T>,
    {
        std::future::poll_fn(|cx| self.poll_result(cx)).await
    }

    /// All results; the first error ends it, as in `gather`, and leaves what runs.
    ///
    /// # Errors
    /// The first error in the order of the stream.
    pub async fn collect<A>(mut self) -> Result<Vec<T>>
    where
        I: Iterator,
        F: FnMut(I::Item) -> A,
        A: IntoTask<Out = T>,
    {
        let mut all = Vec::new();
        while let Some(next) = self.next().await {
            all.push(next?);
        }
        Ok(all)
    }

    fn poll_result<A>(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T>>>
    where
        I: Iterator,
        F: FnMut(I::Item) -> A,
        A: IntoTask<Out = T>,
    {
        if let Some(error) = self.point.cut() {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            self.fill();
            let ready = {
                let mut shared = lock(&self.shared);
                shared.whom = Some(Wakeable::of(cx.waker()));
                shared.ready.pop_front()
            };
            let Some(at) = ready else { break };
            if let Some(task) = self.running.remove(&at) {
                let result = task.result();
                if !self.ordered {
                    return Poll::Ready(Some(result));
                }
                self.held.insert(at, result);
            }
        }
        if let Some(result) = self.held.remove(&self.next_out) {
            self.next_out += 1;
            return Poll::Ready(Some(result));
        }
        if self.exhausted && self.running.is_empty() {
            return Poll::Ready(None);
        }
        match self.point.local(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn fill<A>(&mut self)
    where
        I: Iterator,
        F: FnMut(I::Item) -> A,
        A: IntoTask<Out = T>,
    {
        while !self.exhausted && self.running.len() + self.held.len() < self.limit {
            let Some(item) = self.items.next() else {
                self.exhausted = true;
                return;
            };
            let at = self.next_in;
            self.next_in += 1;
            let task = (self.f)(item).into_member();
            let shared = Arc::downgrade(&self.shared);
            let done = task.done();
            if done {
                lock(&self.shared).ready.push_back(at);
            } else {
                task.cell().listen_internal(move |_| {
                    let Some(shared) = shared.upgrade() else { return };
                    let whom = {
                        let mut shared = lock(&shared);
                        shared.ready.push_back(at);
                        shared.whom.take()
                    };
                    if let Some(whom) = whom {
                        whom.wake();
                    }
                });
            }
            self.running.insert(at, task);
        }
    }
}

impl<I: Unpin, F, T> Unpin for Map<I, F, T> {}

impl<I, F, A> Stream for Map<I, F, A::Out>
where
    I: Iterator + Unpin,
    F: FnMut(I::Item) -> A,
    A: IntoTask,
{
    type Item = Result<A::Out>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_result(cx)
    }
}

impl<I, F, T> fmt::Debug for Map<I, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("limit", &self.limit).field("running", &self.running.len()).finish_non_exhaustive()
    }
}
