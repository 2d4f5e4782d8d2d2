//! Spans of the coordinator: one for a task from its acceptance to its outcome, and below it one for each time that the
//! task waited for a worker. The attempts, told by the workers, hang below the task's span too.
//!
//! The task's span is told when the task is over, and its id follows from the task's: so the starts that leave before can
//! name it as their parent, a restarted coordinator goes on with it, and nothing is kept per task.

use std::sync::Arc;
use std::time::SystemTime;

use farloop_core::api::Event;
use farloop_core::frame::Down;
use farloop_core::id::TaskId;
use farloop_core::link::{Batch, Item};
use farloop_core::outcome::Outcome;
use farloop_core::spec::{Spec, Trace};
use farloop_core::time::Time;
use farloop_telemetry::{Past, TraceContext, exports, span_of};

/// Tells a span that an event ends; whether the event was about that.
pub(crate) fn told(event: &Event, on_the_wall: impl Fn(Time) -> SystemTime) -> bool {
    match event {
        Event::Scheduled { task, spec, attempt, worker, since } => {
            let parent = context(spec).filter(|_| exports()).and_then(|caller| caller.under(span_of(task.0)));
            if let Some(parent) = parent {
                let about = vec![
                    ("farloop.task.id", task.to_string()),
                    ("farloop.task.attempt", attempt.to_string()),
                    ("farloop.worker.id", worker.to_string()),
                ];
                let name = format!("schedule {}", spec.function);
                let (from, to) = (on_the_wall(*since), SystemTime::now());
                Past { name, id: None, parent: &parent, from, to, about, error: None }.tell();
            }
        }
        Event::Over { task, spec, attempts, created, outcome } => {
            if let Some(parent) = context(spec).filter(|_| exports()) {
                let (state, error) = end(outcome);
                let about = vec![
                    ("farloop.task.id", task.to_string()),
                    ("farloop.task.state", state.into()),
                    ("farloop.task.attempts", attempts.to_string()),
                    ("farloop.function", spec.function.to_string()),
                ];
                let name = format!("task {}", spec.function);
                let (from, to) = (on_the_wall(*created), SystemTime::now());
                Past { name, id: Some(span_of(task.0)), parent: &parent, from, to, about, error }.tell();
            }
        }
        _ => return false,
    }
    true
}

/// Puts the span of the task above the attempts that this batch starts.
pub(crate) fn adopt(batch: &mut Batch<Down>) {
    if !exports() {
        return;
    }
    for item in &mut batch.items {
        if let Item::Frame(Down::Start(start)) = item
            && let Some(below) = below(start.attempt.task, &start.spec)
        {
            let trace = Arc::new(Trace { parent: below.parent, state: below.state });
            start.spec = Arc::new(Spec { trace: Some(trace), ..Spec::clone(&start.spec) });
        }
    }
}

/// The trace that a call of the public API belongs to, by its headers.
pub(crate) fn of_caller(headers: &tonic::metadata::MetadataMap) -> Option<Arc<Trace>> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let context = TraceContext::parse(text("traceparent")?, text("tracestate").unwrap_or_default())?;
    Some(Arc::new(Trace { parent: context.parent, state: context.state }))
}

fn below(task: TaskId, spec: &Spec) -> Option<TraceContext> {
    context(spec)?.under(span_of(task.0))
}

fn context(spec: &Spec) -> Option<TraceContext> {
    spec.trace.as_ref().map(|trace| TraceContext { parent: trace.parent.clone(), state: trace.state.clone() })
}

fn end(outcome: &Outcome) -> (&'static str, Option<String>) {
    match outcome {
        Outcome::Returned(_) => ("SUCCEEDED", None),
        Outcome::Raised(failure) => ("FAILED", Some(failure.message.to_string())),
        Outcome::Cancelled(_) => ("CANCELLED", None),
    }
}
