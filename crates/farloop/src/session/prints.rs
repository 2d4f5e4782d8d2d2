//! What bodies print, on its way out of a worker's session and into that of the program at the top of the tree.

use std::sync::Weak;
use std::sync::atomic::Ordering;

use farloop_core::frame::{Print, Up};
use farloop_core::id::AttemptId;
use farloop_core::limits;

use super::{SessionShared, Sorted};
use crate::event_loop::Ready;

impl SessionShared {
    /// Sends what a body printed, if no more than `room` bytes wait already.
    pub(crate) fn print(&self, attempt: AttemptId, print: Print, room: usize) -> bool {
        let weight = print_weight(&print);
        if self.prints.fetch_add(weight, Ordering::Relaxed).saturating_add(weight) > room {
            self.prints_gone(weight);
            return false;
        }
        self.push(Up::Print { attempt, print });
        true
    }

    pub(super) fn prints_gone(&self, weight: usize) {
        // What is sent again after a cut leaves twice.
        let less = |waiting: usize| Some(waiting.saturating_sub(weight));
        let _ = self.prints.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// A body elsewhere printed something. It is shown on the loop, where the program itself prints; a program that
    /// does not get round to it loses lines.
    pub(super) fn printed(&self, print: Print, sorted: &mut Sorted) {
        let Some(home) = self.home.get().and_then(Weak::upgrade) else { return };
        let weight = print_weight(&print);
        if self.prints.fetch_add(weight, Ordering::Relaxed).saturating_add(weight) > limits::PRINTS_WAITING {
            self.prints_gone(weight);
            let lines = print.text.lines().count() as u32;
            self.prints_lost.fetch_add(lines.saturating_add(print.lost), Ordering::Relaxed);
            return;
        }
        sorted.push(&home, Ready::Print(print));
    }

    /// On the loop: shows it.
    pub(crate) fn show(&self, print: &Print) {
        self.prints_gone(print_weight(print));
        crate::print::show(print, self.prints_lost.swap(0, Ordering::Relaxed), self.is_in_process());
    }
}

/// What a printed piece counts against [`limits::PRINTS_WAITING`].
pub(super) fn print_weight(print: &Print) -> usize {
    64 + print.text.len()
}
