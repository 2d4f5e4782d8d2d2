//! What the code of an actor says about itself, from inside: who it is, what is to be saved of it, and what stays with it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use farloop_core::frame::{Snapshot, Up};
use farloop_core::id::TaskId;
use farloop_core::limits;
use farloop_core::outcome::{Failure, FailureKind};
use serde::Serialize;

use crate::body::Body;
use crate::codec;
use crate::error::{Error, Misuse, Result};
use crate::event_loop::{Ready, steps};
use crate::report::Caught;
use crate::worker::actors::{Doing, Happening, Incarnation};

/// Coroutines that may stay with one actor at once: its timers.
pub const ACTOR_COROUTINES: usize = 1_024;

/// Id of the actor whose code runs here: of its task, the same for all its lives.
///
/// # Errors
/// No actor's code runs here.
pub fn this_id() -> Result<TaskId> {
    Ok(here("this_id")?.1.attempt.task)
}

/// The actor whose code runs here: its id, and its type as it is called on the wire.
///
/// # Errors
/// No actor's code runs here.
pub(super) fn who(function: &str) -> Result<(TaskId, Arc<str>)> {
    let (_, actor) = here(function)?;
    Ok((actor.attempt.task, actor.type_name().into()))
}

/// Saves the state of the actor whose code runs here: when it has to start again, elsewhere or after a failure, `new` is
/// not run, and it begins with what was saved last. `state` is any value that encodes as the actor does, usually `&*self`.
///
/// It is encoded now, and on its way when this returns; nobody waits for the coordinator to have it. If the worker is lost
/// in that moment the snapshot before stands. What must not be told without having been saved is saved with
/// [`save_with_reply`].
///
/// # Errors
/// `state` does not encode, or takes more than 16 MiB (`SNAPSHOT`); no actor's code runs here; this life of the actor is
/// over for the cluster, so that nothing of it counts any more ([`Error::failure`] says `ActorUnavailable`). Nothing has
/// changed then.
pub fn save<S: Serialize + ?Sized>(state: &S) -> Result<()> {
    let (body, actor) = here("save")?;
    let state = encoded("save", &body, state)?;
    let snapshot = Snapshot { incarnation: actor.attempt, state, with: None };
    let told = actor.while_it_counts(|| actor.home.session().push(Up::Snapshot(Box::new(snapshot))));
    if told { Ok(()) } else { Err(over(&actor)) }
}

/// As [`save`], and the state counts together with the end of the call that is running, or not at all: whoever has the
/// reply knows that the state is saved, and a call that was lost with its worker has left nothing behind.
///
/// The state is encoded now, and leaves when the method ends: whether it returns or fails, since the actor goes on with
/// that state. If it panics, or is cut off by its actor's end, the state is dropped. The last state of several counts.
///
/// # Errors
/// As [`save`]; and outside of a method there is no reply.
pub fn save_with_reply<S: Serialize + ?Sized>(state: &S) -> Result<()> {
    let (body, actor) = here("save_with_reply")?;
    if body.part.as_ref().is_none_or(|part| part.doing != Doing::Call) {
        let text = "save_with_reply() is for methods, and this is none: nobody waits for a reply here; use save()";
        return Err(Misuse::Other(text.into()).into());
    }
    let state = encoded("save_with_reply", &body, state)?;
    if actor.while_it_counts(|| body.save_with_reply(state)) { Ok(()) } else { Err(over(&actor)) }
}

/// The body that is at work here, and its actor.
fn here(function: &str) -> Result<(Arc<Body>, Arc<Incarnation>)> {
    let body = Body::current().and_then(|body| body.at_work());
    let found = body.and_then(|body| body.part.as_ref().map(|part| part.of.clone()).map(|actor| (body.clone(), actor)));
    found.ok_or_else(|| {
        Misuse::Other(format!("{function}() is for the code of an actor, and none runs on this thread")).into()
    })
}

fn encoded<S: Serialize + ?Sized>(function: &str, body: &Body, state: &S) -> Result<Bytes> {
    let state = codec::encode(state)?;
    if state.len() > limits::SNAPSHOT {
        let text = format!("{function}: the state takes {} bytes and SNAPSHOT is {}", state.len(), limits::SNAPSHOT);
        return Err(Error::resource_exhausted(&body.function, text));
    }
    Ok(state)
}

fn over(actor: &Incarnation) -> Error {
    let text = "this life of the actor is over for the cluster: another one may have begun elsewhere".to_owned();
    Failure::new(FailureKind::ActorUnavailable, actor.type_name().into(), text).into()
}

/// A coroutine that stays with an actor. Dropping this changes nothing.
#[derive(Clone, Debug)]
pub(crate) struct Stays(Weak<Body>);

impl Stays {
    /// Ends it at its next step: it is dropped where it is parked. From any thread; harmless if it is over.
    pub(crate) fn cancel(&self) {
        if let Some(body) = self.0.upgrade() {
            body.fence();
        }
    }
}

/// Runs a coroutine on the loop of the actor whose code runs here, for as long as this life of the actor lasts. It is
/// neither a call nor in anybody's turn: what it calls, the actor itself included, it calls as the actor, and it must not
/// touch the actor's state. It is dropped when the actor stops (before `on_stop`), moves, fails or is cancelled; if it
/// panics, the actor fails. `function` is who asks, for errors.
///
/// # Errors
/// No actor's code runs on this thread; the actor is over; more than [`ACTOR_COROUTINES`].
pub(crate) fn spawn_with_actor(function: &str, future: impl Future<Output = ()> + 'static) -> Result<Stays> {
    let (here, actor) = here(function)?;
    let home = actor.home.clone();
    if !home.runs_local() {
        let text =
            format!("{function}() is for the thread of the actor's loop: its own code, not what it gave to others");
        return Err(Misuse::Other(text).into());
    }
    let body = actor.body(Doing::Stay);
    body.set_context(here.context());
    let stays = Stays(Arc::downgrade(&body));
    let run = Run { actor: actor.clone(), body: body.clone(), future: Some(Box::pin(future)) };
    let step = steps::spawn(&home, run);
    if actor.stay(body, step.clone(), ACTOR_COROUTINES) {
        return Ok(stays);
    }
    step.remove();
    if actor.counts() {
        let text = format!("{function}: {ACTOR_COROUTINES} timers stay with this actor already (ACTOR_COROUTINES)");
        return Err(Error::resource_exhausted(actor.type_name(), text));
    }
    Err(over(&actor))
}

/// One of them as a step of its loop.
struct Run {
    actor: Arc<Incarnation>,
    body: Arc<Body>,
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Future for Run {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(future) = &mut this.future else { return Poll::Ready(()) };
        let polled =
            if this.body.is_fenced() { Ok(Poll::Ready(())) } else { this.body.poll(future.as_mut(), cx.waker()).0 };
        if matches!(polled, Ok(Poll::Pending)) && !this.body.is_fenced() {
            return Poll::Pending;
        }
        this.future = None;
        this.body.fence_served();
        this.body.end();
        this.actor.left(&this.body);
        if let Err(panic) = polled {
            let Caught { message, location } = Caught::of(panic);
            let text = format!("a timer of it panicked: {message}");
            let mut failure = Failure::new(FailureKind::Panicked, this.actor.type_name().into(), text);
            failure.location = location;
            this.actor.home.push(Ready::Actor(this.actor.clone(), Happening::Failed(failure.into())));
        }
        Poll::Ready(())
    }
}
