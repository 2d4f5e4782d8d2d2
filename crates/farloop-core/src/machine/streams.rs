//! Streams: tasks whose attempt emits items on its way to its end (L23).
//!
//! The session that submitted the task is the consumer. Items go to it in order, each once, and all before the outcome;
//! what it has taken goes back to the producer, which waits while the window is full. So a slow consumer costs the
//! coordinator one window per stream. What was told cannot be taken back: a stream of which items have come never starts
//! again, and where another task would, it ends with an error that says how far it came.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use bytes::Bytes;

use super::Core;
use super::check::LawViolation;
use super::ending::Family;
use super::lists::NIL;
use super::outbox::Tell;
use super::sessions::SessionKey;
use super::tasks::{Phase, Task, TaskKey};
use crate::api::Record;
use crate::frame::Down;
use crate::id::{AttemptId, Epoch, SessionId, TaskId};
use crate::limits;
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::spec::Spec;
use crate::window::Window;

/// How far the items of one task have come.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    consumer: SessionKey,
    window: Window,
    /// Items that the producer was told are taken.
    told: u64,
    /// A credit waits in the worker's outbox.
    queued: bool,
    /// Items from before a restart of the coordinator may come once more.
    renewed: bool,
    /// What the consumer has taken, where that is more than came in this life.
    owed: u64,
    /// Items of a worker that came back and has not said yet how far this stream was.
    early: VecDeque<(u64, Bytes)>,
}

impl Stream {
    fn new(consumer: SessionKey) -> Self {
        let early = VecDeque::new();
        Self { consumer, window: Window::default(), told: 0, queued: false, renewed: false, owed: 0, early }
    }

    /// Goes on after a restart of the coordinator. What its window held is not known, only how far the consumer was.
    fn renew(&mut self, taken: u64) {
        self.window = Window::after(taken);
        self.told = taken;
        self.renewed = true;
        // More cannot be: its producer keeps what is above within the window.
        self.owed = self.owed.min(taken + limits::STREAM_ITEMS as u64);
        self.early.clear();
    }

    /// Only a stream of which nothing came gets another one.
    pub(crate) fn new_attempt(&mut self) {
        *self = Self::new(self.consumer);
    }
}

/// The part of an error that says how far a stream came.
pub(crate) fn came(items: u64) -> String {
    format!("; {items} {} of this stream had come before", if items == 1 { "item" } else { "items" })
}

impl Task {
    /// Items of it that came.
    pub(crate) fn items(&self) -> u64 {
        self.rare.as_ref().and_then(|r| r.stream.as_ref()).map_or(0, |s| s.window.given())
    }

    /// Items of it have come, in this life or, by the records, before. Where those say that it started because it must not
    /// start twice anyway, they cannot tell: its producer may have ended and forgotten its items since.
    pub(crate) fn has_items(&self) -> bool {
        self.items() > 0 || (self.spec.stream && self.once)
    }
}

impl Core {
    /// Whether the session may consume one more stream.
    pub(crate) fn room_for_stream(&self, spec: &Spec, from: Option<SessionKey>) -> Result<(), (FailureKind, String)> {
        if !spec.stream {
            return Ok(());
        }
        let Some(key) = from else {
            let message = "a stream needs a session that consumes it; without one, ask for all items as one list";
            return Err((FailureKind::BadArguments, message.into()));
        };
        if self.sessions[key.index as usize].streams.len() < limits::STREAMS {
            return Ok(());
        }
        let message = format!(
            "this session consumes as many streams as the limit STREAMS allows, {}: start another when one is over",
            limits::STREAMS
        );
        Err((FailureKind::ResourceExhausted, message))
    }

    /// The task is accepted. `from` will be told its items.
    pub(crate) fn open_stream(&mut self, index: u32, from: Option<SessionKey>) {
        let key = self.tasks.key(index);
        let task = &mut self.tasks[index];
        if let (true, Some(consumer)) = (task.spec.stream, from) {
            task.rare().stream = Some(Box::new(Stream::new(consumer)));
            self.sessions[consumer.index as usize].streams.insert(key);
        }
    }

    /// The session that is told its items, if it is a stream.
    pub(crate) fn consumer(&self, index: u32) -> Option<SessionId> {
        let stream = self.tasks[index].rare.as_ref()?.stream.as_ref()?;
        self.session(stream.consumer).map(|session| session.id)
    }

    /// The task is over. Items that wait for its consumer are in that one's outbox, before the outcome.
    pub(crate) fn close_stream(&mut self, key: TaskKey, stream: &Stream) {
        let session = self.sessions.get_mut(stream.consumer.index as usize);
        if let Some(session) = session.filter(|s| s.generation == stream.consumer.generation) {
            session.streams.remove(&key);
        }
    }

    /// The consumer is gone, and with it whoever would make room: the stream is to stop, whoever owns it. Who was asked
    /// for that reason already, or will be, is not asked twice.
    pub(crate) fn lose_consumer(&mut self, session: u32, key: TaskKey) {
        let Some(task) = self.tasks.get(key) else { return };
        if task.owner_session != session && task.parent_index == NIL {
            self.request_cancel(key.index, Some("the session that consumes this stream is over".into()));
        }
    }

