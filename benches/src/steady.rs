//! The core alone, busy: one client that submits no-ops, one worker that ends them, no wire and no runtime between.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use farloop_core::api::{Config, Input};
use farloop_core::frame::{Down, Hello, Owner, PROTOCOL_VERSION, Role, Submit, Up};
use farloop_core::id::{AttemptId, ConnId, SessionId, TaskId};
use farloop_core::link::{Batch, Item};
use farloop_core::machine::Core;
use farloop_core::outcome::Outcome;
use farloop_core::spec::{FunctionDef, Options, Spec};
use farloop_core::time::Time;

const FUNCTION: &str = "demo.noop";
const CLIENT: SessionId = SessionId(1);
const WORKER: SessionId = SessionId(2);

/// A submit frame of a task that does nothing.
#[must_use]
pub fn submit(number: u128, args: &Bytes) -> Up {
    let spec = Spec {
        function: FUNCTION.into(),
        fingerprint: 7,
        args: args.clone(),
        dependencies: Vec::new(),
        name: None,
        options: Options::default(),
        trace: None,
        context: None,
        stream: false,
        actor: None,
    };
    Up::Submit(Submit { task: TaskId(number), spec: Arc::new(spec), owner: Owner::Root, creator: None, within: None })
}

/// The end of an attempt that returned nothing.
#[must_use]
pub fn ended(attempt: AttemptId) -> Up {
    // MessagePack's nil: what `()` is as a result.
    Up::Ended { attempt, outcome: Outcome::Returned(Bytes::from_static(&[0xc0])), delivered: 0 }
}

/// A core in which `live` tasks wait or run at any moment.
#[derive(Debug)]
pub struct Steady {
    core: Core,
    now: u64,
    client: Peer,
    worker: Peer,
    running: VecDeque<AttemptId>,
    granted: u64,
    submitted: u128,
    args: Bytes,
    /// Outcomes that reached the client.
    pub resolved: u64,
}

impl Steady {
    /// Fills the core. The worker takes `credits` attempts at a time, the others wait in the queue.
    #[must_use]
    pub fn new(live: usize, credits: u64) -> Self {
        let mut steady = Self {
            core: Core::new(Config { max_live_tasks: live + 1, ..Config::default() }),
            now: 0,
            client: Peer::new(CLIENT),
            worker: Peer::new(WORKER),
            running: VecDeque::new(),
            granted: credits,
            submitted: 0,
            args: Bytes::from_static(&[0x90]),
            resolved: 0,
        };
        steady.hello(CLIENT, Role::Client);
        steady.hello(WORKER, Role::Worker);
        let grant = vec![Up::Grant(credits)];
        let batch = steady.worker.send(grant);
        steady.handle(Input::Batch { session: WORKER, conn: ConnId(WORKER.0 as u64), batch });
        for _ in 0..live.div_ceil(1_000) {
            steady.submit(1_000.min(live));
            steady.deliver();
        }
        steady
    }

    /// Ends up to `count` running attempts and submits as many new tasks; everything goes where it belongs.
    pub fn turn(&mut self, count: usize) {
        let ending: Vec<Up> = self.running.drain(..count.min(self.running.len())).map(ended).collect();
        let ended = ending.len();
        self.granted += ended as u64;
        let mut frames = ending;
        frames.push(Up::Grant(self.granted));
        let batch = self.worker.send(frames);
        self.handle(Input::Batch { session: WORKER, conn: ConnId(WORKER.0 as u64), batch });
        self.submit(ended);
        self.deliver();
    }

    fn submit(&mut self, count: usize) {
        let frames = (0..count)
            .map(|_| {
                self.submitted += 1;
                submit(self.submitted, &self.args)
            })
            .collect();
        let batch = self.client.send(frames);
        self.handle(Input::Batch { session: CLIENT, conn: ConnId(CLIENT.0 as u64), batch });
    }

    fn hello(&mut self, session: SessionId, role: Role) {
        let function = FunctionDef {
            name: FUNCTION.into(),
            fingerprint: 7,
            args: Vec::new(),
            returns: "()".into(),
            concurrency: 0,
            actor: None,
        };
        let hello = Hello {
            session,
            protocol: PROTOCOL_VERSION,
            role,
            name: "bench".into(),
            resume: false,
            received: 0,
            functions: if role == Role::Worker { vec![function] } else { Vec::new() },
            slots: 1,
            connection: 1,
            acked: 0,
            life: None,
            labels: Vec::new(),
            process: None,
        };
        self.handle(Input::Hello { conn: ConnId(session.0 as u64), hello });
    }

    fn handle(&mut self, input: Input) {
        self.now += 1;
        self.core.handle(Time(self.now), input);
        while self.core.poll_output().is_some() {}
        while self.core.next_deadline().is_some_and(|at| at <= Time(self.now)) {
            self.core.handle(Time(self.now), Input::Tick);
            while self.core.poll_output().is_some() {}
        }
    }

    fn deliver(&mut self) {
        while let Some(batch) = self.core.poll_batch(Time(self.now), WORKER, false) {
            self.worker.received += batch.items.len() as u64;
            for item in batch.items {
                if let Item::Frame(Down::Start(start)) = item {
                    self.running.push_back(start.attempt);
                }
            }
        }
        while let Some(batch) = self.core.poll_batch(Time(self.now), CLIENT, false) {
            self.client.received += batch.items.len() as u64;
            self.resolved +=
                batch.items.iter().filter(|i| matches!(i, Item::Frame(Down::Resolved { .. }))).count() as u64;
        }
        // Each peer acknowledges now and then even with nothing to say, or its window would close.
        for peer in [&mut self.client, &mut self.worker] {
            if peer.received - peer.told > 4_096 {
                let (session, batch) = (peer.session, peer.send(Vec::new()));
                self.core.handle(Time(self.now), Input::Batch { session, conn: ConnId(session.0 as u64), batch });
            }
        }
    }
}

/// The far end of a session, as cheap as it can be: it counts.
#[derive(Debug)]
struct Peer {
    session: SessionId,
    sent: u64,
    received: u64,
    told: u64,
}

impl Peer {
    fn new(session: SessionId) -> Self {
        Self { session, sent: 0, received: 0, told: 0 }
    }

    fn send(&mut self, frames: Vec<Up>) -> Batch<Up> {
        let batch =
            Batch { first: self.sent, ack: self.received, items: frames.into_iter().map(Item::Frame).collect() };
        self.sent += batch.items.len() as u64;
        self.told = self.received;
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_comes_back() {
        let mut steady = Steady::new(3_000, 64);
        for _ in 0..1_000 {
            steady.turn(64);
        }
        assert_eq!(steady.resolved, 64_000);
        assert_eq!(steady.core.stats().live, 3_000);
        assert_eq!(steady.core.stats().leases, 64);
    }
}
