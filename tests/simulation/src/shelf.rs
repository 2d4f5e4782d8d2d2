//! The shell's side of the store: records wait, one batch at a time is written and synced, and the core hears how far
//! the disk is.

use std::time::Duration;

use farloop_core::api::{Input, Record};
use farloop_core::time::Time;
use farloop_store::{Entry, Journal, JournalOptions, Part, Store as _, StoreError};

use crate::disk::SimDisk;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::{Event, World};

/// The store of a world, over all lives.
#[derive(Debug)]
pub(crate) struct Shelf {
    disk: SimDisk,
    options: JournalOptions,
    /// None: nobody has it open.
    journal: Option<Journal<SimDisk>>,
    /// Being written.
    batch: Vec<Entry>,
    /// Not even handed to the store.
    waiting: Vec<Entry>,
}

impl Shelf {
    pub(crate) fn new(plan: &Plan) -> Self {
        let segment = plan.lives.segment;
        let options = JournalOptions { segment, keep: 8 * segment, reserve: 1, ..JournalOptions::default() };
        Self { disk: SimDisk::default(), options, journal: None, batch: Vec::new(), waiting: Vec::new() }
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
    fn sync(&mut self) -> Result<u64, StoreError> {
        let journal = self.journal.as_mut().ok_or(StoreError::Stopped)?;
        for entry in self.batch.drain(..) {
            journal.append(entry)?;
        }
        journal.sync()
    }

    /// The disk fails after that many operations more.
    pub(crate) fn fail_after(&mut self, operations: u64) {
        self.disk.fail_after(Some(operations));
    }

    /// It does not fail any more.
    pub(crate) fn heal(&mut self) {
        self.disk.fail_after(None);
    }

    /// The process ended: what was not durable is there in parts, or not at all.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        if rng.chance(500) {
            // In the middle of the batch: whether it comes to its end is no matter to a process that does not.
            self.disk.fail_after(Some(rng.below(4)));
            let _ = self.sync();
        }
        self.batch.clear();
        self.waiting.clear();
        self.journal = None;
        self.disk.crash(rng);
    }

    /// All records, or what is wrong with them. Sometimes the process dies while it opens its store.
    pub(crate) fn open(&mut self, rng: &mut Rng) -> Result<Vec<Entry>, StoreError> {
        if rng.chance(200) {
            self.disk.fail_after(Some(rng.below(6)));
            let opened = read(&self.disk, self.options);
            drop(opened);
            self.disk.crash(rng);
        }
        let (journal, entries) = read(&self.disk, self.options)?;
        self.journal = Some(journal);
        Ok(entries)
    }

    /// Opens a copy in which a bit was flipped; none: there is nothing to flip. The complaint, if what was damaged was
    /// taken for sound.
    pub(crate) fn open_flipped(&self, rng: &mut Rng) -> Option<Result<(), String>> {
        let sound = read(&self.disk.copy(), self.options).map(|(_, entries)| entries);
        let copy = self.disk.copy();
        let (name, at) = copy.flip(rng)?;
        let damaged = read(&copy, self.options).map(|(_, entries)| entries);
        Some(match (sound, damaged) {
            (_, Err(StoreError::Corrupt { file, offset })) if file.contains(&name) && offset <= at as u64 => Ok(()),
            (Ok(sound), Ok(damaged)) if sound == damaged => Ok(()),
            (sound, Ok(damaged)) => {
                let (sound, damaged) = (sound.map_or(0, |s| s.len()), damaged.len());
                Err(format!("a bit of {name} was flipped at {at}, and {damaged} records are read where {sound} were"))
            }
            (_, Err(error)) => Err(format!("a bit of {name} was flipped at {at}, and the store says: {error}")),
        })
    }

    /// A part that may leave.
    pub(crate) fn leaving(&mut self, before: Time) -> Result<Option<Part>, StoreError> {
        self.journal.as_mut().map_or(Ok(None), |journal| journal.leaving(before))
    }

    pub(crate) fn drop_part(&mut self, number: u64) -> Result<(), StoreError> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.drop_part(number))
    }
}

fn read(disk: &SimDisk, options: JournalOptions) -> Result<(Journal<SimDisk>, Vec<Entry>), StoreError> {
    let mut journal = Journal::open(disk.clone(), options)?;
    let mut entries = Vec::new();
    journal.replay(&mut |entry| entries.push(entry))?;
    Ok((journal, entries))
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
