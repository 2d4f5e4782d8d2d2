//! The recovery window: from the beginning of a life until every worker of the roster is back or was declared dead.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::{AttemptId, Epoch, SessionId, WorkerId};
use crate::limits;
use crate::machine::check::{LawViolation, broken};
use crate::machine::ending::Family;
use crate::machine::lists::Chain;
use crate::machine::tasks::Phase;
use crate::machine::{Core, Work};
use crate::outcome::{Cancellation, Failure, FailureKind, Outcome};
use crate::record::{AttemptFailed, Record, Rostered};

use super::LIFE_BITS;

/// Names listed in one sentence.
const NAMES: usize = 5;

impl Core {
    /// Records that a worker's session is open. Its starts wait for that: a worker that holds an attempt is in the
    /// roster of the next life.
    pub(crate) fn enrol(&mut self, index: u32) {
        if !self.config.durable {
            return;
        }
        let session = &self.sessions[index as usize];
        let (worker, name) = (session.worker_id(), session.name.clone());
        self.recovery.roster.insert(worker, name.clone());
        let gate = self.persist(Record::WorkerJoined(Rostered { worker, name }));
        if let Some(worker) = &mut self.sessions[index as usize].worker {
            worker.gate = gate;
        }
    }

    /// A worker's session is over: nobody waits for it any more.
    pub(crate) fn give_up_waiting(&mut self, worker: WorkerId) {
        self.recovery.missing |= self.recovery.open && self.recovery.awaited.contains(&worker);
        self.is_back(worker);
    }

    /// Records that a worker's session is over, after what became of all that it held: a life that knows only half of that
    /// must wait for it (L11). Not of one that came back under its id.
    pub(crate) fn strike(&mut self, worker: WorkerId) {
        if self.session_ids.contains_key(&SessionId(worker.0)) {
            return;
        }
        if self.recovery.open || self.recovery.queueing {
            return self.recovery.missed.push(worker);
        }
        if self.recovery.roster.remove(&worker).is_some() {
            self.persist(Record::WorkerLeft { worker });
        }
    }

    /// The worker has said what it holds, or never will.
    pub(super) fn is_back(&mut self, worker: WorkerId) {
        // With its session went what it held.
        drop(self.recovery.take_reported(worker));
        if self.recovery.awaited.remove(&worker) {
            self.close_window_if_all_are_back();
        }
    }

    pub(super) fn close_window_if_all_are_back(&mut self) {
        if self.recovery.open && self.recovery.awaited.is_empty() {
            self.recovery.open = false;
            self.recovery.queueing = true;
            self.work.push_back(Work::TakeOn);
        }
    }

    /// A piece of what is left when the window is closed: tasks that nobody came back with. True when all is done.
    /// The youngest comes first, and each goes to the front of its queue: they stand there in the order in which they
    /// were accepted, before what came in this life.
    pub(crate) fn take_on_some(&mut self) -> bool {
        while self.touched < limits::TOUCH {
            let Some(index) = self.tasks.at(self.recovery.held.tail).map(|_| self.recovery.held.tail) else {
                self.recovery.queueing = false;
                for worker in core::mem::take(&mut self.recovery.missed) {
                    self.strike(worker);
                }
                let queued = self.functions.iter().filter(|(_, f)| f.len > 0);
                self.work.extend(queued.map(|(function, _)| Work::Serve(function as u32)));
                return true;
            };
            self.touched += 1;
            self.take_on(index);
        }
        false
    }

    /// A piece of what a worker talked about and does not hold: nobody came back with it. True when all is done.
    pub(crate) fn unnamed_some(&mut self, attempts: &mut Vec<AttemptId>) -> bool {
        while self.touched < limits::TOUCH {
            let Some(attempt) = attempts.pop() else { return true };
            self.touched += 1;
            if let Some(index) = self.tasks.find(attempt.task).filter(|index| self.leased(*index, attempt.epoch)) {
                self.fence(index);
                self.take_on(index);
            }
        }
        false
    }

