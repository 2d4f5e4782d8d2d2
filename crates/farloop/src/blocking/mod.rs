//! Event loops for programs without async: [`EventLoop`] is asyncio's loop object.
//!
//! ```
//! use farloop::prelude::*;
//!
//! #[farloop::task]
//! async fn do_some_work(x: f64) -> farloop::Result<String> {
//!     farloop::sleep(Duration::from_secs_f64(x)).await?;
//!     Ok(format!("Done after {x}s"))
//! }
//!
//! fn main() -> farloop::Result<()> {
//!     let event_loop = farloop::blocking::EventLoop::new()?;
//!     let both = gather((do_some_work(0.1), do_some_work(0.3)));
//!     assert_eq!(event_loop.run_until_complete(both)?.1, "Done after 0.3s");
//!     event_loop.close()
//! }
//! ```

mod completions;
mod event_loop;
mod handle;
mod interrupt;
mod runner;

pub use self::completions::Completions;
pub use self::event_loop::EventLoop;
pub(crate) use self::event_loop::local_runtime;
pub use self::handle::BlockingHandle;
pub(crate) use self::interrupt::EXIT_CODE as INTERRUPTED;
pub(crate) use self::runner::main;
pub use self::runner::{Runner, run};
pub use crate::event_loop::calls::{Handle, TimerHandle};
pub use crate::loop_handle::LoopHandle;
