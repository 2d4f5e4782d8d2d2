//! Every adapter, driven by dice, is what a list of records is: after any reopening it holds a part of that list
//! without gaps, from what has not left to at least what was durable.

use std::collections::BTreeSet;

use farloop_core::id::TaskId;
use farloop_core::time::Time;
use farloop_store::disk::RealDisk;
use farloop_store::{Entry, Journal, MemoryStore, Store, StoreError};
use proptest::prelude::*;

use crate::disk::{Dice, SimDisk};
use crate::records::{SMALL, open, replayed, varied};

#[derive(Clone, Debug)]
enum Step {
    Append(u8),
    Sync,
    Leave,
    /// The process ends, or the machine: by dice.
    Reopen(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..40u8).prop_map(Step::Append),
        5 => Just(Step::Sync),
        2 => Just(Step::Leave),
        2 => any::<u64>().prop_map(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..40)
}

/// One adapter and what outlives its process.
trait Adapter {
    type Store: Store;
    fn open(&mut self) -> Result<Self::Store, StoreError>;
    /// The store is gone, and so is what a process or a machine takes along.
    fn lost(&mut self, store: Self::Store, seed: u64);
}

#[derive(Default)]
struct Memory(Option<MemoryStore>);

impl Adapter for Memory {
    type Store = MemoryStore;
    fn open(&mut self) -> Result<MemoryStore, StoreError> {
        Ok(self.0.take().unwrap_or_else(|| MemoryStore::with_parts(20)))
    }
    fn lost(&mut self, mut store: MemoryStore, _seed: u64) {
        store.crash();
        self.0 = Some(store);
    }
}

struct Real(tempfile::TempDir);

impl Adapter for Real {
    type Store = Journal<RealDisk>;
    fn open(&mut self) -> Result<Self::Store, StoreError> {
        Journal::open(RealDisk::new(self.0.path()).unwrap(), SMALL)
    }
    fn lost(&mut self, store: Self::Store, _seed: u64) {
        drop(store);
    }
}

#[derive(Default)]
struct Simulated(SimDisk);

impl Adapter for Simulated {
    type Store = Journal<SimDisk>;
    fn open(&mut self) -> Result<Self::Store, StoreError> {
        open(&self.0)
    }
    fn lost(&mut self, store: Self::Store, seed: u64) {
        drop(store);
        if seed.is_multiple_of(4) { self.0.kill() } else { self.0.crash(&mut Dice(seed)) }
    }
}

/// What a store holds, as its driver knows.
#[derive(Default)]
struct Model {
    /// All records ever appended and not lost; the first is number 1.
    entries: Vec<Entry>,
    durable: u64,
    /// Number of the first one that has not left.
    first: u64,
}

impl Model {
    /// Compares, and learns what became of the records that were not durable.
    fn agree(&mut self, store: &mut impl Store, reopened: bool) -> Result<(), TestCaseError> {
        let read = replayed(store).unwrap();
        let last = read.last().map_or(self.first - 1, |entry| entry.seq);
        prop_assert!(last >= self.durable, "{last} is less than {} that were durable", self.durable);
        prop_assert!(last <= self.entries.len() as u64);
        if reopened {
            self.entries.truncate(last as usize);
            self.durable = last;
            prop_assert_eq!(store.durable(), last);
        }
        prop_assert_eq!(&read, &self.entries[self.first as usize - 1..last as usize]);
        Ok(())
    }

    fn leave(&mut self, store: &mut impl Store) -> Result<(), TestCaseError> {
        let Some(part) = store.leaving(Time(u64::MAX)).unwrap() else { return Ok(()) };
        store.drop_part(part.number).unwrap();
        let read = replayed(store).unwrap();
        let first = read.first().map_or(self.durable + 1, |entry| entry.seq);
        let gone = &self.entries[self.first as usize - 1..first as usize - 1];
        prop_assert!(!gone.is_empty());
        let begun: BTreeSet<TaskId> = gone.iter().filter_map(|entry| entry.record.begins()).collect();
        prop_assert_eq!(part.tasks, begun.into_iter().collect::<Vec<_>>());
        self.first = first;
        self.agree(store, false)
    }
}

fn conforms(mut adapter: impl Adapter, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model = Model { first: 1, ..Model::default() };
    let mut store = adapter.open().unwrap();
    for step in steps {
        match step {
            Step::Append(count) => {
                for _ in 0..count {
                    let entry = varied(model.entries.len() as u64 + 1);
                    store.append(entry.clone()).unwrap();
                    model.entries.push(entry);
                }
            }
            Step::Sync => {
                model.durable = store.sync().unwrap();
                prop_assert_eq!(model.durable, model.entries.len() as u64);
                prop_assert_eq!(store.durable(), model.durable);
            }
            Step::Leave => model.leave(&mut store)?,
            Step::Reopen(seed) => {
                adapter.lost(store, seed);
                store = adapter.open().unwrap();
                model.agree(&mut store, true)?;
            }
        }
    }
    store.sync().unwrap();
    model.durable = store.durable();
    model.agree(&mut store, false)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn memory_is_a_list_of_records(steps in steps()) {
        conforms(Memory::default(), steps)?;
    }

    #[test]
    fn a_journal_that_crashes_is_a_list_of_records(steps in steps()) {
        conforms(Simulated::default(), steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_on_a_real_disk_is_a_list_of_records(steps in steps()) {
        conforms(Real(tempfile::tempdir().unwrap()), steps)?;
    }
}
