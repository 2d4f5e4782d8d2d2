//! A coroutine runs once.
#[farloop::task]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn main() {
    let coro = add(1, 2);
    drop(farloop::ensure_future(coro));
    drop(farloop::ensure_future(coro));
}
