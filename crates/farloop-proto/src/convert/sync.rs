//! Calls about locks, semaphores, events, queues and barriers.

use farloop_core::sync::{
    Primitive, PrimitiveKind, PrimitiveName, SyncAction, SyncAnswer, SyncCall, SyncEnd, SyncRefusal, SyncView,
};

use super::{WireError, scalar};
use crate::v1;
use crate::v1::SyncAction as Act;
use crate::v1::primitive::Name;
use crate::v1::sync_answer::Answer;

/// Pairs of one enum here and there.
macro_rules! pairs {
    ($to:ident, $from:ident, $core:ident, $wire:ident, $what:literal, $($name:ident)*) => {
        fn $to(value: $core) -> i32 {
            match value {
                $($core::$name => v1::$wire::$name.into(),)*
            }
        }
        fn $from(value: i32) -> Result<$core, WireError> {
            match v1::$wire::try_from(value) {
                $(Ok(v1::$wire::$name) => Ok($core::$name),)*
                Ok(v1::$wire::Unspecified) | Err(_) => Err(WireError::Unknown { what: $what, value }),
            }
        }
    };
}
pairs!(kind, read_kind, PrimitiveKind, PrimitiveKind, "kind of primitive",
    Semaphore Lock Event Queue LifoQueue PriorityQueue Barrier);
pairs!(end, read_end, SyncEnd, SyncEndKind, "end of a call", Release Withdraw Taken Rejoin);
pairs!(refusal, read_refusal, SyncRefusal, SyncRefusal, "refusal",
    Stale Mismatch Exhausted Gone Busy ShutDown Broken TooManyDone Misuse);

pub(super) fn call_to_wire(call: SyncCall) -> v1::SyncCall {
    let (name, owner) = match call.primitive.name {
        PrimitiveName::Shared(name) => (Name::Shared(name.to_string()), None),
        PrimitiveName::Own { id, owner } => (Name::Own(id.into()), owner.map(Into::into)),
    };
    let primitive =
        v1::Primitive { name: Some(name), owner, kind: kind(call.primitive.kind), size: call.primitive.size };
    let mut wire = v1::SyncCall {
        call: call.call,
        primitive: Some(primitive),
        attempt: call.attempt.map(Into::into),
        ..v1::SyncCall::default()
    };
    let action = match call.action {
        SyncAction::Acquire { now } => {
            wire.now = now;
            Act::Acquire
        }
        SyncAction::Release(token) => {
            wire.token = token;
            Act::Release
        }
        SyncAction::Check(token) => {
            wire.token = token;
            Act::Check
        }
        SyncAction::WaitNotified { condition, token } => {
            (wire.condition, wire.token) = (Some(condition.into()), token);
            Act::WaitNotified
        }
        SyncAction::Notify { condition, token, count } => {
            (wire.condition, wire.token, wire.count) = (Some(condition.into()), token, count);
            Act::Notify
        }
        SyncAction::Set => Act::Set,
        SyncAction::Clear => Act::Clear,
        SyncAction::Wait => Act::Wait,
        SyncAction::Put { item, priority, now } => {
            (wire.item, wire.priority, wire.now) = (item, priority, now);
            Act::Put
        }
        SyncAction::Get { now } => {
            wire.now = now;
            Act::Get
        }
        SyncAction::TaskDone => Act::TaskDone,
        SyncAction::Join => Act::Join,
        SyncAction::ShutDown { immediate } => {
            wire.now = immediate;
            Act::ShutDown
        }
        SyncAction::Arrive => Act::Arrive,
        SyncAction::Reset => Act::Reset,
        SyncAction::Abort => Act::Abort,
        SyncAction::Look => Act::Look,
    };
    wire.set_action(action);
    wire
}

pub(super) fn call_from_wire(wire: v1::SyncCall) -> Result<SyncCall, WireError> {
    let action = match wire.action() {
        Act::Unspecified => return Err(WireError::Unknown { what: "action", value: wire.action }),
        Act::Acquire => SyncAction::Acquire { now: wire.now },
        Act::Release => SyncAction::Release(wire.token),
        Act::Check => SyncAction::Check(wire.token),
        Act::WaitNotified => {
            let condition = scalar::id(wire.condition, "the condition")?;
            SyncAction::WaitNotified { condition, token: wire.token }
        }
        Act::Notify => {
            let condition = scalar::id(wire.condition, "the condition")?;
            SyncAction::Notify { condition, token: wire.token, count: wire.count }
        }
        Act::Set => SyncAction::Set,
        Act::Clear => SyncAction::Clear,
        Act::Wait => SyncAction::Wait,
        Act::Put => SyncAction::Put { item: wire.item, priority: wire.priority, now: wire.now },
        Act::Get => SyncAction::Get { now: wire.now },
        Act::TaskDone => SyncAction::TaskDone,
        Act::Join => SyncAction::Join,
        Act::ShutDown => SyncAction::ShutDown { immediate: wire.now },
        Act::Arrive => SyncAction::Arrive,
        Act::Reset => SyncAction::Reset,
        Act::Abort => SyncAction::Abort,
        Act::Look => SyncAction::Look,
    };
    let primitive = wire.primitive.ok_or(WireError::Missing("the primitive"))?;
    let name = match primitive.name.ok_or(WireError::Missing("the primitive's name"))? {
        Name::Shared(name) => PrimitiveName::Shared(name.into()),
        Name::Own(id) => PrimitiveName::Own { id: id.into(), owner: primitive.owner.map(Into::into) },
    };
    let primitive = Primitive { name, kind: read_kind(primitive.kind)?, size: primitive.size };
    Ok(SyncCall { call: wire.call, primitive, attempt: wire.attempt.map(Into::into), action })
}

pub(super) fn end_to_wire(call: u64, how: SyncEnd) -> v1::SyncEnd {
    v1::SyncEnd { call, end: end(how) }
}

pub(super) fn end_from_wire(wire: &v1::SyncEnd) -> Result<SyncEnd, WireError> {
    read_end(wire.end)
}

pub(super) fn answer_to_wire(call: u64, answer: SyncAnswer) -> v1::SyncAnswer {
    let answer = match answer {
        SyncAnswer::Done => None,
        SyncAnswer::Granted(token) => Some(Answer::Granted(token)),
        SyncAnswer::Item(item) => Some(Answer::Item(item)),
        SyncAnswer::Index(index) => Some(Answer::Index(index)),
        SyncAnswer::View(SyncView { count, waiting, unfinished, flag }) => {
            Some(Answer::View(v1::SyncView { count, waiting, unfinished, flag }))
        }
        SyncAnswer::Refused { why, message } => Some(Answer::Refused(v1::SyncRefused { why: refusal(why), message })),
    };
    v1::SyncAnswer { call, answer }
}

pub(super) fn answer_from_wire(answer: Option<Answer>) -> Result<SyncAnswer, WireError> {
    Ok(match answer {
        None => SyncAnswer::Done,
        Some(Answer::Granted(token)) => SyncAnswer::Granted(token),
        Some(Answer::Item(item)) => SyncAnswer::Item(item),
        Some(Answer::Index(index)) => SyncAnswer::Index(index),
        Some(Answer::View(v1::SyncView { count, waiting, unfinished, flag })) => {
            SyncAnswer::View(SyncView { count, waiting, unfinished, flag })
        }
        Some(Answer::Refused(refused)) => {
            SyncAnswer::Refused { why: read_refusal(refused.why)?, message: refused.message }
        }
    })
}
