//! Which task runs where, and when: a queue per function, credits per worker, leases.
//!
//! A task goes straight to a worker that has credit, the less loaded of two drawn at random; if none has, it queues,
//! and a worker that gets credit takes the best head among the functions it offers. So a queue is only ever long
//! while no worker could take from it.

use alloc::sync::Arc;
use core::cmp::Reverse;

use super::ending::Family;
use super::lists::{Chain, NIL};
use super::outbox::Tell;
use super::tasks::Phase;
use super::{Core, Work};
use crate::api::Record;
use crate::frame::Activity;
use crate::id::Epoch;
use crate::limits;
use crate::outcome::{Failure, FailureKind, Outcome};

/// Up to that many workers are all looked at; above, two are drawn.
const LOOK_AT_ALL: usize = 16;

impl Core {
    /// Hands a task that may run now to a worker, or queues it.
    pub(crate) fn enqueue(&mut self, index: u32, front: bool) {
        if self.outlived(index, self.now) {
            // Its attempt was lost or failed, and another one would start too late.
            return self.not_started(index);
        }
        let actor = self.tasks[index].post.is_some();
        if actor && self.tasks[index].as_host().is_none() {
            return self.post(index);
        }
        let function = match self.function_of(index) {
            Ok(function) => function,
            Err(message) => {
                let name = self.tasks[index].spec.function.clone();
                let failure = Failure {
                    task: Some(self.tasks[index].id),
                    ..Failure::new(FailureKind::SignatureMismatch, name, message)
                };
                self.end_task(index, Outcome::Raised(Arc::new(failure)), Family::All);
                return;
            }
        };
        self.start_by(index);
        if self.tasks[index].as_host().is_some_and(|host| !host.placement.is_anywhere()) {
            return self.place_host(index, function);
        }
        if !actor && (self.tasks[index].crashes > 0 || !self.suspects.is_empty()) && self.set_aside(index, function) {
            return;
        }
        // Nobody may be served before it: what is queued has to wait for its limits.
        if self.functions[function as usize].entry().is_none()
            && !self.recovery.queueing
            && !self.held_back(index, function)
            && let Some(worker) = self.choose(function)
        {
            self.lease(index, function, worker);
            return;
        }
        let task = &mut self.tasks[index];
        task.phase = Phase::Ready;
        task.place = function;
        let lane = task.lane();
        let queue = &mut self.functions[function as usize];
        let level = queue.levels.entry(Reverse(task.priority)).or_default();
        level.push(&mut self.tasks, index, &lane, front);
        queue.len += 1;
        let (stranded, unserved) = (queue.stranded.clone(), queue.workers.is_empty());
        self.refresh(function);
        if let Some(why) = stranded {
            self.report_stranded(index, why);
        } else if unserved {
            self.strand_later(function);
        }
    }

    /// Power of two choices on outstanding leases; a worker that idles beats one that does not.
    pub(crate) fn choose(&mut self, function: u32) -> Option<u32> {
        let count = self.functions[function as usize].workers.len();
        if count == 0 || self.draining {
            return None;
        }
        let first = if count > 1 { self.rng.below(count) } else { 0 };
        let second = if count > LOOK_AT_ALL { self.rng.below(count) } else { first };
        let workers = &self.functions[function as usize].workers;
        let mut best: Option<(u32, u32)> = None;
        let mut probe = |from: usize, enough: usize| {
            let mut found = 0;
            for step in 0..count {
                let index = workers[(from + step) % count];
                let Some(worker) = self.sessions[index as usize].open_worker() else { continue };
                let load = worker.load();
                if best.is_none_or(|(least, _)| load < least) {
                    best = Some((load, index));
                }
                found += 1;
                if found == enough || load == 0 {
                    return load == 0;
                }
            }
            false
        };
        if count <= LOOK_AT_ALL {
            probe(first, count);
        } else if !probe(first, 1) {
            // The second draw looks a little further: an idle worker nearby is better than the lesser of two evils.
            probe(second, LOOK_AT_ALL);
        }
        best.map(|(_, index)| index)
    }

