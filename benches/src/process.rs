//! Child processes that never outlive the harness, and what they cost: memory and CPU time.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::figures::Figures;

/// Lines of a child's output that are kept to explain a failure.
const KEPT_LINES: usize = 30;
/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(10);

/// A program that lies beside this one in the target directory, with farloop's own environment cleared.
///
/// # Errors
/// It was not built.
pub fn beside(name: &str) -> Result<Command> {
    let mut path: PathBuf = std::env::current_exe()?;
    path.set_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !path.exists() {
        bail!("{} is not there; build it first: cargo build --release --bin {name}", path.display());
    }
    let mut command = Command::new(path);
    // What is measured must not depend on the cluster that somebody's shell is set up for.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FARLOOP_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// A server that runs until this value is dropped: then it is killed, whatever it is doing.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    lines: mpsc::Receiver<String>,
    log: Log,
}

impl Server {
    /// Starts it.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn start(name: &str, mut command: Command) -> Result<Self> {
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("NO_COLOR", "1");
        let mut child = command.spawn().with_context(|| format!("{name} could not be started"))?;
        let (line, lines) = mpsc::channel(KEPT_LINES);
        let log = Log::default();
        if let Some(out) = child.stdout.take() {
            tokio::spawn(log.clone().collect(out, line.clone()));
        }
        if let Some(err) = child.stderr.take() {
            tokio::spawn(log.clone().collect(err, line));
        }
        Ok(Self { name: name.to_owned(), child, lines, log })
    }

    /// Waits until the server says where it listens: the first `127.0.0.1:port` it prints.
    ///
    /// # Errors
    /// It ended or said nothing in time; the message carries its last words.
    pub async fn address(&mut self) -> Result<String> {
        let said = timeout(START, async {
            while let Some(line) = self.lines.recv().await {
                if let Some(address) = address_in(&line) {
                    return Some(address);
                }
            }
            None
        });
        match said.await {
            Ok(Some(address)) => Ok(address),
            Ok(None) => bail!("{} ended before it said where it listens\n{}", self.name, self.log.text()),
            Err(_) => bail!("{} did not say within {START:?} where it listens\n{}", self.name, self.log.text()),
        }
    }

    /// Fails with the server's last words if it has ended.
    ///
    /// # Errors
    /// It has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended: {status}\n{}", self.name, self.log.text()),
        }
    }

    /// Its process id.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.name))
    }
}

/// Runs a load program to its end and reads the figures in its last line.
///
/// # Errors
/// It failed, took longer than `limit`, or printed something else.
pub async fn measure(name: &str, mut command: Command, limit: Duration) -> Result<Figures> {
    command.kill_on_drop(true).stdin(Stdio::null());
    let output =
        timeout(limit, command.output()).await.with_context(|| format!("{name} took longer than {limit:?}"))?;
    let output = output.with_context(|| format!("{name} could not be run"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{name} failed: {}\n{}", output.status, errors.trim_end());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().with_context(|| format!("{name} printed nothing\n{errors}"))?;
    serde_json::from_str(last).with_context(|| format!("{name} printed no figures: {last}"))
}

/// Proportional set size of a process in bytes: shared pages count in part. Linux only.
///
/// # Errors
/// The process has ended, or this is not Linux.
pub fn memory(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|l| l.strip_prefix("Pss:")).context("no Pss line")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// CPU time that all threads of a process have used. Linux only.
///
/// # Errors
/// The process has ended, or this is not Linux.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += text.split(' ').next().context("empty schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

fn address_in(line: &str) -> Option<String> {
    let rest = line.split("127.0.0.1:").nth(1)?;
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    port.parse::<u16>().ok().filter(|port| *port != 0).map(|port| format!("http://127.0.0.1:{port}"))
}

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    /// Reads to the end, so that the child never blocks on a full pipe, and keeps the last lines.
    async fn collect(self, stream: impl AsyncRead + Unpin, line: mpsc::Sender<String>) {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(text)) = lines.next_line().await {
            // Nobody listens any more once the address is known; the log goes on.
            let _ = line.try_send(text.clone());
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == KEPT_LINES {
                kept.pop_front();
            }
            kept.push_back(text);
        }
    }

    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|line| format!("  | {line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_address_in_whatever_a_server_prints() {
        let found = |line| address_in(line);
        assert_eq!(found("listening on http://127.0.0.1:7171"), Some("http://127.0.0.1:7171".to_owned()));
        assert_eq!(found("INFO ready address=127.0.0.1:40001, pid=3"), Some("http://127.0.0.1:40001".to_owned()));
        assert_eq!(found("asked for 127.0.0.1:0"), None);
        assert_eq!(found("nothing here"), None);
    }
}
