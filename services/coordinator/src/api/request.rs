//! What people type becomes what the core takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farloop_core::actor::Part;
use farloop_core::api::GatherMode;
use farloop_core::id::TaskId;
use farloop_core::limits;
use farloop_core::spec::{Backoff, Dependency, Limit, Options, Policy, Retention, Spec, Trace};
use farloop_proto::convert::{duration_from_wire, spec};
use farloop_proto::json::{self, Typed};
use farloop_proto::v1;
use farloop_proto::v1::argument::Source;
use farloop_proto::v1::payload::Body;
use tonic::Status;

use crate::errors;

/// Longest wait of one call.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
/// Wait unless the caller says otherwise.
const WAIT: Duration = Duration::from_secs(30);
/// Things on a page unless the reader says otherwise.
const PAGE: usize = 50;
/// MessagePack's nil: stands where a dependency will be.
const NIL: Bytes = Bytes::from_static(&[0xc0]);

/// A call to start, with the task ids in its arguments still as text.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The id that the caller made; none: the coordinator makes one.
    pub(crate) task: Option<TaskId>,
    /// The caller's name for the request.
    pub(crate) request: Option<Arc<str>>,
    pub(crate) await_worker: bool,
    spec: Spec,
    named: Vec<Named>,
}

/// An argument that is another task's result.
#[derive(Debug)]
struct Named {
    position: u32,
    ids: Vec<String>,
    list: bool,
}

impl Draft {
    /// In the trace of its caller.
    pub(crate) fn traced(mut self, trace: Option<Arc<Trace>>) -> Self {
        self.spec.trace = trace;
        self
    }

    /// As what it is to an actor.
    pub(crate) fn acting(mut self, part: Part) -> Self {
        self.spec.actor = Some(Arc::new(part));
        self
    }

    /// Every id in the arguments, as it was typed.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.named.iter().flat_map(|n| &n.ids).map(String::as_str)
    }

    /// The spec, with the tasks that [`Self::ids`] stands for, in the same order.
    pub(crate) fn finish(mut self, tasks: Vec<TaskId>) -> Arc<Spec> {
        let mut tasks = tasks.into_iter();
        for Named { position, ids, list } in self.named {
            let tasks = tasks.by_ref().take(ids.len()).collect();
            self.spec.dependencies.push(Dependency { position, tasks, list });
        }
        Arc::new(self.spec)
    }
}

pub(crate) fn draft(mut request: v1::SubmitTaskRequest) -> Result<Draft, Status> {
    if request.function.is_empty() {
        return Err(errors::bad_field(
            "function",
            "is empty; name a function that a worker offers, as ListWorkers shows",
        ));
    }
    if !request.json_args.is_empty() && !request.args.is_empty() {
        return Err(errors::bad_field("jsonArgs", "stands next to args; give the arguments in one of them"));
    }
    let (task, name) = request_name(&request.request_id)?;
    let policy = policy(&mut request)?;
    let mut named = Vec::new();
    let mut values = Vec::with_capacity(request.json_args.len() + request.args.len());
    for value in &request.json_args {
        values.push(json::to_msgpack(&Typed(value)).map_err(|e| errors::bad_field("jsonArgs", e.to_string()))?);
    }
    for (position, argument) in (0u32..).zip(request.args) {
        let (ids, list) = match argument.source {
            Some(Source::Payload(payload)) => {
                values.push(read_payload(payload).map_err(|e| errors::bad_field(&format!("args[{position}]"), e))?);
                continue;
            }
            Some(Source::TaskId(id)) => (vec![id], false),
            Some(Source::TaskIds(v1::TaskIds { ids })) => (ids, true),
            None => {
                let message = "is empty; give a payload, a taskId or taskIds";
                return Err(errors::bad_field(&format!("args[{position}]"), message));
            }
        };
        values.push(NIL);
        named.push(Named { position, ids, list });
    }
    // In one order: the same request again must be the same task.
    let labels: BTreeMap<_, _> = request.labels.into_iter().collect();
    let spec = Spec {
        function: request.function.into(),
        fingerprint: 0,
        args: json::join(&values),
        dependencies: Vec::new(),
        name: (!request.display_name.is_empty()).then(|| request.display_name.into()),
        options: Options {
            timeout: duration(request.timeout, "timeout")?,
            max_attempts: if request.max_attempts == 0 { 1 } else { count(request.max_attempts, "maxAttempts")? },
            max_crashes: match request.max_crashes {
                Some(crashes) => count(crashes, "maxCrashes")?,
                None => Options::default().max_crashes,
            },
            priority: (request.priority != 0).then_some(request.priority),
            cancel_grace: duration(request.cancel_grace, "cancelGrace")?.or(Options::default().cancel_grace),
            labels: labels.into_iter().collect(),
            policy,
        },
        trace: None,
        context: None,
        stream: false,
        actor: None,
    };
    Ok(Draft { task, request: name, await_worker: request.await_worker, spec, named })
}

