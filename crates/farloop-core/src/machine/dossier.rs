//! What is known of the workers that were lost with a task: who they were, how their processes ended, who else was
//! there, and what the task printed last.

use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Core;
use super::attempts::worker_mask;
use super::tasks::{Task, TaskKey};
use crate::api::{CallError, Exited, Reply, TaskLog};
use crate::id::WorkerId;
use crate::limits;
use crate::outcome::{Failure, FailureKind, LostWorker, Outcome};
use crate::record::Crash;
use crate::time::Time;

/// Bytes of the last lines that a failure's one sentence quotes; all that is kept of them stands beside it.
const QUOTED: usize = 240;

/// What only tasks have whose workers were lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dossier {
    /// Oldest first.
    pub(crate) crashes: Vec<Crash>,
    /// Attempts of others that were at its worker when this was lost, if that was kept for it.
    pub(crate) company: Option<u32>,
    /// Number under which a worker is kept for it; 0: none is.
    pub(crate) kept: u64,
    /// When its patience or its time alone is over; a timer.
    pub(crate) look: Option<Time>,
}

/// A worker that was lost, for as long as word may come of how it ended.
#[derive(Debug)]
pub(crate) struct Departed {
    worker: WorkerId,
    process: Option<u128>,
    /// What was lost with it, and starts again.
    tasks: Vec<TaskKey>,
}

/// The last of them, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Departures(VecDeque<Departed>);

impl Departures {
    pub(crate) fn add(&mut self, worker: WorkerId, process: Option<u128>) {
        if self.0.len() == limits::DEPARTED {
            self.0.pop_front();
        }
        self.0.push_back(Departed { worker, process, tasks: Vec::new() });
    }

