//! The laws that can be read off the state, as code: for the simulator and the tests, after every step.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use super::lanes::Level;
use super::lists::{Chain, NIL};
use super::retention::Keep;
use super::tasks::{Phase, Task};
use super::{Core, Timer};
use crate::frame::Owner;
use crate::limits;

/// A law does not hold: the core has a bug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{law} is broken: {what}")]
pub struct LawViolation {
    /// Its id in the design (`L5`).
    pub law: &'static str,
    /// What was found.
    pub what: String,
}

pub(crate) fn broken(law: &'static str, what: String) -> Result<(), LawViolation> {
    Err(LawViolation { law, what })
}

impl Core {
    /// Checks every law that the state shows, in time linear in the records held.
    ///
    /// # Errors
    /// The first law found broken.
    pub fn check(&self) -> Result<(), LawViolation> {
        self.check_bounds()?;
        self.check_workers()?;
        self.check_queues()?;
        self.check_limits()?;
        self.check_suspects()?;
        self.check_retained()?;
        self.check_held()?;
        self.check_prints()?;
        self.check_primitives()?;
        let mut live = 0;
        for (index, task) in self.tasks.iter() {
            live += usize::from(!task.over());
            self.check_task(index, task)?;
        }
        self.check_streams()?;
        self.check_actors()?;
        if live != self.live {
            return broken("L3", format!("{live} tasks are not over and {} were counted", self.live));
        }
        Ok(())
    }

    /// Notes for the reader who has most of them.
    fn most_notes(&self) -> usize {
        let tasks = self.watches.values().map(super::Watch::waiting);
        tasks.chain(self.actors.watches.values().map(|watch| watch.waiting())).max().unwrap_or(0)
    }

    fn check_bounds(&self) -> Result<(), LawViolation> {
        let bounds = [
            ("MAX_LIVE_TASKS", self.live, self.config.max_live_tasks),
            ("TOMBSTONES", self.tombstones.len(), limits::TOMBSTONES),
            ("MAX_SESSIONS", self.session_ids.len(), self.config.max_sessions),
            ("CALLS", self.calls.len(), limits::CALLS),
            ("LOGS", self.log_bytes, limits::LOGS),
            ("PINNED_TASKS", self.retained.pins(), self.config.pinned_tasks),
            ("PINNED_BYTES", self.retained.pinned_bytes(), self.config.pinned_bytes),
            ("FORGOTTEN", self.forgotten.len(), limits::FORGOTTEN),
            ("DEPARTED", self.departed.len(), limits::DEPARTED),
            ("WATCHES", self.readers(), limits::WATCHES),
            ("WATCH_CHANGES", self.most_notes(), limits::WATCH_CHANGES),
        ];
        match bounds.iter().find(|(_, is, limit)| is > limit) {
            Some((name, is, limit)) => broken("L18", format!("{name}: {is} of {limit}")),
            None => Ok(()),
        }
    }

    fn check_workers(&self) -> Result<(), LawViolation> {
        let mut epochs = BTreeSet::new();
        for (at, session) in &self.sessions {
            if session.over && self.work.is_empty() {
                return broken("L16", format!("session {} is over and was not cleared", session.id));
            }
            let Some(worker) = &session.worker else { continue };
            if worker.starts > worker.granted {
                return broken(
                    "L14",
                    format!("worker {}: {} starts of {} granted", session.id, worker.starts, worker.granted),
                );
            }
            let mut leases = 0;
            for index in worker.leases.iter(&self.tasks, Chain::Place) {
                let task = &self.tasks[index];
                leases += 1;
                if task.phase != Phase::Leased || task.place != at as u32 {
                    return broken(
                        "L5",
                        format!("task {} is in the leases of worker {} and not leased to it", task.id, session.id),
                    );
                }
                if task.epoch.0 == 0 || task.epoch.0 > self.epoch || !epochs.insert(task.epoch) {
                    return broken(
                        "L5",
                        format!("task {} holds epoch {:?}, which is not its own", task.id, task.epoch),
                    );
                }
            }
            if leases != worker.leases.len || worker.suspended > leases {
                return broken(
                    "L14",
                    format!(
                        "worker {}: {leases} leases, counted {}, suspended {}",
                        session.id, worker.leases.len, worker.suspended
                    ),
                );
            }
        }
        let leased = self.tasks.iter().filter(|(_, t)| t.phase == Phase::Leased).count();
        if leased != epochs.len() {
            return broken("L5", format!("{leased} tasks are leased and workers hold {}", epochs.len()));
        }
        Ok(())
    }

