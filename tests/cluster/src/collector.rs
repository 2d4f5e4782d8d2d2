//! What receives traces: an OTLP service inside the test.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// A span, and who told it.
#[derive(Clone, Debug)]
pub struct Told {
    /// `service.name`.
    pub service: String,
    /// `process.pid`.
    pub pid: String,
    /// The span.
    pub span: Span,
}

impl Told {
    /// A number or word about it; empty if there is none.
    #[must_use]
    pub fn about(&self, key: &str) -> String {
        value(&self.span.attributes, key)
    }

    /// Whether it stands directly below the other.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        self.span.trace_id == other.span.trace_id && self.span.parent_span_id == other.span.span_id
    }

    /// Whether it says that it failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.span.status.as_ref().is_some_and(|status| status.code == 2)
    }
}

/// Collects spans for as long as the test's event loop runs.
#[derive(Clone, Debug)]
pub struct Collector {
    address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Collector {
    /// One on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback");
        let address = listener.local_addr().expect("a listener knows where it listens");
        let collector = Self { address, told: Arc::default() };
        let service = TraceServiceServer::new(collector.clone());
        let served = Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener));
        drop(tokio::spawn(served));
        collector
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far, by their names.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        let mut told = self.told.lock().expect("nothing panics under this lock").clone();
        told.sort_by(|a, b| {
            (&a.span.name, a.span.start_time_unix_nano).cmp(&(&b.span.name, b.span.start_time_unix_nano))
        });
        told
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let mut told = self.told.lock().expect("nothing panics under this lock");
        for of_process in request.into_inner().resource_spans {
            let about = of_process.resource.map(|resource| resource.attributes).unwrap_or_default();
            let (service, pid) = (value(&about, "service.name"), value(&about, "process.pid"));
            for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                told.push(Told { service: service.clone(), pid: pid.clone(), span });
            }
        }
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

fn value(about: &[KeyValue], key: &str) -> String {
    match about.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone()) {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => text,
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => number.to_string(),
        _ => String::new(),
    }
}
