//! A task is accepted, or refused with a reason; nothing in between.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use super::lists::Chain;
use super::outbox::Tell;
use super::retention::args_hash;
use super::sessions::SessionKey;
use super::tasks::{Phase, Rare, Task, Watcher};
use super::{Core, Timer};
use crate::frame::{Owner, Submit};
use crate::id::{Epoch, SessionId, TaskId};
use crate::limits;
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::record::{Record, Submitted};
use crate::spec::{Backoff, Durability, Policy, Spec};
use crate::time::Time;

/// Refuses options that cannot be followed.
fn policy_within_limits(policy: &Policy) -> Result<(), (FailureKind, String)> {
    let refused = |message| Err((FailureKind::BadArguments, message));
    if let Some(Backoff { coefficient, jitter, .. }) = &policy.backoff {
        if !(coefficient.is_finite() && *coefficient >= 1.0) {
            return refused(format!("the backoff's coefficient is {coefficient}; it must be a number from 1"));
        }
        if !(0.0..=1.0).contains(jitter) {
            return refused(format!("the backoff's jitter is {jitter}; it must lie between 0 and 1"));
        }
    }
    if policy.limit.as_ref().is_some_and(|l| l.at_once == 0) {
        return refused("a limit of 0 tasks at once would never let one start".into());
    }
    let limit_key = policy.limit.as_ref().map_or(0, |l| l.key.len());
    let longest = policy.fairness_key.as_ref().map_or(0, |k| k.len()).max(limit_key);
    if longest > limits::MAX_NAME {
        let message = format!("bytes of a key: {longest}; the limit MAX_NAME is {}", limits::MAX_NAME);
        return Err((FailureKind::ResourceExhausted, message));
    }
    Ok(())
}

impl Core {
    pub(crate) fn on_submit(&mut self, index: u32, submit: Submit) {
        let (task, function) = (submit.task, submit.spec.function.clone());
        let key = self.session_key(index);
        if let Err((kind, message)) = self.accept(submit, Some(key), None) {
            let may_have_run = matches!(kind, FailureKind::ActorDied | FailureKind::ActorUnavailable).then_some(false);
            let failure = Failure { task: Some(task), may_have_run, ..Failure::new(kind, function, message) };
            let gate = self.unwatch(task, key);
            self.tell(key, gate, Tell::Resolved { task, outcome: Outcome::Raised(Arc::new(failure)) });
        }
    }

    pub(crate) fn on_watch(&mut self, index: u32, id: TaskId) {
        let key = self.session_key(index);
        if let Some(task) = self.tasks.find(id) {
            self.watch(task, key);
            return;
        }
        let (kind, message) = self.unknown(id);
        let failure = Failure { task: Some(id), ..Failure::new(kind, "".into(), message) };
        self.tell(key, 0, Tell::Resolved { task: id, outcome: Outcome::Raised(Arc::new(failure)) });
    }

    /// Tells the session the outcome: now if there is one, else when it comes. Once per question (L10).
    fn watch(&mut self, index: u32, key: SessionKey) {
        let task = &mut self.tasks[index];
        if task.over() {
            let gate = task.gate;
            let tell = self.tell_of_end(index);
            self.tell(key, gate, tell);
            return;
        }
        if task.watchers().any(|w| w.session == key) {
            return;
        }
        let watcher = Watcher { session: key, count_queued: false };
        if task.watcher.is_none() {
            task.watcher = Some(watcher);
            return;
        }
        // Sessions that are over leave their entry behind; before the list grows they are swept out.
        let watchers = &mut task.rare().watchers;
        if watchers.len() == watchers.capacity() && !watchers.is_empty() {
            let mut kept = core::mem::take(watchers);
            kept.retain(|w| self.session(w.session).is_some());
            self.tasks[index].rare().watchers = kept;
        }
        self.tasks[index].rare().watchers.push(watcher);
    }

    /// A session that is told a refusal is not told the outcome as well. Gives the record the refusal rests on.
    pub(crate) fn unwatch(&mut self, id: TaskId, key: SessionKey) -> u64 {
        let Some(index) = self.tasks.find(id) else { return 0 };
        let task = &mut self.tasks[index];
        task.watcher = task.watcher.take().filter(|w| w.session != key);
        if let Some(rare) = &mut task.rare {
            rare.watchers.retain(|w| w.session != key);
        }
        task.gate
    }

