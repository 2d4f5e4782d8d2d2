//! Cancel requests: counted, numbered, delivered or answered, never lost (L6).
//!
//! The core counts a request and tells the worker; the host there delivers it at the body's await points or forwards
//! it to what the body awaits, as a cancel of its own for those tasks.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use hashbrown::HashMap;

use super::ending::Family;
use super::hash::Keyed;
use super::outbox::Tell;
use super::tasks::{Cancels, Phase, Task, TaskKey};
use super::{Core, Timer};
use crate::id::{AttemptId, SessionId, TaskId};
use crate::limits;
use crate::outcome::{Cancellation, Failure, FailureKind, Outcome};
use crate::record::{CancelRequested, Record};
use crate::time::Time;

/// Messages of unseen requests that are kept; a later one among them is delivered without its own.
const MESSAGES: usize = 16;

impl Cancels {
    /// Requests up to this one concern the body no more.
    fn answered(&self, delivered: u32) -> u32 {
        delivered.max(self.seen).max(self.withdrawn)
    }

    /// If a standing request was never seen: the message of the first such one.
    pub(crate) fn unseen(&self, delivered: u32) -> Option<Option<String>> {
        let answered = self.answered(delivered);
        (self.standing > 0 && self.number > answered)
            .then(|| self.messages.iter().find(|(n, _)| *n > answered).and_then(|(_, m)| m.clone()))
    }

    /// What an outcome says if the body does not say it itself.
    pub(crate) fn first_message(&self) -> Option<String> {
        self.first.clone()
    }

    /// Nothing stands when a task starts again, and the next body has seen nothing.
    pub(crate) fn new_attempt(&mut self) {
        *self = Self { by: core::mem::take(&mut self.by), ..Self::default() };
    }

    /// As a record says.
    pub(crate) fn restore(&mut self, record: CancelRequested) {
        let CancelRequested { standing, number, message, by, .. } = record;
        if standing == 0 {
            self.withdrawn = number;
            self.messages.clear();
            self.first = None;
        } else if standing > self.standing {
            if self.standing == 0 {
                self.first.clone_from(&message);
            }
            if self.messages.len() < MESSAGES {
                self.messages.push_back((number, message));
            }
        }
        (self.standing, self.number) = (standing, number);
        self.asked_by(by);
    }

    fn asked_by(&mut self, by: Option<(SessionId, u64)>) {
        if self.by.len() >= MESSAGES {
            self.by.remove(0);
        }
        self.by.extend(by);
    }

    /// A request to the body that nobody made: it does not stand, and `cancelling()` does not count it.
    pub(crate) fn ask_quietly(&mut self, message: String) -> u32 {
        self.number += 1;
        if self.messages.len() < MESSAGES {
            self.messages.push_back((self.number, Some(message)));
        }
        self.number
    }
}

/// Who asked: the session, and the number of the item by which it did.
pub(crate) type By = Option<(SessionId, u64)>;

/// Cancel requests for one task that is not known yet.
#[derive(Debug)]
struct Tombstone {
    number: u64,
    standing: u32,
    message: Option<String>,
    /// The last one who asked.
    by: By,
}

/// Cancel requests for tasks that are not known yet: they may overtake the submit.
#[derive(Debug)]
pub(crate) struct Tombstones {
    map: HashMap<TaskId, Tombstone, Keyed>,
    /// Oldest first; an entry whose number is not the map's is void.
    order: VecDeque<(u64, TaskId)>,
    next: u64,
}

