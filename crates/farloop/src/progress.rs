//! What a body tells about itself while it runs: heartbeats, whose details the next attempt is given, and progress
//! values, which whoever watches is told. Both leave at a bounded pace, the newest wins.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use farloop_core::frame::Up;
use farloop_core::id::TaskId;
use farloop_core::limits;
use futures_core::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::body::{Body, Point, Who};
use crate::cell::{Cell, Kind, Wakeable};
use crate::codec;
use crate::error::{Error, Misuse, Result};
use crate::event_loop::Ready;
use crate::task::Task;

/// Heartbeats of one body leave no more often than this, nor than three times in its heartbeat timeout.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// Progress values of one body leave no more often than this.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// Says that the running task is alive, and how far it came: if this attempt is lost, the next one reads `details` with
/// [`heartbeat_details`]. Call it as often as you like: what is sent is limited to three a heartbeat timeout and one a
/// second, the newest details win, and what was held back follows by itself.
///
/// It matters where the call sets [`heartbeat_timeout`](crate::Coro::heartbeat_timeout): an attempt that is silent for
/// that long is taken for lost. It is a function and no await: also a body that only computes, or one on the blocking
/// pool, can call it. Details that the coordinator has are kept until the task is over; they do not survive its restart.
///
/// # Errors
/// `details` do not encode, or take more than 32 KiB (`MAX_DETAILS`); no task's body runs here.
pub fn heartbeat<T: Serialize>(details: T) -> Result<()> {
    let (body, details) = told("heartbeat", details)?;
    body.tell(What::Heartbeat, details);
    Ok(())
}

/// Details of the last heartbeat of the attempts before this one; none if there was none.
///
/// # Errors
/// They are no `T`; no task's body runs here.
pub fn heartbeat_details<T: DeserializeOwned>() -> Result<Option<T>> {
    let body = running("heartbeat_details")?;
    body.details().map(|details| codec::decode(&details)).transpose()
}

/// Sets the progress value of the running task: any value that says how far it is. Whoever watches
/// ([`Task::progress`]) is told the newest, at most twenty times a second, and `GetTask` shows it.
///
/// # Errors
/// `value` does not encode, or takes more than 32 KiB (`MAX_DETAILS`); no task's body runs here.
pub fn set_progress<T: Serialize>(value: T) -> Result<()> {
    let (body, value) = told("set_progress", value)?;
    body.tell(What::Progress, value);
    Ok(())
}

fn running(function: &str) -> Result<Arc<Body>> {
    Body::current().ok_or_else(|| {
        Misuse::Other(format!("{function}() is for the body of a task, and none runs on this thread")).into()
    })
}

fn told<T: Serialize>(function: &str, value: T) -> Result<(Arc<Body>, Bytes)> {
    let body = running(function)?;
    let value = codec::encode(&value)?;
    if value.len() > limits::MAX_DETAILS {
        let limit = limits::MAX_DETAILS;
        let text = format!("{function}: the value takes {} bytes and MAX_DETAILS is {limit}", value.len());
        return Err(Error::resource_exhausted(&body.function, text));
    }
    Ok((body, value))
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    Heartbeat,
    Progress,
}

/// What a body has told, and what it was given.
#[derive(Default)]
pub(crate) struct Telling {
    /// Of the attempts before.
    details: Option<Bytes>,
    heartbeat_timeout: Option<Duration>,
    heartbeat: Pace,
    progress: Pace,
}

/// When the last value left, and the one that waits.
#[derive(Default)]
struct Pace {
    last: Option<Instant>,
    waiting: Option<Bytes>,
}

impl Telling {
    pub(crate) fn new(details: Option<Bytes>, heartbeat_timeout: Option<Duration>) -> Self {
        Self { details, heartbeat_timeout, ..Self::default() }
    }

    fn pace(&mut self, what: What) -> (&mut Pace, Duration) {
        match what {
            What::Heartbeat => {
                let third = self.heartbeat_timeout.map_or(HEARTBEAT_EVERY, |limit| limit / 3);
                (&mut self.heartbeat, third.min(HEARTBEAT_EVERY))
            }
            What::Progress => (&mut self.progress, PROGRESS_EVERY),
        }
    }

