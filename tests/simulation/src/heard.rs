//! What peers say, as the observer understands it.

use std::sync::Arc;

use farloop_core::api::Call;
use farloop_core::frame::{Owner, Submit, Up};
use farloop_core::id::{AttemptId, SessionId, TaskId};
use farloop_core::outcome::Outcome;
use farloop_core::spec::Spec;
use farloop_core::time::Time;

use crate::history::History;
use crate::ledger::{AttemptLog, Claim, Over, Request};

impl History {
    /// A frame reaches the core for the first time.
    /// `again`: an earlier life of the coordinator has seen it.
    pub(crate) fn up(&mut self, now: Time, session: SessionId, item: u64, again: bool, frame: &Up) {
        if let Some(attempt) = about(frame)
            && self.sessions.get(&session).is_some_and(|log| log.rejoining)
        {
            self.claimed(session, attempt, matches!(frame, Up::Attempt(_)));
        }
        match frame {
            Up::Submit(submit) if again && self.is_on_record(submit) => {
                self.saw("submit once more");
                self.ask(session, submit.task);
            }
            Up::Submit(submit) => self.submitted(now, session, submit),
            Up::Watch(task) => {
                self.ask(session, *task);
                let known = self.tasks.get(task).is_some_and(|t| t.accepted_at.is_some());
                if let (false, Some(log)) = (known, self.sessions.get_mut(&session)) {
                    log.early.insert(*task);
                }
            }
            Up::Cancel { task, .. } | Up::Uncancel(task) if again && self.counts((session, item), *task) => {}
            Up::Cancel { task, .. } => self.cancelled(*task, Some((session, item))),
            Up::Uncancel(task) => self.uncancelled(*task, (session, item)),
            Up::Grant(total) => {
                if let Some(log) = self.sessions.get_mut(&session) {
                    log.granted = log.granted.max(*total);
                }
            }
            Up::Progress { attempt, awaits, .. } => {
                if self.live(session, *attempt) {
                    self.tasks.entry(attempt.task).or_default().edges.extend(awaits);
                }
            }
            Up::Ended { attempt, outcome, delivered } => self.ended(now, session, *attempt, outcome, *delivered),
            Up::Returned(attempt) => {
                if self.live(session, *attempt) {
                    self.saw("recalled lease");
                    self.settled(*attempt);
                    self.close(*attempt, Over::Returned);
                }
            }
            Up::Print { attempt, print } => self.printed(session, *attempt, print),
            Up::Item { attempt, seq, value } => self.item_came(session, *attempt, *seq, value),
            Up::Credit { task, taken } => self.items_taken(session, *task, *taken),
            Up::Sync(call) => self.sync_asked(session, call),
            Up::SyncEnd { call, end } => self.sync_ended(session, *call, *end),
            Up::TaskHeartbeat { attempt, details } => {
                if self.live(session, *attempt) {
                    self.tasks.entry(attempt.task).or_default().details.push(details.clone());
                }
            }
            Up::TaskProgress { attempt, value } => {
                if self.live(session, *attempt) {
                    self.tasks.entry(attempt.task).or_default().progress.push(value.clone());
                }
            }
            Up::Rejoined { starts } => self.rejoined(session, *starts),
            Up::CancelSeen { .. }
            | Up::Snapshot(_)
            | Up::Attempt(_)
            | Up::Heartbeat
            | Up::Drain
            | Up::Bye
            | Up::Offer(_)
            | Up::Release(_)
            | Up::WatchProgress(_)
            | Up::Abandoned(_) => {}
        }
    }

    /// A call that changes something.
    pub(crate) fn call(&mut self, now: Time, request: &Call) {
        match request {
            Call::Submit { task, spec, .. } => {
                let claim = self.claim(now, spec, Owner::Nobody, None, None);
                self.forget_if_expired(*task, now);
                let log = self.tasks.entry(*task).or_default();
                if log.accepted_at.is_none() {
                    self.accept(*task, claim);
                } else {
                    log.other_bodies |= log.spec.as_ref().is_some_and(|s| **s != **spec);
                    self.contest(*task, claim);
                }
            }
            // Unlike the frame, a call for a task that is not known is refused and leaves nothing behind.
            Call::Cancel { task, .. } if self.tasks.get(task).is_some_and(|t| t.accepted_at.is_some()) => {
                self.cancelled(*task, None);
            }
            _ => {}
        }
    }

