//! Why a task stands where it stands, in sentences (L15).

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Core;
use super::tasks::Phase;
use crate::frame::Activity;
use crate::outcome::Outcome;

/// Names listed in one sentence.
const NAMES: usize = 10;
/// Names compared to find what was meant.
const COMPARED: usize = 1_024;

impl Core {
    pub(crate) fn explain(&self, index: u32) -> Vec<String> {
        let task = &self.tasks[index];
        let mut why = Vec::new();
        match task.phase {
            Phase::Waiting => {
                let open = self.waits_for(index);
                let shown: Vec<String> = open.iter().take(NAMES).map(ToString::to_string).collect();
                why.push(format!("it waits for {} of its arguments: {}{}", open.len(), shown.join(", "), if open.len() > NAMES { ", …" } else { "" }));
            }
            Phase::Parked => why.push("its last attempt was lost; it starts again when the tasks which that attempt created were asked to stop".into()),
            Phase::Paused => why.push(self.explain_pause(index)),
            Phase::Posted => why.push(self.explain_post(index)),
            Phase::Asleep => why.push("it is an actor that sleeps until somebody calls it".into()),
            Phase::Held => why.push(self.explain_held()),
            Phase::Ready => why.push(self.explain_queued(index)),
            Phase::Aside => why.push(self.explain_aside(index)),
            Phase::Leased if !task.sent => {
                let stored = task.gate > self.durable;
                why.push(format!("it is on its way to worker {}{}", task.worker, if stored { ", as soon as its record is durable" } else { "" }));
            }
            Phase::Leased => {
                let what = match task.activity {
                    Activity::Running => "runs",
                    Activity::Suspended => "is suspended",
                };
                why.push(format!("attempt {} {what} at worker {}", task.attempts, task.worker));
                if task.extra().is_some_and(|e| e.expired.is_some()) {
                    why.push("the time for this attempt is over; its body was asked to stop and has its grace".into());
                }
                if !task.awaits().is_empty() {
                    let shown: Vec<String> = task.awaits().iter().take(NAMES).map(ToString::to_string).collect();
                    why.push(format!("it awaits {} tasks: {}{}", task.awaits().len(), shown.join(", "), if task.awaits().len() > NAMES { ", …" } else { "" }));
                }
                why.extend(self.explain_stream(index));
                let away = self.sessions.get(task.place as usize).is_some_and(|s| s.conn.is_none());
                if away {
                    why.push("its worker has no connection now; it is given up if none comes back in time".into());
                }
            }
            Phase::Over => why.push(match &task.outcome {
                Some(Outcome::Returned(value)) => format!("it returned {} bytes", value.len()),
                Some(Outcome::Raised(failure)) => format!("it failed: {}", failure.message),
                Some(Outcome::Cancelled(c)) if c.abandoned => "it was cancelled and did not end within its grace; its body may still be running".into(),
                Some(Outcome::Cancelled(c)) => match &c.message {
                    Some(message) => format!("it was cancelled: {message}"),
                    None => "it was cancelled".into(),
                },
                None => String::new(),
            }),
        }
        why.extend(self.explain_calls(index));
        if task.standing() > 0 {
            why.push(format!("{} cancel requests stand", task.standing()));
        }
        if task.crashes > 0 || task.errors > 0 {
            why.push(format!(
                "workers lost: {} of {} allowed; failed attempts: {} of {}",
                task.crashes, task.spec.options.max_crashes, task.errors, task.spec.options.max_attempts
            ));
        }
        why
    }

    /// Between two attempts: how long yet, and what went wrong.
    fn explain_pause(&self, index: u32) -> String {
        let task = &self.tasks[index];
        let extra = task.extra();
        let left = extra.and_then(|e| e.clocks.retry).map(|at| at.since(self.now)).unwrap_or_default();
        let failed = extra.and_then(|e| e.failed.as_ref()).map_or("", |f| &f.message);
        format!(
            "attempt {} failed: {failed}; its backoff has {left:?} to go, then the next attempt begins (failed so far: {}, attempts allowed: {})",
            task.attempts, task.errors, task.spec.options.max_attempts
        )
    }

    fn explain_queued(&self, index: u32) -> String {
        let task = &self.tasks[index];
        let queue = &self.functions[task.place as usize];
        if queue.workers.is_empty() {
            return self.nobody_offers(&queue.name);
        }
        if self.draining {
            return "the coordinator is about to stop and starts nothing more".into();
        }
        let of_key = task.extra().and_then(|e| self.limits.explain(e.lane.limit));
        if let Some(limit) = self.limits.explain(queue.limit).or(of_key) {
            return limit;
        }
        let (mut away, mut draining, mut busy) = (0, 0, 0);
        for worker in &queue.workers {
            let session = &self.sessions[*worker as usize];
            match &session.worker {
                Some(w) if w.draining => draining += 1,
                _ if session.conn.is_none() => away += 1,
                _ => busy += 1,
            }
        }
        format!(
            "{} tasks of '{}' wait for a free slot; of the workers that offer it, {busy} are busy, {draining} drain and {away} have no connection",
            queue.len, queue.name
        )
    }

    /// Why a call of this function would wait, perhaps for ever: workers are there, and none of them offers it.
    pub(crate) fn misspelt(&self, name: &str) -> Option<String> {
        let served =
            |queues: &Vec<(u64, u32)>| queues.iter().any(|(_, f)| !self.functions[*f as usize].workers.is_empty());
        if self.names.get(name).is_some_and(served) {
            return None;
        }
        self.anything_offered().then(|| format!("{}; set awaitWorker if one will come", self.nobody_offers(name)))
    }

    /// The sentence for a function without a worker, with what may have been meant.
    pub(crate) fn nobody_offers(&self, name: &str) -> String {
        let mut offered: BTreeSet<&str> = BTreeSet::new();
        // Of a worker that has both: types and methods are called as actors, by other words.
        let mut functions: BTreeSet<&str> = BTreeSet::new();
        'all: for (_, session) in self.workers() {
            for def in session.worker.iter().flat_map(|w| &w.defs) {
                offered.insert(&def.name);
                if def.actor.is_none() {
                    functions.insert(&def.name);
                }
                if offered.len() >= COMPARED {
                    break 'all;
                }
            }
        }
        if offered.is_empty() {
            return format!("no worker offers '{name}'; no worker is connected that offers anything");
        }
        let shown = if functions.is_empty() { &offered } else { &functions };
        format!("no worker offers '{name}'; offered: {}{}", listing(shown), meant(name, &offered))
    }

    /// Whether a worker is connected that offers anything.
    pub(crate) fn anything_offered(&self) -> bool {
        self.workers().any(|(_, s)| s.worker.as_ref().is_some_and(|w| !w.defs.is_empty()))
    }
}

/// Some of these names, for one sentence.
pub(crate) fn listing(names: &BTreeSet<&str>) -> String {
    let shown: Vec<&str> = names.iter().copied().take(NAMES).collect();
    let more = if names.len() > NAMES { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// What may have been meant by a name that is none of these.
pub(crate) fn meant(name: &str, known: &BTreeSet<&str>) -> String {
    match known.iter().map(|other| (distance(name, other), *other)).min() {
        Some((far, other)) if far <= name.chars().count() / 3 + 1 => format!("; did you mean '{other}'?"),
        _ => String::new(),
    }
}

/// Edit distance (Levenshtein), one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = core::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let replaced = corner + usize::from(ca != *cb);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances() {
        for (a, b, d) in
            [("", "", 0), ("a", "", 1), ("demo.ad", "demo.add", 1), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }
}
