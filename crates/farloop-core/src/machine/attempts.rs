//! What workers report about attempts, and what happens to an attempt that is lost.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::calls::error;
use super::ending::Family;
use super::lists::{Chain, List, NIL};
use super::outbox::Tell;
use super::scan::ending;
use super::sessions::SessionKey;
use super::tasks::{Phase, TaskKey};
use super::{Core, Timer, Work};
use crate::api::{About, CallError, Event, Output, Reply};
use crate::frame::Activity;
use crate::id::{AttemptId, TaskId, WorkerId};
use crate::limits;
use crate::outcome::{Cancellation, Failure, FailureKind, Outcome};
use crate::record::{AttemptFailed, Record};
use crate::spec::Durability;

fn about_worker(kind: FailureKind, message: String) -> CallError {
    CallError { about: About::Worker, ..error(kind, message) }
}

/// What a worker's id is where the mask has ones.
pub(crate) fn worker_mask(text: &str) -> Result<(u128, u128), CallError> {
    WorkerId::parse(text).map(|w| (w.0, u128::MAX)).or_else(|| ending(text)).ok_or_else(|| {
        let message = format!("'{text}' is no worker id, nor the last 6 or more hexadecimal digits of one");
        about_worker(FailureKind::BadArguments, message)
    })
}

/// How an attempt was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Its worker gave it back: it counts as if it had not been tried.
    HandedBack,
    /// Its worker is gone.
    Crashed,
    /// It gave no sign of life, and was fenced.
    Silent,
}

impl Core {
    /// The task a report is about, if the report comes from its current attempt. Else nothing changes, and the
    /// sender is told to drop that attempt (L4).
    pub(crate) fn current(&mut self, session: u32, attempt: AttemptId) -> Option<u32> {
        let found = self.tasks.find(attempt.task);
        if let Some(index) = found {
            let task = &self.tasks[index];
            let mine = task.epoch == attempt.epoch && task.place == session;
            if task.phase == Phase::Leased && task.sent && (mine || planted!(self, StaleReportAccepted)) {
                return found;
            }
        }
        self.outputs.push_back(Output::Event(Event::StaleReport { task: attempt.task }));
        self.tell(self.session_key(session), 0, Tell::Fence(attempt));
        None
    }

    pub(crate) fn on_progress(
        &mut self,
        session: u32,
        attempt: AttemptId,
        activity: Activity,
        awaits: Vec<TaskId>,
        blocked: bool,
    ) {
        let Some(index) = self.current(session, attempt) else { return };
        let task = &mut self.tasks[index];
        let before = core::mem::replace(&mut task.activity, activity);
        let begins = !core::mem::replace(&mut task.begun, true);
        task.blocked = blocked;
        let waits = !awaits.is_empty();
        if waits || task.rare.is_some() {
            task.rare().awaits = awaits;
        }
        let place = self.tasks[index].place;
        if let Some(worker) = &mut self.sessions[place as usize].worker {
            worker.suspended -= u32::from(before == Activity::Suspended);
            worker.suspended += u32::from(activity == Activity::Suspended);
        }
        self.changed(index);
        if begins {
            self.start_attempt_clocks(index);
        }
        if self.tasks[index].as_host().is_some() && activity == Activity::Suspended {
            self.host_is_up(index);
            return;
        }
        if blocked && waits {
            self.look_for_deadlock(index);
        }
    }

