//! A model worker: slots, grants, and the bodies it hosts, after the duties that `frame.rs` gives a host.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use farloop_core::frame::{Activity, Down, Start, Up};
use farloop_core::id::{AttemptId, TaskId};
use farloop_core::outcome::{Failure, FailureKind, Outcome};
use farloop_core::window::Window;

use crate::body::{Body, Error, Hands, Point, State, Step, Wake};
use crate::peer::{Alarm, Ctx};
use crate::script::Args;

/// A worker process.
#[derive(Debug, Default)]
pub struct Worker {
    /// Functions it offers.
    pub functions: Vec<usize>,
    /// Bodies that may hold a slot at once.
    pub slots: u32,
    /// Starts it likes to have waiting.
    pub prefetch: u32,
    /// Takes no new work and leaves when the last attempt is over.
    pub draining: bool,
    /// Starts allowed since the session began.
    pub granted: u64,
    /// Starts received since the session began.
    pub started: u64,
    in_use: u32,
    bodies: BTreeMap<AttemptId, Body>,
    fresh: VecDeque<AttemptId>,
    ready: BTreeSet<(Reverse<u32>, u64, AttemptId)>,
    queued: u64,
    known: BTreeMap<TaskId, Outcome>,
    watching: BTreeSet<TaskId>,
    listeners: BTreeMap<TaskId, BTreeSet<AttemptId>>,
    /// Attempts of a session that was lost, about which it still talks.
    ghosts: Vec<AttemptId>,
}

impl Worker {
    /// A worker that has not joined.
    #[must_use]
    pub fn new(functions: Vec<usize>, slots: u32, prefetch: u32) -> Self {
        Self { functions, slots, prefetch, ..Self::default() }
    }

    /// Attempts it holds.
    #[must_use]
    pub fn holds(&self) -> usize {
        self.bodies.len()
    }

