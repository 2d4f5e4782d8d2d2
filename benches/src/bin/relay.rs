//! The floor as three processes: `relay worker`, `relay middle --worker URL`, `relay client --address URL`.

use anyhow::Result;
use clap::{Parser, Subcommand};
use farloop_benches::drive::Drive;
use farloop_benches::relay::{Client, serve_relay, serve_worker};
use tokio::task::LocalSet;

/// A tonic relay with nothing in it.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Answers each item.
    Worker,
    /// Stands between client and worker.
    Middle {
        /// Where the worker listens.
        #[arg(long)]
        worker: String,
    },
    /// Puts load on the relay and prints figures.
    Client {
        /// Where the relay listens.
        #[arg(long)]
        address: String,
        #[command(flatten)]
        drive: Drive,
    },
}

// One thread per process: with three processes on few cores, wake-ups across threads cost more than the work.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Options::parse().part {
        Part::Worker => serve_worker().await,
        Part::Middle { worker } => serve_relay(&worker).await,
        Part::Client { address, drive } => {
            LocalSet::new()
                .run_until(async {
                    let client = Client::connect(&address).await?;
                    drive.run(async || client.call().await).await?.print();
                    Ok(())
                })
                .await
        }
    }
}
