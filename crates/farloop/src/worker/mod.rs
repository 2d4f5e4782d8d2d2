//! [`Worker`]: a process that hosts event loops and offers functions.

pub(crate) mod abandoned;
pub(crate) mod actors;
mod attempt;
pub(crate) mod held;
pub(crate) mod host;
pub(crate) mod hosting;
mod lease;
mod loop_host;
pub(crate) mod slots;
mod turns;

use std::time::Duration;

use farloop_core::frame::Role;

pub use self::hosting::{DEFAULT_MAX_RESIDENT, DEFAULT_SLOTS};
use self::hosting::{Hosting, start_loops};
use crate::definition::{ActorType, TaskFn};
use crate::error::{Error, Result};
use crate::remote::Remote;
use crate::session::SessionShared;
use crate::token::{self, Side};

/// Address of the coordinator, unless told otherwise.
pub const DEFAULT_ADDRESS: &str = "http://127.0.0.1:7171";
/// How long running work may go on after SIGTERM, unless told otherwise.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// How long an event loop may be held by a body that nobody waits for, unless told otherwise.
pub const STUCK_LIMIT: Duration = Duration::from_secs(30);

/// Describes a worker process; [`run`](Self::run) it.
#[derive(Debug)]
pub struct Worker {
    address: String,
    name: Option<String>,
    token: Option<String>,
    drain_limit: Duration,
    stuck_limit: Duration,
    hosting: Hosting,
}

