//! How fast an in-process cluster runs no-ops: one at a time, and many in flight.

use std::time::Instant;

use farloop::prelude::*;

#[farloop::task]
async fn noop() {}

#[farloop::main]
async fn main() -> farloop::Result<()> {
    noop().await?;
    let n = 20_000;
    let began = Instant::now();
    for _ in 0..n {
        noop().await?;
    }
    println!("one in flight: {:.1} us each", began.elapsed().as_secs_f64() * 1e6 / f64::from(n));
    for size in [1_000u32, 10_000, 100_000] {
        let began = Instant::now();
        gather_all((0..size).map(|_| noop())).await?;
        let took = began.elapsed().as_secs_f64();
        println!("gather of {size}: {:.1} ms, {:.0} tasks/s", took * 1e3, f64::from(size) / took);
    }
    Ok(())
}
