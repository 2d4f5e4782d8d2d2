//! Going on with a coordinator that started again. It knows from its records what it acknowledged; what it only kept
//! in memory is said once more: the attempts that are held here and the tasks that are waited for, a piece with each
//! batch, so that a million of them neither fill the buffer nor stop the thread. Ends with [`Up::Rejoined`].
//!
//! What still waits to be sent goes first, with its old numbers. Of that, what was for the coordinator's last life alone
//! is replaced by a heartbeat: see [`Queued::keep`].

use std::collections::HashSet;
use std::vec::IntoIter;

use farloop_core::frame::Up;
use farloop_core::id::{AttemptId, TaskId};
use farloop_core::limits;
use farloop_core::link::{Batch, Item, Link, LinkError};

use super::{SessionShared, lock};
use crate::cell::Kind;
use crate::error::{Error, SyncError};

/// What is still to be said.
#[derive(Debug, Default)]
pub(super) struct List {
    attempts: IntoIter<AttemptId>,
    watches: IntoIter<TaskId>,
    onlookers: IntoIter<TaskId>,
    /// That was all, and that it was is queued.
    said: bool,
}

/// What is told in any case, by frames that the coordinator has not acknowledged.
#[derive(Debug, Default)]
struct Queued {
    tasks: HashSet<TaskId, foldhash::fast::RandomState>,
    progress: HashSet<TaskId, foldhash::fast::RandomState>,
    calls: HashSet<u64, foldhash::fast::RandomState>,
}

impl Queued {
    /// Whether a coordinator that started again is to get this frame; `sent`: the one before may have had it. `waiting`:
    /// calls that wait for their answer; `open`: whether a task has no outcome here.
    fn keep(
        &mut self,
        frame: &Up,
        sent: bool,
        waiting: &HashSet<u64, foldhash::fast::RandomState>,
        open: impl Fn(TaskId) -> bool,
    ) -> bool {
        match frame {
            // It was answered, so it is on record or was refused: what was refused never runs (L18), nor out of its turn
            // (L12) because there is room now.
            Up::Submit(submit) if sent && !open(submit.task) => return false,
            Up::Submit(submit) => drop(self.tasks.insert(submit.task)),
            Up::Watch(task) => drop(self.tasks.insert(*task)),
            Up::WatchProgress(task) => drop(self.progress.insert(*task)),
            // What it did is gone with the locks and queues, or nobody would take what it asks for.
            Up::Sync(call) if sent || !waiting.contains(&call.call) => return false,
            Up::Sync(call) => drop(self.calls.insert(call.call)),
            // The total of starts and the list begin anew.
            Up::Grant(_) | Up::Attempt(_) | Up::Rejoined { .. } => return false,
            _ => {}
        }
        true
    }
}

impl SessionShared {
    /// How often the coordinator started again and this session went on.
    pub(crate) fn recoveries(&self) -> u64 {
        lock(&self.outbox).recoveries
    }

    /// Queues an item of a stream, unless the coordinator has started again since that many recoveries: then all that
    /// were not taken are still to be told, this one among them.
    pub(crate) fn push_item(&self, recoveries: u64, item: Up) {
        {
            let mut outbox = lock(&self.outbox);
            if outbox.recoveries != recoveries {
                return;
            }
            outbox.push(item);
        }
        self.waker.wake();
    }

    /// The link goes on as after a cut, and then the coordinator is told what is held here.
    pub(super) fn recover(&self, received: u64) -> Result<(), LinkError> {
        let mut link = lock(&self.link);
        let waiting: HashSet<u64, _> = {
            let mut outbox = lock(&self.outbox);
            outbox.recoveries += 1;
            outbox.rejoining = true;
            for frame in outbox.frames.drain(..) {
                link.push(frame);
            }
            outbox.bytes = 0;
            self.calls.waiting().into_iter().collect()
        };
        let mut queued = Queued::default();
        link.rewrite(|frame, sent| {
            if !queued.keep(frame, sent, &waiting, |task| self.cells.contains_key(&task)) {
                *frame = Up::Heartbeat;
            }
        });
        link.drop_assembly();
        link.resume(received)?;
        let worker = self.worker.get();
        if let Some(worker) = worker {
            worker.recovered(|held| link.push(held));
        }
        drop(link);
        let attempts = worker.map(|w| w.placed()).unwrap_or_default();
        let watches = self.waited_for(&queued);
        let onlookers = self.onlookers.tasks_asked();
        let onlookers: Vec<TaskId> =
            onlookers.into_iter().filter(|task| !queued.progress.contains(task) && self.is_remote(*task)).collect();
        tracing::info!(
            attempts = attempts.len(),
            tasks = watches.len(),
            "the coordinator started again; this session goes on"
        );
        *lock(&self.list) = List {
            attempts: attempts.into_iter(),
            watches: watches.into_iter(),
            onlookers: onlookers.into_iter(),
            said: false,
        };
        let lost = waiting.into_iter().filter(|call| !queued.calls.contains(call)).collect();
        self.calls.fail(lost, &Error::Sync(SyncError::Restarted));
        Ok(())
    }

    /// Tasks of the cluster that are not done and that the coordinator is not asked about anyway.
    fn waited_for(&self, queued: &Queued) -> Vec<TaskId> {
        let remote = self.cells.iter().filter(|cell| matches!(cell.kind, Kind::Remote));
        remote.map(|cell| *cell.key()).filter(|task| !queued.tasks.contains(task)).collect()
    }

    fn is_remote(&self, task: TaskId) -> bool {
        self.cells.get(&task).is_some_and(|cell| matches!(cell.kind, Kind::Remote))
    }

    /// Queues a piece of what is still to be said, if there is room in the next batch.
    pub(super) fn list_some(&self, link: &mut Link<Up>) {
        let mut list = lock(&self.list);
        let recoveries = self.recoveries();
        while link.queued() < limits::BATCH_ITEMS {
            if let Some(attempt) = list.attempts.next() {
                if let Some(worker) = self.worker.get() {
                    worker.tell_held(attempt, recoveries, |frame| link.push(frame));
                }
            } else if let Some(task) = list.watches.next() {
                // What ended meanwhile needs no watching: its submit was under way, or it was told twice.
                if self.is_remote(task) {
                    link.push(Up::Watch(task));
                }
            } else if let Some(task) = list.onlookers.next() {
                link.push(Up::WatchProgress(task));
            } else {
                if !std::mem::replace(&mut list.said, true) {
                    // What was found to be over has said so, perhaps since the outbox was looked at: that comes before the
                    // end of the list, or it would be taken for lost and begin again.
                    self.drain_outbox(link);
                    let starts = self.worker.get().map_or(0, |worker| worker.rejoins(|frame| link.push(frame)));
                    link.push(Up::Rejoined { starts });
                }
                return;
            }
        }
    }

    /// A batch leaves while the coordinator is told. If the end of the list is in it, a worker allows starts again:
    /// that overtakes what waits, so it must not be said before.
    pub(super) fn listed(&self, link: &mut Link<Up>, batch: &Batch<Up>) {
        if !batch.items.iter().any(|item| matches!(item, Item::Frame(Up::Rejoined { .. }))) {
            return;
        }
        let mut outbox = lock(&self.outbox);
        outbox.rejoining = false;
        if let Some(worker) = self.worker.get() {
            link.push(Up::Grant(worker.slots().granted()));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
