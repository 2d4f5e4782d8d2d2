//! Bodies of model tasks: little programs that a model worker interprets.
//!
//! Programs lie in a library that each seed draws. A script only calls scripts of lower numbers, so trees end; the
//! chain, which calls itself, counts down.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use farloop_core::frame::Owner;
use farloop_core::id::{AttemptId, Epoch, TaskId};
use farloop_core::limits;
use farloop_core::spec::{Backoff, Limit, Options, Policy as Paced, Spec, Trace};

use crate::plan::{FUNCTIONS, Plan};
use crate::rng::Rng;

/// What a body does when an await raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `?`.
    Propagate,
    /// Goes on as if nothing had happened, cancelled or not.
    Suppress,
    /// Sleeps that many milliseconds, then passes the error on.
    Cleanup(u64),
    /// Calls a script, then passes the error on.
    CleanupCall(usize),
    /// Suppresses a failure and passes a cancel on.
    Recover,
}

/// One statement. Tasks that were spawned are named by their number in the body.
#[derive(Clone, Debug)]
pub enum Op {
    /// A farloop timer: gives the slot back, and a cancel is delivered here.
    Sleep(u64),
    /// Foreign I/O: keeps the slot, and a cancel has to wait.
    Work(u64),
    /// `f(x).await`.
    Call(usize),
    /// Starts a script; dependencies are tasks spawned before.
    Spawn(usize, Owner, Vec<usize>),
    /// Awaits a spawned task: a forwarding edge.
    Await(usize),
    /// Awaits several: the first failure surfaces at once.
    Gather(Vec<usize>),
    /// `wait_for`: cancels it when time is over, and waits for its end.
    WaitFor(usize, u64),
    /// `wait` with a timeout: local, forwards nothing.
    Wait(Vec<usize>, u64),
    /// `shield`: awaits without forwarding.
    Shield(usize),
    /// Asks a spawned task to stop.
    Cancel(usize),
    /// Withdraws that.
    Uncancel(usize),
    /// Awaits the task it was told about in its arguments, which may await this one.
    AwaitPeer,
    /// Awaits the task that created it.
    AwaitParent,
    /// Calls itself with a smaller number, until that is zero.
    Chain,
    /// Takes one of the cluster's locks, or a permit of its semaphore; gives up after a while.
    Take(u8),
    /// Gives back all it has taken.
    LetGo,
    /// Puts an item into the cluster's queue.
    Put,
    /// Gets one; gives up after a while.
    Get,
    /// Sets what happens when an await raises from here on.
    Policy(Policy),
    /// Fails unless it is at least this attempt.
    FailBefore(u32),
    /// A sign of life: how far it is.
    Beat,
    /// Tells whoever watches how far it is.
    Tell,
    /// Fails.
    Fail,
    /// Panics.
    Panic,
    /// Returns a value above one part.
    ReturnBig,
    /// Yields that many items of about that many bytes, if it was called as a stream.
    Emit(u32, usize),
}

/// A program, and the options its calls are made with.
#[derive(Clone, Debug)]
pub struct Script {
    /// Registered function that stands for it.
    pub function: usize,
    /// Statements; at their end it returns.
    pub ops: Vec<Op>,
    /// Options of its calls.
    pub options: Options,
    /// Yields items.
    pub stream: bool,
}

/// What a call's argument bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Args {
    /// Number in the library.
    pub script: usize,
    /// For [`Op::Chain`].
    pub param: u32,
    /// For [`Op::AwaitParent`].
    pub parent: TaskId,
    /// For [`Op::AwaitPeer`].
    pub peer: TaskId,
}

impl Args {
    /// Plain arguments of a script.
    #[must_use]
    pub fn of(script: usize) -> Self {
        Self { script, param: 0, parent: TaskId(0), peer: TaskId(0) }
    }

