//! `TaskGroup`: tasks that end together (asyncio rows 193-220).

mod actors;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use farloop_core::outcome::Outcome;

use super::current_body;
use super::member::GroupMember;
use crate::body::{Body, Entered, Point, Under};
use crate::body_error::cancellation;
use crate::cell::{Cell, Wakeable};
use crate::error::{Cancelled, Error, ErrorGroup, Misuse, Result};
use crate::task::Task;

/// The handle of a group of tasks that end together: clones are the same group, so that members can add more.
///
/// Made by [`TaskGroup::scope`], which returns when all members have ended.
#[derive(Clone)]
pub struct TaskGroup(Arc<Shared>);

struct Shared {
    body: Arc<Body>,
    scope: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Members that have not ended, in the order in which they were added.
    members: BTreeMap<u64, Arc<Cell>>,
    /// Those that end when the others have: they become members then.
    actors: BTreeMap<u64, Arc<Cell>>,
    next: u64,
    /// In the order in which they failed.
    errors: Vec<Error>,
    /// All are asked to stop, and nobody can be added.
    aborting: bool,
    /// The code of the block is over.
    exiting: bool,
    /// So is the group.
    over: bool,
    /// Who waits for the members.
    whom: Option<Wakeable>,
}

impl TaskGroup {
    /// Runs `body` with a new group, waits for all tasks of the group, and gives the body's value (asyncio's
    /// `async with TaskGroup()`).
    ///
    /// ```
    /// # use farloop::prelude::*;
    /// #[farloop::task]
    /// async fn add(a: i64, b: i64) -> i64 { a + b }
    ///
    /// # #[farloop::main]
    /// # async fn main() -> farloop::Result<()> {
    /// let (three, seven) = TaskGroup::scope(async |group| {
    ///     Ok((group.create_task(add(1, 2)), group.create_task(add(3, 4).name("seven"))))
    /// })
    /// .await?;
    /// assert_eq!((three.result()?, seven.result()?), (3, 7));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The first failure, of a member or of the body, stops the rest: unfinished members are cancelled, and so is
    /// the body at the await it is at. (A body that awaits nothing of farloop's at that moment, but a socket, say, is
    /// dropped there.) The group still waits until all have ended. A cancelled member is no failure.
    ///
    /// Cancelling the task cancels the members; `Cancelled` leaves the group when they have ended, unless one of them
    /// fails: failures go first, and the next await of the task raises the cancel again. **Dropping** the future of
    /// the group cancels its members and waits for nothing; so does the loss of the attempt that it runs in.
    ///
    /// # Errors
    /// [`Error::Group`] with all failures, if there is one; the task's own `Cancelled`; [`Misuse::NoCurrentTask`]
    /// outside of a task; see also [`cancel`](Self::cancel).
    #[track_caller]
    pub fn scope<T: 'static>(body: impl AsyncFnOnce(Self) -> Result<T>) -> impl Future<Output = Result<T>> {
        let location = Location::caller();
        async move {
            match run(body, location).await? {
                Some(value) => Ok(value),
                None => without_value().ok_or_else(|| Misuse::GroupCancelled.into()),
            }
        }
    }

    /// As [`scope`](Self::scope), for a group that [`cancel`](Self::cancel) may end before its body has a value: then
    /// there is none.
    ///
    /// # Errors
    /// As [`scope`](Self::scope).
    #[track_caller]
    pub fn scope_until_cancelled<T>(
        body: impl AsyncFnOnce(Self) -> Result<T>,
    ) -> impl Future<Output = Result<Option<T>>> {
        run(body, Location::caller())
    }

    /// Starts a coroutine as a member: `group.create_task(add(1, 2).name("sum"))`, or a local one,
    /// `group.create_task(farloop::local(async { .. }))`. From the body, or from a member, until the last member ends.
    ///
    /// The handle stays valid after the group. Where nothing can be added any more it has failed already, with
    /// [`Misuse::GroupShuttingDown`] or [`Misuse::GroupFinished`], and nothing was started.
    #[track_caller]
    pub fn create_task<M: GroupMember>(&self, coro: M) -> Task<M::Out> {
        if let Some(refusal) = self.refusal() {
            coro.give_up();
            let home = &self.0.body.home;
            return Task::refused(home.failed("group".into(), Location::caller(), refusal.into()));
        }
        let under = Under { body: self.0.body.clone(), scope: self.0.scope };
        let task = coro.start(under);
        let (key, late) = {
            let mut inner = self.0.inner();
            inner.next += 1;
            let key = inner.next;
            inner.members.insert(key, task.cell().clone());
            (key, inner.aborting)
        };
        let shared = self.0.clone();
        // Before any await of the task: the group reacts first (row 206).
        task.cell().listen_internal(move |cell| shared.member_done(key, cell));
        if late {
            task.cell().cancel(None);
        }
        task
    }

    /// Stops all members and the body, and leaves the group without an error. Idempotent; nothing for a group that is
    /// over.
    ///
    /// The body is cancelled at the await it is at. If it passes that on instead of returning a value,
    /// [`scope`](Self::scope) has no value: it returns `Ok(())` where the value is `()`, and otherwise fails with
    /// [`Misuse::GroupCancelled`]; [`scope_until_cancelled`](Self::scope_until_cancelled) gives `None`. Failures of
    /// members that are stopped still make an [`Error::Group`].
    pub fn cancel(&self) {
        self.0.abort();
    }

    fn refusal(&self) -> Option<Misuse> {
        let inner = self.0.inner();
        let group = || self.0.repr(&inner);
        if inner.over || inner.exiting && inner.members.is_empty() {
            return Some(Misuse::GroupFinished { group: group() });
        }
        inner.aborting.then(|| Misuse::GroupShuttingDown { group: group() })
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing user-written runs under this lock.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn member_done(&self, key: u64, cell: &Arc<Cell>) {
        let error = match cell.outcome() {
            Some(Outcome::Raised(_)) => {
                // The group tells it (row 219).
                cell.mark_read();
                cell.error()
            }
            // Cancelled, whoever asked, is no failure (row 199).
            _ => None,
        };
        let failed = error.is_some();
        let waiter = {
            let mut inner = self.inner();
            inner.members.remove(&key);
            inner.actors.remove(&key);
            inner.errors.extend(error);
            if inner.members.is_empty() { inner.whom.clone() } else { None }
        };
        if failed {
            self.abort();
        }
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Asks all to stop: members, and the body if it still runs. Once.
    fn abort(&self) {
        let (members, exiting, whom) = {
            let mut inner = self.inner();
            if inner.over || std::mem::replace(&mut inner.aborting, true) {
                return;
            }
            let members = inner.members.values().chain(inner.actors.values()).cloned().collect::<Vec<_>>();
            (members, inner.exiting, inner.whom.clone())
        };
        for member in members {
            member.cancel(None);
        }
        if !exiting {
            self.body.request_in(self.scope);
            if let Some(whom) = whom {
                // The body may be parked where no request reaches it.
                whom.wake();
            }
        }
    }

    fn repr(&self, inner: &Inner) -> String {
        let mut text = "<TaskGroup".to_owned();
        if !inner.members.is_empty() {
            text += &format!(" tasks={}", inner.members.len());
        }
        if !inner.errors.is_empty() {
            text += &format!(" errors={}", inner.errors.len());
        }
        text += if inner.aborting { " cancelling>" } else { " entered>" };
        text
    }
}

impl fmt::Debug for TaskGroup {
    /// asyncio's words: `<TaskGroup tasks=2 entered>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.repr(&self.0.inner());
        f.write_str(&text)
    }
}

