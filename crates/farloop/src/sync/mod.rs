//! asyncio's synchronization primitives for a whole cluster: [`Semaphore`], [`Lock`] with [`Condition`], [`Event`],
//! [`Queue`] and [`Barrier`].
//!
//! The state lives at the coordinator. A primitive is shared by its handles, which are `Clone` and travel in arguments
//! and results to bodies on other workers, or, made with `named`, by everybody who says the same name.
//!
//! ```
//! use farloop::prelude::*;
//! use farloop::sync::Lock;
//!
//! #[farloop::task]
//! async fn withdraw(account: Lock, amount: i64) -> farloop::Result<u64> {
//!     let guard = account.lock().await?; // one body in the cluster at a time
//!     farloop::sleep(Duration::from_millis(amount.unsigned_abs())).await?;
//!     Ok(guard.token()) // what guards the money may ask for a token that never falls
//! }
//!
//! #[farloop::main]
//! async fn main() -> farloop::Result<()> {
//!     let account = Lock::new();
//!     let (first, second) = gather((withdraw(account.clone(), 10), withdraw(account, 20))).await?;
//!     assert_ne!(first, second); // whoever came later has the higher one
//!     Ok(())
//! }
//! ```
//!
//! **Holders end.** What an attempt has taken (a lock, a permit, an item that has not arrived yet) goes back when the
//! attempt ends, however it ends, when its worker is lost, or when it is fenced; what a client has taken outside of a
//! task, when its session is over. A holder that lost its lock this way may still be running, on a machine that nobody
//! can reach. So each grant has a **token**, a number that only grows per primitive: whatever the lock protects should
//! refuse a lower token than it has seen, and [`LockGuard::check`] asks whether the guard still counts.
//!
//! **Waiting** is an await like any other: first in first out, cancellable, and it gives the slot back. A waiter that
//! is cancelled or dropped keeps nothing: what it was given meanwhile goes back.
//!
//! **Lifetime.** An anonymous primitive is over with the session at the top of the task tree that made it. A named one
//! is forgotten when it is as a new one would be and nobody holds it or waits, or when nobody has used it for the time
//! that results are kept (1 hour by default). Nothing of this is written to disk: a coordinator that starts again knows
//! no holders and no items. With records it goes on with its tasks and sessions; whoever waited fails with
//! [`Restarted`](SyncError::Restarted), what was held is [`Stale`](SyncError::Stale), and new calls work. Tokens still
//! grow.
//!
//! Every operation is a round trip to the coordinator and can fail as such: with `Cancelled` (the caller's own),
//! [`SessionLost`](crate::Error::SessionLost), [`LoopClosed`](crate::Error::LoopClosed),
//! [`ResourceExhausted`](crate::Error::ResourceExhausted) (naming the limit), or a [`SyncError`].

mod barrier;
mod calling;
pub(crate) mod calls;
mod condition;
mod event;
mod handle;
mod lock;
mod permit;
mod queue;
mod semaphore;

pub use crate::error::SyncError;
pub use barrier::Barrier;
pub use condition::Condition;
pub use event::Event;
pub use lock::{Lock, LockGuard};
pub use queue::Queue;
pub use semaphore::{Permit, Semaphore};
