//! Batches of either direction.

use bytes::{BufMut, Bytes};
use farloop_core::limits::BATCH_ITEMS;
use farloop_core::link::{Batch, Item};
use prost::Message;

use super::read::{self, Names, Reader};
use super::write::{Out, field_len, number_len};
use crate::convert::WireError;

const FIRST: u8 = 0x08;
const ACK: u8 = 0x10;
const ITEM: u8 = 0x1a;
/// Field 14 of an item, a bool.
const TAIL: u8 = 0x70;
/// Field 15 of an item, bytes.
const PART: u8 = 0x7a;

/// Frames of one direction.
pub(super) trait Frame: Sized + Clone {
    /// The generated batch and item.
    type Batch: Message + Default;
    type Item: Message + Default;

    /// Key and length of a frame that is written here; none: the general way.
    fn shape(&self) -> Option<(u8, usize)>;
    /// Writes the body of such a frame: exactly as many bytes.
    fn write<B: BufMut>(&self, out: &mut Out<'_, B>);
    /// Reads the body of a frame that begins with this key; none: the general way.
    fn read(key: u8, body: Reader<'_>, names: &mut Names) -> Option<Self>;

    fn to_wire(item: Item<Self>) -> Self::Item;
    fn from_wire(item: Self::Item) -> Result<Item<Self>, WireError>;
    fn batch_from_wire(batch: Self::Batch) -> Result<Batch<Self>, WireError>;
}

/// Bytes of a batch.
pub(super) fn len<F: Frame>(batch: &Batch<F>) -> usize {
    let items = batch.items.iter().map(|item| field_len(item_len(item))).sum::<usize>();
    number_len(batch.first) + number_len(batch.ack) + items
}

pub(super) fn write<F: Frame>(batch: &Batch<F>, to: &mut impl BufMut) {
    let mut out = Out::new(to);
    out.number(FIRST, batch.first);
    out.number(ACK, batch.ack);
    for item in &batch.items {
        write_item(item, &mut out);
    }
    out.flush();
}

fn item_len<F: Frame>(item: &Item<F>) -> usize {
    match item {
        Item::Part(part) => field_len(part.len()),
        Item::Frame(frame) | Item::Tail(frame) => match frame.shape() {
            Some((_, body)) => field_len(body) + tail_len(item),
            None => F::to_wire(item.clone()).encoded_len(),
        },
    }
}

fn write_item<F: Frame, B: BufMut>(item: &Item<F>, out: &mut Out<'_, B>) {
    match item {
        Item::Part(part) => {
            out.open(ITEM, field_len(part.len()));
            out.open(PART, part.len());
            out.bytes(part);
        }
        Item::Frame(frame) | Item::Tail(frame) => match frame.shape() {
            Some((key, body)) => {
                out.open(ITEM, field_len(body) + tail_len(item));
                out.open(key, body);
                frame.write(out);
                if tail_len(item) > 0 {
                    out.number(TAIL, 1);
                }
            }
            None => {
                let wire = F::to_wire(item.clone());
                out.open(ITEM, wire.encoded_len());
                wire.encode_raw(out.direct());
            }
        },
    }
}

fn tail_len<F>(item: &Item<F>) -> usize {
    if matches!(item, Item::Tail(_)) { 2 } else { 0 }
}

/// Reads a batch.
pub(super) fn read<F: Frame>(bytes: &Bytes) -> Result<Batch<F>, WireError> {
    let mut batch = Batch { first: 0, ack: 0, items: Vec::new() };
    let mut names = Names::default();
    let mut body = Reader::new(bytes);
    while let Some(key) = body.key() {
        let known = match key {
            FIRST => body.varint().map(|n| batch.first = n),
            ACK => body.varint().map(|n| batch.ack = n),
            ITEM => match body.sub() {
                Some(item) => {
                    if batch.items.is_empty() {
                        // As many as follow if they are like the first one; but that is a guess about what a peer says.
                        batch.items.reserve((body.len() / (item.len() + 2) + 1).min(BATCH_ITEMS));
                    }
                    batch.items.push(read_item(item, &mut names)?);
                    Some(())
                }
                None => None,
            },
            _ => None,
        };
        if known.is_none() {
            // A field of a later version, or no protobuf: the generated code knows.
            let batch = F::Batch::decode(bytes.clone()).map_err(|_| WireError::Malformed)?;
            return F::batch_from_wire(batch);
        }
    }
    Ok(batch)
}

fn read_item<F: Frame>(item: Reader<'_>, names: &mut Names) -> Result<Item<F>, WireError> {
    match read_usual(item.clone(), names) {
        Some(item) => Ok(item),
        None => F::from_wire(F::Item::decode(item.all()).map_err(|_| WireError::Malformed)?),
    }
}

/// An item that is one frame, and perhaps a tail: in this order, and nothing else.
fn read_usual<F: Frame>(mut item: Reader<'_>, names: &mut Names) -> Option<Item<F>> {
    let mut key = item.key()?;
    // The generated code writes the mark first.
    let tail = key == TAIL;
    if tail {
        item.varint().filter(|n| *n == 1)?;
        key = item.key()?;
    }
    let body = item.sub()?;
    if key == PART {
        return (item.is_empty() && !tail).then(|| Item::Part(read::payload(&body)));
    }
    let frame = F::read(key, body, names)?;
    if item.is_empty() {
        return Some(if tail { Item::Tail(frame) } else { Item::Frame(frame) });
    }
    let mark = item.key() == Some(TAIL) && item.varint() == Some(1) && item.is_empty() && !tail;
    mark.then_some(Item::Tail(frame))
}
