//! Described calls.

use std::sync::Arc;

use farloop_core::limits::SPEC_NESTING;
use farloop_core::spec::{
    Backoff, ContextValue, Dependency, Durability, Limit, Options, Policy, Retention, Spec, Trace,
};

use super::{WireError, actor, duration_from_wire, duration_to_wire};
use crate::v1;

/// The wire form of a spec, which is shared and stays where it is.
pub(super) fn to_wire(spec: &Spec) -> v1::Spec {
    v1::Spec {
        function: spec.function.as_ref().into(),
        fingerprint: spec.fingerprint,
        args: spec.args.clone(),
        dependencies: spec.dependencies.iter().map(dependency).collect(),
        name: spec.name.as_deref().map(Into::into),
        // Most calls have none, and an absent message costs nothing.
        options: (spec.options != Options::default()).then(|| options(&spec.options)),
        trace: spec.trace.as_deref().map(|t| v1::Trace { parent: t.parent.clone(), state: t.state.clone() }),
        context: spec.context.iter().flat_map(|values| values.iter()).map(context_value).collect(),
        stream: spec.stream,
        actor: spec.actor.as_deref().map(|part| Box::new(actor::to_wire(part))),
    }
}

/// Reads a spec that must be there.
pub(super) fn from_wire(spec: Option<v1::Spec>) -> Result<Arc<Spec>, WireError> {
    read(spec, 0)
}

/// Reads a spec that must be there and is inside of `level` others.
pub(super) fn read(spec: Option<v1::Spec>, level: usize) -> Result<Arc<Spec>, WireError> {
    if level > SPEC_NESTING {
        return Err(WireError::TooDeep("specs"));
    }
    let spec = spec.ok_or(WireError::Missing("the spec"))?;
    Ok(Arc::new(Spec {
        function: spec.function.into(),
        fingerprint: spec.fingerprint,
        args: spec.args,
        dependencies: spec
            .dependencies
            .into_iter()
            .map(|d| Dependency {
                position: d.position,
                tasks: d.tasks.into_iter().map(Into::into).collect(),
                list: d.list,
            })
            .collect(),
        name: spec.name.map(Into::into),
        options: spec.options.map_or_else(|| Ok(Options::default()), read_options)?,
        trace: spec.trace.map(|t| Arc::new(Trace { parent: t.parent, state: t.state })),
        context: (!spec.context.is_empty()).then(|| {
            let value = |v: v1::ContextValue| ContextValue { name: v.name.into(), value: v.value };
            Arc::new(spec.context.into_iter().map(value).collect())
        }),
        stream: spec.stream,
        actor: spec.actor.map(|part| actor::from_wire(*part, level).map(Arc::new)).transpose()?,
    }))
}

fn context_value(v: &ContextValue) -> v1::ContextValue {
    v1::ContextValue { name: v.name.as_ref().into(), value: v.value.clone() }
}

fn dependency(d: &Dependency) -> v1::Dependency {
    v1::Dependency { position: d.position, tasks: d.tasks.iter().map(|&t| t.into()).collect(), list: d.list }
}

fn options(o: &Options) -> v1::Options {
    v1::Options {
        timeout: o.timeout.map(duration_to_wire),
        max_attempts: o.max_attempts,
        max_crashes: o.max_crashes,
        priority: o.priority,
        cancel_grace: o.cancel_grace.map(duration_to_wire),
        labels: labels(&o.labels),
        ..o.policy.as_deref().map(policy).unwrap_or_default()
    }
}

pub(super) fn labels(labels: &[(String, String)]) -> Vec<v1::Label> {
    labels.iter().map(|(key, value)| v1::Label { key: key.clone(), value: value.clone() }).collect()
}

pub(super) fn read_labels(labels: Vec<v1::Label>) -> Vec<(String, String)> {
    labels.into_iter().map(|l| (l.key, l.value)).collect()
}

/// The part of the options that few calls set; the rest is for the caller to fill in.
fn policy(p: &Policy) -> v1::Options {
    v1::Options {
        backoff: p.backoff.as_ref().map(backoff),
        schedule_to_start: p.schedule_to_start.map(duration_to_wire),
        start_to_close: p.start_to_close.map(duration_to_wire),
        heartbeat: p.heartbeat.map(duration_to_wire),
        limit: p.limit.as_ref().map(|l| v1::KeyLimit { key: l.key.as_ref().into(), at_once: l.at_once }),
        fairness_key: p.fairness_key.as_ref().map(|k| k.as_ref().into()),
        durability: durability(p.durability).into(),
        retention: retention(p.retention),
        ..Default::default()
    }
}

