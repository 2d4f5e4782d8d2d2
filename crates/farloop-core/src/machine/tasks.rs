//! Task records, and the table that holds them.
//!
//! One record serves a task for its whole life. What few tasks have (several watchers, cancel requests, dependencies,
//! wait edges) hangs off in one box, so that a million pending no-ops stay small.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::{Index, IndexMut};
use hashbrown::HashTable;
use slab::Slab;

use super::actors::Post;
use super::dossier::Dossier;
use super::hash::Keyed;
use super::lanes::Lane;
use super::lists::{Links, List, NIL};
use super::permits::Permits;
use super::retention::Keep;
use super::retry::{Clocks, Expired};
use super::sessions::SessionKey;
use super::streams::Stream;
use crate::api::{TaskLog, TaskState};
use crate::frame::{Activity, Owner};
use crate::id::{AttemptId, CallId, Epoch, SessionId, TaskId, WorkerId};
use crate::outcome::{Failure, Outcome};
use crate::spec::{Durability, Policy, Spec};
use crate::time::Time;

/// A reference that notices when its slot was given to another task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskKey {
    pub(crate) index: u32,
    pub(crate) serial: u32,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Some dependencies are not over.
    Waiting,
    /// Between two attempts, while the children of the lost one are asked to stop.
    Parked,
    /// Between two attempts, until its pause is over.
    Paused,
    /// From a former life of the coordinator: perhaps a worker that is not back yet runs it.
    Held,
    /// In the queue of its function.
    Ready,
    /// Waits for a worker that is kept for a task which is to run alone: this one, or one that called it.
    Aside,
    /// Waits at an actor, for its turn or for something to happen there; or for its time, or for a worker that fits.
    Posted,
    /// An actor that has left its worker until somebody calls it.
    Asleep,
    /// Given to a worker.
    Leased,
    /// Has its outcome.
    Over,
}

#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) id: TaskId,
    /// Zero: none.
    pub(crate) parent: TaskId,
    /// Zero: none.
    pub(crate) root: SessionId,
    /// Where it is or was last. Zero: nowhere.
    pub(crate) worker: WorkerId,
    pub(crate) spec: Arc<Spec>,
    pub(crate) created: Time,
    pub(crate) started: Time,
    /// Before it is over: when its last attempt was lost or failed, or zero.
    pub(crate) ended: Time,
    /// `Time(u64::MAX)`: none.
    pub(crate) deadline: Time,
    /// Lease, while there is one; else the last one.
    pub(crate) epoch: Epoch,
    /// Lease under which the creator submitted it.
    pub(crate) creator: Epoch,
    /// Number of the last record about it: what is told about it waits for that (output commit).
    pub(crate) gate: u64,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) rare: Option<Box<Rare>>,
    /// What it is at an actor, if it has to do with one.
    pub(crate) post: Option<Box<Post>>,
    /// The first session that wants the outcome; more are in `rare`.
    pub(crate) watcher: Option<Watcher>,
    pub(crate) serial: u32,
    /// Record of the creator while this task hangs in its list of children.
    pub(crate) parent_index: u32,
    /// Session in whose list of owned tasks this one hangs.
    pub(crate) owner_session: u32,
    /// Ready, Aside: its function. Leased: its worker's session.
    pub(crate) place: u32,
    pub(crate) children: List,
    /// By [`Chain`].
    pub(crate) links: [Links; 3],
    pub(crate) depth: u32,
    pub(crate) priority: i32,
    /// Attempts that began.
    pub(crate) attempts: u32,
    pub(crate) errors: u32,
    pub(crate) crashes: u32,
    pub(crate) phase: Phase,
    /// What its spec asks for. What belongs to a task that is not recorded is not recorded either.
    pub(crate) durability: Durability,
    /// What readers that watch were told last.
    pub(crate) shown: TaskState,
    pub(crate) owner: Owner,
    pub(crate) activity: Activity,
    /// Leased: whether the start has left the outbox. An attempt that was not sent never ran.
    pub(crate) sent: bool,
    /// Leased: whether the worker spoke about it.
    pub(crate) begun: bool,
    /// Leased: asked back.
    pub(crate) recalled: bool,
    /// Leased: nothing but the tasks it awaits can wake it.
    pub(crate) blocked: bool,
    /// It is on record that it started, and must not start again.
    pub(crate) once: bool,
    pub(crate) keep: Keep,
}

/// A session that wants to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watcher {
    pub(crate) session: SessionKey,
    /// A change of the cancel count waits in its outbox.
    pub(crate) count_queued: bool,
}

