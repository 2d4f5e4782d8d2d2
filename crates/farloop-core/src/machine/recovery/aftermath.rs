//! What had begun when the last life ended, and had not come to its end.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::limits;
use crate::machine::Core;
use crate::machine::ending::Family;
use crate::machine::tasks::TaskKey;
use crate::outcome::{Failure, FailureKind, Outcome};

/// Ends and cancels that follow from what was recorded.
#[derive(Debug)]
pub(crate) struct Aftermath {
    pub(super) end: Vec<(TaskKey, Outcome)>,
    pub(super) cancel: Vec<TaskKey>,
}

impl Aftermath {
    pub(super) fn is_empty(&self) -> bool {
        self.end.is_empty() && self.cancel.is_empty()
    }
}

impl Core {
    /// A piece of it. True when all is done.
    pub(crate) fn aftermath_some(&mut self, after: &mut Aftermath) -> bool {
        while self.touched < limits::TOUCH {
            self.touched += 1;
            if let Some((key, outcome)) = after.end.pop() {
                if self.tasks.get(key).is_some_and(|t| !t.over()) {
                    self.end_task(key.index, outcome, Family::All);
                }
            } else if let Some(key) = after.cancel.pop() {
                // One that was asked before needs no second request.
                if self.tasks.get(key).is_some_and(|t| !t.over() && t.standing() == 0) {
                    self.request_cancel(key.index, None);
                }
            } else {
                return true;
            }
        }
        false
    }

    /// How a task ends that takes the result of one of which nothing is known.
    pub(super) fn argument_gone(&self, index: u32) -> Outcome {
        let task = &self.tasks[index];
        let missing = self.waits_for(index).into_iter().find(|of| self.tasks.find(*of).is_none());
        let of = missing.map_or_else(Default::default, |of| format!(", task {of},"));
        let message = format!("its argument{of} is not known any more since the coordinator started again");
        let failure = Failure::new(FailureKind::Expired, task.spec.function.clone(), message);
        Outcome::Raised(Arc::new(Failure { task: Some(task.id), ..failure }))
    }
}
