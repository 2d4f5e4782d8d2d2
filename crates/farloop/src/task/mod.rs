//! [`Task`]: the handle to something that will have an outcome.

mod awaiting;
mod call;
mod scheduling;

use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use farloop_core::id::TaskId;
use farloop_core::outcome::Outcome;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use self::awaiting::{Await, Forwarding};
pub use self::call::Call;
pub use self::scheduling::{IntoTask, create_task, ensure_future, submit, try_ensure_future};
pub(crate) use self::scheduling::{same_loop, schedule_under};
use crate::ambient;
use crate::arg::{Arg, ArgHandle, DependencyRef, IntoArg};
use crate::cell::{Cell, Kind};
use crate::context;
use crate::error::{Error, InvalidState, Misuse, Result};

/// How a handle reads the value out of what it points to.
pub(crate) type Read<T> = fn(&Arc<Cell>) -> Result<T>;

/// The message of a cancel: `()` for none, or text.
#[derive(Clone, Debug, Default)]
pub struct CancelMessage(pub(crate) Option<String>);

impl From<()> for CancelMessage {
    fn from((): ()) -> Self {
        Self(None)
    }
}
impl From<&str> for CancelMessage {
    fn from(text: &str) -> Self {
        Self(Some(text.to_owned()))
    }
}
impl From<String> for CancelMessage {
    fn from(text: String) -> Self {
        Self(Some(text))
    }
}
impl From<Option<String>> for CancelMessage {
    fn from(text: Option<String>) -> Self {
        Self(text)
    }
}

/// Counts the handles of a cell: when the last one goes, an error nobody read is reported (asyncio row 337).
/// The second part is another handle that lives as long (the task behind a shield).
pub(crate) struct Held(pub(crate) Arc<Cell>, #[allow(dead_code, reason = "held for its Drop")] Option<Arc<Held>>);

impl Held {
    fn new(cell: Arc<Cell>) -> Self {
        Self(cell, None)
    }

    fn with(cell: Arc<Cell>, other: Arc<Self>) -> Self {
        Self(cell, Some(other))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.orphan();
    }
}

/// A handle to a scheduled coroutine (or to a gather, a promise, a local task): `Clone`, awaitable as often as you
/// like, serializable into arguments and results.
///
/// **Dropping** a handle never cancels and never loses the work; an error that nobody read is then reported once.
/// **Awaiting** gives the outcome. A cancel of the awaiting task is passed on to this one (asyncio row 238); put a
/// [`shield`](crate::shield) in between if it must not be.
pub struct Task<T> {
    pub(crate) held: Arc<Held>,
    read: Read<T>,
    wait: Await,
}

/// Names a done callback, to remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallbackId(u64);

impl<T> Task<T> {
    pub(crate) fn from_cell(cell: Arc<Cell>, read: Read<T>) -> Self {
        Self { held: Arc::new(Held::new(cell)), read, wait: Await::default() }
    }

    /// A handle that has failed before anything was started.
    pub(crate) fn refused(cell: Arc<Cell>) -> Self {
        Self::from_cell(cell, |_| Err(Error::InvalidState(InvalidState::ResultNotSet)))
    }

    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.held.0
    }

    /// The same handle, which keeps another one alive too.
    pub(crate) fn keeping(self, other: Self) -> Self {
        Self {
            held: Arc::new(Held::with(self.held.0.clone(), other.held.clone())),
            read: self.read,
            wait: Await::default(),
        }
    }

    pub(crate) fn reader(&self) -> Read<T> {
        self.read
    }

    /// The id, a UUIDv7.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.cell().id
    }

    /// The name: given, or `Task-N` (asyncio row 30).
    #[must_use]
    pub fn name(&self) -> String {
        self.cell().name().to_string()
    }

    /// Changes the name that this process shows.
    pub fn set_name(&self, name: impl Into<String>) {
        self.cell().set_name(name.into().into());
    }

    /// The function: `package.function`.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.cell().function
    }

    /// Whether the outcome is here: value, error or cancellation alike. Once true, always true.
    #[must_use]
    pub fn done(&self) -> bool {
        self.cell().is_done()
    }

    /// The outcome, without waiting; as often as asked.
    ///
    /// # Errors
    /// The task's error; [`Error::InvalidState`] while it is not done (asyncio row 33).
    pub fn result(&self) -> Result<T> {
        let cell = self.cell();
        if !cell.is_done() {
            return Err(Error::InvalidState(InvalidState::ResultNotSet));
        }
        self.read_done()
    }

    /// The error, if it failed; without waiting.
    ///
    /// # Errors
    /// `Cancelled` if it was cancelled (asyncio row 34); [`Error::InvalidState`] while it is not done.
    pub fn exception(&self) -> Result<Option<Error>> {
        let cell = self.cell();
        match cell.outcome() {
            None => Err(Error::InvalidState(InvalidState::ExceptionNotSet)),
            Some(Outcome::Returned(_)) => Ok(None),
            Some(Outcome::Raised(_)) => {
                cell.mark_read();
                Ok(cell.error())
            }
            Some(Outcome::Cancelled(_)) => {
                cell.mark_read();
                cell.error().map_or(Ok(None), Err)
            }
        }
    }

    /// Whether it really ended cancelled; a request alone does not make it so (asyncio row 32).
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.cell().is_cancelled()
    }

    /// Cancel requests that stand (asyncio row 229).
    #[must_use]
    pub fn cancelling(&self) -> u32 {
        self.cell().cancelling()
    }

    /// Asks it to stop, with a message for the body: `cancel(())` or `cancel("why")`. True if it was not done, as far
    /// as this process knows; the task ends cancelled only when its body has agreed (asyncio row 221).
    pub fn cancel(&self, message: impl Into<CancelMessage>) -> bool {
        self.cell().cancel(message.into().0)
    }

    /// Withdraws one cancel request; how many stand. Never below zero (asyncio row 232).
    pub fn uncancel(&self) -> u32 {
        self.cell().uncancel()
    }

    /// Nobody needs the outcome any more, once those who wait for it have it: the coordinator forgets it then. Ends
    /// [`Retention::Pinned`](crate::Retention::Pinned). Handles of this process keep what they have; a second release does
    /// nothing, nor does one of what is no task of the cluster.
    pub fn release(&self) {
        self.cell().release();
    }

    fn read_done(&self) -> Result<T> {
        read_outcome(self.cell(), self.read)
    }
}

