//! What nobody asked for and somebody should know: coroutines never awaited, errors never read, callbacks that
//! panicked, polls that blocked a loop. Each once, through one handler that a program can replace.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, Location};
use std::sync::{Arc, Once, RwLock};
use std::time::Duration;

use farloop_core::id::TaskId;

use crate::cell::Cell;
use crate::error::Error;

/// A report for the exception handler (asyncio's context dictionary, row 339).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// What happened, in asyncio's words where it has some.
    pub message: String,
    /// The error, if there is one.
    pub error: Option<Error>,
    /// The task it is about, if it is about one.
    pub task: Option<TaskId>,
    /// That task's name.
    pub name: Option<String>,
    /// Function that it is about.
    pub function: Option<String>,
    /// Where the coroutine or task was made.
    pub created_at: Option<&'static Location<'static>>,
}

/// What is called with each report.
pub type BoxedHandler = Box<dyn Fn(&Report) + Send + Sync>;

type Handler = Arc<dyn Fn(&Report) + Send + Sync>;

static HANDLER: RwLock<Option<Handler>> = RwLock::new(None);

/// Replaces the handler of reports for this process; `None` restores the default, which logs them.
///
/// A handler that panics is reported by the default one (asyncio row 340).
pub fn set_exception_handler(handler: Option<BoxedHandler>) {
    *HANDLER.write().unwrap_or_else(std::sync::PoisonError::into_inner) = handler.map(Arc::from);
}

fn send(report: &Report) {
    let handler = HANDLER.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    if let Some(handler) = handler {
        if std::panic::catch_unwind(AssertUnwindSafe(|| handler(report))).is_ok() {
            return;
        }
        tracing::error!("Unhandled error in exception handler");
    }
    let created_at = report.created_at.map(ToString::to_string).unwrap_or_default();
    let error = report.error.as_ref().map(ToString::to_string).unwrap_or_default();
    let task = report.task.map(|t| t.to_string()).unwrap_or_default();
    let name = report.name.as_deref().unwrap_or_default();
    let function = report.function.as_deref().unwrap_or_default();
    if report.error.is_some() {
        tracing::error!(%error, %task, name, function, %created_at, "{}", report.message);
    } else {
        tracing::warn!(%task, name, function, %created_at, "{}", report.message);
    }
}

pub(crate) fn never_awaited(function: &str, location: &'static Location<'static>) {
    send(&Report {
        message: format!("coroutine '{function}' was never awaited"),
        error: None,
        task: None,
        name: None,
        function: Some(function.to_owned()),
        created_at: Some(location),
    });
}

pub(crate) fn never_retrieved(cell: &Arc<Cell>, error: &Error) {
    let message = match cell.kind {
        crate::cell::Kind::Gather(_) => "_GatheringFuture exception was never retrieved",
        crate::cell::Kind::Promise => "Future exception was never retrieved",
        _ => "Task exception was never retrieved",
    };
    send(&about(cell, message.to_owned(), Some(error.clone())));
}

pub(crate) fn callback_panicked(cell: &Arc<Cell>, panic: &(dyn Any + Send)) {
    let text = panic_text(panic);
    send(&about(cell, format!("Exception in callback of {}: {text}", cell.function), Some(Error::msg(text))));
}

/// A callback of `call_soon` or a timer.
pub(crate) fn call_panicked(location: &'static Location<'static>, panic: &(dyn Any + Send)) {
    let text = panic_text(panic);
    send(&Report {
        message: format!("Exception in callback at {location}: {text}"),
        error: Some(Error::msg(text)),
        task: None,
        name: None,
        function: None,
        created_at: Some(location),
    });
}

/// A coroutine of a loop that was closed under it (row 341).
pub(crate) fn destroyed(cell: &Arc<Cell>) {
    send(&about(cell, "Task was destroyed but it is pending!".to_owned(), None));
}

/// What a run left behind failed when it was cancelled at the end (row 285).
pub(crate) fn failed_at_shutdown(cell: &Arc<Cell>, error: &Error) {
    send(&about(cell, "unhandled exception during run() shutdown".to_owned(), Some(error.clone())));
}

/// A loop was dropped that nobody closed (row 269).
pub(crate) fn unclosed() {
    send(&Report {
        message: "unclosed event loop".to_owned(),
        error: None,
        task: None,
        name: None,
        function: None,
        created_at: None,
    });
}

pub(crate) fn stranded(cell: &Arc<Cell>, why: &str) {
    send(&about(cell, format!("{} waits: {why}", cell.function), None));
}

pub(crate) fn slow_poll(function: &str, took: Duration) {
    send(&Report {
        message: format!(
            "{function} held its event loop for {} ms: nothing else ran there; use a plain `fn` for blocking work",
            took.as_millis()
        ),
        error: None,
        task: None,
        name: None,
        function: Some(function.to_owned()),
        created_at: None,
    });
}

pub(crate) fn slow_callback(cell: &Arc<Cell>, took: Duration) {
    let text = format!(
        "Executing a done callback of {} took {} ms: nothing else ran on its loop",
        cell.function,
        took.as_millis()
    );
    send(&about(cell, text, None));
}

fn about(cell: &Arc<Cell>, message: String, error: Option<Error>) -> Report {
    Report {
        message,
        error,
        task: Some(cell.id),
        name: Some(cell.name().to_string()),
        function: Some(cell.function.to_string()),
        created_at: Some(cell.location),
    }
}

// ---- panics in bodies

thread_local! {
    static LAST_PANIC_AT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A caught panic: its text and where it came from.
#[derive(Debug)]
pub(crate) struct Caught {
    pub(crate) message: String,
    pub(crate) location: Option<String>,
}

impl Caught {
    /// From what `catch_unwind` gave on this thread.
    pub(crate) fn of(panic: Box<dyn Any + Send>) -> Self {
        match panic.downcast::<Self>() {
            Ok(caught) => *caught,
            Err(panic) => Self { message: panic_text(&*panic), location: LAST_PANIC_AT.take() },
        }
    }
}

/// Notes where panics come from, besides what the program's own hook does. Once per process.
pub(crate) fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            LAST_PANIC_AT.set(info.location().map(ToString::to_string));
            before(info);
        }));
    });
}

/// Runs `f` and catches its panic with the location, on whatever thread this is.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Caught> {
    std::panic::catch_unwind(AssertUnwindSafe(f)).map_err(Caught::of)
}

/// Lets a panic caught on another thread go on here, without calling the hook a second time.
pub(crate) fn rethrow(caught: Caught) -> ! {
    std::panic::resume_unwind(Box::new(caught))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is no text".to_owned()
    }
}
