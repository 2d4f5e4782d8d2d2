//! A coordinator with records on a disk of a chosen slowness: `durable --dir /dev/shm/x --sync-ms 2`. What `farloop
//! coordinator --data-dir` is, but for the disk.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use farloop_benches::slow_disk::SlowDisk;
use farloop_coordinator::{Config, Coordinator};
use farloop_store::{Journal, JournalOptions};

/// Serves until it is killed.
#[derive(Parser)]
struct Options {
    /// Where records go.
    #[arg(long)]
    dir: PathBuf,
    /// Milliseconds that each sync takes at least.
    #[arg(long, default_value_t = 0)]
    sync_ms: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let disk = SlowDisk::new(&options.dir, Duration::from_millis(options.sync_ms))?;
    let store = Journal::open(disk, JournalOptions::default())?;
    let config = Config { listen: "127.0.0.1:0".into(), ..Config::default() }.keeping_with(store);
    let coordinator = Coordinator::bind(config).await?;
    println!("listening on {}", coordinator.local_addr());
    Ok(coordinator.serve(std::future::pending()).await?)
}
