//! What the observer knows about the items of streams (L23).

use bytes::Bytes;
use farloop_core::id::{AttemptId, SessionId, TaskId};
use farloop_core::outcome::{FailureKind, Outcome};

use crate::history::History;
use crate::ledger::Over;
use crate::script::maker_of;

impl History {
    /// A producer sends an item.
    pub(crate) fn item_came(&mut self, session: SessionId, attempt: AttemptId, seq: u64, value: &Bytes) {
        if !self.live(session, attempt) {
            return;
        }
        let log = self.tasks.get_mut(&attempt.task).and_then(|t| t.attempt(attempt.epoch));
        if let Some(log) = log.filter(|l| l.items.len() as u64 + 1 == seq) {
            log.items.push(value.clone());
        }
    }

    /// A consumer says how many it has taken.
    pub(crate) fn items_taken(&mut self, session: SessionId, task: TaskId, taken: u64) {
        let log = self.tasks.entry(task).or_default();
        if log.told_items.is_some_and(|(_, _, to)| to == session) {
            log.taken = log.taken.max(taken);
        }
    }

    /// A consumer is told an item: the next one of the one attempt whose items are told, and before the end.
    pub(crate) fn item_told(&mut self, session: SessionId, task: TaskId, seq: u64, value: &Bytes) {
        self.saw("item of a stream");
        let of = self.sessions.get(&session);
        let (asked, answered) = of.and_then(|s| s.asked.get(&task)).copied().unwrap_or_default();
        let refused = of.and_then(|s| s.refusals.get(&task)).copied().unwrap_or_default();
        let durable = self.config.durable;
        let log = self.tasks.entry(task).or_default();
        let epoch = maker_of(value).filter(|m| m.task == task).map(|m| m.epoch);
        let Some(epoch) = epoch else {
            return self.fail("L23", format!("{task}: session {session} is told an item that nobody made"));
        };
        let sent = log.attempt(epoch).and_then(|a| a.items.get(seq as usize - 1)).cloned();
        let (before, told, to) = log.told_items.unwrap_or((epoch, 0, session));
        let unsafe_yet = durable && !log.durable_start;
        // What a coordinator that starts again is sent once more, it passes on once more: the consumer drops it.
        let first = std::mem::take(&mut log.resent);
        let again = first && seq <= told;
        // What was on its way when the coordinator died is lost if its producer has ended and forgotten it.
        let short = first && seq > told && log.attempt(epoch).is_some_and(|a| a.report.is_some());
        log.told_items = Some((epoch, seq, session));
        let wrong = if before != epoch || to != session {
            Some("items of another attempt, or to another session, were told before")
        } else if seq != told + 1 && !again && !short {
            Some("it is not the next one")
        } else if sent.as_ref() != Some(value) {
            Some("its attempt sent something else")
        } else if (asked == 0 && !log.crossed) || answered > refused {
            Some("it did not ask, or was told the end before")
        } else if unsafe_yet {
            Some("it may start again: the record that it must not is not durable")
        } else {
            None
        };
        if let Some(why) = wrong {
            let what = format!("session {session} is told item {seq} of {task} {epoch:?} after {told}, but {why}");
            self.fail("L23", what);
        }
    }

    /// A producer hears that there is room.
    pub(crate) fn credit_told(&mut self, attempt: AttemptId, taken: u64) {
        self.saw("room for more items");
        let log = self.tasks.entry(attempt.task).or_default();
        if taken > log.taken {
            let what = format!("{attempt:?} hears that {taken} items were taken, and its consumer said {}", log.taken);
            self.fail("L23", what);
        }
    }

    /// The consumer is told the end: all items came before, or the error says how far it came.
    pub(crate) fn stream_ended(&mut self, session: SessionId, task: TaskId, outcome: &Outcome) {
        let Some(log) = self.tasks.get(&task).filter(|t| t.spec.as_ref().is_some_and(|s| s.stream)) else { return };
        let told = log.told_items.filter(|(_, _, to)| *to == session).map_or(0, |(_, told, _)| told);
        let sent = |a: &crate::ledger::AttemptLog| a.items.len() as u64;
        let (last, crossed) = (log.attempts.last(), log.crossed);
        let short = log.from == Some(session) && last.is_some_and(|a| sent(a) > told);
        let wrong = match outcome {
            _ if log.from != Some(session) || log.contested => None,
            // Items that were on their way when the coordinator died are lost if the end was on record: the value tells the
            // consumer how many there were.
            Outcome::Returned(_) if crossed => None,
            Outcome::Returned(_) => last.filter(|a| sent(a) != told).map(|a| format!("{} were sent", sent(a))),
            Outcome::Raised(failure) if failure.kind == FailureKind::WorkerLost => {
                // A coordinator that started again has lost what it was about to tell; the consumer knows how far it came.
                let begun = last.filter(|a| a.over == Some(Over::Lost) && sent(a) > 0 && !crossed);
                let says = failure.message.contains(&format!("; {told} item"));
                begun.filter(|a| sent(a) != told || !says).map(|a| format!("{} were sent; {failure:?}", sent(a)))
            }
            _ => None,
        };
        let lost = matches!(outcome, Outcome::Raised(f) if f.kind == FailureKind::WorkerLost) && told > 0;
        if lost {
            self.saw("stream that lost its worker");
        }
        if crossed && matches!(outcome, Outcome::Returned(_)) && short {
            self.saw("stream short of its last items after a restart");
        }
        if let Some(what) = wrong {
            self.fail("L23", format!("{task} ends after {told} items, but {what}"));
        }
    }
}
