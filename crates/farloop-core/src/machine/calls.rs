//! The public API: people, grpcurl and other languages ask, the core answers, now or when there is something to say.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::answers::Each;
use super::scan::{Scan, ScanFor};
use super::tasks::TaskKey;
use super::{Core, Timer, Work};
use crate::api::{About, Call, CallError, GatherMode, Output, Reply, TaskView};
use crate::frame::{Owner, Submit};
use crate::id::{CallId, TaskId};
use crate::limits;
use crate::outcome::{FailureKind, Outcome};
use crate::spec::Spec;
use crate::time::Time;

/// A call that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    until: Time,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    Task(TaskKey),
    Gather(Box<Gather>),
    Each(Box<Each>),
}

#[derive(Debug)]
pub(crate) struct Gather {
    mode: GatherMode,
    /// In argument order; with the view of a member that is over, for its record may be forgotten before the others
    /// are over.
    members: Vec<(TaskKey, Option<TaskView>)>,
    /// Member and position, sorted.
    positions: Vec<(TaskKey, usize)>,
    open: usize,
    /// The mode is met though some members are open.
    met: bool,
}

impl Gather {
    fn member_over(&mut self, key: TaskKey, view: &TaskView) {
        let returned = matches!(view.outcome, Some(Outcome::Returned(_)));
        self.met |= match self.mode {
            GatherMode::All => false,
            GatherMode::FirstException => !returned,
            GatherMode::FirstCompleted => true,
            GatherMode::AnyOk => returned,
            GatherMode::FirstFailure => matches!(view.outcome, Some(Outcome::Raised(_))),
        };
        let from = self.positions.partition_point(|(k, _)| *k < key);
        for (_, position) in self.positions[from..].iter().take_while(|(k, _)| *k == key) {
            if self.members[*position].1.replace(view.clone()).is_none() {
                self.open -= 1;
            }
        }
    }

    fn done(&self) -> bool {
        self.met || self.open == 0
    }
}

pub(crate) fn error(kind: FailureKind, message: String) -> CallError {
    CallError { kind, message, about: About::Task }
}

impl Core {
    pub(crate) fn on_call(&mut self, call: CallId, request: Call) {
        let reply = match request {
            Call::Submit { task, spec, await_worker, request } => self.submit_call(task, spec, await_worker, request),
            Call::Wait { task, timeout } => match self.known(task) {
                Ok(index) if !self.tasks[index].over() && timeout > Duration::ZERO => {
                    let key = self.tasks.key(index);
                    self.wait(call, What::Task(key), timeout, &[key]);
                    return;
                }
                other => other.map(|index| Reply::Task(self.view(index))),
            },
            Call::Get(task) => self.known(task).map(|index| Reply::Task(self.full_view(index))),
            Call::Cancel { task, message, request } => self.known(task).map(|index| {
                let requested = self.cancel_call(index, message, request);
                Reply::Cancelled { requested, task: self.view(index) }
            }),
            // What is forgotten is released.
            Call::Release(task) => match self.known(task) {
                Ok(index) => {
                    self.release_task(index);
                    Ok(Reply::Released)
                }
                Err(CallError { kind: FailureKind::Expired, .. }) => Ok(Reply::Released),
                Err(unknown) => Err(unknown),
            },
            Call::List(query) => {
                let what = ScanFor::List { query, page: BTreeMap::new(), total: 0 };
                self.work.push_back(Work::Scan(Box::new(Scan { call, next: 0, what })));
                return;
            }
            Call::Actor(whom) => self.actor_call(&whom),
            Call::Actors(query) => {
                let what = ScanFor::Actors { query, page: BTreeMap::new(), total: 0 };
                self.work.push_back(Work::Scan(Box::new(Scan { call, next: 0, what })));
                return;
            }
            Call::Gather { members, mode, timeout } => match self.gather(call, members, mode, timeout) {
                Some(reply) => reply,
                None => return,
            },
            Call::AsCompleted { tasks, timeout } => match self.as_completed(call, tasks, timeout) {
                Some(reply) => reply,
                None => return,
            },
            Call::WatchTasks(query) => self.watch_tasks(call, query),
            Call::WatchActor(whom) => self.watch_actor(call, &whom),
            Call::DrainWorker(text) => self.drain_worker(&text),
            Call::WorkerExit { who, ending } => self.worker_exit(&who, ending),
            Call::Workers => Ok(Reply::Workers(self.workers().filter_map(|(i, _)| self.worker_view(i)).collect())),
            Call::Explain(task) => {
                self.known(task).map(|index| Reply::Explained { task: self.full_view(index), why: self.explain(index) })
            }
            Call::Find(text) => match self.find_by_text(call, &text) {
                Some(reply) => reply,
                None => return,
            },
        };
        self.reply(call, reply);
    }

