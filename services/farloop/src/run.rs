//! `farloop run FUNCTION [JSON…]`: one call from the shell.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tracing::Instrument as _;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Function, as `farloop` names it: package.function
    function: String,
    /// Arguments as JSON; what is no JSON is taken as text
    args: Vec<String>,
    /// Coordinator
    #[arg(long, env = "FARLOOP_ADDRESS", default_value = farloop::DEFAULT_ADDRESS)]
    address: String,
    /// Time for the task, in seconds
    #[arg(long)]
    timeout: Option<f64>,
    /// Submit, print the task's id, and don't wait; the task is owned by nobody
    #[arg(long)]
    detach: bool,
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    let timeout = match args.timeout {
        Some(seconds) => Some(
            Duration::try_from_secs_f64(seconds)
                .with_context(|| format!("--timeout {seconds} must be a number of seconds that is not negative"))?,
        ),
        None => None,
    };
    // The root of the trace, where traces are exported.
    let span = tracing::info_span!("run", otel.name = format!("farloop run {}", args.function));
    crate::runtime()?.block_on(run(args, timeout).instrument(span))
}

async fn run(args: Args, timeout: Option<Duration>) -> anyhow::Result<ExitCode> {
    let event_loop = farloop::connect(&args.address).await?;
    let mut call = farloop::call(&args.function);
    for text in &args.args {
        call = call.arg(value(text));
    }
    let mut coro = call.coro();
    if let Some(timeout) = timeout {
        coro = coro.timeout(timeout);
    }
    if args.detach {
        let task = farloop::ensure_future(coro.detached());
        println!("{}", task.id());
        event_loop.close().await;
        return Ok(ExitCode::SUCCESS);
    }
    let task = farloop::ensure_future(coro);
    let mut interrupted = false;
    let result = loop {
        tokio::select! {
            result = task.clone() => break result,
            _ = tokio::signal::ctrl_c() => {
                if interrupted {
                    return Ok(ExitCode::from(130));
                }
                interrupted = true;
                eprintln!("cancelling {} (Ctrl-C again to leave it)", task.id());
                task.cancel("interrupted");
            }
        }
    };
    let code = match result {
        Ok(value) => {
            println!("{}", serde_json::to_string_pretty(&value)?);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if interrupted { 130 } else { 1 })
        }
    };
    event_loop.close().await;
    Ok(code)
}

/// Shell words are rarely quoted as JSON asks: `farloop run demo.echo hello` means the text.
fn value(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}
