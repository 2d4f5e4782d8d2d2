//! Queues: items between those who put and those who get. An item is its getter's when it has arrived; until then it
//! is remembered, and goes back to its place if the getter is no more.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use bytes::Bytes;

use super::primitive::{Line, Record, State, Waiter};
use super::waves::{Wave, WaveEnd};
use super::{CallKey, Open, Refused, Stands};
use crate::limits;
use crate::machine::Core;
use crate::sync::{PrimitiveKind, SyncAction, SyncAnswer, SyncRefusal, SyncView};

/// Place of an item: lowest first.
type Place = (i64, u64);

#[derive(Debug)]
pub(crate) struct Queue {
    kind: PrimitiveKind,
    /// Zero: none.
    max: u64,
    pub(super) items: BTreeMap<Place, Bytes>,
    /// On their way to a getter.
    pub(super) handed: BTreeMap<Place, Bytes>,
    /// What is left of a queue that was shut down at once.
    pub(super) dropped: BTreeMap<Place, Bytes>,
    /// Of `items`.
    pub(super) bytes: usize,
    next: u64,
    unfinished: u64,
    pub(super) down: Down,
}

/// How far a queue is shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Down {
    Open,
    /// Nothing more comes in.
    Draining,
    /// Nor out.
    Closed,
}

impl Queue {
    pub(super) fn new(kind: PrimitiveKind, max: u64) -> Self {
        Self {
            kind,
            max,
            items: BTreeMap::new(),
            handed: BTreeMap::new(),
            dropped: BTreeMap::new(),
            bytes: 0,
            next: 0,
            unfinished: 0,
            down: Down::Open,
        }
    }

    pub(super) fn is_fresh(&self) -> bool {
        let empty = self.items.is_empty() && self.handed.is_empty() && self.dropped.is_empty();
        empty && self.unfinished == 0 && self.down == Down::Open
    }

    /// The limit that stands against an item of that many bytes.
    fn full(&self, len: usize) -> Option<String> {
        if self.max > 0 && self.items.len() as u64 >= self.max {
            return Some(format!("it holds {} items of {} (maxsize)", self.items.len(), self.max));
        }
        if self.items.len() >= limits::SYNC_ITEMS {
            return Some(format!("it holds {} items; the limit is SYNC_ITEMS", self.items.len()));
        }
        (self.bytes + len > limits::SYNC_QUEUE_BYTES).then(|| {
            format!("it holds {} bytes; the limit SYNC_QUEUE_BYTES is {}", self.bytes, limits::SYNC_QUEUE_BYTES)
        })
    }

    /// Nothing comes in or out any more; what is in it counts as done.
    pub(super) fn close(&mut self) {
        self.down = Down::Closed;
        self.unfinished = self.unfinished.saturating_sub(self.items.len() as u64);
        self.bytes = 0;
        // Closed once before: then there are none.
        self.dropped.append(&mut self.items);
    }

    /// Whether an item of that many bytes may come in.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.down == Down::Open && self.full(len).is_none()
    }

    fn accept(&mut self, item: Bytes, priority: i64) {
        let number = self.next;
        self.next += 1;
        let place = match self.kind {
            // The youngest has the lowest place.
            PrimitiveKind::LifoQueue => (0, u64::MAX - number),
            PrimitiveKind::PriorityQueue => (priority, number),
            _ => (0, number),
        };
        self.bytes += item.len();
        self.unfinished += 1;
        self.items.insert(place, item);
    }
}

fn queue(record: &mut Record) -> &mut Queue {
    match &mut record.state {
        State::Queue(queue) => queue,
        other => unreachable!("the kind of a primitive never changes: {other:?}"),
    }
}

fn shut_down() -> Refused {
    (SyncRefusal::ShutDown, String::from("the queue is shut down"))
}

impl Core {
    pub(super) fn on_queue(&mut self, key: CallKey, open: Open, action: SyncAction) -> Result<(), Refused> {
        let at = open.primitive;
        let record = &mut self.sync.slab[at as usize];
        let (getters, putters) = (record.first(Line::Get).is_some(), record.first(Line::Put).is_some());
        let waiting = record.lines.len() as u64;
        let queue = queue(record);
        match action {
            SyncAction::Put { item, priority, now } => {
                if queue.down != Down::Open {
                    return Err(shut_down());
                }
                let (len, bytes) = (item.len(), self.sync.bytes);
                if len > limits::SYNC_QUEUE_BYTES || bytes + len > limits::SYNC_BYTES {
                    let message = format!(
                        "an item of {len} bytes, where all queues together hold {bytes}; the limit SYNC_QUEUE_BYTES is {} and SYNC_BYTES {}",
                        limits::SYNC_QUEUE_BYTES,
                        limits::SYNC_BYTES
                    );
                    return Err((SyncRefusal::Exhausted, message));
                }
                match queue.full(len).or_else(|| putters.then(|| "others wait to put".into())) {
                    None => {
                        queue.accept(item, priority);
                        self.sync.bytes += len;
                        self.answer(key, SyncAnswer::Done);
                        self.pump(at);
                    }
                    Some(limit) if now => return Err((SyncRefusal::Busy, limit)),
                    Some(_) => self.line_up(key, open, Line::Put, Waiter { key, rank: priority, item: Some(item) })?,
                }
            }
            SyncAction::Get { now } => {
                let empty = queue.items.is_empty() || getters;
                if empty && queue.down != Down::Open {
                    return Err(shut_down());
                }
                if empty && now {
                    return Err((SyncRefusal::Busy, "the queue is empty".into()));
                }
                self.line_up(key, open, Line::Get, Waiter::plain(key))?;
                self.pump(at);
            }
            SyncAction::TaskDone if queue.unfinished == 0 => {
                return Err((SyncRefusal::TooManyDone, "task_done() called too many times".into()));
            }
            SyncAction::TaskDone => {
                queue.unfinished -= 1;
                self.answer(key, SyncAnswer::Done);
                self.joined(at);
            }
            SyncAction::Join if queue.unfinished == 0 => self.answer(key, SyncAnswer::Done),
            SyncAction::Join => self.line_up(key, open, Line::Join, Waiter::plain(key))?,
            SyncAction::ShutDown { immediate } => {
                self.answer(key, SyncAnswer::Done);
                self.shut_down(at, immediate);
            }
            SyncAction::Look => {
                let view = SyncView {
                    count: queue.items.len() as u64,
                    waiting,
                    unfinished: queue.unfinished,
                    flag: queue.down != Down::Open,
                };
                self.answer(key, SyncAnswer::View(view));
            }
            other => return Err(self.unknown_action(at, &other)),
        }
        Ok(())
    }

