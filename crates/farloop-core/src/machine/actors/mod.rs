//! Actors: tasks that stay, and the tasks that are made at them (L11, L12, L13).
//!
//! An actor's *host* is a task like others: it queues for a worker, is leased, cancelled, recorded, carried. Its lease is
//! the incarnation, so that there is one at most follows from L5, and that an older one changes nothing from L4. What is
//! here is what only actors have: names (`address`), calls that wait for their turn and follow the incarnation
//! (`mailbox`), what comes after an incarnation (`incarnation`), workers that fit (`placing`), calls that are made later
//! (`reminders`), what a restart of the coordinator leaves of it all (`returning`), and who is told of it (`explain`,
//! `misspelt`, `watching`).
//!
//! Deliberately absent: one message at a time. The worker that has the state sees to that, for it alone knows when a body
//! has ended; here calls are sent ahead, in order, up to [`CALLS_AHEAD`](crate::limits::CALLS_AHEAD).

mod address;
mod check;
mod explain;
mod few;
mod incarnation;
mod mailbox;
mod misspelt;
mod placing;
mod reminders;
mod returning;
mod watching;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::{Index, IndexMut};
use hashbrown::{Equivalent, HashMap};
use slab::Slab;

use self::few::{Few, Rarely};
use self::watching::ActorWatch;
use super::Core;
use super::hash::Keyed;
use super::lists::List;
use super::tasks::{Task, TaskKey};
use crate::actor::{Host, Part};
use crate::id::{AttemptId, CallId};
use crate::time::Time;

/// The order in which tasks were accepted that have to do with actors, over restarts too: no two have one moment.
pub(crate) type Age = (Time, u32);

/// What a task is at an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Post {
    /// Whose; `NIL` of a reminder, which needs no actor.
    pub(crate) actor: u32,
    pub(crate) at: At,
    /// Session that made the call, as a number; 0: the public API.
    pub(crate) caller: u128,
}

/// Where it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// It is the actor.
    Host,
    /// A call in its caller's line: it waits for an argument, for room, or behind one that does.
    Line,
    /// A call in the mailbox.
    Mailbox,
    /// A call at the actor's worker.
    Worker,
    /// A call between two attempts. `holds`: those behind it wait for it.
    Back { holds: bool },
    /// Waits until the actor is up.
    Find,
    /// Waits until the actor has stopped.
    Stop,
    /// A reminder.
    Reminder,
}

/// An actor that is not over.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) host: TaskKey,
    /// Calls that may be sent, in order.
    mailbox: List,
    /// Calls at the worker.
    out: Few<Age, u32>,
    lines: Few<u128, Line>,
    /// Calls in lines.
    lined: usize,
    /// Caller whose line is served next.
    turn: u128,
    /// Calls between two attempts.
    back: Rarely,
    /// Of those, the ones that hold up others behind them.
    parked: usize,
    finds: Rarely,
    stops: Rarely,
    /// The incarnation is up: what made it has returned.
    up: bool,
    /// It is to stop when its calls are over.
    stopping: bool,
    /// The incarnation was told to leave.
    closing: Option<Closing>,
    /// It is over, and why: what waits for it is being told.
    over: Option<Arc<str>>,
    /// When it started again lately.
    restarts: VecDeque<Time>,
    /// When it had something to do last.
    active: Time,
    /// Its timer.
    idle: Option<Time>,
    /// State that counts with the end of this call.
    pending: Option<Box<(AttemptId, Bytes)>>,
    /// Calls that are over.
    served: u64,
}

/// Why an incarnation was told to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    Stop,
    Sleep,
    Move,
    /// It was not told: its worker gives calls back, and its end is on the way.
    Itself,
}

/// Calls of one caller.
#[derive(Debug, Default)]
struct Line {
    /// Those that are not over.
    count: u32,
    /// Those that are not in the mailbox yet.
    waiting: Few<Age, u32>,
}