/// Options that few requests set; none if this one sets none of them.
fn policy(request: &mut v1::SubmitTaskRequest) -> Result<Option<Box<Policy>>, Status> {
    let policy = Policy {
        backoff: request.backoff.take().map(backoff).transpose()?,
        schedule_to_start: duration(request.schedule_to_start_timeout, "scheduleToStartTimeout")?,
        start_to_close: duration(request.start_to_close_timeout, "startToCloseTimeout")?,
        heartbeat: duration(request.heartbeat_timeout, "heartbeatTimeout")?,
        limit: match request.limit.take() {
            None => None,
            Some(limit) if limit.key.is_empty() => {
                return Err(errors::bad_field("limit.key", "is empty; name what the limit is for"));
            }
            Some(limit) => match u32::try_from(limit.at_once) {
                Ok(at_once @ 1..) => Some(Limit { key: limit.key.into(), at_once }),
                _ => return Err(errors::bad_field("limit.atOnce", "must be 1 or more")),
            },
        },
        fairness_key: (!request.fairness_key.is_empty()).then(|| std::mem::take(&mut request.fairness_key).into()),
        durability: spec::durability_from_wire(request.durability()),
        retention: match request.retention.take() {
            None => Retention::Usual,
            Some(keep) => spec::retention_from_wire(&keep)
                .map_err(|_| errors::bad_field("retention.for", "is no length of time; write \"1.5s\""))?,
        },
    };
    Ok((policy != Policy::default()).then(|| Box::new(policy)))
}

pub(super) fn backoff(given: v1::RetryBackoff) -> Result<Backoff, Status> {
    let initial = duration(given.initial_interval, "backoff.initialInterval")?.ok_or_else(|| {
        errors::bad_field("backoff.initialInterval", "is absent; give the pause after the first failed attempt")
    })?;
    let coefficient = if given.coefficient == 0.0 { Backoff::COEFFICIENT } else { given.coefficient };
    if !coefficient.is_finite() || coefficient < 1.0 {
        return Err(errors::bad_field("backoff.coefficient", "must be 1 or more"));
    }
    let jitter = given.jitter.unwrap_or(Backoff::JITTER);
    if !(0.0..=1.0).contains(&jitter) {
        return Err(errors::bad_field("backoff.jitter", "must lie between 0 and 1"));
    }
    let maximum = duration(given.maximum_interval, "backoff.maximumInterval")?;
    Ok(Backoff { coefficient, jitter, maximum: maximum.unwrap_or(Backoff::new(initial).maximum), initial })
}

/// How long a call may wait for what it asks.
pub(crate) fn wait(timeout: Option<prost_types::Duration>) -> Result<Duration, Status> {
    match duration(timeout, "timeout")? {
        None => Ok(WAIT),
        Some(wait) if wait <= LONGEST_WAIT => Ok(wait),
        Some(_) => Err(errors::bad_field("timeout", "one hour is the longest wait; ask again after it")),
    }
}

