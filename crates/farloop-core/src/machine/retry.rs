//! What follows the end of an attempt, and the clocks of a task besides its deadline.
//!
//! Four timeouts, each with its own kind of failure: *schedule to start*, from the moment at which the task could run to
//! the moment at which its body begins; *start to close*, of one attempt; *heartbeat*, between two signs of life of an attempt;
//! *schedule to close*, over all, is the task's deadline and looked after where it is set. Start to close asks the
//! attempt to stop, as a cancel does, and gives it the same grace; then it counts as failed. An attempt whose heartbeat
//! is missing is taken for lost, as if its worker were.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use super::attempts::Lost;
use super::ending::Family;
use super::outbox::Tell;
use super::tasks::{Phase, TaskKey};
use super::{Core, Timer};
use crate::outcome::{Cancellation, Failure, FailureKind, Outcome};
use crate::time::Time;

/// When something is due. Each has a timer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clocks {
    /// The next attempt.
    pub(crate) retry: Option<Time>,
    /// The start of the attempt.
    pub(crate) start: Option<Time>,
    /// The end of the attempt.
    pub(crate) close: Option<Time>,
    /// A look at the heartbeat.
    look: Option<Time>,
    /// The heartbeat itself; it moves more often than the timer.
    beat: Time,
}

/// Why an attempt is over for the cluster although its body is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    /// Number of the request that tells the body.
    pub(crate) request: u32,
}

impl Core {
    /// The task waits for a worker from now on, or goes on waiting.
    pub(crate) fn start_by(&mut self, index: u32) {
        let Some(limit) = self.tasks[index].policy().and_then(|p| p.schedule_to_start) else { return };
        let (key, at) = (self.tasks.key(index), self.now + limit);
        let clocks = &mut self.tasks[index].extra_mut().clocks;
        if clocks.start.is_none() {
            clocks.start = Some(at);
            self.timers.insert((at, Timer::StartBy(key)));
        }
    }

    /// Whether the start would come too late: the timer, which is due, will end the task.
    pub(crate) fn too_late_to_start(&self, index: u32, now: Time) -> bool {
        self.tasks[index].extra().is_some_and(|e| e.clocks.start.is_some_and(|at| at <= now))
    }

    /// Its worker said the first word about it, so it has a slot there: the clocks of the attempt begin. (A start that
    /// was fetched ahead waits at its worker, and is not recalled for that.)
    pub(crate) fn start_attempt_clocks(&mut self, index: u32) {
        let (key, now) = (self.tasks.key(index), self.now);
        let Some(policy) = self.tasks[index].policy() else { return };
        let (close, beat) = (policy.start_to_close.map(|l| now + l), policy.heartbeat.map(|l| now + l));
        if close.is_none() && beat.is_none() && self.tasks[index].extra().is_none() {
            return;
        }
        let clocks = &mut self.tasks[index].extra_mut().clocks;
        if let Some(at) = clocks.start.take() {
            self.timers.remove(&(at, Timer::StartBy(key)));
        }
        if let Some(at) = close {
            clocks.close = Some(at);
            self.timers.insert((at, Timer::CloseBy(key)));
        }
        if let Some(at) = beat {
            (clocks.look, clocks.beat) = (Some(at), at);
            self.timers.insert((at, Timer::Beat(key)));
        }
    }

    /// The lease is over: what belongs to the attempt is forgotten.
    pub(crate) fn stop_attempt_clocks(&mut self, index: u32) {
        let key = self.tasks.key(index);
        let Some(extra) = self.tasks[index].if_extra() else { return };
        extra.expired = None;
        if let Some(at) = extra.clocks.close.take() {
            self.timers.remove(&(at, Timer::CloseBy(key)));
        }
        if let Some(at) = extra.clocks.look.take() {
            self.timers.remove(&(at, Timer::Beat(key)));
        }
    }

