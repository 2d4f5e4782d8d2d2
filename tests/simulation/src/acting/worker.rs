//! A model worker: actors with a counter as their state, and one turn at a time, as the real one has them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farloop_core::actor::{ActorDef, Host, Part};
use farloop_core::frame::{Activity, Down, Held, Owner, Snapshot, Start, Submit, Up};
use farloop_core::id::{AttemptId, SessionId, TaskId};
use farloop_core::limits;
use farloop_core::outcome::{Cancellation, Failure, FailureKind, Outcome};
use farloop_core::spec::FunctionDef;
use farloop_core::time::Time;

use super::client::{Whom, call};
use super::judge::Judge;
use super::{DEMAND, Method, NAMED, Ticket};
use crate::peer::new_task;
use crate::rng::Rng;

/// What a worker offers.
pub(crate) fn offered() -> Vec<FunctionDef> {
    let def = |name: String, actor| FunctionDef {
        name: name.into(),
        fingerprint: 1,
        args: Vec::new(),
        returns: String::new(),
        concurrency: 0,
        actor: Some(Arc::new(actor)),
    };
    let on_demand = Host { on_demand: true, idle: Some(Duration::from_secs(2)), ..Host::default() };
    let mut defs = Vec::new();
    for (kind, host) in [(NAMED, Host::default()), (DEMAND, on_demand)] {
        defs.push(def(kind.into(), ActorDef::Type(host)));
        defs.extend(Method::ALL.map(|m| def(format!("{kind}.{}", m.name()), ActorDef::Method(m.turns()))));
    }
    defs
}

/// What a timer of a worker is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bell {
    /// What makes an incarnation returns.
    Made(AttemptId),
    /// A method goes on.
    Turn(AttemptId),
}

#[derive(Debug)]
struct Turn {
    attempt: AttemptId,
    method: Method,
    ticket: Ticket,
    /// It goes before others, for what runs waits for it.
    reenters: bool,
    /// The call that it awaits.
    awaits: Option<TaskId>,
    /// Cancel requests that it heard of.
    heard: u32,
}

#[derive(Debug)]
struct Hosted {
    attempt: AttemptId,
    number: u32,
    named: bool,
    value: u64,
    up: bool,
    queue: VecDeque<Turn>,
    running: Vec<Turn>,
    leaving: Option<Leaving>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    Stop,
    Move,
}

/// A worker process.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    hosted: BTreeMap<TaskId, Hosted>,
    /// Snapshots that came ahead of a start.
    inputs: BTreeMap<AttemptId, u64>,
    /// Starts that used a grant.
    pub(crate) starts: u64,
    pub(crate) draining: bool,
    known: BTreeMap<TaskId, Outcome>,
    watching: BTreeSet<TaskId>,
    seqs: u64,
}

/// What a worker reaches while it is at work.
pub(crate) struct Hands<'a> {
    pub(crate) at: usize,
    pub(crate) session: SessionId,
    pub(crate) now: Time,
    pub(crate) rng: &'a mut Rng,
    pub(crate) judge: &'a mut Judge,
    pub(crate) out: Vec<Up>,
    pub(crate) bells: Vec<(Duration, Bell)>,
}

fn state(value: u64) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

fn failed(kind: FailureKind, may_have_run: Option<bool>) -> Outcome {
    Outcome::Raised(Arc::new(Failure { may_have_run, ..Failure::new(kind, "sim".into(), "model".into()) }))
}

impl Worker {
    /// The session is lost, or the process died: nothing that is here counts any more.
    pub(crate) fn lost(&mut self, at: usize, judge: &mut Judge) {
        judge.worker_gone(at);
        // Its session may go on under the same id: it goes on counting.
        *self = Self { seqs: self.seqs, ..Self::default() };
    }

    /// Tasks whose ends it knows.
    pub(crate) fn known(&self) -> BTreeSet<TaskId> {
        self.known.keys().copied().collect()
    }

    /// Named actors whose lease was not renewed in time.
    pub(crate) fn drop_named(&mut self, hands: &mut Hands<'_>) {
        let named: Vec<TaskId> = self.hosted.iter().filter(|(_, h)| h.named).map(|(task, _)| *task).collect();
        for task in named {
            hands.judge.saw("lease over");
            if let Some(hosted) = self.hosted.remove(&task) {
                hands.judge.incarnation_over(hands.at, hosted.attempt);
                hands.out.push(Up::Returned(hosted.attempt));
            }
        }
    }

