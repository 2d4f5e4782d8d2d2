//! What a task waits for and holds, in sentences (L15).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::primitive::{Line, State};
use super::{CallKey, Stands};
use crate::machine::Core;
use crate::machine::tasks::Phase;

/// Calls that are told of one task, and holders of one primitive.
const SHOWN: usize = 10;

impl Core {
    pub(crate) fn explain_calls(&self, index: u32) -> Vec<String> {
        let task = &self.tasks[index];
        let Some(rare) = task.rare.as_ref().filter(|_| task.phase == Phase::Leased) else { return Vec::new() };
        let session = self.session_key(task.place);
        let calls = rare.calls_open.iter().take(SHOWN);
        calls.filter_map(|call| self.explain_call((session, *call))).collect()
    }

    fn explain_call(&self, key: CallKey) -> Option<String> {
        let open = self.sync.open.get(&key)?;
        let record = &self.sync.slab[open.primitive as usize];
        let name = record.called();
        Some(match open.stands {
            Stands::Holds(token) => format!("it holds {name} (token {token})"),
            Stands::Handed(..) => format!("an item of {name} is on its way to it"),
            Stands::Waits(line, number) => {
                let before = record.lines.range((line, 0)..(line, number)).take(SHOWN + 1).count();
                let before = match before {
                    0 => String::new(),
                    n if n > SHOWN => format!("; more than {SHOWN} wait before it"),
                    n => format!("; {n} wait before it"),
                };
                let (what, who) = match (line, &record.state) {
                    (Line::Condition(condition), _) => {
                        (format!("to be notified by condition {condition} of {name}"), String::new())
                    }
                    (Line::Get, _) => (format!("for an item of {name}"), String::new()),
                    (Line::Put, _) => (format!("for room in {name}"), String::new()),
                    (Line::Join, _) => (format!("until all items of {name} are done"), String::new()),
                    (Line::Main, State::Permits(permits)) => {
                        let holders: Vec<String> =
                            permits.holders.values().take(SHOWN).map(|key| self.holder_name(*key)).collect();
                        let more = if permits.holders.len() > SHOWN { ", …" } else { "" };
                        let who = if holders.is_empty() {
                            String::from(", which has no permits")
                        } else {
                            format!(", held by {}{more}", holders.join(", "))
                        };
                        (format!("for {name}"), who)
                    }
                    (Line::Main, State::Barrier(barrier)) => {
                        (format!("at {name}"), format!(", where {} of {} are", barrier.count, barrier.parties))
                    }
                    (Line::Main, _) => (format!("for {name}"), String::new()),
                };
                format!("it waits {what}{who}{before}")
            }
        })
    }

    fn holder_name(&self, key: CallKey) -> String {
        let task = self.sync.open.get(&key).and_then(|open| open.attempt).and_then(|key| self.tasks.get(key));
        match task {
            Some(task) => format!("task {}", task.id),
            None => match self.sessions.get(key.0.index as usize) {
                Some(session) => format!("session {} ('{}')", session.id, session.name),
                None => key.0.index.to_string(),
            },
        }
    }
}
