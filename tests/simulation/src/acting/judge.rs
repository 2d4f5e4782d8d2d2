//! The observer of a world of actors: it hears what workers do and what clients are told.

use std::collections::BTreeMap;

use farloop_core::id::{AttemptId, Epoch, TaskId};
use farloop_core::outcome::{FailureKind, Outcome};

use super::{Method, Ticket};

/// What is known of one call.
#[derive(Debug, Default)]
struct CallLog {
    /// It may run once at most.
    once: bool,
    method: Option<Method>,
    /// Incarnations at which it began.
    begun: Vec<AttemptId>,
    /// What it returned, and where.
    finished: Vec<(Epoch, u64)>,
    told: bool,
}

/// Sees both ends.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    calls: BTreeMap<TaskId, CallLog>,
    /// The last call of each caller that began for the first time at each actor.
    order: BTreeMap<(TaskId, u128), u64>,
    /// Where incarnations are that nobody has stopped, by their actors: worker and lease.
    live: BTreeMap<TaskId, Vec<(usize, Epoch)>>,
    /// What an actor's clients were told that it saved.
    saved: BTreeMap<TaskId, u64>,
    pub(crate) broken: Option<(&'static str, String)>,
    /// Things that happened, by kind.
    pub(crate) seen: BTreeMap<&'static str, u64>,
}

impl Judge {
    pub(crate) fn fail(&mut self, law: &'static str, what: String) {
        self.broken.get_or_insert((law, what));
    }

    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub(crate) fn made(&mut self, call: TaskId, method: Method, once: bool) {
        let log = self.calls.entry(call).or_default();
        (log.method, log.once) = (Some(method), once);
    }

    /// An incarnation begins at a worker, with what it remembers.
    pub(crate) fn incarnation(&mut self, worker: usize, host: AttemptId, named: bool, remembers: Option<u64>) {
        self.saw("incarnation");
        let live = self.live.entry(host.task).or_default();
        if named && let Some((other, epoch)) = live.first().copied() {
            self.fail("L11", format!("actor {} is at worker {worker} ({:?}) while worker {other} has it ({epoch:?})", host.task, host.epoch));
            return;
        }
        live.push((worker, host.epoch));
        let promised = self.saved.get(&host.task).copied().unwrap_or(0);
        if remembers.unwrap_or(0) < promised {
            self.fail("L1", format!("actor {} begins with {remembers:?}, and a client was told that {promised} is saved", host.task));
        }
        if remembers.is_some() {
            self.saw("snapshot restored");
        }
    }

    /// The worker has stopped it, or is gone.
    pub(crate) fn incarnation_over(&mut self, worker: usize, host: AttemptId) {
        if let Some(live) = self.live.get_mut(&host.task) {
            live.retain(|entry| *entry != (worker, host.epoch));
        }
    }

    pub(crate) fn worker_gone(&mut self, worker: usize) {
        for live in self.live.values_mut() {
            live.retain(|(at, _)| *at != worker);
        }
    }

    /// A method begins.
    pub(crate) fn begins(&mut self, host: AttemptId, call: TaskId, ticket: Ticket, reenters: bool) {
        let log = self.calls.entry(call).or_default();
        if log.once && !log.begun.is_empty() {
            let before = log.begun[0];
            return self.fail("L4", format!("call {call}, which may run once at most, began at {before:?} and at {host:?}"));
        }
        let first = log.begun.is_empty();
        log.begun.push(host);
        if !first {
            return self.saw("call tried again");
        }
        self.saw("call begun");
        if reenters {
            return self.saw("call reentered");
        }
        let last = self.order.entry((host.task, ticket.caller.0)).or_default();
        let before = std::mem::replace(last, ticket.seq);
        if before >= ticket.seq {
            self.fail("L12", format!("actor {}: call {} ({call}) of caller {} began after call {before}", host.task, ticket.seq, ticket.caller));
        }
    }

    pub(crate) fn finishes(&mut self, host: AttemptId, call: TaskId, value: u64) {
        self.calls.entry(call).or_default().finished.push((host.epoch, value));
    }

    /// A client is told how its call ended.
    pub(crate) fn told(&mut self, call: TaskId, outcome: &Outcome) {
        let Some(log) = self.calls.get_mut(&call) else { return };
        if std::mem::replace(&mut log.told, true) {
            return self.fail("L10", format!("call {call} was told twice"));
        }
        match outcome {
            Outcome::Returned(value) => {
                let value = value.get(..8).and_then(|v| v.try_into().ok()).map_or(0, u64::from_be_bytes);
                let Some(host) = log.begun.last().map(|host| host.task) else {
                    return self.fail("L4", format!("call {call} returned and never began"));
                };
                if !log.finished.iter().any(|(_, finished)| *finished == value) {
                    return self.fail("L4", format!("call {call} returned {value}, which no incarnation said"));
                }
                if log.method == Some(Method::Save) {
                    let saved = self.saved.entry(host).or_default();
                    *saved = (*saved).max(value);
                }
                self.saw("returned");
            }
            Outcome::Raised(failure) => {
                let ran = !log.begun.is_empty();
                let never = failure.may_have_run == Some(false) || failure.kind == FailureKind::ResourceExhausted;
                if ran && never {
                    return self.fail("L4", format!("call {call} began, and is told that it did not: {}", failure.message));
                }
                self.saw(match failure.kind {
                    FailureKind::ActorUnavailable => "actor unavailable",
                    FailureKind::ActorDied => "actor died",
                    FailureKind::ResourceExhausted => "mailbox full",
                    FailureKind::Panicked => "panicked",
                    FailureKind::Deadlock(_) => "deadlock",
                    _ => "raised",
                });
            }
            Outcome::Cancelled(_) => self.saw("cancelled"),
        }
    }
}
