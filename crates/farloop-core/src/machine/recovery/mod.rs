//! A coordinator's life after others: what its records say, and what is still going on at workers.
//!
//! `fold` reads records into state. Then [`Input::Recovered`](crate::api::Input::Recovered) begins a new life, and with
//! it the *recovery window*: tasks from before are held, neither queued nor taken for lost, until every worker of the
//! roster has said what it holds (`adopt`) or was declared dead; new tasks run at once. What nobody came back with is
//! taken on then (`window`). `carry` says once more what is known, so that old parts of the journal may leave.

mod adopt;
mod aftermath;
mod begin;
mod carry;
mod fold;
mod window;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::lists::List;
use super::tasks::TaskKey;
use crate::id::{AttemptId, Epoch, Life, SessionId, TaskId, WorkerId};
use crate::outcome::Outcome;
use crate::record::LifeBegan;
use crate::time::Time;

pub(crate) use aftermath::Aftermath;
pub(crate) use carry::Carrying;

/// How many leases one life may give: epochs of life `n` begin at `n << LIFE_BITS`, so they grow from life to life
/// though no record says which was the last (L5).
pub(crate) const LIFE_BITS: u32 = 40;

/// What is known of former lives, and how far this one has got with it.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// This life; while records are read, the one that they tell of.
    began: Option<LifeBegan>,
    /// Records were read, and this life has begun.
    alive: bool,
    /// Serial of the last task that was read from records.
    former: u32,
    /// The record of this life's beginning.
    born: u64,
    /// Workers whose sessions are open by the records, with their names.
    roster: BTreeMap<WorkerId, String>,
    /// Of those, the ones that have not said yet what they hold.
    awaited: BTreeSet<WorkerId>,
    /// Attempts that workers which are coming back reported about and have not named. What came before the end of such a
    /// worker's last session counts; but one that it does not name it does not hold.
    reported: BTreeSet<(WorkerId, AttemptId)>,
    /// The recovery window.
    open: bool,
    /// When it was opened.
    pub(crate) opened: Time,
    /// A worker that may hold something did not come back in it.
    pub(crate) missing: bool,
    /// Those workers, until what they may hold is looked after.
    missed: Vec<WorkerId>,
    /// Tasks of former lives that are not over and that no worker came back with, oldest first.
    held: List,
    /// Those are being queued: until all are, none is handed out, for the oldest comes last.
    pub(crate) queueing: bool,
    /// The store has no room for new tasks.
    pub(crate) full: bool,
    reading: Reading,
}

/// What is kept while records are read.
#[derive(Debug, Default)]
struct Reading {
    /// Lists of tasks are not in the order of time: records that were carried came between.
    disordered: bool,
    /// All is read: what is not known now is gone.
    late: bool,
    /// Tasks whose creator or arguments were not known when they were read.
    unlinked: BTreeSet<u32>,
    /// Tasks that were not known when they were asked for as arguments, and who asked. One that is carried is read late,
    /// and may be over and forgotten before all is read.
    missing: BTreeMap<TaskId, Vec<TaskKey>>,
    /// Tasks that were about to be asked to stop: who created them is over.
    orphans: BTreeSet<u32>,
    /// Tasks that were about to end: an argument failed, or a cancel had come before them.
    doomed: BTreeMap<u32, Outcome>,
    /// Who consumes a stream.
    consumers: BTreeMap<u32, SessionId>,
}

impl Reading {
    fn forget(&mut self, index: u32) {
        self.unlinked.remove(&index);
        self.orphans.remove(&index);
        self.doomed.remove(&index);
        self.consumers.remove(&index);
    }
}

impl Recovery {
    /// This life, if records are kept.
    pub(crate) fn life(&self) -> Option<Life> {
        self.began.as_ref().filter(|_| self.alive).map(|began| began.life)
    }

    /// Whether a lease under this epoch was given before this life.
    pub(crate) fn before(&self, epoch: Epoch) -> bool {
        self.life().is_some_and(|life| epoch.0 < life.number << LIFE_BITS)
    }

    /// Forgets what a worker reported about and did not name.
    fn take_reported(&mut self, worker: WorkerId) -> Vec<AttemptId> {
        let from = (worker, AttemptId { task: TaskId(0), epoch: Epoch(0) });
        let of = self.reported.range(from..).take_while(|(of, _)| *of == worker).map(|(_, attempt)| *attempt);
        let attempts: Vec<_> = of.collect();
        for attempt in &attempts {
            self.reported.remove(&(worker, *attempt));
        }
        attempts
    }
}
