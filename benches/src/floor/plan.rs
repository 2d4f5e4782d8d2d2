//! What is measured, in which order.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Options;
use super::report::{Bound, Finding, Kind};
use super::stage::{FarloopStage, RelayStage};
use crate::figures::{Figures, median};

/// In flight at once, pipelined.
const NARROW: usize = 1_024;
const WIDE: usize = 10_000;
/// Workers below the tree that is cancelled.
const TREE_WORKERS: usize = 3;
/// Milliseconds of a sync on a slow disk.
const SYNC_MS: u64 = 2;
/// Tasks that wait for a worker nobody started.
const PENDING: usize = 200_000;
/// Actors that share the wide load.
const ACTORS: usize = 1_000;
/// Actors made in one go.
const SPAWNED: usize = 10_000;
/// Workers over which the ring of actors goes.
const RING_WORKERS: usize = 2;
/// Actors that are there before idle ones are counted, so that what a process allocates once is not theirs.
const IDLE_BEFORE: usize = 5_000;
/// Long enough for buffers that carried the actors to be given back.
const SETTLE: Duration = Duration::from_millis(500);

pub(super) async fn measure_all(options: &Options) -> Result<Vec<Finding>> {
    let mut findings = Findings::default();
    for round in 1..=options.rounds() {
        eprintln!("round {round} of {}", options.rounds());
        alternate(options, &mut findings).await?;
    }
    eprintln!("durable");
    for _ in 0..if options.quick { 2 } else { 5 } {
        durable(options, &mut findings).await?;
    }
    eprintln!("actors");
    for _ in 0..if options.quick { 2 } else { 5 } {
        ring(options, &mut findings).await?;
    }
    idle_actors(options, &mut findings).await?;
    eprintln!("cancel and memory");
    trees(options, &mut findings).await?;
    pending(options, &mut findings).await?;
    Ok(findings.into())
}

/// One round, fresh processes on both sides: memory layout and hash seeds are part of what varies.
async fn alternate(options: &Options, found: &mut Findings) -> Result<()> {
    let seconds = options.seconds();
    let mut farloop = FarloopStage::start(1).await?;
    found.first.farloop(farloop.first_result().await?.as_secs_f64() * 1e3);
    found.idle.farloop(farloop.memory()? as f64 / f64::from(1 << 20));
    let mut relay = RelayStage::start().await?;
    // A coordinator of their own: what the tasks left behind is not the actors', nor the other way round.
    let mut actors = FarloopStage::start_actors(1).await?;

    let (floor, ours) = (relay.drive(1, seconds).await?, farloop.drive(1, seconds).await?);
    found.call_p50.both(floor.p50_us, actors.call(1, 1, seconds).await?.p50_us);
    found.p50.both(floor.p50_us, ours.p50_us);
    found.p99.both(floor.p99_us, ours.p99_us);

    // Each client's warm-up is in the CPU time and not in the count; a fifth or less, and on both sides.
    let each = |spent: Duration, figures: &Figures| spent.as_secs_f64() * 1e6 / figures.operations.max(1) as f64;
    let (relay_before, before) = (relay.middle_cpu()?, farloop.coordinator_cpu()?);
    let (floor, ours) = (relay.drive(NARROW, seconds).await?, farloop.drive(NARROW, seconds).await?);
    found.narrow.both(floor.rate(), ours.rate());
    let relay_narrow = floor.rate();
    let relay_cpu = each(relay.middle_cpu()? - relay_before, &floor);
    found.cpu.both(relay_cpu, each(farloop.coordinator_cpu()? - before, &ours));

    let before = actors.coordinator_cpu()?;
    let ours = actors.call(NARROW, 1, seconds).await?;
    found.call_one.both(relay_narrow, ours.rate());
    found.call_cpu.both(relay_cpu, each(actors.coordinator_cpu()? - before, &ours));

    let (floor, ours) = (relay.drive(WIDE, seconds).await?, farloop.drive(WIDE, seconds).await?);
    found.wide.both(floor.rate(), ours.rate());
    found.call_many.both(floor.rate(), actors.call(WIDE, ACTORS, seconds).await?.rate());

    let ours = actors.load(&["spawn", "--count", &SPAWNED.to_string()]).await?;
    found.spawn.farloop(ours.rate());

    let ours = farloop.load(&["gather", "--size", "10000", "--times", "5"]).await?;
    found.gather.farloop(ours.p50_us / 1e3);
    Ok(())
}

