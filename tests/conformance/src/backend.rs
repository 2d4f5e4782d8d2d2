//! Where scenarios run, and the odd things that a few of them need: another loop, no loop, a closed one.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use farloop::Task;
use serde_json::Value;

use crate::bodies::jobs;
use crate::judge::{Check, Wrong, wrong};
use crate::registry::Scenario;
use crate::run::Run;

pub mod cluster;
pub mod in_process;
mod stalls;

/// How a scenario went.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whether it holds.
    pub check: Check,
    /// Real time it took.
    pub took: Duration,
    /// Runs that were not judged because the machine stood still meanwhile.
    pub repeated: u32,
}

/// Runs `play` on a thread of its own and waits for it so long: a scenario that panics or hangs fails alone.
pub(crate) fn guarded(name: &'static str, limit: Duration, play: impl FnOnce() -> Check + Send + 'static) -> Check {
    let (give, take) = mpsc::channel();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // The receiver is gone if the limit was passed: then nobody wants to know.
        drop(give.send(play()));
    });
    let Ok(thread) = thread else { return Err(wrong("no thread for a scenario")) };
    match take.recv_timeout(limit) {
        Ok(check) => {
            // The answer is here; the thread only tidies up.
            drop(thread);
            check
        }
        Err(mpsc::RecvTimeoutError::Timeout) => Err(Wrong(format!("it hangs: no end after {limit:?} of real time"))),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let panic = thread.join().err();
            let text = panic.as_deref().map_or("no reason", |panic| {
                panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no text")
            });
            Err(Wrong(format!("it panics: {text}")))
        }
    }
}

/// Runs a scenario and times it.
pub(crate) fn timed(scenario: Scenario, play: impl FnOnce(Scenario) -> (Check, u32)) -> Verdict {
    let from = Instant::now();
    let (check, repeated) = play(scenario);
    Verdict { check, took: from.elapsed(), repeated }
}

/// A pending task of another session, on another loop, of another cluster: none of the scenario's loops may take it.
///
/// # Errors
/// If the other cluster does not start.
pub async fn foreign_task(_run: &Run) -> Result<Task<String>, Wrong> {
    let (give, take) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let other = farloop::in_process().loops(1).start();
            if let Ok(other) = other {
                drop(give.send(farloop::ensure_future(jobs::pending_for_a_while())));
                // The other loop lives as long as any scenario may look at its task.
                tokio::time::sleep(Duration::from_secs(10)).await;
                other.close().await;
            }
        });
    });
    take.recv_timeout(Duration::from_secs(5)).map_err(|_| wrong("no other cluster"))
}

/// What a process without a loop, and then with a closed one, is told.
///
/// # Errors
/// If the process fails.
pub fn without_loop() -> Result<Value, Wrong> {
    let output = std::process::Command::new(crate::process::binary())
        .arg(crate::process::Mode::Loopless.word())
        .env_remove(farloop::runtime::ADDRESS_VARIABLE)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim())
        .map_err(|error| wrong(&format!("{error}; it said {text:?} and {:?}", String::from_utf8_lossy(&output.stderr))))
}