    fn check_queues(&self) -> Result<(), LawViolation> {
        for (at, queue) in &self.functions {
            let mut len = 0;
            for (priority, level) in &queue.levels {
                if level.is_empty() || !level.fits() {
                    return broken("L16", format!("the lines of '{}' at {priority:?} do not fit together", queue.name));
                }
                if let Some((limit, _)) = level.limits().find(|(l, aside)| *aside && !self.limits.full(*l)) {
                    return broken("L16", format!("tasks of '{}' wait for limit {limit}, which is open", queue.name));
                }
                for index in level.lists().flat_map(|l| l.iter(&self.tasks, Chain::Place)) {
                    len += 1;
                    let task = &self.tasks[index];
                    if task.phase != Phase::Ready || task.place != at as u32 {
                        return broken(
                            "L16",
                            format!("task {} is in the queue of '{}' and does not know", task.id, queue.name),
                        );
                    }
                }
            }
            if len != queue.len {
                return broken("L16", format!("queue '{}' holds {len} tasks and counts {}", queue.name, queue.len));
            }
            let free = queue.workers.iter().find(|w| self.sessions[**w as usize].open_worker().is_some());
            let runs = |level: &Level| level.limit().is_some_and(|l| !self.limits.full(l));
            if let Some(worker) = free
                && !self.limits.full(queue.limit)
                && queue.levels.values().any(runs)
                && self.work.is_empty()
                && !self.draining
            {
                let worker = self.sessions[*worker as usize].id;
                return broken("L16", format!("'{}' has a queue while worker {worker} has credit", queue.name));
            }
        }
        Ok(())
    }

    /// Permits that are out are those of leases, and no more than the limit allows.
    fn check_limits(&self) -> Result<(), LawViolation> {
        let mut taken: BTreeMap<u32, u32> = BTreeMap::new();
        for (_, task) in self.tasks.iter() {
            let Some(extra) = task.extra() else { continue };
            let held = [extra.permits.function, extra.permits.key].into_iter().filter(|l| *l != NIL);
            for limit in held {
                if task.phase != Phase::Leased {
                    return broken("L18", format!("task {} holds a permit and no lease", task.id));
                }
                *taken.entry(limit).or_default() += 1;
            }
        }
        for (number, limit) in self.limits.iter() {
            let out = taken.remove(&number).unwrap_or_default();
            if out != limit.taken {
                return broken(
                    "L18",
                    format!("{out} permits of '{}' are out and {} were counted", limit.name, limit.taken),
                );
            }
            if out > limit.at_once && !limit.lowered {
                return broken(
                    "L18",
                    format!("{out} tasks run under '{}', which allows {}", limit.name, limit.at_once),
                );
            }
        }
        if self.limits.len() > self.live + self.functions.len() {
            return broken("L18", format!("{} limits are remembered that nobody names", self.limits.len()));
        }
        Ok(())
    }

    fn check_retained(&self) -> Result<(), LawViolation> {
        let mut len = 0;
        for list in self.retained.lists() {
            let mut last = crate::time::Time(0);
            for index in list.iter(&self.tasks, Chain::Place) {
                let task = &self.tasks[index];
                len += 1;
                if !task.over() || task.ended < last {
                    return broken("L1", format!("task {} is retained out of order", task.id));
                }
                last = task.ended;
            }
        }
        let pins = self.tasks.iter().filter(|(_, t)| t.keep == Keep::Pinned).count();
        if pins != self.retained.pins() {
            return broken("L18", format!("{pins} tasks are pinned and {} were counted", self.retained.pins()));
        }
        let named = self.tasks.iter().filter(|(i, t)| t.request().is_some_and(|r| self.requests.get(r) == Some(i)));
        if named.count() != self.requests.len() {
            return broken("L2", format!("{} requests are known and not all of their tasks", self.requests.len()));
        }
        if len + self.live != self.tasks.len() {
            return broken("L1", format!("{len} retained and {} live of {} records", self.live, self.tasks.len()));
        }
        Ok(())
    }

