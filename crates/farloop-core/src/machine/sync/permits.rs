//! Semaphores, and locks with their conditions: permits, each held by one call under a token of its own.

use alloc::collections::BTreeMap;
use alloc::format;

use super::primitive::{Line, State, Waiter};
use super::waves::{Wave, WaveEnd};
use super::{CallKey, Open, Refused, Stands};
use crate::machine::Core;
use crate::sync::{PrimitiveKind, SyncAction, SyncAnswer, SyncRefusal, SyncView};

#[derive(Debug)]
pub(crate) struct Permits {
    pub(super) total: u64,
    /// Who holds one, by token.
    pub(super) holders: BTreeMap<u64, CallKey>,
}

impl Permits {
    pub(super) fn new(total: u64) -> Self {
        Self { total, holders: BTreeMap::new() }
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.holders.is_empty()
    }

    pub(super) fn free(&self) -> u64 {
        self.total.saturating_sub(self.holders.len() as u64)
    }
}

impl Core {
    fn permits(&self, at: u32) -> &Permits {
        match &self.sync.slab[at as usize].state {
            State::Permits(permits) => permits,
            other => unreachable!("the kind of a primitive never changes: {other:?}"),
        }
    }

    fn permits_mut(&mut self, at: u32) -> &mut Permits {
        match &mut self.sync.slab[at as usize].state {
            State::Permits(permits) => permits,
            other => unreachable!("the kind of a primitive never changes: {other:?}"),
        }
    }

    pub(super) fn on_permits(&mut self, key: CallKey, open: Open, action: SyncAction) -> Result<(), Refused> {
        let at = open.primitive;
        let lock = self.sync.slab[at as usize].kind == PrimitiveKind::Lock;
        match action {
            SyncAction::Acquire { now } => self.acquire(key, open, now),
            SyncAction::Release(token) => {
                let holder = self.holder(at, token)?;
                self.release(holder);
                self.answer(key, SyncAnswer::Done);
                Ok(())
            }
            SyncAction::Check(token) => {
                self.holder(at, token)?;
                self.answer(key, SyncAnswer::Done);
                Ok(())
            }
            SyncAction::WaitNotified { condition, token } if lock => {
                let holder = self.holder(at, token)?;
                // Before the permit goes: a refusal leaves the caller with its lock.
                let waits = Open { condition: Some(condition), ..open };
                self.line_up(key, waits, Line::Condition(condition), Waiter::plain(key))?;
                self.release(holder);
                Ok(())
            }
            SyncAction::Notify { condition, token, count } if lock => {
                self.holder(at, token)?;
                self.notify(at, condition, count);
                self.answer(key, SyncAnswer::Done);
                Ok(())
            }
            SyncAction::Look => {
                let count = self.permits(at).holders.len() as u64;
                let waiting = self.sync.slab[at as usize].lines.len() as u64;
                let flag = self.permits(at).free() == 0 || self.sync.slab[at as usize].first(Line::Main).is_some();
                self.answer(key, SyncAnswer::View(SyncView { count, waiting, unfinished: 0, flag }));
                Ok(())
            }
            other => Err(self.unknown_action(at, &other)),
        }
    }

    fn acquire(&mut self, key: CallKey, open: Open, now: bool) -> Result<(), Refused> {
        let at = open.primitive;
        let free = self.permits(at).free() > 0 && self.sync.slab[at as usize].first(Line::Main).is_none();
        if free {
            self.room_for_call()?;
            self.open_call(key, open);
            self.grant(at, key);
            return Ok(());
        }
        if now {
            let message = format!("{} is taken", self.sync.slab[at as usize].called());
            return Err((SyncRefusal::Busy, message));
        }
        self.line_up(key, open, Line::Main, Waiter::plain(key))
    }

    /// The call that holds the permit with this token.
    fn holder(&self, at: u32, token: u64) -> Result<CallKey, Refused> {
        self.permits(at).holders.get(&token).copied().ok_or_else(|| {
            let name = self.sync.slab[at as usize].called();
            (
                SyncRefusal::Stale,
                format!("token {token} of {name} is not current: it was given back, or its holder was lost"),
            )
        })
    }

    /// Gives an open call a permit.
    fn grant(&mut self, at: u32, key: CallKey) {
        if !planted!(self, TokenReused) || self.sync.token == 0 {
            self.sync.token += 1;
        }
        let token = self.sync.token;
        self.permits_mut(at).holders.insert(token, key);
        if let Some(open) = self.sync.open.get_mut(&key) {
            open.stands = Stands::Holds(token);
        }
        self.answer(key, SyncAnswer::Granted(token));
    }

    /// The permit of a call goes back, and to who is next.
    pub(super) fn release(&mut self, key: CallKey) {
        let Some(open) = self.close_call(key) else { return };
        let Stands::Holds(token) = open.stands else { return };
        self.permits_mut(open.primitive).holders.remove(&token);
        self.grant_next(open.primitive);
    }

    /// Gives what is free to who waits for it: one permit at most is, since each that comes free goes on at once.
    pub(super) fn grant_next(&mut self, at: u32) {
        let record = &self.sync.slab[at as usize];
        if record.gone || self.permits(at).free() == 0 {
            return;
        }
        let Some((number, waiter)) = record.first(Line::Main) else { return };
        let key = waiter.key;
        self.touched += 1;
        self.sync.slab[at as usize].lines.remove(&(Line::Main, number));
        self.grant(at, key);
    }

    /// Lets waiters of a condition stand in the line for its lock.
    pub(super) fn notify(&mut self, at: u32, condition: crate::id::PrimitiveId, count: u64) {
        let below = self.sync.slab[at as usize].next;
        self.wave(at, Wave { line: Line::Condition(condition), below, left: count, end: WaveEnd::Rejoin });
    }
}
