//! Sessions: hello, batches, cuts, ends.
//!
//! A session outlives its connections. A client's is over [`Config::session_ttl`](crate::api::Config) after the cut;
//! a worker's, because its attempts must run elsewhere soon, [`Config::worker_dead_after`](crate::api::Config) after
//! its last batch, whatever its connection looks like.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::attempts::Lost;
use super::lists::List;
use super::outbox::Outbox;
use super::tasks::TaskKey;
use super::{Core, Timer, Work};
use crate::api::{Event, Output, may_send};
use crate::frame::{Role, Up};
use crate::id::{ConnId, SessionId, WorkerId};
use crate::limits;
use crate::link::{Batch, LinkError};
use crate::spec::FunctionDef;
use crate::time::Time;

/// A reference that notices when its slot was given to another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionKey {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) generation: u32,
    pub(crate) role: Role,
    pub(crate) name: String,
    /// Given to its process by whoever started it.
    pub(crate) process: Option<u128>,
    pub(crate) conn: Option<ConnId>,
    /// Its number, as the peer counts.
    pub(crate) connection: u64,
    /// Opened for a peer that wanted to resume another one under this id.
    pub(crate) reopened: bool,
    /// Of a former life of the coordinator; its peer has not come back yet.
    pub(crate) stub: bool,
    /// Its peer came back from a former life of the coordinator, and has not said yet what it holds.
    pub(crate) rejoining: bool,
    /// No longer known by its id; the slot stays until what it owns and holds has been taken care of.
    pub(crate) over: bool,
    pub(crate) outbox: Outbox,
    pub(crate) last_heard: Time,
    pub(crate) cut_at: Time,
    /// When its liveness will be looked at; the entry in the timers.
    pub(crate) timer: Option<Time>,
    /// Tasks that are not over and that it owns.
    pub(crate) owned: List,
    /// Streams that are not over and whose consumer it is.
    pub(crate) streams: BTreeSet<TaskKey>,
    /// Tasks cancelled because it is over.
    pub(crate) cancelled: usize,
    pub(crate) worker: Option<Box<Worker>>,
}

/// What a session of a worker has besides.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    pub(crate) defs: Vec<FunctionDef>,
    /// Queues that it serves.
    pub(crate) functions: Vec<u32>,
    pub(crate) slots: u32,
    /// For actors that want one like it.
    pub(crate) labels: Vec<(String, String)>,
    /// Record that says that it is there: its starts wait for that.
    pub(crate) gate: u64,
    /// Starts allowed since the session began.
    pub(crate) granted: u64,
    /// Of those, starts used.
    pub(crate) starts: u64,
    pub(crate) leases: List,
    pub(crate) suspended: u32,
    /// Threads held by bodies that nobody waits for any more, as it says.
    pub(crate) abandoned: u32,
    pub(crate) draining: bool,
    /// It was told to drain and has not said yet that it does: its session must last until it has heard.
    pub(crate) asked: bool,
    /// Its leases are handed back, not crashed: it said goodbye.
    pub(crate) said_bye: bool,
    /// Work to fill it is queued.
    pub(crate) pulling: bool,
    /// Number under which it is kept for one task that is to run alone; 0: it takes what there is.
    pub(crate) kept: u64,
    /// Until then it is not kept unless it idles.
    pub(crate) spared: Time,
    /// How its process ended, as whoever started it says.
    pub(crate) ending: Option<String>,
    /// Once it is lost: attempts that it held, as far as their starts had left.
    pub(crate) held: u32,
}

impl Worker {
    pub(crate) fn credit(&self) -> u64 {
        self.granted.saturating_sub(self.starts)
    }

    /// Attempts that need a slot, or will.
    pub(crate) fn load(&self) -> u32 {
        self.leases.len.saturating_sub(self.suspended)
    }
}

impl Session {
    pub(crate) fn worker_id(&self) -> WorkerId {
        WorkerId(self.id.0)
    }

    /// Whether it would take a start now.
    pub(crate) fn open_worker(&self) -> Option<&Worker> {
        let worker = self.worker.as_deref()?;
        let takes = self.conn.is_some() && !self.over && !self.rejoining && !worker.draining && worker.kept == 0;
        (takes && worker.credit() > 0).then_some(worker)
    }
}

impl Core {
    pub(crate) fn session(&self, key: SessionKey) -> Option<&Session> {
        self.sessions.get(key.index as usize).filter(|s| s.generation == key.generation && !s.over)
    }

    pub(crate) fn session_key(&self, index: u32) -> SessionKey {
        SessionKey { index, generation: self.sessions[index as usize].generation }
    }

