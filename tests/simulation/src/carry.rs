//! The shell's side of carrying forward: the oldest part of the journal leaves once the core has said again what it still
//! needs of it.

use std::time::Duration;

use farloop_core::api::Input;
use farloop_store::Part;

use crate::world::{Event, World};

impl World {
    /// Asks the store whether a part may leave.
    pub(crate) fn sweep(&mut self) {
        self.at(self.now + Duration::from_micros(self.plan.lives.sweep), Event::Sweep);
        if !self.up() || self.carrying.is_some() {
            return;
        }
        let before = self.now - self.plan.config.retention;
        let Some(shelf) = &mut self.shelf else { return };
        match shelf.leaving(before) {
            Ok(None) => {}
            Ok(Some(Part { number, tasks })) => {
                self.carrying = Some(Carrying { part: number, carried: None });
                self.feed(Input::Carry { part: number, tasks });
            }
            Err(error) => self.history.fail("L17", format!("the oldest part cannot be read: {error}")),
        }
    }

    /// All that is needed of a part is on its way to the disk, up to that record.
    pub(crate) fn carried(&mut self, part: u64, seq: u64) {
        if let Some(carrying) = self.carrying.as_mut().filter(|c| c.part == part) {
            carrying.carried = Some(seq);
            self.drop_carried();
        }
    }

    /// A part leaves when what was carried is durable.
    pub(crate) fn drop_carried(&mut self) {
        let durable = self.history.durable;
        let done = self.carrying.as_ref().is_some_and(|c| c.carried.is_some_and(|seq| seq <= durable));
        if done && let Some(carrying) = self.carrying.take() {
            let left = self.shelf.as_mut().map_or(Ok(()), |shelf| shelf.drop_part(carrying.part));
            self.history.saw("part left");
            if left.is_err() {
                self.die();
            }
        }
    }
}

/// A part that is about to leave.
#[derive(Debug)]
pub(crate) struct Carrying {
    part: u64,
    carried: Option<u64>,
}
