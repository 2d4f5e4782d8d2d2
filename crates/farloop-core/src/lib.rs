//! The farloop protocol as pure state machines.
//!
//! Nothing here is async, reads a clock, does I/O or draws a random number: time, ids and seeds are inputs,
//! and the same inputs give the same outputs (law L20). The in-process cluster, the coordinator service and
//! the simulator all drive this one crate.
//!
//! Reading order: [`id`], [`outcome`] and [`spec`] are the nouns; [`frame`] is what travels;
//! [`link`] makes a resumable, two-lane session out of a connection that breaks; [`api`] is how a shell drives
//! the machine: `handle(now, input)`, then drain `poll_output()`, then `next_deadline()`; [`machine`] is the machine.

#![no_std]
extern crate alloc;

pub mod actor;
pub mod api;
pub mod bounds;
pub mod frame;
pub mod id;
pub mod limits;
pub mod link;
pub mod machine;
pub mod outcome;
#[cfg(feature = "planted-bugs")]
mod planted;
pub mod record;
pub mod spec;
pub mod sync;
pub mod time;
pub mod window;
