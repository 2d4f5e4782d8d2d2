//! People at the public API: what they ask, and whether the answers fit (L8, L9, L15).

use std::collections::BTreeMap;
use std::time::Duration;

use farloop_core::api::{Call, CallError, GatherMode, Input, ListTasks, Reply, TaskState, TaskView};
use farloop_core::id::{CallId, TaskId};
use farloop_core::outcome::{FailureKind, Outcome};
use farloop_core::time::Time;

use crate::peer::new_task;
use crate::script::Args;
use crate::world::{Event, World};

/// What went wrong: the law and a sentence.
pub type Complaint = (&'static str, String);

/// A call without an answer.
#[derive(Debug)]
pub struct Asked {
    /// What was asked.
    pub request: Call,
    at: Time,
}

/// All calls.
#[derive(Debug, Default)]
pub struct Calls {
    open: BTreeMap<CallId, Asked>,
    next: u64,
    /// Answers so far.
    pub answered: u64,
    last: Option<(CallId, Result<Reply, CallError>)>,
}

impl Calls {
    /// Calls that wait for their answer.
    pub fn open(&self) -> impl Iterator<Item = (&CallId, &Asked)> {
        self.open.iter()
    }

    /// The task that an open call wants to start.
    #[must_use]
    pub fn submitting(&self, call: CallId) -> Option<TaskId> {
        match self.open.get(&call)?.request {
            Call::Submit { task, .. } => Some(task),
            _ => None,
        }
    }

    fn ask(&mut self, now: Time, request: Call) -> CallId {
        self.next += 1;
        let call = CallId(self.next);
        self.open.insert(call, Asked { request, at: now });
        call
    }

    /// What an open call wants.
    #[must_use]
    pub fn asking(&self, call: CallId) -> Option<&Call> {
        Some(&self.open.get(&call)?.request)
    }

    /// When an open call was asked: its time runs from there, however late the first answer is.
    #[must_use]
    pub fn asked_at(&self, call: CallId) -> Option<Time> {
        Some(self.open.get(&call)?.at)
    }

    /// The coordinator is gone: all connections broke. What was asked is asked again, by whoever needs it.
    pub(crate) fn broken(&mut self) -> Vec<Call> {
        self.last = None;
        std::mem::take(&mut self.open).into_values().map(|asked| asked.request).collect()
    }

    /// The caller goes away. False: there was an answer already.
    pub fn hang_up(&mut self, call: CallId) -> bool {
        self.open.remove(&call).is_some()
    }

    /// Takes an answer, and says what is wrong with it.
    pub fn answer(&mut self, now: Time, call: CallId, reply: &Result<Reply, CallError>) -> Option<Complaint> {
        let Some(asked) = self.open.remove(&call) else {
            // An answer may have been on its way when the caller hung up; a second one may not.
            return (call.0 > self.next).then(|| ("L10", format!("{call:?} was never asked")));
        };
        self.answered += 1;
        self.last = Some((call, reply.clone()));
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) if error.message.is_empty() => {
                return Some(("L18", format!("{call:?}: an error without words")));
            }
            Err(_) => return None,
        };
        judge(&asked, reply, now).map(|(law, what)| (law, format!("{call:?} {:?}: {what}", asked.request)))
    }
}

fn over(view: &TaskView) -> bool {
    matches!(view.state, TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled)
}

