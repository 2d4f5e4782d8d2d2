//! The laws, one test or more each, driven through the core's inputs and outputs.

mod acting;
mod answers;
mod calls;
mod cancelling;
mod driver;
mod link;
mod pace;
#[cfg(feature = "planted-bugs")]
mod planted;
mod printing;
mod random;
mod recovery;
mod restart;
mod retention;
mod running;
mod sessions;
mod streams;
mod suspects;
mod syncing;
mod traces;
mod turns;
mod watching;