    fn pause_ends(&self, index: u32, task: &Task) -> bool {
        let at = task.extra().and_then(|e| e.clocks.retry);
        at.is_some_and(|at| self.timers.contains(&(at, Timer::Pause(self.tasks.key(index)))))
    }

    /// Nothing that is due waits for its turn.
    fn timers_ran(&self) -> bool {
        self.work.is_empty() && self.timers.first().is_none_or(|(at, _)| *at > self.now)
    }

    fn check_task(&self, index: u32, task: &Task) -> Result<(), LawViolation> {
        if self.tasks.find(task.id) != Some(index) {
            return broken("L2", format!("task {} is not found by its id", task.id));
        }
        if task.over() != task.outcome.is_some() {
            return broken("L3", format!("task {}: over and outcome disagree", task.id));
        }
        if task.over() {
            let held = task.watcher.is_some() || task.parent_index != NIL || task.owner_session != NIL;
            return if held { broken("L3", format!("task {} is over and still in a list", task.id)) } else { Ok(()) };
        }
        let within = task.rare.as_ref().and_then(|r| r.within);
        let may_start =
            matches!(task.phase, Phase::Waiting | Phase::Paused | Phase::Ready | Phase::Aside | Phase::Posted);
        if may_start && within.is_some_and(|at| at <= self.now) && self.timers_ran() {
            return broken("L19", format!("task {} may start, and the scope it was called in is over", task.id));
        }
        if let Some(at) = within
            && at > self.now
            && !self.timers.contains(&(at, super::Timer::Within(self.tasks.key(index))))
        {
            return broken("L19", format!("nobody looks when the scope that task {} was called in is over", task.id));
        }
        let inputs = task.rare.as_ref().and_then(|r| r.inputs.as_ref());
        let missing = inputs.map_or(0, |i| i.values.iter().filter(|(_, v)| v.is_none()).count());
        match task.phase {
            Phase::Ready | Phase::Aside | Phase::Leased if missing > 0 => {
                return broken("L22", format!("task {} may start without {missing} of its arguments", task.id));
            }
            Phase::Waiting if missing == 0 && self.work.is_empty() => {
                return broken("L15", format!("task {} waits for nothing", task.id));
            }
            Phase::Paused if !self.pause_ends(index, task) => {
                return broken("L16", format!("task {} pauses for ever", task.id));
            }
            Phase::Parked if self.work.is_empty() => {
                return broken("L16", format!("task {} is in no queue and waits for nothing", task.id));
            }
            _ => {}
        }
        if task.phase == Phase::Leased
            && let Some(rare) = &task.rare
        {
            let c = &rare.cancels;
            if c.standing > c.number {
                return broken("L6", format!("task {}: {} requests stand of {}", task.id, c.standing, c.number));
            }
            let sent = c.standing > 0 && c.number > 0 && c.told == c.number;
            if sent && c.grace.is_none() && task.spec.options.cancel_grace.is_some() {
                return broken("L6", format!("task {} was asked to stop, and its grace never ends", task.id));
            }
        }
        let clocks = task.extra().map(|e| &e.clocks);
        if task.phase != Phase::Leased && clocks.is_some_and(|c| c.close.is_some()) {
            return broken("L16", format!("task {} has the clock of an attempt and no attempt", task.id));
        }
        if self.work.is_empty()
            && task.owner == Owner::Await
            && task.parent_index != NIL
            && !self.creator_lives(task)
            && task.standing() == 0
        {
            return broken("L7", format!("task {} is awaited by an attempt that is over", task.id));
        }
        Ok(())
    }
}
