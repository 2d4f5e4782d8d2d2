//! The turns of a loop. A turn runs what the ready queue holds when it begins, timers that are due included; what that
//! queues waits for the next one (asyncio rows 262, 274). Between two turns the other work of the thread gets its time.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

use super::{LoopShared, Ready};
use crate::body::Body;
use crate::cell::{Cell, Listener};
use crate::worker::host::Host;

/// Entries worked off before other work of the thread gets its turn.
const TURN: usize = 128;

/// When the turns end.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Until {
    /// The loop is closed, and all that was queued is done.
    Closed,
    /// Somebody stopped it; the turn in which that happened is finished.
    Stopped,
}

pub(super) struct Turns {
    home: Arc<LoopShared>,
    host: Option<Host>,
    until: Until,
    /// What is left of the turn that is going on.
    turn: VecDeque<Ready>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Turns {
    pub(super) fn new(home: Arc<LoopShared>, host: Option<Host>, until: Until) -> Self {
        Self { home, host, until, turn: VecDeque::new(), alarm: None }
    }

    /// Takes the queue as it is now, with what is due.
    fn begin(&mut self) {
        if self.home.timer_count.load(Ordering::Acquire) > 0 {
            let mut timers = self.home.timers();
            let due = timers.due(Instant::now());
            self.home.timer_count.store(timers.len(), Ordering::Release);
            drop(timers);
            self.home.queue().extend(due.into_iter().map(Ready::Call));
        }
        std::mem::swap(&mut self.turn, &mut *self.home.queue());
    }

    fn is_over(&self) -> bool {
        match self.until {
            Until::Closed => self.home.is_closed() && self.home.queue().is_empty(),
            Until::Stopped => self.home.stopping.swap(false, Ordering::AcqRel),
        }
    }

    /// Whether a timer is due; wakes this when the next one is.
    fn rings(&mut self, cx: &mut Context<'_>) -> bool {
        let next = match self.home.timer_count.load(Ordering::Acquire) {
            0 => None,
            _ => self.home.timers().next(),
        };
        let Some(at) = next else {
            self.alarm = None;
            return false;
        };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if alarm.deadline() != at {
            alarm.as_mut().reset(at);
        }
        alarm.as_mut().poll(cx).is_ready()
    }

    fn run(&mut self, ready: Ready) {
        match ready {
            Ready::Complete(cell, outcome) => {
                cell.complete(outcome);
            }
            Ready::CancelCount(cell, count) => cell.cancel_count_told(count),
            Ready::Listener(cell, listener) => listen(&cell, listener),
            Ready::Report(cell) => cell.report_unread(),
            Ready::Print(print) => self.home.session.show(&print),
            Ready::Item(inbox) => inbox.reveal(),
            Ready::Wake(whom) => whom.wake(),
            Ready::Step(step) => step.run(),
            Ready::Call(callback) => callback.run(),
            other => {
                if let Some(host) = &mut self.host {
                    host.take(&self.home, other);
                }
            }
        }
    }
}

impl Future for Turns {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.home.waker.register(cx.waker());
        if this.turn.is_empty() {
            this.begin();
        }
        let mut worked = 0;
        while let Some(ready) = this.turn.pop_front() {
            this.run(ready);
            worked += 1;
            // Steps share the budget of the runtime's task that runs them: one that has none left would only be
            // told to wait.
            if (worked == TURN || !tokio::task::coop::has_budget_remaining()) && !this.turn.is_empty() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        if this.is_over() {
            return Poll::Ready(());
        }
        if !this.home.queue().is_empty() || this.rings(cx) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

fn listen(cell: &Arc<Cell>, listener: Listener) {
    match listener {
        Listener::Wake { whom, .. } => whom.wake(),
        Listener::Internal { run, .. } => run(cell),
        Listener::Callback { run, .. } => {
            let begun = crate::debug::debug().then(std::time::Instant::now);
            let ran = std::panic::catch_unwind(AssertUnwindSafe(|| Body::nobody(|| run(cell))));
            if let Err(panic) = ran {
                crate::report::callback_panicked(cell, &*panic);
            }
            let took = begun.map(|begun| begun.elapsed()).unwrap_or_default();
            if took > crate::debug::slow_callback_duration() {
                crate::report::slow_callback(cell, took);
            }
        }
    }
}
