//! `timeout`: a limit on the time of a block (asyncio rows 165-180).

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::current_body;
use crate::body::{Body, Entered};
use crate::body_error::cancellation;
use crate::cell::Wakeable;
use crate::error::{Error, Misuse, Result};
use crate::time::Timer;

/// Runs `body`, for at most `limit` from its first poll; none: without limit (asyncio's `timeout`).
///
/// ```
/// # use farloop::prelude::*;
/// # #[farloop::main]
/// # async fn main() -> farloop::Result<()> {
/// let late = farloop::timeout(Duration::from_millis(20), async {
///     farloop::sleep(Duration::from_secs(3_600)).await?;
///     Ok("never")
/// });
/// assert!(matches!(late.await, Err(farloop::Error::TimedOut(_))));
/// # Ok(())
/// # }
/// ```
///
/// At the deadline the await that is open in the block fails with `Cancelled`, or its cancel goes to what it awaits,
/// as if the task had been cancelled; the block may clean up, and at its edge that `Cancelled` becomes `TimedOut`. A
/// block that swallows it and returns a value is a success; one that fails with anything else fails with that. A
/// request from outside is never taken for the scope's own: with one, `Cancelled` leaves the block. The task itself
/// is not left cancelled.
///
/// A block that waits for nothing of farloop's at that moment (a socket, `tokio::time::sleep`) can't be told: it is
/// **dropped** where it stands, without cleanup beyond `Drop`. Code that does not await can't be interrupted: the
/// deadline counts at its next await, and not at all if there is none. The deadline travels with what is awaited
/// inside (`coro.await`, `wait_for`, members of a [`TaskGroup`](crate::TaskGroup)): what has not started by then, on
/// whatever machine, never does. Tasks that were only created inside outlive the block, as in asyncio.
///
/// **Dropping** it drops the block, and with it what it owns.
///
/// # Errors
/// [`Error::TimedOut`], with the `Cancelled` that it caused; the block's own error;
/// [`Misuse::NoCurrentTask`] outside of a task.
#[track_caller]
pub fn timeout<T>(
    limit: impl Into<Option<Duration>>,
    body: impl Future<Output = Result<T>>,
) -> impl Future<Output = Result<T>> {
    run(Limit::For(limit.into()), Location::caller(), move |_| body)
}

/// As [`timeout`], until a moment of the loop's clock ([`tokio::time::Instant`], or std's). One that has passed fires
/// at the block's first await.
///
/// # Errors
/// As [`timeout`].
#[track_caller]
pub fn timeout_at<T>(
    deadline: impl Into<Instant>,
    body: impl Future<Output = Result<T>>,
) -> impl Future<Output = Result<T>> {
    run(Limit::Until(deadline.into()), Location::caller(), move |_| body)
}

/// As [`timeout`], with a handle to look at the limit, to move it and to lift it.
///
/// ```
/// # use farloop::prelude::*;
/// # #[farloop::main]
/// # async fn main() -> farloop::Result<()> {
/// let second = Duration::from_secs(1);
/// let value = farloop::timeout_with(second, async |scope| {
///     // A good sign: from here on it may take an hour.
///     scope.reschedule(scope.when().map(|when| when + 3_600 * second))?;
///     Ok(7)
/// });
/// assert_eq!(value.await?, 7);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`timeout`].
#[track_caller]
pub fn timeout_with<T>(
    limit: impl Into<Option<Duration>>,
    body: impl AsyncFnOnce(Timeout) -> Result<T>,
) -> impl Future<Output = Result<T>> {
    run(Limit::For(limit.into()), Location::caller(), move |scope| body(scope))
}

enum Limit {
    For(Option<Duration>),
    Until(Instant),
}

async fn run<T, F: Future<Output = Result<T>>>(
    limit: Limit,
    location: &'static Location<'static>,
    make: impl FnOnce(Timeout) -> F,
) -> Result<T> {
    let body = current_body("Timeout", location)?;
    let active = Active::new(Entered::of(body), limit);
    let mut code = pin!(Some(make(Timeout(active.shared.clone()))));
    let mut alarm = None;
    active.shared.arm(&mut alarm);
    let end = std::future::poll_fn(|cx| {
        let polled = active.entered.poll(cx, |cx| match code.as_mut().as_pin_mut() {
            Some(code) => code.poll(cx),
            None => Poll::Pending,
        });
        if polled.is_ready() {
            return polled;
        }
        active.watch(&mut alarm, cx);
        if active.entered.is_unheard() {
            // Parked at nothing of ours: nobody there can be told.
            code.set(None);
            return Poll::Ready(Err(active.entered.delivery()));
        }
        Poll::Pending
    })
    .await;
    code.set(None);
    active.leave(end)
}

/// The scope while it is open. **Dropped**, it is over.
struct Active {
    entered: Entered,
    shared: Arc<Shared>,
    /// Requests that the body had heard of before.
    at_entry: u32,
    since: Instant,
}

/// When the scope's timer rings.
enum Alarm {
    /// The deadline had passed when it was set: at the first await.
    Now,
    At(Timer),
}

