//! How an actor is made: what is said about it before there is one.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use farloop_core::actor::{ActorDef, Address, Host, Part, Restart, Strategy};
use farloop_core::frame::Owner;

use super::{ActorRef, Handle};
use crate::cell::Cell;
use crate::coro::{self, CallSpec, Coro};
use crate::definition::Definition;
use crate::error::{Error, Misuse, Result};

/// An actor that is described and not made yet: what `Counter::spawn(10)` gives.
///
/// `spawn(..).await` makes it and gives the reference when it is up: `new` and `on_start` have run, somewhere. It is a
/// coroutine in its manners: inert until then, `gather` and `wait_for` take it, **dropping** the await before the actor is
/// up ends it. [`start`](Self::start) gives the reference at once; calls wait at the actor until it is up.
///
/// The actor belongs to the session at the top of the task tree, and ends with it; to the body that makes it with
/// [`owned`](Self::owned); to nobody with [`detached`](Self::detached); to a group with
/// [`TaskGroup::spawn`](crate::TaskGroup::spawn). References own nothing.
#[must_use = "an actor is not made until this is awaited or started; to decide against it, call `close()`"]
pub struct Spawn<R> {
    /// Makes the state. Whatever else is said about the task is said to it.
    coro: Coro<()>,
    definition: &'static Definition,
    host: Host,
    owner: Owner,
    /// Not made where somebody has the name.
    get: bool,
    limit: Option<Duration>,
    /// What is wrong with what was said; told where it is started.
    wrong: Option<Error>,
    of: PhantomData<fn() -> R>,
}

/// What was started: the question whether it is up, and the actor, if it is one's own.
pub(crate) struct Begun {
    pub(crate) find: Option<Arc<Cell>>,
    pub(crate) host: Option<Arc<Cell>>,
    pub(crate) handle: Handle,
}

/// What schedules a call, at whatever loop and for whomever.
pub(crate) type Schedule<'a> = &'a dyn Fn(CallSpec, Owner) -> Arc<Cell>;

impl<R: ActorRef> Spawn<R> {
    pub(crate) fn of(coro: Coro<()>, definition: &'static Definition) -> Self {
        let host = match definition.actor.map(|actor| (actor.def)()) {
            // Whoever spawns one does not wait for its first call, and nobody puts it to sleep.
            Some(ActorDef::Type(host)) => Host { on_demand: false, idle: None, ..host },
            _ => Host::default(),
        };
        Self { coro, definition, host, owner: Owner::Root, get: false, limit: None, wrong: None, of: PhantomData }
    }

