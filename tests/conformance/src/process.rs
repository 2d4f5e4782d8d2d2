//! The processes of this crate: every binary of it can be any of them, so that a process finds its kin by its own path.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Once, OnceLock};

use crate::registry::{Row, Scenario, areas};

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Hosts the bodies.
    Worker,
    /// The coordinator of the cluster.
    Coordinator,
    /// Plays the scenarios that are named, against the cluster in the environment.
    Play,
    /// Is interrupted, and says what came of it.
    Interrupted,
    /// Has no loop, and says what it is told.
    Loopless,
}

impl Mode {
    const ALL: [Self; 5] = [Self::Worker, Self::Coordinator, Self::Play, Self::Interrupted, Self::Loopless];

    /// The word on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Worker => "as-worker",
            Self::Coordinator => "as-coordinator",
            Self::Play => "as-player",
            Self::Interrupted => "as-interrupted",
            Self::Loopless => "as-loopless",
        }
    }

    /// The mode that the command line asks for, with the rest of its words.
    #[must_use]
    pub fn of_command_line() -> Option<(Self, Vec<String>)> {
        let mut words = std::env::args().skip(1);
        let first = words.next()?;
        let mode = Self::ALL.into_iter().find(|mode| mode.word() == first)?;
        Some((mode, words.collect()))
    }
}

static BINARY: OnceLock<PathBuf> = OnceLock::new();

/// Tells where the binary is that can be any of the processes: a test harness cannot.
pub fn use_binary(path: impl Into<OsString>) {
    // The same for the whole process, whoever says it first.
    drop(BINARY.set(PathBuf::from(path.into())));
}

/// The binary that can be any of the processes.
///
/// # Panics
/// If the process does not know its own path.
#[must_use]
pub fn binary() -> &'static PathBuf {
    BINARY.get_or_init(|| std::env::current_exe().expect("a process knows its own path"))
}

/// Panics in one line. Some bodies panic because their row says so, and a backtrace would keep the loop that prints it from
/// all others for a tenth of a second.
pub fn plain_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))));
}

/// Is that process, until it ends.
///
/// # Errors
/// What the process could not do.
pub fn run(mode: Mode, words: &[String]) -> Result<(), String> {
    plain_panics();
    if mode == Mode::Worker || mode == Mode::Coordinator {
        end_with_the_parent();
    }
    match mode {
        Mode::Worker => worker().map_err(|error| error.to_string()),
        Mode::Coordinator => coordinator(),
        Mode::Play => {
            crate::backend::cluster::play_here(named(words));
            Ok(())
        }
        Mode::Interrupted => {
            crate::interrupted::run(words.first().map_or("", String::as_str));
            Ok(())
        }
        Mode::Loopless => {
            crate::loopless::run();
            Ok(())
        }
    }
}

/// The scenarios of those names.
fn named(words: &[String]) -> Vec<Scenario> {
    let all = areas();
    let rows: Vec<Row> = all.iter().flat_map(crate::registry::Area::sorted).collect();
    words.iter().filter_map(|word| rows.iter().find(|row| row.name == *word)?.scenario()).collect()
}

/// Nothing is left behind by a test that was killed: the parent holds the other end of this process's input.
fn end_with_the_parent() {
    std::thread::spawn(|| {
        // The end of input, or an error: either way nobody is there any more.
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        std::process::exit(0);
    });
}

fn worker() -> farloop::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(crate::bodies::offered(farloop::Worker::from_env()).run())
}

fn coordinator() -> Result<(), String> {
    use farloop_coordinator::{Config, Coordinator};
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let config = Config { listen: "127.0.0.1:0".into(), ..Config::default() };
        let coordinator = Coordinator::bind(config).await.map_err(|error| error.to_string())?;
        println!("{}", coordinator.local_addr());
        coordinator.serve(std::future::pending()).await.map_err(|error| error.to_string())
    })
}
