//! Load on a farloop cluster: `FARLOOP_ADDRESS=http://127.0.0.1:7171 load calls --window 1024`.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use farloop_benches::drive::Drive;
use farloop_benches::load::{
    actor_calls, actor_worker, calls, calls_by_name, cancel_tree, first, gathers, leave_idle, memory_of_pending, ring,
    spawn_actors,
};

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
    /// No-op calls of actors, a window of them in flight.
    Actors {
        /// Actors, which are called in turn.
        #[arg(long, default_value_t = 1)]
        actors: usize,
        /// Actors that are made on demand are called, by their names.
        #[arg(long)]
        by_name: bool,
        #[command(flatten)]
        drive: Drive,
    },
    /// Actors without names are made, until all are up.
    Spawn {
        /// Actors.
        #[arg(long, default_value_t = 10_000)]
        count: usize,
    },
    /// Actors are made that nobody owns, calls or ends.
    Idle {
        /// Actors.
        #[arg(long, default_value_t = 100_000)]
        count: usize,
    },
    /// A token goes round a ring of actors.
    Ring {
        /// Actors.
        #[arg(long, default_value_t = 1_000)]
        size: usize,
        /// Laps.
        #[arg(long, default_value_t = 10)]
        laps: u64,
    },
    /// A worker for these actors; it prints no figures.
    Worker,
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
        Mode::Actors { actors, by_name: false, drive } => actor_calls(drive, actors).await?,
        Mode::Actors { actors, by_name: true, drive } => calls_by_name(drive, actors).await?,
        Mode::Spawn { count } => spawn_actors(count).await?,
        Mode::Idle { count } => leave_idle(count).await?,
        Mode::Ring { size, laps } => ring(size, laps).await?,
        Mode::Worker => return actor_worker().await,
    };
    figures.print();
    Ok(())
}
