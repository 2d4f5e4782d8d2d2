//! What must hold when faults have stopped and everything has ended, and what is shown if it never does.

use farloop_core::api::{Call, ListTasks, Reply};
use farloop_core::id::TaskId;
use farloop_core::outcome::{Failure, FailureKind, Outcome};

use crate::calls::Complaint;
use crate::history::History;
use crate::ledger::{AttemptLog, Over, TaskLog};
use crate::peer::Kind;
use crate::world::World;

/// Tasks that are named when a world hangs.
const NAMED: usize = 12;

impl World {
    /// Whether everything is over.
    pub(crate) fn quiet(&self) -> bool {
        let stats = self.core.stats();
        let peers = self.peers.iter().filter(|p| !p.gone).all(|p| {
            p.welcomed
                && self.history.conn(p.session) == p.conn
                && p.link.queued() + p.link.in_flight() == 0
                && match &p.kind {
                    Kind::Client(c) => c.actions == 0 && c.outstanding.is_empty(),
                    Kind::Worker(w) => w.holds() == 0,
                }
        });
        peers
            && self.up()
            && stats.live == 0
            && self.calls.open().next().is_none()
            && self.readers.quiet()
            && self.history.persisted == self.history.durable
    }

    /// L14, L16, L10 and the verdict on every task.
    pub(crate) fn last_checks(&mut self) {
        let stats = self.core.stats();
        if stats.leases + stats.queued + stats.calls > 0 {
            self.history.fail("L16", format!("all tasks are over, and the core still holds {stats:?}"));
        }
        self.check_credits();
        self.history.sync_over(self.now, stats.sync_calls, stats.sync_items);
        self.check_watches();
        self.list_all();
        for (session, log) in &self.history.sessions {
            let gone = self.peers.iter().all(|p| p.session != *session || p.gone);
            if let Some((task, (asked, _))) = log.asked.iter().find(|(_, (_, answered))| *answered == 0)
                && !gone
            {
                let what = format!("session {session} asked {asked} times for {task} and was never told");
                return self.history.fail("L10", what);
            }
        }
        let verdict = self.history.tasks.iter().find_map(|(id, task)| self.history.verdict(*id, task));
        if let Some((law, what)) = verdict {
            self.history.fail(law, what);
        }
    }

    /// L14: all credits are back.
    fn check_credits(&mut self) {
        let Some(Reply::Workers(workers)) = self.ask_now(Call::Workers) else { return };
        for view in workers {
            let Some(peer) = self.peers.iter().find(|p| p.session.0 == view.worker.0) else { continue };
            let Kind::Worker(worker) = &peer.kind else { continue };
            let credits = worker.granted - worker.started;
            if view.leased + view.running + view.suspended > 0 || view.credits != credits {
                let what = format!(
                    "everything is over; worker {} has credit for {credits}, and the core says {view:?}",
                    view.worker
                );
                return self.history.fail("L14", what);
            }
        }
    }

    /// All tasks that are still known: their outcomes are told, too.
    fn list_all(&mut self) {
        let mut before = None;
        loop {
            let Some(Reply::Tasks { tasks, .. }) =
                self.ask_now(Call::List(ListTasks { before, limit: 100, ..Default::default() }))
            else {
                return;
            };
            let Some(last) = tasks.last() else { return };
            before = Some(last.task);
            if let Some((task, call)) = tasks.iter().find_map(|t| Some((t.task, self.watches_miss(t.task)?))) {
                return self.history.fail("L15", format!("{task} is known, and {call:?} was never told of it"));
            }
            if let Some(open) = tasks.iter().find(|t| t.outcome.is_none()) {
                return self.history.fail("L16", format!("the core says that nothing is live, and lists {open:?}"));
            }
        }
    }

    /// L15: what cannot run says why.
    pub(crate) fn explain_all(&mut self) {
        if self.history.persisted > self.history.durable {
            return;
        }
        let open = self.history.tasks.iter().filter(|(_, t)| t.told.is_none() && t.accepted_at.is_some());
        let open = open.map(|(id, _)| *id).take(40).collect::<Vec<_>>();
        for task in open {
            self.ask_now(Call::Explain(task));
        }
    }

