//! `cargo xtask floor`: farloop beside the bare relay.

use std::process::ExitCode;

use clap::Parser;
use farloop_benches::floor::{Options, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
