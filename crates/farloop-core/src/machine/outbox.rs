//! What a session has yet to be told, kept small: a note says which record to look at, and the frame is made when
//! the connection takes it. A slow peer costs notes, not frames; a cut costs nothing.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;

use super::Core;
use super::sessions::SessionKey;
use super::tasks::{Phase, TaskKey};
use crate::api::Output;
use crate::frame::{Down, Print, Start, StartMore};
use crate::id::{AttemptId, Epoch, SessionId, TaskId};
use crate::limits;
use crate::link::{Batch, FRAME_BYTES, Item, Link};
use crate::outcome::Outcome;
use crate::sync::SyncAnswer;
use crate::time::Time;

/// A note. It holds the outcome (or item) itself, for a record may leave retention before its watcher comes back.
#[derive(Clone, Debug)]
pub(crate) enum Tell {
    Resolved {
        task: TaskId,
        outcome: Outcome,
    },
    /// The same of a task that is kept until it was consumed.
    Handed {
        task: TaskId,
        key: TaskKey,
        outcome: Outcome,
    },
    CancelCount(TaskKey),
    Stranded {
        task: TaskId,
        why: alloc::string::String,
    },
    Print {
        task: TaskId,
        print: Print,
    },
    Start {
        index: u32,
        epoch: Epoch,
    },
    Cancel {
        index: u32,
        epoch: Epoch,
    },
    Withdrawn {
        index: u32,
        epoch: Epoch,
    },
    Fence(AttemptId),
    Recall(AttemptId),
    Stop(AttemptId),
    Move(AttemptId),
    Deadlock(AttemptId, Vec<TaskId>),
    Sync {
        call: u64,
        answer: Box<SyncAnswer>,
    },
    Progress(TaskKey),
    Drain,
    Leave,
    Item(TaskId, u64, Bytes),
    Credit {
        index: u32,
        epoch: Epoch,
    },
}

impl Tell {
    /// What it holds that may be large.
    fn weight(&self) -> usize {
        match self {
            Self::Resolved { outcome, .. } | Self::Handed { outcome, .. } => match outcome {
                Outcome::Returned(value) => value.len(),
                Outcome::Raised(failure) => failure.message.len() + failure.details.as_ref().map_or(0, Bytes::len),
                Outcome::Cancelled(_) => 0,
            },
            Self::Item(_, _, value) => value.len(),
            Self::Sync { answer, .. } => match &**answer {
                SyncAnswer::Item(item) => item.len(),
                _ => 0,
            },
            _ => 0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) link: Link<Down>,
    /// Overtakes `data`, as its frames will.
    control: VecDeque<(u64, Tell)>,
    /// Each with the number of the record that must be durable first.
    data: VecDeque<(u64, Tell)>,
    /// How far the link may acknowledge, and the record that must be durable first; one for each number of a record.
    marks: VecDeque<(u64, u64)>,
    /// The shell was woken and has not run dry since.
    pub(crate) awake: bool,
    /// Listed among the sessions that wait for a record to be durable.
    gated: bool,
    /// Tasks whose outcomes were handed over, each with the number of data frames pushed up to it.
    receipts: VecDeque<(u64, TaskKey)>,
    /// Of both, results and items, in bytes.
    bytes: usize,
    /// Of `data`, what bodies printed, in bytes.
    pub(crate) prints: usize,
    /// Printed lines for which there was no room, and that the peer has not been told of.
    pub(crate) prints_lost: u32,
}

impl Outbox {
    pub(crate) fn new(link: Link<Down>) -> Self {
        Self {
            link,
            marks: VecDeque::new(),
            control: VecDeque::new(),
            data: VecDeque::new(),
            awake: false,
            gated: false,
            receipts: VecDeque::new(),
            bytes: 0,
            prints: 0,
            prints_lost: 0,
        }
    }

    /// Notes that wait.
    pub(crate) fn len(&self) -> usize {
        self.control.len() + self.data.len()
    }

    pub(crate) fn clear(&mut self) {
        self.control.clear();
        self.data.clear();
        self.bytes = 0;
        self.prints = 0;
    }

    /// What bodies printed and what waits here, as [`prints`](Self::prints) should say.
    pub(crate) fn count_prints(&self) -> usize {
        let weight = |tell: &Tell| if let Tell::Print { print, .. } = tell { super::prints::weight(print) } else { 0 };
        self.data.iter().map(|(_, tell)| weight(tell)).sum()
    }

    /// Records up to `durable` are: what rests on them may be acknowledged.
    fn settle(&mut self, durable: u64) {
        while let Some((_, items)) = self.marks.pop_front_if(|(gate, _)| *gate <= durable) {
            self.link.settle(items);
        }
    }

