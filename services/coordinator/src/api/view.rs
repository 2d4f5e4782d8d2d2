//! What the core knows becomes what people read.

use std::time::SystemTime;

use bytes::Bytes;
use farloop_core::actor::ActorDef;
use farloop_core::api::{TaskState, TaskView, Told, WorkerView};
use farloop_core::bounds::Bound;
use farloop_core::id::{TaskId, WorkerId};
use farloop_core::outcome::{Failure, FailureKind, Outcome};
use farloop_core::spec::{FunctionDef, Spec};
use farloop_core::time::Time;
use farloop_proto::convert::{duration_to_wire, failure_kind, lost_worker};
use farloop_proto::v1::argument::Source;
use farloop_proto::v1::payload::Body;
use farloop_proto::{json, v1};

use super::schema;
use crate::driver::Driver;
use crate::journal;

/// Bodies above this many bytes are left out of lists, unless they are asked for.
const SHOWN_IN_LISTS: usize = 1_024;
/// Causes that are shown below each other.
const CAUSES: usize = 16;

/// How a reader wants payloads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Show {
    Json { at_most: usize },
    Raw,
    Nothing,
}

impl Show {
    /// Of one task.
    pub(crate) fn one(format: v1::PayloadFormat) -> Self {
        match format {
            v1::PayloadFormat::Unspecified | v1::PayloadFormat::Json => Self::Json { at_most: usize::MAX },
            v1::PayloadFormat::Raw => Self::Raw,
            v1::PayloadFormat::None => Self::Nothing,
        }
    }

    /// Of many tasks.
    pub(crate) fn many(format: v1::PayloadFormat) -> Self {
        match format {
            v1::PayloadFormat::Unspecified => Self::Json { at_most: SHOWN_IN_LISTS },
            other => Self::one(other),
        }
    }
}

pub(crate) fn task(view: TaskView, show: Show, driver: &Driver) -> v1::Task {
    let stamp = |at: Time| timestamp(driver.on_the_wall(at));
    let result = match &view.outcome {
        Some(Outcome::Returned(value)) => Some(payload(value, show)),
        _ => None,
    };
    let failure = why_no_value(&view, show);
    let (json_args, args) = arguments(&view.spec, show);
    v1::Task {
        task_id: view.task.to_string(),
        display_name: view.spec.name.as_deref().unwrap_or_default().into(),
        function: view.spec.function.as_ref().into(),
        state: state(view.state).into(),
        json_args,
        args,
        result,
        failure,
        parent_task_id: view.parent.map(|t| t.to_string()).unwrap_or_default(),
        root_session_id: view.root.map(|s| s.to_string()).unwrap_or_default(),
        worker_id: view.worker.map(|w| w.to_string()).unwrap_or_default(),
        attempt: clamp(view.attempt),
        cancelling: clamp(view.cancelling),
        awaits_task_ids: view.awaits.iter().map(TaskId::to_string).collect(),
        create_time: Some(stamp(view.created)),
        start_time: view.started.map(stamp),
        end_time: view.ended.map(stamp),
        labels: view.spec.options.labels.iter().cloned().collect(),
        priority: view.priority,
        progress: view.progress.as_ref().map(|value| payload(value, show)),
        retry_time: view.retry_at.map(stamp),
        request_id: view.request.as_deref().unwrap_or_default().into(),
        pinned: view.pinned,
    }
}

