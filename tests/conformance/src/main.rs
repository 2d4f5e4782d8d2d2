//! `cargo xtask conformance`: runs the scenarios on both backends and tells how each row stands.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use farloop_test_conformance::process::{self, Mode};
use farloop_test_conformance::report::{self, Selection};
use farloop_test_conformance::run::Backend;

/// farloop against the recorded behaviour of CPython 3.13's asyncio.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only this area (CO, SC, TS, FU, CB, GA, WA, AC, WF, SH, CA, NE); may be given several times.
    #[arg(long)]
    area: Vec<String>,
    /// Only this row of the table; may be given several times.
    #[arg(long)]
    row: Vec<u16>,
    /// Only this backend.
    #[arg(long)]
    backend: Option<Where>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Where {
    InProcess,
    Cluster,
}

fn main() -> ExitCode {
    if let Some((mode, words)) = Mode::of_command_line() {
        return match process::run(mode, &words) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error}", mode.word());
                ExitCode::FAILURE
            }
        };
    }
    let arguments = Arguments::parse();
    let backends = match arguments.backend {
        None => Vec::new(),
        Some(Where::InProcess) => vec![Backend::InProcess],
        Some(Where::Cluster) => vec![Backend::Cluster],
    };
    match report::run(Selection { areas: arguments.area, rows: arguments.row, backends }) {
        Ok(outcome) => {
            println!("{}", outcome.text());
            if outcome.counts().failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(wrong) => {
            eprintln!("conformance: {}", wrong.0);
            ExitCode::FAILURE
        }
    }
}
