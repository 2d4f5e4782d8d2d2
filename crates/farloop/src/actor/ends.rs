//! How an actor ends, and who hears of it.

use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use farloop_core::actor::Part;
use farloop_core::frame::Owner;
use farloop_core::id::TaskId;

use super::Handle;
use super::handle::Found;
use crate::ambient;
use crate::cell::{Cell, Kind};
use crate::coro::{self, Coro};
use crate::error::{Error, Result};
use crate::event_loop::LoopShared;
use crate::task::{IntoTask, Task, read_value};

impl Handle {
    /// Lets the actor finish its mailbox and stop: the calls that were accepted before run, later ones are refused
    /// ([`Error::ActorDied`]), `on_stop` runs, and then this returns. A coroutine: nothing is asked until it is awaited or
    /// scheduled, and who gives up waiting does not call the stop off.
    ///
    /// An actor that is made on demand is made again by the next call of its name.
    ///
    /// # Errors
    /// [`Error::ActorDied`], if it was over already; what `on_stop` failed with.
    #[track_caller]
    pub fn stop(&self) -> Coro<()> {
        let stop = Part::Stop(self.address().clone());
        Coro::from_spec(coro::about(self.definition(), stop, Location::caller()))
    }

    /// Ends the actor now: the call that runs is dropped at its next await (its caller gets [`Error::ActorDied`], and may
    /// not know how far it came), those that wait are refused, `on_stop` does not run. Returns when it is over; nothing
    /// if it was. **Dropped** before the first poll it does nothing; later, the request stands.
    ///
    /// # Errors
    /// [`Error::ActorDied`], if nobody has the name that this reference goes by; `Cancelled` of the waiting task.
    #[track_caller]
    pub fn kill(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let (handle, location) = (self.clone(), Location::caller());
        async move {
            let id = handle.resolve(location).await?;
            Task::<()>::attach(id).cancel("killed");
            match crate::shield(Task::<()>::attach(id)).await {
                Err(Error::Cancelled(cancelled)) if cancelled.is_mine() => Err(Error::Cancelled(cancelled)),
                Err(lost @ (Error::SessionLost(_) | Error::LoopClosed | Error::NoRunningLoop(_))) => Err(lost),
                // However it ended, it has.
                _ => Ok(()),
            }
        }
    }

    /// How the actor ends, once it does, restarts not counted: a value if it was stopped; `Cancelled` if it was killed, or
    /// ended with its owner; else why it failed and does not start again. Of one that ended before it is known for as long
    /// as outcomes are kept.
    ///
    /// Watching changes nothing for the actor: to cancel this task, or the body that awaits it, ends the watch.
    #[track_caller]
    #[must_use = "a watch tells nobody unless it is awaited, or has a callback"]
    pub fn watch(&self) -> Task<()> {
        let location = Location::caller();
        let Some(home) = ambient::find() else {
            return Task::refused(ambient::nowhere(self.type_name().into(), location));
        };
        if let Some(id) = self.id() {
            return crate::shield(Task::<()>::attach(id)).into_task();
        }
        let function = Arc::from(self.type_name());
        let ended = Cell::new(crate::session::new_id(), function, None, location, home.clone(), Kind::Promise);
        // Whoever does not look at it does not miss it.
        ended.mark_read();
        let found = home.schedule(self.find::<Found>(location).take(), Owner::Root);
        found.mark_read();
        let mirror = ended.clone();
        found.listen_internal(move |found| match (read_value::<Found>(found), found.error()) {
            (_, Some(error)) | (Err(error), None) => drop(mirror.complete_with(error.to_outcome(), Some(error))),
            (Ok(Found(id)), None) => follow(&home, id, location, mirror),
        });
        Task::from_cell(ended, read_value::<()>)
    }
}

/// Ends `mirror` as that task ends.
fn follow(home: &Arc<LoopShared>, id: TaskId, location: &'static Location<'static>, mirror: Arc<Cell>) {
    home.session().attach(home, id, location).listen_internal(move |host| {
        if let Some(outcome) = host.outcome() {
            mirror.complete_with(outcome, host.error());
        }
    });
}
