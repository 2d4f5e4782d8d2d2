//! Tasks and workers as people see them.

use alloc::sync::Arc;

use super::Core;
use super::retention::Keep;
use super::tasks::{Phase, Task};
use crate::api::{TaskLog, TaskState, TaskView, WorkerView};
use crate::frame::Activity;
use crate::id::{SessionId, TaskId, WorkerId};
use crate::outcome::Outcome;
use crate::time::Time;

impl Core {
    pub(crate) fn view(&self, index: u32) -> TaskView {
        let task = &self.tasks[index];
        TaskView {
            task: task.id,
            spec: Arc::clone(&task.spec),
            state: state(task),
            outcome: task.outcome.clone(),
            parent: (task.parent != TaskId(0)).then_some(task.parent),
            root: (task.root != SessionId(0)).then_some(task.root),
            worker: (task.worker != WorkerId(0)).then_some(task.worker),
            attempt: task.attempts,
            cancelling: task.standing(),
            awaits: task.awaits().to_vec(),
            request: task.request().cloned(),
            pinned: task.keep == Keep::Pinned,
            priority: task.priority,
            progress: task.extra().and_then(|e| e.progress.clone()),
            retry_at: task.extra().and_then(|e| e.clocks.retry),
            created: task.created,
            started: (task.attempts > 0 && task.started != Time(0)).then_some(task.started),
            ended: task.over().then_some(task.ended),
            log: TaskLog::default(),
        }
    }

    /// A view with what the task printed.
    pub(crate) fn full_view(&self, index: u32) -> TaskView {
        TaskView { log: self.tasks[index].log().cloned().unwrap_or_default(), ..self.view(index) }
    }

    pub(crate) fn worker_view(&self, index: u32) -> Option<WorkerView> {
        let session = &self.sessions[index as usize];
        let worker = session.worker.as_ref()?;
        Some(WorkerView {
            worker: session.worker_id(),
            name: session.name.clone(),
            functions: worker.defs.clone(),
            slots: worker.slots,
            leased: worker.leases.len as usize,
            credits: worker.credit(),
            draining: worker.draining,
            connected: session.conn.is_some(),
            running: worker.load() as usize,
            suspended: worker.suspended as usize,
            abandoned: worker.abandoned,
            labels: worker.labels.clone(),
        })
    }
}

/// An attempt whose start has not left is still pending for people.
pub(crate) fn state(task: &Task) -> TaskState {
    match (task.phase, &task.outcome) {
        (_, Some(Outcome::Returned(_))) => TaskState::Succeeded,
        (_, Some(Outcome::Raised(_))) => TaskState::Failed,
        (_, Some(Outcome::Cancelled(_))) => TaskState::Cancelled,
        (Phase::Leased, None) if task.sent => match task.activity {
            Activity::Running => TaskState::Running,
            Activity::Suspended => TaskState::Suspended,
        },
        (Phase::Asleep, None) => TaskState::Suspended,
        _ => TaskState::Pending,
    }
}
