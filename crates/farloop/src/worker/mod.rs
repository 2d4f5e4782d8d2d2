//! [`Worker`]: a process that hosts event loops and offers functions.

pub(crate) mod host;
pub(crate) mod slots;

use std::sync::Arc;
use std::time::Duration;

use farloop_core::frame::Role;

use crate::definition::{Registry, TaskFn};
use crate::error::{Error, Result};
use crate::event_loop::LoopShared;
use crate::in_process::spawn_thread;
use crate::remote::Remote;
use crate::session::SessionShared;
use crate::state::StateMap;
use crate::token::{self, Side};
use host::{Host, WorkerShared};

/// Attempts that may hold a slot at once, unless told otherwise.
pub const DEFAULT_SLOTS: u32 = 64;
/// Attempts that a worker hosts before it holds new roots back, unless told otherwise.
pub const DEFAULT_MAX_RESIDENT: usize = 100_000;
/// Address of the coordinator, unless told otherwise.
pub const DEFAULT_ADDRESS: &str = "http://127.0.0.1:7171";
/// How long running work may go on after SIGTERM, unless told otherwise.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Describes a worker process; [`run`](Self::run) it.
#[derive(Debug)]
pub struct Worker {
    address: String,
    name: Option<String>,
    token: Option<String>,
    loops: usize,
    slots: u32,
    max_resident: usize,
    drain_limit: Duration,
    state: StateMap,
    registry: Registry,
    refused: Option<Error>,
}

impl Worker {
    /// A worker of the coordinator at `address` (`http://127.0.0.1:7171`).
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            name: None,
            token: None,
            loops: std::thread::available_parallelism().map_or(1, usize::from),
            slots: DEFAULT_SLOTS,
            max_resident: DEFAULT_MAX_RESIDENT,
            drain_limit: DRAIN_LIMIT,
            state: StateMap::default(),
            registry: Registry::default(),
            refused: None,
        }
    }

    /// As the environment says: `FARLOOP_ADDRESS`, `FARLOOP_TOKEN` or `FARLOOP_TOKEN_FILE`, `FARLOOP_WORKER_NAME`,
    /// `FARLOOP_SLOTS`, `FARLOOP_LOOPS`, `FARLOOP_MAX_RESIDENT`. What is not a number there is reported by
    /// [`run`](Self::run).
    #[must_use]
    pub fn from_env() -> Self {
        let mut worker = Self::new(variable("FARLOOP_ADDRESS").unwrap_or_else(|| DEFAULT_ADDRESS.into()));
        worker.name = variable("FARLOOP_WORKER_NAME");
        match token::from_env(Side::Worker) {
            Ok(token) => worker.token = token,
            Err(error) => worker.refused = Some(error),
        }
        worker.number("FARLOOP_SLOTS", |w, n| w.slots = n.max(1));
        worker.number("FARLOOP_LOOPS", |w, n| w.loops = (n as usize).max(1));
        worker.number("FARLOOP_MAX_RESIDENT", |w, n| w.max_resident = (n as usize).max(1));
        worker
    }

    fn number(&mut self, name: &str, set: impl FnOnce(&mut Self, u32)) {
        let Some(text) = variable(name) else { return };
        match text.parse() {
            Ok(n) => set(self, n),
            Err(_) => {
                self.refused.get_or_insert(Error::msg(format!("{name} is '{text}' and must be a whole number")));
            }
        }
    }

    /// The coordinator's address, in place of the one it was made with.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = address.into();
        self
    }

    /// Offers a function.
    #[must_use]
    pub fn task<F: TaskFn>(mut self) -> Self {
        if let Err(error) = self.registry.insert(F::DEFINITION) {
            self.refused.get_or_insert(error);
        }
        self
    }

    /// Shared state for bodies (`#[state]`), one value per type.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    /// Name for people; `host/pid` unless given.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Bearer token for the coordinator.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Event loops (threads); at least one.
    #[must_use]
    pub fn loops(mut self, n: usize) -> Self {
        self.loops = n.max(1);
        self
    }

    /// Attempts that may hold a slot at once; at least one.
    #[must_use]
    pub fn slots(mut self, n: u32) -> Self {
        self.slots = n.max(1);
        self
    }

    /// Attempts hosted before new roots are held back; at least one.
    #[must_use]
    pub fn max_resident(mut self, n: usize) -> Self {
        self.max_resident = n.max(1);
        self
    }

    /// How long running work may go on after SIGTERM.
    #[must_use]
    pub fn drain_limit(mut self, limit: Duration) -> Self {
        self.drain_limit = limit;
        self
    }

    /// Runs until SIGTERM or Ctrl-C, then takes no new work, lets what runs end within the drain limit, and returns.
    /// A coordinator that is late or restarts is waited for.
    ///
    /// # Errors
    /// Two functions of one name, a wrong environment variable, a coordinator that refuses this worker.
    pub async fn run(self) -> Result<()> {
        self.run_until(stop_signal()).await
    }

    /// As [`run`](Self::run), until `stop` is over.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<()> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        crate::report::watch_panics();
        let name = self.name.unwrap_or_else(|| format!("{}/{}", host_name(), std::process::id()));
        let session = SessionShared::new(Role::Worker, name);
        let functions = self.registry.len();
        let worker =
            WorkerShared::new(session.clone(), self.registry, Arc::new(self.state), self.slots, self.max_resident);
        worker.set_loops((0..self.loops).map(|_| LoopShared::new(session.clone(), None)).collect());
        for (n, home) in worker.loops().iter().enumerate() {
            let (home, worker) = (home.clone(), worker.clone());
            drop(spawn_thread(format!("farloop-loop-{n}"), move || async move {
                home.run(Some(Host::new(worker))).await;
            })?);
        }
        let remote = Remote::start(session.clone(), &self.address, self.token)?;
        tracing::info!(address = self.address, functions, slots = self.slots, loops = self.loops, "worker started");
        tokio::select! {
            failed = remote.failed() => return Err(failed),
            () = stop => {}
        }
        tracing::info!("draining");
        if tokio::time::timeout(self.drain_limit, worker.drain()).await.is_err() {
            tracing::warn!(limit = ?self.drain_limit, "work is still running at the drain limit and is handed back");
        }
        session.begin_close();
        remote.closed().await;
        for home in worker.loops() {
            home.close();
        }
        Ok(())
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// What this machine calls itself; in a container that is the container's own id.
fn host_name() -> String {
    #[cfg(unix)]
    {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
    #[cfg(not(unix))]
    {
        std::env::var("COMPUTERNAME").unwrap_or_else(|_| "worker".into())
    }
}

/// SIGTERM or Ctrl-C.
async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = tokio::signal::ctrl_c() => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no SIGTERM handler; Ctrl-C stops this worker");
                let _ = tokio::signal::ctrl_c().await;
            }
        }
    }
    #[cfg(not(unix))]
    {
        let _ = tokio::signal::ctrl_c().await;
    }
}
