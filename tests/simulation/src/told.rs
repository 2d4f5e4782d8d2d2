//! What the core says, judged at once.

use std::time::Duration;

use bytes::Bytes;
use farloop_core::api::{Call, GatherMode};
use farloop_core::frame::{Down, Start};
use farloop_core::id::{AttemptId, Epoch, SessionId, TaskId};
use farloop_core::link::Batch;
use farloop_core::outcome::{FailureKind, Outcome};
use farloop_core::time::Time;

use crate::brief;
use crate::calls::{Calls, mode_met};
use crate::history::History;
use crate::ledger::{AttemptLog, Over, TaskLog};
use crate::script::maker_of;
use crate::trace::Trace;

impl History {
    /// A batch leaves the core.
    pub fn sent(&mut self, now: Time, session: SessionId, batch: &Batch<Down>, trace: &mut Trace) {
        let Some(log) = self.sessions.get_mut(&session) else {
            return self.fail("L10", format!("a batch for session {session}, which is over"));
        };
        if batch.ack > log.up.count {
            let what = format!("session {session}: {} items acknowledged of {}", batch.ack, log.up.count);
            return self.fail("L10", what);
        }
        if !batch.items.is_empty() && batch.first > log.down.count {
            let what = format!("session {session}: item {} follows {}", batch.first, log.down.count);
            return self.fail("L10", what);
        }
        let conn = log.conn;
        let frames = log.down.take(batch, usize::MAX);
        if self.config.durable {
            self.acknowledged(session, batch.ack);
        }
        for (_, frame) in frames {
            trace.mix(mark_down(&frame));
            trace.line(|| format!("{:>10} < {:?} {}", now.0, conn.map(|c| c.0), brief::down(&frame)));
            match &frame {
                Down::Resolved { task, outcome } => self.resolved(session, *task, outcome),
                Down::Input { attempt, task, value } => {
                    let log = self.tasks.entry(attempt.task).or_default();
                    log.inputs.insert((attempt.epoch, *task), value.clone());
                }
                Down::Start(start) => self.started(now, session, start),
                Down::Fence(attempt) => self.fenced(*attempt),
                Down::Deadlock { attempt, cycle } => self.deadlocked(*attempt, cycle),
                Down::Cancel { attempt, number, .. } => {
                    self.saw("cancel delivered");
                    self.settled(*attempt);
                    if *number == 0 {
                        self.fail("L6", format!("{attempt:?} is told of cancel request 0"));
                    }
                }
                Down::Stranded { task, why } => {
                    self.saw("watcher told of a stranded task");
                    if why.is_empty() {
                        self.fail("L15", format!("{task} is stranded, and nobody says why"));
                    }
                }
                Down::CancelWithdrawn { .. } => self.saw("cancel withdrawn"),
                Down::Print { task, print } => self.shown(session, *task, print),
                Down::Item { task, seq, value } => self.item_told(session, *task, *seq, value),
                Down::Credit { attempt, taken } => self.credit_told(*attempt, *taken),
                Down::TaskProgress { task, value } => self.progress_told(*task, value),
                Down::Sync { call, answer } => self.sync_told(session, *call, answer),
                Down::CancelCount { .. }
                | Down::Recall(_)
                | Down::Stop(_)
                | Down::Move(_)
                | Down::Drain
                | Down::Leave => {}
            }
        }
    }

    /// The core says that it has nothing more for this session: whoever had to be told was told (L6).
    pub fn drained(&mut self, session: SessionId) {
        if self.config.durable || self.sessions.get(&session).is_none_or(|l| l.conn.is_none()) {
            return;
        }
        if let Some(attempt) = self.sessions.get(&session).and_then(|l| l.owed.first()).copied() {
            self.fail("L6", format!("{attempt:?} was asked to stop, and its worker is not told"));
        }
    }

