//! What an observer between the core and its peers knows: who said what, in which order, and what must follow.
//!
//! The observer never looks into the core. It sees inputs and outputs, and judges them by the laws.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use farloop_core::api::{CallError, Config, Event, Input, Output, Record, Reply};
use farloop_core::frame::{Hello, HelloReply, Owner, Role, Up};
use farloop_core::id::{AttemptId, ConnId, Epoch, SessionId, TaskId};
use farloop_core::spec::Spec;
use farloop_core::time::Time;

use crate::brief;
use crate::fold::Fold;
use crate::ledger::{Over, SessionLog, TaskLog};
use crate::plan::Plan;
use crate::printed::Printed;
use crate::synced::Synced;
use crate::trace::Trace;

/// A law that does not hold.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Its id.
    pub law: String,
    /// What was seen.
    pub what: String,
}

/// What a record says of its task, once it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Accepted,
    Started,
    Ended,
}

/// Everything seen so far.
#[derive(Debug)]
pub struct History {
    /// The first law found broken.
    pub broken: Option<Broken>,
    pub(crate) config: Config,
    pub(crate) sessions: BTreeMap<SessionId, SessionLog>,
    pub(crate) lives: u64,
    pub(crate) tasks: BTreeMap<TaskId, TaskLog>,
    /// Tasks an attempt created, unless detached.
    pub(crate) children: BTreeMap<AttemptId, Vec<TaskId>>,
    pub(crate) hellos: BTreeMap<ConnId, Hello>,
    /// Sessions that gave way to another one of the same id, and whose end is yet to be told.
    pub(crate) replaced: BTreeMap<SessionId, u32>,
    /// Sessions that are over, for good.
    pub(crate) ended: BTreeSet<SessionId>,
    /// Submits of another body under a taken id: session, its life, task.
    pub(crate) conflicts: BTreeMap<(SessionId, u64, TaskId), Arc<Spec>>,
    pub(crate) records: BTreeMap<u64, (TaskId, Mark)>,
    /// All records, of all lives.
    pub(crate) written: BTreeMap<u64, Record>,
    /// What was on record when this life began.
    pub(crate) fold: Fold,
    /// Items of links that were counted as requests to stop, or not to stop.
    pub(crate) counted: BTreeSet<(TaskId, SessionId, u64)>,
    /// Lives of the coordinator.
    pub(crate) life: u64,
    /// The last record before each session was opened.
    pub(crate) opened: BTreeMap<SessionId, u64>,
    /// The latest lease that was seen, and the latest one of earlier lives.
    pub(crate) epochs_seen: Epoch,
    pub(crate) epochs_before: Epoch,
    /// Of the last input, the frames.
    pub(crate) reading: Option<(SessionId, Vec<(u64, Up)>)>,
    pub(crate) inputs: u64,
    /// The core has not yet done all that follows from the inputs so far.
    pub(crate) unfinished: bool,
    pub(crate) persisted: u64,
    pub(crate) durable: u64,
    pub(crate) synced: Synced,
    pub(crate) printed: Printed,
    /// Traced tasks that are over.
    pub(crate) traced: BTreeSet<TaskId>,
    /// Starts that were seen.
    pub starts: u64,
    /// Outcomes that were told, by kind.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Rare things that were seen: a simulation in which they never happen says nothing about them.
    pub seen: BTreeMap<&'static str, u64>,
}

impl History {
    /// Nothing has happened.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            broken: None,
            config: plan.config.clone(),
            sessions: BTreeMap::new(),
            lives: 0,
            tasks: BTreeMap::new(),
            children: BTreeMap::new(),
            hellos: BTreeMap::new(),
            replaced: BTreeMap::new(),
            ended: BTreeSet::new(),
            conflicts: BTreeMap::new(),
            records: BTreeMap::new(),
            written: BTreeMap::new(),
            fold: Fold::default(),
            counted: BTreeSet::new(),
            life: 0,
            opened: BTreeMap::new(),
            epochs_seen: Epoch(0),
            epochs_before: Epoch(0),
            reading: None,
            inputs: 0,
            unfinished: false,
            persisted: 0,
            durable: 0,
            synced: Synced::default(),
            printed: Printed::default(),
            traced: BTreeSet::new(),
            starts: 0,
            outcomes: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    /// A law does not hold; the first one counts.
    pub fn fail(&mut self, law: &str, what: String) {
        if self.broken.is_none() {
            self.broken = Some(Broken { law: law.into(), what });
        }
    }

    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// The connection that the coordinator takes for a session's.
    #[must_use]
    pub fn conn(&self, session: SessionId) -> Option<ConnId> {
        self.sessions.get(&session)?.conn
    }

