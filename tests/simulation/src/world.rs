//! One world: the core, its peers, the network between them, and a queue of what happens next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use farloop_core::api::{Call, Input};
use farloop_core::frame::{Down, Hello, HelloReply, Up};
use farloop_core::id::{CallId, ConnId, SessionId, TaskId};
use farloop_core::link::Batch;
use farloop_core::machine::Core;
use farloop_core::spec::Spec;
use farloop_core::time::Time;

use crate::calls::Calls;
use crate::carry::Carrying;
use crate::client::Client;
use crate::faults::{Fault, draw_worker};
use crate::history::History;
use crate::lives::{Lives, Process};
use crate::network::{Direction, Network};
use crate::peer::{Alarm, Ctx, EPOCH_MS, Kind, Peer};
use crate::plan::Plan;
use crate::readers::Readers;
use crate::rng::Rng;
use crate::script::Library;
use crate::shelf::Shelf;
use crate::trace::Trace;

/// What happens at a moment.
#[derive(Clone, Debug)]
pub enum Event {
    /// A peer opens a connection.
    Connect {
        /// Which peer.
        peer: usize,
        /// In which life.
        life: u64,
    },
    /// A hello reaches the coordinator.
    Hello(ConnId, Hello),
    /// Its answer reaches the peer.
    Welcome(ConnId, HelloReply),
    /// A peer gives up on a connection that was not welcomed.
    Impatient(ConnId),
    /// A batch reaches the coordinator.
    Up(ConnId, Batch<Up>),
    /// A batch reaches a peer.
    Down(ConnId, Batch<Down>),
    /// The coordinator's shell notices that a connection is gone.
    CutAtCore(ConnId),
    /// The peer notices.
    CutAtPeer(ConnId),
    /// A peer closed a connection in order.
    Closed(ConnId),
    /// An alarm of a peer.
    Alarm(usize, u64, Alarm),
    /// The shell takes batches for a session.
    Pump(SessionId, bool),
    /// A deadline of the core.
    Tick,
    /// The disk answers: what was being written in that life of the coordinator is durable.
    Synced(u64),
    /// That life of the coordinator is due to end.
    Death(u64),
    /// The next one after it begins.
    Restart(u64),
    /// The shell asks its store whether a part may leave.
    Sweep,
    /// Somebody uses the public API.
    Api,
    /// Somebody asks once more, because the connection broke before there was an answer.
    Ask(Box<Call>),
    /// Somebody hangs up.
    Hangup(CallId),
    /// Somebody reads on.
    Read(CallId),
    /// Something goes wrong.
    Fault,
    /// Faults stop.
    Calm,
    /// Is everything over?
    Look,
}

/// Steps after which a world that does not end is called a hang.
const MAX_STEPS: u64 = 400_000;
/// Time after the calm within which everything must have ended, in microseconds.
const PATIENCE: u64 = 900_000_000;

/// A world.
#[derive(Debug)]
pub struct World {
    /// What the seed is about.
    pub plan: Plan,
    /// Chance.
    pub rng: Rng,
    /// This moment.
    pub now: Time,
    /// The subject.
    pub core: Core,
    /// Processes.
    pub peers: Vec<Peer>,
    /// What lies between.
    pub network: Network,
    /// What the observer knows.
    pub history: History,
    /// Calls of the public API.
    pub calls: Calls,
    /// Readers of calls with many answers.
    pub readers: Readers,
    /// The trace.
    pub trace: Trace,
    /// Faults have stopped.
    pub calm: bool,
    /// Steps so far.
    pub steps: u64,
    /// Faults that struck, by kind.
    pub struck: BTreeMap<String, u64>,
    pub(crate) library: Library,
    pub(crate) roots: Vec<(TaskId, Arc<Spec>)>,
    queue: BTreeMap<(Time, u64), Event>,
    next: u64,
    pub(crate) tick_at: Option<Time>,
    pub(crate) process: Process,
    pub(crate) shelf: Option<Shelf>,
    pub(crate) carrying: Option<Carrying>,
    was_quiet: bool,
    over: bool,
}

