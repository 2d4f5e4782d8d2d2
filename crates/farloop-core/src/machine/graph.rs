//! The wait graph: who awaits whom, and whether anybody can still move.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Core;
use super::outbox::Tell;
use super::tasks::Phase;
use crate::frame::Owner;
use crate::id::TaskId;
use crate::limits;

impl Core {
    /// An attempt says that nothing but the tasks it awaits can wake it. If they, in turn, wait for it, all of them
    /// wait for ever: its await fails with the cycle. Breadth first, so the cycle told is a shortest one.
    pub(crate) fn look_for_deadlock(&mut self, start: u32) {
        let mut came: BTreeMap<u32, u32> = BTreeMap::new();
        let mut queue = Vec::from([start]);
        let (mut at, mut touched) = (0, 0);
        while let Some(&index) = queue.get(at) {
            at += 1;
            for id in self.waits_for(index) {
                touched += 1;
                if touched > limits::TOUCH {
                    return;
                }
                let Some(next) = self.tasks.find(id) else { continue };
                if next == start {
                    self.tell_deadlock(start, index, &came);
                    return;
                }
                if self.stuck(next) && !came.contains_key(&next) {
                    came.insert(next, index);
                    queue.push(next);
                }
            }
        }
    }

    /// Whether only other tasks can move this one.
    fn stuck(&self, index: u32) -> bool {
        let task = &self.tasks[index];
        match task.phase {
            // A call that has not begun waits for those before it.
            Phase::Leased => task.blocked || (task.is_call() && !task.begun),
            Phase::Waiting => true,
            Phase::Posted => task.is_call(),
            _ => false,
        }
    }

    /// Tasks without whose end this one cannot go on.
    pub(crate) fn waits_for(&self, index: u32) -> Vec<TaskId> {
        let task = &self.tasks[index];
        match task.phase {
            Phase::Posted => self.turns_before(index),
            Phase::Leased if task.is_call() && !task.begun => self.turns_before(index),
            Phase::Leased => task.awaits().to_vec(),
            Phase::Waiting => {
                let inputs = task.rare.as_ref().and_then(|r| r.inputs.as_ref());
                inputs
                    .map_or_else(Vec::new, |i| i.values.iter().filter(|(_, v)| v.is_none()).map(|(t, _)| *t).collect())
            }
            _ => Vec::new(),
        }
    }

    /// A call that an attempt awaits and is told that it never can: it must not begin when the attempt has ended and its
    /// turn comes after all.
    fn withdraw_call(&mut self, start: u32, awaited: Option<TaskId>) {
        let Some(call) = awaited.and_then(|awaited| self.tasks.find(awaited)) else { return };
        let (task, caller) = (&self.tasks[call], &self.tasks[start]);
        let own = task.owner == Owner::Await && task.parent == caller.id && task.creator == caller.epoch;
        if own && task.is_call() && !task.begun {
            self.request_cancel(call, Some("its caller was told that they wait for each other".into()));
        }
    }

    fn tell_deadlock(&mut self, start: u32, last: u32, came: &BTreeMap<u32, u32>) {
        let mut cycle = Vec::new();
        let mut at = last;
        while at != start {
            cycle.push(self.tasks[at].id);
            let Some(&from) = came.get(&at) else { break };
            at = from;
        }
        cycle.push(self.tasks[start].id);
        cycle.reverse();
        let task = &self.tasks[start];
        let (key, attempt) = (self.session_key(task.place), task.attempt());
        let awaited = cycle.get(1).copied();
        // First: the end of a call that is withdrawn must not look like the answer.
        self.tell(key, 0, Tell::Deadlock(attempt, cycle));
        self.withdraw_call(start, awaited);
    }
}