    /// Where its attempts stand, for a hang's report.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let line = |b: &Body| format!("{:?} {:?} pending {} seen {}", b.attempt, b.state, b.pending, b.seen);
        self.bodies.values().map(line).collect()
    }

    /// The session is lost: all bodies are dropped. A careless host still reports about some of them later.
    pub fn lost(&mut self, careless: bool) {
        self.ghosts = if careless { self.bodies.keys().copied().collect() } else { Vec::new() };
        *self = Self {
            functions: std::mem::take(&mut self.functions),
            slots: self.slots,
            prefetch: self.prefetch,
            ghosts: std::mem::take(&mut self.ghosts),
            ..Self::default()
        };
    }

    /// The coordinator started again: these are the attempts that it holds, and the tasks that they wait for.
    pub(crate) fn rejoin(&mut self, unsaid: &BTreeSet<TaskId>, out: &mut Vec<Up>) {
        let mut wake = Vec::new();
        for (attempt, body) in &mut self.bodies {
            if body.left_alone(out) {
                wake.push(*attempt);
            }
            out.push(Up::Attempt(Box::new(body.held(&self.known))));
            out.extend(body.items().map(|(seq, value)| Up::Item {
                attempt: *attempt,
                seq: *seq,
                value: value.clone(),
            }));
        }
        for attempt in wake {
            self.wake(attempt, Some(Ok(())));
        }
        let waits = self.watching.iter().filter(|t| !self.known.contains_key(t) && !unsaid.contains(t));
        out.extend(waits.map(|task| Up::Watch(*task)));
        out.push(Up::Rejoined { starts: self.started });
        out.push(Up::Grant(self.granted));
        if self.draining {
            out.push(Up::Drain);
        }
    }

    /// Reports about attempts of a session that is over (L4).
    pub fn haunt(&mut self, ctx: &mut Ctx<'_>, out: &mut Vec<Up>) {
        let Some(attempt) = self.ghosts.pop() else { return };
        let task = ctx.new_task();
        out.push(Up::Print { attempt, print: crate::printed::line(attempt, u32::MAX) });
        out.push(match ctx.rng.below(6) {
            0 => Up::Progress { attempt, activity: Activity::Suspended, awaits: vec![attempt.task], blocked: true },
            1 => Up::CancelSeen { attempt, seen: 1_000 },
            2 => Up::Returned(attempt),
            4 => Up::Item { attempt, seq: 1, value: crate::script::item_of(attempt, 1, 0) },
            3 => {
                let args = Args { parent: attempt.task, ..Args::of(0) };
                let spec = ctx.library.spec(args, &[], ctx.rng);
                let owner = farloop_core::frame::Owner::Root;
                Up::Submit(farloop_core::frame::Submit { task, spec, owner, creator: Some(attempt), within: None })
            }
            _ => {
                let outcome = Outcome::Returned(crate::script::value_of(attempt, false));
                Up::Ended { attempt, outcome, delivered: 1_000 }
            }
        });
    }

    /// A frame came.
    pub fn hear(&mut self, frame: Down, ctx: &mut Ctx<'_>, out: &mut Vec<Up>) {
        match frame {
            Down::Resolved { task, outcome } => {
                self.known.insert(task, outcome);
                for attempt in self.listeners.remove(&task).unwrap_or_default() {
                    let wake = self.bodies.get(&attempt).and_then(|b| b.ready(&self.known));
                    self.wake(attempt, wake);
                }
            }
            Down::Start(start) => self.start(&start, ctx),
            Down::Cancel { attempt, number, .. } => self.cancel(attempt, number, ctx, out),
            Down::CancelWithdrawn { attempt, standing } => {
                if let Some(body) = self.bodies.get_mut(&attempt)
                    && standing == 0
                {
                    body.pending = body.seen;
                }
            }
            Down::Fence(attempt) => self.forget(attempt),
            Down::Recall(attempt) => {
                if let Some(at) = self.fresh.iter().position(|a| *a == attempt) {
                    self.fresh.remove(at);
                    self.bodies.remove(&attempt);
                    out.push(Up::Returned(attempt));
                }
            }
            Down::Deadlock { attempt, cycle } => {
                let blocked =
                    matches!(self.bodies.get(&attempt).map(|b| &b.state), Some(State::Suspended(p)) if p.blocked());
                if blocked {
                    // The core has answered that report: the same one again would be a new one.
                    if let Some(body) = self.bodies.get_mut(&attempt) {
                        body.told = None;
                    }
                    let failure = Failure::new(FailureKind::Deadlock(cycle), "await".into(), "deadlock".into());
                    self.drop_await(attempt, out);
                    self.wake(attempt, Some(Err(Error::Failed(failure.into()))));
                }
            }
            Down::Drain => self.draining = true,
            Down::Sync { call, answer } => {
                let epoch = crate::synced::epoch_of(call);
                let body = self.bodies.values_mut().find(|b| b.attempt.epoch.0 == epoch);
                if let Some(body) = body
                    && body.answered(call, &answer, out)
                {
                    let attempt = body.attempt;
                    self.wake(attempt, Some(Ok(())));
                }
            }
            // Its bodies take what comes at once; that they are slow is the clients' part.
            Down::Item { task, seq, .. } => out.push(Up::Credit { task, taken: seq }),
            Down::Credit { attempt, taken } => {
                let body = self.bodies.get_mut(&attempt);
                if body.is_some_and(|b| b.taken(taken))
                    && self.bodies.get(&attempt).is_some_and(|b| matches!(b.state, State::Suspended(Point::Room)))
                {
                    self.wake(attempt, Some(Ok(())));
                }
            }
            Down::Leave if !self.draining => {
                self.draining = true;
                out.push(Up::Drain);
            }
            Down::Leave => {}
            Down::CancelCount { .. }
            | Down::Input { .. }
            | Down::Stop(_)
            | Down::Move(_)
            | Down::Stranded { .. }
            | Down::Print { .. }
            | Down::TaskProgress { .. } => {}
        }
        self.run(ctx, out);
    }

    /// A timer rang.
    pub fn ring(&mut self, attempt: AttemptId, ticket: u64, ctx: &mut Ctx<'_>, out: &mut Vec<Up>) {
        let Some(body) = self.bodies.get_mut(&attempt).filter(|b| b.ticket == ticket) else { return };
        let working = matches!(body.state, State::Working);
        let wake = body.ring(&mut Hands { ctx, out, known: &self.known });
        if let State::Suspended(point) = &body.state
            && wake.is_none()
        {
            let progress = progress(attempt, point, &self.known);
            body.told = Some(progress.clone());
            out.push(progress);
        }
        if working {
            self.poll(attempt, Ok(()), ctx, out);
        } else {
            self.wake(attempt, wake);
        }
        self.run(ctx, out);
    }

    /// Gives slots to bodies, resumed ones first, and allows more starts.
    pub fn run(&mut self, ctx: &mut Ctx<'_>, out: &mut Vec<Up>) {
        while self.in_use < self.slots {
            let (attempt, wake) = if let Some((_, _, attempt)) = self.ready.pop_first() {
                let Some(State::Ready(wake)) = self.bodies.get(&attempt).map(|b| &b.state) else { continue };
                (attempt, wake.clone())
            } else if let Some(attempt) = self.fresh.pop_front() {
                (attempt, Ok(()))
            } else {
                break;
            };
            self.in_use += 1;
            self.poll(attempt, wake, ctx, out);
        }
        let free = u64::from(self.slots.saturating_sub(self.in_use) + self.prefetch);
        let want = free.saturating_sub(self.fresh.len() as u64);
        if !self.draining && want > self.granted - self.started {
            self.granted = self.started + want;
            out.push(Up::Grant(self.granted));
        }
    }

    fn start(&mut self, start: &Start, ctx: &mut Ctx<'_>) {
        self.started += 1;
        let args = Args::decode(&start.spec.args);
        let until = start.remaining.map(|left| ctx.now + left);
        let mut body = Body::new(start.attempt, start.number, args, start.depth, until, start.cancels);
        body.announces = start.spec.options.policy.as_ref().is_some_and(|p| p.has_clocks());
        body.window = start.spec.stream.then(Window::default);
        self.bodies.insert(start.attempt, body);
        self.fresh.push_back(start.attempt);
    }

    fn cancel(&mut self, attempt: AttemptId, number: u32, ctx: &mut Ctx<'_>, out: &mut Vec<Up>) {
        let Some(body) = self.bodies.get_mut(&attempt).filter(|b| number > b.pending) else { return };
        body.pending = number;
        match &body.state {
            State::Queued => {
                // asyncio: a coroutine cancelled before its first step never takes it.
                self.fresh.retain(|a| *a != attempt);
                self.bodies.remove(&attempt);
                out.push(Up::Ended { attempt, outcome: Outcome::Cancelled(Default::default()), delivered: number });
            }
            State::Suspended(point) => {
                let point = point.clone();
                if body.deliver(&point, &mut Hands { ctx, out, known: &self.known }) {
                    self.wake(attempt, Some(Err(Error::Cancelled(Default::default()))));
                }
            }
            State::Working | State::Ready(_) => {}
        }
    }

    fn wake(&mut self, attempt: AttemptId, wake: Option<Wake>) {
        let (Some(wake), Some(body)) = (wake, self.bodies.get_mut(&attempt)) else { return };
        if matches!(body.state, State::Suspended(_)) {
            body.ticket += 1;
            body.state = State::Ready(wake);
            self.queued += 1;
            self.ready.insert((Reverse(body.depth), self.queued, attempt));
        }
    }

    /// An await that owns its task is dropped without having seen its end: the task goes with it.
    fn drop_await(&self, attempt: AttemptId, out: &mut Vec<Up>) {
        if let Some(State::Suspended(Point::Await(task, true))) = self.bodies.get(&attempt).map(|b| &b.state) {
            out.push(Up::Cancel { task: *task, message: None });
        }
    }

    /// The caller has taken a slot for it.
    fn poll(&mut self, attempt: AttemptId, wake: Wake, ctx: &mut Ctx<'_>, out: &mut Vec<Up>) {
        let Some(mut body) = self.bodies.remove(&attempt) else { return };
        let begins = matches!(body.state, State::Queued);
        let from = out.len();
        let step = if begins && body.pending > 0 {
            body.seen = body.pending;
            Step::Ended(Outcome::Cancelled(Default::default()))
        } else if begins && body.until.is_some_and(|until| until <= ctx.now) {
            let failure =
                Failure::new(FailureKind::TimedOut, "start".into(), "its deadline passed in the queue".into());
            Step::Ended(Outcome::Raised(failure.into()))
        } else {
            if begins && body.announces {
                let activity = Activity::Running;
                out.push(Up::Progress { attempt, activity, awaits: Vec::new(), blocked: false });
            }
            body.poll(wake, &mut Hands { ctx, out, known: &self.known })
        };
        for frame in &out[from..] {
            if let Up::Submit(submit) = frame {
                self.watching.insert(submit.task);
            }
        }
        match step {
            Step::Ended(outcome) => {
                self.in_use -= 1;
                out.push(Up::Ended { attempt, outcome, delivered: body.seen });
            }
            Step::Blocked(point, timer) => self.block(body, point, timer, ctx, out),
        }
    }

    fn block(&mut self, mut body: Body, point: Point, timer: Option<u64>, ctx: &mut Ctx<'_>, out: &mut Vec<Up>) {
        let attempt = body.attempt;
        body.ticket += 1;
        if let Some(micros) = timer {
            ctx.alarm(micros, Alarm::Body(attempt, body.ticket));
        }
        for task in point.listens_to() {
            if self.known.contains_key(&task) {
                continue;
            }
            self.listeners.entry(task).or_default().insert(attempt);
            if self.watching.insert(task) {
                out.push(Up::Watch(task));
            }
        }
        let working = point == Point::Work;
        let progress = progress(attempt, &point, &self.known);
        if body.told.as_ref() != Some(&progress) {
            body.told = Some(progress.clone());
            out.push(progress);
        }
        body.state = if working {
            State::Working
        } else {
            self.in_use -= 1;
            State::Suspended(point)
        };
        self.bodies.insert(attempt, body);
    }

    fn forget(&mut self, attempt: AttemptId) {
        let Some(body) = self.bodies.remove(&attempt) else { return };
        match body.state {
            State::Queued => self.fresh.retain(|a| *a != attempt),
            State::Working => self.in_use -= 1,
            State::Ready(_) => self.ready.retain(|(_, _, a)| *a != attempt),
            State::Suspended(_) => {}
        }
    }
}

pub(crate) fn progress(attempt: AttemptId, point: &Point, known: &BTreeMap<TaskId, Outcome>) -> Up {
    Up::Progress {
        attempt,
        activity: if *point == Point::Work { Activity::Running } else { Activity::Suspended },
        awaits: point.forwards_to().into_iter().filter(|t| !known.contains_key(t)).collect(),
        blocked: point.blocked(),
    }
}
