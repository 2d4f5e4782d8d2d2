//! The state of an actor as its worker holds it, and how its methods get at it.

use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Interleaved;
use crate::definition::{BodyEnd, BodyError, Instance};
use crate::failure::Failure;
use farloop_core::outcome::FailureKind;

/// Why nobody ever waits at the lock of a state.
const TURNS: &str = "the worker starts a method only when no other one runs that it may not run beside (L13)";

/// An actor's state in the hands of one of its methods. Generated code takes it; it has no use of its own.
#[derive(Debug)]
pub struct Held<A>(Rc<RwLock<A>>);

impl<A: 'static> Held<A> {
    /// A state that was made, for its worker.
    #[must_use]
    pub fn made(state: A) -> Instance {
        Rc::new(RwLock::new(state))
    }

    /// That of an actor of the method's own type.
    #[must_use]
    pub fn of(instance: Instance) -> Self {
        Self(instance.downcast().expect("a worker gives a method the state of an actor of the method's own type"))
    }

    /// For `&mut self`.
    pub fn alone(&self) -> RwLockWriteGuard<'_, A> {
        self.0.try_write().expect(TURNS)
    }

    /// For `&self`.
    pub fn shared(&self) -> RwLockReadGuard<'_, A> {
        self.0.try_read().expect(TURNS)
    }

    /// For `&Interleaved<Self>`.
    #[must_use]
    pub fn interleaved(self) -> Interleaved<A> {
        Interleaved::of(self.0)
    }
}

/// State that can be saved and restored.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be saved: #[farloop::actor(snapshot)] needs `Serialize` and `Deserialize`",
    label = "the state of an actor with snapshots",
    note = "derive both for `{Self}`, or leave `snapshot` out: the actor then starts again from the arguments of `new`"
)]
pub trait Saved: Sized {
    /// The state, encoded.
    ///
    /// # Errors
    /// It does not encode.
    #[doc(hidden)]
    fn save(instance: &Instance) -> BodyEnd;
    /// The state that was saved.
    ///
    /// # Errors
    /// It was another type's, or an older one's that this one does not read.
    #[doc(hidden)]
    fn restore(name: &'static str, saved: &[u8]) -> Result<Self, BodyError>;
}

impl<A: Serialize + DeserializeOwned + 'static> Saved for A {
    fn save(instance: &Instance) -> BodyEnd {
        let held = Held::<A>::of(instance.clone());
        let state = held.shared();
        Ok(crate::codec::encode(&*state)?)
    }

    fn restore(name: &'static str, saved: &[u8]) -> Result<Self, BodyError> {
        crate::codec::decode(saved).map_err(|error| {
            let why = error.failure().map_or("", Failure::message);
            let message = format!("what an earlier incarnation of {name} saved is not its state any more: {why}");
            BodyError::refused(FailureKind::BadPayload, name, message)
        })
    }
}