    /// Whether it is a stream that nobody consumes any more: its cancel cannot be withdrawn.
    pub(crate) fn consumer_is_gone(&self, index: u32) -> bool {
        let stream = self.tasks[index].rare.as_ref().and_then(|r| r.stream.as_ref());
        stream.is_some_and(|s| self.session(s.consumer).is_none())
    }

    pub(crate) fn on_item(&mut self, session: u32, attempt: AttemptId, seq: u64, value: Bytes) {
        let Some(index) = self.current(session, attempt) else { return };
        if self.sessions[session as usize].rejoining && self.comes_early(index, seq, &value) {
            return;
        }
        self.take_item(index, attempt, seq, value);
    }

    fn take_item(&mut self, index: u32, attempt: AttemptId, seq: u64, value: Bytes) {
        let task = &mut self.tasks[index];
        task.begun = true;
        let stream = task.rare.as_mut().and_then(|r| r.stream.as_mut());
        if stream.as_ref().is_some_and(|s| s.renewed && seq <= s.window.given()) {
            return;
        }
        let wrong = match &stream {
            None => Some((FailureKind::BadPayload, "its worker sent an item, and the task is no stream".into())),
            Some(s) if seq != s.window.given() + 1 => {
                Some((FailureKind::BadPayload, format!("its worker sent item {seq} after item {}", s.window.given())))
            }
            Some(s) if !s.window.has_room() => {
                let message = format!(
                    "its worker sent more items than the limits STREAM_ITEMS, {}, and STREAM_BYTES, {}, allow before some are taken",
                    limits::STREAM_ITEMS,
                    limits::STREAM_BYTES
                );
                Some((FailureKind::ResourceExhausted, message))
            }
            Some(_) if value.len() > self.config.max_payload => {
                let message = format!(
                    "item {seq} has {} bytes; the limit MAX_PAYLOAD is {}",
                    value.len(),
                    self.config.max_payload
                );
                Some((FailureKind::BadPayload, message))
            }
            Some(_) => None,
        };
        let (None, Some(stream)) = (&wrong, stream) else {
            let (kind, message) = wrong.unwrap_or((FailureKind::BadPayload, String::new()));
            self.break_stream(index, kind, message);
            return;
        };
        stream.window.give(value.len());
        let credit = stream.window.take(stream.owed.min(seq)) && !core::mem::replace(&mut stream.queued, true);
        let consumer = stream.consumer;
        if self.records(index) && !self.tasks[index].once {
            // Told once, it must not start again after a restart of the coordinator either.
            self.tasks[index].once = true;
            self.record(index, Record::Started { task: attempt.task });
        }
        let gate = self.tasks[index].gate;
        self.tell(consumer, gate, Tell::Item(attempt.task, seq, value));
        if credit {
            // The consumer has it already, and will not say so again.
            let place = self.tasks[index].place;
            self.tell(self.session_key(place), 0, Tell::Credit { index, epoch: attempt.epoch });
        }
    }

    /// Whether the item has to wait until its worker has said how far this stream was: it sends it once more then. Their
    /// number is bounded by the window that the worker keeps to; what is above is not kept.
    fn comes_early(&mut self, index: u32, seq: u64, value: &Bytes) -> bool {
        let Some(stream) = self.tasks[index].rare.as_mut().and_then(|r| r.stream.as_mut()) else { return false };
        if stream.renewed {
            return false;
        }
        if stream.early.len() < limits::STREAM_ITEMS {
            stream.early.push_back((seq, value.clone()));
        }
        true
    }

    /// The stream ends, or its worker has said all, and how far it was has not been told: what came is all that there is.
    pub(crate) fn flush_early(&mut self, index: u32) {
        let attempt = self.tasks[index].attempt();
        let Some(stream) = self.tasks[index].rare.as_mut().and_then(|r| r.stream.as_mut()) else { return };
        let early = core::mem::take(&mut stream.early);
        if let Some((first, _)) = early.front() {
            stream.renew(first.saturating_sub(1));
        }
        for (seq, value) in early {
            if !self.leased(index, attempt.epoch) {
                return;
            }
            self.take_item(index, attempt, seq, value);
        }
    }

    /// Its worker came back: items up to `taken` are with the consumer, the rest comes once more.
    pub(crate) fn renew_stream(&mut self, index: u32, taken: u64) {
        let Some(stream) = self.tasks[index].rare.as_mut().and_then(|r| r.stream.as_mut()) else { return };
        if !stream.renewed {
            stream.renew(taken);
        }
    }

    /// What the worker says cannot be; nothing that it says about this stream is of use any more.
    fn break_stream(&mut self, index: u32, kind: FailureKind, message: String) {
        self.fence(index);
        let outcome = self.stream_failure(index, kind, message);
        self.end_task(index, outcome, Family::All);
    }