impl World {
    /// The world of a seed. `adjust` may change the plan that was drawn.
    pub fn new(seed: u64, trace: Trace, adjust: impl FnOnce(&mut Plan)) -> Self {
        let mut rng = Rng::new(seed);
        let mut plan = Plan::draw(&mut rng);
        plan.config.wall_at_zero_ms = EPOCH_MS;
        adjust(&mut plan);
        if plan.config.durable {
            plan.lives = Lives::draw(&plan);
        }
        let library = Library::draw(&plan, &mut rng);
        let mut world = Self {
            core: Core::new(plan.config.clone()),
            history: History::new(&plan),
            rng,
            now: Time(0),
            peers: Vec::new(),
            network: Network::default(),
            calls: Calls::default(),
            readers: Readers::default(),
            trace,
            calm: false,
            steps: 0,
            struck: BTreeMap::new(),
            library,
            roots: Vec::new(),
            queue: BTreeMap::new(),
            next: 0,
            tick_at: None,
            process: Process::default(),
            shelf: None,
            carrying: None,
            was_quiet: false,
            over: false,
            plan,
        };
        world.begin();
        for _ in 0..world.plan.clients {
            let actions = world.plan.actions;
            world.join(Kind::Client(Client::new(actions)));
        }
        for _ in 0..world.plan.workers {
            let worker = draw_worker(&mut world.rng);
            world.join(Kind::Worker(worker));
        }
        world.at(Time(world.plan.calm_at), Event::Calm);
        world.at(Time(0), Event::Api);
        if let Some(every) = world.plan.fault_every {
            world.at(Time(every), Event::Fault);
        }
        world
    }

    /// Runs the world to its end, or to the first broken law.
    pub fn run(&mut self) {
        while !self.over && self.history.broken.is_none() {
            let Some(((at, _), event)) = self.queue.pop_first() else { break };
            self.now = self.now.max(at);
            self.steps += 1;
            self.trace.mix(self.now.0);
            self.step(event);
            if self.steps > MAX_STEPS || self.now.0 > self.plan.calm_at + PATIENCE {
                self.hang();
            }
        }
    }

    /// Something will happen.
    pub fn at(&mut self, at: Time, event: Event) {
        self.next += 1;
        self.queue.insert((at, self.next), event);
    }

    fn step(&mut self, event: Event) {
        if let Some(until) = self.frozen_until(&event) {
            self.at(until, event);
            return;
        }
        match event {
            Event::Connect { peer, life } => self.connect(peer, life),
            Event::Hello(conn, hello) => {
                if self.network.arrives(conn, Direction::Up) {
                    self.feed(Input::Hello { conn, hello });
                }
            }
            Event::Welcome(conn, reply) => {
                if self.network.arrives(conn, Direction::Down)
                    && let Some(peer) = self.peer_of(conn)
                {
                    if !self.peer(peer, |p, ctx| p.welcome(&reply, ctx)) {
                        self.lose(peer, conn);
                    }
                    self.flush(peer);
                }
            }
            Event::Impatient(conn) => {
                if let Some(peer) = self.peer_of(conn)
                    && !self.peers[peer].welcomed
                {
                    self.lose(peer, conn);
                }
            }
            Event::Up(conn, batch) => {
                let session = self.network.get(conn).map(|c| c.session);
                if self.network.arrives(conn, Direction::Up)
                    && let Some(session) = session
                {
                    self.feed(Input::Batch { session, conn, batch });
                    self.at(self.now + Duration::from_millis(2), Event::Pump(session, true));
                }
            }
            Event::Down(conn, batch) => self.arrive_down(conn, batch),
            Event::CutAtCore(conn) => {
                if let Some(c) = self.network.get_mut(conn)
                    && std::mem::replace(&mut c.open_at_core, false)
                {
                    let session = c.session;
                    self.feed(Input::Cut { session, conn });
                }
            }
            Event::CutAtPeer(conn) => {
                if let Some(peer) = self.peer_of(conn) {
                    self.lose(peer, conn);
                }
            }
            Event::Closed(conn) => {
                self.network.cut(conn, true);
                self.at(self.now + Duration::from_millis(1), Event::CutAtCore(conn));
            }
            Event::Alarm(peer, life, alarm) => self.ring(peer, life, alarm),
            Event::Pump(session, force) => self.pump(session, force),
            Event::Tick => {
                if self.tick_at.is_some_and(|at| at <= self.now) {
                    self.tick_at = None;
                    self.feed(Input::Tick);
                }
            }
            Event::Synced(life) => {
                if self.process.life == life && self.up() {
                    self.synced();
                }
            }
            Event::Death(life) => {
                if self.process.life == life && !self.calm {
                    self.death_is_due();
                }
            }
            Event::Restart(life) => {
                if self.process.life == life {
                    self.restart();
                }
            }
            Event::Sweep => self.sweep(),
            Event::Api => self.api(),
            Event::Ask(request) => self.ask_again(request),
            Event::Hangup(call) => {
                if self.calls.hang_up(call) || self.readers.close(call) {
                    self.feed(Input::Hangup(call));
                }
            }
            Event::Read(call) => self.take_messages(call),
            Event::Fault => {
                if let (false, Some(every)) = (self.calm, self.plan.fault_every) {
                    self.fault();
                    let after = Duration::from_micros(self.rng.below(2 * every) + 1);
                    self.at(self.now + after, Event::Fault);
                }
            }
            // Faults never stop: whatever was going to break has had its time.
            Event::Calm if self.plan.lives.safety => self.over = true,
            Event::Calm => {
                self.no_more_deaths();
                self.calm();
                self.at(self.now + Duration::from_secs(1), Event::Look);
            }
            Event::Look => {
                let in_use = self.peers.iter().filter_map(|p| p.conn).collect::<Vec<_>>();
                self.network.sweep(&in_use);
                // Twice: what a peer said last may still be under way when everything seems over.
                let quiet = self.quiet();
                if quiet && self.was_quiet {
                    self.last_checks();
                    self.over = true;
                } else {
                    self.was_quiet = quiet;
                    self.at(self.now + Duration::from_secs(1), Event::Look);
                }
            }
        }
    }

