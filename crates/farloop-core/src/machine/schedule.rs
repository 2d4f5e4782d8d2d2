//! Which task runs where, and when: a queue per function, credits per worker, leases.
//!
//! A task goes straight to a worker that has credit, the less loaded of two drawn at random; if none has, it queues,
//! and a worker that gets credit takes the best head among the functions it offers. So a queue is only ever long
//! while no worker could take from it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::ending::Family;
use super::outbox::Tell;
use super::tasks::{Chain, List, NIL, Phase};
use super::{Core, Timer, Work};
use crate::api::{Event, Output, Record};
use crate::frame::Activity;
use crate::id::Epoch;
use crate::limits;
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::spec::FunctionDef;
use crate::time::Time;

/// Up to that many workers are all looked at; above, two are drawn.
const LOOK_AT_ALL: usize = 16;
/// Time in which a worker may still appear before a task is reported as stranded.
const STRANDED_AFTER: core::time::Duration = core::time::Duration::from_millis(500);
/// Tasks named in the log when their last worker goes; every one of them can be explained.
const STRANDED_NAMED: usize = 256;

/// One queue: of a function, as callers with one fingerprint (or with none, 0) know it.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: Arc<str>,
    pub(crate) fingerprint: u64,
    /// Sessions of the workers that serve it, sorted.
    pub(crate) workers: Vec<u32>,
    /// Higher priority first, each first in, first out.
    pub(crate) levels: BTreeMap<Reverse<i32>, List>,
    pub(crate) len: usize,
    /// Its entry in the set of queues from which workers take.
    entry: Option<Best>,
    /// When its tasks will be reported as stranded.
    stranded_at: Option<Time>,
    /// They have been, with these words.
    stranded: Option<String>,
}

/// Order among queues: priority, then age of the head.
pub(crate) type Best = (Reverse<i32>, u32, u32);

impl Core {
    /// Hands a task that may run now to a worker, or queues it.
    pub(crate) fn enqueue(&mut self, index: u32, front: bool) {
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
        if self.functions[function as usize].len == 0
            && let Some(worker) = self.choose(function)
        {
            self.lease(index, worker);
            return;
        }
        let task = &mut self.tasks[index];
        task.phase = Phase::Ready;
        task.place = function;
        let queue = &mut self.functions[function as usize];
        let level = queue.levels.entry(Reverse(task.priority)).or_default();
        if front {
            level.push_front(&mut self.tasks, Chain::Place, index);
        } else {
            level.push_back(&mut self.tasks, Chain::Place, index);
        }
        queue.len += 1;
        let (stranded, unserved) = (queue.stranded.clone(), queue.workers.is_empty());
        self.refresh(function);
        if let Some(why) = stranded {
            self.report_stranded(index, why);
        } else if unserved {
            self.strand_later(function);
        }
    }

    /// The queue for a task, made if there is none; an error if workers offer the function with another signature.
    fn function_of(&mut self, index: u32) -> Result<u32, String> {
        let spec = &self.tasks[index].spec;
        let fingerprint = spec.fingerprint;
        let queues = self.names.get(&*spec.function);
        let find = |wanted: u64| queues.and_then(|q| q.iter().find(|(f, _)| *f == wanted)).map(|(_, i)| *i);
        let found = find(fingerprint);
        if let Some(function) = found
            && (fingerprint == 0 || !self.functions[function as usize].workers.is_empty())
        {
            return Ok(function);
        }
        let any = find(0);
        let all = any.map_or(&[][..], |i| &self.functions[i as usize].workers);
        let name = spec.function.clone();
        let matching: Vec<u32> = all.iter().copied().filter(|w| self.offers(*w, &name, fingerprint)).collect();
        if matching.is_empty() && !all.is_empty() {
            return Err(self.mismatch(&name, fingerprint, all[0]));
        }
        if let Some(function) = found {
            return Ok(function);
        }
        Ok(self.new_function(name, fingerprint, matching))
    }

    fn new_function(&mut self, name: Arc<str>, fingerprint: u64, workers: Vec<u32>) -> u32 {
        for worker in &workers {
            debug_assert!(self.sessions[*worker as usize].worker.is_some(), "only workers serve queues");
        }
        let function = self.functions.insert(Function {
            name: name.clone(),
            fingerprint,
            workers: Vec::new(),
            levels: BTreeMap::new(),
            len: 0,
            entry: None,
            stranded_at: None,
            stranded: None,
        }) as u32;
        self.names.entry(name).or_default().push((fingerprint, function));
        for worker in workers {
            self.serve(function, worker);
        }
        function
    }

    /// Whether a worker offers the function with this fingerprint; 0 on either side fits all.
    fn offers(&self, worker: u32, name: &str, fingerprint: u64) -> bool {
        self.def(worker, name).is_some_and(|d| fingerprint == 0 || d.fingerprint == 0 || d.fingerprint == fingerprint)
    }

