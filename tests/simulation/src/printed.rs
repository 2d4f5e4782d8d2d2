//! What bodies print, and what the session at the top of the tree is shown of it.

use std::collections::{BTreeMap, BTreeSet};

use farloop_core::frame::{Print, Stdio, Up};
use farloop_core::id::{AttemptId, Epoch, SessionId, TaskId};
use farloop_core::limits;

use crate::history::History;

/// Pieces that live attempts printed and that were not shown yet, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Printed(BTreeMap<AttemptId, BTreeSet<u32>>);

/// A line that says who printed it.
pub(crate) fn line(attempt: AttemptId, number: u32) -> Print {
    let text = format!("{:x} {} {number}\n", attempt.task.0, attempt.epoch.0);
    Print { stream: Stdio::Out, text, lost: 0 }
}

/// What this attempt prints at this statement: mostly nothing, and sometimes more than a client may have waiting.
pub(crate) fn by(attempt: AttemptId, statement: usize, out: &mut Vec<Up>) {
    let dice = attempt.task.0 as u64 % 1_009 + statement as u64;
    let first = statement as u32 * 1_000;
    if dice.is_multiple_of(3) {
        out.push(Up::Print { attempt, print: line(attempt, first) });
    }
    if dice.is_multiple_of(61) {
        let pieces = limits::PRINTS_WAITING / limits::PRINT + 40;
        out.extend((1..pieces as u32).map(|piece| {
            let mut print = line(attempt, first + piece);
            print.text.push_str(&".".repeat(limits::PRINT - print.text.len()));
            Up::Print { attempt, print }
        }));
    }
}

fn maker(print: &Print) -> Option<(AttemptId, u32)> {
    let mut words = print.text.lines().next()?.split(' ');
    let task = u128::from_str_radix(words.next()?, 16).ok()?;
    let epoch = words.next()?.parse().ok()?;
    Some((AttemptId { task: TaskId(task), epoch: Epoch(epoch) }, words.next()?.parse().ok()?))
}

impl History {
    pub(crate) fn printed(&mut self, session: SessionId, attempt: AttemptId, print: &Print) {
        if self.live(session, attempt)
            && let Some((_, number)) = maker(print)
        {
            self.printed.0.entry(attempt).or_default().insert(number);
        }
    }

    /// L4: only what a live attempt printed is shown; once, in order, to the session it is for, before the outcome.
    pub(crate) fn shown(&mut self, session: SessionId, task: TaskId, print: &Print) {
        self.saw(if print.lost > 0 { "printed lines lost" } else { "printed line" });
        let Some((attempt, number)) = maker(print).filter(|(a, _)| a.task == task) else {
            return self.fail("L4", format!("session {session} is shown as printed by {task}: {:?}", print.text));
        };
        let open = self.printed.0.entry(attempt).or_default();
        if !open.remove(&number) {
            let what =
                format!("session {session} is shown line {number}, which {attempt:?} did not print while it lived");
            return self.fail("L4", what);
        }
        // What was lost is not shown later.
        *open = open.split_off(&number);
        let Some(log) = self.tasks.get(&task) else { return };
        if !log.contested && log.root != Some(session) {
            let what = format!("session {session} is shown what {task} printed, whose root is {:?}", log.root);
            return self.fail("L4", what);
        }
        let asked = self.sessions.get(&session).and_then(|s| s.asked.get(&task));
        if asked == Some(&(1, 1)) && !log.contested {
            let what = format!("session {session} is shown what {task} printed after it was told the outcome");
            self.fail("L10", what);
        }
    }
}
