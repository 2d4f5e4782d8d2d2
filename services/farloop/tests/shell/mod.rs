//! The binary as a shell starts it.

#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(40);

/// A command, without what the shell of whoever runs the tests has set.
pub(crate) fn farloop(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farloop"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FARLOOP_")) {
        command.env_remove(name);
    }
    command.args(words).env("RUST_LOG", "error").stdin(Stdio::null());
    command
}

/// Where the binary is.
pub(crate) fn directory() -> &'static str {
    env!("CARGO_BIN_EXE_farloop").trim_end_matches("/farloop")
}

/// A process that runs beside the test, and is ended with it.
pub(crate) struct Process {
    child: Child,
    out: Receiver<String>,
    errors: Receiver<String>,
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, lines) = channel();
    // Reads on when nobody listens, or the process would wait at a full pipe.
    std::thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).for_each(|l| drop(tell.send(l))));
    lines
}

fn until(from: &Receiver<String>, text: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let line = from.recv_timeout(PATIENCE);
        seen.push(line.unwrap_or_else(|_| panic!("no line says '{text}': {seen:?}")));
        if seen.last().is_some_and(|line| line.contains(text)) {
            return seen;
        }
    }
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, errors) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { child, out, errors }
    }

    /// What it prints, up to the line that has this text.
    pub(crate) fn lines_until(&self, text: &str) -> Vec<String> {
        until(&self.out, text)
    }

    /// The same, unless the line was among those that came before.
    pub(crate) fn lines_until_any(&self, before: &[String], text: &str) -> Vec<String> {
        if before.iter().any(|line| line.contains(text)) { Vec::new() } else { until(&self.out, text) }
    }

    pub(crate) fn errors_until(&self, text: &str) -> Vec<String> {
        until(&self.errors, text)
    }

    /// SIGTERM, and how it ends.
    pub(crate) fn ends_on_terminate(&mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it does not end");
            // There is no event for the end of a process that std could wait for with a bound.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // In order, so that it takes its workers along.
            let pid = rustix::process::Pid::from_child(&self.child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = self.child.wait();
        }
    }
}
