//! A coroutine function as a done callback: nobody would await what it makes.
use farloop::prelude::*;

fn register(task: Task<i64>) {
    task.add_done_callback(|_task| async {});
}

fn main() {
    let _ = register;
}