fn judge(asked: &Asked, reply: &Reply, now: Time) -> Option<Complaint> {
    let views: &[TaskView] = match reply {
        Reply::Task(view)
        | Reply::Again(view)
        | Reply::Cancelled { task: view, .. }
        | Reply::Explained { task: view, .. } => std::slice::from_ref(view),
        Reply::Tasks { tasks, .. } | Reply::Gathered { tasks, .. } => tasks,
        Reply::Actor(view) => std::slice::from_ref(&view.task),
        Reply::Actors { .. }
        | Reply::Workers(_)
        | Reply::Worker(_)
        | Reply::WorkerExit { .. } | Reply::Opened | Reply::Released => &[],
    };
    if let Some(view) = views.iter().find(|v| over(v) != v.outcome.is_some() || over(v) != v.ended.is_some()) {
        return Some(("L3", format!("state and outcome disagree: {view:?}")));
    }
    match (&asked.request, reply) {
        (Call::Submit { task, .. } | Call::Get(task), Reply::Task(view) | Reply::Again(view)) => {
            (view.task != *task).then(|| ("L2", "another task".into()))
        }
        (Call::Wait { task, timeout }, Reply::Task(view)) => {
            let early = !over(view) && now < asked.at + *timeout;
            (view.task != *task || early).then(|| ("L9", format!("answered too early, or for another task: {view:?}")))
        }
        (Call::Cancel { task, .. }, Reply::Cancelled { task: view, .. }) => {
            (view.task != *task).then(|| ("L6", "another task".into()))
        }
        (Call::List(query), Reply::Tasks { tasks, total, .. }) => {
            let sorted = tasks.windows(2).all(|w| w[0].task > w[1].task);
            let fits = tasks.iter().all(|v| query.state.is_none_or(|s| s == v.state));
            let size = tasks.len() <= query.limit && tasks.len() <= *total;
            (!(sorted && fits && size)).then(|| ("L18", "the page is not what was asked for".into()))
        }
        (Call::Gather { members, mode, timeout }, Reply::Gathered { done, tasks }) => {
            judge_gather(members, *mode, *done, tasks, now >= asked.at + *timeout)
        }
        (Call::AsCompleted { .. } | Call::WatchTasks(_), Reply::Opened) => None,
        (Call::DrainWorker(text), Reply::Worker(view)) => {
            let right = view.draining && view.worker.to_string() == *text;
            (!right).then(|| ("L14", format!("another worker, or one that does not drain: {view:?}")))
        }
        (Call::Workers, Reply::Workers(_)) | (Call::WorkerExit { .. }, Reply::WorkerExit { .. }) => None,
        (Call::Explain(task), Reply::Explained { task: view, why }) => {
            let silent = why.is_empty() || why.iter().any(String::is_empty);
            (silent || view.task != *task).then(|| ("L15", format!("no explanation for {view:?}")))
        }
        (Call::Find(_), Reply::Task(_)) => None,
        (_, reply) => Some(("L10", format!("the answer is of another kind: {reply:?}"))),
    }
}

fn judge_gather(members: &[TaskId], mode: GatherMode, done: bool, tasks: &[TaskView], late: bool) -> Option<Complaint> {
    if members.len() != tasks.len() || members.iter().zip(tasks).any(|(m, t)| *m != t.task) {
        return Some(("L8", "the members are not in argument order".into()));
    }
    let outcomes = tasks.iter().map(|t| t.outcome.as_ref());
    let met = mode_met(mode, outcomes);
    if met != done || (!done && !late) {
        return Some(("L9", format!("done is {done}, the mode is met: {met}, time is over: {late}")));
    }
    None
}

/// Whether a gather of that mode is over.
pub fn mode_met<'a>(mode: GatherMode, outcomes: impl Iterator<Item = Option<&'a Outcome>> + Clone) -> bool {
    let returned = |o: &Option<&Outcome>| matches!(o, Some(Outcome::Returned(_)));
    let all = outcomes.clone().all(|o| o.is_some());
    all || match mode {
        GatherMode::All => false,
        GatherMode::FirstException => outcomes.clone().any(|o| o.is_some() && !returned(&o)),
        GatherMode::FirstCompleted => outcomes.clone().any(|o| o.is_some()),
        GatherMode::AnyOk => outcomes.clone().any(|o| returned(&o)),
        GatherMode::FirstFailure => outcomes.clone().any(|o| matches!(o, Some(Outcome::Raised(_)))),
    }
}

impl World {
    /// Somebody asks something, now and then.
    pub(crate) fn api(&mut self) {
        if self.calm || self.plan.call == 0 {
            return;
        }
        let gap = self.rng.below(40_000_000 / self.plan.call);
        self.at(self.now + Duration::from_micros(gap), Event::Api);
        if !self.up() {
            return;
        }
        let request = self.draw_call();
        let call = self.calls.ask(self.now, request.clone());
        if self.rng.chance(150) {
            let after = Duration::from_micros(self.rng.below(2_000_000));
            self.at(self.now + after, Event::Hangup(call));
        }
        self.feed(Input::Call { call, request });
    }

