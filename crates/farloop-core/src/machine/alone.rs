//! A suspect runs alone before it is blamed.
//!
//! When a worker is lost, everything that it held may have ended it. A task whose budget of crashes is used up, and which
//! was never seen to end a worker by itself, is a *suspect*: it gets one more attempt at a worker that is kept for it.
//! That worker gets nothing else meanwhile, except what the suspect calls (its *kin*): that is its own doing, and it may
//! not be able to go on without it. If the worker is lost then, the task has earned its failure; if the suspect ends, it
//! was a bystander.
//!
//! A worker that is busy is kept until it is idle, so that the wait ends. Nobody else pays for that without limit: after
//! [`limits::ALONE`] in vain a busy worker is left alone for as long, and a suspect that runs alone longer than that gets
//! company again. At most half the workers of a function, and at least one, are kept at a time; other suspects
//! wait behind, the more urgent first. Nothing here costs anything while no task is under suspicion.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::check::{LawViolation, broken};
use super::lists::{Chain, NIL};
use super::sessions::SessionKey;
use super::tasks::{Phase, Task, TaskKey};
use super::{Core, Timer, Work};
use crate::frame::Activity;
use crate::id::TaskId;
use crate::limits;

/// Looked at in one queue before the rest has to wait: those in front may be held back by limits.
const LOOK_AT: usize = 16;
/// Callers of a suspect that are looked for above it.
const ABOVE: usize = 64;

/// Who waits, in order: what for, priority, age, record.
type Waiting<For> = BTreeSet<(For, Reverse<i32>, u32, u32)>;

/// Suspects, their kin, and the workers that are kept for them.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    /// Who waits to run alone, by function.
    waiting: Waiting<u32>,
    /// Kin that wait for a slot, by the number of the worker that is kept.
    kin: Waiting<u64>,
    kept: BTreeMap<u64, Kept>,
    /// The last number given.
    number: u64,
}

/// A worker that is kept for one task.
#[derive(Clone, Copy, Debug)]
struct Kept {
    worker: SessionKey,
    task: TaskKey,
    /// The task runs there.
    runs: bool,
}

impl Suspects {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.kin.is_empty() && self.kept.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.kin.len()
    }

    /// Those of one function that wait, the first first.
    pub(crate) fn of(&self, function: u32) -> impl Iterator<Item = u32> {
        self.waiting.range(first(function)..).take_while(move |(f, ..)| *f == function).map(|(.., index)| *index)
    }

    fn kin_of(&self, number: u64) -> impl Iterator<Item = u32> {
        self.kin.range(first(number)..).take_while(move |(n, ..)| *n == number).map(|(.., index)| *index)
    }
}

fn first<For>(what: For) -> (For, Reverse<i32>, u32, u32) {
    (what, Reverse(i32::MAX), 0, 0)
}

fn place<For>(what: For, task: &Task, index: u32) -> (For, Reverse<i32>, u32, u32) {
    (what, Reverse(task.priority), task.serial, index)
}

impl Task {
    /// Its workers were lost too often; that it is not over means that it was never alone there.
    pub(crate) fn suspected(&self) -> bool {
        self.crashes > self.spec.options.max_crashes
    }
}

impl Core {
    /// Whether a task that may run now has to wait here rather than in the queue of its function.
    pub(crate) fn set_aside(&mut self, index: u32, function: u32) -> bool {
        let task = &self.tasks[index];
        let number = task.extra().map_or(0, |e| e.kin);
        if task.suspected() {
            self.suspects.waiting.insert(place(function, task, index));
        } else if self.suspects.kept.get(&number).is_some_and(|k| self.serves(k.worker.index, function)) {
            self.suspects.kin.insert(place(number, task, index));
        } else {
            return false;
        }
        (self.tasks[index].phase, self.tasks[index].place) = (Phase::Aside, function);
        let queue = &mut self.functions[function as usize];
        queue.aside += 1;
        let (stranded, unserved) = (queue.stranded.clone(), queue.workers.is_empty());
        if let Some(why) = stranded {
            self.report_stranded(index, why);
        } else if unserved {
            self.strand_later(function);
        }
        true
    }

