//! The coordinator as one state machine: it decides everything, and does nothing by itself.
//!
//! Reading order, by file: `tasks` holds the records, and `lists` run through them; `submit` accepts tasks, `functions`
//! queue them, `schedule` gives them to workers, `attempts` hears how they went, `ending` ends them, `retention` and
//! `horizon` remember and forget them.
//! `dossier` keeps what is known of workers that were lost with a task, and `alone` lets a suspect run alone before it is
//! blamed. `lanes` and `permits` say whose turn it is, `retry` what an attempt's end leads to and when time is over, `beats` keeps
//! what bodies tell about themselves. `cancel`, `dependencies`, `streams` and `graph` are what asyncio adds to a job
//! queue, and `sync` has the locks and queues that a cluster shares. `recovery` goes on where a former life of the
//! coordinator ended. `hello`, `sessions` and `outbox` are the way in and
//! out; `calls`, `answers`, `scan`, `views` and `explain` answer people; `check` states the laws as code.
//!
//! One input touches a bounded number of records (L21): what follows from it beyond that waits as queued work, and
//! [`Core::next_deadline`] asks for a tick at once.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use hashbrown::HashMap;
use slab::Slab;

use crate::api::{Config, Input, Output, Record};
use crate::frame::{Role, Up};
use crate::id::{AttemptId, CallId, SessionId, TaskId};
use crate::limits;
use crate::outcome::Outcome;
use crate::spec::Durability;
use crate::time::Time;

/// Whether a bug is planted: never, without the feature.
macro_rules! planted {
    ($core:expr, $bug:ident) => {{
        #[cfg(feature = "planted-bugs")]
        {
            $core.config.planted == Some($crate::api::Planted::$bug)
        }
        #[cfg(not(feature = "planted-bugs"))]
        {
            false
        }
    }};
}

mod actors;
mod alone;
mod answers;
mod attempts;
mod beats;
mod calls;
mod cancel;
mod check;
mod dependencies;
mod dossier;
mod ending;
mod explain;
mod functions;
mod graph;
mod hash;
mod hello;
mod horizon;
mod lanes;
mod lists;
mod outbox;
mod permits;
mod prints;
mod recovery;
mod retention;
mod retry;
mod scan;
mod schedule;
mod sessions;
mod streams;
mod submit;
mod sync;
mod tasks;
mod traces;
mod views;

pub use check::LawViolation;

use actors::Actors;
use alone::Suspects;
use answers::Watch;
use calls::Waiting;
use cancel::Tombstones;
use dossier::Departures;
use ending::Family;
use functions::{Best, Function};
use hash::{Keyed, Rng};
use horizon::Forgotten;
use permits::Limits;
use recovery::{Aftermath, Carrying, Recovery};
use retention::Retained;
use scan::Scan;
use sessions::{Session, SessionKey};
use sync::Primitives;
use tasks::{TaskKey, Tasks};

/// The coordinator. See [`crate::api`] for how to drive it.
#[derive(Debug)]
pub struct Core {
    config: Config,
    now: Time,
    rng: Rng,

    tasks: Tasks,
    serial: u32,
    epoch: u64,
    /// Tasks that are not over.
    live: usize,
    retained: Retained,
    forgotten: Forgotten,
    /// Tasks that requests of the public API made, by the callers' names for these.
    requests: HashMap<Arc<str>, u32, Keyed>,
    /// Bytes that tasks printed and that are kept.
    log_bytes: usize,
    tombstones: Tombstones,

    sessions: Slab<Session>,
    session_ids: HashMap<SessionId, u32, Keyed>,
    generation: u32,
    /// Sessions whose next note waits for a record to be durable.
    gated: Vec<SessionKey>,

    functions: Slab<Function>,
    /// Queues of a function: fingerprint and index.
    names: HashMap<Arc<str>, Vec<(u64, u32)>, Keyed>,
    /// Queues that are not empty and that somebody serves.
    ready: BTreeSet<Best>,
    limits: Limits,
    suspects: Suspects,
    departed: Departures,

