//! What is told about traced tasks, for a shell that exports spans: when one went to a worker, and how it ended. A task
//! without a trace costs the look at one field, twice.

use super::tasks::Task;
use crate::api::Event;
use crate::outcome::Outcome;
use crate::time::Time;

impl Task {
    /// Told when a start leaves.
    pub(crate) fn scheduled(&self) -> Event {
        Event::Scheduled {
            task: self.id,
            spec: self.spec.clone(),
            attempt: self.attempts,
            worker: self.worker,
            since: if self.ended == Time(0) { self.created } else { self.ended },
        }
    }

    /// Told at the one end of the task.
    pub(crate) fn ending(&self, outcome: Outcome) -> Event {
        Event::Over { task: self.id, spec: self.spec.clone(), attempts: self.attempts, created: self.created, outcome }
    }
}
