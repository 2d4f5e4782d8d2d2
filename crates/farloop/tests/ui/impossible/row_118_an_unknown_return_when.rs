//! `wait(.., return_when=-1)`.
use farloop::prelude::*;

fn unknown(tasks: Vec<Task<i64>>) {
    let _ = wait(tasks).return_when(-1);
}

fn main() {
    let _ = unknown;
}
