//! A client process of a test, with what the test cannot do to itself: be killed, or be another one.
//!
//! `owns`: starts a task of its own and a detached one, prints both handles, and waits until it is killed.
//! `hears LABEL LINES ..`: gathers tasks that print that many lines each, then prints what they returned.
//! `traced`: calls inside of a span, and exports it.
//! `awaits HANDLE`: awaits a task that somebody else started, and prints its value.

use farloop::Task;
use farloop::prelude::*;
use farloop_test_cluster::tasks;
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
        ["hears", ref pairs @ ..] => {
            let says = |pair: &[&str]| tasks::says(pair[0], pair[1].parse::<u32>().unwrap_or(1), "");
            let labels = gather_all(pairs.chunks_exact(2).map(says)).await?;
            println!("gathered {}", labels.join(" "));
            Ok(())
        }
        ["traced"] => {
            let _telemetry = farloop::telemetry::init("client");
            let span = tracing::info_span!("request");
            let (left, right) = async { tasks::pair("gate").await }.instrument(span).await?;
            println!("{left} {right}");
            Ok(())
        }
        ["awaits", handle] => {
            let task: Task<serde_json::Value> = serde_json::from_str(handle).map_err(farloop::Error::new)?;
            println!("{}", task.await?);
            Ok(())
        }
        _ => Err(farloop::Error::msg("usage: cluster_client owns | hears LABEL LINES .. | traced | awaits HANDLE")),
    }
}