    /// Whether an attempt is the current one at this session, as far as is known.
    pub(crate) fn live(&self, session: SessionId, attempt: AttemptId) -> bool {
        let (Some(log), Some(task)) = (self.sessions.get(&session), self.tasks.get(&attempt.task)) else {
            return false;
        };
        let mine = |a: &&AttemptLog| a.epoch == attempt.epoch && a.session == session && a.life == log.life;
        task.attempts.last().filter(mine).is_some_and(|a| a.over.is_none())
    }

    fn close(&mut self, attempt: AttemptId, over: Over) {
        if let Some(log) = self.tasks.get_mut(&attempt.task).and_then(|t| t.attempt(attempt.epoch)) {
            log.over = Some(over);
        }
    }

    fn ask(&mut self, session: SessionId, task: TaskId) {
        if let Some(log) = self.sessions.get_mut(&session) {
            log.asked.entry(task).or_default().0 += 1;
        }
    }

    fn submitted(&mut self, now: Time, session: SessionId, submit: &Submit) {
        let Submit { task, spec, owner, creator, within } = submit;
        self.ask(session, *task);
        let stale = creator.is_some_and(|c| !self.live(session, c));
        let mut claim = self.claim(now, spec, *owner, *creator, Some(session));
        let own = within.map(|left| now + left);
        let parent = creator.and_then(|c| self.tasks.get(&c.task)).filter(|_| *owner != Owner::Nobody);
        claim.within = (own, own.into_iter().chain(parent.and_then(|p| p.within.1)).min());
        self.forget_if_expired(*task, now);
        let log = self.tasks.entry(*task).or_default();
        if log.accepted_at.is_some() {
            if log.spec.as_ref().is_some_and(|s| **s != **spec) {
                log.other_bodies = true;
                if let Some(log) = self.sessions.get(&session) {
                    self.conflicts.insert((session, log.life, *task), spec.clone());
                }
            }
            self.contest(*task, claim);
        } else if stale {
            // L7: it must be refused; if it starts all the same, the start finds it refused.
            log.refused = true;
        } else {
            self.accept(*task, claim);
        }
    }

    /// What would be so if this submit is the one that is accepted.
    fn claim(
        &self,
        now: Time,
        spec: &Arc<Spec>,
        owner: Owner,
        creator: Option<AttemptId>,
        from: Option<SessionId>,
    ) -> Claim {
        let parent = creator.and_then(|c| self.tasks.get(&c.task)).filter(|_| owner != Owner::Nobody);
        let root = match creator {
            Some(_) => parent.and_then(|p| p.root),
            None => from.filter(|_| owner != Owner::Nobody),
        };
        let inherited = parent.and_then(|p| p.deadline);
        let own = spec.options.timeout.map(|t| now + t);
        let deadline = match (own, inherited) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Claim { at: now, spec: spec.clone(), owner, creator, root, deadline, within: (None, None), from }
    }

    /// As far as is known this submit is accepted.
    pub(crate) fn accept(&mut self, task: TaskId, claim: Claim) {
        if let Some(creator) = claim.creator
            && claim.owner != Owner::Nobody
        {
            self.children.entry(creator).or_default().push(task);
        }
        let root_over = claim.root.is_some_and(|r| self.ended.contains(&r));
        let log = self.tasks.entry(task).or_default();
        log.orphaned = root_over && claim.owner == Owner::Root;
        log.must_cancel = None;
        log.refused = false;
        log.accepted_at = Some(claim.at);
        log.spec = Some(claim.spec);
        log.owner = Some(claim.owner);
        log.creator = claim.creator;
        log.root = claim.root;
        log.deadline = claim.deadline;
        log.within = claim.within;
        log.from = claim.from;
    }

    /// A later submit under a taken id. It counts if the first turns out to be refused: that is told later.
    fn contest(&mut self, task: TaskId, claim: Claim) {
        let log = self.tasks.entry(task).or_default();
        if log.own_attempts().is_empty() {
            log.contested = true;
            log.others.push(claim);
        }
    }

    /// The submit that was taken for accepted is refused.
    pub(crate) fn refuse(&mut self, task: TaskId) {
        let log = self.tasks.entry(task).or_default();
        log.refused = true;
        log.accepted_at = None;
        if !log.others.is_empty() {
            let claim = log.others.remove(0);
            self.accept(task, claim);
        } else {
            self.remember(task);
        }
    }

