//! Scopes of a body: what a timeout or a task group asks of the code inside it, and of nothing else.
//!
//! asyncio's scopes cancel the current task and uncancel it at their edge, so their requests and those from outside
//! share one counter. Here they are kept apart: a request from outside has a number, is known to the coordinator and
//! concerns the whole body; a scope's request has none, never leaves this process and reaches the await points that
//! were opened inside the scope. So one that arrives by the wire at any moment is neither taken for a scope's own nor
//! withdrawn with it, and what an outcome report says about seen requests stays true. asyncio's rule for the edge
//! ("is the count above what it was at entry?") is asked of [`Entered::outside`], which leaves the own request out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::requests::Delivery;
use super::{Body, PointKind, State};
use crate::error::{Cancelled, DeliveryToken, Error};

/// Whose request it is: a scope's, or (none) one to the body itself.
pub(super) type Origin = Option<usize>;

/// A request that waits for an await point.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) message: Option<String>,
    pub(super) origin: Origin,
}

#[derive(Default)]
pub(super) struct Scopes {
    /// By a number that is used once: a handle that outlives its scope means no other one.
    open: BTreeMap<usize, Scope>,
    next: usize,
    /// The innermost scope whose code is being polled.
    current: Origin,
    /// How many of them ask their code to stop.
    requested: u32,
    /// The group that this body is a member of, and its code's deadlines with it.
    under: Option<Under>,
}

/// Where a member of a group was started: the group's body, and its scope there.
#[derive(Clone, Debug)]
pub struct Under {
    pub(crate) body: Arc<Body>,
    pub(crate) scope: usize,
}

impl Under {
    /// The nearest deadline there, as it stands now.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.body.deadline_in(Some(self.scope))
    }
}

struct Scope {
    parent: Origin,
    depth: u32,
    points: BTreeSet<usize>,
    children: BTreeSet<usize>,
    /// Own one: a delivery that the body hides in another error must not make a cancellation of the body's end.
    token: Arc<DeliveryToken>,
    requested: bool,
    /// The own request was raised by an await point.
    raised: bool,
    /// For the next await point inside.
    pending: Option<Ask>,
    deadline: Option<Instant>,
}

impl Scopes {
    pub(super) fn current(&self) -> Origin {
        self.current
    }

    pub(super) fn requested(&self) -> u32 {
        self.requested
    }

    pub(super) fn opened(&mut self, scope: Origin, point: usize) {
        if let Some(scope) = self.get_mut(scope) {
            scope.points.insert(point);
        }
    }

    pub(super) fn closed(&mut self, scope: Origin, point: usize) {
        if let Some(scope) = self.get_mut(scope) {
            scope.points.remove(&point);
        }
    }

    fn get_mut(&mut self, scope: Origin) -> Option<&mut Scope> {
        self.open.get_mut(&scope?)
    }

    /// The scope and those around it, from the inside out.
    fn chain(&self, scope: Origin) -> impl Iterator<Item = &Scope> {
        std::iter::successors(scope.and_then(|id| self.open.get(&id)), |scope| self.open.get(&scope.parent?))
    }

    /// The outer one of two origins on one chain. A request to the body is outside of all scopes.
    pub(super) fn outer(scopes: Option<&Self>, a: Origin, b: Origin) -> Origin {
        let depth = |origin: usize| scopes.and_then(|s| s.open.get(&origin)).map_or(0, |scope| scope.depth);
        match (a, b) {
            (Some(a), Some(b)) => Some(if depth(a) <= depth(b) { a } else { b }),
            _ => None,
        }
    }

    /// What stands undelivered in the current scope and around it: the outermost request, for all.
    pub(super) fn take_pending(&mut self) -> Option<Ask> {
        let mut taken = None;
        let mut at = self.current;
        while let Some(scope) = self.get_mut(at) {
            at = scope.parent;
            taken = scope.pending.take().or(taken);
        }
        if let Some(Ask { origin: Some(asker), .. }) = &taken
            && let Some(scope) = self.open.get_mut(asker)
        {
            scope.raised = true;
        }
        taken
    }

    pub(super) fn withdraw_pending(&mut self) {
        for scope in self.open.values_mut() {
            scope.pending.take_if(|ask| ask.origin.is_none());
        }
    }

    pub(super) fn token(&self, origin: Origin) -> Option<Arc<DeliveryToken>> {
        Some(self.open.get(&origin?)?.token.clone())
    }

    pub(super) fn raised(&mut self, scope: usize) {
        if let Some(scope) = self.open.get_mut(&scope) {
            scope.raised = true;
        }
    }

    pub(super) fn was_raised(&self, scope: usize) -> bool {
        self.open.get(&scope).is_none_or(|scope| scope.raised)
    }

