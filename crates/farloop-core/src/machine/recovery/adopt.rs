//! A peer comes back from a former life, and says what it holds.

use alloc::vec::Vec;

use crate::frame::{Activity, Down, Held, Hello, Role, Up};
use crate::id::{AttemptId, ConnId};
use crate::link::Link;
use crate::machine::lists::Chain;
use crate::machine::outbox::Tell;
use crate::machine::retry::Expired;
use crate::machine::tasks::Phase;
use crate::machine::{Core, Timer, Work};

impl Core {
    /// Whether the peer was welcomed in a former life of this coordinator, and not in this one: its link goes on where
    /// it was.
    pub(crate) fn welcomed_before(&self, hello: &Hello) -> bool {
        let (Some(life), Some(theirs)) = (self.recovery.life(), hello.life) else { return false };
        hello.resume && theirs.cluster == life.cluster && theirs.number < life.number
    }

    /// Our end of the link goes on where the one of the former life stopped.
    pub(crate) fn go_on(&mut self, index: u32, hello: &Hello) {
        let link = self.link(hello.acked, hello.received);
        self.sessions[index as usize].outbox.link = link;
    }

    /// One end of a link. Where records are kept it acknowledges what rests on records only when they are durable, so
    /// what a peer no longer has is not needed in the next life (output commit).
    pub(crate) fn link(&self, received: u64, sent: u64) -> Link<Down> {
        let link = Link::going_on(self.config.max_payload, received, sent);
        if self.config.durable { link.careful() } else { link }
    }

    /// The peer of a stub is there. False if it is another one than was known: the stub is over.
    pub(crate) fn come_back(&mut self, index: u32, conn: ConnId, hello: &Hello) -> bool {
        let recovered = self.welcomed_before(hello);
        if hello.resume && !recovered {
            self.end_session(index, false);
            return false;
        }
        let worker = self.sessions[index as usize].worker_id();
        let session = &mut self.sessions[index as usize];
        session.role = hello.role;
        session.name.clone_from(&hello.name);
        (session.conn, session.connection) = (Some(conn), hello.connection);
        (session.stub, session.rejoining) = (false, recovered);
        session.process = hello.process;
        if hello.role == Role::Worker {
            session.worker.get_or_insert_default();
        }
        if recovered {
            self.go_on(index, hello);
        }
        self.worker_is_there(index, hello);
        if !recovered {
            // It was never welcomed, so it holds nothing.
            self.is_back(worker);
        }
        true
    }

    /// That was all that the peer holds and waits for.
    pub(crate) fn on_rejoined(&mut self, index: u32, starts: u64) {
        let forgotten = planted!(self, StartsForgotten);
        let session = &mut self.sessions[index as usize];
        if !core::mem::take(&mut session.rejoining) {
            return;
        }
        let id = session.worker_id();
        if let Some(worker) = &mut session.worker {
            // What it allows in all it may have said before: that overtakes.
            worker.starts = if forgotten { 0 } else { starts };
            let unnamed = self.recovery.take_reported(id);
            if !unnamed.is_empty() {
                self.work.push_back(Work::Unnamed(unnamed));
            }
            self.is_back(id);
            self.pull_later(index);
            let drained =
                self.sessions[index as usize].worker.as_ref().is_some_and(|w| w.draining && w.leases.is_empty());
            if drained {
                let key = self.session_key(index);
                self.work.push_back(Work::Drained(key));
            }
        }
    }

    /// A frame of a peer that has not said yet what it holds: if it is about an attempt, it holds that one.
    pub(crate) fn adopt_reported(&mut self, session: u32, frame: &Up) {
        let (attempt, begun, taken) = match frame {
            Up::Progress { attempt, .. }
            | Up::CancelSeen { attempt, .. }
            | Up::Ended { attempt, .. }
            | Up::Print { attempt, .. }
            | Up::TaskHeartbeat { attempt, .. }
            | Up::TaskProgress { attempt, .. } => (*attempt, true, None),
            Up::Item { attempt, seq, .. } => (*attempt, true, Some(seq.saturating_sub(1))),
            Up::Returned(attempt) => (*attempt, false, None),
            Up::Snapshot(snapshot) => {
                if let Some(call) = snapshot.with {
                    self.adopt_as_reported(session, snapshot.incarnation, true, None, false);
                    (call, true, None)
                } else {
                    (snapshot.incarnation, true, None)
                }
            }
            Up::Submit(submit) => match submit.creator {
                Some(attempt) => (attempt, true, None),
                None => return,
            },
            Up::Sync(call) => match call.attempt {
                Some(attempt) => (attempt, true, None),
                None => return,
            },
            _ => return,
        };
        let over = matches!(frame, Up::Ended { .. } | Up::Returned(_));
        self.adopt_as_reported(session, attempt, begun, taken, over);
    }

    /// `over`: and it is over, which is what was reported.
    fn adopt_as_reported(&mut self, session: u32, attempt: AttemptId, begun: bool, taken: Option<u64>, over: bool) {
        let Some(index) = self.tasks.find(attempt.task) else { return };
        if self.leased(index, attempt.epoch) || !self.may_adopt(index, attempt) {
            return;
        }
        let held = Held {
            attempt,
            number: self.tasks[index].attempts + 1,
            begun,
            activity: Activity::Running,
            awaits: Vec::new(),
            blocked: false,
            told: 0,
            seen: 0,
            taken: taken.unwrap_or_default(),
        };
        self.adopt(session, index, &held);
        if !over {
            let worker = self.sessions[session as usize].worker_id();
            self.recovery.reported.insert((worker, attempt));
        }
    }