impl Tombstones {
    pub(crate) fn new(keyed: Keyed) -> Self {
        Self { map: HashMap::with_hasher(keyed), order: VecDeque::new(), next: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// How many stand now.
    fn add(&mut self, task: TaskId, message: Option<String>, by: By) -> u32 {
        if let Some(stone) = self.map.get_mut(&task) {
            stone.standing += 1;
            stone.by = by;
            return stone.standing;
        }
        if self.order.len() >= limits::TOMBSTONES
            && let Some((number, oldest)) = self.order.pop_front()
            && self.map.get(&oldest).is_some_and(|stone| stone.number == number)
        {
            self.map.remove(&oldest);
        }
        self.next += 1;
        self.map.insert(task, Tombstone { number: self.next, standing: 1, message, by });
        self.order.push_back((self.next, task));
        1
    }

    /// As a record says.
    pub(crate) fn set(&mut self, record: CancelRequested) {
        let CancelRequested { task, standing, message, by, .. } = record;
        self.map.remove(&task);
        if standing > 0 {
            self.add(task, message, by);
        }
        if let Some(stone) = self.map.get_mut(&task) {
            stone.standing = standing;
        }
    }

    /// How many stand now, if some did.
    fn withdraw(&mut self, task: TaskId, by: By) -> Option<u32> {
        let stone = self.map.get_mut(&task)?;
        stone.standing -= 1;
        stone.by = by;
        let standing = stone.standing;
        if standing == 0 {
            self.map.remove(&task);
        }
        Some(standing)
    }

    fn knows(&self, task: TaskId, by: By) -> bool {
        self.map.get(&task).is_some_and(|stone| by.is_some() && stone.by == by)
    }

    pub(crate) fn take(&mut self, task: TaskId) -> Option<(u32, Option<String>)> {
        if self.map.is_empty() {
            return None;
        }
        self.map.remove(&task).map(|stone| (stone.standing, stone.message))
    }
}

/// Cuts a message to the limit, at a character.
fn bounded(message: Option<String>) -> Option<String> {
    message.map(|mut text| {
        if text.len() > limits::MAX_MESSAGE {
            let end = (0..=limits::MAX_MESSAGE).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            text.truncate(end);
        }
        text
    })
}

impl Core {
    /// Whether the request was counted: not for a task that is over, nor for one that is not known yet (its
    /// tombstone counts when it comes).
    pub(crate) fn on_cancel(&mut self, id: TaskId, message: Option<String>, by: By) {
        if self.asked_before(id, by) {
            return;
        }
        if let Some(index) = self.tasks.find(id) {
            self.ask_to_stop(index, message, by);
            return;
        }
        let message = bounded(message);
        let standing = self.tombstones.add(id, message.clone(), by);
        self.record_tombstone(id, standing, message, by);
    }

    /// Whether this is a request that came before a restart of the coordinator, and is on record: its peer sends again
    /// what it was not told to have arrived.
    fn asked_before(&self, id: TaskId, by: By) -> bool {
        let Some((session, _)) = by.filter(|_| !planted!(self, CancelCountedTwice)) else { return false };
        if !self.session_ids.get(&session).is_some_and(|index| self.sessions[*index as usize].rejoining) {
            return false;
        }
        match self.tasks.find(id) {
            Some(index) => self.tasks[index].rare.as_ref().is_some_and(|r| r.cancels.by.iter().any(|b| Some(*b) == by)),
            None => self.tombstones.knows(id, by),
        }
    }

    /// A request may come before its task, be acknowledged, and its task come in the next life.
    fn record_tombstone(&mut self, task: TaskId, standing: u32, message: Option<String>, by: By) {
        if self.config.durable {
            let request = CancelRequested { task, standing, number: standing, message, by };
            self.persist(Record::CancelRequested(Box::new(request)));
        }
    }

    pub(crate) fn request_cancel(&mut self, index: u32, message: Option<String>) -> bool {
        self.ask_to_stop(index, message, None)
    }

    fn ask_to_stop(&mut self, index: u32, message: Option<String>, by: By) -> bool {
        self.touched += 1;
        let task = &mut self.tasks[index];
        if task.over() {
            return false;
        }
        let message = bounded(message);
        let held = task.phase == Phase::Held;
        if !held && (task.phase != Phase::Leased || !task.sent) {
            // It never ran, or its last attempt is lost: nothing has to be asked.
            let outcome = Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false }));
            self.end_task(index, outcome, Family::All);
            return true;
        }
        let (epoch, place) = (task.epoch, task.place);
        let cancels = &mut task.rare().cancels;
        cancels.standing += 1;
        cancels.number += 1;
        if cancels.messages.len() < MESSAGES {
            cancels.messages.push_back((cancels.number, message.clone()));
        }
        if cancels.standing == 1 {
            cancels.first = message;
        }
        // One that is held may be at a worker that is not back yet: it is told when it is, or the task ends without.
        let queued = held || core::mem::replace(&mut cancels.queued, true);
        if self.records(index) {
            self.tasks[index].rare().cancels.asked_by(by);
            self.record_cancel(index, by);
        }
        if !queued && !planted!(self, CancelLostWhileLeased) {
            let (key, gate) = (self.session_key(place), self.tasks[index].gate);
            self.tell(key, gate, Tell::Cancel { index, epoch });
        }
        self.tell_count(index);
        self.noted(index);
        true
    }

    pub(crate) fn on_uncancel(&mut self, id: TaskId, by: By) {
        if self.asked_before(id, by) {
            return;
        }
        let Some(index) = self.tasks.find(id) else {
            if let Some(standing) = self.tombstones.withdraw(id, by) {
                self.record_tombstone(id, standing, None, by);
            }
            return;
        };
        let key = self.tasks.key(index);
        let task = &self.tasks[index];
        if task.over() || task.standing() == 0 || self.consumer_is_gone(index) {
            return;
        }
        let task = &mut self.tasks[index];
        let (epoch, place) = (task.epoch, task.place);
        let expired = task.extra().is_some_and(|e| e.expired.is_some());
        let cancels = &mut task.rare().cancels;
        cancels.standing -= 1;
        let standing = cancels.standing;
        let mut undelivered = false;
        // A body whose time is over has to stop all the same.
        if standing == 0 && !expired {
            undelivered = cancels.number > cancels.answered(0);
            cancels.withdrawn = cancels.number;
            cancels.messages.clear();
            cancels.first = None;
            cancels.answered = false;
            if let Some(at) = cancels.grace.take() {
                self.timers.remove(&(at, Timer::Grace(key)));
            }
        }
        if self.records(index) {
            self.tasks[index].rare().cancels.asked_by(by);
            self.record_cancel(index, by);
        }
        if undelivered && self.tasks[index].phase == Phase::Leased {
            let (session, gate) = (self.session_key(place), self.tasks[index].gate);
            self.tell(session, gate, Tell::Withdrawn { index, epoch });
        }
        self.tell_count(index);
        self.noted(index);
    }

    fn record_cancel(&mut self, index: u32, by: By) {
        let task = &mut self.tasks[index];
        let id = task.id;
        let cancels = &task.rare().cancels;
        let record = CancelRequested {
            task: id,
            standing: cancels.standing,
            number: cancels.number,
            message: cancels.messages.back().and_then(|(_, message)| message.clone()),
            by,
        };
        self.record(index, Record::CancelRequested(Box::new(record)));
    }

    /// Tells every watcher the new count; one note per watcher is enough, for it is read when it leaves.
    fn tell_count(&mut self, index: u32) {
        let key = self.tasks.key(index);
        let task = &mut self.tasks[index];
        let gate = task.gate;
        let mut fresh = alloc::vec::Vec::new();
        for watcher in task.watchers_mut() {
            if !core::mem::replace(&mut watcher.count_queued, true) {
                fresh.push(watcher.session);
            }
        }
        for session in fresh {
            self.tell(session, gate, Tell::CancelCount(key));
        }
    }

    /// The request leaves for the host of the body. Patience begins here: a body that spins, or that waits for what is
    /// not farloop's, never gets to where the host could deliver it.
    pub(crate) fn patience_begins(&mut self, index: u32, now: Time) {
        let key = self.tasks.key(index);
        let task = &mut self.tasks[index];
        let Some(patience) = task.spec.options.cancel_grace else { return };
        let cancels = &mut task.rare().cancels;
        if cancels.grace.is_none() && !planted!(self, GraceAfterAnswer) {
            let at = now + patience;
            cancels.grace = Some(at);
            self.timers.insert((at, Timer::Grace(key)));
        }
    }

    /// Requests up to `seen` were delivered or forwarded; with the first answer patience begins anew.
    pub(crate) fn on_cancel_seen(&mut self, session: u32, attempt: AttemptId, seen: u32) {
        let Some(index) = self.current(session, attempt) else { return };
        let key = self.tasks.key(index);
        let task = &mut self.tasks[index];
        let patience = task.spec.options.cancel_grace;
        let expired = task.extra().is_some_and(|e| e.expired.is_some());
        let Some(rare) = &mut task.rare else { return };
        let cancels = &mut rare.cancels;
        let seen = seen.min(cancels.number);
        cancels.seen = cancels.seen.max(seen);
        while cancels.messages.front().is_some_and(|(n, _)| *n <= seen) {
            cancels.messages.pop_front();
        }
        if (cancels.standing > 0 || expired)
            && cancels.seen > cancels.withdrawn
            && !core::mem::replace(&mut cancels.answered, true)
            && let Some(patience) = patience
        {
            let at = self.now + patience;
            if let Some(before) = cancels.grace.replace(at) {
                self.timers.remove(&(before, Timer::Grace(key)));
            }
            self.timers.insert((at, Timer::Grace(key)));
        }
    }

    /// Patience is over: the attempt is fenced, and the outcome says that its body may still be running.
    pub(crate) fn on_grace(&mut self, key: TaskKey) {
        if self.tasks.get(key).is_none_or(|t| t.over()) {
            return;
        }
        let cancels = &mut self.tasks[key.index].rare().cancels;
        cancels.grace = None;
        let message = cancels.first_message();
        self.fence(key.index);
        if self.tasks[key.index].extra().is_some_and(|e| e.expired.is_some()) {
            self.expired_attempt_over(key.index, true);
            return;
        }
        let outcome = Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: true }));
        self.end_task(key.index, outcome, Family::All);
    }

    /// The deadline has passed: a pending task never starts (L19), a running one is fenced.
    pub(crate) fn time_out(&mut self, index: u32) {
        let task = &self.tasks[index];
        let ran = if task.attempts > 0 { "while it ran" } else { "before it could start" };
        let message = match task.spec.options.timeout {
            Some(timeout) if task.created + timeout == task.deadline => {
                alloc::format!("its timeout of {timeout:?} passed {ran}")
            }
            _ => alloc::format!("the deadline that it inherited from its caller passed {ran}"),
        };
        let message = if task.items() > 0 { message + &super::streams::came(task.items()) } else { message };
        let failure = Failure {
            task: Some(task.id),
            worker: (task.worker.0 != 0).then_some(task.worker),
            attempt: task.attempts,
            ..Failure::new(FailureKind::TimedOut, task.spec.function.clone(), message)
        };
        self.fence(index);
        self.end_task(index, Outcome::Raised(Arc::new(failure)), Family::All);
    }

    /// The scope that the task was called in is over: its start would come too late (L19).
    pub(crate) fn outlived(&self, index: u32, now: Time) -> bool {
        let within = self.tasks[index].rare.as_ref().and_then(|rare| rare.within);
        within.is_some_and(|at| at <= now) && !planted!(self, ScopeForgotten)
    }

    pub(crate) fn on_scope_over(&mut self, key: TaskKey) {
        // One that runs is its caller's to stop; between two attempts it is looked at when the next is due.
        let waits = |t: &Task| match t.phase {
            Phase::Waiting | Phase::Paused | Phase::Ready | Phase::Aside | Phase::Posted => true,
            Phase::Leased => !t.sent,
            Phase::Held | Phase::Parked | Phase::Asleep | Phase::Over => false,
        };
        if self.tasks.get(key).is_some_and(waits) && self.outlived(key.index, self.now) {
            self.not_started(key.index);
        }
    }

    /// Ends as the caller's own cancel, which is on its way, would end it: nobody waits for it any more.
    pub(crate) fn not_started(&mut self, index: u32) {
        let message = Some("the timeout scope it was called in was over before it could start".into());
        let outcome = Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false }));
        self.end_task(index, outcome, Family::All);
    }
}