    /// Accepts a task. `from` is told its outcome; a refusal leaves no trace (L18).
    pub(crate) fn accept(
        &mut self,
        submit: Submit,
        from: Option<SessionKey>,
        request: Option<Arc<str>>,
    ) -> Result<u32, (FailureKind, String)> {
        let Submit { task: id, spec, owner, creator, within } = submit;
        if let Some(index) = self.tasks.find(id) {
            if !self.same_body(index, &spec) && !planted!(self, SecondBodyAccepted) {
                return Err((
                    FailureKind::AlreadyExists,
                    format!("task {id} exists with another function, arguments or options"),
                ));
            }
            if let Some(key) = from {
                self.watch(index, key);
            }
            return Ok(index);
        }
        self.room_in_store(&spec)?;
        self.within_limits(&spec)?;
        if self.expired(id, self.may_repeat(from)) {
            return Err(self.unknown(id));
        }
        self.room_to_pin(&spec)?;
        let parent = match creator {
            None => None,
            Some(attempt) => match self.tasks.find(attempt.task) {
                Some(index)
                    if self.leased(index, attempt.epoch)
                        && from.is_some_and(|f| f.index == self.tasks[index].place) =>
                {
                    Some(index)
                }
                _ => {
                    let message = format!("the attempt of task {} that submitted this is over", attempt.task);
                    return Err((FailureKind::Stale, message));
                }
            },
        };
        self.room_for(parent, owner)?;
        self.room_for_stream(&spec, from)?;
        let inputs = self.inputs_of(id, &spec)?;
        let actor = self.addressee(&spec, from, creator)?;
        let caller = self.caller(from);

        self.serial = self.serial.wrapping_add(1);
        let timeout = spec.options.timeout;
        let created = if spec.actor.is_some() { self.actors.moment(self.now) } else { self.now };
        let mut task = Task::new(id, self.serial, spec, owner, created);
        if let Some(timeout) = timeout {
            task.deadline = created + timeout;
        }
        let mut within = within.map(|left| self.now + left);
        task.watcher = from.map(|session| Watcher { session, count_queued: false });
        if let Some(parent) = parent {
            let parent = &self.tasks[parent];
            task.parent = parent.id;
            task.creator = parent.epoch;
            // What nobody waits for is inside of nothing: a token may go round for ever.
            task.depth = if owner == Owner::Nobody { 0 } else { parent.depth + 1 };
            task.priority = task.spec.options.priority.unwrap_or(parent.priority);
            if owner != Owner::Nobody {
                if parent.durability == Durability::Memory {
                    task.durability = Durability::Memory;
                }
                task.root = parent.root;
                if !planted!(self, DeadlineNotInherited) {
                    task.deadline = task.deadline.min(parent.deadline);
                }
                // What an await does not own may outlive the scope. And what a body calls once it was asked to stop is
                // its cleanup: that scope has done its work.
                let tied = |r: &&alloc::boxed::Box<Rare>| owner == Owner::Await && r.cancels.standing == 0;
                let scope = parent.rare.as_ref().filter(tied).and_then(|r| r.within);
                within = within.into_iter().chain(scope).min();
            }
        } else if let Some(key) = from
            && owner != Owner::Nobody
        {
            task.root = self.sessions[key.index as usize].id;
        }
        if !self.suspects.is_empty()
            && let Some(parent) = parent
        {
            let number = self.kin_number(parent);
            if number > 0 {
                task.extra_mut().kin = number;
            }
        }
        let own = task.policy().and_then(|p| p.fairness_key.clone());
        // Whom work is done for does not change on the way down, unless somebody says so.
        let inherited = || parent.and_then(|p| self.tasks[p].extra()?.lane.key.clone());
        if let Some(key) = own.or_else(inherited) {
            task.extra_mut().lane.key = Some(key);
        }
        if within.is_some() {
            task.rare().within = within;
        }
        let deadline = task.deadline;
        let index = self.tasks.insert(task);
        self.pin(index);
        if let Some(name) = request {
            self.name_request(index, name);
        }
        self.open_stream(index, from);
        self.join_actor(index, actor, caller);
        self.live += 1;
        self.join_limit(index);
        if self.records(index) {
            let record = self.submitted(index);
            self.record(index, Record::Submitted(Box::new(record)));
        }
        self.noted(index);
        if deadline != Time(u64::MAX) {
            self.timers.insert((deadline, Timer::Deadline(self.tasks.key(index))));
        }
        if let Some(at) = within {
            self.timers.insert((at, Timer::Within(self.tasks.key(index))));
        }
        let orphan = self.give_owner(index, parent);
        let failed = self.depend(index, inputs);
        if let Some((_, message)) = self.tombstones.take(id)
            && !planted!(self, TombstoneForgotten)
        {
            self.request_cancel(index, message);
        } else if orphan {
            self.request_cancel(index, Some("the session that owns this task is over".into()));
        } else if deadline <= self.now {
            self.time_out(index);
        } else if self.outlived(index, self.now) {
            self.not_started(index);
        } else if let Some(outcome) = failed {
            self.end_task(index, outcome, super::ending::Family::All);
        } else if self.tasks[index].rare.as_ref().is_none_or(|r| r.inputs.as_ref().is_none_or(|i| i.waiting == 0)) {
            self.enqueue(index, false);
        }
        Ok(index)
    }

