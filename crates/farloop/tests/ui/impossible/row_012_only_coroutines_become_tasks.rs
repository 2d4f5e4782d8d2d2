//! `create_task(123)`.
use farloop::prelude::*;

fn main() {
    let _ = create_task(123);
}
