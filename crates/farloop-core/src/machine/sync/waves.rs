//! What concerns many who wait: an event is set, a barrier is full, a queue is shut down, an owner is gone. Done in
//! pieces (L21); whoever comes meanwhile is not concerned.

use alloc::format;

use super::Stands;
use super::primitive::{Line, State};
use crate::limits;
use crate::machine::{Core, Work};
use crate::sync::{SyncAnswer, SyncRefusal};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Wave {
    pub(super) line: Line,
    /// Those before this number.
    pub(super) below: u64,
    /// How many at most.
    pub(super) left: u64,
    pub(super) end: WaveEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaveEnd {
    /// They go on.
    Go,
    /// They are told no.
    Refuse(SyncRefusal),
    /// They stand in the line for their lock.
    Rejoin,
}

impl Core {
    /// Begins a wave.
    pub(super) fn wave(&mut self, at: u32, wave: Wave) {
        self.sync.slab[at as usize].waves.push_back(wave);
        if !self.sync.slab[at as usize].busy && !self.waves_some(at) {
            self.primitive_later(at);
        }
    }

    /// The rest as queued work.
    pub(super) fn primitive_later(&mut self, at: u32) {
        let record = &mut self.sync.slab[at as usize];
        if !core::mem::replace(&mut record.busy, true) {
            self.work.push_back(Work::Primitive { at, serial: record.serial });
        }
    }

    /// A piece of what remains to be done for a primitive. True when it is done.
    pub(crate) fn primitive_some(&mut self, at: u32, serial: u32) -> bool {
        if self.sync.slab.get(at as usize).is_none_or(|r| r.serial != serial) {
            return true;
        }
        let queue = matches!(self.sync.slab[at as usize].state, State::Queue(_));
        let done = self.waves_some(at)
            && (!self.sync.slab[at as usize].gone || self.clear_some(at))
            && (!queue || (self.pump_some(at) && self.drop_some(at)));
        if done {
            self.sync.slab[at as usize].busy = false;
            self.settle(at);
        }
        done
    }

    fn waves_some(&mut self, at: u32) -> bool {
        while self.touched < limits::TOUCH {
            let record = &mut self.sync.slab[at as usize];
            let Some(wave) = record.waves.front_mut() else { return true };
            let (line, end, below) = (wave.line, wave.end, wave.below);
            wave.left = wave.left.saturating_sub(1);
            let over = wave.left == 0;
            let next = record.first(line).filter(|(number, _)| *number < below).map(|(number, _)| number);
            let Some(number) = next else {
                record.waves.pop_front();
                continue;
            };
            if over {
                record.waves.pop_front();
            }
            self.touched += 1;
            match end {
                WaveEnd::Rejoin => self.rejoin(at, line, number),
                WaveEnd::Go => self.dismiss(at, line, number, None),
                WaveEnd::Refuse(why) => self.dismiss(at, line, number, Some(why)),
            }
        }
        self.sync.slab[at as usize].waves.is_empty()
    }

    /// Takes one out of a line with an answer.
    fn dismiss(&mut self, at: u32, line: Line, number: u64, refusal: Option<SyncRefusal>) {
        let record = &mut self.sync.slab[at as usize];
        let Some(waiter) = record.lines.remove(&(line, number)) else { return };
        let name = record.called();
        self.sync.bytes -= waiter.item.as_ref().map_or(0, bytes::Bytes::len);
        let barrier = matches!(record.state, State::Barrier(_));
        self.close_call(waiter.key);
        let answer = match refusal {
            None if barrier => SyncAnswer::Index(waiter.rank.unsigned_abs()),
            None => SyncAnswer::Done,
            Some(why) => {
                let message = match why {
                    SyncRefusal::Broken => super::barrier::broken().1,
                    SyncRefusal::ShutDown => format!("{name} is shut down"),
                    _ => format!("{name} is gone: the session that owned it is over"),
                };
                SyncAnswer::Refused { why, message }
            }
        };
        self.answer(waiter.key, answer);
    }

    /// Moves one from a condition's line to its lock's.
    pub(super) fn rejoin(&mut self, at: u32, line: Line, number: u64) {
        let record = &mut self.sync.slab[at as usize];
        let Some(waiter) = record.lines.remove(&(line, number)) else { return };
        let key = waiter.key;
        let number = record.next;
        record.next += 1;
        record.lines.insert((Line::Main, number), waiter);
        if let Some(open) = self.sync.open.get_mut(&key) {
            open.stands = Stands::Waits(Line::Main, number);
        }
        self.grant_next(at);
    }

    /// The primitive is over: it is found no more, and whoever waits is told.
    pub(super) fn abolish(&mut self, at: u32) {
        self.unname(at);
        let record = &mut self.sync.slab[at as usize];
        record.gone = true;
        if let State::Queue(queue) = &mut record.state {
            queue.close();
        }
        self.primitive_later(at);
    }

    /// Clears a primitive that is over. True when nothing of it is left.
    fn clear_some(&mut self, at: u32) -> bool {
        while self.touched < limits::TOUCH {
            self.touched += 1;
            let record = &mut self.sync.slab[at as usize];
            if let Some((&(line, number), _)) = record.lines.first_key_value() {
                self.dismiss(at, line, number, Some(SyncRefusal::Gone));
                continue;
            }
            let held = match &mut record.state {
                State::Permits(permits) => permits.holders.pop_first().map(|(_, key)| key),
                State::Queue(_) | State::Event(_) | State::Barrier(_) => None,
            };
            match held {
                Some(key) => {
                    self.close_call(key);
                }
                None => return true,
            }
        }
        false
    }
}
