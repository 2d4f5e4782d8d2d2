//! Records into state, one by one and in order (L17). Nothing leaves, nothing is queued, and finished tasks are
//! forgotten on the way, so that a long journal needs no more memory than the cluster did.

use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::frame::Owner;
use crate::id::{Epoch, SessionId, TaskId};
use crate::machine::lists::{Chain, NIL};
use crate::machine::tasks::{Inputs, Phase, Task};
use crate::machine::{Core, Timer};
use crate::outcome::{Cancellation, Outcome};
use crate::record::{AttemptFailed, CancelRequested, Carried, LifeBegan, Record, Saved, Submitted};
use crate::time::Time;

impl Core {
    /// Takes in what was recorded in former lives, in order, each once, before
    /// [`Input::Recovered`](crate::api::Input::Recovered). `seq` is the number that the record has in the store; this
    /// life's records follow the last one.
    pub fn replay(&mut self, seq: u64, record: Record) {
        (self.seq, self.durable) = (seq, seq);
        self.touched = 0;
        match record {
            Record::Life(began) => self.fold_life(began),
            Record::Standing(standing) => {
                self.fold_life(standing.began);
                self.raise_horizon(standing.horizon_ms);
                self.recovery.roster = standing.roster.into_iter().map(|r| (r.worker, r.name)).collect();
            }
            Record::WorkerJoined(_) if planted!(self, RosterForgotten) => {}
            Record::WorkerJoined(joined) => {
                self.recovery.roster.insert(joined.worker, joined.name);
            }
            Record::WorkerLeft { worker } => {
                self.recovery.roster.remove(&worker);
            }
            Record::Submitted(submitted) => self.fold_submitted(*submitted),
            Record::Ended { task, outcome, at, all, snapshot } => {
                self.fold_ended(task, outcome, at, all);
                if let Some(saved) = snapshot {
                    self.fold_snapshot(*saved);
                }
            }
            Record::AttemptFailed(failed) => self.fold_failed(*failed),
            Record::Started { .. } if planted!(self, StartForgotten) => {}
            Record::Started { task } => {
                if let Some(index) = self.tasks.find(task) {
                    self.tasks[index].once = true;
                }
            }
            // Whoever waits for the outcome may not have it yet, and asks again.
            Record::Released { task } => {
                if let Some(index) = self.tasks.find(task) {
                    self.unpin(index);
                }
            }
            Record::Snapshot(_) if planted!(self, SnapshotForgotten) => {}
            Record::Snapshot(saved) => self.fold_snapshot(saved),
            Record::CancelRequested(request) => self.fold_cancel(*request),
            Record::Carried(carried) => self.fold_carried(*carried),
        }
        self.evict();
    }

    /// Milliseconds since 1970 at time zero: what the records say, or else the configuration.
    #[must_use]
    pub fn zero_ms(&self) -> u64 {
        self.config.wall_at_zero_ms
    }

    fn fold_life(&mut self, began: LifeBegan) {
        self.now = self.now.max(began.at);
        self.config.wall_at_zero_ms = began.zero_ms;
        self.recovery.began = Some(began);
    }

    fn fold_submitted(&mut self, submitted: Submitted) {
        if self.tasks.find(submitted.task).is_some() {
            return;
        }
        let index = self.restore(submitted);
        self.fold_inputs(index, &[]);
        self.hold_if_complete(index);
    }

