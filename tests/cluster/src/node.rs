//! Processes of a cluster. They are killed when their handle is dropped, and end by themselves when the test is gone.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use rustix::process::{Pid, Signal, kill_process};

use crate::tally::{self, Tally};
use crate::{PATIENCE, until};

/// A process that is about to be started.
#[derive(Debug)]
pub struct Program(Command);

impl Program {
    /// Of that binary (`env!("CARGO_BIN_EXE_…")`, which only tests know).
    #[must_use]
    pub fn new(binary: &str) -> Self {
        let mut command = Command::new(binary);
        let theirs = |name: &str| name.starts_with("FARLOOP_") || name.starts_with("OTEL_");
        for (name, _) in std::env::vars().filter(|(name, _)| theirs(name)) {
            // What the shell of whoever runs the tests has set is for their own cluster.
            command.env_remove(name);
        }
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "error");
        }
        Self(command)
    }

    /// One more word on its command line.
    #[must_use]
    pub fn arg(mut self, word: &str) -> Self {
        self.0.arg(word);
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Which coordinator it belongs to.
    #[must_use]
    pub fn at(self, url: &str) -> Self {
        self.env(farloop::runtime::ADDRESS_VARIABLE, url)
    }

    /// What it is called in `ListWorkers`.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.env("FARLOOP_WORKER_NAME", name)
    }

    /// Where its bodies note what they do.
    #[must_use]
    pub fn tally(self, tally: &Tally) -> Self {
        self.env(tally::VARIABLE, &tally.path().display().to_string())
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(mut self) -> Node {
        let command = self.0.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a binary that cargo built can be started");
        let out = child.stdout.take().expect("its output is a pipe");
        let (tell, lines) = channel();
        // Reads on when nobody listens, or the process would wait at a full pipe.
        std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).for_each(|l| drop(tell.send(l))));
        Node { child, lines }
    }

    /// Runs it to its end: its standard output and its standard error.
    ///
    /// # Panics
    /// If it does not start, or ends badly.
    #[must_use]
    pub fn output(mut self) -> (String, String) {
        let output = self.0.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = output.spawn().and_then(wait_with_open_input).expect("a binary that cargo built can be run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
        (out, err)
    }
}

/// Its input stays open until it ends: such processes take the end of it for the end of the test.
fn wait_with_open_input(mut child: Child) -> std::io::Result<std::process::Output> {
    let input = child.stdin.take();
    let output = child.wait_with_output();
    drop(input);
    output
}

/// Bytes of memory that a process holds at this moment: its id, or `self`.
///
/// # Panics
/// If there is none of that id.
#[must_use]
pub fn memory_of(process: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process that runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS in /proc/PID/status");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of kB") * 1_024
}

/// A process of the cluster.
#[derive(Debug)]
pub struct Node {
    child: Child,
    lines: Receiver<String>,
}

impl Node {
    /// The next line of its output.
    ///
    /// # Panics
    /// If none comes.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the process says a line")
    }

    /// The next line of its output, however long it takes: the test has a bound of its own.
    ///
    /// # Panics
    /// If it ends without one.
    pub async fn long_line(&self) -> String {
        loop {
            match self.lines.try_recv() {
                Ok(line) => return line,
                Err(TryRecvError::Empty) => tokio::time::sleep(crate::LOOK_EVERY).await,
                Err(TryRecvError::Disconnected) => panic!("the process says a line before it ends"),
            }
        }
    }

    /// A coordinator on a port of its own choice, and where it listens.
    ///
    /// # Panics
    /// If it does not say where.
    #[must_use]
    pub fn coordinator(binary: &str) -> (Self, SocketAddr) {
        let node = Program::new(binary).arg("coordinator").arg("--port").arg("0").start();
        let line = node.line();
        let address = line.rsplit(' ').next().and_then(|word| word.parse().ok());
        (node, address.unwrap_or_else(|| panic!("'{line}' ends with an address")))
    }

    /// Its process id, as bodies note it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    ///
    /// # Panics
    /// If it is no child of this process.
    #[must_use]
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Bytes of memory that it holds at this moment.
    ///
    /// # Panics
    /// If it has ended.
    #[must_use]
    pub fn memory(&self) -> usize {
        memory_of(&self.pid().to_string())
    }

    /// SIGKILL: it is gone without a word.
    pub fn kill(&mut self) {
        // One that has ended by itself needs no killing.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// SIGSTOP: it is there and does nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGINT: what Ctrl-C sends.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// SIGTERM: please end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("a child that was not waited for can be signalled");
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// If it does not.
    pub async fn ended(&mut self) -> ExitStatus {
        until("the end of a process", async || self.child.try_wait().expect("a child can be waited for")).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command of a binary to its end, and gives what it said.
///
/// # Panics
/// If it does not start.
#[must_use]
pub fn run_to_end(binary: &str, words: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut program = Program::new(binary);
    program.0.args(words).envs(variables.iter().copied());
    let command = program.0.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a binary that cargo built can be started");
    // Kept open, or it would take this process for gone.
    let _input = child.stdin.take();
    child.wait_with_output().expect("a child can be waited for")
}

/// Set for programs that another program of the test starts, without input of their own.
pub const ORPHANS_END: &str = "FARLOOP_TEST_ORPHANS_END";

/// For the `main` of such processes: ends this one when whoever started it is gone, however that came about. A test
/// that is killed drops nothing, but its end of the pipe closes.
pub fn end_with_the_parent() {
    if std::env::var_os(ORPHANS_END).is_some() {
        // It was given no input of its own.
        let parent = std::os::unix::process::parent_id();
        std::thread::spawn(move || {
            while std::os::unix::process::parent_id() == parent {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            std::process::exit(0);
        });
        return;
    }
    std::thread::spawn(|| {
        // The end of input, or an error: either way nobody is there any more.
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        std::process::exit(0);
    });
}
