//! How tasks end.

use std::sync::Arc;

use farloop_core::id::WorkerId;
use farloop_core::outcome::{Cancellation, Failure, FailureKind, LostWorker, Outcome};

use super::{WireError, scalar};
use crate::v1;

/// Levels of "its dependency failed" that are told one by one. Decoders stop at a hundred nested messages, and a chain
/// of ten thousand tasks may fail from its far end: past this depth comes the failure at the root.
const LEVELS: usize = 16;

pub(super) fn to_wire(outcome: &Outcome) -> v1::Outcome {
    use v1::outcome::Outcome as Wire;
    let outcome = match outcome {
        Outcome::Returned(value) => Wire::Returned(value.clone()),
        Outcome::Raised(failure) => Wire::Raised(Box::new(failure_to_wire(failure))),
        Outcome::Cancelled(c) => {
            Wire::Cancelled(v1::Cancellation { message: c.message.clone(), abandoned: c.abandoned })
        }
    };
    v1::Outcome { outcome: Some(outcome) }
}

pub(super) fn from_wire(outcome: Option<v1::Outcome>) -> Result<Outcome, WireError> {
    use v1::outcome::Outcome as Wire;
    Ok(match outcome.and_then(|o| o.outcome).ok_or(WireError::Missing("the outcome"))? {
        Wire::Returned(value) => Outcome::Returned(value),
        Wire::Raised(failure) => Outcome::Raised(Arc::new(read_raised(failure)?)),
        Wire::Cancelled(c) => Outcome::Cancelled(Arc::new(Cancellation { message: c.message, abandoned: c.abandoned })),
    })
}

/// The name of a kind on the wire, without what some kinds carry.
#[must_use]
pub fn failure_kind(kind: &FailureKind) -> v1::FailureKind {
    use v1::FailureKind as Wire;
    match kind {
        FailureKind::Panicked => Wire::Panicked,
        FailureKind::WorkerLost => Wire::WorkerLost,
        FailureKind::DependencyFailed(_) => Wire::DependencyFailed,
        FailureKind::TimedOut => Wire::TimedOut,
        FailureKind::ResourceExhausted => Wire::ResourceExhausted,
        FailureKind::BadArguments => Wire::BadArguments,
        FailureKind::BadPayload => Wire::BadPayload,
        FailureKind::AlreadyExists => Wire::AlreadyExists,
        FailureKind::Expired => Wire::Expired,
        FailureKind::NotFound => Wire::NotFound,
        FailureKind::Stale => Wire::Stale,
        FailureKind::Deadlock(_) => Wire::Deadlock,
        FailureKind::DependencyCycle => Wire::DependencyCycle,
        FailureKind::SessionLost => Wire::SessionLost,
        FailureKind::SignatureMismatch => Wire::SignatureMismatch,
        FailureKind::ActorUnavailable => Wire::ActorUnavailable,
        FailureKind::ActorDied => Wire::ActorDied,
        FailureKind::Group(_) => Wire::Group,
        FailureKind::ScheduleToStartTimeout => Wire::ScheduleToStartTimeout,
        FailureKind::StartToCloseTimeout => Wire::StartToCloseTimeout,
        FailureKind::HeartbeatTimeout => Wire::HeartbeatTimeout,
        // A kind that this crate does not know yet is still an error of the task.
        _ => Wire::Raised,
    }
}

pub(super) fn failure_to_wire(failure: &Failure) -> v1::RaisedFailure {
    raised(failure, 0)
}

fn raised(failure: &Failure, level: usize) -> v1::RaisedFailure {
    let mut wire = v1::RaisedFailure {
        kind: failure_kind(&failure.kind).into(),
        type_name: failure.type_name.clone(),
        message: failure.message.clone(),
        details: failure.details.clone(),
        causes: failure
            .causes
            .iter()
            .map(|(type_name, message)| v1::Cause { type_name: type_name.clone(), message: message.clone() })
            .collect(),
        function: failure.function.as_ref().into(),
        task: failure.task.map(Into::into),
        worker: failure.worker.map(Into::into),
        attempt: failure.attempt,
        location: failure.location.clone(),
        retryable: failure.retryable,
        may_have_run: failure.may_have_run,
        crashes: failure.crashes.iter().map(lost_worker).collect(),
        ..Default::default()
    };
    match &failure.kind {
        FailureKind::DependencyFailed(inner) => {
            let (mut task, mut cause) = (inner.0, &inner.1);
            if level >= LEVELS {
                while let FailureKind::DependencyFailed(inner) = &cause.kind {
                    (task, cause) = (inner.0, &inner.1);
                }
            }
            wire.dependency = Some(task.into());
            wire.dependency_failure = Some(Box::new(raised(cause, level + 1)));
        }
        FailureKind::Deadlock(cycle) => wire.cycle = cycle.iter().map(|&t| t.into()).collect(),
        // Groups are cut to that depth where they are made; here it keeps the decoder's limit.
        FailureKind::Group(members) if level < LEVELS => {
            wire.members = members.iter().map(|member| raised(member, level + 1)).collect();
        }
        _ => {}
    }
    wire
}

