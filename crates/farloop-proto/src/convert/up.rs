//! Items from a client or worker.

use farloop_core::frame::{Activity, Held, Owner, Submit, Up};
use farloop_core::id::{AttemptId, TaskId};
use farloop_core::link::Item;

use super::{WireError, actor, duration_from_wire, duration_to_wire, item, outcome, print, scalar, spec, sync};
use crate::v1;
use crate::v1::up_item::Item as Wire;

pub(crate) fn to_wire(item: Item<Up>) -> v1::UpItem {
    let (frame, tail) = match item {
        Item::Frame(frame) => (frame, false),
        Item::Tail(frame) => (frame, true),
        Item::Part(part) => return v1::UpItem { tail: false, item: Some(Wire::Part(part)) },
    };
    let item = match frame {
        Up::Submit(submit) => Wire::Submit(v1::Submit {
            task: Some(submit.task.into()),
            spec: Some(spec::to_wire(&submit.spec)),
            owner: owner(submit.owner).into(),
            creator: submit.creator.map(Into::into),
            within: submit.within.map(duration_to_wire),
        }),
        Up::Watch(task) => Wire::Watch(task.into()),
        Up::Cancel { task, message } => Wire::Cancel(v1::Cancel { task: Some(task.into()), message }),
        Up::Uncancel(task) => Wire::Uncancel(task.into()),
        Up::Release(task) => Wire::Release(task.into()),
        Up::Grant(starts) => Wire::Grant(starts),
        Up::Progress { attempt, activity, awaits, blocked } => {
            Wire::Progress(progress(attempt, activity, awaits, blocked))
        }
        Up::Attempt(held) => Wire::Attempt(held_to_wire(*held)),
        Up::Rejoined { starts } => Wire::Rejoined(v1::Rejoined { starts }),
        Up::CancelSeen { attempt, seen } => Wire::CancelSeen(v1::CancelSeen { attempt: Some(attempt.into()), seen }),
        Up::Ended { attempt, outcome, delivered } => Wire::Ended(v1::Ended {
            attempt: Some(attempt.into()),
            outcome: Some(outcome::to_wire(&outcome)),
            delivered,
        }),
        Up::Returned(attempt) => Wire::Returned(attempt.into()),
        Up::Print { attempt, print } => {
            Wire::Print(v1::AttemptPrint { attempt: Some(attempt.into()), print: Some(print::to_wire(print)) })
        }
        Up::Offer(functions) => Wire::Offer(v1::Offer { functions: functions.into_iter().map(Into::into).collect() }),
        Up::Sync(call) => Wire::Sync(sync::call_to_wire(*call)),
        Up::SyncEnd { call, end } => Wire::SyncEnd(sync::end_to_wire(call, end)),
        Up::Heartbeat => Wire::Heartbeat(v1::Heartbeat {}),
        Up::TaskHeartbeat { attempt, details } => {
            Wire::TaskHeartbeat(v1::TaskHeartbeat { attempt: Some(attempt.into()), details })
        }
        Up::TaskProgress { attempt, value } => {
            Wire::TaskProgress(v1::TaskProgress { attempt: Some(attempt.into()), value })
        }
        Up::WatchProgress(task) => Wire::WatchProgress(task.into()),
        Up::Abandoned(threads) => Wire::Abandoned(threads),
        Up::Snapshot(snapshot) => Wire::Snapshot(actor::snapshot_to_wire(*snapshot)),
        Up::Drain => Wire::Drain(v1::Drain {}),
        Up::Bye => Wire::Bye(v1::Bye {}),
        Up::Item { attempt, seq, value } => {
            Wire::YieldedItem(v1::YieldedItem { attempt: Some(attempt.into()), seq, value })
        }
        Up::Credit { task, taken } => Wire::TakenItems(v1::TakenItems { task: Some(task.into()), taken }),
    };
    v1::UpItem { tail, item: Some(item) }
}

