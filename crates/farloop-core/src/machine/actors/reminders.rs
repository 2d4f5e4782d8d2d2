//! Calls that are made later, and perhaps again and again. A reminder is a task that waits: its record survives restarts,
//! a cancel ends it, and what was due meanwhile is due at once, once.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use bytes::Bytes;

use crate::actor::{Address, Part, Reminder};
use crate::api::{Event, Output};
use crate::frame::{Owner, Submit};
use crate::machine::ending::Family;
use crate::machine::tasks::TaskKey;
use crate::machine::{Core, Timer};
use crate::outcome::{Cancellation, Outcome};
use crate::time::Time;

/// By what a reminder is known: what it reminds of, and its name.
fn key_of(kind: &str, reminder: &Reminder) -> (String, Arc<str>) {
    let of = match &reminder.to {
        Address::Actor(id) => id.to_string(),
        Address::Name { name, .. } => format!("{kind}/{name}"),
    };
    (of, reminder.name.clone())
}

impl Core {
    /// One of the same name takes the place of an older one.
    pub(super) fn list_reminder(&mut self, index: u32, reminder: &Reminder) {
        let key = key_of(&self.tasks[index].spec.function, reminder);
        if let Some(older) = self.actors.reminders.insert(key, index)
            && !self.tasks[older].over()
        {
            let message = Some(format!("a newer reminder '{}' took its place", reminder.name));
            let outcome = Outcome::Cancelled(Arc::new(Cancellation { message, abandoned: false }));
            self.end_task(older, outcome, Family::All);
        }
    }

    fn reminder(&self, index: u32) -> Option<&Reminder> {
        match self.tasks[index].part() {
            Some(Part::Remind(reminder)) => Some(reminder),
            _ => None,
        }
    }

    /// When it is due next, as seen from `now`: a time of its own series.
    fn due(&self, index: u32, now: Time) -> Option<Time> {
        let reminder = self.reminder(index)?;
        let first = self.tasks[index].created + reminder.first;
        let Some(every) = reminder.every.filter(|_| first < now) else { return Some(first) };
        let past = now.since(first).as_nanos() / every.as_nanos().max(1);
        let steps = u32::try_from(past).unwrap_or(u32::MAX);
        Some(first + every.saturating_mul(steps))
    }

    /// Sets its timer.
    pub(super) fn wind(&mut self, index: u32) {
        let Some(due) = self.due(index, self.now) else { return };
        self.arm(index, due);
    }

    fn arm(&mut self, index: u32, due: Time) {
        let key = self.tasks.key(index);
        self.tasks[index].extra_mut().clocks.retry = Some(due);
        self.timers.insert((due, Timer::Remind(key)));
    }

    pub(super) fn unwind(&mut self, index: u32) {
        let key = self.tasks.key(index);
        if let Some(due) = self.tasks[index].if_extra().and_then(|extra| extra.clocks.retry.take()) {
            self.timers.remove(&(due, Timer::Remind(key)));
        }
        let Some(reminder) = self.reminder(index) else { return };
        let of = key_of(&self.tasks[index].spec.function, reminder);
        if self.actors.reminders.get(&of) == Some(&index) {
            self.actors.reminders.remove(&of);
        }
    }

    /// It is due: the call is made, and nobody waits for it.
    pub(crate) fn on_reminder(&mut self, key: TaskKey) {
        let Some(reminder) = self.tasks.get(key).and_then(|_| self.reminder(key.index)).cloned() else { return };
        let due = self.tasks[key.index].if_extra().and_then(|extra| extra.clocks.retry.take()).unwrap_or(self.now);
        let task = self.new_id();
        let submit = Submit { task, spec: reminder.call.clone(), owner: Owner::Nobody, creator: None, within: None };
        if let Err((_, why)) = self.accept(submit, None, None) {
            let why = format!("reminder '{}' was due and could not call: {why}", reminder.name);
            self.outputs.push_back(Output::Event(Event::Stranded { task: self.tasks[key.index].id, why }));
        }
        match reminder.every {
            Some(every) => {
                let next = (due + every).max(self.due(key.index, self.now).unwrap_or(due));
                let next = if next <= self.now { next + every } else { next };
                self.arm(key.index, next);
            }
            None => self.end_task(key.index, Outcome::Returned(Bytes::from_static(&[0xc0])), Family::All),
        }
    }
}
