//! A coordinator that keeps records and is killed again and again, in process: the core, its records in a list, and real
//! sessions with real bodies around it. What was not on record at its end is lost, and so is what was on its way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farloop::prelude::*;
use farloop_core::api::{Config, Input, Output};
use farloop_core::frame::HelloReply;
use farloop_core::id::{ConnId, SessionId};
use farloop_core::machine::Core;
use farloop_core::record::Record;
use farloop_core::time::Time;
use tokio::time::Instant;

use crate::in_process::{Assembled, spawn_thread};
use crate::runtime::{Inner, Loop};
use crate::session::{SessionShared, Welcome};
use crate::worker::hosting::start_loops;

/// Between two looks at the sessions.
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// Looks until a record is durable.
const SYNC_EVERY: u64 = 5;

struct Coordinator {
    core: Core,
    began: Instant,
    lives: u64,
    looks: u64,
    sessions: Vec<Arc<SessionShared>>,
    /// Records that survive, and after them those that do not yet.
    records: Vec<(u64, Record)>,
    durable: usize,
}

impl Coordinator {
    fn new(sessions: Vec<Arc<SessionShared>>) -> Self {
        let mut this = Self {
            core: Core::new(config()),
            began: Instant::now(),
            lives: 0,
            looks: 0,
            sessions,
            records: Vec::new(),
            durable: 0,
        };
        this.live();
        this
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn conn(&self, at: usize) -> ConnId {
        ConnId(self.lives * 100 + at as u64)
    }

    /// Killed, and started again from what is on record.
    fn live(&mut self) {
        for session in &self.sessions {
            // What was on its way is lost.
            let _ = session.poll_batch(false);
            session.cut();
        }
        self.records.truncate(self.durable);
        self.lives += 1;
        self.core = Core::new(config());
        for (seq, record) in &self.records {
            self.core.replay(*seq, record.clone());
        }
        self.core.handle(self.now(), Input::Recovered { cluster: 1 });
        self.drain();
        // Nobody is welcomed in a life that is not on record.
        self.sync();
        for at in 0..self.sessions.len() {
            let hello = self.sessions[at].hello();
            self.core.handle(self.now(), Input::Hello { conn: self.conn(at), hello });
        }
        self.drain();
    }

    fn look(&mut self) {
        self.looks += 1;
        for at in 0..self.sessions.len() {
            while let Some(batch) = self.sessions[at].poll_batch(false) {
                let (session, conn) = (self.sessions[at].id(), self.conn(at));
                self.core.handle(self.now(), Input::Batch { session, conn, batch });
                self.drain();
            }
        }
        if self.looks.is_multiple_of(SYNC_EVERY) {
            self.sync();
        }
        self.core.handle(self.now(), Input::Tick);
        self.drain();
        self.core.check().unwrap();
    }

    fn sync(&mut self) {
        if let Some((seq, _)) = self.records.last() {
            self.durable = self.records.len();
            self.core.handle(self.now(), Input::Durable(*seq));
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Wake(id) => self.deliver(id),
                Output::Persist { seq, record } => self.records.push((seq, record)),
                Output::Hello { conn, reply: HelloReply::Welcome { resumed, received, life, recovered, .. } } => {
                    let session = &self.sessions[(conn.0 % 100) as usize];
                    assert_eq!((resumed, recovered), (self.lives > 1, self.lives > 1));
                    session.welcome(Welcome { resumed, recovered, received, life }).unwrap();
                }
                Output::Hello { reply, .. } => panic!("{reply:?}"),
                Output::Close { reason, .. } => assert_eq!(reason, "the peer said goodbye"),
                _ => {}
            }
        }
    }

    fn deliver(&mut self, id: SessionId) {
        let Some(session) = self.sessions.iter().find(|s| s.id() == id).cloned() else { return };
        while let Some(batch) = self.core.poll_batch(self.now(), id, false) {
            session.receive(batch).unwrap();
        }
    }
}

fn config() -> Config {
    // The wall clock at zero: ids that are made now are not from before.
    let zero = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Config { durable: true, wall_at_zero_ms: zero.as_millis() as u64, ..Config::default() }
}

/// Asks for a restart; returns when it was made.
#[derive(Clone)]
struct Restarts(Arc<(AtomicU64, AtomicU64)>);

impl Restarts {
    async fn one(&self) {
        let wanted = self.0.0.fetch_add(1, Ordering::AcqRel) + 1;
        while self.0.1.load(Ordering::Acquire) < wanted {
            farloop::sleep(Duration::from_millis(1)).await.unwrap();
        }
    }
}