/// The group while it is open. **Dropped** before its end, it stops its members.
struct Active {
    entered: Entered,
    shared: Arc<Shared>,
    /// Requests that the body had heard of before.
    at_entry: u32,
}

impl Drop for Active {
    fn drop(&mut self) {
        let members = {
            let mut inner = self.shared.inner();
            inner.over = true;
            inner.whom = None;
            [std::mem::take(&mut inner.members), std::mem::take(&mut inner.actors)]
        };
        for member in members.into_iter().flat_map(BTreeMap::into_values) {
            member.cancel(None);
            member.mark_read();
        }
    }
}

async fn run<T>(
    body: impl AsyncFnOnce(TaskGroup) -> Result<T>,
    location: &'static Location<'static>,
) -> Result<Option<T>> {
    let entered = Entered::of(current_body("TaskGroup", location)?);
    let at_entry = entered.heard_outside();
    let shared = Arc::new(Shared { body: entered.body().clone(), scope: entered.id(), inner: Mutex::default() });
    let active = Active { entered, shared: shared.clone(), at_entry };
    let end = {
        let mut code = pin!(Some(body(TaskGroup(shared.clone()))));
        std::future::poll_fn(|cx| {
            shared.inner().whom = Some(Wakeable::of(cx.waker()));
            let polled = active.entered.poll(cx, |cx| match code.as_mut().as_pin_mut() {
                Some(code) => code.poll(cx),
                None => Poll::Pending,
            });
            if polled.is_pending() && active.entered.is_unheard() {
                // Parked at nothing of ours: nobody there can be told.
                code.set(None);
                return Poll::Ready(Err(active.entered.delivery()));
            }
            polled
        })
        .await
    };
    shared.inner().exiting = true;
    if end.is_err() {
        shared.abort();
    }
    let mut point = Point::default();
    let mut asked = None;
    std::future::poll_fn(|cx| active.wait(&mut point, &mut asked, cx)).await;
    drop(point);
    active.leave(end, asked)
}