    /// The task is over. Its attempt's clocks were stopped before.
    pub(crate) fn stop_task_clocks(&mut self, key: TaskKey, clocks: &mut Clocks) {
        if let Some(at) = clocks.retry.take() {
            self.timers.remove(&(at, Timer::Pause(key)));
        }
        if let Some(at) = clocks.start.take() {
            self.timers.remove(&(at, Timer::StartBy(key)));
        }
    }

    /// The body gave a sign of life.
    pub(crate) fn heard_beat(&mut self, index: u32) {
        let Some(limit) = self.tasks[index].policy().and_then(|p| p.heartbeat) else { return };
        let by = self.now + limit;
        self.tasks[index].extra_mut().clocks.beat = by;
    }

    /// An attempt failed. Another follows if the task's budget allows, after a pause if it asks for one.
    pub(crate) fn attempt_failed(&mut self, index: u32, failure: Arc<Failure>, family: Family) {
        let task = &mut self.tasks[index];
        task.errors += 1;
        let again = failure.retryable != Some(false) && task.standing() == 0 && task.errors < task.spec.options.max_attempts
            // A stream of which items were told never starts again.
            && !task.has_items();
        let pause = task.policy().and_then(|p| p.backoff.as_ref()).map(|b| (b.clone(), task.errors));
        let pause = match pause {
            Some((backoff, errors)) if again && !planted!(self, BackoffIgnored) => {
                // 53 bits, as many as fit.
                let chance = (self.rng.next() >> 11) as f64 / (1u64 << 53) as f64;
                Some(self.now + backoff.draw(errors, chance))
            }
            _ => None,
        };
        // An attempt that could only begin after the deadline is none: what went wrong says more than that.
        let late = pause.is_some_and(|at| at >= self.tasks[index].deadline) || self.outlived(index, self.now);
        if !again || late {
            self.end_task(index, Outcome::Raised(failure), family);
            return;
        }
        if let Some(at) = pause {
            let extra = self.tasks[index].extra_mut();
            extra.clocks.retry = Some(at);
            extra.failed = Some(failure);
        }
        self.retry(index, false, false);
    }

    /// The children of the last attempt were looked after: the next one, now or after the pause.
    pub(crate) fn again(&mut self, index: u32, front: bool) {
        let pause = self.tasks[index].extra().and_then(|e| e.clocks.retry);
        match pause.filter(|at| *at > self.now) {
            Some(at) => {
                let key = self.tasks.key(index);
                self.tasks[index].phase = Phase::Paused;
                self.timers.insert((at, Timer::Pause(key)));
            }
            None => {
                if let Some(extra) = self.tasks[index].if_extra() {
                    extra.clocks.retry = None;
                }
                self.enqueue(index, front);
            }
        }
    }

    pub(crate) fn on_pause_over(&mut self, key: TaskKey) {
        if self.tasks.get(key).is_some_and(|t| t.phase == Phase::Paused) {
            self.tasks[key.index].extra_mut().clocks.retry = None;
            self.enqueue(key.index, false);
        }
    }

    /// No worker took it in time. Not tried again: another attempt would stand in the same queue.
    pub(crate) fn on_start_by(&mut self, key: TaskKey) {
        if self.tasks.get(key).is_none_or(|t| t.over()) {
            return;
        }
        self.tasks[key.index].extra_mut().clocks.start = None;
        let limit = self.tasks[key.index].policy().and_then(|p| p.schedule_to_start).unwrap_or_default();
        if let Some(why) = self.call_is_late(key.index) {
            let text = format!("the call did not begin within its schedule_to_start of {limit:?}: {why}");
            let failure = Failure {
                may_have_run: Some(self.tasks[key.index].attempts > 0),
                ..Failure::clone(&self.timeout(key.index, FailureKind::ActorUnavailable, text))
            };
            return self.end_task(key.index, Outcome::Raised(Arc::new(failure)), Family::All);
        }
        let task = &self.tasks[key.index];
        let why = match task.phase {
            Phase::Leased => format!("it waits for a slot at worker {}", task.worker),
            _ => self.explain(key.index).into_iter().next().unwrap_or_default(),
        };
        self.fence(key.index);
        let text = format!("no worker took it within its schedule_to_start of {limit:?}: {why}");
        let failure = self.timeout(key.index, FailureKind::ScheduleToStartTimeout, text);
        self.end_task(key.index, Outcome::Raised(failure), Family::All);
    }

