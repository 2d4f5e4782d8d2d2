//! Timers of an actor: calls that it makes itself, as long as it is there.

use std::time::Duration;

use super::here::{self, Stays};
use super::{ActorRef, Handle};
use crate::coro::Coro;
use crate::error::{Misuse, Result};
use crate::task::ensure_future;

/// A timer that stays with an actor. **Dropping** it changes nothing; [`cancel`](Self::cancel) ends it.
#[derive(Clone, Debug)]
pub struct Timer(Stays);

impl Timer {
    /// Ends it: no further call is made. One that is under way is cancelled, unless it was told or scheduled. Harmless if
    /// it is over.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

/// Makes a call every so often, the first time after one period, for as long as this incarnation of the actor lasts; for
/// what must outlive that there is [`Coro::remind`]. It is set by the actor's own code, in `on_start` say:
///
/// ```
/// # use farloop::prelude::*;
/// # use farloop::actor;
/// struct Cache {
///     entries: Vec<String>,
/// }
///
/// #[farloop::actor]
/// impl Cache {
///     pub fn new() -> Self {
///         Cache { entries: Vec::new() }
///     }
///     pub async fn sweep(&mut self) {
///         self.entries.clear();
///     }
///     async fn on_start(&mut self) -> farloop::Result<()> {
///         let me = actor::this::<CacheRef>()?;
///         actor::every(Duration::from_secs(60), move || me.sweep())?;
///         Ok(())
///     }
/// }
/// # fn main() {}
/// ```
///
/// A tick is a call like those of others: it waits for its turn, and the state is the method's. The next period begins
/// when the call has ended, so ticks never pile up. One that fails is reported once
/// ([`set_exception_handler`](crate::set_exception_handler)), and the timer goes on. `call` itself runs on the actor's
/// loop, beside its methods, so it does not touch the state; if it panics, the actor fails.
///
/// # Errors
/// No actor's code runs here; the actor is over; it has too many timers (`ACTOR_COROUTINES`).
pub fn every<T: serde::de::DeserializeOwned + 'static>(
    period: Duration,
    mut call: impl FnMut() -> Coro<T> + 'static,
) -> Result<Timer> {
    if period.is_zero() {
        return Err(Misuse::Other("a timer that rings every 0 seconds would never pause".into()).into());
    }
    let ticks = async move {
        while crate::sleep(period).await.is_ok() {
            ring(call()).await;
        }
    };
    here::spawn_with_actor("every", ticks).map(Timer)
}

/// Makes a call once, after a while, if this incarnation of the actor is still there. See [`every`].
///
/// # Errors
/// As [`every`].
pub fn after<T: serde::de::DeserializeOwned + 'static>(
    delay: Duration,
    call: impl FnOnce() -> Coro<T> + 'static,
) -> Result<Timer> {
    let once = async move {
        if crate::sleep(delay).await.is_ok() {
            ring(call()).await;
        }
    };
    here::spawn_with_actor("after", once).map(Timer)
}

/// Waits for the end of a call. Nobody reads how it ended: an error is reported.
async fn ring<T: serde::de::DeserializeOwned>(call: Coro<T>) {
    let cancel = CancelOnDrop(ensure_future(call));
    let _ = crate::wait([&cancel.0]).await;
}

/// What a timer has called ends with it.
struct CancelOnDrop<T>(crate::Task<T>);

impl<T> Drop for CancelOnDrop<T> {
    fn drop(&mut self) {
        if !self.0.done() {
            self.0.cancel(());
        }
    }
}

/// The actor whose code runs here, to call it later or to give it to others: `actor::this::<CounterRef>()`.
///
/// To await a call of oneself in a method is to wait for a turn that does not come: that is found, and answered with
/// [`Error::Deadlock`](crate::Error::Deadlock), unless both methods interleave.
///
/// # Errors
/// No actor's code runs here, or that of another type.
pub fn this<R: ActorRef>() -> Result<R> {
    let (id, of) = here::who("this")?;
    if *of != *R::DEFINITION.name {
        let text = format!("this code is that of an actor of type {of}, not {}", R::DEFINITION.name);
        return Err(Misuse::Other(text).into());
    }
    Ok(R::from(Handle::new(R::DEFINITION, farloop_core::actor::Address::Actor(id), None)))
}
