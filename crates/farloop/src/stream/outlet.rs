//! Where a producing body's items leave its worker.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use farloop_core::frame::Up;
use farloop_core::id::AttemptId;
use farloop_core::limits;
use farloop_core::window::Window;

use crate::body::Point;
use crate::cell::Wakeable;
use crate::codec;
use crate::definition::{BodyEnd, BodyError, LocalBoxFuture};
use crate::error::{Error, Result};
use crate::invocation::Invocation;
use crate::session::SessionShared;

/// Items given in one go before the other work of the loop, and a cancel, get their turn.
const TURN: u32 = 128;

/// Where the items of one body go. Generated code hands it on; it has no use of its own.
#[derive(Clone)]
pub struct Outlet(Arc<Shared>);

struct Shared {
    to: To,
    inner: Mutex<Inner>,
}

enum To {
    /// A consumer, one by one.
    Consumer(Arc<SessionShared>, AttemptId),
    /// Whoever called the function as if it returned a list; or a unit test.
    List,
}

#[derive(Default)]
struct Inner {
    window: Window,
    /// Items that were sent and not taken, oldest first: as many as the window allows. A coordinator that starts again
    /// has lost what was on its way.
    kept: VecDeque<Bytes>,
    /// How often the coordinator had started again when it was told of this stream.
    recoveries: u64,
    /// Encoded items, one after the other.
    list: Vec<u8>,
    waiters: Vec<Wakeable>,
    in_a_row: u32,
    closed: bool,
}

impl Outlet {
    /// `consumer`: items go there; else they are kept for [`list`](Self::list).
    pub(crate) fn new(consumer: Option<(Arc<SessionShared>, AttemptId)>) -> Self {
        let recoveries = consumer.as_ref().map_or(0, |(session, _)| session.recoveries());
        let to = consumer.map_or(To::List, |(session, attempt)| To::Consumer(session, attempt));
        Self(Arc::new(Shared { to, inner: Mutex::new(Inner { recoveries, ..Inner::default() }) }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Only bookkeeping happens under this lock.
        self.0.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The consumer has taken that many.
    pub(crate) fn credit(&self, taken: u64) {
        let waiters = {
            let mut inner = self.inner();
            if !inner.window.take(taken) {
                return;
            }
            let kept = usize::try_from(inner.window.given() - inner.window.taken()).unwrap_or(usize::MAX);
            let gone = inner.kept.len().saturating_sub(kept);
            inner.kept.drain(..gone);
            std::mem::take(&mut inner.waiters)
        };
        for whom in waiters {
            whom.wake();
        }
    }

    /// The coordinator started again and is told of this stream: `held` makes that of how many items were taken, and
    /// the others follow. What was given since it started again has waited for this.
    pub(crate) fn tell_again(&self, recoveries: u64, held: impl FnOnce(u64) -> Up, mut tell: impl FnMut(Up)) {
        let mut inner = self.inner();
        tell(held(inner.window.taken()));
        let To::Consumer(_, attempt) = &self.0.to else { return };
        if std::mem::replace(&mut inner.recoveries, recoveries) == recoveries {
            return;
        }
        for (seq, value) in (inner.window.taken() + 1..).zip(&inner.kept) {
            tell(Up::Item { attempt: *attempt, seq, value: value.clone() });
        }
    }

    /// Nothing leaves any more: the body is over.
    fn close(&self) {
        let waiters = {
            let mut inner = self.inner();
            inner.closed = true;
            std::mem::take(&mut inner.waiters)
        };
        for whom in waiters {
            whom.wake();
        }
    }

    /// All items, as one encoded list.
    pub(crate) fn list(&self) -> Bytes {
        let inner = self.inner();
        let mut all = Vec::with_capacity(5 + inner.list.len());
        codec::array_header(&mut all, usize::try_from(inner.window.given()).unwrap_or(usize::MAX));
        all.extend_from_slice(&inner.list);
        all.into()
    }

    /// Gives an item, as soon as there is room for it. Cancelled while it waits, the item is not sent.
    pub(crate) async fn give(&self, value: Bytes) -> Result<()> {
        if value.len() > limits::MAX_PAYLOAD {
            let message = format!("an item takes {} bytes and MAX_PAYLOAD is {}", value.len(), limits::MAX_PAYLOAD);
            return Err(codec::bad_payload(message));
        }
        let mut value = Some(value);
        let mut point = Point::default();
        std::future::poll_fn(|cx| self.poll_give(&mut value, &mut point, cx)).await
    }

    fn poll_give(&self, value: &mut Option<Bytes>, point: &mut Point, cx: &Context<'_>) -> Poll<Result<()>> {
        if let Some(error) = point.cut() {
            return Poll::Ready(Err(error));
        }
        let mut inner = self.inner();
        if inner.closed {
            return Poll::Ready(Err(Error::msg("the body that this stream belongs to has ended")));
        }
        let turn = inner.in_a_row < TURN;
        if turn && (inner.window.has_room() || matches!(self.0.to, To::List)) {
            inner.in_a_row += 1;
            return Poll::Ready(value.take().map_or(Ok(()), |value| self.send(&mut inner, value)));
        }
        inner.in_a_row = 0;
        let whom = Wakeable::of(cx.waker());
        if turn {
            inner.waiters.push(whom.clone());
        }
        drop(inner);
        if let Err(error) = point.local(cx) {
            return Poll::Ready(Err(error));
        }
        if !turn {
            whom.wake();
        }
        Poll::Pending
    }

    fn send(&self, inner: &mut Inner, value: Bytes) -> Result<()> {
        match &self.0.to {
            To::Consumer(session, attempt) => {
                let seq = inner.window.give(value.len());
                inner.kept.push_back(value.clone());
                // Under the lock: items leave in the order of their numbers.
                session.push_item(inner.recoveries, Up::Item { attempt: *attempt, seq, value });
            }
            To::List if inner.list.len() + value.len() > limits::MAX_PAYLOAD => {
                return Err(codec::bad_payload(format!(
                    "the items together take more than MAX_PAYLOAD, {} bytes: call it as a stream, to get them one by one",
                    limits::MAX_PAYLOAD
                )));
            }
            To::List => {
                let given = inner.window.give(value.len());
                inner.window.take(given);
                inner.list.extend_from_slice(&value);
            }
        }
        Ok(())
    }
}

/// The future of a producing body; its items go to `outlet`, until it is over or dropped.
pub(crate) fn run(
    body: impl FnOnce(Invocation, Outlet) -> LocalBoxFuture<'static, BodyEnd>,
    invocation: Invocation,
    outlet: Outlet,
) -> LocalBoxFuture<'static, BodyEnd> {
    struct Closing(Outlet);
    impl Drop for Closing {
        fn drop(&mut self) {
            self.0.close();
        }
    }
    let closing = Closing(outlet.clone());
    let future = body(invocation, outlet);
    Box::pin(async move {
        let outlet = &closing.0;
        future.await?;
        match outlet.0.to {
            // How many there were: the consumer may miss the last ones, if a coordinator was lost with them.
            To::Consumer(..) => codec::encode(&outlet.inner().window.given()).map_err(BodyError::from),
            To::List => Ok(outlet.list()),
        }
    })
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner();
        f.debug_struct("Outlet")
            .field("given", &inner.window.given())
            .field("taken", &inner.window.taken())
            .finish_non_exhaustive()
    }
}