    pub(crate) fn on_batch(&mut self, id: SessionId, conn: ConnId, batch: Batch<Up>) {
        let Some(&index) = self.session_ids.get(&id) else { return };
        let session = &mut self.sessions[index as usize];
        if session.conn != Some(conn) {
            return;
        }
        session.last_heard = self.now;
        let key = SessionKey { index, generation: session.generation };
        let mut frames = core::mem::take(&mut self.frames);
        let received = session.outbox.link.receive_numbered(batch, |number, frame| frames.push((number, frame)));
        self.receipts_later(index);
        let mut complaint = None;
        for (number, frame) in frames.drain(..) {
            if self.session(key).is_none() {
                break;
            }
            if complaint.is_none()
                && let Err(reason) = self.on_frame(index, number, frame)
            {
                complaint = Some(reason);
            }
        }
        self.frames = frames;
        if self.session(key).is_none() {
            return;
        }
        self.mark(index);
        match (received, complaint) {
            (_, Some(reason)) => self.drop_conn(index, &reason),
            (Err(error @ LinkError::PayloadTooLarge { .. }), _) => {
                // The same bytes would come again after a resume: nothing can mend this session.
                self.drop_conn(index, &format!("{error}"));
                self.end_session(index, false);
            }
            (Err(error), _) => self.drop_conn(index, &format!("{error}")),
            (Ok(()), None) => self.stir(index),
        }
    }

    /// One frame. An error closes the connection; what came before it stands.
    fn on_frame(&mut self, index: u32, number: u64, frame: Up) -> Result<(), String> {
        let role = self.sessions[index as usize].role;
        if !may_send(role, &frame) {
            return Err(format!("a {role:?} may not send this frame"));
        }
        if self.sessions[index as usize].rejoining {
            self.adopt_reported(index, &frame);
        }
        match frame {
            Up::Submit(submit) => self.on_submit(index, submit),
            Up::Watch(task) => self.on_watch(index, task),
            Up::Cancel { task, message } => {
                self.on_cancel(task, message, Some((self.sessions[index as usize].id, number)));
            }
            Up::Uncancel(task) => self.on_uncancel(task, Some((self.sessions[index as usize].id, number))),
            Up::Release(task) => self.on_release(task),
            Up::Offer(more) => return self.on_offer(index, more),
            Up::Grant(total) => self.on_grant(index, total),
            Up::Progress { awaits, .. } if awaits.len() > limits::EDGES => {
                return Err(format!("{} wait edges in one frame; the limit EDGES is {}", awaits.len(), limits::EDGES));
            }
            Up::Progress { attempt, activity, awaits, blocked } => {
                self.on_progress(index, attempt, activity, awaits, blocked);
            }
            Up::CancelSeen { attempt, seen } => self.on_cancel_seen(index, attempt, seen),
            Up::Ended { attempt, outcome, delivered } => self.on_ended(index, attempt, outcome, delivered),
            Up::Returned(attempt) => self.on_returned(index, attempt),
            Up::Print { print, .. } if print.text.len() > limits::PRINT => {
                return Err(format!(
                    "{} bytes printed in one frame; the limit PRINT is {}",
                    print.text.len(),
                    limits::PRINT
                ));
            }
            Up::Print { attempt, print } => self.on_print(index, attempt, print),
            Up::Item { attempt, seq, value } => self.on_item(index, attempt, seq, value),
            Up::Credit { task, taken } => self.on_credit(index, task, taken),
            Up::Sync(call) => return self.on_sync(index, *call),
            Up::SyncEnd { call, end } => self.on_sync_end(index, call, end),
            Up::Heartbeat => {}
            Up::Attempt(held) => self.on_attempt(index, *held),
            Up::Rejoined { starts } => self.on_rejoined(index, starts),
            Up::Drain => {
                if let Some(worker) = &mut self.sessions[index as usize].worker {
                    worker.asked = false;
                }
                self.on_drain_worker(index);
            }
            Up::TaskHeartbeat { attempt, details } => return self.on_task_heartbeat(index, attempt, details),
            Up::TaskProgress { attempt, value } => return self.on_task_progress(index, attempt, value),
            Up::WatchProgress(task) => self.on_watch_progress(index, task),
            Up::Abandoned(threads) => {
                if let Some(worker) = &mut self.sessions[index as usize].worker {
                    worker.abandoned = threads;
                }
            }
            Up::Snapshot(snapshot) => return self.on_snapshot(index, *snapshot),
            Up::Bye => {
                self.drop_conn(index, "the peer said goodbye");
                self.end_session(index, true);
            }
        }
        Ok(())
    }

    /// A worker offers more functions, or the same once more.
    pub(crate) fn on_offer(&mut self, index: u32, more: Vec<FunctionDef>) -> Result<(), String> {
        let Some(worker) = &self.sessions[index as usize].worker else { return Ok(()) };
        if more.iter().all(|m| self.def(index, &m.name) == Some(m)) {
            return Ok(());
        }
        let (slots, mut defs) = (worker.slots, worker.defs.clone());
        let known = defs.len();
        defs.retain(|d| more.iter().all(|m| m.name != d.name));
        let redefined = defs.len() < known;
        defs.extend(more);
        if defs.len() > limits::MAX_FUNCTIONS || defs.iter().any(|d| d.name.len() > limits::MAX_NAME) {
            return Err(format!(
                "more functions than MAX_FUNCTIONS, {}, or a name longer than MAX_NAME",
                limits::MAX_FUNCTIONS
            ));
        }
        if redefined {
            self.withdraw_functions(index);
        }
        self.offer_functions(index, &defs, slots);
        Ok(())
    }

