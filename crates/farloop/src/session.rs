//! This process's end of its session with the coordinator: what waits to be sent, which cells wait for outcomes,
//! and where what comes in goes. Knows no transport: the in-process hub and the gRPC connection both take batches
//! out with [`SessionShared::poll_batch`] and put them in with [`SessionShared::receive`].

mod prints;
mod rejoin;
mod welcome;

use std::collections::VecDeque;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use dashmap::DashMap;
use farloop_core::frame::{Down, Owner, Role, Submit, Up};
use farloop_core::id::{AttemptId, Life, SessionId, TaskId};
use farloop_core::limits;
use farloop_core::link::{Batch, Item, Link, LinkError};
use farloop_core::outcome::{Failure, FailureKind};
use farloop_core::spec::{Spec, Trace};
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use crate::body::Body;
use crate::cell::{Cell, Kind};
use crate::context::Context;
use crate::coro::CallSpec;
use crate::definition::Definition;
use crate::error::Error;
use crate::event_loop::{LoopShared, Ready};
use crate::progress::Onlookers;
use crate::stream::{Inbox, Pushed};
use crate::sync::calls::{Calls, Slot};
use crate::worker::host::WorkerShared;

use self::prints::print_weight;
use self::rejoin::List;
pub(crate) use self::welcome::Welcome;

/// Submits that wait to leave, at most: above, `ensure_future` fails and `submit` waits.
pub const BUFFER_TASKS: usize = 65_536;
/// Bytes of arguments that wait to leave, at most.
pub const BUFFER_BYTES: usize = 64 * 1024 * 1024;

/// The coordinator refuses to start a call that long after the deadline of the scope it is made in. Before that the
/// scope's own cancel has come, unless its process is cut off or dead: and only the scope can say what the end means.
const OWN_CANCEL_FIRST: Duration = Duration::from_millis(100);

/// A fresh UUIDv7, for what the coordinator never hears of.
pub(crate) fn new_id() -> TaskId {
    TaskId(uuid::Uuid::now_v7().as_u128())
}