    fn serves(&self, worker: u32, function: u32) -> bool {
        self.functions[function as usize].workers.binary_search(&worker).is_ok()
    }

    /// The task does not wait here any more. A worker that is kept for it stays so.
    fn take_aside(&mut self, index: u32) {
        let task = &self.tasks[index];
        let (function, number) = (task.place, task.extra().map_or(0, |e| e.kin));
        if !self.suspects.waiting.remove(&place(function, task, index)) {
            self.suspects.kin.remove(&place(number, task, index));
        }
        self.tasks[index].place = NIL;
        self.functions[function as usize].aside -= 1;
        self.forget_function(function);
    }

    /// The task leaves for good, or its attempt is over.
    pub(crate) fn leave_aside(&mut self, index: u32) {
        self.take_aside(index);
        self.stop_looking(index);
        let number = self.tasks[index].dossier().map_or(0, |d| d.kept);
        self.let_go(number);
    }

    /// An attempt left the worker that was kept under that number.
    pub(crate) fn left_kept(&mut self, number: u64, index: u32) {
        if self.suspects.kept.get(&number).is_some_and(|k| k.task.index == index) {
            self.let_go(number);
        }
    }

    /// What a new task inherits from its creator: the number of the worker that is kept for the suspect above them.
    pub(crate) fn kin_number(&self, parent: u32) -> u64 {
        let task = &self.tasks[parent];
        let own = task.dossier().map_or(0, |d| d.kept);
        let number = if own > 0 { own } else { task.extra().map_or(0, |e| e.kin) };
        if self.suspects.kept.contains_key(&number) { number } else { 0 }
    }

    /// Starts who can be started, and keeps workers for those who wait.
    pub(crate) fn run_suspects(&mut self) {
        if self.suspects.is_empty() || self.draining {
            return;
        }
        let numbers: Vec<u64> = self.suspects.kept.keys().copied().collect();
        for number in numbers {
            self.serve_kin(number);
        }
        // The first of each function, and of those the more urgent and the older ones first: they compete for workers.
        let (mut from, mut waiting) = (0, Vec::new());
        while waiting.len() < limits::TOUCH
            && let Some(&(function, ..)) = self.suspects.waiting.range(first(from)..).next()
        {
            from = function + 1;
            let these = self.suspects.waiting.range(first(function)..first(from));
            waiting.extend(
                these.take(LOOK_AT).map(|&(function, priority, serial, index)| (priority, serial, index, function)),
            );
        }
        waiting.sort_unstable();
        for (.., index, function) in waiting {
            self.touched += 1;
            self.serve_suspect(index, function);
        }
    }

    /// Kin run beside the suspect while there are free slots, else wherever there is one: a suspect that holds its slot
    /// while it awaits them must not wait for ever.
    fn serve_kin(&mut self, number: u64) {
        let waiting: Vec<u32> = self.suspects.kin_of(number).take(LOOK_AT).collect();
        for index in waiting {
            self.touched += 1;
            if self.tasks.at(index).is_none_or(|t| t.phase != Phase::Aside) || !self.in_time(index) {
                continue;
            }
            let function = self.tasks[index].place;
            if self.held_back(index, function) {
                continue;
            }
            let Some(kept) = self.suspects.kept.get(&number) else { return };
            let beside = kept.worker.index;
            let free = self.there(beside)
                && self.sessions[beside as usize]
                    .worker
                    .as_ref()
                    .is_some_and(|w| w.credit() > 0 && w.load() < w.slots.max(1));
            let worker = if free && self.serves(beside, function) { Some(beside) } else { self.choose(function) };
            if let Some(worker) = worker {
                self.take_aside(index);
                self.lease(index, function, worker);
            }
        }
    }