    /// Whether a submit may be there for the second time: a link carries each frame once, but for those that a peer sends
    /// to a coordinator that started again; and who calls may call again.
    fn may_repeat(&self, from: Option<SessionKey>) -> bool {
        from.is_none_or(|key| self.sessions[key.index as usize].rejoining)
    }

    /// The task as it was accepted, for the records.
    pub(crate) fn submitted(&self, index: u32) -> Submitted {
        let task = &self.tasks[index];
        Submitted {
            task: task.id,
            spec: task.spec.clone(),
            owner: task.owner,
            root: (task.root != SessionId(0)).then_some(task.root),
            parent: (task.parent != TaskId(0)).then_some((task.parent, task.creator)),
            depth: task.depth,
            priority: task.priority,
            key: task.extra().and_then(|e| e.lane.key.clone()),
            at: task.created,
            deadline: (task.deadline != Time(u64::MAX)).then_some(task.deadline),
            within: task.rare.as_ref().and_then(|r| r.within),
            request: task.request().cloned(),
            consumer: self.consumer(index),
        }
    }

    /// Hangs the task into the lists of who will end it. True if its owner is over already.
    fn give_owner(&mut self, index: u32, parent: Option<u32>) -> bool {
        let (owner, root) = (self.tasks[index].owner, self.tasks[index].root);
        if owner == Owner::Nobody {
            return false;
        }
        if let Some(parent) = parent {
            let mut children = self.tasks[parent].children;
            children.push_back(&mut self.tasks, Chain::Sibling, index);
            self.tasks[parent].children = children;
            self.tasks[index].parent_index = parent;
            if owner == Owner::Await {
                return false;
            }
        }
        if root == SessionId(0) {
            return false;
        }
        let Some(&session) = self.session_ids.get(&root) else { return true };
        self.sessions[session as usize].owned.push_back(&mut self.tasks, Chain::Owned, index);
        self.tasks[index].owner_session = session;
        false
    }

    fn within_limits(&self, spec: &Spec) -> Result<(), (FailureKind, String)> {
        let exceeded = |what: &str, is: usize, name: &str, limit: usize| {
            Err((FailureKind::ResourceExhausted, format!("{what}: {is}; the limit {name} is {limit}")))
        };
        if spec.args.len() > self.config.max_payload {
            return exceeded("bytes of arguments", spec.args.len(), "MAX_PAYLOAD", self.config.max_payload);
        }
        let name = spec.name.as_ref().map_or(0, |n| n.len()).max(spec.function.len());
        if name > limits::MAX_NAME {
            return exceeded("bytes of a name", name, "MAX_NAME", limits::MAX_NAME);
        }
        let context = spec.context_len();
        if context > limits::CONTEXT {
            return exceeded("bytes of context variables", context, "CONTEXT", limits::CONTEXT);
        }
        if spec.options.labels.len() > limits::LABELS {
            return exceeded("labels", spec.options.labels.len(), "LABELS", limits::LABELS);
        }
        if let Some((key, value)) = spec.options.labels.iter().find(|(k, v)| k.len().max(v.len()) > limits::MAX_NAME) {
            return exceeded("bytes of a label", key.len().max(value.len()), "MAX_NAME", limits::MAX_NAME);
        }
        spec.options.policy.as_deref().map_or(Ok(()), policy_within_limits)
    }

