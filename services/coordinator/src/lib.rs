//! The coordinator: an async shell around [`farloop_core::machine::Core`].
//!
//! The core decides; this crate carries bytes, keeps the time and answers people. Reading order: `driver` (the lock
//! and what goes through it), `replay` and `journal` (what survives a restart), `session` (streams of clients and workers), `api` (the public calls), `auth` (who may
//! call what), `server` (bind, serve, stop).
//!
//! ```no_run
//! # async fn run() -> Result<(), farloop_coordinator::StartError> {
//! use farloop_coordinator::{Config, Coordinator};
//!
//! let coordinator = Coordinator::bind(Config { listen: "127.0.0.1:0".into(), ..Config::default() }).await?;
//! println!("{}", coordinator.local_addr());
//! coordinator.serve(std::future::pending()).await
//! # }
//! ```

mod api;
mod auth;
mod clock;
mod config;
mod driver;
mod errors;
mod incoming;
mod journal;
mod process;
mod replay;
mod server;
mod session;
mod traces;

pub use auth::{TokenError, Tokens};
pub use config::{Config, DEFAULT_LISTEN, Flags, OpenStore, StartError};
pub use process::run;
pub use server::Coordinator;
