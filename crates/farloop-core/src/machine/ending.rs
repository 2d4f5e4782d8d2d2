//! The one end of a task (L3), what follows from it, and how long it is remembered.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::hash::Keyed;
use super::lists::{Chain, NIL};
use super::outbox::Tell;
use super::tasks::{Extra, Phase, TaskKey};
use super::{Core, Timer, Work};
use crate::api::{Output, Record, TaskLog};
use crate::frame::Owner;
use crate::id::TaskId;
use crate::limits;
use crate::outcome::Outcome;
use crate::time::Time;

/// Arguments up to this size are kept with a finished task: dropping them would cost more than it saves.
const SMALL_ARGS: usize = 256;
/// What a finished record weighs besides its payload, against [`Config::retained_bytes`](crate::api::Config).
const RECORD_BYTES: usize = 512;

/// Which children go with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// All that are not detached: the attempt was lost or fenced, and the next one would create them again.
    All,
    /// Those it awaits: it ended with an outcome, and `ensure_future` outlives its caller, as in asyncio.
    Awaited,
}

/// Tells two bodies under one id apart after the first one's arguments were dropped (L2). By the id alone, so that it is
/// the same in all lives of a coordinator.
pub(crate) fn args_hash(id: TaskId, args: &[u8]) -> u64 {
    Keyed::new((id.0 >> 64) as u64 ^ id.0 as u64).bytes(args)
}

impl Core {
    /// Ends a task that is not over. Its lists, timers and lease are given up, its watchers are told, and what
    /// depends on it follows as queued work.
    pub(crate) fn end_task(&mut self, index: u32, outcome: Outcome, family: Family) {
        debug_assert!(!self.tasks[index].over(), "L3: a task ends once");
        self.touched += 1;
        self.leave_place(index);
        self.leave_parent(index);
        self.disown(index);
        let key = self.tasks.key(index);
        let task = &mut self.tasks[index];
        if task.deadline != Time(u64::MAX) {
            self.timers.remove(&(task.deadline, Timer::Deadline(key)));
        }
        let id = task.id;
        if task.spec.trace.is_some() {
            let event = task.ending(outcome.clone());
            self.outputs.push_back(Output::Event(event));
        }
        let gate = if self.config.durable {
            self.persist(Record::Ended { task: id, outcome: outcome.clone(), at: self.now, all: family == Family::All })
        } else {
            0
        };
        let task = &mut self.tasks[index];
        task.gate = gate;
        task.phase = Phase::Over;
        task.ended = self.now;
        task.outcome = Some(outcome.clone());
        let watcher = task.watcher.take();
        let rare = task.rare.take();
        if !task.children.is_empty() && !planted!(self, NoOwnerCascade) {
            self.work.push_back(Work::Children { key, family, retry: None });
        }
        self.live -= 1;
        if let Some(watcher) = watcher {
            if planted!(self, ResolveTwice) && self.tasks[index].attempts > 1 {
                self.tell(watcher.session, gate, Tell::Resolved { task: id, outcome: outcome.clone() });
            }
            self.tell(watcher.session, gate, Tell::Resolved { task: id, outcome: outcome.clone() });
        }
        let mut calls = Vec::new();
        if let Some(mut rare) = rare {
            if let Some(at) = rare.within {
                self.timers.remove(&(at, Timer::Within(key)));
            }
            for watcher in core::mem::take(&mut rare.watchers) {
                self.tell(watcher.session, gate, Tell::Resolved { task: id, outcome: outcome.clone() });
            }
            if let Some(at) = rare.cancels.grace {
                self.timers.remove(&(at, Timer::Grace(key)));
            }
            if let Some(inputs) = rare.inputs {
                self.stop_depending(inputs);
            }
            if let Some(stream) = rare.stream {
                self.close_stream(key, &stream);
            }
            if !rare.dependents.is_empty() {
                // Served from the back: the first that asked goes first.
                rare.dependents.reverse();
                self.work.push_back(Work::Dependents { of: id, outcome, dependents: rare.dependents });
            }
            calls = rare.calls;
            if rare.log != TaskLog::default() {
                self.tasks[index].rare().log = rare.log;
            }
            if let Some(mut extra) = rare.extra {
                self.limits.unuse(extra.lane.limit);
                self.stop_task_clocks(key, &mut extra.clocks);
                if extra.progress.is_some() {
                    // How far it came is shown as long as it is remembered.
                    let kept = Extra { progress: extra.progress, ..Extra::default() };
                    self.tasks[index].rare().extra = Some(Box::new(kept));
                }
            }
        }
        self.retain(index);
        self.changed(index);
        for call in calls {
            self.call_task_over(call, index);
        }
        self.evict();
    }

