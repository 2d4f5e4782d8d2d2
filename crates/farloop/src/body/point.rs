//! One open await of a body.

use std::sync::Arc;
use std::task::Context;

use super::{Body, PointState, Who, mine};
use crate::cell::{Cell, Wakeable};
use crate::error::{DeliveryToken, Error};

/// An await point of the body that polls; nothing outside of one. Closed on drop.
#[derive(Default)]
pub(crate) struct Point {
    open: Option<(Arc<Body>, usize)>,
}

impl Point {
    /// Opens or refreshes a point that fails when a cancel is delivered.
    ///
    /// # Errors
    /// The cancel, once per request.
    pub(crate) fn local(&mut self, cx: &Context<'_>) -> Result<(), Error> {
        let whom = Wakeable::of(cx.waker());
        if let Some((body, id)) = &self.open {
            return match body.refresh(*id, whom) {
                Some(error) => {
                    self.open = None;
                    Err(error)
                }
                None => Ok(()),
            };
        }
        let Some(body) = Body::current() else { return Ok(()) };
        let pending = {
            let mut state = body.state();
            match state.pending.take() {
                Some(message) => Some((message, state.highest)),
                None => {
                    let id = state.open(PointState::Local { cut: None, whom });
                    drop(state);
                    self.open = Some((body.clone(), id));
                    None
                }
            }
        };
        if let Some((message, number)) = pending {
            body.acknowledge(number);
            return Err(mine(message, &body.token));
        }
        Ok(())
    }

    /// Opens or refreshes a point that passes cancels on to `to`. `once`: only the first, the next one is
    /// delivered here. `timed`: a timer can wake it too, so it is no part of a deadlock.
    ///
    /// # Errors
    /// The cancel, where it could not be passed on; a deadlock.
    pub(crate) fn forward(&mut self, to: &Arc<Cell>, once: bool, timed: bool, cx: &Context<'_>) -> Result<(), Error> {
        let whom = Wakeable::of(cx.waker());
        if let Some((body, id)) = &self.open {
            return match body.refresh(*id, whom) {
                Some(error) => {
                    self.open = None;
                    Err(error)
                }
                None => Ok(()),
            };
        }
        let Some(body) = Body::current() else { return Ok(()) };
        if let Who::Local(cell) = &body.who
            && Arc::ptr_eq(cell, to)
        {
            return Err(Error::self_await());
        }
        if body.task_id() == to.id {
            return Err(Error::self_await());
        }
        if !Arc::ptr_eq(body.home.session(), to.home.session()) {
            return Err(Error::LoopMismatch);
        }
        let (id, pending) = {
            let mut state = body.state();
            let pending = state.pending.take();
            let id = state.open(PointState::Forward {
                to: to.clone(),
                once,
                spent: false,
                timed,
                forwarded: pending.is_some(),
                cut: None,
                whom,
            });
            (id, pending.map(|message| (message, state.highest)))
        };
        self.open = Some((body.clone(), id));
        if let Some((message, number)) = pending {
            body.forward(vec![(id, to.clone())], message.as_ref());
            body.acknowledge(number);
        }
        Ok(())
    }

    /// What it awaits was cancelled by the awaiter's own decision (a limit passed): that was the one request that
    /// goes through.
    pub(crate) fn spend(&self) {
        if let Some((body, id)) = &self.open
            && let Some(PointState::Forward { spent, .. }) = body.state().points.get_mut(*id)
        {
            *spent = true;
        }
    }

    /// The error that was delivered here, if any; the point is closed then.
    pub(crate) fn cut(&mut self) -> Option<Error> {
        let (body, id) = self.open.as_ref()?;
        let error = body.take_cut(*id)?;
        self.open = None;
        Some(error)
    }

    /// Closes the point; the body's token if a request was forwarded through it: a `Cancelled` that comes back is
    /// then the delivery of that request.
    pub(crate) fn close(&mut self) -> Option<Arc<DeliveryToken>> {
        let (body, id) = self.open.take()?;
        let forwarded = body.remove(id);
        forwarded.then(|| body.token.clone())
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        if let Some((body, id)) = self.open.take() {
            body.remove(id);
        }
    }
}

impl Body {
    /// Keeps the point's waker fresh; hands out (and closes) what was delivered there.
    fn refresh(&self, id: usize, fresh: Wakeable) -> Option<Error> {
        let mut state = self.state();
        let (cut, whom) = match state.points.get_mut(id)? {
            PointState::Local { cut, whom } | PointState::Forward { cut, whom, .. } => (cut, whom),
        };
        if let Some(error) = cut.take() {
            state.close(id);
            state.raised = state.seen;
            return Some(error);
        }
        *whom = fresh;
        None
    }

    fn take_cut(&self, id: usize) -> Option<Error> {
        let mut state = self.state();
        let cut = match state.points.get_mut(id)? {
            PointState::Local { cut, .. } | PointState::Forward { cut, .. } => cut.take(),
        };
        if cut.is_some() {
            state.close(id);
            state.raised = state.seen;
        }
        cut
    }

    fn remove(&self, id: usize) -> bool {
        let mut state = self.state();
        let Some(point) = state.close(id) else { return false };
        match point {
            PointState::Forward { forwarded, .. } => forwarded,
            PointState::Local { cut, .. } => {
                // Delivered, but the await is gone before it could raise (a select! took another branch), and no
                // other point raised it: the next await does.
                let elsewhere = state.points.iter().any(|(_, p)| {
                    matches!(p, PointState::Local { cut: Some(_), .. } | PointState::Forward { cut: Some(_), .. })
                });
                if let (Some(Error::Cancelled(c)), false) = (cut, elsewhere || state.raised == state.seen) {
                    state.pending.get_or_insert(c.message().map(str::to_owned));
                }
                false
            }
        }
    }
}
