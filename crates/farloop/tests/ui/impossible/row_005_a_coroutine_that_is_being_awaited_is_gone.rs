//! Awaiting a coroutine object that a task is running.
use farloop::prelude::*;

#[farloop::task]
async fn work() -> i64 {
    1
}

async fn while_it_runs() -> farloop::Result<i64> {
    let coroutine = work();
    let _task = create_task(coroutine);
    coroutine.await
}

fn main() {
    drop(while_it_runs());
}
