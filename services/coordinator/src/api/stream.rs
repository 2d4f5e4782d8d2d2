//! Answers of many messages. As with sessions nothing lies between: HTTP/2 polls the stream when it can take the next
//! message, and the core makes it then. A reader that stopped therefore costs what the core keeps for it, which is
//! bounded, and one message.

use std::pin::Pin;
use std::task::{Context, Poll};

use farloop_core::api::{More, Told};
use futures_core::Stream;
use tonic::Status;

use crate::driver::Opened;

/// Makes a message of what the core told.
type Show<T> = Box<dyn Fn(Told) -> T + Send + Sync>;

/// The stream out. Dropped when its reader leaves, which hangs up.
pub(crate) struct Messages<T> {
    opened: Opened,
    show: Show<T>,
    over: bool,
}

impl<T> Messages<T> {
    pub(crate) fn new(opened: Opened, show: impl Fn(Told) -> T + Send + Sync + 'static) -> Self {
        Self { opened, show: Box::new(show), over: false }
    }
}

impl<T> Stream for Messages<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        // The waker goes first: what comes after the core was asked must find somebody to wake.
        if let Some(end) = self.opened.register(cx.waker()) {
            self.over = true;
            return Poll::Ready(Some(Err(end)));
        }
        match self.opened.poll() {
            More::Told(told) => Poll::Ready(Some(Ok((self.show)(told)))),
            More::Later => Poll::Pending,
            More::Again => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            More::Over => {
                self.over = true;
                Poll::Ready(None)
            }
        }
    }
}

impl<T> std::fmt::Debug for Messages<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages").field("opened", &self.opened).finish_non_exhaustive()
    }
}
