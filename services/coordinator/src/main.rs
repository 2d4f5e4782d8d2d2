//! The coordinator process.

use std::process::ExitCode;

use clap::Parser;
use farloop_coordinator::Flags;

/// Schedules, gathers and cancels the tasks of a farloop cluster.
#[derive(Debug, Parser)]
#[command(name = "farloop-coordinator", version)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
}

fn main() -> ExitCode {
    match farloop_coordinator::run(Arguments::parse().flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("farloop-coordinator: {error}");
            ExitCode::FAILURE
        }
    }
}
