//! One life of an actor at its worker, as all threads know it: who it is, the line of its calls, and how far it is.
//!
//! Its state lives on its loop ([`instances`](super::instances)). What is here may be asked and told from any thread, so
//! that a cancel, a recall or the end of a lease finds a call either in line or with its body, and never in between (L6),
//! and so that a loop which is busy keeps nobody waiting. An idle actor has no more than this: a million of them fit.

use std::sync::{Arc, Mutex, MutexGuard};

use farloop_core::actor::{Part as SpecPart, Turns};
use farloop_core::frame::Start;
use farloop_core::id::{AttemptId, SessionId};
use farloop_core::outcome::{Failure, FailureKind};
use farloop_core::spec::Trace;

use super::super::host::Started;
use super::super::turns::TurnQueue;
use crate::body::{Body, Who};
use crate::context::Context;
use crate::definition::{ActorBody, Body as Code, Definition};
use crate::event_loop::LoopShared;
use crate::event_loop::steps::Step;

/// What a body does for an actor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Doing {
    /// `new`, and `on_start` or `on_restart`.
    Make,
    /// A method.
    Call,
    /// `on_stop`.
    Stop,
    /// A coroutine that stays as long as the actor does.
    Stay,
}

/// What a body is to an actor.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) of: Arc<Incarnation>,
    pub(crate) doing: Doing,
}

/// Why it ends. The later ones go before the earlier ones.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// It goes on elsewhere.
    Move,
    /// No further call comes.
    Stop,
    /// Its code panicked.
    Failed(Arc<Failure>),
    /// It was cancelled.
    Kill { number: u32, message: Option<String> },
}

impl Ending {
    fn rank(&self) -> u8 {
        match self {
            Self::Move => 0,
            Self::Stop => 1,
            Self::Failed(_) => 2,
            Self::Kill { .. } => 3,
        }
    }

    /// Whether calls that run may end by themselves.
    fn is_patient(&self) -> bool {
        matches!(self, Self::Move | Self::Stop)
    }
}

pub(crate) struct Incarnation {
    /// The lease of its task.
    pub(crate) attempt: AttemptId,
    pub(crate) home: Arc<LoopShared>,
    /// None: this worker does not offer the type, and says so when its turn comes.
    pub(crate) definition: Option<&'static Definition>,
    name: Option<Arc<str>>,
    root: Option<SessionId>,
    trace: Option<Arc<Trace>>,
    context: Context,
    pub(in super::super) number: u32,
    depth: u32,
    /// Cancel requests that stood before it.
    pub(in super::super) cancels: u32,
    /// It has a name of its own, so there must be one of it (L11).
    named: bool,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// Of its state, in its loop's table.
    place: Option<u32>,
    /// What an idle one has no use of.
    busy: Option<Box<Busy>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Its start waits for a slot, or for its loop.
    Waiting,
    /// `new` runs.
    Making,
    Up,
    /// No call runs and none will; its loop lets go of it.
    Leaving,
    Over,
}

#[derive(Default)]
struct Busy {
    turns: TurnQueue<Box<Started>>,
    /// Of the calls that run.
    bodies: Vec<Arc<Body>>,
    /// That of `new`, or of `on_stop`.
    own: Option<Arc<Body>>,
    staying: Vec<Staying>,
    ending: Option<Ending>,
}

/// A coroutine that stays as long as the actor.
pub(crate) struct Staying {
    body: Arc<Body>,
    step: Arc<Step>,
}

impl Staying {
    /// Drops the coroutine; on its loop's thread.
    pub(super) fn remove(self) {
        // Whoever holds a handle of it sees that it is gone.
        self.body.fence();
        self.step.remove();
        // What it printed without an end of line.
        self.body.end();
    }
}

impl Busy {
    fn is_idle(&self) -> bool {
        self.turns.is_idle()
            && self.bodies.is_empty()
            && self.own.is_none()
            && self.staying.is_empty()
            && self.ending.is_none()
    }
}

