//! A body's error is one.
#[derive(Debug)]
struct Oops;

#[farloop::task]
async fn fails() -> Result<i64, Oops> {
    Err(Oops)
}

fn main() {}
