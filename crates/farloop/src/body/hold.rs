//! The thread that a body holds: inside a poll, or on the blocking pool. If nobody waits for the body any more, its
//! thread is written off until the body lets go of it.

use std::sync::Arc;
use std::time::Instant;

use super::Body;
use crate::worker::abandoned::Held;
use crate::worker::actors::Doing;

/// The threads it holds.
#[derive(Default)]
pub(super) struct Hold {
    /// Inside a poll since then.
    pub(super) poll: Option<Instant>,
    /// On a thread of the blocking pool.
    pool: bool,
    written_off: Option<Held>,
    /// Its slot was given to others when it was written off.
    slot_lost: bool,
}

impl Hold {
    /// The poll is over; what was written off because of it.
    pub(super) fn poll_over(&mut self) -> Option<Held> {
        self.poll = None;
        self.written_off.take_if(|held| *held != Held::Pool)
    }
}

impl Body {
    /// Runs `f` on a thread of the blocking pool, which it holds for as long as `f` takes.
    pub(crate) fn on_pool<R>(self: &Arc<Self>, f: impl FnOnce() -> R) -> R {
        self.state().hold.pool = true;
        let result = self.on_behalf(f);
        let back = {
            let mut state = self.state();
            state.hold.pool = false;
            state.hold.written_off.take_if(|held| *held == Held::Pool)
        };
        self.came_back(back);
        result
    }

    /// Nobody waits for it any more. If it holds a thread: which.
    pub(crate) fn write_off(&self) -> Option<Held> {
        let mut state = self.state();
        state.fenced = true;
        let hold = &mut state.hold;
        if hold.written_off.is_some() {
            return None;
        }
        // A body on the pool is polled as well, for an instant: what counts is where it computes.
        let has_slot = self.part.as_ref().is_none_or(|part| part.doing == Doing::Make);
        let on_loop = |since| if has_slot { Held::Loop(since) } else { Held::Turn(since) };
        let held = if hold.pool { Some(Held::Pool) } else { hold.poll.map(on_loop) }?;
        hold.written_off = Some(held);
        hold.slot_lost = matches!(held, Held::Loop(_));
        Some(held)
    }

    /// Whether its slot was given to others; asked once.
    pub(crate) fn take_slot_lost(&self) -> bool {
        std::mem::take(&mut self.state().hold.slot_lost)
    }

    pub(super) fn came_back(&self, held: Option<Held>) {
        if let (Some(held), Some(worker)) = (held, self.home.session().worker()) {
            worker.came_back(held, &self.home);
        }
    }
}