    /// A worker says that it holds this attempt.
    pub(crate) fn on_attempt(&mut self, session: u32, held: Held) {
        if !self.sessions[session as usize].rejoining || planted!(self, ReturnedAttemptIgnored) {
            return;
        }
        let worker = self.sessions[session as usize].worker_id();
        self.recovery.reported.remove(&(worker, held.attempt));
        let Some(index) = self.tasks.find(held.attempt.task) else { return self.disown_attempt(session, held.attempt) };
        let here = self.leased(index, held.attempt.epoch) && self.tasks[index].place == session;
        if !here && !self.may_adopt(index, held.attempt) {
            return self.disown_attempt(session, held.attempt);
        }
        if !here && !self.comes_with_host(session, index) {
            return self.disown_attempt(session, held.attempt);
        }
        if !here {
            self.adopt(session, index, &held);
        }
        self.learn(session, index, held);
    }

    fn disown_attempt(&mut self, session: u32, attempt: AttemptId) {
        self.tell(self.session_key(session), 0, Tell::Fence(attempt));
    }

    /// Not what is over, nor what was on record as lost, nor what was leased in this life. Of two that claim it the one
    /// with the later lease has it.
    fn may_adopt(&self, index: u32, attempt: AttemptId) -> bool {
        let task = &self.tasks[index];
        let open = matches!(task.phase, Phase::Held | Phase::Ready | Phase::Aside | Phase::Paused | Phase::Leased);
        let later = attempt.epoch > task.epoch || planted!(self, StaleEpochAdopted);
        open && self.recovery.before(task.epoch) && self.recovery.before(attempt.epoch) && later
    }

    /// The lease goes on where it was.
    fn adopt(&mut self, session: u32, index: u32, held: &Held) {
        if self.tasks[index].phase == Phase::Leased {
            self.fence(index);
        }
        self.leave_place(index);
        let key = self.tasks.key(index);
        let worker_id = self.sessions[session as usize].worker_id();
        self.adopt_permits(index);
        let task = &mut self.tasks[index];
        task.epoch = held.attempt.epoch;
        (task.phase, task.place, task.worker, task.started) = (Phase::Leased, session, worker_id, self.now);
        (task.sent, task.begun, task.recalled, task.blocked) = (true, held.begun, false, false);
        task.activity = Activity::Running;
        task.attempts = task.attempts.max(held.number);
        let stopped = task.if_extra().map(|extra| (extra.clocks.retry.take(), extra.clocks.start.take()));
        if let Some((pause, start)) = stopped {
            if let Some(at) = pause {
                self.timers.remove(&(at, Timer::Pause(key)));
            }
            if let Some(at) = start {
                self.timers.remove(&(at, Timer::StartBy(key)));
            }
        }
        if let Some(worker) = &mut self.sessions[session as usize].worker {
            worker.leases.push_back(&mut self.tasks, Chain::Place, index);
        }
        self.call_adopted(index);
        if held.begun {
            self.start_attempt_clocks(index);
        }
        let task = &self.tasks[index];
        if task.standing() > 0 {
            let (at, epoch, gate) = (self.session_key(session), task.epoch, task.gate);
            self.tasks[index].rare().cancels.queued = true;
            self.tell(at, gate, Tell::Cancel { index, epoch });
        }
        self.changed(index);
    }

    /// What the worker says about an attempt that is its own.
    fn learn(&mut self, session: u32, index: u32, held: Held) {
        let Held { attempt, number, begun, activity, awaits, blocked, told, seen, taken } = held;
        let task = &mut self.tasks[index];
        task.attempts = task.attempts.max(number);
        self.renew_stream(index, taken);
        self.learn_cancels(session, index, told, seen);
        if begun {
            self.on_progress(session, attempt, activity, awaits, blocked);
        }
    }

    /// How far the attempt was told of cancel requests, and saw them.
    fn learn_cancels(&mut self, session: u32, index: u32, told: u32, seen: u32) {
        if told == 0 {
            return;
        }
        let now = self.now;
        let key = self.session_key(session);
        let task = &mut self.tasks[index];
        let has_limit = task.policy().is_some_and(|p| p.start_to_close.is_some());
        let (attempt, epoch, gate) = (task.attempt(), task.epoch, task.gate);
        let cancels = &mut task.rare().cancels;
        // A request that is on no record is the coordinator's own: the time of the attempt is over.
        let quiet = told > cancels.number && has_limit;
        cancels.number = cancels.number.max(told);
        cancels.told = cancels.told.max(told);
        let withdrawn = cancels.standing == 0 && !quiet && told > seen;
        if quiet {
            task.extra_mut().expired = Some(Expired { request: told });
        }
        if self.tasks[index].standing() > 0 || quiet {
            self.patience_begins(index, now);
        }
        if withdrawn {
            self.tell(key, gate, Tell::Withdrawn { index, epoch });
        }
        self.on_cancel_seen(session, attempt, seen);
    }
}
