//! Actors.

mod here;

pub use here::*;