    /// A submit by the public API is refused.
    pub fn refuse_call(&mut self, task: TaskId) {
        let log = self.tasks.entry(task).or_default();
        if let Some(at) = log.others.iter().position(|c| c.from.is_none()) {
            log.others.remove(at);
        } else if log.from.is_none() && log.creator.is_none() && log.own_attempts().is_empty() && log.told.is_none() {
            self.refuse(task);
        }
    }

    fn cancelled(&mut self, task: TaskId, by: Option<(SessionId, u64)>) {
        self.requested(task, by, false);
        let log = self.tasks.entry(task).or_default();
        log.cancels += 1;
        log.cancels_before_end += u32::from(!log.attempts.iter().any(|a| a.report.is_some()) && log.told.is_none());
        let running = log.attempts.last().filter(|a| a.over.is_none() && log.told.is_none());
        let running = running.map(|a| (a.session, AttemptId { task, epoch: a.epoch }));
        if let Some((session, attempt)) = running
            && let Some(log) = self.sessions.get_mut(&session)
        {
            log.owed.insert(attempt);
        }
    }

    /// Nobody is owed a word about this attempt any more.
    pub(crate) fn settled(&mut self, attempt: AttemptId) {
        for log in self.sessions.values_mut() {
            log.owed.remove(&attempt);
        }
    }

    fn uncancelled(&mut self, task: TaskId, by: (SessionId, u64)) {
        self.requested(task, Some(by), true);
        let log = self.tasks.entry(task).or_default();
        log.withdrawn += 1;
        if let Some(epoch) = log.attempts.last().map(|a| a.epoch) {
            self.settled(AttemptId { task, epoch });
        }
    }

    /// Keeps a request in mind, for a coordinator that starts again must neither lose nor double it (L6).
    fn requested(&mut self, task: TaskId, by: Option<(SessionId, u64)>, withdraws: bool) {
        if !self.config.durable {
            return;
        }
        if let Some((session, item)) = by
            && let Some(log) = self.sessions.get_mut(&session)
        {
            log.requests.insert(item, task);
        }
        self.tasks.entry(task).or_default().requests.push(Request { by, withdraws, safe: false });
    }

    fn is_on_record(&self, submit: &Submit) -> bool {
        let log = self.tasks.get(&submit.task).filter(|t| t.recorded);
        log.and_then(|t| t.spec.as_ref()).is_some_and(|spec| **spec == *submit.spec)
    }

    /// Whether a request that comes once more was counted and is still known.
    fn counts(&mut self, by: (SessionId, u64), task: TaskId) -> bool {
        self.saw("request once more");
        self.tasks.get(&task).is_some_and(|t| t.requests.iter().any(|r| r.by == Some(by)))
    }

    fn ended(&mut self, now: Time, session: SessionId, attempt: AttemptId, outcome: &Outcome, delivered: u32) {
        if !self.live(session, attempt) {
            return;
        }
        let mut suppressed = false;
        let late = !self.unfinished
            && self.tasks.get(&attempt.task).is_some_and(|t| t.must_cancel.is_some_and(|n| n < self.inputs));
        if let Some(log) = self.tasks.get_mut(&attempt.task).and_then(|t| t.attempt(attempt.epoch)) {
            log.over = Some(Over::Reported);
            log.too_late = late;
            if delivered > 0 && matches!(outcome, Outcome::Returned(_)) {
                suppressed = true;
            }
            log.report = Some((outcome.clone(), delivered));
            log.reported_at = now;
        }
        if suppressed {
            self.saw("suppressed cancel");
        }
        self.settled(attempt);
        self.orphan_children(attempt, true);
    }
}

/// The attempt that a frame of its host is about.
fn about(frame: &Up) -> Option<AttemptId> {
    match frame {
        Up::Attempt(held) => Some(held.attempt),
        Up::Submit(submit) => submit.creator,
        Up::Sync(call) => call.attempt,
        Up::Snapshot(snapshot) => Some(snapshot.incarnation),
        Up::Progress { attempt, .. }
        | Up::CancelSeen { attempt, .. }
        | Up::Ended { attempt, .. }
        | Up::Returned(attempt)
        | Up::Print { attempt, .. }
        | Up::Item { attempt, .. }
        | Up::TaskHeartbeat { attempt, .. }
        | Up::TaskProgress { attempt, .. } => Some(*attempt),
        _ => None,
    }
}
