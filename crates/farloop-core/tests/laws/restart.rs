//! The coordinator starts again: a new core reads what is durable, and the peers come back and say what they hold.

use std::collections::{BTreeMap, BTreeSet};

use farloop_core::api::{Call, Config, Input, ListTasks, Output, Record, Reply};
use farloop_core::frame::{Activity, Down, Held, Up};
use farloop_core::id::{AttemptId, CallId, Life, SessionId, TaskId};
use farloop_core::limits;
use farloop_core::machine::Core;
use farloop_core::time::Time;

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
    /// Of those, the ones that it submitted and that cannot be refused, and was not told of yet.
    pub(crate) submits: BTreeMap<TaskId, u64>,
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
                // Calls of actors use no grant.
                self.starts += u64::from(start.more.as_ref().is_none_or(|more| more.incarnation.is_none()));
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
                self.submits.remove(task);
            }
            _ => {}
        }
    }

    pub(crate) fn say(&mut self, frame: &Up, number: u64) {
        match frame {
            Up::Submit(submit) => {
                self.waits.insert(submit.task, number);
                if submit.creator.is_none() && submit.spec.dependencies.is_empty() {
                    self.submits.insert(submit.task, number);
                }
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
        c.first_life();
        c
    }

    pub(crate) fn first_life(&mut self) {
        self.input(Input::Recovered { cluster: 7 });
        self.sync();
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
        self.forget_hellos();
        self.l1_what_was_acknowledged_is_recorded();
        l17_the_same_is_known_after_all_was_carried(&self.config, &self.records);
        self.core = Core::new(self.config.clone());
        for (seq, record) in self.records.clone() {
            self.core.replay(seq, record);
        }
        self.synced = durable;
        self.input(Input::Recovered { cluster: 8 });
    }

    /// What a peer was told to forget does not come again: it must be known.
    fn l1_what_was_acknowledged_is_recorded(&self) {
        let recorded = self.records.iter().filter_map(|(_, record)| record.begins()).collect::<BTreeSet<_>>();
        for (id, peer) in &self.peers {
            for (task, number) in &peer.memory.submits {
                let acked = *number <= peer.link.acked();
                assert!(!acked || recorded.contains(task), "L1: {task} of {id} was acknowledged and is lost");
            }
        }
    }

    /// Nobody is welcomed before it is durable that this life began.
    pub(crate) fn sync_life(&mut self) {
        let life = self.records.iter().rev().find(|(_, record)| matches!(record, Record::Life(_))).map(|(seq, _)| *seq);
        if let Some(seq) = life.filter(|seq| *seq > self.synced) {
            self.synced = seq;
            self.input(Input::Durable(seq));
        }
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

/// A core that has read these records, at the moment of the last one.
fn read(config: &Config, records: &[(u64, Record)]) -> Core {
    let mut core = Core::new(config.clone());
    for (seq, record) in records {
        core.replay(*seq, record.clone());
    }
    core
}

fn settle(core: &mut Core, now: Time) -> Vec<Output> {
    while core.next_deadline().is_some_and(|due| due <= now) {
        core.handle(now, Input::Tick);
    }
    std::iter::from_fn(|| core.poll_output()).collect()
}

/// What people see of all tasks.
fn views(mut core: Core, now: Time) -> String {
    core.handle(now, Input::Recovered { cluster: 9 });
    let query = ListTasks { limit: limits::PAGE, ..ListTasks::default() };
    core.handle(now, Input::Call { call: CallId(1), request: Call::List(query) });
    core.handle(now, Input::Durable(u64::MAX));
    let outputs = settle(&mut core, now);
    core.check().expect("the laws hold");
    let pages = outputs.into_iter().filter_map(|output| match output {
        Output::Reply { reply, .. } => match *reply {
            Ok(Reply::Tasks { tasks, total, .. }) => Some((tasks, total)),
            other => panic!("{other:?}"),
        },
        _ => None,
    });
    format!("{:#?}", pages.collect::<Vec<_>>())
}

/// All that is known is said once more; then what was recorded before may leave, or not.
fn l17_the_same_is_known_after_all_was_carried(config: &Config, records: &[(u64, Record)]) {
    let now = records.iter().map(|(_, record)| record.newest()).max().unwrap_or_default();
    let config = Config { worker_dead_after: std::time::Duration::from_secs(60), ..config.clone() };
    let mut core = read(&config, records);
    core.handle(now, Input::Recovered { cluster: 9 });
    let tasks = records.iter().filter_map(|(_, record)| record.begins()).collect();
    core.handle(now, Input::Carry { part: 1, tasks });
    let said = settle(&mut core, now).into_iter().filter_map(|output| match output {
        Output::Persist { seq, record } => Some((seq, record)),
        _ => None,
    });
    let said: Vec<_> = said.collect();
    let both: Vec<_> = records.iter().cloned().chain(said.iter().cloned()).collect();
    let (whole, tail) = (views(read(&config, &both), now), views(read(&config, &said), now));
    assert_eq!(whole, tail, "L17");
}
