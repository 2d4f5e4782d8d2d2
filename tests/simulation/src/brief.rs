//! Frames as short lines: a trace is read by people.

use std::fmt::Write;

use farloop_core::frame::{Down, Up};
use farloop_core::id::{AttemptId, TaskId};
use farloop_core::outcome::Outcome;
use farloop_core::record::Record;
use farloop_core::spec::Spec;

use crate::script::Args;

/// The end of an id: enough to tell the tasks of one world apart.
#[must_use]
pub fn task(id: TaskId) -> String {
    format!("{:06x}", id.0 & 0xff_ffff)
}

/// Task and lease.
#[must_use]
pub fn attempt(id: AttemptId) -> String {
    format!("{}#{}", task(id.task), id.epoch.0)
}

fn tasks(ids: &[TaskId]) -> String {
    ids.iter().map(|id| task(*id)).collect::<Vec<_>>().join(" ")
}

/// How a task ended.
#[must_use]
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Returned(value) => match crate::script::maker_of(value) {
            Some(maker) => format!("Returned by {}", attempt(maker)),
            None => format!("Returned {} bytes", value.len()),
        },
        Outcome::Raised(failure) => format!("Raised {:?}: {}", failure.kind, failure.message),
        Outcome::Cancelled(c) => format!("Cancelled {:?}{}", c.message, if c.abandoned { ", abandoned" } else { "" }),
    }
}

fn spec(spec: &Spec) -> String {
    let args = Args::decode(&spec.args);
    let options = &spec.options;
    let mut text = format!("{} script {}", spec.function, args.script);
    // Writing to a string does not fail.
    let _ = write!(text, " attempts {} crashes {}", options.max_attempts, options.max_crashes);
    if let Some(timeout) = options.timeout {
        let _ = write!(text, " timeout {timeout:?}");
    }
    for dependency in &spec.dependencies {
        let _ = write!(text, " arg {}", tasks(&dependency.tasks));
    }
    text
}

/// A frame to the coordinator.
#[must_use]
pub fn up(frame: &Up) -> String {
    match frame {
        Up::Submit(s) => {
            let creator = s.creator.map_or_else(String::new, |c| format!(" by {}", attempt(c)));
            let within = s.within.map_or_else(String::new, |left| format!(" within {left:?}"));
            format!("Submit {} owner {:?}{creator}{within}: {}", task(s.task), s.owner, spec(&s.spec))
        }
        Up::Watch(t) => format!("Watch {}", task(*t)),
        Up::Cancel { task: t, message } => format!("Cancel {} {message:?}", task(*t)),
        Up::Uncancel(t) => format!("Uncancel {}", task(*t)),
        Up::Release(t) => format!("Release {}", task(*t)),
        Up::Progress { attempt: a, activity, awaits, blocked } => {
            format!("Progress {} {activity:?} awaits [{}] blocked {blocked}", attempt(*a), tasks(awaits))
        }
        Up::CancelSeen { attempt: a, seen } => format!("CancelSeen {} {seen}", attempt(*a)),
        Up::Ended { attempt: a, outcome: o, delivered } => {
            format!("Ended {} {} delivered {delivered}", attempt(*a), outcome(o))
        }
        Up::Returned(a) => format!("Returned {}", attempt(*a)),
        Up::Print { attempt: a, print } => format!("Print {} {} bytes", attempt(*a), print.text.len()),
        Up::Item { attempt: a, seq, value } => format!("Item {} {seq}: {} bytes", attempt(*a), value.len()),
        Up::Credit { task: t, taken } => format!("Credit {} {taken} taken", task(*t)),
        Up::Snapshot(s) => format!("Snapshot {} {} bytes", attempt(s.incarnation), s.state.len()),
        other => format!("{other:?}"),
    }
}

/// A frame from the coordinator.
#[must_use]
pub fn down(frame: &Down) -> String {
    match frame {
        Down::Resolved { task: t, outcome: o } => format!("Resolved {} {}", task(*t), outcome(o)),
        Down::CancelCount { task: t, count } => format!("CancelCount {} {count}", task(*t)),
        Down::Input { attempt: a, task: t, .. } => format!("Input {} value of {}", attempt(*a), task(*t)),
        Down::Start(s) => {
            let left = s.remaining.map_or_else(String::new, |r| format!(" remaining {r:?}"));
            format!("Start {} number {} depth {} cancels {}{left}", attempt(s.attempt), s.number, s.depth, s.cancels)
        }
        Down::Cancel { attempt: a, number, .. } => format!("Cancel {} number {number}", attempt(*a)),
        Down::CancelWithdrawn { attempt: a, standing } => {
            format!("CancelWithdrawn {} standing {standing}", attempt(*a))
        }
        Down::Fence(a) => format!("Fence {}", attempt(*a)),
        Down::Recall(a) => format!("Recall {}", attempt(*a)),
        Down::Deadlock { attempt: a, cycle } => format!("Deadlock {} [{}]", attempt(*a), tasks(cycle)),
        Down::Stranded { task: t, .. } => format!("Stranded {}", task(*t)),
        Down::Print { task: t, print } => format!("Print {} {} bytes, {} lost", task(*t), print.text.len(), print.lost),
        Down::Sync { call, answer } => format!("Sync {call} {answer:?}"),
        Down::TaskProgress { task: t, value } => format!("TaskProgress {} {value:?}", task(*t)),
        Down::Drain => "Drain".into(),
        Down::Leave => "Leave".into(),
        Down::Stop(a) => format!("Stop {}", attempt(*a)),
        Down::Move(a) => format!("Move {}", attempt(*a)),
        Down::Item { task: t, seq, value } => format!("Item {} {seq}: {} bytes", task(*t), value.len()),
        Down::Credit { attempt: a, taken } => format!("Credit {} {taken} taken", attempt(*a)),
    }
}

/// A record of the store.
#[must_use]
pub fn record(record: &Record) -> String {
    match record {
        Record::Life(life) => format!("Life {}", life.life.number),
        Record::Standing(_) => "Standing".into(),
        Record::WorkerJoined(worker) => format!("WorkerJoined {:?}", worker.worker),
        Record::WorkerLeft { worker } => format!("WorkerLeft {worker:?}"),
        Record::Submitted(s) => format!("Submitted {} owner {:?}", task(s.task), s.owner),
        Record::Ended { task: t, outcome: o, .. } => format!("Ended {} {}", task(*t), outcome(o)),
        Record::Snapshot(s) => format!("Snapshot {}", task(s.actor)),
        Record::AttemptFailed(f) => format!("AttemptFailed {} {:?}", task(f.task), f.epoch),
        Record::Started { task: t } => format!("Started {}", task(*t)),
        Record::CancelRequested(c) => {
            format!("CancelRequested {} {} stand, number {}, by {:?}", task(c.task), c.standing, c.number, c.by)
        }
        Record::Released { task: t } => format!("Released {}", task(*t)),
        Record::Carried(c) => format!("Carried {}", task(c.submitted.task)),
    }
}