    pub(crate) fn on_grant(&mut self, index: u32, total: u64) {
        if let Some(worker) = &mut self.sessions[index as usize].worker {
            worker.granted = worker.granted.max(total);
        }
        self.pull_later(index);
    }

    /// Queues the filling of a worker, if it takes starts and there are any.
    pub(crate) fn pull_later(&mut self, index: u32) {
        if self.sessions[index as usize].open_worker().is_none() || self.draining {
            return;
        }
        self.place_waiting();
        let Some(worker) = self.sessions[index as usize].open_worker() else { return };
        if self.ready.is_empty() {
            if worker.load() == 0 {
                self.relieve(index);
            }
            return;
        }
        let key = self.session_key(index);
        if let Some(worker) = &mut self.sessions[index as usize].worker
            && !core::mem::replace(&mut worker.pulling, true)
        {
            self.work.push_back(Work::Pull(key));
        }
    }

    /// A worker idles and nothing is queued, while another may hold more starts than slots (its prefetch, behind long
    /// tasks): the youngest of those is asked back, one at a time, and will come here.
    fn relieve(&mut self, idle: u32) {
        let Some(worker) = &self.sessions[idle as usize].worker else { return };
        let Some(&function) = worker.functions.first() else { return };
        let peers = &self.functions[function as usize].workers;
        if peers.len() < 2 {
            return;
        }
        let from = self.rng.below(peers.len());
        let crowded = (0..peers.len().min(LOOK_AT_ALL)).map(|step| peers[(from + step) % peers.len()]).find(|peer| {
            let worker = self.sessions[*peer as usize].worker.as_ref();
            worker.is_some_and(|w| w.load() > w.slots)
        });
        let Some(crowded) = crowded else { return };
        let Some(worker) = &self.sessions[crowded as usize].worker else { return };
        let youngest = worker.leases.tail;
        let spec = &self.tasks[youngest].spec;
        if self.tasks[youngest].post.is_none() && self.offers(idle, &spec.function, spec.fingerprint) {
            self.recall(youngest, self.session_key(crowded));
        }
    }

    /// Fills a worker from the queues it serves. True when it has no credit left or there is nothing for it.
    pub(crate) fn pull_some(&mut self, index: u32) -> bool {
        loop {
            let open = !self.draining && self.sessions[index as usize].open_worker().is_some();
            let best =
                self.ready.iter().find(|(_, _, f)| self.functions[*f as usize].workers.binary_search(&index).is_ok());
            let (true, Some(&(priority, _, function))) = (open, best) else { break };
            if self.touched >= limits::TOUCH {
                return false;
            }
            self.touched += 1;
            self.take_head(function, priority, index);
        }
        if let Some(worker) = &mut self.sessions[index as usize].worker {
            worker.pulling = false;
        }
        true
    }

    /// Gives the task whose turn it is in a queue to a worker that has credit, unless it cannot start.
    pub(crate) fn take_head(&mut self, function: u32, priority: Reverse<i32>, worker: u32) {
        let queue = &mut self.functions[function as usize];
        let Some(level) = queue.levels.get_mut(&priority) else { return self.refresh(function) };
        let Some(head) = level.head() else { return self.refresh(function) };
        if self.held_back(head, function) {
            // The limit was reached by a task of another queue: this one steps aside.
            self.refresh(function);
        } else if self.tasks[head].deadline <= self.now {
            self.time_out(head);
        } else if self.outlived(head, self.now) {
            self.not_started(head);
        } else {
            if let Some(level) = self.functions[function as usize].levels.get_mut(&priority) {
                level.rotate();
            }
            self.leave_queue(head);
            self.lease(head, function, worker);
        }
    }

