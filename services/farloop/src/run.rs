//! `farloop run FUNCTION [JSON…]`: one call from the shell.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use farloop::{Durability, Retention};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tracing::Instrument as _;

/// How long a coordinator may take to show that it is there, when somebody wants to leave.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// How long a cancelled task may take beyond its grace period.
const CANCEL_LIMIT: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Function, as `farloop functions` names it: package.function
    function: String,
    /// Arguments as JSON; what is no JSON is taken as text
    args: Vec<String>,
    /// Coordinator
    #[arg(long, env = "FARLOOP_ADDRESS", default_value = farloop::DEFAULT_ADDRESS)]
    address: String,
    /// Time for the task, in seconds
    #[arg(long, env = "FARLOOP_RUN_TIMEOUT")]
    timeout: Option<f64>,
    /// How long the outcome is kept: seconds, `consumed` (until it was taken), or `pinned` (until `farloop release`)
    #[arg(long, env = "FARLOOP_RUN_RETENTION", value_parser = retention)]
    retention: Option<Retention>,
    /// What becomes of the task if the coordinator dies: `durable`, `buffered` or `memory`
    #[arg(long, env = "FARLOOP_RUN_DURABILITY", value_parser = durability)]
    durability: Option<Durability>,
    /// Submit, print the task's id, and don't wait; the task is owned by nobody
    #[arg(long, env = "FARLOOP_DETACH")]
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
    let event_loop = tokio::select! {
        connected = farloop::connect(&args.address) => connected?,
        () = crate::stop_signal() => return Ok(ExitCode::from(130)),
    };
    let mut call = farloop::call(&args.function);
    for text in &args.args {
        call = call.arg(value(text));
    }
    let mut coro = call.coro();
    if let Some(timeout) = timeout {
        coro = coro.timeout(timeout);
    }
    if let Some(retention) = args.retention {
        coro = coro.retention(retention);
    }
    if let Some(durability) = args.durability {
        coro = coro.durability(durability);
    }
    if args.detach {
        let task = farloop::ensure_future(coro.detached());
        println!("{}", task.id());
        event_loop.close().await;
        return Ok(ExitCode::SUCCESS);
    }
    let task = farloop::ensure_future(coro);
    let mut interrupted = false;
    let result = tokio::select! {
        result = task.clone() => Some(result),
        () = crate::stop_signal() => {
            interrupted = true;
            eprintln!("cancelling {} (Ctrl-C again to leave it)", task.id());
            task.cancel("interrupted");
            tokio::select! {
                result = task.clone() => Some(result),
                () = crate::stop_signal() => None,
                () = gone(&args.address) => {
                    eprintln!("the coordinator at {} does not answer: nobody can say what becomes of the task", args.address);
                    None
                }
                () = tokio::time::sleep(CANCEL_LIMIT) => {
                    eprintln!("the task does not end; leaving it");
                    None
                }
            }
        }
    };
    let code = match result {
        // Without a goodbye: either nobody would take it, or somebody does not want to wait.
        None => return Ok(ExitCode::from(130)),
        Some(Ok(value)) => {
            println!("{}", serde_json::to_string_pretty(&value)?);
            ExitCode::SUCCESS
        }
        Some(Err(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if interrupted { 130 } else { 1 })
        }
    };
    event_loop.close().await;
    Ok(code)
}

fn retention(text: &str) -> Result<Retention, String> {
    match text {
        "consumed" => Ok(Retention::UntilConsumed),
        "pinned" => Ok(Retention::Pinned),
        _ => {
            let seconds: f64 = text.parse().map_err(|_| "give seconds, `consumed` or `pinned`".to_owned())?;
            Duration::try_from_secs_f64(seconds).map(Retention::For).map_err(|error| error.to_string())
        }
    }
}

fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "durable" => Ok(Durability::Durable),
        "buffered" => Ok(Durability::Buffered),
        "memory" => Ok(Durability::Memory),
        _ => Err("there are `durable`, `buffered` and `memory`".into()),
    }
}

/// Returns when the coordinator gives no sign of life; never, if it does.
async fn gone(address: &str) {
    let alive = async {
        let address = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let channel = Endpoint::from_shared(address).ok()?.connect().await.ok()?;
        HealthClient::new(channel).check(HealthCheckRequest::default()).await.ok()
    };
    if matches!(tokio::time::timeout(SIGN_OF_LIFE, alive).await, Ok(Some(_))) {
        std::future::pending::<()>().await;
    }
}

/// Shell words are rarely quoted as JSON asks: `farloop run demo.echo hello` means the text.
pub(crate) fn value(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}
