//! The shell's side of the store: records wait, one batch at a time is written and synced, and the core hears how far
//! the disk is.

use std::time::Duration;

use farloop_core::api::{Input, Record};
use farloop_core::time::Time;
use farloop_store::{Entry, Part};

use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::{Event, World};

/// The store of a world, over all lives.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// What is on the disk.
    kept: Vec<Entry>,
    /// Being written.
    batch: Vec<Entry>,
    /// Not even handed to the store.
    waiting: Vec<Entry>,
    fails_in: Option<u64>,
}

/// What the store had when it was opened.
pub(crate) struct Opened {
    pub(crate) entries: Vec<Entry>,
    pub(crate) complaint: Option<String>,
}

impl Shelf {
    pub(crate) fn new(_: &Plan) -> Self {
        Self::default()
    }

    /// A record came from the core. True: nothing is being written, so a batch begins.
    pub(crate) fn take(&mut self, seq: u64, record: Record) -> bool {
        self.waiting.push(Entry { seq, record });
        self.begin()
    }

    fn begin(&mut self) -> bool {
        let begins = self.batch.is_empty() && !self.waiting.is_empty();
        if begins {
            self.batch = std::mem::take(&mut self.waiting);
        }
        begins
    }

    /// The batch is durable, up to this number; or the disk failed.
    fn sync(&mut self) -> Result<u64, String> {
        if let Some(left) = &mut self.fails_in {
            if *left == 0 {
                return Err("the disk failed".into());
            }
            *left -= 1;
        }
        self.kept.append(&mut self.batch);
        Ok(self.kept.last().map_or(0, |e| e.seq))
    }

    /// The disk fails after that many operations more.
    pub(crate) fn fail_after(&mut self, operations: u64) {
        self.fails_in = Some(operations);
    }

    /// It does not fail any more.
    pub(crate) fn heal(&mut self) {
        self.fails_in = None;
    }

    /// The process ended: what was not durable is there in parts, or not at all.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        self.waiting.clear();
        self.fails_in = None;
        let written = rng.index(self.batch.len() + 1);
        self.kept.extend(self.batch.drain(..).take(written));
    }

    pub(crate) fn open(&mut self) -> Opened {
        Opened { entries: self.kept.clone(), complaint: None }
    }

    /// A part that may leave.
    pub(crate) fn leaving(&mut self, _: Time) -> Result<Option<Part>, String> {
        Ok(None)
    }

    pub(crate) fn drop_part(&mut self, _: u64) -> Result<(), String> {
        Ok(())
    }

    /// None: there is nothing to flip.
    pub(crate) fn open_flipped(&mut self, _: &mut Rng) -> Option<Result<(), String>> {
        None
    }
}

impl World {
    /// A record came from the core.
    pub(crate) fn keep(&mut self, seq: u64, record: Record) {
        let Some(shelf) = &mut self.shelf else { return };
        if shelf.take(seq, record) {
            self.write_later();
        }
    }

    fn write_later(&mut self) {
        let delay = if self.plan.sync > 0 { self.rng.below(self.plan.sync) } else { 0 };
        self.at(self.now + Duration::from_micros(delay), Event::Synced(self.process.life));
    }

    /// The disk answers.
    pub(crate) fn synced(&mut self) {
        let Some(shelf) = &mut self.shelf else { return };
        let Ok(seq) = shelf.sync() else {
            // Nobody knows what is on the disk: the process stops.
            self.history.saw("failed sync");
            return self.die();
        };
        if shelf.begin() {
            self.write_later();
        }
        self.history.durable(seq);
        self.feed(Input::Durable(seq));
        self.drop_carried();
    }

    /// All that came so far is made durable at once.
    pub(crate) fn sync_now(&mut self) {
        for _ in 0..100 {
            if self.history.persisted == self.history.durable || !self.up() {
                return;
            }
            self.synced();
        }
    }
}
