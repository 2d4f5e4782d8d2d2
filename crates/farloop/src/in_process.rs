//! A cluster inside this process: a coordinator, workers and a client with nothing to install or to start.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::ThreadId;

use farloop_core::frame::Role;
use tokio::sync::Notify;

use crate::definition::{ActorType, TaskFn};
use crate::error::{Error, Result};
use crate::event_loop::LoopShared;
use crate::hub::Hub;
use crate::runtime::{Inner, Loop};
use crate::session::SessionShared;
use crate::worker::host::WorkerShared;
use crate::worker::hosting::{Hosting, start_loops};

/// Describes an in-process cluster; [`start`](Self::start) it.
#[derive(Debug)]
pub struct InProcess {
    workers: usize,
    hosting: Hosting,
    local: Option<ThreadId>,
}

/// A cluster in this process: one worker with one event loop per core unless told otherwise.
#[must_use]
pub fn builder() -> InProcess {
    InProcess { workers: 1, hosting: Hosting::default(), local: None }
}

impl InProcess {
    /// Workers; at least one.
    #[must_use]
    pub fn workers(mut self, n: usize) -> Self {
        self.workers = n.max(1);
        self
    }

    /// Event loops (threads) per worker; at least one.
    #[must_use]
    pub fn loops(mut self, n: usize) -> Self {
        self.hosting.loops = n.max(1);
        self
    }

    /// Slots per worker; at least one.
    #[must_use]
    pub fn slots(mut self, n: u32) -> Self {
        self.hosting.slots = n.max(1);
        self
    }

    /// Attempts that a worker may host before it holds new roots back.
    #[must_use]
    pub fn max_resident(mut self, n: usize) -> Self {
        self.hosting.max_resident = n.max(1);
        self
    }

    /// Shared state for bodies (`#[state]`).
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.hosting.with(state);
        self
    }

    /// Registers a function by name. Typed calls need none: they carry their definition.
    #[must_use]
    pub fn task<F: TaskFn>(mut self) -> Self {
        self.hosting.task::<F>();
        self
    }

    /// Registers a type of actors, with all its methods. A typed reference needs none: it carries its definition. An actor
    /// that is called by its name alone does.
    #[must_use]
    pub fn actor<A: ActorType>(mut self) -> Self {
        self.hosting.actor::<A>();
        self
    }

    pub(crate) fn local(mut self, thread: ThreadId) -> Self {
        self.local = Some(thread);
        self
    }

    /// Starts it on threads of its own and, inside a tokio runtime, makes it that runtime's ambient loop.
    ///
    /// # Errors
    /// Two functions of one name; no thread to be had.
    pub fn start(self) -> Result<Loop> {
        let event_loop = self.spawn()?;
        if tokio::runtime::Handle::try_current().is_ok() {
            event_loop.bind();
        } else {
            crate::ambient::offer_default(event_loop.home());
        }
        Ok(event_loop)
    }

    /// The threads, without binding.
    pub(crate) fn spawn(self) -> Result<Loop> {
        crate::report::watch_panics();
        let loops = self.hosting.loops;
        let assembled = self.assemble()?;
        for worker in &assembled.workers {
            start_loops(worker)?;
        }
        tracing::debug!(workers = assembled.workers.len(), loops, "in-process cluster started");
        let (sessions, stop, flushed) = (assembled.sessions, assembled.stop.clone(), assembled.flushed.clone());
        let thread = spawn_thread("farloop-coordinator".into(), move || async move {
            Hub::new(sessions, stop, flushed).await;
        })?;
        Ok(Loop::new(Inner {
            home: assembled.home,
            stop: assembled.stop,
            thread: std::sync::Mutex::new(Some(thread)),
            others: assembled.workers.iter().flat_map(|w| w.loops().to_vec()).collect(),
            flushed: assembled.flushed,
        }))
    }

    /// Everything but where it runs.
    pub(crate) fn assemble(mut self) -> Result<Assembled> {
        self.hosting.check()?;
        let client = SessionShared::new(Role::Client, format!("in-process client, pid {}", std::process::id()));
        let home = LoopShared::new(client.clone(), self.local);
        let mut sessions = vec![client.clone()];
        let mut workers = Vec::new();
        for n in 0..self.workers {
            let session = SessionShared::new(Role::Worker, format!("in-process worker {n}"));
            let worker = self.hosting.worker(&session, self.local);
            sessions.push(session);
            workers.push(worker);
        }
        for session in &sessions {
            let workers = workers.clone();
            session.set_learn(Box::new(move |definition| {
                for worker in &workers {
                    if let Err(error) = worker.learn(definition) {
                        tracing::error!(%error, "a function of this name is known already; the older one runs");
                    }
                }
            }));
        }
        Ok(Assembled { home, sessions, workers, stop: Arc::default(), flushed: Arc::new(Notify::new()) })
    }
}

/// The parts of an in-process cluster.
pub(crate) struct Assembled {
    pub(crate) home: Arc<LoopShared>,
    pub(crate) sessions: Vec<Arc<SessionShared>>,
    pub(crate) workers: Vec<Arc<WorkerShared>>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) flushed: Arc<Notify>,
}

/// A thread with a local current-thread runtime that runs one future.
pub(crate) fn spawn_thread<F, Fut>(name: String, make: F) -> Result<std::thread::JoinHandle<()>>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    std::thread::Builder::new()
        .name(name)
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(Default::default())
                .expect("the operating system gives a thread an event queue and a timer");
            runtime.block_on(make());
        })
        .map_err(|error| Error::msg(format!("no thread for an event loop: {error}")))
}
