//! A cluster in one thread: a core, peers with links of their own, and a clock that the test moves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farloop_core::api::{Call, CallError, Config, Event, Input, More, Output, Record, Reply, TaskView, Told};
use farloop_core::frame::{Activity, Down, Hello, HelloReply, Owner, PROTOCOL_VERSION, Role, Start, Submit, Up};
use farloop_core::id::{AttemptId, CallId, ConnId, SessionId, TaskId};
use farloop_core::limits;
use farloop_core::link::Link;
use farloop_core::machine::Core;
use farloop_core::outcome::{Failure, FailureKind, Outcome};
use farloop_core::spec::{FunctionDef, Options, Spec};
use farloop_core::time::Time;

use crate::restart::Memory;

pub(crate) struct Peer {
    pub(crate) link: Link<Up>,
    pub(crate) conn: Option<ConnId>,
    pub(crate) role: Role,
    pub(crate) functions: Vec<FunctionDef>,
    pub(crate) granted: u64,
    /// Its connection is broken and the core does not know.
    pub(crate) lost: bool,
    pub(crate) got: Vec<Down>,
    /// The last welcome said that the session was known.
    pub(crate) resumed: bool,
    /// What it would tell a coordinator that started again.
    pub(crate) memory: Memory,
}

pub(crate) struct Cluster {
    pub(crate) core: Core,
    pub(crate) now: Time,
    pub(crate) peers: BTreeMap<SessionId, Peer>,
    pub(crate) events: Vec<Event>,
    pub(crate) records: Vec<(u64, Record)>,
    /// Parts of the store that may leave, with the record that must be durable first.
    pub(crate) carried: Vec<(u64, u64)>,
    pub(crate) synced: u64,
    /// What every core is made with.
    pub(crate) config: Config,
    pub(crate) replies: BTreeMap<CallId, Result<Reply, CallError>>,
    /// Messages of calls that are answered by many.
    pub(crate) told: BTreeMap<CallId, Vec<Told>>,
    /// Of those, the ones that had their last message.
    pub(crate) over: BTreeSet<CallId>,
    /// Of those, the ones whose reader comes only when the test says so.
    pub(crate) slow: BTreeSet<CallId>,
    pub(crate) closed: Vec<(SessionId, String)>,
    pub(crate) rejected: Vec<String>,
    conns: u64,
    calls: u64,
    /// Of the next worker that says hello.
    labels: Vec<(String, String)>,
    /// Peers that said hello, and over which connection last.
    hellos: BTreeMap<SessionId, ConnId>,
}

/// Cases of a property, or what `PROPTEST_CASES` says.
pub(crate) fn cases(cases: u32) -> proptest::test_runner::Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|c| c.parse().ok()).unwrap_or(cases);
    proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() }
}

pub(crate) fn session(n: u128) -> SessionId {
    SessionId(n + 1_000_000)
}

pub(crate) fn id(n: u128) -> TaskId {
    TaskId(n)
}

pub(crate) fn def(name: &str, fingerprint: u64) -> FunctionDef {
    FunctionDef {
        name: name.into(),
        fingerprint,
        args: vec![("x".into(), "f64".into())],
        returns: "f64".into(),
        concurrency: 0,
        actor: None,
    }
}

pub(crate) fn spec(function: &str) -> Spec {
    Spec {
        function: function.into(),
        fingerprint: 0,
        args: Bytes::new(),
        dependencies: Vec::new(),
        name: None,
        options: Options::default(),
        trace: None,
        context: None,
        stream: false,
        actor: None,
    }
}

pub(crate) fn returned(text: &str) -> Outcome {
    Outcome::Returned(Bytes::copy_from_slice(text.as_bytes()))
}

