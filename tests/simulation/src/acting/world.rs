//! The events of a world of actors, the network between its processes, and the shell around the core.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use farloop_core::api::{Config, Input, Output, Record};
use farloop_core::frame::{Down, Hello, HelloReply, PROTOCOL_VERSION, Role, Up};
use farloop_core::id::{ConnId, Life, SessionId, TaskId};
use farloop_core::limits;
use farloop_core::link::{Batch, Link};
use farloop_core::machine::Core;
use farloop_core::time::Time;

use super::client::Client;
use super::judge::Judge;
use super::worker::{Bell, Hands, Worker, offered};
use crate::peer::{EPOCH_MS, new_task};
use crate::rng::Rng;
use crate::run::{Failed, Options, Outcome};
use crate::trace::Trace;

/// After the faults have stopped, whatever can end has to within this.
const PATIENCE: Duration = Duration::from_secs(180);
/// Events of one world, at most: more is a circle.
const EVENTS: u64 = 400_000;

#[derive(Debug)]
enum Event {
    Connect(usize, u64),
    Hello(ConnId, Box<Hello>),
    Welcome(ConnId, HelloReply),
    Up(ConnId, Batch<Up>),
    Down(ConnId, Batch<Down>),
    CutAtCore(ConnId),
    CutAtPeer(ConnId),
    Beat(usize, u64),
    Act(usize, u64),
    Bell(usize, u64, Bell),
    Lease(usize, u64),
    /// A worker that drains has had its time.
    End(usize, u64),
    Synced(u64),
    Tick,
    Fault,
    Calm,
}

#[derive(Debug)]
enum Kind {
    Client(Client),
    Worker(Worker),
}

#[derive(Debug)]
struct Peer {
    session: SessionId,
    link: Link<Up>,
    conn: Option<ConnId>,
    welcomed: bool,
    known: bool,
    connections: u64,
    coordinator: Option<Life>,
    /// Counts processes: what was meant for an earlier one is void.
    process: u64,
    /// Nothing gets through before.
    dark: Time,
    kind: Kind,
    /// Beats that were not acknowledged: number of the last item then, and when.
    beats: VecDeque<(u64, Time)>,
    /// When the last beat was sent that is known to have arrived.
    renewed: Time,
}

#[derive(Debug)]
struct Conn {
    peer: usize,
    process: u64,
    session: SessionId,
    open: bool,
    dead: bool,
    last: [Time; 2],
}

struct World {
    core: Core,
    config: Config,
    now: Time,
    rng: Rng,
    queue: BTreeMap<(Time, u64), Event>,
    number: u64,
    conns: BTreeMap<ConnId, Conn>,
    peers: Vec<Peer>,
    hosts: Vec<TaskId>,
    records: Vec<(u64, Record)>,
    synced: u64,
    /// A part that is being carried: records up to this one may leave.
    carrying: Option<u64>,
    /// The same, when all was said: up to which record, and what must be durable first.
    leaving: Option<(u64, u64)>,
    tick: Option<Time>,
    calm: Option<Time>,
    latency: u64,
    faults: bool,
    judge: Judge,
    trace: Trace,
    struck: BTreeMap<String, u64>,
    steps: u64,
}

/// Runs one seed of a world of actors.
#[must_use]
pub fn run_acting(seed: u64, options: &Options) -> Outcome {
    let mut world =
        World::new(seed, Trace::new(options.keep || options.trace, options.trace), options.planted.as_deref());
    let panicked = catch_unwind(AssertUnwindSafe(|| world.run())).err();
    let panicked = panicked.map(|p| {
        let text = p.downcast_ref::<String>().cloned().or_else(|| p.downcast_ref::<&str>().map(|s| (*s).to_string()));
        ("panic", text.unwrap_or_default())
    });
    let broken = panicked.or(world.judge.broken);
    let failed = broken.map(|(law, what)| Failed {
        seed,
        law: law.into(),
        what,
        step: world.steps,
        tail: world.trace.tail(),
        actors: true,
    });
    Outcome {
        steps: world.steps,
        hash: world.trace.hash(),
        faults: world.struck,
        seen: world.judge.seen,
        failed,
        ..Outcome::default()
    }
}

