//! The core and everything that happens around it: inputs go in, outputs are carried out, nothing is decided here.
//!
//! One lock, never held across an await. Outputs are carried out under it, so they keep their order; none of that
//! blocks: it wakes tasks, fills slots and queues records.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::{Duration, SystemTime};

use dashmap::DashMap;
use farloop_core::api::{Call, CallError, Event, Input, More, Output, Reply};
use farloop_core::bounds::Bound;
use farloop_core::frame::Down;
use farloop_core::id::{CallId, ConnId, SessionId, TaskId};
use farloop_core::link::Batch;
use farloop_core::machine::{Core, Stats};
use farloop_core::time::Time;
use farloop_store::{Entry, Store};
use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;
use crate::journal::{self, Journal};
use crate::replay::Replayed;
use crate::session::Connection;
use crate::traces;

type Answer = Result<Reply, CallError>;

/// Drives one core. Shared by every handler.
pub(crate) struct Driver {
    inner: Mutex<Inner>,
    clock: Clock,
    numbers: AtomicU64,
    connections: DashMap<ConnId, Arc<Connection>>,
    sessions: DashMap<SessionId, Arc<Connection>>,
    calls: DashMap<CallId, oneshot::Sender<Answer>>,
    readers: DashMap<CallId, Arc<Reader>>,
    bounds: Vec<(&'static str, Bound)>,
    journal: Option<Journal>,
    earlier: Notify,
}

pub(crate) struct Inner {
    core: Core,
    /// When the timer wakes; it is told only if something is due earlier.
    armed: Option<Time>,
}

impl Driver {
    /// A driver around a core that has read its records. With a store, what rests on records waits until they are
    /// durable.
    pub(crate) fn new(
        replayed: Replayed,
        store: Option<Box<dyn Store>>,
        bounds: Vec<(&'static str, Bound)>,
        retention: Duration,
    ) -> Arc<Self> {
        let Replayed { core, clock, .. } = replayed;
        Arc::new_cyclic(|driver| Self {
            inner: Mutex::new(Inner { core, armed: None }),
            clock,
            numbers: AtomicU64::new(1),
            connections: DashMap::new(),
            sessions: DashMap::new(),
            calls: DashMap::new(),
            readers: DashMap::new(),
            bounds,
            journal: store.map(|store| Journal::start(store, driver.clone(), retention)),
            earlier: Notify::new(),
        })
    }

    /// The records are read: a life begins, if they are kept. What is there of former ones.
    pub(crate) fn begin_life(&self) -> Stats {
        if self.journal.is_some() {
            // Only drawn: whoever has never begun before is called by it from now on.
            self.handle(Input::Recovered { cluster: uuid::Uuid::now_v7().as_u128() });
        }
        self.stats()
    }

    /// One mutation, one drain.
    pub(crate) fn handle(&self, input: Input) {
        let mut inner = self.lock();
        inner.core.handle(self.now(), input);
        self.carry_out(&mut inner);
    }

    /// Takes what a session has to send now. `current` is asked under the lock, where it cannot change: a connection
    /// that was superseded must not take what belongs to its successor.
    pub(crate) fn poll_batch(
        &self,
        session: SessionId,
        force_ack: bool,
        current: impl FnOnce() -> bool,
    ) -> Option<Batch<Down>> {
        let mut inner = self.lock();
        if !current() {
            return None;
        }
        let mut batch = inner.core.poll_batch(self.now(), session, force_ack);
        self.carry_out(&mut inner);
        if let Some(batch) = &mut batch {
            traces::adopt(batch);
        }
        batch
    }

    /// Asks the core and waits for the answer. Dropped before, it hangs up.
    pub(crate) async fn call(&self, request: Call) -> Answer {
        self.ask(CallId(self.number()), request).await
    }

    /// Asks the core something that is answered by many messages. Dropped, it hangs up.
    pub(crate) async fn open(self: &Arc<Self>, request: Call) -> Result<Opened, CallError> {
        let (call, reader) = (CallId(self.number()), Arc::new(Reader::default()));
        self.readers.insert(call, reader.clone());
        // Made before the core is asked: a caller that leaves in between hangs up as well.
        let opened = Opened { driver: self.clone(), call, reader };
        self.ask(call, request).await.map(|_| opened)
    }

    async fn ask(&self, call: CallId, request: Call) -> Answer {
        if matches!(request, Call::Submit { .. } | Call::Cancel { .. }) {
            self.room().await;
        }
        let (answer, answered) = oneshot::channel();
        self.calls.insert(call, answer);
        let mut line = Line { driver: self, call, open: true };
        self.handle(Input::Call { call, request });
        let answer = answered.await;
        line.open = false;
        answer.unwrap_or_else(|_| unreachable!("the sender stays in the registry until it is used"))
    }

    /// Feeds the clock to the core; runs as long as the server.
    pub(crate) async fn keep_time(self: Arc<Self>) {
        loop {
            let due = {
                let mut inner = self.lock();
                inner.armed = inner.core.next_deadline();
                inner.armed
            };
            let Some(due) = due else {
                self.earlier.notified().await;
                continue;
            };
            let wait = due.since(self.now());
            if !wait.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.earlier.notified() => continue,
                }
            }
            self.handle(Input::Tick);
            // Work that continues asks for a tick at once, and connections must get their turn in between.
            tokio::task::yield_now().await;
        }
    }

