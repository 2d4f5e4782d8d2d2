//! An event loop as the SDK sees it: one ready queue that one thread works off in turns, and the session behind it.
//!
//! Everything that may run user code goes through the queue: completions, done callbacks, `call_soon`, timers that are
//! due, and the steps of the loop's own coroutines. So it happens on the loop's own thread, in the order in which it
//! became ready, and never inside the code that caused it (asyncio rows 56, 65, 273). `turns` works the queue off,
//! `steps` keeps the coroutines, `calls` the callbacks and timers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::ThreadId;
use std::time::Duration;

use farloop_core::frame::{Owner, Print};
use farloop_core::id::{AttemptId, TaskId};
use farloop_core::outcome::Outcome;
use futures_util::task::AtomicWaker;
use tokio::runtime::Handle as Runtime;
use tokio::time::Instant;

use crate::body::Body;
use crate::cell::{Cell, Kind, Listener, Wakeable};
use crate::coro::CallSpec;
use crate::error::{Error, Result};
use crate::progress::What;
use crate::session::SessionShared;
use crate::stream::Inbox;
use crate::worker::actors::{Happening, Incarnation, instances};
use crate::worker::host::{Host, Started};

pub(crate) mod calls;
pub(crate) mod steps;
mod turns;

use calls::{Callback, Timers};
use steps::Step;
use turns::{Turns, Until};

/// Something to do on the loop's thread.
pub(crate) enum Ready {
    Complete(Arc<Cell>, Outcome),
    CancelCount(Arc<Cell>, u32),
    Listener(Arc<Cell>, Listener),
    Report(Arc<Cell>),
    Print(Print),
    /// An item is there that came behind what its producer had printed.
    Item(Arc<Inbox>),
    /// A coroutine of this loop goes on.
    Step(Arc<Step>),
    /// `call_soon`, or a timer that is due.
    Call(Arc<Callback>),
    Start(Box<Started>),
    Cancel {
        attempt: AttemptId,
        number: u32,
        message: Option<String>,
    },
    CancelWithdrawn {
        attempt: AttemptId,
        standing: u32,
    },
    Fence(AttemptId),
    /// Something happened to an actor of this loop.
    Actor(Arc<Incarnation>, Happening),
    Deadlock {
        attempt: AttemptId,
        cycle: Vec<TaskId>,
    },
    /// An answer is there for whoever waits in a call about a primitive.
    Wake(Wakeable),
    /// A body has told more than may leave at once: the rest follows then.
    TellLater {
        body: Arc<Body>,
        what: What,
        at: tokio::time::Instant,
    },
}

static NEXT_LOOP: AtomicU64 = AtomicU64::new(1);

