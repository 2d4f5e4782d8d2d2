//! `future.set_exception(ValueError)`: the type, not a value of it.
use farloop::prelude::*;

#[derive(Debug)]
struct ValueError {
    text: String,
}

fn complete(promise: Promise<i64>) {
    let _ = promise.set_exception(ValueError);
}

fn main() {
    let _ = complete;
}
