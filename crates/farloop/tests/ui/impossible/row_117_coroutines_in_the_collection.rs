//! `wait([coroutine])`: tasks only; `wait_coros` is there for those who mean it.
use farloop::prelude::*;

#[farloop::task]
async fn work() -> i64 {
    1
}

fn main() {
    let _ = wait_coros([work()]);
    let _ = wait([work()]);
}