pub(crate) fn raised(text: &str) -> Outcome {
    Outcome::Raised(Arc::new(Failure::new(FailureKind::Raised, "f".into(), text.into())))
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        #[cfg(feature = "planted-bugs")]
        let config = Config { planted: crate::planted::PLANTED.get(), ..config };
        Self {
            core: Core::new(config.clone()),
            now: Time(1_000),
            peers: BTreeMap::new(),
            events: Vec::new(),
            records: Vec::new(),
            carried: Vec::new(),
            synced: 0,
            config,
            replies: BTreeMap::new(),
            told: BTreeMap::new(),
            over: BTreeSet::new(),
            slow: BTreeSet::new(),
            closed: Vec::new(),
            rejected: Vec::new(),
            conns: 0,
            labels: Vec::new(),
            calls: 0,
            hellos: BTreeMap::new(),
        }
    }

    pub(crate) fn client(&mut self, n: u128) -> SessionId {
        self.join(n, Role::Client, Vec::new())
    }

    /// A worker that offers these functions and takes that many starts.
    pub(crate) fn worker(&mut self, n: u128, functions: &[&str], grant: u64) -> SessionId {
        let id = self.join(n, Role::Worker, functions.iter().map(|f| def(f, 1)).collect());
        self.grant(id, grant);
        id
    }

    pub(crate) fn join(&mut self, n: u128, role: Role, functions: Vec<FunctionDef>) -> SessionId {
        let id = session(n);
        let link = Link::new(limits::MAX_PAYLOAD);
        self.peers.insert(
            id,
            Peer {
                link,
                conn: None,
                role,
                functions,
                granted: 0,
                got: Vec::new(),
                resumed: false,
                lost: false,
                memory: Memory::default(),
            },
        );
        self.connect(id, false);
        id
    }

    /// A worker with labels.
    pub(crate) fn labelled_worker(
        &mut self,
        n: u128,
        functions: Vec<FunctionDef>,
        labels: &[(&str, &str)],
    ) -> SessionId {
        self.labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let id = self.join(n, Role::Worker, functions);
        self.labels.clear();
        id
    }

    pub(crate) fn connect(&mut self, id: SessionId, resume: bool) {
        self.sync_life();
        self.conns += 1;
        let conn = ConnId(self.conns);
        let peer = self.peers.get_mut(&id).expect("a peer of this test");
        peer.link.cut();
        peer.lost = false;
        let hello = Hello {
            session: id,
            protocol: PROTOCOL_VERSION,
            role: peer.role,
            name: format!("peer {}", id.0 - 1_000_000),
            resume,
            received: peer.link.received(),
            functions: peer.functions.clone(),
            slots: 4,
            connection: self.conns,
            acked: peer.link.acked(),
            life: peer.memory.life,
            process: None,
            labels: self.labels.clone(),
        };
        self.hellos.insert(id, conn);
        self.input(Input::Hello { conn, hello });
        self.deliver(id);
    }

    /// Answers to hellos so far will not come.
    pub(crate) fn forget_hellos(&mut self) {
        self.hellos.clear();
    }

    /// The connection breaks and only the peer notices, later: what the core sends meanwhile is lost.
    pub(crate) fn lose(&mut self, id: SessionId) {
        let peer = self.peers.get_mut(&id).expect("a peer of this test");
        peer.lost = peer.conn.is_some();
    }

    /// The connection breaks; neither end has lost its memory.
    pub(crate) fn cut(&mut self, id: SessionId) {
        let peer = self.peers.get_mut(&id).expect("a peer of this test");
        let conn = peer.conn.take();
        peer.link.cut();
        if let Some(conn) = conn {
            self.input(Input::Cut { session: id, conn });
        }
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.core.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        self.law();
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Hello { conn, reply } => self.welcome(conn, reply),
                Output::Wake(session) => self.take(session, usize::MAX),
                Output::Close { session, conn, reason } => {
                    let peer = self.peers.get_mut(&session).expect("a peer of this test");
                    if peer.conn == Some(conn) {
                        peer.conn = None;
                    }
                    self.closed.push((session, reason));
                }
                Output::Reply { call, reply } => assert!(self.replies.insert(call, *reply).is_none(), "answered twice"),
                Output::Persist { seq, record } => self.records.push((seq, record)),
                Output::More(call) => self.read(call, usize::MAX),
                Output::Event(event) => self.events.push(event),
                Output::Carried { part, seq } => self.carried.push((part, seq)),
            }
            self.law();
        }
    }

    pub(crate) fn law(&self) {
        if let Err(violation) = self.core.check() {
            panic!("{violation}");
        }
    }

    fn welcome(&mut self, conn: ConnId, reply: HelloReply) {
        let Some(session) = self.hellos.iter().find(|(_, newest)| **newest == conn).map(|(session, _)| *session) else {
            return;
        };
        let peer = self.peers.get_mut(&session).expect("a peer of this test");
        match reply {
            HelloReply::Welcome { resumed, received, life, recovered, .. } => {
                peer.resumed = resumed;
                peer.memory.welcomed(resumed, life);
                if resumed {
                    peer.link.resume(received).expect("both ends remember the session");
                } else {
                    peer.link = Link::new(limits::MAX_PAYLOAD);
                }
                peer.conn = Some(conn);
                if recovered {
                    self.rejoin(session);
                }
            }
            HelloReply::Rejected { reason, .. } => self.rejected.push(reason),
        }
    }

    /// The peer takes up to `batches` batches.
    pub(crate) fn take(&mut self, session: SessionId, batches: usize) {
        for _ in 0..batches {
            let Some(batch) = self.core.poll_batch(self.now, session, false) else { return };
            let peer = self.peers.get_mut(&session).expect("a peer of this test");
            if peer.lost {
                continue;
            }
            let (got, memory) = (&mut peer.got, &mut peer.memory);
            let each = |frame| {
                memory.hear(&frame);
                got.push(frame);
            };
            peer.link.receive(batch, each).expect("the core keeps the link's rules");
        }
    }

    pub(crate) fn send(&mut self, id: SessionId, frame: Up) {
        let peer = self.peers.get_mut(&id).expect("a peer of this test");
        let number = peer.link.sent() + peer.link.queued() as u64 + 1;
        peer.memory.say(&frame, number);
        peer.link.push(frame);
        self.deliver(id);
    }

    /// Sends all that waits at this peer.
    pub(crate) fn deliver(&mut self, id: SessionId) {
        loop {
            let peer = self.peers.get_mut(&id).expect("a peer of this test");
            let (Some(conn), false) = (peer.conn, peer.lost) else { return };
            let Some(batch) = peer.link.poll_batch(true) else { return };
            self.input(Input::Batch { session: id, conn, batch });
        }
    }

    pub(crate) fn grant(&mut self, id: SessionId, more: u64) {
        let peer = self.peers.get_mut(&id).expect("a peer of this test");
        peer.granted += more;
        let total = peer.granted;
        self.send(id, Up::Grant(total));
    }

    pub(crate) fn tick(&mut self) {
        self.input(Input::Tick);
    }

    /// Lets that much time pass; ticks when asked to. Workers that are connected beat.
    pub(crate) fn pass(&mut self, by: Duration) {
        let end = self.now + by;
        let mut beat = self.now + Duration::from_secs(1);
        loop {
            let due = self.core.next_deadline().filter(|d| *d <= end);
            match due {
                Some(at) if at <= beat => {
                    self.now = self.now.max(at);
                    self.tick();
                }
                _ if beat <= end => {
                    self.now = beat;
                    beat = beat + Duration::from_secs(1);
                    let workers: Vec<SessionId> = self
                        .peers
                        .iter()
                        .filter(|(_, p)| p.role == Role::Worker && p.conn.is_some())
                        .map(|(s, _)| *s)
                        .collect();
                    for worker in workers {
                        self.send(worker, Up::Heartbeat);
                    }
                }
                _ => break,
            }
        }
        self.now = end;
        self.tick();
    }

    /// Runs queued work until there is none.
    pub(crate) fn settle(&mut self) {
        while self.core.next_deadline().is_some_and(|d| d <= self.now) {
            self.tick();
        }
    }

    pub(crate) fn submit(&mut self, from: SessionId, task: TaskId, spec: Spec) {
        self.submit_as(from, task, spec, Owner::Root, None);
    }

    pub(crate) fn submit_as(
        &mut self,
        from: SessionId,
        task: TaskId,
        spec: Spec,
        owner: Owner,
        creator: Option<AttemptId>,
    ) {
        self.send(from, Up::Submit(Submit { task, spec: Arc::new(spec), owner, creator, within: None }));
    }

    /// A call made in a timeout scope that has that much time left.
    pub(crate) fn submit_within(
        &mut self,
        from: SessionId,
        task: TaskId,
        spec: Spec,
        creator: Option<AttemptId>,
        within: Duration,
    ) {
        let (spec, owner, within) = (Arc::new(spec), Owner::Await, Some(within));
        self.send(from, Up::Submit(Submit { task, spec, owner, creator, within }));
    }

    pub(crate) fn starts(&self, worker: SessionId) -> Vec<Start> {
        let starts = self.peers[&worker].got.iter().filter_map(|d| match d {
            Down::Start(start) => Some(start.clone()),
            _ => None,
        });
        starts.collect()
    }

    /// The last attempt that was started for this task, and where.
    pub(crate) fn running(&self, task: TaskId) -> (SessionId, AttemptId) {
        let all = self.peers.keys().flat_map(|s| self.starts(*s).into_iter().map(|start| (*s, start.attempt)));
        all.filter(|(_, a)| a.task == task)
            .max_by_key(|(_, a)| a.epoch)
            .unwrap_or_else(|| panic!("task {task} was not started"))
    }

    pub(crate) fn end(&mut self, task: TaskId, outcome: Outcome) {
        self.end_delivered(task, outcome, 0);
    }

    pub(crate) fn end_delivered(&mut self, task: TaskId, outcome: Outcome, delivered: u32) {
        let (worker, attempt) = self.running(task);
        self.send(worker, Up::Ended { attempt, outcome, delivered });
    }

    /// All records so far are durable.
    pub(crate) fn sync(&mut self) {
        while let Some((seq, _)) = self.records.last()
            && *seq > self.synced
        {
            let seq = *seq;
            self.synced = seq;
            self.input(Input::Durable(seq));
        }
    }

    pub(crate) fn suspend(&mut self, task: TaskId, awaits: &[TaskId], blocked: bool) {
        let (worker, attempt) = self.running(task);
        self.send(worker, Up::Progress { attempt, activity: Activity::Suspended, awaits: awaits.to_vec(), blocked });
    }

    pub(crate) fn got(&self, session: SessionId) -> &[Down] {
        &self.peers[&session].got
    }

    pub(crate) fn outcomes(&self, session: SessionId, task: TaskId) -> Vec<Outcome> {
        let told = self.got(session).iter().filter_map(|d| match d {
            Down::Resolved { task: t, outcome } if *t == task => Some(outcome.clone()),
            _ => None,
        });
        told.collect()
    }

    /// The one outcome this session was told (L10).
    pub(crate) fn outcome(&self, session: SessionId, task: TaskId) -> Outcome {
        let told = self.outcomes(session, task);
        assert_eq!(told.len(), 1, "L10: task {task} resolved {} times", told.len());
        told[0].clone()
    }

    pub(crate) fn failure(&self, session: SessionId, task: TaskId) -> Failure {
        match self.outcome(session, task) {
            Outcome::Raised(failure) => (*failure).clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Whoever made this call takes up to that many of its messages.
    pub(crate) fn read(&mut self, call: CallId, messages: usize) {
        if self.slow.contains(&call) && messages == usize::MAX {
            return;
        }
        for _ in 0..messages {
            match self.core.poll_call(call) {
                More::Told(told) => self.told.entry(call).or_default().push(told),
                More::Again => {}
                More::Later => return,
                More::Over => {
                    self.over.insert(call);
                    return;
                }
            }
        }
    }

    /// Makes a call that is answered by many messages, and reads what is there.
    pub(crate) fn open(&mut self, request: Call) -> CallId {
        let call = self.call(request);
        match self.replies.remove(&call) {
            Some(Ok(Reply::Opened)) => self.read(call, usize::MAX),
            other => panic!("{other:?}"),
        }
        call
    }

    pub(crate) fn call(&mut self, request: Call) -> CallId {
        self.calls += 1;
        self.input(Input::Call { call: CallId(self.calls), request });
        CallId(self.calls)
    }

    pub(crate) fn ask(&mut self, request: Call) -> Result<Reply, CallError> {
        let call = self.call(request);
        self.settle();
        self.replies.remove(&call).expect("answered at once")
    }

    pub(crate) fn view(&mut self, task: TaskId) -> TaskView {
        match self.ask(Call::Get(task)) {
            Ok(Reply::Task(view)) => view,
            other => panic!("{other:?}"),
        }
    }
}
