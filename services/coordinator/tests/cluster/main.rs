//! The coordinator over real loopback gRPC, with sessions driven frame by frame.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod actors;
mod api;
mod bad;
mod durable;
mod options;
mod peer;
mod session;
mod setup;
mod streams;
