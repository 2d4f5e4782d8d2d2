//! The judge: farloop against what CPython 3.13's asyncio was recorded to do.
//!
//! [`scenarios`] are programs, one per row of the table; [`oracle`] has the recorded probes that say what they must do;
//! [`judge`] compares. Each scenario runs on two [`backend`]s from the same source: three workers on one virtual clock, and
//! a coordinator and three workers as processes. [`registry`] knows how every row stands, [`report`] tells.

pub mod backend;
pub mod bodies;
pub mod faults;
mod interrupted;
pub mod journal;
pub mod judge;
mod loopless;
pub mod oracle;
pub mod process;
pub mod python;
pub mod registry;
pub mod report;
pub mod run;
pub mod scenarios;
