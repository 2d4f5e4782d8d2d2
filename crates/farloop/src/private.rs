//! What generated code names. No part of the interface: it may change in any release.

use std::marker::PhantomData;
use std::panic::Location;

use farloop_core::outcome::FailureKind;
use serde::Serialize;

use crate::actor::{ActorRef, Handle};
use crate::body_error;
use crate::coro::Coro;
use crate::error::Error;
use crate::failure::{self, BoxError, Failure};
use crate::stream::Items;

pub use crate::actor::{Held, Saved};
pub use crate::coro::{TypedCall, WireName};
pub use crate::definition::{
    ActorBody, ActorInfo, ActorType, Body, BodyEnd, BodyError, Definition, Instance, LocalBoxFuture, MethodBody,
    MethodRun, Origin, TaskFn, fingerprint,
};
pub use crate::invocation::Invocation;
pub use crate::stream::{Outlet, drive};
pub use farloop_core::actor::{ActorDef, Host, Placement, Restart, RestartWhen, Strategy, Turns};
pub use futures_util::future::{FutureExt, ready};
pub use serde;

/// What calling a stream function gives.
pub fn items<T>(coro: Coro<T>) -> Items<T> {
    Items::of(coro)
}

/// Ends a body with a value.
///
/// # Errors
/// The value does not encode.
pub fn returned<T: Serialize>(definition: &'static Definition, value: &T) -> BodyEnd {
    crate::codec::encode(value).map_err(|error| {
        let why = error.failure().map_or("", Failure::message);
        let message = format!("the result of function {}: {why}", definition.name);
        BodyError::refused(FailureKind::BadPayload, definition.name, message)
    })
}

/// An actor of that type by its name.
#[must_use]
pub fn named(definition: &'static Definition, name: String) -> Handle {
    Handle::named(definition, name.into())
}

/// Who has that name now.
#[track_caller]
pub fn lookup<R: ActorRef>(name: String) -> Coro<R> {
    Handle::named(R::DEFINITION, name.into()).find(Location::caller())
}

/// Any `Result`, however it is spelled.
pub trait AnyResult {
    /// Type of the value.
    type Ok;
}

impl<T, E> AnyResult for Result<T, E> {
    type Ok = T;
}

/// Tells a `Result` behind an alias: the inherent constant, where there is one, hides the trait's.
#[derive(Debug)]
pub struct Hidden<T>(PhantomData<T>);

impl<T, E> Hidden<Result<T, E>> {
    /// It is one.
    pub const RESULT: bool = true;
}

/// The answer for every other type.
pub trait NotHidden {
    /// It is none.
    const RESULT: bool = false;
}

impl<T> NotHidden for Hidden<T> {}

// ---- raising: what is known about the declared error type decides how its values cross.
//
// Method lookup takes the impl that needs the fewest dereferences, so `(&&&&Raise::of(&error)).way()` finds the
// first of these that fits: encodable error, error, error that is not Send, and a clear refusal.

/// Carries the error's type to the method lookup.
#[derive(Debug)]
pub struct Raise<E>(PhantomData<fn(&E)>);

impl<E> Raise<E> {
    /// For the type of this error.
    #[must_use]
    pub fn of(_: &E) -> Self {
        Self(PhantomData)
    }
}

macro_rules! ways {
    ($($(#[$doc:meta])* $via:ident for $receiver:ty, $way:ident, [$($bound:tt)*];)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $way;

        $(#[$doc])*
        pub trait $via {
            /// How values of the type are raised.
            fn way(&self) -> $way {
                $way
            }
        }

        impl<E: $($bound)*> $via for $receiver {}
    )*};
}

ways! {
    /// The error itself crosses.
    ViaTyped for &&&Raise<E>, Typed, [Serialize + Into<BoxError>];
    /// Type name, text and chain cross.
    ViaError for &&Raise<E>, Plain, [Into<BoxError>];
    /// As before; what is hidden in it is found by its chain only, since it cannot leave its thread.
    ViaLocal for &Raise<E>, Local, [Into<Box<dyn std::error::Error>>];
    /// No error at all.
    ViaNothing for Raise<E>, Nothing, [Sized];
}

impl Typed {
    /// Raises.
    pub fn raise<E: Serialize + Into<BoxError>>(self, error: E) -> BodyError {
        let details = failure::details(&error);
        BodyError::raised(error, details)
    }
}

impl Plain {
    /// Raises.
    pub fn raise<E: Into<BoxError>>(self, error: E) -> BodyError {
        BodyError::raised(error, None)
    }
}

impl Local {
    /// Raises.
    pub fn raise<E: Into<Box<dyn std::error::Error>>>(self, error: E) -> BodyError {
        let error = error.into();
        match body_error::cancellation(&*error) {
            Some(cancelled) => Error::Cancelled(cancelled.clone()).into(),
            None => match error.downcast::<Error>() {
                Ok(own) => (*own).into(),
                Err(error) => failure::describe("", &*error, None).into(),
            },
        }
    }
}

impl Nothing {
    /// Does not compile: no type is a [`TaskError`] and came here.
    pub fn raise<E: TaskError>(self, _: E) -> BodyError {
        BodyError::message("unreachable")
    }
}

/// Implemented by nothing: whatever can be raised goes another way.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a task",
    label = "this task's error type is no error",
    note = "implement `std::error::Error` for it (thiserror derives it), and `serde::Serialize` if awaiters should get it back with `downcast`",
    note = "`farloop::Error`, `anyhow::Error`, `Box<dyn Error + Send + Sync>` and `String` will do too"
)]
pub trait TaskError {}

/// What `farloop::println!` and `farloop::print!` expand to.
pub fn print_out(text: std::fmt::Arguments<'_>) {
    crate::print::print(farloop_core::frame::Stdio::Out, text);
}

/// What `farloop::eprintln!` and `farloop::eprint!` expand to.
pub fn print_err(text: std::fmt::Arguments<'_>) {
    crate::print::print(farloop_core::frame::Stdio::Err, text);
}
