//! Calls that are answered by many messages: `WatchTasks` and `AsCompleted`; `WatchActor` is among the actors.
//!
//! What such a call has yet to be told is kept as notes, a number, a key and a state each, and a message is made when
//! the reader takes it. So a snapshot of a million tasks costs no memory, and a reader that stopped costs a bounded
//! number of notes: then the oldest are dropped, counted, and the count is told in their place.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::Core;
use super::calls::{What, error};
use super::scan::matches;
use super::tasks::{Task, TaskKey};
use super::views::state;
use crate::api::{CallError, ListTasks, More, Output, Reply, TaskState, TaskView, Told};
use crate::id::{CallId, TaskId};
use crate::limits;
use crate::outcome::FailureKind;

/// Somebody watches tasks.
#[derive(Debug)]
pub(crate) struct Watch {
    query: ListTasks,
    /// The snapshot: records from here up to `end` are still to be shown. A change of one of those is no news, for it
    /// will be shown as it is then.
    cursor: u32,
    end: u32,
    snapshot_told: bool,
    /// With the record that must be durable before it is told.
    changes: VecDeque<(u64, TaskKey, TaskState)>,
    lost: u64,
    /// The shell was told that there is something, and has not run dry since.
    awake: bool,
}

/// Several tasks, each of which is told once, when it is over.
#[derive(Debug)]
pub(crate) struct Each {
    /// Sorted.
    open: Vec<TaskKey>,
    /// In argument order.
    asked: Vec<TaskId>,
    /// Over and not told yet, with the record that must be durable first. The whole view, for its record may be
    /// forgotten before a slow reader comes.
    over: VecDeque<(u64, TaskView)>,
    /// Time was over before these.
    late: Option<Vec<TaskId>>,
    awake: bool,
}

impl Each {
    pub(crate) fn open(&self) -> &[TaskKey] {
        &self.open
    }
}

impl Watch {
    /// Bounded, and the oldest goes: what is left tells best how things stand.
    fn note(&mut self, change: (u64, TaskKey, TaskState)) {
        if self.changes.len() >= limits::WATCH_CHANGES {
            self.changes.pop_front();
            self.lost += 1;
        }
        self.changes.push_back(change);
    }

    fn wants(&self, index: u32, task: &Task, now: TaskState, before: TaskState) -> bool {
        let shown = index < self.cursor || index >= self.end;
        let state = self.query.state.is_none_or(|s| s == now || s == before);
        shown && state && matches(&self.query, task, None)
    }

    /// Notes that wait: for [`Core::check`].
    pub(crate) fn waiting(&self) -> usize {
        self.changes.len()
    }
}

impl Core {
    pub(crate) fn watch_tasks(&mut self, call: CallId, query: ListTasks) -> Result<Reply, CallError> {
        if self.readers() >= limits::WATCHES {
            let message = format!("{} readers watch already; the limit is WATCHES", limits::WATCHES);
            return Err(error(FailureKind::ResourceExhausted, message));
        }
        let watch = Watch {
            query,
            cursor: 0,
            end: self.tasks.slots(),
            snapshot_told: false,
            changes: VecDeque::new(),
            lost: 0,
            // Whoever asked looks for the first message by itself.
            awake: true,
        };
        self.watches.insert(call, watch);
        Ok(Reply::Opened)
    }

    /// People may see a task in another state now. Costs one look where nobody watches.
    pub(crate) fn changed(&mut self, index: u32) {
        if !self.watches.is_empty() {
            self.tell_watches(index, false);
        }
        self.actor_changed(index);
    }

    /// Something else that people see of a task has changed, or it is new.
    pub(crate) fn noted(&mut self, index: u32) {
        if !self.watches.is_empty() {
            self.tell_watches(index, true);
        }
    }

    fn tell_watches(&mut self, index: u32, always: bool) {
        let key = self.tasks.key(index);
        let now = state(&self.tasks[index]);
        let before = core::mem::replace(&mut self.tasks[index].shown, now);
        if now == before && !always {
            return;
        }
        let task = &self.tasks[index];
        for (call, watch) in &mut self.watches {
            if watch.wants(index, task, now, before) {
                watch.note((task.gate, key, now));
                if !core::mem::replace(&mut watch.awake, true) {
                    self.outputs.push_back(Output::More(*call));
                }
            }
        }
    }

    /// More records are durable: readers that waited for them may go on.
    pub(crate) fn wake_readers(&mut self) {
        self.wake_actor_readers();
        for (call, watch) in &mut self.watches {
            if !core::mem::replace(&mut watch.awake, true) {
                self.outputs.push_back(Output::More(*call));
            }
        }
        for (call, waiting) in &mut self.calls {
            if let What::Each(each) = &mut waiting.what
                && !each.over.is_empty()
                && !core::mem::replace(&mut each.awake, true)
            {
                self.outputs.push_back(Output::More(*call));
            }
        }
    }