    /// Registers a connection.
    pub(crate) fn connected(&self) -> Arc<Connection> {
        let connection = Arc::new(Connection::new(ConnId(self.number())));
        self.connections.insert(connection.id, connection.clone());
        connection
    }

    /// A connection is gone.
    pub(crate) fn disconnected(&self, connection: &Connection) {
        self.connections.remove(&connection.id);
        if let Some(session) = connection.session() {
            self.sessions.remove_if(&session, |_, current| current.id == connection.id);
            self.handle(Input::Cut { session, conn: connection.id });
        }
    }

    /// Ends every connection; what each peer is told as the last thing.
    pub(crate) fn hang_up(&self, status: &tonic::Status) {
        for connection in &self.connections {
            connection.end(status.clone());
        }
        for reader in &self.readers {
            reader.end(status.clone());
        }
    }

    /// Every bound, and where it stands.
    pub(crate) fn bounds(&self) -> &[(&'static str, Bound)] {
        &self.bounds
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().core.stats()
    }

    /// An id for a task that starts now, by the clock of the core: the wall's may be set while this process runs.
    pub(crate) fn new_task(&self) -> TaskId {
        const MS: u32 = 80;
        let since = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as i128;
        let ahead = since(self.on_the_wall(self.now())) - since(SystemTime::now());
        TaskId(uuid::Uuid::now_v7().as_u128().wrapping_add((ahead << MS) as u128))
    }

    /// A moment of the core on the wall.
    pub(crate) fn on_the_wall(&self, at: Time) -> SystemTime {
        self.clock.on_the_wall(at)
    }

    /// When this life of the coordinator began.
    pub(crate) fn began(&self) -> SystemTime {
        self.clock.on_the_wall(self.clock.began())
    }

    /// Where records go; none: nowhere.
    pub(crate) fn store_name(&self) -> Option<&str> {
        self.journal.as_ref().map(Journal::name)
    }

    /// How the store stands, if there is one.
    pub(crate) fn store_standing(&self) -> Option<journal::Standing> {
        self.journal.as_ref().map(Journal::standing)
    }

    /// Waits until the store takes more. Whatever makes records asks here first, for what is above a bound must stay
    /// with whoever brings it.
    pub(crate) async fn room(&self) {
        if let Some(journal) = &self.journal {
            journal.room().await;
        }
    }

    /// Waits until everything that was recorded so far is durable.
    pub(crate) async fn flush(&self) {
        if let Some(journal) = &self.journal {
            journal.flush().await;
        }
    }

    /// Why the store gave up, once it has: the process must stop.
    pub(crate) async fn store_failed(&self) -> farloop_store::StoreError {
        match &self.journal {
            Some(journal) => journal.failed().await,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("a core that panicked cannot be driven on")
    }

    fn carry_out(&self, inner: &mut Inner) {
        while let Some(output) = inner.core.poll_output() {
            match output {
                Output::Wake(session) => {
                    if let Some(connection) = self.sessions.get(&session) {
                        connection.wake();
                    }
                }
                Output::Reply { call, reply } => {
                    if let Some((_, caller)) = self.calls.remove(&call) {
                        // A caller that left in this moment hangs up by itself.
                        let _ = caller.send(*reply);
                    }
                }
                Output::More(call) => {
                    if let Some(reader) = self.readers.get(&call) {
                        reader.wake();
                    }
                }
                Output::Persist { seq, record } => {
                    if let Some(journal) = &self.journal {
                        journal.append(Entry { seq, record });
                    }
                }
                Output::Carried { part, seq } => {
                    if let Some(journal) = &self.journal {
                        journal.carried(part, seq);
                    }
                }
                Output::Hello { conn, reply } => {
                    if let Some(connection) = self.connections.get(&conn)
                        && let Some(session) = connection.answer(reply)
                    {
                        self.sessions.insert(session, connection.clone());
                    }
                }
                Output::Close { session, conn, reason } => {
                    self.sessions.remove_if(&session, |_, current| current.id == conn);
                    if let Some(connection) = self.connections.get(&conn) {
                        tracing::info!(%session, reason, "connection closed");
                        connection.end(tonic::Status::aborted(reason));
                    }
                }
                Output::Event(event) => {
                    if !traces::told(&event, |at| self.on_the_wall(at)) {
                        log(&event);
                    }
                }
            }
        }
        let due = inner.core.next_deadline();
        if due.is_some_and(|due| inner.armed.is_none_or(|armed| due < armed)) {
            inner.armed = due;
            self.earlier.notify_one();
        }
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("connections", &self.connections.len()).finish_non_exhaustive()
    }
}

/// A call that waits for its answer.
struct Line<'a> {
    driver: &'a Driver,
    call: CallId,
    open: bool,
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.open {
            self.driver.calls.remove(&self.call);
            self.driver.handle(Input::Hangup(self.call));
        }
    }
}

