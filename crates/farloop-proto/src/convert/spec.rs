//! Described calls.

use std::sync::Arc;

use farloop_core::spec::{ContextValue, Dependency, Options, Spec, Trace};

use super::{WireError, duration_from_wire, duration_to_wire};
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
    }
}

/// Reads a spec that must be there.
pub(super) fn from_wire(spec: Option<v1::Spec>) -> Result<Arc<Spec>, WireError> {
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
        labels: o.labels.iter().map(|(key, value)| v1::Label { key: key.clone(), value: value.clone() }).collect(),
    }
}

fn read_options(o: v1::Options) -> Result<Options, WireError> {
    Ok(Options {
        timeout: o.timeout.map(|d| duration_from_wire(d, "timeout")).transpose()?,
        max_attempts: o.max_attempts,
        max_crashes: o.max_crashes,
        priority: o.priority,
        cancel_grace: o.cancel_grace.map(|d| duration_from_wire(d, "cancel_grace")).transpose()?,
        labels: o.labels.into_iter().map(|l| (l.key, l.value)).collect(),
    })
}
