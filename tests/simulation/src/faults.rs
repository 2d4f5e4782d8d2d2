//! What goes wrong while faults are on.

use std::time::Duration;

use farloop_core::api::Input;
use farloop_core::frame::Up;

use crate::peer::{Kind, Peer, def};
use crate::plan::FUNCTIONS;
use crate::rng::Rng;
use crate::worker::Worker;
use crate::world::{Event, World};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A connection breaks; both ends notice soon.
    Cut,
    /// A connection breaks and one end does not notice.
    HalfOpen,
    /// A process dies and is started again, remembering nothing.
    Crash,
    /// A process stands still, longer than anyone waits, or shorter.
    Freeze,
    /// A process has no network for a while.
    Away,
    /// A process says goodbye.
    Bye,
    /// A worker asks to be drained.
    Drain,
    /// Another worker joins.
    Join,
    /// A worker gets more or fewer slots.
    Resize,
    /// A worker learns another function.
    Offer,
    /// The coordinator itself stood still: much time has passed at once.
    Jump,
    /// Every second connection breaks at once.
    Storm,
}

/// All kinds; the plan has a weight for each.
pub const KINDS: [Fault; 12] = [
    Fault::Cut,
    Fault::HalfOpen,
    Fault::Crash,
    Fault::Freeze,
    Fault::Away,
    Fault::Bye,
    Fault::Drain,
    Fault::Join,
    Fault::Resize,
    Fault::Offer,
    Fault::Jump,
    Fault::Storm,
];

/// Draws a worker: what it offers, its slots, its prefetch. The rare function is not among them.
pub fn draw_worker(rng: &mut Rng) -> Worker {
    let all = rng.chance(500);
    let functions = (0..FUNCTIONS - 1).filter(|_| all || rng.chance(600)).collect();
    Worker::new(functions, rng.between(1, 4) as u32, rng.below(4) as u32)
}

impl World {
    /// Something goes wrong.
    pub fn fault(&mut self) {
        let total = self.plan.faults.iter().sum::<u64>();
        if total == 0 {
            return;
        }
        let mut at = self.rng.below(total);
        let mut fault = Fault::Cut;
        for (kind, weight) in KINDS.iter().zip(&self.plan.faults) {
            if at < *weight {
                fault = *kind;
                break;
            }
            at -= weight;
        }
        let peer = self.rng.index(self.peers.len());
        self.count_fault(fault, peer);
        self.strike(fault, peer);
    }

    fn strike(&mut self, fault: Fault, peer: usize) {
        let worker = matches!(self.peers[peer].kind, Kind::Worker(_));
        let short = Duration::from_micros(self.rng.between(100_000, 2_500_000));
        let long = Duration::from_micros(self.rng.between(2_500_000, 12_000_000));
        let time = if self.rng.chance(500) { short } else { long };
        match fault {
            Fault::Cut => self.cut_peer(peer, false),
            Fault::HalfOpen => self.cut_peer(peer, true),
            Fault::Crash => self.crash(peer),
            // A frozen process is not frozen again: what waits for it would come out of order.
            Fault::Freeze if self.peers[peer].frozen.is_none_or(|until| until <= self.now) => {
                self.peers[peer].frozen = Some(self.now + time);
            }
            Fault::Away => {
                self.peers[peer].away = Some(self.now + time);
                self.cut_peer(peer, false);
            }
            Fault::Bye => self.bye(peer),
            Fault::Drain if worker => {
                let known = self.peers[peer].known;
                if let Kind::Worker(w) = &mut self.peers[peer].kind
                    && !w.draining
                    && known
                {
                    w.draining = true;
                    self.peers[peer].link.push(Up::Drain);
                    self.flush(peer);
                }
            }
            Fault::Join if self.peers.len() < 12 => {
                let worker = draw_worker(&mut self.rng);
                self.join(Kind::Worker(worker));
            }
            Fault::Resize if worker => {
                let slots = self.rng.between(1, 6) as u32;
                let prefetch = self.rng.below(5) as u32;
                if let Kind::Worker(w) = &mut self.peers[peer].kind {
                    (w.slots, w.prefetch) = (slots, prefetch);
                }
            }
            Fault::Offer if worker => {
                let function = self.rng.index(FUNCTIONS - 1);
                if let Kind::Worker(w) = &mut self.peers[peer].kind
                    && !w.functions.contains(&function)
                {
                    w.functions.push(function);
                    self.peers[peer].link.push(Up::Offer(vec![def(function)]));
                    self.flush(peer);
                }
            }
            Fault::Jump => {
                self.now = self.now + time;
                self.feed(Input::Tick);
            }
            Fault::Storm => {
                for conn in self.network.whole() {
                    if self.rng.chance(500)
                        && let Some(peer) = self.network.get(conn).map(|c| c.peer)
                    {
                        self.cut_peer(peer, false);
                    }
                }
            }
            Fault::Freeze | Fault::Drain | Fault::Join | Fault::Resize | Fault::Offer => {}
        }
    }