    fn room_in_store(&self, spec: &Spec) -> Result<(), (FailureKind, String)> {
        let recorded = spec.options.policy.as_ref().is_none_or(|p| p.durability != Durability::Memory);
        if !(self.recovery.full && recorded) {
            return Ok(());
        }
        let message = "the coordinator's disk is full: it takes no new tasks until there is room (farloop limits: the store's reserve); what it accepted goes on";
        Err((FailureKind::ResourceExhausted, message.into()))
    }

    fn room_for(&self, parent: Option<u32>, owner: Owner) -> Result<(), (FailureKind, String)> {
        if self.live >= self.config.max_live_tasks {
            let message = format!(
                "{} tasks are not over yet; the limit MAX_LIVE_TASKS is {}: submit again when some have ended",
                self.live, self.config.max_live_tasks
            );
            return Err((FailureKind::ResourceExhausted, message));
        }
        let Some(parent) = parent else { return Ok(()) };
        let parent = &self.tasks[parent];
        if owner != Owner::Nobody && parent.depth + 1 > limits::MAX_DEPTH {
            let message = format!("tasks nest deeper than MAX_DEPTH, {}", limits::MAX_DEPTH);
            return Err((FailureKind::ResourceExhausted, message));
        }
        if parent.children.len as usize >= limits::MAX_CHILDREN {
            let message =
                format!("task {} has {} children; the limit is MAX_CHILDREN", parent.id, limits::MAX_CHILDREN);
            return Err((FailureKind::ResourceExhausted, message));
        }
        Ok(())
    }

    /// Whether a submit under a known id is the same one again (L2).
    pub(crate) fn same_body(&self, index: u32, spec: &Arc<Spec>) -> bool {
        let task = &self.tasks[index];
        if Arc::ptr_eq(&task.spec, spec) {
            return true;
        }
        let known = &task.spec;
        let args = match task.rare.as_ref().and_then(|r| r.args_were) {
            Some((len, hash)) => len == spec.args.len() as u64 && hash == args_hash(task.id, &spec.args),
            None => known.args == spec.args,
        };
        // Not the trace: who tries again may do so in another span.
        args && known.function == spec.function
            && known.fingerprint == spec.fingerprint
            && known.dependencies == spec.dependencies
            && known.name == spec.name
            && known.options == spec.options
            && known.context == spec.context
            && known.stream == spec.stream
            && known.actor == spec.actor
    }

    /// Takes the task out of its owner session's list.
    pub(crate) fn disown(&mut self, index: u32) {
        let session = core::mem::replace(&mut self.tasks[index].owner_session, super::lists::NIL);
        if session != super::lists::NIL {
            let mut owned = self.sessions[session as usize].owned;
            owned.remove(&mut self.tasks, Chain::Owned, index);
            self.sessions[session as usize].owned = owned;
        }
    }

    /// Takes the task out of its creator's list of children.
    pub(crate) fn leave_parent(&mut self, index: u32) {
        let parent = core::mem::replace(&mut self.tasks[index].parent_index, super::lists::NIL);
        if parent != super::lists::NIL {
            let mut children = self.tasks[parent].children;
            children.remove(&mut self.tasks, Chain::Sibling, index);
            self.tasks[parent].children = children;
        }
    }

    /// Whether a lease under this epoch is the creator's current one: for [`Core::check`].
    pub(crate) fn creator_lives(&self, task: &Task) -> bool {
        task.creator == Epoch(0)
            || self.tasks.find(task.parent).is_some_and(|p| {
                let parent = &self.tasks[p];
                // One that is held may be at a worker that is not back yet.
                (parent.phase == Phase::Leased && parent.epoch == task.creator)
                    || (parent.phase == Phase::Held && parent.epoch < task.creator)
            })
    }
}