/// Whoever reads the messages of one call.
#[derive(Debug, Default)]
struct Reader(Mutex<(Option<Waker>, Option<tonic::Status>)>);

impl Reader {
    fn state(&self) -> MutexGuard<'_, (Option<Waker>, Option<tonic::Status>)> {
        self.0.lock().expect("nothing panics under this lock")
    }

    fn wake(&self) {
        if let Some(waker) = self.state().0.take() {
            waker.wake();
        }
    }

    /// Nothing more is told after this.
    fn end(&self, status: tonic::Status) {
        self.state().1.get_or_insert(status);
        self.wake();
    }
}

/// A call that is answered by many messages.
#[derive(Debug)]
pub(crate) struct Opened {
    driver: Arc<Driver>,
    call: CallId,
    reader: Arc<Reader>,
}

impl Opened {
    /// Who is woken when there is more; what it is told instead, if all is over.
    pub(crate) fn register(&self, waker: &Waker) -> Option<tonic::Status> {
        let mut state = self.reader.state();
        match &mut state.0 {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        state.1.take()
    }

    /// The next message.
    pub(crate) fn poll(&self) -> More {
        self.driver.lock().core.poll_call(self.call)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.driver.readers.remove(&self.call);
        self.driver.handle(Input::Hangup(self.call));
    }
}

fn log(event: &Event) {
    match event {
        Event::WorkerJoined(worker) => tracing::info!(%worker, "worker joined"),
        Event::WorkerLost { worker, attempts: 0 } => tracing::info!(%worker, "worker left"),
        Event::WorkerLost { worker, attempts } => tracing::warn!(%worker, attempts, "worker lost"),
        Event::SessionOver { session, cancelled } => tracing::info!(%session, cancelled, "session over"),
        Event::Stranded { task, why } => tracing::warn!(%task, why, "task cannot run now"),
        Event::Unpinned { task } => {
            tracing::warn!(%task, "its result is above PINNED_BYTES: kept as others are, and not until it is released");
        }
        Event::StaleReport { task } => tracing::debug!(%task, "report under an old lease dropped"),
        other => tracing::info!(?other, "event"),
    }
}
