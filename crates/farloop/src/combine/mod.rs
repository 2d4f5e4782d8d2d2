//! Combinators over tasks: what each does when the waiter is cancelled, when a member fails and at a timeout is the
//! matrix of asyncio, judged by tests/conformance.

pub(crate) mod as_completed;
pub(crate) mod gather;
pub(crate) mod map;
pub(crate) mod shield;
pub(crate) mod wait;
pub(crate) mod wait_for;

use std::sync::Arc;

use crate::cell::Cell;

/// Distinct cells, in order: an input given twice is waited for once (asyncio rows 85, 127, 137).
pub(crate) fn distinct<'a>(cells: impl Iterator<Item = &'a Arc<Cell>>) -> Vec<Arc<Cell>> {
    let mut seen = std::collections::HashSet::new();
    cells.filter(|c| seen.insert(c.id)).cloned().collect()
}
