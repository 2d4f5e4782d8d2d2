//! Spans that are told when they are over, with their times: what a state machine knows of what it has decided.
//!
//! A span whose id follows from something that is known all along ([`span_of`]) can be the parent of others before it is
//! told, on other machines too, and nothing has to be kept for it meanwhile.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::SystemTime;

use opentelemetry::trace::{Span as _, SpanBuilder, SpanId, SpanKind, Status, TraceId, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer};

use crate::TraceContext;

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

thread_local! {
    /// The id of the span that is being told on this thread.
    static NEXT: Cell<Option<SpanId>> = const { Cell::new(None) };
}

pub(crate) fn export_with(tracer: SdkTracer) {
    // One per process; a second `init` never comes here.
    let _ = TRACER.set(tracer);
}

/// Whether this process exports spans.
#[must_use]
pub fn exports() -> bool {
    TRACER.get().is_some()
}

/// The id of the span that stands for what has this number: the half of a UUIDv7 that is random.
#[must_use]
pub fn span_of(number: u128) -> u64 {
    // Zero would be no id; it is as likely as any other number, which is to say never.
    (number as u64).max(1)
}

/// A span that is over.
#[derive(Debug)]
pub struct Past<'a> {
    /// What people read.
    pub name: String,
    /// Its id, or a random one.
    pub id: Option<u64>,
    /// The span above it.
    pub parent: &'a TraceContext,
    /// When it began.
    pub from: SystemTime,
    /// When it was over.
    pub to: SystemTime,
    /// Numbers and words about it.
    pub about: Vec<(&'static str, String)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

impl Past<'_> {
    /// Exports it, if this process exports spans and the trace is sampled.
    pub fn tell(self) {
        let (Some(tracer), Some(parent)) = (TRACER.get(), self.parent.context()) else { return };
        let about = self.about.into_iter().map(|(key, value)| KeyValue::new(key, value));
        let builder = SpanBuilder::from_name(self.name)
            .with_kind(SpanKind::Internal)
            .with_start_time(self.from)
            .with_attributes(about);
        NEXT.set(self.id.map(|id| SpanId::from_bytes(id.to_be_bytes())));
        let mut span = tracer.build_with_context(builder, &parent);
        NEXT.set(None);
        if let Some(error) = self.error {
            span.set_status(Status::error(error));
        }
        span.end_with_timestamp(self.to);
    }
}

/// Random ids, except for the span that is being told.
#[derive(Debug, Default)]
pub(crate) struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        self.0.new_trace_id()
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.take().unwrap_or_else(|| self.0.new_span_id())
    }
}

impl TraceContext {
    /// The same trace, under the span of that id.
    #[must_use]
    pub fn under(&self, span: u64) -> Option<Self> {
        let (version, rest) = self.parent.split_once('-')?;
        let (trace, rest) = rest.split_once('-')?;
        let (_, flags) = rest.split_once('-')?;
        Some(Self { parent: format!("{version}-{trace}-{span:016x}-{flags}"), state: self.state.clone() })
    }

    fn context(&self) -> Option<Context> {
        use opentelemetry::trace::TraceContextExt as _;
        self.span_context().map(|span| Context::new().with_remote_span_context(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_that_is_not_told_yet_can_be_a_parent() {
        let caller = TraceContext {
            parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
            state: "vendor=1".into(),
        };
        let below = caller.under(span_of(0x0192_0000_0000_7000_8123_4567_89ab_cdef)).expect("a trace context");
        assert_eq!(below.parent, "00-4bf92f3577b34da6a3ce929d0e0e4736-8123456789abcdef-01");
        assert_eq!(below.state, "vendor=1");
        assert_eq!(TraceContext { parent: "nothing".into(), state: String::new() }.under(1), None);
    }
}
