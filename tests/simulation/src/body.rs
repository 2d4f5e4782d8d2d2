//! One attempt at a model worker: a script, how far it came, and what it waits for.
//!
//! The rules of asyncio's `Task.__step` in small: a cancel is delivered at local await points, forwarded at forwarding
//! ones, and has to wait while the body is elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farloop_core::frame::{Activity, Held, Owner, Submit, Up};
use farloop_core::id::{AttemptId, TaskId};
use farloop_core::outcome::{Cancellation, Failure, FailureKind, Outcome};
use farloop_core::sync::{SyncAnswer, SyncEnd};
use farloop_core::time::Time;
use farloop_core::window::Window;

use crate::peer::Ctx;
use crate::script::{Args, Op, Policy, function_name, item_of, value_of};
use crate::synced;

/// What an await raised.
#[derive(Clone, Debug)]
pub enum Error {
    /// A failure, one's own or of something awaited.
    Failed(Arc<Failure>),
    /// A cancel, one's own or of something awaited.
    Cancelled(Arc<Cancellation>),
}

impl Error {
    fn outcome(self) -> Outcome {
        match self {
            Self::Failed(failure) => Outcome::Raised(failure),
            Self::Cancelled(cancellation) => Outcome::Cancelled(cancellation),
        }
    }
}

/// Where a body stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Point {
    /// Foreign I/O: no farloop await point.
    Work,
    /// A farloop timer.
    Sleep,
    /// `task.await`, and whether the await owns the task.
    Await(TaskId, bool),
    /// A gather; with a cancel forwarded it waits for all.
    Gather(Vec<TaskId>),
    /// `wait_for`, and whether its time is over.
    WaitFor(TaskId, bool),
    /// `wait`.
    Wait(Vec<TaskId>),
    /// `shield`.
    Shield(TaskId),
    /// A call about a lock or queue.
    Sync(u64),
    /// Waits until the consumer of its items has taken some.
    Room,
}

impl Point {
    /// Tasks on forwarding edges.
    #[must_use]
    pub fn forwards_to(&self) -> Vec<TaskId> {
        match self {
            Self::Await(task, _) | Self::WaitFor(task, _) => vec![*task],
            Self::Gather(tasks) => tasks.clone(),
            Self::Work | Self::Sleep | Self::Room | Self::Wait(_) | Self::Shield(_) | Self::Sync(_) => Vec::new(),
        }
    }

    /// Tasks whose end may wake it.
    #[must_use]
    pub fn listens_to(&self) -> Vec<TaskId> {
        match self {
            Self::Wait(tasks) => tasks.clone(),
            Self::Shield(task) => vec![*task],
            _ => self.forwards_to(),
        }
    }

    /// Whether nothing but those tasks can wake it.
    #[must_use]
    pub fn blocked(&self) -> bool {
        matches!(self, Self::Await(..) | Self::Gather(_) | Self::WaitFor(_, true))
    }

    /// Whether it is over, and how.
    fn ready(&self, known: &BTreeMap<TaskId, Outcome>) -> Option<Result<(), Error>> {
        let one = |task: &TaskId| {
            known.get(task).map(|outcome| match outcome {
                Outcome::Returned(_) => Ok(()),
                Outcome::Raised(failure) => Err(Error::Failed(failure.clone())),
                Outcome::Cancelled(cancellation) => Err(Error::Cancelled(cancellation.clone())),
            })
        };
        match self {
            Self::Work | Self::Sleep | Self::Room | Self::Sync(_) => None,
            Self::Await(task, _) | Self::Shield(task) => one(task),
            Self::WaitFor(task, late) => match one(task)? {
                Err(_) if *late => Some(Err(timed_out())),
                result => Some(result),
            },
            Self::Gather(tasks) => {
                let results = tasks.iter().map(one).collect::<Vec<_>>();
                let failed = results.iter().flatten().find(|r| r.is_err()).cloned();
                failed.or_else(|| results.iter().all(Option::is_some).then_some(Ok(())))
            }
            Self::Wait(tasks) => tasks.iter().all(|t| known.contains_key(t)).then_some(Ok(())),
        }
    }
}

