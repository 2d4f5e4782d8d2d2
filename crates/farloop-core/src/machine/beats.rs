//! What bodies tell about themselves: details of heartbeats, which the next attempt is given, and progress values, which
//! whoever watches is told. Both are kept in their newest form only.

use alloc::format;
use alloc::string::String;
use bytes::Bytes;

use super::Core;
use super::outbox::Tell;
use super::sessions::SessionKey;
use super::tasks::{TaskKey, Watcher};
use crate::frame::Down;
use crate::id::{AttemptId, TaskId};
use crate::limits;

impl Core {
    pub(crate) fn on_task_heartbeat(&mut self, session: u32, attempt: AttemptId, details: Bytes) -> Result<(), String> {
        within(&details)?;
        if let Some(index) = self.current(session, attempt) {
            self.tasks[index].extra_mut().details = Some(details);
            self.heard_beat(index);
        }
        Ok(())
    }

    pub(crate) fn on_task_progress(&mut self, session: u32, attempt: AttemptId, value: Bytes) -> Result<(), String> {
        within(&value)?;
        let Some(index) = self.current(session, attempt) else { return Ok(()) };
        let key = self.tasks.key(index);
        let extra = self.tasks[index].extra_mut();
        extra.progress = Some(value);
        let mut fresh = alloc::vec::Vec::new();
        for onlooker in &mut extra.onlookers {
            if !core::mem::replace(&mut onlooker.count_queued, true) {
                fresh.push(onlooker.session);
            }
        }
        for session in fresh {
            self.tell(session, 0, Tell::Progress(key));
        }
        Ok(())
    }

    /// A session wants the progress of a task. Of a task that is over or not known it is told nothing: its outcome says
    /// that no more will come.
    pub(crate) fn on_watch_progress(&mut self, index: u32, id: TaskId) {
        let session = self.session_key(index);
        let Some(task) = self.tasks.find(id) else { return };
        let key = self.tasks.key(task);
        if self.tasks[task].over() {
            if self.tasks[task].extra().is_some_and(|e| e.progress.is_some()) {
                self.tell(session, 0, Tell::Progress(key));
            }
            return;
        }
        let gone: alloc::vec::Vec<SessionKey> = {
            let onlookers = self.tasks[task].extra().map_or(&[][..], |e| &e.onlookers);
            onlookers.iter().map(|o| o.session).filter(|s| self.session(*s).is_none()).collect()
        };
        let extra = self.tasks[task].extra_mut();
        extra.onlookers.retain(|o| !gone.contains(&o.session));
        if extra.onlookers.iter().any(|o| o.session == session) {
            return;
        }
        let there = extra.progress.is_some();
        extra.onlookers.push(Watcher { session, count_queued: there });
        if there {
            self.tell(session, 0, Tell::Progress(key));
        }
    }

    /// The newest value, when the session can take it.
    pub(crate) fn derive_progress(&mut self, index: u32, key: TaskKey) -> Option<Down> {
        let generation = self.sessions[index as usize].generation;
        let here = SessionKey { index, generation };
        self.tasks.get(key)?;
        let task = self.tasks[key.index].id;
        let extra = self.tasks[key.index].if_extra()?;
        if let Some(onlooker) = extra.onlookers.iter_mut().find(|o| o.session == here) {
            onlooker.count_queued = false;
        }
        let value = extra.progress.clone()?;
        Some(Down::TaskProgress { task, value })
    }
}

fn within(details: &Bytes) -> Result<(), String> {
    if details.len() > limits::MAX_DETAILS {
        return Err(format!("{} bytes of details; the limit MAX_DETAILS is {}", details.len(), limits::MAX_DETAILS));
    }
    Ok(())
}
