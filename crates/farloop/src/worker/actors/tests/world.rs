//! A worker with one loop on the test's own thread, in virtual time, and a coordinator of which only the frames are there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farloop_core::actor::{Address, Host as HostOptions, Part};
use farloop_core::frame::{Activity, Down, Role, Start, StartMore, Up};
use farloop_core::id::{AttemptId, Epoch, Life, TaskId};
use farloop_core::link::{Batch, Item};
use farloop_core::outcome::Outcome;
use farloop_core::spec::{Options, Spec};

use super::counter::COUNTER;
use crate::definition::Definition;
use crate::event_loop::LoopShared;
use crate::session::{SessionShared, Welcome};
use crate::worker::host::{Host, WorkerShared};
use crate::worker::hosting::Hosting;

pub(super) struct World {
    pub(super) session: Arc<SessionShared>,
    pub(super) worker: Arc<WorkerShared>,
    pub(super) home: Arc<LoopShared>,
    received: u64,
    sent: u64,
    life: u64,
}

pub(super) fn attempt(n: u64) -> AttemptId {
    AttemptId { task: TaskId(u128::from(n)), epoch: Epoch(1) }
}

pub(super) fn encoded(n: u64) -> Bytes {
    crate::codec::encode(&n).unwrap()
}

fn spec(definition: &Definition, arg: u64, part: Part) -> Spec {
    Spec {
        function: definition.name.into(),
        fingerprint: definition.fingerprint,
        args: crate::codec::encode(&(arg,)).unwrap(),
        dependencies: Vec::new(),
        name: None,
        options: Options::default(),
        trace: None,
        context: None,
        stream: false,
        actor: Some(Arc::new(part)),
    }
}

/// The start of an actor.
pub(super) fn host(n: u64, from: u64) -> Start {
    start(n, spec(&COUNTER, from, Part::Host(HostOptions::default())))
}

pub(super) fn named(n: u64) -> Start {
    let options = HostOptions { name: Some("one".into()), ..HostOptions::default() };
    start(n, spec(&COUNTER, 0, Part::Host(options)))
}

fn start(n: u64, spec: Spec) -> Start {
    Start {
        attempt: attempt(n),
        number: 1,
        spec: Arc::new(spec),
        root: None,
        depth: 0,
        remaining: None,
        cancels: 0,
        more: None,
    }
}

/// Call `n` of actor `of`.
pub(super) fn call(n: u64, of: u64, method: &Definition, arg: u64) -> Start {
    let to = Address::Actor(attempt(of).task);
    let more = StartMore { incarnation: Some(attempt(of)), ..StartMore::default() };
    Start { more: Some(Box::new(more)), ..start(n, spec(method, arg, Part::Call { to, waits: false })) }
}

/// As [`call`], made by a call that runs there.
pub(super) fn inner(n: u64, of: u64, method: &Definition, arg: u64) -> Start {
    let more = StartMore { incarnation: Some(attempt(of)), reenters: true, ..StartMore::default() };
    Start { more: Some(Box::new(more)), ..call(n, of, method, arg) }
}

/// Runs a test in a world.
pub(super) fn run(slots: u32, test: impl AsyncFnOnce(&mut World)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build_local(Default::default())
        .unwrap();
    super::counter::take_log();
    runtime.block_on(async move {
        let session = SessionShared::new(Role::Worker, "worker".into());
        let mut hosting = Hosting::default();
        (hosting.loops, hosting.slots) = (1, slots);
        hosting.registry.insert_family(&COUNTER).unwrap();
        let worker = hosting.worker(&session, Some(std::thread::current().id()));
        let home = worker.loops()[0].clone();
        tokio::task::spawn_local(home.clone().run_here(Some(Host::new(worker.clone()))));
        session.hello();
        let life = Some(Life { cluster: 7, number: 1 });
        session.welcome(Welcome { resumed: false, recovered: false, received: 0, life }).unwrap();
        let mut world = World { session, worker, home, received: 0, sent: 0, life: 1 };
        world.told().await;
        test(&mut world).await;
        world.home.close();
    });
}

