//! Parts leave when what ended in them is no longer needed, and what lives is carried: the disk does not fill.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use farloop_core::id::TaskId;
use farloop_core::record::Record;
use farloop_core::time::Time;
use farloop_store::{Entry, Journal, Store};

use crate::disk::{Dice, SimDisk};
use crate::records::{SMALL, carry, end, open, replayed, submit};

/// As much of a coordinator as matters here: some tasks live long, those over are known for a while.
struct Driver {
    store: Journal<SimDisk>,
    seq: u64,
    now: u64,
    live: BTreeSet<u64>,
    retained: VecDeque<u64>,
    carried: u64,
}

const RETAINED: usize = 20;

impl Driver {
    fn write(&mut self, record: Record) {
        self.seq += 1;
        self.store.append(Entry { seq: self.seq, record }).unwrap();
    }

    fn task(&mut self, dice: &mut Dice) {
        self.now += 1;
        let args = if dice.roll(30) == 0 { 700 } else { dice.roll(60) as usize };
        self.write(submit(self.now, args));
        self.live.insert(self.now);
        // Most end soon, some stay.
        if self.live.len() > 60 || dice.roll(50) > 0 {
            let at = dice.roll(self.live.len() as u64) as usize;
            let task = if dice.roll(4) == 0 { *self.live.iter().nth(at).unwrap() } else { self.now };
            if self.live.remove(&task) {
                self.write(end(task, dice.roll(40) as usize));
                self.retained.push_back(task);
            }
        }
        while self.retained.len() > RETAINED {
            self.retained.pop_front();
        }
        if dice.roll(3) == 0 {
            self.commit();
        }
    }

    fn commit(&mut self) {
        self.store.sync().unwrap();
        let Some(part) = self.store.leaving(Time(self.now.saturating_sub(50))).unwrap() else { return };
        for task in part.tasks {
            let task = task.0 as u64;
            if self.live.contains(&task) || self.retained.contains(&task) {
                self.write(carry(task, 30));
                self.carried += 1;
            }
        }
        self.store.sync().unwrap();
        self.store.drop_part(part.number).unwrap();
    }

    /// Tasks that the records tell of, and whether they are over.
    fn told(&mut self) -> BTreeMap<TaskId, bool> {
        let mut told = BTreeMap::new();
        for entry in replayed(&mut self.store).unwrap() {
            if let Some(task) = entry.record.begins() {
                told.insert(task, false);
            }
            if let Record::Ended { task, .. } = entry.record {
                told.entry(task).and_modify(|over| *over = true);
            }
        }
        told
    }
}

#[test]
fn the_disk_is_bounded_over_many_rotations_and_what_lives_stays_l1_l18() {
    let disk = SimDisk::default();
    let mut dice = Dice(7);
    let store = open(&disk).unwrap();
    let mut driver = Driver { store, seq: 0, now: 0, live: BTreeSet::new(), retained: VecDeque::new(), carried: 0 };
    let bound = SMALL.keep + 8 * SMALL.segment;
    for round in 0..40 {
        for _ in 0..500 {
            driver.task(&mut dice);
            assert!(disk.used() <= bound, "{} bytes are taken, {bound} allowed", disk.used());
        }
        driver.commit();
        let told = driver.told();
        for task in &driver.live {
            assert_eq!(told.get(&TaskId((*task).into())), Some(&false), "round {round}: {task} lives");
        }
        if round % 5 == 0 {
            disk.crash(&mut dice);
            driver.store = open(&disk).unwrap();
        }
    }
    let new = driver.seq - driver.carried;
    assert!(driver.carried < new, "{} records were carried for {new} new ones", driver.carried);
}

#[test]
fn an_idle_journal_is_not_rewritten() {
    let disk = SimDisk::default();
    let store = open(&disk).unwrap();
    let mut driver = Driver { store, seq: 0, now: 0, live: BTreeSet::new(), retained: VecDeque::new(), carried: 0 };
    for task in 1..2_000 {
        driver.now = task;
        driver.write(submit(task, 30));
        driver.live.insert(task);
        driver.commit();
    }
    driver.now = 1_000_000;
    driver.commit();
    let mut rounds = 0;
    let mut before = driver.seq;
    for _ in 0..1_000 {
        driver.commit();
        rounds += usize::from(driver.seq > before);
        before = driver.seq;
    }
    assert!(rounds < 10, "{rounds} parts were carried while nothing happened");
    assert_eq!(driver.told().len(), driver.live.len());
}
