//! Load on a farloop cluster: `FARLOOP_ADDRESS=http://127.0.0.1:7171 load calls --window 1024`.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use farloop_benches::drive::Drive;
use farloop_benches::load::{calls, cancel_tree, first, gathers, memory_of_pending};

/// Puts load on the cluster at FARLOOP_ADDRESS, or on one in this process, and prints figures.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// No-ops, a window of them in flight.
    Calls(Drive),
    /// Gathers of no-ops.
    Gather {
        /// Members of one gather.
        #[arg(long, default_value_t = 10_000)]
        size: usize,
        /// Gathers.
        #[arg(long, default_value_t = 5)]
        times: usize,
    },
    /// One cancel of a whole tree.
    Tree {
        /// Children of each task.
        #[arg(long, default_value_t = 10)]
        fan_out: u32,
        /// Levels below the root.
        #[arg(long, default_value_t = 4)]
        depth: u32,
    },
    /// Memory of tasks that wait.
    Pending {
        /// Tasks.
        #[arg(long, default_value_t = 200_000)]
        count: usize,
        /// Process id of the coordinator.
        #[arg(long)]
        coordinator: u32,
    },
    /// One no-op.
    First,
}

#[farloop::main]
async fn main() -> Result<()> {
    let figures = match Options::parse().mode {
        Mode::Calls(drive) => calls(drive).await?,
        Mode::Gather { size, times } => gathers(size, times).await?,
        Mode::Tree { fan_out, depth } => {
            let address =
                std::env::var("FARLOOP_ADDRESS").context("a tree is counted over gRPC: set FARLOOP_ADDRESS")?;
            cancel_tree(&address, fan_out, depth).await?
        }
        Mode::Pending { count, coordinator } => memory_of_pending(count, coordinator).await?,
        Mode::First => first().await?,
    };
    figures.print();
    Ok(())
}
