//! `task.set_result(1)` and `task.set_exception(..)`.
use farloop::prelude::*;

fn complete(task: Task<i64>) {
    let _ = task.set_result(1);
    let _ = task.set_exception(farloop::Error::msg("no"));
}

fn main() {
    let _ = complete;
}
