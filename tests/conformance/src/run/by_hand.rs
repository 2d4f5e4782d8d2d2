//! Scenarios without async: an event loop that the scenario runs by hand, on a thread of its own.

use std::time::Instant;

use farloop::blocking::EventLoop;
use farloop::prelude::*;
use farloop::{Error, LoopHandle};

use super::{Backend, Run};
use crate::journal::{self, Clock};
use crate::judge::{Check, wrong};

/// The loop, and a run whose clock is the loop's.
pub(crate) struct ByHand {
    pub(crate) run: Run,
    pub(crate) event_loop: EventLoop,
}

impl Run {
    /// Plays a scenario by hand; the thread that asks waits for it.
    pub(crate) fn by_hand(&self, program: impl FnOnce(&ByHand) -> Check + Send + 'static) -> Check {
        let (backend, server, unit) = (self.backend, self.journal.server(), self.book.clock().unit());
        let thread = std::thread::spawn(move || {
            let (event_loop, clock) = match backend {
                Backend::InProcess => {
                    let event_loop = farloop::testing::Cluster::new().workers(3).slots(16).event_loop()?;
                    let clock = Clock::ByHand(event_loop.handle());
                    (event_loop, clock)
                }
                Backend::Cluster => (EventLoop::from_env()?, Clock::Real { start: Instant::now(), unit }),
            };
            let (book, journal) = journal::open(clock, server);
            let hand = ByHand { run: Run::new(backend, book, journal.clone()), event_loop };
            let check = program(&hand);
            journal::close(&journal);
            hand.event_loop.close()?;
            check
        });
        thread.join().unwrap_or_else(|_| Err(wrong("it panics")))
    }

    /// A loop that another thread runs until it is stopped, on real time; with what becomes of it.
    pub(crate) fn on_a_thread(&self) -> (LoopHandle, std::thread::JoinHandle<farloop::Result<()>>) {
        let (give, take) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let event_loop = EventLoop::from_env()?;
            // Whoever asked is there.
            let _ = give.send(event_loop.handle());
            event_loop.run_forever()?;
            event_loop.close()
        });
        (take.recv().expect("a loop starts"), thread)
    }
}

impl ByHand {
    pub(crate) fn log(&self, text: impl AsRef<str>) {
        self.run.log(text);
    }

    /// Writes a line when it is called.
    pub(crate) fn pen(&self, text: &str) -> impl FnOnce() + Send + 'static {
        let (run, text) = (self.run.clone(), text.to_owned());
        move || run.log(text)
    }

    pub(crate) fn stopper(&self) -> impl FnOnce() + Send + 'static {
        let handle = self.event_loop.handle();
        move || handle.stop()
    }

    pub(crate) fn seconds(&self, seconds: f64) -> Duration {
        self.run.seconds(seconds)
    }

    /// The loop does not run for so long.
    pub(crate) fn idle(&self, seconds: f64) {
        if self.run.exact() {
            farloop::testing::advance(&self.event_loop, self.seconds(seconds));
        } else {
            std::thread::sleep(self.seconds(seconds));
        }
    }

    /// A coroutine of this loop that sleeps.
    pub(crate) fn sleeps(&self, seconds: f64) -> impl Future<Output = farloop::Result<()>> + 'static {
        let limit = self.seconds(seconds);
        async move { farloop::sleep(limit).await }
    }

    /// The probes' `R`: the value, or the error as Python prints it.
    pub(crate) fn r<T: serde::Serialize>(&self, result: farloop::Result<T>) -> serde_json::Value {
        match result {
            Ok(value) => serde_json::json!(value),
            Err(error) => serde_json::json!(text(&error)),
        }
    }
}

/// An error of a loop as Python prints it.
pub(crate) fn text(error: &Error) -> String {
    match error {
        Error::LoopStopped | Error::LoopClosed | Error::AlreadyRunning(_) => format!("RuntimeError({error})"),
        Error::NoRunningLoop(_) => "RuntimeError(no running event loop)".to_owned(),
        Error::Interrupted => "KeyboardInterrupt()".to_owned(),
        other => crate::python::ex(other),
    }
}
