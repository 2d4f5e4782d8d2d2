//! What the observer knows when a life of the coordinator is over, and what must be so in the next one (L1, L3, L17).

use std::collections::BTreeSet;
use std::time::Duration;

use farloop_core::api::{Call, CallError, ListTasks, Record, Reply};
use farloop_core::frame::Up;
use farloop_core::id::{AttemptId, SessionId, TaskId};
use farloop_core::time::Time;
use farloop_store::Entry;

use crate::fold::{Fold, Folded};
use crate::history::History;
use crate::ledger::{Mirror, Over, Request, TaskLog};
use crate::world::World;

impl History {
    /// The coordinator's process is gone.
    pub(crate) fn died(&mut self) {
        self.hellos.clear();
        for log in self.sessions.values_mut() {
            log.conn = None;
            log.owed.clear();
            log.rejoining = true;
        }
    }

    /// The store was opened again and has these records. What was told rests on them.
    pub(crate) fn survived(&mut self, now: Time, entries: &[Entry]) {
        self.replaced.clear();
        let last = entries.last().map_or(0, |e| e.seq);
        if last < self.durable {
            let what = format!("record {} was durable, and the last one that is there is {last}", self.durable);
            return self.fail("L1", what);
        }
        for entry in entries {
            let written = self.written.get(&entry.seq).filter(|_| entry.seq <= self.persisted);
            if written != Some(&entry.record) {
                let what =
                    format!("record {} is read as {:?}, and was written as {written:?}", entry.seq, entry.record);
                return self.fail("L17", what);
            }
        }
        self.written.split_off(&(last + 1));
        let mut begun = BTreeSet::new();
        let cancels = self.written.iter().filter_map(|(seq, record)| match record {
            Record::Submitted(submitted) => {
                begun.insert(submitted.task);
                None
            }
            Record::CancelRequested(cancel) if begun.contains(&cancel.task) => {
                let (session, item) = cancel.by?;
                (self.opened.get(&session) < Some(seq)).then_some((cancel.task, session, item))
            }
            _ => None,
        });
        self.counted = cancels.collect();
        self.persisted = last;
        self.durable = last;
        self.records.clear();
        self.life += 1;
        self.sessions.values_mut().for_each(|log| log.unsafe_items.clear());
        self.epochs_before = self.epochs_seen;
        self.synced.coordinator_died();
        let fold = Fold::of(self.written.values());
        let left = self.requests_left(entries);
        let mut lost = Vec::new();
        for (task, log) in &mut self.tasks {
            match fold.tasks.get(task) {
                Some(folded) => log.folded(folded, now),
                None if log.recorded => lost.push(*task),
                None => log.never_recorded(left.contains(task)),
            }
        }
        for task in lost {
            let Some(log) = self.tasks.get_mut(&task) else { continue };
            if log.safe {
                self.fail("L1", format!("{task} was acknowledged, and there is no record of it after a crash"));
            } else {
                log.never_recorded(false);
            }
        }
        self.traced.retain(|task| fold.tasks.get(task).is_some_and(|t| t.ended.is_some()));
        self.fold = fold;
    }

    /// Tasks of which only a cancel request was on record, in a part of the journal that has left: a request that comes
    /// before its task is kept for as long as outcomes are, and no longer.
    fn requests_left(&self, entries: &[Entry]) -> BTreeSet<TaskId> {
        let there = entries.iter().map(|e| e.seq).collect::<BTreeSet<_>>();
        let left = self.written.iter().filter(|(seq, _)| !there.contains(seq));
        let requests = left.filter_map(|(_, record)| match record {
            Record::CancelRequested(cancel) => Some(cancel.task),
            _ => None,
        });
        requests.collect()
    }

    /// A session goes on with a coordinator that started again: both links stand where the peer says.
    pub(crate) fn recovered(&mut self, session: SessionId, received: u64, acked: u64) {
        self.saw("session recovered");
        let Some(log) = self.sessions.get_mut(&session) else { return };
        if log.up.count == 0 {
            // It was opened again, and died before its peer heard that: that one goes on where it was.
            log.up_safe = log.up_safe.max(acked);
        }
        if acked > log.up_safe {
            let what = format!("session {session}: {acked} items count as acknowledged, told were {}", log.up_safe);
            return self.fail("L10", what);
        }
        log.up_safe = acked;
        log.up = Mirror::at(acked);
        log.down = Mirror::at(received);
        log.rejoining = true;
        log.recovered_in = self.life;
        log.granted = 0;
        log.asked.clear();
        log.refusals.clear();
        log.early.clear();
    }

