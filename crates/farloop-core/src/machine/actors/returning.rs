//! What a restart of the coordinator leaves of actors: hosts and calls are tasks on record, and are found again as such;
//! where each call stood is not. So calls of former lives hold up those behind them until it is known whether a worker
//! still has them, and none overtakes (L12).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::{Age, At, Post, address};
use crate::actor::Part;
use crate::id::Epoch;
use crate::machine::Core;
use crate::machine::attempts::Lost;
use crate::machine::recovery::LIFE_BITS;
use crate::machine::tasks::Phase;
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::record::{AttemptFailed, Record};
use crate::time::Time;

impl Core {
    /// All records were read: hosts first, then what is theirs, in the order in which it was accepted. What belongs to an
    /// actor that is over ends with the reason; it is given back for that.
    pub(crate) fn link_actors(&mut self) -> BTreeMap<u32, Outcome> {
        let mut hosts: BTreeMap<Age, u32> = BTreeMap::new();
        let mut others: BTreeMap<Age, u32> = BTreeMap::new();
        for (index, task) in self.tasks.iter().filter(|(_, task)| !task.over()) {
            match task.part() {
                None => {}
                Some(Part::Host(_)) => drop(hosts.insert(task.age(), index)),
                Some(_) => drop(others.insert(task.age(), index)),
            }
        }
        for index in hosts.into_values() {
            let snapshot = self.tasks[index].extra().and_then(|extra| extra.snapshot.as_ref()).map_or(0, |s| s.len());
            self.actors.snapshot_bytes += snapshot;
            self.join_actor(index, None, 0);
        }
        let mut doomed = BTreeMap::new();
        for index in others.into_values() {
            let task = &self.tasks[index];
            let Some(part) = task.part() else { continue };
            let kind = match part {
                Part::Call { .. } => address::type_of(&task.spec.function),
                _ => &*task.spec.function,
            };
            let at = part.address().and_then(|to| self.at_address(kind, to));
            if at.is_none() && !matches!(part, Part::Remind(_)) {
                doomed.insert(index, self.actor_gone(index));
                continue;
            }
            self.rejoin_actor(index, at);
        }
        doomed
    }

    fn rejoin_actor(&mut self, index: u32, at: Option<u32>) {
        let task = &self.tasks[index];
        let (caller, call, waits) = (task.root.0, task.is_call(), task.phase == Phase::Waiting);
        let behind =
            at.is_some_and(|at| self.actors[at].lines.get(&caller).is_some_and(|line| !line.waiting.is_empty()));
        self.join_actor(index, at, caller);
        let (Some(at), true, false) = (at, call, waits || behind) else { return };
        let post = Post { actor: at, at: At::Line, caller };
        self.leave_line(index, post, self.tasks[index].age());
        self.park(index);
    }

    fn actor_gone(&self, index: u32) -> Outcome {
        let task = &self.tasks[index];
        let message = "its actor is over since the coordinator started again";
        Outcome::Raised(Arc::new(Failure {
            task: Some(task.id),
            ..Failure::new(FailureKind::ActorDied, task.spec.function.clone(), message.into())
        }))
    }

    /// Whether a call that a worker lists, or reports on, is with its incarnation there.
    pub(crate) fn comes_with_host(&self, session: u32, index: u32) -> bool {
        let Some(post) = self.tasks[index].post.as_deref().filter(|_| self.tasks[index].is_call()) else { return true };
        let host = self.actors.get(post.actor).and_then(|actor| self.tasks.get(actor.host));
        host.is_some_and(|host| host.phase == Phase::Leased && host.place == session)
    }

    /// A call of a former life goes on at its worker.
    pub(crate) fn call_adopted(&mut self, index: u32) {
        let Some(post) = self.tasks[index].post.as_deref().copied().filter(|_| self.tasks[index].is_call()) else {
            return;
        };
        match post.at {
            At::Back { holds } => self.unpark(index, post.actor, holds),
            At::Line => self.leave_line(index, post, self.tasks[index].age()),
            _ => {}
        }
        let age = self.tasks[index].age();
        self.actors[post.actor].out.insert(age, index);
        self.set_at(index, At::Worker);
        self.send_calls(post.actor);
    }

    /// A call that no worker came back with: if its incarnation is back without it, it has not begun. Else nobody knows,
    /// and one that may run once at most must not begin again. One that may counts an attempt from now on, in later lives
    /// too: should it end before it begins once more, its caller is told that it may have run.
    pub(crate) fn call_lost_with_coordinator(&mut self, index: u32) -> Option<Outcome> {
        let task = &self.tasks[index];
        let post = task.post.as_deref().filter(|post| task.is_call() && matches!(post.at, At::Back { .. }))?;
        let host = self.tasks.get(self.actors.get(post.actor)?.host)?;
        if host.phase == Phase::Leased || !self.recovery.missing {
            return None;
        }
        if task.spec.options.max_crashes == 0 {
            return Some(self.unavailable(index, Lost::Crashed));
        }
        let task = &mut self.tasks[index];
        task.attempts = task.attempts.max(1);
        self.give_up_former_attempts(index);
        None
    }

    /// A worker that may have it did not come back. That the lease must be over first is on record, for the next life knows
    /// nothing of that worker.
    fn wait_for_lease(&mut self, index: u32) {
        let Some(life) = self.recovery.life() else { return };
        let free: Time = self.recovery.opened + crate::limits::ACTOR_LEASE;
        let extra = self.tasks[index].extra_mut();
        extra.clocks.retry = Some(free.max(extra.clocks.retry.unwrap_or(free)));
        extra.lost = Epoch((life.number << LIFE_BITS) - 1);
        if let Some(failed) = self.attempts_so_far(index).filter(|_| self.records(index)) {
            self.record(index, Record::AttemptFailed(Box::new(AttemptFailed { at: self.now, ..failed })));
        }
    }

    /// A host that no worker came back with. Whoever has it must stop before it is somewhere else. True: that is all.
    pub(crate) fn take_on_host(&mut self, index: u32) -> bool {
        let Some(at) = self.actor_of(index).filter(|_| self.tasks[index].as_host().is_some()) else { return false };
        // Its worker reported on some of its calls before it said what it holds, and then it did not hold this.
        let out: alloc::vec::Vec<u32> = self.actors[at].out.values().copied().collect();
        for call in out {
            self.fence(call);
            self.lose_call(call, Lost::Crashed);
        }
        let named = self.tasks[index].as_host().is_some_and(|host| host.name.is_some());
        let waits = named && self.recovery.missing;
        if waits {
            self.wait_for_lease(index);
        }
        let sleeps = self.may_sleep(index, at);
        if sleeps && waits {
            // It may be awake where nobody hears it: until that is over its name is not another's.
            self.leave_place(index);
            self.tasks[index].phase = Phase::Asleep;
        } else if sleeps {
            self.sleep(index, at);
        }
        sleeps
    }
}
