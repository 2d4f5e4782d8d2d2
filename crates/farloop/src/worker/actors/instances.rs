//! The states of actors, on the loops where they live. They need not be `Send`, and an incarnation is known on other
//! threads: so they stay in a table of the thread, as the loop's own coroutines do.
//!
//! Dropping a state runs its owner's code: never under the table's borrow, and a panic there is nobody else's affair.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;

use slab::Slab;

use crate::definition::Instance;

thread_local! {
    /// By loop.
    static INSTANCES: RefCell<HashMap<u64, Slab<Instance>, foldhash::fast::RandomState>> = RefCell::default();
}

/// Gives a state a place.
pub(crate) fn put(home: u64, instance: Instance) -> u32 {
    let place = INSTANCES.with_borrow_mut(|all| all.entry(home).or_default().insert(instance));
    u32::try_from(place).expect("a worker has fewer than four billion actors")
}

pub(crate) fn get(home: u64, place: u32) -> Option<Instance> {
    INSTANCES.with_borrow(|all| all.get(&home)?.get(place as usize).cloned())
}

/// Drops a state.
pub(crate) fn discard(home: u64, place: u32) {
    let instance = INSTANCES.with_borrow_mut(|all| all.get_mut(&home)?.try_remove(place as usize));
    quietly(|| drop(instance));
}

/// Runs what may run code of the user's that is being dropped; a panic is reported, and goes no further.
pub(crate) fn quietly(f: impl FnOnce()) {
    if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(f)) {
        let caught = crate::report::Caught::of(panic);
        tracing::error!(
            message = caught.message,
            location = caught.location,
            "an actor's code panicked as it was dropped"
        );
    }
}

/// Drops all states of a loop when it is dropped itself, on the loop's thread.
pub(crate) struct DropAll(pub(crate) u64);

impl Drop for DropAll {
    fn drop(&mut self) {
        // A thread that ends may have lost its table already.
        let left = INSTANCES.try_with(|all| all.borrow_mut().remove(&self.0));
        for (_, instance) in left.ok().flatten().into_iter().flatten() {
            quietly(|| drop(instance));
        }
    }
}

/// States that a loop of this thread has.
#[cfg(test)]
pub(crate) fn count(home: u64) -> usize {
    INSTANCES.with_borrow(|all| all.get(&home).map_or(0, Slab::len))
}