impl Active {
    fn new(entered: Entered, limit: Limit) -> Self {
        let since = Instant::now();
        let when = match limit {
            // One that the clock can't express is none.
            Limit::For(limit) => limit.and_then(|limit| since.checked_add(limit)),
            Limit::Until(when) => Some(when),
        };
        let inner = Inner { state: State::Active, when, moved: true, whom: None };
        let shared = Shared { body: entered.body().clone(), scope: entered.id(), inner: Mutex::new(inner) };
        shared.body.set_deadline(shared.scope, when);
        Self { at_entry: entered.heard_outside(), entered, shared: Arc::new(shared), since }
    }

    /// The code is parked: rings, and asks it to stop, if it is time.
    fn watch(&self, alarm: &mut Option<Alarm>, cx: &mut Context<'_>) {
        self.shared.arm(alarm);
        let rings = match alarm {
            None => false,
            Some(Alarm::Now) => true,
            Some(Alarm::At(timer)) => timer.poll(cx).is_ready(),
        };
        if rings {
            *alarm = None;
            self.shared.inner().state = State::Expiring;
            self.shared.body.request_in(self.shared.scope);
        } else {
            self.shared.inner().whom = Some(Wakeable::of(cx.waker()));
        }
    }

    /// asyncio's rule for the edge: only a cancellation that nobody else asked for is the scope's own.
    fn leave<T>(self, end: Result<T>) -> Result<T> {
        let mine = self.entered.outside() <= self.at_entry;
        let mut inner = self.shared.inner();
        let cause = end.as_ref().err().and_then(|error| cancellation(error)).cloned();
        let expired = match inner.state {
            State::Expiring => true,
            // The cluster has kept the deadline a moment before the scope: a call was never started.
            State::Active => {
                let late = inner.when.is_some_and(|when| when <= Instant::now());
                late && mine && cause.as_ref().is_some_and(|cancelled| !cancelled.is_mine())
            }
            _ => false,
        };
        inner.state = if expired { State::Expired } else { State::Finished };
        let limit = inner.when.map_or(Duration::ZERO, |when| when.saturating_duration_since(self.since));
        drop(inner);
        match cause {
            Some(cause) if expired && mine => Err(Error::timed_out_after(limit, Some(Error::Cancelled(cause)), false)),
            _ => end,
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let mut inner = self.shared.inner();
        inner.whom = None;
        match inner.state {
            State::Active => inner.state = State::Finished,
            State::Expiring => inner.state = State::Expired,
            State::Expired | State::Finished => {}
        }
    }
}

/// The handle of a timeout scope. Clones are the same scope; the scope ends with its block, whatever handles are left.
#[derive(Clone)]
pub struct Timeout(Arc<Shared>);

struct Shared {
    body: Arc<Body>,
    scope: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    when: Option<Instant>,
    /// The timer does not ring at `when` yet.
    moved: bool,
    whom: Option<Wakeable>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Active,
    Expiring,
    Expired,
    Finished,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Finished => "finished",
        }
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing user-written runs under this lock.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Sets the timer if it is not set to the deadline yet.
    fn arm(&self, alarm: &mut Option<Alarm>) {
        let mut inner = self.inner();
        if inner.state == State::Active && std::mem::take(&mut inner.moved) {
            *alarm = inner.when.map(|when| match when.saturating_duration_since(Instant::now()) {
                Duration::ZERO => Alarm::Now,
                left => Alarm::At(Timer::after(left)),
            });
        }
    }
}

impl Timeout {
    /// The deadline; none: without limit.
    #[must_use]
    pub fn when(&self) -> Option<Instant> {
        self.0.inner().when
    }

    /// Moves the deadline, or lifts it with `None`. One that has passed fires at the block's next await.
    ///
    /// # Errors
    /// [`Misuse::TimeoutOver`] once it has expired, or the block is over.
    pub fn reschedule(&self, when: impl Into<Option<Instant>>) -> Result<()> {
        let when = when.into();
        let mut inner = self.0.inner();
        if inner.state != State::Active {
            return Err(Misuse::TimeoutOver { state: inner.state.word().to_owned() }.into());
        }
        inner.when = when;
        inner.moved = true;
        let whom = inner.whom.take();
        drop(inner);
        self.0.body.set_deadline(self.0.scope, when);
        if let Some(whom) = whom {
            whom.wake();
        }
        Ok(())
    }

    /// Whether the deadline fired, whatever the block made of it.
    #[must_use]
    pub fn expired(&self) -> bool {
        matches!(self.0.inner().state, State::Expiring | State::Expired)
    }
}

impl fmt::Debug for Timeout {
    /// asyncio's words (row 180): `<Timeout [active] when=+0.800s>`, with the time that is left.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.0.inner();
        write!(f, "<Timeout [{}]", inner.state.word())?;
        if inner.state == State::Active {
            let now = Instant::now();
            match inner.when {
                None => f.write_str(" when=None")?,
                Some(when) if when >= now => write!(f, " when=+{:.3}s", (when - now).as_secs_f64())?,
                Some(when) => write!(f, " when=-{:.3}s", (now - when).as_secs_f64())?,
            }
        }
        f.write_str(">")
    }
}
