//! Logging, and W3C trace context in and out of farloop's calls.
//!
//! A program that exports traces installs its own `tracing-opentelemetry` layer and calls [`propagate_traces`]: from
//! then on the span around a call travels with it (`traceparent`, `tracestate`), and the body runs in a child of it.
//! Until then a call costs one atomic load more. Exporters are deliberately absent here: they are the program's choice.

mod w3c;

use std::sync::atomic::{AtomicBool, Ordering};

pub use w3c::TraceContext;

static PROPAGATE: AtomicBool = AtomicBool::new(false);

/// Lets trace context travel with calls from now on, in this process.
pub fn propagate_traces() {
    PROPAGATE.store(true, Ordering::Relaxed);
}

/// Whether trace context travels.
#[must_use]
pub fn propagates_traces() -> bool {
    PROPAGATE.load(Ordering::Relaxed)
}

/// Logs to standard error as `RUST_LOG` says (`info` unless set). Does nothing if the program has a subscriber already.
pub fn init_logging() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // A program that set its own subscriber keeps it.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .try_init();
}