    pub(crate) fn rejoin(&mut self, unsaid: &BTreeSet<TaskId>, out: &mut Vec<Up>) {
        self.inputs.clear();
        let held = |attempt, number, begun, activity, awaits: Vec<TaskId>| {
            let blocked = !awaits.is_empty();
            Up::Attempt(Box::new(Held {
                attempt,
                number,
                begun,
                activity,
                awaits,
                blocked,
                told: 0,
                seen: 0,
                taken: 0,
            }))
        };
        for hosted in self.hosted.values() {
            let activity = if hosted.up { Activity::Suspended } else { Activity::Running };
            out.push(held(hosted.attempt, hosted.number, true, activity, Vec::new()));
            for turn in &hosted.running {
                let activity = if turn.awaits.is_some() { Activity::Suspended } else { Activity::Running };
                out.push(held(turn.attempt, 1, true, activity, turn.awaits.into_iter().collect()));
            }
            out.extend(hosted.queue.iter().map(|turn| held(turn.attempt, 1, false, Activity::Running, Vec::new())));
        }
        let waits = self.hosted.values().flat_map(|h| h.running.iter().filter_map(|t| t.awaits));
        out.extend(waits.filter(|task| !unsaid.contains(task)).map(Up::Watch));
        out.push(Up::Rejoined { starts: self.starts });
        if self.draining {
            out.push(Up::Drain);
        }
    }

    pub(crate) fn hear(&mut self, frame: Down, hands: &mut Hands<'_>) {
        match frame {
            Down::Input { attempt, task, value } if task == attempt.task => {
                let value = value.get(..8).and_then(|v| v.try_into().ok()).map_or(0, u64::from_be_bytes);
                self.inputs.insert(attempt, value);
            }
            Down::Start(start) => self.start(&start, hands),
            Down::Stop(attempt) => self.leave(attempt, Leaving::Stop, hands),
            Down::Move(attempt) => self.leave(attempt, Leaving::Move, hands),
            Down::Cancel { attempt, number, .. } => self.cancel(attempt, number, hands),
            Down::Fence(attempt) => self.fence(attempt, hands),
            Down::Resolved { task, outcome } => {
                if self.watching.remove(&task) {
                    hands.judge.told(task, &outcome);
                }
                self.known.insert(task, outcome.clone());
                self.resolved(task, hands);
            }
            Down::Deadlock { attempt, .. } => {
                hands.judge.saw("deadlock told");
                let host = self.host_of(attempt);
                if let Some(turn) = self.take_running(attempt, |turn| turn.awaits.is_some()) {
                    if let Some(task) = turn.awaits {
                        hands.out.push(Up::Cancel { task, message: None });
                    }
                    let outcome = failed(FailureKind::Deadlock(Vec::new()), None);
                    hands.out.push(Up::Ended { attempt, outcome, delivered: turn.heard });
                }
                if let Some(host) = host {
                    self.may_leave(host, hands);
                }
            }
            Down::Leave if !self.draining => {
                self.draining = true;
                hands.out.push(Up::Drain);
            }
            _ => {}
        }
        self.turns(hands);
    }

    fn start(&mut self, start: &Start, hands: &mut Hands<'_>) {
        if let Some(Part::Host(host)) = start.spec.actor.as_deref() {
            self.starts += 1;
            let remembers = self.inputs.remove(&start.attempt);
            hands.judge.incarnation(hands.at, start.attempt, host.name.is_some(), remembers);
            let hosted = Hosted {
                attempt: start.attempt,
                number: start.number,
                named: host.name.is_some(),
                value: remembers.unwrap_or(0),
                up: false,
                queue: VecDeque::new(),
                running: Vec::new(),
                leaving: None,
            };
            self.hosted.insert(start.attempt.task, hosted);
            hands.bells.push((Duration::from_micros(hands.rng.below(50_000)), Bell::Made(start.attempt)));
            return;
        }
        let incarnation = start.more.as_ref().and_then(|more| more.incarnation);
        let hosted = incarnation.and_then(|of| self.hosted.get_mut(&of.task).filter(|hosted| hosted.attempt == of));
        let (Some(hosted), Some(method), Some(ticket)) =
            (hosted, Method::of(&start.spec.function), Ticket::decode(&start.spec.args))
        else {
            hands.out.push(Up::Returned(start.attempt));
            return;
        };
        let reenters = start.more.as_ref().is_some_and(|more| more.reenters);
        let turn = Turn { attempt: start.attempt, method, ticket, reenters, awaits: None, heard: start.cancels };
        if reenters {
            hosted.queue.push_front(turn);
        } else {
            hosted.queue.push_back(turn);
        }
    }

    /// Lets those begin whose turn it is.
    fn turns(&mut self, hands: &mut Hands<'_>) {
        let tasks: Vec<TaskId> = self.hosted.keys().copied().collect();
        for task in tasks {
            self.turns_of(task, hands);
        }
    }