/// Milliseconds since 1970, by this process's clock.
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Hands a definition to a worker in this process that does not know it yet.
pub(crate) type Learn = Box<dyn Fn(&'static Definition) + Send + Sync>;

pub(crate) struct SessionShared {
    id: Mutex<SessionId>,
    role: Role,
    name: String,
    outbox: Mutex<Outbox>,
    link: Mutex<Link<Up>>,
    /// What is still to be said to a coordinator that started again.
    list: Mutex<List>,
    /// The coordinator's, as it said last; none if it keeps no records.
    life: Mutex<Option<Life>>,
    /// What the link has not sent yet.
    unsent: AtomicUsize,
    unsent_bytes: AtomicUsize,
    waker: AtomicWaker,
    cells: DashMap<TaskId, Arc<Cell>, foldhash::fast::RandomState>,
    /// Streams that this process consumes.
    streams: DashMap<TaskId, Arc<Inbox>, foldhash::fast::RandomState>,
    worker: OnceLock<Arc<WorkerShared>>,
    learn: OnceLock<Learn>,
    names: AtomicU64,
    calls: Calls,
    onlookers: Onlookers,
    /// Connections opened so far: the coordinator must not take a late hello for a new one.
    connections: AtomicU64,
    room: Notify,
    welcomed: AtomicBool,
    /// How far the coordinator's clock is ahead of this process's, in milliseconds.
    ahead: AtomicI64,
    closing: AtomicBool,
    closing_told: Notify,
    /// The first loop of this session: what bodies elsewhere print is shown there, in order with their outcomes.
    home: OnceLock<Weak<LoopShared>>,
    /// Bytes that bodies printed and that have not left, or that have come and not been shown.
    prints: AtomicUsize,
    /// Lines that came and for which there was no room.
    prints_lost: AtomicU32,
}

#[derive(Default)]
struct Outbox {
    frames: VecDeque<Up>,
    bytes: usize,
    /// How often the coordinator started again and this session went on. What is for one of its lives alone is not
    /// taken for another.
    recoveries: u64,
    /// It is being told what this peer holds and waits for.
    rejoining: bool,
}

impl Outbox {
    fn push(&mut self, frame: Up) {
        if self.rejoining && matches!(frame, Up::Grant(_)) {
            // The total is told when the coordinator knows how much of it is used up.
            return;
        }
        self.bytes += payload_len(&frame);
        self.frames.push_back(frame);
    }
}

impl SessionShared {
    pub(crate) fn new(role: Role, name: String) -> Arc<Self> {
        Arc::new(Self {
            id: Mutex::new(SessionId(new_id().0)),
            role,
            name,
            outbox: Mutex::default(),
            link: Mutex::new(Link::new(limits::MAX_PAYLOAD)),
            list: Mutex::default(),
            life: Mutex::default(),
            unsent: AtomicUsize::new(0),
            unsent_bytes: AtomicUsize::new(0),
            waker: AtomicWaker::new(),
            cells: DashMap::default(),
            streams: DashMap::default(),
            worker: OnceLock::new(),
            learn: OnceLock::new(),
            onlookers: Onlookers::default(),
            names: AtomicU64::new(1),
            calls: Calls::default(),
            connections: AtomicU64::new(0),
            room: Notify::new(),
            welcomed: AtomicBool::new(false),
            ahead: AtomicI64::new(0),
            closing: AtomicBool::new(false),
            closing_told: Notify::new(),
            home: OnceLock::new(),
            prints: AtomicUsize::new(0),
            prints_lost: AtomicU32::new(0),
        })
    }

    pub(crate) fn id(&self) -> SessionId {
        *lock(&self.id)
    }

    /// A fresh id on the coordinator's clock, which says by it whether an id is too old (L2).
    fn new_task(&self) -> TaskId {
        const MS: u32 = 80;
        let (id, ahead) = (new_id().0, self.ahead.load(Ordering::Relaxed));
        TaskId(id.wrapping_add((i128::from(ahead) << MS) as u128))
    }

    /// What the coordinator's clock says now, 0 if it has none. Ids made before the first welcome are on this process's.
    pub(crate) fn set_clock(&self, clock_ms: u64) {
        if let Ok(clock @ 1..) = i64::try_from(clock_ms) {
            self.ahead.store(clock - wall_ms(), Ordering::Relaxed);
        }
    }

    pub(crate) fn set_worker(&self, worker: Arc<WorkerShared>) {
        // Set once, by whoever builds the worker.
        let _ = self.worker.set(worker);
    }

    pub(crate) fn worker(&self) -> Option<&Arc<WorkerShared>> {
        self.worker.get()
    }

    pub(crate) fn set_learn(&self, learn: Learn) {
        let _ = self.learn.set(learn);
    }

    /// The coordinator and the workers are in this process.
    pub(crate) fn is_in_process(&self) -> bool {
        self.learn.get().is_some()
    }

    pub(crate) fn set_home(&self, home: &Arc<LoopShared>) {
        let _ = self.home.set(Arc::downgrade(home));
    }

    pub(crate) fn onlookers(&self) -> &Onlookers {
        &self.onlookers
    }

    pub(crate) fn next_task_name(&self) -> Arc<str> {
        format!("Task-{}", self.names.fetch_add(1, Ordering::Relaxed)).into()
    }

    // ---- what goes out

    pub(crate) fn push(&self, frame: Up) {
        lock(&self.outbox).push(frame);
        self.waker.wake();
    }

    /// Makes a place for an answer and queues what asks for it, in one: nobody finds the place who will not see the
    /// question leave.
    fn ask<R>(&self, make: impl FnOnce() -> (R, Up)) -> R {
        let made = {
            let mut outbox = lock(&self.outbox);
            let (made, frame) = make();
            outbox.push(frame);
            made
        };
        self.waker.wake();
        made
    }

    /// Makes a call about a primitive.
    pub(crate) fn call(&self, home: &Arc<LoopShared>, frame: impl FnOnce(u64) -> Up) -> (u64, Arc<Slot>) {
        self.ask(|| {
            let (call, slot) = self.calls.open(home);
            ((call, slot), frame(call))
        })
    }

    pub(crate) fn cancel(&self, task: TaskId, message: Option<String>) {
        self.push(Up::Cancel { task, message });
    }

    pub(crate) fn release(&self, task: TaskId) {
        self.push(Up::Release(task));
    }

    pub(crate) fn uncancel(&self, task: TaskId) {
        self.push(Up::Uncancel(task));
    }

    pub(crate) fn cancel_seen(&self, attempt: AttemptId, seen: u32) {
        self.push(Up::CancelSeen { attempt, seen });
    }

    /// Calls about primitives that wait for their answers.
    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Whether the buffer takes another task; the limit that stands against it otherwise.
    pub(crate) fn full(&self) -> Option<String> {
        let (count, bytes) = {
            let outbox = lock(&self.outbox);
            (
                outbox.frames.len() + self.unsent.load(Ordering::Relaxed),
                outbox.bytes + self.unsent_bytes.load(Ordering::Relaxed),
            )
        };
        if count >= BUFFER_TASKS {
            return Some(format!("this session's buffer holds {count} tasks (BUFFER_TASKS = {BUFFER_TASKS})"));
        }
        (bytes >= BUFFER_BYTES)
            .then(|| format!("this session's buffer holds {bytes} bytes of arguments (BUFFER_BYTES = {BUFFER_BYTES})"))
    }

    /// Waits until the buffer takes another task.
    pub(crate) async fn room(&self) {
        loop {
            let notified = self.room.notified();
            if self.full().is_none() {
                return;
            }
            notified.await;
        }
    }

    /// Schedules a call for a loop of this session.
    pub(crate) fn submit(&self, home: &Arc<LoopShared>, call: CallSpec, owner: Owner) -> Arc<Cell> {
        let function = call.function.clone();
        let location = call.location;
        let args = match self.admit(home, &call) {
            Ok(args) => args,
            Err(error) => return home.failed(function, location, error),
        };
        if let (Some(learn), Some(definition)) = (self.learn.get(), call.definition) {
            learn(definition);
        }
        let name = call.name.clone().or_else(|| Some(self.next_task_name()));
        let body = Body::current();
        let owner = if call.detached { Owner::Nobody } else { owner };
        // Work past the deadline of the scope it is called in never starts (L19), if the call's await is what owns it:
        // other tasks may outlive the scope.
        let deadline = call.deadline.or_else(|| body.as_ref()?.deadline()).filter(|_| owner == Owner::Await);
        let within = deadline.map(|at| at.saturating_duration_since(tokio::time::Instant::now()) + OWN_CANCEL_FIRST);
        let creator = body.filter(|b| Arc::ptr_eq(b.home.session(), home.session()));
        let creator = creator.and_then(|b| b.creator());
        let id = self.new_task();
        let cell = Cell::new(id, function.clone(), name.clone(), location, home.clone(), Kind::Remote);
        if call.detached {
            cell.set_foreign();
        }
        let spec = Spec {
            function,
            fingerprint: call.fingerprint,
            args,
            dependencies: call.dependencies,
            name,
            options: call.options,
            trace: trace(),
            context: call.context.unwrap_or_else(Context::current).into_spec(),
            stream: call.inbox.is_some(),
            actor: call.actor,
        };
        if let Some(inbox) = call.inbox {
            self.streams.insert(id, inbox);
        }
        let submit = Up::Submit(Submit { task: id, spec: Arc::new(spec), owner, creator, within });
        self.ask(|| {
            self.cells.insert(id, cell.clone());
            (cell, submit)
        })
    }

    fn admit(&self, home: &Arc<LoopShared>, call: &CallSpec) -> Result<bytes::Bytes, Error> {
        if home.is_closed() || self.closing.load(Ordering::Acquire) {
            return Err(Error::LoopClosed);
        }
        let args = call.args.clone()?;
        let refused =
            |message: String| Error::from(Failure::new(FailureKind::ResourceExhausted, call.function.clone(), message));
        if args.len() > limits::MAX_PAYLOAD {
            return Err(refused(format!(
                "the arguments of {} take {} bytes and MAX_PAYLOAD is {}",
                call.function,
                args.len(),
                limits::MAX_PAYLOAD
            )));
        }
        if call.foreign.is_some_and(|session| session != self.id().0) {
            return Err(Error::LoopMismatch);
        }
        if !call.reserved
            && let Some(limit) = self.full()
        {
            return Err(refused(format!("{limit}: await some, or use submit(), which waits for room")));
        }
        Ok(args)
    }

    /// A handle for a task that somebody else submitted.
    pub(crate) fn attach(&self, home: &Arc<LoopShared>, id: TaskId, location: &'static Location<'static>) -> Arc<Cell> {
        if let Some(cell) = self.cells.get(&id) {
            return cell.clone();
        }
        let cell = Cell::new(id, "?".into(), Some("?".into()), location, home.clone(), Kind::Remote);
        cell.set_foreign();
        self.ask(|| {
            self.cells.insert(id, cell.clone());
            (cell, Up::Watch(id))
        })
    }

    /// A local task counts in `all_tasks()` while it runs.
    pub(crate) fn remember_local(&self, cell: &Arc<Cell>) {
        self.cells.insert(cell.id, cell.clone());
    }

    pub(crate) fn forget_local(&self, cell: &Arc<Cell>) {
        self.onlookers.over(cell.id);
        self.cells.remove(&cell.id);
    }

    /// Nobody wants the items of this stream any more.
    pub(crate) fn forget_stream(&self, task: TaskId) {
        self.streams.remove(&task);
    }

    /// Cells that are not done: `all_tasks()`.
    pub(crate) fn pending_cells(&self) -> Vec<Arc<Cell>> {
        self.cells.iter().map(|entry| entry.value().clone()).filter(|cell| !cell.is_done()).collect()
    }

    // ---- the transport's side

    /// Sends a sign of life, and has the worker count its lease from it, once the coordinator is known to have it.
    pub(crate) fn beat(&self) {
        if let Some(worker) = self.worker.get() {
            // In this order: what leaves after the count leaves after the moment.
            let now = tokio::time::Instant::now();
            let sent = lock(&self.link).sent();
            worker.lease.asks(now, sent);
        }
        self.push(Up::Heartbeat);
    }

    pub(crate) fn register_writer(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    pub(crate) fn wake_writer(&self) {
        self.waker.wake();
    }

    pub(crate) fn poll_batch(&self, force_ack: bool) -> Option<Batch<Up>> {
        let mut link = lock(&self.link);
        let rejoining = self.drain_outbox(&mut link);
        if rejoining {
            self.list_some(&mut link);
        }
        let batch = link.poll_batch(force_ack);
        if rejoining && let Some(batch) = &batch {
            self.listed(&mut link, batch);
        }
        let (unsent, unsent_bytes) = (link.queued(), link.queued_bytes());
        drop(link);
        self.unsent.store(unsent, Ordering::Relaxed);
        self.unsent_bytes.store(unsent_bytes, Ordering::Relaxed);
        if self.prints.load(Ordering::Relaxed) > 0
            && let Some(batch) = &batch
        {
            let weight = |item: &Item<Up>| match item {
                Item::Frame(Up::Print { print, .. }) => print_weight(print),
                _ => 0,
            };
            self.prints_gone(batch.items.iter().map(weight).sum());
        }
        if unsent < BUFFER_TASKS {
            self.room.notify_waiters();
        }
        batch
    }

    /// True: the coordinator is still being told what this peer holds.
    fn drain_outbox(&self, link: &mut Link<Up>) -> bool {
        let mut outbox = lock(&self.outbox);
        outbox.bytes = 0;
        for frame in outbox.frames.drain(..) {
            link.push(frame);
        }
        outbox.rejoining
    }

    pub(crate) fn cut(&self) {
        lock(&self.link).cut();
    }

    /// Whether nothing waits to be sent or acknowledged.
    pub(crate) fn is_flushed(&self) -> bool {
        let link = lock(&self.link);
        let outbox = lock(&self.outbox);
        link.queued() == 0 && link.in_flight() == 0 && outbox.frames.is_empty() && !outbox.rejoining
    }

    /// Takes a batch in and hands its frames to the loops they are for.
    ///
    /// # Errors
    /// The connection must be cut and resumed.
    pub(crate) fn receive(&self, batch: Batch<Down>) -> Result<(), LinkError> {
        let mut frames = Vec::with_capacity(batch.items.len());
        let (received, acked) = {
            let mut link = lock(&self.link);
            let received = link.receive(batch, |frame| frames.push(frame));
            if link.ack_due() || link.has_window() && self.unsent.load(Ordering::Relaxed) > 0 {
                self.waker.wake();
            }
            (received, link.acked())
        };
        if let Some(worker) = self.worker.get() {
            worker.lease.acknowledged(acked);
        }
        let mut sorted = Sorted::default();
        for frame in frames {
            self.route(frame, &mut sorted);
        }
        sorted.flush();
        received
    }

    fn route(&self, frame: Down, sorted: &mut Sorted) {
        match frame {
            Down::Resolved { task, outcome } => {
                self.onlookers.over(task);
                if let Some((_, cell)) = self.cells.remove(&task) {
                    sorted.push(&cell.home.clone(), Ready::Complete(cell, outcome));
                }
            }
            Down::TaskProgress { task, value } => self.onlookers.told(task, &value),
            Down::CancelCount { task, count } => {
                if let Some(cell) = self.cells.get(&task).map(|e| e.clone()) {
                    sorted.push(&cell.home.clone(), Ready::CancelCount(cell, count));
                }
            }
            Down::Print { print, .. } => self.printed(print, sorted),
            Down::Item { task, seq, value } => {
                // Straight to its inbox: all of them are there when the loop hears of the end. Lines that were printed
                // before it and have yet to be shown go first. (None come to a worker.)
                let Some(inbox) = self.streams.get(&task).map(|e| e.clone()) else { return };
                let home = self.home.get().filter(|_| self.worker.get().is_none()).and_then(Weak::upgrade);
                let behind = home.is_some() && self.prints.load(Ordering::Relaxed) > 0;
                match (inbox.push(seq, value, behind), home) {
                    (Pushed::Again { taken }, _) => self.push(Up::Credit { task, taken }),
                    (Pushed::Hidden, Some(home)) => sorted.push(&home, Ready::Item(inbox)),
                    _ => {}
                }
            }
            Down::Sync { call, answer } => {
                if let Some((home, whom)) = self.calls.answered(call, answer, self.recoveries()) {
                    sorted.push(&home, Ready::Wake(whom));
                }
            }
            Down::Stranded { task, why } => {
                if let Some(cell) = self.cells.get(&task).map(|e| e.clone()) {
                    crate::report::stranded(&cell, &why);
                }
            }
            other => {
                if let Some(worker) = self.worker.get() {
                    worker.route(other, |home, ready| sorted.push(home, ready));
                }
            }
        }
    }

    /// No new calls; the transport says Bye when all is sent.
    pub(crate) fn begin_close(&self) {
        if !self.closing.swap(true, Ordering::AcqRel) {
            self.push(Up::Bye);
            self.closing_told.notify_one();
        }
    }

    /// Returns when the session begins to close. For one caller: whoever keeps it connected.
    pub(crate) async fn closing(&self) {
        self.closing_told.notified().await;
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for SessionShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("id", &self.id()).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Frames of one batch, by loop: one wake per loop and batch.
#[derive(Default)]
struct Sorted {
    loops: Vec<(Arc<LoopShared>, Vec<Ready>)>,
}

impl Sorted {
    fn push(&mut self, home: &Arc<LoopShared>, ready: Ready) {
        match self.loops.iter_mut().find(|(l, _)| Arc::ptr_eq(l, home)) {
            Some((_, list)) => list.push(ready),
            None => self.loops.push((home.clone(), vec![ready])),
        }
    }

    fn flush(self) {
        for (home, list) in self.loops {
            home.push_all(list);
        }
    }
}

/// Trace context of the call: the current span's, or what the body itself was called with.
pub(crate) fn trace() -> Option<Arc<Trace>> {
    match farloop_telemetry::TraceContext::current() {
        Some(context) => Some(Arc::new(Trace { parent: context.parent, state: context.state })),
        None => Body::current().and_then(|body| body.trace.clone()),
    }
}

fn payload_len(frame: &Up) -> usize {
    use farloop_core::link::LinkFrame;
    frame.payload_len()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // No user code runs under these locks, and none of ours panics there; a poisoned one is still whole.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
