//! Frames of clients and workers that make up the traffic: submit and ended.

use bytes::BufMut;
use farloop_core::frame::{Owner, Submit, Up};
use farloop_core::id::TaskId;
use farloop_core::link::{Batch, Item};
use farloop_core::outcome::Outcome;

use super::batch::Frame;
use super::read::{Names, Reader, payload};
use super::write::{ID, Out, attempt_len, field_len, number_len, spec_len};
use crate::convert::{self, WireError};
use crate::v1;

const SUBMIT: u8 = 0x0a;
const ENDED: u8 = 0x42;

impl Frame for Up {
    type Batch = v1::UpBatch;
    type Item = v1::UpItem;

    fn shape(&self) -> Option<(u8, usize)> {
        match self {
            Self::Submit(submit) if submit.within.is_none() => {
                let creator = submit.creator.map_or(0, |creator| field_len(attempt_len(creator)));
                Some((SUBMIT, field_len(ID) + field_len(spec_len(&submit.spec)?) + 2 + creator))
            }
            Self::Ended { attempt, outcome: Outcome::Returned(value), delivered } => {
                let outcome = field_len(field_len(value.len()));
                Some((ENDED, field_len(attempt_len(*attempt)) + outcome + number_len((*delivered).into())))
            }
            _ => None,
        }
    }

    fn write<B: BufMut>(&self, out: &mut Out<'_, B>) {
        match self {
            Self::Submit(submit) => {
                out.id(0x0a, submit.task.0);
                out.open(0x12, spec_len(&submit.spec).unwrap_or_default());
                out.spec(&submit.spec);
                out.number(0x18, owner(submit.owner) as u64);
                if let Some(creator) = submit.creator {
                    out.attempt(0x22, creator);
                }
            }
            Self::Ended { attempt, outcome: Outcome::Returned(value), delivered } => {
                out.attempt(0x0a, *attempt);
                out.open(0x12, field_len(value.len()));
                out.present(0x0a, value);
                out.number(0x18, (*delivered).into());
            }
            _ => {}
        }
    }

    fn read(key: u8, body: Reader<'_>, names: &mut Names) -> Option<Self> {
        match key {
            SUBMIT => submit(body, names),
            ENDED => ended(body),
            _ => None,
        }
    }

    fn to_wire(item: Item<Self>) -> v1::UpItem {
        convert::up::to_wire(item)
    }
    fn from_wire(item: v1::UpItem) -> Result<Item<Self>, WireError> {
        convert::up::from_wire(item)
    }
    fn batch_from_wire(batch: v1::UpBatch) -> Result<Batch<Self>, WireError> {
        let items = batch.items.into_iter().map(Self::from_wire).collect::<Result<_, _>>()?;
        Ok(Batch { first: batch.first, ack: batch.ack, items })
    }
}

fn owner(owner: Owner) -> v1::Owner {
    match owner {
        Owner::Await => v1::Owner::Await,
        Owner::Root => v1::Owner::Root,
        Owner::Nobody => v1::Owner::Nobody,
    }
}

fn submit(mut body: Reader<'_>, names: &mut Names) -> Option<Up> {
    let (mut task, mut spec, mut owner, mut creator) = (None, None, None, None);
    while let Some(key) = body.key() {
        match key {
            0x0a => task = Some(TaskId(body.id()?)),
            0x12 => spec = Some(body.spec(names)?),
            0x18 => {
                owner = Some(match body.varint()? {
                    1 => Owner::Await,
                    2 => Owner::Root,
                    3 => Owner::Nobody,
                    _ => return None,
                });
            }
            0x22 => creator = Some(body.attempt()?),
            _ => return None,
        }
    }
    Some(Up::Submit(Submit { task: task?, spec: spec?, owner: owner?, creator, within: None }))
}

fn ended(mut body: Reader<'_>) -> Option<Up> {
    let (mut attempt, mut outcome, mut delivered) = (None, None, 0);
    while let Some(key) = body.key() {
        match key {
            0x0a => attempt = Some(body.attempt()?),
            0x12 => outcome = Some(returned(body.sub()?)?),
            0x18 => delivered = body.number()?,
            _ => return None,
        }
    }
    Some(Up::Ended { attempt: attempt?, outcome: outcome?, delivered })
}

/// An outcome that is a value.
pub(super) fn returned(mut outcome: Reader<'_>) -> Option<Outcome> {
    let value = match outcome.key()? {
        0x0a => payload(&outcome.sub()?),
        _ => return None,
    };
    outcome.is_empty().then_some(Outcome::Returned(value))
}
