//! Locks, semaphores, events, queues and barriers that a cluster shares.
//!
//! A primitive is made by its first use and kept only while it differs from a fresh one, so that an uncontended lock
//! leaves nothing behind. Whoever waits stands in a line, first in first out. What a call was given (a permit; an item
//! until it has arrived) is remembered with the call, and goes back when the call's attempt or session ends.
//!
//! Tokens come from one counter, so they grow for each primitive across its disappearing and coming back; where the
//! shell tells the wall clock, they begin at its microseconds and grow across restarts of the coordinator too.

mod barrier;
mod check;
mod ends;
mod event;
mod explain;
mod permits;
mod primitive;
mod queue;
mod waves;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use hashbrown::HashMap;
use slab::Slab;

use self::primitive::{Line, Record, State, Waiter};
use super::hash::Keyed;
use super::outbox::Tell;
use super::sessions::SessionKey;
use super::tasks::TaskKey;
use super::{Core, Timer};
use crate::id::PrimitiveId;
use crate::limits;
use crate::sync::{Primitive, PrimitiveKind, PrimitiveName, SyncAction, SyncAnswer, SyncCall, SyncRefusal};

/// A call: its session and its number there.
pub(crate) type CallKey = (SessionKey, u64);

/// Says no.
pub(crate) type Refused = (SyncRefusal, String);

/// All primitives, and all calls that are open.
#[derive(Debug)]
pub(crate) struct Primitives {
    slab: Slab<Record>,
    ids: HashMap<PrimitiveId, u32, Keyed>,
    names: HashMap<Arc<str>, u32, Keyed>,
    open: BTreeMap<CallKey, Open>,
    /// By the session that owns them.
    owned: BTreeSet<(SessionKey, u32)>,
    /// The last token given.
    token: u64,
    /// Tells two records in one slot apart.
    serial: u32,
    /// Bytes of all items.
    bytes: usize,
}

/// A call that waits, or that holds something.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    primitive: u32,
    /// The attempt that called.
    attempt: Option<TaskKey>,
    stands: Stands,
    /// It came for this condition, and has not said otherwise.
    condition: Option<PrimitiveId>,
}

/// How an open call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// In a line, at this number.
    Waits(Line, u64),
    /// Holds the permit with this token.
    Holds(u64),
    /// The item of this place is on its way to it.
    Handed(i64, u64),
}

