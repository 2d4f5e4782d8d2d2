//! A client of a cluster that runs elsewhere: it has the signatures of the workers' functions, not their code.
//!
//! ```sh
//! FARLOOP_ADDRESS=http://127.0.0.1:7171 cargo run --example client            # with `farloop dev`
//! FARLOOP_ADDRESS=... FARLOOP_TOKEN=... cargo run --example client -- 60 5    # 60 tasks of 5 seconds: time to kill
//! ```                                                                         # a worker and see that none is missing

use farloop::prelude::*;

#[farloop::task(name = "demo.add")]
async fn add(a: i64, b: i64) -> farloop::Result<i64>;

#[farloop::task(name = "demo.do_some_work")]
async fn do_some_work(x: f64) -> farloop::Result<String>;

#[farloop::main]
async fn main() -> farloop::Result<()> {
    let mut words = std::env::args().skip(1);
    let tasks: usize = words.next().map_or(Ok(20), |word| word.parse()).map_err(farloop::Error::new)?;
    let seconds: f64 = words.next().map_or(Ok(0.2), |word| word.parse()).map_err(farloop::Error::new)?;

    let five = ensure_future(add(2, 3));
    println!("2 + 3 + 10 = {}", add(&five, 10).await?); // the 5 never came here

    println!("gathering {tasks} tasks of {seconds} s");
    let done = gather_all((0..tasks).map(|_| do_some_work(seconds))).await?;
    println!("gathered {}, the last says: {}", done.len(), done.last().map_or("nothing", String::as_str));
    Ok(())
}