    /// The consumer has taken that many.
    pub(crate) fn on_credit(&mut self, session: u32, id: TaskId, taken: u64) {
        let here = self.session_key(session);
        // The stream may be over, and its record gone, while its last items are taken.
        let Some(index) = self.tasks.find(id).filter(|i| !self.tasks[*i].over()) else { return };
        let task = &mut self.tasks[index];
        let leased = task.phase == Phase::Leased && task.sent;
        let (epoch, place) = (task.epoch, task.place);
        let former = task.phase == Phase::Held || (leased && self.recovery.before(epoch));
        let Some(stream) = task.rare.as_mut().and_then(|r| r.stream.as_mut()) else { return };
        if stream.consumer != here {
            return;
        }
        let mut taken = taken;
        if stream.renewed || former {
            // Taken in a former life; it may be said before the worker is back with the stream.
            // Its window says what can be, as soon as it is known.
            let most = if stream.renewed { stream.window.taken() + limits::STREAM_ITEMS as u64 } else { u64::MAX };
            stream.owed = stream.owed.max(taken.min(most));
            taken = taken.min(stream.window.given());
        }
        if !stream.window.take(taken) {
            return;
        }
        if leased && !core::mem::replace(&mut stream.queued, true) {
            if planted!(self, CreditForgotten) {
                return;
            }
            self.tell(self.session_key(place), 0, Tell::Credit { index, epoch });
        }
    }

    pub(crate) fn derive_credit(&mut self, index: u32, epoch: Epoch) -> Option<Down> {
        if !self.leased(index, epoch) {
            return None;
        }
        let attempt = self.tasks[index].attempt();
        let stream = self.tasks[index].rare.as_mut()?.stream.as_mut()?;
        stream.queued = false;
        stream.told = stream.window.taken();
        Some(Down::Credit { attempt, taken: stream.told })
    }

    /// How a stream ends whose attempt is gone, some of its items being told.
    pub(crate) fn stream_lost(&self, index: u32, crash: bool) -> Outcome {
        let task = &self.tasks[index];
        let ending = task.dossier().and_then(|d| d.crashes.last()).and_then(|c| c.ending.as_deref());
        let how = match (crash, ending) {
            (true, Some(ending)) => format!("was lost ({ending})"),
            (true, None) => "was lost".into(),
            (false, _) => String::from("stopped"),
        };
        let session = self.sessions.iter().map(|(_, s)| s).find(|s| s.worker_id() == task.worker);
        let name = session.map_or("", |s| &s.name);
        let message = format!("worker '{name}' ({}) {how} in the middle of this stream", task.worker);
        self.stream_failure(index, FailureKind::WorkerLost, message)
    }

    fn stream_failure(&self, index: u32, kind: FailureKind, message: String) -> Outcome {
        let task = &self.tasks[index];
        let crashes = self.lost_workers(index);
        let message = message + &came(task.items());
        Outcome::Raised(Arc::new(Failure {
            task: Some(task.id),
            worker: Some(task.worker),
            attempt: task.attempts,
            crashes,
            ..Failure::new(kind, task.spec.function.clone(), message)
        }))
    }

    pub(crate) fn explain_stream(&self, index: u32) -> Option<String> {
        let stream = self.tasks[index].rare.as_ref()?.stream.as_ref()?;
        let window = &stream.window;
        let full = if window.has_room() { "" } else { "; it waits for its consumer" };
        Some(format!("{} items of it have come, of which {} were taken{full}", window.given(), window.taken()))
    }

    /// L23: what was not taken never exceeds the window, and the counts agree.
    pub(crate) fn check_streams(&self) -> Result<(), LawViolation> {
        let broken = |what: String| Err(LawViolation { law: "L23", what });
        for (index, task) in self.tasks.iter() {
            let stream = task.rare.as_ref().and_then(|r| r.stream.as_ref());
            if stream.is_some() != (task.spec.stream && !task.over()) {
                return broken(format!("task {} and its stream disagree", task.id));
            }
            let Some(stream) = stream else { continue };
            if !stream.window.is_sound() || stream.told > stream.window.taken() {
                return broken(format!("task {}: {stream:?}", task.id));
            }
            if task.items() > 0 && !(task.phase == Phase::Leased && task.sent) {
                return broken(format!("task {} starts again after {} items", task.id, task.items()));
            }
            let known = self.session(stream.consumer).is_none_or(|s| s.streams.contains(&self.tasks.key(index)));
            let orphaned = self.session(stream.consumer).is_none() && task.standing() == 0 && self.work.is_empty();
            // Of a creator that no worker has come back with yet it is not known that it is lost: it will be, and the
            // stream with it.
            let undecided = self.tasks.at(task.parent_index).is_some_and(|parent| parent.phase == Phase::Held);
            if !known || orphaned && !undecided {
                return broken(format!("task {} has items for a session that does not want them", task.id));
            }
        }
        for (_, session) in &self.sessions {
            let over = session.streams.iter().find(|key| self.tasks.get(**key).is_none_or(Task::over));
            if session.streams.len() > limits::STREAMS || over.is_some() {
                return broken(format!("session {} consumes streams that are over: {:?}", session.id, session.streams));
            }
        }
        Ok(())
    }
}
