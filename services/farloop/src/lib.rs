//! The `farloop` command: what people install. Each command is a module; this file is the list of them.

mod dev;
mod health;
mod run;
mod token;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// asyncio across machines: coordinator, workers and a client in one binary.
#[derive(Debug, Parser)]
#[command(name = "farloop", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a coordinator and a few workers on this machine, for development
    Dev(dev::Args),
    /// Run a coordinator
    Coordinator(farloop_coordinator::Flags),
    /// Run a worker that offers the demo functions
    Worker(worker::Args),
    /// Call a function and print what it returns
    Run(run::Args),
    /// Tell whether a coordinator serves, or a worker is connected: exit code 0 or 1
    Health(health::Args),
    /// Print the token that a client needs, out of the token file
    Token(token::Args),
}

/// Runs the command line; what `main` of the binary does.
///
/// Exit codes: 0 done; 1 the task failed, or the command did; 2 wrong usage; 130 interrupted.
#[must_use]
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    // Dropped last: the spans of what has just ended leave then.
    let _telemetry = farloop_telemetry::init(match &command {
        Command::Coordinator(_) => "farloop-coordinator",
        Command::Worker(_) => "farloop-worker",
        _ => "farloop",
    });
    let ran = match command {
        Command::Dev(args) => dev::main(args),
        Command::Coordinator(flags) => farloop_coordinator::run(flags).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::Worker(args) => worker::main(args),
        Command::Run(args) => run::main(args),
        Command::Health(args) => health::main(args),
        Command::Token(args) => token::main(&args),
    };
    match ran {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A current-thread runtime: with several processes on few cores, wake-ups across threads cost more than the work.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
