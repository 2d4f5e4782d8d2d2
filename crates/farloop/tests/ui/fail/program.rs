//! What `main` and `test` go on.
#[farloop::main]
fn main() {}

#[farloop::test(workers = 0)]
async fn none() {}

#[farloop::test]
async fn takes(x: i64) {}
