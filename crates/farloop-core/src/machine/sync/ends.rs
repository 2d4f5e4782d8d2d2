//! How open calls end: given back, withdrawn, arrived, or with the attempt or session that made them.

use super::primitive::{Line, State};
use super::{CallKey, Stands};
use crate::machine::Core;
use crate::sync::SyncEnd;

impl Core {
    /// What a session says about a call of its own. About one that is not open there is nothing to say: it was
    /// answered for good, or taken away meanwhile.
    pub(crate) fn on_sync_end(&mut self, index: u32, call: u64, end: SyncEnd) {
        let key = (self.session_key(index), call);
        let Some(open) = self.sync.open.get(&key) else { return };
        let (at, stands, condition) = (open.primitive, open.stands, open.condition);
        self.touched += 1;
        match (end, stands) {
            (SyncEnd::Withdraw, _) | (SyncEnd::Release, Stands::Holds(_)) => self.end_call(key),
            (SyncEnd::Taken, Stands::Handed(priority, number)) => {
                self.close_call(key);
                self.handed_over(at, (priority, number), true);
                self.settle(at);
            }
            (SyncEnd::Rejoin, Stands::Waits(line @ Line::Condition(_), number)) => {
                self.forget_condition(key);
                self.rejoin(at, line, number);
            }
            (SyncEnd::Rejoin, Stands::Waits(Line::Main, _) | Stands::Holds(_)) => {
                // It was notified and will not look: the notification goes to another.
                self.forget_condition(key);
                if let Some(condition) = condition {
                    self.notify(at, condition, 1);
                }
            }
            _ => {}
        }
    }

    fn forget_condition(&mut self, key: CallKey) {
        if let Some(open) = self.sync.open.get_mut(&key) {
            open.condition = None;
        }
    }

    /// Ends an open call, whatever it waits for or holds.
    pub(super) fn end_call(&mut self, key: CallKey) {
        let Some(open) = self.sync.open.get(&key) else { return };
        let (at, condition) = (open.primitive, open.condition);
        match open.stands {
            Stands::Holds(_) => self.release(key),
            Stands::Handed(priority, number) => {
                self.close_call(key);
                self.handed_over(at, (priority, number), false);
            }
            Stands::Waits(line, number) => {
                self.close_call(key);
                if let Some(waiter) = self.sync.slab[at as usize].lines.remove(&(line, number)) {
                    self.sync.bytes -= waiter.item.as_ref().map_or(0, bytes::Bytes::len);
                }
                match (&self.sync.slab[at as usize].state, line, condition) {
                    (State::Barrier(_), ..) => self.left_barrier(at, number),
                    // Whoever stood behind it may fit.
                    (State::Queue(_), Line::Put, _) => self.pump(at),
                    (State::Permits(_), Line::Main, Some(condition)) => self.notify(at, condition, 1),
                    _ => {}
                }
            }
        }
        self.settle(at);
    }
}
