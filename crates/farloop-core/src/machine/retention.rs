//! How long a task that is over is remembered: as usual, for a time of its own, until it was consumed, or until it is
//! released. Number and bytes are bounded in any case, and what is above leaves oldest first.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

use super::hash::Keyed;
use super::lists::{Chain, List, NIL};
use super::outbox::Tell;
use super::sessions::SessionKey;
use super::tasks::{Task, TaskKey};
use super::{Core, Timer, Work};
use crate::api::Event;
use crate::api::Output;
use crate::api::Record;
use crate::id::TaskId;
use crate::limits;
use crate::outcome::{FailureKind, Outcome};
use crate::spec::{Retention, Spec};
use crate::time::Time;

/// Arguments up to this size are kept with a finished task: dropping them would cost more than it saves.
const SMALL_ARGS: usize = 256;
/// What a finished record weighs besides its payload, against [`Config::retained_bytes`](crate::api::Config).
const RECORD_BYTES: usize = 512;
/// When to look again whether the children of a task that is to be forgotten have been looked after.
const SOON: Duration = Duration::from_millis(10);

/// How long a task is remembered once it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keep {
    #[default]
    Usual,
    /// For the time that its spec says.
    Timed,
    UntilConsumed,
    Pinned,
    /// Nobody needs it any more.
    Released,
}

impl Keep {
    pub(crate) fn of(spec: &Spec) -> Self {
        match spec.options.policy.as_deref().map(|p| p.retention).unwrap_or_default() {
            Retention::Usual => Self::Usual,
            Retention::For(_) => Self::Timed,
            Retention::UntilConsumed => Self::UntilConsumed,
            Retention::Pinned => Self::Pinned,
        }
    }
}

/// Tasks that are over.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    /// All but those below, oldest first.
    usual: List,
    /// With a time of their own, oldest first.
    timed: List,
    pinned: List,
    /// Of the first two.
    bytes: usize,
    pinned_bytes: usize,
    /// Tasks that are pinned, or will be when they are over.
    pins: usize,
    /// Where one was put that came out of order: the next such one belongs near it.
    near: u32,
}

impl Retained {
    pub(crate) fn len(&self) -> usize {
        (self.usual.len + self.timed.len + self.pinned.len) as usize
    }

    pub(crate) fn pins(&self) -> usize {
        self.pins
    }

    pub(crate) fn pinned_bytes(&self) -> usize {
        self.pinned_bytes
    }

    pub(crate) fn lists(&self) -> [List; 3] {
        [self.usual, self.timed, self.pinned]
    }

    fn list(&mut self, keep: Keep) -> &mut List {
        match keep {
            Keep::Timed => &mut self.timed,
            Keep::Pinned => &mut self.pinned,
            Keep::Usual | Keep::UntilConsumed | Keep::Released => &mut self.usual,
        }
    }

    fn bytes(&mut self, keep: Keep) -> &mut usize {
        if keep == Keep::Pinned { &mut self.pinned_bytes } else { &mut self.bytes }
    }
}

/// Tells two bodies under one id apart after the first one's arguments were dropped (L2). By the id alone, so that it is
/// the same in all lives of a coordinator.
pub(crate) fn args_hash(id: TaskId, args: &[u8]) -> u64 {
    Keyed::new((id.0 >> 64) as u64 ^ id.0 as u64).bytes(args)
}

impl Core {
    /// Whether another task may be pinned. One that is over its bytes when it ends is kept as usual instead.
    pub(crate) fn room_to_pin(&self, spec: &Spec) -> Result<(), (FailureKind, String)> {
        if Keep::of(spec) != Keep::Pinned {
            return Ok(());
        }
        let config = &self.config;
        let message = if self.retained.pins >= config.pinned_tasks {
            format!("{} tasks are pinned; the limit PINNED_TASKS is {}", self.retained.pins, config.pinned_tasks)
        } else if self.retained.pinned_bytes >= config.pinned_bytes {
            let bytes = self.retained.pinned_bytes;
            format!("{bytes} bytes are pinned; the limit PINNED_BYTES is {}", config.pinned_bytes)
        } else {
            return Ok(());
        };
        Err((FailureKind::ResourceExhausted, format!("{message}: release some (ReleaseTask)")))
    }

    /// A task is known from now on.
    pub(crate) fn pin(&mut self, index: u32) {
        self.retained.pins += usize::from(self.tasks[index].keep == Keep::Pinned);
    }

