//! A call that is not awaited does nothing.
#![deny(unused_must_use)]

#[farloop::task]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn main() {
    add(1, 2);
    add(1, 2).name("sum");
    farloop::call("demo.add").arg(1);
}