    fn serve_suspect(&mut self, index: u32, function: u32) {
        if self.tasks.at(index).is_none_or(|t| t.phase != Phase::Aside) || !self.in_time(index) {
            return;
        }
        let number = self.tasks[index].dossier().map_or(0, |d| d.kept);
        let kept = self.suspects.kept.get(&number).map(|k| k.worker.index);
        let kept = kept.filter(|worker| self.there(*worker) && self.serves(*worker, function));
        // One that idles is better than one that is to become idle.
        let better = |worker: &u32| !self.idle_for(*worker, index) && self.idle_one(function).is_some();
        let kept = kept.filter(|worker| !better(worker));
        if kept.is_none() {
            self.let_go(number);
        }
        let Some(worker) = kept.or_else(|| self.keep_one(index, function)) else { return };
        let open = self.sessions[worker as usize].worker.as_ref().is_some_and(|w| w.credit() > 0);
        if !open || !self.idle_for(worker, index) || self.held_back(index, function) {
            return;
        }
        let number = self.tasks[index].dossier().map_or(0, |d| d.kept);
        self.take_aside(index);
        self.lease(index, function, worker);
        if let Some(kept) = self.suspects.kept.get_mut(&number) {
            kept.runs = true;
        }
        self.look_after(index);
    }

    /// Ends a task whose start would come too late.
    fn in_time(&mut self, index: u32) -> bool {
        if self.tasks[index].deadline <= self.now {
            self.time_out(index);
        } else if self.outlived(index, self.now) {
            self.not_started(index);
        } else {
            return true;
        }
        false
    }

    /// Whether the worker is connected and stays.
    fn there(&self, worker: u32) -> bool {
        let session = &self.sessions[worker as usize];
        let stays = session.conn.is_some() && !session.over && !session.rejoining;
        stays && session.worker.as_ref().is_some_and(|w| !w.draining)
    }

    /// A worker that holds nothing and is kept for nobody.
    fn idle_one(&self, function: u32) -> Option<u32> {
        let mut workers = self.functions[function as usize].workers.iter().copied();
        workers.find(|worker| {
            let idle =
                self.sessions[*worker as usize].worker.as_ref().is_some_and(|w| w.kept == 0 && w.leases.is_empty());
            idle && self.there(*worker)
        })
    }

    /// Keeps a worker for a suspect: an idle one, else the one with the least to do, unless that was in vain
    /// lately.
    fn keep_one(&mut self, index: u32, function: u32) -> Option<u32> {
        let workers = &self.functions[function as usize].workers;
        if self.suspects.kept.len() >= (workers.len() / 2).max(1) {
            return None;
        }
        let free = workers.iter().copied().filter(|worker| self.there(*worker)).filter_map(|worker| {
            let w = self.sessions[worker as usize].worker.as_ref()?;
            let busy = !w.leases.is_empty();
            (w.kept == 0 && !(busy && w.spared > self.now)).then_some((busy, w.load(), worker))
        });
        let (.., worker) = free.min()?;
        self.suspects.number += 1;
        let (number, session, task) = (self.suspects.number, self.session_key(worker), self.tasks.key(index));
        self.suspects.kept.insert(number, Kept { worker: session, task, runs: false });
        if let Some(w) = &mut self.sessions[worker as usize].worker {
            w.kept = number;
        }
        self.tasks[index].dossier_mut().kept = number;
        self.look_after(index);
        Some(worker)
    }

    /// Whether a worker holds nothing that could end before the suspect has: what is suspended there runs nothing, and
    /// who waits for the suspect cannot end before it.
    fn idle_for(&self, worker: u32, index: u32) -> bool {
        let Some(w) = &self.sessions[worker as usize].worker else { return false };
        if w.load() == 0 {
            return true;
        }
        if w.leases.len as usize > LOOK_AT {
            return false;
        }
        let above = self.above(index);
        let id = self.tasks[index].id;
        w.leases.iter(&self.tasks, Chain::Place).all(|other| {
            let task = &self.tasks[other];
            task.activity == Activity::Suspended || above.contains(&task.id) || task.awaits().contains(&id)
        })
    }

    fn above(&self, index: u32) -> BTreeSet<TaskId> {
        let mut above = BTreeSet::new();
        let mut parent = self.tasks[index].parent;
        while parent != TaskId(0) && above.len() < ABOVE && above.insert(parent) {
            parent = self.tasks.find(parent).map_or(TaskId(0), |p| self.tasks[p].parent);
        }
        above
    }