    /// The attempt's time is over: its body is asked to stop, and has its grace.
    pub(crate) fn on_close_by(&mut self, key: TaskKey) {
        let index = key.index;
        if self.tasks.get(key).is_none_or(|t| t.phase != Phase::Leased) {
            return;
        }
        self.tasks[index].extra_mut().clocks.close = None;
        if self.tasks[index].standing() > 0 {
            // It is being cancelled, and will not be tried again whatever it says.
            return;
        }
        let message = self.close_text(index);
        let task = &mut self.tasks[index];
        let (epoch, place, gate) = (task.epoch, task.place, task.gate);
        let request = task.rare().cancels.ask_quietly(message);
        task.extra_mut().expired = Some(Expired { request });
        let queued = core::mem::replace(&mut task.rare().cancels.queued, true);
        if !queued {
            self.tell(self.session_key(place), gate, Tell::Cancel { index, epoch });
        }
    }

    fn close_text(&self, index: u32) -> String {
        let task = &self.tasks[index];
        let limit = task.policy().and_then(|p| p.start_to_close).unwrap_or_default();
        format!("attempt {} did not end within its start_to_close of {limit:?}", task.attempts)
    }

    /// An attempt whose time was over has ended, or its grace is over too. A cancel that was asked for meanwhile wins.
    pub(crate) fn expired_attempt_over(&mut self, index: u32, abandoned: bool) {
        let family = if abandoned { Family::All } else { Family::Awaited };
        if self.tasks[index].standing() > 0 {
            let message = self.tasks[index].rare().cancels.first_message();
            let outcome = Outcome::Cancelled(Arc::new(Cancellation { message, abandoned }));
            return self.end_task(index, outcome, family);
        }
        let mut text = self.close_text(index);
        if abandoned {
            text.push_str(", nor within its grace after that: its body may still be running");
        }
        let failure = self.timeout(index, FailureKind::StartToCloseTimeout, text);
        self.attempt_failed(index, failure, family);
    }

    /// A heartbeat is due. If there was one meanwhile, the next is.
    pub(crate) fn on_beat_due(&mut self, key: TaskKey) {
        let index = key.index;
        if self.tasks.get(key).is_none_or(|t| t.phase != Phase::Leased) {
            return;
        }
        let clocks = &mut self.tasks[index].extra_mut().clocks;
        if clocks.beat > self.now {
            clocks.look = Some(clocks.beat);
            let at = clocks.beat;
            self.timers.insert((at, Timer::Beat(key)));
            return;
        }
        clocks.look = None;
        self.fence(index);
        self.lose_attempt(index, Lost::Silent);
    }

    /// What an attempt that is lost too often fails with, if its worker is still there.
    pub(crate) fn heartbeat_missed(&self, index: u32) -> Arc<Failure> {
        let task = &self.tasks[index];
        let limit = task.policy().and_then(|p| p.heartbeat).unwrap_or_default();
        let text = format!(
            "attempt {} gave no sign of life for its heartbeat_timeout of {limit:?}; attempts lost so far: {}, allowed (max_crashes): {}",
            task.attempts, task.crashes, task.spec.options.max_crashes
        );
        let come = match task.items() {
            0 => String::new(),
            items => format!("; {items} items of its stream had come, so it does not start again"),
        };
        self.timeout(index, FailureKind::HeartbeatTimeout, text + &come)
    }

    fn timeout(&self, index: u32, kind: FailureKind, text: String) -> Arc<Failure> {
        let task = &self.tasks[index];
        Arc::new(Failure {
            task: Some(task.id),
            worker: (task.worker.0 != 0).then_some(task.worker),
            attempt: task.attempts,
            crashes: self.lost_workers(index),
            ..Failure::new(kind, task.spec.function.clone(), text)
        })
    }
}