/// All actors that are not over.
#[derive(Debug)]
pub(crate) struct Actors {
    slab: Slab<Actor>,
    /// By type and name.
    names: HashMap<(Arc<str>, Arc<str>), u32, Keyed>,
    groups: BTreeMap<u128, BTreeSet<u32>>,
    /// Hosts for which no worker with room fits.
    unplaced: BTreeMap<Age, u32>,
    /// Reminders, by what they remind of and their names.
    reminders: BTreeMap<(String, Arc<str>), u32>,
    snapshot_bytes: usize,
    pub(crate) watches: BTreeMap<CallId, ActorWatch>,
    /// When the last task was accepted that has to do with one.
    last: Time,
}

/// Type and name as they are looked up: every call by name asks for them.
#[derive(Hash)]
struct Named<'a>(&'a str, &'a str);

impl Equivalent<(Arc<str>, Arc<str>)> for Named<'_> {
    fn equivalent(&self, key: &(Arc<str>, Arc<str>)) -> bool {
        *self.0 == *key.0 && *self.1 == *key.1
    }
}

impl Actors {
    pub(crate) fn new(keyed: Keyed) -> Self {
        Self {
            slab: Slab::new(),
            names: HashMap::with_hasher(keyed),
            groups: BTreeMap::new(),
            unplaced: BTreeMap::new(),
            reminders: BTreeMap::new(),
            snapshot_bytes: 0,
            watches: BTreeMap::new(),
            last: Time(0),
        }
    }

    /// The moment at which a task counts as accepted: records that are carried forward change their places, so what came
    /// at one time must differ by more than these.
    pub(crate) fn moment(&mut self, now: Time) -> Time {
        self.last = now.max(Time(self.last.0 + 1));
        self.last
    }

    /// A moment that was given in a former life.
    pub(crate) fn was(&mut self, at: Time) {
        self.last = self.last.max(at);
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn get(&self, at: u32) -> Option<&Actor> {
        self.slab.get(at as usize)
    }

    fn get_mut(&mut self, at: u32) -> Option<&mut Actor> {
        self.slab.get_mut(at as usize)
    }
}

impl Index<u32> for Actors {
    type Output = Actor;
    fn index(&self, at: u32) -> &Actor {
        &self.slab[at as usize]
    }
}

impl IndexMut<u32> for Actors {
    fn index_mut(&mut self, at: u32) -> &mut Actor {
        &mut self.slab[at as usize]
    }
}

impl Actor {
    fn new(host: TaskKey, now: Time) -> Self {
        Self {
            host,
            mailbox: List::default(),
            out: Few::default(),
            lines: Few::default(),
            lined: 0,
            turn: 0,
            back: Rarely::default(),
            parked: 0,
            finds: Rarely::default(),
            stops: Rarely::default(),
            up: false,
            stopping: false,
            closing: None,
            over: None,
            restarts: VecDeque::new(),
            active: now,
            idle: None,
            pending: None,
            served: 0,
        }
    }

    /// No call of it is under way or waits.
    fn is_quiet(&self) -> bool {
        self.mailbox.is_empty() && self.out.is_empty() && self.lined == 0 && self.back.is_empty()
    }

    /// Calls of it that are under way or wait.
    pub(crate) fn calls(&self) -> usize {
        self.mailbox.len as usize + self.out.len() + self.lined + self.back.len()
    }
}

impl Task {
    pub(crate) fn age(&self) -> Age {
        (self.created, self.serial)
    }

    pub(crate) fn part(&self) -> Option<&Part> {
        self.spec.actor.as_deref()
    }

    /// What it is as an actor, if it is one.
    pub(crate) fn as_host(&self) -> Option<&Host> {
        match self.part() {
            Some(Part::Host(host)) => Some(host),
            _ => None,
        }
    }

    pub(crate) fn is_call(&self) -> bool {
        matches!(self.part(), Some(Part::Call { .. }))
    }
}

impl Core {
    /// The actor that a host is.
    fn actor_of(&self, index: u32) -> Option<u32> {
        self.tasks[index].post.as_ref().map(|post| post.actor)
    }

    fn host(&self, at: u32) -> u32 {
        self.actors[at].host.index
    }

