//! `farloop dev`: a coordinator in this process and workers beside it, for development on one machine.

use std::collections::BTreeMap;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::supervise::{self, Backoff, Coordinator, Watched};

/// How long workers may take to end when dev ends.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Demo workers, unless told otherwise. Of a program of the user's own one is started: `cargo run` takes a lock.
const DEMO_WORKERS: u32 = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Port of the coordinator on 127.0.0.1; 0 chooses a free one and prints it
    #[arg(long, env = "FARLOOP_PORT", default_value_t = 7171)]
    port: u16,
    /// Worker processes [default: 3, or 1 of your own program]
    #[arg(long, env = "FARLOOP_WORKERS")]
    workers: Option<u32>,
    /// Bearer token that callers must send; none unless given, for only this machine can reach 127.0.0.1
    #[arg(long, env = "FARLOOP_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Directory for the records of tasks, to survive a restart; nothing is kept unless it is given
    #[arg(long, env = "FARLOOP_DATA_DIR", value_name = "DIR")]
    data_dir: Option<std::path::PathBuf>,
    /// Start a worker again when it crashes, after a pause that grows
    #[arg(long, env = "FARLOOP_RESTART")]
    restart: bool,
    /// Your own worker program, started in place of the demo workers: `farloop dev -- cargo run --bin my-worker`. It
    /// finds the coordinator by FARLOOP_ADDRESS
    #[arg(last = true)]
    command: Vec<String>,
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    crate::runtime()?.block_on(dev(args))
}

async fn dev(mut args: Args) -> anyhow::Result<ExitCode> {
    // Before anything is started that has to be ended.
    let mut stopping = std::pin::pin!(crate::stop_signal());
    args.token.take_if(|token| token.is_empty());
    let tokens = match &args.token {
        Some(token) => farloop_coordinator::Tokens::parse(token).context("the token cannot be used")?,
        None => farloop_coordinator::Tokens::default(),
    };
    let listen = format!("127.0.0.1:{}", args.port);
    let mut config = farloop_coordinator::Config { listen, tokens, ..farloop_coordinator::Config::default() };
    if let Some(dir) = &args.data_dir {
        config = config.keeping_in(dir);
    }
    let coordinator = farloop_coordinator::Coordinator::bind(config).await?;
    let address = coordinator.local_addr().to_string();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut server = tokio::spawn(coordinator.serve(async {
        let _ = stopped.await;
    }));
    let count = args.workers.unwrap_or(if args.command.is_empty() { DEMO_WORKERS } else { 1 });
    let mut workers = Workers::start(&args, &address, count)?;
    banner(&address, &args, count);
    loop {
        tokio::select! {
            () = &mut stopping => break,
            ended = &mut server => {
                ended.context("the coordinator broke")??;
                anyhow::bail!("the coordinator ended by itself");
            }
            Some(event) = workers.next() => workers.on(event)?,
        }
    }
    eprintln!("stopping");
    workers.stop().await;
    let _ = stop.send(());
    let _ = tokio::time::timeout(STOP_LIMIT, server).await;
    Ok(ExitCode::SUCCESS)
}

/// The worker processes, each watched by a task of its own.
struct Workers<'a> {
    args: &'a Args,
    to: Coordinator,
    groups: BTreeMap<u32, Pid>,
    backoffs: BTreeMap<u32, Backoff>,
    tell: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
}

/// What happens to a worker.
enum Event {
    Ended { n: u32, ran_well: bool, status: std::io::Result<ExitStatus> },
    Due(u32),
}

impl<'a> Workers<'a> {
    fn start(args: &'a Args, address: &str, count: u32) -> anyhow::Result<Self> {
        let (tell, events) = mpsc::unbounded_channel();
        let to = Coordinator { address: format!("http://{address}"), token: args.token.clone() };
        let mut workers = Self { args, to, groups: BTreeMap::new(), backoffs: BTreeMap::new(), tell, events };
        for n in 0..count {
            workers.start_one(n)?;
        }
        Ok(workers)
    }

    fn start_one(&mut self, n: u32) -> anyhow::Result<()> {
        let mut worker = Watched::start(command(self.args, &self.to.address, &format!("dev-{n}"))?)?;
        self.groups.extend(worker.pid.map(|pid| (n, pid)));
        let (tell, to) = (self.tell.clone(), self.to.clone());
        drop(tokio::spawn(async move {
            let status = worker.ended(&to).await;
            // Nobody listens any more when dev ends.
            let _ = tell.send(Event::Ended { n, ran_well: worker.ran_well(), status });
        }));
        Ok(())
    }

