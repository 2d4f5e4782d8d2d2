//! The simulator of the core: one seed is one world, and the laws of the design are checked in it.
//!
//! [`plan`] draws what a seed is about; [`world`] is the event loop, and `shell` the shell around the core; [`peer`], [`client`], [`worker`] and
//! [`body`] are the processes at the other ends, which run [`script`]s; [`network`] and [`faults`] are what can go wrong;
//! [`history`] is the observer, with `ledger` for its records and `heard`, `told`, `streams`, [`calls`] and `verdict` for its
//! judgements; [`run()`] runs seeds. `acting` has worlds of actors.
//!
//! No threads inside a world, no clock, no unordered collection: the same seed gives the same trace (L20).

mod acting;
pub mod body;
pub mod brief;
pub mod calls;
mod carry;
pub mod client;
mod disk;
pub mod faults;
mod fold;
mod heard;
pub mod history;
mod ledger;
pub mod lives;
pub mod network;
pub mod peer;
pub mod plan;
mod printed;
pub mod readers;
pub mod rng;
pub mod run;
pub mod script;
mod shelf;
mod shell;
mod streams;
mod survival;
mod synced;
mod told;
pub mod trace;
mod verdict;
pub mod worker;
pub mod world;

pub use acting::run_acting;
pub use run::{Failed, Options, Outcome, Report, catch, plantable, run, run_seed};
