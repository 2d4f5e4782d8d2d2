//! An argument has a name.
#[farloop::task]
async fn pair((a, b): (i64, i64)) -> i64 {
    a + b
}

#[farloop::task]
async fn ignored(_: i64) {}

fn main() {}