    fn encode(self, padding: usize) -> Bytes {
        let mut out = BytesMut::with_capacity(40 + padding);
        out.put_u32(self.script as u32);
        out.put_u32(self.param);
        out.put_u128(self.parent.0);
        out.put_u128(self.peer.0);
        out.put_bytes(0, padding);
        out.freeze()
    }

    /// Reads what [`Library::spec`] wrote.
    ///
    /// # Panics
    /// If they are cut short: then the core changed an argument.
    #[must_use]
    pub fn decode(bytes: &Bytes) -> Self {
        let number =
            |from: usize, len: usize| bytes[from..from + len].iter().fold(0u128, |n, b| n << 8 | u128::from(*b));
        Self {
            script: number(0, 4) as usize,
            param: number(4, 4) as u32,
            parent: TaskId(number(8, 16)),
            peer: TaskId(number(24, 16)),
        }
    }
}

/// The value an attempt returns: it says who made it, so that no report can pass for another.
#[must_use]
pub fn value_of(attempt: AttemptId, big: bool) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u128(attempt.task.0);
    out.put_u64(attempt.epoch.0);
    if big {
        out.put_bytes(7, limits::PART + 1_000);
    }
    out.freeze()
}

/// Who made a value.
#[must_use]
pub fn maker_of(value: &Bytes) -> Option<AttemptId> {
    let task = u128::from_be_bytes(value.get(..16)?.try_into().ok()?);
    let epoch = u64::from_be_bytes(value.get(16..24)?.try_into().ok()?);
    Some(AttemptId { task: TaskId(task), epoch: Epoch(epoch) })
}

/// An item of a stream: who made it, and which one it is.
#[must_use]
pub fn item_of(attempt: AttemptId, seq: u64, padding: usize) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u128(attempt.task.0);
    out.put_u64(attempt.epoch.0);
    out.put_u64(seq);
    out.put_bytes(5, padding);
    out.freeze()
}

/// Name of a function.
#[must_use]
pub fn function_name(function: usize) -> Arc<str> {
    format!("sim.f{function}").into()
}

/// Fingerprint of a function.
#[must_use]
pub fn fingerprint(function: usize) -> u64 {
    100 + function as u64
}

/// All scripts of a world.
#[derive(Debug)]
pub struct Library {
    scripts: Vec<Script>,
    big: u64,
}

impl Library {
    /// Draws a library.
    pub fn draw(plan: &Plan, rng: &mut Rng) -> Self {
        let mut scripts = Vec::new();
        for _ in 0..5 {
            scripts.push(leaf(plan, rng));
        }
        // The first one has nobody below it to call, and would call itself each time that it is cancelled.
        for op in &mut scripts[0].ops {
            if let Op::Policy(policy @ Policy::CleanupCall(_)) = op {
                *policy = Policy::Cleanup(5);
            }
        }
        for _ in 0..9 {
            let script = branch(plan, rng, scripts.len());
            scripts.push(script);
        }
        let mut chain = Script { function: 0, ops: vec![Op::Chain], options: options(plan, rng), stream: false };
        // Every link of it tried three times would be three to the power of its length.
        chain.options.max_attempts = 1;
        if rng.chance(plan.stubborn) {
            chain.ops.insert(0, Op::Policy(policy(plan, rng, 3)));
        }
        crate::synced::lace(plan, &mut scripts);
        scripts.push(chain);
        Self { scripts, big: plan.big }
    }

