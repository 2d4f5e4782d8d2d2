//! What bodies print: shown to the session at the top of the task tree, and the end of it kept with the task.
//!
//! Nobody ever waits for it. Where a session does not take what is printed, where one task prints too much, or all of
//! them do, lines are lost and counted, and whoever reads on is told how many.

use alloc::format;
use alloc::string::String;

use super::Core;
use super::check::{LawViolation, broken};
use super::outbox::Tell;
use crate::api::TaskLog;
use crate::frame::{Down, Print};
use crate::id::{AttemptId, SessionId, TaskId};
use crate::limits;

/// What a note weighs besides its text, against [`limits::PRINTS_WAITING`]: many short lines must be bounded, too.
const NOTE: usize = 64;

pub(crate) fn weight(print: &Print) -> usize {
    NOTE + print.text.len()
}

/// Lines that are lost with a text; a piece of one counts as one.
fn lines(text: &str) -> u32 {
    text.lines().count() as u32
}

impl Core {
    /// An attempt printed something; one that is over for the cluster is not heard (L4).
    pub(crate) fn on_print(&mut self, session: u32, attempt: AttemptId, print: Print) {
        let found = if planted!(self, StalePrintShown) {
            self.tasks.find(attempt.task).filter(|index| !self.tasks[*index].over())
        } else {
            self.current(session, attempt)
        };
        let Some(index) = found else { return };
        self.tasks[index].begun = true;
        self.keep(index, &print);
        let task = &self.tasks[index];
        if task.root != SessionId(0)
            && let Some(&root) = self.session_ids.get(&task.root)
        {
            let (id, gate) = (task.id, task.gate);
            self.show(root, gate, id, print);
        }
    }

    /// Adds to the task's log. What is above a bound goes from its own front: nobody loses lines to another task.
    fn keep(&mut self, index: u32, print: &Print) {
        let log = &mut self.tasks[index].rare().log;
        log.lost += u64::from(print.lost);
        let before = log.text.len();
        let others = self.log_bytes - before;
        let room = limits::LOG.min(limits::LOGS - others);
        if print.text.len() > room {
            log.lost += u64::from(lines(&print.text));
            return;
        }
        if before + print.text.len() > room {
            // More than must be: moving the rest for every line would cost more than the line.
            forget_front(log, (before + print.text.len() - room).max(before / 4));
        }
        log.text.push_str(&print.text);
        self.log_bytes = others + log.text.len();
    }

    /// Queues it for the session at the top of the tree, if there is room.
    fn show(&mut self, root: u32, gate: u64, task: TaskId, print: Print) {
        let key = self.session_key(root);
        let outbox = &mut self.sessions[root as usize].outbox;
        if outbox.prints + weight(&print) > limits::PRINTS_WAITING && !planted!(self, PrintsPileUp) {
            outbox.prints_lost = outbox.prints_lost.saturating_add(print.lost).saturating_add(lines(&print.text));
            return;
        }
        outbox.prints += weight(&print);
        self.tell(key, gate, Tell::Print { task, print });
    }

    /// What was lost is told with a piece that waited meanwhile: there is one, or there had been room.
    pub(crate) fn derive_print(&mut self, session: u32, task: TaskId, mut print: Print) -> Down {
        let outbox = &mut self.sessions[session as usize].outbox;
        outbox.prints -= weight(&print);
        print.lost = print.lost.saturating_add(core::mem::take(&mut outbox.prints_lost));
        Down::Print { task, print }
    }

    pub(crate) fn check_prints(&self) -> Result<(), LawViolation> {
        for (_, session) in &self.sessions {
            let outbox = &session.outbox;
            if outbox.prints > limits::PRINTS_WAITING {
                return broken("L18", format!("PRINTS_WAITING: {} for session {}", outbox.prints, session.id));
            }
            if !outbox.counts_bytes() {
                return broken("L18", format!("bytes that wait for {} are counted wrongly", session.id));
            }
            let count = outbox.count_prints();
            if count != outbox.prints {
                return broken(
                    "L18",
                    format!("{count} bytes printed wait for {}, counted {}", session.id, outbox.prints),
                );
            }
            if outbox.prints_lost > 0 && outbox.prints == 0 && !session.over {
                return broken("L18", format!("session {} lost printed lines and will not be told", session.id));
            }
        }
        let logs = || self.tasks.iter().filter_map(|(_, task)| task.log()).map(|log| log.text.len());
        match logs().find(|len| *len > limits::LOG) {
            Some(len) => broken("L18", format!("LOG: {len}")),
            None if logs().sum::<usize>() != self.log_bytes => {
                broken("L18", format!("logs of {} bytes, counted {}", logs().sum::<usize>(), self.log_bytes))
            }
            None => Ok(()),
        }
    }
}

/// Cuts at least that many bytes from the front, and the line they end in.
fn forget_front(log: &mut TaskLog, bytes: usize) {
    let mut cut = bytes.min(log.text.len());
    while !log.text.is_char_boundary(cut) {
        cut += 1;
    }
    cut = log.text[cut..].find('\n').map_or(log.text.len(), |end| cut + end + 1);
    log.lost += u64::from(lines(&log.text[..cut]));
    let rest = String::from(&log.text[cut..]);
    log.text = rest;
}
