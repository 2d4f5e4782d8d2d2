//! What a handle points to: the state of one future, shared by all handles, and the listeners that wait for its end.
//!
//! A cell may stand for a remote task, a task on this loop, a promise, a gather or a shield; whoever waits does not
//! care which. Completion happens on the loop (never inside the code that completes, asyncio row 56): the cell's
//! listeners go to the end of the loop's ready queue, in the order in which they were registered (rows 64, 71).

use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Waker;

use farloop_core::id::TaskId;
use farloop_core::outcome::{Cancellation, Outcome};

use crate::body::Body;
use crate::combine::gather::GatherState;
use crate::error::Error;
use crate::event_loop::LoopShared;

type Run = Box<dyn FnOnce(&Arc<Cell>) + Send>;

/// Who waits for a cell.
pub(crate) enum Listener {
    /// An await.
    Wake { key: u64, whom: Wakeable },
    /// A done callback.
    Callback { id: u64, key: Option<String>, run: Run },
    /// A combinator of ours.
    Internal { key: u64, run: Run },
}

/// Whom to wake. A body that farloop polls is named rather than its waker cloned: clones of that waker tell that
/// something foreign (a socket, a tokio timer) is pending, and then the slot is kept.
#[derive(Clone)]
pub(crate) enum Wakeable {
    Body(Arc<Body>),
    Foreign(Waker),
}

impl Wakeable {
    /// The one that `waker` wakes.
    pub(crate) fn of(waker: &Waker) -> Self {
        match Body::current() {
            Some(body) if body.is_waker(waker) => Self::Body(body),
            _ => Self::Foreign(waker.clone()),
        }
    }

    pub(crate) fn wake(&self) {
        match self {
            Self::Body(body) => body.wake(),
            Self::Foreign(waker) => waker.wake_by_ref(),
        }
    }
}

/// What kind of thing ends here.
pub(crate) enum Kind {
    /// A task of the cluster.
    Remote,
    /// A coroutine on this loop.
    Local(Mutex<Weak<Body>>),
    /// Completed by a [`Promise`](crate::future::Promise), or at birth.
    Promise,
    /// Over when its members say so.
    Gather(GatherState),
    /// Mirrors another cell and forwards no cancel.
    Shield(Arc<Cell>),
}

pub(crate) struct Cell {
    pub(crate) id: TaskId,
    pub(crate) function: Arc<str>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) home: Arc<LoopShared>,
    pub(crate) kind: Kind,
    inner: Mutex<Inner>,
    /// Somebody looked at the outcome: no report of an unread error.
    read: AtomicBool,
    /// No handle is left.
    orphaned: AtomicBool,
}

struct Inner {
    name: Option<Arc<str>>,
    outcome: Option<Outcome>,
    /// One error per cell: repeated reads give the same one (row 36).
    error: Option<Error>,
    listeners: Vec<Listener>,
    next_key: u64,
    cancels: u32,
    /// Own requests are on their way.
    unechoed: bool,
    accepted: bool,
    /// Somebody else's task, or nobody's: it does not end with this session.
    foreign: bool,
}

impl Cell {
    pub(crate) fn new(
        id: TaskId,
        function: Arc<str>,
        name: Option<Arc<str>>,
        location: &'static Location<'static>,
        home: Arc<LoopShared>,
        kind: Kind,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            function,
            location,
            home,
            kind,
            inner: Mutex::new(Inner {
                name,
                outcome: None,
                error: None,
                listeners: Vec::new(),
                next_key: 1,
                cancels: 0,
                unechoed: false,
                accepted: false,
                foreign: false,
            }),
            read: AtomicBool::new(false),
            orphaned: AtomicBool::new(false),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing user-written runs under this lock, so it cannot be poisoned by a user's panic.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> Arc<str> {
        let mut inner = self.inner();
        match &inner.name {
            Some(name) => name.clone(),
            None => {
                let name = self.home.next_task_name();
                inner.name = Some(name.clone());
                name
            }
        }
    }

    pub(crate) fn set_name(&self, name: Arc<str>) {
        self.inner().name = Some(name);
    }

    pub(crate) fn set_foreign(&self) {
        self.inner().foreign = true;
    }

