//! One call about a primitive, as a cancellable await that needs no slot.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use farloop_core::frame::Up;
use farloop_core::sync::{SyncAction, SyncAnswer, SyncCall, SyncEnd, SyncRefusal};

use super::calls::Slot;
use super::handle::Handle;
use crate::ambient;
use crate::body::{Body, Point};
use crate::cell::Wakeable;
use crate::error::{Error, Misuse, Result, SyncError};
use crate::session::SessionShared;

/// A call that is made at its first poll. Dropped before its answer was taken, it is withdrawn: it leaves the line,
/// and what it was given meanwhile goes back.
pub(crate) struct Calling {
    handle: Handle,
    action: Option<SyncAction>,
    location: &'static Location<'static>,
    sent: Option<Sent>,
    point: Point,
    /// A cancel does not end it; it is kept until the answer is there.
    stubborn: bool,
    cancelled: Option<Error>,
}

struct Sent {
    session: Arc<SessionShared>,
    call: u64,
    slot: Arc<Slot>,
}

/// An answer, and the call that it is for: what was given stays open under it.
pub(crate) struct Answered {
    pub(crate) answer: SyncAnswer,
    pub(crate) session: Arc<SessionShared>,
    pub(crate) call: u64,
    /// How often the coordinator that answered had started again.
    pub(crate) recoveries: u64,
    /// Of a stubborn call: the cancel that was delivered meanwhile.
    pub(crate) cancelled: Option<Error>,
}

impl Calling {
    pub(crate) fn new(handle: &Handle, action: SyncAction, location: &'static Location<'static>) -> Self {
        let handle = handle.clone();
        let (point, cancelled) = (Point::default(), None);
        Self { handle, action: Some(action), location, sent: None, point, stubborn: false, cancelled }
    }

    /// One that goes on when it is cancelled, and says so in the end.
    pub(crate) fn stubborn(mut self) -> Self {
        self.stubborn = true;
        self
    }

    fn send(&mut self) -> Result<()> {
        let Some(action) = self.action.take() else { return Err(Error::already_awaited()) };
        let home = ambient::find().ok_or_else(|| Error::no_running_loop(self.location))?;
        let session = home.session().clone();
        if home.is_closed() || session.is_closing() {
            return Err(Error::LoopClosed);
        }
        if let Some(limit) = session.full() {
            return Err(Error::resource_exhausted("", limit));
        }
        let attempt = Body::current().filter(|b| Arc::ptr_eq(b.home.session(), &session)).and_then(|b| b.creator());
        let primitive = self.handle.primitive();
        let (call, slot) =
            session.call(&home, |call| Up::Sync(Box::new(SyncCall { call, primitive, attempt, action })));
        self.sent = Some(Sent { session, call, slot });
        Ok(())
    }

    /// A cancel was delivered: the error to end with, or none if it goes on.
    fn cut(&mut self, error: Error) -> Option<Error> {
        if !self.stubborn {
            return Some(error);
        }
        if self.cancelled.is_none()
            && let Some(sent) = &self.sent
        {
            sent.session.push(Up::SyncEnd { call: sent.call, end: SyncEnd::Rejoin });
        }
        // The last one counts, as in asyncio's Condition.wait.
        self.cancelled = Some(error);
        None
    }
}

impl Future for Calling {
    type Output = Result<Answered>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(error) = this.point.cut()
            && let Some(error) = this.cut(error)
        {
            return Poll::Ready(Err(error));
        }
        if this.sent.is_none() {
            // A cancel that is pending already is delivered here, and nothing is sent.
            if let Err(error) = this.point.local_on(this.handle.label(), cx) {
                this.action = None;
                return Poll::Ready(Err(error));
            }
            if let Err(error) = this.send() {
                this.point = Point::default();
                return Poll::Ready(Err(error));
            }
        }
        let Some(sent) = &this.sent else { return Poll::Ready(Err(Error::already_awaited())) };
        if let Some(answer) = sent.slot.take(Wakeable::of(cx.waker())) {
            this.point = Point::default();
            let Some(Sent { session, call, .. }) = this.sent.take() else {
                return Poll::Ready(Err(Error::already_awaited()));
            };
            let cancelled = this.cancelled.take();
            return Poll::Ready(answer.and_then(|(answer, recoveries)| match answer {
                SyncAnswer::Refused { why, message } => Err(refused(why, message)),
                answer => Ok(Answered { answer, session, call, recoveries, cancelled }),
            }));
        }
        while let Err(error) = this.point.local_on(this.handle.label(), cx) {
            if let Some(error) = this.cut(error) {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Pending
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        if let Some(sent) = self.sent.take() {
            sent.session.calls().forget(sent.call);
            sent.session.push(Up::SyncEnd { call: sent.call, end: SyncEnd::Withdraw });
        }
    }
}

impl Answered {
    /// For a call that is answered without more.
    pub(crate) fn done(self) -> Result<()> {
        Ok(())
    }
}

fn refused(why: SyncRefusal, message: String) -> Error {
    Error::Sync(match why {
        SyncRefusal::Stale => SyncError::Stale(message),
        SyncRefusal::Mismatch => SyncError::Mismatch(message),
        SyncRefusal::Gone => SyncError::Gone(message),
        SyncRefusal::Busy => SyncError::WouldBlock(message),
        SyncRefusal::ShutDown => SyncError::QueueShutDown,
        SyncRefusal::Broken => SyncError::BrokenBarrier,
        SyncRefusal::TooManyDone => SyncError::TaskDoneTooOften,
        SyncRefusal::Exhausted => return Error::resource_exhausted("", message),
        SyncRefusal::Misuse => return Error::Misuse(Misuse::Other(message)),
    })
}

/// An answer of a kind that this call never gets: the coordinator is of another release.
pub(crate) fn unexpected(answer: &SyncAnswer) -> Error {
    Error::msg(format!("the coordinator gave an answer that does not fit: {answer:?}"))
}