    /// Sets the clock of a suspect anew.
    fn look_after(&mut self, index: u32) {
        self.stop_looking(index);
        let (key, at) = (self.tasks.key(index), self.now + limits::ALONE);
        self.tasks[index].dossier_mut().look = Some(at);
        self.timers.insert((at, Timer::Alone(key)));
    }

    fn stop_looking(&mut self, index: u32) {
        let key = self.tasks.key(index);
        if let Some(dossier) = self.tasks[index].if_dossier()
            && let Some(at) = dossier.look.take()
        {
            self.timers.remove(&(at, Timer::Alone(key)));
        }
    }

    /// A suspect has waited for its worker long enough, or run alone: others go on, for as long at least.
    pub(crate) fn on_alone_over(&mut self, key: TaskKey) {
        let Some(number) = self.tasks.get(key).and_then(Task::dossier).map(|d| d.kept) else { return };
        if let Some(kept) = self.suspects.kept.get(&number)
            && let Some(worker) = &mut self.sessions[kept.worker.index as usize].worker
        {
            worker.spared = self.now + limits::ALONE;
        }
        self.let_go(number);
    }

    /// The worker of a suspect is lost: how many others were there is known now and not when its leases are gone.
    pub(crate) fn lose_kept(&mut self, worker: u32) {
        let number = self.sessions[worker as usize].worker.as_ref().map_or(0, |w| w.kept);
        let Some(kept) = self.suspects.kept.get(&number).copied() else { return };
        if kept.runs
            && let Some(w) = &self.sessions[worker as usize].worker
        {
            let others = w.leases.iter(&self.tasks, Chain::Place).take(limits::TOUCH).filter(|other| {
                let task = &self.tasks[*other];
                *other != kept.task.index && task.sent && task.extra().is_none_or(|e| e.kin != number)
            });
            let company = Some(others.count() as u32);
            self.tasks[kept.task.index].dossier_mut().company = company;
        }
        self.let_go(number);
    }

    /// The worker is no longer kept.
    fn let_go(&mut self, number: u64) {
        let Some(kept) = self.suspects.kept.remove(&number) else { return };
        if self.tasks.get(kept.task).is_some() {
            self.stop_looking(kept.task.index);
            self.tasks[kept.task.index].dossier_mut().kept = 0;
        }
        let same =
            self.sessions.get(kept.worker.index as usize).is_some_and(|s| s.generation == kept.worker.generation);
        if same && let Some(worker) = &mut self.sessions[kept.worker.index as usize].worker {
            worker.kept = 0;
            self.pull_later(kept.worker.index);
        }
        if self.suspects.kin_of(number).next().is_some() {
            self.work.push_back(Work::Kin(number));
        }
    }

    /// Kin of a suspect that runs alone no more wait where everybody does. True when done.
    pub(crate) fn kin_some(&mut self, number: u64) -> bool {
        while self.touched < limits::TOUCH {
            let Some(index) = self.suspects.kin_of(number).next() else { return true };
            self.touched += 1;
            self.take_aside(index);
            self.tasks[index].phase = Phase::Parked;
            self.enqueue(index, true);
        }
        false
    }

    pub(crate) fn explain_aside(&self, index: u32) -> String {
        let task = &self.tasks[index];
        let queue = &self.functions[task.place as usize];
        let called = task.extra().and_then(|e| self.suspects.kept.get(&e.kin)).filter(|_| !task.suspected());
        if let Some(kept) = called {
            return format!(
                "it was called by task {}, which runs alone because workers were lost with it, and waits for a free slot",
                self.tasks[kept.task.index].id
            );
        }
        if queue.workers.is_empty() {
            return self.nobody_offers(&queue.name);
        }
        let lost = format!("{} workers were lost with it while others ran there: it is to run alone", task.crashes);
        if self.draining {
            return format!("{lost}, and the coordinator is about to stop and starts nothing more");
        }
        if let Some(kept) = task.dossier().and_then(|d| self.suspects.kept.get(&d.kept)) {
            let session = &self.sessions[kept.worker.index as usize];
            let held = session.worker.as_ref().map_or(0, |w| w.leases.len);
            return format!(
                "{lost}. Worker '{}' ({}) is kept for it, gets nothing new, and holds {held} attempts yet",
                session.name, session.id
            );
        }
        let before = self.suspects.of(task.place).take_while(|other| *other != index).count();
        format!(
            "{lost}, and waits for a worker that idles or can be kept for it; {} workers are kept for others, and {before} tasks of '{}' wait before it",
            self.suspects.kept.len(),
            queue.name
        )
    }

