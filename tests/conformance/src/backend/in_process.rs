//! Three workers, their coordinator and the scenario on one thread, with a paused clock: times are exact, and a scenario of
//! an hour takes a moment.

use std::time::Duration;

use super::{Verdict, guarded, timed};
use crate::journal::{self, Clock};
use crate::judge::{Check, wrong};
use crate::registry::Scenario;
use crate::run::{Backend, Run};

/// A slot for every body of the probes, and fewer than the deep chains have links.
const SLOTS: u32 = 16;

/// Runs a scenario.
#[must_use]
pub fn play(scenario: Scenario) -> Verdict {
    timed(scenario, |scenario| (guarded(scenario.name, Duration::from_secs(60), move || on_this_thread(scenario)), 0))
}

fn on_this_thread(scenario: Scenario) -> Check {
    farloop::testing::Cluster::new().workers(3).slots(SLOTS).run(move || async move {
        let (book, journal) = journal::open(Clock::Virtual(tokio::time::Instant::now()), None);
        let run = Run::new(Backend::InProcess, book, journal.clone());
        // A scenario that waits for what never comes would wait for ever: virtual hours pass in no time.
        let played = tokio::time::timeout(Duration::from_secs(3_600), (scenario.play)(run)).await;
        journal::close(&journal);
        played.unwrap_or_else(|_| Err(wrong("it waits for what never comes")))
    })
}
