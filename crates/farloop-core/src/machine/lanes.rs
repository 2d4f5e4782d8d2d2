//! Lines of tasks that may run, within one priority of one queue: keys take turns, and a line whose limit is reached
//! steps aside.
//!
//! Almost every queue has one line, and costs what a list costs. Once a task names a key, lines are kept by limit key,
//! and under each limit by fairness key: at both levels who was served last goes to the end (round robin). Nothing here
//! is walked: joining, leaving and taking turns cost the logarithm of the number of keys.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::lists::{Chain, List, NIL};
use super::tasks::Tasks;

/// Which line a task stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    /// Its limit; NIL: none.
    pub(crate) limit: u32,
    /// Its fairness key.
    pub(crate) key: Option<Arc<str>>,
}

impl Lane {
    /// The line of tasks without a key.
    pub(crate) const PLAIN: Self = Self { limit: NIL, key: None };
}

impl Default for Lane {
    fn default() -> Self {
        Self::PLAIN
    }
}

/// Things that take turns, by key.
#[derive(Debug)]
struct Turns<K, V> {
    /// With its turn; none: it stepped aside.
    members: BTreeMap<K, (Option<u64>, V)>,
    order: BTreeMap<u64, K>,
    next: u64,
}

impl<K, V> Default for Turns<K, V> {
    fn default() -> Self {
        Self { members: BTreeMap::new(), order: BTreeMap::new(), next: 0 }
    }
}

impl<K: Ord + Clone, V: Default> Turns<K, V> {
    fn last(&mut self, key: &K) -> u64 {
        self.next += 1;
        self.order.insert(self.next, key.clone());
        self.next
    }

    /// The member, which comes last if it is new.
    fn member(&mut self, key: &K) -> &mut V {
        if !self.members.contains_key(key) {
            let turn = self.last(key);
            self.members.insert(key.clone(), (Some(turn), V::default()));
        }
        self.get_mut(key).expect("it was just put there")
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.members.get_mut(key).map(|(_, member)| member)
    }

    /// Whose turn it is.
    fn first(&self) -> Option<(&K, &V)> {
        let key = self.order.values().next()?;
        self.members.get(key).map(|(_, member)| (key, member))
    }

    fn first_mut(&mut self) -> Option<&mut V> {
        let key = self.order.values().next()?;
        self.members.get_mut(key).map(|(_, member)| member)
    }

    /// Who has the turn goes to the end.
    fn rotate(&mut self) {
        if let Some((_, key)) = self.order.pop_first() {
            let turn = self.last(&key);
            if let Some((at, _)) = self.members.get_mut(&key) {
                *at = Some(turn);
            }
        }
    }

    /// Takes it out of the order; it stays a member.
    fn step_aside(&mut self, key: &K) {
        if let Some(turn) = self.members.get_mut(key).and_then(|(turn, _)| turn.take()) {
            self.order.remove(&turn);
        }
    }

    fn come_back(&mut self, key: &K) {
        if self.members.get(key).is_some_and(|(turn, _)| turn.is_none()) {
            let turn = self.last(key);
            if let Some((at, _)) = self.members.get_mut(key) {
                *at = Some(turn);
            }
        }
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        let (turn, member) = self.members.remove(key)?;
        if let Some(turn) = turn {
            self.order.remove(&turn);
        }
        Some(member)
    }
}

/// Tasks under one limit, by fairness key.
type Group = Turns<Option<Arc<str>>, List>;

/// All tasks of one priority in one queue.
#[derive(Debug, Default)]
pub(crate) struct Level {
    /// All of them, while none has a key.
    plain: List,
    groups: Option<Box<Turns<u32, Group>>>,
}

