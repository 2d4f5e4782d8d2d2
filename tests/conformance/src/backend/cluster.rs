//! A coordinator and three workers as processes of their own, started once and shared, and a client process that plays the
//! scenarios, each on a thread with a loop and a session of its own: they share the workers and nothing else.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use farloop::blocking::EventLoop;
use serde::{Deserialize, Serialize};

use super::{Verdict, guarded, stalls, timed};
use crate::journal::{self, Clock};
use crate::judge::{Check, Wrong, wrong};
use crate::process::{Mode, binary};
use crate::registry::Scenario;
use crate::run::{Backend, Run};

/// Length of a virtual second.
const UNIT: Duration = Duration::from_millis(80);
/// How often a run is repeated, each time on a clock of half the speed, if the machine stood still during it.
const REPEATS: u32 = 4;
/// No scenario takes that many virtual seconds.
const LONGEST: u32 = 300;
const NEVER: &str = "it waits for what never comes";
/// Scenarios that are played at a time: they sleep most of it.
const AT_A_TIME: usize = 4;

/// One line of the playing process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Played {
    name: String,
    wrong: Option<String>,
    took: Duration,
    repeated: u32,
}

/// The processes. Dropped, they end.
#[derive(Debug)]
pub struct Processes {
    coordinator: Child,
    workers: Vec<Child>,
    address: SocketAddr,
}

impl Processes {
    /// Starts one coordinator on a port of its own choice, and three workers.
    ///
    /// # Errors
    /// If a process does not start, or the coordinator does not say where it listens.
    pub fn start() -> Result<Self, Wrong> {
        let mut coordinator = Command::new(binary())
            .arg(Mode::Coordinator.word())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = coordinator.stdout.take().ok_or_else(|| wrong("the coordinator has an output"))?;
        let mut lines = BufReader::new(out).lines();
        let line = lines.next().transpose()?.unwrap_or_default();
        // What it says later is of no interest, but it must be able to say it.
        std::thread::spawn(move || lines.for_each(drop));
        let address: SocketAddr =
            line.trim().parse().map_err(|_| wrong(&format!("the coordinator says where it listens, not {line:?}")))?;
        let mut processes = Self { coordinator, workers: Vec::new(), address };
        for n in 0..3 {
            let worker = Command::new(binary())
                .arg(Mode::Worker.word())
                .env(farloop::runtime::ADDRESS_VARIABLE, format!("http://{address}"))
                .env("FARLOOP_WORKER_NAME", format!("conformance-{n}"))
                .env("FARLOOP_SLOTS", "64")
                .env("FARLOOP_LOOPS", "1")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()?;
            processes.workers.push(worker);
        }
        Ok(processes)
    }

    /// Plays scenarios in a client process, and hands each verdict to `told` when it is there.
    ///
    /// # Errors
    /// If the client process does not start.
    pub fn play(&self, scenarios: &[Scenario], mut told: impl FnMut(Scenario, Verdict)) -> Check {
        let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name).collect();
        let mut player = Command::new(binary())
            .arg(Mode::Play.word())
            .args(&names)
            .env(farloop::runtime::ADDRESS_VARIABLE, format!("http://{}", self.address))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = player.stdout.take().ok_or_else(|| wrong("the player has an output"))?;
        let mut left: HashMap<&str, Scenario> = scenarios.iter().map(|scenario| (scenario.name, *scenario)).collect();
        for line in BufReader::new(out).lines() {
            let Ok(played) = serde_json::from_str::<Played>(&line?) else { continue };
            if let Some(scenario) = left.remove(played.name.as_str()) {
                let check = played.wrong.map_or(Ok(()), |text| Err(Wrong(text)));
                told(scenario, Verdict { check, took: played.took, repeated: played.repeated });
            }
        }
        let status = player.wait()?;
        for scenario in left.into_values() {
            let check = Err(wrong(&format!("the playing process ended without it: {status}")));
            told(scenario, Verdict { check, took: Duration::ZERO, repeated: 0 });
        }
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in self.workers.iter_mut().chain([&mut self.coordinator]) {
            // It may have ended by itself; then there is nothing to end.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// What the playing process does: all scenarios, a few at a time, one line of JSON for each.
pub(crate) fn play_here(scenarios: Vec<Scenario>) {
    stalls::watch();
    let server = match journal::serve() {
        Ok(server) => server,
        Err(error) => {
            eprintln!("no journal: {error}");
            return;
        }
    };
    let queue = Arc::new(Mutex::new(scenarios.into_iter()));
    let players: Vec<_> = (0..AT_A_TIME)
        .map(|_| {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(scenario) = next else { return };
                    let verdict = timed(scenario, |scenario| repeat_if_stalled(scenario, server));
                    let wrong = verdict.check.err().map(|Wrong(text)| text);
                    let name = scenario.name.to_owned();
                    let played = Played { name, wrong, took: verdict.took, repeated: verdict.repeated };
                    println!("{}", serde_json::to_string(&played).unwrap_or_default());
                }
            })
        })
        .collect();
    for player in players {
        drop(player.join());
    }
}

/// A scenario that holds, holds. One that does not, in a run during which the machine stood still for a good part of a
/// virtual second, was not judged: its moments may have fallen together.
fn repeat_if_stalled(scenario: Scenario, server: SocketAddr) -> (Check, u32) {
    let mut unit = UNIT;
    for repeated in 0.. {
        let from = Instant::now();
        let check = guarded(scenario.name, unit * LONGEST + Duration::from_secs(15), move || {
            on_this_thread(scenario, server, unit)
        });
        let stalled = stalls::longest_since(from) > unit / 4;
        // What never comes does not come on a slower clock either.
        let hangs = matches!(&check, Err(Wrong(text)) if text.contains(NEVER));
        if check.is_ok() || hangs || !stalled || repeated == REPEATS {
            return (check, repeated);
        }
        unit *= 2;
    }
    unreachable!("the loop returns at the last repeat")
}

fn on_this_thread(scenario: Scenario, server: SocketAddr, unit: Duration) -> Check {
    // Connects to the address in the environment. What a scenario leaves behind is cancelled and not waited for: some
    // bodies are stubborn.
    let event_loop = EventLoop::from_env()?;
    let run = async move {
        let (book, journal) = journal::open(Clock::Real { start: Instant::now(), unit }, Some(server));
        let run = Run::new(Backend::Cluster, book, journal.clone());
        let played = tokio::time::timeout(unit * LONGEST, (scenario.play)(run)).await;
        journal::close(&journal);
        Ok(played.unwrap_or_else(|_| Err(wrong(NEVER))))
    };
    let check = event_loop.run_until_complete(run);
    event_loop.close()?;
    check?
}
