//! How many tasks per second become durable: a record when one is accepted and one when it ends, made by one thread and
//! written by another, which syncs whenever it has something to sync. And how many records per second a start reads.
//!
//! ```text
//! cargo run --release -p farloop-store --example durable_pairs [-- FOLDER]
//! ```
//!
//! Without a folder it writes below the current one. Besides the disk as it is, syncs that take two milliseconds more
//! show what gathering does: a virtual disk may answer before anything is on the medium.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use std::{env, fs, io, process, thread};

use bytes::Bytes;
use farloop_core::frame::Owner;
use farloop_core::id::{SessionId, TaskId};
use farloop_core::outcome::Outcome;
use farloop_core::record::{Record, Submitted};
use farloop_core::spec::{Options, Spec};
use farloop_core::time::Time;
use farloop_store::disk::{Disk, DiskFile, RealDisk, RealFile};
use farloop_store::{Entry, Journal, JournalOptions, Store as _, StoreError};

/// Records that may wait for the store: some milliseconds' worth.
const QUEUE: usize = 16_384;
const RUNS: usize = 5;
const RUN: Duration = Duration::from_secs(2);
/// Bytes of arguments, and of results.
const PAYLOADS: [(usize, usize); 2] = [(16, 8), (256, 64)];

/// A disk whose syncs take longer.
struct Slow(RealDisk, Duration);
struct SlowFile(RealFile, Duration);

impl Disk for Slow {
    type File = SlowFile;
    fn place(&self) -> String {
        self.0.place()
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn open(&self, name: &str) -> io::Result<SlowFile> {
        self.0.open(name).map(|file| SlowFile(file, self.1))
    }
    fn create(&self, name: &str) -> io::Result<SlowFile> {
        self.0.create(name).map(|file| SlowFile(file, self.1))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync_folder(&self) -> io::Result<()> {
        thread::sleep(self.1);
        self.0.sync_folder()
    }
    fn lock(&mut self) -> io::Result<bool> {
        self.0.lock()
    }
}

impl DiskFile for SlowFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, into)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        if !self.1.is_zero() {
            thread::sleep(self.1);
        }
        self.0.sync()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.0.preallocate(len)
    }
}

/// What one run came to.
struct Figures {
    pairs_per_second: f64,
    pairs_per_sync: f64,
    bytes_per_pair: f64,
    /// Records that a start reads, checks and decodes.
    read_per_second: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let below = env::args_os().nth(1).map_or_else(env::current_dir, |folder| Ok(PathBuf::from(folder)))?;
    let folder = below.join(format!("durable-pairs-{}", process::id()));
    for (args, result) in PAYLOADS {
        for more in [Duration::ZERO, Duration::from_millis(2)] {
            let mut figures = Vec::new();
            for _ in 0..RUNS {
                let run = measure(&folder, more, args, result);
                fs::remove_dir_all(&folder)?;
                figures.push(run?);
            }
            figures.sort_by(|a, b| a.pairs_per_second.total_cmp(&b.pairs_per_second));
            let median = &figures[RUNS / 2];
            println!(
                "{args:3} bytes of arguments, {result:2} of result, syncs {more:?} longer: {:7.0} pairs/s (of {RUNS}: {:.0} to \
                 {:.0}), {:.0} pairs/sync, {:.0} bytes/pair, {:.0} records/s read",
                median.pairs_per_second,
                figures[0].pairs_per_second,
                figures[RUNS - 1].pairs_per_second,
                median.pairs_per_sync,
                median.bytes_per_pair,
                median.read_per_second,
            );
        }
    }
    Ok(())
}

fn measure(folder: &std::path::Path, more: Duration, args: usize, result: usize) -> Result<Figures, StoreError> {
    let failed = |source| StoreError::Io { what: folder.display().to_string(), source };
    let open = || RealDisk::new(folder).map_err(failed);
    // Less than usual, so that parts leave while it is measured.
    let options = JournalOptions { keep: 32 << 20, ..JournalOptions::default() };
    let mut store = Journal::open(Slow(open()?, more), options)?;
    let (records, queue) = sync_channel(QUEUE);
    let began = Instant::now();
    let producer = thread::spawn(move || produce(&records, began, args, result));
    let (syncs, bytes) = write(&mut store, &queue)?;
    let took = began.elapsed().as_secs_f64();
    let pairs = store.durable() as f64 / 2.0;
    producer.join().expect("it does not panic");
    drop(store);
    let began = Instant::now();
    let mut records = 0_u64;
    Journal::open(open()?, options)?.replay(&mut |_| records += 1)?;
    let read = began.elapsed().as_secs_f64();
    Ok(Figures {
        pairs_per_second: pairs / took,
        pairs_per_sync: pairs / syncs as f64,
        bytes_per_pair: bytes as f64 / pairs,
        read_per_second: records as f64 / read,
    })
}

/// What the coordinator's store thread does; parts leave as soon as they may.
fn write(store: &mut Journal<Slow>, queue: &Receiver<Entry>) -> Result<(u64, u64), StoreError> {
    let (mut syncs, mut left) = (0, 0);
    while let Ok(first) = queue.recv() {
        store.append(first)?;
        for next in queue.try_iter().take(QUEUE) {
            store.append(next)?;
        }
        store.sync()?;
        syncs += 1;
        let before = store.bytes();
        if let Some(part) = store.leaving(Time(0))? {
            store.drop_part(part.number)?;
            left += before - store.bytes();
        }
    }
    Ok((syncs, left + store.bytes()))
}

fn produce(records: &SyncSender<Entry>, began: Instant, args: usize, result: usize) {
    let function: Arc<str> = "demo.add".into();
    let args = vec![7; args];
    let result = vec![7; result];
    let mut seq = 0;
    for task in 0_u64.. {
        if task.is_multiple_of(1_024) && began.elapsed() > RUN {
            return;
        }
        // As ids are made: the time in the first bits.
        let id = TaskId(u128::from(task) << 80 | u128::from(task.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let spec = Spec {
            function: Arc::clone(&function),
            fingerprint: 0x1234_5678_9abc_def0,
            args: Bytes::copy_from_slice(&args),
            dependencies: Vec::new(),
            name: None,
            options: Options::default(),
            trace: None,
            context: None,
            stream: false,
            actor: None,
        };
        let submitted = Record::Submitted(Box::new(Submitted {
            task: id,
            spec: Arc::new(spec),
            owner: Owner::Await,
            root: Some(SessionId(1 << 100)),
            parent: None,
            depth: 0,
            priority: 0,
            key: None,
            at: Time(1_000_000_000 + task),
            deadline: None,
            within: None,
            request: None,
            consumer: None,
        }));
        let outcome = Outcome::Returned(Bytes::copy_from_slice(&result));
        let ended = Record::Ended { task: id, outcome, at: Time(1_000_000_500 + task), all: false, snapshot: None };
        for record in [submitted, ended] {
            seq += 1;
            if records.send(Entry { seq, record }).is_err() {
                return;
            }
        }
    }
}