/// Why a task that is over returned no value.
pub(super) fn why_no_value(view: &TaskView, show: Show) -> Option<v1::Failure> {
    match view.outcome.as_ref()? {
        Outcome::Returned(_) => None,
        Outcome::Raised(f) => Some(failure(f, view.task, show, CAUSES)),
        Outcome::Cancelled(c) => {
            let message = c.message.clone().unwrap_or_default();
            let r#type = "farloop::Cancelled".into();
            Some(v1::Failure { r#type, message, abandoned: c.abandoned, ..Default::default() })
        }
    }
}

/// What a task printed, if it printed anything.
pub(crate) fn log(view: &TaskView) -> Option<v1::TaskLog> {
    let log = &view.log;
    let printed = !log.text.is_empty() || log.lost > 0;
    printed.then(|| v1::TaskLog { text: log.text.clone(), lost_lines: clamp(log.lost) })
}

pub(crate) fn worker(view: WorkerView) -> v1::Worker {
    let mut functions: Vec<_> = view
        .functions
        .iter()
        .filter(|f| f.actor.is_none())
        .map(|f| v1::Function {
            function: f.name.as_ref().into(),
            signature: signature(f),
            concurrency: clamp(f.concurrency),
        })
        .collect();
    functions.sort_by(|a, b| a.function.cmp(&b.function));
    let makes = |f: &&FunctionDef| matches!(f.actor.as_deref(), Some(ActorDef::Type(_)));
    let mut actor_types: Vec<String> = view.functions.iter().filter(makes).map(|f| f.name.as_ref().into()).collect();
    actor_types.sort();
    v1::Worker {
        worker_id: view.worker.to_string(),
        display_name: view.name,
        slots: clamp(view.slots),
        leased: Some(clamp(view.leased)),
        running: Some(clamp(view.running)),
        suspended: Some(clamp(view.suspended)),
        credits: Some(clamp(view.credits)),
        connected: Some(view.connected),
        draining: view.draining,
        functions,
        abandoned: clamp(view.abandoned),
        labels: view.labels.into_iter().collect(),
        actor_types,
    }
}

/// A message of AsCompleted.
pub(crate) fn completed(told: Told, show: Show, driver: &Driver) -> Option<v1::as_completed_response::Event> {
    use v1::as_completed_response::Event;
    match told {
        Told::Task(view) => Some(Event::Task(task(*view, show, driver))),
        Told::Pending(tasks) => {
            Some(Event::Pending(v1::TaskIds { ids: tasks.iter().map(TaskId::to_string).collect() }))
        }
        Told::SnapshotEnd | Told::Lost(_) | Told::Actor(_) => None,
    }
}

/// A message of WatchTasks.
pub(crate) fn watched(told: Told, show: Show, driver: &Driver) -> Option<v1::watch_tasks_response::Event> {
    use v1::watch_tasks_response::Event;
    match told {
        Told::Task(view) => Some(Event::Task(task(*view, show, driver))),
        Told::SnapshotEnd => Some(Event::SnapshotEnd(true)),
        Told::Lost(count) => Some(Event::LostCount(clamp(count))),
        Told::Pending(_) | Told::Actor(_) => None,
    }
}

/// A function, and who offers it.
pub(crate) fn function(def: &FunctionDef, workers: &[WorkerId]) -> v1::FunctionSchema {
    v1::FunctionSchema {
        function: def.name.as_ref().into(),
        signature: signature(def),
        parameters: parameters(def),
        returns: def.returns.clone(),
        result_schema: schema_of(&def.returns),
        worker_ids: workers.iter().map(WorkerId::to_string).collect(),
    }
}

/// What a function takes, in order.
pub(super) fn parameters(def: &FunctionDef) -> Vec<v1::ParameterSchema> {
    let parameter = |(name, written): &(String, String)| v1::ParameterSchema {
        name: name.clone(),
        r#type: written.clone(),
        schema: schema_of(written),
    };
    def.args.iter().map(parameter).collect()
}

/// JSON Schema of a type, where its name says something.
pub(super) fn schema_of(written: &str) -> Option<prost_types::Value> {
    schema::of(written).map(json::to_wire)
}

/// As it is written.
pub(crate) fn signature(def: &FunctionDef) -> String {
    let args: Vec<String> = def.args.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    format!("({}) -> {}", args.join(", "), def.returns)
}

pub(crate) fn limit(name: &str, bound: Bound) -> v1::Limit {
    use v1::limit::Value;
    let value = match bound {
        Bound::Amount(amount) => Value::Amount(i64::try_from(amount).unwrap_or(i64::MAX)),
        Bound::Time(time) => Value::Time(duration_to_wire(time)),
    };
    v1::Limit { name: name.into(), value: Some(value) }
}

pub(crate) fn store(standing: journal::Standing) -> v1::StoreStatus {
    let journal::Standing { life, bytes, waiting, sync, full } = standing;
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    v1::StoreStatus {
        life: count(life),
        size_bytes: count(bytes),
        waiting_records: count(waiting),
        last_sync: Some(duration_to_wire(sync)),
        full: full.unwrap_or_default(),
    }
}

pub(crate) fn timestamp(at: SystemTime) -> prost_types::Timestamp {
    at.into()
}

/// A count for people; beyond two thousand million the exact one no longer matters.
pub(crate) fn clamp(count: impl TryInto<i32>) -> i32 {
    count.try_into().unwrap_or(i32::MAX)
}

fn state(state: TaskState) -> v1::TaskState {
    match state {
        TaskState::Pending => v1::TaskState::Pending,
        TaskState::Running => v1::TaskState::Running,
        TaskState::Suspended => v1::TaskState::Suspended,
        TaskState::Succeeded => v1::TaskState::Succeeded,
        TaskState::Failed => v1::TaskState::Failed,
        TaskState::Cancelled => v1::TaskState::Cancelled,
    }
}

/// As plain JSON if that says it all, otherwise one by one.
pub(super) fn arguments(spec: &Spec, show: Show) -> (Vec<prost_types::Value>, Vec<v1::Argument>) {
    if let Show::Json { at_most } = show
        && spec.dependencies.is_empty()
        && spec.args.len() <= at_most
        && let Ok(serde_json::Value::Array(values)) = json::from_msgpack(&spec.args)
    {
        return (values.into_iter().map(json::to_wire).collect(), Vec::new());
    }
    (Vec::new(), one_by_one(spec, show))
}

fn one_by_one(spec: &Spec, show: Show) -> Vec<v1::Argument> {
    // Arguments that are no array came from an SDK with a defect; its worker will say so in the task's failure.
    let values = json::split(&spec.args).unwrap_or_else(|_| vec![spec.args.clone()]);
    let dependency = |position: usize| spec.dependencies.iter().find(|d| d.position as usize == position);
    values
        .iter()
        .enumerate()
        .map(|(position, value)| match dependency(position) {
            None => Source::Payload(payload(value, show)),
            Some(d) => match d.tasks.as_slice() {
                [task] if !d.list => Source::TaskId(task.to_string()),
                tasks => Source::TaskIds(v1::TaskIds { ids: tasks.iter().map(TaskId::to_string).collect() }),
            },
        })
        .map(|source| v1::Argument { source: Some(source) })
        .collect()
}

fn payload(value: &Bytes, show: Show) -> v1::Payload {
    let raw = || v1::Payload {
        body: Some(Body::Data(value.clone())),
        content_type: "application/msgpack".into(),
        ..Default::default()
    };
    match show {
        Show::Json { at_most } if value.len() <= at_most => match json::from_msgpack(value) {
            Ok(shown) => v1::Payload { body: Some(Body::Json(json::to_wire(shown))), ..Default::default() },
            // Nested too deeply, or no MessagePack: as it is, then.
            Err(_) => raw(),
        },
        Show::Raw => raw(),
        Show::Json { .. } | Show::Nothing => v1::Payload { size: clamp(value.len()), ..Default::default() },
    }
}

fn failure(failure: &Failure, of: TaskId, show: Show, levels: usize) -> v1::Failure {
    let cause = match &failure.kind {
        FailureKind::DependencyFailed(inner) if levels > 0 => {
            let (task, failure) = inner.as_ref();
            let mut cause = self::failure(failure, *task, show, levels - 1);
            cause.task_id = task.to_string();
            Some(Box::new(cause))
        }
        // The text says how many there are; the first stands for them.
        FailureKind::Group(members) if levels > 0 && !members.is_empty() => {
            members.first().map(|first| Box::new(self::failure(first, of, show, levels - 1)))
        }
        _ => failure.causes.iter().take(levels).rev().fold(None, |inner, (r#type, message)| {
            let (r#type, message) = (r#type.clone(), message.clone());
            Some(Box::new(v1::Failure { r#type, message, cause: inner, ..Default::default() }))
        }),
    };
    v1::Failure {
        kind: failure_kind(&failure.kind).into(),
        r#type: failure.type_name.clone(),
        message: failure.message.clone(),
        cause,
        details: failure.details.as_ref().map(|d| payload(d, show)),
        retryable: failure.retryable,
        task_id: failure.task.filter(|t| *t != of).map(|t| t.to_string()).unwrap_or_default(),
        location: failure.location.clone().unwrap_or_default(),
        abandoned: false,
        crashes: failure.crashes.iter().map(lost_worker).collect(),
        may_have_run: failure.may_have_run,
    }
}