    pub(crate) fn def(&self, worker: u32, name: &str) -> Option<&FunctionDef> {
        let defs = &self.sessions[worker as usize].worker.as_ref()?.defs;
        defs.binary_search_by(|d| (*d.name).cmp(name)).ok().map(|i| &defs[i])
    }

    fn mismatch(&self, name: &str, fingerprint: u64, worker: u32) -> String {
        let session = &self.sessions[worker as usize];
        let shown = self.def(worker, name).map_or_else(String::new, |d| {
            let args: Vec<String> = d.args.iter().map(|(n, t)| format!("{n}: {t}")).collect();
            format!("{:016x}, `{name}({}) -> {}`", d.fingerprint, args.join(", "), d.returns)
        });
        format!(
            "the caller's definition of '{name}' has fingerprint {fingerprint:016x} and the one at worker '{}' ({}) has {shown}; build both from the same source",
            session.name, session.id
        )
    }

    fn serve(&mut self, function: u32, worker: u32) {
        let queue = &mut self.functions[function as usize];
        if let Err(at) = queue.workers.binary_search(&worker) {
            queue.workers.insert(at, worker);
            queue.stranded = None;
            if let Some(at) = queue.stranded_at.take() {
                self.timers.remove(&(at, Timer::Stranded(function)));
            }
            if let Some(w) = &mut self.sessions[worker as usize].worker {
                w.functions.push(function);
            }
            self.refresh(function);
        }
    }

    /// A worker joined (or came back with other functions).
    pub(crate) fn offer_functions(&mut self, index: u32, defs: &[FunctionDef], slots: u32) {
        let mut defs = defs.to_vec();
        defs.sort_by(|a, b| a.name.cmp(&b.name));
        defs.dedup_by(|a, b| a.name == b.name);
        let names: Vec<Arc<str>> = defs.iter().map(|d| d.name.clone()).collect();
        if let Some(worker) = &mut self.sessions[index as usize].worker {
            worker.defs = defs;
            worker.slots = slots;
        }
        for name in names {
            // The queue of callers without a fingerprint always exists for an offered name: it lists all its workers.
            if !self.names.get(&name).is_some_and(|q| q.iter().any(|(f, _)| *f == 0)) {
                self.new_function(name.clone(), 0, Vec::new());
            }
            let queues = self.names.get(&name).cloned().unwrap_or_default();
            for (fingerprint, function) in queues {
                if self.offers(index, &name, fingerprint) {
                    self.serve(function, index);
                } else if self.functions[function as usize].workers.is_empty() {
                    self.work.push_back(Work::Mismatched(function));
                }
            }
        }
        self.pull_later(index);
    }

    /// A worker leaves: queues that nobody else serves are stranded (L15).
    pub(crate) fn withdraw_functions(&mut self, index: u32) {
        let Some(worker) = &mut self.sessions[index as usize].worker else { return };
        worker.defs.clear();
        for function in core::mem::take(&mut worker.functions) {
            let queue = &mut self.functions[function as usize];
            queue.workers.retain(|w| *w != index);
            let alone = queue.workers.is_empty();
            self.refresh(function);
            if alone && !self.forget_function(function) {
                // Either nobody offers it now, or others do with another signature.
                self.strand_later(function);
                self.work.push_back(Work::Mismatched(function));
            }
        }
    }

    /// Forgets a queue that is empty and that nobody serves. Names come from submitters: they must not pile up.
    fn forget_function(&mut self, function: u32) -> bool {
        let Some(queue) = self.functions.get(function as usize) else { return true };
        if queue.len > 0 || !queue.workers.is_empty() {
            return false;
        }
        let queue = self.functions.remove(function as usize);
        if let Some(at) = queue.stranded_at {
            self.timers.remove(&(at, Timer::Stranded(function)));
        }
        if let Some(queues) = self.names.get_mut(&queue.name) {
            queues.retain(|(_, f)| *f != function);
            if queues.is_empty() {
                self.names.remove(&queue.name);
            }
        }
        true
    }

    /// Tasks whose function is offered now, but with another signature, cannot run. True when done.
    pub(crate) fn mismatched_some(&mut self, function: u32) -> bool {
        while self.touched < limits::TOUCH {
            let Some(queue) = self.functions.get(function as usize) else { return true };
            let name = queue.name.clone();
            let offered = self.names.get(&name).and_then(|q| q.iter().find(|(f, _)| *f == 0)).map(|(_, i)| *i);
            let worker = offered.and_then(|i| self.functions[i as usize].workers.first().copied());
            let head = queue.levels.values().find(|l| !l.is_empty()).map_or(NIL, |l| l.head);
            let (Some(worker), true, true) = (worker, queue.workers.is_empty(), head != NIL) else { return true };
            let message = self.mismatch(&name, queue.fingerprint, worker);
            let failure = Failure {
                task: Some(self.tasks[head].id),
                ..Failure::new(FailureKind::SignatureMismatch, name, message)
            };
            self.end_task(head, Outcome::Raised(Arc::new(failure)), Family::All);
        }
        false
    }

