//! Two tasks of one coroutine object.
use farloop::prelude::*;

#[farloop::task]
async fn work() -> i64 {
    1
}

fn main() {
    let coroutine = work();
    let _first = create_task(coroutine);
    let _second = create_task(coroutine);
}