    /// Puts a task that is over into retention. Large arguments are dropped; their length and hash stay, for L2.
    pub(crate) fn retain(&mut self, index: u32) {
        let task = &mut self.tasks[index];
        if task.spec.args.len() > SMALL_ARGS {
            task.rare().args_were = Some((task.spec.args.len() as u64, args_hash(task.id, &task.spec.args)));
            let mut spec = (*task.spec).clone();
            spec.args = bytes::Bytes::new();
            task.spec = Arc::new(spec);
        }
        let weight = self.weight(index);
        if self.tasks[index].keep == Keep::Pinned && self.retained.pinned_bytes + weight > self.config.pinned_bytes {
            self.retained.pins -= 1;
            self.tasks[index].keep = Keep::Usual;
        }
        self.enlist(index, weight);
        if let Some(at) = self.forget_at(index) {
            self.timers.insert((at, Timer::Forget(self.tasks.key(index))));
        }
    }

    /// Hangs it into the list of its kind, which is in the order of the ends: at its end, but for what comes out of the
    /// records of an earlier life once more.
    fn enlist(&mut self, index: u32, weight: usize) {
        let (keep, ended) = (self.tasks[index].keep, self.tasks[index].ended);
        *self.retained.bytes(keep) += weight;
        let mut list = *self.retained.list(keep);
        if self.tasks.at(list.tail).is_none_or(|last| last.ended <= ended) {
            list.push_back(&mut self.tasks, Chain::Place, index);
        } else {
            let same = |t: &Task| t.over() && t.keep == keep;
            let from = if self.tasks.at(self.retained.near).is_some_and(same) { self.retained.near } else { list.head };
            list.insert_by(&mut self.tasks, Chain::Place, index, from, |task| task.ended > ended);
            self.retained.near = index;
        }
        *self.retained.list(keep) = list;
    }

    fn delist(&mut self, index: u32) {
        if self.retained.near == index {
            self.retained.near = NIL;
        }
        let keep = self.tasks[index].keep;
        *self.retained.bytes(keep) -= self.weight(index);
        let mut list = *self.retained.list(keep);
        list.remove(&mut self.tasks, Chain::Place, index);
        *self.retained.list(keep) = list;
    }

    fn weight(&self, index: u32) -> usize {
        let task = &self.tasks[index];
        RECORD_BYTES
            + task.spec.args.len()
            + task.log().map_or(0, |log| log.text.len())
            + task.extra().and_then(|e| e.progress.as_ref()).map_or(0, bytes::Bytes::len)
            + match &task.outcome {
                Some(Outcome::Returned(value)) => value.len(),
                Some(Outcome::Raised(f)) => f.weight(),
                _ => 0,
            }
    }

    /// When one with a time of its own is to be forgotten.
    fn forget_at(&self, index: u32) -> Option<Time> {
        let task = &self.tasks[index];
        match task.policy()?.retention {
            Retention::For(time) if task.keep == Keep::Timed => Some(task.ended + time),
            _ => None,
        }
    }

    /// Forgets finished tasks beyond retention, oldest first.
    pub(crate) fn evict(&mut self) {
        while let Some((at, index)) = self.next_out() {
            if at > self.now || self.touched >= limits::TOUCH {
                return;
            }
            self.touched += 1;
            self.forget(index);
        }
    }

    /// When the next finished task is to be forgotten that has no timer.
    pub(crate) fn evict_at(&self) -> Option<Time> {
        self.next_out().map(|(at, _)| at)
    }

    /// One whose children are still being looked after stays.
    fn next_out(&self) -> Option<(Time, u32)> {
        let retained = &self.retained;
        let len = (retained.usual.len + retained.timed.len) as usize;
        let crowded = len > self.config.retained_tasks || retained.bytes > self.config.retained_bytes;
        let usual = self.tasks.at(retained.usual.head).map(|t| (t.ended, retained.usual.head));
        let timed = self.tasks.at(retained.timed.head).map(|t| (t.ended, retained.timed.head));
        let (ended, index) = if crowded { usual.into_iter().chain(timed).min()? } else { usual? };
        if !self.free(index) {
            return None;
        }
        Some((if crowded { ended } else { ended + self.config.retention }, index))
    }

    /// Whether its children have been looked after.
    fn free(&self, index: u32) -> bool {
        self.tasks[index].children.is_empty() || planted!(self, NoOwnerCascade)
    }

