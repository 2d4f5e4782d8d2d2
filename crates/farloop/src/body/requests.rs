//! Requests to cancel a body: how they reach its await points, and how it stands with them.

use std::sync::Arc;

use super::scopes::{Ask, Origin, Scopes};
use super::{Body, Cut, PointKind, State, Who};
use crate::cell::{Cell, Wakeable};
use crate::error::{Cancelled, DeliveryToken, Error};

/// Cancel requests that a body passes on to what it awaits; later ones are delivered to itself. Two bodies may await
/// each other without a deadlock (one could also be woken by something else): a request would go round for ever.
const FORWARDED_CANCELS: u32 = 32;

/// Points of one request: to wake, and to forward through.
#[derive(Default)]
pub(super) struct Delivery {
    pub(super) wake: Vec<Wakeable>,
    pub(super) forward: Vec<(usize, Arc<Cell>)>,
}

impl State {
    /// Delivers a request to one point, or says that it is to be forwarded, if it `passes` at all.
    pub(super) fn ask(
        &mut self,
        id: usize,
        ask: &Ask,
        token: &Arc<DeliveryToken>,
        passes: bool,
        delivery: &mut Delivery,
    ) {
        let Some(point) = self.points.get_mut(id) else { return };
        if let PointKind::Forward { to, once, spent, forwarded, .. } = &mut point.kind
            && passes
            && !(*once && (forwarded.is_some() || *spent))
        {
            let first = forwarded.unwrap_or(ask.origin);
            *forwarded = Some(Scopes::outer(self.scopes.as_deref(), first, ask.origin));
            delivery.forward.push((id, to.clone()));
            return;
        }
        // A forwarding point whose one request is spent: a caller must stay cancellable while what it waits for is
        // stubborn (V3).
        self.cut(id, ask, token);
        if let Some(point) = self.points.get(id) {
            delivery.wake.push(point.whom.clone());
        }
    }

    /// Makes the point fail. Of two requests at one point the first gives the words and the outer one the origin: its
    /// asker must learn of it if the point never raises.
    pub(super) fn cut(&mut self, id: usize, ask: &Ask, token: &Arc<DeliveryToken>) {
        let Some(point) = self.points.get_mut(id) else { return };
        match &mut point.cut {
            None => point.cut = Some(Cut { error: mine(ask.message.clone(), token), origin: ask.origin }),
            Some(cut) => {
                let origin = Scopes::outer(self.scopes.as_deref(), cut.origin, ask.origin);
                if origin != cut.origin {
                    *cut = Cut { error: retold(&cut.error, ask, token), origin };
                }
            }
        }
    }

    /// What stands undelivered where the body is now; nothing stands afterwards.
    pub(super) fn take_pending(&mut self) -> Option<Ask> {
        let own = self.scopes.as_mut().and_then(|scopes| scopes.take_pending());
        self.pending.take().or(own)
    }

    /// Nothing stands from outside: what was not delivered of it never will be.
    pub(super) fn withdraw_pending(&mut self) {
        self.pending = None;
        if let Some(scopes) = &mut self.scopes {
            scopes.withdraw_pending();
        }
    }

    /// The token that goes into the delivery of a request of that origin.
    pub(super) fn token_of(&self, origin: Origin, body: &Arc<DeliveryToken>) -> Arc<DeliveryToken> {
        let own = self.scopes.as_ref().and_then(|scopes| scopes.token(origin));
        own.unwrap_or_else(|| body.clone())
    }

    /// All requests that stand: numbered ones, and those of its scopes.
    pub(super) fn count(&self) -> u32 {
        self.standing + self.scopes.as_ref().map_or(0, |scopes| scopes.requested())
    }
}

impl Body {
    /// Requests that stand, those of its own scopes included: what `cancelling()` says.
    pub(crate) fn standing(&self) -> u32 {
        self.state().count()
    }

    /// Highest request that this body saw: what an outcome report carries.
    pub(crate) fn seen(&self) -> u32 {
        self.state().seen
    }

