//! What a worker hosts: functions, state, loops and slots. One description for workers of their own process and for
//! those of a cluster in this process.

use std::sync::Arc;
use std::thread::ThreadId;

use farloop_core::limits;

use super::host::{Host, WorkerShared};
use super::slots::Slots;
use crate::definition::{ActorType, Registry, TaskFn};
use crate::error::{Error, Result};
use crate::event_loop::LoopShared;
use crate::in_process::spawn_thread;
use crate::session::SessionShared;
use crate::state::StateMap;

/// Attempts that may hold a slot at once, unless told otherwise.
pub const DEFAULT_SLOTS: u32 = 64;
/// Attempts that a worker hosts before it holds new roots back, unless told otherwise.
pub const DEFAULT_MAX_RESIDENT: usize = 100_000;

#[derive(Debug)]
pub(crate) struct Hosting {
    pub(crate) loops: usize,
    pub(crate) slots: u32,
    pub(crate) max_resident: usize,
    pub(crate) registry: Registry,
    labels: Vec<(String, String)>,
    state: Arc<StateMap>,
    refused: Option<Error>,
}

impl Default for Hosting {
    fn default() -> Self {
        Self {
            loops: std::thread::available_parallelism().map_or(1, usize::from),
            slots: DEFAULT_SLOTS,
            max_resident: DEFAULT_MAX_RESIDENT,
            registry: Registry::default(),
            labels: Vec::new(),
            state: Arc::default(),
            refused: None,
        }
    }
}

impl Hosting {
    pub(crate) fn task<F: TaskFn>(&mut self) {
        if let Err(error) = self.registry.insert(F::DEFINITION) {
            self.refuse(error);
        }
    }

    pub(crate) fn actor<A: ActorType>(&mut self) {
        if let Err(error) = self.registry.insert_family(A::DEFINITION) {
            self.refuse(error);
        }
    }

    /// One value for each key: the last one given.
    pub(crate) fn label(&mut self, key: String, value: String) {
        self.labels.retain(|(known, _)| *known != key);
        if self.labels.len() >= limits::WORKER_LABELS {
            let most = limits::WORKER_LABELS;
            return self.refuse(Error::msg(format!("a worker has at most {most} labels (WORKER_LABELS)")));
        }
        if key.is_empty() || key.len() > limits::MAX_NAME || value.len() > limits::MAX_NAME {
            let most = limits::MAX_NAME;
            let text = format!("the label '{key}={value}' needs a key, and parts of at most {most} bytes (MAX_NAME)");
            return self.refuse(Error::msg(text));
        }
        self.labels.push((key, value));
    }

    pub(crate) fn with<T: Send + Sync + 'static>(&mut self, state: T) {
        Arc::get_mut(&mut self.state).expect("shared only by workers, which this is not yet").insert(state);
    }

    /// Whoever starts it is told; the first reason stands.
    pub(crate) fn refuse(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }

    /// # Errors
    /// What was wrong with the description.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.refused.take().map_or(Ok(()), Err)
    }

    /// A worker of `session`, with its loops, which do not run yet.
    pub(crate) fn worker(&self, session: &Arc<SessionShared>, local: Option<ThreadId>) -> Arc<WorkerShared> {
        let (registry, state) = (self.registry.clone(), self.state.clone());
        let slots = Slots::new(self.slots, self.max_resident);
        let worker = WorkerShared::new(session.clone(), registry, state, slots, self.labels.clone());
        worker.set_loops((0..self.loops).map(|_| LoopShared::new(session.clone(), local)).collect());
        worker
    }
}

/// Runs each loop of a worker on a thread of its own.
///
/// # Errors
/// No thread to be had.
pub(crate) fn start_loops(worker: &Arc<WorkerShared>) -> Result<()> {
    for (n, home) in worker.loops().iter().enumerate() {
        let (home, worker) = (home.clone(), worker.clone());
        drop(spawn_thread(format!("farloop-loop-{n}"), move || async move {
            home.run_here(Some(Host::new(worker))).await;
        })?);
    }
    Ok(())
}