    timers: BTreeSet<(Time, Timer)>,
    work: VecDeque<Work>,
    /// Records touched by this input.
    touched: usize,

    sync: Primitives,
    actors: Actors,

    calls: BTreeMap<CallId, Waiting>,
    watches: BTreeMap<CallId, Watch>,
    /// Finished tasks that were forgotten.
    dropped: u64,
    outputs: VecDeque<Output>,
    /// Answers that rest on records which are not durable yet.
    held: VecDeque<(u64, Output)>,
    /// Number of the last record.
    seq: u64,
    durable: u64,
    recovery: Recovery,
    draining: bool,
    /// Kept for its memory.
    frames: Vec<(u64, Up)>,
}

/// What a moment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Look whether this session is still alive.
    Session(u32),
    /// The task's time is over.
    Deadline(TaskKey),
    /// The scope that a task was called in is over.
    Within(TaskKey),
    /// The patience after a cancel is over.
    Grace(TaskKey),
    /// The pause before the next attempt is over.
    Pause(TaskKey),
    /// No worker took it in time.
    StartBy(TaskKey),
    /// The attempt's own time is over.
    CloseBy(TaskKey),
    /// A heartbeat was due.
    Beat(TaskKey),
    /// A suspect has waited long enough for its worker to be idle, or has run alone.
    Alone(TaskKey),
    /// Nobody has offered this function for a while.
    Stranded(u32),
    /// A call has waited long enough.
    Call(CallId),
    /// A task that is over is to be forgotten.
    Forget(TaskKey),
    /// Look whether anybody still uses this primitive.
    Primitive(u32),
    /// Look whether an actor has anything to do.
    Idle(TaskKey),
    /// A reminder is due.
    Remind(TaskKey),
}

/// What remains to be done of something large (L21).
#[derive(Debug)]
pub(crate) enum Work {
    EndSession(u32),
    Drained(SessionKey),
    /// What a worker holds that drains is asked back.
    Recall {
        worker: SessionKey,
        next: Option<TaskKey>,
    },
    /// `retry`: then the task starts again, at the front of its queue or not.
    Children {
        key: TaskKey,
        family: Family,
        retry: Option<bool>,
    },
    Dependents {
        of: TaskId,
        outcome: Outcome,
        dependents: Vec<TaskKey>,
    },
    Mismatched(u32),
    Pull(SessionKey),
    /// A peer has received outcomes that are kept until they are consumed.
    Receipts(SessionKey),
    /// A queue may be served by workers that have credit.
    Serve(u32),
    /// What a suspect called, and what waited for a slot beside it, waits where everybody does.
    Kin(u64),
    Scan(Box<Scan>),
    /// Calls about primitives that an attempt has left open.
    EndCalls {
        session: SessionKey,
        calls: BTreeSet<u64>,
    },
    /// What waits for an actor is to be told something.
    Actor(u32, TaskKey),
    /// What remains to be done for a primitive.
    Primitive {
        at: u32,
        serial: u32,
    },
    /// What records said that had not come to its end when the last life did.
    Aftermath(Aftermath),
    /// Tasks of former lives that no worker came back with.
    TakeOn,
    /// Attempts that a worker reported about when it came back, and did not name.
    Unnamed(Vec<AttemptId>),
    Carry(Box<Carrying>),
}

/// Sizes, for tests and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Tasks that are not over.
    pub live: usize,
    /// Finished tasks that are remembered.
    pub retained: usize,
    /// Tasks that are pinned, over or not.
    pub pinned: usize,
    /// Ids of forgotten tasks that are remembered one by one.
    pub forgotten: usize,
    /// Open sessions.
    pub sessions: usize,
    /// Attempts at workers.
    pub leases: usize,
    /// Tasks in queues.
    pub queued: usize,
    /// Cancel requests for tasks that are not known yet.
    pub tombstones: usize,
    /// Timers set.
    pub timers: usize,
    /// Calls that wait.
    pub calls: usize,
    /// Readers that watch tasks or an actor.
    pub watches: usize,
    /// Actors that are not over.
    pub actors: usize,
    /// Locks, semaphores, events, queues and barriers in use.
    pub primitives: usize,
    /// Waits for them, permits held, and items on their way.
    pub sync_calls: usize,
    /// Items in queues.
    pub sync_items: usize,
}