    /// What leaves now, and when what waits will, if nothing else sees to that.
    fn add(&mut self, what: What, value: Bytes, now: Instant) -> (Option<Bytes>, Option<Instant>) {
        let (pace, every) = self.pace(what);
        match pace.last.map(|last| last + every).filter(|at| *at > now) {
            None => {
                pace.last = Some(now);
                pace.waiting = None;
                (Some(value), None)
            }
            Some(at) => (None, pace.waiting.replace(value).is_none().then_some(at)),
        }
    }

    fn take(&mut self, what: What) -> Option<Bytes> {
        let (pace, _) = self.pace(what);
        let value = pace.waiting.take()?;
        pace.last = Some(Instant::now());
        Some(value)
    }
}

impl Body {
    fn details(self: &Arc<Self>) -> Option<Bytes> {
        self.at_work()?.telling(|t| t.details.clone())
    }

    fn tell(self: &Arc<Self>, what: What, value: Bytes) {
        if let Who::Local(cell) = &self.who {
            match (what, self.at_work()) {
                // Whoever watches is in this process.
                (What::Progress, _) => self.home.session().onlookers().told(cell.id, &value),
                (What::Heartbeat, Some(attempt)) => attempt.tell(what, value),
                // Nobody would start it again.
                (What::Heartbeat, None) => {}
            }
            return;
        }
        self.tells.store(true, Ordering::Relaxed);
        let (now, later) = self.telling(|t| t.add(what, value, Instant::now()));
        if let Some(value) = now {
            self.send_told(what, value);
        }
        if let Some(at) = later {
            self.home.push(Ready::TellLater { body: self.clone(), what, at });
        }
    }

    /// The body has ended: what was held back leaves before that is told.
    pub(crate) fn tell_rest(&self) {
        if self.tells.load(Ordering::Relaxed) {
            self.tell_waiting(What::Heartbeat);
            self.tell_waiting(What::Progress);
        }
    }

    /// What was held back may leave now.
    pub(crate) fn tell_waiting(&self, what: What) {
        if let Some(value) = self.telling_if_any(|t| t.take(what)).flatten() {
            self.send_told(what, value);
        }
    }

    fn send_told(&self, what: What, value: Bytes) {
        let Some(attempt) = self.attempt() else { return };
        self.home.session().push(match what {
            What::Heartbeat => Up::TaskHeartbeat { attempt, details: value },
            What::Progress => Up::TaskProgress { attempt, value },
        });
    }
}

/// Tasks whose progress somebody in this process watches.
#[derive(Default)]
pub(crate) struct Onlookers {
    /// Whether there ever were any: the end of a task costs no lock where nobody watches.
    any: AtomicBool,
    tasks: Mutex<HashMap<TaskId, Arc<Latest>>>,
}

/// The newest progress value of one task.
#[derive(Default)]
struct Latest(Mutex<Newest>);

#[derive(Default)]
struct Newest {
    value: Option<Bytes>,
    /// Grows with each value.
    version: u64,
    waiting: Vec<(u64, Wakeable)>,
    next: u64,
}

impl Onlookers {
    fn tasks(&self) -> MutexGuard<'_, HashMap<TaskId, Arc<Latest>>> {
        // Only bookkeeping happens under this lock, and the next.
        self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The second part: nobody has asked for it before.
    fn of(&self, task: TaskId) -> (Arc<Latest>, bool) {
        self.any.store(true, Ordering::Release);
        let mut tasks = self.tasks();
        let fresh = !tasks.contains_key(&task);
        (tasks.entry(task).or_default().clone(), fresh)
    }

    pub(crate) fn told(&self, task: TaskId, value: &Bytes) {
        let Some(latest) = self.tasks().get(&task).cloned() else { return };
        let waiting = {
            let mut newest = latest.newest();
            newest.value = Some(value.clone());
            newest.version += 1;
            std::mem::take(&mut newest.waiting)
        };
        for (_, whom) in waiting {
            whom.wake();
        }
    }

