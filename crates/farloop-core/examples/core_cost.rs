//! What a no-op task costs the core: submit, start, end, resolve, at a backlog of 10,000 and of 1,000,000 tasks;
//! what a call of an actor costs, to one and in turn to 1,000; and what a pending and a finished task weigh, and an idle
//! actor. Run it in release; `-- tasks` and `-- actors` do one half.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use farloop_core::actor::{ActorDef, Address, Host, Part, Turns};
use farloop_core::api::{Config, Input};
use farloop_core::frame::{Activity, Down, Hello, Owner, PROTOCOL_VERSION, Role, Submit, Up};
use farloop_core::id::{ConnId, SessionId, TaskId};
use farloop_core::link::Link;
use farloop_core::machine::Core;
use farloop_core::outcome::Outcome;
use farloop_core::spec::{FunctionDef, Options, Spec};
use farloop_core::time::Time;

const BATCH: usize = 64;
const CLIENT: SessionId = SessionId(1);
const WORKER: SessionId = SessionId(2);
const TASK: &str = "demo.noop";
const TYPE: &str = "demo.Idle";
const METHOD: &str = "demo.Idle.noop";

fn spec(function: &Arc<str>, options: Options, actor: Option<Arc<Part>>) -> Spec {
    Spec {
        function: function.clone(),
        fingerprint: 7,
        args: Bytes::from_static(b"\x90"),
        dependencies: Vec::new(),
        name: None,
        options,
        trace: None,
        context: None,
        stream: false,
        actor,
    }
}

/// A core with one client and one worker; only calls of the core are timed.
struct Bench {
    core: Core,
    client: Link<Up>,
    worker: Link<Up>,
    spec: Arc<Spec>,
    next: u128,
    granted: u64,
    now: u64,
    spent: Duration,
    resolved: usize,
}

impl Bench {
    fn new() -> Self {
        let retained_tasks = 2_000_000;
        let config =
            Config { retained_tasks, retained_bytes: usize::MAX, max_live_tasks: 4_000_000, ..Config::default() };
        let spec = spec(&TASK.into(), Options::default(), None);
        let mut bench = Self {
            core: Core::new(config),
            client: Link::new(1 << 20),
            worker: Link::new(1 << 20),
            spec: Arc::new(spec),
            next: 1 << 80,
            granted: 0,
            now: 0,
            spent: Duration::ZERO,
            resolved: 0,
        };
        for (session, role) in [(CLIENT, Role::Client), (WORKER, Role::Worker)] {
            let def = |name: &str, actor: Option<ActorDef>| FunctionDef {
                name: name.into(),
                fingerprint: 7,
                args: Vec::new(),
                returns: "()".into(),
                concurrency: 0,
                actor: actor.map(Arc::new),
            };
            let (kind, method) = (ActorDef::Type(Host::default()), ActorDef::Method(Turns::Alone));
            let functions = vec![def(TASK, None), def(TYPE, Some(kind)), def(METHOD, Some(method))];
            let functions = if role == Role::Worker { functions } else { Vec::new() };
            let (name, protocol) = (String::new(), PROTOCOL_VERSION);
            let hello = Hello {
                session,
                protocol,
                role,
                name,
                resume: false,
                received: 0,
                functions,
                slots: 64,
                connection: 1,
                acked: 0,
                life: None,
                labels: Vec::new(),
                process: None,
            };
            bench.core.handle(Time(0), Input::Hello { conn: ConnId(session.0 as u64), hello });
        }
        bench
    }

    fn feed(&mut self, session: SessionId) {
        let conn = ConnId(session.0 as u64);
        self.now += 10;
        loop {
            let link = if session == CLIENT { &mut self.client } else { &mut self.worker };
            let Some(batch) = link.poll_batch(true) else { return };
            let begun = Instant::now();
            self.core.handle(Time(self.now), Input::Batch { session, conn, batch });
            while self.core.poll_output().is_some() {}
            self.spent += begun.elapsed();
        }
    }

    /// Takes what the core has for a session.
    fn take(&mut self, session: SessionId, into: &mut Vec<Down>) {
        loop {
            let begun = Instant::now();
            let batch = self.core.poll_batch(Time(self.now), session, true);
            self.spent += begun.elapsed();
            let Some(batch) = batch else { return };
            let link = if session == CLIENT { &mut self.client } else { &mut self.worker };
            link.receive(batch, |frame| into.push(frame)).expect("the core keeps the link's rules");
        }
    }

    fn submit(&mut self, tasks: usize, spec: impl Fn(usize) -> Arc<Spec>) {
        let mut frames = Vec::new();
        for at in 0..tasks {
            self.next += 1 << 64;
            let task = TaskId(self.next | at as u128);
            self.client.push(Up::Submit(Submit {
                task,
                spec: spec(at),
                owner: Owner::Root,
                creator: None,
                within: None,
            }));
            if at % BATCH == BATCH - 1 || at == tasks - 1 {
                self.feed(CLIENT);
                // Acknowledgements open the client's window again.
                self.take(CLIENT, &mut frames);
            }
        }
    }

    /// The worker takes that many starts and ends them at once.
    fn run(&mut self, tasks: usize) {
        let mut frames = Vec::new();
        for _ in 0..tasks / BATCH {
            self.granted += BATCH as u64;
            self.worker.push(Up::Grant(self.granted));
            self.feed(WORKER);
            self.take(WORKER, &mut frames);
            for frame in frames.drain(..) {
                let Down::Start(start) = frame else { continue };
                let outcome = Outcome::Returned(Bytes::from_static(b"\xc0"));
                self.worker.push(Up::Ended { attempt: start.attempt, outcome, delivered: 0 });
            }
            self.feed(WORKER);
            self.take(CLIENT, &mut frames);
            self.resolved += frames.drain(..).filter(|f| matches!(f, Down::Resolved { .. })).count();
        }
    }