/// Reads a done cell and notes that somebody did.
pub(crate) fn read_outcome<T>(cell: &Arc<Cell>, read: Read<T>) -> Result<T> {
    cell.mark_read();
    match cell.error() {
        Some(error) => Err(error),
        None => read(cell),
    }
}

/// Decodes the value of a remote or local task.
pub(crate) fn read_value<T: DeserializeOwned>(cell: &Arc<Cell>) -> Result<T> {
    match cell.outcome() {
        Some(Outcome::Returned(value)) => crate::codec::decode(&value),
        _ => Err(Error::InvalidState(InvalidState::ResultNotSet)),
    }
}

impl<T: 'static> Task<T> {
    /// Runs `f` with the task when it is done: on the loop, after the code that completed it, in registration order;
    /// on a done task in the loop's next turn (asyncio rows 62-71). A panic in `f` is reported and harms nothing else.
    pub fn add_done_callback(&self, f: impl FnOnce(&Self) + Send + 'static) -> CallbackId {
        self.callback(None, f)
    }

    /// As [`add_done_callback`](Self::add_done_callback), with a key by which all callbacks of that key can be
    /// removed: Rust's closures can't be compared (asyncio row 67).
    pub fn add_done_callback_keyed(
        &self,
        key: impl Into<String>,
        f: impl FnOnce(&Self) + Send + 'static,
    ) -> CallbackId {
        self.callback(Some(key.into()), f)
    }

    fn callback(&self, key: Option<String>, f: impl FnOnce(&Self) + Send + 'static) -> CallbackId {
        let read = self.read;
        // It runs in the context of its registration (row 77).
        let (span, mut context) = (tracing::Span::current(), context::Context::current());
        // The callback gets a handle; while it is registered it is none, or the task would never be orphaned.
        CallbackId(self.cell().listen_callback(key, move |cell| {
            span.in_scope(|| context.run(|| f(&Self::from_cell(cell.clone(), read))));
        }))
    }

    /// Removes a callback; how many were removed: 1, or 0 if it ran or was scheduled already (asyncio row 74).
    pub fn remove_done_callback(&self, id: CallbackId) -> usize {
        self.cell().unlisten_key(id.0)
    }

    /// Removes all callbacks of a key; how many (asyncio row 67).
    pub fn remove_done_callbacks(&self, key: &str) -> usize {
        use crate::cell::Listener;
        self.cell().unlisten(|l| matches!(l, Listener::Callback { key: Some(k), .. } if k == key))
    }
}

