//! Logging, traces over OTLP, and W3C trace context in and out of farloop's calls.
//!
//! [`init`] is what a process does first: it logs, and where `OTEL_EXPORTER_OTLP_ENDPOINT` is set it exports traces
//! there. From then on the span around a call travels with it (`traceparent`, `tracestate`), and the body runs in a
//! descendant of it, whatever machine it is on and at whatever attempt. A program with a subscriber of its own adds its
//! own `tracing-opentelemetry` layer to that and calls [`propagate_traces`].
//!
//! Without either a call costs one atomic load more.

mod export;
mod past;
mod w3c;

use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::EnvFilter;

pub use export::{ENDPOINT_VARIABLE, FLUSH_LIMIT, Telemetry, init};
pub use past::{Past, exports, span_of};
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
    // A program that set its own subscriber keeps it.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(log_filter())
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .try_init();
}

fn log_filter() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"))
}
