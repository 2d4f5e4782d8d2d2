//! `wait(task)` and `wait(coroutine)` instead of `wait([task])`.
use farloop::prelude::*;

#[farloop::task]
async fn work() -> i64 {
    1
}

fn bare(task: Task<i64>) {
    let _ = wait(task);
    let _ = wait(work());
}

fn main() {
    let _ = bare;
}
