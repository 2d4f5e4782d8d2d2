//! asyncio across machines.
//!
//! A coroutine function is called, awaited, gathered, raced, shielded and cancelled as in Python's asyncio; the
//! coroutine runs on some event loop of some worker process of a cluster. [`prelude`] has what programs use.
//!
//! ```
//! use farloop::prelude::*;
//!
//! #[farloop::task]
//! async fn add(a: i64, b: i64) -> i64 {
//!     a + b
//! }
//!
//! #[farloop::main]
//! async fn main() -> farloop::Result<()> {
//!     let task = ensure_future(add(1, 2));
//!     let (three, seven) = gather((task, add(3, 4))).await?;
//!     assert_eq!((three, seven), (3, 7));
//!     Ok(())
//! }
//! ```
//!
//! Where things are: [`coro`] describes calls and [`definition`] what runs for them; `task` is the handle and `cell`
//! what it points to; `combine` has gather, wait and their kin; [`scope`] has
//! timeouts and task groups; [`actor`](mod@actor) has what stays; `stream` is about functions that yield items; `body` is what the runtime knows about a
//! running coroutine; `session` keeps a process connected, over `remote` or `hub`; `worker` runs bodies;
//! [`in_process`](mod@in_process) is a
//! cluster without a port; [`blocking`] has event loops for programs without async.

#[cfg(panic = "abort")]
compile_error!(
    "farloop reports a panic in a body as that task's failure, which panic = \"abort\" makes impossible: remove it from the profile"
);

// What the macros write names the crate by its name.
#[cfg(test)]
extern crate self as farloop;

pub mod actor;
mod ambient;
pub mod arg;
pub mod blocking;
mod body;
mod body_error;
mod cell;
pub mod codec;
mod combine;
pub mod context;
pub mod coro;
mod debug;
pub mod definition;
pub mod error;
mod event_loop;
pub mod failure;
mod future;
mod hub;
pub mod in_process;
mod introspect;
pub mod invocation;
mod local;
mod loop_handle;
mod print;
mod progress;
mod remote;
mod report;
pub mod runtime;
pub mod scope;
mod session;
pub mod state;
mod stream;
pub mod sync;
mod task;
pub mod testing;
mod time;
mod to_thread;
pub mod token;
mod untyped;
mod worker;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use arg::{Arg, IntoArg};
pub use blocking::{Runner, run};
pub use combine::as_completed::{AsCompleted, Completed, as_completed};
pub use combine::gather::{Gather, GatherArgs, gather, gather_all, gather_settled, gather_settled_all};
pub use combine::map::{MAP_LIMIT, Map, map};
pub use combine::shield::{Shield, shield};
pub use combine::wait::{Done, ReturnWhen, Wait, wait, wait_coros};
pub use combine::wait_for::{WaitFor, wait_for};
pub use coro::Coro;
pub use debug::{DEBUG_VARIABLE, debug, set_debug, set_slow_callback_duration, slow_callback_duration};
pub use definition::{ActorType, TaskFn};
pub use error::{Cancelled, Error, Failure, Recover, Result};
pub use farloop_core::id::{SessionId, TaskId, WorkerId};
pub use farloop_core::limits::{STREAM_BYTES, STREAM_ITEMS};
pub use farloop_core::spec::{Backoff, Durability, Retention};
pub use farloop_macros::{actor, main, stream, task, test};
pub use future::{Fut, Promise, create_future};
pub use futures_core::Stream;
pub use in_process::builder as in_process;
pub use introspect::{CurrentTask, TaskInfo, all_tasks, current_task};
pub use local::{LocalCoro, local};
pub use loop_handle::{LoopHandle, get_running_loop};
pub use print::{PRINT_BURST, PRINT_RATE};
pub use progress::{Progress, heartbeat, heartbeat_details, set_progress};
pub use report::{BoxedHandler, Report, set_exception_handler};
pub use runtime::{Loop, connect};
pub use scope::{GroupMember, TaskGroup, Timeout, timeout, timeout_at, timeout_with};
pub use session::{BUFFER_BYTES, BUFFER_TASKS};
pub use stream::{Items, Next, Yielder};
pub use task::{
    Call, CallbackId, CancelMessage, IntoTask, Task, create_task, ensure_future, submit, try_ensure_future,
};
pub use time::{Sleep, sleep, sleep_with, yield_now};
pub use to_thread::{ToThread, to_thread};
pub use untyped::{Untyped, call};
pub use worker::{DEFAULT_ADDRESS, DEFAULT_MAX_RESIDENT, DEFAULT_SLOTS, DRAIN_LIMIT, STUCK_LIMIT, Worker};

/// Logs, and traces over OTLP where the environment names a collector: `let _telemetry = farloop::telemetry::init("shop");`
/// as the first thing in `main`.
pub mod telemetry {
    pub use farloop_telemetry::{ENDPOINT_VARIABLE, FLUSH_LIMIT, Telemetry, init, init_logging, propagate_traces};
}

/// What programs use: `use farloop::prelude::*;`
pub mod prelude {
    pub use std::time::Duration;

    pub use crate::{
        Completed, Coro, Done, Fut, Gather, Promise, Recover, ReturnWhen, Task, TaskGroup, as_completed, create_future,
        create_task, ensure_future, gather, gather_all, gather_settled, gather_settled_all, map, shield, submit,
        timeout, timeout_at, timeout_with, wait, wait_coros, wait_for,
    };
}

/// The README's programs are compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// So are those of the page for people who know asyncio.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/from_asyncio.md")]
struct FromAsyncio;
