//! Sleeping on the loop's clock (virtual under `farloop::testing`), as a cancellable await that needs no slot.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::body::{Body, Point};
use crate::cell::Wakeable;
use crate::error::{Error, Result};

/// A timer that wakes the body without holding its waker: one that does would count as foreign and keep the slot.
///
/// When it fires, what happens at the same instant comes first: finished at the limit is done, not late (V4).
pub(crate) struct Timer {
    sleep: Pin<Box<tokio::time::Sleep>>,
    turns_left: u32,
}

/// Turns that a completion may need from a worker's loop over the coordinator to its waiter.
const TURNS: u32 = 32;

impl Timer {
    pub(crate) fn after(limit: Duration) -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(limit)), turns_left: TURNS }
    }

    /// One that lets nobody pass: a sleep.
    fn exactly(limit: Duration) -> Self {
        Self { turns_left: 0, ..Self::after(limit) }
    }

    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let whom = Wakeable::of(cx.waker());
        let fired = match &whom {
            Wakeable::Body(body) => {
                let waker = Waker::from(Arc::new(Plain(body.clone())));
                self.sleep.as_mut().poll(&mut Context::from_waker(&waker))
            }
            Wakeable::Foreign(waker) => self.sleep.as_mut().poll(&mut Context::from_waker(waker)),
        };
        if fired.is_ready() && self.turns_left > 0 {
            self.turns_left -= 1;
            whom.wake();
            return Poll::Pending;
        }
        fired
    }
}

struct Plain(Arc<Body>);

impl Wake for Plain {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}

/// A sleep that is going on. Dropping it removes its timer.
#[must_use = "sleep() does nothing until it is awaited"]
pub struct Sleep {
    duration: Duration,
    timer: Option<Timer>,
    yielded: bool,
    over: bool,
    point: Point,
}

/// Sleeps for `duration`; zero gives the other work of the loop one turn (asyncio row 314).
///
/// # Errors
/// `Cancelled`, at once, if the sleeping task is cancelled.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { duration, timer: None, yielded: false, over: false, point: Point::default() }
}

/// As [`sleep`], and gives `value` (asyncio row 313).
///
/// # Errors
/// As [`sleep`].
pub async fn sleep_with<T>(duration: Duration, value: T) -> Result<T> {
    sleep(duration).await?;
    Ok(value)
}

/// One turn for the other work of the loop: `sleep(0)`.
///
/// # Errors
/// As [`sleep`].
pub async fn yield_now() -> Result<()> {
    sleep(Duration::ZERO).await
}

impl Future for Sleep {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        if let Some(error) = this.point.cut() {
            this.timer = None;
            this.over = true;
            return Poll::Ready(Err(error));
        }
        if this.over {
            return Poll::Ready(Err(Error::already_awaited()));
        }
        if this.duration.is_zero() {
            if this.yielded {
                this.over = true;
                this.point = Point::default();
                return Poll::Ready(Ok(()));
            }
            this.yielded = true;
            if let Err(error) = this.point.local(cx) {
                this.over = true;
                return Poll::Ready(Err(error));
            }
            Wakeable::of(cx.waker()).wake();
            return Poll::Pending;
        }
        let duration = this.duration;
        let timer = this.timer.get_or_insert_with(|| Timer::exactly(duration));
        if timer.poll(cx).is_ready() {
            this.over = true;
            this.timer = None;
            this.point = Point::default();
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = this.point.local(cx) {
            this.timer = None;
            this.over = true;
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("duration", &self.duration).finish_non_exhaustive()
    }
}
