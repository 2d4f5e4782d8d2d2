//! What a call of an actor can do that a call of a function cannot.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use farloop_core::actor::Part;
use farloop_core::frame::Owner;

use super::Remind;
use crate::ambient;
use crate::coro::Coro;
use crate::error::{Error, Misuse, Result};

impl<T> Coro<T> {
    /// A call of an actor whose mailbox is full, or in whose mailbox this caller has its share already, waits for room,
    /// instead of being refused ([`Error::ResourceExhausted`]). Its place among the calls of this caller is that of its
    /// sending. Without effect on calls of functions: these wait for a worker anyway.
    pub fn waits(self) -> Self {
        self.with(|call| {
            if let Some(actor) = &mut call.actor
                && let Part::Call { waits, .. } = Arc::make_mut(actor)
            {
                *waits = true;
            }
        })
    }

    /// Sends the call, and nobody waits for it or owns it: it goes on when this session, or the body that sent it, is
    /// over, and what becomes of it is not told here (asyncio has no word for this; Erlang's `!`, Ray's unread calls).
    ///
    /// Sent, it is on its way; it need not have arrived. Calls of one caller keep their order, told ones too.
    ///
    /// # Errors
    /// What is known here and now: no loop, or a closed one; a full buffer of the session; arguments that do not encode.
    #[track_caller]
    pub fn tell(self) -> Result<()> {
        let mut call = self.take();
        call.detached = true;
        let Some(home) = ambient::find() else { return Err(Error::no_running_loop(Location::caller())) };
        let cell = home.schedule(call, Owner::Nobody);
        // A failure is nobody's business, so no report of an unread one.
        cell.mark_read();
        if cell.is_done() {
            return cell.error().map_or(Ok(()), Err);
        }
        cell.release();
        Ok(())
    }

    /// Makes a reminder of a call of an actor: the cluster makes the call `first` from now, whether or not the actor is at
    /// some worker then, and with [`every`](Remind::every) again and again. An actor that is made on demand is woken for
    /// it. A reminder of the same name, of the same actor, takes the place of an older one.
    ///
    /// ```no_run
    /// # use farloop::prelude::*;
    /// # struct Till;
    /// # #[farloop::actor(on_demand)]
    /// # impl Till {
    /// #     pub fn new(name: String) -> Self { drop(name); Till }
    /// #     pub async fn close(&mut self) {}
    /// # }
    /// # async fn f() -> farloop::Result<()> {
    /// let day = Duration::from_secs(24 * 3_600);
    /// let closing = Till::at("shop-3").close().remind("closing", Duration::from_secs(3_600)).every(day).start()?;
    /// closing.cancel("the shop is no more"); // or in another program: Task::<()>::attach(id).cancel(())
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn remind(self, name: impl Into<String>, first: Duration) -> Remind {
        Remind::of(self.take(), name.into().into(), first, Location::caller())
    }
}

/// What a reminder of something else than a call says.
pub(crate) fn no_call(function: &str) -> Error {
    Misuse::Other(format!("only a call of an actor can be a reminder, and {function} is none")).into()
}
