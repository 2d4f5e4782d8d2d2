//! Looking at a journal without changing it: what is there, and whether it is whole.

use std::collections::{BTreeMap, HashMap};

use farloop_core::id::TaskId;
use farloop_core::record::Record;

use super::{blob, read, recover, scan, segment};
use crate::StoreError;
use crate::disk::Disk;

/// Looks at a journal that is written to meanwhile: what seems wrong must seem so twice.
const LOOKS: usize = 8;

/// What is in a journal.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Segments with records.
    pub segments: usize,
    /// Segments that are taken ahead.
    pub reserved: usize,
    /// Bytes of records, those in blobs included.
    pub bytes: u64,
    /// Large payloads in files of their own.
    pub blobs: usize,
    /// Number of the first record, and of the last one (0: none).
    pub numbers: (u64, u64),
    /// Records by kind.
    pub records: BTreeMap<&'static str, u64>,
    /// Tasks that are not over.
    pub live: usize,
    /// Bytes of the records that these began with.
    pub live_bytes: u64,
    /// The end of a write that was torn or is under way, as file and offset: the next start erases it, nothing that was
    /// acknowledged is in it.
    pub torn: Option<(String, u64)>,
    /// What is lost: each names file and offset. A coordinator does not start with it.
    pub damage: Vec<StoreError>,
}

/// Reads everything in the journal of a folder. It may be in use: then it is a view of some moment.
///
/// # Errors
/// The folder cannot be read. Damage is no error: the report tells it.
pub fn verify<D: Disk>(disk: &D) -> Result<Report, StoreError> {
    let mut before = None;
    for _ in 0..LOOKS {
        let report = match look(disk) {
            Err(error @ (StoreError::Corrupt { .. } | StoreError::Unreadable { .. } | StoreError::TooNew { .. })) => {
                Report { damage: vec![error], ..Report::default() }
            }
            // A segment left meanwhile.
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => continue,
            done => done?,
        };
        let now: Vec<_> = report.damage.iter().map(ToString::to_string).collect();
        if now.is_empty() || before.as_ref() == Some(&now) {
            return Ok(report);
        }
        before = Some(now);
    }
    look(disk)
}

fn look<D: Disk>(disk: &D) -> Result<Report, StoreError> {
    let found = recover::look(disk)?;
    let end = found.end;
    let torn = end.torn.then(|| (segment::name(end.at.segment), end.at.offset));
    let mut report = Report {
        segments: found.parts.len(),
        reserved: found.segments.len() - found.parts.len(),
        bytes: found.parts.iter().map(|part| part.bytes).sum(),
        blobs: found.names.iter().filter(|name| blob::seq(name).is_some()).count(),
        numbers: if end.last < found.first { (0, 0) } else { (found.first, end.last) },
        torn,
        ..Report::default()
    };
    let mut live: HashMap<TaskId, u64> = HashMap::new();
    let with_records: Vec<u64> = found.parts.iter().map(|part| part.number).collect();
    scan::walk(disk, &with_records, &mut |frame| {
        read::entries(disk, &frame, &mut |entry| {
            let (record, len) = match entry {
                Ok((entry, len)) => (entry.record, len),
                // The rest is still worth looking at.
                Err(error @ (StoreError::Corrupt { .. } | StoreError::Unreadable { .. })) => {
                    report.damage.push(error);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            *report.records.entry(kind(&record)).or_default() += 1;
            match record {
                Record::Ended { task, .. } => drop(live.remove(&task)),
                Record::Carried(carried) if carried.ended.is_some() => drop(live.remove(&carried.submitted.task)),
                record => live.extend(record.begins().map(|task| (task, len as u64))),
            }
            Ok(())
        })
    })?;
    report.live = live.len();
    report.live_bytes = live.values().sum();
    Ok(report)
}

fn kind(record: &Record) -> &'static str {
    match record {
        Record::Life(_) => "life",
        Record::Standing(_) => "standing",
        Record::WorkerJoined(_) => "worker joined",
        Record::WorkerLeft { .. } => "worker left",
        Record::Submitted(_) => "submitted",
        Record::Ended { .. } => "ended",
        Record::Snapshot(_) => "snapshot",
        Record::AttemptFailed(_) => "attempt failed",
        Record::Started { .. } => "started",
        Record::Released { .. } => "released",
        Record::CancelRequested(_) => "cancel requested",
        Record::Carried(_) => "carried",
    }
}