impl World {
    pub(super) fn send(&mut self, frames: impl IntoIterator<Item = Down>) {
        let items: Vec<_> = frames.into_iter().map(Item::Frame).collect();
        let batch = Batch { first: self.sent, ack: self.received, items };
        self.sent += batch.items.len() as u64;
        self.session.receive(batch).unwrap();
    }

    pub(super) fn start(&mut self, starts: impl IntoIterator<Item = Start>) {
        self.send(starts.into_iter().map(Down::Start));
    }

    /// Cancel request 1.
    pub(super) fn cancel(&mut self, n: u64) {
        self.send([Down::Cancel { attempt: attempt(n), number: 1, message: None }]);
    }

    /// What it says until it has nothing to do but wait.
    pub(super) async fn frames(&mut self) -> Vec<Up> {
        let (mut all, mut quiet) = (Vec::new(), 0);
        while quiet < 20 {
            quiet += 1;
            while let Some(batch) = self.session.poll_batch(true) {
                if batch.items.is_empty() {
                    break;
                }
                quiet = 0;
                self.received += batch.items.len() as u64;
                all.extend(batch.items.into_iter().filter_map(|item| match item {
                    Item::Frame(frame) | Item::Tail(frame) => Some(frame),
                    Item::Part(_) => None,
                }));
            }
            tokio::task::yield_now().await;
        }
        all
    }

    /// As [`frames`](Self::frames), in short, without what concerns grants.
    pub(super) async fn told(&mut self) -> Vec<String> {
        self.frames().await.iter().filter_map(brief).collect()
    }

    /// Time passes.
    pub(super) async fn pass(&mut self, seconds: u64) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..seconds {
            tokio::time::advance(Duration::from_secs(1)).await;
            told.extend(self.told().await);
        }
        told
    }

    /// The coordinator starts again, and knows all that it received.
    pub(super) fn restart(&mut self) {
        self.session.cut();
        self.session.hello();
        self.life += 1;
        let life = Some(Life { cluster: 7, number: self.life });
        let received = self.received;
        self.session.welcome(Welcome { resumed: true, recovered: true, received, life }).unwrap();
    }
}

fn brief(frame: &Up) -> Option<String> {
    let n = |attempt: &AttemptId| attempt.task.0;
    Some(match frame {
        Up::Progress { attempt, activity: Activity::Suspended, .. } => format!("parked {}", n(attempt)),
        Up::Progress { attempt, .. } => format!("runs {}", n(attempt)),
        Up::Returned(attempt) => format!("back {}", n(attempt)),
        Up::CancelSeen { attempt, .. } => format!("seen {}", n(attempt)),
        Up::Item { attempt, seq, .. } => format!("item {seq} of {}", n(attempt)),
        Up::Snapshot(snapshot) => {
            let state = crate::codec::debug(&snapshot.state);
            let with = snapshot.with.map(|call| format!(" with {}", n(&call))).unwrap_or_default();
            format!("state {state} of {}{with}", n(&snapshot.incarnation))
        }
        Up::Ended { attempt, outcome, .. } => match outcome {
            Outcome::Returned(value) => format!("{} returned {}", n(attempt), crate::codec::debug(value)),
            Outcome::Raised(failure) => format!("{} raised {:?}", n(attempt), failure.kind),
            Outcome::Cancelled(_) => format!("{} cancelled", n(attempt)),
        },
        Up::Attempt(held) => {
            let begun = if held.begun { "begun" } else { "waiting" };
            format!("holds {} {begun} {:?}", n(&held.attempt), held.activity)
        }
        Up::Rejoined { starts } => format!("rejoined after {starts}"),
        Up::Abandoned(threads) => format!("{threads} threads held"),
        Up::Drain => "drains".to_owned(),
        _ => return None,
    })
}