    /// Brings the entry of a queue among those that workers take from up to date.
    fn refresh(&mut self, function: u32) {
        let queue = &mut self.functions[function as usize];
        let head = match queue.levels.iter().next() {
            Some((priority, level)) if !queue.workers.is_empty() => {
                Some((*priority, self.tasks[level.head].serial, function))
            }
            _ => None,
        };
        if queue.entry != head {
            if let Some(old) = core::mem::replace(&mut queue.entry, head) {
                self.ready.remove(&old);
            }
            if let Some(new) = head {
                self.ready.insert(new);
            }
        }
    }

    /// Power of two choices on outstanding leases; a worker that idles beats one that does not.
    fn choose(&mut self, function: u32) -> Option<u32> {
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
        let Some(worker) = self.sessions[index as usize].open_worker() else { return };
        if self.draining {
            return;
        }
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
        if self.offers(idle, &spec.function, spec.fingerprint) {
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
            let head = self.functions[function as usize].levels[&priority].head;
            if self.tasks[head].deadline <= self.now {
                self.time_out(head);
                continue;
            }
            self.leave_queue(head);
            self.lease(head, index);
        }
        if let Some(worker) = &mut self.sessions[index as usize].worker {
            worker.pulling = false;
        }
        true
    }

    /// Gives the task to a worker under a new epoch (L5). The start leaves when its records are durable.
    fn lease(&mut self, index: u32, worker: u32) {
        self.epoch += 1;
        let key = self.session_key(worker);
        let worker_id = self.sessions[worker as usize].worker_id();
        let task = &mut self.tasks[index];
        task.epoch = Epoch(self.epoch);
        task.phase = Phase::Leased;
        task.place = worker;
        task.worker = worker_id;
        task.started = self.now;
        task.activity = Activity::Running;
        (task.sent, task.begun, task.recalled, task.blocked) = (false, false, false, false);
        let (epoch, id) = (task.epoch, task.id);
        if self.config.durable {
            if self.tasks[index].spec.options.max_crashes == 0 {
                self.tasks[index].gate = self.persist(Record::Started { task: id });
            } else if self.tasks[index].rare.as_ref().is_some_and(|r| r.inputs.is_some()) {
                // Its inputs rest on the ends of other tasks: whatever was recorded so far must be durable.
                self.tasks[index].gate = self.seq;
            }
        }
        let gate = self.tasks[index].gate;
        if let Some(w) = &mut self.sessions[worker as usize].worker {
            w.starts += 1;
            w.leases.push_back(&mut self.tasks, Chain::Place, index);
        }
        self.tell(key, gate, Tell::Start { index, epoch });
    }

    fn leave_queue(&mut self, index: u32) {
        let (function, priority) = (self.tasks[index].place, self.tasks[index].priority);
        let queue = &mut self.functions[function as usize];
        if let Some(level) = queue.levels.get_mut(&Reverse(priority)) {
            level.remove(&mut self.tasks, Chain::Place, index);
            if level.is_empty() {
                queue.levels.remove(&Reverse(priority));
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
            _ => {}
        }
        self.tasks[index].phase = Phase::Parked;
    }

    fn leave_worker(&mut self, index: u32) {
        let task = &self.tasks[index];
        let (place, sent, suspended) = (task.place, task.sent, task.activity == Activity::Suspended);
        let key = self.session_key(place);
        let Some(worker) = &mut self.sessions[place as usize].worker else { return };
        worker.leases.remove(&mut self.tasks, Chain::Place, index);
        worker.suspended -= u32::from(suspended);
        if !sent && !planted!(self, CreditLeak) {
            // The start never left: the credit is still the worker's to give (L14).
            worker.starts -= 1;
        }
        let drained = worker.draining && worker.leases.is_empty();
        self.tasks[index].place = NIL;
        if drained {
            self.work.push_back(Work::Drained(key));
        } else if !sent {
            self.pull_later(place);
        }
    }

    fn strand_later(&mut self, function: u32) {
        let queue = &mut self.functions[function as usize];
        if queue.stranded_at.is_none() && queue.stranded.is_none() {
            let at = self.now + STRANDED_AFTER;
            queue.stranded_at = Some(at);
            self.timers.insert((at, Timer::Stranded(function)));
        }
    }

    pub(crate) fn on_stranded(&mut self, function: u32) {
        let Some(queue) = self.functions.get(function as usize) else { return };
        let why = self.nobody_offers(&queue.name);
        let levels: Vec<List> = queue.levels.values().copied().collect();
        let named: Vec<u32> =
            levels.iter().flat_map(|l| l.iter(&self.tasks, Chain::Place)).take(STRANDED_NAMED).collect();
        let queue = &mut self.functions[function as usize];
        queue.stranded_at = None;
        queue.stranded = Some(why.clone());
        for index in named {
            self.report_stranded(index, why.clone());
        }
    }

    fn report_stranded(&mut self, index: u32, why: String) {
        let task = self.tasks[index].id;
        self.outputs.push_back(Output::Event(Event::Stranded { task, why }));
    }
}