    /// A submit of the public API. Whoever makes it may not have heard the answer to the same one before.
    fn submit_call(
        &mut self,
        task: TaskId,
        spec: Arc<Spec>,
        await_worker: bool,
        request: Option<Arc<str>>,
    ) -> Result<Reply, CallError> {
        let refused = |(kind, message)| Err(error(kind, message));
        if let Some(name) = &request {
            if name.len() > limits::MAX_NAME {
                let message =
                    format!("bytes of a request's name: {}; the limit MAX_NAME is {}", name.len(), limits::MAX_NAME);
                return refused((FailureKind::ResourceExhausted, message));
            }
            if let Some(&index) = self.requests.get(name)
                && !planted!(self, RequestForgotten)
            {
                if self.same_body(index, &spec) {
                    return Ok(Reply::Again(self.view(index)));
                }
                let known = self.tasks[index].id;
                let message =
                    format!("request '{name}' started task {known} with another function, arguments or options");
                return refused((FailureKind::AlreadyExists, message));
            }
        }
        let known = self.tasks.find(task).is_some();
        if !known && let Some(wrong) = self.misspelt_part(&spec).filter(|_| !await_worker || spec.actor.is_none()) {
            return Err(wrong);
        }
        if !await_worker
            && !known
            && spec.actor.is_none()
            && let Some(why) = self.misspelt(&spec.function)
        {
            return Err(CallError { about: About::Function, ..error(FailureKind::NotFound, why) });
        }
        let about = if spec.actor.is_some() { About::Actor } else { About::Task };
        let submit = Submit { task, spec, owner: Owner::Nobody, creator: None, within: None };
        match self.accept(submit, None, request) {
            Ok(index) if known => Ok(Reply::Again(self.view(index))),
            Ok(index) => Ok(Reply::Task(self.view(index))),
            Err((kind, message)) => Err(CallError { about, ..error(kind, message) }),
        }
    }

    /// From now on a request under this name is known again.
    pub(crate) fn name_request(&mut self, index: u32, name: Arc<str>) {
        self.tasks[index].rare().request = Some(name.clone());
        self.requests.insert(name, index);
    }

    /// A cancel of the public API. One that was counted under its name is not counted again.
    fn cancel_call(&mut self, index: u32, message: Option<String>, request: Option<Arc<str>>) -> bool {
        let Some(name) = request else { return self.request_cancel(index, message) };
        let named = self.tasks[index].rare.as_ref().map_or(&[][..], |r| &r.cancels.named);
        if named.contains(&name) {
            return true;
        }
        let counted = self.request_cancel(index, message);
        if counted {
            let named = &mut self.tasks[index].rare().cancels.named;
            if named.len() >= limits::NAMED_CANCELS {
                named.remove(0);
            }
            named.push(name);
        }
        counted
    }

    /// Answers. With a durable store no answer leaves before what it rests on is durable (output commit): the records of
    /// its one task, or all until now.
    pub(crate) fn reply(&mut self, call: CallId, reply: Result<Reply, CallError>) {
        let gate = match &reply {
            Ok(Reply::Task(view) | Reply::Again(view)) => {
                self.tasks.find(view.task).map_or(self.seq, |index| self.tasks[index].gate)
            }
            _ => self.seq,
        };
        let output = Output::Reply { call, reply: Box::new(reply) };
        if gate > self.durable && self.config.durable {
            self.held.push_back((gate, output));
        } else {
            self.outputs.push_back(output);
        }
    }

    pub(crate) fn known(&self, task: TaskId) -> Result<u32, CallError> {
        self.tasks.find(task).ok_or_else(|| {
            let (kind, message) = self.unknown(task);
            error(kind, message)
        })
    }

