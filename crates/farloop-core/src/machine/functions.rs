//! Functions: who offers them, with which signature, and the queue of tasks that wait for one of those.
//!
//! Names come from submitters. A queue that is empty and that nobody serves is forgotten; one that is not empty and
//! that nobody serves is stranded, and says so (L15).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::ending::Family;
use super::lanes::Level;
use super::lists::Chain;
use super::outbox::Tell;
use super::{Core, Timer, Work};
use crate::api::{Event, Output};
use crate::limits;
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::spec::FunctionDef;
use crate::time::Time;

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
    pub(crate) levels: BTreeMap<Reverse<i32>, Level>,
    pub(crate) len: usize,
    /// Tasks of it that wait for a worker which is kept for one that is to run alone.
    pub(crate) aside: usize,
    /// How many of the function may be at workers at once; NIL: without limit.
    pub(crate) limit: u32,
    /// Its entry in the set of queues from which workers take.
    entry: Option<Best>,
    /// When its tasks will be reported as stranded.
    stranded_at: Option<Time>,
    /// They have been, with these words.
    pub(crate) stranded: Option<String>,
}

impl Function {
    /// Its entry among the queues from which workers take: none if it is empty, unserved or held back by limits.
    pub(crate) fn entry(&self) -> Option<&Best> {
        self.entry.as_ref()
    }
}

/// Order among queues: priority, then age of the head.
pub(crate) type Best = (Reverse<i32>, u32, u32);

impl Core {
    /// The queue for a task, made if there is none; an error if workers offer the function with another signature.
    pub(crate) fn function_of(&mut self, index: u32) -> Result<u32, String> {
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

    pub(crate) fn new_function(&mut self, name: Arc<str>, fingerprint: u64, workers: Vec<u32>) -> u32 {
        for worker in &workers {
            debug_assert!(self.sessions[*worker as usize].worker.is_some(), "only workers serve queues");
        }
        let limit = self.limits.of_function(&name);
        self.limits.also_use(limit);
        let function = self.functions.insert(Function {
            name: name.clone(),
            limit,
            fingerprint,
            workers: Vec::new(),
            levels: BTreeMap::new(),
            len: 0,
            aside: 0,
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
    pub(crate) fn offers(&self, worker: u32, name: &str, fingerprint: u64) -> bool {
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
            if let Some(concurrency) = self.def(index, &name).map(|d| d.concurrency) {
                self.limit_function(&name, concurrency);
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
    pub(crate) fn forget_function(&mut self, function: u32) -> bool {
        let Some(queue) = self.functions.get(function as usize) else { return true };
        if queue.len + queue.aside > 0 || !queue.workers.is_empty() {
            return false;
        }
        let queue = self.functions.remove(function as usize);
        self.limits.unuse(queue.limit);
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
            let head = queue.levels.values().find_map(Level::any).or_else(|| self.suspects.of(function).next());
            let (Some(worker), true, Some(head)) = (worker, queue.workers.is_empty(), head) else { return true };
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
    pub(crate) fn refresh(&mut self, function: u32) {
        let head = self.turn(function);
        let queue = &mut self.functions[function as usize];
        if queue.entry != head {
            if let Some(old) = core::mem::replace(&mut queue.entry, head) {
                self.ready.remove(&old);
            }
            if let Some(new) = head {
                self.ready.insert(new);
            }
        }
    }

    /// The task of a queue that comes first among those which may start. What is under a limit that is reached steps
    /// aside until a permit comes back.
    fn turn(&mut self, function: u32) -> Option<Best> {
        let ignored = planted!(self, LimitIgnored);
        let queue = &mut self.functions[function as usize];
        if queue.workers.is_empty() || (self.limits.full(queue.limit) && !ignored) {
            return None;
        }
        for (priority, level) in &mut queue.levels {
            while let Some(limit) = level.limit() {
                if !self.limits.full(limit) || ignored {
                    let head = level.head()?;
                    return Some((*priority, self.tasks[head].serial, function));
                }
                level.step_aside(limit);
                self.limits.step_aside(limit, function, *priority);
            }
        }
        None
    }

    pub(crate) fn strand_later(&mut self, function: u32) {
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
        let lists = queue.levels.values().flat_map(Level::lists);
        let queued = lists.flat_map(|l| l.iter(&self.tasks, Chain::Place));
        let named: Vec<u32> = queued.chain(self.suspects.of(function)).take(STRANDED_NAMED).collect();
        let queue = &mut self.functions[function as usize];
        queue.stranded_at = None;
        queue.stranded = Some(why.clone());
        for index in named {
            self.report_stranded(index, why.clone());
        }
    }

    pub(crate) fn report_stranded(&mut self, index: u32, why: String) {
        let task = &mut self.tasks[index];
        let (id, gate) = (task.id, task.gate);
        let sessions: Vec<_> = task.watchers_mut().map(|w| w.session).collect();
        for session in sessions {
            self.tell(session, gate, Tell::Stranded { task: id, why: why.clone() });
        }
        self.outputs.push_back(Output::Event(Event::Stranded { task: id, why }));
    }
}