impl<T: DeserializeOwned> Task<T> {
    /// A handle to a task that somebody else started, on the ambient loop.
    #[track_caller]
    #[must_use]
    pub fn attach(id: TaskId) -> Self {
        let location = Location::caller();
        let cell = match ambient::find() {
            Some(home) => home.session().attach(&home, id, location),
            None => ambient::nowhere("?".into(), location),
        };
        Self::from_cell(cell, read_value::<T>)
    }
}

impl<T> Clone for Task<T> {
    fn clone(&self) -> Self {
        Self { held: self.held.clone(), read: self.read, wait: Await::default() }
    }
}

impl<T> PartialEq for Task<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}
impl<T> Eq for Task<T> {}
impl<T> Hash for Task<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl<T> Serialize for Task<T> {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.serialize_str(&self.id().to_string())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Task<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let id = TaskId::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("'{text}' is no task id")))?;
        Ok(Self::attach(id))
    }
}

impl<T> Unpin for Task<T> {}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = &mut *self;
        match this.wait.poll(&this.held.0, Forwarding::Always, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => Poll::Ready(read_outcome(&this.held.0, this.read)),
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    /// asyncio's words (rows 25-29): `<Task pending name='Task-1' coro=<demo.add()>>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        repr(self.cell(), f)
    }
}

pub(crate) fn repr(cell: &Arc<Cell>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let outcome = cell.outcome();
    let word = match (&outcome, cell.cancelling()) {
        (None, 0) => "pending",
        (None, _) => "cancelling",
        (Some(Outcome::Cancelled(_)), _) if cell.is_cancelled() => "cancelled",
        (Some(_), _) => "finished",
    };
    match &cell.kind {
        Kind::Gather(_) => write!(f, "<_GatheringFuture {word}")?,
        Kind::Promise | Kind::Shield(_) => write!(f, "<Future {word}")?,
        Kind::Remote | Kind::Local(_) => {
            write!(f, "<Task {word} name='{}' coro=<{}()>", cell.name(), cell.function)?;
        }
    }
    if let Some(other) = cell.waits_for() {
        write!(f, " wait_for=<{other}>")?;
    } else if let Some(primitive) = cell.waits_on() {
        write!(f, " wait_for=<{primitive}>")?;
    }
    match &outcome {
        Some(Outcome::Returned(value)) if !matches!(cell.kind, Kind::Gather(_)) => {
            write!(f, " result={}", crate::codec::debug(value))?;
        }
        Some(Outcome::Raised(_)) => {
            if let Some(error) = cell.error() {
                write!(f, " exception={error:?}")?;
            }
        }
        _ => {}
    }
    match cell.callbacks() {
        0 => {}
        1 => write!(f, " cb=[1 callback]")?,
        n => write!(f, " cb=[{n} callbacks]")?,
    }
    write!(f, ">")
}

// ---- standing for an argument (L22)

impl<T> Task<T> {
    fn arg<A>(&self) -> Arg<A> {
        let cell = self.cell();
        match &cell.kind {
            Kind::Remote => Arg::Task(DependencyRef::new(cell.id, cell.home.session().id().0)),
            Kind::Gather(state) => state.as_list(),
            Kind::Shield(inner) if matches!(inner.kind, Kind::Remote) => {
                Arg::Task(DependencyRef::new(inner.id, inner.home.session().id().0))
            }
            _ => Arg::Failed(cell.error().unwrap_or_else(|| Error::Misuse(Misuse::NotATask))),
        }
    }
}

impl<T> IntoArg<T> for Task<T> {
    fn into_arg(self) -> Arg<T> {
        self.arg()
    }
}
impl<T> IntoArg<T> for &Task<T> {
    fn into_arg(self) -> Arg<T> {
        self.arg()
    }
}
impl<T> ArgHandle for Task<T> {
    fn as_arg<A>(&self) -> Arg<A> {
        self.arg()
    }
}
