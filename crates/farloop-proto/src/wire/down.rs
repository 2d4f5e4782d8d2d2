//! Frames of the coordinator that make up the traffic: start and resolved.

use bytes::BufMut;
use farloop_core::frame::{Down, Start, StartMore};
use farloop_core::id::{SessionId, TaskId};
use farloop_core::link::{Batch, Item};
use farloop_core::outcome::Outcome;

use super::batch::Frame;
use super::read::{Names, Reader};
use super::up::returned;
use super::write::{ID, Out, attempt_len, field_len, number_len, spec_len};
use crate::convert::{self, WireError};
use crate::v1;

const RESOLVED: u8 = 0x0a;
const START: u8 = 0x22;

impl Frame for Down {
    type Batch = v1::DownBatch;
    type Item = v1::DownItem;

    fn shape(&self) -> Option<(u8, usize)> {
        match self {
            Self::Resolved { outcome: Outcome::Returned(value), .. } => {
                Some((RESOLVED, field_len(ID) + field_len(field_len(value.len()))))
            }
            Self::Start(start) if start.remaining.is_none() => {
                let more = match start.more.as_deref() {
                    None => 0,
                    // A call of an actor.
                    Some(StartMore { details: None, incarnation: Some(incarnation), reenters }) => {
                        field_len(attempt_len(*incarnation)) + number_len(u64::from(*reenters))
                    }
                    Some(_) => return None,
                };
                let spec = field_len(spec_len(&start.spec)?);
                let root = start.root.map_or(0, |_| field_len(ID));
                let numbers = [start.number, start.depth, start.cancels].map(|n| number_len(n.into()));
                let numbers = numbers.iter().sum::<usize>();
                Some((START, field_len(attempt_len(start.attempt)) + spec + root + numbers + more))
            }
            _ => None,
        }
    }

    fn write<B: BufMut>(&self, out: &mut Out<'_, B>) {
        match self {
            Self::Resolved { task, outcome: Outcome::Returned(value) } => {
                out.id(0x0a, task.0);
                out.open(0x12, field_len(value.len()));
                out.present(0x0a, value);
            }
            Self::Start(start) => {
                out.attempt(0x0a, start.attempt);
                out.number(0x10, start.number.into());
                out.open(0x1a, spec_len(&start.spec).unwrap_or_default());
                out.spec(&start.spec);
                if let Some(root) = start.root {
                    out.id(0x22, root.0);
                }
                out.number(0x28, start.depth.into());
                out.number(0x38, start.cancels.into());
                if let Some(StartMore { incarnation: Some(incarnation), reenters, .. }) = start.more.as_deref() {
                    out.attempt(0x4a, *incarnation);
                    out.number(0x50, u64::from(*reenters));
                }
            }
            _ => {}
        }
    }

    fn read(key: u8, body: Reader<'_>, names: &mut Names) -> Option<Self> {
        match key {
            RESOLVED => resolved(body),
            START => start(body, names),
            _ => None,
        }
    }

    fn to_wire(item: Item<Self>) -> v1::DownItem {
        convert::down::to_wire(item)
    }
    fn from_wire(item: v1::DownItem) -> Result<Item<Self>, WireError> {
        convert::down::from_wire(item)
    }
    fn batch_from_wire(batch: v1::DownBatch) -> Result<Batch<Self>, WireError> {
        let items = batch.items.into_iter().map(Self::from_wire).collect::<Result<_, _>>()?;
        Ok(Batch { first: batch.first, ack: batch.ack, items })
    }
}

fn resolved(mut body: Reader<'_>) -> Option<Down> {
    let (mut task, mut outcome) = (None, None);
    while let Some(key) = body.key() {
        match key {
            0x0a => task = Some(TaskId(body.id()?)),
            0x12 => outcome = Some(returned(body.sub()?)?),
            _ => return None,
        }
    }
    Some(Down::Resolved { task: task?, outcome: outcome? })
}

fn start(mut body: Reader<'_>, names: &mut Names) -> Option<Down> {
    let (mut attempt, mut spec, mut root) = (None, None, None);
    let (mut number, mut depth, mut cancels) = (0, 0, 0);
    let (mut incarnation, mut reenters) = (None, false);
    while let Some(key) = body.key() {
        match key {
            0x0a => attempt = Some(body.attempt()?),
            0x10 => number = body.number()?,
            0x1a => spec = Some(body.spec(names)?),
            0x22 => root = Some(SessionId(body.id()?)),
            0x28 => depth = body.number()?,
            0x38 => cancels = body.number()?,
            0x4a => incarnation = Some(body.attempt()?),
            0x50 => reenters = body.varint()? != 0,
            _ => return None,
        }
    }
    let (attempt, spec) = (attempt?, spec?);
    let more =
        (incarnation.is_some() || reenters).then(|| Box::new(StartMore { details: None, incarnation, reenters }));
    Some(Down::Start(Start { attempt, number, spec, root, depth, remaining: None, cancels, more }))
}