    fn turns_of(&mut self, task: TaskId, hands: &mut Hands<'_>) {
        loop {
            let Some(hosted) = self.hosted.get_mut(&task).filter(|h| h.up && h.leaving != Some(Leaving::Move)) else {
                return;
            };
            let Some(next) = hosted.queue.front() else { return };
            if !hosted.running.iter().all(|running| next.method.turns().with(running.method.turns())) {
                return;
            }
            let Some(turn) = hosted.queue.pop_front() else { return };
            hands.judge.begins(hosted.attempt, turn.attempt.task, turn.ticket, turn.reenters);
            let pause = Duration::from_micros(*hands.rng.pick(&[0, 500, 5_000, 100_000]));
            hands.bells.push((pause, Bell::Turn(turn.attempt)));
            hosted.running.push(turn);
        }
    }

    pub(crate) fn ring(&mut self, bell: Bell, hands: &mut Hands<'_>) {
        match bell {
            Bell::Made(attempt) => self.made(attempt, hands),
            Bell::Turn(attempt) => self.go_on(attempt, hands),
        }
        self.turns(hands);
    }

    fn made(&mut self, attempt: AttemptId, hands: &mut Hands<'_>) {
        if !self.hosted.get(&attempt.task).is_some_and(|h| h.attempt == attempt && !h.up) {
            return;
        }
        if hands.rng.chance(30) {
            hands.judge.saw("not made");
            return self.over(attempt, Some(failed(FailureKind::Raised, None)), hands);
        }
        let leaving = self.hosted.get_mut(&attempt.task).map(|hosted| {
            hosted.up = true;
            hosted.leaving.take()
        });
        let (activity, awaits, blocked) = (Activity::Suspended, Vec::new(), false);
        hands.out.push(Up::Progress { attempt, activity, awaits, blocked });
        if let Some(Some(leaving)) = leaving {
            self.leave(attempt, leaving, hands);
        }
    }

    fn take_running(&mut self, attempt: AttemptId, fits: impl Fn(&Turn) -> bool) -> Option<Turn> {
        self.hosted.values_mut().find_map(|hosted| {
            let at = hosted.running.iter().position(|turn| turn.attempt == attempt && fits(turn))?;
            Some(hosted.running.remove(at))
        })
    }

    fn host_of(&self, attempt: AttemptId) -> Option<AttemptId> {
        let has = |h: &&Hosted| h.running.iter().any(|turn| turn.attempt == attempt);
        self.hosted.values().find(has).map(|hosted| hosted.attempt)
    }

    fn go_on(&mut self, attempt: AttemptId, hands: &mut Hands<'_>) {
        let Some(host) = self.host_of(attempt) else { return };
        let Some(turn) = self.take_running(attempt, |turn| turn.awaits.is_none()) else { return };
        match turn.method {
            Method::Relay | Method::Weave => self.relay(turn, host, hands),
            Method::Boom => {
                hands.out.push(Up::Ended {
                    attempt,
                    outcome: failed(FailureKind::Panicked, None),
                    delivered: turn.heard,
                });
                self.over(host, Some(failed(FailureKind::Panicked, None)), hands);
            }
            method => {
                let Some(hosted) = self.hosted.get_mut(&host.task) else { return };
                hosted.value += u64::from(method != Method::Peek);
                let value = hosted.value;
                if method == Method::Save {
                    let with = hands.rng.chance(700).then_some(attempt);
                    let snapshot = Snapshot { incarnation: host, state: state(value), with };
                    hands.out.push(Up::Snapshot(Box::new(snapshot)));
                }
                hands.judge.finishes(host, attempt.task, value);
                let outcome = Outcome::Returned(state(value));
                hands.out.push(Up::Ended { attempt, outcome, delivered: turn.heard });
                self.may_leave(host, hands);
            }
        }
    }

    /// Calls another actor, which may be the same one, and awaits that.
    fn relay(&mut self, mut turn: Turn, host: AttemptId, hands: &mut Hands<'_>) {
        let whom = if hands.rng.chance(500) {
            Whom::Demand(hands.rng.below(3) as u8)
        } else {
            Whom::Named(hands.rng.below(3) as u8)
        };
        self.seqs += 1;
        let ticket = Ticket { caller: hands.session, seq: self.seqs };
        let method = *hands.rng.pick(&[Method::Add, Method::Relay, Method::Weave, Method::Peek]);
        let task = new_task(hands.rng, hands.now);
        let spec = Arc::new(call(&whom, method, ticket, 0, false));
        hands.judge.made(task, method, true);
        let creator = Some(turn.attempt);
        hands.out.push(Up::Submit(Submit { task, spec, owner: Owner::Await, creator, within: None }));
        self.watching.insert(task);
        let (activity, awaits, blocked) = (Activity::Suspended, vec![task], true);
        hands.out.push(Up::Progress { attempt: turn.attempt, activity, awaits, blocked });
        turn.awaits = Some(task);
        if let Some(hosted) = self.hosted.get_mut(&host.task) {
            hosted.running.push(turn);
        }
    }

