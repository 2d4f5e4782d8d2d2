//! A process at the other end of a session: what clients and workers have in common.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use farloop_core::frame::{Down, Hello, HelloReply, PROTOCOL_VERSION, Role, Up};
use farloop_core::id::{AttemptId, ConnId, Life, SessionId, TaskId};
use farloop_core::limits;
use farloop_core::link::{Batch, Link};
use farloop_core::spec::{FunctionDef, Spec};
use farloop_core::time::Time;

use crate::client::Client;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::script::{Library, fingerprint, function_name};
use crate::worker::Worker;

/// Unix milliseconds at the world's zero: ids are UUIDv7 and carry the time.
pub const EPOCH_MS: u64 = 1_790_000_000_000;

/// What wakes a peer besides frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A heartbeat is due.
    Beat,
    /// A client does the next thing.
    Act,
    /// A timer of a body: attempt and ticket.
    Body(AttemptId, u64),
    /// A worker talks about attempts of a lost session.
    Haunt,
    /// A client takes what came of a stream.
    Take(TaskId),
}

/// What a peer can reach while it is at work.
#[derive(Debug)]
pub struct Ctx<'a> {
    /// This moment.
    pub now: Time,
    /// Chance.
    pub rng: &'a mut Rng,
    /// What the seed is about.
    pub plan: &'a Plan,
    /// The scripts.
    pub library: &'a Library,
    /// Tasks that clients submitted, for other clients to meddle with.
    pub roots: &'a mut Vec<(TaskId, Arc<Spec>)>,
    /// Alarms to be set.
    pub alarms: Vec<(Time, Alarm)>,
}

impl Ctx<'_> {
    /// Makes a task id.
    pub fn new_task(&mut self) -> TaskId {
        new_task(self.rng, self.now)
    }

    /// Sets an alarm.
    pub fn alarm(&mut self, micros: u64, alarm: Alarm) {
        self.alarms.push((self.now + Duration::from_micros(micros), alarm));
    }
}

/// Makes a UUIDv7.
pub fn new_task(rng: &mut Rng, now: Time) -> TaskId {
    let ms = u128::from(EPOCH_MS + now.0 / 1_000);
    let low = u128::from(rng.next_u64() >> 2);
    TaskId(ms << 80 | 0x7 << 76 | u128::from(rng.below(4096)) << 64 | 0b10 << 62 | low)
}

/// What kind of process.
#[derive(Debug)]
pub enum Kind {
    /// Submits and awaits.
    Client(Client),
    /// Runs tasks.
    Worker(Worker),
}

/// A process.
#[derive(Debug)]
pub struct Peer {
    /// Its session.
    pub session: SessionId,
    /// Its end of it.
    pub link: Link<Up>,
    /// Connections it opened so far.
    pub connections: u64,
    /// Its newest connection.
    pub conn: Option<ConnId>,
    /// Whether it was welcomed over that one.
    pub welcomed: bool,
    /// Whether it was ever welcomed on this session.
    pub known: bool,
    /// Counts process lives: what was meant for an earlier one is void.
    pub life: u64,
    /// Does nothing until then.
    pub frozen: Option<Time>,
    /// Does not connect before.
    pub away: Option<Time>,
    /// Has said goodbye, or vanished for good.
    pub gone: bool,
    /// Life of the coordinator that welcomed it last.
    pub coordinator: Option<Life>,
    /// The kind.
    pub kind: Kind,
}

impl Peer {
    /// A process that has not connected.
    pub fn new(kind: Kind, rng: &mut Rng, now: Time) -> Self {
        Self {
            session: SessionId(new_task(rng, now).0),
            link: Link::new(limits::MAX_PAYLOAD),
            connections: 0,
            conn: None,
            welcomed: false,
            known: false,
            life: 0,
            frozen: None,
            away: None,
            gone: false,
            coordinator: None,
            kind,
        }
    }