    /// The task is over, or nobody knows what became of it. Streams that have begun keep the last value.
    pub(crate) fn over(&self, task: TaskId) {
        if self.any.load(Ordering::Acquire) {
            self.tasks().remove(&task);
        }
    }

    /// Tasks that somebody watches.
    pub(crate) fn tasks_asked(&self) -> Vec<TaskId> {
        self.tasks().keys().copied().collect()
    }

    pub(crate) fn clear(&self) {
        self.tasks().clear();
    }
}

impl Latest {
    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The progress values of a task as they come: each time the newest, without those that nobody was in time for. Ends
/// with the task, after its last value. Dropping it changes nothing for the task.
#[must_use = "a stream does nothing until it is polled"]
pub struct Progress<T> {
    cell: Arc<Cell>,
    latest: Arc<Latest>,
    seen: u64,
    waiter: Option<u64>,
    listening: Option<u64>,
    point: Point,
    of: PhantomData<fn() -> T>,
}

impl<R> Task<R> {
    /// Watches the values that the body sets with [`set_progress`]. They are of the type that the body used; one that is
    /// not a `T` is an error among the values.
    ///
    /// ```
    /// # use farloop::prelude::*;
    /// #[farloop::task]
    /// async fn build(steps: u32) -> farloop::Result<()> {
    ///     for step in 1..=steps {
    ///         farloop::set_progress(format!("{step} of {steps}"))?;
    ///         farloop::sleep(Duration::from_secs(1)).await?;
    ///     }
    ///     Ok(())
    /// }
    /// # farloop::testing::Cluster::new().run(async || {
    /// let task = ensure_future(build(3));
    /// let mut progress = task.progress::<String>();
    /// let mut last = String::new();
    /// while let Some(value) = progress.next().await {
    ///     last = value?;
    /// }
    /// assert_eq!(last, "3 of 3");
    /// # farloop::Result::<()>::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn progress<T: DeserializeOwned>(&self) -> Progress<T> {
        let mut cell = self.cell();
        while let Kind::Shield(inner) = &cell.kind {
            cell = inner;
        }
        let session = cell.home.session();
        let (latest, fresh) = session.onlookers().of(cell.id);
        if cell.is_done() {
            session.onlookers().over(cell.id);
        } else if fresh && matches!(cell.kind, Kind::Remote) {
            session.push(Up::WatchProgress(cell.id));
        }
        Progress {
            cell: cell.clone(),
            latest,
            seen: 0,
            waiter: None,
            listening: None,
            point: Point::default(),
            of: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> Progress<T> {
    /// The next one; none when the task is over and its last value was given.
    pub async fn next(&mut self) -> Option<Result<T>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T> Progress<T> {
    fn stop_waiting(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            self.latest.newest().waiting.retain(|(w, _)| *w != waiter);
        }
    }
}

impl<T> Unpin for Progress<T> {}

impl<T: DeserializeOwned> Stream for Progress<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = &mut *self;
        if let Some(error) = this.point.cut() {
            return Poll::Ready(Some(Err(error)));
        }
        this.stop_waiting();
        // Before the value is looked at: one that is set before the task ends must not be missed.
        let done = !this.cell.listen_wake(&mut this.listening, cx.waker());
        {
            let mut newest = this.latest.newest();
            if newest.version > this.seen
                && let Some(value) = newest.value.clone()
            {
                this.seen = newest.version;
                drop(newest);
                this.point = Point::default();
                return Poll::Ready(Some(codec::decode(&value)));
            }
            if done {
                drop(newest);
                this.point = Point::default();
                return Poll::Ready(None);
            }
            let waiter = newest.next;
            newest.next += 1;
            newest.waiting.push((waiter, Wakeable::of(cx.waker())));
            this.waiter = Some(waiter);
        }
        match this.point.local(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

impl<T> Drop for Progress<T> {
    fn drop(&mut self) {
        self.stop_waiting();
        if let Some(key) = self.listening {
            self.cell.unlisten_key(key);
        }
    }
}

impl<T> fmt::Debug for Progress<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("task", &self.cell.id).field("seen", &self.seen).finish_non_exhaustive()
    }
}
