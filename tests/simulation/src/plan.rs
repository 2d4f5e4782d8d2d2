//! What one seed is about: its fault rates and its mix of work.
//!
//! Swarm testing: each seed draws which faults exist in its world at all and how often they strike. A mean world, where
//! every fault strikes at a middling rate, would never show what needs a long calm before one storm.

use std::time::Duration;

use farloop_core::api::Config;

use crate::lives::Lives;
use crate::rng::Rng;

/// Functions that exist; the last is offered by nobody while there are faults.
pub const FUNCTIONS: usize = 6;

/// Rates are per 1,000 occasions unless they say otherwise.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Clients at the start.
    pub clients: usize,
    /// Workers at the start.
    pub workers: usize,
    /// Actions per client.
    pub actions: usize,
    /// Faults stop here, in microseconds.
    pub calm_at: u64,
    /// Mean time between two faults in microseconds; none: a world without.
    pub fault_every: Option<u64>,
    /// Weights of the kinds of fault, by [`crate::faults::KINDS`].
    pub faults: Vec<u64>,
    /// Longest way of a batch, in microseconds.
    pub latency: u64,
    /// Batches that are delivered twice.
    pub duplicate: u64,
    /// Batches that vanish from the middle of a connection.
    pub gap: u64,
    /// Batches in flight that still arrive after their connection was cut.
    pub late: u64,
    /// Batches that one connection takes at once.
    pub window: usize,
    /// The shell polls batches not at once but up to that much later, in microseconds.
    pub flush: u64,
    /// Delay of a record on its way to the disk, in microseconds.
    pub sync: u64,
    /// Client actions that are a cancel.
    pub cancel: u64,
    /// Client actions that are a call of the public API.
    pub call: u64,
    /// Client actions that are of the odd kinds: duplicates, conflicts, watches of strangers, unknown ids.
    pub odd: u64,
    /// Scripts that fail.
    pub fail: u64,
    /// Scripts that have a timeout.
    pub timeout: u64,
    /// Scripts that suppress, clean up or ignore a cancel.
    pub stubborn: u64,
    /// Scripts that await tasks which may await them.
    pub deadlock: u64,
    /// Scripts with timeouts of their attempts, heartbeats, pauses, limits and fairness keys.
    pub policy: u64,
    /// Spawns with dependencies.
    pub depend: u64,
    /// Payloads above one part.
    pub big: u64,
    /// Scripts that yield items.
    pub stream: u64,
    /// Ids may be submitted again.
    pub again: bool,
    /// How often the coordinator starts again, and what its disk does to it. Nothing of that without a store.
    pub lives: Lives,
    /// Faults never stop, or always do, whatever the seed draws.
    pub safety: Option<bool>,
    /// What the core is told.
    pub config: Config,
}

impl Plan {
    /// Draws the plan of a world.
    #[must_use]
    pub fn draw(rng: &mut Rng) -> Self {
        let some = |rng: &mut Rng, odds: u64, most: u64| if rng.chance(odds) { rng.between(1, most) } else { 0 };
        let faults = crate::faults::KINDS.iter().map(|_| some(rng, 600, 10)).collect();
        let mut config =
            Config { seed: rng.next_u64(), durable: rng.chance(350), max_live_tasks: 1_500, ..Config::default() };
        if rng.chance(200) {
            config.retention = Duration::from_millis(rng.between(200, 5_000));
        }
        if rng.chance(100) {
            config.retained_tasks = rng.between(1, 20) as usize;
        }
        if rng.chance(100) {
            config.max_live_tasks = rng.between(5, 60) as usize;
        }
        if rng.chance(100) {
            config.max_payload = 100_000;
        }
        if rng.chance(300) {
            config.session_ttl = Duration::from_millis(rng.between(500, 8_000));
        }
        Self {
            clients: rng.between(1, 4) as usize,
            workers: rng.between(1, 4) as usize,
            actions: rng.between(5, 40) as usize,
            calm_at: rng.between(2_000_000, 25_000_000),
            fault_every: rng.chance(900).then(|| rng.between(50_000, 3_000_000)),
            faults,
            latency: rng.between(50, 40_000),
            duplicate: some(rng, 400, 50),
            gap: some(rng, 300, 15),
            late: some(rng, 700, 1_000),
            window: rng.between(1, 8) as usize,
            flush: some(rng, 500, 5_000),
            sync: some(rng, 800, 20_000),
            cancel: some(rng, 800, 350),
            call: some(rng, 700, 250),
            odd: some(rng, 600, 200),
            fail: some(rng, 700, 300),
            timeout: some(rng, 500, 300),
            stubborn: some(rng, 700, 500),
            deadlock: some(rng, 400, 250),
            policy: some(rng, 700, 1_000),
            depend: some(rng, 700, 500),
            big: some(rng, 150, 100),
            stream: some(rng, 500, 400),
            // Beyond `retained_tasks` an outcome is forgotten before its time, and the id with it: the core cannot know
            // it again. L2 is about ids within retention, or older than it.
            again: config.retained_tasks > 1_000,
            lives: Lives::default(),
            safety: None,
            config,
        }
    }
}
