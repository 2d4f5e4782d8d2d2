//! Records as a coordinator writes them, small.

use std::sync::Arc;

use bytes::Bytes;
use farloop_core::frame::Owner;
use farloop_core::id::TaskId;
use farloop_core::outcome::Outcome;
use farloop_core::record::{Carried, Record, Submitted};
use farloop_core::spec::{Options, Spec};
use farloop_core::time::Time;
use farloop_store::{Entry, Journal, JournalOptions, Store, StoreError};

use crate::disk::SimDisk;

/// Segments of some tens of records, frames of a few, blobs that are no larger than they must be.
pub(crate) const SMALL: JournalOptions =
    JournalOptions { segment: 4_096, reserve: 2, frame: 512, blob: 512, keep: 16 * 4_096 };

pub(crate) fn submitted(task: u64, args: usize) -> Submitted {
    let spec = Spec {
        function: "demo.add".into(),
        fingerprint: 7,
        args: Bytes::from(vec![task as u8; args]),
        dependencies: Vec::new(),
        name: None,
        options: Options::default(),
        trace: None,
        context: None,
        stream: false,
        actor: None,
    };
    Submitted {
        task: TaskId(task.into()),
        spec: Arc::new(spec),
        owner: Owner::Nobody,
        root: None,
        parent: None,
        depth: 0,
        priority: 0,
        key: None,
        at: Time(task),
        deadline: None,
        within: None,
        request: None,
        consumer: None,
    }
}

pub(crate) fn submit(task: u64, args: usize) -> Record {
    Record::Submitted(Box::new(submitted(task, args)))
}

pub(crate) fn end(task: u64, value: usize) -> Record {
    let outcome = Outcome::Returned(Bytes::from(vec![task as u8; value]));
    Record::Ended { task: TaskId(task.into()), outcome, at: Time(task), all: false, snapshot: None }
}

pub(crate) fn carry(task: u64, args: usize) -> Record {
    Record::Carried(Box::new(Carried {
        submitted: submitted(task, args),
        attempts: None,
        crashes: Vec::new(),
        started: false,
        released: false,
        cancel: None,
        inputs: Vec::new(),
        args_were: None,
        ended: None,
        snapshot: None,
    }))
}

/// The record of that number: every kind and size that matters, small, longer than a frame, longer than a blob's bound.
pub(crate) fn varied(seq: u64) -> Entry {
    let record = match seq % 11 {
        0 => Record::Started { task: TaskId(seq.into()) },
        1..=4 => end(seq, (seq % 97) as usize),
        5 => submit(seq, 450),
        6 => submit(seq, 700),
        7 => end(seq, 900),
        _ => submit(seq, (seq % 61) as usize),
    };
    Entry { seq, record }
}

pub(crate) fn open(disk: &SimDisk) -> Result<Journal<SimDisk>, StoreError> {
    Journal::open(disk.clone(), SMALL)
}

/// Appends the next records of [`varied`], and makes them durable.
pub(crate) fn write(store: &mut impl Store, count: u64) -> Result<(), StoreError> {
    let last = store.durable();
    (last + 1..=last + count).try_for_each(|seq| store.append(varied(seq)))?;
    assert_eq!(store.sync()?, last + count);
    Ok(())
}

pub(crate) fn replayed(store: &mut impl Store) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    store.replay(&mut |entry| entries.push(entry))?;
    Ok(entries)
}