    /// A record for a task that is not known. It is in no list yet.
    fn restore(&mut self, submitted: Submitted) -> u32 {
        let Submitted { task: id, spec, owner, root, parent, depth, priority, key, at, deadline, within, .. } =
            submitted;
        self.now = self.now.max(at);
        self.serial = self.serial.wrapping_add(1);
        if spec.actor.is_some() {
            self.actors.was(at);
        }
        let mut task = Task::new(id, self.serial, spec, owner, at);
        task.root = root.unwrap_or(SessionId(0));
        (task.parent, task.creator) = parent.unwrap_or((TaskId(0), Epoch(0)));
        (task.depth, task.priority) = (depth, priority);
        let deadline = deadline.filter(|_| !planted!(self, DeadlineForgotten));
        task.deadline = deadline.unwrap_or(Time(u64::MAX));
        task.phase = Phase::Parked;
        if key.is_some() {
            task.extra_mut().lane.key = key;
        }
        if within.is_some() {
            task.rare().within = within;
        }
        let index = self.tasks.insert(task);
        self.pin(index);
        if let Some(name) = submitted.request {
            self.name_request(index, name);
        }
        self.live += 1;
        if let Some(asked) = self.recovery.reading.missing.remove(&id) {
            self.tasks[index].rare().dependents = asked;
        }
        self.join_limit(index);
        let key = self.tasks.key(index);
        if let Some(at) = deadline {
            self.timers.insert((at, Timer::Deadline(key)));
        }
        if let Some(at) = within {
            self.timers.insert((at, Timer::Within(key)));
        }
        if let Some(consumer) = submitted.consumer {
            self.recovery.reading.consumers.insert(index, consumer);
        }
        if let Some((_, message)) = self.tombstones.take(id) {
            let outcome = Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false }));
            self.recovery.reading.doomed.insert(index, outcome);
        }
        self.fold_family(index);
        index
    }

    /// Hangs the task into its creator's list, as far as that one is known.
    fn fold_family(&mut self, index: u32) {
        let task = &self.tasks[index];
        if task.owner == Owner::Nobody || task.parent == TaskId(0) {
            return;
        }
        let creator = task.creator;
        match self.tasks.find(task.parent) {
            None => {
                self.recovery.reading.unlinked.insert(index);
            }
            // It was over, and had looked after its children, before it was carried past them.
            Some(parent) if self.tasks[parent].over() => {}
            Some(parent) if creator <= self.tasks[parent].epoch => {
                self.recovery.reading.orphans.insert(index);
            }
            Some(parent) => self.join_family(parent, index),
        }
    }

    pub(super) fn join_family(&mut self, parent: u32, index: u32) {
        let mut children = self.tasks[parent].children;
        children.push_back(&mut self.tasks, Chain::Sibling, index);
        self.tasks[parent].children = children;
        self.tasks[index].parent_index = parent;
    }

    /// Arguments that are results of other tasks: what is known of them, and from whom the rest will come.
    fn fold_inputs(&mut self, index: u32, known: &[(TaskId, Bytes)]) {
        let dependencies = &self.tasks[index].spec.dependencies;
        if dependencies.is_empty() {
            return;
        }
        let mut on: Vec<TaskId> = dependencies.iter().flat_map(|d| d.tasks.iter().copied()).collect();
        on.sort_unstable();
        on.dedup();
        let value = |task: TaskId| known.iter().find(|(t, _)| *t == task).map(|(_, value)| value.clone());
        let values: Vec<(TaskId, Option<Bytes>)> = on.into_iter().map(|task| (task, value(task))).collect();
        let waiting = values.iter().filter(|(_, value)| value.is_none()).count();
        self.tasks[index].rare().inputs = Some(Inputs { waiting, values });
        self.look_for_inputs(index);
    }

    /// Asks the tasks that are known for the arguments that are missing.
    pub(super) fn look_for_inputs(&mut self, index: u32) {
        let key = self.tasks.key(index);
        let Some(inputs) = self.tasks[index].rare.as_ref().and_then(|r| r.inputs.as_ref()) else { return };
        let missing: Vec<TaskId> = inputs.values.iter().filter(|(_, v)| v.is_none()).map(|(t, _)| *t).collect();
        for of in missing {
            let Some(on) = self.tasks.find(of) else {
                self.recovery.reading.unlinked.insert(index);
                self.recovery.reading.missing.entry(of).or_default().push(key);
                continue;
            };
            match self.tasks[on].outcome.clone() {
                Some(outcome) => self.fold_input(index, of, &outcome),
                // It asked before the other one was known, perhaps.
                None if self.recovery.reading.late && self.tasks[on].rare().dependents.contains(&key) => {}
                None => self.tasks[on].rare().dependents.push(key),
            }
        }
    }

    /// A task is over of which this one needs the result.
    fn fold_input(&mut self, index: u32, of: TaskId, outcome: &Outcome) {
        if let Some(end) = self.consequence(index, of, outcome) {
            self.recovery.reading.doomed.entry(index).or_insert(end);
            return;
        }
        let Some(inputs) = self.tasks[index].rare().inputs.as_mut() else { return };
        if let (Ok(at), Outcome::Returned(value)) = (inputs.values.binary_search_by_key(&of, |(t, _)| *t), outcome)
            && inputs.values[at].1.is_none()
        {
            inputs.values[at].1 = Some(value.clone());
            inputs.waiting -= 1;
        }
    }

    /// One whose arguments are all there may be at a worker; one that waits for some cannot be.
    pub(super) fn hold_if_complete(&mut self, index: u32) {
        let task = &mut self.tasks[index];
        if task.rare.as_ref().and_then(|r| r.inputs.as_ref()).is_some_and(|inputs| inputs.waiting > 0) {
            task.phase = Phase::Waiting;
            return;
        }
        task.phase = Phase::Held;
        let created = task.created;
        let last = self.tasks.at(self.recovery.held.tail);
        self.recovery.reading.disordered |= last.is_some_and(|last| last.created > created);
        self.recovery.held.push_back(&mut self.tasks, Chain::Place, index);
    }

    pub(crate) fn leave_held(&mut self, index: u32) {
        self.recovery.held.remove(&mut self.tasks, Chain::Place, index);
    }

    fn fold_ended(&mut self, id: TaskId, outcome: Outcome, at: Time, all: bool) {
        self.now = self.now.max(at);
        let Some(index) = self.tasks.find(id) else {
            self.tombstones.take(id);
            return;
        };
        if self.tasks[index].over() || planted!(self, EndForgotten) {
            return;
        }
        self.forsake_children(index, |child| all || child.owner == Owner::Await);
        self.fold_outcome(index, outcome, at);
    }

    /// Children that were to be asked to stop, because the attempt that created them is over, whether they had been or
    /// not when the last life ended. All leave the list.
    fn forsake_children(&mut self, index: u32, concerned: impl Fn(&Task) -> bool) {
        loop {
            let child = self.tasks[index].children.head;
            if child == NIL {
                return;
            }
            self.leave_parent(child);
            if concerned(&self.tasks[child]) {
                self.recovery.reading.orphans.insert(child);
            }
        }
    }

    fn fold_outcome(&mut self, index: u32, outcome: Outcome, at: Time) {
        self.leave_place(index);
        self.leave_parent(index);
        self.recovery.reading.forget(index);
        let key = self.tasks.key(index);
        let task = &mut self.tasks[index];
        let id = task.id;
        self.timers.remove(&(task.deadline, Timer::Deadline(key)));
        (task.phase, task.ended, task.outcome) = (Phase::Over, at, Some(outcome.clone()));
        let rare = task.rare.take();
        self.live -= 1;
        if let Some(rare) = rare {
            if rare.request.is_some() {
                self.tasks[index].rare().request = rare.request;
            }
            if let Some(at) = rare.within {
                self.timers.remove(&(at, Timer::Within(key)));
            }
            if let Some(extra) = rare.extra {
                self.limits.unuse(extra.lane.limit);
            }
            if let Some(inputs) = rare.inputs {
                self.stop_depending(inputs);
            }
            for dependent in rare.dependents {
                if self.tasks.get(dependent).is_some_and(|t| t.phase == Phase::Waiting) {
                    self.fold_input(dependent.index, id, &outcome);
                    self.hold_if_complete(dependent.index);
                }
            }
        }
        self.retain(index);
    }

    fn fold_failed(&mut self, failed: AttemptFailed) {
        self.now = self.now.max(failed.at);
        let Some(index) = self.tasks.find(failed.task).filter(|index| !self.tasks[*index].over()) else { return };
        // What a later attempt created came later in the records, too.
        self.forsake_children(index, |child| child.creator <= failed.epoch);
        self.fold_attempts(index, failed);
        if let Some(rare) = &mut self.tasks[index].rare {
            rare.cancels.new_attempt();
        }
    }

    fn fold_attempts(&mut self, index: u32, failed: AttemptFailed) {
        let task = &mut self.tasks[index];
        (task.epoch, task.ended) = (failed.epoch, failed.at);
        (task.attempts, task.crashes, task.errors) = (failed.attempts, failed.crashes, failed.errors);
        let extra = task.extra_mut();
        extra.lost = failed.epoch;
        extra.clocks.retry = failed.next_at;
        (extra.details, extra.failed) = (failed.details, failed.failure);
        if let Some(crash) = failed.crash {
            task.remember_crash(crash);
        }
    }

    fn fold_snapshot(&mut self, saved: Saved) {
        if let Some(index) = self.tasks.find(saved.actor).filter(|index| !self.tasks[*index].over()) {
            self.tasks[index].extra_mut().snapshot = Some(saved.state);
        }
    }

    fn fold_cancel(&mut self, request: CancelRequested) {
        let Some(index) = self.tasks.find(request.task) else {
            // It came before its task, or the task's beginning has left: then this note is forgotten in its time.
            self.tombstones.set(request);
            return;
        };
        let task = &mut self.tasks[index];
        if !task.over() {
            task.rare().cancels.restore(request);
        }
    }

    fn fold_carried(&mut self, carried: Carried) {
        let Carried { submitted, attempts, crashes, started, cancel, inputs, args_were, released, ended, snapshot } =
            carried;
        let id = submitted.task;
        // What was carried is complete: what came before it does not matter any more.
        self.tombstones.take(id);
        let known = self.tasks.find(id);
        if known.is_some_and(|index| self.tasks[index].over()) {
            return;
        }
        let index = known.unwrap_or_else(|| self.restore(submitted));
        if let Some(attempts) = attempts {
            self.now = self.now.max(attempts.at);
            self.fold_attempts(index, attempts);
        }
        if !crashes.is_empty() && ended.is_none() {
            self.tasks[index].dossier_mut().crashes = crashes;
        }
        self.tasks[index].once |= started;
        if snapshot.is_some() && ended.is_none() {
            self.tasks[index].extra_mut().snapshot = snapshot;
        }
        if released {
            self.unpin(index);
        }
        if let Some((outcome, at)) = ended {
            self.now = self.now.max(at);
            if known.is_none() {
                self.tasks[index].phase = Phase::Parked;
            }
            self.fold_outcome(index, outcome, at);
            if args_were.is_some() {
                self.tasks[index].rare().args_were = args_were;
            }
            return;
        }
        if let Some(request) = cancel {
            let cancels = &mut self.tasks[index].rare().cancels;
            cancels.new_attempt();
            cancels.restore(request);
        }
        if known.is_none() {
            self.fold_inputs(index, &inputs);
            self.hold_if_complete(index);
            return;
        }
        // The records of those that returned them may have left.
        for (of, value) in inputs {
            self.fold_input(index, of, &Outcome::Returned(value));
        }
        if self.tasks[index].phase == Phase::Waiting {
            self.hold_if_complete(index);
        }
    }

    /// Sorts what was carried in between by time: who was accepted first is served first.
    pub(super) fn put_in_order(&mut self) {
        if !core::mem::take(&mut self.recovery.reading.disordered) {
            return;
        }
        let mut held: Vec<u32> = self.recovery.held.iter(&self.tasks, Chain::Place).collect();
        held.sort_by_key(|index| self.tasks[*index].created);
        self.recovery.held = Default::default();
        for index in held {
            self.recovery.held.push_back(&mut self.tasks, Chain::Place, index);
        }
    }
}