fn read_policy(o: &mut v1::Options) -> Result<Option<Box<Policy>>, WireError> {
    let time = |d: Option<prost_types::Duration>, what| d.map(|d| duration_from_wire(d, what)).transpose();
    let policy = Policy {
        backoff: o.backoff.take().map(read_backoff).transpose()?,
        schedule_to_start: time(o.schedule_to_start.take(), "schedule_to_start")?,
        start_to_close: time(o.start_to_close.take(), "start_to_close")?,
        heartbeat: time(o.heartbeat.take(), "heartbeat")?,
        limit: o.limit.take().map(|l| Limit { key: l.key.into(), at_once: l.at_once }),
        fairness_key: o.fairness_key.take().map(Into::into),
        durability: durability_from_wire(o.durability()),
        retention: o.retention.take().map_or(Ok(Retention::Usual), |keep| retention_from_wire(&keep))?,
    };
    // Absent and empty are one: what is the same must be equal.
    Ok((policy != Policy::default()).then(|| Box::new(policy)))
}

/// The default is not sent.
fn durability(durability: Durability) -> v1::Durability {
    match durability {
        Durability::Durable => v1::Durability::Unspecified,
        Durability::Buffered => v1::Durability::Buffered,
        Durability::Memory => v1::Durability::Memory,
    }
}

fn retention(retention: Retention) -> Option<v1::Retention> {
    use v1::retention::Keep;
    let keep = match retention {
        Retention::Usual => return None,
        Retention::For(time) => Keep::For(duration_to_wire(time)),
        Retention::UntilConsumed => Keep::UntilConsumed(true),
        Retention::Pinned => Keep::Pinned(true),
    };
    Some(v1::Retention { keep: Some(keep) })
}

/// What becomes of a task when the coordinator dies.
#[must_use]
pub fn durability_from_wire(durability: v1::Durability) -> Durability {
    match durability {
        v1::Durability::Unspecified | v1::Durability::Durable => Durability::Durable,
        v1::Durability::Buffered => Durability::Buffered,
        v1::Durability::Memory => Durability::Memory,
    }
}

/// How long an outcome is kept.
///
/// # Errors
/// Its time is no length of time.
pub fn retention_from_wire(retention: &v1::Retention) -> Result<Retention, WireError> {
    use v1::retention::Keep;
    Ok(match retention.keep {
        Some(Keep::For(time)) => Retention::For(duration_from_wire(time, "retention")?),
        Some(Keep::UntilConsumed(true)) => Retention::UntilConsumed,
        Some(Keep::Pinned(true)) => Retention::Pinned,
        Some(Keep::UntilConsumed(false) | Keep::Pinned(false)) | None => Retention::Usual,
    })
}

pub(super) fn backoff(b: &Backoff) -> v1::Backoff {
    v1::Backoff {
        initial: Some(duration_to_wire(b.initial)),
        coefficient: b.coefficient,
        maximum: Some(duration_to_wire(b.maximum)),
        jitter: b.jitter,
    }
}

pub(super) fn read_backoff(b: v1::Backoff) -> Result<Backoff, WireError> {
    let time = |d: Option<prost_types::Duration>, what| duration_from_wire(d.unwrap_or_default(), what);
    Ok(Backoff {
        initial: time(b.initial, "the initial backoff")?,
        coefficient: b.coefficient,
        maximum: time(b.maximum, "the maximum backoff")?,
        jitter: b.jitter,
    })
}

fn read_options(mut o: v1::Options) -> Result<Options, WireError> {
    Ok(Options {
        policy: read_policy(&mut o)?,
        timeout: o.timeout.map(|d| duration_from_wire(d, "timeout")).transpose()?,
        max_attempts: o.max_attempts,
        max_crashes: o.max_crashes,
        priority: o.priority,
        cancel_grace: o.cancel_grace.map(|d| duration_from_wire(d, "cancel_grace")).transpose()?,
        labels: read_labels(o.labels),
    })
}
