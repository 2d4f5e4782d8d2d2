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
    /// Those that are forgotten. A task that runs may still have the result of one as its argument, and then no other
    /// record has that.
    gone: Vec<TaskId>,
    /// Of all tasks, how many were looked at for such arguments.
    searched: u32,
}

impl Core {
    pub(crate) fn carry(&mut self, part: u64, tasks: Vec<TaskId>) {
        self.work.push_back(Work::Carry(Box::new(Carrying { part, tasks, done: 0, gone: Vec::new(), searched: 0 })));
    }

    /// A piece of it. True when all was said, and the shell was told.
    pub(crate) fn carry_some(&mut self, carrying: &mut Carrying) -> bool {
        if !self.carry_named(carrying) || !self.carry_takers(carrying) {
            return false;
        }
        let seq = self.say_standing();
        self.outputs.push_back(Output::Carried { part: carrying.part, seq });
        true
    }

    /// The tasks whose beginning is in the part.
    fn carry_named(&mut self, carrying: &mut Carrying) -> bool {
        while let Some(task) = carrying.tasks.get(carrying.done) {
            if self.touched >= limits::TOUCH {
                return false;
            }
            self.touched += 1;
            match self.tasks.find(*task) {
                None => carrying.gone.push(*task),
                Some(index) if !self.records(index) => {}
                // Its end takes children along, and has not come to all of them yet.
                Some(index) if self.tasks[index].over() && !self.tasks[index].children.is_empty() => return false,
                Some(index) => self.carry_task(index),
            }
            carrying.done += 1;
        }
        true
    }

    /// Tasks with an argument that is the result of one that is forgotten. None can come to that while this goes on.
    fn carry_takers(&mut self, carrying: &mut Carrying) -> bool {
        if carrying.gone.is_empty() || planted!(self, CarryForgetsArgument) {
            return true;
        }
        if carrying.searched == 0 {
            carrying.gone.sort_unstable();
        }
        while carrying.searched < self.tasks.slots() {
            if self.touched >= limits::TOUCH {
                return false;
            }
            self.touched += 1;
            let index = carrying.searched;
            carrying.searched += 1;
            let gone = |task: &TaskId| carrying.gone.binary_search(task).is_ok();
            let inputs = self.tasks.at(index).filter(|t| !t.over()).and_then(|t| t.rare.as_ref()?.inputs.as_ref());
            if inputs.is_some_and(|i| i.values.iter().any(|(of, value)| value.is_some() && gone(of)))
                && self.records(index)
            {
                self.carry_task(index);
            }
        }
        true
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
            started: task.once
                || (task.phase == Phase::Leased && task.spec.options.max_crashes == 0 && task.post.is_none()),
            cancel,
            inputs,
            snapshot: task.extra().and_then(|extra| extra.snapshot.clone()),
            released: task.keep == Keep::Released,
            args_were: rare.and_then(|r| r.args_were),
            ended: task.outcome.clone().map(|outcome| (outcome, task.ended)),
        }
    }

    /// Attempts that failed or were lost. One that is at a worker is not among them: if it is there after a restart, its
    /// worker says so.
    pub(crate) fn attempts_so_far(&self, index: u32) -> Option<AttemptFailed> {
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