    /// Makes actors and lets their worker say that they are up.
    fn host(&mut self, count: usize, part: impl Fn(usize) -> Part) -> Vec<TaskId> {
        let (function, mut frames, mut hosts) = (Arc::from(TYPE), Vec::new(), Vec::new());
        while hosts.len() < count {
            let chunk = BATCH.min(count - hosts.len());
            self.submit(chunk, |at| Arc::new(spec(&function, Options::default(), Some(Arc::new(part(at))))));
            self.granted += chunk as u64;
            self.worker.push(Up::Grant(self.granted));
            self.feed(WORKER);
            self.take(WORKER, &mut frames);
            for frame in frames.drain(..) {
                let Down::Start(start) = frame else { continue };
                hosts.push(start.attempt.task);
                let (attempt, activity) = (start.attempt, Activity::Suspended);
                self.worker.push(Up::Progress { attempt, activity, awaits: Vec::new(), blocked: false });
            }
            self.feed(WORKER);
        }
        hosts
    }

    /// Time of the core per task, with this many others waiting.
    fn cycle(&mut self, tasks: usize) -> f64 {
        let spec = self.spec.clone();
        self.cycle_of(tasks, |_| spec.clone())
    }

    /// The same of what is described like that.
    fn cycle_of(&mut self, tasks: usize, spec: impl Fn(usize) -> Arc<Spec>) -> f64 {
        self.spent = Duration::ZERO;
        let (begun, cpu) = (Instant::now(), on_cpu());
        let before = self.resolved;
        for round in 0..tasks / BATCH {
            self.submit(BATCH, |at| spec(round * BATCH + at));
            self.run(BATCH);
        }
        assert_eq!(self.resolved - before, tasks / BATCH * BATCH);
        // On a machine that is shared the wall also counts others: only our share of it is ours.
        let share = match (on_cpu() - cpu) as f64 / begun.elapsed().as_nanos() as f64 {
            share if share > 0.0 => share.min(1.0),
            _ => 1.0,
        };
        self.spent.as_nanos() as f64 * share / (tasks / BATCH * BATCH) as f64
    }
}

/// Nanoseconds this thread has run.
fn on_cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// Resident bytes of this process.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|p| p.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn main() {
    let half = std::env::args().nth(1);
    if half.as_deref() != Some("actors") {
        tasks();
    }
    if half.as_deref() != Some("tasks") {
        actors();
    }
}

/// Calls as the SDK makes them: a worker that is lost does not run them twice.
fn call(method: &Arc<str>, to: Address) -> Arc<Spec> {
    let options = Options { max_crashes: 0, ..Options::default() };
    Arc::new(spec(method, options, Some(Arc::new(Part::Call { to, waits: false }))))
}

fn actors() {
    let method: Arc<str> = METHOD.into();
    for count in [1, 1_000] {
        let mut bench = Bench::new();
        let hosts = bench.host(count, |_| Part::Host(Host::default()));
        let calls: Vec<_> = hosts.iter().map(|id| call(&method, Address::Actor(*id))).collect();
        bench.cycle_of(16_000, |at| calls[at % count].clone());
        let cost = bench.cycle_of(200_000, |at| calls[at % count].clone());
        println!("actors, {count}: {cost:.0} ns per no-op call");
    }
    let mut bench = Bench::new();
    let name: Arc<str> = "one".into();
    bench.host(1, |_| Part::Host(Host { name: Some(name.clone()), ..Host::default() }));
    let by_name = call(&method, Address::Name { name, make: None });
    bench.cycle_of(16_000, |_| by_name.clone());
    println!("  {:.0} ns per call by name", bench.cycle_of(200_000, |_| by_name.clone()));

    let count = 1_000_000;
    let mut bench = Bench::new();
    bench.host(1_000, |_| Part::Host(Host::default()));
    let (before, begun) = (resident(), Instant::now());
    let hosts = bench.host(count, |_| Part::Host(Host::default()));
    let (made, each) = (begun.elapsed(), (resident() - before) as f64 / count as f64);
    // This program keeps their ids.
    let each = each - size_of::<TaskId>() as f64 * hosts.capacity() as f64 / count as f64;
    println!("{count} idle actors: made in {made:?}, {each:.0} B each with their specs");
    let calls: Vec<_> = hosts.iter().step_by(10).map(|id| call(&method, Address::Actor(*id))).collect();
    let cost = bench.cycle_of(100_000, |at| calls[at % calls.len()].clone());
    println!("  {cost:.0} ns per no-op call, each to another one");
}

fn tasks() {
    for live in [0, 10_000, 1_000_000] {
        let mut bench = Bench::new();
        let spec = bench.spec.clone();
        let before = resident();
        let begun = Instant::now();
        bench.submit(live, |_| spec.clone());
        assert_eq!(bench.core.stats().live, live);
        let pending = (resident() - before) as f64 / live.max(1) as f64;
        println!("backlog of {live}: filled in {:?}", begun.elapsed());
        if live == 1_000_000 {
            println!("  {pending:.0} B per pending task besides its spec");
        }
        bench.cycle(live.clamp(64_000, 200_000) / 4);
        println!("  {:.0} ns per no-op task", bench.cycle(200_000));
        if live == 1_000_000 {
            bench.run(live);
            let stats = bench.core.stats();
            println!(
                "  {} live, {} retained: {:.0} B each",
                stats.live,
                stats.retained,
                (resident() - before) as f64 / stats.retained as f64
            );
        }
    }
}
