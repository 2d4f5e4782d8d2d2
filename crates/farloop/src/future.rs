//! A future that somebody completes by hand (asyncio's `loop.create_future()`, rows 49-61).

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use farloop_core::outcome::{Cancellation, Outcome};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ambient;
use crate::cell::{Cell, Kind};
use crate::error::{Error, InvalidState, Result};
use crate::event_loop::LoopShared;
use crate::task::{CancelMessage, Task, read_value};

/// The reading side: a handle like a task's, whose `cancel` takes effect at once (asyncio row 51).
pub type Fut<T> = Task<T>;

/// The completing side. **Dropped** without a result, the future fails with `BrokenPromise`, so that nobody waits for
/// ever (asyncio row 57 leaves them waiting).
pub struct Promise<T> {
    cell: Arc<Cell>,
    marker: PhantomData<fn(T)>,
}

/// Makes a pending future on the ambient loop.
#[track_caller]
#[must_use]
pub fn create_future<T: Serialize + DeserializeOwned>() -> (Promise<T>, Fut<T>) {
    let location = Location::caller();
    match ambient::find() {
        Some(home) => create_on(&home, location),
        None => of_cell(ambient::nowhere("future".into(), location)),
    }
}

/// As [`create_future`], on this loop.
pub(crate) fn create_on<T: Serialize + DeserializeOwned>(
    home: &Arc<LoopShared>,
    location: &'static Location<'static>,
) -> (Promise<T>, Fut<T>) {
    of_cell(Cell::new(crate::session::new_id(), "future".into(), None, location, home.clone(), Kind::Promise))
}

fn of_cell<T: DeserializeOwned>(cell: Arc<Cell>) -> (Promise<T>, Fut<T>) {
    (Promise { cell: cell.clone(), marker: PhantomData }, Task::from_cell(cell, read_value::<T>))
}

impl<T: Serialize> Promise<T> {
    /// Completes with a value.
    ///
    /// # Errors
    /// `InvalidState` if it is done, cancelled included; nothing changes then (asyncio row 50).
    pub fn set_result(&self, value: T) -> Result<()> {
        let value = crate::codec::encode(&value)?;
        self.complete(Outcome::Returned(value), None)
    }

    /// As [`set_result`](Self::set_result), but a future that was cancelled meanwhile ignores the late value
    /// (asyncio row 53).
    ///
    /// # Errors
    /// `InvalidState` if it has a result already.
    pub fn set_result_unless_cancelled(&self, value: T) -> Result<()> {
        if self.cell.is_cancelled() { Ok(()) } else { self.set_result(value) }
    }
}

impl<T> Promise<T> {
    /// Completes with an error.
    ///
    /// # Errors
    /// As [`set_result`](Self::set_result).
    pub fn set_exception(&self, error: impl Into<Error>) -> Result<()> {
        let error = error.into();
        self.complete(error.to_outcome(), Some(error))
    }

    /// Cancels, at once; false if it was done.
    pub fn cancel(&self, message: impl Into<CancelMessage>) -> bool {
        let message = message.into().0;
        self.cell.complete(Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false })))
    }

    /// Whether it is done.
    #[must_use]
    pub fn done(&self) -> bool {
        self.cell.is_done()
    }

    fn complete(&self, outcome: Outcome, error: Option<Error>) -> Result<()> {
        if self.cell.complete_with(outcome, error) {
            Ok(())
        } else {
            Err(Error::InvalidState(InvalidState::AlreadyDone))
        }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if !self.cell.is_done() {
            let error = Error::BrokenPromise;
            self.cell.complete_with(error.to_outcome(), Some(error));
        }
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Promise of ")?;
        crate::task::repr(&self.cell, f)
    }
}