    /// Tasks that are known by now.
    #[must_use]
    pub fn tasks_seen(&self) -> Vec<TaskId> {
        self.tasks.keys().copied().collect()
    }

    /// Before the core takes an input in.
    pub fn input(&mut self, now: Time, input: &Input, trace: &mut Trace) {
        self.inputs += 1;
        self.reading = None;
        match input {
            Input::Hello { conn, hello } => {
                trace.mix_id(hello.session.0);
                trace.line(|| format!("{:>10} > hello {conn:?} {} resume {}", now.0, hello.session, hello.resume));
                self.hellos.insert(*conn, hello.clone());
            }
            Input::Batch { session, conn, batch } => {
                trace.mix(batch.first);
                if self.conn(*session) != Some(*conn) {
                    trace.line(|| format!("{:>10} > late batch of {conn:?}", now.0));
                    return;
                }
                let Some(log) = self.sessions.get_mut(session) else { return };
                let frames = log.up.take(batch, self.config.max_payload);
                let seen = log.up_seen;
                log.up_seen = seen.max(log.up.count);
                for (item, frame) in &frames {
                    trace.mix(mark_up(frame));
                    if *frame != Up::Heartbeat {
                        trace.line(|| format!("{:>10} > {} {}", now.0, conn.0, brief::up(frame)));
                    }
                    self.up(now, *session, *item, *item < seen, frame);
                }
                self.reading = self.config.durable.then_some((*session, frames));
            }
            Input::Cut { session, conn } => {
                trace.mix(conn.0);
                trace.line(|| format!("{:>10} > cut {conn:?} of {session}", now.0));
                if let Some(log) = self.sessions.get_mut(session).filter(|l| l.conn == Some(*conn)) {
                    log.conn = None;
                }
            }
            Input::Call { call, request } => {
                trace.mix(call.0);
                trace.line(|| format!("{:>10} > {call:?} {:.200}", now.0, format!("{request:?}")));
                self.call(now, request);
            }
            Input::Durable(seq) => trace.mix(*seq),
            Input::Hangup(call) => trace.mix(call.0),
            Input::Tick | Input::Drain | Input::Recovered { .. } | Input::Room(_) | Input::Carry { .. } => {}
        }
    }

    /// After the core has taken an input in: what it wants done.
    pub fn output(&mut self, now: Time, output: &Output, trace: &mut Trace) {
        match output {
            Output::Hello { conn, reply } => {
                trace.line(|| format!("{:>10} < {conn:?} {reply:?}", now.0));
                self.welcome(*conn, reply);
            }
            Output::Close { session, conn, reason } => {
                trace.mix(conn.0);
                trace.line(|| format!("{:>10} < close {conn:?} of {session}: {reason}", now.0));
                if let Some(log) = self.sessions.get_mut(session).filter(|l| l.conn == Some(*conn)) {
                    log.conn = None;
                }
            }
            Output::Persist { seq, record } => {
                trace.mix(*seq);
                trace.line(|| format!("{:>10} < persist {seq} {}", now.0, brief::record(record)));
                self.persist(*seq, record);
            }
            Output::Event(event) => {
                trace.line(|| format!("{:>10} < {:.200}", now.0, format!("{event:?}")));
                match event {
                    Event::Stranded { .. } => self.saw("stranded"),
                    Event::StaleReport { .. } => self.saw("stale report"),
                    Event::Scheduled { .. } => self.saw("traced start"),
                    Event::Over { task, .. } if self.traced.insert(*task) => {}
                    Event::Over { task, .. } => {
                        self.fail("L3", format!("the end of {task} was told twice to whoever traces it"));
                    }
                    _ => self.gave_up(event),
                }
            }
            Output::Reply { call, reply } => {
                trace.mix(call.0 << 1 | u64::from(reply.is_ok()));
                trace.line(|| format!("{:>10} < {call:?} {:.200}", now.0, format!("{reply:?}")));
            }
            Output::Carried { part, seq } => trace.mix(*part << 32 | *seq),
            Output::Wake(session) => trace.mix_id(session.0),
            Output::More(call) => trace.mix(call.0 << 2),
        }
    }

