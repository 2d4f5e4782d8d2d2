//! Coroutines: calls that are described and have not started.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use farloop_core::actor::Part;
use farloop_core::spec::{Backoff, Dependency, Durability, Limit, Options, Retention, Spec};
use serde::Serialize;

use crate::actor::{ActorRef, Handle, Spawn};
use crate::arg::{ArgEncoder, IntoArg};
use crate::context::Context;
use crate::definition::Definition;
use crate::error::{Error, Misuse};
use crate::stream::Inbox;

/// A call that is described and has not started: function, arguments, options (asyncio's coroutine object).
///
/// It does nothing until it is awaited or scheduled ([`ensure_future`](crate::ensure_future),
/// [`gather`](crate::gather), ..), which takes it: a coroutine runs once. `coro.await` owns what it starts: dropping
/// that await cancels the task.
///
/// **Dropping** a coroutine that was never started reports `coroutine '..' was never awaited`, once; a function that
/// decides against a coroutine it was given says so with [`close`](Self::close).
///
/// ```compile_fail,E0382
/// # #[farloop::task] async fn add(a: i64, b: i64) -> i64 { a + b }
/// let coro = add(2, 3);
/// drop(farloop::ensure_future(coro));
/// drop(farloop::ensure_future(coro)); // use of moved value: a coroutine runs once
/// ```
#[must_use = "a coroutine does nothing until it is awaited or scheduled; to decide against it, call `close()`"]
pub struct Coro<T> {
    call: Option<CallSpec>,
    returns: PhantomData<fn() -> T>,
}

/// What a coroutine holds, and what is left of it when it is scheduled.
#[derive(Debug)]
pub(crate) struct CallSpec {
    pub(crate) function: Arc<str>,
    /// 0 if the caller does not know the signature.
    pub(crate) fingerprint: u64,
    /// Encoded, or why they are not: that is told when the call is scheduled, where errors are expected.
    pub(crate) args: Result<Bytes, Error>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) options: Options,
    pub(crate) detached: bool,
    /// The caller's definition, for a worker in the same process to learn.
    pub(crate) definition: Option<&'static Definition>,
    /// Where the call was written.
    pub(crate) location: &'static Location<'static>,
    /// Session that the tasks among the arguments belong to.
    pub(crate) foreign: Option<u128>,
    /// Room for it in the session's buffer was made before.
    pub(crate) reserved: bool,
    /// Context variables; none: a copy of the current ones when it is scheduled.
    pub(crate) context: Option<Context>,
    /// Deadline of the scopes around the group that it is a member of; a call made by a running body has that body's.
    pub(crate) deadline: Option<tokio::time::Instant>,
    /// Where its items go, if the caller wants them one by one.
    pub(crate) inbox: Option<Arc<Inbox>>,
    /// What it is to an actor, if it has to do with one.
    pub(crate) actor: Option<Arc<Part>>,
}

impl<T> Coro<T> {
    pub(crate) fn from_spec(call: CallSpec) -> Self {
        Self { call: Some(call), returns: PhantomData }
    }

    /// Takes the call out: from here on the coroutine counts as awaited.
    pub(crate) fn take(mut self) -> CallSpec {
        self.call.take().expect("only take and close empty a coroutine, and both consume it")
    }