    pub(crate) fn receipt_due(&self) -> bool {
        self.receipts.front().is_some_and(|(number, _)| *number <= self.link.data_acked())
    }

    /// The next task whose outcome the peer has received.
    pub(crate) fn take_receipt(&mut self) -> Option<TaskKey> {
        if !self.receipt_due() {
            return None;
        }
        self.receipts.pop_front().map(|(_, key)| key)
    }

    /// As [`bytes`](Self::bytes) should say.
    pub(crate) fn counts_bytes(&self) -> bool {
        self.bytes == self.control.iter().chain(&self.data).map(|(_, tell)| tell.weight()).sum::<usize>()
    }

    /// Which limit of what may wait is passed.
    fn overfull(&self) -> Option<&'static str> {
        if self.len() > limits::TELLS {
            return Some("more than TELLS notes wait for this session; it does not take what it is sent");
        }
        (self.bytes > limits::TELLS_BYTES).then_some(
            "more than TELLS_BYTES of results and items wait for this session; it does not take what it is sent",
        )
    }

    fn gate_open(&self, durable: u64) -> bool {
        let open = |q: &VecDeque<(u64, Tell)>| q.front().is_some_and(|(gate, _)| *gate <= durable);
        open(&self.control) || (self.link.has_window() && open(&self.data))
    }
}

impl Core {
    /// Puts a note into the outbox of a session, if it is still there. `gate` is the record it rests on.
    pub(crate) fn tell(&mut self, key: SessionKey, gate: u64, tell: Tell) {
        if self.session(key).is_none() {
            return;
        }
        let gate = if matches!(tell, Tell::Resolved { .. }) && planted!(self, ToldBeforeDurable) { 0 } else { gate };
        let outbox = &mut self.sessions[key.index as usize].outbox;
        outbox.bytes += tell.weight();
        match tell {
            Tell::Cancel { .. } | Tell::Withdrawn { .. } | Tell::Drain | Tell::Leave | Tell::Credit { .. } => {
                outbox.control.push_back((gate, tell));
            }
            _ => outbox.data.push_back((gate, tell)),
        }
        if let Some(why) = outbox.overfull() {
            self.drop_conn(key.index, why);
            self.end_session(key.index, false);
            return;
        }
        self.stir(key.index);
    }

    pub(crate) fn tell_drain(&mut self, index: u32) {
        self.tell(self.session_key(index), 0, Tell::Drain);
    }

    /// Wakes the shell for a session that has something to send and whose shell sleeps.
    pub(crate) fn stir(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        let outbox = &mut session.outbox;
        if outbox.awake || session.conn.is_none() || session.over {
            return;
        }
        if outbox.link.ready() || outbox.gate_open(self.durable) {
            outbox.awake = true;
            self.outputs.push_back(Output::Wake(session.id));
        } else if outbox.len() > 0 && !outbox.gated {
            outbox.gated = true;
            self.gated.push(self.session_key(index));
        }
    }

    /// What came in rests on all that was recorded until now: it is acknowledged when that is durable.
    pub(crate) fn mark(&mut self, index: u32) {
        if !self.config.durable {
            return;
        }
        let safe = if planted!(self, AckedBeforeDurable) { self.seq } else { self.durable };
        let outbox = &mut self.sessions[index as usize].outbox;
        let (gate, whole) = (self.seq, outbox.link.whole());
        match outbox.marks.back_mut() {
            Some((last, items)) if *last == gate => *items = whole,
            _ => outbox.marks.push_back((gate, whole)),
        }
        outbox.settle(safe);
        self.wait_for_record(index);
    }

    /// Lists a session whose acknowledgements wait for a record.
    fn wait_for_record(&mut self, index: u32) {
        let key = self.session_key(index);
        let outbox = &mut self.sessions[index as usize].outbox;
        if !outbox.marks.is_empty() && !core::mem::replace(&mut outbox.gated, true) {
            self.gated.push(key);
        }
    }

    /// Records up to `seq` are durable: what rests on them may leave.
    pub(crate) fn on_durable(&mut self, seq: u64) {
        self.durable = self.durable.max(seq.min(self.seq));
        for key in core::mem::take(&mut self.gated) {
            if self.session(key).is_some() {
                let outbox = &mut self.sessions[key.index as usize].outbox;
                outbox.gated = false;
                outbox.settle(self.durable);
                self.wait_for_record(key.index);
                self.stir(key.index);
            }
        }
        self.wake_readers();
        while self.held.front().is_some_and(|(gate, _)| *gate <= self.durable) {
            self.outputs.extend(self.held.pop_front().map(|(_, output)| output));
        }
    }

