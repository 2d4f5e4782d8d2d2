//! Events: a flag, and who waits for it.

use super::primitive::{Line, State, Waiter};
use super::waves::{Wave, WaveEnd};
use super::{CallKey, Open, Refused};
use crate::machine::Core;
use crate::sync::{SyncAction, SyncAnswer, SyncView};

#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(super) set: bool,
}

impl Event {
    pub(super) fn is_fresh(&self) -> bool {
        !self.set
    }
}

impl Core {
    pub(super) fn on_event(&mut self, key: CallKey, open: Open, action: SyncAction) -> Result<(), Refused> {
        let at = open.primitive;
        let record = &mut self.sync.slab[at as usize];
        let State::Event(event) = &mut record.state else { return Err(self.unknown_action(at, &action)) };
        match action {
            SyncAction::Wait if event.set => self.answer(key, SyncAnswer::Done),
            SyncAction::Wait => self.line_up(key, open, Line::Main, Waiter::plain(key))?,
            SyncAction::Set => {
                event.set = true;
                let below = record.next;
                self.answer(key, SyncAnswer::Done);
                // Those who wait now go on, even if the flag is cleared before it is their turn to be told.
                self.wave(at, Wave { line: Line::Main, below, left: u64::MAX, end: WaveEnd::Go });
            }
            SyncAction::Clear => {
                event.set = false;
                self.answer(key, SyncAnswer::Done);
            }
            SyncAction::Look => {
                let view = SyncView { flag: event.set, waiting: record.lines.len() as u64, ..SyncView::default() };
                self.answer(key, SyncAnswer::View(view));
            }
            other => return Err(self.unknown_action(at, &other)),
        }
        Ok(())
    }
}
