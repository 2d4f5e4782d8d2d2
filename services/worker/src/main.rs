//! The reference worker as a process of its own: `FARLOOP_ADDRESS=http://127.0.0.1:7171 farloop-worker`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let _telemetry = farloop_telemetry::init("farloop-worker");
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no event loop to be had: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(farloop_worker::demo(farloop::Worker::from_env()).run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
