//! The observer's records: sessions, tasks, attempts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use farloop_core::frame::{Owner, Role};
use farloop_core::id::{AttemptId, ConnId, Epoch, SessionId, TaskId};
use farloop_core::link::{Batch, Item, LinkFrame};
use farloop_core::outcome::Outcome;
use farloop_core::spec::Spec;
use farloop_core::time::Time;

/// Items of one direction put together to frames, as their numbers grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mirror {
    pub(crate) count: u64,
    parts: BytesMut,
}

impl Mirror {
    /// A direction that goes on after so many items; what was half put together is void.
    pub(crate) fn at(count: u64) -> Self {
        Self { count, parts: BytesMut::new() }
    }

    /// The frames of a batch that were not seen before, each with the number of its last item; stops where numbers are
    /// missing or a payload is too large.
    pub(crate) fn take<F: LinkFrame>(&mut self, batch: &Batch<F>, limit: usize) -> Vec<(u64, F)> {
        let mut frames = Vec::new();
        if batch.items.is_empty() || batch.first > self.count {
            return frames;
        }
        for item in batch.items.iter().skip((self.count - batch.first) as usize) {
            if matches!(item, Item::Part(part) if self.parts.len() + part.len() > limit) {
                break;
            }
            self.count += 1;
            match item {
                Item::Frame(frame) => frames.push((self.count - 1, frame.clone())),
                Item::Part(part) => self.parts.extend_from_slice(part),
                Item::Tail(frame) => {
                    let mut frame = frame.clone();
                    let whole = self.parts.split().freeze();
                    if let Some(payload) = frame.payload() {
                        *payload = whole;
                    }
                    frames.push((self.count - 1, frame));
                }
            }
        }
        frames
    }
}

/// One session, as long as the coordinator knows it.
#[derive(Clone, Debug)]
pub(crate) struct SessionLog {
    pub(crate) conn: Option<ConnId>,
    pub(crate) role: Role,
    /// Tells apart sessions that bear the same id one after the other.
    pub(crate) life: u64,
    pub(crate) up: Mirror,
    pub(crate) down: Mirror,
    pub(crate) granted: u64,
    pub(crate) starts: u64,
    /// Questions and answers about each task.
    pub(crate) asked: BTreeMap<TaskId, (u32, u32)>,
    /// Of the answers, those that say that there will be no outcome: they end nothing that comes of another question.
    pub(crate) refusals: BTreeMap<TaskId, u32>,
    /// Tasks it asked for when they were not known.
    pub(crate) early: BTreeSet<TaskId>,
    /// Attempts that must be told of a cancel request.
    pub(crate) owed: BTreeSet<AttemptId>,
    /// The coordinator started again, and the peer has not yet said all that it holds.
    pub(crate) rejoining: bool,
    /// Life of the coordinator in which its peer came back.
    pub(crate) recovered_in: u64,
    /// Items from the peer that were seen in any life of the coordinator: those below come once more.
    pub(crate) up_seen: u64,
    /// Items that the peer was told to be safe.
    pub(crate) up_safe: u64,
    /// Items that led to a record: its number, and the task.
    pub(crate) unsafe_items: BTreeMap<u64, (u64, TaskId)>,
    /// Items that asked a task to stop, or not to stop, and are not acknowledged.
    pub(crate) requests: BTreeMap<u64, TaskId>,
}

impl SessionLog {
    /// One that has just begun.
    pub(crate) fn new(conn: ConnId, role: Role, life: u64) -> Self {
        Self {
            conn: Some(conn),
            role,
            life,
            up: Mirror::default(),
            down: Mirror::default(),
            granted: 0,
            starts: 0,
            asked: BTreeMap::new(),
            refusals: BTreeMap::new(),
            early: BTreeSet::new(),
            owed: BTreeSet::new(),
            rejoining: false,
            recovered_in: 0,
            up_seen: 0,
            up_safe: 0,
            unsafe_items: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }
}

/// How an attempt is over, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Reported,
    Returned,
    Lost,
    Fenced,
}

/// One attempt.
#[derive(Clone, Debug)]
pub(crate) struct AttemptLog {
    pub(crate) epoch: Epoch,
    pub(crate) session: SessionId,
    pub(crate) life: u64,
    pub(crate) over: Option<Over>,
    /// What it reported while it was live, and the highest cancel it saw.
    pub(crate) report: Option<(Outcome, u32)>,
    /// When that came.
    pub(crate) reported_at: Time,
    /// The task had to be cancelled when that report came.
    pub(crate) too_late: bool,
    /// Items it sent while it was live.
    pub(crate) items: Vec<Bytes>,
    /// Its worker named it to a coordinator that started again.
    pub(crate) claimed: bool,
    /// It was taken for lost and named later: whether it counts, only the core knows.
    pub(crate) doubtful: bool,
}

impl AttemptLog {
    /// The coordinator started again, and knows nothing of what the attempt reported since that lease failed.
    pub(crate) fn forgotten(&mut self, failed: Epoch) {
        self.claimed = false;
        if self.epoch <= failed {
            self.over.get_or_insert(Over::Lost);
        } else if self.over == Some(Over::Reported) {
            self.over = None;
            self.report = None;
            self.too_late = false;
        }
    }
}

