//! The coordinator starts again: a new core reads what is durable, and the peers come back and say what they hold.

use std::collections::{BTreeMap, BTreeSet};

use farloop_core::api::Input;
use farloop_core::frame::{Activity, Down, Held, Up};
use farloop_core::id::{AttemptId, Life, SessionId, TaskId};
use farloop_core::machine::Core;

use crate::driver::*;

/// What a peer remembers of what it said and heard.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) life: Option<Life>,
    /// Attempts that it was sent and has not answered.
    pub(crate) holds: BTreeMap<AttemptId, Held>,
    /// Starts that it received.
    pub(crate) starts: u64,
    /// Tasks whose outcome it asked for and was not told, with the number of the item that asked.
    pub(crate) waits: BTreeMap<TaskId, u64>,
    /// Attempts that it was told to drop.
    pub(crate) fenced: BTreeSet<AttemptId>,
}

impl Memory {
    pub(crate) fn welcomed(&mut self, resumed: bool, life: Option<Life>) {
        if !resumed {
            *self = Self::default();
        }
        self.life = life;
    }

    pub(crate) fn hear(&mut self, frame: &Down) {
        match frame {
            Down::Start(start) => {
                self.starts += 1;
                let held = Held {
                    attempt: start.attempt,
                    number: start.number,
                    begun: true,
                    activity: Activity::Running,
                    awaits: Vec::new(),
                    blocked: false,
                    told: start.cancels,
                    seen: 0,
                    taken: 0,
                };
                self.holds.insert(start.attempt, held);
            }
            Down::Cancel { attempt, number, .. } => {
                if let Some(held) = self.holds.get_mut(attempt) {
                    held.told = *number;
                }
            }
            Down::Credit { attempt, taken } => {
                if let Some(held) = self.holds.get_mut(attempt) {
                    held.taken = *taken;
                }
            }
            Down::Fence(attempt) => {
                self.holds.remove(attempt);
                self.fenced.insert(*attempt);
            }
            Down::Resolved { task, .. } => {
                self.waits.remove(task);
            }
            _ => {}
        }
    }

    pub(crate) fn say(&mut self, frame: &Up, number: u64) {
        match frame {
            Up::Submit(submit) => {
                self.waits.insert(submit.task, number);
            }
            Up::Watch(task) => {
                self.waits.insert(*task, number);
            }
            Up::Ended { attempt, .. } | Up::Returned(attempt) => {
                self.holds.remove(attempt);
            }
            Up::Progress { attempt, activity, awaits, blocked } => {
                if let Some(held) = self.holds.get_mut(attempt) {
                    (held.activity, held.blocked) = (*activity, *blocked);
                    held.awaits.clone_from(awaits);
                }
            }
            Up::CancelSeen { attempt, seen } => {
                if let Some(held) = self.holds.get_mut(attempt) {
                    held.seen = *seen;
                }
            }
            _ => {}
        }
    }
}

impl Cluster {
    /// The first life begins.
    pub(crate) fn durable() -> Self {
        let mut c =
            Self::with(farloop_core::api::Config { durable: true, wall_at_zero_ms: 1_000_000, ..Default::default() });
        c.input(Input::Recovered { cluster: 7 });
        c.sync();
        c
    }

    /// The coordinator's process is killed, and starts again with what was durable. Nobody has come back yet.
    pub(crate) fn restart(&mut self) {
        self.restart_with(self.synced);
    }

    /// With the records up to this number, whatever the core was told.
    pub(crate) fn restart_with(&mut self, durable: u64) {
        self.records.retain(|(seq, _)| *seq <= durable);
        for peer in self.peers.values_mut() {
            peer.conn = None;
            peer.link.cut();
        }
        self.core = Core::new(self.config.clone());
        for (seq, record) in self.records.clone() {
            self.core.replay(seq, record);
        }
        self.input(Input::Recovered { cluster: 8 });
    }

    /// Whoever was there comes back.
    pub(crate) fn all_back(&mut self) {
        let peers: Vec<SessionId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.connect(peer, true);
        }
        self.sync();
        self.settle();
    }

    /// The peer says what it holds and waits for.
    pub(crate) fn rejoin(&mut self, id: SessionId) {
        let peer = self.peers.get_mut(&id).expect("a peer of this test");
        let acked = peer.link.acked();
        let memory = &peer.memory;
        let mut frames: Vec<Up> = memory.holds.values().map(|held| Up::Attempt(Box::new(held.clone()))).collect();
        frames.extend(memory.waits.iter().filter(|(_, number)| **number <= acked).map(|(task, _)| Up::Watch(*task)));
        frames.push(Up::Rejoined { starts: memory.starts });
        if !peer.functions.is_empty() {
            frames.push(Up::Grant(peer.granted));
        }
        for frame in frames {
            self.peers.get_mut(&id).expect("a peer of this test").link.push(frame);
        }
    }
}
