//! `as_completed` as an iterator.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_core::Stream;

use super::EventLoop;
use crate::combine::as_completed::{AsCompleted, Completed};
use crate::error::Result;

/// The outcomes in order of completion: what [`EventLoop::as_completed`] gives.
///
/// A step that ends early (the loop was stopped, Ctrl-C) yields that error, and the next step waits on. Dropping it
/// leaves the tasks running.
pub struct Completions<'l, T> {
    event_loop: &'l EventLoop,
    stream: Rc<RefCell<AsCompleted<T>>>,
}

impl<'l, T: 'static> Completions<'l, T> {
    pub(super) fn new(event_loop: &'l EventLoop, stream: AsCompleted<T>) -> Self {
        Self { event_loop, stream: Rc::new(RefCell::new(stream)) }
    }

    /// After `limit` from now, each input that is not done yields `TimedOut`, and the iterator ends. Nothing is
    /// cancelled.
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Self {
        let stream = self.stream.borrow().clone();
        let stream = self.event_loop.inside(|| stream.timeout(limit));
        Self { event_loop: self.event_loop, stream: Rc::new(RefCell::new(stream)) }
    }
}

impl<T: 'static> Iterator for Completions<'_, T> {
    type Item = Result<Completed<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        let stream = self.stream.clone();
        // The stream stays here: a run that ends early loses nothing.
        let next = std::future::poll_fn(move |cx| Pin::new(&mut *stream.borrow_mut()).poll_next(cx));
        self.event_loop.run_beside(next).unwrap_or_else(|error| Some(Err(error)))
    }
}

impl<T> fmt::Debug for Completions<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.stream.borrow(), f)
    }
}
