//! Records of the journal.

use std::sync::Arc;

use farloop_core::id::{Epoch, TaskId};
use farloop_core::record::{
    AttemptFailed, CancelRequested, Carried, Crash, LifeBegan, Record, Rostered, Saved, Standing, Submitted,
};
use farloop_core::time::Time;

use super::{WireError, outcome, scalar, spec, up};
use crate::journal as wire;
use crate::journal::record::Record as Wire;
use crate::v1;

impl From<&Record> for wire::Record {
    fn from(record: &Record) -> Self {
        let record = match record {
            Record::Life(life) => Wire::Life(life_to_wire(life)),
            Record::Standing(standing) => Wire::Standing(wire::Standing {
                began: Some(life_to_wire(&standing.began)),
                roster: standing.roster.iter().map(rostered_to_wire).collect(),
                horizon_ms: standing.horizon_ms,
            }),
            Record::WorkerJoined(worker) => Wire::WorkerJoined(rostered_to_wire(worker)),
            Record::WorkerLeft { worker } => Wire::WorkerLeft((*worker).into()),
            Record::Submitted(submitted) => Wire::Submitted(submitted_to_wire(submitted)),
            Record::Ended { task, outcome, at, all, snapshot } => Wire::Ended(wire::Ended {
                task: Some((*task).into()),
                outcome: Some(outcome::to_wire(outcome)),
                at: at.0,
                all: *all,
                snapshot: snapshot.as_deref().map(saved_to_wire),
            }),
            Record::Snapshot(saved) => Wire::Snapshot(saved_to_wire(saved)),
            Record::AttemptFailed(failed) => Wire::AttemptFailed(attempt_to_wire(failed)),
            Record::Started { task } => Wire::Started((*task).into()),
            Record::Released { task } => Wire::Released((*task).into()),
            Record::CancelRequested(cancel) => Wire::CancelRequested(cancel_to_wire(cancel)),
            Record::Carried(carried) => Wire::Carried(carried_to_wire(carried)),
        };
        Self { record: Some(record) }
    }
}

impl TryFrom<wire::Record> for Record {
    type Error = WireError;
    fn try_from(record: wire::Record) -> Result<Self, WireError> {
        Ok(match record.record.ok_or(WireError::Missing("a kind of record that is known here"))? {
            Wire::Life(life) => Self::Life(read_life(life)?),
            Wire::Standing(standing) => Self::Standing(Standing {
                began: read_life(standing.began.ok_or(WireError::Missing("the life"))?)?,
                roster: standing.roster.into_iter().map(read_rostered).collect::<Result<_, _>>()?,
                horizon_ms: standing.horizon_ms,
            }),
            Wire::WorkerJoined(worker) => Self::WorkerJoined(read_rostered(worker)?),
            Wire::WorkerLeft(worker) => Self::WorkerLeft { worker: worker.into() },
            Wire::Submitted(submitted) => Self::Submitted(Box::new(read_submitted(submitted)?)),
            Wire::Ended(ended) => Self::Ended {
                task: scalar::id(ended.task, "the task")?,
                outcome: outcome::from_wire(ended.outcome)?,
                at: Time(ended.at),
                all: ended.all,
                snapshot: ended.snapshot.map(|saved| read_saved(saved).map(Box::new)).transpose()?,
            },
            Wire::Snapshot(saved) => Self::Snapshot(read_saved(saved)?),
            Wire::AttemptFailed(failed) => Self::AttemptFailed(Box::new(read_attempt(failed)?)),
            Wire::Started(task) => Self::Started { task: task.into() },
            Wire::Released(task) => Self::Released { task: task.into() },
            Wire::CancelRequested(cancel) => Self::CancelRequested(Box::new(read_cancel(cancel)?)),
            Wire::Carried(carried) => Self::Carried(Box::new(read_carried(carried)?)),
        })
    }
}

fn life_to_wire(began: &LifeBegan) -> wire::LifeBegan {
    wire::LifeBegan { life: Some(began.life.into()), zero_ms: began.zero_ms, at: began.at.0 }
}