impl Active {
    /// Waits for the members, whatever is asked meanwhile.
    fn wait(&self, point: &mut Point, asked: &mut Option<Error>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            {
                let mut inner = self.shared.inner();
                if inner.members.is_empty() {
                    let actors = std::mem::take(&mut inner.actors);
                    if actors.is_empty() {
                        return Poll::Ready(());
                    }
                    inner.members.clone_from(&actors);
                    drop(inner);
                    self.shared.dismiss(actors.into_values());
                    continue;
                }
                inner.whom = Some(Wakeable::of(cx.waker()));
            }
            match point.local(cx) {
                Ok(()) => return Poll::Pending,
                Err(error) => {
                    // The point is outside of the group's own scope: it was asked from there.
                    asked.get_or_insert(error);
                    self.shared.abort();
                }
            }
        }
    }

    /// What the group ends with: failures first, then a cancel from outside, then the body's value. None: it was
    /// stopped by [`TaskGroup::cancel`] and the body has no value.
    fn leave<T>(self, end: Result<T>, asked: Option<Error>) -> Result<Option<T>> {
        let mut errors = {
            let mut inner = self.shared.inner();
            inner.over = true;
            std::mem::take(&mut inner.errors)
        };
        let outside = self.entered.outside() > self.at_entry;
        let own = self.entered.has_asked();
        let (value, cancelled) = match end {
            Ok(value) => (Some(value), None),
            Err(error) if cancellation(&error).is_some() => (None, Some(error)),
            Err(error) => {
                errors.push(error);
                (None, None)
            }
        };
        if !errors.is_empty() {
            if outside {
                // Failures go first; the next await gets the cancel (3.13, row 203).
                let words = asked.as_ref().or(cancelled.as_ref()).and_then(|error| cancellation(error));
                self.entered.ask_again(words.and_then(Cancelled::message).map(str::to_owned));
            }
            return Err(Error::Group(ErrorGroup::new(errors)));
        }
        match (asked, cancelled) {
            (Some(asked), _) => Err(asked),
            (None, Some(error)) if outside || !own => Err(error),
            (None, _) => Ok(value),
        }
    }
}

/// The value of a body that has none: there is one where the type says nothing.
fn without_value<T: 'static>() -> Option<T> {
    let mut unit = Some(());
    (&mut unit as &mut dyn Any).downcast_mut::<Option<T>>()?.take()
}