/// Runs a program with two workers and a coordinator that starts again when it is asked to.
fn play<F, R>(program: impl FnOnce(Restarts) -> F) -> R
where
    F: Future<Output = R> + 'static,
    R: 'static,
{
    let builder = farloop::in_process::builder().workers(2).loops(1).slots(4).local(std::thread::current().id());
    let Assembled { home, sessions, workers, stop, flushed } = builder.assemble().unwrap();
    for worker in &workers {
        start_loops(worker).unwrap();
    }
    let restarts = Restarts(Arc::default());
    let (asked, over) = (restarts.clone(), stop.clone());
    let thread = spawn_thread("restarts".into(), move || async move {
        let mut coordinator = Coordinator::new(sessions);
        while !over.load(Ordering::Acquire) {
            coordinator.look();
            if asked.0.0.load(Ordering::Acquire) > asked.0.1.load(Ordering::Acquire) {
                coordinator.live();
                asked.0.1.fetch_add(1, Ordering::AcqRel);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .unwrap();
    let others = workers.iter().flat_map(|w| w.loops().to_vec()).collect();
    let event_loop = Loop::new(Inner { home, stop: stop.clone(), thread: Mutex::new(None), others, flushed });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    let result = runtime.block_on(async {
        event_loop.bind();
        let limit = Duration::from_secs(30);
        tokio::time::timeout(limit, crate::runtime::run_as_task(program(restarts))).await.expect("it ends in time")
    });
    stop.store(true, Ordering::Release);
    thread.join().unwrap();
    result
}

/// What bodies did, by label.
static DONE: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());
static OPEN: AtomicBool = AtomicBool::new(false);

fn note(what: &str, label: &str) {
    *DONE.lock().unwrap().entry(format!("{what} {label}")).or_default() += 1;
}

fn done(what: &str, label: &str) -> u32 {
    DONE.lock().unwrap().get(&format!("{what} {label}")).copied().unwrap_or_default()
}

async fn until(what: &str, label: &str, times: u32) {
    while done(what, label) < times {
        farloop::sleep(Duration::from_millis(1)).await.unwrap();
    }
}

#[farloop::task]
async fn naps(label: String, ms: u64) -> farloop::Result<u64> {
    note("begun", &label);
    farloop::sleep(Duration::from_millis(ms)).await?;
    Ok(ms)
}

#[farloop::task]
async fn branches(label: String, depth: u64) -> farloop::Result<u64> {
    note("begun", &label);
    if depth == 0 {
        return naps(format!("{label} leaf"), 300).await;
    }
    let (a, b) = gather((branches(format!("{label}l"), depth - 1), branches(format!("{label}r"), depth - 1))).await?;
    Ok(a + b)
}

#[farloop::task]
async fn stubborn(label: String) -> farloop::Result<u64> {
    note("begun", &label);
    loop {
        if farloop::sleep(Duration::from_secs(600)).await.is_err() {
            note("cancelled", &label);
            if OPEN.load(Ordering::Acquire) {
                return Ok(7);
            }
        }
    }
}

#[farloop::stream]
async fn ticks(label: String, many: u64, out: farloop::Yielder<u64>) -> farloop::Result<()> {
    note("begun", &label);
    for n in 1..=many {
        out.send(n).await?;
        if n.is_multiple_of(16) {
            farloop::sleep(Duration::from_millis(1)).await?;
        }
    }
    Ok(())
}

#[test]
fn what_runs_goes_on_and_what_waits_is_told() {
    play(async |restarts| {
        let tree = ensure_future(branches("tree", 3));
        let all = ensure_future(gather_all((0..40).map(|n| naps(format!("nap {n}"), 100 + n))));
        until("begun", "tree", 1).await;
        for _ in 0..4 {
            farloop::sleep(Duration::from_millis(40)).await.unwrap();
            restarts.one().await;
        }
        assert_eq!(tree.await.unwrap(), 8 * 300);
        assert_eq!(all.await.unwrap(), (100..140).collect::<Vec<u64>>());
        let again: Vec<_> = DONE
            .lock()
            .unwrap()
            .iter()
            .filter(|(l, n)| (l.contains("tree") || l.contains("nap ")) && **n != 1)
            .map(|(l, n)| (l.clone(), *n))
            .collect();
        assert!(again.is_empty(), "{again:?}");
    });
}

#[test]
fn submits_in_flight_run_once() {
    play(async |restarts| {
        let mut tasks = Vec::new();
        for n in 0..60 {
            tasks.push(ensure_future(naps(format!("flight {n}"), n % 5)));
            if n % 15 == 7 {
                let restart = restarts.clone();
                restart.one().await;
            }
        }
        for (n, task) in (0..).zip(tasks) {
            assert_eq!(task.await.unwrap(), n % 5);
        }
        let again: Vec<_> = (0..60).map(|n| done("begun", &format!("flight {n}"))).collect();
        assert!(again.iter().all(|n| *n == 1), "{again:?}");
    });
}

#[test]
fn a_cancel_in_flight_is_delivered_once() {
    play(async |restarts| {
        let task = ensure_future(stubborn("stubborn"));
        until("begun", "stubborn", 1).await;
        assert!(task.cancel(()));
        restarts.one().await;
        until("cancelled", "stubborn", 1).await;
        restarts.one().await;
        farloop::sleep(Duration::from_millis(300)).await.unwrap();
        assert_eq!((done("cancelled", "stubborn"), done("begun", "stubborn")), (1, 1));
        OPEN.store(true, Ordering::Release);
        assert!(task.cancel(()));
        restarts.one().await;
        assert_eq!(task.await.unwrap(), 7);
        assert_eq!(done("cancelled", "stubborn"), 2);
    });
}

#[test]
fn a_stream_goes_on_where_it_was() {
    play(async |restarts| {
        let mut items = ticks("ticks", 4_000);
        let mut seen = 0;
        while let Some(item) = items.next().await {
            seen += 1;
            assert_eq!(item.unwrap(), seen);
            if seen % 900 == 450 {
                restarts.one().await;
            }
        }
        assert_eq!((seen, done("begun", "ticks")), (4_000, 1));
    });
}

#[test]
fn locks_begin_anew_and_work_again() {
    play(async |restarts| {
        let lock = farloop::sync::Lock::named("restarts");
        let guard = lock.lock().await.unwrap();
        let before = guard.token();
        let waiter = {
            let lock = lock.clone();
            farloop::ensure_future(farloop::local(async move { lock.lock().await.map(|g| g.token()) }))
        };
        farloop::sleep(Duration::from_millis(100)).await.unwrap();
        restarts.one().await;
        let error = waiter.await.unwrap_err();
        assert!(error.to_string().contains("started again"), "{error}");
        assert!(guard.check().await.unwrap_err().to_string().contains("started again"));
        let anew = lock.lock().await.unwrap();
        assert!(anew.token() > before);
        anew.release().await.unwrap();
        drop(guard);
    });
}