    /// A piece of the cascade over the children of an attempt that is over. True when it is done.
    pub(crate) fn children_some(&mut self, key: TaskKey, family: Family, retry: Option<bool>) -> bool {
        while self.touched < limits::TOUCH {
            let Some(task) = self.tasks.get(key) else { return true };
            let child = task.children.head;
            if child == NIL {
                if let Some(front) = retry
                    && task.phase == Phase::Parked
                {
                    self.again(key.index, front);
                }
                return true;
            }
            self.touched += 1;
            self.leave_parent(child);
            if family == Family::All || self.tasks[child].owner == Owner::Await {
                self.request_cancel(child, None);
            }
        }
        false
    }

    /// Puts a finished task into retention. Large arguments are dropped; their length and hash stay, for L2.
    pub(crate) fn retain(&mut self, index: u32) {
        let task = &mut self.tasks[index];
        if task.spec.args.len() > SMALL_ARGS {
            task.rare().args_were = Some((task.spec.args.len() as u64, args_hash(task.id, &task.spec.args)));
            let mut spec = (*task.spec).clone();
            spec.args = bytes::Bytes::new();
            task.spec = Arc::new(spec);
        }
        self.retained_bytes += self.weight(index);
        let mut retained = self.retained;
        retained.push_back(&mut self.tasks, Chain::Place, index);
        self.retained = retained;
    }

    fn weight(&self, index: u32) -> usize {
        let task = &self.tasks[index];
        RECORD_BYTES
            + task.spec.args.len()
            + task.log().map_or(0, |log| log.text.len())
            + task.extra().and_then(|e| e.progress.as_ref()).map_or(0, bytes::Bytes::len)
            + match &task.outcome {
                Some(Outcome::Returned(value)) => value.len(),
                Some(Outcome::Raised(f)) => f.message.len() + f.details.as_ref().map_or(0, |d| d.len()),
                _ => 0,
            }
    }

    /// Forgets finished tasks beyond retention, oldest first.
    pub(crate) fn evict(&mut self) {
        while let Some(at) = self.evict_at() {
            let index = self.retained.head;
            if at > self.now || self.touched >= limits::TOUCH {
                return;
            }
            self.touched += 1;
            self.retained_bytes -= self.weight(index);
            let mut retained = self.retained;
            retained.remove(&mut self.tasks, Chain::Place, index);
            self.retained = retained;
            let task = self.tasks.remove(index);
            self.log_bytes -= task.log().map_or(0, |log| log.text.len());
            self.dropped += 1;
        }
    }

    /// When the oldest finished task is to be forgotten. One whose children are still being looked after stays.
    pub(crate) fn evict_at(&self) -> Option<Time> {
        let oldest = self.tasks.at(self.retained.head)?;
        if !oldest.children.is_empty() && !planted!(self, NoOwnerCascade) {
            return None;
        }
        let crowded =
            self.retained.len as usize > self.config.retained_tasks || self.retained_bytes > self.config.retained_bytes;
        Some(if crowded { oldest.ended } else { oldest.ended + self.config.retention })
    }
}
