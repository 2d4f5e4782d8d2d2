//! Questions about all records: lists, and ids of which only the end is known. Answered a piece at a time (L21).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::calls::error;
use super::tasks::Task;
use super::views::state;
use super::{Core, Work};
use crate::api::{About, ActorView, CallError, ListActors, ListTasks, Reply, TaskState, TaskView};
use crate::id::{CallId, TaskId};
use crate::limits;
use crate::outcome::FailureKind;

/// A walk over all records, a piece at a time.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) call: CallId,
    pub(crate) next: u32,
    pub(crate) what: ScanFor,
}

/// What the walk is for.
#[derive(Debug)]
pub(crate) enum ScanFor {
    List { query: ListTasks, page: BTreeMap<TaskId, TaskView>, total: usize },
    Actors { query: ListActors, page: BTreeMap<TaskId, ActorView>, total: usize },
    Ending { text: String, value: u128, mask: u128, found: Vec<TaskId> },
}

impl Core {
    pub(crate) fn find_by_text(&mut self, call: CallId, text: &str) -> Option<Result<Reply, CallError>> {
        if let Some(task) = TaskId::parse(text) {
            return Some(self.known(task).map(|index| Reply::Task(self.view(index))));
        }
        let Some((value, mask)) = ending(text) else {
            let message = format!("'{text}' is no task id, nor the last 6 or more hexadecimal digits of one");
            return Some(Err(error(FailureKind::BadArguments, message)));
        };
        let what = ScanFor::Ending { text: text.into(), value, mask, found: Vec::new() };
        self.work.push_back(Work::Scan(Box::new(Scan { call, next: 0, what })));
        None
    }

    /// A piece of a walk over all records (L21). True when the answer was given.
    pub(crate) fn scan_some(&mut self, scan: &mut Scan) -> bool {
        while self.touched < limits::TOUCH {
            if scan.next >= self.tasks.slots() {
                let reply = self.scanned(&mut scan.what);
                self.reply(scan.call, reply);
                return true;
            }
            let index = scan.next;
            scan.next += 1;
            self.touched += 1;
            let Some(task) = self.tasks.at(index) else { continue };
            match &mut scan.what {
                ScanFor::Ending { value, mask, found, .. } => {
                    if task.id.0 & *mask == *value && found.len() < 8 {
                        found.push(task.id);
                    }
                }
                ScanFor::Actors { query, page, total } => {
                    if task.as_host().is_none() || !matches_actor(query, task) {
                        continue;
                    }
                    *total += 1;
                    let limit = query.limit.min(limits::PAGE);
                    let newer =
                        page.len() < limit || page.first_key_value().is_some_and(|(oldest, _)| task.id > *oldest);
                    if limit > 0
                        && newer
                        && query.before.is_none_or(|before| task.id < before)
                        && let Some(view) = self.actor_view(index)
                    {
                        page.insert(view.task.task, view);
                        if page.len() > limit {
                            page.pop_first();
                        }
                    }
                }
                ScanFor::List { query, page, total } => {
                    if !matches(query, task, Some(state(task))) {
                        continue;
                    }
                    *total += 1;
                    let limit = query.limit.min(limits::PAGE);
                    let newer =
                        page.len() < limit || page.first_key_value().is_some_and(|(oldest, _)| task.id > *oldest);
                    if limit > 0 && newer && query.before.is_none_or(|before| task.id < before) {
                        page.insert(task.id, self.view(index));
                        if page.len() > limit {
                            page.pop_first();
                        }
                    }
                }
            }
        }
        false
    }

    fn scanned(&self, what: &mut ScanFor) -> Result<Reply, CallError> {
        match what {
            ScanFor::List { page, total, .. } => {
                let tasks = core::mem::take(page).into_values().rev().collect();
                Ok(Reply::Tasks { tasks, total: *total, dropped: self.dropped })
            }
            ScanFor::Actors { page, total, .. } => {
                Ok(Reply::Actors { actors: core::mem::take(page).into_values().rev().collect(), total: *total })
            }
            ScanFor::Ending { text, found, .. } => match found.as_slice() {
                [] => Err(error(FailureKind::NotFound, format!("no task that is known here ends in '{text}'"))),
                [one] => self.known(*one).map(|index| Reply::Task(self.view(index))),
                several => {
                    let ids: Vec<String> = several.iter().map(|t| format!("{t}")).collect();
                    let message = format!("several tasks end in '{text}': {}; give more digits", ids.join(", "));
                    Err(CallError { about: About::Ending, ..error(FailureKind::BadArguments, message) })
                }
            },
        }
    }
}

fn matches_actor(query: &ListActors, task: &Task) -> bool {
    let at = |worker| task.worker == worker && task.phase == super::tasks::Phase::Leased;
    query.kind.as_ref().is_none_or(|kind| **kind == *task.spec.function)
        && query.worker.is_none_or(at)
        && (query.over || !task.over())
}

/// The ending of an id: its digits, and a mask of as many.
pub(crate) fn ending(text: &str) -> Option<(u128, u128)> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let hex = (6..=31).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let value = u128::from_str_radix(&digits, 16).ok().filter(|_| hex)?;
    Some((value, (1u128 << (4 * digits.len())) - 1))
}

/// Whether a task fits; the state is not looked at if none is given.
pub(crate) fn matches(query: &ListTasks, task: &Task, state: Option<TaskState>) -> bool {
    query.state.is_none_or(|s| state.is_none_or(|state| s == state))
        && query.function.as_ref().is_none_or(|f| **f == *task.spec.function)
        && query.parent.is_none_or(|p| p == task.parent)
        && query.labels.iter().all(|label| task.spec.options.labels.contains(label))
}
