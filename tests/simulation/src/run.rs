//! Runs seeds and says what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::plan::Plan;
use crate::trace::Trace;
use crate::world::World;

/// How to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Print every line of the trace.
    pub trace: bool,
    /// Stop at the first seed that fails.
    pub first: bool,
    /// Faults never stop (true), or always do in the end (false), whatever the seed draws. Concerns worlds with a store.
    pub safety: Option<bool>,
    /// Name of a bug to plant in the core.
    pub planted: Option<String>,
    /// Worlds of actors rather than of tasks.
    pub actors: bool,
    /// Keep the last lines of the trace.
    pub keep: bool,
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// Which.
    pub seed: u64,
    /// The law.
    pub law: String,
    /// What was seen.
    pub what: String,
    /// At which step.
    pub step: u64,
    /// The last lines of its trace.
    pub tail: Vec<String>,
    /// In a world of actors.
    pub actors: bool,
}

/// What came of one seed.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Steps.
    pub steps: u64,
    /// Hash of the trace.
    pub hash: u64,
    /// Starts of attempts.
    pub starts: u64,
    /// Calls of the public API that were answered.
    pub calls: u64,
    /// Outcomes that were told, by kind.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Faults, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Rare things, by kind.
    pub seen: BTreeMap<&'static str, u64>,
    /// If it failed.
    pub failed: Option<Failed>,
}

/// What came of many.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Seeds run.
    pub seeds: u64,
    /// Those that failed.
    pub failed: Vec<Failed>,
    /// All steps.
    pub steps: u64,
    /// Hash of all hashes, in the order of the seeds.
    pub hash: u64,
    /// Sums.
    pub starts: u64,
    /// Sums.
    pub calls: u64,
    /// Sums.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Sums.
    pub faults: BTreeMap<String, u64>,
    /// Sums.
    pub seen: BTreeMap<&'static str, u64>,
}

/// Runs one seed.
#[must_use]
pub fn run_seed(seed: u64, options: &Options) -> Outcome {
    if options.actors {
        let outcome = crate::acting::run_acting(seed, options);
        if outcome.failed.is_some() && !options.trace {
            // Again with lines: the same thing happens (L20).
            return crate::acting::run_acting(seed, &Options { keep: true, ..options.clone() });
        }
        return outcome;
    }
    let outcome = attempt(seed, options, false);
    if outcome.failed.is_some() && !options.trace {
        // Again with lines: the same thing happens (L20).
        return attempt(seed, options, true);
    }
    outcome
}

fn attempt(seed: u64, options: &Options, keep: bool) -> Outcome {
    let trace = Trace::new(keep, options.trace);
    let mut world = World::new(seed, trace, |plan| {
        plan.safety = options.safety;
        plant(plan, options.planted.as_deref());
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| world.run())).err();
    let panicked = panicked.map(|p| {
        let text = p.downcast_ref::<String>().cloned().or_else(|| p.downcast_ref::<&str>().map(|s| (*s).to_string()));
        crate::history::Broken { law: "panic".into(), what: text.unwrap_or_default() }
    });
    let broken = panicked.or(world.history.broken);
    let failed = broken.map(|b| Failed { seed, law: b.law, what: b.what, step: world.steps, tail: world.trace.tail(), actors: false });
    Outcome {
        steps: world.steps,
        hash: world.trace.hash(),
        starts: world.history.starts,
        calls: world.calls.answered,
        outcomes: world.history.outcomes,
        faults: world.struck,
        seen: world.history.seen,
        failed,
    }
}

/// Seeds between two lines about how far a run is.
const BLOCK: u64 = 1_000;

