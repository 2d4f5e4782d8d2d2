//! The coordinator over real loopback gRPC, with sessions driven frame by frame.

mod api;
mod peer;
mod session;
mod setup;
