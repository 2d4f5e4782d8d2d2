//! Workers that fit an actor which does not take just any: labels, packing, the neighbourhood of another actor.
//!
//! These don't stand in their type's queue, from which any worker takes: they are placed at once, or wait apart and are
//! looked at, some at a time, whenever a worker has room.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::actor::{Placement, Strategy};
use crate::limits;
use crate::machine::Core;
use crate::machine::tasks::Phase;

impl Core {
    /// Hands a host that is particular about its worker to one that fits, or lets it wait for one.
    pub(crate) fn place_host(&mut self, index: u32, function: u32) {
        let Some(placement) = self.tasks[index].as_host().map(|host| host.placement.clone()) else { return };
        match self.fitting_worker(function, &placement) {
            Some(worker) if !self.draining && !self.recovery.queueing => self.lease(index, function, worker),
            _ => {
                self.tasks[index].phase = Phase::Posted;
                let age = self.tasks[index].age();
                self.actors.unplaced.insert(age, index);
            }
        }
    }

    fn fitting_worker(&self, function: u32, placement: &Placement) -> Option<u32> {
        let fits = |worker: &&u32| self.has_labels(**worker, &placement.labels) && self.has_credit(**worker);
        let candidates: Vec<u32> = self.functions[function as usize].workers.iter().filter(fits).copied().collect();
        let near = placement
            .near
            .and_then(|near| self.tasks.find(near))
            .filter(|near| self.tasks[*near].phase == Phase::Leased);
        if let Some(near) = near.map(|near| self.tasks[near].place).filter(|near| candidates.contains(near)) {
            return Some(near);
        }
        let load = |worker: u32| self.sessions[worker as usize].worker.as_ref().map_or(0, |w| w.leases.len);
        match placement.strategy {
            Strategy::Spread => candidates.into_iter().min_by_key(|worker| load(*worker)),
            Strategy::Pack => candidates.into_iter().min_by_key(|worker| Reverse(load(*worker))),
        }
    }

    fn has_credit(&self, worker: u32) -> bool {
        self.sessions[worker as usize].open_worker().is_some()
    }

    fn has_labels(&self, worker: u32, wanted: &[(String, String)]) -> bool {
        let Some(worker) = self.sessions[worker as usize].worker.as_deref() else { return false };
        wanted.iter().all(|label| worker.labels.contains(label))
    }

    /// A worker has room: those that wait for one like it may go there.
    pub(crate) fn place_waiting(&mut self) {
        if self.actors.unplaced.is_empty() || self.draining || self.recovery.queueing {
            return;
        }
        let waiting: Vec<u32> = self.actors.unplaced.values().take(limits::FITTING_LOOKS).copied().collect();
        for index in waiting {
            if self.tasks.at(index).is_none_or(|task| task.phase != Phase::Posted) {
                continue;
            }
            self.touched += 1;
            self.leave_place(index);
            self.enqueue(index, true);
        }
    }

    pub(super) fn explain_unplaced(&self, index: u32) -> String {
        let Some(host) = self.tasks[index].as_host() else { return String::new() };
        let labels = super::listed(&host.placement.labels);
        let offers = self.workers().filter(|(worker, _)| self.def(*worker, &self.tasks[index].spec.function).is_some());
        let (all, fit) = offers.fold((0, 0), |(all, fit), (worker, _)| {
            (all + 1, fit + usize::from(self.has_labels(worker, &host.placement.labels)))
        });
        format!(
            "it waits for a worker with room{}{labels}; of {all} workers that offer its type, {fit} have these labels",
            if labels.is_empty() { "" } else { " and the labels " }
        )
    }
}
