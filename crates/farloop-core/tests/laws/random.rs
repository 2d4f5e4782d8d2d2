//! Random lives of a cluster: after every step the laws hold, and when faults stop, everything ends (L16) with one
//! outcome each (L3, L10).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use farloop_core::api::Config;
use farloop_core::frame::{Activity, Down, Owner, Role, Up};
use farloop_core::id::{AttemptId, SessionId, TaskId};
use farloop_core::outcome::{FailureKind, Outcome};
use farloop_core::spec::Dependency;
use proptest::prelude::*;

use crate::driver::*;

#[derive(Clone, Debug)]
enum Op {
    Submit {
        by: u8,
        function: u8,
        priority: i8,
        depends: u8,
        timeout: bool,
        attempts: u8,
    },
    Child {
        of: u8,
        owner: u8,
    },
    End {
        which: u8,
        how: u8,
        delivered: u8,
    },
    Progress {
        which: u8,
        awaits: u8,
        blocked: bool,
    },
    Seen {
        which: u8,
    },
    Cancel {
        task: u8,
        by: u8,
    },
    Uncancel {
        task: u8,
        by: u8,
    },
    Watch {
        task: u8,
        by: u8,
    },
    Grant {
        worker: u8,
        more: u8,
    },
    Cut {
        peer: u8,
    },
    /// The connection breaks, and the coordinator does not notice: what it sends is lost.
    Lose {
        peer: u8,
    },
    Connect {
        peer: u8,
    },
    Bye {
        peer: u8,
    },
    Drain {
        worker: u8,
    },
    Returned {
        which: u8,
    },
    Pass {
        ms: u16,
    },
    Sync,
    /// The coordinator dies; of what it has not heard to be durable that much is.
    Restart {
        durable: u8,
    },
}

fn op() -> impl Strategy<Value = Op> {
    use any as a;
    prop_oneof![
        6 => (a::<u8>(), a::<u8>(), -2..3i8, a::<u8>(), prop::bool::weighted(0.2), 1..3u8).prop_map(
            |(by, function, priority, depends, timeout, attempts)| Op::Submit { by, function, priority, depends, timeout, attempts }
        ),
        4 => (a::<u8>(), a::<u8>()).prop_map(|(of, owner)| Op::Child { of, owner }),
        6 => (a::<u8>(), a::<u8>(), 0..3u8).prop_map(|(which, how, delivered)| Op::End { which, how, delivered }),
        2 => (a::<u8>(), a::<u8>(), a::<bool>()).prop_map(|(which, awaits, blocked)| Op::Progress { which, awaits, blocked }),
        1 => a::<u8>().prop_map(|which| Op::Seen { which }),
        3 => (a::<u8>(), a::<u8>()).prop_map(|(task, by)| Op::Cancel { task, by }),
        1 => (a::<u8>(), a::<u8>()).prop_map(|(task, by)| Op::Uncancel { task, by }),
        1 => (a::<u8>(), a::<u8>()).prop_map(|(task, by)| Op::Watch { task, by }),
        4 => (a::<u8>(), 1..4u8).prop_map(|(worker, more)| Op::Grant { worker, more }),
        1 => a::<u8>().prop_map(|peer| Op::Cut { peer }),
        1 => a::<u8>().prop_map(|peer| Op::Lose { peer }),
        3 => a::<u8>().prop_map(|peer| Op::Connect { peer }),
        1 => a::<u8>().prop_map(|peer| Op::Bye { peer }),
        1 => a::<u8>().prop_map(|worker| Op::Drain { worker }),
        1 => a::<u8>().prop_map(|which| Op::Returned { which }),
        2 => (0..4_000u16).prop_map(|ms| Op::Pass { ms }),
        3 => Just(Op::Sync),
        1 => a::<u8>().prop_map(|durable| Op::Restart { durable }),
    ]
}

struct Life {
    c: Cluster,
    next: u128,
    /// Answered or fenced at the worker: an honest worker reports nothing about these any more.
    done: BTreeSet<AttemptId>,
    /// Submitted or watched, and by whom: to be told once.
    asked: BTreeMap<(SessionId, TaskId), u32>,
    /// Lives of the coordinator but one.
    restarts: u32,
    seed: u64,
}

const FUNCTIONS: [&str; 3] = ["f", "g", "nobody"];

