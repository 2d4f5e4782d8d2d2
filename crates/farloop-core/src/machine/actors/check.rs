//! L11 and L12, as far as the state shows them.

use alloc::format;
use alloc::string::String;

use super::At;
use crate::machine::Core;
use crate::machine::check::{LawViolation, broken};
use crate::machine::lists::Chain;
use crate::machine::tasks::Phase;

impl Core {
    pub(crate) fn check_actors(&self) -> Result<(), LawViolation> {
        let mut bytes = 0;
        for (index, task) in self.tasks.iter() {
            bytes += task.extra().and_then(|extra| extra.snapshot.as_ref()).map_or(0, bytes::Bytes::len);
            if task.over() && task.post.is_some() {
                return broken("L3", format!("task {} is over and still at an actor", task.id));
            }
            if task.phase == Phase::Posted && task.post.is_none() {
                return broken("L16", format!("task {} waits at an actor that it has not", task.id));
            }
            self.check_post(index)?;
        }
        if bytes != self.actors.snapshot_bytes {
            return broken(
                "L18",
                format!("snapshots have {bytes} bytes and {} were counted", self.actors.snapshot_bytes),
            );
        }
        for (at, _) in &self.actors.slab {
            self.check_actor(at as u32)?;
        }
        for ((kind, name), at) in &self.actors.names {
            let host = self.actors.get(*at).and_then(|actor| self.tasks.get(actor.host));
            let fits = host.is_some_and(|host| !host.over() && host.spec.function == *kind);
            if !fits {
                return broken("L11", format!("nobody is behind the name '{name}' of type {kind}"));
            }
        }
        Ok(())
    }

    fn check_post(&self, index: u32) -> Result<(), LawViolation> {
        let task = &self.tasks[index];
        let Some(post) = task.post.as_deref() else { return Ok(()) };
        if post.at == At::Reminder {
            let due = task.extra().and_then(|extra| extra.clocks.retry);
            let set =
                due.is_some_and(|due| self.timers.contains(&(due, super::super::Timer::Remind(self.tasks.key(index)))));
            return match task.phase {
                Phase::Posted if !set => broken("L16", format!("reminder {} is never due", task.id)),
                _ => Ok(()),
            };
        }
        let Some(actor) = self.actors.get(post.actor) else {
            return broken("L16", format!("task {} is at an actor that is not there", task.id));
        };
        let age = task.age();
        let listed = match post.at {
            At::Host => actor.host.index == index,
            At::Line => actor.lines.get(&post.caller).is_some_and(|line| line.waiting.get(&age) == Some(&index)),
            At::Worker => actor.out.get(&age) == Some(&index) && task.phase == Phase::Leased,
            At::Back { .. } => actor.back.contains(index),
            At::Find => task.phase != Phase::Posted || actor.finds.contains(index),
            At::Stop => task.phase != Phase::Posted || actor.stops.contains(index),
            At::Mailbox => task.phase == Phase::Posted,
            At::Reminder => true,
        };
        if listed {
            Ok(())
        } else {
            broken("L16", format!("task {} is {:?} at its actor, and in no such list", task.id, post.at))
        }
    }

    fn check_actor(&self, at: u32) -> Result<(), LawViolation> {
        let actor = &self.actors[at];
        let wrong = |law, what: String| broken(law, format!("actor {}: {what}", self.title(at)));
        if actor.over.is_some() {
            return if self.work.is_empty() {
                wrong("L16", "it is over, and is still waited for".into())
            } else {
                Ok(())
            };
        }
        let Some(host) = self.tasks.get(actor.host).filter(|host| !host.over()) else {
            return broken("L11", format!("actor {at} has no host"));
        };
        let lined: usize = actor.lines.values().map(|line| line.waiting.len()).sum();
        if lined != actor.lined {
            return wrong("L18", format!("{lined} calls are in lines and {} were counted", actor.lined));
        }
        let parked = actor.back.iter().filter(|call| {
            self.tasks
                .at(*call)
                .and_then(|task| task.post.as_deref())
                .is_some_and(|post| post.at == At::Back { holds: true })
        });
        let parked = parked.count();
        if parked != actor.parked {
            return wrong("L16", format!("{parked} calls hold up others and {} were counted", actor.parked));
        }
        // Reports on calls may come before their worker says that it holds the incarnation.
        let coming = host.phase == Phase::Held;
        if !actor.out.is_empty() && host.phase != Phase::Leased && !coming {
            return wrong("L11", "calls are under way and there is no incarnation".into());
        }
        for index in actor.out.values() {
            if self.tasks[*index].place != host.place && !coming {
                return wrong(
                    "L11",
                    format!("call {} is at another worker than the incarnation", self.tasks[*index].id),
                );
            }
        }
        let mailbox = actor.mailbox.iter(&self.tasks, Chain::Place).count();
        if mailbox != actor.mailbox.len as usize {
            return wrong("L12", format!("{mailbox} calls are in the mailbox and {} were counted", actor.mailbox.len));
        }
        self.check_order(at)
    }

    /// No call was sent ahead of an older one of the same caller that waits in the mailbox.
    fn check_order(&self, at: u32) -> Result<(), LawViolation> {
        let actor = &self.actors[at];
        if actor.closing.is_some() || self.leaves(at) {
            // To one that leaves go only calls that its own calls made.
            return Ok(());
        }
        let mut last = alloc::collections::BTreeMap::new();
        let caller = |index: u32| self.tasks[index].post.as_deref().map_or(0, |post| post.caller);
        for (age, index) in actor.out.iter() {
            last.insert(caller(*index), *age);
        }
        for index in actor.mailbox.iter(&self.tasks, Chain::Place) {
            if self.tasks[index].errors > 0 {
                // It failed and is tried again, which takes its time; others went on.
                continue;
            }
            let (who, age) = (caller(index), self.tasks[index].age());
            if last.insert(who, age).is_some_and(|before| before > age) {
                return broken(
                    "L12",
                    format!("call {} is behind a younger one of the same caller", self.tasks[index].id),
                );
            }
        }
        Ok(())
    }
}