    fn welcome(&mut self, conn: ConnId, reply: &HelloReply) {
        let Some(hello) = self.hellos.remove(&conn) else {
            return self.fail("L10", format!("{conn:?} is welcomed without a hello"));
        };
        let HelloReply::Welcome { resumed, received, recovered, .. } = reply else { return };
        let session = hello.session;
        let known = self.sessions.get(&session).map(|l| (l.up.count, l.up_safe, l.rejoining));
        // Once more in the same life: the first welcome did not arrive.
        let here = self.sessions.get(&session).is_some_and(|l| l.recovered_in == self.life);
        if *recovered && !here {
            if !*resumed || *received != hello.acked || hello.life.is_none() {
                return self.fail("L10", format!("session {session} recovers with {reply:?} after {hello:?}"));
            }
            if known.is_none() {
                self.lives += 1;
                self.ended.remove(&session);
                let mut log = SessionLog::new(conn, hello.role, self.lives);
                log.up_safe = hello.acked;
                self.sessions.insert(session, log);
            }
            self.recovered(session, hello.received, hello.acked);
        } else if *resumed {
            // What is not durable yet does not count as received: it may come once more.
            let fits = known.is_some_and(|(count, safe, _)| (safe..=count).contains(received));
            if !fits || (!self.config.durable && known.map(|k| k.0) != Some(*received)) {
                let what = format!("session {session} resumes at {received} items received; {known:?} were");
                return self.fail("L10", what);
            }
            self.acknowledged(session, *received);
        }
        self.saw(if *resumed { "session resumed" } else { "session opened" });
        if *resumed {
            if let Some(log) = self.sessions.get_mut(&session) {
                log.conn = Some(conn);
                // One that was never welcomed has nothing to say.
                log.rejoining &= hello.resume;
            }
            return;
        }
        // Of those from before a crash, the core knows again only those that own something.
        let remembered = known.is_some_and(|(.., rejoining)| !rejoining) || self.owns_something(session);
        if hello.role == Role::Client && known.is_some() && remembered {
            *self.replaced.entry(session).or_default() += 1;
        }
        self.session_over(session);
        self.ended.remove(&session);
        self.lives += 1;
        // Its items are numbered from the beginning again.
        self.counted.retain(|(_, counted, _)| *counted != session);
        self.opened.insert(session, self.persisted);
        self.sessions.insert(session, SessionLog::new(conn, hello.role, self.lives));
    }

    /// The core says that it waits for a peer no longer.
    pub(crate) fn gave_up(&mut self, event: &Event) {
        match event {
            Event::WorkerLost { worker, .. } => self.session_over(SessionId(worker.0)),
            Event::SessionOver { session, .. } => match self.replaced.get_mut(session) {
                Some(n) if *n > 0 => *n -= 1,
                _ => self.session_over(*session),
            },
            _ => {}
        }
    }

    /// A session is over: its attempts are lost, and what it owns must be cancelled.
    pub(crate) fn session_over(&mut self, session: SessionId) {
        let log = self.sessions.remove(&session);
        self.ended.insert(session);
        let mut lost = Vec::new();
        for (id, task) in &mut self.tasks {
            for attempt in &mut task.attempts {
                // One that was over before a crash, and of which no record says so, is over once more: what it had
                // reported is forgotten, so its attempts go on until then.
                let its = log.as_ref().is_none_or(|log| attempt.life == log.life);
                if attempt.session == session && its && attempt.over.is_none() {
                    attempt.over = Some(Over::Lost);
                    // What no worker has come back with is decided at the end of the window, not with this session.
                    let held = attempt.epoch <= self.epochs_before && !attempt.claimed;
                    lost.push((AttemptId { task: *id, epoch: attempt.epoch }, held));
                }
            }
            let Some(log) = &log else { continue };
            let owned = log.role == Role::Client && task.root == Some(session) && task.owner == Some(Owner::Root);
            let consumed = task.from == Some(session) && task.spec.as_ref().is_some_and(|s| s.stream);
            if owned || consumed {
                task.orphan(self.inputs);
            }
        }
        for (attempt, held) in lost {
            if held {
                self.may_orphan_children(attempt);
            } else {
                self.orphan_children(attempt, false);
            }
        }
    }

    /// An attempt is over, or will be found to be: its children may stop from now on.
    pub(crate) fn may_orphan_children(&mut self, attempt: AttemptId) {
        for child in self.children.get(&attempt).cloned().unwrap_or_default() {
            if let Some(log) = self.tasks.get_mut(&child) {
                log.orphaned = true;
            }
        }
    }

    /// An attempt is over: which of its children have to stop?
    pub(crate) fn orphan_children(&mut self, attempt: AttemptId, awaited_only: bool) {
        for child in self.children.get(&attempt).cloned().unwrap_or_default() {
            if let Some(task) = self.tasks.get_mut(&child)
                && (!awaited_only || task.owner == Some(Owner::Await))
            {
                task.orphan(self.inputs);
            }
        }
    }