    fn with(&mut self, worker: WorkerId, task: TaskKey) {
        let departed = self.0.iter_mut().rev().find(|d| d.worker == worker);
        if let Some(departed) = departed.filter(|d| d.tasks.len() < limits::DEPARTED_TASKS) {
            departed.tasks.push(task);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Task {
    pub(crate) fn dossier(&self) -> Option<&Dossier> {
        self.extra()?.dossier.as_deref()
    }

    pub(crate) fn dossier_mut(&mut self) -> &mut Dossier {
        self.extra_mut().dossier.get_or_insert_default()
    }

    pub(crate) fn if_dossier(&mut self) -> Option<&mut Dossier> {
        self.if_extra()?.dossier.as_deref_mut()
    }

    /// One more worker was lost with it. Of many the last ones are kept.
    pub(crate) fn remember_crash(&mut self, crash: Crash) {
        let crashes = &mut self.dossier_mut().crashes;
        if crashes.len() == limits::CRASHES {
            crashes.remove(0);
        }
        crashes.push(crash);
    }

    /// Lines that the task printed so far, those that are not kept included.
    fn printed(&self) -> u64 {
        self.log().map_or(0, |log| log.lost + log.text.lines().count() as u64)
    }

    /// From here on what is printed belongs to the next attempt.
    pub(crate) fn next_log(&mut self) {
        if self.log().is_some_and(|log| *log != TaskLog::default()) {
            self.extra_mut().printed_before = self.printed();
        }
    }

    /// The last lines that this attempt printed.
    fn last_lines(&self) -> String {
        let Some(log) = self.log() else { return String::new() };
        let before = self.extra().map_or(0, |e| e.printed_before).saturating_sub(log.lost);
        let skip = usize::try_from(before).unwrap_or(usize::MAX);
        let own = log.text.split_inclusive('\n').skip(skip).map(str::len).sum::<usize>();
        tail(&log.text, own.min(limits::CRASH_LOG)).to_owned()
    }
}

/// At most that many bytes of the end, without half a line in front unless there is only one.
fn tail(text: &str, bytes: usize) -> &str {
    let mut from = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let cut = &text[from..];
    let whole = from == 0 || text[..from].ends_with('\n');
    match cut.find('\n') {
        Some(end) if !whole && end + 1 < cut.len() => &cut[end + 1..],
        _ => cut,
    }
}

impl Core {
    /// Attempts whose starts have left for a worker. Those whose starts have not are the last ones that it was given.
    pub(crate) fn held_by(&self, worker: u32) -> u32 {
        let Some(worker) = &self.sessions[worker as usize].worker else { return 0 };
        let last = worker.leases.iter_back(&self.tasks, super::lists::Chain::Place);
        let unsent = last.take(limits::TOUCH).take_while(|index| !self.tasks[*index].sent).count() as u32;
        worker.leases.len - unsent
    }

    /// A worker's session is over: what is known of it now and not when its leases are gone.
    pub(crate) fn depart(&mut self, index: u32, said_bye: bool) {
        if self.sessions[index as usize].worker.is_none() {
            return;
        }
        let held = self.held_by(index);
        self.lose_kept(index);
        let session = &mut self.sessions[index as usize];
        let (id, process) = (session.worker_id(), session.process);
        let Some(worker) = &mut session.worker else { return };
        worker.held = held;
        if said_bye {
            worker.ending.get_or_insert_with(|| "it left while it held this task".into());
        } else {
            self.departed.add(id, process);
        }
    }

    /// The worker of an attempt is lost, and its start had left: the task may have ended it, and so may that many others.
    pub(crate) fn suspect(&mut self, index: u32) -> u32 {
        let (key, place, now) = (self.tasks.key(index), self.tasks[index].place, self.now);
        let session = &self.sessions[place as usize];
        let (worker, name) = (session.worker_id(), session.name.clone());
        let (held, ending) = session.worker.as_ref().map_or((1, None), |w| (w.held, w.ending.clone()));
        let task = &mut self.tasks[index];
        let kept = task.if_dossier().and_then(|d| d.company.take());
        let company = kept.unwrap_or(held.saturating_sub(1));
        let log = task.last_lines();
        task.remember_crash(Crash { worker, name, at: now, ending, company, log });
        self.departed.with(worker, key);
        company
    }

    /// Whoever started a worker's process says how it ended.
    pub(crate) fn worker_exit(&mut self, who: &Exited, mut ending: String) -> Result<Reply, CallError> {
        ending.truncate((0..=limits::MAX_NAME).rfind(|at| ending.is_char_boundary(*at)).unwrap_or(0));
        let workers = match who {
            Exited::Process(process) => self.process_ended(&|_, its| its == Some(*process), &ending),
            Exited::Worker(text) => {
                let (value, mask) = worker_mask(text)?;
                self.process_ended(&|worker, _| worker.0 & mask == value, &ending)
            }
        };
        Ok(Reply::WorkerExit { workers })
    }

    /// What was lost with such a worker is told so, unless it is over. Gives how many workers were meant.
    fn process_ended(&mut self, about: &dyn Fn(WorkerId, Option<u128>) -> bool, ending: &str) -> usize {
        // Before sessions end here, for they are remembered then, and would count twice.
        let late = self.departed.0.iter().filter(|d| about(d.worker, d.process)).count();
        let open: Vec<u32> =
            self.workers().filter(|(_, s)| about(s.worker_id(), s.process)).map(|(index, _)| index).collect();
        for &index in &open {
            let session = &mut self.sessions[index as usize];
            let gone = session.conn.is_none();
            if let Some(worker) = &mut session.worker {
                worker.ending = Some(ending.into());
            }
            // Its connection breaks with the process. One that does not is somebody else's: what was started may have
            // started the worker in turn, and left it behind.
            if gone {
                self.end_session(index, false);
            }
        }
        for departed in self.departed.0.iter().filter(|d| about(d.worker, d.process)) {
            for key in &departed.tasks {
                let Some(dossier) = self.tasks.get_mut(*key).and_then(Task::if_dossier) else { continue };
                let unknown = dossier.crashes.iter_mut().filter(|c| c.worker == departed.worker && c.ending.is_none());
                unknown.for_each(|crash| crash.ending = Some(ending.into()));
            }
        }
        open.len() + late
    }

    /// The workers that were lost with a task, as its failure tells them.
    pub(crate) fn lost_workers(&self, index: u32) -> Vec<LostWorker> {
        let zero = self.config.wall_at_zero_ms;
        let crashes = self.tasks[index].dossier().map_or(&[][..], |d| &d.crashes);
        let lost = crashes.iter().map(|crash| LostWorker {
            worker: crash.worker,
            name: crash.name.clone(),
            at_ms: if zero == 0 { 0 } else { zero + crash.at.0 / 1_000 },
            ending: crash.ending.clone(),
            company: crash.company,
            log: crash.log.clone(),
        });
        lost.collect()
    }

    /// What a task fails with whose workers were lost too often.
    pub(crate) fn worker_lost(&self, index: u32) -> Outcome {
        let task = &self.tasks[index];
        let crashes = self.lost_workers(index);
        let last = crashes.last();
        let name = last.map_or("", |lost| &lost.name);
        let allowed = task.spec.options.max_crashes;
        let alone = match last.map_or(0, |lost| lost.company) {
            0 if allowed > 0 && !crashes.is_empty() => " alone",
            _ => "",
        };
        let mut message = format!(
            "worker '{name}' ({}) was lost while it ran this task{alone}; workers lost so far: {}, allowed (max_crashes): {allowed}",
            task.worker, task.crashes
        );
        if alone.is_empty() && allowed > 0 {
            message.push_str(", and others ran there each time");
        }
        message.push_str(&told(&crashes));
        Outcome::Raised(Arc::new(Failure {
            task: Some(task.id),
            worker: Some(task.worker),
            attempt: task.attempts,
            crashes,
            ..Failure::new(FailureKind::WorkerLost, task.spec.function.clone(), message)
        }))
    }
}

/// The dossier in one sentence.
pub(crate) fn told(crashes: &[LostWorker]) -> String {
    let one = |lost: &LostWorker| {
        let at = if lost.at_ms > 0 { clock(lost.at_ms) } else { String::new() };
        let ending = lost.ending.as_deref().unwrap_or("its end was not seen");
        let company = match lost.company {
            0 => "alone".to_owned(),
            1 => "with 1 other".to_owned(),
            others => format!("with {others} others"),
        };
        format!("{at}{}: {ending}, {company}", lost.name)
    };
    if crashes.is_empty() {
        return String::new();
    }
    let mut text = format!(": {}", crashes.iter().map(one).collect::<Vec<_>>().join("; "));
    if let Some(log) = crashes.iter().rev().map(|lost| lost.log.trim_end()).find(|log| !log.is_empty()) {
        text.push_str(&format!("; it last printed: {}", tail(log, QUOTED).replace('\n', " / ")));
    }
    text
}

/// Time of day, by the wall clock in UTC.
fn clock(ms: u64) -> String {
    let seconds = ms / 1_000;
    format!("{:02}:{:02}:{:02}Z ", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::tail;

    #[test]
    fn the_end_of_a_text_begins_with_a_line() {
        for (text, bytes, end) in [
            ("", 5, ""),
            ("one\ntwo\n", 100, "one\ntwo\n"),
            ("one\ntwo\n", 6, "two\n"),
            ("one\ntwo\n", 4, "two\n"),
            ("a long line", 4, "line"),
            ("äöü", 3, "ü"),
        ] {
            assert_eq!(tail(text, bytes), end, "{bytes} of {text:?}");
        }
    }
}
