//! `as_completed(task)` instead of `as_completed([task])`.
use farloop::prelude::*;

fn single(task: Task<i64>) {
    let _ = as_completed(task);
}

fn main() {
    let _ = single;
}