    fn call(&self) -> &CallSpec {
        self.call.as_ref().expect("only take and close empty a coroutine, and both consume it")
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut CallSpec)) -> Self {
        if let Some(call) = &mut self.call {
            change(call);
        }
        self
    }

    /// Name on the wire of the function that would run.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.call().function
    }

    /// Where the call was written.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.call().location
    }

    /// What can be told without a loop: whether the arguments could be encoded.
    pub(crate) fn check_call(&self) -> Result<(), Error> {
        self.call().args.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    /// Name of the task, for people (`Task-7` unless given). Need not be unique.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.with(|call| call.name = Some(name.into().into()))
    }

    /// Time for all attempts together, from acceptance by the coordinator, waiting for arguments and for a free
    /// worker included (Temporal's schedule-to-close). When it is over the task ends as `TimedOut`, and its body is
    /// dropped. Calls that the body makes inherit what is left of it, unless they are detached: none of them starts or
    /// goes on after it. Without limit unless given.
    pub fn timeout(self, limit: Duration) -> Self {
        self.with(|call| call.options.timeout = Some(limit))
    }

    /// Attempts at most when the body *fails*; 1 unless given, and 0 counts as 1. Attempts lost with their worker
    /// count against [`max_crashes`](Self::max_crashes). An error that says it is [`permanent`](Error::permanent) ends
    /// the task at once.
    pub fn attempts(self, at_most: u32) -> Self {
        self.with(|call| call.options.max_attempts = at_most.max(1))
    }

    /// Pause before the next attempt after one that *failed*; none unless given. A plain `Duration` is the first pause:
    /// each further one is twice as long, up to a hundred times the first, less up to a tenth that is left to chance. An
    /// attempt that could only begin after the task's [`timeout`](Self::timeout) is not made: the task fails at once
    /// with its last error.
    pub fn backoff(self, backoff: impl Into<Backoff>) -> Self {
        self.with(|call| call.options.policy_mut().backoff = Some(backoff.into()))
    }

    /// Longest wait for a slot at a worker, from the moment at which the task could run (its arguments are there, the
    /// pause before the attempt is over) to the moment at which its body begins. Then the task ends as `TimedOut`, and is not tried
    /// again. Without limit unless given.
    pub fn schedule_to_start(self, limit: Duration) -> Self {
        self.with(|call| call.options.policy_mut().schedule_to_start = Some(limit))
    }

    /// Time for one attempt, from its start, suspension included. When it is over the body is cancelled, and has the
    /// [`cancel_grace`](Self::cancel_grace) to clean up; the attempt counts as failed (`TimedOut`), and another one may
    /// follow ([`attempts`](Self::attempts)). Without limit unless given.
    pub fn start_to_close(self, limit: Duration) -> Self {
        self.with(|call| call.options.policy_mut().start_to_close = Some(limit))
    }

    /// Longest time between two [`heartbeat`](crate::heartbeat)s of the body, the first from its start. An attempt that
    /// is silent for longer is taken for lost: what it still does counts no more, and the next one begins, which counts
    /// against [`max_crashes`](Self::max_crashes). With none left the task ends as `TimedOut`. Without limit unless given.
    pub fn heartbeat_timeout(self, limit: Duration) -> Self {
        self.with(|call| call.options.policy_mut().heartbeat = Some(limit))
    }

    /// At most that many tasks which name `key` are at workers at once, over the whole cluster and all functions; the
    /// others wait, and `ExplainTask` says so. A task that awaits others keeps its place, and what it calls is not under
    /// the limit unless it names it too: a task that awaits one under the same key may wait for itself. Of several
    /// numbers for one key the last one accepted counts; 0 counts as 1.
    pub fn limit_key(self, key: impl Into<String>, at_once: u32) -> Self {
        let limit = Limit { key: key.into().into(), at_once: at_once.max(1) };
        self.with(|call| call.options.policy_mut().limit = Some(limit))
    }

    /// Whom the work is done for: within one priority of one function keys take turns, so that a key with a hundred
    /// thousand tasks in the queue does not hold up one with a single task. What the body calls inherits the key unless
    /// it has its own. Tasks without a key count as one key.
    pub fn fairness_key(self, key: impl Into<String>) -> Self {
        let key = key.into().into();
        self.with(|call| call.options.policy_mut().fairness_key = Some(key))
    }

    /// What becomes of the task when the coordinator's process or machine dies: [`Durability::Durable`] unless given, and
    /// nothing survives a coordinator that keeps no records.
    pub fn durability(self, durability: Durability) -> Self {
        self.with(|call| call.options.policy_mut().durability = durability)
    }

    /// How long the outcome is kept for those who ask later, by id: as the coordinator does (an hour) unless given.
    /// Whoever waits for it now gets it in any case. [`Retention::Pinned`] keeps it until
    /// [`Task::release`](crate::Task::release); there may be only so many of these (`PINNED_TASKS`), and one more is refused as
    /// [`ResourceExhausted`](Error::ResourceExhausted). What is forgotten answers [`Expired`](Error::Expired).
    pub fn retention(self, retention: Retention) -> Self {
        self.with(|call| call.options.policy_mut().retention = retention)
    }

    /// Lost workers that the task survives; 3 unless given. With 0, and [`attempts`](Self::attempts) at 1, the body
    /// runs at most once.
    pub fn max_crashes(self, survived: u32) -> Self {
        self.with(|call| call.options.max_crashes = survived)
    }

    /// Higher starts first, among tasks that wait for a worker. Unless given, that of the task whose body makes the
    /// call, and 0 for what a client calls.
    pub fn priority(self, priority: i32) -> Self {
        self.with(|call| call.options.priority = Some(priority))
    }

    /// A label to select tasks by. A key that is there already gets the new value. Labels describe this one task: what
    /// it calls has its own (as in Temporal), and is found by `parent=` in a filter.
    pub fn label(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|call| {
            let (key, value) = (key.into(), value.into());
            match call.options.labels.iter_mut().find(|(known, _)| *known == key) {
                Some((_, old)) => *old = value,
                None => call.options.labels.push((key, value)),
            }
        })
    }

    /// How long the body may go on after a cancel; then it is dropped or written off, and the outcome says
    /// `abandoned`. Counted from the delivery to the body; where that does not happen (it computes, or waits for
    /// something that is not farloop's), from the arrival of the request at its worker. 10 seconds unless given, `None`
    /// for ever.
    pub fn cancel_grace(self, grace: impl Into<Option<Duration>>) -> Self {
        self.with(|call| call.options.cancel_grace = grace.into())
    }

    /// Context variables that the body sees, instead of a copy of the current ones (asyncio's `context=`).
    pub fn context(self, context: Context) -> Self {
        self.with(|call| call.context = Some(context))
    }

    /// Nobody owns the task: it goes on when this session, or the body that creates it, is over.
    pub fn detached(self) -> Self {
        self.with(|call| call.detached = true)
    }

    /// Decides against the call: nothing runs and nothing is reported (asyncio's `coro.close()`).
    pub fn close(mut self) {
        self.call = None;
    }
}