    /// A worker says which attempt it holds, or reports about one: it goes on, unless it is over, until the worker has said
    /// all that it holds and did not name it.
    pub(crate) fn claimed(&mut self, session: SessionId, attempt: AttemptId, named: bool) {
        let Some(life) = self.sessions.get(&session).map(|l| l.life) else { return };
        let Some(log) = self.tasks.get_mut(&attempt.task) else { return };
        if log.told.is_some() || attempt.epoch <= log.failed_epoch {
            return;
        }
        let Some(last) = log.attempts.last_mut().filter(|a| a.epoch == attempt.epoch && a.session == session) else {
            return;
        };
        if last.report.is_none() && matches!(last.over, Some(Over::Lost | Over::Fenced)) {
            // Taken for lost in this life: whether it was leased to another one meanwhile, only the core knows.
            last.over = None;
            last.doubtful = true;
        }
        last.life = life;
        last.claimed |= named;
        self.saw("attempt adopted");
    }

    /// A peer has said all that it holds: what it did not name is lost.
    pub(crate) fn rejoined(&mut self, session: SessionId, starts: u64) {
        let Some(log) = self.sessions.get_mut(&session) else { return };
        log.rejoining = false;
        log.starts = starts;
        let life = log.life;
        let mut lost = Vec::new();
        for (task, log) in &mut self.tasks {
            if let Some(last) = log.attempts.last_mut()
                && last.session == session
                && last.life == life
                && last.over.is_none()
                && !last.claimed
                && last.report.is_none()
                && last.epoch <= self.epochs_before
            {
                last.over = Some(Over::Lost);
                lost.push(AttemptId { task: *task, epoch: last.epoch });
            }
        }
        for attempt in lost {
            // When it is found out is the core's affair: at the end of the window, or when the task starts again.
            self.may_orphan_children(attempt);
        }
    }

    /// Items below this number are acknowledged: what they led to must be durable (L1).
    pub(crate) fn acknowledged(&mut self, session: SessionId, ack: u64) {
        let Some(log) = self.sessions.get_mut(&session) else { return };
        log.up_safe = log.up_safe.max(ack);
        let later = log.unsafe_items.split_off(&ack);
        let now = std::mem::replace(&mut log.unsafe_items, later);
        for (item, (seq, task)) in now {
            if seq > self.durable {
                let what = format!(
                    "session {session}: item {item} about {task} is acknowledged, and its record {seq} is not durable"
                );
                return self.fail("L1", what);
            }
            let log = self.tasks.entry(task).or_default();
            // A cancel request may be on record before its task is.
            log.safe |= log.durable_submit;
        }
        let Some(log) = self.sessions.get_mut(&session) else { return };
        let later = log.requests.split_off(&ack);
        for (item, task) in std::mem::replace(&mut log.requests, later) {
            let requests = self.tasks.get_mut(&task).into_iter().flat_map(|t| &mut t.requests);
            requests.filter(|r| r.by == Some((session, item))).for_each(|r| r.safe = true);
        }
    }

    /// The public API was told that something counts.
    pub(crate) fn answered(&mut self, reply: &Result<Reply, CallError>) {
        match reply {
            Ok(Reply::Cancelled { requested: true, task }) => {
                let log = self.tasks.entry(task.task).or_default();
                if let Some(request) = log.requests.iter_mut().find(|r| r.by.is_none() && !r.safe) {
                    request.safe = true;
                }
            }
            Ok(Reply::Task(view)) => self.tasks.entry(view.task).or_default().safe = true,
            _ => {}
        }
    }

    /// A task that was over in a former life, and whose time is over as well: an id of which nothing is on record any more
    /// is a new one, unless it is older than any clock excuses (L2).
    pub(crate) fn forget_if_expired(&mut self, task: TaskId, now: Time) {
        let Some((_, at)) = self.fold.tasks.get(&task).and_then(|t| t.ended.as_ref()) else { return };
        if *at + self.config.retention <= now
            && let Some(log) = self.tasks.get_mut(&task).filter(|log| log.forgotten.is_none())
        {
            // Nobody remembers anything of it but its attempts, whose results others may hold.
            let (attempts, other_bodies, crossed) = (log.attempts.clone(), log.other_bodies, log.crossed);
            let before = Box::new(std::mem::take(log));
            // A request that came when the core had forgotten it already counts for who comes next under its name.
            let doubtful = before.cancels + before.doubtful;
            *log = TaskLog { attempts, other_bodies, crossed, doubtful, forgotten: Some(before), ..TaskLog::default() };
            // Its end, if it is accepted, is another one.
            self.traced.remove(&task);
        }
    }

    /// The coordinator knows that the task was there before: it is what it was.
    pub(crate) fn remember(&mut self, task: TaskId) {
        let log = self.tasks.entry(task).or_default();
        if let Some(before) = log.forgotten.take() {
            *log = *before;
            self.traced.insert(task);
        }
    }

    /// Whether a coordinator that starts again knows this session, because of what it owns.
    pub(crate) fn owns_something(&self, session: SessionId) -> bool {
        self.fold.tasks.values().any(|t| t.ended.is_none() && t.submitted.root == Some(session))
    }

