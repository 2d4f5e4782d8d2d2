//! The reference worker: the one catalogue of demo functions, used by `farloop dev`, the examples, the load program
//! and the tests. Your own worker looks like this file, with your functions.

pub mod actors;
pub mod demo;

use farloop::Worker;

/// Offers the demo functions and actors on `worker`.
#[must_use]
pub fn demo(worker: Worker) -> Worker {
    worker
        .task::<demo::noop>()
        .task::<demo::add>()
        .task::<demo::echo>()
        .task::<demo::sleep>()
        .task::<demo::do_some_work>()
        .task::<demo::fib>()
        .task::<demo::fail>()
        .task::<demo::panics>()
        .task::<demo::spin>()
        .task::<demo::tree_sum>()
        .task::<demo::tree>()
        .task::<demo::chain>()
        .task::<demo::countdown>()
        .actor::<actors::Counter>()
        .actor::<actors::Page>()
}