    /// The nearest deadline of a scope and those around it. One that has passed has done its work: what is called
    /// after it is cleanup.
    pub(super) fn deadline(&self, scope: Origin) -> Option<Instant> {
        self.chain(scope).filter(|scope| !scope.requested).filter_map(|scope| scope.deadline).min()
    }

    /// Open await points inside, those in inner scopes included.
    fn points_inside(&self, scope: usize, into: &mut Vec<usize>) {
        let mut scopes = vec![scope];
        while let Some(at) = scopes.pop().and_then(|id| self.open.get(&id)) {
            into.extend(&at.points);
            scopes.extend(&at.children);
        }
    }
}

impl State {
    /// Keeps a request for the next await point of its origin's code.
    pub(super) fn put_before_next(&mut self, ask: Ask) {
        let place = ask.origin;
        self.put_before_next_in(place, ask);
    }

    fn put_before_next_in(&mut self, place: Origin, ask: Ask) {
        match (place, &mut self.scopes) {
            (Some(scope), Some(scopes)) => {
                if let Some(scope) = scopes.open.get_mut(&scope) {
                    scope.pending.get_or_insert(ask);
                }
            }
            _ => {
                self.pending.get_or_insert(ask);
            }
        }
    }

    /// A point is polled: it belongs to the scope that polls it (a handle may outlive the scope it was awaited in).
    pub(super) fn moved(&mut self, id: usize) {
        let Some(scopes) = &mut self.scopes else { return };
        let Some(point) = self.points.get_mut(id) else { return };
        let (from, to) = (point.scope, scopes.current);
        if from != to {
            point.scope = to;
            scopes.closed(from, id);
            scopes.opened(to, id);
        }
    }

    /// The scope is over. Points that outlive it belong to the scope around it, and what it asked of them is void.
    fn leave(&mut self, id: usize) {
        let Some(scopes) = &mut self.scopes else { return };
        let Some(scope) = scopes.open.remove(&id) else { return };
        self.version += 1;
        scopes.requested -= u32::from(scope.requested);
        let parent = scope.parent;
        if let Some(parent) = scopes.get_mut(parent) {
            parent.children.remove(&id);
        }
        for child in scope.children {
            if let Some(inner) = scopes.open.get_mut(&child) {
                inner.parent = parent;
            }
            if let Some(parent) = scopes.get_mut(parent) {
                parent.children.insert(child);
            }
        }
        for id_of_point in scope.points {
            scopes.opened(parent, id_of_point);
            if let Some(point) = self.points.get_mut(id_of_point) {
                point.scope = parent;
            }
        }
        if scope.requested {
            for (_, point) in &mut self.points {
                point.cut.take_if(|cut| cut.origin == Some(id));
                if let PointKind::Forward { forwarded, .. } = &mut point.kind {
                    forwarded.take_if(|origin| *origin == Some(id));
                }
            }
        }
        if let Some(ask) = scope.pending
            && ask.origin != Some(id)
        {
            self.put_before_next_in(parent, ask);
        }
    }
}

/// A scope that the body is in. **Dropped**, it is left: its request, if one stands, is withdrawn.
pub(crate) struct Entered {
    body: Arc<Body>,
    id: usize,
    parent: Origin,
}

impl Entered {
    /// A scope of `body`, inside the one whose code is being polled.
    pub(crate) fn of(body: Arc<Body>) -> Self {
        let mut state = body.state();
        let scopes = state.scopes.get_or_insert_default();
        let parent = scopes.current;
        let depth = scopes.get_mut(parent).map_or(1, |parent| parent.depth + 1);
        scopes.next += 1;
        let id = scopes.next;
        let scope = Scope {
            parent,
            depth,
            points: BTreeSet::new(),
            children: BTreeSet::new(),
            token: Arc::default(),
            requested: false,
            raised: false,
            pending: None,
            deadline: None,
        };
        scopes.open.insert(id, scope);
        if let Some(parent) = scopes.get_mut(parent) {
            parent.children.insert(id);
        }
        drop(state);
        Self { body, id, parent }
    }

    pub(crate) fn body(&self) -> &Arc<Body> {
        &self.body
    }

    pub(crate) fn id(&self) -> usize {
        self.id
    }

    /// Polls the code of the scope. What it opens and starts meanwhile is inside.
    pub(crate) fn poll<T>(&self, cx: &mut Context<'_>, code: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let before = self.body.enter(Some(self.id));
        let _restore = Inside { body: &self.body, before };
        code(cx)
    }

    /// Requests that stand outside of it: numbered ones, and those of the scopes around it.
    pub(crate) fn outside(&self) -> u32 {
        let state = self.body.state();
        let around = state.scopes.as_ref().map_or(0, |s| s.chain(self.parent).filter(|s| s.requested).count());
        state.standing + u32::try_from(around).unwrap_or(u32::MAX)
    }

