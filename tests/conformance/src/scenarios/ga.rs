//! GA: gather.

pub mod cancelling;
pub mod failures;
pub mod results;