    pub(crate) fn on_cut(&mut self, id: SessionId, conn: ConnId) {
        let Some(&index) = self.session_ids.get(&id) else { return };
        if self.sessions[index as usize].conn == Some(conn) {
            self.disconnected(index);
            if self.sessions[index as usize].worker.as_ref().is_some_and(|w| w.ending.is_some()) {
                // Its process is known to have ended: nobody will come back.
                self.end_session(index, false);
            }
        }
    }

    /// Closes the current connection, if there is one; the session waits for the next.
    pub(crate) fn drop_conn(&mut self, index: u32, reason: &str) {
        let session = &self.sessions[index as usize];
        if let Some(conn) = session.conn {
            self.outputs.push_back(Output::Close { session: session.id, conn, reason: reason.into() });
            self.disconnected(index);
        }
    }

    fn disconnected(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        session.conn = None;
        session.cut_at = self.now;
        session.outbox.link.cut();
        session.outbox.awake = false;
        self.watch_liveness(index);
    }

    /// When this session will be over if nothing is heard; none while a client is connected.
    fn over_at(&self, session: &Session) -> Option<Time> {
        match (&session.worker, session.conn) {
            (Some(_), _) => Some(session.last_heard + self.config.worker_dead_after),
            (None, None) => Some(session.cut_at + self.config.session_ttl),
            (None, Some(_)) => None,
        }
    }

    /// Sets the timer if there is none. It is not moved when something is heard, but looked at when it is due:
    /// a batch costs no timer.
    pub(crate) fn watch_liveness(&mut self, index: u32) {
        let session = &self.sessions[index as usize];
        if session.timer.is_some() || session.over {
            return;
        }
        let Some(at) = self.over_at(session) else { return };
        self.timers.insert((at, Timer::Session(index)));
        self.sessions[index as usize].timer = Some(at);
    }

    pub(crate) fn on_session_timer(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        session.timer = None;
        match self.over_at(&self.sessions[index as usize]) {
            Some(at) if at <= self.now => {
                let session = &self.sessions[index as usize];
                let reason = format!("nothing was heard for {:?}", self.now.since(session.last_heard));
                self.drop_conn(index, &reason);
                self.end_session(index, false);
            }
            _ => self.watch_liveness(index),
        }
    }

    /// The session is over: it is forgotten by its id at once; its leases and the tasks it owns follow as queued
    /// work (L21).
    pub(crate) fn end_session(&mut self, index: u32, said_bye: bool) {
        if self.sessions[index as usize].over {
            return;
        }
        self.depart(index, said_bye);
        let session = &mut self.sessions[index as usize];
        session.over = true;
        let id = session.id;
        session.outbox.clear();
        self.session_ids.remove(&session.id);
        if let Some(at) = session.timer.take() {
            self.timers.remove(&(at, Timer::Session(index)));
        }
        if let Some(worker) = &mut session.worker {
            worker.said_bye = said_bye;
            let event = Event::WorkerLost { worker: WorkerId(session.id.0), attempts: worker.leases.len as usize };
            self.outputs.push_back(Output::Event(event));
            self.withdraw_functions(index);
            self.give_up_waiting(WorkerId(id.0));
        }
        self.work.push_back(Work::EndSession(index));
    }

    /// A piece of [`Core::end_session`]. True when all is done.
    pub(crate) fn end_session_some(&mut self, index: u32) -> bool {
        let key = self.session_key(index);
        while self.touched < limits::TOUCH {
            self.touched += 1;
            let session = &self.sessions[index as usize];
            if let Some(worker) = &session.worker
                && !worker.leases.is_empty()
            {
                // What an incarnation has is lost with it, in its order.
                let (task, bye) = (self.host_first(worker.leases.head), worker.said_bye);
                // What may run at most once and has left for the worker may have begun there: handed back or not, it
                // must not begin again.
                let once = self.tasks[task].spec.options.max_crashes == 0 && self.tasks[task].as_host().is_none();
                self.lose_attempt(task, if bye && !once { Lost::HandedBack } else { Lost::Crashed });
            } else if let Some(stream) = self.sessions[index as usize].streams.pop_first() {
                self.lose_consumer(index, stream);
            } else if !self.sessions[index as usize].owned.is_empty() {
                let session = &self.sessions[index as usize];
                let task = session.owned.head;
                self.disown(task);
                self.sessions[index as usize].cancelled += 1;
                self.request_cancel(task, None);
            } else if self.abolish_one_of(key) || self.end_a_call_of(key) {
                // One at a time: they may be many.
            } else {
                let session = self.sessions.remove(index as usize);
                if session.worker.is_some() {
                    self.strike(WorkerId(session.id.0));
                }
                if session.role == Role::Client {
                    let event = Event::SessionOver { session: session.id, cancelled: session.cancelled };
                    self.outputs.push_back(Output::Event(event));
                }
                return true;
            }
        }
        false
    }
}
