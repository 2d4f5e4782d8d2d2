//! What a worker holds, as it tells a coordinator that started again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use farloop_core::frame::{Activity, Held, Start, Up};
use farloop_core::id::{AttemptId, TaskId};

use super::host::WorkerShared;
use crate::body::Body;
use crate::event_loop::LoopShared;
use crate::stream::Outlet;

/// An attempt that has a slot, or had one and gave it back.
pub(super) struct Placed {
    pub(super) attempt: AttemptId,
    pub(super) home: Arc<LoopShared>,
    pub(super) body: Option<Arc<Body>>,
    /// Of a stream whose consumer tells what it has taken.
    pub(super) outlet: Option<Outlet>,
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
    pub(super) fn progress(&self, attempt: AttemptId) -> Up {
        Up::Progress { attempt, activity: self.activity, awaits: self.awaits.clone(), blocked: self.blocked }
    }
}

impl Placed {
    pub(super) fn new(start: &Start, home: Arc<LoopShared>) -> Self {
        let Start { attempt, number, cancels, .. } = *start;
        Self { attempt, home, body: None, outlet: None, number, cancels }
    }
}

impl WorkerShared {
    /// The coordinator started again. `tell` is called for each start that waits for a slot; they can still be asked
    /// back.
    pub(crate) fn recovered(&self, mut tell: impl FnMut(Up)) {
        // The starts that they were for are lost on their way. Those that come will bring theirs along.
        self.inputs().clear();
        self.slots.each_waiting(|started| {
            let Start { attempt, number, cancels, .. } = started.start;
            tell(Up::Attempt(Box::new(Held {
                attempt,
                number,
                begun: false,
                activity: Activity::Running,
                awaits: Vec::new(),
                blocked: false,
                told: cancels,
                seen: cancels,
                taken: 0,
            })));
        });
    }

    /// Attempts that have been given a slot. Whoever asks for those that have none first misses none.
    pub(crate) fn placed(&self) -> Vec<AttemptId> {
        self.placed.iter().map(|placed| placed.attempt).collect()
    }

    /// Tells of an attempt that has been given a slot, and what it yielded since its consumer was last heard of. Nothing
    /// if it is over by now: that is told, or it was fenced.
    pub(crate) fn tell_held(&self, attempt: AttemptId, recoveries: u64, mut tell: impl FnMut(Up)) {
        let found = self.placed.get(&attempt.task).filter(|p| p.attempt == attempt);
        let Some((body, outlet, number, cancels)) =
            found.map(|p| (p.body.clone(), p.outlet.clone(), p.number, p.cancels))
        else {
            return;
        };
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

    /// Attempts whose start has not come and for which values have.
    #[cfg(test)]
    pub(crate) fn values_waiting(&self) -> usize {
        self.inputs().len()
    }
}