    /// The type, and its name or id: for people.
    fn title(&self, at: u32) -> String {
        let task = &self.tasks[self.host(at)];
        match task.as_host().and_then(|host| host.name.as_deref()) {
            Some(name) => alloc::format!("'{name}' of type {} ({})", task.spec.function, task.id),
            None => alloc::format!("{} ({})", task.spec.function, task.id),
        }
    }

    /// The task is accepted: it joins the actor it is about. `at` is that actor's; none of a host and of a reminder.
    pub(crate) fn join_actor(&mut self, index: u32, at: Option<u32>, caller: u128) {
        let Some(part) = self.tasks[index].spec.actor.clone() else { return };
        let (age, key) = (self.tasks[index].age(), self.tasks.key(index));
        let post = match (&*part, at) {
            (Part::Host(host), _) => Post { actor: self.open_actor(key, host), at: At::Host, caller },
            (Part::Remind(reminder), _) => {
                self.list_reminder(index, reminder);
                Post { actor: super::lists::NIL, at: At::Reminder, caller }
            }
            (_, None) => return,
            (Part::Find { .. }, Some(actor)) => {
                self.actors[actor].finds.insert(index);
                Post { actor, at: At::Find, caller }
            }
            (Part::Stop(_), Some(actor)) => {
                self.actors[actor].stops.insert(index);
                Post { actor, at: At::Stop, caller }
            }
            (Part::Call { .. }, Some(actor)) => {
                let of = &mut self.actors[actor];
                if of.lines.get(&caller).is_none() {
                    of.lines.insert(caller, Line::default());
                }
                if let Some(line) = of.lines.get_mut(&caller) {
                    line.count += 1;
                    line.waiting.insert(age, index);
                }
                of.lined += 1;
                Post { actor, at: At::Line, caller }
            }
        };
        self.tasks[index].post = Some(Box::new(post));
    }

    fn open_actor(&mut self, host: TaskKey, as_host: &Host) -> u32 {
        let kind = self.tasks[host.index].spec.function.clone();
        let actor = self.actors.slab.insert(Actor::new(host, self.now)) as u32;
        if let Some(name) = &as_host.name {
            self.actors.names.insert((kind, name.clone()), actor);
        }
        if let Some(group) = as_host.group {
            self.actors.groups.entry(group).or_default().insert(actor);
        }
        actor
    }

    /// It may go on as far as its arguments are concerned: to its place at the actor.
    pub(crate) fn post(&mut self, index: u32) {
        let Some(post) = self.tasks[index].post.as_deref().copied() else { return };
        self.tasks[index].phase = super::tasks::Phase::Posted;
        if post.at == At::Reminder {
            return self.wind(index);
        }
        if self.actors[post.actor].over.is_some() {
            let outcome = self.actor_is_over(index, post.actor);
            return self.end_task(index, outcome, super::ending::Family::All);
        }
        match post.at {
            At::Line => {
                self.start_by(index);
                self.advance(post.actor, post.caller);
                self.wake(post.actor);
            }
            At::Back { holds } => self.put_back(index, post.actor, holds),
            At::Find => self.find(index, post.actor),
            At::Stop => {
                self.actors[post.actor].stopping = true;
                self.actor_changed(self.host(post.actor));
                self.settle_actor(post.actor);
            }
            At::Host | At::Mailbox | At::Worker | At::Reminder => {}
        }
    }

    /// Takes a task that waits here out of where it waits; it stays the actor's.
    pub(crate) fn leave_post(&mut self, index: u32) {
        let (age, Some(post)) = (self.tasks[index].age(), self.tasks[index].post.as_deref().copied()) else { return };
        match post.at {
            At::Host => {
                self.actors.unplaced.remove(&age);
            }
            At::Line => self.leave_line(index, post, age),
            At::Mailbox => {
                let mut mailbox = self.actors[post.actor].mailbox;
                mailbox.remove(&mut self.tasks, super::lists::Chain::Place, index);
                self.actors[post.actor].mailbox = mailbox;
            }
            At::Find => {
                self.actors[post.actor].finds.remove(index);
            }
            At::Stop => {
                self.actors[post.actor].stops.remove(index);
            }
            At::Reminder => self.unwind(index),
            At::Worker | At::Back { .. } => return,
        }
        if matches!(post.at, At::Line | At::Mailbox) {
            self.set_at(index, At::Back { holds: false });
        }
    }