impl World {
    fn new(seed: u64, trace: Trace, planted: Option<&str>) -> Self {
        let mut rng = Rng::new(seed ^ 0xac7);
        #[cfg_attr(not(feature = "planted-bugs"), allow(unused_mut))]
        let mut config = Config {
            seed: rng.next_u64(),
            durable: rng.chance(400),
            wall_at_zero_ms: EPOCH_MS,
            session_ttl: Duration::from_secs(*rng.pick(&[2, 8, 30])),
            ..Config::default()
        };
        #[cfg(feature = "planted-bugs")]
        {
            config.planted = farloop_core::api::Planted::ALL.into_iter().find(|p| planted == Some(&format!("{p:?}")));
        }
        #[cfg(not(feature = "planted-bugs"))]
        let _ = planted;
        let mut world = Self {
            core: Core::new(config.clone()),
            config,
            now: Time(1_000),
            queue: BTreeMap::new(),
            number: 0,
            conns: BTreeMap::new(),
            peers: Vec::new(),
            hosts: Vec::new(),
            records: Vec::new(),
            synced: 0,
            carrying: None,
            leaving: None,
            tick: None,
            calm: None,
            latency: rng.between(50, 20_000),
            faults: rng.chance(850),
            judge: Judge::default(),
            trace,
            struck: BTreeMap::new(),
            steps: 0,
            rng,
        };
        let (clients, workers) = (world.rng.between(1, 3), world.rng.between(1, 3));
        for n in 0..clients + workers {
            let actions = world.rng.between(5, 40) as usize;
            let kind = if n < clients {
                Kind::Client(Client { actions, ..Client::default() })
            } else {
                Kind::Worker(Worker::default())
            };
            world.join(kind);
        }
        world
    }

    fn join(&mut self, kind: Kind) {
        let session = SessionId(new_task(&mut self.rng, self.now).0);
        self.peers.push(Peer {
            session,
            link: Link::new(limits::MAX_PAYLOAD),
            conn: None,
            welcomed: false,
            known: false,
            connections: 0,
            coordinator: None,
            process: 0,
            dark: Time(0),
            kind,
            beats: VecDeque::new(),
            renewed: self.now,
        });
    }

    fn at(&mut self, at: Time, event: Event) {
        self.number += 1;
        self.queue.insert((at.max(self.now), self.number), event);
    }

    fn after(&mut self, micros: u64, event: Event) {
        self.at(self.now + Duration::from_micros(micros), event);
    }

    fn run(&mut self) {
        if self.config.durable {
            self.feed(Input::Recovered { cluster: 7 });
        }
        for peer in 0..self.peers.len() {
            self.begin(peer);
        }
        let calm_at = self.rng.between(3_000_000, 30_000_000);
        self.after(calm_at, Event::Calm);
        if self.faults {
            self.fault_later();
        }
        while let Some(((at, number), event)) = self.queue.pop_first() {
            self.now = at;
            self.trace.mix(at.0 ^ number.rotate_left(40));
            self.steps += 1;
            if self.steps > EVENTS {
                return self.judge.fail("L16", "the world does not come to rest".into());
            }
            self.step(event);
            if self.judge.broken.is_some() {
                return;
            }
            if let Some(calm) = self.calm {
                if self.quiet() {
                    return;
                }
                if self.now > calm + PATIENCE {
                    return self.complain();
                }
            }
        }
    }

    fn quiet(&self) -> bool {
        self.peers.iter().all(|peer| match &peer.kind {
            Kind::Client(client) => {
                client.actions == 0 && client.outstanding.iter().all(|task| self.hosts.contains(task))
            }
            Kind::Worker(_) => true,
        })
    }

    fn complain(&mut self) {
        let open = self.peers.iter().enumerate().find_map(|(at, peer)| match &peer.kind {
            Kind::Client(client) => client.outstanding.iter().find(|t| !self.hosts.contains(t)).map(|task| (at, *task)),
            Kind::Worker(_) => None,
        });
        let what = match open {
            Some((at, task)) => format!("client {at} waits for {task}, and nothing is wrong any more"),
            None => "a client has not done all that it wanted to".into(),
        };
        self.judge.fail("L10", what);
    }

    fn begin(&mut self, peer: usize) {
        let process = self.peers[peer].process;
        let soon = self.rng.below(300_000);
        self.after(soon, Event::Connect(peer, process));
        self.after(soon + 300_000, Event::Beat(peer, process));
        self.after(soon + 1_000, Event::Act(peer, process));
        self.after(200_000, Event::Lease(peer, process));
    }