fn read_life(began: wire::LifeBegan) -> Result<LifeBegan, WireError> {
    let life = scalar::life(began.life.ok_or(WireError::Missing("the life"))?)?;
    Ok(LifeBegan { life, zero_ms: began.zero_ms, at: Time(began.at) })
}

fn saved_to_wire(saved: &Saved) -> wire::Saved {
    wire::Saved { actor: Some(saved.actor.into()), state: saved.state.clone() }
}

fn read_saved(saved: wire::Saved) -> Result<Saved, WireError> {
    Ok(Saved { actor: scalar::id(saved.actor, "the actor")?, state: saved.state })
}

fn rostered_to_wire(rostered: &Rostered) -> wire::Rostered {
    wire::Rostered { worker: Some(rostered.worker.into()), name: rostered.name.clone() }
}

fn read_rostered(rostered: wire::Rostered) -> Result<Rostered, WireError> {
    Ok(Rostered { worker: scalar::id(rostered.worker, "the worker")?, name: rostered.name })
}

fn submitted_to_wire(s: &Submitted) -> wire::Submitted {
    let parent = s.parent.map(|(task, epoch)| farloop_core::id::AttemptId { task, epoch });
    wire::Submitted {
        task: Some(s.task.into()),
        spec: Some(spec::to_wire(&s.spec)),
        owner: up::owner(s.owner).into(),
        root: s.root.map(Into::into),
        parent: parent.map(Into::into),
        depth: s.depth,
        priority: s.priority,
        key: s.key.as_deref().map(Into::into),
        at: s.at.0,
        deadline: s.deadline.map(|time| time.0),
        within: s.within.map(|time| time.0),
        request: s.request.as_deref().map(Into::into),
        consumer: s.consumer.map(Into::into),
    }
}

fn read_submitted(s: wire::Submitted) -> Result<Submitted, WireError> {
    let parent = s.parent.map(farloop_core::id::AttemptId::from);
    Ok(Submitted {
        task: scalar::id(s.task, "the task")?,
        spec: spec::from_wire(s.spec)?,
        owner: up::read_owner(s.owner)?,
        root: s.root.map(Into::into),
        parent: parent.map(|attempt| (attempt.task, attempt.epoch)),
        depth: s.depth,
        priority: s.priority,
        key: s.key.map(Into::into),
        at: Time(s.at),
        deadline: s.deadline.map(Time),
        within: s.within.map(Time),
        request: s.request.map(Into::into),
        consumer: s.consumer.map(Into::into),
    })
}

fn attempt_to_wire(a: &AttemptFailed) -> wire::AttemptFailed {
    wire::AttemptFailed {
        task: Some(a.task.into()),
        epoch: a.epoch.0,
        attempts: a.attempts,
        crashes: a.crashes,
        errors: a.errors,
        at: a.at.0,
        next_at: a.next_at.map(|time| time.0),
        details: a.details.clone(),
        failure: a.failure.as_deref().map(outcome::failure_to_wire),
        crash: a.crash.as_ref().map(crash_to_wire),
    }
}

fn read_attempt(a: wire::AttemptFailed) -> Result<AttemptFailed, WireError> {
    let failure = a.failure.map(|failure| outcome::read_raised(Box::new(failure))).transpose()?;
    Ok(AttemptFailed {
        task: scalar::id(a.task, "the task")?,
        epoch: Epoch(a.epoch),
        attempts: a.attempts,
        crashes: a.crashes,
        errors: a.errors,
        at: Time(a.at),
        next_at: a.next_at.map(Time),
        details: a.details,
        failure: failure.map(Arc::new),
        crash: a.crash.map(read_crash).transpose()?,
    })
}

fn crash_to_wire(c: &Crash) -> wire::Crash {
    wire::Crash {
        worker: Some(c.worker.into()),
        name: c.name.clone(),
        at: c.at.0,
        ending: c.ending.clone(),
        company: c.company,
        log: c.log.clone(),
    }
}

fn read_crash(c: wire::Crash) -> Result<Crash, WireError> {
    Ok(Crash {
        worker: scalar::id(c.worker, "the worker")?,
        name: c.name,
        at: Time(c.at),
        ending: c.ending,
        company: c.company,
        log: c.log,
    })
}