/// Records on a disk without any time of its own, and on one whose syncs take 2 ms, each beside a coordinator without.
async fn durable(options: &Options, found: &mut Findings) -> Result<()> {
    let seconds = options.seconds();
    let mut plain = FarloopStage::start(1).await?;
    let mut quick = FarloopStage::start_durable(0).await?;
    let mut slow = FarloopStage::start_durable(SYNC_MS).await?;
    for stage in [&mut plain, &mut quick, &mut slow] {
        stage.first_result().await?;
    }
    let memory = plain.drive(WIDE, seconds).await?.rate();
    found.durable.both(memory, quick.drive(WIDE, seconds).await?.rate());
    let memory = plain.drive(WIDE, seconds).await?.rate();
    found.slow.both(memory, slow.drive(WIDE, seconds).await?.rate());
    let (plain, slow) = (plain.drive(1, seconds).await?.p50_us, slow.drive(1, seconds).await?.p50_us);
    found.syncs.farloop((slow - plain) / a_sync().as_secs_f64() / 1e6);
    Ok(())
}

/// What a sync of the slow disk takes here: it sleeps, and no machine wakes who sleeps on the dot.
fn a_sync() -> Duration {
    let asked = Duration::from_millis(SYNC_MS);
    let slept = || {
        let began = Instant::now();
        std::thread::sleep(asked);
        began.elapsed().as_secs_f64()
    };
    Duration::from_secs_f64(median(&(0..51).map(|_| slept()).collect::<Vec<_>>()))
}

async fn trees(options: &Options, found: &mut Findings) -> Result<()> {
    let mut farloop = FarloopStage::start(TREE_WORKERS).await?;
    for _ in 0..if options.quick { 3 } else { 7 } {
        let ours = farloop.load(&["tree", "--fan-out", "10", "--depth", "4"]).await?;
        found.tree.farloop(ours.p50_us / 1e3);
    }
    Ok(())
}

/// A token that goes from actor to actor, over workers that know each other through the coordinator only.
async fn ring(options: &Options, found: &mut Findings) -> Result<()> {
    let mut farloop = FarloopStage::start_actors(RING_WORKERS).await?;
    let laps = if options.quick { "10" } else { "50" };
    found.ring.farloop(farloop.load(&["ring", "--size", "1000", "--laps", laps]).await?.p50_us);
    Ok(())
}

/// What an actor costs that nobody calls.
async fn idle_actors(options: &Options, found: &mut Findings) -> Result<()> {
    let count = if options.quick { 100_000 } else { 1_000_000 };
    for _ in 0..if options.quick { 1 } else { 3 } {
        let mut farloop = FarloopStage::start_actors(1).await?;
        farloop.load(&["idle", "--count", &IDLE_BEFORE.to_string()]).await?;
        tokio::time::sleep(SETTLE).await;
        let (coordinator, worker) = farloop.memories()?;
        farloop.load(&["idle", "--count", &count.to_string()]).await?;
        tokio::time::sleep(SETTLE).await;
        let (coordinator_now, worker_now) = farloop.memories()?;
        found.idle_worker.farloop(worker_now.saturating_sub(worker) as f64 / f64::from(count));
        found.idle_coordinator.farloop(coordinator_now.saturating_sub(coordinator) as f64 / f64::from(count));
    }
    Ok(())
}

async fn pending(options: &Options, found: &mut Findings) -> Result<()> {
    for _ in 0..if options.quick { 1 } else { 3 } {
        let mut farloop = FarloopStage::start(1).await?;
        let coordinator = farloop.coordinator()?.to_string();
        let count = PENDING.to_string();
        let ours = farloop.load(&["pending", "--count", &count, "--coordinator", &coordinator]).await?;
        found.pending.farloop(ours.bytes_each);
    }
    Ok(())
}