    /// No worker holds an attempt at it: if one ran, it is lost. No crash is counted, for it was the coordinator that
    /// failed, and nobody knows what became of the worker.
    fn take_on(&mut self, index: u32) {
        self.leave_place(index);
        let task = &mut self.tasks[index];
        if task.standing() > 0 {
            let message = task.rare().cancels.first_message();
            let outcome = Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false }));
            return self.end_task(index, outcome, Family::All);
        }
        if let Some(outcome) = self.call_lost_with_coordinator(index) {
            return self.end_task(index, outcome, Family::All);
        }
        if self.take_on_host(index) {
            return;
        }
        let task = &mut self.tasks[index];
        if task.once {
            let outcome = self.started_before(index);
            return self.end_task(index, outcome, Family::All);
        }
        if let Some(rare) = &mut task.rare {
            rare.cancels.new_attempt();
            if let Some(stream) = &mut rare.stream {
                stream.new_attempt();
            }
        }
        if self.tasks[index].children.is_empty() {
            self.again(index, true);
            return;
        }
        // What the attempt created is asked to stop, so a worker that comes back with it later is too late (L7).
        if let Some(life) = self.recovery.life() {
            self.tasks[index].epoch = Epoch((life.number << LIFE_BITS) - 1);
        }
        let key = self.tasks.key(index);
        self.work.push_back(Work::Children { key, family: Family::All, retry: Some(true) });
    }

    /// A task of a former life is handed out anew: whoever comes back with an attempt of then is too late, in this life and
    /// in the next one, which finds it on record.
    pub(crate) fn give_up_former_attempts(&mut self, index: u32) {
        let Some(life) = self.recovery.life() else { return };
        let last = Epoch((life.number << LIFE_BITS) - 1);
        let task = &mut self.tasks[index];
        if task.serial > self.recovery.former || task.epoch > last {
            return;
        }
        task.extra_mut().lost = last;
        let told = self.attempts_so_far(index).map(|failed| AttemptFailed { at: self.now, next_at: None, ..failed });
        if let Some(record) = told {
            self.record(index, Record::AttemptFailed(Box::new(record)));
        }
    }

    /// How a task ends that may have run and must not start again.
    fn started_before(&self, index: u32) -> Outcome {
        let task = &self.tasks[index];
        let why = if task.spec.stream && task.spec.options.max_crashes > 0 {
            "items of its stream had come, so it does not start again"
        } else {
            "it may have run, and must not run twice (max_crashes is 0)"
        };
        let message =
            format!("the coordinator stopped while this task was at a worker, and no worker came back with it: {why}");
        Outcome::Raised(Arc::new(Failure {
            task: Some(task.id),
            attempt: task.attempts,
            ..Failure::new(FailureKind::WorkerLost, task.spec.function.clone(), message)
        }))
    }

    /// Why a task of a former life is neither queued nor running.
    pub(crate) fn explain_held(&self) -> String {
        if !self.recovery.open {
            return "it is from before the coordinator's restart, no worker came back with it, and it is about to be queued".into();
        }
        let awaited = &self.recovery.awaited;
        let named = |worker: &WorkerId| {
            let name = self.recovery.roster.get(worker).map_or("", String::as_str);
            format!("'{name}' ({worker})")
        };
        let shown: Vec<String> = awaited.iter().take(NAMES).map(named).collect();
        let more = if awaited.len() > NAMES { ", …" } else { "" };
        format!(
            "held: waits for workers {}{more} to come back after the coordinator's restart (at most {:?})",
            shown.join(", "),
            self.config.worker_dead_after
        )
    }

    /// What is held is in the list, and only while the window is open or its end is being dealt with.
    pub(crate) fn check_held(&self) -> Result<(), LawViolation> {
        let held = self.recovery.held;
        let listed = held.iter(&self.tasks, Chain::Place).filter(|i| self.tasks[*i].phase == Phase::Held).count();
        let phase = self.tasks.iter().filter(|(_, task)| task.phase == Phase::Held).count();
        if listed != phase || phase != held.len as usize {
            return broken("L16", format!("{phase} tasks are held, {listed} of them listed, {} counted", held.len));
        }
        if phase > 0 && !self.recovery.open && self.work.is_empty() {
            return broken("L16", format!("{phase} tasks are held though all workers are back or dead"));
        }
        let gone = |worker: &&WorkerId| !self.session_ids.contains_key(&SessionId(worker.0));
        if let Some(worker) = self.recovery.awaited.iter().find(gone) {
            return broken("L16", format!("the recovery window waits for worker {worker}, which has no session"));
        }
        Ok(())
    }
}
