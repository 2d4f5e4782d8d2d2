//! Actors that end with a group: it does not wait for them, for they never end by themselves, but stops them at its end.

use std::future::Future;
use std::sync::Arc;

use farloop_core::actor::{Address, Part};
use farloop_core::frame::Owner;

use super::{Shared, TaskGroup};
use crate::actor::{self, ActorRef, Spawn};
use crate::body::Under;
use crate::cell::Cell;
use crate::context::Context as Variables;
use crate::coro::CallSpec;
use crate::error::Result;

impl TaskGroup {
    /// Makes an actor that ends with the group, and waits until it is up. The group does not wait for it as it does for
    /// members: when these have ended, it is stopped ([`Handle::stop`](crate::actor::Handle::stop): it finishes its
    /// mailbox), and the group waits for that. What stops the members kills it, and if it fails for good, restarts not
    /// counted, that is a failure of a member.
    ///
    /// # Errors
    /// As awaiting the [`Spawn`]; [`Misuse`](crate::error::Misuse) where nothing can be added any more, and for `get_or_spawn`,
    /// which may give an actor that is somebody else's.
    #[track_caller]
    pub fn spawn<R: ActorRef>(&self, actor: Spawn<R>) -> impl Future<Output = Result<R>> + Send + use<R> {
        let group = self.clone();
        async move {
            if let Some(refusal) = group.refusal() {
                actor.close();
                return Err(refusal.into());
            }
            let actor = actor::own(actor)?;
            let (name, limit) = (actor.name_of(), actor.limit());
            let shared = group.0;
            let under = Under { body: shared.body.clone(), scope: shared.scope };
            let made = actor::Made::of(actor.begin(true, &|mut call, owner| {
                call.deadline = under.deadline();
                call.context.get_or_insert_with(Variables::current);
                under.body.on_behalf(|| under.body.home.schedule(call, owner))
            }));
            if let Some(host) = made.host.clone() {
                shared.add_actor(host);
            }
            made.up(name, limit).await
        }
    }
}

impl Shared {
    fn add_actor(self: &Arc<Self>, host: Arc<Cell>) {
        let (key, late) = {
            let mut inner = self.inner();
            inner.next += 1;
            let key = inner.next;
            inner.actors.insert(key, host.clone());
            (key, inner.aborting)
        };
        let shared = self.clone();
        host.listen_internal(move |cell| shared.member_done(key, cell));
        if late {
            host.cancel(None);
        }
    }

    /// Lets actors finish what they have.
    pub(super) fn dismiss(&self, actors: impl Iterator<Item = Arc<Cell>>) {
        for host in actors {
            let mut stop = CallSpec::bare(host.function.clone(), None, host.location);
            stop.actor = Some(Arc::new(Part::Stop(Address::Actor(host.id))));
            stop.reserved = true;
            // How it ended is told by the actor itself.
            self.body.on_behalf(|| self.body.home.schedule(stop, Owner::Await)).mark_read();
        }
    }
}
