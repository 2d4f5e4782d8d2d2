//! The laws, one test or more each, driven through the core's inputs and outputs.

mod calls;
mod cancelling;
mod driver;
mod link;
mod random;
mod running;
mod sessions;
