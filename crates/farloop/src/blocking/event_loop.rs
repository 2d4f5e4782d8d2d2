//! [`EventLoop`]: asyncio's loop object for programs without async.

use std::any::Any;
use std::cell::{Cell as Slot, RefCell};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::LocalRuntime;

use super::completions::Completions;
use super::interrupt::{self, Running};
use super::{BlockingHandle, Handle, LoopHandle, TimerHandle};
use crate::ambient;
use crate::cell::Cell;
use crate::combine::gather::Gather;
use crate::combine::shield::Shield;
use crate::combine::wait;
use crate::context::Context;
use crate::error::{AlreadyRunning, Error, Result};
use crate::event_loop::{LoopShared, steps};
use crate::future::{Fut, Promise};
use crate::in_process::{self, InProcess};
use crate::report::BoxedHandler;
use crate::runtime::{ADDRESS_VARIABLE, Loop};
use crate::task::{Call, IntoTask, Task, read_outcome};

/// How long a close waits until the coordinator knows.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// An event loop that one thread runs by hand, and a session with a cluster.
///
/// It is the ambient loop of the thread that made it: `ensure_future`, `gather` and the rest work there between the
/// runs too. Callbacks, awaits and coroutines of this loop advance only while it runs; tasks of the cluster go on
/// meanwhile (a difference to asyncio, row 258: their outcomes wait).
///
/// It stays on its thread (neither `Send` nor `Sync`); [`handle`](Self::handle) gives others a door. **Dropped** without
/// [`close`](Self::close), it closes and reports `unclosed event loop`.
///
/// Ctrl-C during a run cancels what that run itself made a task, a coroutine or an `async` block, waits for it, and ends
/// the run with [`Error::Interrupted`]; pressed again, it gives up waiting. Handles that were given to the run, and a
/// `wait(..)` for some, are nobody's to cancel but their holder's: then the run ends after its turn and all tasks are left
/// as they are (row 276). Pressed while no loop runs it is kept for the next run; a second one ends the process.
///
/// ```compile_fail,E0277
/// let event_loop = farloop::blocking::EventLoop::new().unwrap();
/// std::thread::spawn(move || event_loop.run_forever()); // it stays on its thread
/// ```
pub struct EventLoop {
    connection: Option<Loop>,
    home: Arc<LoopShared>,
    /// None when it was given back, in `drop`.
    runtime: Option<LocalRuntime>,
    closed: Slot<bool>,
    here: PhantomData<Rc<()>>,
}

impl EventLoop {
    /// A loop of a cluster in this process, with one worker; [`InProcess::event_loop`] has the choices.
    ///
    /// # Errors
    /// No thread or runtime to be had.
    pub fn new() -> Result<Self> {
        in_process::builder().event_loop()
    }

    /// A loop that is connected to the coordinator at `address` (`http://127.0.0.1:7171`).
    ///
    /// # Errors
    /// No coordinator answered within 10 seconds (the error says what was tried), or it refused this client; inside of
    /// a tokio runtime [`Error::AlreadyRunning`]: use [`farloop::connect`](crate::connect) there.
    pub fn connect(address: impl AsRef<str>) -> Result<Self> {
        refuse_inside()?;
        let runtime = local_runtime(false)?;
        let here = std::thread::current().id();
        let connection = runtime.block_on(crate::remote::connect_client(address.as_ref(), Some(here)))?;
        Ok(Self::of(runtime, connection))
    }

    /// As the environment says: the cluster at `FARLOOP_ADDRESS`, or one in this process.
    ///
    /// # Errors
    /// As [`connect`](Self::connect) and [`new`](Self::new).
    pub fn from_env() -> Result<Self> {
        match std::env::var(ADDRESS_VARIABLE).ok().filter(|address| !address.is_empty()) {
            Some(address) => Self::connect(address),
            None => Self::new(),
        }
    }

