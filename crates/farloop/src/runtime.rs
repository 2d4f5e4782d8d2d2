//! [`Loop`]: this process's connection to a cluster, bound to a tokio runtime; and what `#[farloop::main]` calls.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::ambient;
use crate::error::{Error, Result};
use crate::event_loop::LoopShared;
use crate::local;
use crate::task::IntoTask;

/// Where programs look for their cluster; unset or empty: one in this process.
pub const ADDRESS_VARIABLE: &str = "FARLOOP_ADDRESS";

/// A connection to a cluster: the event loop that `ensure_future`, `gather` and the rest use.
///
/// Clones are the same loop. When the last one is **dropped** the session is closed as by [`close`](Self::close), but
/// without waiting.
#[derive(Clone)]
pub struct Loop(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) home: Arc<LoopShared>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) thread: std::sync::Mutex<Option<JoinHandle<()>>>,
    /// More loops to close with this one: an in-process cluster's workers.
    pub(crate) others: Vec<Arc<LoopShared>>,
    pub(crate) flushed: Arc<tokio::sync::Notify>,
}

impl Loop {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    pub(crate) fn home(&self) -> &Arc<LoopShared> {
        &self.0.home
    }

    /// Makes this the ambient loop of the current tokio runtime and works its callbacks off there. `connect` and
    /// `in_process().start()` have done so already when they are called inside a runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(&self) {
        ambient::bind(&self.0.home);
        ambient::offer_default(&self.0.home);
        tokio::spawn(self.0.home.clone().run(None));
    }

    /// Ends the session: what it owns is cancelled. Returns when the coordinator has been told.
    pub async fn close(self) {
        self.0.home.session().begin_close();
        self.0.flushed.notified().await;
        self.0.shut();
    }

    /// Told once when the coordinator knows of the end.
    pub(crate) fn flushed(&self) -> Arc<tokio::sync::Notify> {
        self.0.flushed.clone()
    }

    /// Ends it without waiting.
    pub(crate) fn shut(&self) {
        self.0.shut();
    }

    /// A handle with `call_soon`, `call_later` and the rest.
    #[must_use]
    pub fn handle(&self) -> crate::LoopHandle {
        crate::LoopHandle(self.0.home.clone())
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.home.is_closed()
    }
}

impl Inner {
    fn shut(&self) {
        ambient::unbind(&self.home);
        self.home.session().begin_close();
        self.home.close();
        for other in &self.others {
            other.close();
        }
        self.stop.store(true, Ordering::Release);
        self.home.session().wake_writer();
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        drop(thread);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.home.is_closed() {
            self.shut();
        }
    }
}

impl fmt::Debug for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.home, f)
    }
}

/// Connects to a coordinator as a client and makes it the ambient loop of this runtime.
///
/// # Errors
/// No coordinator answered within 10 seconds (the error says what was tried), or it refused this client.
pub async fn connect(address: impl AsRef<str>) -> Result<Loop> {
    let connected = crate::remote::connect_client(address.as_ref(), None).await?;
    connected.bind();
    Ok(connected)
}

/// Runs a program's `main`: makes a loop on a current-thread runtime ([`ADDRESS_VARIABLE`], or a cluster in this
/// process), runs the future as its task `main`, cancels and awaits the tasks that are left, and closes the session.
/// What `#[farloop::main]` expands to. Ctrl-C is what it is for [`farloop::run`](crate::run).
///
/// Callbacks and wakes keep asyncio's order on this runtime.
///
/// # Panics
/// If the runtime can't be built, or the body panics.
pub fn main<F, R>(body: F) -> R
where
    F: Future<Output = R> + 'static,
    R: FromStartError + 'static,
{
    crate::blocking::main(body).unwrap_or_else(R::from_start_error)
}

/// Runs `body` as a local task named `main`, so that it has a current task and a place in the order of wakes.
pub(crate) async fn run_as_task<F, R>(body: F) -> R
where
    F: Future<Output = R> + 'static,
    R: 'static,
{
    let (give, take) = tokio::sync::oneshot::channel();
    let task = local::local(async move {
        // A panic goes through to the caller, below.
        let result = std::panic::AssertUnwindSafe(body);
        let result = futures_util::FutureExt::catch_unwind(result).await;
        let _ = give.send(result);
        Ok(())
    })
    .name("main")
    .into_task();
    let result = take.await;
    drop(task);
    match result {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(_) => std::panic::panic_any("main was cancelled before it began"),
    }
}

/// What `main` may return: it must be able to say that no cluster was reached, and that Ctrl-C ended it.
pub trait FromStartError {
    /// From the error of connecting.
    fn from_start_error(error: Error) -> Self;
}

impl<T, E: From<Error>> FromStartError for std::result::Result<T, E> {
    fn from_start_error(error: Error) -> Self {
        Err(error.into())
    }
}

impl FromStartError for () {
    fn from_start_error(error: Error) -> Self {
        eprintln!("Error: {error}");
        std::process::exit(if matches!(error, Error::Interrupted) { crate::blocking::INTERRUPTED } else { 1 })
    }
}