/// A worker that was lost with a task.
#[must_use]
pub fn lost_worker(lost: &LostWorker) -> v1::LostWorker {
    let (seconds, millis) = (lost.at_ms / 1_000, lost.at_ms % 1_000);
    v1::LostWorker {
        worker_id: lost.worker.to_string(),
        display_name: lost.name.clone(),
        lost_time: (lost.at_ms > 0).then(|| prost_types::Timestamp {
            seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
            // Below 10^9, so it fits.
            nanos: i32::try_from(millis * 1_000_000).unwrap_or(0),
        }),
        ending: lost.ending.clone().unwrap_or_default(),
        company: i32::try_from(lost.company).unwrap_or(i32::MAX),
        log: lost.log.clone(),
    }
}

fn read_lost_worker(wire: v1::LostWorker) -> Result<LostWorker, WireError> {
    let at = wire.lost_time.unwrap_or_default();
    let (seconds, nanos) = (u64::try_from(at.seconds).unwrap_or(0), u64::try_from(at.nanos).unwrap_or(0));
    Ok(LostWorker {
        worker: WorkerId::parse(&wire.worker_id).ok_or(WireError::Missing("the worker that was lost"))?,
        name: wire.display_name,
        at_ms: seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000),
        ending: (!wire.ending.is_empty()).then_some(wire.ending),
        company: u32::try_from(wire.company).unwrap_or(0),
        log: wire.log,
    })
}

/// Recursion ends where the decoder's did: it refuses more than a hundred levels.
pub(super) fn read_raised(wire: Box<v1::RaisedFailure>) -> Result<Failure, WireError> {
    use v1::FailureKind as Wire;
    let kind = match wire.kind() {
        Wire::Raised => FailureKind::Raised,
        Wire::Panicked => FailureKind::Panicked,
        Wire::WorkerLost => FailureKind::WorkerLost,
        Wire::DependencyFailed => {
            let task = scalar::id(wire.dependency, "the dependency that failed")?;
            let failure = wire.dependency_failure.ok_or(WireError::Missing("why the dependency failed"))?;
            FailureKind::DependencyFailed(Box::new((task, Arc::new(read_raised(failure)?))))
        }
        Wire::TimedOut => FailureKind::TimedOut,
        Wire::ResourceExhausted => FailureKind::ResourceExhausted,
        Wire::BadArguments => FailureKind::BadArguments,
        Wire::BadPayload => FailureKind::BadPayload,
        Wire::AlreadyExists => FailureKind::AlreadyExists,
        Wire::Expired => FailureKind::Expired,
        Wire::NotFound => FailureKind::NotFound,
        Wire::Stale => FailureKind::Stale,
        Wire::Deadlock => FailureKind::Deadlock(wire.cycle.into_iter().map(Into::into).collect()),
        Wire::DependencyCycle => FailureKind::DependencyCycle,
        Wire::SessionLost => FailureKind::SessionLost,
        Wire::SignatureMismatch => FailureKind::SignatureMismatch,
        Wire::ActorUnavailable => FailureKind::ActorUnavailable,
        Wire::ActorDied => FailureKind::ActorDied,
        Wire::Group => {
            let members = wire.members.into_iter().map(|member| Ok(Arc::new(read_raised(Box::new(member))?)));
            FailureKind::Group(members.collect::<Result<_, WireError>>()?)
        }
        Wire::ScheduleToStartTimeout => FailureKind::ScheduleToStartTimeout,
        Wire::StartToCloseTimeout => FailureKind::StartToCloseTimeout,
        Wire::HeartbeatTimeout => FailureKind::HeartbeatTimeout,
        Wire::Unspecified => return Err(WireError::Unknown { what: "kind of failure", value: wire.kind }),
    };
    Ok(Failure {
        kind,
        type_name: wire.type_name,
        message: wire.message,
        details: wire.details,
        causes: wire.causes.into_iter().map(|c| (c.type_name, c.message)).collect(),
        function: wire.function.into(),
        task: wire.task.map(Into::into),
        worker: wire.worker.map(Into::into),
        attempt: wire.attempt,
        location: wire.location,
        retryable: wire.retryable,
        may_have_run: wire.may_have_run,
        crashes: wire.crashes.into_iter().map(read_lost_worker).collect::<Result<_, _>>()?,
    })
}
