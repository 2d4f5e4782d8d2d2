//! The await of one cell: its place among the cell's listeners and among the body's await points.

use std::sync::Arc;
use std::task::{Context, Poll};

use farloop_core::outcome::Outcome;

use crate::body::Point;
use crate::cell::Cell;
use crate::error::{Cancelled, DeliveryToken, Error, Result};

/// Whether a cancel of the awaiting body goes on to the cell.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Forwarding {
    /// `await`, gather.
    Always,
    /// wait_for: the first one; a second is delivered to the waiter (V3).
    Once,
    /// As `Always`, where something else than the end can wake the awaiter too: an item of a stream.
    Items,
}

/// The await of one cell: its place in the cell's list of listeners, and in the body's list of await points.
#[derive(Default)]
pub(crate) struct Await {
    point: Point,
    key: Option<(u64, Option<Arc<Cell>>)>,
}

impl Await {
    /// Ready(Ok) when the cell is done; Ready(Err) when the awaiting body is cancelled here.
    pub(crate) fn poll(&mut self, cell: &Arc<Cell>, forwarding: Forwarding, cx: &Context<'_>) -> Poll<Result<()>> {
        if let Some(error) = self.point.cut() {
            self.unlisten();
            return Poll::Ready(Err(error));
        }
        let mut key = self.key.take().map(|(key, _)| key);
        if !cell.listen_wake(&mut key, cx.waker()) {
            let forwarded = self.point.close();
            if let (Some(token), Some(Outcome::Cancelled(c))) = (forwarded, cell.outcome()) {
                // The body's own request came back through what it awaited: this is its delivery (row 238).
                cell.mark_read();
                return Poll::Ready(Err(Error::Cancelled(Cancelled::delivered(c.message.clone(), token))));
            }
            return Poll::Ready(Ok(()));
        }
        self.key = key.map(|key| (key, Some(cell.clone())));
        let (once, timed) = (forwarding == Forwarding::Once, forwarding != Forwarding::Always);
        if let Err(error) = self.point.forward(cell, once, timed, cx) {
            self.unlisten();
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }

    /// The error that was delivered here, if any; the await is over then.
    pub(crate) fn cut(&mut self) -> Option<Error> {
        let error = self.point.cut()?;
        self.unlisten();
        Some(error)
    }

    /// Waits no more. The body's token if a request was forwarded meanwhile.
    pub(crate) fn close(&mut self) -> Option<Arc<DeliveryToken>> {
        self.unlisten();
        self.point.close()
    }

    /// See [`Point::spend`].
    pub(crate) fn spend(&self) {
        self.point.spend();
    }

    fn unlisten(&mut self) {
        if let Some((key, Some(cell))) = self.key.take() {
            cell.unlisten_key(key);
        }
    }
}

impl Drop for Await {
    fn drop(&mut self) {
        self.unlisten();
    }
}
