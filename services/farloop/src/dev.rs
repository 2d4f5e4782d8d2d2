//! `farloop dev`: a coordinator in this process and workers beside it, for development on one machine.

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, Command};

/// How long workers may take to end when dev ends.
const STOP_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Port of the coordinator on 127.0.0.1; 0 chooses a free one
    #[arg(long, env = "FARLOOP_PORT", default_value_t = 7171)]
    port: u16,
    /// Worker processes
    #[arg(long, env = "FARLOOP_WORKERS", default_value_t = 3)]
    workers: u32,
    /// Your own worker program, started in place of the demo workers: `farloop dev -- cargo run --bin my-worker`
    #[arg(last = true)]
    command: Vec<String>,
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    crate::runtime()?.block_on(dev(args))
}

async fn dev(args: Args) -> anyhow::Result<ExitCode> {
    let listen = format!("127.0.0.1:{}", args.port);
    let config = farloop_coordinator::Config { listen, ..farloop_coordinator::Config::default() };
    let coordinator = farloop_coordinator::Coordinator::bind(config).await?;
    let address = format!("http://{}", coordinator.local_addr());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(coordinator.serve(async {
        let _ = stopped.await;
    }));
    let mut workers = Vec::new();
    for n in 0..args.workers {
        workers.push(start(&args.command, &address, n)?);
    }
    banner(&address, &args);
    stop_signal().await?;
    eprintln!("stopping");
    for worker in &workers {
        terminate(worker);
    }
    for worker in &mut workers {
        end(worker).await;
    }
    let _ = stop.send(());
    let _ = tokio::time::timeout(STOP_LIMIT, server).await;
    Ok(ExitCode::SUCCESS)
}

fn start(command: &[String], address: &str, n: u32) -> anyhow::Result<Child> {
    let mut worker = match command.split_first() {
        Some((program, args)) => {
            let mut worker = Command::new(program);
            worker.args(args);
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
        .env("FARLOOP_WORKER_NAME", format!("dev-{n}"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("the worker program did not start: {:?}", worker.as_std().get_program()))
}

/// Ctrl-C or SIGTERM: either must take the workers down too.
async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("no SIGTERM handler")?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.context("no Ctrl-C handler")?,
    }
    Ok(())
}

/// Asks a worker to drain; a terminal's Ctrl-C may have asked it already.
fn terminate(worker: &Child) {
    let pid = worker.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Waits for a worker to end; one that takes too long is killed.
async fn end(worker: &mut Child) {
    if tokio::time::timeout(STOP_LIMIT, worker.wait()).await.is_err() {
        let _ = worker.kill().await;
    }
}

fn banner(address: &str, args: &Args) {
    let host = address.trim_start_matches("http://");
    println!("farloop dev");
    println!("  coordinator  {address}");
    println!("  workers      {}", args.workers);
    println!("  try          farloop run demo.add 2 3 --address {address}");
    println!(
        "               grpcurl -plaintext -d '{{\"function\":\"demo.add\",\"jsonArgs\":[2,3]}}' {host} farloop.v1.TaskService/SubmitTask"
    );
    println!("  your client  FARLOOP_ADDRESS={address}");
    println!("  Ctrl-C stops it; nothing is kept");
}
