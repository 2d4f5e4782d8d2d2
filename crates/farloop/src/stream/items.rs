//! The consumer's end of a stream.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use farloop_core::frame::{Owner, Up};
use farloop_core::id::TaskId;
use farloop_core::outcome::Outcome;
use futures_core::Stream;
use serde::de::DeserializeOwned;

use super::Inbox;
use crate::ambient;
use crate::cell::{Cell, Wakeable};
use crate::coro::Coro;
use crate::error::{Cancelled, DeliveryToken, Error, Result};
use crate::task::{Await, CancelMessage, Forwarding};
use crate::time::Timer;

/// Items taken in one go before the other work of the loop, and a cancel, get their turn.
const TURN: u32 = 128;

/// The items of a remote stream: what calling a `#[farloop::stream]` function gives.
///
/// It is inert, like a coroutine, until the first [`next`](Self::next) (or [`start`](Self::start)). Then the function
/// runs on a worker, and its items come in order, each once. **The consumer's pace is the producer's**: at most
/// [`STREAM_ITEMS`](crate::STREAM_ITEMS) items and about [`STREAM_BYTES`](crate::STREAM_BYTES) are under way, beyond
/// that the producing body waits (and gives its slot back). So does a body that consumes, while it waits for an item.
///
/// The stream ends (`None`) when the function does. If the function fails, the failure is the last item. If its worker
/// is lost before the first item came, the function starts again elsewhere, as a task does; after that it ends with
/// [`Error::WorkerLost`], whose text says how many items came. A coordinator that keeps records may start again meanwhile:
/// the items that were on their way are sent once more, and if their producer has ended by then and cannot, the stream ends
/// with [`Error::SessionLost`], whose text says the same. Never is an item skipped or repeated in silence.
///
/// **Dropping** it stops the producer: the task is cancelled, and the body sees that at its next await (a body that
/// returns a stream is dropped there). **Cancelling** the body that waits in `next` cancels the producer and comes back
/// as `Cancelled` when that has ended, as with any await; a `next` that is dropped loses nothing. When the consumer's
/// session or attempt is over, so is the stream.
///
/// ```
/// # use farloop::prelude::*;
/// # #[farloop::stream]
/// # fn countdown(from: u32) -> impl futures_util::Stream<Item = u32> { futures_util::stream::iter((0..from).rev()) }
/// # #[farloop::main]
/// # async fn main() -> farloop::Result<()> {
/// let mut ticks = countdown(3);
/// let mut seen = Vec::new();
/// while let Some(n) = ticks.next().await {
///     seen.push(n?);
/// }
/// assert_eq!(seen, [2, 1, 0]);
/// # Ok(()) }
/// ```
#[must_use = "a stream does nothing until its items are asked for; to decide against it, call `close()`"]
pub struct Items<T> {
    state: State<T>,
    wait: Await,
    /// A cancel of the consuming body went to the producer, and an item came first.
    forwarded: Option<Arc<DeliveryToken>>,
    in_a_row: u32,
    yielded: u64,
}

enum State<T> {
    Inert(Box<Coro<T>>),
    Open {
        cell: Arc<Cell>,
        inbox: Arc<Inbox>,
        /// How it ended, while items wait that came before.
        end: Option<Option<Error>>,
    },
    Over,
}

impl<T> Items<T> {
    pub(crate) fn of(coro: Coro<T>) -> Self {
        Self { state: State::Inert(Box::new(coro)), wait: Await::default(), forwarded: None, in_a_row: 0, yielded: 0 }
    }

