//! What comes before a coordinator serves: the records of its former lives are read into the core (L17).
//!
//! That takes a thread of its own, for meanwhile the port answers: health says NOT_SERVING, and everything else is
//! refused with UNAVAILABLE.

use std::time::{Duration, Instant};

use farloop_core::api::{Config, Record};
use farloop_core::machine::Core;
use farloop_core::time::Time;
use farloop_store::{Store, StoreError};
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::config::OpenStore;

/// A core that knows what its records say, and what it needs to go on.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) core: Core,
    pub(crate) clock: Clock,
    /// Records that were read.
    pub(crate) records: u64,
    /// How long it took to open the store and read them.
    pub(crate) took: Duration,
}

/// Opens the store and reads all records into a fresh core. Dropped before, the thread reads on and nobody hears of it.
///
/// # Errors
/// The records cannot be read, or they are damaged.
pub(crate) async fn replay(config: Config, open: OpenStore) -> Result<(Replayed, Box<dyn Store>), StoreError> {
    let (tell, told) = oneshot::channel();
    std::thread::Builder::new()
        .name("farloop-replay".into())
        .spawn(move || {
            // Nobody listens any more if the process was told to stop.
            let _ = tell.send(open_and_read(config, open));
        })
        .expect("a process that cannot start one thread cannot serve");
    told.await.unwrap_or_else(|_| panic!("a record made the core panic, see above; its state cannot be known"))
}

/// A core without records: it knows nothing.
pub(crate) fn fresh(mut config: Config) -> Replayed {
    let clock = Clock::begin();
    config.durable = false;
    config.wall_at_zero_ms = clock.zero_ms();
    Replayed { core: Core::new(config), clock, records: 0, took: Duration::ZERO }
}

fn open_and_read(config: Config, open: OpenStore) -> Result<(Replayed, Box<dyn Store>), StoreError> {
    let began = Instant::now();
    let mut store = open()?;
    let mut replayed = fold(config, store.as_mut())?;
    replayed.took = began.elapsed();
    Ok((replayed, store))
}

fn fold(mut config: Config, store: &mut dyn Store) -> Result<Replayed, StoreError> {
    let clock = Clock::begin();
    config.durable = true;
    // Of a first life; records of an earlier one say otherwise.
    config.wall_at_zero_ms = clock.zero_ms();
    let mut core = Core::new(config);
    let (mut zero_ms, mut last, mut records) = (None, Time(0), 0);
    store.replay(&mut |entry| {
        records += 1;
        if let Some(began) = life_of(&entry.record) {
            zero_ms = Some(began);
        }
        last = last.max(entry.record.newest());
        core.replay(entry.seq, entry.record);
    })?;
    let clock = zero_ms.map_or(clock, |zero_ms| Clock::go_on(zero_ms, last));
    Ok(Replayed { core, clock, records, took: Duration::ZERO })
}

/// Zero of all lives, where a record says it.
fn life_of(record: &Record) -> Option<u64> {
    match record {
        Record::Life(began) => Some(began.zero_ms),
        Record::Standing(standing) => Some(standing.began.zero_ms),
        _ => None,
    }
}
