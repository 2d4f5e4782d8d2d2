//! A disk that fails stops the store for good; one that is full says so while what is under way can still end.

use farloop_core::time::Time;
use farloop_store::{Entry, Room, Store as _, StoreError};

use crate::disk::{Dice, Operation, SimDisk};
use crate::records::{carry, end, open, replayed, submit, varied, write};

/// After a failed write or sync nobody knows what the disk has: nothing is ever called durable again.
#[test]
fn a_failed_operation_stops_the_store_l1() {
    for kind in [Operation::Name, Operation::Write, Operation::Sync, Operation::Other] {
        for skip in 0..30 {
            let disk = SimDisk::default();
            let mut store = open(&disk).unwrap();
            write(&mut store, 5).unwrap();
            disk.fail(kind, skip);
            let failed = (0..40).find_map(|_| write(&mut store, 5).err());
            let failed = failed.unwrap_or_else(|| panic!("{kind:?} {skip} did not fail"));
            assert!(matches!(&failed, StoreError::Io { what, .. } if !what.is_empty()), "{failed}");
            let durable = store.durable();
            let next = replayed(&mut store).unwrap().len() as u64;
            assert!(next >= durable);
            for _ in 0..3 {
                assert!(matches!(store.sync(), Err(StoreError::Stopped)));
            }
            drop(store);
            disk.crash(&mut Dice(skip));
            assert!(open(&disk).unwrap().durable() >= durable, "{kind:?} {skip}");
        }
    }
}

#[test]
fn a_full_disk_says_so_while_there_is_room_for_outcomes() {
    let disk = SimDisk::default();
    let mut store = open(&disk).unwrap();
    assert_eq!(store.room(), Room::Plenty);
    disk.hold(Some(disk.used()));
    let mut seq = 0;
    let mut one = |store: &mut dyn farloop_store::Store, record| {
        seq += 1;
        store.append(Entry { seq, record }).and_then(|()| store.sync())
    };
    let mut submits = 0;
    while store.room() == Room::Plenty {
        one(&mut store, submit(submits, 40)).unwrap();
        submits += 1;
    }
    assert!(matches!(store.room(), Room::Low(why) if why.contains("full")));
    for task in 0..submits {
        one(&mut store, end(task, 3)).unwrap_or_else(|error| panic!("the end of {task} of {submits}: {error}"));
    }
    // Too large for its place: without room for a file of its own it goes with the others.
    one(&mut store, end(submits, 1_000)).unwrap();
    assert!(disk.files().iter().all(|name| !name.ends_with(".blob")));

    // What is over leaves, without needing the room that it makes.
    let part = store.leaving(Time(0)).unwrap().expect("the disk is full");
    let live: Vec<_> = part.tasks.iter().take(3).map(|task| task.0 as u64).collect();
    for task in live {
        one(&mut store, carry(task, 10)).unwrap();
    }
    store.drop_part(part.number).unwrap();
    assert_eq!(store.room(), Room::Plenty);
    let read = replayed(&mut store).unwrap();
    assert_eq!(read.last().map(|entry| entry.seq), Some(seq));
    drop(store);
    disk.kill();
    assert_eq!(replayed(&mut open(&disk).unwrap()).unwrap(), read);
}

#[test]
fn a_journal_opens_on_a_full_disk() {
    let disk = SimDisk::default();
    let mut store = open(&disk).unwrap();
    write(&mut store, 70).unwrap();
    drop(store);
    disk.kill();
    for name in disk.files() {
        if disk.bytes(&name)[32..].iter().all(|&byte| byte == 0) {
            disk.take_away(&name);
        }
    }
    disk.hold(Some(disk.used()));
    let mut store = open(&disk).unwrap();
    assert!(matches!(store.room(), Room::Low(_)));
    assert_eq!(replayed(&mut store).unwrap().len(), 70);
    disk.hold(None);
    assert_eq!(store.room(), Room::Plenty);
    write(&mut store, 70).unwrap();
}

#[test]
fn a_part_leaves_only_in_its_turn() {
    let disk = SimDisk::default();
    let mut store = open(&disk).unwrap();
    assert!(matches!(store.drop_part(1), Err(StoreError::NotOldest(1))), "it is written to");
    write(&mut store, 100).unwrap();
    assert!(matches!(store.drop_part(2), Err(StoreError::NotOldest(2))));
    store.drop_part(1).unwrap();
    assert!(matches!(store.append(varied(1)), Err(StoreError::OutOfOrder { expected: 101, got: 1 })));
    write(&mut store, 1).unwrap();
}