fn timed_out() -> Error {
    Error::Failed(Arc::new(Failure::new(FailureKind::TimedOut, "wait_for".into(), "timed out".into())))
}

/// What a body did when it was polled.
#[derive(Debug)]
pub enum Step {
    /// Waits; the second is when a timer wakes it, in microseconds from now.
    Blocked(Point, Option<u64>),
    /// Ended.
    Ended(Outcome),
}

enum Flow {
    Next,
    Raise(Error),
    Block(Point, Option<u64>),
    End(Outcome),
}

/// Why it may be polled again.
pub type Wake = Result<(), Error>;

/// How it stands with the slot.
#[derive(Debug)]
pub enum State {
    /// Never polled.
    Queued,
    /// Holds a slot at this point ([`Point::Work`]).
    Working,
    /// Gave its slot back.
    Suspended(Point),
    /// Waits for a slot to go on.
    Ready(Wake),
}

/// One attempt.
#[derive(Debug)]
pub struct Body {
    /// Task and lease.
    pub attempt: AttemptId,
    /// From 1.
    pub number: u32,
    /// Its arguments.
    pub args: Args,
    /// Nesting depth; the deepest is resumed first.
    pub depth: u32,
    /// Not to be started after this moment.
    pub until: Option<Time>,
    /// How it stands.
    pub state: State,
    /// Highest cancel request that arrived.
    pub pending: u32,
    /// Highest cancel request that the body saw.
    pub seen: u32,
    /// Timers of earlier points carry a lower number.
    pub ticket: u64,
    /// It says when it begins.
    pub announces: bool,
    /// What was said last in a Progress.
    pub told: Option<Up>,
    /// Its items, if somebody wants them.
    pub window: Option<Window>,
    /// Items that its consumer is not known to have taken: a coordinator that starts again is sent them once more.
    kept: VecDeque<(u64, Bytes)>,
    /// Items taken, as far as it knows.
    taken: u64,
    /// Items it still has to yield at this statement, and their size.
    emitting: Option<(u32, usize)>,
    pc: usize,
    spawned: Vec<TaskId>,
    policy: Policy,
    leaving: Option<Error>,
    /// Calls about locks and queues so far.
    calls: u64,
    /// Those that hold a permit.
    holds: Vec<u64>,
}

/// What a body can reach while it is polled.
#[derive(Debug)]
pub struct Hands<'a, 'b> {
    /// The world.
    pub ctx: &'a mut Ctx<'b>,
    /// Frames to send.
    pub out: &'a mut Vec<Up>,
    /// Outcomes this worker was told.
    pub known: &'a BTreeMap<TaskId, Outcome>,
}

impl Body {
    /// A body that has not begun.
    #[must_use]
    pub fn new(attempt: AttemptId, number: u32, args: Args, depth: u32, until: Option<Time>, cancels: u32) -> Self {
        Self {
            attempt,
            number,
            args,
            depth,
            until,
            state: State::Queued,
            pending: cancels,
            seen: 0,
            ticket: 0,
            announces: false,
            told: None,
            window: None,
            kept: VecDeque::new(),
            taken: 0,
            emitting: None,
            pc: 0,
            spawned: Vec::new(),
            policy: Policy::Propagate,
            leaving: None,
            calls: 0,
            holds: Vec::new(),
        }
    }

    /// Polls the body with a slot in its hands.
    pub fn poll(&mut self, wake: Wake, hands: &mut Hands<'_, '_>) -> Step {
        let mut wake = if self.pending > self.seen {
            // Cancelled while it waited for the slot: the cancel is what the await raises, not the result.
            self.see(hands);
            Err(Error::Cancelled(Arc::default()))
        } else {
            wake
        };
        loop {
            let flow = match std::mem::replace(&mut wake, Ok(())) {
                Err(error) => self.catch(error, hands),
                Ok(()) => match self.leaving.take() {
                    Some(error) => Flow::End(error.outcome()),
                    None if self.emitting.is_some() => self.emit(hands),
                    None => self.execute(hands),
                },
            };
            match flow {
                Flow::Next => {}
                Flow::Raise(error) => wake = Err(error),
                Flow::End(outcome) => return Step::Ended(outcome),
                Flow::Block(point, timer) => {
                    if let Some(result) = point.ready(hands.known) {
                        wake = result;
                    } else if self.pending > self.seen && point != Point::Work {
                        if !self.deliver(&point, hands) {
                            return Step::Blocked(point, timer);
                        }
                        wake = Err(Error::Cancelled(Arc::default()));
                    } else {
                        return Step::Blocked(point, timer);
                    }
                }
            }
        }
    }

