//! CA: cancellation, its counters, its ways.

pub mod forwarding;
pub mod requests;
