//! How a session begins, goes on, and is lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use farloop_core::frame::{Hello, PROTOCOL_VERSION, Up};
use farloop_core::id::{Life, SessionId};
use farloop_core::limits;
use farloop_core::link::{Link, LinkError};
use farloop_core::outcome::{Failure, FailureKind, Outcome};

use super::rejoin::List;
use super::{Outbox, SessionShared, lock, new_id};
use crate::cell::{Cell, Kind};
use crate::error::Error;
use crate::event_loop::Ready;

/// What the coordinator's welcome says about the session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Welcome {
    /// It still has the session.
    pub(crate) resumed: bool,
    /// It started again, and has it from its records.
    pub(crate) recovered: bool,
    /// Items that it received.
    pub(crate) received: u64,
    pub(crate) life: Option<Life>,
}

impl SessionShared {
    /// For each connection a new one.
    pub(crate) fn hello(&self) -> Hello {
        let worker = self.worker.get();
        let (received, acked) = {
            let link = lock(&self.link);
            (link.received(), link.acked())
        };
        Hello {
            session: self.id(),
            protocol: PROTOCOL_VERSION,
            role: self.role,
            name: self.name.clone(),
            resume: self.welcomed.load(Ordering::Acquire),
            received,
            functions: worker.map(|w| w.registry().function_defs()).unwrap_or_default(),
            slots: worker.map_or(0, |w| w.slots().total()),
            connection: self.connections.fetch_add(1, Ordering::Relaxed) + 1,
            acked,
            life: *lock(&self.life),
            labels: worker.map(|w| w.labels().to_vec()).unwrap_or_default(),
            process: worker.and_then(|_| process_mark()),
        }
    }

    /// The coordinator said welcome.
    ///
    /// # Errors
    /// The two ends disagree about what was sent: the session is lost.
    pub(crate) fn welcome(&self, welcome: Welcome) -> Result<(), LinkError> {
        let Welcome { resumed, recovered, received, life } = welcome;
        let before = std::mem::replace(&mut *lock(&self.life), life);
        if self.welcomed.swap(true, Ordering::AcqRel) && !resumed {
            // The coordinator has opened a fresh one under the same id: from here on both count from zero.
            self.forget(why_lost(before, life));
            return Ok(());
        }
        let resumed = if recovered { self.recover(received) } else { lock(&self.link).resume(received) };
        self.waker.wake();
        resumed
    }

    /// The session is gone for good: what waits fails, and a fresh session under another id begins, because the
    /// coordinator may still hold on to this one.
    pub(crate) fn lost(&self, why: &str) {
        *lock(&self.id) = SessionId(new_id().0);
        self.welcomed.store(false, Ordering::Release);
        *lock(&self.life) = None;
        self.forget(why);
    }

    /// What waits fails, and both directions begin anew.
    fn forget(&self, why: &str) {
        *lock(&self.link) = Link::new(limits::MAX_PAYLOAD);
        *lock(&self.list) = List::default();
        {
            let mut outbox = lock(&self.outbox);
            *outbox = Outbox { recoveries: outbox.recoveries, ..Outbox::default() };
        }
        self.unsent.store(0, Ordering::Relaxed);
        self.unsent_bytes.store(0, Ordering::Relaxed);
        self.prints.store(0, Ordering::Relaxed);
        self.onlookers.clear();
        let remote = |cell: &Arc<Cell>| matches!(cell.kind, Kind::Remote);
        let cells: Vec<Arc<Cell>> = self.cells.iter().map(|e| e.value().clone()).filter(remote).collect();
        self.cells.retain(|_, cell| !remote(cell));
        self.streams.clear();
        for cell in cells {
            let failure = Failure::new(FailureKind::SessionLost, cell.function.clone(), why.to_owned());
            cell.home.clone().push(Ready::Complete(cell, Outcome::Raised(Arc::new(failure))));
        }
        self.calls.fail(self.calls.waiting(), &Error::SessionLost(why.to_owned()));
        if let Some(worker) = self.worker.get() {
            worker.forget_all();
        }
        self.room.notify_waiters();
        if self.is_closing() {
            self.push(Up::Bye);
        }
    }
}

/// Why a session that was open is not any more, and what to do.
fn why_lost(before: Option<Life>, now: Option<Life>) -> &'static str {
    match (before, now) {
        (Some(before), Some(now)) if before.cluster == now.cluster => {
            "it was away for longer than the coordinator waits, and what it owned was cancelled; submit again what is still wanted"
        }
        (Some(_), Some(_)) => {
            "the coordinator that answers keeps other records; submit again what is still wanted, or start the coordinator with the --data-dir that it had"
        }
        _ => {
            "the coordinator does not know this session any more: it was restarted without records, or the session was away \
             for longer than it waits. Submit again what is still wanted; a coordinator that runs with --data-dir goes on \
             after a restart"
        }
    }
}

/// What whoever started this process called it, to tell the coordinator how it ended.
fn process_mark() -> Option<u128> {
    SessionId::parse(&std::env::var("FARLOOP_PROCESS").ok()?).map(|id| id.0)
}