    fn resolved(&mut self, task: TaskId, hands: &mut Hands<'_>) {
        let waits = self.hosted.values().find_map(|h| {
            h.running.iter().find(|turn| turn.awaits == Some(task)).map(|turn| (h.attempt, turn.attempt))
        });
        let Some((host, attempt)) = waits else { return };
        let Some(turn) = self.take_running(attempt, |_| true) else { return };
        let value = self.hosted.get(&host.task).map_or(0, |h| h.value);
        hands.judge.finishes(host, attempt.task, value);
        let outcome = Outcome::Returned(state(value));
        hands.out.push(Up::Ended { attempt, outcome, delivered: turn.heard });
        self.may_leave(host, hands);
    }

    fn leave(&mut self, attempt: AttemptId, how: Leaving, hands: &mut Hands<'_>) {
        let Some(hosted) = self.hosted.get_mut(&attempt.task).filter(|h| h.attempt == attempt) else { return };
        hosted.leaving = Some(how);
        if hosted.up {
            if how == Leaving::Move {
                for turn in hosted.queue.drain(..) {
                    hands.out.push(Up::Returned(turn.attempt));
                }
            }
            self.may_leave(attempt, hands);
        }
    }

    fn may_leave(&mut self, host: AttemptId, hands: &mut Hands<'_>) {
        let Some(hosted) = self.hosted.get(&host.task).filter(|h| h.up && h.running.is_empty()) else { return };
        let value = hosted.value;
        match hosted.leaving {
            Some(Leaving::Move) => {
                hands.judge.saw("actor moved");
                let snapshot = Snapshot { incarnation: host, state: state(value), with: None };
                hands.out.push(Up::Snapshot(Box::new(snapshot)));
                self.over(host, None, hands);
            }
            Some(Leaving::Stop) if hosted.queue.is_empty() => {
                hands.judge.saw("actor stopped");
                self.over(host, Some(Outcome::Returned(Bytes::from_static(&[0xc0]))), hands);
            }
            _ => {}
        }
    }

    /// The incarnation is over: its calls first, then itself.
    fn over(&mut self, host: AttemptId, outcome: Option<Outcome>, hands: &mut Hands<'_>) {
        let Some(hosted) = self.hosted.remove(&host.task) else { return };
        hands.judge.incarnation_over(hands.at, host);
        for turn in hosted.running {
            let outcome = failed(FailureKind::ActorUnavailable, Some(true));
            hands.out.push(Up::Ended { attempt: turn.attempt, outcome, delivered: turn.heard });
        }
        for turn in hosted.queue {
            hands.out.push(Up::Returned(turn.attempt));
        }
        hands.out.push(match outcome {
            Some(outcome) => Up::Ended { attempt: host, outcome, delivered: u32::MAX },
            None => Up::Returned(host),
        });
    }

    fn cancel(&mut self, attempt: AttemptId, number: u32, hands: &mut Hands<'_>) {
        let cancelled = || Outcome::Cancelled(Arc::new(Cancellation::default()));
        if self.hosted.get(&attempt.task).is_some_and(|h| h.attempt == attempt) {
            hands.judge.saw("actor killed");
            return self.over(attempt, Some(cancelled()), hands);
        }
        for hosted in self.hosted.values_mut() {
            if let Some(at) = hosted.queue.iter().position(|turn| turn.attempt == attempt) {
                hosted.queue.remove(at);
                hands.judge.saw("call removed");
                hands.out.push(Up::Ended { attempt, outcome: cancelled(), delivered: number });
                return;
            }
        }
        let Some(host) = self.host_of(attempt) else { return };
        if let Some(turn) = self.take_running(attempt, |_| true) {
            if let Some(task) = turn.awaits {
                hands.out.push(Up::Cancel { task, message: None });
            }
            hands.out.push(Up::Ended { attempt, outcome: cancelled(), delivered: number });
            self.may_leave(host, hands);
        }
    }

    fn fence(&mut self, attempt: AttemptId, hands: &mut Hands<'_>) {
        if self.hosted.get(&attempt.task).is_some_and(|h| h.attempt == attempt) {
            self.hosted.remove(&attempt.task);
            return hands.judge.incarnation_over(hands.at, attempt);
        }
        for hosted in self.hosted.values_mut() {
            hosted.queue.retain(|turn| turn.attempt != attempt);
        }
        let host = self.host_of(attempt);
        self.take_running(attempt, |_| true);
        if let Some(host) = host {
            self.may_leave(host, hands);
        }
    }

    /// When its named actors must have been renewed.
    pub(crate) fn lease() -> Duration {
        limits::ACTOR_LEASE * 2 / 3
    }
}
