//! The observer's own fold of the records (L17): what a coordinator that starts again must know, worked out a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use farloop_core::api::{Record, TaskView};
use farloop_core::id::{Epoch, SessionId, TaskId};
use farloop_core::outcome::Outcome;
use farloop_core::record::{AttemptFailed, CancelRequested, Submitted};
use farloop_core::time::Time;

/// What is on record of one task.
#[derive(Clone, Debug)]
pub(crate) struct Folded {
    pub(crate) submitted: Submitted,
    pub(crate) ended: Option<(Outcome, Time)>,
    pub(crate) failed: Option<AttemptFailed>,
    pub(crate) started: bool,
    pub(crate) cancel: Option<CancelRequested>,
    /// Items of links that were counted as requests: their senders may send them again.
    pub(crate) asked_by: BTreeSet<(SessionId, u64)>,
}

impl Folded {
    fn new(submitted: Submitted) -> Self {
        Self { submitted, ended: None, failed: None, started: false, cancel: None, asked_by: BTreeSet::new() }
    }

    /// Reports under this lease and earlier ones count no more.
    pub(crate) fn failed_epoch(&self) -> Epoch {
        self.failed.as_ref().map_or(Epoch(0), |f| f.epoch)
    }
}

/// The fold of all records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fold {
    pub(crate) tasks: BTreeMap<TaskId, Folded>,
    /// Requests to stop tasks that had not been accepted.
    early: BTreeMap<TaskId, CancelRequested>,
}

impl Fold {
    pub(crate) fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let mut fold = Self::default();
        records.for_each(|record| fold.add(record));
        fold
    }

    fn add(&mut self, record: &Record) {
        match record {
            Record::Submitted(submitted) => {
                let mut folded = Folded::new((**submitted).clone());
                folded.cancel = self.early.remove(&submitted.task);
                folded.asked_by.extend(folded.cancel.iter().filter_map(|c| c.by));
                self.tasks.insert(submitted.task, folded);
            }
            Record::Ended { task, outcome, at, .. } => {
                if let Some(folded) = self.tasks.get_mut(task) {
                    folded.ended = Some((outcome.clone(), *at));
                }
            }
            Record::AttemptFailed(failed) => {
                if let Some(folded) = self.tasks.get_mut(&failed.task) {
                    folded.failed = Some((**failed).clone());
                }
            }
            Record::Started { task } => {
                if let Some(folded) = self.tasks.get_mut(task) {
                    folded.started = true;
                }
            }
            Record::CancelRequested(cancel) => {
                if let Some(folded) = self.tasks.get_mut(&cancel.task) {
                    folded.asked_by.extend(cancel.by);
                    folded.cancel = Some((**cancel).clone());
                } else {
                    self.early.insert(cancel.task, (**cancel).clone());
                }
            }
            // It says once more what was said before: a fold of everything has no use for it, and judges it.
            Record::Life(_)
            | Record::Snapshot(_)
            | Record::Released { .. }
            | Record::Carried(_)
            | Record::Standing(_)
            | Record::WorkerJoined(_)
            | Record::WorkerLeft { .. } => {}
        }
    }

    /// What is wrong with what the core says of a task.
    pub(crate) fn differs(&self, view: &TaskView) -> Option<String> {
        let Some(folded) = self.tasks.get(&view.task) else {
            return Some("nothing is on record of it".into());
        };
        let standing = folded.cancel.as_ref().map_or(0, |c| c.standing);
        let outcome = folded.ended.as_ref().map(|(outcome, _)| outcome);
        let submitted = &folded.submitted;
        if view.outcome.as_ref() != outcome {
            Some(format!("its outcome is on record as {outcome:?}"))
        } else if outcome.is_none() && view.cancelling != standing {
            Some(format!("{standing} cancel requests are on record"))
        } else if outcome.is_none() && !same_call(&submitted.spec, &view.spec) {
            Some("another call is on record".into())
        } else if view.created != submitted.at {
            Some(format!("it was accepted at {:?}", submitted.at))
        } else if view.parent != submitted.parent.map(|(task, _)| task) {
            Some(format!("it was created by {:?}", submitted.parent))
        } else if outcome.is_none() && view.priority != submitted.priority {
            Some(format!("its priority is {}", submitted.priority))
        } else {
            None
        }
    }

    /// Tasks that must be known: those that are not over, and those whose outcome is kept.
    pub(crate) fn missing(&self, now: Time, kept: Duration, known: &BTreeSet<TaskId>) -> Option<TaskId> {
        let must = |folded: &Folded| folded.ended.as_ref().is_none_or(|(_, at)| *at + kept > now);
        self.tasks.iter().find(|(task, folded)| !known.contains(task) && must(folded)).map(|(task, _)| *task)
    }
}

fn same_call(a: &Arc<farloop_core::spec::Spec>, b: &Arc<farloop_core::spec::Spec>) -> bool {
    Arc::ptr_eq(a, b) || **a == **b
}