    fn step(&mut self, event: Event) {
        let now = self.now;
        self.trace.line(|| format!("{:>10} {event:?}", now.0));
        match event {
            Event::Connect(peer, process) => self.connect(peer, process),
            Event::Hello(conn, hello) => {
                if self.arrives(conn) {
                    self.feed(Input::Hello { conn, hello: *hello });
                }
            }
            Event::Welcome(conn, reply) => self.welcome(conn, &reply),
            Event::Up(conn, batch) => {
                if self.arrives(conn) {
                    let session = self.conns[&conn].session;
                    self.feed(Input::Batch { session, conn, batch });
                    self.pump(session, true);
                }
            }
            Event::Down(conn, batch) => self.down(conn, batch),
            Event::CutAtCore(conn) => {
                let Some(c) = self.conns.get_mut(&conn) else { return };
                c.dead = true;
                let session = c.session;
                self.feed(Input::Cut { session, conn });
            }
            Event::CutAtPeer(conn) => self.cut_at_peer(conn),
            Event::Beat(peer, process) => self.beat(peer, process),
            Event::Act(peer, process) => self.act(peer, process),
            Event::Bell(peer, process, bell) => {
                if self.peers[peer].process == process {
                    self.work(peer, |worker, hands| worker.ring(bell, hands));
                }
            }
            Event::End(peer, process) => {
                if self.peers[peer].process == process {
                    self.kill(peer);
                }
            }
            Event::Lease(peer, process) => self.look_at_lease(peer, process),
            Event::Synced(seq) => {
                self.synced = self.synced.max(seq.min(self.records.last().map_or(0, |(last, _)| *last)));
                let synced = self.synced;
                self.feed(Input::Durable(synced));
                if let Some((part, _)) = self.leaving.filter(|(_, seq)| *seq <= self.synced) {
                    self.leaving = None;
                    self.records.retain(|(number, _)| *number > part);
                }
            }
            Event::Tick => {
                self.tick = None;
                self.feed(Input::Tick);
            }
            Event::Fault => self.fault(),
            Event::Calm => {
                self.calm = Some(self.now);
                for peer in &mut self.peers {
                    peer.dark = Time(0);
                }
            }
        }
    }

    // ---- the network

    fn connect(&mut self, peer: usize, process: u64) {
        let (now, p) = (self.now, &mut self.peers[peer]);
        if p.process != process || p.conn.is_some() {
            return;
        }
        if p.dark > now {
            let dark = p.dark;
            return self.at(dark, Event::Connect(peer, process));
        }
        p.connections += 1;
        let (functions, slots) = match &p.kind {
            Kind::Client(_) => (Vec::new(), 0),
            Kind::Worker(_) => (offered(), 4),
        };
        let hello = Hello {
            session: p.session,
            protocol: PROTOCOL_VERSION,
            role: if matches!(p.kind, Kind::Client(_)) { Role::Client } else { Role::Worker },
            name: "model".into(),
            resume: p.known,
            received: p.link.received(),
            functions,
            slots,
            connection: p.connections,
            acked: p.link.acked(),
            life: p.coordinator,
            labels: Vec::new(),
            process: None,
        };
        self.number += 1;
        let conn = ConnId(self.number);
        let session = p.session;
        p.conn = Some(conn);
        self.conns.insert(conn, Conn { peer, process, session, open: false, dead: false, last: [now; 2] });
        let at = self.way(conn, 0);
        self.at(at, Event::Hello(conn, Box::new(hello)));
        self.at(self.now + Duration::from_secs(3), Event::CutAtPeer(conn));
    }

    /// When something sent now arrives: in order.
    fn way(&mut self, conn: ConnId, direction: usize) -> Time {
        let at = self.now + Duration::from_micros(self.rng.between(20, self.latency));
        let Some(c) = self.conns.get_mut(&conn) else { return at };
        c.last[direction] = c.last[direction].max(at);
        c.last[direction]
    }

    fn arrives(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(|c| !c.dead && self.peers[c.peer].dark <= self.now)
    }

