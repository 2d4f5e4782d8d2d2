//! Calls on their way to the incarnation, in order (L12).
//!
//! A caller's calls are accepted in the order in which it made them, for its session keeps that order. From there on they
//! stand in a *line* of their caller until they may run (an argument that is another task's result, or no room in the
//! mailbox of one that chose to wait), so that nothing overtakes; then in the *mailbox*; then at the worker. A call that
//! comes back from a worker goes to its old place, before all that are younger.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use super::{Age, At, Closing, Line, Named, Post};
use crate::actor::{Address, Turns};
use crate::id::{AttemptId, TaskId};
use crate::limits;
use crate::machine::Core;
use crate::machine::attempts::Lost;
use crate::machine::ending::Family;
use crate::machine::lists::{Chain, NIL};
use crate::machine::outbox::Tell;
use crate::machine::tasks::Phase;
use crate::outcome::{Cancellation, Failure, FailureKind, Outcome};

/// How far a call's creators are looked through for one that runs at the same actor.
const ANCESTORS: usize = 64;

impl Core {
    /// Whether an actor takes one more call of this caller; a refusal names the limit (L18).
    pub(super) fn room_at(&self, at: u32, caller: u128, waits: bool) -> Result<(), (FailureKind, String)> {
        let (actor, host) = (&self.actors[at], &self.tasks[self.host(at)]);
        let Some(limits) = host.as_host() else { return Ok(()) };
        let own = actor.lines.get(&caller).map_or(0, |line| line.count);
        let exhausted = |message| Err((FailureKind::ResourceExhausted, message));
        if waits {
            if actor.lined < limits::MAILBOX_LINES {
                return Ok(());
            }
            return exhausted(format!(
                "{} calls wait for room at actor {}; the limit MAILBOX_LINES is {}",
                actor.lined,
                self.title(at),
                limits::MAILBOX_LINES
            ));
        }
        if own >= limits.per_caller {
            return exhausted(format!(
                "{own} calls of this session are under way at actor {}; its limit per_caller (MAILBOX_PER_CALLER) is {}: call again when some have ended, or let calls wait for room",
                self.title(at),
                limits.per_caller
            ));
        }
        if actor.calls() > limits.mailbox as usize {
            return exhausted(format!(
                "the mailbox of actor {} is full: its limit mailbox (MAILBOX) is {}; call again when some calls have ended, or let calls wait for room",
                self.title(at),
                limits.mailbox
            ));
        }
        Ok(())
    }

    /// Whether one more may go from its line into the mailbox.
    fn has_room(&self, at: u32) -> bool {
        let mailbox = self.tasks[self.host(at)].as_host().map_or(0, |host| host.mailbox);
        let actor = &self.actors[at];
        actor.mailbox.len as usize + actor.out.len() + actor.back.len() <= mailbox as usize
    }

    /// Calls of this caller that may go from their line into the mailbox do, and those of others for which room is now.
    pub(super) fn advance(&mut self, at: u32, caller: u128) {
        self.advance_line(at, caller);
        // Others take turns, one call each, while there is room.
        while self.actors[at].lined > 0 && self.has_room(at) {
            let Some(next) = self.next_line(at) else { break };
            self.actors[at].turn = next.wrapping_add(1);
            self.step(at, next);
        }
        self.send_calls(at);
    }

    /// The caller whose turn it is to have a call go into the mailbox.
    fn next_line(&self, at: u32) -> Option<u128> {
        let actor = &self.actors[at];
        let from = actor.lines.range(actor.turn..).chain(actor.lines.range(..actor.turn));
        let ready =
            |line: &Line| line.waiting.first().is_some_and(|(_, call)| self.tasks[*call].phase == Phase::Posted);
        from.filter(|(_, line)| ready(line)).map(|(caller, _)| *caller).next()
    }

    fn advance_line(&mut self, at: u32, caller: u128) {
        while self.has_room(at) && self.step(at, caller) {}
    }

    /// The first of a line goes into the mailbox, if it may run.
    fn step(&mut self, at: u32, caller: u128) -> bool {
        let Some(line) = self.actors[at].lines.get_mut(&caller) else { return false };
        let Some((&age, &index)) = line.waiting.first() else { return false };
        if self.tasks[index].phase != Phase::Posted {
            return false;
        }
        line.waiting.remove(&age);
        self.actors[at].lined -= 1;
        self.set_at(index, At::Mailbox);
        let mut mailbox = self.actors[at].mailbox;
        mailbox.push_back(&mut self.tasks, Chain::Place, index);
        self.actors[at].mailbox = mailbox;
        true
    }

    pub(super) fn leave_line(&mut self, _: u32, post: Post, age: Age) {
        let actor = &mut self.actors[post.actor];
        if let Some(line) = actor.lines.get_mut(&post.caller)
            && line.waiting.remove(&age).is_some()
        {
            actor.lined -= 1;
        }
    }

