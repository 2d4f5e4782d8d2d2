//! The laws of primitives that the state shows (L16, L18, L24, L25), as code.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use super::primitive::{Line, Record, State};
use super::queue::Down;
use super::{CallKey, Stands};
use crate::limits;
use crate::machine::Core;
use crate::machine::check::LawViolation;
use crate::machine::tasks::Phase;

fn broken(law: &'static str, what: String) -> Result<(), LawViolation> {
    Err(LawViolation { law, what })
}

impl Core {
    pub(crate) fn check_primitives(&self) -> Result<(), LawViolation> {
        let bounds = [
            ("SYNC_PRIMITIVES", self.sync.slab.len(), limits::SYNC_PRIMITIVES),
            ("SYNC_CALLS", self.sync.open.len(), limits::SYNC_CALLS),
            ("SYNC_BYTES", self.sync.bytes, limits::SYNC_BYTES),
        ];
        if let Some((name, is, limit)) = bounds.iter().find(|(_, is, limit)| is > limit) {
            return broken("L18", format!("{name}: {is} of {limit}"));
        }
        let mut open: BTreeMap<u32, u32> = BTreeMap::new();
        for (key, call) in &self.sync.open {
            *open.entry(call.primitive).or_default() += 1;
            self.check_call(*key, call)?;
        }
        let (mut tokens, mut bytes) = (BTreeSet::new(), 0);
        for (at, record) in &self.sync.slab {
            let at = at as u32;
            if record.open != open.get(&at).copied().unwrap_or(0) {
                return broken("L16", format!("{}: {} calls counted", record.called(), record.open));
            }
            bytes += self.check_record(at, record, &mut tokens)?;
        }
        if bytes != self.sync.bytes {
            return broken("L18", format!("items of {bytes} bytes, {} counted", self.sync.bytes));
        }
        Ok(())
    }

    fn check_call(&self, key: CallKey, call: &super::Open) -> Result<(), LawViolation> {
        let Some(record) = self.sync.slab.get(call.primitive as usize) else {
            return broken("L16", format!("a call about a primitive that is not there: {call:?}"));
        };
        let known = match (call.stands, &record.state) {
            (Stands::Waits(line, number), _) => record.lines.get(&(line, number)).is_some_and(|w| w.key == key),
            (Stands::Holds(token), State::Permits(permits)) => permits.holders.get(&token) == Some(&key),
            (Stands::Handed(priority, number), State::Queue(queue)) => queue.handed.contains_key(&(priority, number)),
            _ => false,
        };
        if !known {
            return broken("L16", format!("{} does not know of {call:?}", record.called()));
        }
        if !self.work.is_empty() {
            return Ok(());
        }
        let alive = match call.attempt {
            None => self.session(key.0).is_some(),
            Some(task) => self.tasks.get(task).is_some_and(|t| {
                let listed = t.rare.as_ref().is_some_and(|r| r.calls_open.contains(&key.1));
                t.phase == Phase::Leased && listed && self.session_key(t.place) == key.0
            }),
        };
        if alive { Ok(()) } else { broken("L24", format!("{}: {call:?} of one that is over", record.called())) }
    }

    /// Bytes of its items.
    fn check_record(&self, at: u32, record: &Record, tokens: &mut BTreeSet<u64>) -> Result<usize, LawViolation> {
        let name = record.called();
        let idle = record.open == 0 && !record.busy && record.waves.is_empty();
        if idle && (record.gone || record.state.is_fresh()) {
            broken("L18", format!("{name} is kept and nobody uses it"))?;
        }
        if record.lines.len() > limits::SYNC_WAITERS {
            broken("L18", format!("SYNC_WAITERS: {} wait for {name}", record.lines.len()))?;
        }
        let open = |key: &CallKey| self.sync.open.get(key).is_some_and(|c| c.primitive == at);
        if let Some(waiter) = record.lines.values().find(|w| !open(&w.key)) {
            broken("L16", format!("{name}: {waiter:?} waits and its call is over"))?;
        }
        let main = record.first(Line::Main).is_some();
        let putting: usize = record.lines.values().filter_map(|w| w.item.as_ref()).map(bytes::Bytes::len).sum();
        match &record.state {
            State::Permits(permits) => {
                if permits.holders.len() as u64 > permits.total {
                    broken("L24", format!("{name}: {} hold {} permits", permits.holders.len(), permits.total))?;
                }
                if permits.free() > 0 && main && !record.gone {
                    broken("L16", format!("{name}: one waits while a permit is free"))?;
                }
                for (token, key) in &permits.holders {
                    if *token == 0 || *token > self.sync.token || !tokens.insert(*token) || !open(key) {
                        broken("L24", format!("{name}: token {token} of {key:?} is not its own"))?;
                    }
                }
            }
            State::Event(event) => {
                if event.set && main && !record.busy {
                    broken("L16", format!("{name} is set and one waits"))?;
                }
            }
            State::Barrier(barrier) => {
                let here = record.lines.keys().filter(|(_, number)| *number >= barrier.since).count() as u64;
                let full = barrier.count >= barrier.parties || (barrier.broken && barrier.count > 0);
                if here != barrier.count || full || (here < record.lines.len() as u64 && !record.busy) {
                    broken("L16", format!("{name}: {here} of {} wait, {barrier:?}", record.lines.len()))?;
                }
            }
            State::Queue(queue) => {
                let held: usize = queue.items.values().map(bytes::Bytes::len).sum();
                if held != queue.bytes || held > limits::SYNC_QUEUE_BYTES {
                    broken("L18", format!("{name}: {held} bytes, {} counted", queue.bytes))?;
                }
                let (get, put) = (record.first(Line::Get).is_some(), record.first(Line::Put));
                let room = put.is_some_and(|(_, w)| queue.has_room(w.item.as_ref().map_or(0, bytes::Bytes::len)));
                if !record.busy
                    && ((get && !queue.items.is_empty()) || room || (put.is_some() && queue.down != Down::Open))
                {
                    broken("L25", format!("{name}: one waits for what is there"))?;
                }
                let lost = queue.handed.len() as u64 > u64::from(record.open);
                if lost {
                    broken("L25", format!("{name}: {} items are on their way to nobody", queue.handed.len()))?;
                }
                let rest: usize = queue.handed.values().chain(queue.dropped.values()).map(bytes::Bytes::len).sum();
                return Ok(held + rest + putting);
            }
        }
        Ok(putting)
    }
}
