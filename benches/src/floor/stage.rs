//! The two sets of processes that are compared, and how each is asked for figures.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::figures::Figures;
use crate::process::{Server, beside, cpu_time, measure, memory};

/// Longest single measurement.
const LIMIT: Duration = Duration::from_secs(60);

/// Worker and relay, ready.
pub(super) struct RelayStage {
    middle: Server,
    worker: Server,
    address: String,
}

impl RelayStage {
    pub(super) async fn start() -> Result<Self> {
        let mut command = beside("relay")?;
        command.arg("worker");
        let mut worker = Server::start("relay worker", command)?;
        let behind = worker.address().await?;
        let mut command = beside("relay")?;
        command.args(["middle", "--worker", &behind]);
        let mut middle = Server::start("relay middle", command)?;
        let address = middle.address().await?;
        Ok(Self { middle, worker, address })
    }

    pub(super) async fn drive(&mut self, window: usize, seconds: f64) -> Result<Figures> {
        let mut command = beside("relay")?;
        command.args(["client", "--address", &self.address]);
        command.args(["--window", &window.to_string(), "--seconds", &seconds.to_string()]);
        let figures = measure("relay client", command, LIMIT).await;
        self.worker.check()?;
        self.middle.check()?;
        figures
    }

    pub(super) fn middle_cpu(&self) -> Result<Duration> {
        cpu_time(self.middle.pid()?)
    }
}

/// Coordinator and workers of farloop, each a process of its own.
pub(super) struct FarloopStage {
    coordinator: Server,
    workers: Vec<Server>,
    address: String,
    started: Instant,
    /// Its records, where it keeps any; gone with this.
    _records: Option<TempDir>,
}

impl FarloopStage {
    /// Starts the processes; workers connect while the first load program already runs.
    pub(super) async fn start(workers: usize) -> Result<Self> {
        let mut command = beside("farloop")?;
        command.args(["coordinator", "--port", "0"]);
        Self::start_with(command, None, worker, workers).await
    }

    /// The same with workers that have actors, instead of the reference worker.
    pub(super) async fn start_actors(workers: usize) -> Result<Self> {
        let mut command = beside("farloop")?;
        command.args(["coordinator", "--port", "0"]);
        Self::start_with(command, None, actor_worker, workers).await
    }

    /// One worker, and a coordinator that keeps records where each sync takes so many milliseconds, and no other time.
    pub(super) async fn start_durable(sync_ms: u64) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let records = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        let records = records.context("a folder for records")?;
        let mut command = beside("durable")?;
        command.arg("--dir").arg(records.path()).args(["--sync-ms", &sync_ms.to_string()]);
        Self::start_with(command, Some(records), worker, 1).await
    }

    async fn start_with(
        command: Command,
        records: Option<TempDir>,
        worker: fn(&str) -> Result<Command>,
        workers: usize,
    ) -> Result<Self> {
        let started = Instant::now();
        let mut coordinator = Server::start("farloop coordinator", command)?;
        let address = coordinator.address().await?;
        let workers =
            (0..workers).map(|_| Server::start("farloop worker", worker(&address)?)).collect::<Result<_>>()?;
        Ok(Self { coordinator, workers, address, started, _records: records })
    }

    /// From the start of the first process to the first result in a third one.
    pub(super) async fn first_result(&mut self) -> Result<Duration> {
        self.load(&["first"]).await?;
        Ok(self.started.elapsed())
    }

    pub(super) async fn drive(&mut self, window: usize, seconds: f64) -> Result<Figures> {
        self.load(&["calls", "--window", &window.to_string(), "--seconds", &seconds.to_string()]).await
    }

    /// Calls of so many actors.
    pub(super) async fn call(&mut self, window: usize, actors: usize, seconds: f64) -> Result<Figures> {
        let (window, seconds, actors) = (window.to_string(), seconds.to_string(), actors.to_string());
        self.load(&["actors", "--window", &window, "--seconds", &seconds, "--actors", &actors]).await
    }

    pub(super) async fn load(&mut self, arguments: &[&str]) -> Result<Figures> {
        let mut command = beside("load")?;
        command.env("FARLOOP_ADDRESS", &self.address).args(arguments);
        let figures = measure(&format!("load {}", arguments.join(" ")), command, LIMIT).await;
        // A dead server explains a failed client better than the client does.
        self.coordinator.check()?;
        self.workers.iter_mut().try_for_each(Server::check)?;
        figures
    }

    pub(super) fn coordinator(&self) -> Result<u32> {
        self.coordinator.pid()
    }

    pub(super) fn coordinator_cpu(&self) -> Result<Duration> {
        cpu_time(self.coordinator()?)
    }

    /// Memory of the coordinator and of all workers, in bytes.
    pub(super) fn memories(&self) -> Result<(u64, u64)> {
        let of = |pid| memory(pid).context("memory of a farloop process");
        let workers = self.workers.iter().try_fold(0, |sum, worker| anyhow::Ok(sum + of(worker.pid()?)?))?;
        Ok((of(self.coordinator()?)?, workers))
    }

    /// Memory of coordinator and workers together, in bytes.
    pub(super) fn memory(&self) -> Result<u64> {
        self.memories().map(|(coordinator, workers)| coordinator + workers)
    }
}

/// The reference worker.
fn worker(address: &str) -> Result<Command> {
    let mut command = beside("farloop")?;
    command.args(["worker", "--address", address]);
    Ok(command)
}

/// One that has actors.
fn actor_worker(address: &str) -> Result<Command> {
    let mut command = beside("load")?;
    command.arg("worker").env("FARLOOP_ADDRESS", address);
    Ok(command)
}