    /// The next batch for a session, to be sent over its current connection; none if there is nothing to say now.
    /// `force_ack` makes an empty batch if the peer has not been told how far its items were received.
    pub fn poll_batch(&mut self, now: Time, session: SessionId, force_ack: bool) -> Option<Batch<Down>> {
        let index = *self.session_ids.get(&session)?;
        self.sessions[index as usize].conn?;
        self.derive(index, now);
        let outbox = &mut self.sessions[index as usize].outbox;
        let mut batch = outbox.link.poll_batch(force_ack);
        match &mut batch {
            Some(batch) => batch.items.iter_mut().for_each(|item| self.keep_time(now, item)),
            None => {
                outbox.awake = false;
                self.stir(index);
            }
        }
        batch
    }

    /// A start may have waited for room in a batch, or be sent once more after a cut: what remains is what remains now
    /// (L19). None remains of a deadline that is past; such a start is answered, and not begun.
    fn keep_time(&self, now: Time, item: &mut Item<Down>) {
        if let Item::Frame(Down::Start(start)) | Item::Tail(Down::Start(start)) = item
            && let Some(remaining) = &mut start.remaining
        {
            let deadline = self.tasks.find(start.attempt.task).map_or(now, |index| self.tasks[index].deadline);
            *remaining = deadline.since(now);
        }
    }

    /// Makes frames of notes, no more than the next batch takes.
    fn derive(&mut self, index: u32, now: Time) {
        // What was derived before and has not left goes first: a start behind it would tell a time that has passed.
        let waits = &self.sessions[index as usize].outbox.link;
        let mut bytes = waits.queued_bytes() + waits.queued() * FRAME_BYTES;
        loop {
            let outbox = &mut self.sessions[index as usize].outbox;
            let durable = self.durable;
            let open = |q: &VecDeque<(u64, Tell)>| q.front().is_some_and(|(gate, _)| *gate <= durable);
            let tell = if open(&outbox.control) {
                outbox.control.pop_front()
            } else if open(&outbox.data)
                && outbox.link.has_window()
                && outbox.link.queued() < limits::BATCH_ITEMS
                && bytes < limits::BATCH_BYTES
            {
                outbox.data.pop_front()
            } else {
                None
            };
            let Some((_, tell)) = tell else { return };
            outbox.bytes -= tell.weight();
            bytes += FRAME_BYTES + self.derive_one(index, now, tell);
        }
    }

    /// Bytes of payload pushed.
    fn derive_one(&mut self, index: u32, now: Time, tell: Tell) -> usize {
        let mut handed = None;
        let frame = match tell {
            Tell::Resolved { task, outcome } => Some(Down::Resolved { task, outcome }),
            Tell::Handed { task, key, outcome } => {
                handed = Some(key);
                Some(Down::Resolved { task, outcome })
            }
            Tell::CancelCount(key) => self.derive_count(index, key),
            Tell::Stranded { task, why } => Some(Down::Stranded { task, why }),
            Tell::Print { task, print } => Some(self.derive_print(index, task, print)),
            Tell::Start { index: task, epoch } => return self.derive_start(index, now, task, epoch),
            Tell::Cancel { index: task, epoch } => self.derive_cancel(task, epoch, now),
            Tell::Withdrawn { index: task, epoch } => self.leased(task, epoch).then(|| {
                let task = &self.tasks[task];
                Down::CancelWithdrawn { attempt: task.attempt(), standing: task.standing() }
            }),
            Tell::Fence(attempt) => Some(Down::Fence(attempt)),
            Tell::Recall(attempt) => Some(Down::Recall(attempt)),
            Tell::Stop(attempt) => Some(Down::Stop(attempt)),
            Tell::Move(attempt) => Some(Down::Move(attempt)),
            Tell::Deadlock(attempt, cycle) => Some(Down::Deadlock { attempt, cycle }),
            Tell::Sync { call, answer } => Some(Down::Sync { call, answer: *answer }),
            Tell::Progress(key) => self.derive_progress(index, key),
            Tell::Drain => Some(Down::Drain),
            Tell::Leave => Some(Down::Leave),
            Tell::Item(task, seq, value) => Some(Down::Item { task, seq, value }),
            Tell::Credit { index: task, epoch } => self.derive_credit(task, epoch),
        };
        let Some(frame) = frame else { return 0 };
        let bytes = match &frame {
            Down::Print { print, .. } => print.text.len(),
            other => crate::link::LinkFrame::payload_len(other),
        };
        let outbox = &mut self.sessions[index as usize].outbox;
        outbox.link.push(frame);
        if let Some(key) = handed {
            outbox.receipts.push_back((outbox.link.data_pushed(), key));
        }
        bytes
    }

    /// Whether the record at this index is leased under this epoch. Epochs are given once, so this also tells
    /// whether the slot was given to another task since.
    pub(crate) fn leased(&self, index: u32, epoch: Epoch) -> bool {
        self.tasks.at(index).is_some_and(|t| t.phase == Phase::Leased && t.epoch == epoch)
    }