    /// A frozen process does not take part: what concerns it happens when it thaws, in the same order.
    fn frozen_until(&self, event: &Event) -> Option<Time> {
        self.peers[self.concerns(event)?].frozen.filter(|until| *until > self.now)
    }

    /// A frozen process goes on at once.
    pub(crate) fn thaw(&mut self, peer: usize) {
        let Some(until) = self.peers[peer].frozen.take().filter(|until| *until > self.now) else { return };
        let waiting = self.queue.range((until, 0)..=(until, u64::MAX)).filter(|(_, e)| self.concerns(e) == Some(peer));
        let waiting = waiting.map(|(key, _)| *key).collect::<Vec<_>>();
        for key in waiting {
            if let Some(event) = self.queue.remove(&key) {
                self.at(self.now, event);
            }
        }
    }

    /// The peer in whose process an event happens.
    fn concerns(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Connect { peer, .. } | Event::Alarm(peer, ..) => Some(*peer),
            Event::Welcome(conn, _) | Event::Down(conn, _) | Event::CutAtPeer(conn) => self.peer_of(*conn),
            _ => None,
        }
    }

    /// The peer whose newest connection this is.
    fn peer_of(&self, conn: ConnId) -> Option<usize> {
        let c = self.network.get(conn)?;
        (self.peers[c.peer].conn == Some(conn)).then_some(c.peer)
    }

    /// Lets a peer do something, and sets its alarms.
    pub(crate) fn peer<T>(&mut self, peer: usize, act: impl FnOnce(&mut Peer, &mut Ctx<'_>) -> T) -> T {
        let mut ctx = Ctx {
            now: self.now,
            rng: &mut self.rng,
            plan: &self.plan,
            library: &self.library,
            roots: &mut self.roots,
            alarms: Vec::new(),
        };
        let result = act(&mut self.peers[peer], &mut ctx);
        if let Kind::Client(client) = &mut self.peers[peer].kind
            && let Some((law, what)) = client.complaint.take()
        {
            self.history.fail(law, what);
        }
        let life = self.peers[peer].life;
        for (at, alarm) in ctx.alarms {
            self.at(at, Event::Alarm(peer, life, alarm));
        }
        result
    }

    fn connect(&mut self, peer: usize, life: u64) {
        let p = &self.peers[peer];
        if p.gone || p.life != life || p.conn.is_some() {
            return;
        }
        if let Some(away) = p.away.filter(|away| *away > self.now) {
            self.at(away, Event::Connect { peer, life });
            return;
        }
        if !self.up() {
            let soon = self.now + Duration::from_micros(self.rng.between(20_000, 500_000));
            self.at(soon, Event::Connect { peer, life });
            return;
        }
        let session = p.session;
        let hello = self.peers[peer].hello();
        let conn = self.network.open(peer, life, session);
        self.peers[peer].conn = Some(conn);
        if let Some(at) = self.network.send(conn, Direction::Up, self.now, &self.plan, &mut self.rng) {
            self.at(at, Event::Hello(conn, hello));
        }
        self.at(self.now + Duration::from_secs(3), Event::Impatient(conn));
    }

    /// A peer finds its connection gone and will open another.
    fn lose(&mut self, peer: usize, conn: ConnId) {
        self.network.cut(conn, true);
        self.peers[peer].cut();
        let life = self.peers[peer].life;
        let soon = self.now + Duration::from_micros(self.rng.between(5_000, 300_000));
        self.at(soon, Event::Connect { peer, life });
        self.at(self.now + Duration::from_millis(50), Event::CutAtCore(conn));
    }

    fn arrive_down(&mut self, conn: ConnId, batch: Batch<Down>) {
        let arrives = self.network.arrives(conn, Direction::Down);
        if arrives && let Some(peer) = self.peer_of(conn) {
            if self.peer(peer, |p, ctx| p.hear(batch, ctx)).is_err() {
                self.lose(peer, conn);
            }
            self.flush(peer);
        }
        if let Some(session) = self.network.get(conn).map(|c| c.session) {
            self.pump(session, false);
        }
    }

    fn ring(&mut self, peer: usize, life: u64, alarm: Alarm) {
        let p = &self.peers[peer];
        if p.life != life || p.gone {
            return;
        }
        let beat = alarm == Alarm::Beat;
        if beat {
            self.at(self.now + Duration::from_millis(900), Event::Alarm(peer, life, Alarm::Beat));
            if !self.peers[peer].welcomed {
                return;
            }
        }
        self.peer(peer, |p, ctx| p.wake(Some(alarm), ctx));
        self.flush(peer);
    }

    /// Sets the alarms that every process has.
    pub(crate) fn rearm(&mut self, peer: usize) {
        let life = self.peers[peer].life;
        let delay = Duration::from_micros(self.rng.below(900_000));
        self.at(self.now + delay, Event::Alarm(peer, life, Alarm::Beat));
        if matches!(self.peers[peer].kind, Kind::Client(_)) {
            self.at(self.now + delay / 4, Event::Alarm(peer, life, Alarm::Act));
        }
    }

    /// Sends what a peer has to say.
    pub(crate) fn flush(&mut self, peer: usize) {
        if !self.peers[peer].welcomed {
            return;
        }
        let Some(conn) = self.peers[peer].conn else { return };
        while let Some(batch) = self.peers[peer].link.poll_batch(true) {
            if self.rng.chance(self.plan.gap) {
                self.swallow(conn);
                continue;
            }
            for _ in 0..1 + u32::from(self.rng.chance(self.plan.duplicate)) {
                if let Some(at) = self.network.send(conn, Direction::Up, self.now, &self.plan, &mut self.rng) {
                    self.at(at, Event::Up(conn, batch.clone()));
                }
            }
        }
    }

    /// A batch vanished: what comes after it shows the gap, and a connection that loses things does not live long.
    pub(crate) fn swallow(&mut self, conn: ConnId) {
        let soon = self.now + Duration::from_micros(self.rng.below(1_500_000));
        self.at(soon, Event::Closed(conn));
        self.at(soon, Event::CutAtPeer(conn));
    }

    /// Notes that a fault struck.
    pub(crate) fn count_fault(&mut self, fault: Fault, peer: usize) {
        *self.struck.entry(format!("{fault:?}")).or_default() += 1;
        let session = self.peers[peer].session;
        let now = self.now;
        self.trace.line(|| format!("{:>10} fault {fault:?} at peer {peer} ({session})", now.0));
    }
}
