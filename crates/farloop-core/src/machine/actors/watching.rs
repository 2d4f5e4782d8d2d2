//! Somebody watches one actor: how it stands, then each change of its incarnation, its state and its place, and its end.
//!
//! As with those who watch tasks, what is yet to be told is kept as notes, and a message is made when the reader takes
//! it. Unlike there nothing is left out that happens between two looks: a note says how the actor stood then.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;

use crate::api::{ActorView, CallError, More, Output, Reply, TaskState, Told, Whom};
use crate::id::{CallId, WorkerId};
use crate::limits;
use crate::machine::Core;
use crate::machine::calls::error;
use crate::machine::tasks::TaskKey;
use crate::outcome::FailureKind;

/// Somebody watches an actor.
#[derive(Debug)]
pub(crate) struct ActorWatch {
    host: TaskKey,
    /// What the last note says.
    last: Standing,
    /// With the record that must be durable before it is told.
    notes: VecDeque<(u64, Standing)>,
    lost: u64,
    /// It is over, as it was shown then: its record may be forgotten before a slow reader comes.
    end: Option<Box<ActorView>>,
    /// The shell was told that there is something, and has not run dry since.
    awake: bool,
}

/// What a note keeps of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    incarnation: u32,
    worker: Option<WorkerId>,
    up: bool,
    asleep: bool,
    stopping: bool,
    over: bool,
}

impl Standing {
    fn of(view: &ActorView) -> Self {
        Self {
            incarnation: view.incarnation,
            worker: view.worker,
            up: view.up,
            asleep: view.asleep,
            stopping: view.stopping,
            over: view.task.outcome.is_some(),
        }
    }

    /// What is known now, as it stood then.
    fn put_into(self, view: &mut ActorView) {
        let Self { incarnation, worker, up, asleep, stopping, over } = self;
        (view.incarnation, view.task.attempt, view.worker) = (incarnation, incarnation, worker);
        (view.up, view.asleep, view.stopping) = (up, asleep, stopping);
        if !over {
            (view.task.outcome, view.task.ended) = (None, None);
            view.task.state = match worker {
                _ if up || asleep => TaskState::Suspended,
                Some(_) => TaskState::Running,
                None => TaskState::Pending,
            };
        }
    }
}

impl ActorWatch {
    /// Bounded, and the oldest goes: what is left tells best how things stand.
    fn note(&mut self, gate: u64, standing: Standing) {
        if self.notes.len() >= limits::WATCH_CHANGES {
            self.notes.pop_front();
            self.lost += 1;
        }
        self.last = standing;
        self.notes.push_back((gate, standing));
    }

    /// Notes that wait: for [`Core::check`].
    pub(crate) fn waiting(&self) -> usize {
        self.notes.len()
    }
}

impl Core {
    pub(crate) fn watch_actor(&mut self, call: CallId, whom: &Whom) -> Result<Reply, CallError> {
        if self.readers() >= limits::WATCHES {
            let message = format!("{} readers watch already; the limit is WATCHES", limits::WATCHES);
            return Err(error(FailureKind::ResourceExhausted, message));
        }
        let index = self.actor_index(whom)?;
        let Some(view) = self.actor_view(index) else { return Err(self.no_actor_at(index)) };
        let (last, over) = (Standing::of(&view), view.task.outcome.is_some());
        let mut watch = ActorWatch {
            host: self.tasks.key(index),
            last,
            notes: VecDeque::new(),
            lost: 0,
            end: over.then(|| Box::new(view)),
            // Whoever asked looks for the first message by itself.
            awake: true,
        };
        watch.note(self.tasks[index].gate, last);
        self.actors.watches.insert(call, watch);
        Ok(Reply::Opened)
    }

    /// Readers that watch tasks or an actor.
    pub(crate) fn readers(&self) -> usize {
        self.watches.len() + self.actors.watches.len()
    }

    /// An actor may stand in another way now. Costs one look where nobody watches any.
    pub(crate) fn actor_changed(&mut self, index: u32) {
        if self.actors.watches.is_empty() {
            return;
        }
        let key = self.tasks.key(index);
        if !self.actors.watches.values().any(|watch| watch.host == key) {
            return;
        }
        let Some(view) = self.actor_view(index) else { return };
        let (gate, now) = (self.tasks[index].gate, Standing::of(&view));
        for (call, watch) in self.actors.watches.iter_mut().filter(|(_, watch)| watch.host == key) {
            if watch.last == now {
                continue;
            }
            watch.note(gate, now);
            if now.over {
                watch.end = Some(Box::new(view.clone()));
            }
            if !core::mem::replace(&mut watch.awake, true) {
                self.outputs.push_back(Output::More(*call));
            }
        }
    }

    /// More records are durable: readers that waited for them may go on.
    pub(crate) fn wake_actor_readers(&mut self) {
        for (call, watch) in &mut self.actors.watches {
            if !watch.notes.is_empty() && !core::mem::replace(&mut watch.awake, true) {
                self.outputs.push_back(Output::More(*call));
            }
        }
    }

    pub(crate) fn poll_actor_watch(&mut self, call: CallId) -> More {
        let durable = self.durable;
        let Some(watch) = self.actors.watches.get_mut(&call) else { return More::Over };
        let lost = core::mem::take(&mut watch.lost);
        if lost > 0 {
            return More::Told(Told::Lost(lost));
        }
        match watch.notes.front().copied() {
            Some((gate, standing)) if gate <= durable => {
                watch.notes.pop_front();
                let (key, end) = (watch.host, watch.end.clone());
                let shown = match end {
                    Some(end) => Some(end),
                    None => self.tasks.get(key).and_then(|_| self.actor_view(key.index)).map(Box::new),
                };
                let Some(mut view) = shown else { return More::Over };
                standing.put_into(&mut view);
                More::Told(Told::Actor(view))
            }
            None if watch.last.over => {
                self.actors.watches.remove(&call);
                More::Over
            }
            _ => {
                watch.awake = false;
                More::Later
            }
        }
    }
}