    /// A request made on this process for a local task.
    pub(crate) fn request(self: &Arc<Self>, message: Option<String>) {
        let number = self.state().highest + 1;
        self.deliver(number, message);
    }

    /// Request `number` arrived: deliver, forward, or keep until the next await.
    pub(crate) fn deliver(self: &Arc<Self>, number: u32, message: Option<String>) {
        let ask = Ask { message, origin: None };
        let mut delivery = Delivery::default();
        {
            let mut state = self.state();
            if number <= state.highest {
                return;
            }
            state.standing += number - state.highest;
            state.highest = number;
            if state.points.is_empty() {
                // The first message wins (row 243).
                state.pending.get_or_insert(ask);
                return;
            }
            let points: Vec<usize> = state.points.iter().map(|(id, _)| id).collect();
            for id in points {
                state.ask(id, &ask, &self.token, number <= FORWARDED_CANCELS, &mut delivery);
            }
        }
        self.forward(delivery.forward, &ask);
        self.acknowledge(number);
        for whom in delivery.wake {
            whom.wake();
        }
    }

    /// What does not take a forwarded request any more (it has just ended) leaves it to the awaiter, who has not
    /// resumed yet: the cancel wins, and the value stays with the task (row 237).
    pub(super) fn forward(self: &Arc<Self>, targets: Vec<(usize, Arc<Cell>)>, ask: &Ask) {
        for (id, cell) in targets {
            if cell.cancel(ask.message.clone()) {
                continue;
            }
            let mut woken = None;
            {
                let mut state = self.state();
                let token = state.token_of(ask.origin, &self.token);
                state.cut(id, ask, &token);
                if let Some(point) = state.points.get(id) {
                    woken = Some(point.whom.clone());
                }
            }
            if let Some(whom) = woken {
                whom.wake();
            }
        }
    }

    pub(super) fn acknowledge(&self, number: u32) {
        self.state().seen = number;
        if let Who::Attempt { attempt, .. } = self.who {
            self.home.session().cancel_seen(attempt, number);
        }
    }

    /// `uncancel()` by the body itself, or by a handle of a local task.
    pub(crate) fn uncancel(&self) -> u32 {
        let left = {
            let mut state = self.state();
            state.standing = state.standing.saturating_sub(1);
            if state.standing == 0 {
                // From 3.13, zero withdraws what was not delivered (V8).
                state.withdraw_pending();
            }
            state.count()
        };
        if let Who::Attempt { attempt, .. } = self.who {
            self.home.session().uncancel(attempt.task);
        }
        left
    }

    /// The coordinator's count fell.
    pub(crate) fn withdrawn(&self, standing: u32) {
        let mut state = self.state();
        state.standing = standing;
        if standing == 0 {
            state.withdraw_pending();
        }
    }

    /// A request that reached no await point, if one stands: for the verdict on a local task's end (row 236).
    pub(crate) fn undelivered(&self) -> Option<Option<String>> {
        self.state().pending.as_ref().map(|ask| ask.message.clone())
    }

    /// As [`undelivered`](Self::undelivered), of requests that the coordinator believes seen: a group that fails puts
    /// such a one before the next await again (row 203), and an await that was dropped did not raise its own.
    pub(crate) fn unraised(&self) -> Option<Option<String>> {
        let state = self.state();
        let ask = state.pending.as_ref().filter(|_| state.seen == state.highest)?;
        Some(ask.message.clone())
    }

    /// Highest request that has come to this host, seen by the body or not.
    pub(crate) fn heard(&self) -> u32 {
        self.state().highest
    }
}

pub(super) fn mine(message: Option<String>, token: &Arc<DeliveryToken>) -> Error {
    Error::Cancelled(Cancelled::delivered(message, token.clone()))
}

/// The delivery that an outer asker takes over, in the words that came first.
fn retold(first: &Error, ask: &Ask, token: &Arc<DeliveryToken>) -> Error {
    let words = match first {
        Error::Cancelled(cancelled) => cancelled.message().map(str::to_owned),
        // A deadlock stays one.
        other => return other.clone(),
    };
    mine(words.or_else(|| ask.message.clone()), token)
}
