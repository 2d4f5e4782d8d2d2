//! Ids and durations.

use core::time::Duration;

use farloop_core::id::{AttemptId, Epoch, Life, PrimitiveId, SessionId, TaskId, WorkerId};

use super::WireError;
use crate::v1;

macro_rules! id {
    ($($name:ident)*) => {$(
        impl From<$name> for v1::Id {
            fn from(id: $name) -> Self {
                let (high, low) = halves(id.0);
                Self { high, low }
            }
        }
        impl From<v1::Id> for $name {
            fn from(id: v1::Id) -> Self {
                Self(whole(id.high, id.low))
            }
        }
    )*};
}
id!(TaskId SessionId WorkerId PrimitiveId);

impl From<AttemptId> for v1::AttemptId {
    fn from(attempt: AttemptId) -> Self {
        let (task_high, task_low) = halves(attempt.task.0);
        Self { task_high, task_low, epoch: attempt.epoch.0 }
    }
}

impl From<v1::AttemptId> for AttemptId {
    fn from(attempt: v1::AttemptId) -> Self {
        Self { task: TaskId(whole(attempt.task_high, attempt.task_low)), epoch: Epoch(attempt.epoch) }
    }
}

#[allow(clippy::cast_possible_truncation)] // each half is 64 bits by construction
fn halves(id: u128) -> (u64, u64) {
    ((id >> 64) as u64, id as u64)
}

pub(super) fn whole(high: u64, low: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

impl From<Life> for v1::Life {
    fn from(life: Life) -> Self {
        let (high, low) = halves(life.cluster);
        Self { cluster: Some(v1::Id { high, low }), number: life.number }
    }
}

pub(super) fn life(life: v1::Life) -> Result<Life, WireError> {
    let cluster = life.cluster.ok_or(WireError::Missing("the cluster"))?;
    Ok(Life { cluster: whole(cluster.high, cluster.low), number: life.number })
}

/// An id of no type in particular.
pub(super) fn id_to_wire(id: u128) -> v1::Id {
    let (high, low) = halves(id);
    v1::Id { high, low }
}

/// An id that must be there.
pub(super) fn id<T: From<v1::Id>>(id: Option<v1::Id>, what: &'static str) -> Result<T, WireError> {
    id.map(T::from).ok_or(WireError::Missing(what))
}

/// An attempt that must be there.
pub(super) fn attempt(id: Option<v1::AttemptId>) -> Result<AttemptId, WireError> {
    id.map(AttemptId::from).ok_or(WireError::Missing("the attempt"))
}

/// A length of time; what exceeds 292 billion years is cut to that.
#[must_use]
pub fn duration_to_wire(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        // Below 10^9, so it fits.
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(i32::MAX),
    }
}

/// A length of time that came off the wire; `what` names it in the error.
///
/// # Errors
/// It is negative, or its nanoseconds are a second or more.
pub fn duration_from_wire(duration: prost_types::Duration, what: &'static str) -> Result<Duration, WireError> {
    match (u64::try_from(duration.seconds), u32::try_from(duration.nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Ok(Duration::new(seconds, nanos)),
        _ => Err(WireError::BadDuration(what)),
    }
}