    fn resolved(&mut self, session: SessionId, task: TaskId, outcome: &Outcome) {
        let Some(log) = self.sessions.get_mut(&session) else { return };
        let life = log.life;
        let (asked, answered) = log.asked.entry(task).or_default();
        *answered += 1;
        if answered > asked {
            let what =
                format!("session {session} is told the outcome of {task} {answered} times and asked {asked} times");
            return self.fail("L10", what);
        }
        let early = log.early.contains(&task);
        self.stream_ended(session, task, outcome);
        if self.refusal(task, outcome, early) {
            if let Some(log) = self.sessions.get_mut(&session) {
                *log.refusals.entry(task).or_default() += 1;
            }
            return;
        }
        let conflict = self.conflicts.get(&(session, life, task));
        let started = self.tasks.get(&task).filter(|t| !t.own_attempts().is_empty()).and_then(|t| t.spec.as_ref());
        if let (Some(theirs), Some(started)) = (conflict, started)
            && **theirs != **started
        {
            let what = format!("session {session} submitted another body as {task} and is told {outcome:?}");
            return self.fail("L2", what);
        }
        let unsafe_yet = self.config.durable && self.tasks.get(&task).is_some_and(|t| !t.durable_end);
        if unsafe_yet {
            return self.fail("L1", format!("the outcome of {task} is told before its record is durable"));
        }
        self.told(task, outcome, "a session");
    }

    /// Whether this is no outcome but the answer that there will be none.
    fn refusal(&mut self, task: TaskId, outcome: &Outcome, early: bool) -> bool {
        let Outcome::Raised(failure) = outcome else { return false };
        let seen = match &failure.kind {
            FailureKind::AlreadyExists => "refused: AlreadyExists",
            FailureKind::Expired => "refused: Expired",
            FailureKind::NotFound => "refused: NotFound",
            FailureKind::ResourceExhausted => "refused: ResourceExhausted",
            FailureKind::Stale => "refused: Stale",
            FailureKind::DependencyCycle => "refused: DependencyCycle",
            FailureKind::DependencyFailed(_) => "failed argument",
            FailureKind::WorkerLost => "too many lost workers",
            FailureKind::TimedOut => "timed out",
            FailureKind::ScheduleToStartTimeout => "schedule to start",
            FailureKind::StartToCloseTimeout => "start to close",
            FailureKind::HeartbeatTimeout => "heartbeat missed",
            FailureKind::SignatureMismatch => "signature mismatch",
            FailureKind::BadPayload => "payload too large",
            _ => "failed",
        };
        self.saw(seen);
        let log = self.tasks.entry(task).or_default();
        if log.told.as_ref() == Some(outcome)
            || log.attempts.iter().any(|a| a.report.as_ref().is_some_and(|r| r.0 == *outcome))
        {
            return false;
        }
        let accepted = log.accepted_at.is_some();
        let unstarted = log.own_attempts().is_empty();
        let complaint = match &failure.kind {
            FailureKind::AlreadyExists => {
                (!log.other_bodies).then_some(("L2", "it was never submitted with another body"))
            }
            FailureKind::Expired | FailureKind::NotFound => {
                // Watched too early, too late, or an argument is unknown.
                let runs = log.attempts.last().is_some_and(|a| a.over.is_none());
                let known = runs || log.recorded;
                (accepted && !early && log.told.is_none() && known).then_some(("L1", "it is known and not over"))
            }
            FailureKind::ResourceExhausted => {
                (!failure.message.contains("limit")).then_some(("L18", "no limit is named"))
            }
            FailureKind::Stale => {
                (log.creator.is_none() && !log.refused && !log.contested).then_some(("L7", "no attempt submitted it"))
            }
            FailureKind::DependencyCycle => {
                let itself = log.spec.as_ref().is_some_and(|s| s.dependencies.iter().any(|d| d.tasks.contains(&task)));
                (!itself && !log.contested).then_some(("L22", "there is no cycle"))
            }
            _ => return false,
        };
        let late = matches!(failure.kind, FailureKind::Expired | FailureKind::NotFound) && !early && log.told.is_none();
        if unstarted
            && (late
                || matches!(
                    failure.kind,
                    FailureKind::ResourceExhausted | FailureKind::Stale | FailureKind::DependencyCycle
                ))
        {
            self.refuse(task);
        }
        if let Some((law, why)) = complaint {
            self.fail(law, format!("{task} is refused with {:?}: {}, but {why}", failure.kind, failure.message));
        }
        true
    }

