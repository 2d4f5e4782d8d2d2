//! What workers are lost with: who is blamed, who is not, and what is known of it.

use std::time::Duration;

use farloop_core::api::{Call, Config, Exited, Record, Reply, TaskState};
use farloop_core::frame::{Activity, Owner, Up};
use farloop_core::id::{SessionId, TaskId};
use farloop_core::limits;
use farloop_core::outcome::{FailureKind, Outcome};
use farloop_core::spec::{Options, Spec};

use crate::driver::{Cluster, id, returned, spec};
use crate::printing::line;

/// Long enough for a silent worker to be given up.
const GIVEN_UP: Duration = Duration::from_secs(4);

fn fragile(max_crashes: u32) -> Spec {
    Spec { options: Options { max_crashes, ..Options::default() }, ..spec("f") }
}

impl Cluster {
    fn crash(&mut self, worker: SessionId) {
        self.cut(worker);
        self.pass(GIVEN_UP);
    }

    fn started(&self, worker: SessionId) -> Vec<TaskId> {
        self.starts(worker).iter().map(|start| start.attempt.task).collect()
    }

    fn explained(&mut self, task: TaskId) -> String {
        match self.ask(Call::Explain(task)) {
            Ok(Reply::Explained { why, .. }) => why.join("; "),
            other => panic!("{other:?}"),
        }
    }

    /// Two tasks, of which each may have ended the only worker, twice.
    fn two_suspects() -> (Self, SessionId) {
        let mut c = Self::new();
        let (client, first) = (c.client(1), c.worker(2, &["f"], 4));
        c.submit(client, id(1), fragile(1));
        c.submit(client, id(2), fragile(1));
        c.crash(first);
        let second = c.worker(3, &["f"], 4);
        assert_eq!(c.started(second).len(), 2, "within their budget they start together");
        c.crash(second);
        assert!(c.outcomes(client, id(1)).is_empty() && c.outcomes(client, id(2)).is_empty());
        (c, client)
    }
}

#[test]
pub(crate) fn a_suspect_runs_alone_before_it_is_blamed_and_a_bystander_survives() {
    let (mut c, client) = Cluster::two_suspects();
    let third = c.worker(4, &["f"], 4);
    assert_eq!(c.started(third), [id(1)], "the older one first, alone");
    c.submit(client, id(3), spec("f"));
    assert_eq!(c.started(third), [id(1)], "nothing new comes while it runs");
    assert!(c.explained(id(2)).contains("is to run alone"), "{}", c.explained(id(2)));
    c.crash(third);
    let failure = c.failure(client, id(1));
    assert_eq!(failure.kind, FailureKind::WorkerLost);
    assert!(failure.message.contains("alone; workers lost so far: 3, allowed (max_crashes): 1"), "{}", failure.message);
    let company: Vec<u32> = failure.crashes.iter().map(|lost| lost.company).collect();
    assert_eq!(company, [1, 1, 0]);

    let fourth = c.worker(5, &["f"], 4);
    assert_eq!(c.started(fourth), [id(2)], "the next suspect");
    c.end(id(2), returned("innocent"));
    assert_eq!(c.outcome(client, id(2)), returned("innocent"));
    assert_eq!(c.started(fourth), [id(2), id(3)], "then everybody");
}

#[test]
fn who_was_alone_all_along_is_blamed_when_its_budget_is_spent() {
    let mut c = Cluster::new();
    let client = c.client(1);
    c.submit(client, id(1), fragile(1));
    for n in 2..4 {
        let worker = c.worker(n, &["f"], 4);
        assert_eq!(c.started(worker), [id(1)]);
        c.crash(worker);
    }
    assert_eq!(c.failure(client, id(1)).crashes.len(), 2);
}

#[test]
fn what_may_run_once_never_starts_again_whoever_was_there() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 4));
    c.submit(client, id(1), fragile(0));
    c.submit(client, id(2), spec("f"));
    c.crash(worker);
    let failure = c.failure(client, id(1));
    assert_eq!((failure.kind, failure.crashes[0].company), (FailureKind::WorkerLost, 1));
}