    fn persist(&mut self, seq: u64, record: &Record) {
        if seq != self.persisted + 1 || !self.config.durable {
            return self.fail("L1", format!("record {seq} follows {}", self.persisted));
        }
        self.persisted = seq;
        self.rests_on(seq, record);
        let mark = match record {
            Record::Submitted(submitted) => {
                self.tasks.entry(submitted.task).or_default().recorded = true;
                Some((submitted.task, Mark::Accepted))
            }
            Record::Ended { task, outcome, .. } => {
                self.told(*task, outcome, "the record");
                Some((*task, Mark::Ended))
            }
            Record::Started { task } => Some((*task, Mark::Started)),
            Record::AttemptFailed(failed) => {
                let log = self.tasks.entry(failed.task).or_default();
                log.failed_epoch = log.failed_epoch.max(failed.epoch);
                None
            }
            Record::CancelRequested(cancel) => {
                // What came before its task may be forgotten with its part of the journal.
                let live = self.tasks.get(&cancel.task).is_some_and(|t| t.recorded && t.told.is_none());
                let by = cancel.by.filter(|_| live);
                let again = by.is_some_and(|(session, item)| !self.counted.insert((cancel.task, session, item)));
                if again {
                    let what = format!("a request of {:?} for {} counts twice", cancel.by, cancel.task);
                    self.fail("L6", what);
                }
                None
            }
            _ => None,
        };
        self.records.extend(mark.map(|mark| (seq, mark)));
        self.written.insert(seq, record.clone());
    }

    /// Records up to this one are on disk.
    pub fn durable(&mut self, seq: u64) {
        self.durable = self.durable.max(seq);
        let later = self.records.split_off(&(seq + 1));
        for (task, mark) in std::mem::replace(&mut self.records, later).into_values() {
            let log = self.tasks.entry(task).or_default();
            *match mark {
                Mark::Accepted => &mut log.durable_submit,
                Mark::Started => &mut log.durable_start,
                Mark::Ended => &mut log.durable_end,
            } = true;
        }
    }

    /// An answer of the public API: the outcomes in it are told.
    pub fn reply(&mut self, _now: Time, reply: &Result<Reply, CallError>) {
        let views = match reply {
            Ok(Reply::Task(view) | Reply::Cancelled { task: view, .. } | Reply::Explained { task: view, .. }) => {
                std::slice::from_ref(view)
            }
            Ok(Reply::Tasks { tasks, .. } | Reply::Gathered { tasks, .. }) => tasks,
            _ => &[],
        };
        for view in views {
            if let Some(outcome) = &view.outcome {
                self.told(view.task, outcome, "an answer");
            }
        }
        self.answered(reply);
    }
}

fn mark_up(frame: &Up) -> u64 {
    let id = |id: u128| (id >> 40) as u64 ^ id as u64;
    match frame {
        Up::Submit(s) => id(s.task.0) ^ 1,
        Up::Watch(t) => id(t.0) ^ 2,
        Up::Cancel { task, .. } => id(task.0) ^ 3,
        Up::Uncancel(t) => id(t.0) ^ 4,
        Up::Release(t) => id(t.0) ^ 22,
        Up::Grant(n) => *n << 8 | 5,
        Up::Progress { attempt, awaits, .. } => attempt.epoch.0 << 20 | (awaits.len() as u64) << 8 | 6,
        Up::CancelSeen { attempt, seen } => attempt.epoch.0 << 20 | u64::from(*seen) << 8 | 7,
        Up::Ended { attempt, delivered, .. } => attempt.epoch.0 << 20 | u64::from(*delivered) << 8 | 8,
        Up::Returned(attempt) => attempt.epoch.0 << 8 | 9,
        Up::Sync(call) => call.call << 8 | 15,
        Up::SyncEnd { call, .. } => call << 8 | 16,
        Up::Attempt(held) => held.attempt.epoch.0 << 8 | 18,
        Up::Rejoined { starts } => *starts << 8 | 19,
        Up::Heartbeat => 10,
        Up::TaskHeartbeat { attempt, details } => attempt.epoch.0 << 20 | (details.len() as u64) << 8 | 14,
        Up::TaskProgress { attempt, value } => attempt.epoch.0 << 20 | (value.len() as u64) << 8 | 15,
        Up::WatchProgress(t) => id(t.0) ^ 16,
        Up::Abandoned(n) => u64::from(*n) << 8 | 17,
        Up::Snapshot(s) => s.incarnation.epoch.0 << 20 | (s.state.len() as u64) << 8 | 23,
        Up::Drain => 11,
        Up::Bye => 12,
        Up::Offer(defs) => (defs.len() as u64) << 8 | 13,
        Up::Print { attempt, print } => attempt.epoch.0 << 20 | (print.text.len() as u64) << 8 | 14,
        Up::Item { attempt, seq, .. } => attempt.epoch.0 << 20 | *seq << 8 | 17,
        Up::Credit { task, taken } => id(task.0) ^ *taken << 8 ^ 18,
    }
}
