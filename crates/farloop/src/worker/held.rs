//! What a worker holds, as it tells a coordinator that started again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use farloop_core::frame::{Activity, Held, Start, Up};
use farloop_core::id::{AttemptId, TaskId};

use super::actors::Incarnation;
use super::host::WorkerShared;
use crate::body::Body;
use crate::event_loop::LoopShared;
use crate::stream::Outlet;

/// An attempt that has a slot, or had one and gave it back; or a call of an actor, which needs none.
pub(super) struct Placed {
    pub(super) attempt: AttemptId,
    pub(super) home: Arc<LoopShared>,
    pub(super) body: Option<Arc<Body>>,
    /// Of a stream whose consumer tells what it has taken.
    pub(super) outlet: Option<Outlet>,
    /// A call: of whom. It may still be in the actor's line.
    pub(super) of: Option<Arc<Incarnation>>,
    number: u32,
    /// Cancel requests that stood before it.
    cancels: u32,
}

/// What was said last about how an attempt stands.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    pub(super) activity: Activity,
    pub(super) awaits: Vec<TaskId>,
    pub(super) blocked: bool,
}

impl Default for Told {
    fn default() -> Self {
        Self { activity: Activity::Running, awaits: Vec::new(), blocked: false }
    }
}

impl Told {
    /// As an actor that nobody calls.
    pub(super) fn parked() -> Self {
        Self { activity: Activity::Suspended, ..Self::default() }
    }

    pub(super) fn progress(&self, attempt: AttemptId) -> Up {
        Up::Progress { attempt, activity: self.activity, awaits: self.awaits.clone(), blocked: self.blocked }
    }
}

impl Placed {
    pub(super) fn new(start: &Start, home: Arc<LoopShared>) -> Self {
        let Start { attempt, number, cancels, .. } = *start;
        Self { attempt, home, body: None, outlet: None, of: None, number, cancels }
    }

    pub(super) fn call(start: &Start, of: &Arc<Incarnation>) -> Self {
        Self { of: Some(of.clone()), ..Self::new(start, of.home.clone()) }
    }
}

/// A start that can still be asked back.
fn not_begun(attempt: AttemptId, number: u32, cancels: u32) -> Up {
    Up::Attempt(Box::new(Held {
        attempt,
        number,
        begun: false,
        activity: Activity::Running,
        awaits: Vec::new(),
        blocked: false,
        told: cancels,
        seen: cancels,
        taken: 0,
    }))
}

/// An actor: as its own body stands where it has one, else parked.
fn tell_actor(actor: &Incarnation, mut tell: impl FnMut(Up)) {
    let body = actor.own_body();
    let told = match &body {
        Some(body) => body.told().unwrap_or_default(),
        None => Arc::new(Told::parked()),
    };
    if !actor.has_begun() {
        return tell(not_begun(actor.attempt, actor.number, actor.cancels));
    }
    actor.while_it_counts(|| {
        tell(Up::Attempt(Box::new(Held {
            attempt: actor.attempt,
            number: actor.number,
            begun: true,
            activity: told.activity,
            awaits: told.awaits.clone(),
            blocked: told.blocked,
            told: body.as_ref().map_or(actor.cancels, |body| body.heard()),
            seen: body.as_ref().map_or(actor.cancels, |body| body.seen()),
            taken: 0,
        })));
    });
}

impl WorkerShared {
    /// The coordinator started again. `tell` is called for each start that waits for a slot; they can still be asked
    /// back.
    pub(crate) fn recovered(&self, mut tell: impl FnMut(Up)) {
        // The starts that they were for are lost on their way. Those that come will bring theirs along.
        self.inputs().clear();
        self.slots.each_waiting(|started| {
            let Start { attempt, number, cancels, .. } = started.start;
            tell(not_begun(attempt, number, cancels));
        });
    }

    /// Actors, each with its calls in their order, and then the other attempts that have been given a slot. Whoever asks
    /// for those that have none first misses none.
    pub(crate) fn placed(&self) -> Vec<AttemptId> {
        let mut all = Vec::new();
        for actor in self.all_actors() {
            // Also one that waits for a slot, and is told of already: it may have been on its way to its loop then.
            all.push(actor.attempt);
            all.extend(actor.calls());
        }
        all.extend(self.placed.iter().filter(|placed| placed.of.is_none()).map(|placed| placed.attempt));
        all
    }

    /// Tells of an attempt that has been given a slot, and what it yielded since its consumer was last heard of. Nothing
    /// if it is over by now: that is told, or it was fenced.
    pub(crate) fn tell_held(&self, attempt: AttemptId, recoveries: u64, mut tell: impl FnMut(Up)) {
        if let Some(actor) = self.actor(attempt) {
            return tell_actor(&actor, tell);
        }
        let found = self.placed.get(&attempt.task).filter(|p| p.attempt == attempt);
        let Some((body, outlet, of, number, cancels)) =
            found.map(|p| (p.body.clone(), p.outlet.clone(), p.of.clone(), p.number, p.cancels))
        else {
            return;
        };
        if of.is_some_and(|actor| actor.waits(attempt)) {
            return tell(not_begun(attempt, number, cancels));
        }
        if body.as_ref().is_some_and(|body| body.is_fenced()) {
            return;
        }
        let told = body.as_ref().and_then(|body| body.told()).unwrap_or_default();
        let held = |taken| {
            Up::Attempt(Box::new(Held {
                attempt,
                number,
                begun: true,
                activity: told.activity,
                awaits: told.awaits.clone(),
                blocked: told.blocked,
                told: body.as_ref().map_or(cancels, |body| body.heard()),
                seen: body.as_ref().map_or(cancels, |body| body.seen()),
                taken,
            }))
        };
        match outlet {
            Some(outlet) => outlet.tell_again(recoveries, held, tell),
            None => tell(held(0)),
        }
    }

    /// All that is held has been told; what else the coordinator has to know, and how many starts have come.
    pub(crate) fn rejoins(&self, mut tell: impl FnMut(Up)) -> u64 {
        if self.draining.load(Ordering::Acquire) {
            tell(Up::Drain);
        }
        let threads = self.abandoned.threads();
        if threads > 0 {
            tell(Up::Abandoned(threads));
        }
        self.slots.arrived()
    }

    /// Attempts whose start has not come and for which values have come.
    #[cfg(test)]
    pub(crate) fn values_waiting(&self) -> usize {
        self.inputs().len()
    }
}
