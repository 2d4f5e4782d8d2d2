//! A client process of a test, with what the test cannot do to itself: be killed, or be another one.
//!
//! `owns`: starts a task of its own and a detached one, prints both handles, and waits until it is killed.
//! `keeps`: makes an actor of its own and a detached one, says something to the latter, and waits until it is killed.
//! `hears LABEL LINES ..`: gathers tasks that print that many lines each, then prints what they returned.
//! `counts LABEL ITEMS`: takes that many items of two streams that print, and prints each one.
//! `splits LABEL`: awaits a body that has coroutines of its own, which print, and prints its value.
//! `traced`: calls inside of a span, and exports it.
//! `traced actors`: the same with an actor, whose method calls another one.
//! `queues N`: submits that many no-ops, prints the id of the last one, and then how many of them returned.
//! `hoards N`: schedules that many no-ops without awaiting any, prints how many were refused and by which limit; then
//! submits one more, with patience, and prints what became of it.
//! `dies in submit|gather|cancel|stream`: says a line in the middle of it, and waits to be killed.
//! `awaits HANDLE`: awaits a task that somebody else started, and prints its value.

use farloop::Task;
use farloop::prelude::*;
use farloop_test_cluster::actors::Log;
use farloop_test_cluster::lines::Counter;
use farloop_test_cluster::tasks;
use farloop_worker::demo::noop;
use tracing::Instrument as _;

#[farloop::main]
async fn main() -> farloop::Result<()> {
    farloop_test_cluster::node::end_with_the_parent();
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["owns"] => {
            let owned = ensure_future(tasks::park("owned"));
            let detached = ensure_future(tasks::gated("detached", "gate").detached());
            for handle in [serde_json::to_string(&owned), serde_json::to_string(&detached)] {
                println!("{}", handle.map_err(farloop::Error::new)?);
            }
            std::future::pending().await
        }
        ["keeps"] => {
            let _own = Log::spawn("own").name("own").await?;
            let detached = Log::spawn("detached").name("detached").detached().await?;
            detached.say(2, 0).await?;
            println!("made");
            std::future::pending().await
        }
        ["hears", ref pairs @ ..] => {
            let says = |pair: &[&str]| tasks::says(pair[0], pair[1].parse::<u32>().unwrap_or(1), "");
            let labels = gather_all(pairs.chunks_exact(2).map(says)).await?;
            println!("gathered {}", labels.join(" "));
            Ok(())
        }
        ["counts", label, items] => {
            let items: u32 = items.parse().map_err(farloop::Error::new)?;
            for mut numbers in [tasks::says_sent(label, items), tasks::says_made(label, items)] {
                while let Some(n) = numbers.next().await {
                    println!("{label} got {}", n?);
                }
            }
            println!("counted");
            Ok(())
        }
        ["splits", label] => {
            println!("{label} {}", tasks::splits(label, 5).await?);
            Ok(())
        }
        ["traced"] => {
            let _telemetry = farloop::telemetry::init("client");
            let span = tracing::info_span!("request");
            let (left, right) = async { tasks::pair("gate").await }.instrument(span).await?;
            println!("{left} {right}");
            Ok(())
        }
        ["traced", "actors"] => {
            let _telemetry = farloop::telemetry::init("client");
            let (counter, other) = gather((Counter::spawn(3), Counter::spawn(4))).await?;
            let span = tracing::info_span!("request");
            let sum = async { counter.give(&other).await }.instrument(span).await?;
            println!("{sum}");
            Ok(())
        }
        ["queues", n] => {
            let mut tasks = Vec::new();
            for _ in 0..n.parse::<usize>().map_err(farloop::Error::new)? {
                tasks.push(farloop::submit(noop()).await?);
            }
            println!("{}", tasks.last().map_or_else(String::new, |task| task.id().to_string()));
            println!("{} returned", gather_all(tasks).await?.len());
            Ok(())
        }
        ["hoards", n] => {
            let mut refused = Vec::new();
            for _ in 0..n.parse::<usize>().map_err(farloop::Error::new)? {
                let task = ensure_future(noop());
                if let Some(Ok(Some(error))) = task.done().then(|| task.exception()) {
                    refused.push(error);
                }
            }
            println!("{}", refused.len());
            println!("{}", refused.first().map_or_else(String::new, ToString::to_string));
            farloop::submit(noop()).await?.await?;
            println!("served");
            Ok(())
        }
        ["dies", "in", what] => dies_in(what).await,
        ["awaits", handle] => {
            let task: Task<serde_json::Value> = serde_json::from_str(handle).map_err(farloop::Error::new)?;
            println!("{}", task.await?);
            Ok(())
        }
        _ => Err(farloop::Error::msg(
            "usage: cluster_client owns | keeps | hears LABEL LINES .. | counts LABEL ITEMS | splits LABEL | queues N | hoards N | traced [actors] | dies in WHAT | awaits HANDLE",
        )),
    }
}

/// In the middle of something that needs a coordinator; killed there.
async fn dies_in(what: &str) -> farloop::Result<()> {
    match what {
        "submit" => {
            let mut parked = Vec::new();
            for n in 0_u32.. {
                parked.push(ensure_future(tasks::park("submitted")));
                if n == 200 {
                    println!("submitting");
                }
                farloop::yield_now().await?;
            }
            Ok(())
        }
        "gather" => {
            let gathered = gather_all((0..50).map(|_| tasks::park("gathered")));
            println!("gathering");
            gathered.await.map(drop)
        }
        "cancel" => {
            let task = ensure_future(tasks::defiant("asked", 300));
            while !farloop_test_cluster::tally::is_open("it has begun") {
                farloop::sleep(std::time::Duration::from_millis(10)).await?;
            }
            task.cancel("enough");
            println!("cancelling");
            task.await
        }
        _ => {
            let mut items = tasks::yields("consumed", u64::MAX, 10, 0, "");
            let mut seen = 0;
            while let Some(item) = items.next().await {
                item?;
                seen += 1;
                if seen == 100 {
                    println!("consuming");
                }
            }
            Ok(())
        }
    }
}