    /// The next message of a call that is answered by many, if its reader takes one now. After [`More::Later`] an
    /// [`Output::More`] says when to come again.
    pub fn poll_call(&mut self, call: CallId) -> More {
        if self.watches.contains_key(&call) {
            return self.poll_watch(call);
        }
        if self.actors.watches.contains_key(&call) {
            return self.poll_actor_watch(call);
        }
        let durable = self.durable;
        let Some(What::Each(each)) = self.calls.get_mut(&call).map(|w| &mut w.what) else { return More::Over };
        match each.over.front() {
            Some((gate, _)) if *gate <= durable => {
                if let Some((_, view)) = each.over.pop_front() {
                    return More::Told(Told::Task(Box::new(view)));
                }
            }
            Some(_) => {}
            None if each.open.is_empty() => {
                if let Some(late) = each.late.take() {
                    return More::Told(Told::Pending(late));
                }
                self.forget_call(call);
                return More::Over;
            }
            None => {}
        }
        each.awake = false;
        More::Later
    }

    fn poll_watch(&mut self, call: CallId) -> More {
        let Some(watch) = self.watches.get_mut(&call) else { return More::Over };
        let mut seen = 0;
        while watch.cursor < watch.end {
            let index = watch.cursor;
            if seen >= limits::TOUCH {
                return More::Again;
            }
            seen += 1;
            let Some(task) = self.tasks.at(index) else {
                watch.cursor += 1;
                continue;
            };
            if task.gate > self.durable {
                watch.awake = false;
                return More::Later;
            }
            watch.cursor += 1;
            let now = state(task);
            let wanted = matches(&watch.query, task, Some(now));
            // From here on changes are told by their difference from this.
            self.tasks[index].shown = now;
            if wanted && !planted!(self, WatchSkipsSnapshot) {
                return More::Told(Told::Task(Box::new(self.view(index))));
            }
        }
        if !core::mem::replace(&mut watch.snapshot_told, true) {
            return More::Told(Told::SnapshotEnd);
        }
        loop {
            let lost = core::mem::take(&mut watch.lost);
            if lost > 0 {
                return More::Told(Told::Lost(lost));
            }
            match watch.changes.front().copied() {
                Some((gate, key, state)) if gate <= self.durable => {
                    watch.changes.pop_front();
                    if self.tasks.get(key).is_none() {
                        // Forgotten before this reader came.
                        watch.lost += 1;
                        continue;
                    }
                    let mut view = self.view(key.index);
                    view.state = state;
                    if !matches!(state, TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled) {
                        (view.outcome, view.ended) = (None, None);
                    }
                    return More::Told(Told::Task(Box::new(view)));
                }
                _ => {
                    watch.awake = false;
                    return More::Later;
                }
            }
        }
    }

    pub(crate) fn as_completed(
        &mut self,
        call: CallId,
        ids: Vec<TaskId>,
        timeout: Duration,
    ) -> Option<Result<Reply, CallError>> {
        if ids.len() > limits::GATHER_MEMBERS {
            let message = format!("{} tasks; the limit GATHER_MEMBERS is {}", ids.len(), limits::GATHER_MEMBERS);
            return Some(Err(error(FailureKind::ResourceExhausted, message)));
        }
        let mut each = Each { open: Vec::new(), asked: Vec::new(), over: VecDeque::new(), late: None, awake: true };
        let mut seen = BTreeSet::new();
        for id in ids {
            let index = match self.known(id) {
                Ok(index) => index,
                Err(unknown) => return Some(Err(unknown)),
            };
            if !seen.insert(id) {
                continue;
            }
            each.asked.push(id);
            if self.tasks[index].over() {
                each.over.push_back((self.tasks[index].gate, self.view(index)));
            } else {
                each.open.push(self.tasks.key(index));
            }
        }
        each.open.sort_unstable();
        if timeout == Duration::ZERO {
            self.give_up(&mut each);
        }
        let open = each.open.clone();
        if !self.wait(call, What::Each(Box::new(each)), timeout, &open) {
            return None;
        }
        Some(Ok(Reply::Opened))
    }

    /// A task that this call waits for is over.
    pub(crate) fn each_over(&mut self, call: CallId, index: u32) {
        let (key, gate, view) = (self.tasks.key(index), self.tasks[index].gate, self.view(index));
        let twice = planted!(self, CompletedTwice);
        let Some(What::Each(each)) = self.calls.get_mut(&call).map(|w| &mut w.what) else { return };
        if let Ok(at) = each.open.binary_search(&key) {
            each.open.remove(at);
            if twice {
                each.over.push_back((gate, view.clone()));
            }
            each.over.push_back((gate, view));
            if !core::mem::replace(&mut each.awake, true) {
                self.outputs.push_back(Output::More(call));
            }
        }
    }

    /// Time is over: what is open is told as pending, after what is over already.
    pub(crate) fn each_late(&mut self, call: CallId) {
        let Some(mut waiting) = self.calls.remove(&call) else { return };
        if let What::Each(each) = &mut waiting.what {
            for key in &each.open {
                self.tasks[key.index].rare().calls.retain(|c| *c != call);
            }
            self.give_up(each);
            if !core::mem::replace(&mut each.awake, true) {
                self.outputs.push_back(Output::More(call));
            }
        }
        self.calls.insert(call, waiting);
    }

    fn give_up(&self, each: &mut Each) {
        let open = core::mem::take(&mut each.open);
        let open: BTreeSet<TaskId> = open.iter().map(|k| self.tasks[k.index].id).collect();
        if !open.is_empty() {
            each.late = Some(each.asked.iter().copied().filter(|id| open.contains(id)).collect());
        }
    }
}
