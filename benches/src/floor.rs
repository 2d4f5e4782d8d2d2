//! The harness: relay and farloop, alternately, several times; medians of what was found in each round.

mod plan;
mod report;
mod stage;

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::time::timeout;

/// Measures farloop beside a tonic relay with nothing in it.
#[derive(Parser, Clone, Debug)]
pub struct Options {
    /// Under two minutes, for every change; without it about six.
    #[arg(long)]
    quick: bool,
    /// Rounds of the alternating part.
    #[arg(long)]
    rounds: Option<usize>,
    /// Fail if a figure misses what it must reach.
    #[arg(long)]
    strict: bool,
}

impl Options {
    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 5 } else { 7 }).clamp(1, 50)
    }

    /// Seconds of each timed measurement.
    fn seconds(&self) -> f64 {
        if self.quick { 0.7 } else { 2.0 }
    }

    /// A harness that hangs is a failure, not a long measurement.
    fn limit(&self) -> Duration {
        Duration::from_secs(if self.quick { 240 } else { 1_200 })
    }
}

/// Measures and prints. Children die with it, at its end and on an interrupt.
///
/// # Errors
/// A process failed or took too long; with `--strict` also if a figure misses what it must reach.
pub async fn run(options: Options) -> Result<()> {
    let findings = tokio::select! {
        findings = timeout(options.limit(), plan::measure_all(&options)) => {
            findings.with_context(|| format!("the harness took longer than {:?}", options.limit()))??
        }
        signal = interrupted() => anyhow::bail!("interrupted by {signal}"),
    };
    report::print(&findings);
    if options.strict {
        report::check(&findings)?;
    }
    Ok(())
}

#[cfg(unix)]
async fn interrupted() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut hangup), Ok(mut terminate)) = (signal(SignalKind::hangup()), signal(SignalKind::terminate())) else {
        return "no signal: handlers could not be set";
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => "ctrl-c",
        _ = hangup.recv() => "SIGHUP",
        _ = terminate.recv() => "SIGTERM",
    }
}

#[cfg(not(unix))]
async fn interrupted() -> &'static str {
    // An error here means that ctrl-c kills this process without asking, which is as good.
    let _ = tokio::signal::ctrl_c().await;
    "ctrl-c"
}