fn cancel_to_wire(c: &CancelRequested) -> wire::CancelRequested {
    wire::CancelRequested {
        task: Some(c.task.into()),
        standing: c.standing,
        number: c.number,
        message: c.message.clone(),
        by: c.by.map(|(session, item)| wire::CancelAsker { session: Some(session.into()), item }),
    }
}

fn read_cancel(c: wire::CancelRequested) -> Result<CancelRequested, WireError> {
    let asker = |by: wire::CancelAsker| Ok((scalar::id(by.session, "the session")?, by.item));
    Ok(CancelRequested {
        task: scalar::id(c.task, "the task")?,
        standing: c.standing,
        number: c.number,
        message: c.message,
        by: c.by.map(asker).transpose()?,
    })
}

fn carried_to_wire(c: &Carried) -> wire::Carried {
    wire::Carried {
        submitted: Some(submitted_to_wire(&c.submitted)),
        attempts: c.attempts.as_ref().map(attempt_to_wire),
        crashes: c.crashes.iter().map(crash_to_wire).collect(),
        started: c.started,
        released: c.released,
        cancel: c.cancel.as_ref().map(cancel_to_wire),
        inputs: c
            .inputs
            .iter()
            .map(|(task, value)| wire::InputValue { task: Some((*task).into()), value: value.clone() })
            .collect(),
        args_were: c.args_were.map(|(len, hash)| wire::ArgsWere { len, hash }),
        ended: c.ended.as_ref().map(|(outcome, at)| wire::Ended {
            task: None,
            outcome: Some(outcome::to_wire(outcome)),
            at: at.0,
            all: false,
            snapshot: None,
        }),
        snapshot: c.snapshot.clone(),
    }
}

fn read_carried(c: wire::Carried) -> Result<Carried, WireError> {
    let input = |i: wire::InputValue| Ok((scalar::id(i.task, "the task of an argument")?, i.value));
    let ended = |e: wire::Ended| Ok((outcome::from_wire(e.outcome)?, Time(e.at)));
    Ok(Carried {
        submitted: read_submitted(c.submitted.ok_or(WireError::Missing("the task"))?)?,
        attempts: c.attempts.map(read_attempt).transpose()?,
        crashes: c.crashes.into_iter().map(read_crash).collect::<Result<_, _>>()?,
        started: c.started,
        released: c.released,
        cancel: c.cancel.map(read_cancel).transpose()?,
        inputs: c.inputs.into_iter().map(input).collect::<Result<_, WireError>>()?,
        args_were: c.args_were.map(|a| (a.len, a.hash)),
        ended: c.ended.map(ended).transpose()?,
        snapshot: c.snapshot,
    })
}

/// The task that an encoded record begins ([`Record::begins`]), without reading the rest of it.
///
/// # Errors
/// The bytes are no record.
pub fn begins(encoded: &[u8]) -> Result<Option<TaskId>, WireError> {
    const SUBMITTED: u8 = 0x2a;
    const CARRIED: u8 = 0x52;
    let id = match encoded.first() {
        Some(&SUBMITTED) => first_field(encoded, SUBMITTED).and_then(|submitted| first_field(submitted, 0x0a)),
        Some(&CARRIED) => first_field(encoded, CARRIED)
            .and_then(|carried| first_field(carried, 0x0a))
            .and_then(|submitted| first_field(submitted, 0x0a)),
        _ => return Ok(None),
    };
    let id = id.ok_or(WireError::Malformed)?;
    let id: v1::Id = prost::Message::decode(id).map_err(|_| WireError::Malformed)?;
    Ok(Some(id.into()))
}

/// Body of the first field, if it has that key of one byte.
fn first_field(message: &[u8], key: u8) -> Option<&[u8]> {
    let (&first, mut rest) = message.split_first()?;
    let len = prost::encoding::decode_varint(&mut rest).ok()?;
    let body = rest.get(..usize::try_from(len).ok()?)?;
    (first == key).then_some(body)
}
