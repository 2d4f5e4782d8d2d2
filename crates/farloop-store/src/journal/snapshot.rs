//! A copy of a journal, taken while a coordinator writes to it or not: all records up to some moment, none after it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::verify::{self, Report};
use super::{blob, recover, segment};
use crate::StoreError;
use crate::disk::RealDisk;

/// Times that a copy is begun anew, because records left while it was taken.
const TRIES: usize = 8;

/// Copies the journal in one folder to another, which must be empty or not there, and reads the copy. A coordinator can
/// be started on it. Files that are written no more are linked rather than copied where both folders are on one file
/// system: they cost no room until the coordinator lets them go, and a damaged sector damages both.
///
/// Until it is complete the copy has another name, so what stops it in the middle leaves nothing that looks like one.
///
/// # Errors
/// The journal is damaged, the folder is not empty, or something cannot be read or written.
pub fn snapshot(from: &Path, to: &Path) -> Result<Report, StoreError> {
    let source = RealDisk::existing(from).map_err(|source| failed("opening", from, source))?;
    match fs::read_dir(to).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => return Err(failed("copying to", to, ErrorKind::DirectoryNotEmpty.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed("copying to", to, error)),
    }
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = to.with_file_name(name);
    let mut tries = 0;
    let report = loop {
        tries += 1;
        let copied = copy(&source, from, &partial).and_then(|()| {
            let copy = RealDisk::existing(&partial).map_err(|source| failed("opening", &partial, source))?;
            verify::verify(&copy)
        });
        match copied {
            Ok(report) if report.damage.is_empty() => break report,
            _ if tries < TRIES => {}
            Ok(mut report) => return Err(report.damage.swap_remove(0)),
            Err(error) => return Err(error),
        }
    };
    let renamed = fs::rename(&partial, to).and_then(|()| match to.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    });
    renamed.map_err(|source| failed("naming", to, source))?;
    Ok(report)
}

fn copy(source: &RealDisk, from: &Path, to: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(to) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("clearing", to, error)),
        _ => {}
    }
    fs::create_dir_all(to).map_err(|source| failed("making", to, source))?;
    let found = recover::look(source)?;
    let records = found.first..=found.end.last;
    let blobs = found.names.iter().filter(|name| blob::seq(name).is_some_and(|seq| records.contains(&seq)));
    let full = |last| last < found.end.durable;
    let parts = found.parts.iter().map(|part| (segment::name(part.number), full(part.last)));
    let files = parts.chain(blobs.map(|name| (name.clone(), true)));
    let last = segment::name(found.end.at.segment);
    for (name, closed) in files {
        let (from, to) = (from.join(&name), to.join(&name));
        // What is open is copied up to where it was good; behind that somebody may be writing.
        let len = (name == last).then_some(found.end.at.offset);
        put(&from, &to, closed && len.is_none(), len).map_err(|source| failed("copying", &from, source))?;
    }
    File::open(to).and_then(|folder| folder.sync_all()).map_err(|source| failed("syncing", to, source))
}

fn put(from: &PathBuf, to: &PathBuf, link: bool, len: Option<u64>) -> io::Result<()> {
    if link && fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let mut copy = File::create(to)?;
    io::copy(&mut File::open(from)?.take(len.unwrap_or(u64::MAX)), &mut copy)?;
    copy.sync_all()
}

fn failed(what: &str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { what: format!("{what} {}", path.display()), source }
}
