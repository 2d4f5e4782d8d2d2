//! Who started a worker's process sees how it ended, and nobody else can: it tells the coordinator, which then knows at
//! once that the worker is gone, and what to say of it to whoever waits for a task that was there.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use farloop_proto::v1;
use farloop_proto::v1::cluster_service_client::ClusterServiceClient;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;
use uuid::Uuid;

/// Names a process to the coordinator: the worker in it says the same in its hello.
pub(crate) const PROCESS_VARIABLE: &str = "FARLOOP_PROCESS";
/// How long the coordinator may take to hear of an end; then it finds out by itself.
const REPORT_LIMIT: Duration = Duration::from_secs(2);
/// Pause before the first start after a crash; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Who ran that long has not crashed at its start: pauses begin anew.
const WELL_AFTER: Duration = Duration::from_secs(30);

/// A process that was started and is watched.
#[derive(Debug)]
pub(crate) struct Watched {
    child: Child,
    pub(crate) pid: Option<Pid>,
    mark: Uuid,
    started: Instant,
}

impl Watched {
    /// Starts it, in a process group of its own.
    pub(crate) fn start(mut command: Command) -> anyhow::Result<Self> {
        let mark = Uuid::now_v7();
        command.env(PROCESS_VARIABLE, mark.to_string()).process_group(0).stdin(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().with_context(|| {
            format!("the worker program did not start: {}", command.as_std().get_program().display())
        })?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, pid, mark, started: Instant::now() })
    }

    /// Waits for its end, and tells the coordinator.
    pub(crate) async fn ended(&mut self, to: &Coordinator) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await;
        if let Ok(status) = &status {
            to.tell(self, *status).await;
        }
        status
    }

    pub(crate) fn ran_well(&self) -> bool {
        self.started.elapsed() >= WELL_AFTER
    }
}

/// Where ends are told.
#[derive(Clone, Debug)]
pub(crate) struct Coordinator {
    pub(crate) address: String,
    pub(crate) token: Option<String>,
}

impl Coordinator {
    async fn tell(&self, ended: &Watched, status: ExitStatus) {
        let report = v1::ReportWorkerExitRequest {
            process: ended.mark.to_string(),
            pid: ended.pid.map(|pid| pid.as_raw_nonzero().get()),
            exit_code: status.code(),
            signal: status.signal(),
            ..Default::default()
        };
        match tokio::time::timeout(REPORT_LIMIT, self.report(report)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the coordinator was not told how a worker ended"),
            Err(_) => tracing::debug!(limit = ?REPORT_LIMIT, "the coordinator did not hear how a worker ended"),
        }
    }

    async fn report(&self, report: v1::ReportWorkerExitRequest) -> anyhow::Result<()> {
        let address = &self.address;
        let address = if address.contains("://") { address.clone() } else { format!("http://{address}") };
        let mut request = tonic::Request::new(report);
        if let Some(token) = &self.token {
            let bearer: MetadataValue<Ascii> = format!("Bearer {token}").parse().context("the token is no header")?;
            request.metadata_mut().insert("authorization", bearer);
        }
        let channel = Endpoint::from_shared(address)?.connect().await?;
        ClusterServiceClient::new(channel).report_worker_exit(request).await?;
        Ok(())
    }
}

/// How long to wait before a process is started again.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Backoff {
    pub(crate) fn pause(&mut self, ran_well: bool) -> Duration {
        if ran_well {
            self.0 = FIRST_PAUSE;
        }
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

/// For people.
pub(crate) fn how(status: &std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("with exit code {code}"),
            (None, Some(signal)) => format!("by signal {signal}"),
            (None, None) => status.to_string(),
        },
        Err(error) => format!("in a way nobody knows: {error}"),
    }
}

/// Runs this program once more without `--restart`, again and again until it ends in good order or this one is told to.
pub(crate) async fn restarting(to: Coordinator) -> anyhow::Result<ExitCode> {
    let mut stopping = std::pin::pin!(crate::stop_signal());
    let program = std::env::current_exe().context("this program's own path is unknown")?;
    let words: Vec<_> = std::env::args_os().skip(1).filter(|word| word != "--restart").collect();
    let mut backoff = Backoff::default();
    loop {
        let mut command = Command::new(&program);
        command.args(&words).env_remove("FARLOOP_RESTART");
        let mut worker = Watched::start(command)?;
        let pid = worker.pid;
        let status = tokio::select! {
            status = worker.ended(&to) => status,
            () = &mut stopping => {
                if let Some(pid) = pid {
                    // It may have ended by itself just now.
                    let _ = kill_process(pid, Signal::TERM);
                }
                let code = worker.ended(&to).await?.code();
                return Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from));
            }
        };
        if status.as_ref().is_ok_and(ExitStatus::success) {
            return Ok(ExitCode::SUCCESS);
        }
        let pause = backoff.pause(worker.ran_well());
        eprintln!("the worker ended {}; it starts again in {pause:?}", how(&status));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = &mut stopping => return Ok(ExitCode::SUCCESS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_begin_anew_after_a_good_run() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..7).map(|_| backoff.pause(false).as_millis()).collect();
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        assert_eq!(backoff.pause(true), FIRST_PAUSE);
    }
}
