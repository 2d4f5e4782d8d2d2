//! What is still known of tasks whose beginning stands in a part of the store that is to leave, said once more.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::api::Output;
use crate::id::{Epoch, TaskId};
use crate::limits;
use crate::machine::retention::Keep;
use crate::machine::tasks::Phase;
use crate::machine::{Core, Work};
use crate::record::{AttemptFailed, CancelRequested, Carried, Record, Rostered, Standing};

/// A part that is being carried forward.
#[derive(Debug)]
pub(crate) struct Carrying {
    part: u64,
    tasks: Vec<TaskId>,
    /// How many of them were looked at.
    done: usize,
}

impl Core {
    pub(crate) fn carry(&mut self, part: u64, tasks: Vec<TaskId>) {
        self.work.push_back(Work::Carry(Box::new(Carrying { part, tasks, done: 0 })));
    }

    /// A piece of it. True when all was said, and the shell was told.
    pub(crate) fn carry_some(&mut self, carrying: &mut Carrying) -> bool {
        while self.touched < limits::TOUCH {
            let Some(task) = carrying.tasks.get(carrying.done) else {
                let seq = self.say_standing();
                self.outputs.push_back(Output::Carried { part: carrying.part, seq });
                return true;
            };
            self.touched += 1;
            if let Some(index) = self.tasks.find(*task).filter(|index| self.records(*index)) {
                if self.tasks[index].over() && !self.tasks[index].children.is_empty() {
                    // Its end takes children along, and has not come to all of them yet.
                    return false;
                }
                self.carry_task(index);
            }
            carrying.done += 1;
        }
        false
    }

    fn say_standing(&mut self) -> u64 {
        let Some(began) = self.recovery.began.clone() else { return self.seq };
        let roster = self.recovery.roster.iter().map(|(w, name)| Rostered { worker: *w, name: name.clone() }).collect();
        self.persist(Record::Standing(Standing { began, roster, horizon_ms: self.horizon_ms() }))
    }

    fn carry_task(&mut self, index: u32) {
        if self.tasks[index].over() && planted!(self, CarryForgetsOutcome) {
            return;
        }
        // Nothing waits for it: until it is durable the part stays that says the same.
        let record = self.carried(index);
        self.persist(Record::Carried(Box::new(record)));
    }

    /// All that is known of a task that must survive.
    fn carried(&self, index: u32) -> Carried {
        let task = &self.tasks[index];
        let rare = task.rare.as_deref();
        let inputs = rare.and_then(|r| r.inputs.as_ref()).map_or_else(Vec::new, |inputs| {
            inputs.values.iter().filter_map(|(of, value)| Some((*of, value.clone()?))).collect()
        });
        let forgets = planted!(self, CarryForgetsCancel);
        let cancel = rare.map(|r| &r.cancels).filter(|c| c.number > 0 && !forgets).map(|cancels| CancelRequested {
            task: task.id,
            standing: cancels.standing,
            number: cancels.number,
            message: cancels.first_message(),
            by: cancels.by.last().copied(),
        });
        Carried {
            submitted: self.submitted(index),
            attempts: self.attempts_so_far(index),
            crashes: task.dossier().map_or_else(Vec::new, |d| d.crashes.clone()),
            started: task.once || (task.phase == Phase::Leased && task.spec.options.max_crashes == 0),
            cancel,
            inputs,
            released: task.keep == Keep::Released,
            args_were: rare.and_then(|r| r.args_were),
            ended: task.outcome.clone().map(|outcome| (outcome, task.ended)),
        }
    }

    /// Attempts that failed or were lost. One that is at a worker is not among them: if it is there after a restart, its
    /// worker says so.
    pub(super) fn attempts_so_far(&self, index: u32) -> Option<AttemptFailed> {
        let task = &self.tasks[index];
        let extra = task.extra();
        let lost = if task.over() { task.epoch } else { extra.map_or(Epoch(0), |e| e.lost) };
        if lost == Epoch(0) && task.crashes == 0 && task.errors == 0 {
            return None;
        }
        let under_way = u32::from(task.phase == Phase::Leased && task.sent);
        Some(AttemptFailed {
            task: task.id,
            epoch: lost,
            attempts: task.attempts - under_way,
            crashes: task.crashes,
            errors: task.errors,
            at: task.ended,
            next_at: extra.and_then(|e| e.clocks.retry),
            details: extra.and_then(|e| e.details.clone()),
            failure: extra.and_then(|e| e.failed.clone()),
            crash: None,
        })
    }
}