    fn shut_down(&mut self, at: u32, immediate: bool) {
        let record = &mut self.sync.slab[at as usize];
        let below = record.next;
        let queue = queue(record);
        if queue.down == Down::Open {
            queue.down = Down::Draining;
        }
        if immediate && queue.down != Down::Closed {
            queue.close();
        }
        let empty = queue.items.is_empty();
        let refuse = |line| Wave { line, below, left: u64::MAX, end: WaveEnd::Refuse(SyncRefusal::ShutDown) };
        self.wave(at, refuse(Line::Put));
        if empty {
            self.wave(at, refuse(Line::Get));
        }
        self.joined(at);
    }

    /// Whoever waits for the end of all work goes on when there is none.
    fn joined(&mut self, at: u32) {
        let record = &mut self.sync.slab[at as usize];
        let below = record.next;
        if queue(record).unfinished == 0 && record.first(Line::Join).is_some() {
            self.wave(at, Wave { line: Line::Join, below, left: u64::MAX, end: WaveEnd::Go });
        }
    }

    /// Brings items to getters and putters' items in, as far as they go; more continues as queued work (L21).
    pub(super) fn pump(&mut self, at: u32) {
        if !self.pump_some(at) {
            self.primitive_later(at);
        }
    }

    /// A piece of it. True when nothing is left to do.
    pub(super) fn pump_some(&mut self, at: u32) -> bool {
        while self.touched < limits::TOUCH {
            if !self.hand_one(at) && !self.admit_one(at) {
                return true;
            }
            self.touched += 1;
        }
        false
    }

    fn hand_one(&mut self, at: u32) -> bool {
        let record = &mut self.sync.slab[at as usize];
        let Some((number, waiter)) = record.first(Line::Get) else { return false };
        let key = waiter.key;
        let queue = queue(record);
        let Some((place, item)) = queue.items.pop_first() else { return false };
        queue.bytes -= item.len();
        queue.handed.insert(place, item.clone());
        record.lines.remove(&(Line::Get, number));
        if let Some(open) = self.sync.open.get_mut(&key) {
            open.stands = Stands::Handed(place.0, place.1);
        }
        self.answer(key, SyncAnswer::Item(item));
        true
    }

    fn admit_one(&mut self, at: u32) -> bool {
        let record = &mut self.sync.slab[at as usize];
        let Some((number, waiter)) = record.first(Line::Put) else { return false };
        let (key, priority, item) = (waiter.key, waiter.rank, waiter.item.clone().unwrap_or_default());
        let queue = queue(record);
        if !queue.has_room(item.len()) {
            return false;
        }
        queue.accept(item, priority);
        record.lines.remove(&(Line::Put, number));
        self.close_call(key);
        self.answer(key, SyncAnswer::Done);
        true
    }

    /// An item on its way has arrived, or goes back.
    pub(super) fn handed_over(&mut self, at: u32, place: Place, arrived: bool) {
        let queue = queue(&mut self.sync.slab[at as usize]);
        let Some(item) = queue.handed.remove(&place) else { return };
        if !arrived && queue.down == Down::Closed {
            queue.unfinished = queue.unfinished.saturating_sub(1);
        }
        if arrived || queue.down == Down::Closed || planted!(self, ItemOfTheDeadLost) {
            self.sync.bytes -= item.len();
            self.joined(at);
            return;
        }
        queue.bytes += item.len();
        queue.items.insert(place, item);
        self.pump(at);
    }

    /// Lets the memory of dropped items go. True when all of it is gone.
    pub(super) fn drop_some(&mut self, at: u32) -> bool {
        while let State::Queue(queue) = &mut self.sync.slab[at as usize].state
            && let Some((_, item)) = queue.dropped.pop_first()
        {
            self.sync.bytes -= item.len();
            self.touched += 1;
            if self.touched >= limits::TOUCH {
                return false;
            }
        }
        true
    }
}