    /// Changes options of the call, all those that a [`Coro`] has: `ticks.options(|call| call.priority(3))`. Without
    /// effect once it runs.
    ///
    /// `detached` has none either: a stream belongs to its consumer.
    pub fn options(mut self, change: impl FnOnce(Coro<T>) -> Coro<T>) -> Self {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Inert(coro) => State::Inert(Box::new(change(*coro))),
            other => other,
        };
        self
    }

    /// Name of the task, for people. See [`Coro::name`].
    pub fn name(self, name: impl Into<String>) -> Self {
        self.options(|call| call.name(name))
    }

    /// A label to select tasks by. See [`Coro::label`].
    pub fn label(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options(|call| call.label(key, value))
    }

    /// Time for the whole stream, from its start to its end. See [`Coro::timeout`]; for a limit on each item there is
    /// [`next_within`](Self::next_within).
    pub fn timeout(self, limit: Duration) -> Self {
        self.options(|call| call.timeout(limit))
    }

    /// Higher starts first. See [`Coro::priority`].
    pub fn priority(self, priority: i32) -> Self {
        self.options(|call| call.priority(priority))
    }

    /// Lost workers that the stream survives *before its first item*. See [`Coro::max_crashes`].
    pub fn max_crashes(self, survived: u32) -> Self {
        self.options(|call| call.max_crashes(survived))
    }

    /// Decides against it: what has not started never will, and nothing is reported; what runs is stopped.
    pub fn close(mut self) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Inert(coro) => coro.close(),
            // Its drop stops it.
            runs => self.state = runs,
        }
    }

    /// Id of the producing task; none before it was started.
    #[must_use]
    pub fn task_id(&self) -> Option<TaskId> {
        match &self.state {
            State::Open { cell, .. } => Some(cell.id),
            _ => None,
        }
    }

    /// Items that came out of it so far.
    #[must_use]
    pub fn yielded(&self) -> u64 {
        self.yielded
    }

    /// Asks the producer to stop; what it had yielded before still comes, then `Cancelled` (or whatever it ends with).
    /// False if it had ended, or never began.
    pub fn cancel(&self, message: impl Into<CancelMessage>) -> bool {
        match &self.state {
            State::Open { cell, .. } => cell.cancel(message.into().0),
            _ => false,
        }
    }

    /// The consumer stops waiting; what it does not see any more stays.
    fn leave(&mut self) {
        if let Some(token) = self.wait.close() {
            self.forwarded = Some(token);
        }
        if let State::Open { inbox, .. } = &self.state {
            inbox.unlisten();
        }
    }

    /// Ends it here: nothing more comes out, and nothing more is wanted.
    fn stop(&mut self) {
        self.leave();
        if let State::Open { cell, .. } = std::mem::replace(&mut self.state, State::Over) {
            cell.home.session().forget_stream(cell.id);
            if !cell.is_done() {
                cell.cancel(None);
            }
            cell.mark_read();
        }
    }
}

impl<T: DeserializeOwned> Items<T> {
    /// Starts the function now, rather than when the first item is asked for: it may fill the window meanwhile.
    pub fn start(mut self) -> Self {
        self.open();
        self
    }

    fn open(&mut self) {
        let coro = match std::mem::replace(&mut self.state, State::Over) {
            State::Inert(coro) => *coro,
            other => {
                self.state = other;
                return;
            }
        };
        let inbox = Arc::<Inbox>::default();
        let mut call = coro.take();
        call.reserved = true;
        call.detached = false;
        call.inbox = Some(inbox.clone());
        let cell = match ambient::find() {
            Some(home) => home.schedule(call, Owner::Await),
            None => ambient::nowhere(call.function, call.location),
        };
        self.state = State::Open { cell, inbox, end: None };
    }

    /// The next item; none when the function has ended.
    ///
    /// # Errors
    /// As an item, the last one: how the function failed; [`Error::WorkerLost`]; `Cancelled` of the producer. An item
    /// that is no `T` is such an error too, and stops the producer. `Cancelled` of the waiting body.
    #[allow(clippy::should_implement_trait, reason = "as `StreamExt::next`: what it gives is awaited")]
    pub fn next(&mut self) -> Next<'_, T> {
        Next { items: self, limit: None, timer: None }
    }

    /// As [`next`](Self::next), for at most `limit`: then the item is `TimedOut`. Nothing is cancelled and nothing
    /// lost; the stream goes on.
    pub fn next_within(&mut self, limit: Duration) -> Next<'_, T> {
        Next { items: self, limit: Some(limit), timer: None }
    }

    /// All items, as a list.
    ///
    /// # Errors
    /// What [`next`](Self::next) fails with; the items before are lost.
    pub async fn collect(mut self) -> Result<Vec<T>> {
        let mut all = Vec::new();
        while let Some(item) = self.next().await {
            all.push(item?);
        }
        Ok(all)
    }

    fn take(&mut self) -> Option<Result<T>> {
        let State::Open { cell, inbox, .. } = &self.state else { return None };
        let taken = inbox.take()?;
        if let Some(taken) = taken.credit
            && !cell.is_done()
        {
            cell.home.session().push(Up::Credit { task: cell.id, taken });
        }
        self.leave();
        self.in_a_row += 1;
        let item = crate::codec::decode(&taken.value);
        match &item {
            Ok(_) => self.yielded += 1,
            // Whoever wanted something else has no use for the rest.
            Err(_) => self.stop(),
        }
        Some(item)
    }

    /// The function is over and all items have been taken.
    fn end(&mut self, error: Option<Error>) -> Option<Result<T>> {
        self.stop();
        error.map(Err)
    }
}

