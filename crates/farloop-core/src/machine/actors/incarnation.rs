//! From one incarnation to the next, and to the end of an actor (L11).
//!
//! Deliberately simple: whatever ends an incarnation, its calls are looked after first, in order, and then the host goes
//! one of three ways: it starts again (retry), it sleeps until somebody calls, or it is over.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use super::{At, Closing, Named};
use crate::actor::{Host, RestartWhen};
use crate::frame::Snapshot;
use crate::id::AttemptId;
use crate::limits;
use crate::machine::attempts::Lost;
use crate::machine::ending::Family;
use crate::machine::outbox::Tell;
use crate::machine::tasks::{Phase, TaskKey};
use crate::machine::{Core, Timer, Work};
use crate::outcome::{Cancellation, Failure, FailureKind, Outcome};
use crate::record::{Record, Saved};
use crate::time::Time;

/// Nil, in MessagePack: what a task returns that returns nothing.
const NIL_VALUE: &[u8] = &[0xc0];

fn nothing() -> Outcome {
    Outcome::Returned(Bytes::from_static(NIL_VALUE))
}

impl Core {
    /// The worker says how a host stands: what made it has returned.
    pub(crate) fn host_is_up(&mut self, index: u32) {
        let Some(at) = self.actor_of(index) else { return };
        let host = self.actors[at].host;
        let actor = &mut self.actors[at];
        actor.up = true;
        actor.active = self.now;
        if !actor.finds.is_empty() {
            self.work.push_back(Work::Actor(at, host));
        }
        self.actor_changed(index);
        self.send_calls(at);
        self.settle_actor(at);
    }