    /// Gives it a name: one actor of a type has it at a time, and `Counter::lookup("hits")` finds it. Where another one
    /// has it, the start fails; see [`get_or_spawn`](Self::get_or_spawn). A named actor has one incarnation at a time,
    /// whatever the network does: one that is cut off is stopped before the next begins.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        let name: Arc<str> = name.into().into();
        self.host.name = Some(name.clone());
        self.coro = self.coro.with(|call| call.name = Some(name));
        self
    }

    /// If an actor of the type has the [name](Self::name) already, this is a reference to that one, and nothing is made.
    pub fn get_or_spawn(mut self) -> Self {
        self.get = true;
        self
    }

    /// Nobody owns it: it goes on when this session, and the body that made it, are over, until it is stopped.
    pub fn detached(mut self) -> Self {
        self.owner = Owner::Nobody;
        self.host.detached = true;
        self
    }

    /// It ends with the body that makes it (it is killed, as an unfinished await is cancelled); in a client, with the
    /// session.
    pub fn owned(mut self) -> Self {
        self.owner = Owner::Await;
        self.host.detached = false;
        self
    }

    /// Calls that may wait for it, of all callers together; one more is refused ([`Error::ResourceExhausted`]) unless it
    /// [waits](Coro::waits). What the type says unless given (`mailbox = 100`), and that is 10,000. 0 counts as 1.
    pub fn mailbox(mut self, calls: u32) -> Self {
        self.host.mailbox = calls.max(1);
        self
    }

    /// Calls of one caller (a session) that may be under way or wait, as [`mailbox`](Self::mailbox). 1,024 unless given.
    pub fn per_caller(mut self, calls: u32) -> Self {
        self.host.per_caller = calls.max(1);
        self
    }

    /// What follows when it fails, or is lost with its worker: it starts again, from its snapshot if it saved one, else
    /// from the arguments given here. Unless given, what the type says, and that is [`Restart::default`].
    pub fn restart(mut self, restart: Restart) -> Self {
        self.host.restart = restart;
        self
    }

    pub(super) fn group(mut self, group: Option<u128>) -> Self {
        self.host.group = group;
        self
    }

    /// Only at workers with this label (`FARLOOP_LABELS`, or `Worker::label`). Several: all of them. For a label of the
    /// *task* see [`options`](Self::options).
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.host.placement.labels.push((key.into(), value.into()));
        self
    }

    /// At the worker that has most actors and still takes some.
    pub fn pack(mut self) -> Self {
        self.host.placement.strategy = Strategy::Pack;
        self
    }

    /// At the worker that has least to do; the default.
    pub fn spread(mut self) -> Self {
        self.host.placement.strategy = Strategy::Spread;
        self
    }

    /// At the worker where this actor is, if that is possible when it starts.
    pub fn near(mut self, actor: &Handle) -> Self {
        match actor.id() {
            Some(id) => self.host.placement.near = Some(id),
            None => {
                let text = format!("near({actor:?}): who has that name can change; give what `lookup` has found");
                self.wrong = Some(Misuse::Other(text).into());
            }
        }
        self
    }

    /// Time from here until it is up; then it is ended and the await says `TimedOut`. Without limit unless given.
    /// [`start`](Self::start) does not wait, so there it has no effect.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Changes options of the actor as a task: `spawn.options(|task| task.priority(3).label("team", "a"))`.
    ///
    /// A task's `timeout` is the actor's whole life here, its `cancel_grace` what a killed method has to clean up.
    pub fn options(mut self, change: impl FnOnce(Coro<()>) -> Coro<()>) -> Self {
        self.coro = change(self.coro);
        self
    }

    /// Decides against it: nothing is made and nothing is reported.
    pub fn close(self) {
        self.coro.close();
    }

    /// Makes it and returns at once. Calls wait at the actor until it is up; if it never is, they say so
    /// ([`Error::ActorDied`], with why).
    ///
    /// # Errors
    /// What is known here and now: no loop, a full buffer, an argument that does not encode.
    pub fn start(self) -> Result<R> {
        let begun = self.begin(false, &super::starting::here(false));
        let first = begun.host.as_ref().or(begun.find.as_ref());
        let refused = first.filter(|cell| cell.is_done()).and_then(|cell| {
            cell.mark_read();
            cell.error()
        });
        refused.map_or_else(|| Ok(R::from(begun.handle)), Err)
    }

    pub(super) fn check(&self) -> Result<()> {
        match &self.wrong {
            Some(wrong) => Err(wrong.clone()),
            None => self.coro.check_call(),
        }
    }

    pub(crate) fn name_of(&self) -> Option<Arc<str>> {
        self.host.name.clone()
    }

    pub(crate) fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// It may be somebody else's.
    pub(crate) fn is_shared(&self) -> bool {
        self.get
    }

    /// As an owner that is an await: of a group, or of a supervisor.
    pub(crate) fn for_await(self) -> Self {
        self.owned()
    }

    /// Submits it, and the question whether it is up if somebody waits for the answer.
    pub(crate) fn begin(self, ask: bool, schedule: Schedule<'_>) -> Begun {
        let Self { coro, definition, host, owner, get, wrong, .. } = self;
        let (name, location) = (host.name.clone(), coro.location());
        let mut call = coro.take();
        if let Some(wrong) = wrong {
            call.args = Err(wrong);
        }
        call.actor = Some(Arc::new(Part::Host(host)));
        call.detached = owner == Owner::Nobody;
        if get {
            if owner == Owner::Await {
                call.args = Err(shared());
            }
            let asker = if ask { Owner::Await } else { Owner::Root };
            return find_or_make(definition, name, call, asker, schedule);
        }
        let host = schedule(call, owner);
        let handle = Handle::new(definition, Address::Actor(host.id), name);
        let find = (ask && !host.is_done()).then(|| {
            let up = Part::Find { of: handle.address().clone(), up: true };
            schedule(coro::about(definition, up, location), Owner::Await)
        });
        Begun { find, host: Some(host), handle }
    }
}

/// What a scope says to an actor that it would end and others may have made.
pub(super) fn shared() -> Error {
    let text = "get_or_spawn() may give an actor that is somebody else's, and such a one cannot end with this owner";
    Misuse::Other(text.into()).into()
}

/// Asks for the one of that name, and says how to make it.
fn find_or_make(
    definition: &'static Definition,
    name: Option<Arc<str>>,
    call: CallSpec,
    owner: Owner,
    schedule: Schedule<'_>,
) -> Begun {
    let location = call.location;
    let nameless = || Misuse::Other("get_or_spawn() finds an actor by its name: give one with name(..)".into()).into();
    let spec = if name.is_some() { call.into_spec() } else { Err(nameless()) };
    let name = name.unwrap_or_default();
    let handle = Handle::named(definition, name.clone());
    let (make, wrong) = match spec {
        Ok(spec) => (Some(Arc::new(spec)), None),
        Err(wrong) => (None, Some(wrong)),
    };
    let mut find = coro::about(definition, Part::Find { of: Address::Name { name, make }, up: true }, location);
    if let Some(wrong) = wrong {
        find.args = Err(wrong);
    }
    Begun { find: Some(schedule(find, owner)), host: None, handle }
}

impl<R> fmt::Debug for Spawn<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<actor {} that is not started, at {}>", self.definition.name, self.coro.location())
    }
}
