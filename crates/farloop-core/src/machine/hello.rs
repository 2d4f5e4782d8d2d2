//! Hello: a session opens, or moves to a new connection.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use super::Core;
use super::lists::List;
use super::outbox::Outbox;
use super::sessions::Session;
use crate::api::{Event, Output};
use crate::frame::{Hello, HelloReply, PROTOCOL_VERSION, Role, SUPERSEDED};
use crate::id::{ConnId, SessionId, WorkerId};
use crate::limits;

/// What a session begins with.
pub(crate) struct Opening {
    id: SessionId,
    role: Role,
    name: String,
    /// None: nobody is there yet.
    conn: Option<ConnId>,
    connection: u64,
    reopened: bool,
    rejoining: bool,
    process: Option<u128>,
}

impl Opening {
    fn of(conn: ConnId, hello: &Hello, rejoining: bool) -> Self {
        Self {
            id: hello.session,
            role: hello.role,
            name: hello.name.clone(),
            conn: Some(conn),
            connection: hello.connection,
            reopened: hello.resume && !rejoining,
            rejoining,
            process: hello.process,
        }
    }

    /// Of a session of a former life, whose peer may come back.
    pub(crate) fn stub(id: SessionId, role: Role, name: String) -> Self {
        Self { id, role, name, conn: None, connection: 0, reopened: false, rejoining: false, process: None }
    }
}

impl Core {
    pub(crate) fn on_hello(&mut self, conn: ConnId, hello: Hello) {
        if let Err((reason, message)) = self.admit(&hello) {
            let reply = HelloReply::Rejected { reason: reason.into(), message };
            self.outputs.push_back(Output::Hello { conn, reply });
            return;
        }
        let known = self.session_ids.get(&hello.session).copied();
        if let Some(index) = known
            && hello.connection != 0
            && hello.connection <= self.sessions[index as usize].connection
        {
            // It was under way while the peer had given up on it and come back: what it says is not true any more.
            let message = format!("connection {} of this session came after a newer one", hello.connection);
            let reply = HelloReply::Rejected { reason: SUPERSEDED.into(), message };
            self.outputs.push_back(Output::Hello { conn, reply });
            return;
        }
        let recovered = self.welcomed_before(&hello);
        // Its first welcome was lost with a former life, so it has said nothing and begins now: to say that it goes on
        // would promise it a link that it never had.
        let begins = !recovered && known.is_some_and(|index| self.sessions[index as usize].stub);
        let goes_on = |core: &mut Self, index: u32| match core.sessions[index as usize].stub {
            true => core.come_back(index, conn, &hello),
            false => core.resume(index, conn, &hello),
        };
        let resumed = known.filter(|index| goes_on(self, *index));
        let index = match resumed {
            Some(index) => index,
            None => self.open_session(conn, &hello, recovered && known.is_none()),
        };
        let session = &mut self.sessions[index as usize];
        session.last_heard = self.now;
        let resumed = (resumed.is_some() && !begins) || session.rejoining;
        let reply = HelloReply::Welcome {
            resumed,
            received: session.outbox.link.acknowledges(),
            dead_after: self.config.worker_dead_after,
            max_payload: self.config.max_payload as u64,
            life: self.recovery.life(),
            recovered: resumed && recovered,
            clock_ms: self.wall_ms(),
        };
        self.welcome(conn, reply);
        self.watch_liveness(index);
        if self.draining {
            self.tell_drain(index);
        }
        self.stir(index);
        self.pull_later(index);
    }

