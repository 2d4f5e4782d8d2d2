//! Scopes around a piece of a body: [`timeout`](timeout::timeout) limits its time, [`TaskGroup`]
//! keeps what it starts together.
//!
//! Both ask the code inside them to stop, and only that code (`body::scopes` has how); both undo their own request at
//! their edge and let one from outside pass.

pub mod group;
mod member;
pub mod timeout;

use std::panic::Location;
use std::sync::Arc;

pub use self::group::TaskGroup;
pub use self::member::GroupMember;
pub use self::timeout::{Timeout, timeout, timeout_at, timeout_with};
use crate::ambient;
use crate::body::Body;
use crate::error::{Error, Misuse, Result};

/// The task whose body enters a scope (asyncio rows 177, 178, 214).
fn current_body(what: &str, location: &'static Location<'static>) -> Result<Arc<Body>> {
    match Body::current() {
        Some(body) => Ok(body),
        None if ambient::find().is_none() => Err(Error::no_running_loop(location)),
        None => Err(Misuse::NoCurrentTask { what: what.to_owned() }.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;
    use std::time::Duration;

    use farloop_core::frame::{Role, Up};
    use farloop_core::link::Item;

    use super::*;
    use crate::body::{Entered, Who};
    use crate::cell::{Cell, Kind};
    use crate::event_loop::LoopShared;
    use crate::session::SessionShared;

    /// What calls tell the coordinator of the time that is left: nothing of theirs is late by less than a second.
    #[tokio::test(start_paused = true)]
    async fn l19_the_nearest_deadline_travels_with_what_an_await_owns() {
        let session = SessionShared::new(Role::Client, "test".into());
        let home = LoopShared::new(session.clone(), None);
        let here = Location::caller();
        let cell = Cell::new(crate::session::new_id(), "main".into(), None, here, home.clone(), Kind::Promise);
        let body = Body::new(Who::Local(cell), "main".into(), None, home);
        let seconds = |n| tokio::time::Instant::now() + Duration::from_secs(n);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        body.on_behalf(|| {
            let owned = || drop(crate::task::IntoTask::into_owned_task(crate::call("demo.f").returns::<()>()));
            let free = || drop(crate::ensure_future(crate::call("demo.f").returns::<()>()));
            let outer = Entered::of(body.clone());
            body.set_deadline(outer.id(), Some(seconds(10)));
            let _: Poll<()> = outer.poll(&mut cx, |cx| {
                owned();
                free();
                let inner = Entered::of(body.clone());
                for deadline in [None, Some(seconds(20)), Some(seconds(5))] {
                    body.set_deadline(inner.id(), deadline);
                    let _: Poll<()> = inner.poll(cx, |_| {
                        owned();
                        Poll::Pending
                    });
                }
                // It has expired: what is called now is cleanup, and only the outer one counts.
                body.request_in(inner.id());
                let _: Poll<()> = inner.poll(cx, |_| {
                    owned();
                    Poll::Pending
                });
                Poll::Pending
            });
            drop(outer);
            owned();
        });
        let frames = session.poll_batch(true).map(|batch| batch.items).unwrap_or_default();
        let told = frames.into_iter().filter_map(|item| match item {
            Item::Frame(Up::Submit(submit)) => Some(submit.within.map(|left| left.as_secs())),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), [Some(10), None, Some(10), Some(10), Some(5), Some(10), None]);
    }
}