    /// Nothing has ended what should have ended long ago.
    pub(crate) fn hang(&mut self) {
        let mut lines =
            vec![format!("after {} steps, at {} s: {:?}", self.steps, self.now.0 / 1_000_000, self.core.stats())];
        let open = self.ask_now(Call::List(ListTasks { limit: 1_000, ..ListTasks::default() }));
        if let Some(Reply::Tasks { tasks, .. }) = open {
            for view in tasks.iter().filter(|t| t.outcome.is_none()).take(NAMED) {
                lines.push(format!(
                    "{} {:?} attempt {} awaits {:?} worker {:?}",
                    view.task, view.state, view.attempt, view.awaits, view.worker
                ));
                if let Some(Reply::Explained { why, .. }) = self.ask_now(Call::Explain(view.task)) {
                    lines.extend(why.into_iter().map(|w| format!("    {w}")));
                }
            }
        }
        for (i, peer) in self.peers.iter().enumerate().filter(|(_, p)| !p.gone) {
            let queued = peer.link.queued();
            match &peer.kind {
                Kind::Client(c) if !c.outstanding.is_empty() || c.actions > 0 || !peer.welcomed => {
                    lines.push(format!(
                        "client {i} welcomed {} queued {queued} awaits {:?}",
                        peer.welcomed, c.outstanding
                    ));
                }
                Kind::Worker(w) if w.holds() > 0 || !peer.welcomed => {
                    lines.push(format!(
                        "worker {i} {} welcomed {} queued {queued} holds {:?}",
                        peer.session,
                        peer.welcomed,
                        w.describe()
                    ));
                }
                _ => {}
            }
        }
        self.history.fail("L16", format!("stuck\n  {}", lines.join("\n  ")));
    }
}

impl History {
    /// Whether a task ended as it had to.
    fn verdict(&self, id: TaskId, log: &TaskLog) -> Option<Complaint> {
        log.accepted_at?;
        if log.contested && log.own_attempts().is_empty() {
            // Which of the submits was accepted, nobody but the core knows.
            return None;
        }
        let told = log.told.as_ref()?;
        let report =
            log.attempts.iter().rev().find_map(|a| a.report.as_ref().filter(|r| r.0 == *told).map(|r| (r, a.too_late)));
        let wrong = match (report, told) {
            (Some(((Outcome::Cancelled(_), _), _)), _) => None,
            (Some(((_, delivered), late)), _) => stands(log, *delivered, late),
            (None, Outcome::Returned(_)) => Some(("L4", "nobody reported it".into())),
            (None, Outcome::Raised(failure)) => self.made_by_the_core(log, &failure.kind),
            (None, Outcome::Cancelled(_)) => {
                let argument =
                    self.arguments(log).any(|t| !matches!(t.told, Some(Outcome::Returned(_) | Outcome::Raised(_))));
                // The core does what the caller's own cancel, which is on its way, would do (L19).
                let outlived = log.within.1.is_some();
                let asked =
                    log.cancels + log.doubtful > 0 || log.orphaned || argument || outlived || self.creator_retried(log);
                (!asked).then(|| ("L6", "nobody asked for it".into()))
            }
        };
        // The start had left; that the body began was said when its time to start was over.
        let start_by = match told {
            Outcome::Raised(f) if f.kind == FailureKind::ScheduleToStartTimeout => log.start_by(),
            _ => None,
        };
        let returned = |a: &AttemptLog| {
            let in_time = start_by.is_none_or(|at| a.reported_at < at);
            let fits = |v: &[u8]| v.len() <= self.config.max_payload;
            in_time && matches!(&a.report, Some((Outcome::Returned(v), _)) if fits(v))
        };
        let ignored = report.is_none()
            && !log.orphaned
            && !self.creator_retried(log)
            && log.cancels + log.doubtful == 0
            && !log.attempts.iter().any(|a| a.doubtful)
            && log.deadline.is_none()
            && log.within.1.is_none()
            && !log.expires()
            && log.own_attempts().iter().any(returned);
        let wrong =
            wrong.or_else(|| ignored.then(|| ("L4", "a live attempt returned a value, and it does not count".into())));
        wrong.map(|(law, why)| (law, format!("{id} ended with {told:?}, but {why}; {log:?}")))
    }