    pub(crate) fn check_suspects(&self) -> Result<(), LawViolation> {
        let mut aside: BTreeMap<u32, usize> = BTreeMap::new();
        let waiting = self.suspects.waiting.iter().map(|(function, .., index)| (*index, Some(*function)));
        let kin = self.suspects.kin.iter().map(|(.., index)| (*index, None));
        for (index, function) in waiting.chain(kin) {
            let Some(task) = self.tasks.at(index).filter(|t| t.phase == Phase::Aside) else {
                return broken("L16", format!("record {index} is set aside and does not know"));
            };
            *aside.entry(task.place).or_default() += 1;
            if function.is_some() != task.suspected() || function.is_some_and(|f| f != task.place) {
                return broken("L16", format!("task {} is set aside in the wrong place", task.id));
            }
            let dossier = task.dossier();
            let clock = dossier.and_then(|d| d.look);
            if dossier.is_some_and(|d| d.kept > 0)
                && !clock.is_some_and(|at| self.timers.contains(&(at, Timer::Alone(self.tasks.key(index)))))
            {
                return broken("L16", format!("nobody looks after task {}, which is to run alone", task.id));
            }
            self.check_suspect(index, task)?;
        }
        if self.tasks.iter().filter(|(_, t)| t.phase == Phase::Aside).count() != self.suspects.len() {
            return broken("L16", "a task is set aside and in no list".into());
        }
        if let Some((_, queue)) =
            self.functions.iter().find(|(f, q)| aside.get(&(*f as u32)).copied().unwrap_or(0) != q.aside)
        {
            return broken("L16", format!("'{}' counts {} tasks set aside", queue.name, queue.aside));
        }
        for (number, kept) in &self.suspects.kept {
            let worker = self.session(kept.worker).and_then(|s| s.worker.as_ref());
            let task = self.tasks.get(kept.task);
            let fits = task.is_some_and(|t| {
                let phase = if kept.runs { Phase::Leased } else { Phase::Aside };
                t.phase == phase && t.dossier().is_some_and(|d| d.kept == *number)
            });
            if !fits || worker.is_none_or(|w| w.kept != *number) {
                return broken("L16", format!("worker {:?} is kept for nobody", kept.worker));
            }
        }
        let kept = self.sessions.iter().filter(|(_, s)| s.worker.as_ref().is_some_and(|w| w.kept > 0)).count();
        if kept != self.suspects.kept.len() {
            return broken("L16", format!("{kept} workers think that they are kept"));
        }
        Ok(())
    }

    /// A suspect does not wait while a worker idles that could be kept.
    fn check_suspect(&self, index: u32, task: &Task) -> Result<(), LawViolation> {
        let settled = self.work.is_empty() && !self.draining && self.suspects.kept.is_empty();
        let looked_at = || self.suspects.of(task.place).take(LOOK_AT).any(|other| other == index);
        if !settled || !task.suspected() || !looked_at() || self.held_back(index, task.place) {
            return Ok(());
        }
        let idle = self.functions[task.place as usize].workers.iter().find(|worker| {
            let session = &self.sessions[**worker as usize];
            session.open_worker().is_some_and(|w| w.leases.is_empty())
        });
        match idle {
            Some(worker) => {
                let worker = self.sessions[*worker as usize].id;
                broken("L16", format!("task {} waits to run alone while worker {worker} idles", task.id))
            }
            None => Ok(()),
        }
    }
}