    /// Somebody learns an outcome. It is the same for everybody, for ever (L3), and somebody reported it (L4).
    pub(crate) fn told(&mut self, task: TaskId, outcome: &Outcome, to: &str) {
        let log = self.tasks.entry(task).or_default();
        if let Some(before) = &log.told {
            if before != outcome {
                let what = format!("{task}: {to} is told {outcome:?}, and before it was {before:?}");
                self.fail("L3", what);
            }
            return;
        }
        log.told = Some(outcome.clone());
        let kind = match outcome {
            Outcome::Returned(_) => "returned",
            Outcome::Raised(_) => "raised",
            Outcome::Cancelled(_) => "cancelled",
        };
        *self.outcomes.entry(kind).or_default() += 1;
        // A body may also hand on what came of a task that it awaited.
        let silent = log.attempts.last().filter(|a| a.report.is_none()).map(|a| AttemptId { task, epoch: a.epoch });
        if matches!(outcome, Outcome::Cancelled(c) if c.abandoned) {
            self.saw("abandoned body");
            if let Some(attempt) = silent {
                self.orphan_children(attempt, false);
            }
        }
        let log = self.tasks.entry(task).or_default();
        if let Outcome::Returned(value) = outcome {
            let maker = maker_of(value).filter(|m| m.task == task);
            let report = maker.and_then(|m| log.attempt(m.epoch)).and_then(|a| a.report.as_ref());
            if report.is_none_or(|(reported, _)| reported != outcome) {
                self.fail("L4", format!("{task} returned what no live attempt reported: {maker:?}"));
            }
        }
    }

    fn started(&mut self, now: Time, session: SessionId, start: &Start) {
        self.starts += 1;
        let AttemptId { task, epoch } = start.attempt;
        let Some(log) = self.sessions.get_mut(&session) else { return };
        log.starts += 1;
        let (life, rejoining) = (log.life, log.rejoining);
        if rejoining {
            let what = format!("session {session} is sent {:?} before it has said what it holds", start.attempt);
            return self.fail("L14", what);
        }
        if log.starts > log.granted {
            let what = format!("session {session} is sent start {} of {} granted", log.starts, log.granted);
            return self.fail("L14", what);
        }
        self.settle_claims(now, start);
        let (durable, finished) = (self.config.durable, !self.unfinished);
        let before = self.epochs_before;
        self.epochs_seen = self.epochs_seen.max(epoch);
        let log = self.tasks.entry(task).or_default();
        if let (true, Some(last)) = (log.expires() || log.doubts_last(), log.attempts.last_mut()) {
            // Its time was over, or it was silent: its own worker may be told so later than the next one of the start.
            last.over.get_or_insert(Over::Fenced);
        }
        let complaint = if log.refused || log.accepted_at.is_none() {
            Some(("L18", "it was refused".into()))
        } else if let Some(told) = &log.told {
            Some(("L3", format!("it is over: {told:?}")))
        } else if durable && !log.durable_submit {
            Some(("L1", "the record that it is accepted is not durable".into()))
        } else if epoch <= before {
            Some(("L5", format!("leases up to {before:?} were given in earlier lives")))
        } else if start.spec.options.max_crashes == 0
            && start.spec.options.max_attempts <= 1
            && log.own_attempts().iter().any(|a| a.over == Some(Over::Lost))
        {
            Some(("L5", format!("it may run once at most, and was lost: {:?}", log.attempts)))
        } else if log.attempts.last().is_some_and(|a| a.epoch >= epoch) {
            Some(("L5", format!("its epochs do not grow: {:?}", log.attempts)))
        } else if !log.expires() && log.own_attempts().iter().any(|a| !a.items.is_empty()) && log.items_count() {
            Some(("L23", "it is a stream of which items have come".into()))
        } else if log.attempts.last().is_some_and(|a| a.over.is_none()) {
            Some(("L5", format!("another attempt is live: {:?}", log.attempts)))
        } else if log.deadline.is_some_and(|d| d <= now) && start.remaining != Some(Duration::ZERO) {
            Some(("L19", "its deadline has passed".into()))
        } else if log.within.0.is_some_and(|d| d <= now) {
            Some(("L19", "the scope that it was called in is over".into()))
        } else if log.deadline.map(|d| d.since(now)) != start.remaining {
            Some((
                "L19",
                format!("{:?} remain, and it is told {:?}", log.deadline.map(|d| d.since(now)), start.remaining),
            ))
        } else if finished && log.must_cancel.is_some() && log.withdrawn == 0 && start.cancels == 0 {
            Some(("L7", "what it belonged to is over".into()))
        } else if log.own_attempts().is_empty() && log.cancels > 0 && log.withdrawn == 0 && start.cancels == 0 {
            Some(("L6", "it was cancelled before it started".into()))
        } else if durable && !log.durable_start && start.spec.options.max_crashes == 0 {
            Some(("L1", "it may run once at most, and its start is not durable".into()))
        } else if log.spec.as_ref().is_some_and(|s| **s != *start.spec) {
            Some(("L2", "it is started with another body".into()))
        } else {
            too_early(now, log, before).or_else(|| details_lost(log, start)).map(|why| ("L5", why))
        };
        let earlier = log.attempts.iter().map(|a| AttemptId { task, epoch: a.epoch }).collect::<Vec<_>>();
        log.attempts.push(AttemptLog {
            epoch,
            session,
            life,
            over: None,
            report: None,
            too_late: false,
            items: Vec::new(),
            reported_at: now,
            claimed: false,
            doubtful: false,
        });
        if let Some((law, why)) = complaint {
            return self.fail(law, format!("{task} is started at session {session} ({epoch:?}), but {why}"));
        }
        if !earlier.is_empty() {
            self.saw("another attempt");
        }
        for attempt in earlier {
            // The next attempt creates its children again: those of the last one have to stop.
            self.orphan_children(attempt, false);
        }
        self.arguments_there(start);
    }

