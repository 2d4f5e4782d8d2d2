//! Demo functions: small, and each shows one thing.

use std::time::{Duration, Instant};

use farloop::prelude::*;

/// Nothing at all: what a task costs.
#[farloop::task(name = "demo.noop")]
pub async fn noop() {}

/// The sum of two whole numbers.
#[farloop::task(name = "demo.add")]
pub async fn add(a: i64, b: i64) -> farloop::Result<i64> {
    a.checked_add(b).ok_or_else(|| farloop::Error::msg(format!("{a} + {b} does not fit into 64 bits")))
}

/// Gives its argument back.
#[farloop::task(name = "demo.echo")]
pub async fn echo(value: serde_json::Value) -> serde_json::Value {
    value
}

/// Sleeps for that many seconds, without a slot, and tells how many.
#[farloop::task(name = "demo.sleep")]
pub async fn sleep(seconds: f64) -> farloop::Result<f64> {
    farloop::sleep(length(seconds)?).await?;
    Ok(seconds)
}

/// The tutorial's coroutine.
#[farloop::task(name = "demo.do_some_work")]
pub async fn do_some_work(x: f64) -> farloop::Result<String> {
    println!("Waiting {x}");
    farloop::sleep(length(x)?).await?;
    Ok(format!("Done after {x}s"))
}

/// A Fibonacci number by naive recursion: CPU work, on the blocking pool.
#[farloop::task(name = "demo.fib")]
pub fn fib(n: u32) -> farloop::Result<u64> {
    fn go(n: u32) -> u64 {
        if n < 2 { u64::from(n) } else { go(n - 1) + go(n - 2) }
    }
    if n > 45 {
        return Err(farloop::Error::msg(format!("fib({n}) would take minutes this way; 45 is the limit")));
    }
    Ok(go(n))
}

/// Fails with that message.
#[farloop::task(name = "demo.fail")]
pub async fn fail(message: String) -> farloop::Result<()> {
    Err(farloop::Error::msg(message))
}

/// Panics with that message.
#[farloop::task(name = "demo.panics")]
pub async fn panics(message: String) {
    panic!("{message}")
}

/// Holds its event loop for that many seconds: what a body must not do.
#[farloop::task(name = "demo.spin")]
pub async fn spin(seconds: f64) -> farloop::Result<()> {
    let until = Instant::now() + length(seconds)?;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    Ok(())
}

/// Leaves of a binary tree of that depth, each a task: `tree_sum(12)` is 8,191 tasks.
#[farloop::task(name = "demo.tree_sum")]
pub async fn tree_sum(depth: u32) -> farloop::Result<u64> {
    if depth == 0 {
        return Ok(1);
    }
    let (left, right) = gather((tree_sum(depth - 1), tree_sum(depth - 1))).await?;
    Ok(left + right)
}

/// A tree of tasks whose leaves sleep: `tree(10, 4, 3600.0)` is 11,111 tasks to cancel.
#[farloop::task(name = "demo.tree")]
pub async fn tree(fan_out: u32, depth: u32, seconds: f64) -> farloop::Result<u64> {
    if depth == 0 {
        farloop::sleep(length(seconds)?).await?;
        return Ok(1);
    }
    let below = gather_all((0..fan_out).map(|_| tree(fan_out, depth - 1, seconds))).await?;
    Ok(below.into_iter().sum::<u64>() + 1)
}

/// A chain of tasks, each awaiting the next: `chain(1000)` is 1,001 of them.
#[farloop::task(name = "demo.chain")]
pub async fn chain(length: u32) -> farloop::Result<u32> {
    if length == 0 {
        return Ok(0);
    }
    Ok(chain(length - 1).await? + 1)
}

/// Counts down to 1: a stream, whose items come one by one, at the pace of whoever takes them.
#[farloop::stream(name = "demo.countdown")]
pub async fn countdown(from: u32, out: farloop::Yielder<u32>) -> farloop::Result<()> {
    for n in (1..=from).rev() {
        out.send(n).await?;
    }
    Ok(())
}

pub(crate) fn length(seconds: f64) -> farloop::Result<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        farloop::Error::msg(format!("{seconds} is no length of time; a number of seconds that is not negative is"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use farloop::testing::Cluster;

    #[test]
    fn bodies_are_ordinary_functions() {
        let sum = Cluster::new().run(async || add::local(2, 3).await);
        assert_eq!(sum.unwrap(), 5);
        assert_eq!(fib::local(20).unwrap(), 6_765);
    }

    #[test]
    fn a_countdown_comes_item_by_item_or_as_a_list() {
        Cluster::new().run(async || {
            let mut ticks = countdown(3);
            assert_eq!(ticks.next().await.unwrap().unwrap(), 3);
            assert_eq!(ticks.collect().await.unwrap(), [2, 1]);
            assert_eq!(farloop::call("demo.countdown").arg(2).await.unwrap(), serde_json::json!([2, 1]));
        });
    }

    #[test]
    fn a_tree_of_11_111_tasks_is_cancelled_by_one_call() {
        Cluster::new().workers(3).run(async || {
            let root = ensure_future(tree(10, 4, 3_600.0));
            farloop::sleep(Duration::from_secs(1)).await.unwrap();
            assert!(root.cancel("enough"));
            assert!(root.clone().await.unwrap_err().is_cancelled());
        });
    }
}