impl Primitives {
    pub(crate) fn new(keyed: Keyed, wall_at_zero_ms: u64) -> Self {
        Self {
            slab: Slab::new(),
            ids: HashMap::with_hasher(keyed),
            names: HashMap::with_hasher(keyed),
            open: BTreeMap::new(),
            owned: BTreeSet::new(),
            token: wall_at_zero_ms.saturating_mul(1_000),
            serial: 0,
            bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Tokens begin here, if they have not come so far yet.
    pub(crate) fn tokens_from(&mut self, token: u64) {
        self.token = self.token.max(token);
    }

    pub(crate) fn calls(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn items(&self) -> usize {
        let count = |record: &Record| match &record.state {
            State::Queue(queue) => queue.items.len(),
            State::Permits(_) | State::Event(_) | State::Barrier(_) => 0,
        };
        self.slab.iter().map(|(_, record)| count(record)).sum()
    }
}

impl Core {
    /// A call. An error closes the connection.
    pub(crate) fn on_sync(&mut self, index: u32, call: SyncCall) -> Result<(), String> {
        let key = (self.session_key(index), call.call);
        if self.sync.open.contains_key(&key) {
            return Err(format!("call {} about a primitive was made twice", call.call));
        }
        self.touched += 1;
        if let Err((why, message)) = self.dispatch(key, call) {
            self.answer(key, SyncAnswer::Refused { why, message });
        }
        Ok(())
    }

    fn dispatch(&mut self, key: CallKey, call: SyncCall) -> Result<(), Refused> {
        let attempt = match call.attempt {
            None => None,
            Some(attempt) => match self.tasks.find(attempt.task) {
                Some(task) if self.leased(task, attempt.epoch) && self.tasks[task].place == key.0.index => {
                    Some(self.tasks.key(task))
                }
                _ => {
                    let message = format!("the attempt of task {} that calls is over", attempt.task);
                    return Err((SyncRefusal::Stale, message));
                }
            },
        };
        let at = self.primitive(&call.primitive)?;
        self.sync.slab[at as usize].used = self.now;
        let open = Open { primitive: at, attempt, stands: Stands::Holds(0), condition: None };
        let done = match self.sync.slab[at as usize].kind {
            PrimitiveKind::Semaphore | PrimitiveKind::Lock => self.on_permits(key, open, call.action),
            PrimitiveKind::Event => self.on_event(key, open, call.action),
            PrimitiveKind::Queue | PrimitiveKind::LifoQueue | PrimitiveKind::PriorityQueue => {
                self.on_queue(key, open, call.action)
            }
            PrimitiveKind::Barrier => self.on_barrier(key, open, call.action),
        };
        self.settle(at);
        done
    }

    /// The record of a primitive, made if there is none.
    fn primitive(&mut self, wanted: &Primitive) -> Result<u32, Refused> {
        let known = match &wanted.name {
            PrimitiveName::Shared(name) => self.sync.names.get(name),
            PrimitiveName::Own { id, .. } => self.sync.ids.get(id),
        };
        if let Some(&at) = known {
            let record = &self.sync.slab[at as usize];
            if record.kind == wanted.kind && record.size == wanted.size {
                return Ok(at);
            }
            let message = format!(
                "{} is in use as {}, and was asked for as {}",
                record.called(),
                record.what(),
                what(wanted.kind, wanted.size)
            );
            return Err((SyncRefusal::Mismatch, message));
        }
        if self.sync.slab.len() >= limits::SYNC_PRIMITIVES {
            let message = format!(
                "{} locks, semaphores, events, queues and barriers are in use; the limit is SYNC_PRIMITIVES",
                limits::SYNC_PRIMITIVES
            );
            return Err((SyncRefusal::Exhausted, message));
        }
        let owner = match &wanted.name {
            PrimitiveName::Shared(name) if name.len() > limits::MAX_NAME => {
                let message = format!("the name has {} bytes; the limit MAX_NAME is {}", name.len(), limits::MAX_NAME);
                return Err((SyncRefusal::Exhausted, message));
            }
            PrimitiveName::Shared(_) | PrimitiveName::Own { owner: None, .. } => None,
            PrimitiveName::Own { owner: Some(owner), .. } => match self.session_ids.get(owner) {
                Some(&index) => Some(self.session_key(index)),
                None => {
                    let message = format!("session {owner}, which owned {}, is over", article(wanted.kind));
                    return Err((SyncRefusal::Gone, message));
                }
            },
        };
        let state = State::fresh(wanted)?;
        self.sync.serial = self.sync.serial.wrapping_add(1);
        let idle = owner.is_none().then(|| self.now + self.config.retention);
        let record = Record::new(wanted, owner, state, self.sync.serial, self.now, idle);
        let at = self.sync.slab.insert(record) as u32;
        match &wanted.name {
            PrimitiveName::Shared(name) => self.sync.names.insert(name.clone(), at),
            PrimitiveName::Own { id, .. } => self.sync.ids.insert(*id, at),
        };
        match (owner, idle) {
            (Some(owner), _) => {
                self.sync.owned.insert((owner, at));
            }
            (None, Some(idle)) => {
                self.timers.insert((idle, Timer::Primitive(at)));
            }
            (None, None) => {}
        }
        Ok(at)
    }

    /// Forgets a primitive that is as a fresh one and that nobody uses.
    fn settle(&mut self, at: u32) {
        let record = &self.sync.slab[at as usize];
        if record.open > 0 || record.busy || !record.waves.is_empty() || !(record.gone || record.state.is_fresh()) {
            return;
        }
        self.unname(at);
        self.sync.slab.remove(at as usize);
    }

    /// Nothing finds it any more.
    fn unname(&mut self, at: u32) {
        let record = &mut self.sync.slab[at as usize];
        if let Some(idle) = record.idle.take() {
            self.timers.remove(&(idle, Timer::Primitive(at)));
        }
        if let Some(owner) = record.owner.take() {
            self.sync.owned.remove(&(owner, at));
        }
        let found = match &record.name {
            PrimitiveName::Shared(name) => self.sync.names.get(name) == Some(&at),
            PrimitiveName::Own { id, .. } => self.sync.ids.get(id) == Some(&at),
        };
        match &record.name {
            PrimitiveName::Shared(name) if found => {
                self.sync.names.remove(name);
            }
            PrimitiveName::Own { id, .. } if found => {
                self.sync.ids.remove(id);
            }
            _ => {}
        }
    }

    /// Nobody used it for as long as results are kept: it goes, with what is in it.
    pub(crate) fn on_primitive_idle(&mut self, at: u32) {
        let retention = self.config.retention;
        let Some(record) = self.sync.slab.get_mut(at as usize) else { return };
        let due = if record.open > 0 { self.now + retention } else { record.used + retention };
        record.idle = None;
        if due > self.now {
            record.idle = Some(due);
            self.timers.insert((due, Timer::Primitive(at)));
        } else {
            self.abolish(at);
        }
    }

    /// Tells a call its answer.
    fn answer(&mut self, (session, call): CallKey, answer: SyncAnswer) {
        self.tell(session, 0, Tell::Sync { call, answer: Box::new(answer) });
    }

    /// Puts a call into a line.
    fn line_up(&mut self, key: CallKey, open: Open, line: Line, waiter: Waiter) -> Result<(), Refused> {
        self.room_for_call()?;
        let at = open.primitive;
        let record = &mut self.sync.slab[at as usize];
        if record.lines.len() >= limits::SYNC_WAITERS {
            let message =
                format!("{} calls wait for {}; the limit is SYNC_WAITERS", record.lines.len(), record.called());
            return Err((SyncRefusal::Exhausted, message));
        }
        let number = record.next;
        record.next += 1;
        self.sync.bytes += waiter.item.as_ref().map_or(0, bytes::Bytes::len);
        record.lines.insert((line, number), waiter);
        self.open_call(key, Open { stands: Stands::Waits(line, number), ..open });
        Ok(())
    }

    fn room_for_call(&self) -> Result<(), Refused> {
        if self.sync.open.len() < limits::SYNC_CALLS {
            return Ok(());
        }
        let message = format!("{} permits are held or waited for; the limit is SYNC_CALLS", limits::SYNC_CALLS);
        Err((SyncRefusal::Exhausted, message))
    }

    /// Remembers a call.
    fn open_call(&mut self, key: CallKey, open: Open) {
        self.sync.slab[open.primitive as usize].open += 1;
        if let Some(task) = open.attempt {
            self.tasks[task.index].rare().calls_open.insert(key.1);
        }
        self.sync.open.insert(key, open);
    }

    /// Forgets a call.
    fn close_call(&mut self, key: CallKey) -> Option<Open> {
        let open = self.sync.open.remove(&key)?;
        self.sync.slab[open.primitive as usize].open -= 1;
        if let Some(task) = open.attempt
            && self.tasks.get(task).is_some()
            && let Some(rare) = &mut self.tasks[task.index].rare
        {
            rare.calls_open.remove(&key.1);
        }
        Some(open)
    }

    /// The calls that an attempt has open end with it; as queued work, for they may be many.
    pub(crate) fn end_calls_of(&mut self, index: u32) {
        let Some(rare) = &mut self.tasks[index].rare else { return };
        if !rare.calls_open.is_empty() {
            let calls = core::mem::take(&mut rare.calls_open);
            let session = self.session_key(self.tasks[index].place);
            self.work.push_back(super::Work::EndCalls { session, calls });
        }
    }

    /// A piece of it. True when it is done.
    pub(crate) fn end_calls_some(&mut self, session: SessionKey, calls: &mut BTreeSet<u64>) -> bool {
        while self.touched < limits::TOUCH {
            let Some(call) = calls.pop_first() else { return true };
            self.touched += 1;
            if !planted!(self, PermitOfTheDeadKept) {
                self.end_call((session, call));
            }
        }
        calls.is_empty()
    }

    /// Ends one call of a session that is over. False when it has none.
    pub(crate) fn end_a_call_of(&mut self, session: SessionKey) -> bool {
        let Some((&key, _)) = self.sync.open.range((session, 0)..=(session, u64::MAX)).next() else { return false };
        self.end_call(key);
        true
    }

    /// Abolishes one primitive that a session owns which is over. False when it has none.
    pub(crate) fn abolish_one_of(&mut self, session: SessionKey) -> bool {
        let Some(&(_, at)) = self.sync.owned.range((session, 0)..=(session, u32::MAX)).next() else { return false };
        self.abolish(at);
        true
    }

    fn unknown_action(&self, at: u32, action: &SyncAction) -> Refused {
        let name = self.sync.slab[at as usize].called();
        let text = format!("{action:?}");
        let word = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        (SyncRefusal::Misuse, format!("{name} has no {word}"))
    }
}

fn article(kind: PrimitiveKind) -> &'static str {
    match kind {
        PrimitiveKind::Semaphore => "this semaphore",
        PrimitiveKind::Lock => "this lock",
        PrimitiveKind::Event => "this event",
        PrimitiveKind::Queue | PrimitiveKind::LifoQueue | PrimitiveKind::PriorityQueue => "this queue",
        PrimitiveKind::Barrier => "this barrier",
    }
}

/// A kind and its size, in words.
fn what(kind: PrimitiveKind, size: u64) -> String {
    match kind {
        PrimitiveKind::Semaphore => format!("a semaphore of {size}"),
        PrimitiveKind::Lock => "a lock".into(),
        PrimitiveKind::Event => "an event".into(),
        PrimitiveKind::Queue => format!("a queue of {size}"),
        PrimitiveKind::LifoQueue => format!("a last-in-first-out queue of {size}"),
        PrimitiveKind::PriorityQueue => format!("a priority queue of {size}"),
        PrimitiveKind::Barrier => format!("a barrier of {size}"),
    }
}
