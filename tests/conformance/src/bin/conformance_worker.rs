//! A worker with the bodies of the scenarios; also, by its first word, the other processes that the scenarios need.

use std::process::ExitCode;

use farloop_test_conformance::process::{self, Mode};

fn main() -> ExitCode {
    let (mode, words) = Mode::of_command_line().unwrap_or((Mode::Worker, Vec::new()));
    match process::run(mode, &words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance_worker: {error}");
            ExitCode::FAILURE
        }
    }
}