#[test]
fn l16_a_suspect_that_never_is_alone_fails_in_the_end() {
    let mut c = Cluster::new();
    let client = c.client(1);
    c.submit(client, id(1), fragile(1));
    let mut lost = 0;
    while c.outcomes(client, id(1)).is_empty() {
        let worker = c.worker(10 + lost, &["f"], 8);
        c.submit(client, id(100 + lost), fragile(100));
        // After its time alone it gets company.
        c.pass(limits::ALONE + Duration::from_secs(1));
        assert!(c.started(worker).len() > 1, "{:?}", c.started(worker));
        c.crash(worker);
        lost += 1;
    }
    assert_eq!(lost, u128::from(1 + limits::ALONE_RUNS + 1), "max_crashes, ALONE_RUNS, and the last");
    let failure = c.failure(client, id(1));
    assert!(failure.message.contains("others ran there each time"), "{}", failure.message);
}

#[test]
fn l16_a_busy_worker_is_kept_until_it_is_idle() {
    let (mut c, client) = Cluster::two_suspects();
    // No suspect can have this worker: it does not offer their function yet.
    let worker = c.worker(4, &["g"], 4);
    c.submit(client, id(8), spec("g"));
    c.send(worker, Up::Offer(vec![crate::driver::def("f", 1)]));
    c.submit(client, id(9), spec("g"));
    assert_eq!(c.started(worker), [id(8)], "it is kept, and gets nothing new");
    assert!(
        c.explained(id(1)).contains("is kept for it, gets nothing new, and holds 1 attempts"),
        "{}",
        c.explained(id(1))
    );
    assert!(c.explained(id(2)).contains("1 tasks of 'f' wait before it"), "{}", c.explained(id(2)));
    c.end(id(8), returned("v"));
    assert_eq!(c.started(worker), [id(8), id(1)]);
    c.end(id(1), returned("v"));
    c.end(id(2), returned("v"));
    assert_eq!(c.started(worker), [id(8), id(1), id(2), id(9)]);
}

#[test]
fn l16_nobody_pays_without_limit_for_a_worker_that_does_not_become_idle() {
    let (mut c, client) = Cluster::two_suspects();
    let worker = c.worker(4, &["g"], 9);
    c.submit(client, id(8), spec("g"));
    c.send(worker, Up::Offer(vec![crate::driver::def("f", 1)]));
    c.submit(client, id(9), spec("g"));
    c.pass(limits::ALONE);
    c.pass(limits::ALONE);
    assert!(c.started(worker).contains(&id(9)), "others go on while suspects rest");
    assert!(!c.started(worker).contains(&id(1)));
    let idle = c.worker(5, &["f"], 4);
    assert_eq!(c.started(idle), [id(1)], "an idle worker is taken at any time");
}

#[test]
fn what_a_suspect_calls_runs_beside_it_and_elsewhere_when_that_is_full() {
    let (mut c, client) = Cluster::two_suspects();
    let third = c.worker(4, &["f"], 4);
    let (_, attempt) = c.running(id(1));
    c.submit(client, id(50), spec("f"));
    for n in 10..15 {
        c.submit_as(third, id(n), spec("f"), Owner::Await, Some(attempt));
    }
    assert_eq!(c.started(third), [id(1), id(10), id(11), id(12)], "its four slots");
    assert!(c.explained(id(13)).contains("was called by task"), "{}", c.explained(id(13)));
    // A child of a child belongs to it as well.
    let (_, child) = c.running(id(10));
    c.end(id(11), returned("v"));
    c.grant(third, 4);
    assert_eq!(c.started(third)[4..], [id(13)]);
    c.submit_as(third, id(20), spec("f"), Owner::Await, Some(child));
    c.suspend(id(10), &[id(20)], true);
    c.settle();
    assert!(c.started(third).contains(&id(14)));
    assert!(!c.started(third).contains(&id(50)));
    let other = c.worker(5, &["f"], 1);
    assert_eq!(c.started(other), [id(20)], "before who waits in the queue");
    c.crash(third);
    let failure = c.failure(client, id(1));
    assert_eq!(failure.crashes.last().map(|lost| lost.company), Some(0), "what it called is no company");
}