pub(crate) fn from_wire(wire: v1::UpItem) -> Result<Item<Up>, WireError> {
    let frame = match wire.item.ok_or(WireError::Missing("the item"))? {
        Wire::Submit(submit) => Up::Submit(Submit {
            task: scalar::id(submit.task, "the task")?,
            owner: read_owner(submit.owner)?,
            spec: spec::from_wire(submit.spec)?,
            creator: submit.creator.map(Into::into),
            within: submit.within.map(|d| duration_from_wire(d, "within")).transpose()?,
        }),
        Wire::Watch(task) => Up::Watch(task.into()),
        Wire::Cancel(c) => Up::Cancel { task: scalar::id(c.task, "the task")?, message: c.message },
        Wire::Uncancel(task) => Up::Uncancel(task.into()),
        Wire::Release(task) => Up::Release(task.into()),
        Wire::Grant(starts) => Up::Grant(starts),
        Wire::Progress(p) => {
            let (attempt, activity, awaits, blocked) = read_progress(p)?;
            Up::Progress { attempt, activity, awaits, blocked }
        }
        Wire::Attempt(held) => Up::Attempt(Box::new(read_held(held)?)),
        Wire::Rejoined(r) => Up::Rejoined { starts: r.starts },
        Wire::CancelSeen(c) => Up::CancelSeen { attempt: scalar::attempt(c.attempt)?, seen: c.seen },
        Wire::Ended(e) => Up::Ended {
            attempt: scalar::attempt(e.attempt)?,
            outcome: outcome::from_wire(e.outcome)?,
            delivered: e.delivered,
        },
        Wire::Returned(attempt) => Up::Returned(attempt.into()),
        Wire::Print(p) => Up::Print { attempt: scalar::attempt(p.attempt)?, print: print::from_wire(p.print)? },
        Wire::Offer(offer) => {
            let functions = offer.functions.into_iter().map(TryInto::try_into);
            Up::Offer(functions.collect::<Result<_, _>>()?)
        }
        Wire::Sync(call) => Up::Sync(Box::new(sync::call_from_wire(call)?)),
        Wire::SyncEnd(end) => Up::SyncEnd { call: end.call, end: sync::end_from_wire(&end)? },
        Wire::Heartbeat(_) => Up::Heartbeat,
        Wire::TaskHeartbeat(h) => Up::TaskHeartbeat { attempt: scalar::attempt(h.attempt)?, details: h.details },
        Wire::TaskProgress(p) => Up::TaskProgress { attempt: scalar::attempt(p.attempt)?, value: p.value },
        Wire::WatchProgress(task) => Up::WatchProgress(task.into()),
        Wire::Abandoned(threads) => Up::Abandoned(threads),
        Wire::Snapshot(snapshot) => Up::Snapshot(Box::new(actor::read_snapshot(snapshot)?)),
        Wire::Drain(_) => Up::Drain,
        Wire::Bye(_) => Up::Bye,
        Wire::YieldedItem(i) => Up::Item { attempt: scalar::attempt(i.attempt)?, seq: i.seq, value: i.value },
        Wire::TakenItems(t) => Up::Credit { task: scalar::id(t.task, "the task")?, taken: t.taken },
        Wire::Part(_) if wire.tail => return Err(WireError::BadTail("part")),
        Wire::Part(part) => return Ok(Item::Part(part)),
    };
    Ok(item(frame, wire.tail))
}

fn progress(attempt: AttemptId, activity: Activity, awaits: Vec<TaskId>, blocked: bool) -> v1::Progress {
    v1::Progress {
        attempt: Some(attempt.into()),
        activity: match activity {
            Activity::Running => v1::Activity::Running.into(),
            Activity::Suspended => v1::Activity::Suspended.into(),
        },
        awaits: awaits.into_iter().map(Into::into).collect(),
        blocked,
    }
}

fn read_progress(p: v1::Progress) -> Result<(AttemptId, Activity, Vec<TaskId>, bool), WireError> {
    let activity = match p.activity() {
        v1::Activity::Running => Activity::Running,
        v1::Activity::Suspended => Activity::Suspended,
        v1::Activity::Unspecified => return Err(WireError::Unknown { what: "activity", value: p.activity }),
    };
    Ok((scalar::attempt(p.attempt)?, activity, p.awaits.into_iter().map(Into::into).collect(), p.blocked))
}

fn held_to_wire(held: Held) -> v1::HeldAttempt {
    v1::HeldAttempt {
        progress: Some(progress(held.attempt, held.activity, held.awaits, held.blocked)),
        number: held.number,
        begun: held.begun,
        told: held.told,
        seen: held.seen,
        taken: held.taken,
    }
}

fn read_held(held: v1::HeldAttempt) -> Result<Held, WireError> {
    let (attempt, activity, awaits, blocked) =
        read_progress(held.progress.ok_or(WireError::Missing("how the attempt stands"))?)?;
    let v1::HeldAttempt { number, begun, told, seen, taken, .. } = held;
    Ok(Held { attempt, number, begun, activity, awaits, blocked, told, seen, taken })
}

pub(super) fn owner(owner: Owner) -> v1::Owner {
    match owner {
        Owner::Await => v1::Owner::Await,
        Owner::Root => v1::Owner::Root,
        Owner::Nobody => v1::Owner::Nobody,
    }
}

pub(super) fn read_owner(owner: i32) -> Result<Owner, WireError> {
    match v1::Owner::try_from(owner) {
        Ok(v1::Owner::Await) => Ok(Owner::Await),
        Ok(v1::Owner::Root) => Ok(Owner::Root),
        Ok(v1::Owner::Nobody) => Ok(Owner::Nobody),
        Ok(v1::Owner::Unspecified) | Err(_) => Err(WireError::Unknown { what: "owner", value: owner }),
    }
}