    /// Somebody asks what was asked before the coordinator died.
    pub(crate) fn ask_again(&mut self, request: Box<Call>) {
        if !self.up() {
            return self.at(self.now + Duration::from_millis(200), Event::Ask(request));
        }
        let call = self.calls.ask(self.now, (*request).clone());
        self.feed(Input::Call { call, request: *request });
    }

    fn draw_call(&mut self) -> Call {
        let fresh = new_task(&mut self.rng, self.now);
        let any = |world: &mut Self| {
            let known = world.history.tasks_seen();
            if known.is_empty() || world.rng.chance(20) { fresh } else { *world.rng.pick(&known) }
        };
        let timeout = Duration::from_millis(*self.rng.pick(&[0, 10, 500, 5_000, 60_000]));
        match self.rng.below(14) {
            0 | 1 => {
                let script = self.rng.index(self.library.len());
                let spec = self.library.spec(Args::of(script), &[], &mut self.rng);
                if self.plan.again && self.rng.chance(100) && !self.roots.is_empty() {
                    // Somebody else's id, with that one's body or another.
                    let (task, theirs) = self.rng.pick(&self.roots).clone();
                    return Call::Submit {
                        task,
                        spec: if self.rng.chance(500) { theirs } else { spec },
                        await_worker: true,
                        request: None,
                    };
                }
                Call::Submit { task: fresh, spec, await_worker: self.rng.chance(500), request: None }
            }
            2 => Call::Wait { task: any(self), timeout },
            3 => Call::Get(any(self)),
            4 => Call::Cancel { task: any(self), message: Some("by hand".into()), request: None },
            5 => {
                let state = *self.rng.pick(&[None, None, Some(TaskState::Pending), Some(TaskState::Cancelled)]);
                Call::List(ListTasks { state, limit: self.rng.index(30), ..ListTasks::default() })
            }
            6 | 7 => {
                let mode = *self.rng.pick(&[
                    GatherMode::All,
                    GatherMode::FirstException,
                    GatherMode::FirstCompleted,
                    GatherMode::AnyOk,
                    GatherMode::FirstFailure,
                ]);
                let members = (0..self.rng.below(6)).map(|_| any(self)).collect();
                Call::Gather { members, mode, timeout }
            }
            8 => Call::Workers,
            11 => {
                let tasks = (0..self.rng.below(8)).map(|_| any(self)).collect();
                Call::AsCompleted { tasks, timeout }
            }
            12 => Call::WatchTasks(ListTasks::default()),
            13 => {
                let peer = self.rng.index(self.peers.len());
                Call::DrainWorker(self.peers[peer].session.to_string())
            }
            9 => Call::Explain(any(self)),
            _ => {
                let text = any(self).to_string();
                let from = self.rng.index(text.len());
                Call::Find(text[from..].into())
            }
        }
    }

    /// Asks something that is answered at once, outside the plan.
    pub(crate) fn ask_now(&mut self, request: Call) -> Option<Reply> {
        if !self.up() {
            return None;
        }
        let call = self.calls.ask(self.now, request.clone());
        self.trace.mute = true;
        self.feed(Input::Call { call, request });
        for _ in 0..1_000 {
            if self.calls.last.as_ref().is_some_and(|(c, _)| *c == call) {
                break;
            }
            self.feed(Input::Tick);
        }
        self.trace.mute = false;
        match self.calls.last.take() {
            Some((c, reply)) if c == call => match reply {
                Ok(reply) => Some(reply),
                Err(e) if matches!(e.kind, FailureKind::NotFound | FailureKind::Expired) => None,
                Err(e) => {
                    self.history.fail("L15", format!("the call was refused: {e}"));
                    None
                }
            },
            _ if !self.up() => None,
            // The tick that this moment was good for made a record, and the answer waits for it to be durable.
            _ if self.history.persisted > self.history.durable => None,
            _ => {
                self.history.fail("L10", format!("{call:?} is not answered at once"));
                None
            }
        }
    }
}