    /// Scripts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scripts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scripts.is_empty()
    }

    /// The one that calls itself.
    #[must_use]
    pub fn chain(&self) -> usize {
        self.scripts.len() - 1
    }

    /// One script.
    #[must_use]
    pub fn get(&self, script: usize) -> &Script {
        &self.scripts[script]
    }

    /// A call.
    pub fn spec(&self, args: Args, dependencies: &[TaskId], rng: &mut Rng) -> Arc<Spec> {
        let script = self.get(args.script);
        let padding = if rng.chance(self.big) { rng.between(1, 2 * limits::PART as u64) as usize } else { 0 };
        let dependencies = dependencies
            .iter()
            .enumerate()
            .map(|(i, task)| farloop_core::spec::Dependency {
                position: i as u32,
                tasks: vec![*task],
                list: rng.chance(300),
            })
            .collect();
        let wrong = rng.chance(4);
        let trace = (script.function == 0).then(|| Arc::new(Trace { parent: "traced".into(), state: String::new() }));
        Arc::new(Spec {
            function: function_name(script.function),
            fingerprint: if wrong { 1 } else { *rng.pick(&[0, fingerprint(script.function)]) },
            args: args.encode(padding),
            dependencies,
            name: None,
            options: script.options.clone(),
            trace,
            context: None,
            // Without a consumer it is a task like any other, whose items are its result.
            stream: script.stream && rng.chance(850),
            actor: None,
        })
    }
}

fn options(plan: &Plan, rng: &mut Rng) -> Options {
    Options {
        timeout: rng.chance(plan.timeout).then(|| Duration::from_millis(rng.between(1, 3_000))),
        max_attempts: *rng.pick(&[1, 1, 1, 2, 3]),
        max_crashes: *rng.pick(&[3, 3, 1, 0]),
        priority: *rng.pick(&[None, None, None, Some(1), Some(-1)]),
        cancel_grace: *rng.pick(&[
            Some(limits::CANCEL_GRACE),
            Some(Duration::from_millis(300)),
            Some(Duration::from_secs(2)),
        ]),
        labels: Vec::new(),
        policy: None,
    }
}

/// Options that few calls set, of a script that calls nobody: one that waits for a task under its own limit would wait
/// for itself, and one that is tried again and again would multiply what it calls.
fn paced(rng: &mut Rng) -> Paced {
    let millis = |rng: &mut Rng, odds: u64, from: u64, to: u64| {
        rng.chance(odds).then(|| Duration::from_millis(rng.between(from, to)))
    };
    let key = rng.index(3);
    Paced {
        backoff: millis(rng, 500, 1, 800).map(|initial| Backoff {
            coefficient: *rng.pick(&[1.0, 1.5, 2.0]),
            jitter: *rng.pick(&[0.0, 0.1, 1.0]),
            ..Backoff::new(initial)
        }),
        schedule_to_start: millis(rng, 150, 50, 4_000),
        start_to_close: millis(rng, 250, 10, 3_000),
        heartbeat: millis(rng, 250, 100, 2_000),
        limit: rng.chance(400).then(|| Limit { key: format!("key {key}").into(), at_once: 1 + key as u32 * 2 }),
        fairness_key: rng.chance(400).then(|| format!("tenant {}", rng.below(4)).into()),
        ..Paced::default()
    }
}

fn function(rng: &mut Rng) -> usize {
    // The last function is rare: nobody offers it while there are faults, so its tasks are stranded (L15).
    if rng.chance(40) { FUNCTIONS - 1 } else { rng.index(FUNCTIONS - 1) }
}

fn end(plan: &Plan, rng: &mut Rng, ops: &mut Vec<Op>) {
    if rng.chance(plan.fail) {
        ops.push(rng.pick(&[Op::Fail, Op::Panic, Op::FailBefore(2), Op::FailBefore(3)]).clone());
    } else if rng.chance(plan.big) {
        ops.push(Op::ReturnBig);
    }
}

/// Makes a stream of some.
fn emit(plan: &Plan, rng: &mut Rng, ops: &mut Vec<Op>) -> bool {
    let stream = rng.chance(plan.stream);
    if stream {
        for _ in 0..rng.between(1, 3) {
            let (count, size) = *rng.pick(&[(1, 0), (3, 50_000), (20, 20_000), (20, 10), (300, 0), (700, 200)]);
            let at = rng.index(ops.len() + 1);
            ops.insert(at, Op::Emit(count, size));
        }
    }
    stream
}