    /// Its role.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.kind {
            Kind::Client(_) => Role::Client,
            Kind::Worker(_) => Role::Worker,
        }
    }

    /// First message of a connection.
    #[must_use]
    pub fn hello(&mut self) -> Hello {
        self.connections += 1;
        let (functions, slots) = match &self.kind {
            Kind::Client(_) => (Vec::new(), 0),
            Kind::Worker(w) => (w.functions.iter().map(|f| def(*f)).collect(), w.slots),
        };
        Hello {
            session: self.session,
            protocol: PROTOCOL_VERSION,
            role: self.role(),
            name: "model".into(),
            resume: self.known,
            received: self.link.received(),
            functions,
            slots,
            connection: self.connections,
            acked: self.link.acked(),
            life: self.coordinator,
            labels: Vec::new(),
            process: None,
        }
    }

    /// The process dies and comes back as another one: nothing is left but its kind.
    pub fn reborn(&mut self, rng: &mut Rng, now: Time) {
        self.session = SessionId(new_task(rng, now).0);
        self.forget();
        self.life += 1;
        self.frozen = None;
        match &mut self.kind {
            Kind::Client(client) => client.lost(),
            Kind::Worker(worker) => {
                worker.lost(false);
                worker.draining = false;
            }
        }
    }

    /// The session is void: both ends begin again at zero.
    fn forget(&mut self) {
        self.link = Link::new(limits::MAX_PAYLOAD);
        self.conn = None;
        self.welcomed = false;
        self.known = false;
        self.coordinator = None;
    }

    /// The connection is gone.
    pub fn cut(&mut self) {
        self.conn = None;
        self.welcomed = false;
        self.link.cut();
    }

    /// An answer to the hello. False: the connection is of no use.
    pub fn welcome(&mut self, reply: &HelloReply, ctx: &mut Ctx<'_>) -> bool {
        let HelloReply::Welcome { resumed, received, life, recovered, .. } = reply else {
            return false;
        };
        let conn = self.conn;
        if self.known && !resumed {
            self.forget();
            self.conn = conn;
            let careless = ctx.rng.chance(600);
            match &mut self.kind {
                Kind::Client(client) => client.lost(),
                Kind::Worker(worker) => {
                    worker.lost(careless);
                    ctx.alarm(1, Alarm::Haunt);
                }
            }
        }
        let first = !self.known;
        self.known = true;
        self.welcomed = true;
        self.coordinator = *life;
        if self.link.resume(*received).is_err() {
            return false;
        }
        if *recovered {
            self.rejoin();
        }
        if first {
            self.wake(None, ctx);
        }
        true
    }

    /// The coordinator started again: it is told what this process holds and waits for.
    fn rejoin(&mut self) {
        self.link.drop_assembly();
        let mut unsaid = BTreeSet::new();
        // Calls about primitives that are over here: what was given for them is gone with the last life, and that it was taken
        // would be said of what this one gives.
        let mut over = BTreeSet::new();
        self.link.rewrite(|frame: &mut Up, _| {
            if let Up::SyncEnd { call, .. } = frame {
                over.insert(*call);
            }
        });
        self.link.rewrite(|frame: &mut Up, _| match frame {
            Up::Sync(call) if over.contains(&call.call) => *frame = Up::Heartbeat,
            Up::SyncEnd { .. } => *frame = Up::Heartbeat,
            Up::Submit(submit) => _ = unsaid.insert(submit.task),
            Up::Watch(task) => _ = unsaid.insert(*task),
            // What was said to an earlier one that started again is not true any more.
            Up::Attempt(_) | Up::Rejoined { .. } => *frame = Up::Heartbeat,
            _ => {}
        });
        let mut out = Vec::new();
        match &mut self.kind {
            Kind::Client(client) => client.rejoin(&unsaid, &mut out),
            Kind::Worker(worker) => worker.rejoin(&unsaid, &mut out),
        }
        self.say(out);
    }

    /// Frames came.
    ///
    /// # Errors
    /// The connection must be cut.
    pub fn hear(&mut self, batch: Batch<Down>, ctx: &mut Ctx<'_>) -> Result<(), String> {
        let mut frames = VecDeque::new();
        let received = self.link.receive(batch, |frame| frames.push_back(frame));
        let mut out = Vec::new();
        for frame in frames {
            match &mut self.kind {
                Kind::Client(client) => client.hear(frame, ctx, &mut out),
                Kind::Worker(worker) => worker.hear(frame, ctx, &mut out),
            }
        }
        self.say(out);
        received.map_err(|e| e.to_string())
    }

    /// An alarm rang, or (none) the session has just begun.
    pub fn wake(&mut self, alarm: Option<Alarm>, ctx: &mut Ctx<'_>) {
        let mut out = Vec::new();
        if alarm == Some(Alarm::Beat) {
            out.push(Up::Heartbeat);
        }
        match (&mut self.kind, alarm) {
            (Kind::Client(client), Some(Alarm::Act)) => client.act(ctx, &mut out),
            (Kind::Client(client), Some(Alarm::Take(task))) => client.take(task, &mut out),
            (Kind::Worker(worker), Some(Alarm::Body(attempt, ticket))) => worker.ring(attempt, ticket, ctx, &mut out),
            (Kind::Worker(worker), Some(Alarm::Haunt)) => {
                worker.haunt(ctx, &mut out);
                if !out.is_empty() {
                    ctx.alarm(50_000, Alarm::Haunt);
                }
            }
            (Kind::Worker(worker), _) => worker.run(ctx, &mut out),
            (Kind::Client(_), _) => {}
        }
        self.say(out);
    }

    fn say(&mut self, frames: Vec<Up>) {
        for frame in frames {
            self.link.push(frame);
        }
    }
}

/// What a worker says about a function that it offers.
pub(crate) fn def(function: usize) -> FunctionDef {
    FunctionDef {
        name: function_name(function),
        fingerprint: fingerprint(function),
        args: Vec::new(),
        returns: String::new(),
        concurrency: 0,
        actor: None,
    }
}
