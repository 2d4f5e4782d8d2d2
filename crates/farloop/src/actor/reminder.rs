//! Calls that are made later.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use farloop_core::actor::{Part, Reminder};
use farloop_core::frame::Owner;

use super::calling::no_call;
use crate::ambient;
use crate::coro::CallSpec;
use crate::error::{Error, Misuse, Result};
use crate::task::{Task, read_value};

/// A reminder that is not set yet: what [`Coro::remind`](crate::Coro::remind) gives. [`start`](Self::start) sets it.
///
/// **Dropping** it sets nothing.
#[must_use = "a reminder is not set until start()"]
pub struct Remind {
    call: CallSpec,
    name: Arc<str>,
    first: Duration,
    every: Option<Duration>,
    location: &'static Location<'static>,
}

impl Remind {
    pub(crate) fn of(call: CallSpec, name: Arc<str>, first: Duration, location: &'static Location<'static>) -> Self {
        Self { call, name, first, every: None, location }
    }

    /// After the first time, again and again, until it is cancelled. A call that is under way when the next one is due
    /// does not hold it up; those that were missed while the coordinator was down are not made up for.
    pub fn every(self, period: Duration) -> Self {
        Self { every: Some(period), ..self }
    }

    /// Sets it, and returns at once. The task is the reminder: it belongs to nobody and outlives this program, it ends
    /// when it was due, or never if it is due again and again, and to [`cancel`](Task::cancel) it is to take the reminder
    /// back. Keep its id ([`Task::id`]) to do that from elsewhere.
    ///
    /// # Errors
    /// No loop; not a call of an actor; an argument that is another task, or does not encode; a period of zero.
    pub fn start(self) -> Result<Task<()>> {
        let Self { call, name, first, every, location } = self;
        let Some(home) = ambient::find() else { return Err(Error::no_running_loop(location)) };
        let Some(to) = call.actor.as_deref().and_then(|part| match part {
            Part::Call { to, .. } => Some(to.clone()),
            _ => None,
        }) else {
            return Err(no_call(&call.function));
        };
        if every == Some(Duration::ZERO) {
            return Err(Misuse::Other("a reminder that is due every 0 seconds would never pause".into()).into());
        }
        let (definition, function) = (call.definition, call.function.clone());
        let call = call.into_spec()?;
        let reminder = Reminder { to, name: name.clone(), first, every, call: Arc::new(call) };
        // Its function is the type of the actor: what is before the last dot.
        let of = function.rsplit_once('.').map_or(&*function, |(of, _)| of).into();
        let mut set = CallSpec::bare(of, definition, location);
        set.name = Some(name);
        set.detached = true;
        set.actor = Some(Arc::new(Part::Remind(reminder)));
        let cell = home.schedule(set, Owner::Nobody);
        match cell.error().filter(|_| cell.is_done()) {
            Some(error) => {
                cell.mark_read();
                Err(error)
            }
            None => Ok(Task::from_cell(cell, read_value::<()>)),
        }
    }
}

impl fmt::Debug for Remind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remind")
            .field("name", &self.name)
            .field("call", &self.call.function)
            .field("first", &self.first)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}