    /// As [`outside`](Self::outside), without what the body has not been told yet: that will be news inside.
    pub(crate) fn heard_outside(&self) -> u32 {
        let mut undelivered = 0;
        {
            let state = self.body.state();
            if state.pending.is_some() {
                undelivered += (state.highest - state.seen).max(1);
            }
            if let Some(scopes) = &state.scopes {
                undelivered += scopes.chain(self.parent).map(|s| u32::from(s.pending.is_some())).sum::<u32>();
            }
        }
        self.outside().saturating_sub(undelivered)
    }

    /// Whether the scope has asked its code to stop.
    pub(crate) fn has_asked(&self) -> bool {
        let state = self.body.state();
        state.scopes.as_ref().and_then(|s| s.open.get(&self.id)).is_some_and(|scope| scope.requested)
    }

    /// The own request stands, nothing has raised it, and no await point of ours is open that could: the code waits
    /// for something foreign only.
    pub(crate) fn is_unheard(&self) -> bool {
        let state = self.body.state();
        let Some(scopes) = &state.scopes else { return false };
        let Some(scope) = scopes.open.get(&self.id) else { return false };
        if scope.pending.as_ref().is_none_or(|ask| ask.origin != Some(self.id)) {
            return false;
        }
        let mut points = Vec::new();
        scopes.points_inside(self.id, &mut points);
        points.is_empty()
    }

    /// The delivery of the own request, for code that has no await point to raise it.
    pub(crate) fn delivery(&self) -> Error {
        let state = self.body.state();
        let token = state.token_of(Some(self.id), &self.body.token);
        Error::Cancelled(Cancelled::delivered(None, token))
    }

    /// Puts a request that stands outside before the next await of the code around the scope.
    pub(crate) fn ask_again(&self, message: Option<String>) {
        let mut state = self.body.state();
        let mut origin = None;
        if state.standing == 0
            && let Some(scopes) = &state.scopes
        {
            let mut at = self.parent;
            while let Some(id) = at {
                let Some(scope) = scopes.open.get(&id) else { break };
                if scope.requested {
                    origin = Some(id);
                }
                at = scope.parent;
            }
        }
        state.put_before_next_in(self.parent, Ask { message, origin });
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.body.state().leave(self.id);
    }
}

/// Puts the scope back that was current before, also when a panic passes.
struct Inside<'b> {
    body: &'b Arc<Body>,
    before: Origin,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.body.enter(self.before);
    }
}

impl Body {
    fn enter(&self, scope: Origin) -> Origin {
        let mut state = self.state();
        let scopes = state.scopes.get_or_insert_default();
        std::mem::replace(&mut scopes.current, scope)
    }

    /// A scope asks the code inside it to stop, once: delivered at the await points that are open there, or at the
    /// next one. For one that is over it is nothing.
    pub(crate) fn request_in(self: &Arc<Self>, scope: usize) {
        let ask = Ask { message: None, origin: Some(scope) };
        let mut delivery = Delivery::default();
        {
            let mut state = self.state();
            let Some(scopes) = &mut state.scopes else { return };
            let Some(asker) = scopes.open.get_mut(&scope) else { return };
            if std::mem::replace(&mut asker.requested, true) {
                return;
            }
            let token = asker.token.clone();
            scopes.requested += 1;
            let mut points = Vec::new();
            scopes.points_inside(scope, &mut points);
            if points.is_empty() {
                state.put_before_next(ask);
                return;
            }
            for id in points {
                state.ask(id, &ask, &token, true, &mut delivery);
            }
        }
        self.forward(delivery.forward, &ask);
        for whom in delivery.wake {
            whom.wake();
        }
    }

    /// The nearest deadline around the code that is being polled.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let current = self.state().scopes.as_ref()?.current;
        self.deadline_in(current)
    }

    /// The nearest deadline of that scope and those around it.
    fn deadline_in(&self, scope: Origin) -> Option<Instant> {
        let (own, under) = {
            let state = self.state();
            let scopes = state.scopes.as_ref()?;
            (scopes.deadline(scope), scopes.under.clone())
        };
        // Not under the lock: that body may be this one's caller, and is asked for its own.
        let above = under.and_then(|under| under.deadline());
        own.into_iter().chain(above).min()
    }

    /// A timeout was set or moved: what is called inside need not start later.
    pub(crate) fn set_deadline(&self, scope: usize, deadline: Option<Instant>) {
        let mut state = self.state();
        state.version += 1;
        if let Some(scope) = state.scopes.as_mut().and_then(|scopes| scopes.open.get_mut(&scope)) {
            scope.deadline = deadline;
        }
    }

    pub(crate) fn set_under(&self, under: Under) {
        self.state().scopes.get_or_insert_default().under = Some(under);
    }
}