    fn mine(&self, conn: ConnId) -> Option<usize> {
        let c = self.conns.get(&conn)?;
        let p = &self.peers[c.peer];
        (p.process == c.process && p.conn == Some(conn)).then_some(c.peer)
    }

    fn welcome(&mut self, conn: ConnId, reply: &HelloReply) {
        let (Some(peer), true) = (self.mine(conn), self.arrives(conn)) else { return };
        let HelloReply::Welcome { resumed, received, life, recovered, .. } = reply else {
            return self.cut_at_peer(conn);
        };
        let p = &mut self.peers[peer];
        if p.known && !resumed {
            p.link = Link::new(limits::MAX_PAYLOAD);
            p.beats.clear();
            match &mut p.kind {
                Kind::Client(client) => client.lost(),
                Kind::Worker(worker) => worker.lost(peer, &mut self.judge),
            }
        }
        let p = &mut self.peers[peer];
        let first = !p.known || !resumed;
        (p.known, p.welcomed, p.coordinator) = (true, true, *life);
        if p.link.resume(*received).is_err() {
            return self.cut_at_peer(conn);
        }
        if *recovered {
            self.rejoin(peer);
        }
        if first && matches!(self.peers[peer].kind, Kind::Worker(_)) {
            self.peers[peer].link.push(Up::Grant(1_000_000));
        }
        self.flush(peer);
    }

    fn rejoin(&mut self, peer: usize) {
        let p = &mut self.peers[peer];
        p.link.drop_assembly();
        let mut unsaid = BTreeSet::new();
        let known = match &p.kind {
            Kind::Client(client) => client.known.clone(),
            Kind::Worker(worker) => worker.known(),
        };
        p.link.rewrite(|frame: &mut Up, sent| match frame {
            // What was refused does not come again.
            Up::Submit(submit) if sent && known.contains(&submit.task) => *frame = Up::Heartbeat,
            Up::Submit(submit) => _ = unsaid.insert(submit.task),
            Up::Watch(task) => _ = unsaid.insert(*task),
            Up::Attempt(_) | Up::Rejoined { .. } => *frame = Up::Heartbeat,
            _ => {}
        });
        let mut out = Vec::new();
        match &mut p.kind {
            Kind::Client(client) => client.rejoin(&unsaid, &mut out),
            Kind::Worker(worker) => {
                worker.rejoin(&unsaid, &mut out);
                out.push(Up::Grant(1_000_000));
            }
        }
        out.into_iter().for_each(|frame| p.link.push(frame));
    }

    fn down(&mut self, conn: ConnId, batch: Batch<Down>) {
        let (Some(peer), true) = (self.mine(conn), self.arrives(conn)) else { return };
        let mut frames = Vec::new();
        let received = self.peers[peer].link.receive(batch, |frame| frames.push(frame));
        if received.is_err() {
            return self.cut_at_peer(conn);
        }
        let p = &mut self.peers[peer];
        let acked = p.link.acked();
        while let Some((_, sent)) = p.beats.pop_front_if(|(number, _)| *number <= acked) {
            p.renewed = sent;
        }
        for frame in frames {
            match &mut self.peers[peer].kind {
                Kind::Client(client) => client.hear(&frame, &mut self.judge),
                Kind::Worker(_) => self.work(peer, |worker, hands| worker.hear(frame, hands)),
            }
        }
        self.flush(peer);
    }

    /// A peer finds its connection gone, or has waited long enough for a welcome.
    fn cut_at_peer(&mut self, conn: ConnId) {
        let Some(peer) = self.mine(conn) else { return };
        if self.peers[peer].welcomed && !self.conns[&conn].dead {
            return;
        }
        self.lose(peer);
    }

    fn lose(&mut self, peer: usize) {
        let p = &mut self.peers[peer];
        let Some(conn) = p.conn.take() else { return };
        p.welcomed = false;
        p.link.cut();
        p.beats.clear();
        let process = p.process;
        if let Some(c) = self.conns.get_mut(&conn) {
            c.dead = true;
        }
        let (soon, later) = (self.rng.between(5_000, 400_000), self.rng.between(0, 50_000));
        self.after(soon, Event::Connect(peer, process));
        self.after(later, Event::CutAtCore(conn));
    }