    /// A pending cancel meets an await point. True: it is raised here. False: it was passed on to what is awaited.
    pub fn deliver(&mut self, point: &Point, hands: &mut Hands<'_, '_>) -> bool {
        let targets = point.forwards_to();
        if let Point::Sync(call) = point {
            hands.out.push(Up::SyncEnd { call: *call, end: SyncEnd::Withdraw });
        }
        for task in targets.iter().filter(|t| !hands.known.contains_key(t)) {
            hands.out.push(Up::Cancel { task: *task, message: None });
        }
        self.see(hands);
        targets.is_empty()
    }

    /// Whether the point it stands at is over, and how.
    #[must_use]
    pub fn ready(&self, known: &BTreeMap<TaskId, Outcome>) -> Option<Wake> {
        match &self.state {
            State::Suspended(point) => point.ready(known),
            _ => None,
        }
    }

    /// The timer of its point rang.
    pub fn ring(&mut self, hands: &mut Hands<'_, '_>) -> Option<Wake> {
        match &mut self.state {
            State::Suspended(Point::WaitFor(task, late)) => {
                *late = true;
                hands.out.push(Up::Cancel { task: *task, message: Some("wait_for".into()) });
                None
            }
            State::Suspended(Point::Sync(call)) => {
                hands.out.push(Up::SyncEnd { call: *call, end: SyncEnd::Withdraw });
                Some(Ok(()))
            }
            State::Suspended(_) | State::Working => Some(Ok(())),
            State::Queued | State::Ready(_) => None,
        }
    }

    /// An answer came. True: it waited for it. What comes too late has been withdrawn.
    pub fn answered(&mut self, call: u64, answer: &SyncAnswer, out: &mut Vec<Up>) -> bool {
        if !matches!(self.state, State::Suspended(Point::Sync(waited)) if waited == call) {
            return false;
        }
        match answer {
            SyncAnswer::Granted(_) => self.holds.push(call),
            SyncAnswer::Item(_) => out.push(Up::SyncEnd { call, end: SyncEnd::Taken }),
            _ => {}
        }
        true
    }

    /// Its consumer has taken that many. True: there is room again.
    pub(crate) fn taken(&mut self, taken: u64) -> bool {
        self.taken = self.taken.max(taken);
        self.kept.retain(|(seq, _)| *seq > taken);
        self.window.as_mut().is_some_and(|w| w.take(taken))
    }

    /// Items that are kept.
    pub(crate) fn items(&self) -> impl Iterator<Item = &(u64, Bytes)> {
        self.kept.iter()
    }

    /// Locks and queues are gone with the coordinator that had them. True: it waited for one, and waits no more.
    pub(crate) fn left_alone(&mut self, out: &mut Vec<Up>) -> bool {
        let held = self.holds.drain(..).map(|call| Up::SyncEnd { call, end: SyncEnd::Release });
        out.extend(held);
        let State::Suspended(Point::Sync(call)) = self.state else { return false };
        // The call itself may be on its way once more.
        out.push(Up::SyncEnd { call, end: SyncEnd::Withdraw });
        true
    }

