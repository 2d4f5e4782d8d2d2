//! What the loops of a worker share, and how what the coordinator sends comes to the loop that an attempt is on. There
//! [`Host`] starts its body. The wire and the public builder are elsewhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use bytes::Bytes;
use dashmap::DashMap;
use farloop_core::frame::{Down, Start, Up};
use farloop_core::id::{AttemptId, TaskId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::abandoned::Abandoned;
use super::actors::{Happening, Incarnation, never_seen};
use super::held::Placed;
use super::lease::Lease;
pub(crate) use super::loop_host::Host;
use super::slots::Slots;
use crate::body::Body;
use crate::definition::{self, Registry};
use crate::event_loop::{LoopShared, Ready};
use crate::session::SessionShared;
use crate::state::StateMap;

/// A start with the values of its dependencies.
pub(crate) struct Started {
    pub(crate) start: Start,
    pub(super) inputs: Vec<(TaskId, Bytes)>,
    /// It must not begin after this moment (L19): while it waits for a slot the coordinator may be out of reach.
    until: Option<Instant>,
    /// It makes this actor.
    pub(super) actor: Option<Arc<Incarnation>>,
}

impl Started {
    pub(super) fn is_late(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }
}

/// What the loops of one worker share.
pub(crate) struct WorkerShared {
    pub(super) session: Arc<SessionShared>,
    registry: RwLock<Registry>,
    pub(super) state: Arc<StateMap>,
    pub(super) slots: Slots,
    loops: OnceLock<Vec<Arc<LoopShared>>>,
    next_loop: AtomicUsize,
    pub(super) placed: DashMap<TaskId, Placed, foldhash::fast::RandomState>,
    /// Actors, from their start to their end.
    pub(super) actors: DashMap<TaskId, Arc<Incarnation>, foldhash::fast::RandomState>,
    pub(crate) lease: Lease,
    labels: Vec<(String, String)>,
    inputs: Mutex<HashMap<AttemptId, Vec<(TaskId, Bytes)>>>,
    pub(super) draining: AtomicBool,
    idle: Notify,
    leave: Notify,
    pub(super) abandoned: Abandoned,
}

impl WorkerShared {
    pub(crate) fn new(
        session: Arc<SessionShared>,
        registry: Registry,
        state: Arc<StateMap>,
        slots: Slots,
        labels: Vec<(String, String)>,
    ) -> Arc<Self> {
        let worker = Arc::new(Self {
            session: session.clone(),
            registry: RwLock::new(registry),
            state,
            slots,
            loops: OnceLock::new(),
            next_loop: AtomicUsize::new(0),
            placed: DashMap::default(),
            actors: DashMap::default(),
            lease: Lease::default(),
            labels,
            inputs: Mutex::default(),
            draining: AtomicBool::new(false),
            idle: Notify::new(),
            leave: Notify::new(),
            abandoned: Abandoned::default(),
        });
        session.set_worker(worker.clone());
        worker
    }

    pub(crate) fn set_loops(&self, loops: Vec<Arc<LoopShared>>) {
        // Once, before the first start can come.
        let _ = self.loops.set(loops);
        self.grant();
    }

    pub(crate) fn loops(&self) -> &[Arc<LoopShared>] {
        self.loops.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn registry(&self) -> std::sync::RwLockReadGuard<'_, Registry> {
        // The registry is whole after any panic: insertion is its only change.
        self.registry.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(crate) fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    /// Offers one more function; whether it was new. A type of actors is offered whole: a call of one method must not wait
    /// until somebody makes an actor.
    ///
    /// # Errors
    /// Another definition has the name.
    pub(crate) fn learn(&self, definition: &'static definition::Definition) -> crate::error::Result<bool> {
        if self.registry().get(definition.name).is_some_and(|known| std::ptr::eq(known, definition)) {
            return Ok(false);
        }
        let new = self.registry.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert_family(definition)?;
        if !new.is_empty() {
            self.session.push(Up::Offer(new.iter().map(|definition| definition.function_def()).collect()));
        }
        Ok(!new.is_empty())
    }

    /// Sends a frame of the coordinator to where it belongs.
    pub(crate) fn route(self: &Arc<Self>, frame: Down, mut to: impl FnMut(&Arc<LoopShared>, Ready)) {
        match frame {
            Down::Input { attempt, task, value } => {
                self.inputs().entry(attempt).or_default().push((task, value));
            }
            Down::Start(start) => self.arrives(start, &mut to),
            Down::Cancel { attempt, number, message } => {
                if let Some(started) = self.slots.remove(attempt) {
                    // Never began, so no body saw it: the coordinator makes it Cancelled.
                    self.never_began(&started, never_seen(attempt, message));
                } else if !self.cancel_at_actor(attempt, number, &message, &mut to)
                    && let Some(home) = self.home_of(attempt)
                {
                    to(&home, Ready::Cancel { attempt, number, message });
                }
            }
            Down::CancelWithdrawn { attempt, standing } => {
                if let Some(home) = self.home_of(attempt) {
                    to(&home, Ready::CancelWithdrawn { attempt, standing });
                }
            }
            Down::Fence(attempt) => {
                self.inputs().remove(&attempt);
                if !self.fence_at_actor(attempt, &mut to)
                    && self.slots.remove(attempt).is_none()
                    && let Some(home) = self.home_of(attempt)
                {
                    // Not by way of its loop, which may be what it holds.
                    if let Some(body) = self.body_of(attempt) {
                        self.write_off(&body, &home);
                    }
                    to(&home, Ready::Fence(attempt));
                }
            }
            Down::Recall(attempt) => {
                if let Some(started) = self.slots.remove(attempt) {
                    self.never_began(&started, Up::Returned(attempt));
                } else {
                    self.recall_at_actor(attempt, &mut to);
                }
            }
            Down::Stop(attempt) => self.end_actor(attempt, Happening::Stop, &mut to),
            Down::Move(attempt) => self.end_actor(attempt, Happening::Move, &mut to),
            Down::Deadlock { attempt, cycle } => {
                if let Some(home) = self.home_of(attempt) {
                    to(&home, Ready::Deadlock { attempt, cycle });
                }
            }
            Down::Credit { attempt, taken } => {
                let outlet = self.placed.get(&attempt.task).filter(|p| p.attempt == attempt);
                if let Some(outlet) = outlet.and_then(|p| p.outlet.clone()) {
                    outlet.credit(taken);
                }
            }
            // It hosts no actors yet.
            Down::Drain
            | Down::Resolved { .. }
            | Down::CancelCount { .. }
            | Down::TaskProgress { .. }
            | Down::Stranded { .. }
            | Down::Print { .. }
            | Down::Item { .. }
            | Down::Sync { .. } => {}
            Down::Leave => self.leave.notify_one(),
        }
        self.tell_idle();
        self.grant();
    }

    pub(super) fn inputs(&self) -> std::sync::MutexGuard<'_, HashMap<AttemptId, Vec<(TaskId, Bytes)>>> {
        self.inputs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn arrives(self: &Arc<Self>, start: Start, to: &mut dyn FnMut(&Arc<LoopShared>, Ready)) {
        let inputs = self.inputs().remove(&start.attempt).unwrap_or_default();
        let until = start.remaining.map(|left| Instant::now() + left);
        let at = start.more.as_ref().and_then(|more| more.incarnation.map(|actor| (actor, more.reenters)));
        let mut started = Started { start, inputs, until, actor: None };
        if let Some((actor, reenters)) = at {
            return self.call_arrives(actor, started, reenters, to);
        }
        self.host_arrives(&mut started);
        if let Some(started) = self.slots.arrive(started) {
            let home = self.place(&started);
            to(&home, Ready::Start(Box::new(started)));
        }
    }

    fn home_of(&self, attempt: AttemptId) -> Option<Arc<LoopShared>> {
        let placed = self.placed.get(&attempt.task).filter(|p| p.attempt == attempt).map(|p| p.home.clone());
        placed.or_else(|| Some(self.actor(attempt)?.home.clone()))
    }

    pub(super) fn body_of(&self, attempt: AttemptId) -> Option<Arc<Body>> {
        let placed = self.placed.get(&attempt.task).filter(|p| p.attempt == attempt).map(|p| p.body.clone());
        placed.unwrap_or_else(|| self.actor(attempt)?.own_body())
    }

    pub(super) fn session(&self) -> &Arc<SessionShared> {
        &self.session
    }

    fn place(&self, started: &Started) -> Arc<LoopShared> {
        if let Some(actor) = &started.actor {
            return actor.home.clone();
        }
        let home = self.choose_loop();
        self.placed.insert(started.start.attempt.task, Placed::new(&started.start, home.clone()));
        home
    }

    pub(super) fn choose_loop(&self) -> Arc<LoopShared> {
        let loops = self.loops();
        let first = self.next_loop.fetch_add(1, Ordering::Relaxed);
        let nth = |step: usize| &loops[(first + step) % loops.len().max(1)];
        // A loop that is stuck is passed over, unless all are.
        let free = (0..loops.len()).map(nth).find(|home| !home.is_written_off());
        free.unwrap_or_else(|| nth(0)).clone()
    }

    /// Tells the coordinator of starts that may be sent in addition.
    pub(crate) fn grant(&self) {
        if let Some(total) = self.slots.grant(self.draining.load(Ordering::Acquire)) {
            self.session.push(Up::Grant(total));
        }
    }

    /// A start got a slot: from here on its loop has it.
    fn begin(&self, started: Started) {
        let home = self.place(&started);
        home.push(Ready::Start(Box::new(started)));
    }

    pub(super) fn release(&self) {
        if let Some(resumed) = self.slots.release(|started| self.begin(started)) {
            resumed.wake();
        }
        self.grant();
    }

    /// An attempt needs no slot any more: it is over, or an actor that stays.
    pub(super) fn ended(self: &Arc<Self>, attempt: AttemptId, held: bool) {
        self.placed.remove_if(&attempt.task, |_, p| p.attempt == attempt);
        if let Some(resumed) = self.slots.ended(held, |started| self.begin(started)) {
            resumed.wake();
        }
        self.grant();
        self.tell_idle();
    }

    pub(super) fn tell_idle(&self) {
        if self.draining.load(Ordering::Acquire) && self.only_abandoned() {
            self.idle.notify_waiters();
        }
    }

    /// Whether nothing is left but bodies that nobody waits for. The coordinator has actors move away.
    fn only_abandoned(&self) -> bool {
        self.slots.load() <= self.abandoned.loops() && self.actors.is_empty()
    }

    /// The session is lost: nothing that runs here counts any more.
    pub(crate) fn forget_all(&self) {
        self.all_actors().iter().for_each(|actor| self.drop_actor(actor, false));
        self.slots.reset();
        self.inputs().clear();
        let bodies: Vec<Arc<Body>> = self.placed.iter().filter_map(|p| p.body.clone()).collect();
        for body in bodies {
            body.fence();
        }
        self.grant();
    }

    /// Returns when somebody asked the coordinator to let this worker go. For one caller.
    pub(crate) async fn told_to_leave(&self) {
        self.leave.notified().await;
    }

    /// No new work; returns when all that runs has ended.
    pub(crate) async fn drain(&self) {
        if !self.draining.swap(true, Ordering::AcqRel) {
            self.session.push(Up::Drain);
        }
        loop {
            let idle = self.idle.notified();
            if self.only_abandoned() {
                return;
            }
            idle.await;
        }
    }
}