#[test]
fn what_a_suspect_called_goes_on_where_everybody_does_when_it_is_over() {
    let (mut c, client) = Cluster::two_suspects();
    let third = c.worker(4, &["f"], 4);
    let (_, attempt) = c.running(id(1));
    for n in 10..15 {
        c.submit_as(third, id(n), spec("f"), Owner::Root, Some(attempt));
    }
    c.end(id(1), returned("v"));
    c.settle();
    assert_eq!(c.outcome(client, id(1)), returned("v"));
    assert_eq!(c.core.stats().leases, 3, "they wait for credit, and the other suspect for an idle worker");
    for n in 10..13 {
        c.end(id(n), returned("v"));
    }
    c.grant(third, 4);
    assert_eq!(c.started(third).last(), Some(&id(2)));
    c.end(id(2), returned("v"));
    c.settle();
    assert_eq!(c.core.stats().leases, 2, "{:?}", c.started(third));
}

#[test]
fn a_caller_that_waits_for_a_suspect_does_not_keep_it_from_being_alone() {
    let mut c = Cluster::new();
    let (client, calm) = (c.client(1), c.worker(2, &["g"], 4));
    c.submit(client, id(1), spec("g"));
    let (_, attempt) = c.running(id(1));
    c.submit_as(calm, id(2), fragile(1), Owner::Await, Some(attempt));
    c.submit(client, id(3), fragile(9));
    for n in 3..5 {
        let worker = c.worker(n, &["f"], 4);
        c.crash(worker);
    }
    // Now the only worker is the one on which the caller runs; it holds its slot, and awaits the suspect.
    c.send(calm, Up::Progress { attempt, activity: Activity::Running, awaits: vec![id(2)], blocked: false });
    c.send(calm, Up::Offer(vec![crate::driver::def("f", 1)]));
    c.settle();
    assert!(c.started(calm).contains(&id(2)), "{}", c.explained(id(2)));
}

#[test]
fn a_suspect_that_waits_can_be_cancelled_and_its_worker_goes_to_others() {
    let (mut c, client) = Cluster::two_suspects();
    let worker = c.worker(4, &["g"], 4);
    c.submit(client, id(8), spec("g"));
    c.send(worker, Up::Offer(vec![crate::driver::def("f", 1)]));
    c.submit(client, id(9), spec("g"));
    for n in 1..3 {
        c.send(client, Up::Cancel { task: id(n), message: None });
        assert!(matches!(c.outcome(client, id(n)), Outcome::Cancelled(_)));
    }
    c.settle();
    assert_eq!(c.started(worker), [id(8), id(9)]);
}

#[test]
fn a_worker_that_is_told_to_leave_is_not_kept() {
    let (mut c, _) = Cluster::two_suspects();
    let worker = c.worker(4, &["f"], 4);
    assert_eq!(c.started(worker), [id(1)]);
    let other = c.worker(5, &["f"], 4);
    c.send(worker, Up::Drain);
    let (_, attempt) = c.running(id(1));
    c.send(worker, Up::Returned(attempt));
    c.settle();
    assert_eq!(c.started(other), [id(1)], "handed back, and alone again");
}

#[test]
fn a_worker_whose_connection_broke_counts_once_when_its_end_is_told() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let worker = c.worker(2, &["f"], 4);
    c.submit(client, id(1), fragile(2));
    c.cut(worker);
    let who = Exited::Worker(crate::driver::session(2).to_string());
    let told = c.ask(Call::WorkerExit { who, ending: "exit code 2".into() });
    assert!(matches!(told, Ok(Reply::WorkerExit { workers: 1 })), "{told:?}");
    c.settle();
    assert_eq!(c.view(id(1)).state, TaskState::Pending, "and is given up at once");
}

