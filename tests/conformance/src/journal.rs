//! The journal of one run: what happened, when, told by whom.
//!
//! A body that runs in another process writes to the test process over loopback and waits for the answer before it goes on,
//! so the order of the lines is an order in which things can have happened: a body's line is in the journal before its
//! outcome can be known anywhere.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

mod wire;

pub use wire::serve;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Virtual seconds since the run began.
    pub time: f64,
    /// Who wrote it: `main` for the program, otherwise the name the body goes by.
    pub who: String,
    /// What happened.
    pub text: String,
}

/// How a run counts its seconds.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The paused clock of the runtime: exact.
    Virtual(tokio::time::Instant),
    /// The paused clock of a loop that is run by hand: exact.
    ByHand(farloop::LoopHandle),
    /// The wall: one virtual second lasts `unit`.
    Real {
        /// When the run began.
        start: Instant,
        /// Length of a virtual second.
        unit: Duration,
    },
}

impl Clock {
    /// Virtual seconds since the beginning.
    #[must_use]
    pub fn now(&self) -> f64 {
        match self {
            Self::Virtual(start) => start.elapsed().as_secs_f64(),
            Self::ByHand(event_loop) => event_loop.time().as_secs_f64(),
            Self::Real { start, unit } => start.elapsed().as_secs_f64() / unit.as_secs_f64(),
        }
    }

    /// Length of a virtual second.
    #[must_use]
    pub fn unit(&self) -> Duration {
        match self {
            Self::Virtual(_) | Self::ByHand(_) => Duration::from_secs(1),
            Self::Real { unit, .. } => *unit,
        }
    }

    /// Whether times can be compared to the hundredth.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        matches!(self, Self::Virtual(_) | Self::ByHand(_))
    }
}

/// The lines of one run, where the test can read them.
#[derive(Debug)]
pub struct Book {
    clock: Clock,
    lines: Mutex<Vec<Line>>,
    notes: Mutex<HashMap<String, String>>,
}

impl Book {
    fn write(&self, who: &str, text: &str) {
        let time = self.clock.now();
        let line = Line { time, who: who.to_owned(), text: text.to_owned() };
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// Everything so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The clock of the run.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn pin(&self, key: &str, value: &str) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), value.to_owned());
    }

    fn look(&self, key: &str) -> Option<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}

static BOOKS: LazyLock<Mutex<HashMap<u64, Arc<Book>>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU64 = AtomicU64::new(1);

fn book(run: u64) -> Option<Arc<Book>> {
    BOOKS.lock().unwrap_or_else(PoisonError::into_inner).get(&run).cloned()
}

/// Opens the book of a new run. `server` is where other processes write to it.
#[must_use]
pub fn open(clock: Clock, server: Option<SocketAddr>) -> (Arc<Book>, Journal) {
    let run = NEXT.fetch_add(1, Ordering::Relaxed);
    let unit = clock.unit();
    let book = Arc::new(Book { clock, lines: Mutex::default(), notes: Mutex::default() });
    BOOKS.lock().unwrap_or_else(PoisonError::into_inner).insert(run, Arc::clone(&book));
    (book, Journal { run, process: std::process::id(), server, unit, who: "main".to_owned() })
}

/// Closes the book of a run that is over: what a straggler still writes goes nowhere.
pub fn close(journal: &Journal) {
    BOOKS.lock().unwrap_or_else(PoisonError::into_inner).remove(&journal.run);
}

/// A pen: it travels in arguments, and writes into the book of its run from wherever it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Journal {
    run: u64,
    process: u32,
    server: Option<SocketAddr>,
    unit: Duration,
    who: String,
}

impl Journal {
    /// The same book, written by another.
    #[must_use]
    pub fn by(&self, who: impl Into<String>) -> Self {
        Self { who: who.into(), ..self.clone() }
    }

    /// Where other processes write to it.
    pub(crate) fn server(&self) -> Option<SocketAddr> {
        self.server
    }

    /// Writes a line; it is in the book when this returns.
    pub fn log(&self, text: impl AsRef<str>) {
        self.say(&wire::Say::Log { run: self.run, who: self.who.clone(), text: text.as_ref().to_owned() });
    }

    /// Pins a note under a key, where everything that has a pen of this run can read it.
    pub fn pin(&self, key: &str, value: &str) {
        self.say(&wire::Say::Pin { run: self.run, key: key.to_owned(), value: value.to_owned() });
    }

    /// The note under that key.
    #[must_use]
    pub fn look(&self, key: &str) -> Option<String> {
        self.say(&wire::Say::Look { run: self.run, key: key.to_owned() })
    }

    /// `seconds` of the run's clock, as a duration of the process that asks.
    #[must_use]
    pub fn seconds(&self, seconds: f64) -> Duration {
        self.unit.mul_f64(seconds.max(0.0))
    }

    fn say(&self, what: &wire::Say) -> Option<String> {
        if self.process == std::process::id() {
            return wire::obey(what);
        }
        let server = self.server?;
        wire::tell(server, what)
    }
}
