//! Actors: coroutines that stay. An ordinary struct whose methods are called from anywhere, one call at a time.
//!
//! ```
//! use farloop::prelude::*;
//!
//! struct Counter {
//!     count: i64,
//! }
//!
//! #[farloop::actor]
//! impl Counter {
//!     pub async fn new(start: i64) -> Self {
//!         Counter { count: start }
//!     }
//!     pub async fn add(&mut self, by: i64) -> i64 {
//!         self.count += by;
//!         self.count
//!     }
//!     pub async fn get(&self) -> i64 {
//!         self.count
//!     }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() {
//!     let mut counter = Counter::new(10).await; // no cluster in sight: a struct is a struct
//!     assert_eq!(counter.add(1).await, 11);
//! }
//! ```
//!
//! On a cluster, [`Counter::spawn(10)`](Spawn) makes one somewhere and gives a `CounterRef`: `Clone`, `Serialize`, cheap,
//! at home in arguments and results. `counter.add(1)` is a coroutine like any other: inert until it is awaited or given to
//! `ensure_future`, `gather`, `wait_for` or `shield`; cancelled, it leaves the queue, or is told inside the method.
//!
//! An actor is a task that stays, and a call is a task that runs where its actor is: what is said of tasks (owners,
//! deadlines, traces, prints, context variables) holds for both. What is different is here: [`Handle`] is what all
//! references can do, [`Spawn`] how one is made, [`Supervisor`] and [`Restart`] what follows when it fails,
//! [`Remind`] what wakes it later; [`this`], [`every`], [`save`] are for its own code.

mod calling;
mod ends;
mod handle;
mod here;
mod instance;
mod interleaved;
mod reminder;
mod spawn;
mod starting;
mod supervisor;
mod timer;

pub use farloop_core::actor::{Restart, RestartWhen};

pub use self::handle::{ActorRef, Handle};
pub use self::here::{ACTOR_COROUTINES, save, save_with_reply, this_id};
#[cfg(test)]
pub(crate) use self::here::{Stays, spawn_with_actor};
pub use self::instance::{Held, Saved};
pub use self::interleaved::Interleaved;
pub use self::reminder::Remind;
pub use self::spawn::Spawn;
pub(crate) use self::starting::Made;
pub use self::starting::Starting;
pub use self::supervisor::Supervisor;
pub(crate) use self::supervisor::own;
pub use self::timer::{Timer, after, every, this};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