impl Worker {
    /// A worker of the coordinator at `address` (`http://127.0.0.1:7171`).
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            name: None,
            token: None,
            drain_limit: DRAIN_LIMIT,
            stuck_limit: STUCK_LIMIT,
            hosting: Hosting::default(),
        }
    }

    /// As the environment says: `FARLOOP_ADDRESS`, `FARLOOP_TOKEN` or `FARLOOP_TOKEN_FILE`, `FARLOOP_WORKER_NAME`,
    /// `FARLOOP_SLOTS`, `FARLOOP_LOOPS`, `FARLOOP_MAX_RESIDENT`, `FARLOOP_DRAIN_SECONDS`, `FARLOOP_STUCK_SECONDS`, and
    /// `FARLOOP_LABELS` (`zone=eu,disk=ssd`). What is not a number there, or no label, is reported by [`run`](Self::run).
    #[must_use]
    pub fn from_env() -> Self {
        let mut worker = Self::new(variable("FARLOOP_ADDRESS").unwrap_or_else(|| DEFAULT_ADDRESS.into()));
        worker.name = variable("FARLOOP_WORKER_NAME");
        match token::from_env(Side::Worker) {
            Ok(token) => worker.token = token,
            Err(error) => worker.hosting.refuse(error),
        }
        let (mut drain_limit, mut stuck_limit) = (worker.drain_limit, worker.stuck_limit);
        worker.number("FARLOOP_DRAIN_SECONDS", |_, n| drain_limit = Duration::from_secs(n.into()));
        worker.number("FARLOOP_STUCK_SECONDS", |_, n| stuck_limit = Duration::from_secs(n.into()));
        (worker.drain_limit, worker.stuck_limit) = (drain_limit, stuck_limit);
        worker.labels_of(variable("FARLOOP_LABELS").as_deref().unwrap_or_default());
        worker.number("FARLOOP_SLOTS", |hosting, n| hosting.slots = n.max(1));
        worker.number("FARLOOP_LOOPS", |hosting, n| hosting.loops = (n as usize).max(1));
        worker.number("FARLOOP_MAX_RESIDENT", |hosting, n| hosting.max_resident = (n as usize).max(1));
        worker
    }

    fn number(&mut self, name: &str, set: impl FnOnce(&mut Hosting, u32)) {
        let Some(text) = variable(name) else { return };
        match text.parse() {
            Ok(n) => set(&mut self.hosting, n),
            Err(_) => self.hosting.refuse(Error::msg(format!("{name} is '{text}' and must be a whole number"))),
        }
    }

    fn labels_of(&mut self, text: &str) {
        for label in text.split(',').map(str::trim).filter(|label| !label.is_empty()) {
            match label.split_once('=') {
                Some((key, value)) => self.hosting.label(key.trim().into(), value.trim().into()),
                None => {
                    let text = format!("FARLOOP_LABELS has '{label}', and a label is written key=value");
                    self.hosting.refuse(Error::msg(text));
                }
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
        self.hosting.task::<F>();
        self
    }

    /// Offers a type of actors, with all its methods. Actors need no slot while nobody calls them, and their calls never
    /// do: a worker hosts many more than it has slots.
    #[must_use]
    pub fn actor<A: ActorType>(mut self) -> Self {
        self.hosting.actor::<A>();
        self
    }

    /// A label, by which actors choose the workers that may host them: `.label("zone", "eu")`. The last value of a key
    /// counts. At most [`WORKER_LABELS`](farloop_core::limits::WORKER_LABELS); [`run`](Self::run) reports one too many.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.hosting.label(key.into(), value.into());
        self
    }

    /// Shared state for bodies (`#[state]`), one value per type.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.hosting.with(state);
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
        self.hosting.loops = n.max(1);
        self
    }

    /// Attempts that may hold a slot at once; at least one.
    #[must_use]
    pub fn slots(mut self, n: u32) -> Self {
        self.hosting.slots = n.max(1);
        self
    }

    /// Attempts hosted before new roots are held back; at least one.
    #[must_use]
    pub fn max_resident(mut self, n: usize) -> Self {
        self.hosting.max_resident = n.max(1);
        self
    }

    /// How long running work may go on after SIGTERM.
    #[must_use]
    pub fn drain_limit(mut self, limit: Duration) -> Self {
        self.drain_limit = limit;
        self
    }

    /// How long an event loop may be stuck in a body that was cancelled and went on after its grace, counted from the
    /// beginning of that poll; 30 seconds unless given. Then the worker drains and [`run`](Self::run) returns an error:
    /// the thread cannot be had back. A loop that computes for somebody who waits for it is left alone, however long.
    #[must_use]
    pub fn stuck_limit(mut self, limit: Duration) -> Self {
        self.stuck_limit = limit;
        self
    }

    /// Runs until SIGTERM, Ctrl-C or a `DrainWorker` call for it, then takes no new work, lets what runs end within the
    /// drain limit, and returns. A second signal ends the drain: what still runs is handed back, and runs elsewhere. A
    /// coordinator that is late or restarts is waited for.
    ///
    /// # Errors
    /// Two functions of one name, a wrong environment variable, a coordinator that refuses this worker; an event loop
    /// that did not come back ([`stuck_limit`](Self::stuck_limit)).
    pub async fn run(self) -> Result<()> {
        self.host(stop_signal(), stop_signal).await
    }

    /// As [`run`](Self::run), until `stop` is over.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<()> {
        self.host(stop, std::future::pending::<()>).await
    }

    /// Runs until `stop` is over, and drains until what `hurry` makes is.
    async fn host<H: Future<Output = ()>>(
        mut self,
        stop: impl Future<Output = ()>,
        hurry: impl FnOnce() -> H,
    ) -> Result<()> {
        self.hosting.check()?;
        crate::report::watch_panics();
        let name = self.name.unwrap_or_else(|| format!("{}/{}", host_name(), std::process::id()));
        let session = SessionShared::new(Role::Worker, name);
        let worker = self.hosting.worker(&session, None);
        start_loops(&worker)?;
        let remote = Remote::start(session.clone(), &self.address, self.token)?;
        let Hosting { registry, slots, loops, .. } = &self.hosting;
        tracing::info!(address = self.address, functions = registry.len(), slots, loops, "worker started");
        let mut stuck = None;
        tokio::select! {
            failed = remote.failed() => return Err(failed),
            () = stop => {}
            loops = worker.stuck_for(self.stuck_limit) => {
                let limit = self.stuck_limit;
                stuck = Some(format!(
                    "{loops} event loop(s) were stuck for {limit:?} in a body that was cancelled and went on after its grace: the worker ends, so that another can take its place"
                ));
                tracing::error!(loops, ?limit, "an event loop is stuck in a body that nobody waits for; this worker ends");
            }
            () = worker.told_to_leave() => tracing::info!("the coordinator was asked to let this worker go"),
        }
        tracing::info!("draining; a second signal hands back what still runs");
        let drained = tokio::time::timeout(self.drain_limit, async {
            tokio::select! {
                () = worker.drain() => true,
                () = hurry() => false,
            }
        });
        if !matches!(drained.await, Ok(true)) {
            tracing::warn!(limit = ?self.drain_limit, "work is still running, and is handed back");
        }
        session.begin_close();
        remote.closed().await;
        for home in worker.loops() {
            home.close();
        }
        stuck.map_or(Ok(()), |why| Err(Error::msg(why)))
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