    /// An attempt that failed and is to be retried takes its children with it: the next one creates them again.
    fn creator_retried(&self, log: &TaskLog) -> bool {
        let creator = log.creator.and_then(|c| Some((c, self.tasks.get(&c.task)?)));
        creator.is_some_and(|(c, parent)| {
            let attempts = parent.spec.as_ref().map_or(1, |s| s.options.max_attempts);
            let report = parent.attempts.iter().find(|a| a.epoch == c.epoch).and_then(|a| a.report.as_ref());
            attempts > 1 && report.is_some_and(|(outcome, _)| matches!(outcome, Outcome::Raised(_)) || parent.expires())
        })
    }

    fn arguments<'a>(&'a self, log: &'a TaskLog) -> impl Iterator<Item = &'a TaskLog> {
        let on = log.spec.iter().flat_map(|s| s.dependencies.iter().flat_map(|d| &d.tasks));
        on.filter_map(|t| self.tasks.get(t))
    }

    fn made_by_the_core(&self, log: &TaskLog, kind: &FailureKind) -> Option<Complaint> {
        let spec = log.spec.as_ref()?;
        let policy = spec.options.policy.as_deref();
        // An attempt that missed its heartbeat counts as lost with its worker, and is fenced. So does one whose time was
        // over if the coordinator died before that was on record.
        let silent = policy.is_some_and(|p| p.heartbeat.is_some()) || log.crossed && log.expires();
        let counts = |over| over == Some(Over::Lost) || silent && over == Some(Over::Fenced);
        let lost = log.attempts.iter().filter(|a| counts(a.over)).count();
        let fits = match kind {
            FailureKind::TimedOut => log.deadline.is_some(),
            FailureKind::WorkerLost => {
                let begun = log.attempts.iter().any(|a| counts(a.over) && !a.items.is_empty());
                // Sent or not: a coordinator that starts again does not know it of one that it meant to start.
                let meant = spec.options.max_crashes == 0 && log.durable_start && log.crossed;
                lost > spec.options.max_crashes as usize || begun || meant
            }
            FailureKind::ScheduleToStartTimeout => policy.is_some_and(|p| p.schedule_to_start.is_some()),
            FailureKind::StartToCloseTimeout => policy.is_some_and(|p| p.start_to_close.is_some()),
            FailureKind::HeartbeatTimeout => policy.is_some_and(|p| p.heartbeat.is_some()),
            FailureKind::DependencyFailed(cause) => {
                // The first failure is what is told, not the chain of consequences.
                let first = |f: &Failure, on: TaskId| match &f.kind {
                    FailureKind::DependencyFailed(first) => *first == *cause,
                    _ => on == cause.0 && *f == *cause.1,
                };
                let on = spec.dependencies.iter().flat_map(|d| &d.tasks);
                on.filter_map(|on| Some((on, self.tasks.get(on)?))).any(|(on, argument)| match &argument.told {
                    Some(Outcome::Raised(failure)) => first(failure, *on),
                    told => told.is_none(),
                })
            }
            FailureKind::SignatureMismatch => spec.fingerprint == 1,
            FailureKind::BadPayload => {
                let limit = self.config.max_payload;
                let long = |a: &AttemptLog| matches!(&a.report, Some((Outcome::Returned(v), _)) if v.len() > limit);
                // A worker whose session is over says anything, and a coordinator that starts again may believe it.
                let item = |a: &AttemptLog| !spec.stream && !a.items.is_empty();
                log.attempts.iter().any(|a| long(a) || item(a))
            }
            _ => false,
        };
        let law = match kind {
            FailureKind::TimedOut => "L19",
            FailureKind::WorkerLost => "L16",
            FailureKind::DependencyFailed(_) => "L22",
            _ => "L3",
        };
        (!fits).then(|| (law, "nothing led to that".into()))
    }
}

/// Whether a report may be the outcome though it is no cancel.
fn stands(log: &TaskLog, delivered: u32, late: bool) -> Option<Complaint> {
    if log.withdrawn > 0 {
        return None;
    }
    if log.cancels_before_end > delivered {
        let what = format!("{} cancel requests came before, and its body saw {delivered}", log.cancels_before_end);
        return Some(("L6", what));
    }
    (late && delivered == 0).then(|| ("L7", "what it belonged to was over, and its body never saw a cancel".into()))
}