#[test]
fn the_dossier_tells_how_each_worker_ended_and_what_the_task_printed_there() {
    let mut c = Cluster::with(Config { wall_at_zero_ms: 1_800_000_000_000, durable: true, ..Config::default() });
    let client = c.client(1);
    c.submit(client, id(1), fragile(2));
    c.sync();
    let said = |n: u128| Call::WorkerExit {
        who: Exited::Worker(crate::driver::session(n).to_string()),
        ending: format!("exit code {n}"),
    };

    // Told while its connection stands: believed when that breaks, and nobody waits for it to come back.
    let first = c.worker(2, &["f"], 4);
    c.sync();
    c.print(id(1), line("once"));
    let Ok(Reply::WorkerExit { workers: 1 }) = c.ask(said(2)) else { panic!("the worker is known") };
    assert_eq!(c.view(id(1)).state, TaskState::Running);
    c.cut(first);
    c.settle();
    c.sync();
    assert_eq!(c.view(id(1)).state, TaskState::Pending);

    // Told after it was given up.
    let second = c.worker(3, &["f"], 4);
    c.sync();
    c.print(id(1), line("twice"));
    c.crash(second);
    c.sync();
    let Ok(Reply::WorkerExit { workers: 1 }) = c.ask(said(3)) else { panic!("the worker is remembered") };

    // Never told.
    let third = c.worker(4, &["f"], 4);
    c.sync();
    c.print(id(1), line("three times"));
    c.print(id(1), line("and no more"));
    c.crash(third);
    c.sync();

    let failure = c.failure(client, id(1));
    let endings: Vec<Option<&str>> = failure.crashes.iter().map(|lost| lost.ending.as_deref()).collect();
    assert_eq!(endings, [Some("exit code 2"), Some("exit code 3"), None]);
    let logs: Vec<&str> = failure.crashes.iter().map(|lost| &*lost.log).collect();
    assert_eq!(logs, ["once\n", "twice\n", "three times\nand no more\n"], "each its own");
    assert!(failure.crashes.iter().all(|lost| lost.at_ms >= 1_800_000_000_000), "{:?}", failure.crashes);
    for part in [
        "peer 2: exit code 2, alone",
        "peer 4: its end was not seen, alone",
        "it last printed: three times / and no more",
    ] {
        assert!(failure.message.contains(part), "{part:?} is missing in: {}", failure.message);
    }
    let recorded: Vec<&str> = c
        .records
        .iter()
        .filter_map(|(_, record)| match record {
            Record::AttemptFailed(failed) => failed.crash.as_ref().map(|crash| &*crash.log),
            _ => None,
        })
        .collect();
    assert_eq!(recorded, ["once\n", "twice\n"]);
    let Ok(Reply::WorkerExit { workers: 0 }) = c.ask(said(77)) else { panic!("nobody knows it") };
}

#[test]
fn l18_the_dossier_has_bounds() {
    let mut c = Cluster::new();
    let client = c.client(1);
    c.submit(client, id(1), fragile(19));
    for n in 2..22 {
        let worker = c.worker(n, &["f"], 1);
        for _ in 0..100 {
            c.print(id(1), line(&"x".repeat(limits::CRASH_LOG / 50)));
        }
        c.crash(worker);
    }
    let failure = c.failure(client, id(1));
    assert_eq!(failure.crashes.len(), limits::CRASHES);
    assert!(failure.crashes.iter().all(|lost| lost.log.len() <= limits::CRASH_LOG && !lost.log.is_empty()));
    assert!(failure.message.len() < 4_096, "{}", failure.message.len());
}

#[test]
fn suspects_of_several_functions_run_by_priority_and_age() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let of = |function: &str, priority: i32| {
        let mut spec = Spec { function: function.into(), ..fragile(1) };
        spec.options.priority = Some(priority);
        spec
    };
    for (n, function, priority) in [(1, "z", 0), (2, "a", 0), (3, "m", 1)] {
        c.submit(client, id(n), of(function, priority));
    }
    for n in 2..4 {
        let worker = c.worker(n, &["a", "m", "z"], 4);
        assert_eq!(c.started(worker).len(), 3);
        c.crash(worker);
    }
    let worker = c.worker(4, &["a", "m", "z"], 4);
    for n in [3, 1, 2] {
        assert_eq!(c.started(worker).last(), Some(&id(n)), "{:?}", c.started(worker));
        c.end(id(n), returned("v"));
    }
}