    async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        if let Some(Event::Ended { n, .. }) = &event {
            self.groups.remove(n);
        }
        event
    }

    fn on(&mut self, event: Event) -> anyhow::Result<()> {
        let (n, ran_well, status) = match event {
            Event::Due(n) => return self.start_one(n),
            Event::Ended { n, ran_well, status } => (n, ran_well, status),
        };
        let (how, left) = (supervise::how(&status), self.groups.len());
        if self.args.restart && !status.is_ok_and(|status| status.success()) {
            let pause = self.backoffs.entry(n).or_default().pause(ran_well);
            eprintln!("worker dev-{n} ended {how}; it starts again in {pause:?}");
            let tell = self.tell.clone();
            drop(tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                let _ = tell.send(Event::Due(n));
            }));
            return Ok(());
        }
        eprintln!("worker dev-{n} ended {how}; {left} workers are left");
        if left == 0 {
            eprintln!(
                "the coordinator goes on: start a worker with FARLOOP_ADDRESS={}, or end with Ctrl-C",
                self.to.address
            );
        }
        Ok(())
    }

    /// Asks all to drain, the processes that they started included; those that take too long are killed.
    async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let all = async { while !self.groups.is_empty() && self.next().await.is_some() {} };
        if tokio::time::timeout(STOP_LIMIT, all).await.is_err() {
            self.signal(Signal::KILL);
        }
    }

    fn signal(&self, signal: Signal) {
        for group in self.groups.values() {
            // One that has ended by itself is gone.
            let _ = kill_process_group(*group, signal);
        }
    }
}

impl Drop for Workers<'_> {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// It gets a process group of its own: a program of the user's is often started by another (`cargo run`, a shell), and
/// the end of dev must reach both.
fn command(args: &Args, address: &str, name: &str) -> anyhow::Result<Command> {
    let mut worker = match args.command.split_first() {
        Some((program, rest)) => {
            let mut worker = Command::new(program);
            worker.args(rest);
            worker
        }
        None => {
            let mut worker = Command::new(std::env::current_exe().context("this program's own path is unknown")?);
            worker.arg("worker");
            worker
        }
    };
    worker
        .env("FARLOOP_ADDRESS", address)
        .env("FARLOOP_WORKER_NAME", name)
        .env_remove("FARLOOP_TOKEN")
        .env_remove("FARLOOP_TOKEN_FILE")
        .env_remove("FARLOOP_RESTART");
    if let Some(token) = &args.token {
        worker.env("FARLOOP_TOKEN", token);
    }
    Ok(worker)
}

fn banner(address: &str, args: &Args, workers: u32) {
    use std::io::Write as _;
    let what = if args.command.is_empty() { "demo workers".into() } else { format!("x {}", args.command.join(" ")) };
    let function = if args.command.is_empty() { "TaskService/SubmitTask" } else { "ClusterService/ListFunctions" };
    let data = if args.command.is_empty() { "-d '{\"function\":\"demo.add\",\"jsonArgs\":[2,3]}' " } else { "" };
    let header = args.token.as_ref().map_or(String::new(), |token| format!("-H 'authorization: Bearer {token}' "));
    let mut lines = vec![
        match &args.data_dir {
            None => "farloop dev: in memory, for development".to_owned(),
            Some(dir) => format!("farloop dev: for development, with records in {}", dir.display()),
        },
        format!("  coordinator  http://{address}"),
        format!("  workers      {workers} {what}"),
    ];
    let mut environment = format!("FARLOOP_ADDRESS=http://{address}");
    if let Some(token) = &args.token {
        lines.push(format!("  token        {token}"));
        environment.push_str(&format!(" FARLOOP_TOKEN={token}"));
    }
    lines.push(format!("  your client  {environment}"));
    if args.command.is_empty() {
        lines.push(format!("  try          {environment} farloop run demo.add 2 3"));
    }
    lines.push(format!("  grpcurl      grpcurl -plaintext {header}{data}{address} farloop.v1.{function}"));
    let kept = if args.data_dir.is_some() { "the records are kept" } else { "nothing is kept" };
    lines.push(format!("  Ctrl-C stops it; {kept}"));
    let mut out = std::io::stdout().lock();
    // Nobody has to read it.
    let _ = writeln!(out, "{}", lines.join("\n")).and_then(|()| out.flush());
}
