//! Lives of the coordinator: when each ends, what its disk keeps of it, and how the next one begins.
//!
//! Only worlds with a store have more than one. Their dice are their own, so worlds without a store stay what they are.

use std::time::Duration;

use farloop_core::api::Input;
use farloop_core::machine::Core;

use crate::plan::Plan;
use crate::rng::Rng;
use crate::shelf::Shelf;
use crate::world::{Event, World};

/// What a world with a store goes through.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    /// Ends of the coordinator, in order.
    pub deaths: Vec<Death>,
    /// Faults never stop: nothing has to end, and nothing may break.
    pub safety: bool,
    /// Bytes of a segment of its journal.
    pub segment: u64,
    /// The shell asks its store that often whether a part may leave, in microseconds.
    pub sweep: u64,
    /// The first records of a life are durable at once, and what is known is compared with them.
    pub compare: bool,
}

/// One end.
#[derive(Clone, Debug)]
pub struct Death {
    /// Not before this moment, in microseconds.
    pub at: u64,
    /// When exactly.
    pub when: When,
    /// Time until the next life begins, in microseconds.
    pub down: u64,
    /// A bit of what was durable is found flipped; then the folder is restored from a copy.
    pub flip: bool,
}

/// The moment of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// When that many records more have come from the core: none of the last is on the disk.
    Records(u64),
    /// At that operation of the disk: the batch that was being written is there in parts, or not at all.
    Operations(u64),
    /// When that many batches more have left for peers: what was told is all that is known of it.
    Batches(u64),
}

/// What is left of a death that waits for its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Armed {
    Records(u64),
    Batches(u64),
}

/// The coordinator's process.
#[derive(Debug, Default)]
pub(crate) struct Process {
    /// Number of its life; events of earlier ones are void.
    pub(crate) life: u64,
    /// It does not run.
    pub(crate) down: bool,
    /// Deaths that have happened, or are about to.
    next: usize,
    armed: Option<Armed>,
}

impl Lives {
    /// Draws them. The dice are not those of the world.
    #[must_use]
    pub fn draw(plan: &Plan) -> Self {
        let mut rng = Rng::new(plan.config.seed ^ 0x11fe_5a3d);
        let span = plan.calm_at;
        let lives = *rng.pick(&[1, 2, 2, 3, 3]);
        let mut deaths = (1..lives).map(|_| Death::draw(span, &mut rng)).collect::<Vec<_>>();
        deaths.sort_by_key(|d| d.at);
        Self {
            deaths,
            safety: plan.safety.unwrap_or(rng.chance(250)),
            segment: *rng.pick(&[1 << 12, 1 << 14, 1 << 16, 1 << 20]),
            sweep: rng.between(50_000, 2_000_000),
            compare: rng.chance(700),
        }
    }
}

impl Death {
    fn draw(span: u64, rng: &mut Rng) -> Self {
        let few = rng.between(1, 40);
        Self {
            at: rng.between(span / 20, span * 9 / 10),
            when: *rng.pick(&[When::Now, When::Records(few), When::Operations(few / 4), When::Batches(few)]),
            // Mostly shorter than workers and clients are waited for.
            down: if rng.chance(800) { rng.between(1_000, 1_500_000) } else { rng.between(1_500_000, 12_000_000) },
            flip: rng.chance(150),
        }
    }
}

impl World {
    /// Opens the store and begins the first life.
    pub(crate) fn begin(&mut self) {
        if !self.plan.config.durable {
            return;
        }
        self.shelf = Some(Shelf::new(&self.plan));
        self.live();
        self.expect_death();
        self.at(self.now + Duration::from_micros(self.plan.lives.sweep), Event::Sweep);
    }

    /// Whether the coordinator runs.
    pub(crate) fn up(&self) -> bool {
        !self.process.down
    }

    fn expect_death(&mut self) {
        if let Some(death) = self.plan.lives.deaths.get(self.process.next) {
            let at = self.now.max(farloop_core::time::Time(death.at));
            self.at(at, Event::Death(self.process.life));
        }
    }

