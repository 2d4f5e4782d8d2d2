//! Items from the coordinator.

use bytes::Bytes;
use farloop_core::frame::{Down, Start, StartMore};
use farloop_core::link::Item;

use super::{WireError, duration_from_wire, duration_to_wire, item, outcome, print, scalar, spec, sync};
use crate::v1;
use crate::v1::down_item::Item as Wire;

pub(crate) fn to_wire(item: Item<Down>) -> v1::DownItem {
    let (frame, tail) = match item {
        Item::Frame(frame) => (frame, false),
        Item::Tail(frame) => (frame, true),
        Item::Part(part) => return v1::DownItem { tail: false, item: Some(Wire::Part(part)) },
    };
    let item = match frame {
        Down::Resolved { task, outcome } => {
            Wire::Resolved(v1::Resolved { task: Some(task.into()), outcome: Some(outcome::to_wire(&outcome)) })
        }
        Down::Print { task, print } => {
            Wire::Print(v1::TaskPrint { task: Some(task.into()), print: Some(print::to_wire(print)) })
        }
        Down::Stranded { task, why } => Wire::Stranded(v1::Stranded { task: Some(task.into()), why }),
        Down::CancelCount { task, count } => Wire::CancelCount(v1::CancelCount { task: Some(task.into()), count }),
        Down::Input { attempt, task, value } => {
            Wire::Input(v1::Input { attempt: Some(attempt.into()), task: Some(task.into()), value })
        }
        Down::Start(start) => {
            let more = start.more.map_or_else(StartMore::default, |more| *more);
            Wire::Start(v1::Start {
                attempt: Some(start.attempt.into()),
                number: start.number,
                spec: Some(spec::to_wire(&start.spec)),
                root: start.root.map(Into::into),
                depth: start.depth,
                remaining: start.remaining.map(duration_to_wire),
                cancels: start.cancels,
                details: more.details,
                incarnation: more.incarnation.map(Into::into),
                reenters: more.reenters,
            })
        }
        Down::TaskProgress { task, value } => Wire::ProgressValue(v1::ProgressValue { task: Some(task.into()), value }),
        Down::Cancel { attempt, number, message } => {
            Wire::Cancel(v1::DeliverCancel { attempt: Some(attempt.into()), number, message })
        }
        Down::CancelWithdrawn { attempt, standing } => {
            Wire::CancelWithdrawn(v1::CancelWithdrawn { attempt: Some(attempt.into()), standing })
        }
        Down::Fence(attempt) => Wire::Fence(attempt.into()),
        Down::Recall(attempt) => Wire::Recall(attempt.into()),
        Down::Deadlock { attempt, cycle } => Wire::Deadlock(v1::Deadlock {
            attempt: Some(attempt.into()),
            cycle: cycle.into_iter().map(Into::into).collect(),
        }),
        Down::Sync { call, answer } => Wire::Sync(sync::answer_to_wire(call, answer)),
        Down::Drain => Wire::Drain(v1::Drain {}),
        Down::Stop(incarnation) => Wire::Stop(incarnation.into()),
        Down::Move(incarnation) => Wire::Move(incarnation.into()),
        Down::Leave => Wire::Leave(v1::Drain {}),
        Down::Item { task, seq, value } => Wire::StreamItem(v1::StreamItem { task: Some(task.into()), seq, value }),
        Down::Credit { attempt, taken } => {
            Wire::StreamCredit(v1::StreamCredit { attempt: Some(attempt.into()), taken })
        }
    };
    v1::DownItem { tail, item: Some(item) }
}

pub(crate) fn from_wire(wire: v1::DownItem) -> Result<Item<Down>, WireError> {
    let frame = match wire.item.ok_or(WireError::Missing("the item"))? {
        Wire::Resolved(r) => {
            Down::Resolved { task: scalar::id(r.task, "the task")?, outcome: outcome::from_wire(r.outcome)? }
        }
        Wire::Print(p) => Down::Print { task: scalar::id(p.task, "the task")?, print: print::from_wire(p.print)? },
        Wire::Stranded(s) => Down::Stranded { task: scalar::id(s.task, "the task")?, why: s.why },
        Wire::CancelCount(c) => Down::CancelCount { task: scalar::id(c.task, "the task")?, count: c.count },
        Wire::Input(i) => {
            Down::Input { attempt: scalar::attempt(i.attempt)?, task: scalar::id(i.task, "the task")?, value: i.value }
        }
        Wire::Start(s) => Down::Start(Start {
            attempt: scalar::attempt(s.attempt)?,
            number: s.number,
            spec: spec::from_wire(s.spec)?,
            root: s.root.map(Into::into),
            depth: s.depth,
            remaining: s.remaining.map(|d| duration_from_wire(d, "remaining")).transpose()?,
            cancels: s.cancels,
            more: read_more(s.details, s.incarnation, s.reenters),
        }),
        Wire::ProgressValue(p) => Down::TaskProgress { task: scalar::id(p.task, "the task")?, value: p.value },
        Wire::Cancel(c) => Down::Cancel { attempt: scalar::attempt(c.attempt)?, number: c.number, message: c.message },
        Wire::CancelWithdrawn(c) => {
            Down::CancelWithdrawn { attempt: scalar::attempt(c.attempt)?, standing: c.standing }
        }
        Wire::Fence(attempt) => Down::Fence(attempt.into()),
        Wire::Recall(attempt) => Down::Recall(attempt.into()),
        Wire::Deadlock(d) => Down::Deadlock {
            attempt: scalar::attempt(d.attempt)?,
            cycle: d.cycle.into_iter().map(Into::into).collect(),
        },
        Wire::Sync(s) => Down::Sync { call: s.call, answer: sync::answer_from_wire(s.answer)? },
        Wire::Drain(_) => Down::Drain,
        Wire::Stop(incarnation) => Down::Stop(incarnation.into()),
        Wire::Move(incarnation) => Down::Move(incarnation.into()),
        Wire::Leave(_) => Down::Leave,
        Wire::StreamItem(i) => Down::Item { task: scalar::id(i.task, "the task")?, seq: i.seq, value: i.value },
        Wire::StreamCredit(c) => Down::Credit { attempt: scalar::attempt(c.attempt)?, taken: c.taken },
        Wire::Part(_) if wire.tail => return Err(WireError::BadTail("part")),
        Wire::Part(part) => return Ok(Item::Part(part)),
    };
    Ok(item(frame, wire.tail))
}

/// Absent and empty are one: what is the same must be equal.
fn read_more(details: Option<Bytes>, incarnation: Option<v1::AttemptId>, reenters: bool) -> Option<Box<StartMore>> {
    let more = StartMore { details, incarnation: incarnation.map(Into::into), reenters };
    (more != StartMore::default()).then(|| Box::new(more))
}