impl Level {
    pub(crate) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.groups.is_none()
    }

    pub(crate) fn push(&mut self, tasks: &mut Tasks, index: u32, lane: &Lane, front: bool) {
        let list = if self.groups.is_none() && *lane == Lane::PLAIN {
            &mut self.plain
        } else {
            let plain = &mut self.plain;
            let groups = self.groups.get_or_insert_with(|| {
                let mut groups: Box<Turns<u32, Group>> = Box::default();
                if !plain.is_empty() {
                    *groups.member(&NIL).member(&None) = core::mem::take(plain);
                }
                groups
            });
            groups.member(&lane.limit).member(&lane.key)
        };
        if front {
            list.push_front(tasks, Chain::Place, index);
        } else {
            list.push_back(tasks, Chain::Place, index);
        }
    }

    /// True if the last task under its limit left.
    pub(crate) fn remove(&mut self, tasks: &mut Tasks, index: u32, lane: &Lane) -> bool {
        let Some(groups) = &mut self.groups else {
            self.plain.remove(tasks, Chain::Place, index);
            return false;
        };
        let Some(group) = groups.get_mut(&lane.limit) else { return false };
        let Some(list) = group.get_mut(&lane.key) else { return false };
        list.remove(tasks, Chain::Place, index);
        if !list.is_empty() {
            return false;
        }
        group.remove(&lane.key);
        let gone = group.members.is_empty();
        if gone {
            groups.remove(&lane.limit);
        }
        self.simplify();
        gone
    }

    /// Back to one list when no task with a key is left.
    fn simplify(&mut self) {
        let Some(groups) = &mut self.groups else { return };
        if groups.members.is_empty() {
            self.groups = None;
        } else if groups.members.len() == 1
            && let Some(group) = groups.get_mut(&NIL).filter(|group| group.members.len() == 1)
            && let Some(list) = group.remove(&None)
        {
            self.plain = list;
            self.groups = None;
        }
    }

    /// The limit over the task whose turn it is: NIL where it has none. None if all have stepped aside.
    pub(crate) fn limit(&self) -> Option<u32> {
        match &self.groups {
            None => Some(NIL),
            Some(groups) => groups.first().map(|(limit, _)| *limit),
        }
    }

    /// The task whose turn it is.
    pub(crate) fn head(&self) -> Option<u32> {
        let list = match &self.groups {
            None => &self.plain,
            Some(groups) => groups.first().and_then(|(_, group)| group.first()).map(|(_, list)| list)?,
        };
        (list.head != NIL).then_some(list.head)
    }

    /// The task whose turn it is, is served: others come before the next of its key.
    pub(crate) fn rotate(&mut self) {
        if let Some(groups) = &mut self.groups {
            if let Some(group) = groups.first_mut() {
                group.rotate();
            }
            groups.rotate();
        }
    }

    /// The limit is reached: what is under it waits elsewhere.
    pub(crate) fn step_aside(&mut self, limit: u32) {
        if let Some(groups) = &mut self.groups {
            groups.step_aside(&limit);
        }
    }

    pub(crate) fn come_back(&mut self, limit: u32) {
        if let Some(groups) = &mut self.groups {
            groups.come_back(&limit);
        }
    }

    /// Any task, whatever its limits.
    pub(crate) fn any(&self) -> Option<u32> {
        self.lists().next().map(|list| list.head).filter(|head| *head != NIL)
    }

    pub(crate) fn lists(&self) -> impl Iterator<Item = List> {
        let keyed = self.groups.iter().flat_map(|g| g.members.values()).flat_map(|(_, group)| group.members.values());
        core::iter::once(self.plain).filter(|l| !l.is_empty()).chain(keyed.map(|(_, list)| *list))
    }

    /// Limits over some of its tasks, and whether those have stepped aside: for [`Core::check`](super::Core::check).
    pub(crate) fn limits(&self) -> impl Iterator<Item = (u32, bool)> {
        let groups = self.groups.iter().flat_map(|g| g.members.iter());
        groups.map(|(limit, (turn, _))| (*limit, turn.is_none())).filter(|(limit, _)| *limit != NIL)
    }

    /// Whether its lists and their order fit together: for [`Core::check`](super::Core::check).
    pub(crate) fn fits(&self) -> bool {
        self.groups.as_ref().is_none_or(|groups| {
            let inner = groups.members.values().all(|(_, group)| {
                group.order.len() == group.members.len() && group.members.values().all(|(_, l)| !l.is_empty())
            });
            let turns = groups.members.values().filter(|(turn, _)| turn.is_some()).count();
            self.plain.is_empty() && inner && !groups.members.is_empty() && turns == groups.order.len()
        })
    }
}