/// How a finished producer ends the stream, all of whose items have come or never will; `forwarded`: by the consuming body's own cancel, which comes back here.
fn end_of(cell: &Cell, inbox: &Inbox, forwarded: Option<Arc<DeliveryToken>>) -> Option<Error> {
    cell.mark_read();
    match (cell.outcome(), forwarded) {
        (Some(Outcome::Returned(given)), _) => missing(crate::codec::decode(&given).ok()?, inbox.received()),
        (Some(Outcome::Cancelled(c)), Some(token)) => {
            Some(Error::Cancelled(Cancelled::delivered(c.message.clone(), token)))
        }
        _ => cell.error(),
    }
}

/// Items that a coordinator was told of, and was lost before it passed them on: the producer has ended and forgotten
/// them.
fn missing(given: u64, received: u64) -> Option<Error> {
    (received < given).then(|| {
        Error::SessionLost(format!(
            "the coordinator started again while the last items of this stream were on their way; {received} of {given} \
             have come. Call it again for the rest"
        ))
    })
}

impl<T> Unpin for Items<T> {}

impl<T: DeserializeOwned> Stream for Items<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = &mut *self;
        this.open();
        if let Some(error) = this.wait.cut() {
            return Poll::Ready(Some(Err(error)));
        }
        if this.in_a_row < TURN
            && let Some(item) = this.take()
        {
            return Poll::Ready(Some(item));
        }
        this.in_a_row = 0;
        let State::Open { cell, inbox, end } = &mut this.state else { return Poll::Ready(None) };
        if end.is_none() {
            match this.wait.poll(cell, Forwarding::Items, cx) {
                Poll::Ready(Ok(())) => *end = Some(end_of(cell, inbox, this.forwarded.take())),
                // Its own request came back as the producer's end, or never got there.
                Poll::Ready(Err(error)) if cell.is_done() => *end = Some(Some(error)),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => {
                    let whom = Wakeable::of(cx.waker());
                    if !inbox.listen(whom.clone()) {
                        whom.wake();
                    }
                    return Poll::Pending;
                }
            }
        }
        // What came before the end comes out before it.
        let error = end.clone().flatten();
        match this.take() {
            Some(item) => Poll::Ready(Some(item)),
            None => Poll::Ready(this.end(error)),
        }
    }
}

impl<T> Drop for Items<T> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<T> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Inert(coro) => return write!(f, "<stream of {coro:?}>"),
            State::Open { cell, .. } => cell.function.to_string(),
            State::Over => "over".into(),
        };
        f.debug_struct("Items").field("of", &state).field("yielded", &self.yielded).finish_non_exhaustive()
    }
}

/// The wait for one item. Dropping it loses nothing: the item is there for the next one.
#[must_use = "nothing is asked for until it is awaited"]
pub struct Next<'a, T> {
    items: &'a mut Items<T>,
    limit: Option<Duration>,
    timer: Option<Timer>,
}

impl<T: DeserializeOwned> Future for Next<'_, T> {
    type Output = Option<Result<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(item) = Pin::new(&mut *this.items).poll_next(cx) {
            return Poll::Ready(item);
        }
        let Some(limit) = this.limit else { return Poll::Pending };
        if this.timer.get_or_insert_with(|| Timer::after(limit)).poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Error::timed_out(limit))));
        }
        Poll::Pending
    }
}

impl<T> Drop for Next<'_, T> {
    fn drop(&mut self) {
        self.items.leave();
    }
}

impl<T> fmt::Debug for Next<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Next").field(&self.items).finish()
    }
}