pub(crate) fn gather_mode(mode: v1::GatherMode) -> GatherMode {
    match mode {
        v1::GatherMode::Unspecified | v1::GatherMode::All => GatherMode::All,
        v1::GatherMode::FirstException => GatherMode::FirstException,
        v1::GatherMode::FirstCompleted => GatherMode::FirstCompleted,
        v1::GatherMode::AnyOk => GatherMode::AnyOk,
    }
}

pub(crate) fn return_when(when: v1::ReturnWhen) -> GatherMode {
    match when {
        v1::ReturnWhen::Unspecified | v1::ReturnWhen::AllCompleted => GatherMode::All,
        v1::ReturnWhen::FirstCompleted => GatherMode::FirstCompleted,
        v1::ReturnWhen::FirstException => GatherMode::FirstFailure,
    }
}

/// Things on a page.
pub(crate) fn page_size(asked: i32) -> Result<usize, Status> {
    match usize::try_from(asked) {
        Err(_) => Err(errors::bad_field("pageSize", format!("{asked} is negative"))),
        Ok(0) => Ok(PAGE),
        Ok(size) => Ok(size.min(limits::PAGE)),
    }
}

/// Where a page of a list that is numbered begins.
pub(crate) fn page_from(token: &str, method: &str) -> Result<usize, Status> {
    if token.is_empty() { Ok(0) } else { token.parse().map_err(|_| bad_page(method)) }
}

/// The thing that stood last on the page before.
pub(crate) fn page_before(token: &str, method: &str) -> Result<Option<TaskId>, Status> {
    if token.is_empty() { Ok(None) } else { TaskId::parse(token).map(Some).ok_or_else(|| bad_page(method)) }
}

fn bad_page(method: &str) -> Status {
    errors::bad_field("pageToken", format!("is none that {method} gave; leave it out for the first page"))
}

/// The name that a caller gave to a request. One that is a UUIDv7 is the task's id as well.
pub(crate) fn request_name(text: &str) -> Result<(Option<TaskId>, Option<Arc<str>>), Status> {
    if text.len() > limits::MAX_NAME {
        let message = format!("{} bytes; the limit MAX_NAME is {}", text.len(), limits::MAX_NAME);
        return Err(errors::bad_field("requestId", message));
    }
    let version = |id: &TaskId| (id.0 >> 76) & 0xf;
    let task = TaskId::parse(text).filter(|id| version(id) == 7);
    Ok((task, (!text.is_empty()).then(|| text.into())))
}

fn read_payload(payload: v1::Payload) -> Result<Bytes, String> {
    match (payload.body, payload.content_type.as_str()) {
        (Some(Body::Json(value)), _) => json::to_msgpack(&Typed(&value)).map_err(|e| e.to_string()),
        (Some(Body::Data(data)), "" | "application/msgpack") => {
            json::check(&data).map_err(|e| e.to_string())?;
            Ok(data)
        }
        (Some(Body::Data(data)), "application/json") => {
            let value: serde_json::Value = serde_json::from_slice(&data).map_err(|e| format!("no JSON: {e}"))?;
            json::to_msgpack(&value).map_err(|e| e.to_string())
        }
        (Some(Body::Data(_)), other) => {
            Err(format!("contentType `{other}` is not known; application/msgpack and application/json are"))
        }
        (None, _) => Err("the payload is empty; give json or data".into()),
    }
}

pub(super) fn duration(
    duration: Option<prost_types::Duration>,
    field: &'static str,
) -> Result<Option<Duration>, Status> {
    let read = duration.map(|d| duration_from_wire(d, field)).transpose();
    read.map_err(|_| errors::bad_field(field, "is no length of time; write \"1.5s\""))
}

pub(super) fn count(number: i32, field: &str) -> Result<u32, Status> {
    u32::try_from(number).map_err(|_| errors::bad_field(field, format!("{number} is negative")))
}
