//! An event loop as the SDK sees it: a ready queue that one thread works off, and the session behind it.
//!
//! Everything that may run user code (completions, done callbacks, starts) goes through the queue, so that it happens
//! on the loop's own thread, in order, and never inside the code that caused it (asyncio rows 56, 65, 273).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread::ThreadId;

use farloop_core::frame::{Owner, Print};
use farloop_core::id::{AttemptId, TaskId};
use farloop_core::outcome::Outcome;
use futures_util::task::AtomicWaker;

use crate::body::Body;
use crate::cell::{Cell, Kind, Listener};
use crate::coro::CallSpec;
use crate::error::Error;
use crate::session::SessionShared;
use crate::worker::host::{Host, Started};

/// Completions worked off before other work of the thread gets its turn.
const TURN: usize = 128;

/// Something to do on the loop's thread.
pub(crate) enum Ready {
    Complete(Arc<Cell>, Outcome),
    CancelCount(Arc<Cell>, u32),
    Listeners(Arc<Cell>, Vec<Listener>),
    Report(Arc<Cell>),
    Print(Print),
    Start(Box<Started>),
    Cancel { attempt: AttemptId, number: u32, message: Option<String> },
    CancelWithdrawn { attempt: AttemptId, standing: u32 },
    Fence(AttemptId),
    Deadlock { attempt: AttemptId, cycle: Vec<TaskId> },
}

static NEXT_LOOP: AtomicU64 = AtomicU64::new(1);

pub(crate) struct LoopShared {
    pub(crate) id: u64,
    session: Arc<SessionShared>,
    queue: Mutex<VecDeque<Ready>>,
    waker: AtomicWaker,
    closed: AtomicBool,
    /// The thread whose local runtime runs this loop, if farloop made that runtime: local coroutines need one.
    local_thread: Option<ThreadId>,
    nowhere: bool,
}

impl LoopShared {
    pub(crate) fn new(session: Arc<SessionShared>, local_thread: Option<ThreadId>) -> Arc<Self> {
        Self::make(session, local_thread, false)
    }

    /// A loop that is none: what is scheduled there has failed already.
    pub(crate) fn nowhere(session: Arc<SessionShared>) -> Arc<Self> {
        Self::make(session, None, true)
    }

    fn make(session: Arc<SessionShared>, local_thread: Option<ThreadId>, nowhere: bool) -> Arc<Self> {
        let home = Arc::new(Self {
            id: NEXT_LOOP.fetch_add(1, Ordering::Relaxed),
            session,
            queue: Mutex::new(VecDeque::new()),
            waker: AtomicWaker::new(),
            closed: AtomicBool::new(false),
            local_thread,
            nowhere,
        });
        home.session.set_home(&home);
        home
    }

    pub(crate) fn session(&self) -> &Arc<SessionShared> {
        &self.session
    }

    pub(crate) fn runs_local(&self) -> bool {
        self.local_thread == Some(std::thread::current().id())
    }

    pub(crate) fn next_task_name(&self) -> Arc<str> {
        self.session.next_task_name()
    }

    /// Where calls go that have no loop.
    pub(crate) fn is_nowhere(&self) -> bool {
        self.nowhere
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Ready>> {
        // Only pushes and pops happen under this lock.
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn push(&self, ready: Ready) {
        self.queue().push_back(ready);
        self.waker.wake();
    }

    pub(crate) fn push_all(&self, ready: impl IntoIterator<Item = Ready>) {
        self.queue().extend(ready);
        self.waker.wake();
    }

    /// A cell is done: its listeners run in registration order. Plain awaiters need no turn of their own, since
    /// waking only queues them.
    pub(crate) fn ready(&self, cell: &Arc<Cell>, listeners: Vec<Listener>) {
        if listeners.is_empty() {
            return;
        }
        if listeners.iter().all(|l| matches!(l, Listener::Wake { .. })) {
            for listener in listeners {
                if let Listener::Wake { whom, .. } = listener {
                    whom.wake();
                }
            }
            return;
        }
        self.push(Ready::Listeners(cell.clone(), listeners));
    }

    pub(crate) fn report_later(&self, cell: Arc<Cell>) {
        self.push(Ready::Report(cell));
    }

    /// Schedules a call. Never fails: what can't be scheduled is a handle that has failed already.
    pub(crate) fn schedule(self: &Arc<Self>, call: CallSpec, owner: Owner) -> Arc<Cell> {
        self.session.submit(self, call, owner)
    }

    /// Works the queue off for ever, or until the loop is closed. `host` runs attempts, on a worker.
    pub(crate) async fn run(self: Arc<Self>, mut host: Option<Host>) {
        loop {
            let batch = std::future::poll_fn(|cx| {
                self.waker.register(cx.waker());
                let mut queue = self.queue();
                if !queue.is_empty() {
                    return Poll::Ready(Some(std::mem::take(&mut *queue)));
                }
                if self.is_closed() { Poll::Ready(None) } else { Poll::Pending }
            })
            .await;
            let Some(batch) = batch else { return };
            self.turn(batch, host.as_mut()).await;
        }
    }

    async fn turn(self: &Arc<Self>, batch: VecDeque<Ready>, mut host: Option<&mut Host>) {
        let mut since_yield = 0;
        for ready in batch {
            since_yield += 1;
            if since_yield > TURN {
                tokio::task::yield_now().await;
                since_yield = 0;
            }
            match ready {
                Ready::Complete(cell, outcome) => {
                    cell.complete(outcome);
                }
                Ready::CancelCount(cell, count) => cell.cancel_count_told(count),
                Ready::Listeners(cell, listeners) => self.run_listeners(&cell, listeners).await,
                Ready::Report(cell) => cell.report_unread(),
                Ready::Print(print) => self.session.show(&print),
                other => {
                    if let Some(host) = host.as_deref_mut() {
                        host.take(self, other);
                    }
                }
            }
        }
    }

    /// One list for awaiters and callbacks keeps their order: after waking, a turn passes before the next callback
    /// (asyncio row 71).
    async fn run_listeners(&self, cell: &Arc<Cell>, listeners: Vec<Listener>) {
        let mut woke = false;
        for listener in listeners {
            match listener {
                Listener::Wake { whom, .. } => {
                    whom.wake();
                    woke = true;
                }
                Listener::Internal { run, .. } => run(cell),
                Listener::Callback { run, .. } => {
                    if woke {
                        tokio::task::yield_now().await;
                        woke = false;
                    }
                    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Body::nobody(|| run(cell))));
                    if let Err(panic) = ran {
                        crate::report::callback_panicked(cell, &*panic);
                    }
                }
            }
        }
    }

    /// A cell that has failed before it began.
    pub(crate) fn failed(
        self: &Arc<Self>,
        function: Arc<str>,
        location: &'static std::panic::Location<'static>,
        error: Error,
    ) -> Arc<Cell> {
        let cell = Cell::new(crate::session::new_id(), function, None, location, self.clone(), Kind::Promise);
        cell.complete_with(error.to_outcome(), Some(error));
        cell
    }
}

impl std::fmt::Debug for LoopShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventLoop").field("id", &self.id).field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