    /// What a coordinator that starts again is told of it.
    pub(crate) fn held(&self, known: &BTreeMap<TaskId, Outcome>) -> Held {
        let (activity, awaits, blocked) = match &self.state {
            State::Suspended(point) => match crate::worker::progress(self.attempt, point, known) {
                Up::Progress { activity, awaits, blocked, .. } => (activity, awaits, blocked),
                _ => (Activity::Running, Vec::new(), false),
            },
            State::Queued | State::Working | State::Ready(_) => (Activity::Running, Vec::new(), false),
        };
        Held {
            attempt: self.attempt,
            number: self.number,
            begun: !matches!(self.state, State::Queued),
            activity,
            awaits,
            blocked,
            told: self.pending,
            seen: self.seen,
            taken: self.taken,
        }
    }

    fn ask(&mut self, hands: &mut Hands<'_, '_>, make: impl FnOnce(AttemptId, u64) -> Up) -> Flow {
        self.calls += 1;
        let call = synced::number(self.attempt, self.calls);
        hands.out.push(make(self.attempt, call));
        Flow::Block(Point::Sync(call), Some(synced::PATIENCE))
    }

    fn see(&mut self, hands: &mut Hands<'_, '_>) {
        self.seen = self.pending;
        hands.out.push(Up::CancelSeen { attempt: self.attempt, seen: self.seen });
    }

    fn catch(&mut self, error: Error, hands: &mut Hands<'_, '_>) -> Flow {
        self.leaving = None;
        match std::mem::replace(&mut self.policy, Policy::Propagate) {
            Policy::Propagate => return Flow::End(error.outcome()),
            Policy::Suppress => {}
            Policy::Recover if matches!(error, Error::Failed(_)) => {}
            Policy::Recover => return Flow::End(error.outcome()),
            Policy::Cleanup(ms) => {
                self.leaving = Some(error);
                return Flow::Block(Point::Sleep, Some(ms * 1_000));
            }
            Policy::CleanupCall(script) => {
                self.leaving = Some(error);
                let task = self.spawn(script, Owner::Await, &[], hands);
                return Flow::Block(Point::Await(task, true), None);
            }
        }
        Flow::Next
    }

    fn spawn(&mut self, script: usize, owner: Owner, dependencies: &[TaskId], hands: &mut Hands<'_, '_>) -> TaskId {
        let args = Args { parent: self.attempt.task, ..Args::of(script) };
        self.submit(args, owner, dependencies, hands)
    }

    fn submit(&mut self, args: Args, owner: Owner, dependencies: &[TaskId], hands: &mut Hands<'_, '_>) -> TaskId {
        let task = hands.ctx.new_task();
        let spec = hands.ctx.library.spec(args, dependencies, hands.ctx.rng);
        hands.out.push(Up::Submit(Submit {
            task,
            spec,
            owner,
            creator: Some(self.attempt),
            within: within(task, owner),
        }));
        task
    }