impl<T> Drop for Coro<T> {
    fn drop(&mut self) {
        // A panic that unwinds past a coroutine is the news, not the coroutine.
        if let (Some(call), false) = (&self.call, std::thread::panicking()) {
            crate::report::never_awaited(&call.function, call.location);
        }
    }
}

impl<T> fmt::Debug for Coro<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.call {
            Some(call) => write!(f, "<coroutine {} at {}>", call.function, call.location),
            None => f.write_str("<coroutine>"),
        }
    }
}

/// A function's name on the wire, made once: every call shares it.
#[derive(Debug, Default)]
pub struct WireName(OnceLock<Arc<str>>);

impl WireName {
    /// Not made yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    fn get(&self, definition: &Definition) -> Arc<str> {
        self.0.get_or_init(|| definition.name.into()).clone()
    }
}

/// What a generated function builds its coroutine with.
#[derive(Debug)]
pub struct TypedCall {
    definition: &'static Definition,
    name: Arc<str>,
    args: ArgEncoder,
    location: &'static Location<'static>,
    actor: Option<Arc<Part>>,
}

impl TypedCall {
    /// A call of `definition`, written where the caller of the calling function stands.
    #[must_use]
    #[track_caller]
    pub fn new(definition: &'static Definition, name: &WireName) -> Self {
        let (args, location) = (ArgEncoder::default(), Location::caller());
        Self { definition, name: name.get(definition), args, location, actor: None }
    }

