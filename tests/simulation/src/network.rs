//! Connections: order within one, none between two, and all the ways in which one can end.

use std::collections::BTreeMap;
use std::time::Duration;

use farloop_core::id::{ConnId, SessionId};
use farloop_core::time::Time;

use crate::plan::Plan;
use crate::rng::Rng;

/// One direction of a connection.
#[derive(Debug, Default)]
pub struct Way {
    last: Time,
    /// Batches under way.
    pub in_flight: usize,
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    /// Index of the peer that opened it.
    pub peer: usize,
    /// Its life at that time.
    pub life: u64,
    /// Its session at that time.
    pub session: SessionId,
    /// From the peer.
    pub up: Way,
    /// To the peer.
    pub down: Way,
    /// The coordinator's shell takes it for open.
    pub open_at_core: bool,
    /// Cut: what is under way arrives late, or never.
    pub cut: bool,
    /// Of a cut connection: whether what was under way still arrives.
    pub late: bool,
    /// The process at the coordinator's end is gone: nothing arrives there.
    pub deaf: bool,
}

/// All connections there ever were.
#[derive(Debug, Default)]
pub struct Network {
    conns: BTreeMap<ConnId, Conn>,
    next: u64,
}

/// Which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the peer to the coordinator.
    Up,
    /// To the peer.
    Down,
}

impl Network {
    /// Opens a connection.
    pub fn open(&mut self, peer: usize, life: u64, session: SessionId) -> ConnId {
        self.next += 1;
        let id = ConnId(self.next);
        let (up, down) = (Way::default(), Way::default());
        let conn = Conn { peer, life, session, up, down, open_at_core: false, cut: false, late: false, deaf: false };
        self.conns.insert(id, conn);
        id
    }

    /// One connection.
    #[must_use]
    pub fn get(&self, id: ConnId) -> Option<&Conn> {
        self.conns.get(&id)
    }

    /// One connection.
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(&id)
    }

    /// When something put into a connection now comes out; none if it never does.
    pub fn send(&mut self, id: ConnId, direction: Direction, now: Time, plan: &Plan, rng: &mut Rng) -> Option<Time> {
        let conn = self.conns.get_mut(&id)?;
        let cut = conn.cut;
        let way = match direction {
            Direction::Up => &mut conn.up,
            Direction::Down => &mut conn.down,
        };
        if cut {
            return None;
        }
        // Squared: most are fast, a few are slow.
        let draw = rng.below(1000) * rng.below(1000);
        let at = now + Duration::from_micros(20 + plan.latency * draw / 1_000_000);
        way.last = at.max(way.last);
        way.in_flight += 1;
        Some(way.last)
    }

    /// Something comes out. False: it was lost with its connection.
    pub fn arrives(&mut self, id: ConnId, direction: Direction) -> bool {
        let Some(conn) = self.conns.get_mut(&id) else { return false };
        let lost = conn.cut && !conn.late || direction == Direction::Up && conn.deaf;
        let way = match direction {
            Direction::Up => &mut conn.up,
            Direction::Down => &mut conn.down,
        };
        way.in_flight -= 1;
        !lost
    }

    /// Cuts a connection. Neither end knows yet.
    pub fn cut(&mut self, id: ConnId, late: bool) {
        if let Some(conn) = self.conns.get_mut(&id)
            && !conn.cut
        {
            conn.cut = true;
            conn.late = late;
        }
    }

    /// The coordinator's process is gone, and with it its end of all connections.
    pub fn close_all(&mut self) {
        for conn in self.conns.values_mut() {
            conn.open_at_core = false;
            conn.deaf = true;
        }
    }

    /// Connections that are not cut.
    #[must_use]
    pub fn whole(&self) -> Vec<ConnId> {
        self.conns.iter().filter(|(_, c)| !c.cut).map(|(id, _)| *id).collect()
    }

    /// Forgets connections that nobody will name again, so that a long world stays fast.
    pub fn sweep(&mut self, in_use: &[ConnId]) {
        let busy = |c: &Conn| !c.cut || c.open_at_core || c.up.in_flight + c.down.in_flight > 0;
        self.conns.retain(|id, c| busy(c) || in_use.contains(id));
    }
}
