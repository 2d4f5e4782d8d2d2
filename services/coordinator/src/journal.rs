//! The store's own thread: it appends what came since the last sync, syncs once, and tells the core how far it is. In
//! between it looks whether the store has room, and lets its oldest part go once what still counts was said again.
//!
//! The queue to this thread is filled under the core's lock and must not make anybody wait there: this thread takes that
//! lock too. So its bound is kept further ahead: whoever brings the core something new waits for [`Journal::room`]
//! first, without the lock, and what is not read from a connection stays with its peer.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use farloop_core::api::{Input, Record};
use farloop_core::limits::JOURNAL_QUEUE;
use farloop_core::outcome::Outcome;
use farloop_store::{Entry, Part, Room, Store, StoreError};
use tokio::sync::{Notify, oneshot};

use crate::driver::Driver;

/// Bytes of one group: it is synced before more is taken.
const GROUP: usize = 8 * 1024 * 1024;
/// What a record costs besides the payloads in it, roughly.
const RECORD: usize = 256;
/// How often a store that is full is asked whether it still is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Feeds the store's thread, which ends with this.
#[derive(Debug)]
pub(crate) struct Journal {
    name: String,
    queue: Sender<Message>,
    gauge: Arc<Gauge>,
    failure: Mutex<Option<oneshot::Receiver<StoreError>>>,
}

#[derive(Debug)]
enum Message {
    Entry(Entry),
    /// What counts of that part has been said again; the last record that says so.
    Carried {
        part: u64,
        seq: u64,
    },
    /// Everything before this is to be durable; then say so.
    Flush(oneshot::Sender<()>),
}

/// What both sides of the queue know.
#[derive(Debug, Default)]
struct Gauge {
    /// Of records that are queued or not synced yet.
    bytes: AtomicUsize,
    /// Which life this is, from 1.
    life: AtomicU64,
    /// Number of the last record queued.
    queued: AtomicU64,
    /// Number of the last record that is durable.
    durable: AtomicU64,
    /// How long the last sync took, in microseconds.
    sync: AtomicU64,
    /// Bytes that the store holds.
    held: AtomicU64,
    /// Why the store takes no new tasks, if it is full.
    full: Mutex<Option<String>>,
    /// There is room in the queue again.
    drained: Notify,
}

/// How the store stands, for people.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// Which life of the coordinator this is, from 1.
    pub(crate) life: u64,
    /// Records that are not durable yet.
    pub(crate) waiting: u64,
    /// How long the last sync took.
    pub(crate) sync: Duration,
    /// Bytes that the store holds.
    pub(crate) bytes: u64,
    /// Why it takes no new tasks, if it is full.
    pub(crate) full: Option<String>,
}

