//! `to_thread`: blocking work off the loop (asyncio row 303).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;

use crate::body::{Body, Point};
use crate::context;
use crate::error::{Error, Result};
use crate::report::{self, Caught};

type Work<T> = Box<dyn FnOnce() -> std::result::Result<T, Caught> + Send>;

/// Work that goes to a thread, or is there. See [`to_thread`].
#[must_use = "to_thread() does nothing until it is awaited"]
pub struct ToThread<T> {
    work: Option<Work<T>>,
    running: Option<JoinHandle<std::result::Result<T, Caught>>>,
    point: Point,
}

/// Runs `f` on the runtime's pool of blocking threads, in the context of the caller, and gives its value. It starts when
/// it is awaited first; a body keeps its slot meanwhile.
///
/// Cancelling or dropping the await does not stop `f`: nothing can. [`farloop::run`](crate::run) waits for it at the
/// end, a [`blocking::EventLoop`](crate::blocking::EventLoop) does not. A panic in `f` is a panic of the await.
///
/// # Errors
/// `Cancelled`, at once, if the awaiting task is cancelled. `NoRunningLoop` where no runtime runs.
#[track_caller]
pub fn to_thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> ToThread<T> {
    let (body, span, mut inherited) = (Body::current(), tracing::Span::current(), context::Context::current());
    let work: Work<T> = Box::new(move || {
        report::catch(|| {
            span.in_scope(|| match body {
                Some(body) => body.on_behalf(f),
                None => inherited.run(f),
            })
        })
    });
    ToThread { work: Some(work), running: None, point: Point::default() }
}

impl<T> Unpin for ToThread<T> {}

impl<T: Send + 'static> Future for ToThread<T> {
    type Output = Result<T>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = &mut *self;
        if let Some(error) = this.point.cut() {
            return Poll::Ready(Err(error));
        }
        // A request that stands already is delivered here, and nothing is started (row 223).
        if let Err(error) = this.point.local(cx) {
            this.work = None;
            return Poll::Ready(Err(error));
        }
        if let Some(work) = this.work.take() {
            let Ok(runtime) = tokio::runtime::Handle::try_current() else {
                return Poll::Ready(Err(Error::no_running_loop(std::panic::Location::caller())));
            };
            this.running = Some(runtime.spawn_blocking(work));
        }
        let Some(running) = &mut this.running else { return Poll::Ready(Err(Error::already_awaited())) };
        let Poll::Ready(ended) = Pin::new(running).poll(cx) else { return Poll::Pending };
        this.running = None;
        this.point = Point::default();
        match ended {
            Ok(Ok(value)) => Poll::Ready(Ok(value)),
            Ok(Err(caught)) => report::rethrow(caught),
            // The runtime stops under it, before it began.
            Err(_) => Poll::Ready(Err(Error::LoopClosed)),
        }
    }
}

impl<T> fmt::Debug for ToThread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToThread").field("started", &self.work.is_none()).finish_non_exhaustive()
    }
}
