//! People who read calls with many answers, each at a pace of its own, and whether what they read fits (L3, L9, L15).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use farloop_core::api::{Call, More, TaskState, Told};
use farloop_core::id::{CallId, TaskId};
use farloop_core::time::Time;

use crate::calls::Complaint;
use crate::world::{Event, World};

/// Messages a reader takes before others have their turn.
const TURN: usize = 64;

/// Somebody who reads.
#[derive(Debug)]
struct Reader {
    what: Reading,
    /// How long it takes until it comes when there is something, in microseconds.
    pace: u64,
    /// It will come.
    called: bool,
}

#[derive(Debug)]
enum Reading {
    Completed { asked: BTreeSet<TaskId>, until: Time, told: BTreeSet<TaskId>, late: bool },
    Watch { snapshot: bool, lost: bool, last: BTreeMap<TaskId, TaskState> },
}

/// All readers.
#[derive(Debug, Default)]
pub struct Readers(BTreeMap<CallId, Reader>);

impl Readers {
    /// A call was opened.
    pub(crate) fn open(&mut self, call: CallId, request: &Call, at: Time, pace: u64) {
        let what = match request {
            Call::AsCompleted { tasks, timeout } => {
                let asked = tasks.iter().copied().collect();
                Reading::Completed { asked, until: at + *timeout, told: BTreeSet::new(), late: false }
            }
            _ => Reading::Watch { snapshot: false, lost: false, last: BTreeMap::new() },
        };
        self.0.insert(call, Reader { what, pace, called: false });
    }

    /// Somebody goes away. False: nobody read that.
    pub(crate) fn close(&mut self, call: CallId) -> bool {
        self.0.remove(&call).is_some()
    }

    /// The coordinator is gone, and with it all that was open.
    pub(crate) fn broken(&mut self) {
        self.0.clear();
    }

    /// Whether nobody waits for a task any more.
    pub(crate) fn quiet(&self) -> bool {
        self.0.values().all(|r| matches!(r.what, Reading::Watch { .. }) && !r.called)
    }

    fn take(&mut self, now: Time, call: CallId, told: &Told) -> Option<Complaint> {
        let reader = self.0.get_mut(&call)?;
        let wrong = match (&mut reader.what, told) {
            (Reading::Completed { asked, told, .. }, Told::Task(view)) => {
                let once = asked.contains(&view.task) && told.insert(view.task);
                (!once || view.outcome.is_none()).then_some(("L9", "not asked, not over, or told before"))
            }
            (Reading::Completed { asked, until, told, late }, Told::Pending(pending)) => {
                let rest = pending.iter().all(|t| asked.contains(t) && !told.contains(t));
                *late = true;
                let whole = told.len() + pending.len() == asked.len();
                (!rest || !whole || now < *until).then_some(("L9", "what is pending is not what was left"))
            }
            (Reading::Watch { snapshot, .. }, Told::SnapshotEnd) => {
                std::mem::replace(snapshot, true).then_some(("L15", "the snapshot ended twice"))
            }
            (Reading::Watch { lost, .. }, Told::Lost(_)) => {
                *lost = true;
                None
            }
            (Reading::Watch { last, .. }, Told::Task(view)) => {
                let before = last.insert(view.task, view.state);
                before.is_some_and(ended).then_some(("L3", "it had ended before"))
            }
            _ => Some(("L9", "a message of another kind")),
        };
        wrong.map(|(law, why)| (law, format!("{call:?} is told {told:?}: {why}")))
    }

    fn over(&mut self, call: CallId) -> Option<Complaint> {
        match self.0.remove(&call)?.what {
            Reading::Completed { asked, told, late, .. } if !late && asked != told => {
                Some(("L9", format!("{call:?} ended, and not all was told")))
            }
            Reading::Watch { .. } => Some(("L9", format!("{call:?} watches, and was ended"))),
            Reading::Completed { .. } => None,
        }
    }
}

fn ended(state: TaskState) -> bool {
    matches!(state, TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled)
}

impl World {
    /// The core has something for a reader, who comes when it suits him.
    pub(crate) fn read(&mut self, call: CallId) {
        let Some(reader) = self.readers.0.get_mut(&call) else { return };
        if !std::mem::replace(&mut reader.called, true) {
            let after = if reader.pace > 0 { self.rng.below(reader.pace) } else { 0 };
            self.at(self.now + Duration::from_micros(after), Event::Read(call));
        }
    }

    /// A reader takes what there is.
    pub(crate) fn take_messages(&mut self, call: CallId) {
        match self.readers.0.get_mut(&call) {
            Some(reader) => reader.called = false,
            None => return,
        }
        for _ in 0..TURN {
            match self.core.poll_call(call) {
                More::Told(told) => {
                    self.trace.mix(mark(&told));
                    if let Some((law, what)) = self.readers.take(self.now, call, &told) {
                        return self.history.fail(law, what);
                    }
                    if let Told::Task(view) = &told
                        && let Some(outcome) = &view.outcome
                    {
                        self.history.told(view.task, outcome, "a reader");
                    }
                }
                More::Again => {}
                More::Later => return,
                More::Over => {
                    self.history.saw("reader told of all");
                    if let Some((law, what)) = self.readers.over(call) {
                        self.history.fail(law, what);
                    }
                    return;
                }
            }
        }
        self.read(call);
    }

    /// L15: everything is over, and whoever watched without a loss knows it.
    pub(crate) fn check_watches(&mut self) {
        for (call, reader) in &self.readers.0 {
            let Reading::Watch { snapshot: true, lost: false, last } = &reader.what else { continue };
            if let Some((task, state)) = last.iter().find(|(_, state)| !ended(**state)) {
                let what = format!("everything is over, and {call:?} was told last that {task} is {state:?}");
                return self.history.fail("L15", what);
            }
        }
    }

    /// Whether a watch has shown a task that is still remembered.
    pub(crate) fn watches_miss(&self, task: TaskId) -> Option<CallId> {
        let missing = |r: &Reader| matches!(&r.what, Reading::Watch { snapshot: true, lost: false, last } if !last.contains_key(&task));
        self.readers.0.iter().find(|(_, r)| missing(r)).map(|(call, _)| *call)
    }
}

fn mark(told: &Told) -> u64 {
    match told {
        Told::Task(view) => (view.task.0 >> 40) as u64 ^ (view.task.0 as u64) ^ (view.state as u64) << 56,
        Told::SnapshotEnd => 1,
        Told::Lost(n) => *n << 8 | 2,
        Told::Pending(tasks) => (tasks.len() as u64) << 8 | 3,
        Told::Actor(view) => (view.task.task.0 as u64) ^ u64::from(view.incarnation) << 56,
    }
}