/// What few tasks have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rare {
    pub(crate) watchers: Vec<Watcher>,
    /// Calls of the public API that wait for it.
    pub(crate) calls: Vec<CallId>,
    pub(crate) cancels: Cancels,
    /// End of the scope that it was called in: it has a timer, and does not start from then on.
    pub(crate) within: Option<Time>,
    pub(crate) inputs: Option<Inputs>,
    /// Tasks of which it is an argument.
    pub(crate) dependents: Vec<TaskKey>,
    /// Of those, how many are over already.
    pub(crate) dependents_gone: usize,
    /// Forwarding edges of the wait graph.
    pub(crate) awaits: Vec<TaskId>,
    /// Calls about primitives that this attempt has open, by their number in its worker's session.
    pub(crate) calls_open: BTreeSet<u64>,
    /// Length and hash of arguments that were dropped when the task was over.
    pub(crate) args_were: Option<(u64, u64)>,
    /// What it printed last.
    pub(crate) log: TaskLog,
    /// Sessions that are told its end and have not said that they received it, if it is kept until it was consumed.
    pub(crate) owed: u32,
    /// The request of the public API that made it, by the caller's name for it.
    pub(crate) request: Option<Arc<str>>,
    /// How far its items have come, if it is a stream.
    pub(crate) stream: Option<Box<Stream>>,
    /// What even fewer have.
    pub(crate) extra: Option<Box<Extra>>,
}

/// What tasks have whose calls set options that few set, and tasks whose bodies tell how far they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    /// Where it stands in a queue.
    pub(crate) lane: Lane,
    /// What it holds at a worker.
    pub(crate) permits: Permits,
    pub(crate) clocks: Clocks,
    /// Why the attempt is over for the cluster, while its body has its grace.
    pub(crate) expired: Option<Expired>,
    /// Lease of the last attempt that is on record as failed or lost.
    pub(crate) lost: Epoch,
    /// Why the last attempt failed, if another follows.
    pub(crate) failed: Option<Arc<Failure>>,
    /// Details of the last heartbeat.
    pub(crate) details: Option<Bytes>,
    pub(crate) progress: Option<Bytes>,
    /// Who wants to be told of progress.
    pub(crate) onlookers: Vec<Watcher>,
    /// What is known of the workers that were lost with it.
    pub(crate) dossier: Option<Box<Dossier>>,
    /// State that it saved, if it is an actor.
    pub(crate) snapshot: Option<Bytes>,
    /// Lines that earlier attempts printed.
    pub(crate) printed_before: u64,
    /// Number of the worker that is kept for a task which called it, directly or not; 0: none.
    pub(crate) kin: u64,
}

/// Cancel requests of one task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancels {
    /// What `cancelling()` answers.
    pub(crate) standing: u32,
    /// Highest number given.
    pub(crate) number: u32,
    /// Highest number that this attempt's body saw.
    pub(crate) seen: u32,
    /// Requests up to this one were withdrawn together.
    pub(crate) withdrawn: u32,
    /// Highest number told to the worker.
    pub(crate) told: u32,
    /// A cancel waits in the worker's outbox.
    pub(crate) queued: bool,
    /// Names of requests of the public API that were counted, oldest first.
    pub(crate) named: Vec<Arc<str>>,
    /// Messages of requests that were not seen, oldest first.
    pub(crate) messages: VecDeque<(u32, Option<String>)>,
    /// Message of the first request of all.
    pub(crate) first: Option<String>,
    /// Sessions that asked, and the number of the item by which they did: it may come once more after a restart.
    pub(crate) by: Vec<(SessionId, u64)>,
    /// End of patience.
    pub(crate) grace: Option<Time>,
    /// Patience runs from the host's answer, rather than from the sending of the request.
    pub(crate) answered: bool,
}

/// Values of a task's dependencies.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    /// How many are not there yet.
    pub(crate) waiting: usize,
    /// Sorted by task.
    pub(crate) values: Vec<(TaskId, Option<Bytes>)>,
}

impl Task {
    pub(crate) fn new(id: TaskId, serial: u32, spec: Arc<Spec>, owner: Owner, now: Time) -> Self {
        let priority = spec.options.priority.unwrap_or(0);
        let keep = Keep::of(&spec);
        let durability = spec.options.policy.as_ref().map_or(Durability::Durable, |p| p.durability);
        Self {
            id,
            parent: TaskId(0),
            root: SessionId(0),
            worker: WorkerId(0),
            spec,
            created: now,
            started: Time(0),
            ended: Time(0),
            deadline: Time(u64::MAX),
            epoch: Epoch(0),
            creator: Epoch(0),
            gate: 0,
            outcome: None,
            rare: None,
            post: None,
            watcher: None,
            serial,
            parent_index: NIL,
            owner_session: NIL,
            place: NIL,
            children: List::default(),
            links: [Links::default(); 3],
            depth: 0,
            priority,
            attempts: 0,
            errors: 0,
            crashes: 0,
            phase: Phase::Waiting,
            durability,
            shown: TaskState::Pending,
            owner,
            activity: Activity::Running,
            sent: false,
            begun: false,
            recalled: false,
            blocked: false,
            once: false,
            keep,
        }
    }