    /// Of several submits under one id the first that was not refused counts: the start shows which one that was.
    fn settle_claims(&mut self, now: Time, start: &Start) {
        let task = start.attempt.task;
        let Some(log) = self.tasks.get_mut(&task).filter(|t| t.own_attempts().is_empty() && t.contested) else {
            return;
        };
        let others = std::mem::take(&mut log.others);
        let left = |deadline: Option<Time>| deadline.map(|d| d.since(now));
        let fits = log.accepted_at.is_some()
            && log.spec.as_ref().is_some_and(|s| **s == *start.spec)
            && left(log.deadline) == start.remaining;
        let other = others.into_iter().find(|c| *c.spec == *start.spec && left(c.deadline) == start.remaining);
        if let (false, Some(claim)) = (fits, other) {
            self.accept(task, claim);
        }
    }

    /// L22: every argument that is a task has returned, and its value was sent before.
    fn arguments_there(&mut self, start: &Start) {
        let AttemptId { task, epoch } = start.attempt;
        for on in start.spec.dependencies.iter().flat_map(|d| &d.tasks) {
            let value = self.tasks.get(&task).and_then(|t| t.inputs.get(&(epoch, *on)));
            let reported = value.and_then(maker_of).filter(|m| m.task == *on);
            let there = reported.is_some_and(|m| {
                let report = self.tasks.get_mut(on).and_then(|t| t.attempt(m.epoch)).and_then(|a| a.report.clone());
                matches!(report, Some((Outcome::Returned(_), _)))
            });
            if !there {
                return self.fail("L22", format!("{task} is started without its argument {on}"));
            }
        }
    }

    /// A value that some attempt really set.
    fn progress_told(&mut self, task: TaskId, value: &Bytes) {
        self.saw("progress told");
        if !self.tasks.get(&task).is_some_and(|t| t.progress.contains(value)) {
            self.fail("L4", format!("a watcher of {task} is told of progress {value:?} that no live attempt made"));
        }
    }

    fn fenced(&mut self, attempt: AttemptId) {
        self.saw("fenced attempt");
        self.settled(attempt);
        let Some(log) = self.tasks.get_mut(&attempt.task).and_then(|t| t.attempt(attempt.epoch)) else { return };
        if log.over.is_none() {
            log.over = Some(Over::Fenced);
            self.orphan_children(attempt, false);
        }
    }

    fn deadlocked(&mut self, attempt: AttemptId, cycle: &[TaskId]) {
        let closed = cycle.first() == Some(&attempt.task)
            && (0..cycle.len()).all(|i| {
                let (from, to) = (cycle[i], cycle[(i + 1) % cycle.len()]);
                self.tasks.get(&from).is_some_and(|t| {
                    t.edges.contains(&to)
                        || t.spec.as_ref().is_some_and(|s| s.dependencies.iter().any(|d| d.tasks.contains(&to)))
                })
            });
        self.saw("deadlock");
        if !closed {
            self.fail("L15", format!("{attempt:?} is told of a deadlock that is none: {cycle:?}"));
        }
    }

