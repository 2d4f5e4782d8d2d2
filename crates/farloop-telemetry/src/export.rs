//! Traces over OTLP (gRPC), where the environment says so.
//!
//! The exporter has a thread and an event loop of its own: neither a spinning body nor a collector that is away can hold
//! up the other. Its queue is bounded (`OTEL_BSP_MAX_QUEUE_SIZE`); what does not fit is dropped, never waited for.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::past::{self, Ids};

/// Where traces go; unset or empty: nowhere. OpenTelemetry's own name, as are `OTEL_SERVICE_NAME`,
/// `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*` and `OTEL_EXPORTER_OTLP_HEADERS`, which are heeded too.
pub const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// How long the end of a process waits for the collector to take the last spans.
pub const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// Keeps traces flowing. Dropped, it hands what is left to the collector, for [`FLUSH_LIMIT`] at most: keep it until
/// the end of `main`.
#[derive(Debug)]
#[must_use = "dropping it ends the export of traces"]
pub struct Telemetry {
    exporting: Option<(SdkTracerProvider, tokio::runtime::Runtime)>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let Some((provider, runtime)) = self.exporting.take() else { return };
        if let Err(error) = provider.shutdown_with_timeout(FLUSH_LIMIT) {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
        // It may be dropped inside of another event loop, which must not wait for this one.
        runtime.shutdown_background();
    }
}

/// Logs as [`init_logging`](crate::init_logging) does, and exports traces as `service` if [`ENDPOINT_VARIABLE`] is set.
/// A second call in a process, or one in a program with a subscriber of its own, changes nothing.
///
/// An endpoint that cannot be used is logged; a program must not fail for its telemetry. One that does not answer costs
/// spans, nothing else.
pub fn init(service: &str) -> Telemetry {
    let endpoint = std::env::var(ENDPOINT_VARIABLE).ok().filter(|text| !text.is_empty());
    if past::exports() {
        return Telemetry { exporting: None };
    }
    let Some(endpoint) = endpoint else {
        crate::init_logging();
        return Telemetry { exporting: None };
    };
    match start(service) {
        Ok((provider, runtime)) => {
            let tracer = provider.tracer("farloop");
            let log = tracing_subscriber::fmt::layer()
                .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
                .with_writer(std::io::stderr)
                .with_filter(crate::log_filter());
            // A filter of its own: with RUST_LOG=warn spans are exported all the same, or the chain would break.
            let spans = tracing_opentelemetry::layer().with_tracer(tracer.clone()).with_filter(LevelFilter::INFO);
            if tracing_subscriber::registry().with(log).with(spans).try_init().is_err() {
                // The program has a subscriber: whether and where it exports is its own choice.
                runtime.shutdown_background();
                return Telemetry { exporting: None };
            }
            past::export_with(tracer);
            crate::propagate_traces();
            tracing::info!(endpoint, "traces are exported");
            Telemetry { exporting: Some((provider, runtime)) }
        }
        Err(error) => {
            crate::init_logging();
            tracing::warn!(endpoint, error, "traces are not exported");
            Telemetry { exporting: None }
        }
    }
}

fn start(service: &str) -> Result<(SdkTracerProvider, tokio::runtime::Runtime), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("farloop-otlp")
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let exporter = {
        let _context = runtime.enter();
        SpanExporter::builder().with_tonic().build().map_err(|error| error.to_string())?
    };
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(service.to_owned());
    }
    let resource = resource
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_id_generator(Ids::default())
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build();
    Ok((provider, runtime))
}
