//! How many tasks of a function, or under a key, may be at workers at once: counted here, over the whole cluster.
//!
//! A task takes its permits when it is leased and gives them back when that lease ends, however it ends: an attempt that
//! awaits other tasks keeps them. A queue steps aside when its turn comes and the limit is reached, and comes back with
//! the first permit that is given back; who is only queued holds none.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use hashbrown::HashMap;
use slab::Slab;

use super::hash::Keyed;
use super::lists::NIL;
use super::{Core, Work};

/// A limit that somebody named.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) name: Arc<str>,
    /// Of a function, rather than of a key that callers name.
    of_function: bool,
    pub(crate) at_once: u32,
    /// Permits that are out.
    pub(crate) taken: u32,
    /// Queues, tasks and permits that know its number.
    users: usize,
    /// Queues and priorities in which tasks have stepped aside because of it.
    aside: BTreeSet<(u32, Reverse<i32>)>,
    /// It was lowered below what is out.
    pub(crate) lowered: bool,
}

/// All limits, by number and by name.
#[derive(Debug)]
pub(crate) struct Limits {
    slab: Slab<Limit>,
    keys: HashMap<Arc<str>, u32, Keyed>,
    functions: HashMap<Arc<str>, u32, Keyed>,
}

/// Permits of one lease.
#[derive(Clone, Debug)]
pub(crate) struct Permits {
    pub(crate) function: u32,
    pub(crate) key: u32,
}

impl Default for Permits {
    fn default() -> Self {
        Self { function: NIL, key: NIL }
    }
}

impl Limits {
    pub(crate) fn new(keyed: Keyed) -> Self {
        let map = || HashMap::with_hasher(keyed);
        Self { slab: Slab::new(), keys: map(), functions: map() }
    }

    /// One more knows this key.
    pub(crate) fn use_key(&mut self, name: &Arc<str>, at_once: u32) -> u32 {
        let limit = match self.keys.get(name) {
            Some(limit) => *limit,
            None => {
                let limit = self.add(name, false);
                self.keys.insert(name.clone(), limit);
                limit
            }
        };
        self.slab[limit as usize].users += 1;
        self.set(limit, at_once);
        limit
    }

    fn add(&mut self, name: &Arc<str>, of_function: bool) -> u32 {
        self.slab.insert(Limit {
            name: name.clone(),
            of_function,
            at_once: 0,
            taken: 0,
            users: 0,
            aside: BTreeSet::new(),
            lowered: false,
        }) as u32
    }

    fn set(&mut self, limit: u32, at_once: u32) {
        let limit = &mut self.slab[limit as usize];
        limit.at_once = at_once.max(1);
        limit.lowered = limit.taken > limit.at_once;
    }

    /// One less knows it; nobody: it is forgotten.
    pub(crate) fn unuse(&mut self, limit: u32) {
        if limit == NIL {
            return;
        }
        let users = &mut self.slab[limit as usize].users;
        *users -= 1;
        if *users == 0 {
            let limit = self.slab.remove(limit as usize);
            if limit.of_function {
                self.functions.remove(&limit.name)
            } else {
                self.keys.remove(&limit.name)
            };
        }
    }

    pub(crate) fn of_function(&self, name: &str) -> u32 {
        self.functions.get(name).copied().unwrap_or(NIL)
    }

    /// Whether no more may start. NIL is never full.
    pub(crate) fn full(&self, limit: u32) -> bool {
        limit != NIL && self.slab.get(limit as usize).is_some_and(|l| l.taken >= l.at_once)
    }

    pub(crate) fn step_aside(&mut self, limit: u32, function: u32, priority: Reverse<i32>) {
        self.slab[limit as usize].aside.insert((function, priority));
    }

    /// The last task under the limit left that queue.
    pub(crate) fn forget_aside(&mut self, limit: u32, function: u32, priority: Reverse<i32>) {
        if let Some(limit) = self.slab.get_mut(limit as usize) {
            limit.aside.remove(&(function, priority));
        }
    }

    /// One more queue knows it.
    pub(crate) fn also_use(&mut self, limit: u32) {
        if limit != NIL {
            self.slab[limit as usize].users += 1;
        }
    }

    fn take(&mut self, limit: u32) {
        if limit != NIL {
            let limit = &mut self.slab[limit as usize];
            limit.taken += 1;
            limit.users += 1;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Limit)> {
        self.slab.iter().map(|(i, l)| (i as u32, l))
    }

    /// Why what is under this limit waits.
    pub(crate) fn explain(&self, limit: u32) -> Option<String> {
        let limit = self.slab.get(limit as usize).filter(|l| l.taken >= l.at_once)?;
        let what = if limit.of_function { "function" } else { "key" };
        Some(format!(
            "the limit of {what} '{}' is reached: {} at once are allowed and {} are at workers; it starts when one of them has ended",
            limit.name, limit.at_once, limit.taken
        ))
    }
}

impl Core {
    /// Whether a task that may run has to wait for a permit.
    pub(crate) fn held_back(&self, index: u32, function: u32) -> bool {
        if planted!(self, LimitIgnored) {
            return false;
        }
        self.limits.full(self.functions[function as usize].limit)
            || self.tasks[index].extra().is_some_and(|e| self.limits.full(e.lane.limit))
    }

