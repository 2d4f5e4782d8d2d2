//! Arguments that are other tasks' results (L22). The value goes from record to record; the caller never holds it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Core;
use super::ending::Family;
use super::tasks::{Inputs, Phase, TaskKey};
use crate::id::TaskId;
use crate::limits;
use crate::outcome::{Cancellation, Failure, FailureKind, Outcome};
use crate::spec::Spec;

impl Core {
    /// Every task the spec depends on, once, sorted; refused if one is unknown, itself, or there are too many.
    /// A longer cycle cannot come to be: a dependency must be known before the task that names it.
    pub(crate) fn inputs_of(&self, id: TaskId, spec: &Spec) -> Result<Option<Inputs>, (FailureKind, String)> {
        if spec.dependencies.is_empty() {
            return Ok(None);
        }
        let count: usize = spec.dependencies.iter().map(|d| d.tasks.len()).sum();
        if count > limits::MAX_DEPENDENCIES {
            let message = format!("{count} dependencies; the limit MAX_DEPENDENCIES is {}", limits::MAX_DEPENDENCIES);
            return Err((FailureKind::ResourceExhausted, message));
        }
        let mut tasks: Vec<TaskId> = spec.dependencies.iter().flat_map(|d| d.tasks.iter().copied()).collect();
        tasks.sort_unstable();
        tasks.dedup();
        if tasks.binary_search(&id).is_ok() {
            return Err((FailureKind::DependencyCycle, format!("an argument of task {id} is task {id} itself")));
        }
        let mut waiting = 0;
        for task in &tasks {
            match self.tasks.find(*task) {
                Some(index) => waiting += usize::from(!self.tasks[index].over()),
                None => {
                    let (kind, why) = self.unknown(*task);
                    return Err((kind, format!("an argument was not found: submit it first ({why})")));
                }
            }
        }
        Ok(Some(Inputs { waiting, values: tasks.into_iter().map(|t| (t, None)).collect() }))
    }

    /// Enters the task with those it depends on; values that are there are taken. An outcome if one of them failed
    /// already.
    pub(crate) fn depend(&mut self, index: u32, inputs: Option<Inputs>) -> Option<Outcome> {
        let mut inputs = inputs?;
        let key = self.tasks.key(index);
        let mut failed = None;
        for (task, value) in &mut inputs.values {
            let Some(on) = self.tasks.find(*task) else { continue };
            self.touched += 1;
            match &self.tasks[on].outcome {
                Some(Outcome::Returned(bytes)) => *value = Some(bytes.clone()),
                Some(outcome) => failed = failed.or_else(|| self.consequence(index, *task, outcome)),
                None => self.tasks[on].rare().dependents.push(key),
            }
        }
        self.tasks[index].rare().inputs = Some(inputs);
        failed
    }

    /// How a task ends whose argument ended without a value.
    pub(crate) fn consequence(&self, index: u32, of: TaskId, outcome: &Outcome) -> Option<Outcome> {
        let function = &self.tasks[index].spec.function;
        match outcome {
            Outcome::Returned(_) => None,
            Outcome::Cancelled(c) => {
                Some(Outcome::Cancelled(Arc::new(Cancellation { message: c.message.clone(), abandoned: false })))
            }
            Outcome::Raised(failure) => {
                // The first failure, not a chain of consequences: the chain may be a million long.
                let (task, cause) = match &failure.kind {
                    FailureKind::DependencyFailed(first) => (first.0, first.1.clone()),
                    _ => (of, failure.clone()),
                };
                let (function_of, why) = (&cause.function, &cause.message);
                let message = if task == of {
                    format!("its argument, task {of} ('{function_of}'), failed: {why}")
                } else {
                    format!(
                        "its argument, task {of}, could not run because task {task} ('{function_of}') failed: {why}"
                    )
                };
                let kind = FailureKind::DependencyFailed(Box::new((task, cause)));
                Some(Outcome::Raised(Arc::new(Failure {
                    task: Some(task),
                    ..Failure::new(kind, function.clone(), message)
                })))
            }
        }
    }

    /// A piece of what follows the end of a task that others take as an argument. True when all were served.
    pub(crate) fn dependents_some(&mut self, of: TaskId, outcome: &Outcome, dependents: &mut Vec<TaskKey>) -> bool {
        while self.touched < limits::TOUCH {
            let Some(key) = dependents.pop() else { return true };
            self.touched += 1;
            if self.tasks.get(key).is_none_or(|t| t.phase != Phase::Waiting) {
                continue;
            }
            if let Some(end) = self.consequence(key.index, of, outcome) {
                self.end_task(key.index, end, Family::All);
                continue;
            }
            let Some(inputs) = self.tasks[key.index].rare().inputs.as_mut() else { continue };
            if let (Ok(at), Outcome::Returned(value)) = (inputs.values.binary_search_by_key(&of, |(t, _)| *t), outcome)
                && inputs.values[at].1.is_none()
            {
                inputs.values[at].1 = Some(value.clone());
                inputs.waiting -= 1;
            }
            if inputs.waiting == 0 || planted!(self, DependencyIgnored) {
                self.enqueue(key.index, false);
            }
        }
        false
    }

    /// A task that waited is over: those it waited for forget it, now or when half of their list is stale.
    pub(crate) fn stop_depending(&mut self, inputs: Inputs) {
        if inputs.waiting == 0 {
            return;
        }
        for (task, value) in inputs.values {
            let (None, Some(on)) = (value, self.tasks.find(task)) else { continue };
            let Some(rare) = &mut self.tasks[on].rare else { continue };
            rare.dependents_gone += 1;
            if rare.dependents_gone * 2 > rare.dependents.len().max(16) {
                rare.dependents_gone = 0;
                let mut kept = core::mem::take(&mut rare.dependents);
                kept.retain(|k| self.tasks.get(*k).is_some_and(|t| t.phase == Phase::Waiting));
                self.tasks[on].rare().dependents = kept;
            }
        }
    }
}