    /// The incarnation ended by itself, or because it was told to.
    pub(crate) fn host_ended(&mut self, index: u32, outcome: Outcome) {
        let Some(at) = self.actor_of(index) else { return };
        let task = &mut self.tasks[index];
        if task.standing() > 0 {
            let message = task.rare().cancels.first_message();
            let outcome = Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false }));
            return self.end_task(index, outcome, Family::All);
        }
        match outcome {
            Outcome::Raised(failure) => self.host_failed(index, failure),
            Outcome::Cancelled(_) => self.end_task(index, outcome, Family::All),
            Outcome::Returned(_) => {
                let closing = self.close_incarnation(index, at, Lost::HandedBack);
                if self.actors[at].stopping {
                    return self.end_task(index, nothing(), Family::All);
                }
                let always = self.restart_of(index).is_some_and(|r| r.when == RestartWhen::Always);
                match closing {
                    Some(Closing::Sleep) => self.sleep(index, at),
                    _ if always && self.may_restart(at) => {
                        self.pause_before_restart(index, at, None);
                        self.retry(index, true, false);
                    }
                    _ => self.end_task(index, nothing(), Family::All),
                }
            }
        }
    }

    /// The incarnation failed: a method panicked, or it could not be made.
    pub(crate) fn host_failed(&mut self, index: u32, failure: Arc<Failure>) {
        let Some(at) = self.actor_of(index) else { return };
        self.close_incarnation(index, at, Lost::Crashed);
        self.tasks[index].errors += 1;
        // Arguments that do not decode will not do so the next time.
        let again = failure.retryable != Some(false)
            && failure.kind != FailureKind::BadArguments
            && self.restart_of(index).is_some_and(|r| r.when != RestartWhen::Never)
            && self.may_restart(at);
        if !again {
            let failure = self.told_with_restarts(at, failure);
            return self.end_task(index, Outcome::Raised(failure), Family::All);
        }
        self.tasks[index].extra_mut().failed = Some(failure);
        self.pause_before_restart(index, at, None);
        self.retry(index, true, false);
        self.restart_group(index, at);
    }

    /// The incarnation is gone with its worker, or was given back by it.
    pub(crate) fn lose_host(&mut self, index: u32, how: Lost) {
        let Some(at) = self.actor_of(index) else { return };
        let (free, sent) = (self.lease_over(index, how), self.tasks[index].sent);
        let crash = how != Lost::HandedBack && sent;
        self.close_incarnation(index, at, how);
        let task = &mut self.tasks[index];
        if task.standing() > 0 {
            let message = task.rare().cancels.first_message();
            let outcome = Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false }));
            return self.end_task(index, outcome, Family::All);
        }
        if self.actors[at].stopping && self.actors[at].is_quiet() {
            return self.end_task(index, nothing(), Family::All);
        }
        if crash {
            task.crashes += 1;
            let again = self.restart_of(index).is_some_and(|r| r.when != RestartWhen::Never) && self.may_restart(at);
            if !again {
                let Outcome::Raised(failure) = self.worker_lost(index) else { return };
                let failure = self.told_with_restarts(at, failure);
                return self.end_task(index, Outcome::Raised(failure), Family::All);
            }
            self.pause_before_restart(index, at, free);
        } else if self.may_sleep(index, at) {
            return self.sleep(index, at);
        }
        self.retry(index, true, how == Lost::Crashed && sent);
        if crash {
            self.restart_group(index, at);
        }
    }

    /// The lease is given up and the calls that were with it are looked after, in order.
    fn close_incarnation(&mut self, index: u32, at: u32, how: Lost) -> Option<Closing> {
        self.leave_place(index);
        let actor = &mut self.actors[at];
        actor.up = false;
        actor.pending = None;
        let closing = actor.closing.take();
        if let Some(idle) = actor.idle.take() {
            let host = actor.host;
            self.timers.remove(&(idle, Timer::Idle(host)));
        }
        let out: Vec<u32> = self.actors[at].out.values().copied().collect();
        for call in out {
            // One that its worker has not reported on before the end of its host is not reported on any more: it may have
            // run, however its host left.
            self.fence(call);
            self.lose_call(call, if how == Lost::HandedBack { Lost::Crashed } else { how });
        }
        closing
    }

    fn restart_of(&self, index: u32) -> Option<&crate::actor::Restart> {
        self.tasks[index].as_host().map(|host| &host.restart)
    }

    /// Counts a restart, if one more is allowed within the window.
    fn may_restart(&mut self, at: u32) -> bool {
        let Some(at_most) = self.restart_of(self.host(at)).map(|restart| restart.at_most) else { return false };
        self.forget_restarts(at);
        let restarts = &mut self.actors[at].restarts;
        if restarts.len() as u64 >= u64::from(at_most) && !planted!(self, RestartsUncounted) {
            return false;
        }
        restarts.push_back(self.now);
        true
    }

    /// Those that were before the window.
    fn forget_restarts(&mut self, at: u32) {
        let Some(within) = self.restart_of(self.host(at)).map(|restart| restart.within) else { return };
        let now = self.now;
        let restarts = &mut self.actors[at].restarts;
        while restarts.front().is_some_and(|then| *then + within <= now) {
            restarts.pop_front();
        }
    }

    /// The next incarnation begins after the policy's pause, and not before the lease of the last one is over.
    fn pause_before_restart(&mut self, index: u32, at: u32, free: Option<Time>) {
        // 53 bits, as many as fit.
        let chance = (self.rng.next() >> 11) as f64 / (1u64 << 53) as f64;
        let count = self.actors[at].restarts.len() as u32;
        let Some(restart) = self.restart_of(index) else { return };
        let pause = self.now + restart.backoff.draw(count, chance);
        let when = free.map_or(pause, |free| free.max(pause));
        self.tasks[index].extra_mut().clocks.retry = Some(when);
    }

    /// Until when a lost incarnation may go on, cut off from here: one of a name stops by itself when two thirds of its
    /// lease are over. None: it does not run any more, or it has no name that another could be called by.
    fn lease_over(&self, index: u32, how: Lost) -> Option<Time> {
        let task = &self.tasks[index];
        task.as_host()?.name.as_ref()?;
        if how != Lost::Crashed || task.phase != Phase::Leased || !task.sent || planted!(self, LeaseNotWaitedFor) {
            return None;
        }
        let session = self.sessions.get(task.place as usize)?;
        let worker = session.worker.as_ref()?;
        let gone = worker.ending.is_some() || worker.said_bye;
        (!gone).then(|| session.last_heard + limits::ACTOR_LEASE)
    }

    fn told_with_restarts(&self, at: u32, failure: Arc<Failure>) -> Arc<Failure> {
        let restarts = self.actors[at].restarts.len();
        if restarts == 0 {
            return failure;
        }
        let mut told = Failure::clone(&failure);
        told.message = format!("{} (it started again {restarts} times before)", told.message);
        Arc::new(told)
    }

    /// One for all: the others of its group start again with it. That counts for each of them, or a group would start
    /// again as often as all of its members may together.
    fn restart_group(&mut self, index: u32, at: u32) {
        for (other, of) in self.others_of_group(index, at) {
            self.forget_restarts(of);
            self.actors[of].restarts.push_back(self.now);
            if self.tasks[other].phase != Phase::Leased {
                continue;
            }
            self.fence(other);
            self.close_incarnation(other, of, Lost::Crashed);
            self.tasks[other].errors += 1;
            self.pause_before_restart(other, of, None);
            self.retry(other, true, false);
        }
    }

    fn others_of_group(&self, index: u32, at: u32) -> Vec<(u32, u32)> {
        let group = self.tasks[index].as_host().and_then(|host| host.group);
        let members = group.and_then(|group| self.actors.groups.get(&group));
        let others = members.into_iter().flatten().filter(|other| **other != at);
        others.map(|other| (self.host(*other), *other)).collect()
    }

    // ---- stopping and sleeping

    /// Looks whether an actor that is to stop may, or whether one has nothing to do.
    pub(super) fn settle_actor(&mut self, at: u32) {
        let Some(actor) = self.actors.get(at) else { return };
        if actor.over.is_some() || !actor.is_quiet() {
            return;
        }
        let (host, stopping, closing) = (actor.host, actor.stopping, actor.closing);
        let Some(task) = self.tasks.get(host).filter(|task| !task.over()) else { return };
        if !stopping {
            return self.watch_idle(at);
        }
        match task.phase {
            Phase::Leased if closing.is_some() => {}
            Phase::Leased => self.tell_to_leave(at, Closing::Stop),
            // A worker that is not back yet may have it; or what follows its last incarnation is being decided.
            Phase::Held | Phase::Parked => {}
            _ => self.end_task(host.index, nothing(), Family::All),
        }
    }

    fn tell_to_leave(&mut self, at: u32, why: Closing) {
        let host = self.actors[at].host.index;
        self.actors[at].closing = Some(why);
        let task = &self.tasks[host];
        let (key, gate, attempt) = (self.session_key(task.place), task.gate, task.attempt());
        let tell = if why == Closing::Move { Tell::Move(attempt) } else { Tell::Stop(attempt) };
        self.tell(key, gate, tell);
    }

    /// Its worker is to leave: the actor goes elsewhere, after the turn that it is in.
    pub(crate) fn move_host(&mut self, index: u32) {
        let Some(at) = self.actor_of(index) else { return };
        if !self.tasks[index].sent {
            return self.lose_host(index, Lost::HandedBack);
        }
        if self.actors[at].closing.is_none() {
            self.tell_to_leave(at, Closing::Move);
        }
    }

    /// Its worker gives a call back: it leaves, or is gone. What is sent to it now would come back, too.
    pub(crate) fn call_returned(&mut self, index: u32) {
        let Some(post) = self.tasks[index].post.as_deref().copied().filter(|post| post.at == At::Worker) else {
            return;
        };
        self.actors[post.actor].closing.get_or_insert(Closing::Itself);
    }

    fn idle_after(&self, index: u32) -> Option<core::time::Duration> {
        self.tasks[index].as_host().filter(|host| host.on_demand).and_then(|host| host.idle)
    }

    /// Sets the timer if there is none. It is not moved with each call, but looked at when it is due.
    fn watch_idle(&mut self, at: u32) {
        let actor = &self.actors[at];
        if actor.idle.is_some() || !actor.up || actor.closing.is_some() {
            return;
        }
        let (host, active) = (actor.host, actor.active);
        let Some(after) = self.idle_after(host.index) else { return };
        let due = active + after;
        self.actors[at].idle = Some(due);
        self.timers.insert((due, Timer::Idle(host)));
    }

    pub(crate) fn on_idle(&mut self, host: TaskKey) {
        let Some(at) = self.tasks.get(host).and_then(|_| self.actor_of(host.index)) else { return };
        let actor = &mut self.actors[at];
        actor.idle = None;
        if !actor.is_quiet() || !actor.up || actor.closing.is_some() {
            return;
        }
        let active = actor.active;
        match self.idle_after(host.index) {
            Some(after) if active + after <= self.now => self.tell_to_leave(at, Closing::Sleep),
            _ => self.watch_idle(at),
        }
    }

    /// Whether it need not be anywhere before somebody calls.
    pub(super) fn may_sleep(&self, index: u32, at: u32) -> bool {
        let on_demand = self.tasks[index].as_host().is_some_and(|host| host.on_demand);
        let actor = &self.actors[at];
        on_demand && actor.is_quiet() && actor.finds.is_empty() && !actor.stopping
    }

    /// It has left its worker, until somebody calls. One that has nothing to remember is over: a call makes it anew.
    pub(super) fn sleep(&mut self, index: u32, at: u32) {
        if !self.may_sleep(index, at) {
            return self.retry(index, true, false);
        }
        if self.tasks[index].extra().is_none_or(|extra| extra.snapshot.is_none()) {
            return self.end_task(index, nothing(), Family::All);
        }
        self.leave_place(index);
        self.tasks[index].phase = Phase::Asleep;
        self.changed(index);
    }

    /// Somebody calls: it has to be somewhere.
    pub(super) fn wake(&mut self, at: u32) {
        let Some(host) = self.actors.get(at).map(|actor| actor.host.index) else { return };
        if self.tasks[host].phase == Phase::Asleep {
            self.tasks[host].phase = Phase::Parked;
            self.again(host, true);
        }
    }

    // ---- snapshots

    /// An incarnation saved its state.
    pub(crate) fn on_snapshot(&mut self, session: u32, snapshot: Snapshot) -> Result<(), String> {
        let Snapshot { incarnation, state, with } = snapshot;
        if state.len() > limits::SNAPSHOT {
            return Err(format!("{} bytes of a snapshot; the limit SNAPSHOT is {}", state.len(), limits::SNAPSHOT));
        }
        let Some(index) = self.current(session, incarnation) else { return Ok(()) };
        let Some(at) = self.actor_of(index) else { return Ok(()) };
        match with {
            None => {
                if let Some(saved) = self.save(index, state)
                    && self.records(index)
                {
                    self.record(index, Record::Snapshot(saved));
                }
            }
            Some(call) => self.pend(at, call, state),
        }
        Ok(())
    }

    fn pend(&mut self, at: u32, call: AttemptId, state: Bytes) {
        let known = self.tasks.find(call.task).filter(|index| self.tasks[*index].epoch == call.epoch);
        let here = |index: u32| {
            self.tasks[index].post.as_deref().is_some_and(|post| post.actor == at && post.at == At::Worker)
        };
        if known.is_some_and(here) {
            self.actors[at].pending = Some(Box::new((call, state)));
        }
    }

    /// Keeps it, if there is room for it among those of all actors: else the incarnation fails, for its callers were told
    /// that it is saved.
    pub(crate) fn save(&mut self, index: u32, state: Bytes) -> Option<Saved> {
        let task = &mut self.tasks[index];
        let before = task.extra().and_then(|extra| extra.snapshot.as_ref()).map_or(0, Bytes::len);
        let after = self.actors.snapshot_bytes - before + state.len();
        if after > limits::SNAPSHOTS {
            let message = format!(
                "the snapshots of all actors have {after} bytes with this one; the limit SNAPSHOTS is {}",
                limits::SNAPSHOTS
            );
            let function = task.spec.function.clone();
            let failure =
                Failure { task: Some(task.id), ..Failure::new(FailureKind::ResourceExhausted, function, message) };
            self.fence(index);
            self.host_failed(index, Arc::new(failure));
            return None;
        }
        self.actors.snapshot_bytes = after;
        let actor = task.id;
        task.extra_mut().snapshot = Some(state.clone());
        Some(Saved { actor, state })
    }

    // ---- the end

    /// The actor is over: its name is free, and what waits for it is told.
    pub(super) fn bury(&mut self, index: u32, at: u32) {
        let task = &self.tasks[index];
        let (kind, host) = (task.spec.function.clone(), task.as_host().cloned());
        let failed = matches!(task.outcome, Some(Outcome::Raised(_)));
        let why: Arc<str> = self.how_it_ended(index).into();
        let actor = &mut self.actors[at];
        let key = actor.host;
        actor.over = Some(why);
        actor.up = false;
        if let Some(idle) = actor.idle.take() {
            self.timers.remove(&(idle, Timer::Idle(key)));
        }
        let Host { name, group, .. } = host.unwrap_or_default();
        if let Some(name) = name
            && self.actors.names.get(&Named(&kind, &name)) == Some(&at)
        {
            self.actors.names.remove(&(kind, name));
        }
        let mut others = BTreeSet::new();
        if let Some(group) = group
            && let Some(members) = self.actors.groups.get_mut(&group)
        {
            members.remove(&at);
            if members.is_empty() {
                self.actors.groups.remove(&group);
            } else if failed {
                others.clone_from(members);
            }
        }
        for other in others {
            let host = self.host(other);
            let message = Some("another actor of its group is over".into());
            self.request_cancel(host, message);
        }
        self.work.push_back(Work::Actor(at, key));
    }

    /// What it saved is forgotten with it.
    pub(crate) fn forget_snapshot(&mut self, snapshot: Option<&Bytes>) {
        self.actors.snapshot_bytes -= snapshot.map_or(0, Bytes::len);
    }
}