    /// It waits between two attempts. Those behind it wait too, unless it pauses because it failed: that is its own affair.
    pub(crate) fn park(&mut self, index: u32) {
        let Some(post) = self.tasks[index].post.as_deref().copied().filter(|_| self.tasks[index].is_call()) else {
            return;
        };
        let holds = self.tasks[index].extra().is_none_or(|extra| extra.clocks.retry.is_none());
        let actor = &mut self.actors[post.actor];
        actor.back.insert(index);
        actor.parked += usize::from(holds);
        self.set_at(index, At::Back { holds });
    }

    pub(super) fn unpark(&mut self, index: u32, at: u32, holds: bool) {
        let actor = &mut self.actors[at];
        if actor.back.remove(index) {
            actor.parked -= usize::from(holds);
        }
    }

    /// Back to its place in the mailbox.
    pub(super) fn put_back(&mut self, index: u32, at: u32, holds: bool) {
        self.unpark(index, at, holds);
        self.set_at(index, At::Mailbox);
        let (age, mut mailbox) = (self.tasks[index].age(), self.actors[at].mailbox);
        let head = mailbox.head;
        mailbox.insert_by(&mut self.tasks, Chain::Place, index, head, |other| other.age() > age);
        self.actors[at].mailbox = mailbox;
        self.send_calls(at);
        self.wake(at);
    }

    /// Sends calls ahead to the incarnation, as long as it takes any.
    pub(crate) fn send_calls(&mut self, at: u32) {
        while let Some(worker) = self.takes_calls(at) {
            let index = self.next_call(at);
            if index == NIL {
                return;
            }
            self.touched += 1;
            self.leave_place(index);
            let mut gate = self.hand_out(index, worker);
            if let Some(w) = &self.sessions[worker as usize].worker {
                gate = gate.max(w.gate);
            }
            let (age, epoch) = (self.tasks[index].age(), self.tasks[index].epoch);
            self.actors[at].out.insert(age, index);
            self.set_at(index, At::Worker);
            self.tell(self.session_key(worker), gate, Tell::Start { index, epoch });
        }
    }

    /// Session of the worker where its incarnation is, if that takes one more call.
    fn takes_calls(&self, at: u32) -> Option<u32> {
        let actor = self.actors.get(at)?;
        let host = self.tasks.get(actor.host)?;
        let open = host.phase == Phase::Leased
            && actor.closing.is_none_or(|closing| closing == Closing::Move)
            && actor.over.is_none()
            && (actor.parked == 0 || planted!(self, CallOvertakes))
            && actor.out.len() < limits::CALLS_AHEAD
            && host.standing() == 0
            && !self.draining;
        (open && !self.sessions[host.place as usize].over).then_some(host.place)
    }

    /// The call that is sent next. To an incarnation that is to leave go only calls that its own calls made: those wait for
    /// them, and it for those.
    fn next_call(&self, at: u32) -> u32 {
        let actor = &self.actors[at];
        if actor.closing.is_none() && !self.leaves(at) {
            return actor.mailbox.head;
        }
        if actor.out.is_empty() {
            return NIL;
        }
        let mut waiting = actor.mailbox.iter(&self.tasks, Chain::Place).take(limits::CALLS_AHEAD);
        waiting.find(|index| self.reenters(*index, at)).unwrap_or(NIL)
    }

    /// Its worker is to leave.
    pub(super) fn leaves(&self, at: u32) -> bool {
        let host = self.tasks.get(self.actors[at].host).filter(|host| host.phase == Phase::Leased);
        host.and_then(|host| self.sessions[host.place as usize].worker.as_ref()).is_some_and(|worker| worker.draining)
    }

    /// It is not at the worker any more.
    pub(crate) fn call_left_worker(&mut self, index: u32) {
        let Some(post) = self.tasks[index].post.as_deref().copied() else { return };
        if post.at == At::Worker {
            let age = self.tasks[index].age();
            self.actors[post.actor].out.remove(&age);
            self.set_at(index, At::Back { holds: false });
        }
    }

    /// The incarnation that a call at a worker is for, and whether the call was made by one that runs there.
    pub(crate) fn incarnation_for(&self, index: u32) -> Option<(AttemptId, bool)> {
        let post = self.tasks[index].post.as_deref().filter(|post| post.at == At::Worker)?;
        let host = self.tasks.get(self.actors.get(post.actor)?.host)?;
        Some((host.attempt(), self.reenters(index, post.actor)))
    }

    /// Whether one of those that made it, directly or not, is under way at the same actor.
    fn reenters(&self, index: u32, at: u32) -> bool {
        let mut parent = self.tasks[index].parent;
        for _ in 0..ANCESTORS {
            // Most calls come from a client, and have none.
            let above = if parent == TaskId(0) { None } else { self.tasks.find(parent) };
            let Some(above) = above else { return false };
            let task = &self.tasks[above];
            if task.post.as_deref().is_some_and(|post| post.actor == at && post.at == At::Worker) {
                return true;
            }
            parent = task.parent;
        }
        false
    }

