//! `gather`: many into one, in argument order (L8, asyncio rows 80-114).

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use farloop_core::id::TaskId;
use farloop_core::outcome::{Cancellation, Outcome};

use super::distinct;
use crate::ambient;
use crate::arg::{Arg, ArgHandle, DependencyRef, IntoArg};
use crate::cell::{Cell, Kind};
use crate::error::{Cancelled, Error, Misuse, Result};
use crate::task::{CancelMessage, IntoTask, Read, Task, read_outcome, same_loop};

/// The members of a gather, and what has happened to it.
pub(crate) struct GatherState {
    members: Vec<Arc<Cell>>,
    /// The members' readers, as the shape (tuple, list) needs them.
    readers: Box<dyn Any + Send + Sync>,
    settled: bool,
    inner: Mutex<Inner>,
}

struct Inner {
    remaining: usize,
    requested: Option<Option<String>>,
}

impl GatherState {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Only counting happens under this lock.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn members(&self) -> &[Arc<Cell>] {
        &self.members
    }

    fn readers<R: 'static>(&self) -> &R {
        self.readers.downcast_ref().expect("a gather is read by the shape that made it")
    }

    pub(crate) fn remote_ids(&self, into: &mut Vec<TaskId>) {
        for member in &self.members {
            member.remote_ids(into);
        }
    }

    /// Cancels every unfinished member; true if one accepted (row 95).
    pub(crate) fn cancel(&self, message: Option<String>) -> bool {
        let mut any = false;
        for member in distinct(self.members.iter()) {
            any |= !member.is_done() && member.cancel(message.clone());
        }
        if any {
            self.inner().requested.get_or_insert(message);
        }
        any
    }

    /// The members as one list argument; only tasks of the cluster can stand for arguments.
    pub(crate) fn as_list<A>(&self) -> Arg<A> {
        let mut list = Vec::with_capacity(self.members.len());
        for member in &self.members {
            if !matches!(member.kind, Kind::Remote) {
                return Arg::Failed(member.error().unwrap_or(Error::Misuse(Misuse::NotATask)));
            }
            list.push(DependencyRef::new(member.id, member.home.session().id().0));
        }
        Arg::List(list)
    }

    fn cancelled_by_request(&self) -> Option<Option<String>> {
        let requested = self.inner().requested.clone()?;
        // A request that found all members finished at the coordinator cancelled nothing (row 98).
        let counted =
            self.members.iter().any(|m| m.cancel_accepted() || matches!(m.outcome(), Some(Outcome::Cancelled(_))));
        counted.then_some(requested)
    }
}

impl Cell {
    fn gather_state(&self) -> &GatherState {
        match &self.kind {
            Kind::Gather(state) => state,
            Kind::Shield(inner) => inner.gather_state(),
            _ => unreachable!("only a gather, or a shield around one, is read as a gather"),
        }
    }

    /// A member ended: the first failure surfaces at once, the others go on and count as read (rows 87-89).
    fn member_done(self: &Arc<Self>, member: &Arc<Self>) {
        let state = self.gather_state();
        member.mark_read();
        if self.is_done() {
            return;
        }
        let left = {
            let mut inner = state.inner();
            inner.remaining = inner.remaining.saturating_sub(1);
            inner.remaining
        };
        self.judge(member, left == 0);
    }

    fn judge(self: &Arc<Self>, member: &Arc<Self>, last: bool) {
        let state = self.gather_state();
        if !state.settled {
            match member.outcome() {
                Some(Outcome::Raised(failure)) => {
                    self.complete_with(Outcome::Raised(failure), member.error());
                    return;
                }
                Some(Outcome::Cancelled(cancellation)) => {
                    let message = state.cancelled_by_request().unwrap_or_else(|| cancellation.message.clone());
                    self.end_cancelled(message);
                    return;
                }
                _ => {}
            }
        }
        if last {
            match state.cancelled_by_request() {
                Some(message) => self.end_cancelled(message),
                None => {
                    self.complete(Outcome::Returned(Bytes::new()));
                }
            }
        }
    }