    fn derive_count(&mut self, index: u32, key: TaskKey) -> Option<Down> {
        let generation = self.sessions[index as usize].generation;
        self.tasks.get(key).filter(|t| !t.over())?;
        let task = &mut self.tasks[key.index];
        let count = task.standing();
        let here = SessionKey { index, generation };
        task.watchers_mut().find(|w| w.session == here)?.count_queued = false;
        Some(Down::CancelCount { task: task.id, count })
    }

    fn derive_cancel(&mut self, index: u32, epoch: Epoch, now: Time) -> Option<Down> {
        if !self.leased(index, epoch) {
            return None;
        }
        let attempt = self.tasks[index].attempt();
        let expired = self.tasks[index].extra().is_some_and(|e| e.expired.is_some());
        let cancels = &mut self.tasks[index].rare().cancels;
        cancels.queued = false;
        cancels.told = cancels.number;
        if cancels.standing == 0 && !expired {
            return None;
        }
        let message = cancels.messages.front().and_then(|(_, message)| message.clone());
        let number = cancels.number;
        self.patience_begins(index, now);
        Some(Down::Cancel { attempt, number, message })
    }

    fn derive_start(&mut self, index: u32, now: Time, at: u32, epoch: Epoch) -> usize {
        // Past its deadline a task never starts (L19): the timer, which is due, will end it.
        let late = |core: &Self| core.tasks[at].deadline <= now || core.too_late_to_start(at, now);
        if !self.leased(at, epoch) || late(self) || self.outlived(at, now) {
            return 0;
        }
        let forgotten = planted!(self, DetailsForgotten);
        let details = self.tasks[at].extra().and_then(|e| e.details.clone()).filter(|_| !forgotten);
        let incarnation = self.incarnation_for(at);
        let more = (details.is_some() || incarnation.is_some()).then(|| {
            let reenters = incarnation.is_some_and(|(_, reenters)| reenters);
            Box::new(StartMore { details, incarnation: incarnation.map(|(incarnation, _)| incarnation), reenters })
        });
        let task = &mut self.tasks[at];
        task.sent = true;
        task.attempts += 1;
        if task.spec.trace.is_some() {
            self.outputs.push_back(Output::Event(task.scheduled()));
        }
        let link = &mut self.sessions[index as usize].outbox.link;
        let mut bytes = task.spec.args.len();
        let attempt = task.attempt();
        if let Some(state) = task.extra().and_then(|extra| extra.snapshot.clone()) {
            bytes += state.len();
            link.push(Down::Input { attempt, task: attempt.task, value: state });
        }
        if let Some(inputs) = task.rare.as_ref().and_then(|r| r.inputs.as_ref()) {
            for (dependency, value) in &inputs.values {
                let Some(value) = value.clone() else { continue };
                bytes += value.len();
                link.push(Down::Input { attempt, task: *dependency, value });
            }
        }
        link.push(Down::Start(Start {
            attempt,
            number: task.attempts,
            spec: task.spec.clone(),
            root: (task.root.0 != 0).then_some(task.root),
            depth: task.depth,
            remaining: (task.deadline.0 != u64::MAX).then(|| task.deadline.since(now)),
            cancels: task.standing(),
            more,
        }));
        self.changed(at);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Config, Input};
    use crate::frame::{Hello, PROTOCOL_VERSION, Role};
    use crate::id::ConnId;

    #[test]
    fn l18_what_a_session_does_not_take_is_bounded_in_bytes() {
        let mut core = Core::new(Config::default());
        let (conn, session) = (ConnId(1), SessionId(1));
        let hello = Hello {
            session,
            protocol: PROTOCOL_VERSION,
            role: Role::Client,
            name: alloc::string::String::new(),
            resume: false,
            received: 0,
            functions: Vec::new(),
            slots: 0,
            connection: 1,
            acked: 0,
            life: None,
            labels: Vec::new(),
            process: None,
        };
        core.handle(Time(0), Input::Hello { conn, hello });
        core.handle(Time(0), Input::Cut { session, conn });
        let key = core.session_key(core.session_ids[&session]);
        let value = Bytes::from(alloc::vec![0; limits::MAX_PAYLOAD]);
        let mut waiting = 0;
        while core.session(key).is_some_and(|session| !session.over) {
            assert!(waiting <= limits::TELLS_BYTES, "{waiting}");
            core.tell(key, 0, Tell::Item(TaskId(1), 1, value.clone()));
            waiting += value.len();
            core.check().expect("the law holds");
        }
        assert!(waiting > limits::TELLS_BYTES, "{waiting}");
    }
}
