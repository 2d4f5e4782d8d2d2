//! The coordinator of an in-process cluster: the core, driven directly. No port and no server; sessions of this
//! process are polled where a server would read sockets, with the same links, so that the laws are the same.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use farloop_core::api::{Config, Input, Output};
use farloop_core::id::{ConnId, SessionId};
use farloop_core::machine::Core;
use farloop_core::time::Time;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::session::{SessionShared, Welcome};

/// Inputs worked off before the thread's other tasks get their turn (matters where all share one thread).
const TURN: usize = 64;

/// Silence is no sign of death inside one process.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

pub(crate) struct Hub {
    core: Core,
    began: Instant,
    sessions: Vec<Connected>,
    stop: Arc<AtomicBool>,
    flushed: Arc<Notify>,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

struct Connected {
    session: Arc<SessionShared>,
    id: SessionId,
    conn: ConnId,
    over: bool,
}

impl Hub {
    pub(crate) fn new(sessions: Vec<Arc<SessionShared>>, stop: Arc<AtomicBool>, flushed: Arc<Notify>) -> Self {
        let seed = uuid::Uuid::now_v7().as_u128() as u64;
        let config = Config { seed, worker_dead_after: NEVER, session_ttl: NEVER, ..Config::default() };
        let sessions = sessions
            .into_iter()
            .zip(1..)
            .map(|(session, n)| Connected { id: session.id(), session, conn: ConnId(n), over: false })
            .collect();
        let began = Instant::now();
        let mut hub = Self {
            core: Core::new(config),
            began,
            sessions,
            stop,
            flushed,
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
        };
        for at in 0..hub.sessions.len() {
            let hello = hub.sessions[at].session.hello();
            hub.core.handle(Time(0), Input::Hello { conn: hub.sessions[at].conn, hello });
            // The welcome is taken here, so that nothing is sent before it.
            let resumed =
                hub.sessions[at].session.welcome(Welcome { resumed: false, recovered: false, received: 0, life: None });
            debug_assert!(resumed.is_ok(), "a fresh session has nothing to resume");
        }
        hub.drain();
        hub
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Takes everything that sessions have to say; whether there was anything.
    fn take(&mut self) -> bool {
        let mut any = false;
        let now = self.now();
        for at in 0..self.sessions.len() {
            if self.sessions[at].over {
                continue;
            }
            while let Some(batch) = self.sessions[at].session.poll_batch(false) {
                any = true;
                let (session, conn) = (self.sessions[at].id, self.sessions[at].conn);
                self.core.handle(now, Input::Batch { session, conn, batch });
                self.drain();
            }
        }
        any
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Wake(id) => self.deliver(id),
                Output::Close { session, reason, .. } => {
                    tracing::debug!(%session, reason, "session closed");
                    if let Some(connected) = self.sessions.iter_mut().find(|c| c.id == session) {
                        connected.over = true;
                    }
                }
                Output::Event(event) => tracing::debug!(?event, "core"),
                Output::Hello { .. }
                | Output::Reply { .. }
                | Output::More(_)
                | Output::Persist { .. }
                | Output::Carried { .. } => {}
            }
        }
    }

    fn deliver(&mut self, id: SessionId) {
        let now = self.now();
        let Some(connected) = self.sessions.iter().find(|c| c.id == id) else { return };
        let session = connected.session.clone();
        while let Some(batch) = self.core.poll_batch(now, id, false) {
            if let Err(error) = session.receive(batch) {
                // Both ends live in one process and neither loses anything.
                tracing::error!(%error, "an in-process session broke; this is a bug in farloop");
            }
        }
    }
}

impl Future for Hub {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for connected in &this.sessions {
            connected.session.register_writer(cx.waker());
        }
        for _ in 0..TURN {
            if this.take() {
                continue;
            }
            if this.sessions[0].session.is_closing() {
                // The client's Bye has been taken: whoever closes may go on.
                this.flushed.notify_one();
            }
            if this.stop.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            let now = this.now();
            match this.core.next_deadline() {
                None => return Poll::Pending,
                Some(at) if at <= now => {
                    this.core.handle(now, Input::Tick);
                    this.drain();
                }
                Some(at) => {
                    let at = this.began + Duration::from_micros(at.0).min(NEVER);
                    this.sleep.as_mut().reset(at);
                    if this.sleep.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod restarts;