    fn end_cancelled(self: &Arc<Self>, message: Option<String>) {
        let error = Error::Cancelled(Cancelled::news(message.clone()));
        self.complete_with(Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false })), Some(error));
    }
}

/// The handle of a gather: a future of its own. **Active** from the call on; dropping it cancels nothing.
///
/// Awaiting it gives all values in argument order, or the first error at the moment it happens, while the other
/// members go on. Cancelling whoever awaits it cancels all members.
pub struct Gather<O>(Task<O>);

impl<O> Gather<O> {
    /// Cancels every unfinished member; true if at least one was not done (asyncio row 95). The gather ends when
    /// they have ended, with `Cancelled`.
    pub fn cancel(&self, message: impl Into<CancelMessage>) -> bool {
        self.0.cancel(message)
    }

    /// Whether it is over.
    #[must_use]
    pub fn done(&self) -> bool {
        self.0.done()
    }

    /// Always false, as in asyncio (rows 91, 97): a gather fails with `Cancelled`, it is not cancelled.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.0.cancelled()
    }

    /// The values, without waiting.
    ///
    /// # Errors
    /// As [`Task::result`].
    pub fn result(&self) -> Result<O> {
        self.0.result()
    }

    /// The error, without waiting.
    ///
    /// # Errors
    /// As [`Task::exception`].
    pub fn exception(&self) -> Result<Option<Error>> {
        self.0.exception()
    }

    /// As [`Task::add_done_callback`].
    pub fn add_done_callback(&self, f: impl FnOnce(&Task<O>) + Send + 'static) -> crate::CallbackId
    where
        O: 'static,
    {
        self.0.add_done_callback(f)
    }

    /// Ids of the members that are tasks of the cluster, in order.
    #[must_use]
    pub fn members(&self) -> Vec<TaskId> {
        match &self.0.cell().kind {
            Kind::Gather(state) => state.members().iter().map(|m| m.id).collect(),
            _ => Vec::new(),
        }
    }
}

impl<O> Clone for Gather<O> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<O> Unpin for Gather<O> {}

impl<O> Future for Gather<O> {
    type Output = Result<O>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<O>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<O> fmt::Debug for Gather<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<O> IntoArg<O> for Gather<O> {
    fn into_arg(self) -> Arg<O> {
        (&self).into_arg()
    }
}
impl<O> IntoArg<O> for &Gather<O> {
    fn into_arg(self) -> Arg<O> {
        ArgHandle::as_arg(self)
    }
}
impl<O> ArgHandle for Gather<O> {
    fn as_arg<A>(&self) -> Arg<A> {
        self.0.as_arg()
    }
}

impl<O> IntoTask for Gather<O> {
    type Out = O;
    fn into_task(self) -> Task<O> {
        self.0
    }
    fn check(&self) -> Result<()> {
        same_loop(self.0.cell())
    }
}

impl<O> IntoTask for &Gather<O> {
    type Out = O;
    fn into_task(self) -> Task<O> {
        self.0.clone()
    }
    fn check(&self) -> Result<()> {
        same_loop(self.0.cell())
    }
}

/// What [`gather`] takes: a tuple of up to twelve, a `Vec` or an array.
#[diagnostic::on_unimplemented(
    message = "gather() takes a tuple, a Vec or an array of coroutines and tasks",
    note = "for any other collection: `gather_all(iter)`; one future alone needs no gather: await it"
)]
pub trait GatherArgs {
    /// Values of all, in order.
    type Out;
    /// Results of all, in order.
    type Settled;
    #[doc(hidden)]
    fn gather(self, location: &'static Location<'static>) -> Gather<Self::Out>;
    #[doc(hidden)]
    fn settled(self, location: &'static Location<'static>) -> Gather<Self::Settled>;
}

