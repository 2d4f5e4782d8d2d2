//! A coordinator as a process of its own: what `main` and `farloop coordinator` do.

use std::io::Write as _;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Flags, StartError};
use crate::server::Coordinator;

/// Serves until SIGTERM or SIGINT; a second signal ends the process at once.
///
/// Runs on a runtime of one thread: with client and worker on the same machine, wake-ups across threads cost more than
/// the work.
///
/// # Errors
/// The coordinator did not start, or failed.
pub fn run(flags: Flags) -> Result<(), StartError> {
    let _telemetry = farloop_telemetry::init("farloop-coordinator");
    let config = flags.config()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a process that cannot make an event loop cannot serve");
    runtime.block_on(async {
        let coordinator = Coordinator::bind(config).await?;
        // Before anybody is told that it is there.
        let stop = stop_signal();
        announce(&coordinator);
        coordinator.serve(stop).await
    })
}

/// One line for programs that wait for the port, one for people.
fn announce(coordinator: &Coordinator) {
    let address = coordinator.local_addr();
    let mut out = std::io::stdout().lock();
    // A closed stdout is no reason to stop.
    let _ = writeln!(out, "farloop coordinator listening on {address}");
    let header = if coordinator.asks_for_token() { "-H 'authorization: Bearer TOKEN' " } else { "" };
    let _ = writeln!(out, "try: grpcurl -plaintext {header}{address} farloop.v1.ClusterService/ListWorkers");
    let _ = out.flush();
}

/// The handlers are there when this returns, not only when it is awaited.
fn stop_signal() -> impl Future<Output = ()> {
    let listen = |kind| -> Signal { signal(kind).expect("signal handlers can be installed on this platform") };
    let (mut term, mut int) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
    async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("stopping; a second signal ends the process at once");
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            std::process::exit(130);
        });
    }
}