    fn flush(&mut self, peer: usize) {
        let p = &mut self.peers[peer];
        let (Some(conn), true) = (p.conn, p.welcomed) else { return };
        while let Some(batch) = self.peers[peer].link.poll_batch(true) {
            let at = self.way(conn, 0);
            if self.arrives(conn) {
                self.at(at, Event::Up(conn, batch));
            }
        }
    }

    // ---- processes

    fn work(&mut self, peer: usize, act: impl FnOnce(&mut Worker, &mut Hands<'_>)) {
        let p = &mut self.peers[peer];
        let (session, process) = (p.session, p.process);
        let Kind::Worker(worker) = &mut p.kind else { return };
        let mut hands = Hands {
            at: peer,
            session,
            now: self.now,
            rng: &mut self.rng,
            judge: &mut self.judge,
            out: Vec::new(),
            bells: Vec::new(),
        };
        act(worker, &mut hands);
        let (out, bells) = (hands.out, hands.bells);
        out.into_iter().for_each(|frame| p.link.push(frame));
        for (pause, bell) in bells {
            self.at(self.now + pause, Event::Bell(peer, process, bell));
        }
        self.flush(peer);
    }

    fn beat(&mut self, peer: usize, process: u64) {
        if self.peers[peer].process != process {
            return;
        }
        self.after(900_000, Event::Beat(peer, process));
        if self.peers[peer].welcomed {
            self.peers[peer].link.push(Up::Heartbeat);
            self.flush(peer);
            let (now, p) = (self.now, &mut self.peers[peer]);
            p.beats.push_back((p.link.sent(), now));
        }
    }

    fn act(&mut self, peer: usize, process: u64) {
        let p = &mut self.peers[peer];
        let Kind::Client(client) = &mut p.kind else { return };
        if p.process != process || client.actions == 0 {
            return;
        }
        if p.welcomed {
            let out = client.act(p.session, self.now, &mut self.rng, &mut self.hosts, &mut self.judge);
            out.into_iter().for_each(|frame| p.link.push(frame));
            self.flush(peer);
        }
        let pause = if self.rng.chance(300) { 100 } else { self.rng.below(900_000) };
        self.after(pause, Event::Act(peer, process));
    }

    fn look_at_lease(&mut self, peer: usize, process: u64) {
        if self.peers[peer].process != process {
            return;
        }
        self.after(200_000, Event::Lease(peer, process));
        if self.peers[peer].renewed + Worker::lease() <= self.now {
            self.work(peer, Worker::drop_named);
        }
    }

    // ---- the shell

    fn pump(&mut self, session: SessionId, force: bool) {
        let newest = self.conns.iter().rev().find(|(_, c)| c.session == session && c.open && !c.dead);
        let Some(conn) = newest.map(|(conn, _)| *conn) else { return };
        while let Some(batch) = self.core.poll_batch(self.now, session, force) {
            self.trace.mix(batch.first ^ batch.ack.rotate_left(20));
            let at = self.way(conn, 1);
            if self.arrives(conn) {
                self.at(at, Event::Down(conn, batch));
            }
        }
        self.settle();
    }

    fn feed(&mut self, input: Input) {
        self.core.handle(self.now, input);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(output) = self.core.poll_output() {
            let now = self.now;
            self.trace.line(|| format!("{:>10} -> {output:?}", now.0));
            match output {
                Output::Hello { conn, reply } => {
                    if let Some(c) = self.conns.get_mut(&conn) {
                        c.open = matches!(reply, HelloReply::Welcome { .. });
                    }
                    let at = self.way(conn, 1);
                    self.at(at, Event::Welcome(conn, reply));
                }
                Output::Wake(session) => self.pump(session, false),
                Output::Close { conn, .. } => {
                    if let Some(c) = self.conns.get_mut(&conn) {
                        c.dead = true;
                    }
                    self.after(1_000, Event::CutAtPeer(conn));
                }
                Output::Persist { seq, record } => {
                    self.records.push((seq, record));
                    let delay = self.rng.below(10_000);
                    self.after(delay, Event::Synced(seq));
                }
                Output::Carried { seq, .. } => {
                    self.judge.saw("carried");
                    // The part leaves when that is durable.
                    self.leaving = self.carrying.take().map(|upto| (upto, seq));
                }
                Output::Reply { .. } | Output::More(_) | Output::Event(_) => {}
            }
        }
        if let Err(violation) = self.core.check() {
            self.judge.fail(violation.law, violation.to_string());
        }
        if let Some(at) = self.core.next_deadline()
            && self.tick.is_none_or(|set| at < set)
        {
            let at = at.max(self.now);
            self.tick = Some(at);
            self.at(at, Event::Tick);
        }
    }

    // ---- faults

    fn fault_later(&mut self) {
        let pause = self.rng.between(100_000, 4_000_000);
        self.after(pause, Event::Fault);
    }

    fn fault(&mut self) {
        if self.calm.is_some() {
            return;
        }
        let peer = self.rng.index(self.peers.len());
        let kind = match self.rng.below(10) {
            0..=2 => {
                self.lose(peer);
                "cut"
            }
            3 | 4 => {
                let long = self.rng.between(100_000, 14_000_000);
                self.peers[peer].dark = self.now + Duration::from_micros(long);
                let (dark, conn) = (self.peers[peer].dark, self.peers[peer].conn);
                if let Some(conn) = conn {
                    if let Some(c) = self.conns.get_mut(&conn) {
                        c.dead = true;
                    }
                    // Its own patience ends after a while; the coordinator's is its heartbeat's.
                    let noticed = dark.min(self.now + Duration::from_secs(2));
                    self.at(noticed, Event::CutAtPeer(conn));
                }
                "partition"
            }
            5 | 6 => {
                self.kill(peer);
                "killed"
            }
            7 => {
                if matches!(self.peers[peer].kind, Kind::Worker(_)) {
                    self.work(peer, |worker, hands| worker.hear(Down::Leave, hands));
                    let process = self.peers[peer].process;
                    self.at(self.now + Duration::from_secs(10), Event::End(peer, process));
                }
                "drain"
            }
            8 if self.config.durable => {
                self.restart();
                "restart"
            }
            _ if self.config.durable => {
                self.carry();
                "carry"
            }
            _ => "none",
        };
        *self.struck.entry(kind.into()).or_default() += 1;
        self.fault_later();
    }

    /// The process dies; another one takes its place.
    fn kill(&mut self, peer: usize) {
        let session = SessionId(new_task(&mut self.rng, self.now).0);
        let p = &mut self.peers[peer];
        let conn = p.conn.take();
        (p.session, p.link, p.welcomed, p.known) = (session, Link::new(limits::MAX_PAYLOAD), false, false);
        (p.coordinator, p.dark) = (None, Time(0));
        p.process += 1;
        p.beats.clear();
        p.renewed = self.now;
        match &mut p.kind {
            Kind::Client(client) => client.lost(),
            Kind::Worker(worker) => worker.lost(peer, &mut self.judge),
        }
        if let Some(conn) = conn {
            if let Some(c) = self.conns.get_mut(&conn) {
                c.dead = true;
            }
            self.after(1_000, Event::CutAtCore(conn));
        }
        self.begin(peer);
    }

    /// The coordinator's process dies, and starts again with what is durable.
    fn restart(&mut self) {
        let synced = self.synced;
        self.records.retain(|(seq, _)| *seq <= synced);
        (self.carrying, self.leaving) = (None, None);
        self.core = Core::new(self.config.clone());
        for (seq, record) in self.records.clone() {
            self.core.replay(seq, record);
        }
        self.config.wall_at_zero_ms = self.core.zero_ms();
        let open: Vec<ConnId> = self.conns.iter().filter(|(_, c)| !c.dead).map(|(conn, _)| *conn).collect();
        for conn in open {
            if let Some(c) = self.conns.get_mut(&conn) {
                c.dead = true;
            }
            self.after(2_000, Event::CutAtPeer(conn));
        }
        self.tick = None;
        self.feed(Input::Recovered { cluster: 7 });
    }

    /// The first half of the records is to leave.
    fn carry(&mut self) {
        let half = self.records.len() / 2;
        let Some((upto, _)) =
            self.records.get(half).filter(|_| self.carrying.is_none() && self.leaving.is_none() && half > 10)
        else {
            return;
        };
        let upto = *upto;
        self.carrying = Some(upto);
        let tasks =
            self.records.iter().filter(|(seq, _)| *seq <= upto).filter_map(|(_, record)| record.begins()).collect();
        self.feed(Input::Carry { part: upto, tasks });
    }
}
