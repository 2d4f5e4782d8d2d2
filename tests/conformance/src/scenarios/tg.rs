//! TG: task groups (rows 193-220).

use std::cell::RefCell;

use farloop::Error;

use crate::faults::Fault;
use crate::run::Run;

pub mod failing;
pub mod leaving;

/// `cancelling()` of the scenario.
fn counted() -> u32 {
    farloop::current_task().map_or(99, |me| me.cancelling())
}

/// The error of a group that has to fail, with its handles.
fn raised<T: std::fmt::Debug>(end: farloop::Result<T>) -> farloop::Result<Error> {
    end.err().ok_or_else(|| Error::msg("the group fails"))
}

/// A handle that is kept out of a group's body.
fn kept<T>(handle: RefCell<Option<T>>) -> farloop::Result<T> {
    handle.take().ok_or_else(|| Error::msg("the member was created"))
}

/// The probes' `job` as a coroutine of this loop: what happens at one instant happens in one turn.
#[track_caller]
fn local_job(run: &Run, name: &str, delay: f64, fail: Option<Fault>) -> farloop::LocalCoro<String> {
    let job = crate::bodies::jobs::job::local(run.journal.clone(), name.to_owned(), delay, fail);
    farloop::local(job)
}