    /// It is a call of this actor.
    #[must_use]
    pub fn of(mut self, actor: &Handle) -> Self {
        self.actor = Some(actor.part().clone());
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg<T: Serialize>(mut self, arg: impl IntoArg<T>) -> Self {
        self.args.push(&self.name, arg.into_arg());
        self
    }

    /// The coroutine.
    pub fn coro<T>(self) -> Coro<T> {
        let fingerprint = self.definition.fingerprint;
        let mut call = spec(self.name, fingerprint, self.args, Some(self.definition), self.location);
        if self.actor.is_some() {
            // A method may have changed the state when its worker was lost: nobody but the caller can know whether
            // to repeat it.
            call.options.max_crashes = 0;
            call.actor = self.actor;
        }
        Coro::from_spec(call)
    }

    /// The actor that it makes.
    pub fn spawn<R: ActorRef>(self) -> Spawn<R> {
        let definition = self.definition;
        Spawn::of(self.coro(), definition)
    }
}

pub(crate) fn spec(
    function: Arc<str>,
    fingerprint: u64,
    args: ArgEncoder,
    definition: Option<&'static Definition>,
    location: &'static Location<'static>,
) -> CallSpec {
    let encoded = args.finish();
    CallSpec {
        function,
        fingerprint,
        args: encoded.args,
        dependencies: encoded.dependencies,
        name: None,
        options: Options::default(),
        detached: false,
        definition,
        location,
        foreign: encoded.session,
        reserved: false,
        context: None,
        deadline: None,
        inbox: None,
        actor: None,
    }
}

impl CallSpec {
    /// A call without arguments of a function that is not described here.
    pub(crate) fn bare(
        function: Arc<str>,
        definition: Option<&'static Definition>,
        location: &'static Location<'static>,
    ) -> Self {
        spec(function, 0, ArgEncoder::default(), definition, location)
    }

    /// What it is on the wire, for one that is submitted by the coordinator, later or never.
    ///
    /// # Errors
    /// An argument does not encode, or is another task.
    pub(crate) fn into_spec(self) -> Result<Spec, Error> {
        if !self.dependencies.is_empty() {
            let text = format!(
                "an argument of {} is another task: what is made later, or may be there already, takes values",
                self.function
            );
            return Err(Misuse::Other(text).into());
        }
        Ok(Spec {
            function: self.function,
            fingerprint: self.fingerprint,
            args: self.args?,
            dependencies: Vec::new(),
            name: self.name,
            options: self.options,
            trace: crate::session::trace(),
            context: self.context.unwrap_or_else(Context::current).into_spec(),
            stream: false,
            actor: self.actor,
        })
    }
}

/// What is asked about an actor of that type rather than of it.
pub(crate) fn about(definition: &'static Definition, part: Part, location: &'static Location<'static>) -> CallSpec {
    let (name, args) = (definition.name.into(), ArgEncoder::default());
    let mut call = spec(name, definition.fingerprint, args, Some(definition), location);
    call.actor = Some(Arc::new(part));
    call
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use farloop_core::spec::Policy;

    fn coro() -> Coro<i64> {
        crate::call("demo.add").arg(2).arg(3).returns()
    }

    #[test]
    fn options_land_in_the_call() {
        let call = coro()
            .name("sum")
            .timeout(Duration::from_secs(5))
            .attempts(0)
            .max_crashes(0)
            .priority(-1)
            .label("team", "a")
            .label("team", "b")
            .cancel_grace(None)
            .durability(Durability::Buffered)
            .retention(Retention::Pinned)
            .detached()
            .take();
        assert_eq!(call.name.as_deref(), Some("sum"));
        let expected = Options {
            timeout: Some(Duration::from_secs(5)),
            max_attempts: 1,
            max_crashes: 0,
            priority: Some(-1),
            cancel_grace: None,
            labels: vec![("team".into(), "b".into())],
            policy: Some(Box::new(Policy {
                durability: Durability::Buffered,
                retention: Retention::Pinned,
                ..Policy::default()
            })),
        };
        assert_eq!(call.options, expected);
        assert!(call.detached);
    }

    #[test]
    fn an_untyped_call_knows_no_signature() {
        let call = coro().take();
        assert_eq!((&*call.function, call.fingerprint, call.definition.is_none()), ("demo.add", 0, true));
        assert_eq!(crate::codec::decode::<(i64, i64)>(&call.args.unwrap()).unwrap(), (2, 3));
        assert!(call.location.file().ends_with("coro.rs"));
    }

    #[test]
    fn debug_names_the_function_and_the_place() {
        let coro = coro();
        assert_eq!(coro.function(), "demo.add");
        assert!(format!("{coro:?}").starts_with("<coroutine demo.add at "));
        coro.close();
    }
}