    fn admit(&self, hello: &Hello) -> Result<(), (&'static str, String)> {
        if hello.protocol != PROTOCOL_VERSION {
            let said = hello.protocol;
            return Err((
                "PROTOCOL_MISMATCH",
                format!(
                    "this coordinator speaks session protocol {PROTOCOL_VERSION} and the peer speaks {said}; run the same release on both sides"
                ),
            ));
        }
        if hello.role == Role::Operator {
            return Err(("NO_SESSION", "an operator has no session; use the unary calls".into()));
        }
        if hello.functions.len() > limits::MAX_FUNCTIONS {
            return Err((
                "TOO_MANY_FUNCTIONS",
                format!(
                    "the worker offers {} functions; the limit MAX_FUNCTIONS is {}",
                    hello.functions.len(),
                    limits::MAX_FUNCTIONS
                ),
            ));
        }
        let long = |(key, value): &(alloc::string::String, alloc::string::String)| {
            key.len().max(value.len()) > limits::MAX_NAME
        };
        if hello.labels.len() > limits::WORKER_LABELS || hello.labels.iter().any(long) {
            return Err((
                "TOO_MANY_LABELS",
                format!(
                    "a worker has at most WORKER_LABELS, {}, labels, of MAX_NAME, {}, bytes",
                    limits::WORKER_LABELS,
                    limits::MAX_NAME
                ),
            ));
        }
        if hello.name.len() > limits::MAX_NAME || hello.functions.iter().any(|f| f.name.len() > limits::MAX_NAME) {
            return Err(("NAME_TOO_LONG", format!("a name is longer than MAX_NAME, {} bytes", limits::MAX_NAME)));
        }
        match self.session_ids.get(&hello.session) {
            Some(&index) if self.sessions[index as usize].role != hello.role && !self.sessions[index as usize].stub => {
                Err((
                    "SESSION_IN_USE",
                    format!("session {} belongs to a peer of another role; make a new session id", hello.session),
                ))
            }
            None if self.session_ids.len() >= self.config.max_sessions => Err((
                "TOO_MANY_SESSIONS",
                format!(
                    "{} sessions are open and the limit MAX_SESSIONS is {}; close clients that are not needed, or let                      several tasks share one",
                    self.session_ids.len(),
                    self.config.max_sessions
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Moves a known session to a new connection. False if the two ends no longer fit together: the old session is
    /// over and the peer gets a fresh one.
    fn resume(&mut self, index: u32, conn: ConnId, hello: &Hello) -> bool {
        self.drop_conn(index, "a newer connection of this session took over");
        let session = &mut self.sessions[index as usize];
        if hello.resume && session.reopened && session.outbox.link.received() == 0 {
            // The peer was told that its old session is lost, and has said nothing since: perhaps it never heard. Its
            // numbers may be those of the old one; they must not be taken for numbers of this one.
            self.end_session(index, false);
            return false;
        }
        let received =
            hello.received + u64::from(planted!(self, ResumeSkipsOne) && hello.received < session.outbox.link.sent());
        if session.outbox.link.resume(received).is_err() {
            self.end_session(index, false);
            return false;
        }
        session.conn = Some(conn);
        session.connection = hello.connection;
        session.outbox.awake = false;
        if let Some(worker) = &mut session.worker {
            // Whatever ended, it was not this process.
            worker.ending = None;
        }
        if session.name != hello.name {
            session.name.clone_from(&hello.name);
        }
        // What it learned since its first hello stays. A refusal here cannot be: the hello itself was in bounds.
        if self.sessions[index as usize].worker.is_some() {
            let _ = self.on_offer(index, hello.functions.clone());
        }
        true
    }

    fn open_session(&mut self, conn: ConnId, hello: &Hello, recovered: bool) -> u32 {
        let index = self.insert_session(Opening::of(conn, hello, recovered));
        if recovered {
            self.go_on(index, hello);
        }
        if hello.role == Role::Worker {
            self.enrol(index);
        }
        self.worker_is_there(index, hello);
        index
    }

    pub(crate) fn insert_session(&mut self, opening: Opening) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        let Opening { id, role, name, conn, connection, reopened, rejoining, process } = opening;
        let index = self.sessions.insert(Session {
            id,
            generation: self.generation,
            role,
            name,
            conn,
            connection,
            reopened,
            stub: conn.is_none(),
            rejoining,
            process,
            over: false,
            outbox: Outbox::new(self.link(0, 0)),
            last_heard: self.now,
            cut_at: self.now,
            timer: None,
            owned: List::default(),
            streams: BTreeSet::new(),
            cancelled: 0,
            worker: (role == Role::Worker).then(Box::default),
        }) as u32;
        self.session_ids.insert(id, index);
        self.watch_liveness(index);
        index
    }

    /// A worker whose session has opened is connected for the first time in this life.
    pub(crate) fn worker_is_there(&mut self, index: u32, hello: &Hello) {
        if hello.role == Role::Worker {
            self.outputs.push_back(Output::Event(Event::WorkerJoined(WorkerId(hello.session.0))));
            if let Some(worker) = &mut self.sessions[index as usize].worker {
                worker.labels.clone_from(&hello.labels);
            }
            self.offer_functions(index, &hello.functions, hello.slots);
        }
    }
}