fn policy(plan: &Plan, rng: &mut Rng, lower: usize) -> Policy {
    if !rng.chance(plan.stubborn) {
        return Policy::Propagate;
    }
    let ms = *rng.pick(&[0, 5, 100, 1_000, 15_000]);
    let callee = rng.index(lower);
    *rng.pick(&[Policy::Suppress, Policy::Suppress, Policy::Cleanup(ms), Policy::CleanupCall(callee), Policy::Recover])
}

fn leaf(plan: &Plan, rng: &mut Rng) -> Script {
    let mut ops = Vec::new();
    if rng.chance(300) {
        ops.push(Op::Policy(policy(plan, rng, 1)));
    }
    for _ in 0..rng.below(3) {
        let ms = *rng.pick(&[0, 1, 10, 100, 800]);
        ops.push(rng.pick(&[Op::Sleep(ms), Op::Work(ms / 4)]).clone());
        if rng.chance(plan.policy / 2) {
            ops.push(rng.pick(&[Op::Beat, Op::Tell]).clone());
        }
    }
    end(plan, rng, &mut ops);
    let stream = emit(plan, rng, &mut ops);
    let mut options = options(plan, rng);
    let calls = ops.iter().any(|op| matches!(op, Op::Policy(Policy::CleanupCall(_))));
    if !calls && rng.chance(plan.policy) {
        options.policy = Some(Box::new(paced(rng))).filter(|p| **p != Paced::default());
    }
    Script { function: function(rng), ops, options, stream }
}

fn branch(plan: &Plan, rng: &mut Rng, lower: usize) -> Script {
    let mut ops = Vec::new();
    let mut spawned = 0;
    if rng.chance(700) {
        ops.push(Op::Policy(policy(plan, rng, lower)));
    }
    for _ in 0..rng.between(1, 5) {
        let op = statement(plan, rng, lower, spawned);
        spawned += usize::from(matches!(op, Op::Spawn(..)));
        ops.push(op);
    }
    end(plan, rng, &mut ops);
    let stream = emit(plan, rng, &mut ops);
    let mut options = options(plan, rng);
    if rng.chance(plan.policy / 2) {
        let paced = Paced { limit: None, heartbeat: None, ..paced(rng) };
        options.policy = Some(Box::new(paced)).filter(|p| **p != Paced::default());
    }
    Script { function: function(rng), ops, options, stream }
}

fn statement(plan: &Plan, rng: &mut Rng, lower: usize, spawned: usize) -> Op {
    // Lower scripts are small ones; leaning that way keeps trees from exploding.
    let callee = rng.index(lower).min(rng.index(lower));
    if rng.chance(plan.deadlock / 3) {
        return rng.pick(&[Op::AwaitPeer, Op::AwaitParent]).clone();
    }
    if spawned == 0 || rng.chance(350) {
        let owner = *rng.pick(&[Owner::Await, Owner::Root, Owner::Root, Owner::Nobody]);
        let mut dependencies = Vec::new();
        while spawned > 0 && dependencies.len() < 3 && rng.chance(plan.depend) {
            dependencies.push(rng.index(spawned));
        }
        return if rng.chance(250) { Op::Call(callee) } else { Op::Spawn(callee, owner, dependencies) };
    }
    let ms = *rng.pick(&[0, 5, 50, 500, 5_000]);
    let one = rng.index(spawned);
    let all = (0..spawned).collect::<Vec<_>>();
    match rng.below(11) {
        0 => Op::Sleep(ms / 4),
        1 => Op::Work(ms / 10),
        2 | 3 => Op::Await(one),
        4 | 5 => Op::Gather(all),
        6 => Op::WaitFor(one, ms),
        7 => Op::Wait(all, ms),
        8 => Op::Shield(one),
        9 => Op::Cancel(one),
        _ if rng.chance(500) => Op::Uncancel(one),
        _ => Op::Policy(policy(plan, rng, lower)),
    }
}