    /// The newest connection of a peer breaks.
    fn cut_peer(&mut self, peer: usize, half_open: bool) {
        let Some(conn) = self.peers[peer].conn else { return };
        let late = self.rng.chance(self.plan.late);
        self.network.cut(conn, late);
        let unaware = self.rng.below(2);
        for end in 0..2 {
            let delay = if half_open && end == unaware { 6_000_000 } else { self.rng.below(60_000) };
            let at = self.now + Duration::from_micros(delay);
            self.at(at, if end == 0 { Event::CutAtCore(conn) } else { Event::CutAtPeer(conn) });
        }
    }

    fn crash(&mut self, peer: usize) {
        self.cut_peer(peer, false);
        let now = self.now;
        self.peers[peer].reborn(&mut self.rng, now);
        let after = self.now + Duration::from_micros(self.rng.below(4_000_000));
        self.peers[peer].away = Some(after);
        let life = self.peers[peer].life;
        self.at(after, Event::Connect { peer, life });
        self.rearm(peer);
    }

    /// Says goodbye in order; the process ends, and sometimes another one takes its place.
    pub fn bye(&mut self, peer: usize) {
        if !self.peers[peer].welcomed {
            return;
        }
        self.peers[peer].link.push(Up::Bye);
        self.flush(peer);
        let conn = self.peers[peer].conn;
        let workers = self.peers.iter().filter(|p| matches!(p.kind, Kind::Worker(_)) && !p.gone).count();
        let now = self.now;
        self.peers[peer].reborn(&mut self.rng, now);
        let leaves = matches!(self.peers[peer].kind, Kind::Client(_)) || workers > 1;
        if leaves && self.rng.chance(500) {
            self.peers[peer].gone = true;
        } else {
            let life = self.peers[peer].life;
            let after = self.now + Duration::from_micros(self.rng.between(200_000, 2_000_000));
            self.at(after, Event::Connect { peer, life });
            self.rearm(peer);
        }
        if let Some(conn) = conn {
            // The goodbye is under way: the socket is closed behind it, not before it.
            self.at(self.now + Duration::from_micros(self.plan.latency * 2 + 100), Event::Closed(conn));
        }
    }

    /// Faults stop: everything that was broken is mended, and one worker offers every function.
    pub fn calm(&mut self) {
        self.explain_all();
        self.calm = true;
        self.trace.line(|| "-- faults stop --".into());
        self.plan.faults.iter_mut().for_each(|w| *w = 0);
        (self.plan.duplicate, self.plan.gap) = (0, 0);
        for peer in 0..self.peers.len() {
            let now = self.now;
            self.thaw(peer);
            self.peers[peer].away = None;
            if !self.peers[peer].gone && self.peers[peer].conn.is_none() {
                let life = self.peers[peer].life;
                self.at(now, Event::Connect { peer, life });
            }
        }
        self.join(Kind::Worker(Worker::new((0..FUNCTIONS).collect(), 3, 1)));
    }

    /// Another process appears.
    pub fn join(&mut self, kind: Kind) {
        let peer = Peer::new(kind, &mut self.rng, self.now);
        self.peers.push(peer);
        let (peer, delay) = (self.peers.len() - 1, self.rng.below(50_000));
        self.at(self.now + Duration::from_micros(delay), Event::Connect { peer, life: 0 });
        self.rearm(peer);
    }
}
