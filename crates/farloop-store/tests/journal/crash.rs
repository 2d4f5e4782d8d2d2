//! L1, L17: the machine stops at any operation, any number of times, and what was durable is there.

use farloop_core::time::Time;
use farloop_store::{Store, StoreError};

use crate::disk::{Dice, SimDisk};
use crate::records::{open, replayed, varied, write};

/// Batches of one record and of many, rotations, parts that leave.
fn live(disk: &SimDisk, durable: &mut u64, left: &mut u64) -> Result<(), StoreError> {
    let mut store = open(disk)?;
    for count in [1, 30, 2, 25, 1, 1, 40, 3] {
        write(&mut store, count)?;
        *durable = store.durable();
        if let Some(part) = store.leaving(Time(30))? {
            let dropped = store.drop_part(part.number);
            if let Some(first) = replayed(&mut store).ok().and_then(|read| Some(read.first()?.seq)) {
                *left = first - 1;
            }
            dropped?;
        }
    }
    Ok(())
}

#[test]
fn a_crash_at_any_operation_loses_nothing_durable_l1_l17() {
    let whole = SimDisk::default();
    live(&whole, &mut 0, &mut 0).unwrap();
    let operations = whole.operations();
    assert!(operations > 60, "{operations} operations are too few to say much");
    for at in 0..operations {
        for seed in 0..24 {
            let disk = SimDisk::default();
            let (mut durable, mut left) = (0, 0);
            disk.stop_at(at);
            assert!(live(&disk, &mut durable, &mut left).is_err());
            let mut dice = Dice(at * 1_000 + seed);
            // The second crash comes while the first is repaired.
            for _ in 0..2 {
                disk.crash(&mut dice);
                disk.stop_at(disk.operations() + dice.roll(12));
                let _ = open(&disk);
            }
            disk.crash(&mut dice);
            check(&disk, durable, left, &format!("stopped at {at}, seed {seed}"));
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_durable_l1_l17() {
    for at in 0.. {
        let disk = SimDisk::default();
        let (mut durable, mut left) = (0, 0);
        disk.stop_at(at);
        let done = live(&disk, &mut durable, &mut left).is_ok();
        disk.kill();
        // What the next process reads is what it goes on from, so it must outlive the machine too.
        let read = open(&disk).unwrap().durable();
        assert!(read >= durable, "killed at {at}");
        disk.crash(&mut Dice(at));
        check(&disk, read, left, &format!("killed at {at}"));
        if done {
            return;
        }
    }
}

fn check(disk: &SimDisk, durable: u64, left: u64, what: &str) {
    let mut store = open(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let read = replayed(&mut store).unwrap_or_else(|error| panic!("{what}: {error}"));
    let last = read.last().map_or(0, |entry| entry.seq);
    assert!(last >= durable, "{what}: {last} of {durable}");
    let first = read.first().map_or(last + 1, |entry| entry.seq);
    assert!(first <= left + 1, "{what}: begins at {first}, {left} had left");
    for blob in disk.files().iter().filter_map(|name| name.strip_suffix(".blob")?.parse().ok()) {
        assert!((first..=last).contains(&blob), "{what}: nobody needs blob {blob}");
    }
    for (seq, entry) in (first..).zip(&read) {
        assert_eq!(*entry, varied(seq), "{what}");
    }
    write(&mut store, 50).unwrap();
    assert_eq!(replayed(&mut store).unwrap().last(), Some(&varied(last + 50)), "{what}");
}