/// Somebody asked a task to stop, or not to stop.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The item on somebody's link; none: the public API.
    pub(crate) by: Option<(SessionId, u64)>,
    pub(crate) withdraws: bool,
    /// Whoever asked was told that it is safe.
    pub(crate) safe: bool,
}

/// A submit, and what follows from it if it is accepted.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) at: Time,
    pub(crate) spec: Arc<Spec>,
    pub(crate) owner: Owner,
    pub(crate) creator: Option<AttemptId>,
    pub(crate) root: Option<SessionId>,
    pub(crate) deadline: Option<Time>,
    /// End of the timeout scope it was called in, and the nearest one of those that called it.
    pub(crate) within: (Option<Time>, Option<Time>),
    /// Session; none: the public API.
    pub(crate) from: Option<SessionId>,
}

/// One task.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskLog {
    /// The body it was accepted with, as far as is known.
    pub(crate) spec: Option<Arc<Spec>>,
    pub(crate) other_bodies: bool,
    pub(crate) accepted_at: Option<Time>,
    pub(crate) owner: Option<Owner>,
    pub(crate) creator: Option<AttemptId>,
    pub(crate) root: Option<SessionId>,
    pub(crate) deadline: Option<Time>,
    /// As in its claim.
    pub(crate) within: (Option<Time>, Option<Time>),
    pub(crate) from: Option<SessionId>,
    pub(crate) refused: bool,
    /// Later submits under the same id.
    pub(crate) others: Vec<Claim>,
    pub(crate) contested: bool,
    /// What was known of it when somebody submitted it after its time was over: that is so if the submit is refused.
    pub(crate) forgotten: Option<Box<TaskLog>>,
    /// Cancel requests that came, and were withdrawn.
    pub(crate) cancels: u32,
    pub(crate) withdrawn: u32,
    /// What it belonged to is over: it must be asked to stop (L7).
    pub(crate) orphaned: bool,
    /// Of the requests, those that came before any report and any outcome: each must be answered (L6).
    pub(crate) cancels_before_end: u32,
    /// It was orphaned by that input: a report in a later one that saw no cancel cannot stand. One in the same input may,
    /// for what follows from an input is done after it was read.
    pub(crate) must_cancel: Option<u64>,
    pub(crate) attempts: Vec<AttemptLog>,
    /// The outcome that was told first.
    pub(crate) told: Option<Outcome>,
    pub(crate) edges: BTreeSet<TaskId>,
    pub(crate) inputs: BTreeMap<(Epoch, TaskId), Bytes>,
    /// Details of heartbeats of attempts that were live, as far as was known.
    pub(crate) details: Vec<Bytes>,
    /// Progress values that live attempts set.
    pub(crate) progress: Vec<Bytes>,
    pub(crate) durable_end: bool,
    pub(crate) durable_start: bool,
    pub(crate) durable_submit: bool,
    /// There is a record of its acceptance, durable or not.
    pub(crate) recorded: bool,
    /// Somebody was told that it is accepted.
    pub(crate) safe: bool,
    /// Of `cancels` and `withdrawn`, each.
    pub(crate) requests: Vec<Request>,
    /// Requests that a crash may have lost before anybody was told that they count.
    pub(crate) doubtful: u32,
    /// Attempts up to this one are on record as failed or lost.
    pub(crate) failed_epoch: Epoch,
    /// The coordinator started again: its items come once more, from any of those that were told.
    pub(crate) resent: bool,
    /// It was known to more than one life of the coordinator.
    pub(crate) crossed: bool,
    /// Of a stream: the attempt whose items were told, how many, to whom; and how many were taken.
    pub(crate) told_items: Option<(Epoch, u64, SessionId)>,
    pub(crate) taken: u64,
}

impl TaskLog {
    /// What it belonged to is over.
    pub(crate) fn orphan(&mut self, input: u64) {
        self.orphaned = true;
        if self.told.is_none() && self.accepted_at.is_some() {
            self.must_cancel.get_or_insert(input);
        }
    }

    /// Its attempts since it was forgotten, if it was.
    pub(crate) fn own_attempts(&self) -> &[AttemptLog] {
        &self.attempts[self.forgotten.as_ref().map_or(0, |before| before.attempts.len())..]
    }

    /// Whether the core may have fenced an attempt before anybody is told.
    pub(crate) fn expires(&self) -> bool {
        let policy = self.spec.as_ref().and_then(|s| s.options.policy.as_deref());
        policy.is_some_and(|p| p.start_to_close.is_some() || p.heartbeat.is_some())
    }

    /// The first moment at which it may have been too late to start.
    pub(crate) fn start_by(&self) -> Option<Time> {
        let policy = self.spec.as_ref().and_then(|s| s.options.policy.as_deref())?;
        Some(self.accepted_at? + policy.schedule_to_start?)
    }

    /// Whether items that came are told, or about to be: a crash takes back those of which nothing was told.
    pub(crate) fn items_count(&self) -> bool {
        !self.crossed || self.told_items.is_some()
    }

    /// Whether only the core knows what became of the last attempt.
    pub(crate) fn doubts_last(&self) -> bool {
        self.attempts.last().is_some_and(|a| a.doubtful)
    }

    pub(crate) fn attempt(&mut self, epoch: Epoch) -> Option<&mut AttemptLog> {
        self.attempts.iter_mut().find(|a| a.epoch == epoch)
    }
}
