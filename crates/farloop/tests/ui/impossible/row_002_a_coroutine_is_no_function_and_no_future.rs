//! A coroutine function, a coroutine and a future are told apart by the compiler.
use farloop::prelude::*;

#[farloop::task]
async fn work(x: i64) -> i64 {
    x
}

fn main() {
    let coroutine = work(1);
    let _ = coroutine.done();
    let _ = ensure_future(work);
}