/// Runs all, concurrently, and gives their values in argument order.
///
/// Starts everything at once, in argument order, after all local checks: if one argument can't be encoded or
/// belongs to another loop, none is started. The first error surfaces at once; the others are neither cancelled nor
/// forgotten (asyncio rows 81-89). [`gather_settled`] collects errors instead.
#[track_caller]
pub fn gather<G: GatherArgs>(members: G) -> Gather<G::Out> {
    members.gather(Location::caller())
}

/// As [`gather`], for anything that can be iterated.
#[track_caller]
pub fn gather_all<A>(members: impl IntoIterator<Item = A>) -> Gather<Vec<A::Out>>
where
    A: IntoTask,
    A::Out: 'static,
{
    start_list(members, false, read_list::<A::Out>, Location::caller())
}

/// Runs all and waits for all: errors and cancellations of members stand in the list (asyncio's
/// `return_exceptions=True`). The waiter's own cancel is still the outer error.
#[track_caller]
pub fn gather_settled<G: GatherArgs>(members: G) -> Gather<G::Settled> {
    members.settled(Location::caller())
}

/// As [`gather_settled`], for anything that can be iterated.
#[track_caller]
pub fn gather_settled_all<A>(members: impl IntoIterator<Item = A>) -> Gather<Vec<Result<A::Out>>>
where
    A: IntoTask,
    A::Out: 'static,
{
    start_list(members, true, read_list_settled::<A::Out>, Location::caller())
}

fn read_list<T: 'static>(cell: &Arc<Cell>) -> Result<Vec<T>> {
    let state = cell.gather_state();
    let readers: &Vec<Read<T>> = state.readers();
    state.members.iter().zip(readers).map(|(m, read)| read_outcome(m, *read)).collect()
}

fn read_list_settled<T: 'static>(cell: &Arc<Cell>) -> Result<Vec<Result<T>>> {
    let state = cell.gather_state();
    let readers: &Vec<Read<T>> = state.readers();
    Ok(state.members.iter().zip(readers).map(|(m, read)| read_outcome(m, *read)).collect())
}

fn start_list<A, O>(
    members: impl IntoIterator<Item = A>,
    settled: bool,
    read: Read<O>,
    location: &'static Location<'static>,
) -> Gather<O>
where
    A: IntoTask,
    A::Out: 'static,
{
    let members: Vec<A> = members.into_iter().collect();
    if let Some(error) = members.iter().find_map(|m| m.check().err()) {
        members.into_iter().for_each(IntoTask::discard);
        return refused(error, read, location);
    }
    let tasks: Vec<Task<A::Out>> = members.into_iter().map(IntoTask::into_member).collect();
    let readers: Vec<Read<A::Out>> = tasks.iter().map(Task::reader).collect();
    let cells = tasks.iter().map(|t| t.cell().clone()).collect();
    finish(cells, Box::new(readers), settled, read, location)
}

fn refused<O>(error: Error, read: Read<O>, location: &'static Location<'static>) -> Gather<O> {
    let cell = match ambient::find() {
        Some(home) => home.failed("gather".into(), location, error),
        None => ambient::nowhere("gather".into(), location),
    };
    Gather(Task::from_cell(cell, read))
}