    /// A death is due: now, or at the next occasion of its kind.
    pub(crate) fn death_is_due(&mut self) {
        let Some(death) = self.plan.lives.deaths.get(self.process.next).filter(|_| self.up()) else { return };
        match death.when {
            When::Now => self.die(),
            When::Records(n) => self.process.armed = Some(Armed::Records(n)),
            When::Batches(n) => self.process.armed = Some(Armed::Batches(n)),
            When::Operations(n) => {
                if let Some(shelf) = &mut self.shelf {
                    shelf.fail_after(n);
                }
            }
        }
    }

    /// A record or a batch came out of the core. True: that was the last thing of this life.
    pub(crate) fn strikes(&mut self, kind: fn(u64) -> Armed) -> bool {
        let left = match self.process.armed {
            Some(Armed::Records(n) | Armed::Batches(n)) if self.process.armed == Some(kind(n)) => n,
            _ => return false,
        };
        self.process.armed = (left > 1).then(|| kind(left - 1));
        if left == 1 {
            self.die();
        }
        left == 1
    }

    /// The process ends in the middle of whatever it does.
    pub(crate) fn die(&mut self) {
        let life = self.process.life;
        self.trace.line(|| format!("-- the coordinator dies in its life {life} --"));
        *self.struck.entry("Death".into()).or_default() += 1;
        self.process.down = true;
        self.process.armed = None;
        self.tick_at = None;
        self.carrying = None;
        if let Some(shelf) = &mut self.shelf {
            shelf.crash(&mut self.rng);
        }
        for conn in self.network.whole() {
            let late = self.rng.chance(self.plan.late);
            self.network.cut(conn, late);
            let noticed = Duration::from_micros(self.rng.below(60_000));
            self.at(self.now + noticed, Event::CutAtPeer(conn));
        }
        self.network.close_all();
        self.history.died();
        self.readers.broken();
        for request in self.calls.broken() {
            if self.rng.chance(700) {
                let later = Duration::from_micros(self.rng.below(2_000_000));
                self.at(self.now + later, Event::Ask(Box::new(request)));
            }
        }
        let down = self.plan.lives.deaths.get(self.process.next).map_or(0, |d| d.down);
        self.at(self.now + Duration::from_micros(down), Event::Restart(life));
    }

    /// Somebody starts the process again.
    pub(crate) fn restart(&mut self) {
        if self.up() {
            return;
        }
        let flip = self.plan.lives.deaths.get(self.process.next).is_some_and(|d| d.flip);
        self.process.next += 1;
        if flip && let Some(shelf) = &mut self.shelf {
            self.trace.line(|| "-- a bit is flipped --".into());
            match shelf.open_flipped(&mut self.rng) {
                Some(Ok(())) => self.history.saw("flipped bit refused"),
                Some(Err(what)) => return self.history.fail("L17", what),
                None => {}
            }
        }
        self.process.down = false;
        self.live();
        self.expect_death();
    }

    /// Faults stop: no death is due any more, and a process that is down is started.
    pub(crate) fn no_more_deaths(&mut self) {
        self.process.armed = None;
        if let Some(shelf) = &mut self.shelf {
            shelf.heal();
        }
        if !self.up() {
            self.restart();
        }
        self.process.next = self.plan.lives.deaths.len();
    }

    /// A life begins: what the store has is folded into a fresh core.
    fn live(&mut self) {
        let Some(shelf) = &mut self.shelf else { return };
        let entries = match shelf.open(&mut self.rng) {
            Ok(entries) => entries,
            Err(error) => return self.history.fail("L17", format!("after a crash the store does not open: {error}")),
        };
        self.process.life += 1;
        let life = self.process.life;
        let (now, count) = (self.now, entries.len());
        self.trace.mix(count as u64);
        self.trace.line(|| format!("{:>10} -- life {life} begins, with {count} records --", now.0));
        self.history.survived(self.now, &entries);
        self.core = Core::new(self.plan.config.clone());
        for entry in entries {
            self.core.replay(entry.seq, entry.record);
        }
        let cluster = u128::from(self.plan.config.seed) << 64 | 0xfa51;
        self.feed(Input::Recovered { cluster });
        if self.plan.lives.compare && self.up() {
            self.sync_now();
            self.compare();
        }
    }
}
