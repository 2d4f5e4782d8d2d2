//! `ensure_future(lambda: 1)`.
use farloop::prelude::*;

fn main() {
    let _ = ensure_future(|| 1);
}
