//! What a scenario is given: a journal, a clock, and the jobs of the probes.

use std::sync::Arc;

use farloop::prelude::*;
use serde::Serialize;

use crate::bodies::jobs;
use crate::faults::Fault;
use crate::journal::{Book, Journal, Line};
use crate::judge::{self, Check, Order};
use crate::oracle::Probe;

pub(crate) mod by_hand;
pub(crate) mod reports;

/// Where a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// Three workers on one paused current-thread runtime: virtual time.
    InProcess,
    /// One coordinator and three worker processes over loopback gRPC: real time.
    Cluster,
}

impl Backend {
    /// Both.
    pub const ALL: [Self; 2] = [Self::InProcess, Self::Cluster];
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InProcess => "in process",
            Self::Cluster => "cluster",
        })
    }
}

/// One run of one scenario.
#[derive(Clone, Debug)]
pub struct Run {
    /// The pen for bodies: `run.journal.by("a")`.
    pub journal: Journal,
    /// Where it runs.
    pub backend: Backend,
    book: Arc<Book>,
}

impl Run {
    pub(crate) fn new(backend: Backend, book: Arc<Book>, journal: Journal) -> Self {
        Self { journal, backend, book }
    }

    /// Whether times are exact.
    #[must_use]
    pub fn exact(&self) -> bool {
        self.book.clock().is_exact()
    }

    /// Virtual seconds since the run began.
    #[must_use]
    pub fn time(&self) -> f64 {
        self.book.clock().now()
    }

    /// `seconds` of the run's clock.
    #[must_use]
    pub fn seconds(&self, seconds: f64) -> Duration {
        self.journal.seconds(seconds)
    }

    /// Two moments that the probe has at one instant, in this order: the same instant on the virtual clock, half a second
    /// apart on the real one.
    #[must_use]
    pub fn after(&self, seconds: f64) -> f64 {
        if self.exact() { seconds } else { seconds + 0.5 }
    }

    /// Sleeps that long on the run's clock.
    ///
    /// # Errors
    /// The sleeper's own cancel.
    pub async fn sleep(&self, seconds: f64) -> farloop::Result<()> {
        farloop::sleep(self.seconds(seconds)).await
    }

    /// asyncio's `call_later`: runs `action` that many seconds from now, on this loop.
    pub fn later<R>(&self, seconds: f64, action: impl FnOnce() -> R + 'static) {
        let delay = self.seconds(seconds);
        drop(ensure_future(farloop::local(async move {
            farloop::sleep(delay).await?;
            drop(action());
            Ok(())
        })));
    }

    /// Writes a line as the main program.
    pub fn log(&self, text: impl AsRef<str>) {
        self.journal.log(text);
    }

    /// The probes' `job(name, delay)`.
    #[track_caller]
    pub fn job(&self, name: &str, delay: f64) -> Coro<String> {
        jobs::job(self.journal.clone(), name.to_owned(), delay, None)
    }

    /// The probes' `job(name, delay, fail=..)`.
    #[track_caller]
    pub fn failing(&self, name: &str, delay: f64, fail: Option<Fault>) -> Coro<String> {
        jobs::job(self.journal.clone(), name.to_owned(), delay, fail)
    }

    /// The probes' `asyncio.sleep(delay, value)` as a coroutine of its own: says nothing.
    #[track_caller]
    pub fn nap(&self, delay: f64, value: &str) -> Coro<String> {
        jobs::nap(self.journal.clone(), delay, value.to_owned())
    }

    /// The journal so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.book.lines()
    }

    /// The texts of the journal so far.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.book.lines().into_iter().map(|line| line.text).collect()
    }

    /// How often a text is in the journal.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.book.lines().iter().filter(|line| line.text == text).count()
    }

    /// The journal is that of the probe, causes before effects.
    ///
    /// # Errors
    /// Both journals, and what is wrong.
    pub fn journal_is(&self, probe: &Probe) -> Check {
        self.journal_in(Order::Causal, probe)
    }

    /// The journal is that of the probe, in that order.
    ///
    /// # Errors
    /// Both journals, and what is wrong.
    pub fn journal_in(&self, order: Order, probe: &Probe) -> Check {
        judge::same_log(&probe.log, &self.lines(), self.exact(), order)
            .map_err(|judge::Wrong(text)| judge::Wrong(format!("the journal of {}: {text}", probe.name)))
    }

    /// The value is that of the probe; fractional numbers are times.
    ///
    /// # Errors
    /// Both values.
    #[track_caller]
    pub fn out_is(&self, probe: &Probe, got: impl Serialize) -> Check {
        judge::same_with_times(got, &probe.out, self.exact())
    }

    /// The time is now what it is in the probe.
    ///
    /// # Errors
    /// Both times.
    #[track_caller]
    pub fn time_is(&self, seconds: f64) -> Check {
        judge::same_with_times(self.time(), seconds, self.exact())
    }

    /// Collects what reaches the exception handler on this thread from now on.
    pub fn collect_reports(&self) {
        reports::collect();
    }

    /// What reached the exception handler, after everything that is on its way has arrived.
    ///
    /// # Errors
    /// Only a cancel of the scenario.
    pub async fn reports(&self) -> farloop::Result<Vec<String>> {
        self.sleep(0.5).await?;
        Ok(reports::take())
    }
}