    fn execute(&mut self, hands: &mut Hands<'_, '_>) -> Flow {
        let library = hands.ctx.library;
        let script = library.get(self.args.script);
        let Some(op) = script.ops.get(self.pc) else {
            return Flow::End(Outcome::Returned(value_of(self.attempt, false)));
        };
        self.pc += 1;
        // Not drawn: what is printed changes nothing else in a world.
        crate::printed::by(self.attempt, self.pc, hands.out);
        match op {
            Op::Sleep(ms) => Flow::Block(Point::Sleep, Some(ms * 1_000)),
            Op::Work(ms) => Flow::Block(Point::Work, Some(ms * 1_000)),
            Op::Call(script) => {
                let task = self.spawn(*script, Owner::Await, &[], hands);
                Flow::Block(Point::Await(task, true), None)
            }
            Op::Spawn(script, owner, dependencies) => {
                let dependencies = dependencies.iter().map(|d| self.spawned[*d]).collect::<Vec<_>>();
                let task = self.spawn(*script, *owner, &dependencies, hands);
                self.spawned.push(task);
                Flow::Next
            }
            Op::Await(n) => Flow::Block(Point::Await(self.spawned[*n], false), None),
            Op::Gather(all) => Flow::Block(Point::Gather(self.named(all)), None),
            Op::WaitFor(n, ms) => Flow::Block(Point::WaitFor(self.spawned[*n], false), Some(ms * 1_000)),
            Op::Wait(all, ms) => Flow::Block(Point::Wait(self.named(all)), Some(ms * 1_000)),
            // Bounded: a shield is no edge of the wait graph, so nobody would notice if it closed a cycle.
            Op::Shield(n) => Flow::Block(Point::Shield(self.spawned[*n]), Some(3_000_000)),
            Op::Cancel(n) => {
                hands.out.push(Up::Cancel { task: self.spawned[*n], message: Some("from the parent".into()) });
                Flow::Next
            }
            Op::Uncancel(n) => {
                hands.out.push(Up::Uncancel(self.spawned[*n]));
                Flow::Next
            }
            Op::AwaitPeer => self.await_other(self.args.peer),
            Op::AwaitParent => self.await_other(self.args.parent),
            Op::Chain if self.args.param == 0 => Flow::Next,
            Op::Chain => {
                let args = Args { param: self.args.param - 1, parent: self.attempt.task, ..self.args };
                let task = self.submit(args, Owner::Await, &[], hands);
                Flow::Block(Point::Await(task, true), None)
            }
            Op::Take(n) => self.ask(hands, |attempt, call| synced::take(attempt, call, *n)),
            Op::Put => self.ask(hands, synced::put),
            Op::Get => self.ask(hands, synced::get),
            Op::LetGo => {
                let holds = self.holds.drain(..);
                hands.out.extend(holds.map(|call| Up::SyncEnd { call, end: SyncEnd::Release }));
                Flow::Next
            }
            Op::Policy(policy) => {
                self.policy = *policy;
                Flow::Next
            }
            Op::Beat => {
                let details = value_of(self.attempt, false);
                hands.out.push(Up::TaskHeartbeat { attempt: self.attempt, details });
                Flow::Next
            }
            Op::Tell => {
                hands.out.push(Up::TaskProgress { attempt: self.attempt, value: vec![self.pc as u8].into() });
                Flow::Next
            }
            Op::FailBefore(number) if self.number >= *number => Flow::Next,
            Op::FailBefore(_) | Op::Fail => Flow::Raise(self.failure(FailureKind::Raised)),
            Op::Panic => Flow::End(self.failure(FailureKind::Panicked).outcome()),
            Op::ReturnBig => Flow::End(Outcome::Returned(value_of(self.attempt, true))),
            Op::Emit(count, size) => {
                self.emitting = self.window.is_some().then_some((*count, *size));
                Flow::Next
            }
        }
    }

    fn emit(&mut self, hands: &mut Hands<'_, '_>) -> Flow {
        while let (Some(window), Some((left, size))) = (&mut self.window, self.emitting) {
            if !window.has_room() {
                return Flow::Block(Point::Room, None);
            }
            let padding = hands.ctx.rng.index(size + 1);
            let value = item_of(self.attempt, window.given() + 1, padding);
            let seq = window.give(value.len());
            self.kept.push_back((seq, value.clone()));
            hands.out.push(Up::Item { attempt: self.attempt, seq, value });
            self.emitting = (left > 1).then_some((left - 1, size));
        }
        Flow::Next
    }

    fn await_other(&self, task: TaskId) -> Flow {
        if task == TaskId(0) { Flow::Next } else { Flow::Block(Point::Await(task, false), None) }
    }

    fn named(&self, numbers: &[usize]) -> Vec<TaskId> {
        numbers.iter().map(|n| self.spawned[*n]).collect()
    }

    fn failure(&self, kind: FailureKind) -> Error {
        let mut failure = Failure::new(kind, function_name(0), "the script says so".into());
        failure.details = Some(value_of(self.attempt, false));
        failure.task = Some(self.attempt.task);
        failure.attempt = self.number;
        Error::Failed(Arc::new(failure))
    }
}

/// Time left of the timeout scope that a call is made in: one call in eight is in one. Read off the id rather than drawn:
/// the worlds without it stay as they were.
fn within(task: TaskId, owner: Owner) -> Option<Duration> {
    let dice = (task.0 & 0xffff) as u64;
    (owner == Owner::Await && dice.is_multiple_of(8)).then(|| Duration::from_micros(dice * 40))
}
