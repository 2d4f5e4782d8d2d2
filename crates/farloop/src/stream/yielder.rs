//! The producer's end of a stream: a parameter to send items with, or a `Stream` that is worked off.

use std::fmt;
use std::marker::PhantomData;
use std::pin::pin;
use std::task::Poll;

use futures_core::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Outlet;
use crate::body::{Body, Point};
use crate::definition::{BodyEnd, BodyError};
use crate::error::Result;

/// Sends the items of a stream, for bodies that are easier written as an `async fn` than as a `Stream`:
///
/// ```
/// # use farloop::prelude::*;
/// #[farloop::stream]
/// async fn countdown(from: u32, out: farloop::Yielder<u32>) -> farloop::Result<()> {
///     for n in (0..from).rev() {
///         out.send(n).await?;
///         farloop::sleep(Duration::from_millis(100)).await?;
///     }
///     Ok(())
/// }
/// # #[farloop::main]
/// # async fn main() -> farloop::Result<()> {
/// assert_eq!(countdown(3).collect().await?, [2, 1, 0]);
/// # Ok(()) }
/// ```
///
/// It is no argument of the call. Clones send into the same stream.
pub struct Yielder<T> {
    outlet: Outlet,
    of: PhantomData<fn(T)>,
}

impl<T> Yielder<T> {
    #[doc(hidden)]
    #[must_use]
    pub fn to(outlet: Outlet) -> Self {
        Self { outlet, of: PhantomData }
    }

    /// One that keeps what is sent, for unit tests: `f::local(3, out.clone())`, then [`sent`](Self::sent).
    #[must_use]
    pub fn keeping() -> Self {
        Self::to(Outlet::new(None))
    }
}

impl<T: Serialize> Yielder<T> {
    /// Sends an item, as soon as the consumer has made room for it; the body's slot is given back meanwhile.
    ///
    /// Done, the item is on its way; the consumer need not have it. Dropped or cancelled before, it is not sent.
    ///
    /// # Errors
    /// `Cancelled`, when the consumer is gone or asked the body to stop: pass it on with `?`. An item that can't be
    /// encoded, or is above `MAX_PAYLOAD`. The body has ended, if a clone of this outlives it.
    pub async fn send(&self, item: T) -> Result<()> {
        let value = crate::codec::encode(&item)?;
        self.outlet.give(value).await
    }
}

impl<T: DeserializeOwned> Yielder<T> {
    /// What was sent to a [`keeping`](Self::keeping) one so far.
    ///
    /// # Errors
    /// An item is not what was sent: its `Serialize` and `Deserialize` disagree.
    pub fn sent(&self) -> Result<Vec<T>> {
        crate::codec::decode(&self.outlet.list())
    }
}

impl<T> Clone for Yielder<T> {
    fn clone(&self) -> Self {
        Self::to(self.outlet.clone())
    }
}

impl<T> fmt::Debug for Yielder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.outlet, f)
    }
}

/// Works a body's stream off. `encode` makes of each item its bytes, or the error that ends the stream.
///
/// A cancel is the matter of the stream's own awaits, where it is parked at some; else the stream is dropped.
///
/// # Errors
/// The first item that is one; `Cancelled`.
pub async fn drive<S: Stream>(stream: S, outlet: Outlet, encode: impl Fn(S::Item) -> BodyEnd) -> BodyEnd {
    let mut stream = pin!(stream);
    loop {
        let mut point = Point::default();
        let item = std::future::poll_fn(|cx| {
            if let Some(error) = point.cut() {
                return Poll::Ready(Err(error));
            }
            // Its own awaits first: where there are some, this is no place for a cancel.
            point = Point::default();
            if let Poll::Ready(item) = stream.as_mut().poll_next(cx) {
                return Poll::Ready(Ok(item));
            }
            if Body::current().is_some_and(|body| body.is_parked()) {
                return Poll::Pending;
            }
            match point.local(cx) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            }
        });
        match item.await? {
            Some(item) => outlet.give(encode(item)?).await?,
            None => return crate::codec::encode(&()).map_err(BodyError::from),
        }
    }
}
