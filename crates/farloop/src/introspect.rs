//! Which task runs here, and which are not over: `current_task`, `all_tasks` (asyncio rows 320-325).

use std::sync::Arc;

use farloop_core::id::TaskId;
use farloop_core::outcome::Outcome;

use crate::ambient;
use crate::body::{Body, Who};
use crate::cell::{Cell, Kind};
use crate::error::{Error, Result};

/// The task whose body is running. Only a body sees its own.
#[derive(Clone, Debug)]
pub struct CurrentTask(Arc<Body>);

/// The task whose body is being polled; none in callbacks and outside of tasks.
#[must_use]
pub fn current_task() -> Option<CurrentTask> {
    Body::current().map(CurrentTask)
}

impl CurrentTask {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.0.task_id()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.0.who {
            Who::Local(cell) => cell.name().to_string(),
            Who::Attempt { .. } => self.0.name.as_deref().unwrap_or_default().to_owned(),
        }
    }

    /// Its function.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.0.function
    }

    /// Cancel requests that stand, as far as the host has heard.
    #[must_use]
    pub fn cancelling(&self) -> u32 {
        self.0.standing()
    }

    /// Withdraws one request; how many stand. At zero, one that was not delivered is withdrawn for good (3.13).
    pub fn uncancel(&self) -> u32 {
        self.0.uncancel()
    }

    /// Asks itself to stop: delivered at its next await (asyncio row 235).
    pub fn cancel(&self, message: impl Into<crate::CancelMessage>) -> bool {
        let message = message.into().0;
        match &self.0.who {
            Who::Local(cell) => cell.cancel(message),
            Who::Attempt { attempt, .. } => {
                // Recorded at the coordinator and delivered here at once: it is this body that will see it.
                self.0.home.session().cancel(attempt.task, message.clone());
                self.0.request(message);
                true
            }
        }
    }

    /// Nesting depth: 0 for a task that a client submitted.
    #[must_use]
    pub fn depth(&self) -> u32 {
        match self.0.who {
            Who::Attempt { depth, .. } => depth,
            Who::Local(_) => 0,
        }
    }
}

/// What [`all_tasks`] tells about a task. `{:?}` shows it as it shows a [`Task`](crate::Task).
#[derive(Clone)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub name: String,
    /// Its function.
    pub function: String,
    /// Cancel requests that stand.
    pub cancelling: u32,
    cell: Arc<Cell>,
}

impl std::fmt::Debug for TaskInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        crate::task::repr(&self.cell, f)
    }
}

impl TaskInfo {
    /// Asks it to stop.
    pub fn cancel(&self, message: impl Into<crate::CancelMessage>) -> bool {
        self.cell.cancel(message.into().0)
    }
}

/// Tasks of the ambient loop that are not done: unstarted, running and cancelling ones; no plain futures or gathers
/// (asyncio row 323). A snapshot.
///
/// # Errors
/// [`Error::NoRunningLoop`].
#[track_caller]
pub fn all_tasks() -> Result<Vec<TaskInfo>> {
    let location = std::panic::Location::caller();
    let home = ambient::find().ok_or_else(|| Error::no_running_loop(location))?;
    let mut tasks: Vec<TaskInfo> = home
        .session()
        .pending_cells()
        .into_iter()
        .filter(|cell| matches!(cell.kind, Kind::Remote | Kind::Local(_)))
        .filter(|cell| !matches!(cell.outcome(), Some(Outcome::Returned(_))))
        .map(|cell| TaskInfo {
            id: cell.id,
            name: cell.name().to_string(),
            function: cell.function.to_string(),
            cancelling: cell.cancelling(),
            cell,
        })
        .collect();
    tasks.sort_by_key(|t| t.id);
    Ok(tasks)
}