    /// The core made a record of what a frame says that it was just given.
    pub(crate) fn rests_on(&mut self, seq: u64, record: &Record) {
        let (task, found) = match record {
            Record::Submitted(submitted) => {
                (submitted.task, self.item_of(|f| matches!(f, Up::Submit(s) if s.task == submitted.task)))
            }
            Record::Ended { task, .. } => {
                // What came of an attempt that is on record as over changes nothing.
                let over = self.tasks.get(task).map(|log| log.failed_epoch).unwrap_or_default();
                let fits = |f: &Up| matches!(f, Up::Ended { attempt, .. } if attempt.task == *task && attempt.epoch > over);
                (*task, self.item_of(fits))
            }
            Record::AttemptFailed(failed) => {
                (failed.task, self.item_of(|f| matches!(f, Up::Ended { attempt, .. } if attempt.task == failed.task && attempt.epoch == failed.epoch)))
            }
            Record::CancelRequested(cancel) => (cancel.task, cancel.by),
            _ => return,
        };
        if let Some((session, item)) = found
            && let Some(log) = self.sessions.get_mut(&session)
        {
            log.unsafe_items.entry(item).or_insert((seq, task)).0 = seq;
        }
    }

    fn item_of(&self, fits: impl Fn(&Up) -> bool) -> Option<(SessionId, u64)> {
        let (session, frames) = self.reading.as_ref()?;
        frames.iter().find(|(_, frame)| fits(frame)).map(|(item, _)| (*session, *item))
    }
}

impl TaskLog {
    /// No record of it is there: as if nobody had ever asked for it. Who did will do so again, unless the request had its
    /// time on record and left.
    fn never_recorded(&mut self, left: bool) {
        let mut requests = std::mem::take(&mut self.requests);
        requests.iter_mut().for_each(|r| r.safe &= !left);
        let attempts = std::mem::take(&mut self.attempts);
        let doubtful = if left { requests.len() as u32 } else { 0 };
        *self = Self { attempts, other_bodies: self.other_bodies, doubtful, ..Self::default() };
        self.keep_requests(requests, &BTreeSet::new());
    }

    fn folded(&mut self, folded: &Folded, _: Time) {
        let submitted = &folded.submitted;
        self.accepted_at = Some(submitted.at);
        self.spec = Some(submitted.spec.clone());
        self.recorded = true;
        self.refused = false;
        self.contested = false;
        self.others.clear();
        self.forgotten = None;
        self.must_cancel = None;
        self.durable_submit = true;
        self.durable_start = folded.started;
        self.durable_end = folded.ended.is_some();
        self.failed_epoch = folded.failed_epoch();
        self.resent = true;
        self.crossed = true;
        let requests = std::mem::take(&mut self.requests);
        self.keep_requests(requests, &folded.asked_by);
        self.details = folded.failed.iter().filter_map(|f| f.details.clone()).collect();
        match &folded.ended {
            Some((outcome, _)) => {
                self.told = Some(outcome.clone());
                self.attempts.iter_mut().for_each(|a| _ = a.over.get_or_insert(Over::Lost));
            }
            None => {
                self.told = None;
                for attempt in &mut self.attempts {
                    attempt.forgotten(self.failed_epoch);
                }
            }
        }
        if self.told.is_none() && self.attempts.iter().all(|a| a.report.is_none()) {
            self.cancels_before_end = self.cancels;
        }
    }

    /// Requests that were acknowledged or are on record still count; who made another one will make it again.
    fn keep_requests(&mut self, requests: Vec<Request>, on_record: &BTreeSet<(SessionId, u64)>) {
        let kept = |r: &Request| r.safe || r.by.is_some_and(|by| on_record.contains(&by));
        let before = self.cancels;
        self.requests = requests.into_iter().filter(kept).collect();
        let withdrawn = self.requests.iter().filter(|r| r.withdraws).count() as u32;
        self.cancels = self.requests.len() as u32 - withdrawn;
        self.withdrawn = self.withdrawn.max(withdrawn);
        self.doubtful += before.saturating_sub(self.cancels);
    }
}

impl World {
    /// L17: what the core knows is the fold of what was on record, and nothing else.
    pub(crate) fn compare(&mut self) {
        // What followed from the records at once is on record by now as well.
        let fold = Fold::of(self.history.written.values());
        let mut known = BTreeSet::new();
        let mut before = None;
        while let Some(Reply::Tasks { tasks, .. }) =
            self.ask_now(Call::List(ListTasks { before, limit: 200, ..ListTasks::default() }))
        {
            let Some(last) = tasks.last() else { break };
            before = Some(last.task);
            for view in &tasks {
                known.insert(view.task);
                if let Some(why) = fold.differs(view) {
                    return self.history.fail("L17", format!("after a crash {view:?} is known, but {why}"));
                }
            }
        }
        if !self.up() || self.history.broken.is_some() {
            return;
        }
        self.history.saw("recovery compared with the records");
        // Beyond a number of them outcomes leave before their time.
        let config = &self.plan.config;
        let kept = if config.retained_tasks > 1_000 { config.retention } else { Duration::ZERO };
        if let Some(task) = fold.missing(self.now, kept, &known) {
            self.history.fail("L1", format!("{task} is on record, and after a crash it is not known"));
        }
    }
}