pub(crate) struct LoopShared {
    pub(crate) id: u64,
    session: Arc<SessionShared>,
    queue: Mutex<VecDeque<Ready>>,
    timers: Mutex<Timers>,
    /// Entries of `timers`: without any, a turn does not look.
    timer_count: AtomicUsize,
    waker: AtomicWaker,
    closed: AtomicBool,
    /// The thread whose local runtime runs this loop, if farloop made that runtime: local coroutines need one.
    local_thread: OnceLock<ThreadId>,
    /// The runtime whose clock is the loop's.
    runtime: OnceLock<Runtime>,
    began: Instant,
    /// Somebody may stop it: a loop of `blocking`.
    stoppable: AtomicBool,
    /// End after this turn; sticky (row 263).
    stopping: AtomicBool,
    interrupted: AtomicBool,
    running: AtomicBool,
    /// Its thread is held by a body that nobody waits for any more.
    written_off: AtomicBool,
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
            queue: Mutex::default(),
            timers: Mutex::default(),
            timer_count: AtomicUsize::new(0),
            waker: AtomicWaker::new(),
            closed: AtomicBool::new(false),
            local_thread: local_thread.map(OnceLock::from).unwrap_or_default(),
            runtime: Runtime::try_current().map(OnceLock::from).unwrap_or_default(),
            began: Instant::now(),
            stoppable: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            running: AtomicBool::new(false),
            written_off: AtomicBool::new(false),
            nowhere,
        });
        home.session.set_home(&home);
        home
    }

    pub(crate) fn session(&self) -> &Arc<SessionShared> {
        &self.session
    }

    pub(crate) fn runs_local(&self) -> bool {
        self.local_thread.get() == Some(&std::thread::current().id())
    }

    pub(crate) fn next_task_name(&self) -> Arc<str> {
        self.session.next_task_name()
    }

    /// Where calls go that have no loop.
    pub(crate) fn is_nowhere(&self) -> bool {
        self.nowhere
    }

    pub(crate) fn is_written_off(&self) -> bool {
        self.written_off.load(Ordering::Relaxed)
    }

    pub(crate) fn set_written_off(&self, written_off: bool) {
        self.written_off.store(written_off, Ordering::Relaxed);
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

    /// A cell is done: its listeners get their places in the queue, in registration order (rows 64, 71). An awaiter
    /// takes its place by being woken.
    pub(crate) fn ready(&self, cell: &Arc<Cell>, listeners: Vec<Listener>) {
        for listener in listeners {
            match listener {
                Listener::Wake { whom, .. } => whom.wake(),
                other => self.push(Ready::Listener(cell.clone(), other)),
            }
        }
    }

    pub(crate) fn report_later(&self, cell: Arc<Cell>) {
        self.push(Ready::Report(cell));
    }

    /// Schedules a call. Never fails: what can't be scheduled is a handle that has failed already.
    pub(crate) fn schedule(self: &Arc<Self>, call: CallSpec, owner: Owner) -> Arc<Cell> {
        self.session.submit(self, call, owner)
    }

    /// Works the queue off until the loop is closed. `host` runs attempts, on a worker.
    pub(crate) async fn run(self: Arc<Self>, host: Option<Host>) {
        // What is left of the loop's own coroutines ends with whoever steps them, and the states of its actors after them.
        let _instances = host.as_ref().map(|_| instances::DropAll(self.id));
        let _steps = steps::DropAll(self.id);
        self.set_running(true);
        Turns::new(self.clone(), host, Until::Closed).await;
        self.set_running(false);
    }

    /// As [`run`](Self::run), on a thread with a local runtime of farloop's: coroutines can be at home there.
    pub(crate) async fn run_here(self: Arc<Self>, host: Option<Host>) {
        // Set at birth where the thread was known then.
        self.local_thread.get_or_init(|| std::thread::current().id());
        self.run(host).await;
    }

    /// Works the queue off until somebody stops it, and at least one turn.
    pub(crate) async fn run_until_stopped(self: Arc<Self>) {
        Turns::new(self, None, Until::Stopped).await;
    }

    // ---- stopping

    pub(crate) fn make_stoppable(&self) {
        self.stoppable.store(true, Ordering::Release);
    }

    /// Ends the run after the turn that is going on; the next run, if none is (row 263).
    pub(crate) fn stop(&self) {
        if self.stoppable.load(Ordering::Acquire) {
            self.stopping.store(true, Ordering::Release);
            self.waker.wake();
        } else {
            tracing::warn!("stop() of a loop that nobody runs by hand has no effect");
        }
    }

    /// Ctrl-C: the run ends after its turn and says so.
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        self.stop();
    }

    pub(crate) fn take_interrupt(&self) -> bool {
        self.interrupted.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    pub(crate) fn set_running(&self, running: bool) {
        self.running.store(running, Ordering::Release);
    }

    // ---- the loop's clock

    /// The runtime that runs it, once known.
    pub(crate) fn set_runtime(&self, runtime: &Runtime) {
        // The first one stays: a loop does not move.
        let _ = self.runtime.set(runtime.clone());
    }

    fn now(&self) -> Instant {
        // Virtual time is read inside the runtime that has it.
        let _inside = self.runtime.get().map(Runtime::enter);
        Instant::now()
    }

    /// Since the loop began; monotonic, and comparable on this loop only (row 317).
    pub(crate) fn time(&self) -> Duration {
        self.now().saturating_duration_since(self.began)
    }

    // ---- callbacks

    pub(crate) fn call_soon(&self, callback: &Arc<Callback>) -> Result<()> {
        if self.is_closed() {
            return Err(Error::LoopClosed);
        }
        self.push(Ready::Call(callback.clone()));
        Ok(())
    }

    pub(crate) fn call_at(&self, when: Duration, callback: &Arc<Callback>) -> Result<()> {
        if self.is_closed() {
            return Err(Error::LoopClosed);
        }
        let mut timers = self.timers();
        timers.add(self.began + when, callback.clone());
        self.timer_count.store(timers.len(), Ordering::Release);
        drop(timers);
        self.waker.wake();
        Ok(())
    }

    /// A timer was cancelled: it leaves at once if many did (row 312).
    pub(crate) fn timer_cancelled(&self) {
        let mut timers = self.timers();
        timers.cancelled();
        self.timer_count.store(timers.len(), Ordering::Release);
    }

    fn timers(&self) -> std::sync::MutexGuard<'_, Timers> {
        // Nothing user-written runs under this lock.
        self.timers.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    // ---- the end

    /// Nothing runs here any more: what is queued is dropped, its own coroutines are dropped and reported, and whoever
    /// waits for its tasks is told (rows 269, 271).
    pub(crate) fn end(&self) {
        self.close();
        for cell in self.session.pending_cells() {
            if matches!(cell.kind, Kind::Local(_)) {
                crate::report::destroyed(&cell);
            }
        }
        steps::drop_all(self.id);
        for cell in self.session.pending_cells() {
            cell.mark_read();
            cell.complete_with(Error::LoopClosed.to_outcome(), Some(Error::LoopClosed));
        }
        *self.timers() = Timers::default();
        self.timer_count.store(0, Ordering::Release);
        loop {
            let batch = std::mem::take(&mut *self.queue());
            if batch.is_empty() {
                return;
            }
            for ready in batch {
                match ready {
                    // Combinators and blocking waiters; callbacks of the user's don't run any more.
                    Ready::Listener(cell, Listener::Internal { run, .. }) => run(&cell),
                    Ready::Print(print) => self.session.show(&print),
                    _ => {}
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