    /// False: it was refused, and told so.
    pub(crate) fn wait(&mut self, call: CallId, what: What, timeout: Duration, tasks: &[TaskKey]) -> bool {
        if self.calls.len() >= limits::CALLS {
            let message = format!("{} calls wait already; the limit is CALLS", limits::CALLS);
            self.reply(call, Err(error(FailureKind::ResourceExhausted, message)));
            return false;
        }
        for key in tasks {
            self.tasks[key.index].rare().calls.push(call);
        }
        let until = self.now + timeout;
        self.timers.insert((until, Timer::Call(call)));
        self.calls.insert(call, Waiting { until, what });
        true
    }

    fn gather(
        &mut self,
        call: CallId,
        ids: Vec<TaskId>,
        mode: GatherMode,
        timeout: Duration,
    ) -> Option<Result<Reply, CallError>> {
        if ids.len() > limits::GATHER_MEMBERS {
            let message = format!("{} members; the limit GATHER_MEMBERS is {}", ids.len(), limits::GATHER_MEMBERS);
            return Some(Err(error(FailureKind::ResourceExhausted, message)));
        }
        let mut members = Vec::with_capacity(ids.len());
        for id in ids {
            match self.known(id) {
                Ok(index) => members.push((self.tasks.key(index), None)),
                Err(unknown) => return Some(Err(unknown)),
            }
        }
        let mut positions: Vec<(TaskKey, usize)> = members.iter().enumerate().map(|(i, (k, _))| (*k, i)).collect();
        positions.sort_unstable();
        let mut open: Vec<TaskKey> = positions.iter().map(|(k, _)| *k).collect();
        open.dedup();
        let mut gather = Gather { mode, open: members.len(), members, positions, met: false };
        open.retain(|key| {
            let over = self.tasks[key.index].over();
            if over {
                gather.member_over(*key, &self.view(key.index));
            }
            !over
        });
        if gather.done() || timeout == Duration::ZERO {
            return Some(Ok(self.gathered(gather)));
        }
        self.wait(call, What::Gather(Box::new(gather)), timeout, &open);
        None
    }

    fn gathered(&self, gather: Gather) -> Reply {
        let done = gather.done();
        let tasks =
            gather.members.into_iter().map(|(key, view)| view.unwrap_or_else(|| self.view(key.index))).collect();
        Reply::Gathered { done, tasks }
    }

    /// A task that this call waits for is over.
    pub(crate) fn call_task_over(&mut self, call: CallId, index: u32) {
        if matches!(self.calls.get(&call).map(|w| &w.what), Some(What::Each(_))) {
            self.each_over(call, index);
            return;
        }
        let (key, view) = (self.tasks.key(index), self.view(index));
        let Some(waiting) = self.calls.get_mut(&call) else { return };
        if let What::Gather(gather) = &mut waiting.what {
            gather.member_over(key, &view);
            if !gather.done() {
                return;
            }
        }
        self.finish_call(call);
    }

    pub(crate) fn on_call_timeout(&mut self, call: CallId) {
        if matches!(self.calls.get(&call).map(|w| &w.what), Some(What::Each(_))) {
            self.each_late(call);
            return;
        }
        self.finish_call(call);
    }

    fn finish_call(&mut self, call: CallId) {
        let Some(what) = self.forget_call(call) else { return };
        let reply = match what {
            What::Task(key) => Reply::Task(self.view(key.index)),
            What::Gather(gather) => self.gathered(*gather),
            // It ends when its last message was taken.
            What::Each(_) => return,
        };
        self.reply(call, Ok(reply));
    }

    pub(crate) fn forget_call(&mut self, call: CallId) -> Option<What> {
        let Waiting { until, what } = self.calls.remove(&call)?;
        self.timers.remove(&(until, Timer::Call(call)));
        let tasks: Vec<TaskKey> = match &what {
            What::Task(key) => Vec::from([*key]),
            What::Gather(g) => g.members.iter().filter(|(_, v)| v.is_none()).map(|(k, _)| *k).collect(),
            What::Each(each) => each.open().to_vec(),
        };
        for key in tasks {
            if self.tasks.get(key).is_some_and(|t| !t.over()) {
                self.tasks[key.index].rare().calls.retain(|c| *c != call);
            }
        }
        Some(what)
    }

    pub(crate) fn on_hangup(&mut self, call: CallId) {
        if self.watches.remove(&call).is_some() || self.actors.watches.remove(&call).is_some() {
            return;
        }
        self.forget_call(call);
        self.work.retain(|w| !matches!(w, Work::Scan(scan) if scan.call == call));
    }
}