    fn forget(&mut self, index: u32) {
        if let Some(at) = self.forget_at(index) {
            self.timers.remove(&(at, Timer::Forget(self.tasks.key(index))));
        }
        self.delist(index);
        let task = self.tasks.remove(index);
        self.retained.pins -= usize::from(task.keep == Keep::Pinned);
        self.log_bytes -= task.log().map_or(0, |log| log.text.len());
        if let Some(name) = task.request() {
            self.requests.remove(name);
        }
        self.note_forgotten(task.id);
        self.dropped += 1;
    }

    /// Its own time is over, or nobody needs it any more.
    pub(crate) fn on_forget(&mut self, key: TaskKey) {
        if self.tasks.get(key).is_none_or(|t| !t.over()) {
            return;
        }
        if self.free(key.index) {
            self.forget(key.index);
        } else {
            self.timers.insert((self.now + SOON, Timer::Forget(key)));
        }
    }

    pub(crate) fn on_release(&mut self, task: TaskId) {
        if let Some(index) = self.tasks.find(task) {
            self.release_task(index);
        }
    }

    /// Nobody needs the outcome any more, once those who asked have it: what they are told holds it, not the record.
    pub(crate) fn release_task(&mut self, index: u32) {
        if self.tasks[index].keep == Keep::Released {
            return;
        }
        if self.config.durable {
            self.tasks[index].gate = self.persist(Record::Released { task: self.tasks[index].id });
        }
        if self.tasks[index].over() && self.free(index) {
            self.forget(index);
            return;
        }
        self.unpin(index);
        if self.tasks[index].over() {
            self.forget_now(index);
        }
    }

    /// It is released, and forgotten no later than usual.
    pub(crate) fn unpin(&mut self, index: u32) {
        let over = self.tasks[index].over();
        if over {
            if let Some(at) = self.forget_at(index) {
                self.timers.remove(&(at, Timer::Forget(self.tasks.key(index))));
            }
            self.delist(index);
        }
        let before = core::mem::replace(&mut self.tasks[index].keep, Keep::Released);
        self.retained.pins -= usize::from(before == Keep::Pinned);
        if over {
            self.enlist(index, self.weight(index));
        }
    }

    /// Not at once: whoever ended the task still looks at it.
    pub(crate) fn forget_now(&mut self, index: u32) {
        self.timers.insert((self.now, Timer::Forget(self.tasks.key(index))));
    }

    /// What a session is told of the end of a task. Of one that is kept until it was consumed, it is noted that this
    /// session has to get it.
    pub(crate) fn tell_of_end(&mut self, index: u32) -> Tell {
        let task = &mut self.tasks[index];
        let outcome = task.outcome.clone().expect("only a task that is over has an end to tell of");
        let id = task.id;
        if task.keep != Keep::UntilConsumed {
            return Tell::Resolved { task: id, outcome };
        }
        task.rare().owed += 1;
        Tell::Handed { task: id, key: self.tasks.key(index), outcome }
    }

    /// The peer of this session has received more.
    pub(crate) fn receipts_later(&mut self, index: u32) {
        if self.sessions[index as usize].outbox.receipt_due() {
            self.work.push_back(Work::Receipts(self.session_key(index)));
        }
    }

    /// A piece of what a peer has received of tasks that are kept until they are consumed. True when it is done.
    pub(crate) fn receipts_some(&mut self, session: SessionKey) -> bool {
        while self.touched < limits::TOUCH {
            if self.session(session).is_none() {
                return true;
            }
            let Some(key) = self.sessions[session.index as usize].outbox.take_receipt() else { return true };
            self.touched += 1;
            if self.tasks.get(key).is_none() {
                continue;
            }
            let rare = self.tasks[key.index].rare();
            rare.owed -= 1;
            // A session that is over before it had the outcome leaves it as it is kept usually.
            if rare.owed == 0 {
                self.forget_now(key.index);
            }
        }
        false
    }

    /// The bytes of what is pinned were exceeded by this result.
    pub(crate) fn tell_unpinned(&mut self, index: u32) {
        let task = &self.tasks[index];
        if task.keep == Keep::Usual && Keep::of(&task.spec) == Keep::Pinned {
            self.outputs.push_back(Output::Event(Event::Unpinned { task: task.id }));
        }
    }
}