impl Journal {
    /// `retention`: how long a finished task counts.
    pub(crate) fn start(store: Box<dyn Store>, driver: Weak<Driver>, retention: Duration) -> Self {
        let name = store.name().to_owned();
        let (queue, queued) = channel();
        let (failed, failure) = oneshot::channel();
        let gauge = Arc::new(Gauge::default());
        gauge.note(store.as_ref());
        let writer =
            Writer { store, queue: queued, driver, gauge: gauge.clone(), retention, carrying: None, low: false };
        std::thread::Builder::new()
            .name("farloop-store".into())
            .spawn(move || {
                if let Err(error) = writer.run() {
                    // Nobody listens any more once the server stopped.
                    let _ = failed.send(error);
                }
            })
            .expect("a process that cannot start one thread cannot serve");
        Self { name, queue, gauge, failure: Mutex::new(Some(failure)) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn standing(&self) -> Standing {
        let gauge = &self.gauge;
        let durable = gauge.durable.load(Ordering::Relaxed);
        Standing {
            life: gauge.life.load(Ordering::Relaxed),
            waiting: gauge.queued.load(Ordering::Relaxed).saturating_sub(durable),
            sync: Duration::from_micros(gauge.sync.load(Ordering::Relaxed)),
            bytes: gauge.held.load(Ordering::Relaxed),
            full: gauge.full.lock().expect("nothing panics under this lock").clone(),
        }
    }

    /// Queues a record. Never waits: see [`Journal::room`].
    pub(crate) fn append(&self, entry: Entry) {
        self.gauge.bytes.fetch_add(weight(&entry.record), Ordering::Relaxed);
        self.gauge.queued.store(entry.seq, Ordering::Relaxed);
        if let Record::Life(began) = &entry.record {
            self.gauge.life.store(began.life.number, Ordering::Relaxed);
        }
        self.send(Message::Entry(entry));
    }

    /// The core said again what counts of a part of the store.
    pub(crate) fn carried(&self, part: u64, seq: u64) {
        self.send(Message::Carried { part, seq });
    }

    /// Waits until fewer than [`JOURNAL_QUEUE`] bytes wait for the disk. Whoever is about to give the core something new
    /// asks here before, not under its lock.
    pub(crate) async fn room(&self) {
        loop {
            let drained = self.gauge.drained.notified();
            if self.gauge.bytes.load(Ordering::Relaxed) < JOURNAL_QUEUE {
                return;
            }
            drained.await;
        }
    }

    /// Waits until everything queued so far is durable, or the store has failed.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.send(Message::Flush(done));
        // A thread that ended has said why by `failed`.
        let _ = flushed.await;
    }

    fn send(&self, message: Message) {
        // The thread ends early only after a failure, of which the server learns by `failed`.
        let _ = self.queue.send(message);
    }

    /// Why the store gave up; for ever pending if it does not.
    pub(crate) async fn failed(&self) -> StoreError {
        let failure = self.failure.lock().expect("nothing panics under this lock").take();
        match failure {
            Some(failure) => match failure.await {
                Ok(error) => error,
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

impl Gauge {
    fn note(&self, store: &dyn Store) {
        self.durable.store(store.durable(), Ordering::Relaxed);
        self.held.store(store.bytes(), Ordering::Relaxed);
    }
}

/// A part of the store that is about to leave.
#[derive(Clone, Copy, Debug)]
enum Carrying {
    /// The core was asked to say again what counts of it.
    Asked,
    /// It has; with this record.
    Said { part: u64, seq: u64 },
}

/// What the thread runs on.
struct Writer {
    store: Box<dyn Store>,
    queue: Receiver<Message>,
    driver: Weak<Driver>,
    gauge: Arc<Gauge>,
    retention: Duration,
    carrying: Option<Carrying>,
    low: bool,
}

impl Writer {
    /// Group commit: while one sync runs the next records gather.
    fn run(mut self) -> Result<(), StoreError> {
        loop {
            let first =
                if self.low { self.queue.recv_timeout(LOOK_EVERY) } else { self.queue.recv().map_err(Into::into) };
            let (mut bytes, mut flushes) = (0, Vec::new());
            match first {
                Ok(first) => {
                    self.take(first, &mut bytes, &mut flushes)?;
                    while bytes < GROUP
                        && let Ok(next) = self.queue.try_recv()
                    {
                        self.take(next, &mut bytes, &mut flushes)?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if bytes > 0 {
                self.sync(bytes)?;
            }
            for flushed in flushes {
                // Whoever asked may have stopped waiting.
                let _ = flushed.send(());
            }
            let Some(driver) = self.driver.upgrade() else { return Ok(()) };
            if bytes > 0 {
                driver.handle(Input::Durable(self.store.durable()));
            }
            self.look_for_room(&driver)?;
            self.carry(&driver)?;
        }
    }

    fn take(
        &mut self,
        message: Message,
        bytes: &mut usize,
        flushes: &mut Vec<oneshot::Sender<()>>,
    ) -> Result<(), StoreError> {
        match message {
            Message::Entry(entry) => {
                *bytes += weight(&entry.record);
                self.store.append(entry)?;
            }
            Message::Carried { part, seq } => self.carrying = Some(Carrying::Said { part, seq }),
            Message::Flush(done) => flushes.push(done),
        }
        Ok(())
    }

    fn sync(&mut self, bytes: usize) -> Result<(), StoreError> {
        let began = Instant::now();
        self.store.sync()?;
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.gauge.sync.store(micros, Ordering::Relaxed);
        self.gauge.note(self.store.as_ref());
        let before = self.gauge.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before >= JOURNAL_QUEUE && before - bytes < JOURNAL_QUEUE {
            self.gauge.drained.notify_waiters();
        }
        Ok(())
    }

    /// Tells the core when the store becomes too full for new tasks, and when it is so no longer.
    fn look_for_room(&mut self, driver: &Driver) -> Result<(), StoreError> {
        let full = match self.store.room() {
            Room::Plenty => None,
            Room::Low(why) => Some(why),
        };
        if full.is_some() != self.low {
            self.low = full.is_some();
            match &full {
                Some(why) => tracing::error!(why, "no room for new tasks: they are refused until there is"),
                None => tracing::info!("there is room for new tasks again"),
            }
            *self.gauge.full.lock().expect("nothing panics under this lock") = full;
            driver.handle(Input::Room(!self.low));
        }
        Ok(())
    }

    /// Lets the oldest part go, in three steps: the core says again what counts of it, that becomes durable, it leaves.
    fn carry(&mut self, driver: &Driver) -> Result<(), StoreError> {
        match self.carrying {
            Some(Carrying::Asked) => {}
            Some(Carrying::Said { seq, .. }) if seq > self.store.durable() => {}
            Some(Carrying::Said { part, .. }) => {
                self.store.drop_part(part)?;
                self.gauge.note(self.store.as_ref());
                self.carrying = None;
            }
            None => {
                let now = driver.now();
                let finished_before = now - self.retention;
                if let Some(Part { number: part, tasks }) = self.store.leaving(finished_before)? {
                    self.carrying = Some(Carrying::Asked);
                    driver.handle(Input::Carry { part, tasks });
                }
            }
        }
        Ok(())
    }
}

/// Bytes of a record, roughly: a bound must count empty ones too.
fn weight(record: &Record) -> usize {
    let of = |outcome: &Outcome| match outcome {
        Outcome::Returned(value) => value.len(),
        _ => 0,
    };
    RECORD
        + match record {
            Record::Submitted(submitted) => submitted.spec.args.len() + submitted.spec.aside_len(),
            Record::Ended { outcome, snapshot, .. } => {
                of(outcome) + snapshot.as_ref().map_or(0, |saved| saved.state.len())
            }
            Record::Snapshot(saved) => saved.state.len(),
            Record::Carried(carried) => {
                let inputs: usize = carried.inputs.iter().map(|(_, value)| RECORD + value.len()).sum();
                let spec = &carried.submitted.spec;
                let ended = carried.ended.as_ref().map_or(0, |(outcome, _)| of(outcome));
                let snapshot = carried.snapshot.as_ref().map_or(0, |state| state.len());
                spec.args.len() + spec.aside_len() + inputs + ended + snapshot
            }
            _ => 0,
        }
}