    /// The task is about to be leased: its permits are out.
    pub(crate) fn take_permits(&mut self, index: u32, function: u32) {
        let of_function = self.functions[function as usize].limit;
        let of_key = self.tasks[index].extra().map_or(NIL, |e| e.lane.limit);
        if of_function == NIL && of_key == NIL {
            return;
        }
        self.limits.take(of_function);
        self.limits.take(of_key);
        self.tasks[index].extra_mut().permits = Permits { function: of_function, key: of_key };
        if self.limits.full(of_function) {
            self.refresh_name(of_function);
        } else if self.limits.full(of_key) {
            self.refresh(function);
        }
    }

    /// A worker came back with it: its permits are out, whatever the limits allow by now.
    pub(crate) fn adopt_permits(&mut self, index: u32) {
        let function = self.limits.of_function(&self.tasks[index].spec.function);
        let key = self.tasks[index].extra().map_or(NIL, |e| e.lane.limit);
        if function == NIL && key == NIL {
            return;
        }
        self.tasks[index].extra_mut().permits = Permits { function, key };
        for limit in [function, key].into_iter().filter(|limit| *limit != NIL) {
            self.limits.take(limit);
            let limit = &mut self.limits.slab[limit as usize];
            limit.lowered |= limit.taken > limit.at_once;
        }
        if self.limits.full(function) {
            self.refresh_name(function);
        }
    }

    /// Its lease is over: the permits are there for others.
    pub(crate) fn give_permits(&mut self, index: u32) {
        let Some(extra) = self.tasks[index].extra() else { return };
        let Permits { function, key } = extra.permits;
        if function == NIL && key == NIL {
            return;
        }
        self.tasks[index].extra_mut().permits = Permits::default();
        for limit in [function, key] {
            if limit == NIL {
                continue;
            }
            let held = &mut self.limits.slab[limit as usize];
            held.taken -= 1;
            held.lowered &= held.taken > held.at_once;
            self.let_in(limit);
            self.limits.unuse(limit);
        }
    }

    /// A limit may be below what it allows: those who waited for that come back.
    fn let_in(&mut self, limit: u32) {
        if self.limits.full(limit) {
            return;
        }
        let held = &mut self.limits.slab[limit as usize];
        if held.of_function {
            self.refresh_name(limit);
            return;
        }
        for (function, priority) in core::mem::take(&mut held.aside) {
            self.touched += 1;
            let Some(queue) = self.functions.get_mut(function as usize) else { continue };
            if let Some(level) = queue.levels.get_mut(&priority) {
                level.come_back(limit);
            }
            self.refresh(function);
            self.work.push_back(Work::Serve(function));
        }
    }

    /// Queues under the limit of a function: one for each fingerprint.
    fn refresh_name(&mut self, limit: u32) {
        let name = self.limits.slab[limit as usize].name.clone();
        let queues: Vec<u32> = self.names.get(&name).map(|q| q.iter().map(|(_, f)| *f).collect()).unwrap_or_default();
        let open = !self.limits.full(limit);
        for function in queues {
            self.refresh(function);
            if open && self.functions[function as usize].len > 0 {
                self.work.push_back(Work::Serve(function));
            }
        }
    }

    /// An accepted task names the key of a limit.
    pub(crate) fn join_limit(&mut self, index: u32) {
        let Some(named) = self.tasks[index].policy().and_then(|p| p.limit.clone()) else { return };
        let limit = self.limits.use_key(&named.key, named.at_once);
        self.tasks[index].extra_mut().lane.limit = limit;
        // It may have been named with a smaller number before.
        self.let_in(limit);
    }

    /// A worker says how many of its function may be at workers at once; the last one to say so decides.
    pub(crate) fn limit_function(&mut self, name: &Arc<str>, concurrency: u32) {
        let mut limit = self.limits.of_function(name);
        if limit == NIL && concurrency == 0 {
            return;
        }
        if limit == NIL {
            limit = self.limits.add(name, true);
            self.limits.functions.insert(name.clone(), limit);
        }
        // Kept while its queues are told.
        self.limits.slab[limit as usize].users += 1;
        self.limits.set(limit, if concurrency > 0 { concurrency } else { u32::MAX });
        let queues: Vec<u32> = self.names.get(name).map(|q| q.iter().map(|(_, f)| *f).collect()).unwrap_or_default();
        for function in queues {
            let now = if concurrency > 0 { limit } else { NIL };
            let before = core::mem::replace(&mut self.functions[function as usize].limit, now);
            if now != NIL {
                self.limits.slab[now as usize].users += 1;
            }
            self.limits.unuse(before);
            self.refresh(function);
            self.work.push_back(Work::Serve(function));
        }
        self.limits.unuse(limit);
    }

    /// Hands the head of a queue to workers that have credit, until one of both has no more. True when done.
    pub(crate) fn serve_some(&mut self, function: u32) -> bool {
        loop {
            let Some(&(priority, _, _)) = self.functions.get(function as usize).and_then(|q| q.entry()) else {
                return true;
            };
            if self.touched >= crate::limits::TOUCH {
                return false;
            }
            let Some(worker) = self.choose(function) else { return true };
            self.touched += 1;
            self.take_head(function, priority, worker);
        }
    }
}