    /// L8: a gather whose mode is met has its answer no later than anybody else is told.
    pub fn gathers_answered(&mut self, calls: &Calls) {
        if self.config.durable {
            // Answers wait for every record, outcomes for their own: there they may be told later.
            return;
        }
        let late = calls.open().find(|(_, asked)| match &asked.request {
            Call::Gather { members, mode, .. } => {
                let outcomes = members.iter().map(|m| self.tasks.get(m).and_then(|t| t.told.as_ref()));
                *mode != GatherMode::All && mode_met(*mode, outcomes)
            }
            _ => false,
        });
        if let Some((call, asked)) = late {
            let what = format!("{call:?} {:?} is met and has no answer", asked.request);
            self.fail("L8", what);
        }
    }
}

/// The pause after the last failed attempt is not over. Of an attempt of a former life, up to `before`, the report may have
/// come when it was already taken for lost.
fn too_early(now: Time, log: &TaskLog, before: Epoch) -> Option<String> {
    let backoff = log.spec.as_ref()?.options.policy.as_ref()?.backoff.as_ref()?;
    let failed = |a: &&AttemptLog| {
        let report = a.report.as_ref().map(|(outcome, _)| outcome);
        let raised =
            matches!(report, Some(Outcome::Raised(f)) if matches!(f.kind, FailureKind::Raised | FailureKind::Panicked));
        raised && a.epoch > before
    };
    let last = log.attempts.last().filter(failed).filter(|_| !log.expires())?;
    let count = log.attempts.iter().filter(failed).count() as u32;
    let shortest = backoff.draw(count, 1.0);
    (now < last.reported_at + shortest).then(|| {
        let waited = now.since(last.reported_at);
        format!("after {count} failed attempts its pause is {shortest:?} at least, and was {waited:?}")
    })
}

/// It is not given the details that an attempt before it told.
fn details_lost(log: &TaskLog, start: &Start) -> Option<String> {
    let given = start.more.as_ref().and_then(|more| more.details.as_ref());
    let wrong = match given {
        // Those of a live attempt may be on record, or not.
        _ if log.crossed => false,
        Some(details) if log.expires() => !log.details.contains(details),
        None if log.expires() => false,
        details => details != log.details.last(),
    };
    wrong.then(|| format!("it is given the details {given:?}, and told were {:?}", log.details))
}

fn mark_down(frame: &Down) -> u64 {
    let id = |id: u128| (id >> 40) as u64 ^ id as u64;
    match frame {
        Down::Resolved { task, outcome } => {
            let kind = match outcome {
                Outcome::Returned(_) => 0,
                Outcome::Raised(_) => 1,
                Outcome::Cancelled(_) => 2,
            };
            id(task.0) ^ kind << 60
        }
        Down::CancelCount { task, count } => id(task.0) ^ u64::from(*count) << 50,
        Down::Input { attempt, task, .. } => id(task.0) ^ attempt.epoch.0,
        Down::Start(start) => start.attempt.epoch.0 << 8 | 1,
        Down::Cancel { attempt, number, .. } => attempt.epoch.0 << 20 | u64::from(*number) << 8 | 2,
        Down::CancelWithdrawn { attempt, standing } => attempt.epoch.0 << 20 | u64::from(*standing) << 8 | 3,
        Down::Fence(attempt) => attempt.epoch.0 << 8 | 4,
        Down::Recall(attempt) => attempt.epoch.0 << 8 | 5,
        Down::Deadlock { attempt, cycle } => attempt.epoch.0 << 20 | (cycle.len() as u64) << 8 | 6,
        Down::Stranded { task, .. } => id(task.0) ^ 8,
        Down::Print { task, print } => id(task.0) ^ (print.text.len() as u64) << 8 ^ 9,
        Down::Sync { call, .. } => call << 8 | 10,
        Down::Drain => 7,
        Down::Leave => 9,
        Down::Stop(attempt) => attempt.epoch.0 << 8 | 19,
        Down::Move(attempt) => attempt.epoch.0 << 8 | 20,
        Down::Item { task, seq, .. } => id(task.0) ^ *seq << 8 ^ 17,
        Down::Credit { attempt, taken } => attempt.epoch.0 << 20 | *taken << 8 | 18,
        Down::TaskProgress { task, value } => id(task.0) ^ (value.len() as u64) << 50 ^ 9,
    }
}