    /// A task that this session owns.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Remote | Kind::Local(_)) && !self.inner().foreign
    }

    pub(crate) fn is_done(&self) -> bool {
        self.inner().outcome.is_some()
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.inner().outcome.clone()
    }

    /// Only a task that really ended by Cancelled (row 32); a gather never is (rows 91, 97).
    pub(crate) fn is_cancelled(&self) -> bool {
        !matches!(self.kind, Kind::Gather(_)) && matches!(self.inner().outcome, Some(Outcome::Cancelled(_)))
    }

    /// Requests that stand.
    pub(crate) fn cancelling(&self) -> u32 {
        if let Some(body) = self.local_body() {
            return body.standing();
        }
        self.inner().cancels
    }

    /// Whether the coordinator said that a request of ours (or anybody's) was counted.
    pub(crate) fn cancel_accepted(&self) -> bool {
        self.inner().accepted || !matches!(self.kind, Kind::Remote)
    }

    /// The coordinator's count of standing requests.
    pub(crate) fn cancel_count_told(&self, count: u32) {
        let mut inner = self.inner();
        inner.accepted = true;
        // The count lags behind what this process has sent; once it has caught up it is the truth.
        if count >= inner.cancels || !inner.unechoed {
            inner.cancels = count;
            inner.unechoed = false;
        }
    }

    /// The error of a failed or cancelled cell: one per cell, so that repeated reads agree.
    pub(crate) fn error(&self) -> Option<Error> {
        let mut inner = self.inner();
        if inner.error.is_none() {
            inner.error = inner.outcome.as_ref().and_then(Error::from_outcome);
        }
        inner.error.clone()
    }

    /// The error, if it was given as one rather than as an outcome from the wire.
    pub(crate) fn mark_read(&self) {
        self.read.store(true, Ordering::Relaxed);
        if let Kind::Shield(inner) = &self.kind {
            // A shield that ended before the task has told nothing of it (row 188).
            if inner.is_done() {
                inner.read.store(true, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn is_read(&self) -> bool {
        self.read.load(Ordering::Relaxed)
    }

    /// Completes; false if it was done already (then nothing changes, row 50).
    pub(crate) fn complete(self: &Arc<Self>, outcome: Outcome) -> bool {
        self.complete_with(outcome, None)
    }

    /// Completes with an error that has no wire form (a loop error, say).
    pub(crate) fn complete_with(self: &Arc<Self>, outcome: Outcome, error: Option<Error>) -> bool {
        let failed = matches!(outcome, Outcome::Raised(_));
        let listeners = {
            let mut inner = self.inner();
            if inner.outcome.is_some() {
                return false;
            }
            inner.outcome = Some(outcome);
            inner.error = error;
            std::mem::take(&mut inner.listeners)
        };
        self.home.ready(self, listeners);
        if failed && self.orphaned.load(Ordering::Acquire) && self.kind_reports() {
            // No handle is left to read it; combinators mark what they collect, so they go first.
            self.home.report_later(self.clone());
        }
        true
    }

    /// The last handle is gone (row 337).
    pub(crate) fn orphan(self: &Arc<Self>) {
        self.orphaned.store(true, Ordering::Release);
        if !self.is_read() && self.kind_reports() && matches!(self.inner().outcome, Some(Outcome::Raised(_))) {
            self.report_unread();
        }
    }

    fn kind_reports(&self) -> bool {
        !matches!(self.kind, Kind::Shield(_))
    }

    pub(crate) fn report_unread(self: &Arc<Self>) {
        if !self.read.swap(true, Ordering::Relaxed)
            && let Some(error) = self.error()
        {
            crate::report::never_retrieved(self, &error);
        }
    }

    /// Registers a waiter, or says `false` if the cell is done.
    pub(crate) fn listen_wake(&self, key: &mut Option<u64>, waker: &Waker) -> bool {
        let whom = Wakeable::of(waker);
        let mut inner = self.inner();
        if inner.outcome.is_some() {
            return false;
        }
        if let Some(mine) = *key {
            for listener in &mut inner.listeners {
                if let Listener::Wake { key, whom: old } = listener
                    && *key == mine
                {
                    *old = whom;
                    return true;
                }
            }
        }
        let fresh = inner.next_key;
        inner.next_key += 1;
        *key = Some(fresh);
        inner.listeners.push(Listener::Wake { key: fresh, whom });
        true
    }

    /// Registers a combinator's listener. On a done cell it goes to the ready queue at once (row 69).
    pub(crate) fn listen_internal(self: &Arc<Self>, run: impl FnOnce(&Arc<Self>) + Send + 'static) -> u64 {
        self.listen(|key| Listener::Internal { key, run: Box::new(run) })
    }

    pub(crate) fn listen_callback(
        self: &Arc<Self>,
        name: Option<String>,
        run: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> u64 {
        self.listen(|id| Listener::Callback { id, key: name, run: Box::new(run) })
    }

    fn listen(self: &Arc<Self>, make: impl FnOnce(u64) -> Listener) -> u64 {
        let (key, now) = {
            let mut inner = self.inner();
            let key = inner.next_key;
            inner.next_key += 1;
            let listener = make(key);
            if inner.outcome.is_some() {
                (key, Some(listener))
            } else {
                inner.listeners.push(listener);
                (key, None)
            }
        };
        if let Some(listener) = now {
            self.home.ready(self, vec![listener]);
        }
        key
    }

    /// Takes listeners out; how many there were.
    pub(crate) fn unlisten(&self, gone: impl Fn(&Listener) -> bool) -> usize {
        let removed: Vec<Listener> = {
            let mut inner = self.inner();
            let (gone, kept) = std::mem::take(&mut inner.listeners).into_iter().partition(gone);
            inner.listeners = kept;
            gone
        };
        removed.len()
    }

    pub(crate) fn unlisten_key(&self, mine: u64) -> usize {
        self.unlisten(|l| match l {
            Listener::Wake { key, .. } | Listener::Internal { key, .. } => *key == mine,
            Listener::Callback { id, .. } => *id == mine,
        })
    }

    pub(crate) fn callbacks(&self) -> usize {
        self.inner().listeners.iter().filter(|l| matches!(l, Listener::Callback { .. })).count()
    }

    /// Asks it to stop; whether the request was accepted as far as this process knows.
    pub(crate) fn cancel(self: &Arc<Self>, message: Option<String>) -> bool {
        if self.is_done() {
            // As asyncio (row 246): whoever cancels a failed task has taken note of it.
            self.mark_read();
            return false;
        }
        match &self.kind {
            Kind::Remote => {
                {
                    let mut inner = self.inner();
                    inner.cancels += 1;
                    inner.unechoed = true;
                }
                self.home.session().cancel(self.id, message);
                true
            }
            Kind::Local(_) => match self.local_body() {
                Some(body) => {
                    body.request(message);
                    true
                }
                None => false,
            },
            Kind::Promise | Kind::Shield(_) => {
                self.complete(Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false })))
            }
            Kind::Gather(state) => state.cancel(message),
        }
    }

    /// Withdraws one request; how many stand.
    pub(crate) fn uncancel(&self) -> u32 {
        match &self.kind {
            Kind::Local(_) => self.local_body().map_or(0, |body| body.uncancel()),
            Kind::Remote => {
                let left = {
                    let mut inner = self.inner();
                    if inner.outcome.is_some() || inner.cancels == 0 {
                        return inner.cancels;
                    }
                    inner.cancels -= 1;
                    inner.unechoed = false;
                    inner.cancels
                };
                self.home.session().uncancel(self.id);
                left
            }
            _ => 0,
        }
    }

    /// The coordinator need not keep its outcome.
    pub(crate) fn release(&self) {
        if matches!(self.kind, Kind::Remote) {
            self.home.session().release(self.id);
        }
    }

    /// What a task of this loop awaits now.
    pub(crate) fn waits_for(&self) -> Option<TaskId> {
        self.local_body()?.waits_for()
    }

    /// The lock, queue or barrier that a task of this loop waits for now.
    pub(crate) fn waits_on(&self) -> Option<Arc<str>> {
        self.local_body()?.waits_on()
    }

    /// The body of a task of this loop that runs.
    pub(crate) fn local_body(&self) -> Option<Arc<Body>> {
        let Kind::Local(body) = &self.kind else { return None };
        body.lock().unwrap_or_else(std::sync::PoisonError::into_inner).upgrade()
    }

    /// Tasks of the cluster that this cell stands for: what a wait edge names.
    pub(crate) fn remote_ids(&self, into: &mut Vec<TaskId>) {
        match &self.kind {
            Kind::Remote if !self.is_done() => into.push(self.id),
            Kind::Gather(state) => state.remote_ids(into),
            _ => {}
        }
    }
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cell").field("id", &self.id).field("function", &self.function).finish_non_exhaustive()
    }
}