impl Core {
    /// A coordinator that knows nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let keyed = Keyed::new(config.seed);
        Self {
            now: Time(0),
            rng: Rng::new(config.seed),
            tasks: Tasks::new(keyed),
            serial: 0,
            epoch: 0,
            live: 0,
            retained: Retained::default(),
            forgotten: Forgotten::new(keyed),
            requests: HashMap::with_hasher(keyed),
            log_bytes: 0,
            tombstones: Tombstones::new(keyed),
            sessions: Slab::new(),
            session_ids: HashMap::with_hasher(keyed),
            generation: 0,
            gated: Vec::new(),
            functions: Slab::new(),
            names: HashMap::with_hasher(keyed),
            ready: BTreeSet::new(),
            limits: Limits::new(keyed),
            suspects: Suspects::default(),
            departed: Departures::default(),
            timers: BTreeSet::new(),
            work: VecDeque::new(),
            touched: 0,
            sync: Primitives::new(keyed, config.wall_at_zero_ms),
            actors: Actors::new(keyed),
            calls: BTreeMap::new(),
            watches: BTreeMap::new(),
            dropped: 0,
            outputs: VecDeque::new(),
            held: VecDeque::new(),
            seq: 0,
            durable: 0,
            recovery: Recovery::default(),
            draining: false,
            frames: Vec::new(),
            config,
        }
    }

    /// Takes one input in. Time never goes back: an earlier `now` counts as the last one.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        self.touched = 0;
        match input {
            Input::Hello { conn, hello } => self.on_hello(conn, hello),
            Input::Batch { session, conn, batch } => self.on_batch(session, conn, batch),
            Input::Cut { session, conn } => self.on_cut(session, conn),
            Input::Call { call, request } => self.on_call(call, request),
            Input::Hangup(call) => self.on_hangup(call),
            Input::Durable(seq) => self.on_durable(seq),
            Input::Recovered { cluster } => self.on_recovered(cluster),
            Input::Room(room) => self.recovery.full = !room,
            Input::Carry { part, tasks } => self.carry(part, tasks),
            Input::Tick => {}
            Input::Drain => self.on_drain(),
        }
        // After the input: what was reported in time counts, even if this call comes late.
        self.run_timers();
        // Before work, which fills workers that one of these may wait for; and after it, for what it set aside.
        self.run_suspects();
        self.run_work();
        self.run_suspects();
        self.evict();
    }

    /// What the last inputs led to, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due: the last `now` itself while work is queued.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        if !self.work.is_empty() {
            return Some(self.now);
        }
        let timer = self.timers.first().map(|(at, _)| *at);
        match (timer, self.evict_at()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Sizes, for tests and metrics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            live: self.live,
            retained: self.retained.len(),
            pinned: self.retained.pins(),
            forgotten: self.forgotten.len(),
            sessions: self.session_ids.len(),
            leases: self.sessions.iter().filter_map(|(_, s)| s.worker.as_ref()).map(|w| w.leases.len as usize).sum(),
            queued: self.functions.iter().map(|(_, f)| f.len).sum::<usize>() + self.suspects.len(),
            tombstones: self.tombstones.len(),
            timers: self.timers.len(),
            calls: self.calls.len(),
            watches: self.readers(),
            actors: self.actors.len(),
            primitives: self.sync.len(),
            sync_calls: self.sync.calls(),
            sync_items: self.sync.items(),
        }
    }

    fn run_timers(&mut self) {
        while self.touched < limits::TOUCH
            && let Some(&(at, timer)) = self.timers.first()
            && at <= self.now
        {
            self.timers.pop_first();
            self.touched += 1;
            match timer {
                Timer::Session(index) => self.on_session_timer(index),
                Timer::Deadline(key) => {
                    if self.tasks.get(key).is_some_and(|t| !t.over()) {
                        self.time_out(key.index);
                    }
                }
                Timer::Within(key) => self.on_scope_over(key),
                Timer::Grace(key) => self.on_grace(key),
                Timer::Pause(key) => self.on_pause_over(key),
                Timer::StartBy(key) => self.on_start_by(key),
                Timer::CloseBy(key) => self.on_close_by(key),
                Timer::Beat(key) => self.on_beat_due(key),
                Timer::Alone(key) => self.on_alone_over(key),
                Timer::Stranded(function) => self.on_stranded(function),
                Timer::Call(call) => self.on_call_timeout(call),
                Timer::Forget(key) => self.on_forget(key),
                Timer::Primitive(at) => self.on_primitive_idle(at),
                Timer::Idle(host) => self.on_idle(host),
                Timer::Remind(key) => self.on_reminder(key),
            }
        }
    }

    fn run_work(&mut self) {
        while self.touched < limits::TOUCH
            && let Some(mut work) = self.work.pop_front()
        {
            let done = match &mut work {
                Work::EndSession(index) => self.end_session_some(*index),
                Work::Drained(key) => self.on_drained(*key),
                Work::Recall { worker, next } => self.recall_some(*worker, next),
                Work::Children { key, family, retry } => self.children_some(*key, *family, *retry),
                Work::Dependents { of, outcome, dependents } => self.dependents_some(*of, outcome, dependents),
                Work::Mismatched(function) => self.mismatched_some(*function),
                Work::Pull(key) => self.session(*key).is_none() || self.pull_some(key.index),
                Work::Receipts(session) => self.receipts_some(*session),
                Work::Serve(function) => self.serve_some(*function),
                Work::Kin(number) => self.kin_some(*number),
                Work::Scan(scan) => self.scan_some(scan),
                Work::EndCalls { session, calls } => self.end_calls_some(*session, calls),
                Work::Actor(at, host) => self.actor_some(*at, *host),
                Work::Primitive { at, serial } => self.primitive_some(*at, *serial),
                Work::Aftermath(aftermath) => self.aftermath_some(aftermath),
                Work::TakeOn => self.take_on_some(),
                Work::Unnamed(attempts) => self.unnamed_some(attempts),
                Work::Carry(carrying) => self.carry_some(carrying),
            };
            if !done {
                self.work.push_back(work);
            }
        }
    }

    /// A worker that drains holds nothing any more: its session is over.
    fn on_drained(&mut self, key: SessionKey) -> bool {
        let idle = self
            .session(key)
            .and_then(|s| s.worker.as_ref())
            .is_some_and(|w| w.draining && !w.asked && w.leases.is_empty());
        if idle {
            self.drop_conn(key.index, "the worker is drained");
            self.end_session(key.index, true);
        }
        true
    }

    fn on_drain(&mut self) {
        self.draining = true;
        let open: Vec<u32> = self.sessions.iter().filter(|(_, s)| !s.over).map(|(i, _)| i as u32).collect();
        for index in open {
            self.tell_drain(index);
        }
    }

    /// Emits a record; what rests on it waits for its number.
    fn persist(&mut self, record: Record) -> u64 {
        self.seq += 1;
        self.outputs.push_back(Output::Persist { seq: self.seq, record });
        self.seq
    }

    /// Whether anything about this task is recorded.
    fn records(&self, index: u32) -> bool {
        self.config.durable && self.tasks[index].durability != Durability::Memory
    }

    /// Emits a record about a task that is recorded. What is told about it waits for its number, if the task asks for
    /// that.
    fn record(&mut self, index: u32, record: Record) {
        let seq = self.persist(record);
        let task = &mut self.tasks[index];
        if task.durability == Durability::Durable {
            task.gate = seq;
        }
    }

    /// Sessions of workers that are still there, in the order of their slots.
    fn workers(&self) -> impl Iterator<Item = (u32, &Session)> {
        let open = self.sessions.iter().filter(|(_, s)| !s.over && s.role == Role::Worker);
        open.map(|(i, s)| (i as u32, s))
    }
}
