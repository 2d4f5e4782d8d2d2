//! LO: the life of an event loop that a program runs by hand (rows 252-280).

pub mod lifecycle;
pub mod running;