    pub(crate) fn over(&self) -> bool {
        self.phase == Phase::Over
    }

    pub(crate) fn attempt(&self) -> AttemptId {
        AttemptId { task: self.id, epoch: self.epoch }
    }

    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn extra(&self) -> Option<&Extra> {
        self.rare.as_ref()?.extra.as_deref()
    }

    pub(crate) fn extra_mut(&mut self) -> &mut Extra {
        self.rare().extra.get_or_insert_default()
    }

    /// The extra, if it has one.
    pub(crate) fn if_extra(&mut self) -> Option<&mut Extra> {
        self.rare.as_mut()?.extra.as_deref_mut()
    }

    /// Options that few calls set.
    pub(crate) fn policy(&self) -> Option<&Policy> {
        self.spec.options.policy.as_deref()
    }

    pub(crate) fn lane(&self) -> Lane {
        self.extra().map_or(Lane::PLAIN, |e| e.lane.clone())
    }

    pub(crate) fn standing(&self) -> u32 {
        self.rare.as_ref().map_or(0, |r| r.cancels.standing)
    }

    pub(crate) fn log(&self) -> Option<&TaskLog> {
        self.rare.as_ref().map(|r| &r.log)
    }

    pub(crate) fn request(&self) -> Option<&Arc<str>> {
        self.rare.as_ref()?.request.as_ref()
    }

    pub(crate) fn awaits(&self) -> &[TaskId] {
        self.rare.as_ref().map_or(&[], |r| &r.awaits)
    }

    pub(crate) fn watchers(&self) -> impl Iterator<Item = &Watcher> {
        self.watcher.iter().chain(self.rare.iter().flat_map(|r| r.watchers.iter()))
    }

    pub(crate) fn watchers_mut(&mut self) -> impl Iterator<Item = &mut Watcher> {
        self.watcher.iter_mut().chain(self.rare.iter_mut().flat_map(|r| r.watchers.iter_mut()))
    }
}

/// All records, found by id or by index.
#[derive(Debug)]
pub(crate) struct Tasks {
    slab: Slab<Task>,
    ids: HashTable<u32>,
    keyed: Keyed,
}

impl Tasks {
    pub(crate) fn new(keyed: Keyed) -> Self {
        Self { slab: Slab::new(), ids: HashTable::new(), keyed }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// One above the highest index in use.
    pub(crate) fn slots(&self) -> u32 {
        self.slab.capacity() as u32
    }

    pub(crate) fn at(&self, index: u32) -> Option<&Task> {
        self.slab.get(index as usize)
    }

    pub(crate) fn find(&self, id: TaskId) -> Option<u32> {
        self.ids.find(self.keyed.id(id.0), |&i| self.slab[i as usize].id == id).copied()
    }

    pub(crate) fn get(&self, key: TaskKey) -> Option<&Task> {
        self.at(key.index).filter(|t| t.serial == key.serial)
    }

    pub(crate) fn get_mut(&mut self, key: TaskKey) -> Option<&mut Task> {
        self.slab.get_mut(key.index as usize).filter(|t| t.serial == key.serial)
    }

    pub(crate) fn key(&self, index: u32) -> TaskKey {
        TaskKey { index, serial: self[index].serial }
    }

    /// The id must be unknown.
    pub(crate) fn insert(&mut self, task: Task) -> u32 {
        let (slab, keyed) = (&mut self.slab, self.keyed);
        let hash = keyed.id(task.id.0);
        let index = slab.insert(task) as u32;
        self.ids.insert_unique(hash, index, |&i| keyed.id(slab[i as usize].id.0));
        index
    }

    pub(crate) fn remove(&mut self, index: u32) -> Task {
        let task = self.slab.remove(index as usize);
        if let Ok(entry) = self.ids.find_entry(self.keyed.id(task.id.0), |&i| i == index) {
            entry.remove();
        }
        task
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Task)> {
        self.slab.iter().map(|(i, t)| (i as u32, t))
    }
}

impl Index<u32> for Tasks {
    type Output = Task;
    fn index(&self, index: u32) -> &Task {
        &self.slab[index as usize]
    }
}

impl IndexMut<u32> for Tasks {
    fn index_mut(&mut self, index: u32) -> &mut Task {
        &mut self.slab[index as usize]
    }
}