    /// The incarnation that a call is at, if its worker still has it; else the task itself.
    pub(crate) fn host_first(&self, index: u32) -> u32 {
        let task = &self.tasks[index];
        let host =
            task.post.as_deref().filter(|post| post.at == At::Worker).and_then(|post| self.actors.get(post.actor));
        let there = host.map(|actor| actor.host.index).filter(|host| {
            self.tasks
                .at(*host)
                .is_some_and(|host| host.phase == super::tasks::Phase::Leased && host.place == task.place)
        });
        there.unwrap_or(index)
    }

    fn set_at(&mut self, index: u32, at: At) {
        if let Some(post) = &mut self.tasks[index].post {
            post.at = at;
        }
    }

    /// The task is over: nothing is left of it at its actor.
    pub(crate) fn leave_actor(&mut self, index: u32) {
        let Some(post) = self.tasks[index].post.as_deref().copied() else { return };
        let age = self.tasks[index].age();
        match post.at {
            At::Host => {
                self.tasks[index].post = None;
                return self.bury(index, post.actor);
            }
            // One that waited for an argument was in no list but these.
            At::Line | At::Find | At::Stop | At::Reminder => self.leave_post(index),
            At::Back { holds } => self.unpark(index, post.actor, holds),
            At::Mailbox | At::Worker => {}
        }
        debug_assert!(post.at != At::Worker || self.actors[post.actor].out.get(&age).is_none(), "it left its worker");
        self.tasks[index].post = None;
        if !self.tasks[index].is_call() {
            return;
        }
        let actor = &mut self.actors[post.actor];
        actor.served += 1;
        actor.active = self.now;
        if let Some(line) = actor.lines.get_mut(&post.caller) {
            line.count -= 1;
            if line.count == 0 {
                actor.lines.remove(&post.caller);
            }
        }
        self.advance(post.actor, post.caller);
        self.settle_actor(post.actor);
    }

    /// A piece of what remains to be done for an actor: what waits until it is up is told, or that it is over. True when
    /// that is all.
    pub(crate) fn actor_some(&mut self, at: u32, host: TaskKey) -> bool {
        while self.touched < crate::limits::TOUCH {
            let Some(actor) = self.actors.get(at).filter(|actor| actor.host == host) else { return true };
            if actor.over.is_none() {
                let Some(found) = actor.finds.first().filter(|_| actor.up) else { return true };
                let outcome = self.found(at);
                self.end_task(found, outcome, super::ending::Family::All);
                continue;
            }
            let Some(waits) = self.any_at(at) else {
                self.actors.slab.remove(at as usize);
                return true;
            };
            let outcome = match self.tasks[waits].post.as_deref().map(|post| post.at) {
                Some(At::Stop) => crate::outcome::Outcome::Returned(Bytes::from_static(&[0xc0])),
                _ => self.actor_is_over(waits, at),
            };
            self.fence(waits);
            self.end_task(waits, outcome, super::ending::Family::All);
        }
        false
    }

    /// Something that waits for an actor, or is under way there.
    fn any_at(&self, at: u32) -> Option<u32> {
        let actor = &self.actors[at];
        let mailbox = (!actor.mailbox.is_empty()).then_some(actor.mailbox.head);
        let out = || actor.out.values().next().copied();
        let line = || actor.lines.values().find_map(|line| line.waiting.values().next().copied());
        let waits = || actor.finds.first().or_else(|| actor.stops.first());
        mailbox.or_else(out).or_else(line).or_else(waits).or_else(|| actor.back.first())
    }
}

/// Names of several things for one sentence.
fn listed(names: &[(String, String)]) -> String {
    let shown: Vec<String> = names.iter().map(|(key, value)| alloc::format!("{key}={value}")).collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million of them may be there, each beside its task and spec.
    #[test]
    fn an_actor_that_nobody_calls_is_small() {
        assert!(size_of::<Actor>() <= 224, "{}", size_of::<Actor>());
        assert!(size_of::<Post>() <= 32, "{}", size_of::<Post>());
    }
}
