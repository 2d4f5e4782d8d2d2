//! Locks, a semaphore and a queue that bodies of all workers share, and what an observer knows about them.
//!
//! A body may end, be lost or be fenced while it waits, holds, or has an item on its way.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use farloop_core::frame::Up;
use farloop_core::id::{AttemptId, SessionId};
use farloop_core::sync::{
    Primitive, PrimitiveKind, PrimitiveName, SyncAction, SyncAnswer, SyncCall, SyncEnd, SyncRefusal,
};
use farloop_core::time::Time;

use crate::history::History;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::script::{Op, Script};

/// Calls of one attempt carry its epoch above these bits: no session uses a number twice.
const CALLS: u64 = 20;
/// A body waits that long for a permit or an item, in microseconds: there are no deadlocks then.
pub(crate) const PATIENCE: u64 = 2_000_000;

/// A call of a session in one of its lives.
type Key = (SessionId, u64, u64);

/// What the observer knows.
#[derive(Debug, Default)]
pub(crate) struct Synced {
    /// Calls that reached the core, in order.
    asked: BTreeMap<Key, (u64, SyncCall)>,
    answered: BTreeSet<Key>,
    /// The last grant of a session's: order of the call, and token.
    granted: BTreeMap<(SessionId, u64, String), (u64, u64)>,
    tokens: BTreeSet<u64>,
    /// The last token of the lives before.
    last: u64,
    /// Items whose put was acknowledged; items that arrived.
    put: BTreeSet<u64>,
    got: BTreeSet<u64>,
    /// What a call was handed.
    handed: BTreeMap<Key, u64>,
}

impl Synced {
    /// Locks and queues are gone with their coordinator; tokens grow on.
    pub(crate) fn coordinator_died(&mut self) {
        let tokens = std::mem::take(&mut self.tokens);
        let last = tokens.last().copied().unwrap_or(0).max(self.last);
        *self = Self { tokens, last, ..Self::default() };
    }
}

/// Puts statements about primitives between those of half the worlds' scripts. Its dice are its own: other worlds stay
/// what they are.
pub(crate) fn lace(plan: &Plan, scripts: &mut [Script]) {
    let mut rng = Rng::new(plan.config.seed ^ 0x51b3);
    if rng.chance(500) {
        return;
    }
    for script in scripts {
        for _ in 0..rng.below(4) {
            let at = rng.index(script.ops.len() + 1);
            let op = rng.pick(&[Op::Take(0), Op::Take(1), Op::Take(2), Op::LetGo, Op::Put, Op::Get]).clone();
            script.ops.insert(at, op);
        }
    }
}

fn primitive(n: u8) -> Primitive {
    let (name, kind, size) = match n {
        2 => ("permits", PrimitiveKind::Semaphore, 2),
        3 => ("items", PrimitiveKind::Queue, 0),
        1 => ("other", PrimitiveKind::Lock, 0),
        _ => ("lock", PrimitiveKind::Lock, 0),
    };
    Primitive { name: PrimitiveName::Shared(name.into()), kind, size }
}

/// Number of an attempt's call.
pub(crate) fn number(attempt: AttemptId, call: u64) -> u64 {
    attempt.epoch.0 << CALLS | call
}

/// Whose call it is.
pub(crate) fn epoch_of(call: u64) -> u64 {
    call >> CALLS
}

pub(crate) fn take(attempt: AttemptId, call: u64, n: u8) -> Up {
    ask(attempt, call, n, SyncAction::Acquire { now: false })
}

pub(crate) fn put(attempt: AttemptId, call: u64) -> Up {
    let item = Bytes::copy_from_slice(&call.to_be_bytes());
    ask(attempt, call, 3, SyncAction::Put { item, priority: 0, now: false })
}

pub(crate) fn get(attempt: AttemptId, call: u64) -> Up {
    ask(attempt, call, 3, SyncAction::Get { now: false })
}

fn ask(attempt: AttemptId, call: u64, n: u8, action: SyncAction) -> Up {
    Up::Sync(Box::new(SyncCall { call, primitive: primitive(n), attempt: Some(attempt), action }))
}

impl History {
    fn call_key(&self, session: SessionId, call: u64) -> Option<Key> {
        self.sessions.get(&session).map(|log| (session, log.life, call))
    }

    pub(crate) fn sync_asked(&mut self, session: SessionId, call: &SyncCall) {
        let Some(key) = self.call_key(session, call.call) else { return };
        let order = self.inputs;
        self.synced.asked.insert(key, (order << 20 | self.synced.asked.len() as u64, call.clone()));
    }

    pub(crate) fn sync_ended(&mut self, session: SessionId, call: u64, end: SyncEnd) {
        let Some(key) = self.call_key(session, call) else { return };
        if end == SyncEnd::Taken
            && let Some(item) = self.synced.handed.get(&key)
        {
            self.synced.got.insert(*item);
            self.saw("item got");
        }
    }

    /// L10: one answer per call. L24: tokens grow, and no token is given twice; first in, first out.
    pub(crate) fn sync_told(&mut self, session: SessionId, call: u64, answer: &SyncAnswer) {
        let Some(key) = self.call_key(session, call) else { return };
        let Some((order, asked)) = self.synced.asked.get(&key).cloned() else {
            return self.fail("L10", format!("session {session} is answered call {call}, which it never made"));
        };
        if !self.synced.answered.insert(key) {
            return self.fail("L10", format!("session {session} is answered call {call} twice"));
        }
        match answer {
            SyncAnswer::Granted(token) => {
                self.saw("permit granted");
                if !self.synced.tokens.insert(*token) {
                    return self.fail("L24", format!("token {token} is given twice"));
                }
                if *token <= self.synced.last {
                    let what = format!(
                        "token {token} is given, and before the coordinator started again {}",
                        self.synced.last
                    );
                    return self.fail("L24", what);
                }
                let line = (session, key.1, format!("{:?}", asked.primitive.name));
                if let Some((before, last)) = self.synced.granted.insert(line, (order, *token))
                    && (before > order || last > *token)
                {
                    let what = format!("session {session}: call {call} has token {token}, and one before it {last}");
                    self.fail("L24", what);
                }
            }
            SyncAnswer::Item(item) => {
                let item = item.as_ref().try_into().map_or(0, u64::from_be_bytes);
                self.synced.handed.insert(key, item);
            }
            SyncAnswer::Done => {
                self.synced.put.insert(call);
            }
            SyncAnswer::Refused { why: SyncRefusal::Stale, .. } => self.saw("stale call about a lock"),
            other => self.fail("L24", format!("{asked:?} is answered {other:?}")),
        }
    }

    /// Everything is over: nothing is held (L16), and what was put and not got is still there (L25).
    pub(crate) fn sync_over(&mut self, now: Time, calls: usize, items: usize) {
        if calls > 0 {
            return self.fail("L16", format!("everything is over, and {calls} calls about locks are open"));
        }
        let left = self.synced.put.difference(&self.synced.got).count();
        // A queue that nobody uses is forgotten like a result.
        let kept = self.config.retention > now.since(Time(0));
        if items < left && kept {
            self.fail("L25", format!("{left} items were put and not got, and {items} are there"));
        }
    }
}
