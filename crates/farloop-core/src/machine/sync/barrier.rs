//! Barriers: whoever comes waits for the others; the last one lets all go.

use alloc::string::String;

use super::primitive::{Line, State, Waiter};
use super::waves::{Wave, WaveEnd};
use super::{CallKey, Open, Refused};
use crate::machine::Core;
use crate::sync::{SyncAction, SyncAnswer, SyncRefusal, SyncView};

#[derive(Debug)]
pub(crate) struct Barrier {
    pub(super) parties: u64,
    /// How many of this round are there.
    pub(super) count: u64,
    /// Number in the line of the first who can be of this round.
    pub(super) since: u64,
    pub(super) broken: bool,
}

impl Barrier {
    pub(super) fn new(parties: u64) -> Self {
        Self { parties, count: 0, since: 0, broken: false }
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.count == 0 && !self.broken
    }
}

/// What is told to those who wait at a barrier that is aborted or reset, and to those who come to a broken one.
pub(super) fn broken() -> Refused {
    (SyncRefusal::Broken, String::from("Barrier aborted"))
}

impl Core {
    pub(super) fn on_barrier(&mut self, key: CallKey, open: Open, action: SyncAction) -> Result<(), Refused> {
        let at = open.primitive;
        let record = &mut self.sync.slab[at as usize];
        let next = record.next;
        let State::Barrier(barrier) = &mut record.state else { return Err(self.unknown_action(at, &action)) };
        match action {
            SyncAction::Arrive if barrier.broken => return Err(broken()),
            SyncAction::Arrive => {
                let index = barrier.count;
                if index + 1 < barrier.parties {
                    let rank = i64::try_from(index).unwrap_or(i64::MAX);
                    self.line_up(key, open, Line::Main, Waiter { key, rank, item: None })?;
                    if let State::Barrier(barrier) = &mut self.sync.slab[at as usize].state {
                        barrier.count += 1;
                    }
                } else {
                    (barrier.count, barrier.since) = (0, next);
                    self.answer(key, SyncAnswer::Index(index));
                    self.wave(at, Wave { line: Line::Main, below: next, left: u64::MAX, end: WaveEnd::Go });
                }
            }
            SyncAction::Reset | SyncAction::Abort => {
                (barrier.count, barrier.since) = (0, next);
                barrier.broken = action == SyncAction::Abort;
                self.answer(key, SyncAnswer::Done);
                let end = WaveEnd::Refuse(SyncRefusal::Broken);
                self.wave(at, Wave { line: Line::Main, below: next, left: u64::MAX, end });
            }
            SyncAction::Look => {
                let (count, flag) = (barrier.count, barrier.broken);
                self.answer(key, SyncAnswer::View(SyncView { count, waiting: count, unfinished: 0, flag }));
            }
            other => return Err(self.unknown_action(at, &other)),
        }
        Ok(())
    }

    /// One who waited is gone.
    pub(super) fn left_barrier(&mut self, at: u32, number: u64) {
        if let State::Barrier(barrier) = &mut self.sync.slab[at as usize].state
            && number >= barrier.since
        {
            barrier.count -= 1;
        }
    }
}
