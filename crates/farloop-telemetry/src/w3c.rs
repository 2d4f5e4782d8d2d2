//! W3C trace context (<https://www.w3.org/TR/trace-context/>), version 00, between the current span and text.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// `traceparent` and `tracestate` of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// `00-<trace id>-<span id>-<flags>`
    pub parent: String,
    /// Vendors' part; may be empty.
    pub state: String,
}

impl TraceContext {
    /// What a header says; none if it is no trace context.
    #[must_use]
    pub fn parse(parent: &str, state: &str) -> Option<Self> {
        // The standard's own limit; what is longer may be dropped.
        let state = if state.len() <= 512 { state } else { "" };
        let context = Self { parent: parent.into(), state: state.into() };
        context.span_context().map(|_| context)
    }

    /// Of the current span; none if traces don't travel or no span is recorded.
    #[must_use]
    pub fn current() -> Option<Self> {
        if !super::propagates_traces() {
            return None;
        }
        let context = tracing::Span::current().context();
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| Self {
            parent: format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8()),
            state: span.trace_state().header(),
        })
    }

    /// Makes this the parent of `span`. Text that is no trace context is ignored, as the standard asks.
    pub fn adopt(&self, span: &tracing::Span) {
        if let Some(remote) = self.span_context() {
            // Fails only where no OpenTelemetry layer is installed: then there is nothing to link.
            let _ = span.set_parent(Context::new().with_remote_span_context(remote));
        }
    }

    pub(crate) fn span_context(&self) -> Option<SpanContext> {
        let mut parts = self.parent.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != "00" || parts.next().is_some() || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
            return None;
        }
        let context = SpanContext::new(
            TraceId::from_hex(trace).ok()?,
            SpanId::from_hex(span).ok()?,
            TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
            true,
            self.state.parse::<TraceState>().unwrap_or_default(),
        );
        context.is_valid().then_some(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parent: &str) -> Option<SpanContext> {
        TraceContext { parent: parent.into(), state: String::new() }.span_context()
    }

    #[test]
    fn reads_the_standards_own_example() {
        let span = of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").expect("valid");
        assert_eq!(span.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(span.span_id().to_string(), "00f067aa0ba902b7");
        assert!(span.is_sampled());
    }

    #[test]
    fn ignores_what_is_no_trace_context() {
        for text in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-zzf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(of(text).is_none(), "{text}");
        }
    }
}