fn finish<O>(
    members: Vec<Arc<Cell>>,
    readers: Box<dyn Any + Send + Sync>,
    settled: bool,
    read: Read<O>,
    location: &'static Location<'static>,
) -> Gather<O> {
    let Some(home) = ambient::find() else {
        return Gather(Task::from_cell(ambient::nowhere("gather".into(), location), read));
    };
    let distinct = distinct(members.iter());
    let all_done = distinct.iter().all(|m| m.is_done());
    let inner = Mutex::new(Inner { remaining: distinct.len(), requested: None });
    let state = GatherState { members, readers, settled, inner };
    let cell = Cell::new(crate::session::new_id(), "gather".into(), None, location, home, Kind::Gather(state));
    if all_done {
        // From 3.12: done at once (row 107); of several failures the first argument's.
        let mut left = distinct.len();
        for member in &distinct {
            left -= 1;
            member.mark_read();
            if !cell.is_done() {
                cell.judge(member, left == 0);
            }
        }
        if distinct.is_empty() {
            cell.complete(Outcome::Returned(Bytes::new()));
        }
    } else {
        for member in distinct {
            let gather = cell.clone();
            member.listen_internal(move |member| gather.member_done(member));
        }
    }
    Gather(Task::from_cell(cell, read))
}

impl<A: IntoTask> GatherArgs for Vec<A>
where
    A::Out: 'static,
{
    type Out = Vec<A::Out>;
    type Settled = Vec<Result<A::Out>>;
    fn gather(self, location: &'static Location<'static>) -> Gather<Self::Out> {
        start_list(self, false, read_list::<A::Out>, location)
    }
    fn settled(self, location: &'static Location<'static>) -> Gather<Self::Settled> {
        start_list(self, true, read_list_settled::<A::Out>, location)
    }
}

impl<A: IntoTask, const N: usize> GatherArgs for [A; N]
where
    A::Out: 'static,
{
    type Out = Vec<A::Out>;
    type Settled = Vec<Result<A::Out>>;
    fn gather(self, location: &'static Location<'static>) -> Gather<Self::Out> {
        Vec::from(self).gather(location)
    }
    fn settled(self, location: &'static Location<'static>) -> Gather<Self::Settled> {
        Vec::from(self).settled(location)
    }
}

impl GatherArgs for () {
    type Out = ();
    type Settled = ();
    fn gather(self, location: &'static Location<'static>) -> Gather<()> {
        finish(Vec::new(), Box::new(()), false, |_| Ok(()), location)
    }
    fn settled(self, location: &'static Location<'static>) -> Gather<()> {
        finish(Vec::new(), Box::new(()), true, |_| Ok(()), location)
    }
}

macro_rules! tuples {
    ($($name:ident $at:tt),+) => {
        impl<$($name: IntoTask),+> GatherArgs for ($($name,)+)
        where
            $($name::Out: 'static),+
        {
            type Out = ($($name::Out,)+);
            type Settled = ($(Result<$name::Out>,)+);

            fn gather(self, location: &'static Location<'static>) -> Gather<Self::Out> {
                let read: Read<Self::Out> = |cell| {
                    let state = cell.gather_state();
                    let readers: &($(Read<$name::Out>,)+) = state.readers();
                    Ok(($(read_outcome(&state.members[$at], readers.$at)?,)+))
                };
                let error = None$(.or_else(|| self.$at.check().err()))+;
                if let Some(error) = error {
                    $(self.$at.discard();)+
                    return refused(error, read, location);
                }
                let tasks = ($(self.$at.into_member(),)+);
                let readers = Box::new(($(tasks.$at.reader(),)+));
                finish(vec![$(tasks.$at.cell().clone()),+], readers, false, read, location)
            }

            fn settled(self, location: &'static Location<'static>) -> Gather<Self::Settled> {
                let read: Read<Self::Settled> = |cell| {
                    let state = cell.gather_state();
                    let readers: &($(Read<$name::Out>,)+) = state.readers();
                    Ok(($(read_outcome(&state.members[$at], readers.$at),)+))
                };
                let error = None$(.or_else(|| self.$at.check().err()))+;
                if let Some(error) = error {
                    $(self.$at.discard();)+
                    return refused(error, read, location);
                }
                let tasks = ($(self.$at.into_member(),)+);
                let readers = Box::new(($(tasks.$at.reader(),)+));
                finish(vec![$(tasks.$at.cell().clone()),+], readers, true, read, location)
            }
        }
    };
}

tuples!(A 0);
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