impl Life {
    fn new(seed: u64) -> Self {
        // Every second life is durable; every third remembers almost nothing.
        // (Not a durable one: what comes again after a restart must be known, and these ids tell no age.)
        let retained_tasks = if seed.is_multiple_of(3) && !seed.is_multiple_of(2) { 2 } else { 1_000 };
        let config = Config { seed, retained_tasks, durable: seed.is_multiple_of(2), ..Config::default() };
        let durable = config.durable;
        let mut c = Cluster::with(config);
        if durable {
            c.first_life();
        }
        c.client(1);
        c.client(2);
        c.worker(11, &["f", "g"], 3);
        c.worker(12, &["f"], 2);
        Self { c, next: 0, done: BTreeSet::new(), asked: BTreeMap::new(), restarts: 0, seed }
    }

    fn peer(&self, n: u8) -> SessionId {
        let all: Vec<SessionId> = self.c.peers.keys().copied().collect();
        all[usize::from(n) % all.len()]
    }

    fn client(&self, n: u8) -> SessionId {
        session(1 + u128::from(n % 2))
    }

    fn task(&self, n: u8) -> TaskId {
        // A little beyond what is known: cancels and watches may come first.
        id(1 + u128::from(n) % (self.next + 2))
    }

    /// Attempts that this worker believes it runs.
    fn open(&self) -> Vec<(SessionId, AttemptId)> {
        let mut open = Vec::new();
        for (worker, peer) in &self.c.peers {
            let fenced: BTreeSet<AttemptId> = peer
                .got
                .iter()
                .filter_map(|d| match d {
                    Down::Fence(attempt) => Some(*attempt),
                    _ => None,
                })
                .collect();
            let starts = self.c.starts(*worker).into_iter().map(|s| s.attempt);
            open.extend(starts.filter(|a| !fenced.contains(a) && !self.done.contains(a)).map(|a| (*worker, a)));
        }
        open
    }

