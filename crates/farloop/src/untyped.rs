//! The untyped door: a call by name, for functions whose definition the caller does not have.

use std::fmt;
use std::panic::Location;

use serde::Serialize;

use crate::arg::{Arg, ArgEncoder, ArgHandle};
use crate::coro::{self, Coro};
use crate::stream::Items;

/// Begins a call of the function with that wire name; [`Untyped::arg`] adds arguments in order.
///
/// The worker checks number and types of the arguments; a mismatch fails the task with `BadArguments`.
///
/// ```no_run
/// # async fn f() -> farloop::Result<()> {
/// let five = farloop::call("demo.add").arg(2).arg(3).returns::<i64>().await?;
/// # Ok(()) }
/// ```
#[track_caller]
pub fn call(function: impl Into<String>) -> Untyped {
    Untyped { function: function.into(), args: ArgEncoder::default(), location: Location::caller() }
}

/// A call by name that is being put together. It becomes a coroutine with [`returns`](Self::returns), or
/// [`coro`](Self::coro) for whatever comes; before that, dropping it says nothing.
#[must_use = "a call does nothing until it becomes a coroutine, with `returns::<T>()` or `coro()`, and is awaited or scheduled"]
pub struct Untyped {
    function: String,
    args: ArgEncoder,
    location: &'static Location<'static>,
}

impl Untyped {
    /// Adds a value as the next argument.
    pub fn arg<T: Serialize>(mut self, value: T) -> Self {
        self.args.push(&self.function, Arg::Value(value));
        self
    }

    /// Adds the result of a task (or, for a gather, the list of results) as the next argument. The call starts when
    /// it is there.
    #[allow(private_bounds, reason = "the handles are farloop's own; nobody else can have one")]
    pub fn arg_task<H: ArgHandle>(mut self, handle: &H) -> Self {
        self.args.push::<()>(&self.function, handle.as_arg());
        self
    }

    /// The coroutine, if what it returns is known.
    pub fn returns<T>(self) -> Coro<T> {
        const UNKNOWN_SIGNATURE: u64 = 0;
        Coro::from_spec(coro::spec(self.function.into(), UNKNOWN_SIGNATURE, self.args, None, self.location))
    }

    /// The items of a stream function, if what they are is known.
    pub fn stream<T>(self) -> Items<T> {
        Items::of(self.returns())
    }

    /// The coroutine, for a result of any shape.
    pub fn coro(self) -> Coro<serde_json::Value> {
        self.returns()
    }
}

impl fmt::Debug for Untyped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Untyped").field("function", &self.function).finish_non_exhaustive()
    }
}

impl std::future::IntoFuture for Untyped {
    type Output = crate::Result<serde_json::Value>;
    type IntoFuture = <Coro<serde_json::Value> as std::future::IntoFuture>::IntoFuture;

    fn into_future(self) -> Self::IntoFuture {
        self.coro().into_future()
    }
}