/// What its loop is to do for it now.
pub(super) enum Next {
    Call(Box<Started>),
    Leave(Ending),
    /// Nothing, until something happens.
    Wait,
}

/// What an incarnation had when it was fenced.
#[derive(Default)]
pub(super) struct Fenced {
    /// Calls that had not begun, in order.
    pub(super) waiting: Vec<AttemptId>,
    /// Bodies that run for it.
    pub(super) bodies: Vec<Arc<Body>>,
}

impl Incarnation {
    pub(super) fn of(start: &Start, definition: Option<&'static Definition>, home: Arc<LoopShared>) -> Arc<Self> {
        let named = matches!(start.spec.actor.as_deref(), Some(SpecPart::Host(host)) if host.name.is_some());
        Arc::new(Self {
            attempt: start.attempt,
            home,
            definition,
            name: start.spec.name.clone(),
            root: start.root,
            trace: start.spec.trace.clone(),
            context: Context::from_spec(start.spec.context.clone()),
            number: start.number,
            depth: start.depth,
            cancels: start.cancels,
            named,
            state: Mutex::new(State { phase: Phase::Waiting, place: None, busy: None }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing user-written runs under this lock.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The code of its type.
    pub(super) fn code(&self) -> Option<ActorBody> {
        match self.definition?.body? {
            Code::Actor(code) => Some(code),
            _ => None,
        }
    }

    /// Its type, for people.
    pub(crate) fn type_name(&self) -> &'static str {
        self.definition.map_or("?", |definition| definition.name)
    }

    /// A body of its own: its calls, prints and submits are those of the incarnation's attempt.
    pub(crate) fn body(self: &Arc<Self>, doing: Doing) -> Arc<Body> {
        let who = Who::Attempt { attempt: self.attempt, depth: self.depth, root: self.root };
        let part = Part { of: self.clone(), doing };
        let (home, trace) = (self.home.clone(), self.trace.clone());
        let body =
            Body::of_attempt(who, self.type_name().into(), self.name.clone(), home, trace, self.number, Some(part));
        body.set_root(self.root.is_some());
        body.had_before(self.cancels);
        body.set_context(self.context.clone());
        body
    }

    /// Runs `tell` if it still counts for the cluster; whether it did. Whoever fences it waits until what is told is
    /// queued, so nothing of it leaves later (L11).
    pub(crate) fn while_it_counts(&self, tell: impl FnOnce()) -> bool {
        let state = self.state();
        let counts = state.phase != Phase::Over;
        if counts {
            tell();
        }
        counts
    }

    // ---- its calls

    /// A call came for it. It is given back if it will not run here.
    pub(super) fn arrive(&self, started: Box<Started>, turns: Turns, reenters: bool) -> Result<(), Box<Started>> {
        let mut state = self.state();
        if state.phase == Phase::Over {
            return Err(started);
        }
        let busy = state.busy.get_or_insert_default();
        // What still runs may wait for it. Where nothing runs to its end it is given back with the others, in order.
        if busy.ending.as_ref().is_some_and(Ending::is_patient) && !(reenters && busy.turns.is_running()) {
            return Err(started);
        }
        busy.turns.arrive(started.start.attempt, turns, reenters, started);
        Ok(())
    }

    /// On its loop: what is to be done now. A call that comes out runs from here on.
    pub(super) fn next(&self) -> Next {
        let mut state = self.state();
        let State { phase, busy: slot, .. } = &mut *state;
        let (Phase::Up, Some(busy)) = (*phase, &mut *slot) else { return Next::Wait };
        let moves = matches!(busy.ending, Some(Ending::Move));
        if busy.ending.as_ref().is_none_or(Ending::is_patient)
            && let Some(call) = busy.turns.next(moves)
        {
            return Next::Call(call);
        }
        if let Some(ending) = &busy.ending
            && !busy.turns.is_running()
        {
            *phase = Phase::Leaving;
            return Next::Leave(ending.clone());
        }
        if busy.is_idle() {
            *slot = None;
        }
        Next::Wait
    }

    /// On its loop: the body of a call that [`next`](Self::next) gave. False: it was fenced meanwhile.
    pub(super) fn began(&self, body: &Arc<Body>) -> bool {
        let mut state = self.state();
        let counts = state.phase != Phase::Over;
        if counts {
            state.busy.get_or_insert_default().bodies.push(body.clone());
        }
        counts
    }

    /// A call that ran is over.
    pub(super) fn ended(&self, call: AttemptId) {
        let mut state = self.state();
        let Some(busy) = &mut state.busy else { return };
        busy.turns.ended(call);
        let at = busy.bodies.iter().position(|body| body.attempt() == Some(call));
        let gone = at.map(|at| busy.bodies.swap_remove(at));
        drop(state);
        drop(gone);
    }

    /// Takes a call out of the line.
    pub(super) fn remove(&self, call: AttemptId) -> Option<Box<Started>> {
        self.state().busy.as_mut()?.turns.remove(call)
    }

    pub(in super::super) fn waits(&self, call: AttemptId) -> bool {
        self.state().busy.as_ref().is_some_and(|busy| busy.turns.waits(call))
    }

    /// All its calls, those that run first, the others in order.
    pub(in super::super) fn calls(&self) -> Vec<AttemptId> {
        self.state().busy.as_ref().map(|busy| busy.turns.calls().collect()).unwrap_or_default()
    }

    /// Why a call that runs is to be dropped now, if it is.
    pub(in super::super) fn cut_off(&self) -> Option<(FailureKind, String)> {
        match self.state().busy.as_ref()?.ending.as_ref()? {
            Ending::Move | Ending::Stop => None,
            Ending::Failed(failure) => {
                let text = format!("its actor failed while the call ran: {}", failure.message);
                Some((FailureKind::ActorUnavailable, text))
            }
            Ending::Kill { message, .. } => {
                let why = message.as_ref().map_or(String::new(), |message| format!(": {message}"));
                Some((FailureKind::ActorDied, format!("its actor was cancelled while the call ran{why}")))
            }
        }
    }

    // ---- its course

    /// Its start has reached its loop. False: it was fenced before.
    pub(super) fn begin(&self, body: &Arc<Body>) -> bool {
        let mut state = self.state();
        let counts = state.phase == Phase::Waiting;
        if counts {
            state.phase = Phase::Making;
            state.busy.get_or_insert_default().own = Some(body.clone());
        }
        counts
    }

    /// It is made, and its state has a place; `tell` says so. False: it was fenced meanwhile.
    pub(in super::super) fn up(&self, place: u32, tell: impl FnOnce()) -> bool {
        let mut state = self.state();
        let counts = state.phase == Phase::Making;
        if counts {
            state.phase = Phase::Up;
            state.place = Some(place);
            if let Some(busy) = &mut state.busy {
                busy.own = None;
            }
            tell();
        }
        counts
    }

    pub(super) fn is_making(&self) -> bool {
        self.state().phase == Phase::Making
    }

    /// Where its state is. It is not there any more once this was taken.
    pub(super) fn place(&self) -> Option<u32> {
        self.state().place
    }

    pub(super) fn take_place(&self) -> Option<u32> {
        self.state().place.take()
    }

    /// It is to end. Gives back the calls that will not run because of it, in order, as far as nothing must end before
    /// they are told; and the bodies that are to be dropped.
    pub(super) fn end_with(&self, ending: Ending) -> (Vec<AttemptId>, Vec<Arc<Body>>) {
        let mut state = self.state();
        if state.phase == Phase::Over {
            return Default::default();
        }
        let busy = state.busy.get_or_insert_default();
        if busy.ending.as_ref().is_some_and(|before| before.rank() >= ending.rank()) {
            return Default::default();
        }
        let (moves, patient) = (matches!(ending, Ending::Move), ending.is_patient());
        busy.ending = Some(ending);
        let given_back = if moves { busy.turns.drain() } else { Vec::new() };
        let dropped = if patient { Vec::new() } else { busy.bodies.iter().chain(&busy.own).cloned().collect() };
        (given_back.into_iter().map(|started| started.start.attempt).collect(), dropped)
    }

    /// The body of `on_stop`. False: it was fenced meanwhile.
    pub(super) fn stopping(&self, body: &Arc<Body>) -> bool {
        let mut state = self.state();
        let counts = state.phase == Phase::Leaving;
        if counts {
            state.busy.get_or_insert_default().own = Some(body.clone());
        }
        counts
    }

    /// How it ends, as far as that is known.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.state().busy.as_ref()?.ending.clone()
    }

    /// Its end: `tell` is given the calls that have not begun, in order, and reports them and then the end itself. Not if
    /// it was fenced before. Gives these calls.
    pub(super) fn close(&self, tell: impl FnOnce(&[AttemptId])) -> Vec<AttemptId> {
        let mut state = self.state();
        if state.phase == Phase::Over {
            return Vec::new();
        }
        state.phase = Phase::Over;
        let waiting: Vec<AttemptId> = match &mut state.busy {
            Some(busy) => {
                busy.own = None;
                busy.turns.drain_all().into_iter().map(|started| started.start.attempt).collect()
            }
            None => Vec::new(),
        };
        tell(&waiting);
        waiting
    }

    /// It does not count any more, and nothing of it is told. Its state stays where it is until its loop gets round to
    /// dropping that.
    pub(super) fn fence(&self) -> Fenced {
        let mut state = self.state();
        state.phase = Phase::Over;
        let Some(busy) = &mut state.busy else { return Fenced::default() };
        let waiting = busy.turns.drain_all().into_iter().map(|started| started.start.attempt).collect();
        let mut bodies = std::mem::take(&mut busy.bodies);
        bodies.extend(busy.own.take());
        bodies.extend(busy.staying.iter().map(|staying| staying.body.clone()));
        Fenced { waiting, bodies }
    }

    // ---- what stays with it

    /// A coroutine stays as long as the actor. False: the actor is over, or `limit` of them stay already.
    pub(crate) fn stay(&self, body: Arc<Body>, step: Arc<Step>, limit: usize) -> bool {
        let mut state = self.state();
        if state.phase == Phase::Over {
            return false;
        }
        let busy = state.busy.get_or_insert_default();
        let fits = busy.staying.len() < limit;
        if fits {
            busy.staying.push(Staying { body, step });
        }
        fits
    }

    /// That coroutine is over.
    pub(crate) fn left(&self, body: &Arc<Body>) {
        let mut state = self.state();
        let Some(busy) = &mut state.busy else { return };
        let at = busy.staying.iter().position(|staying| Arc::ptr_eq(&staying.body, body));
        let gone = at.map(|at| busy.staying.swap_remove(at));
        if busy.is_idle() {
            state.busy = None;
        }
        drop(state);
        drop(gone);
    }

    /// All of them, to be dropped.
    pub(super) fn take_staying(&self) -> Vec<Staying> {
        self.state().busy.as_mut().map(|busy| std::mem::take(&mut busy.staying)).unwrap_or_default()
    }

    // ---- how it stands

    /// Whether there must be one of it.
    pub(in super::super) fn is_named(&self) -> bool {
        self.named
    }

    /// Whether its start has reached its loop.
    pub(in super::super) fn has_begun(&self) -> bool {
        self.state().phase != Phase::Waiting
    }

    pub(crate) fn counts(&self) -> bool {
        self.state().phase != Phase::Over
    }

    /// The body of `new` or `on_stop`, while one runs.
    pub(in super::super) fn own_body(&self) -> Option<Arc<Body>> {
        self.state().busy.as_ref()?.own.clone()
    }

    /// Bytes of an idle one here, for the test of what a million takes.
    #[cfg(test)]
    pub(super) fn is_small(&self) -> bool {
        self.state().busy.is_none()
    }
}

impl std::fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incarnation")
            .field("attempt", &self.attempt)
            .field("type", &self.type_name())
            .finish_non_exhaustive()
    }
}
