//! Actors: what a call of one costs, how fast they are made, and a token that goes round a ring of them.
//!
//! They live at workers that this program is, too (`load worker`): the reference worker has no actors.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use farloop::prelude::*;
use tokio::sync::Notify;

use crate::drive::Drive;
use crate::figures::Figures;

/// Actors that are begun before the last of them is waited for: a session's buffer takes them with room to spare.
const CHUNK: usize = 5_000;
/// Hops before the measured ones.
const WARM_HOPS: u64 = 2_000;

/// Nothing, that stays: called, counted, or left alone.
struct Idle;

#[farloop::actor(name = "bench.Idle")]
impl Idle {
    pub fn new() -> Self {
        Idle
    }
    pub async fn noop(&mut self) {}
}

/// The same, made by the first call of its name.
struct Named;

#[farloop::actor(name = "bench.Named", on_demand)]
impl Named {
    pub fn new(name: String) -> Self {
        drop(name);
        Named
    }
    pub async fn noop(&mut self) {}
}

/// One of a ring.
struct Node {
    next: Option<NodeRef>,
    stopped: Notify,
}

#[farloop::actor(name = "bench.Node")]
impl Node {
    pub fn new() -> Self {
        Node { next: None, stopped: Notify::new() }
    }

    pub async fn link(&mut self, next: NodeRef) {
        self.next = Some(next);
    }

    /// Sends the token on and waits for nobody, as a process of Erlang's classical ring does.
    pub async fn pass(&self, hops: u64) -> farloop::Result<()> {
        match &self.next {
            Some(next) if hops > 0 => next.pass(hops - 1).tell(),
            _ => {
                self.stopped.notify_one();
                Ok(())
            }
        }
    }

    /// Returns when the token has come to rest here.
    pub async fn stopped(&self) {
        self.stopped.notified().await;
    }
}

/// A worker with these actors, until it is killed.
///
/// # Errors
/// The coordinator refuses it.
pub async fn actor_worker() -> Result<()> {
    Ok(farloop::Worker::from_env().actor::<Idle>().actor::<Named>().actor::<Node>().run().await?)
}

/// No-op calls to that many actors in turn, each awaited by the caller that made it.
///
/// # Errors
/// A call failed.
pub async fn actor_calls(drive: Drive, actors: usize) -> Result<Figures> {
    let all = gather_all((0..actors).map(|_| roomy(drive))).await?;
    let turn = Cell::new(0);
    drive.run(async || Ok(ensure_future(all[next(&turn, actors)].noop()).await?)).await
}

/// The same by name: actors that are made on demand, and references that know nothing else of them.
///
/// # Errors
/// A call failed.
pub async fn calls_by_name(drive: Drive, actors: usize) -> Result<Figures> {
    let all: Vec<_> = (0..actors).map(|n| Named::at(format!("user-{n}"))).collect();
    let turn = Cell::new(0);
    drive.run(async || Ok(ensure_future(all[next(&turn, actors)].noop()).await?)).await
}

fn next(turn: &Cell<usize>, of: usize) -> usize {
    turn.replace((turn.get() + 1) % of)
}

/// All callers here are one session, which the mailbox of a single actor must take.
fn roomy(drive: Drive) -> farloop::actor::Spawn<IdleRef> {
    let room = u32::try_from(2 * drive.window).unwrap_or(u32::MAX).max(1_024);
    Idle::spawn().mailbox(room).per_caller(room)
}

/// Makes that many, and waits until each is up.
///
/// # Errors
/// One was refused.
pub async fn spawn_actors(count: usize) -> Result<Figures> {
    // Connections open, and the worker's grants come.
    gather_all((0..100).map(|_| Idle::spawn())).await?;
    let begin = Instant::now();
    let up = gather_all((0..count).map(|_| Idle::spawn())).await?;
    anyhow::ensure!(up.len() == count, "{} of {count} actors", up.len());
    Ok(many(count, begin.elapsed()))
}

/// Makes that many that nobody owns, so that they are there when this program is not: for whoever weighs their processes.
///
/// # Errors
/// One was refused.
pub async fn leave_idle(count: usize) -> Result<Figures> {
    let begin = Instant::now();
    let mut left = count;
    while left > 0 {
        let chunk = left.min(CHUNK);
        for _ in 1..chunk {
            Idle::spawn().detached().start()?;
        }
        // They are begun in order: when the last is up, the others are or are about to be.
        Idle::spawn().detached().await?;
        left -= chunk;
    }
    Ok(many(count, begin.elapsed()))
}

/// Sends a token round a ring of that many actors, so many times; the time of one hop.
///
/// # Errors
/// An actor could not be made or linked, or the token was lost.
pub async fn ring(size: usize, laps: u64) -> Result<Figures> {
    let nodes = gather_all((0..size).map(|_| Node::spawn())).await?;
    let next = nodes.iter().cycle().skip(1);
    gather_all(nodes.iter().zip(next).map(|(node, next)| node.link(next.clone()))).await?;
    let first = nodes.first().context("a ring of none")?;
    let go = async |hops: u64| {
        let last = &nodes[usize::try_from(hops)? % nodes.len()];
        let stopped = ensure_future(last.stopped());
        let begin = Instant::now();
        first.pass(hops).tell()?;
        stopped.await?;
        anyhow::Ok(begin.elapsed())
    };
    go(WARM_HOPS).await?;
    let hops = laps * size as u64;
    let took = go(hops).await?;
    let each = took.as_secs_f64() * 1e6 / hops as f64;
    Ok(Figures { operations: hops, seconds: took.as_secs_f64(), p50_us: each, p99_us: each, ..Figures::default() })
}

fn many(count: usize, took: Duration) -> Figures {
    Figures { operations: count as u64, seconds: took.as_secs_f64(), ..Figures::default() }
}