    fn pick(&self, n: u8) -> Option<(SessionId, AttemptId)> {
        let open = self.open();
        (!open.is_empty()).then(|| open[usize::from(n) % open.len()])
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Submit { by, function, priority, depends, timeout, attempts } => {
                let mut s = spec(FUNCTIONS[usize::from(function) % FUNCTIONS.len()]);
                s.options.priority = Some(i32::from(priority));
                s.options.max_attempts = u32::from(attempts);
                s.options.timeout = timeout.then_some(Duration::from_secs(2));
                if depends < 80 && self.next > 0 {
                    let on = |k: u8| id(1 + u128::from(depends.wrapping_mul(k)) % self.next);
                    s.dependencies = vec![Dependency { position: 0, tasks: vec![on(1), on(7)], list: true }];
                }
                self.next += 1;
                let by = self.client(by);
                *self.asked.entry((by, id(self.next))).or_default() += 1;
                self.c.submit(by, id(self.next), s);
            }
            Op::Child { of, owner } => {
                let Some((worker, creator)) = self.pick(of) else { return };
                let owner = [Owner::Await, Owner::Root, Owner::Nobody][usize::from(owner) % 3];
                self.next += 1;
                self.c.submit_as(worker, id(self.next), spec("f"), owner, Some(creator));
            }
            Op::End { which, how, delivered } => {
                let Some((worker, attempt)) = self.pick(which) else { return };
                let outcome = match how % 4 {
                    0 => raised("no"),
                    1 => Outcome::Cancelled(std::sync::Arc::default()),
                    _ => returned("v"),
                };
                self.done.insert(attempt);
                self.c.send(worker, Up::Ended { attempt, outcome, delivered: u32::from(delivered) });
            }
            Op::Progress { which, awaits, blocked } => {
                let Some((worker, attempt)) = self.pick(which) else { return };
                let activity = if blocked { Activity::Suspended } else { Activity::Running };
                let awaits = vec![self.task(awaits), self.task(awaits.wrapping_mul(3))];
                self.c.send(worker, Up::Progress { attempt, activity, awaits, blocked });
            }
            Op::Seen { which } => {
                if let Some((worker, attempt)) = self.pick(which) {
                    self.c.send(worker, Up::CancelSeen { attempt, seen: 1 });
                }
            }
            Op::Cancel { task, by } => {
                let (task, by) = (self.task(task), self.client(by));
                self.c.send(by, Up::Cancel { task, message: None });
            }
            Op::Uncancel { task, by } => {
                let (task, by) = (self.task(task), self.client(by));
                self.c.send(by, Up::Uncancel(task));
            }
            Op::Watch { task, by } => {
                let (task, by) = (self.task(task), self.client(by));
                *self.asked.entry((by, task)).or_default() += 1;
                self.c.send(by, Up::Watch(task));
            }
            Op::Grant { worker, more } => {
                let worker = session(11 + u128::from(worker % 2));
                self.c.grant(worker, u64::from(more));
            }
            Op::Cut { peer } => {
                let peer = self.peer(peer);
                self.c.cut(peer);
            }
            Op::Lose { peer } => {
                let peer = self.peer(peer);
                self.c.lose(peer);
            }
            Op::Connect { peer } => {
                let peer = self.peer(peer);
                self.reconnect(peer);
            }
            Op::Bye { peer } => {
                let peer = self.peer(peer);
                if self.c.peers[&peer].conn.is_some() && !self.c.peers[&peer].lost {
                    self.c.send(peer, Up::Bye);
                }
            }
            Op::Drain { worker } => {
                let worker = session(11 + u128::from(worker % 2));
                self.c.send(worker, Up::Drain);
            }
            Op::Returned { which } => {
                if let Some((worker, attempt)) = self.pick(which) {
                    self.done.insert(attempt);
                    self.c.send(worker, Up::Returned(attempt));
                }
            }
            Op::Sync => self.c.sync(),
            Op::Restart { durable } if self.c.config.durable => {
                let (least, most) = (self.c.synced, self.c.records.last().map_or(0, |(seq, _)| *seq));
                self.restarts += 1;
                self.c.restart_with(least + u64::from(durable) % (most - least + 1));
            }
            Op::Restart { .. } => {}
            Op::Pass { ms } => self.c.pass(Duration::from_millis(u64::from(ms))),
        }
    }

    fn reconnect(&mut self, peer: SessionId) {
        if self.c.peers[&peer].conn.is_some() && !self.c.peers[&peer].lost {
            return;
        }
        self.c.connect(peer, true);
        if self.c.peers[&peer].conn.is_none() {
            // It had said goodbye to a life that did not say that it heard it.
            self.c.connect(peer, true);
        }
        if !self.c.peers[&peer].resumed {
            // A fresh session: the peer's bodies and credits are those of a new process.
            let p = self.c.peers.get_mut(&peer).expect("is there");
            p.granted = 0;
            p.got.clear();
            self.asked.retain(|(s, _), _| *s != peer);
        }
    }

    /// Faults stop: everything that can run ends.
    fn wind_down(&mut self) {
        for worker in [session(11), session(12)] {
            if self.c.peers[&worker].conn.is_some() {
                self.c.send(worker, Up::Bye);
            }
        }
        let nobody = self.c.join(20, Role::Worker, FUNCTIONS.iter().map(|f| def(f, 1)).collect());
        self.c.grant(nobody, 1_000);
        self.c.pass(Duration::from_secs(5));
        for client in [session(1), session(2)] {
            self.reconnect(client);
        }
        for _ in 0..1_000 {
            self.c.sync();
            self.c.settle();
            let Some((worker, attempt)) = self.open().into_iter().find(|(w, _)| *w == nobody) else { break };
            self.done.insert(attempt);
            self.c.send(worker, Up::Ended { attempt, outcome: returned("v"), delivered: 9 });
            self.c.grant(nobody, 1);
        }
        self.c.pass(Duration::from_secs(5));
        self.c.sync();
    }

    /// What must hold when all is over.
    fn verdict(&self) -> Result<(), String> {
        let stats = self.c.core.stats();
        if (stats.live, stats.leases, stats.queued) != (0, 0, 0) {
            return Err(format!("L16: {stats:?} after all faults stopped (seed {})", self.seed));
        }
        for ((who, task), times) in &self.asked {
            let told = self.c.outcomes(*who, *task);
            // What came again after a restart may be answered again.
            if told.is_empty() || told.len() > (times * (1 + self.restarts) + self.restarts) as usize {
                return Err(format!("L10: {who} asked for {task} {times} times and was told {told:?}"));
            }
            // Refusals apart, all answers are the same one.
            let mut real = told.iter().filter(
                |o| !matches!(o, Outcome::Raised(f) if matches!(f.kind, FailureKind::NotFound | FailureKind::Expired)),
            );
            if let Some(first) = real.next()
                && !real.all(|o| o == first)
            {
                return Err(format!("L3: task {task} ended as {told:?}"));
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn random_lives_keep_the_laws(ops in prop::collection::vec(op(), 1..150), seed in any::<u64>()) {
        let mut life = Life::new(seed);
        for op in ops {
            life.step(op);
        }
        life.wind_down();
        life.verdict().map_err(TestCaseError::fail)?;
    }

    #[test]
    fn l20_the_same_inputs_give_the_same_frames(ops in prop::collection::vec(op(), 1..80), seed in any::<u64>()) {
        let run = || {
            let mut life = Life::new(seed);
            for op in ops.clone() {
                life.step(op);
            }
            (life.c.peers.values().map(|p| p.got.clone()).collect::<Vec<_>>(), life.c.events)
        };
        prop_assert_eq!(run(), run());
    }
}