    pub(crate) fn on_ended(&mut self, session: u32, attempt: AttemptId, outcome: Outcome, delivered: u32) {
        let Some(index) = self.current(session, attempt) else { return };
        self.flush_early(index);
        if !self.leased(index, attempt.epoch) {
            return;
        }
        let task = &mut self.tasks[index];
        if let Some(request) = task.extra().and_then(|e| e.expired).map(|e| e.request)
            && (delivered >= request || !matches!(outcome, Outcome::Returned(_)))
        {
            // A value that the body had ready before it was asked to stop stands, though it came late.
            self.expired_attempt_over(index, false);
            return;
        }
        if let Some(rare) = &task.rare
            && let Some(message) = rare.cancels.unseen(delivered)
            && !planted!(self, UnseenCancelIgnored)
        {
            // A request that this body never saw: whatever it reports, it was cancelled (L6). If it ended cancelled by an
            // earlier one, that one's message stands: the first wins (asyncio row 243).
            let message = match &outcome {
                Outcome::Cancelled(seen) => seen.message.clone().or(message),
                _ => message,
            };
            let outcome = Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false }));
            self.end_task(index, outcome, Family::Awaited);
            return;
        }
        let outcome = self.fitting(index, outcome);
        if self.tasks[index].as_host().is_some() {
            return self.host_ended(index, outcome);
        }
        if let Outcome::Raised(failure) = &outcome
            && matches!(failure.kind, FailureKind::Raised | FailureKind::Panicked)
        {
            self.attempt_failed(index, failure.clone(), Family::Awaited);
            return;
        }
        self.end_task(index, outcome, Family::Awaited);
    }

    /// A result beyond the limit is a failure that says so (L18).
    fn fitting(&self, index: u32, outcome: Outcome) -> Outcome {
        let (task, limit) = (&self.tasks[index], self.config.max_payload);
        match &outcome {
            Outcome::Returned(value) if value.len() > limit => {
                let message = format!("the result has {} bytes; the limit MAX_PAYLOAD is {limit}", value.len());
                Outcome::Raised(Arc::new(Failure {
                    task: Some(task.id),
                    worker: Some(task.worker),
                    attempt: task.attempts,
                    ..Failure::new(FailureKind::BadPayload, task.spec.function.clone(), message)
                }))
            }
            Outcome::Raised(failure) if failure.weight() > limits::FAILURE_TEXT => {
                Outcome::Raised(Arc::new(Failure::clone(failure).bounded()))
            }
            _ => outcome,
        }
    }

    /// A worker gives back a lease that never started: no crash, and it goes first.
    pub(crate) fn on_returned(&mut self, session: u32, attempt: AttemptId) {
        if let Some(index) = self.current(session, attempt) {
            self.call_returned(index);
            let task = &mut self.tasks[index];
            task.attempts -= 1;
            self.lose_attempt(index, Lost::HandedBack);
        }
    }

    /// Somebody wants this worker to leave.
    pub(crate) fn drain_worker(&mut self, text: &str) -> Result<Reply, CallError> {
        let index = self.worker_by_text(text)?;
        let key = self.session_key(index);
        if let Some(worker) = &mut self.sessions[index as usize].worker
            && !worker.draining
        {
            worker.asked = true;
            self.tell(key, 0, Tell::Leave);
            self.on_drain_worker(index);
        }
        match self.worker_view(index) {
            Some(view) => Ok(Reply::Worker(view)),
            None => Err(about_worker(FailureKind::NotFound, format!("worker '{text}' is gone"))),
        }
    }

    fn worker_by_text(&self, text: &str) -> Result<u32, CallError> {
        let (value, mask) = worker_mask(text)?;
        let mut found = self.workers().filter(|(_, s)| s.id.0 & mask == value);
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Ok(index),
            (None, _) => {
                let message = format!("no worker that is here has the id '{text}'; ListWorkers shows who is");
                Err(about_worker(FailureKind::NotFound, message))
            }
            (Some((_, one)), Some((_, other))) => {
                let message = format!("several workers end in '{text}', {} and {}; give more digits", one.id, other.id);
                Err(CallError { about: About::Ending, ..error(FailureKind::BadArguments, message) })
            }
        }
    }

    /// A worker wants no new work: what it holds and has not begun is asked back.
    pub(crate) fn on_drain_worker(&mut self, index: u32) {
        let key = self.session_key(index);
        let Some(worker) = &mut self.sessions[index as usize].worker else { return };
        worker.draining = true;
        if worker.leases.is_empty() {
            self.work.push_back(Work::Drained(key));
        }
        self.work.push_back(Work::Recall { worker: key, next: None });
    }

    /// A piece of what a worker that drains is asked back (L21); `next` is where to go on. True when all was asked.
    pub(crate) fn recall_some(&mut self, key: SessionKey, next: &mut Option<TaskKey>) -> bool {
        let Some(worker) = self.session(key).and_then(|session| session.worker.as_ref()) else { return true };
        let held = |core: &Self, at: &TaskKey| {
            core.tasks.get(*at).is_some_and(|task| task.phase == Phase::Leased && task.place == key.index)
        };
        // Where it stopped has ended meanwhile: once more from the front, past what was asked already. No lease is added,
        // so this comes to its end.
        let mut at = next.filter(|at| held(self, at)).map_or(worker.leases.head, |at| at.index);
        while at != NIL {
            if self.touched >= limits::TOUCH {
                *next = Some(self.tasks.key(at));
                return false;
            }
            self.touched += 1;
            let then = List::after(&self.tasks, Chain::Place, at);
            match self.tasks[at].post {
                None => self.recall(at, key),
                // Its calls are given back with it.
                Some(_) if self.tasks[at].as_host().is_some() => self.move_host(at),
                Some(_) => {}
            }
            at = then;
        }
        true
    }

    /// Asks a lease back that has not begun, as far as is known here.
    pub(crate) fn recall(&mut self, index: u32, key: SessionKey) {
        let task = &mut self.tasks[index];
        if task.begun || task.recalled {
            return;
        }
        if task.sent {
            task.recalled = true;
            let attempt = task.attempt();
            self.tell(key, 0, Tell::Recall(attempt));
        } else {
            self.lose_attempt(index, Lost::HandedBack);
        }
    }

    /// The attempt will not report any more. The task starts again if its budget allows, after the children of this
    /// attempt were asked to stop.
    pub(crate) fn lose_attempt(&mut self, index: u32, how: Lost) {
        if self.tasks[index].post.is_some() {
            return match self.tasks[index].as_host() {
                Some(_) => self.lose_host(index, how),
                None => self.lose_call(index, how),
            };
        }
        let crash = how != Lost::HandedBack;
        let sent = self.tasks[index].sent;
        // Whether others were at the worker, while the lease still says which that was.
        let alone = how == Lost::Crashed && sent && self.tasks[index].standing() == 0 && self.suspect(index) == 0;
        self.leave_place(index);
        let task = &mut self.tasks[index];
        if task.standing() > 0 {
            let message = task.rare().cancels.first_message();
            let outcome = Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false }));
            self.end_task(index, outcome, Family::All);
            return;
        }
        if task.has_items() && !planted!(self, StreamRestarted) {
            let outcome = match how {
                Lost::Silent => Outcome::Raised(self.heartbeat_missed(index)),
                Lost::HandedBack | Lost::Crashed => self.stream_lost(index, crash),
            };
            self.end_task(index, outcome, Family::All);
            return;
        }
        // An attempt whose start never left the coordinator cannot have crashed.
        if crash && sent {
            task.crashes += 1;
            // With others there it is a suspect, no more, unless that happened every time it was to be alone.
            let once = task.spec.options.max_crashes == 0;
            let never = task.crashes > task.spec.options.max_crashes.saturating_add(limits::ALONE_RUNS);
            if task.suspected() && (alone || once || never || how == Lost::Silent) {
                let outcome = match how {
                    Lost::Silent => Outcome::Raised(self.heartbeat_missed(index)),
                    Lost::HandedBack | Lost::Crashed => self.worker_lost(index),
                };
                self.end_task(index, outcome, Family::All);
                return;
            }
        }
        if planted!(self, LostRequeue) && crash {
            return;
        }
        self.retry(index, true, how == Lost::Crashed && sent);
    }

    /// Another attempt: the children of the last one first, for the next will create them again. `crashed`: its
    /// worker was lost, as the last crash in its dossier tells.
    pub(crate) fn retry(&mut self, index: u32, front: bool, crashed: bool) {
        self.leave_place(index);
        self.tasks[index].next_log();
        let key = self.tasks.key(index);
        let task = &mut self.tasks[index];
        task.activity = Activity::Running;
        task.blocked = false;
        task.ended = self.now;
        if let Some(rare) = &mut task.rare {
            rare.awaits = Vec::new();
            if let Some(stream) = &mut rare.stream {
                stream.new_attempt();
            }
            if let Some(at) = rare.cancels.grace.take() {
                self.timers.remove(&(at, Timer::Grace(key)));
            }
            rare.cancels.new_attempt();
        }
        let records = self.config.durable && task.durability != Durability::Memory;
        if records && (task.crashes > 0 || task.errors > 0 || !task.children.is_empty()) {
            let (epoch, at) = (task.epoch, self.now);
            task.extra_mut().lost = epoch;
            let record = AttemptFailed {
                task: task.id,
                epoch: task.epoch,
                attempts: task.attempts,
                crashes: task.crashes,
                errors: task.errors,
                at,
                next_at: task.extra().and_then(|e| e.clocks.retry),
                details: task.extra().and_then(|e| e.details.clone()),
                failure: task.extra().and_then(|e| e.failed.clone()),
                crash: task.dossier().filter(|_| crashed).and_then(|d| d.crashes.last().cloned()),
            };
            self.record(index, Record::AttemptFailed(Box::new(record)));
        }
        self.changed(index);
        self.park(index);
        if self.tasks[index].children.is_empty() || planted!(self, NoOwnerCascade) {
            self.again(index, front);
        } else {
            self.work.push_back(Work::Children { key, family: Family::All, retry: Some(front) });
        }
    }

    /// Tells the worker of a running attempt that it is over for the cluster.
    pub(crate) fn fence(&mut self, index: u32) {
        let task = &self.tasks[index];
        if task.phase == Phase::Leased && task.sent {
            let (key, gate, attempt) = (self.session_key(task.place), task.gate, task.attempt());
            self.tell(key, gate, Tell::Fence(attempt));
        }
    }
}
