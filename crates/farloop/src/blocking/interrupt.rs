//! Ctrl-C. From the first run of a loop on, a thread of its own takes this process's SIGINT and tells the loops that
//! run. While none does, it keeps the first for the next run, and ends the process at the second, as ever.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use crate::error::{Error, Result};
use crate::event_loop::LoopShared;

/// What a shell tells of a program that SIGINT ended.
pub(crate) const EXIT_CODE: i32 = 130;

static STATE: Mutex<State> = Mutex::new(State { running: Vec::new(), kept: false, watched: false });

struct State {
    running: Vec<Arc<LoopShared>>,
    /// One that came while nothing ran.
    kept: bool,
    watched: bool,
}

fn state() -> MutexGuard<'static, State> {
    // Nothing user-written runs under this lock.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A loop that runs; dropped, it does not any more.
pub(super) struct Running(Arc<LoopShared>);

impl Running {
    /// # Errors
    /// [`Error::Interrupted`] if Ctrl-C came since the last run.
    pub(super) fn enter(home: &Arc<LoopShared>) -> Result<Self> {
        let mut state = state();
        if !state.watched {
            watch()?;
            state.watched = true;
        }
        if std::mem::take(&mut state.kept) {
            return Err(Error::Interrupted);
        }
        state.running.push(home.clone());
        home.set_running(true);
        Ok(Self(home.clone()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        state().running.retain(|home| !Arc::ptr_eq(home, &self.0));
        self.0.set_running(false);
    }
}

/// One that a run had no use for stands for the next.
pub(super) fn keep() {
    state().kept = true;
}

fn arrived() {
    let mut state = state();
    if !state.running.is_empty() {
        for home in &state.running {
            home.interrupt();
        }
    } else if std::mem::replace(&mut state.kept, true) {
        std::process::exit(EXIT_CODE);
    }
}

/// Starts the thread; returns when signals go to it.
fn watch() -> Result<()> {
    let (tell, told) = mpsc::channel();
    crate::in_process::spawn_thread("farloop-interrupt".into(), move || async move {
        let mut signals = match Signals::new() {
            Ok(signals) => {
                let _ = tell.send(Ok(()));
                signals
            }
            Err(error) => {
                let _ = tell.send(Err(error));
                return;
            }
        };
        while signals.recv().await.is_some() {
            arrived();
        }
    })?;
    match told.recv() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Error::msg(format!("no handler for Ctrl-C: {error}"))),
        Err(_) => Err(Error::msg("no handler for Ctrl-C: its thread ended")),
    }
}

#[cfg(unix)]
struct Signals(tokio::signal::unix::Signal);

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

impl Signals {
    #[cfg(unix)]
    fn new() -> std::io::Result<Self> {
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).map(Self)
    }

    #[cfg(windows)]
    fn new() -> std::io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn recv(&mut self) -> Option<()> {
        self.0.recv().await
    }
}
