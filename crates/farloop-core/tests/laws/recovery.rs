//! A life after others: nothing that was acknowledged is lost, nothing that runs is run again (L1, L5, L10, L16, L17).

use std::time::Duration;

use farloop_core::api::{Call, Reply, TaskState};
use farloop_core::frame::Down;

use crate::driver::*;

#[test]
pub(crate) fn l1_what_ran_goes_on_and_what_waited_is_served() {
    let mut c = Cluster::durable();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 1));
    c.sync();
    for n in 1..=3 {
        c.submit(client, id(n), spec("f"));
    }
    c.sync();
    let (_, attempt) = c.running(id(1));
    c.restart();
    assert_eq!(c.core.stats().live, 3);
    c.all_back();
    assert_eq!(c.starts(worker).len(), 1, "what runs is not run again");
    assert_eq!(c.view(id(1)).state, TaskState::Running);
    c.end(id(1), returned("v"));
    c.grant(worker, 2);
    c.sync();
    assert_eq!(c.outcome(client, id(1)), returned("v"));
    let second = c.running(id(2)).1;
    assert!(second.epoch > attempt.epoch, "L5: epochs grow over lives");
    c.end(id(2), returned("w"));
    c.end(id(3), returned("x"));
    c.sync();
    assert_eq!(c.outcome(client, id(3)), returned("x"));
    assert_eq!(c.core.stats().live, 0);
}

#[test]
pub(crate) fn l5_nothing_from_before_starts_until_its_worker_is_back_or_dead() {
    let mut c = Cluster::durable();
    let (client, lost, other) = (c.client(1), c.worker(2, &["f"], 1), c.worker(3, &["f"], 0));
    c.sync();
    c.submit(client, id(1), spec("f"));
    c.submit(client, id(2), spec("f"));
    c.sync();
    let (at, first) = c.running(id(1));
    assert_eq!(at, lost);
    c.restart();
    c.connect(client, true);
    c.connect(other, true);
    c.grant(other, 9);
    c.submit(client, id(3), spec("f"));
    c.sync();
    assert_eq!(c.starts(other).iter().map(|s| s.attempt.task).collect::<Vec<_>>(), [id(3)], "new tasks run at once");
    match c.ask(Call::Explain(id(1))) {
        Ok(Reply::Explained { why, .. }) => assert!(why[0].starts_with("held: waits for workers 'peer 2'"), "{why:?}"),
        other => panic!("{other:?}"),
    }
    c.pass(Duration::from_secs(4));
    c.sync();
    assert_eq!(c.starts(other).iter().map(|s| s.attempt.task).collect::<Vec<_>>(), [id(3), id(1), id(2)]);
    // Too late: another one has it.
    c.connect(lost, true);
    c.sync();
    assert!(c.got(lost).contains(&Down::Fence(first)));
    assert!(c.running(id(1)).1.epoch > first.epoch);
}
