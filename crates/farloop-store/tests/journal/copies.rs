//! Verify and snapshot: what they say of a journal that is whole, torn, damaged, and in use.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use farloop_core::time::Time;
use farloop_store::disk::RealDisk;
use farloop_store::{Journal, Store as _, StoreError, snapshot, verify};

use crate::disk::SimDisk;
use crate::records::{SMALL, open, replayed, varied, write};

#[test]
fn verify_says_what_is_there() {
    let disk = SimDisk::default();
    let mut store = open(&disk).unwrap();
    write(&mut store, 110).unwrap();
    let report = verify(&disk).unwrap();
    assert_eq!(report.numbers, (1, 110));
    assert_eq!(report.records.values().sum::<u64>(), 110);
    assert_eq!(report.records["started"], 10);
    assert_eq!((report.live, report.blobs), (50, 20));
    assert!(report.segments > 1 && report.reserved == 2, "{report:?}");
    assert!(report.live_bytes > 10_000 && report.live_bytes < report.bytes, "{report:?}");
    assert!(report.damage.is_empty() && report.torn.is_none(), "{report:?}");
    assert_eq!(report.bytes, store.bytes() + 48, "the mark at the end makes way for the next batch");
}

#[test]
fn verify_tells_every_blob_that_is_damaged_and_changes_nothing() {
    let disk = SimDisk::default();
    write(&mut open(&disk).unwrap(), 110).unwrap();
    let blobs: Vec<_> = disk.files().into_iter().filter(|name| name.ends_with(".blob")).take(3).collect();
    for name in &blobs {
        disk.put(name, vec![0; 600]);
    }
    let before = disk.operations();
    let report = verify(&disk).unwrap();
    let named: Vec<_> = report.damage.iter().map(ToString::to_string).collect();
    assert!(named.iter().zip(&blobs).all(|(said, name)| said.contains(name.as_str())), "{named:?}");
    assert_eq!((named.len(), disk.operations()), (3, before));
}

#[test]
fn verify_tells_a_torn_end_from_damage() {
    let disk = SimDisk::default();
    write(&mut open(&disk).unwrap(), 3).unwrap();
    let name = "000000000001.journal";
    let whole = disk.bytes(name);
    let mark = whole.windows(4).rposition(|bytes| bytes == b"fJr1").unwrap();
    let mut torn = whole.clone();
    torn[mark + 5] ^= 1;
    disk.put(name, torn);
    let report = verify(&disk).unwrap();
    assert_eq!(report.torn, Some((name.into(), mark as u64)));
    assert!(report.damage.is_empty());
    let mut damaged = whole;
    damaged[mark - 5] ^= 1;
    disk.put(name, damaged);
    let report = verify(&disk).unwrap();
    assert!(matches!(&report.damage[..], [StoreError::Corrupt { file, .. }] if file == name));
}

#[test]
fn a_copy_taken_while_records_come_and_leave_is_a_part_of_them_without_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("data");
    let mut store = Journal::open(RealDisk::new(&from).unwrap(), SMALL).unwrap();
    write(&mut store, 50).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                write(&mut store, 7).unwrap();
                if let Some(part) = store.leaving(Time(store.durable().saturating_sub(200))).unwrap() {
                    store.drop_part(part.number).unwrap();
                }
            }
        });
        for round in 0..10 {
            let to = folder.path().join(format!("copy-{round}"));
            let report = snapshot(&from, &to).unwrap();
            let mut copy = Journal::open(RealDisk::new(&to).unwrap(), SMALL).unwrap();
            let read = replayed(&mut copy).unwrap();
            let first = read[0].seq;
            assert_eq!(report.numbers, (first, copy.durable()));
            assert!(read.iter().eq(&(first..=copy.durable()).map(varied).collect::<Vec<_>>()), "round {round}");
            // It goes its own way.
            write(&mut copy, 60).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    drop(store);
    let store = Journal::open(RealDisk::new(&from).unwrap(), SMALL).unwrap();
    assert!(verify(&RealDisk::existing(&from).unwrap()).unwrap().damage.is_empty());
    assert!(store.durable() > 50);
}

#[test]
fn a_damaged_journal_is_not_copied_and_a_folder_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("data"), folder.path().join("copy"));
    assert!(matches!(snapshot(&from, &to), Err(StoreError::Io { .. })), "there is nothing to copy");
    write(&mut Journal::open(RealDisk::new(&from).unwrap(), SMALL).unwrap(), 90).unwrap();
    let first = from.join("000000000001.journal");
    let whole = std::fs::read(&first).unwrap();
    let mut damaged = whole.clone();
    damaged[100] ^= 4;
    std::fs::write(&first, damaged).unwrap();
    assert!(matches!(snapshot(&from, &to), Err(StoreError::Corrupt { .. })));
    assert!(!to.exists());
    std::fs::write(&first, whole).unwrap();
    snapshot(&from, &to).unwrap();
    assert!(matches!(snapshot(&from, &to), Err(StoreError::Io { .. })), "it is not empty any more");
}
