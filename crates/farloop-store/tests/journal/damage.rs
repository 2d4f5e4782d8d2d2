//! L17: a torn tail is repaired, damage refuses to start and names the place.

use farloop_store::{Store as _, StoreError};

use crate::disk::{Dice, SimDisk};
use crate::records::{open, replayed, varied, write};

/// Some segments, some blobs, a tail of records that are durable.
fn filled() -> SimDisk {
    let disk = SimDisk::default();
    let mut store = open(&disk).unwrap();
    for count in [1, 20, 1, 1, 30, 2, 1] {
        write(&mut store, count).unwrap();
    }
    drop(store);
    disk.kill();
    disk
}

const RECORDS: u64 = 56;

/// The segment with the last records, and where they end: behind it is the mark.
fn tail(disk: &SimDisk) -> (String, usize) {
    let written = |name: &String| disk.bytes(name)[32..].iter().any(|&byte| byte != 0);
    let name = disk.files().into_iter().rfind(|name| name.ends_with(".journal") && written(name)).unwrap();
    let bytes = disk.bytes(&name);
    (name, bytes.windows(4).rposition(|bytes| bytes == b"fJr1").unwrap())
}

#[test]
fn what_is_whole_is_read() {
    let disk = filled();
    let read = replayed(&mut open(&disk).unwrap()).unwrap();
    assert_eq!(read, (1..=RECORDS).map(varied).collect::<Vec<_>>());
}

#[test]
fn any_flipped_bit_refuses_to_start_and_names_the_place_l17() {
    let whole = filled();
    let (last, end) = tail(&whole);
    refuse_all_flips(&whole, &last, end);
}

/// The machine stopped before the mark was on the disk: each frame still vouches for those before it.
#[test]
fn without_the_mark_any_flipped_bit_but_of_the_last_batch_refuses_to_start_l17() {
    let whole = filled();
    let (last, mark) = tail(&whole);
    let mut bytes = whole.bytes(&last);
    bytes[mark..].fill(0);
    let batch = bytes.windows(4).rposition(|bytes| bytes == b"fJr1").unwrap();
    whole.put(&last, bytes);
    refuse_all_flips(&whole, &last, batch);
}

/// Flips one bit of each byte of all segments, of the last one up to `end`.
fn refuse_all_flips(whole: &SimDisk, last: &str, end: usize) {
    let mut dice = Dice(1);
    for name in whole.files().into_iter().filter(|name| name.ends_with(".journal") && name.as_str() <= last) {
        let len = if name == last { end } else { whole.bytes(&name).len() };
        for at in 0..len {
            let disk = whole.copy();
            let mut bytes = disk.bytes(&name);
            bytes[at] ^= 1 << dice.roll(8);
            disk.put(&name, bytes);
            let Err(refused) = open(&disk) else { panic!("{name} is opened with byte {at} flipped") };
            match refused {
                StoreError::Corrupt { file, offset } => {
                    assert_eq!(file, name);
                    assert!(offset <= at as u64, "{offset} is named for byte {at}");
                }
                other => panic!("byte {at} of {name}: {other}"),
            }
        }
    }
}

#[test]
fn any_flipped_bit_of_a_blob_is_found_l17() {
    let whole = filled();
    let blobs: Vec<_> = whole.files().into_iter().filter(|name| name.ends_with(".blob")).collect();
    assert!(blobs.len() > 5);
    for name in blobs {
        for at in (0..whole.bytes(&name).len()).step_by(37) {
            let disk = whole.copy();
            let mut bytes = disk.bytes(&name);
            bytes[at] ^= 1;
            disk.put(&name, bytes);
            let read = replayed(&mut open(&disk).unwrap());
            assert!(matches!(&read, Err(StoreError::Corrupt { file, .. }) if *file == name), "{name}, byte {at}");
        }
        let disk = whole.copy();
        disk.take_away(&name);
        assert!(matches!(replayed(&mut open(&disk).unwrap()), Err(StoreError::Corrupt { file, .. }) if file == name));
    }
}

#[test]
fn a_segment_that_is_gone_is_missed_l17() {
    let whole = filled();
    let (last, _) = tail(&whole);
    for name in whole.files().into_iter().filter(|name| name.ends_with(".journal") && *name <= last) {
        let disk = whole.copy();
        disk.take_away(&name);
        assert!(matches!(open(&disk), Err(StoreError::Corrupt { file, .. }) if file == name), "{name}");
    }
}

/// Every length that a torn write of the last batch can leave: zeros or nothing behind it, or bytes of something else.
#[test]
fn a_tail_torn_at_any_byte_is_repaired_l17() {
    let whole = filled();
    // A batch that was written and not synced.
    let before = whole.copy();
    let mut store = open(&whole).unwrap();
    (RECORDS + 1..RECORDS + 12).for_each(|seq| store.append(varied(seq)).unwrap());
    store.sync().unwrap();
    drop(store);
    whole.kill();
    let (name, start) = tail(&before);
    let written = whole.bytes(&name);
    let end = written.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    for cut in start..end {
        for behind in [None, Some(0), Some(0xa5)] {
            let disk = whole.copy();
            let mut bytes = written[..cut].to_vec();
            if let Some(behind) = behind {
                bytes.resize(written.len(), behind);
            }
            disk.put(&name, bytes);
            let mut store = open(&disk).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            let last = store.durable();
            assert!((RECORDS..RECORDS + 12).contains(&last), "cut at {cut}: {last}");
            let expected: Vec<_> = (1..=last).map(varied).collect();
            assert_eq!(replayed(&mut store).unwrap(), expected, "cut at {cut}");
            write(&mut store, 30).unwrap();
            drop(store);
            disk.kill();
            assert_eq!(replayed(&mut open(&disk).unwrap()).unwrap().len() as u64, last + 30, "cut at {cut}");
        }
    }
}

#[test]
fn a_later_format_is_told_from_damage() {
    let disk = filled();
    let (name, _) = tail(&disk);
    let mut bytes = disk.bytes(&name);
    bytes[8] += 1;
    let sum = crc32c::crc32c(&bytes[..28]).to_le_bytes();
    bytes[28..32].copy_from_slice(&sum);
    disk.put(&name, bytes);
    let refused = open(&disk).unwrap_err();
    assert!(matches!(&refused, StoreError::TooNew { file, found: 2, known: 1 } if *file == name), "{refused}");
    assert!(refused.to_string().contains("start the later version"), "{refused}");
}

/// A payload may hold anything, a copy of a journal too: it is no evidence of damage.
#[test]
fn a_copy_of_a_frame_in_a_torn_payload_is_no_frame() {
    let donor = filled();
    let (name, end) = tail(&donor);
    let frames = donor.bytes(&name)[..end].to_vec();
    let disk = SimDisk::default();
    let mut store = open(&disk).unwrap();
    write(&mut store, 1).unwrap();
    drop(store);
    disk.kill();
    let (name, start) = tail(&disk);
    let mut bytes = disk.bytes(&name);
    bytes[start..start + 4].copy_from_slice(b"torn");
    let room = bytes.len() - start - 8;
    bytes[start + 8..].copy_from_slice(&[frames, vec![0; room]].concat()[..room]);
    disk.put(&name, bytes);
    assert_eq!(open(&disk).unwrap().durable(), 1);
}

#[test]
fn two_processes_do_not_share_a_journal() {
    let disk = SimDisk::default();
    let _first = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(StoreError::Locked(_))));
}