/// The rows of the table, in its order.
struct Findings {
    p50: Finding,
    p99: Finding,
    narrow: Finding,
    wide: Finding,
    gather: Finding,
    durable: Finding,
    slow: Finding,
    syncs: Finding,
    tree: Finding,
    first: Finding,
    cpu: Finding,
    pending: Finding,
    idle: Finding,
    call_p50: Finding,
    call_one: Finding,
    call_many: Finding,
    call_cpu: Finding,
    spawn: Finding,
    ring: Finding,
    idle_worker: Finding,
    idle_coordinator: Finding,
}

impl Default for Findings {
    fn default() -> Self {
        use Bound::{AtLeast, AtMost, None};
        Self {
            p50: Finding::new("round trip, p50", Kind::Micros, AtMost { must: 3.0, aim: 1.5 }),
            p99: Finding::new("round trip, p99", Kind::Micros, None),
            narrow: Finding::new("pipelined, 1,024 in flight", Kind::Rate, AtLeast { must: 0.15, aim: 0.5 }),
            wide: Finding::new("pipelined, 10,000 in flight", Kind::Rate, AtLeast { must: 0.15, aim: 0.5 }),
            gather: Finding::new("gather of 10,000", Kind::Millis, None),
            durable: Finding::new("durable / memory, 10,000", Kind::Rate, AtLeast { must: 0.3, aim: 0.7 }),
            slow: Finding::new("  with syncs of 2 ms", Kind::Rate, AtLeast { must: 0.3, aim: 0.7 }),
            syncs: Finding::new("  p50 above memory", Kind::Syncs, AtMost { must: 2.5, aim: 1.5 }),
            tree: Finding::new("cancel a tree of 11,111", Kind::Millis, AtMost { must: 1_000.0, aim: 50.0 }),
            first: Finding::new("start to first result", Kind::Millis, AtMost { must: 300.0, aim: 100.0 }),
            cpu: Finding::new("coordinator CPU per task", Kind::Micros, AtMost { must: 4.0, aim: 1.5 }),
            pending: Finding::new("coordinator per pending task", Kind::Bytes, AtMost { must: 1_024.0, aim: 400.0 }),
            idle: Finding::new("idle coordinator + worker", Kind::Mebibytes, AtMost { must: 40.0, aim: 15.0 }),
            call_p50: Finding::new("actor call, p50", Kind::Micros, AtMost { must: 3.0, aim: 1.5 }),
            call_one: Finding::new("  1,024 in flight, 1 actor", Kind::Rate, AtLeast { must: 0.15, aim: 0.5 }),
            call_many: Finding::new("  10,000, 1,000 actors", Kind::Rate, AtLeast { must: 0.15, aim: 0.5 }),
            // Asked of tasks alone: a call is one whose way is longer, and this says by how much.
            call_cpu: Finding::new("  coordinator CPU per call", Kind::Micros, None),
            spawn: Finding::new("actors up, of 10,000", Kind::Rate, None),
            ring: Finding::new("ring of 1,000 actors, a hop", Kind::Micros, None),
            idle_worker: Finding::new("worker per idle actor", Kind::Bytes, AtMost { must: 1_536.0, aim: 900.0 }),
            idle_coordinator: Finding::new("coordinator per idle actor", Kind::Bytes, None),
        }
    }
}

impl From<Findings> for Vec<Finding> {
    fn from(f: Findings) -> Self {
        vec![
            f.p50,
            f.p99,
            f.narrow,
            f.wide,
            f.gather,
            f.durable,
            f.slow,
            f.syncs,
            f.tree,
            f.first,
            f.cpu,
            f.pending,
            f.idle,
            f.call_p50,
            f.call_one,
            f.call_many,
            f.call_cpu,
            f.spawn,
            f.ring,
            f.idle_worker,
            f.idle_coordinator,
        ]
    }
}
