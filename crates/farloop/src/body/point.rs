//! One open await of a body.

use std::sync::Arc;
use std::task::Context;

use super::requests::mine;
use super::scopes::{Ask, Origin};
use super::{Body, PointKind, State, Who};
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
        self.open_local(None, cx)
    }

    /// As [`local`](Self::local), at something that has a name.
    ///
    /// # Errors
    /// As [`local`](Self::local).
    pub(crate) fn local_on(&mut self, what: &Arc<str>, cx: &Context<'_>) -> Result<(), Error> {
        self.open_local(Some(what), cx)
    }

    fn open_local(&mut self, on: Option<&Arc<str>>, cx: &Context<'_>) -> Result<(), Error> {
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
        let mut state = body.state();
        if let Some(ask) = state.take_pending() {
            let token = state.token_of(ask.origin, &body.token);
            let heard = state.unacknowledged();
            drop(state);
            body.acknowledge_some(heard);
            return Err(mine(ask.message, &token));
        }
        let id = state.open(PointKind::Local { on: on.cloned() }, whom);
        drop(state);
        self.open = Some((body, id));
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
        let (id, pending, heard) = {
            let mut state = body.state();
            let pending = state.take_pending();
            let forwarded = pending.as_ref().map(|ask| ask.origin);
            let id = state.open(PointKind::Forward { to: to.clone(), once, spent: false, timed, forwarded }, whom);
            (id, pending, state.unacknowledged())
        };
        self.open = Some((body.clone(), id));
        if let Some(ask) = pending {
            body.forward(vec![(id, to.clone())], &ask);
            body.acknowledge_some(heard);
        }
        Ok(())
    }

    /// What it awaits was cancelled by the awaiter's own decision (a limit passed): that was the one request that
    /// goes through.
    pub(crate) fn spend(&self) {
        if let Some((body, id)) = &self.open
            && let Some(PointKind::Forward { spent, .. }) = body.state().points.get_mut(*id).map(|p| &mut p.kind)
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

    /// Closes the point; the asker's token if a request was forwarded through it: a `Cancelled` that comes back is
    /// then the delivery of that request.
    pub(crate) fn close(&mut self) -> Option<Arc<DeliveryToken>> {
        let (body, id) = self.open.take()?;
        let origin = body.remove(id)?;
        Some(body.state().token_of(origin, &body.token))
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        if let Some((body, id)) = self.open.take() {
            body.remove(id);
        }
    }
}

impl State {
    /// The highest request, if the body has not told that it saw it.
    fn unacknowledged(&self) -> Option<u32> {
        (self.seen < self.highest).then_some(self.highest)
    }

    fn took(&mut self, origin: Origin) {
        match (origin, &mut self.scopes) {
            (None, _) => self.raised = self.seen,
            (Some(scope), Some(scopes)) => scopes.raised(scope),
            (Some(_), None) => {}
        }
    }

    fn was_raised(&self, origin: Origin) -> bool {
        match origin {
            None => self.raised == self.seen,
            Some(scope) => self.scopes.as_ref().is_none_or(|scopes| scopes.was_raised(scope)),
        }
    }
}

impl Body {
    fn acknowledge_some(&self, number: Option<u32>) {
        if let Some(number) = number {
            self.acknowledge(number);
        }
    }

    /// Keeps the point's waker fresh; hands out (and closes) what was delivered there.
    fn refresh(&self, id: usize, fresh: Wakeable) -> Option<Error> {
        let mut state = self.state();
        let point = state.points.get_mut(id)?;
        if let Some(cut) = point.cut.take() {
            state.close(id);
            state.took(cut.origin);
            return Some(cut.error);
        }
        point.whom = fresh;
        state.moved(id);
        None
    }

    fn take_cut(&self, id: usize) -> Option<Error> {
        let mut state = self.state();
        let cut = state.points.get_mut(id)?.cut.take()?;
        state.close(id);
        state.took(cut.origin);
        Some(cut.error)
    }

    /// Closes a point; whose request went through it, if one did.
    fn remove(&self, id: usize) -> Option<Origin> {
        let mut state = self.state();
        let point = state.close(id)?;
        match (point.kind, point.cut) {
            (PointKind::Forward { forwarded, .. }, _) => forwarded,
            (PointKind::Local { .. }, Some(cut)) => {
                // Delivered, but the await is gone before it could raise (a select! took another branch), and no
                // other point raised it: the next await does.
                let origin = cut.origin;
                let elsewhere = state.points.iter().any(|(_, p)| p.cut.as_ref().is_some_and(|c| c.origin == origin));
                if let (Error::Cancelled(c), false) = (cut.error, elsewhere || state.was_raised(origin)) {
                    state.put_before_next(Ask { message: c.message().map(str::to_owned), origin });
                }
                None
            }
            (PointKind::Local { .. }, None) => None,
        }
    }
}