    /// Calls at the worker that this one has to let go first, as far as is known here: the older ones that may not run
    /// beside it.
    pub(crate) fn turns_before(&self, index: u32) -> Vec<TaskId> {
        let task = &self.tasks[index];
        let waits = match task.phase {
            Phase::Posted => true,
            Phase::Leased => !task.begun,
            _ => false,
        };
        let Some(post) = task.post.as_deref().filter(|_| waits && task.is_call()) else { return Vec::new() };
        let actor = &self.actors[post.actor];
        let Some(host) = self.tasks.get(actor.host).filter(|host| host.phase == Phase::Leased) else {
            return Vec::new();
        };
        let own = self.turns_of(host.place, &task.spec.function);
        let reenters = self.reenters(index, post.actor);
        let older = actor.out.range(..task.age()).map(|(_, call)| &self.tasks[*call]);
        // One that reenters queues behind what runs, and behind nothing else.
        let counts = older.filter(|call| !reenters || call.begun);
        counts.filter(|call| !own.with(self.turns_of(host.place, &call.spec.function))).map(|call| call.id).collect()
    }

    fn turns_of(&self, worker: u32, method: &str) -> Turns {
        match self.def(worker, method).and_then(|def| def.actor.as_deref()) {
            Some(crate::actor::ActorDef::Method(turns)) => *turns,
            _ => Turns::Alone,
        }
    }

    /// The attempt of a call will not report any more.
    pub(crate) fn lose_call(&mut self, index: u32, how: Lost) {
        let sent = self.tasks[index].sent;
        self.leave_place(index);
        let task = &mut self.tasks[index];
        if task.standing() > 0 {
            let message = task.rare().cancels.first_message();
            let outcome = Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false }));
            return self.end_task(index, outcome, Family::All);
        }
        let lost = how != Lost::HandedBack && sent;
        if task.has_items() {
            let outcome = self.stream_lost(index, lost);
            return self.end_task(index, outcome, Family::All);
        }
        if lost {
            task.crashes += 1;
            if task.crashes > task.spec.options.max_crashes && !planted!(self, CallRunsTwice) {
                let outcome = self.unavailable(index, how);
                return self.end_task(index, outcome, Family::All);
            }
        }
        self.retry(index, true, how == Lost::Crashed && lost);
    }

    /// How a call ends that was at an incarnation which is over, and may not run once more.
    pub(crate) fn unavailable(&self, index: u32, how: Lost) -> Outcome {
        let task = &self.tasks[index];
        let what = match how {
            Lost::Crashed => "its worker was lost",
            Lost::Silent => "it gave no sign of life",
            Lost::HandedBack => "its incarnation is over",
        };
        let whom = task.post.as_deref().and_then(|p| self.actors.get(p.actor).map(|_| self.title(p.actor)));
        let message = format!(
            "actor {} was not there any more when the call was under way: {what}; the call may have run. The actor starts again if its restart policy says so; call again if running twice does no harm",
            whom.unwrap_or_default()
        );
        Outcome::Raised(Arc::new(Failure {
            task: Some(task.id),
            worker: (task.worker.0 != 0).then_some(task.worker),
            attempt: task.attempts,
            may_have_run: Some(true),
            ..Failure::new(FailureKind::ActorUnavailable, task.spec.function.clone(), message)
        }))
    }

    /// Which attempts that are told to have ended come with a snapshot: it counts from here on.
    pub(crate) fn take_pending(&mut self, index: u32) -> Option<(u32, Bytes)> {
        let post = self.tasks[index].post.as_deref().copied().filter(|_| self.tasks[index].is_call())?;
        let attempt = self.tasks[index].attempt();
        let actor = self.actors.get_mut(post.actor)?;
        let host = actor.host.index;
        actor.pending.take_if(|pending| pending.0 == attempt).map(|pending| (host, pending.1))
    }

    /// Calls that may wait only so long.
    pub(crate) fn call_is_late(&self, index: u32) -> Option<String> {
        let task = &self.tasks[index];
        let post = task.post.as_deref().filter(|_| task.is_call())?;
        let up = self.actors.get(post.actor).is_some_and(|actor| actor.up);
        (!up).then(|| format!("actor {} is not up", self.title(post.actor)))
    }

    /// The actor whom a part is about, by address.
    pub(super) fn at_address(&self, kind: &str, address: &Address) -> Option<u32> {
        match address {
            Address::Actor(id) => {
                let index = self.tasks.find(*id)?;
                self.tasks[index].as_host()?;
                self.actor_of(index)
            }
            Address::Name { name, .. } => self.actors.names.get(&Named(kind, name)).copied(),
        }
    }
}