/// Runs many seeds, on as many threads as there are cores: each world has one, and shares nothing. `each` hears how far it
/// is, now and then.
#[must_use]
pub fn run(seeds: Range<u64>, options: &Options, mut each: impl FnMut(&Report)) -> Report {
    let mut report = Report::default();
    let mut from = seeds.start;
    while from < seeds.end && (report.failed.is_empty() || !options.first) {
        let end = seeds.end.min(from + BLOCK);
        for outcome in block(from..end, options).into_values() {
            report.add(outcome);
        }
        from = end;
        each(&report);
    }
    report
}

fn block(seeds: Range<u64>, options: &Options) -> BTreeMap<u64, Outcome> {
    let next = AtomicU64::new(seeds.start);
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let work = || {
        let mut outcomes = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return outcomes;
            }
            let outcome = run_seed(seed, options);
            if options.first && outcome.failed.is_some() {
                next.store(seeds.end, Ordering::Relaxed);
            }
            outcomes.push((seed, outcome));
        }
    };
    let mut outcomes = BTreeMap::new();
    thread::scope(|scope| {
        let threads = (0..cores).map(|_| scope.spawn(work)).collect::<Vec<_>>();
        for thread in threads {
            // A panic of a world was caught inside: one here is the simulator's own.
            outcomes.extend(thread.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
        }
    });
    outcomes
}

impl Report {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.steps += outcome.steps;
        self.hash = (self.hash.rotate_left(7) ^ outcome.hash).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.starts += outcome.starts;
        self.calls += outcome.calls;
        for (kind, n) in outcome.outcomes {
            *self.outcomes.entry(kind).or_default() += n;
        }
        for (kind, n) in outcome.faults {
            *self.faults.entry(kind).or_default() += n;
        }
        for (kind, n) in outcome.seen {
            *self.seen.entry(kind).or_default() += n;
        }
        self.failed.extend(outcome.failed);
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} fails at step {}: {} does not hold", self.seed, self.step, self.law)?;
        for line in &self.tail {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "{}: {}", self.law, self.what)?;
        write!(f, "replay: cargo xtask sim{} --seed {}", if self.actors { " --actors" } else { "" }, self.seed)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.faults.iter().map(|(k, n)| format!("{k} {n}")).collect::<Vec<_>>().join(", ");
        writeln!(f, "starts {}, calls {}, outcomes {:?}", self.starts, self.calls, self.outcomes)?;
        let seen = self.seen.iter().map(|(k, n)| format!("{k} {n}")).collect::<Vec<_>>().join(", ");
        writeln!(f, "faults: {faults}")?;
        writeln!(f, "seen: {seen}")?;
        write!(
            f,
            "sim: {} seeds, {} failed, {} steps, trace hash {:016x}",
            self.seeds,
            self.failed.len(),
            self.steps,
            self.hash
        )
    }
}

/// After how many seeds a planted bug is caught, and how. A seed that fails without the bug as well does not count.
#[must_use]
pub fn catch(name: &str, seeds: Range<u64>, actors: bool) -> Option<(u64, Failed)> {
    let options = Options { planted: Some(name.into()), actors, ..Options::default() };
    let first = seeds.start;
    seeds.into_iter().find_map(|seed| {
        let failed = run_seed(seed, &options).failed?;
        run_seed(seed, &Options { actors, ..Options::default() }).failed.is_none().then_some((seed - first + 1, failed))
    })
}

/// Names of the bugs that can be planted; none without the feature `planted-bugs`.
#[must_use]
pub fn plantable() -> Vec<String> {
    #[cfg(feature = "planted-bugs")]
    return farloop_core::api::Planted::ALL.iter().map(|p| format!("{p:?}")).collect();
    #[cfg(not(feature = "planted-bugs"))]
    Vec::new()
}

#[cfg(feature = "planted-bugs")]
fn plant(plan: &mut Plan, name: Option<&str>) {
    plan.config.planted = farloop_core::api::Planted::ALL.into_iter().find(|p| name == Some(&format!("{p:?}")));
}

#[cfg(not(feature = "planted-bugs"))]
fn plant(_: &mut Plan, _: Option<&str>) {}