    /// Gives the task to a worker under a new epoch (L5). The start leaves when its records are durable.
    pub(crate) fn lease(&mut self, index: u32, function: u32, worker: u32) {
        self.take_permits(index, function);
        let mut gate = self.hand_out(index, worker);
        if let Some(w) = &mut self.sessions[worker as usize].worker {
            gate = gate.max(w.gate);
            w.starts += 1;
        }
        let (key, epoch) = (self.session_key(worker), self.tasks[index].epoch);
        let gate = if planted!(self, StartedBeforeDurable) { 0 } else { gate };
        self.tell(key, gate, Tell::Start { index, epoch });
        if let Some(post) = self.tasks[index].post.as_deref().copied() {
            // What waits for an incarnation follows its start.
            self.send_calls(post.actor);
        }
    }

    /// The lease itself. The record that its start has to wait for.
    pub(crate) fn hand_out(&mut self, index: u32, worker: u32) -> u64 {
        self.give_up_former_attempts(index);
        self.epoch += 1;
        let worker_id = self.sessions[worker as usize].worker_id();
        let task = &mut self.tasks[index];
        task.epoch = Epoch(self.epoch);
        task.phase = Phase::Leased;
        task.place = worker;
        task.worker = worker_id;
        task.started = self.now;
        task.activity = Activity::Running;
        (task.sent, task.begun, task.recalled, task.blocked) = (false, false, false, false);
        let id = task.id;
        if self.config.durable {
            // Whether a call began, its incarnation's worker knows.
            let once = task.spec.options.max_crashes == 0 && task.post.is_none();
            if once && self.records(index) {
                self.record(index, Record::Started { task: id });
            } else if self.tasks[index].rare.as_ref().is_some_and(|r| r.inputs.is_some()) {
                // Its inputs rest on the ends of other tasks: whatever was recorded so far must be durable.
                self.tasks[index].gate = self.seq;
            }
        }
        if let Some(w) = &mut self.sessions[worker as usize].worker {
            w.leases.push_back(&mut self.tasks, Chain::Place, index);
        }
        self.tasks[index].gate
    }

    fn leave_queue(&mut self, index: u32) {
        let (function, priority) = (self.tasks[index].place, Reverse(self.tasks[index].priority));
        let lane = self.tasks[index].lane();
        let queue = &mut self.functions[function as usize];
        if let Some(level) = queue.levels.get_mut(&priority) {
            if level.remove(&mut self.tasks, index, &lane) {
                self.limits.forget_aside(lane.limit, function, priority);
            }
            if level.is_empty() {
                queue.levels.remove(&priority);
            }
        }
        queue.len -= 1;
        self.tasks[index].place = NIL;
        self.refresh(function);
        self.forget_function(function);
    }

    /// Takes the task out of its queue or from its worker; it is in neither afterwards.
    pub(crate) fn leave_place(&mut self, index: u32) {
        match self.tasks[index].phase {
            Phase::Ready => self.leave_queue(index),
            Phase::Leased => self.leave_worker(index),
            Phase::Held => self.leave_held(index),
            Phase::Aside => self.leave_aside(index),
            Phase::Posted => self.leave_post(index),
            _ => {}
        }
        self.tasks[index].phase = Phase::Parked;
    }

    fn leave_worker(&mut self, index: u32) {
        self.end_calls_of(index);
        let task = &self.tasks[index];
        let (place, sent, suspended) = (task.place, task.sent, task.activity == Activity::Suspended);
        // A call uses no credit.
        let call = task.is_call();
        let key = self.session_key(place);
        let Some(worker) = &mut self.sessions[place as usize].worker else { return };
        worker.leases.remove(&mut self.tasks, Chain::Place, index);
        worker.suspended -= u32::from(suspended);
        if !sent && !call && !planted!(self, CreditLeak) {
            // The start never left: the credit is still the worker's to give (L14).
            worker.starts -= 1;
        }
        let drained = worker.draining && worker.leases.is_empty();
        let kept = worker.kept;
        self.tasks[index].place = NIL;
        self.give_permits(index);
        self.stop_attempt_clocks(index);
        self.call_left_worker(index);
        if kept > 0 {
            self.left_kept(kept, index);
        }
        if drained {
            self.work.push_back(Work::Drained(key));
        } else if !sent {
            self.pull_later(place);
        }
    }
}
