//! The one end of a task (L3), and what follows from it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::lists::NIL;
use super::outbox::Tell;
use super::retention::Keep;
use super::tasks::{Extra, Phase, TaskKey};
use super::{Core, Timer, Work};
use crate::api::{Output, Record, TaskLog};
use crate::frame::Owner;
use crate::limits;
use crate::outcome::Outcome;
use crate::time::Time;

/// Which children go with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// All that are not detached: the attempt was lost or fenced, and the next one would create them again.
    All,
    /// Those it awaits: it ended with an outcome, and `ensure_future` outlives its caller, as in asyncio.
    Awaited,
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
        let saved = self.take_pending(index).and_then(|(host, state)| Some((host, self.save(host, state)?)));
        if self.records(index) {
            let (outcome, all) = (outcome.clone(), family == Family::All);
            let snapshot = saved.as_ref().map(|(_, saved)| Box::new(saved.clone()));
            self.record(index, Record::Ended { task: id, outcome, at: self.now, all, snapshot });
            if let Some((host, _)) = saved {
                self.tasks[host].gate = self.tasks[host].gate.max(self.seq);
            }
        } else if let Some((host, saved)) = saved
            && self.records(host)
        {
            self.record(host, Record::Snapshot(saved));
        }
        let task = &mut self.tasks[index];
        let gate = task.gate;
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
            let tell = self.tell_of_end(index);
            self.tell(watcher.session, gate, tell);
        }
        let mut calls = Vec::new();
        if let Some(mut rare) = rare {
            if let Some(at) = rare.within {
                self.timers.remove(&(at, Timer::Within(key)));
            }
            for watcher in core::mem::take(&mut rare.watchers) {
                let tell = self.tell_of_end(index);
                self.tell(watcher.session, gate, tell);
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
            if !rare.cancels.named.is_empty() {
                self.tasks[index].rare().cancels.named = rare.cancels.named;
            }
            if rare.request.is_some() {
                self.tasks[index].rare().request = rare.request;
            }
            if let Some(mut extra) = rare.extra {
                self.limits.unuse(extra.lane.limit);
                self.stop_task_clocks(key, &mut extra.clocks);
                self.forget_snapshot(extra.snapshot.as_ref());
                if extra.progress.is_some() {
                    // How far it came is shown as long as it is remembered.
                    let kept = Extra { progress: extra.progress, ..Extra::default() };
                    self.tasks[index].rare().extra = Some(Box::new(kept));
                }
            }
        }
        self.leave_actor(index);
        self.retain(index);
        self.tell_unpinned(index);
        self.changed(index);
        for call in calls {
            self.call_task_over(call, index);
        }
        if self.tasks[index].keep == Keep::Released {
            self.forget_now(index);
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
}
