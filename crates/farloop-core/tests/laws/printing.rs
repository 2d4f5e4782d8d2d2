//! What bodies print: who is shown it, what is kept, and what is lost.

use farloop_core::api::{Call, Reply, TaskLog};
use farloop_core::frame::{Down, Owner, Print, Stdio, Up};
use farloop_core::id::{AttemptId, SessionId, TaskId};
use farloop_core::limits;

use crate::driver::{Cluster, id, returned, spec};

pub(crate) fn line(text: &str) -> Print {
    Print { stream: Stdio::Out, text: format!("{text}\n"), lost: 0 }
}

/// As long as a piece may be.
fn long(n: usize) -> Print {
    let head = format!("{n} ");
    line(&format!("{head}{}", ".".repeat(limits::PRINT - head.len() - 1)))
}

impl Cluster {
    pub(crate) fn print(&mut self, task: TaskId, print: Print) {
        let (worker, attempt) = self.running(task);
        self.send(worker, Up::Print { attempt, print });
    }

    fn shown(&self, session: SessionId) -> Vec<(TaskId, Print)> {
        let shown = self.got(session).iter().filter_map(|d| match d {
            Down::Print { task, print } => Some((*task, print.clone())),
            _ => None,
        });
        shown.collect()
    }

    fn log(&mut self, task: TaskId) -> TaskLog {
        match self.ask(Call::Explain(task)) {
            Ok(Reply::Explained { task, .. }) => task.log,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_a_body_prints_is_shown_before_its_outcome_and_kept() {
    let mut c = Cluster::new();
    let (client, _worker) = (c.client(1), c.worker(2, &["f"], 4));
    c.submit(client, id(1), spec("f"));
    c.print(id(1), line("Waiting 3"));
    c.print(id(1), Print { stream: Stdio::Err, ..line("oh") });
    c.end(id(1), returned("x"));
    let shown: Vec<&Down> = c.got(client).iter().collect();
    assert!(matches!(shown[..], [Down::Print { .. }, Down::Print { .. }, Down::Resolved { .. }]), "{shown:?}");
    assert_eq!(c.shown(client)[1], (id(1), Print { stream: Stdio::Err, ..line("oh") }));
    assert_eq!(c.log(id(1)), TaskLog { text: "Waiting 3\noh\n".into(), lost: 0 });
    assert_eq!(c.view(id(1)).log.text, "Waiting 3\noh\n");
}

#[test]
fn a_nested_body_prints_for_the_client_at_the_top_and_a_detached_one_for_its_log_alone() {
    let mut c = Cluster::new();
    let (client, other, worker) = (c.client(1), c.client(5), c.worker(2, &["f"], 8));
    c.submit(client, id(1), spec("f"));
    let (_, creator) = c.running(id(1));
    c.submit_as(worker, id(2), spec("f"), Owner::Await, Some(creator));
    c.submit_as(worker, id(3), spec("f"), Owner::Nobody, Some(creator));
    c.print(id(2), line("nested"));
    c.print(id(3), line("detached"));
    assert_eq!(c.shown(client), [(id(2), line("nested"))]);
    assert_eq!((c.shown(other), c.shown(worker)), (Vec::new(), Vec::new()));
    assert_eq!(c.log(id(3)).text, "detached\n");
}

#[test]
pub(crate) fn l4_what_an_older_attempt_prints_is_not_shown() {
    let mut c = Cluster::new();
    let (client, first) = (c.client(1), c.worker(2, &["f"], 1));
    c.submit(client, id(1), spec("f"));
    let (_, old) = c.running(id(1));
    c.send(first, Up::Drain);
    c.send(first, Up::Returned(old));
    let _second = c.worker(3, &["f"], 1);
    let (_, new) = c.running(id(1));
    assert_ne!(old, new);
    let thief = c.worker(4, &["g"], 1);
    for (from, attempt) in [(thief, old), (thief, new)] {
        c.send(from, Up::Print { attempt, print: line("stale") });
        assert!(c.got(from).contains(&Down::Fence(attempt)));
    }
    c.print(id(1), line("fresh"));
    assert_eq!(c.shown(client), [(id(1), line("fresh"))]);
    assert_eq!(c.log(id(1)).text, "fresh\n");
    c.end(id(1), returned("x"));
    c.print(id(1), line("late"));
    assert_eq!(c.log(id(1)).text, "fresh\n");
}

#[test]
pub(crate) fn l18_a_client_that_takes_nothing_loses_lines_and_is_told_how_many() {
    let mut c = Cluster::new();
    let (client, _worker) = (c.client(1), c.worker(2, &["f"], 4));
    c.submit(client, id(1), spec("f"));
    c.cut(client);
    let pieces = limits::PRINTS_WAITING / limits::PRINT + 20;
    for n in 0..pieces {
        c.print(id(1), long(n));
    }
    c.end(id(1), returned("x"));
    c.connect(client, true);
    let shown = c.shown(client);
    let lost: u32 = shown.iter().map(|(_, print)| print.lost).sum();
    assert!(shown.len() < pieces && shown.len() > pieces - 40, "{}", shown.len());
    assert_eq!(shown.len() + lost as usize, pieces);
    assert_eq!(c.outcome(client, id(1)), returned("x"));
}

#[test]
fn l18_a_log_keeps_the_end_and_counts_the_rest() {
    let mut c = Cluster::new();
    let (client, _worker) = (c.client(1), c.worker(2, &["f"], 4));
    c.submit(client, id(1), spec("f"));
    for n in 0..10_000 {
        c.print(id(1), line(&format!("line {n} ä")));
    }
    let log = c.log(id(1));
    assert!(log.text.len() <= limits::LOG && log.text.len() >= limits::LOG / 2, "{}", log.text.len());
    assert!(log.text.starts_with("line ") && log.text.ends_with("line 9999 ä\n"));
    assert_eq!(log.text.lines().count() as u64 + log.lost, 10_000);
    // What was lost on the way counts as well.
    c.print(id(1), Print { lost: 7, ..line("end") });
    assert_eq!(c.log(id(1)).text.lines().count() as u64 + c.log(id(1)).lost, 10_008);
}

#[test]
fn l18_the_logs_of_all_tasks_together_are_bounded() {
    let mut c = Cluster::new();
    let (client, _worker) = (c.client(1), c.worker(2, &["f"], 10_000));
    let tasks = limits::LOGS / limits::LOG + 200;
    for n in 0..tasks as u128 {
        c.submit(client, id(n + 1), spec("f"));
        let (worker, attempt) = last_start(&c);
        for n in 0..2 {
            c.peers.get_mut(&worker).expect("a worker").link.push(Up::Print { attempt, print: long(n) });
        }
        c.deliver(worker);
    }
    c.law();
    let last = id(tasks as u128);
    assert!(c.log(last).lost > 0, "the last task found no room");
    // The first ones keep theirs, and show what came last.
    let first = c.log(id(1));
    assert!(!first.text.is_empty());
}

fn last_start(c: &Cluster) -> (SessionId, AttemptId) {
    let worker = crate::driver::session(2);
    let starts = c.got(worker).iter().rev().find_map(|d| if let Down::Start(s) = d { Some(s.attempt) } else { None });
    (worker, starts.expect("it was started"))
}

#[test]
fn l18_a_piece_above_the_limit_closes_the_connection() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 4));
    c.submit(client, id(1), spec("f"));
    c.print(id(1), line(&".".repeat(limits::PRINT)));
    assert!(c.closed.iter().any(|(s, why)| *s == worker && why.contains("PRINT")), "{:?}", c.closed);
    assert_eq!(c.shown(client), []);
}

#[test]
fn a_session_that_is_over_is_shown_nothing_and_its_tasks_keep_their_log() {
    let mut c = Cluster::new();
    let (client, _worker) = (c.client(1), c.worker(2, &["f"], 4));
    c.submit(client, id(1), spec("f"));
    c.send(client, Up::Bye);
    c.settle();
    c.print(id(1), line("cleaning up"));
    assert_eq!(c.log(id(1)).text, "cleaning up\n");
}