    pub(crate) fn of(runtime: LocalRuntime, connection: Loop) -> Self {
        let home = connection.home().clone();
        home.make_stoppable();
        home.set_runtime(runtime.handle());
        {
            let _inside = runtime.enter();
            ambient::bind(&home);
        }
        ambient::enter_thread(&home);
        Self { connection: Some(connection), home, runtime: Some(runtime), closed: Slot::new(false), here: PhantomData }
    }

    pub(crate) fn home(&self) -> &Arc<LoopShared> {
        &self.home
    }

    fn runtime(&self) -> &LocalRuntime {
        self.runtime.as_ref().expect("taken in drop only")
    }

    /// Runs `f` where timers can be made.
    pub(super) fn inside<R>(&self, f: impl FnOnce() -> R) -> R {
        let _inside = self.runtime().enter();
        ambient::on(&self.home, f)
    }

    /// Runs a future of tokio's, without any turn of the loop.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime().block_on(future)
    }

    // ---- running

    /// Runs until `what` is done, and gives its value or its error. A coroutine or an `async` block becomes a task of
    /// this loop first; a task, gather or shield is waited for as it is, at once if it is done (rows 252-257).
    ///
    /// Other tasks are left as they are when it returns; they go on in the next run.
    ///
    /// # Errors
    /// What `what` fails with. [`Error::LoopStopped`] if the loop was stopped first: the task is still there and goes on
    /// in the next run (row 259). [`Error::Interrupted`] after Ctrl-C: a coroutine or block has been cancelled and has
    /// ended (one that declines the request and goes on has its result given instead), anything else goes on in the next
    /// run, as does what a second Ctrl-C gave up. [`Error::LoopClosed`], [`Error::LoopMismatch`];
    /// [`Error::AlreadyRunning`] inside of a running loop or tokio runtime: nothing is started and nothing disturbed then
    /// (row 267).
    #[track_caller]
    pub fn run_until_complete<W, T>(&self, what: W) -> Result<T>
    where
        W: IntoFuture<Output = Result<T>>,
        W::IntoFuture: 'static,
        T: 'static,
    {
        self.may_run()?;
        let (future, is_wait) = wait::is_made_by(|| what.into_future());
        let target = self.target(future, None, &Kept::default())?;
        if is_wait || matches!(target, Target::Task(_)) {
            self.run_until_done(target.cell())?;
        } else {
            self.run_to_its_end(target.cell())?;
        }
        target.read()
    }

    /// Runs until [`stop`](Self::stop); that a task ends does not end it (row 261). After a `stop` that came before, it
    /// runs one turn.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after Ctrl-C; [`Error::LoopClosed`]; [`Error::AlreadyRunning`].
    pub fn run_forever(&self) -> Result<()> {
        self.run()
    }

    /// Refuses a run that cannot be, before anything has changed.
    pub(super) fn may_run(&self) -> Result<()> {
        if self.is_closed() {
            Err(Error::LoopClosed)
        } else if self.home.is_running() {
            Err(Error::AlreadyRunning(AlreadyRunning::ThisLoop))
        } else {
            refuse_inside()
        }
    }

    /// Turns until the loop is stopped.
    pub(super) fn run(&self) -> Result<()> {
        self.may_run()?;
        let running = Running::enter(&self.home)?;
        let home = self.home.clone();
        let ran = self.runtime().block_on(async move { tokio::task::spawn_local(home.run_until_stopped()).await });
        drop(running);
        if let Err(error) = ran
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
        if self.home.take_interrupt() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Turns until a cell of this loop is done: its end stops the loop, as any callback could (row 265).
    pub(super) fn run_until_done(&self, cell: &Arc<Cell>) -> Result<()> {
        if !Arc::ptr_eq(cell.home.session(), self.home.session()) {
            return Err(if cell.home.is_nowhere() { Error::LoopClosed } else { Error::LoopMismatch });
        }
        let waits = Arc::new(AtomicBool::new(true));
        let still = waits.clone();
        let key = cell.listen_internal(move |cell| {
            // One that is queued when the run ends for another reason must not end the next one.
            if still.load(Ordering::Acquire) {
                cell.home.stop();
            }
        });
        let ran = self.run();
        waits.store(false, Ordering::Release);
        cell.unlisten_key(key);
        match ran {
            Err(Error::Interrupted) if cell.is_done() => {
                interrupt::keep();
                Ok(())
            }
            Ok(()) if !cell.is_done() => Err(Error::LoopStopped),
            other => other,
        }
    }

    /// As [`run_until_done`](Self::run_until_done); the first Ctrl-C cancels the cell and waits on, the second gives it up.
    /// Whether there was one.
    pub(super) fn run_to_its_end(&self, cell: &Arc<Cell>) -> Result<bool> {
        let mut interrupted = false;
        loop {
            match self.run_until_done(cell) {
                Ok(()) if interrupted && cell.is_cancelled() => {
                    cell.mark_read();
                    return Err(Error::Interrupted);
                }
                Ok(()) => return Ok(interrupted),
                Err(Error::Interrupted) if !interrupted => {
                    interrupted = true;
                    cell.cancel(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs a future of farloop's own to its end, beside the turns. It is no task, and is dropped if the run ends first.
    pub(super) fn run_beside<F>(&self, future: F) -> Result<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.may_run()?;
        let value = Rc::new(Slot::new(None));
        let (set, home) = (value.clone(), self.home.clone());
        let step = steps::spawn(&self.home, async move {
            set.set(Some(future.await));
            home.stop();
        });
        let ran = self.run();
        step.remove();
        match (value.take(), ran) {
            (Some(value), Err(Error::Interrupted)) => {
                interrupt::keep();
                Ok(value)
            }
            (Some(value), _) => Ok(value),
            (None, Ok(())) => Err(Error::LoopStopped),
            (None, Err(error)) => Err(error),
        }
    }

    /// Makes what is awaited a task of this loop, unless it is one.
    #[track_caller]
    pub(super) fn target<F, T>(&self, future: F, name: Option<&str>, kept: &Kept) -> Result<Target<T>>
    where
        F: Future<Output = Result<T>> + 'static,
        T: 'static,
    {
        let location = Location::caller();
        let future = match take_as::<Task<T>, F>(future) {
            Ok(task) => return Ok(Target::Task(task)),
            Err(future) => future,
        };
        let future = match take_as::<Gather<T>, F>(future) {
            Ok(gather) => return Ok(Target::Task(gather.into_task())),
            Err(future) => future,
        };
        let future = match take_as::<Shield<T>, F>(future) {
            Ok(shield) => return Ok(Target::Task(shield.into_task())),
            Err(future) => future,
        };
        let future = match take_as::<Call<T>, F>(future) {
            Ok(call) => {
                let mut context = kept.borrow().clone().unwrap_or_else(Context::current);
                return ambient::on(&self.home, || context.run(|| call.begin())).map(Target::Call);
            }
            Err(future) => future,
        };
        let value = Rc::new(Slot::new(None));
        let (set, keep) = (value.clone(), kept.clone());
        let body = Box::pin(async move {
            let result = future.await;
            keep.replace(Some(Context::current()));
            set.set(Some(result?));
            Ok(())
        });
        let context = kept.borrow().clone().unwrap_or_else(Context::current);
        let cell = crate::local::spawn::<()>(&self.home, body, name.map(Into::into), context, location, None);
        Ok(Target::Own(cell, value))
    }

    /// Ends the run after its turn: what is queued runs, what that queues waits for the next run. If the loop does not
    /// run, its next run ends after one turn (rows 262, 263). From inside a coroutine or callback, or another thread:
    /// [`LoopHandle::stop`].
    pub fn stop(&self) {
        self.home.stop();
    }

    // ---- the end

    /// Closes the session: what it owns is cancelled. What is queued is dropped; coroutines of this loop that are not
    /// done are dropped and reported (`Task was destroyed but it is pending!`), and whoever waits for a task of this
    /// loop is told `LoopClosed` (rows 269-271). Closing twice is no error.
    ///
    /// Waits for the coordinator, 3 seconds at most.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] while it runs.
    pub fn close(&self) -> Result<()> {
        if self.home.is_running() {
            return Err(Error::AlreadyRunning(AlreadyRunning::Closing));
        }
        if self.closed.replace(true) {
            return Ok(());
        }
        self.home.session().begin_close();
        {
            let _inside = self.runtime().enter();
            self.home.end();
        }
        ambient::leave_thread(&self.home);
        if let Some(connection) = &self.connection
            && refuse_inside().is_ok()
        {
            let told = connection.flushed();
            let in_time = self.runtime().block_on(async { tokio::time::timeout(CLOSE_LIMIT, told.notified()).await });
            if in_time.is_err() {
                tracing::warn!("the coordinator did not take the end of the session in time; it will notice by itself");
            }
        }
        if let Some(connection) = &self.connection {
            connection.shut();
        }
        Ok(())
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether it runs now: only what runs on it, and other threads through a handle, see `true`.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.home.is_running()
    }

    // ---- scheduling

    /// A handle for other threads, and for coroutines and callbacks.
    #[must_use]
    pub fn handle(&self) -> LoopHandle {
        LoopHandle(self.home.clone())
    }

    /// As [`ensure_future`](crate::ensure_future), on this loop. On a closed loop the handle has failed already.
    #[track_caller]
    pub fn create_task<A: IntoTask>(&self, coro: A) -> Task<A::Out> {
        ambient::on(&self.home, || coro.into_task())
    }

    /// As [`farloop::create_future`](crate::create_future), on this loop.
    #[track_caller]
    #[must_use]
    pub fn create_future<T: Serialize + DeserializeOwned>(&self) -> (Promise<T>, Fut<T>) {
        crate::future::create_on(&self.home, Location::caller())
    }

    /// See [`LoopHandle::call_soon`].
    ///
    /// # Errors
    /// [`Error::LoopClosed`].
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + Send + 'static) -> Result<Handle> {
        self.handle().call_soon(callback)
    }

    /// See [`LoopHandle::call_soon`]; other threads call it on a [`handle`](Self::handle).
    ///
    /// # Errors
    /// [`Error::LoopClosed`].
    #[track_caller]
    pub fn call_soon_threadsafe(&self, callback: impl FnOnce() + Send + 'static) -> Result<Handle> {
        self.handle().call_soon(callback)
    }

    /// See [`LoopHandle::call_later`].
    ///
    /// # Errors
    /// [`Error::LoopClosed`].
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + Send + 'static) -> Result<TimerHandle> {
        self.handle().call_later(delay, callback)
    }

    /// See [`LoopHandle::call_at`].
    ///
    /// # Errors
    /// [`Error::LoopClosed`].
    #[track_caller]
    pub fn call_at(&self, when: Duration, callback: impl FnOnce() + Send + 'static) -> Result<TimerHandle> {
        self.handle().call_at(when, callback)
    }

    /// See [`LoopHandle::time`].
    #[must_use]
    pub fn time(&self) -> Duration {
        self.home.time()
    }

    /// See [`LoopHandle::run_coroutine_threadsafe`]; other threads call it on a [`handle`](Self::handle).
    ///
    /// # Errors
    /// [`Error::LoopClosed`].
    #[track_caller]
    pub fn run_coroutine_threadsafe<A>(&self, coro: A) -> Result<BlockingHandle<A::Out>>
    where
        A: IntoTask + Send + 'static,
        A::Out: Send + 'static,
    {
        self.handle().run_coroutine_threadsafe(coro)
    }

    /// The outcomes of `items` in order of completion: an iterator whose every step runs the loop until the next one is
    /// there. All are scheduled at the call, in argument order. Dropping it leaves the tasks running.
    #[track_caller]
    pub fn as_completed<A>(&self, items: impl IntoIterator<Item = A>) -> Completions<'_, A::Out>
    where
        A: IntoTask,
        A::Out: Send + 'static,
    {
        Completions::new(self, ambient::on(&self.home, || crate::as_completed(items)))
    }

    /// See [`farloop::set_exception_handler`](crate::set_exception_handler): one handler serves the whole process.
    pub fn set_exception_handler(&self, handler: Option<BoxedHandler>) {
        crate::set_exception_handler(handler);
    }
}

/// The context in which several programs run, one after the other.
pub(super) type Kept = Rc<RefCell<Option<Context>>>;

/// What a run waits for.
pub(super) enum Target<T> {
    /// A handle that was there before.
    Task(Task<T>),
    /// A call that the run scheduled.
    Call(Task<T>),
    /// A coroutine of this loop, whose value stays in memory.
    Own(Arc<Cell>, Rc<Slot<Option<T>>>),
}

impl<T> Target<T> {
    pub(super) fn cell(&self) -> &Arc<Cell> {
        match self {
            Self::Task(task) | Self::Call(task) => task.cell(),
            Self::Own(cell, _) => cell,
        }
    }

    /// The outcome of one that is done.
    pub(super) fn read(&self) -> Result<T> {
        match self {
            Self::Task(task) | Self::Call(task) => read_outcome(task.cell(), task.reader()),
            Self::Own(cell, value) => own_value(cell, value),
        }
    }
}

pub(super) fn own_value<T>(cell: &Arc<Cell>, value: &Slot<Option<T>>) -> Result<T> {
    cell.mark_read();
    match (cell.error(), value.take()) {
        (Some(error), _) => Err(error),
        (None, Some(value)) => Ok(value),
        (None, None) => Err(Error::already_awaited()),
    }
}

/// The future as what it is, if it is one.
fn take_as<K: 'static, F: 'static>(future: F) -> std::result::Result<K, F> {
    let mut place = Some(future);
    match (&mut place as &mut dyn Any).downcast_mut::<Option<K>>().and_then(Option::take) {
        Some(known) => Ok(known),
        None => Err(place.expect("taken only as what it is")),
    }
}

/// A current-thread runtime whose tasks need not be `Send`.
pub(crate) fn local_runtime(paused: bool) -> Result<LocalRuntime> {
    crate::report::watch_panics();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(paused)
        .build_local(Default::default())
        .map_err(|error| Error::msg(format!("no runtime for an event loop: {error}")))
}

/// Nothing blocks inside of a runtime.
pub(super) fn refuse_inside() -> Result<()> {
    if tokio::runtime::Handle::try_current().is_ok() {
        return Err(Error::AlreadyRunning(AlreadyRunning::OtherLoop));
    }
    Ok(())
}

impl InProcess {
    /// Starts it with an event loop that this thread runs by hand.
    ///
    /// # Errors
    /// Two functions of one name; no thread to be had.
    pub fn event_loop(self) -> Result<EventLoop> {
        let runtime = local_runtime(false)?;
        let connection = self.local(std::thread::current().id()).spawn()?;
        Ok(EventLoop::of(runtime, connection))
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        if !self.is_closed() {
            if !std::thread::panicking() {
                crate::report::unclosed();
            }
            if let Err(error) = self.close() {
                tracing::error!(%error, "an event loop was dropped while it runs");
            }
        }
        self.connection = None;
        if let Some(runtime) = self.runtime.take() {
            ambient::forget(runtime.handle());
            // Blocking functions that still run are not waited for, as asyncio's loop.close() does not.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::loop_handle::repr(&self.home, f)
    }
}
