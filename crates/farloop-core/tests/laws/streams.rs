//! Streams (L23): items in order, each once, no more under way than the window allows, and never a second beginning.

use std::time::Duration;

use bytes::Bytes;
use farloop_core::api::{Call, Config, Record};
use farloop_core::frame::{Down, Owner, Up};
use farloop_core::id::{AttemptId, SessionId, TaskId};
use farloop_core::limits;
use farloop_core::outcome::{FailureKind, Outcome};
use farloop_core::spec::Spec;

use crate::driver::*;

fn stream(function: &str) -> Spec {
    Spec { stream: true, ..spec(function) }
}

fn item(n: u64) -> Bytes {
    format!("item {n}").into_bytes().into()
}

impl Cluster {
    /// The running attempt yields items `from..=to`.
    fn yields(&mut self, task: TaskId, items: std::ops::RangeInclusive<u64>) {
        let (worker, attempt) = self.running(task);
        for seq in items {
            self.send(worker, Up::Item { attempt, seq, value: item(seq) });
        }
    }

    fn items(&self, session: SessionId, task: TaskId) -> Vec<u64> {
        let told = self.got(session).iter().filter_map(|d| match d {
            Down::Item { task: t, seq, value } if *t == task => {
                assert_eq!(*value, item(*seq));
                Some(*seq)
            }
            _ => None,
        });
        told.collect()
    }

    fn credits(&self, worker: SessionId, attempt: AttemptId) -> Vec<u64> {
        let told = self.got(worker).iter().filter_map(|d| match d {
            Down::Credit { attempt: a, taken } if *a == attempt => Some(*taken),
            _ => None,
        });
        told.collect()
    }
}

#[test]
pub(crate) fn l23_items_come_in_order_each_once_and_before_the_end() {
    let mut c = Cluster::new();
    let (client, watcher, worker) = (c.client(1), c.client(3), c.worker(2, &["f"], 4));
    c.submit(client, id(1), stream("f"));
    c.send(watcher, Up::Watch(id(1)));
    c.yields(id(1), 1..=3);
    // A cut on both sides: what was on its way comes afterwards, once.
    c.lose(client);
    c.yields(id(1), 4..=5);
    c.cut(client);
    c.cut(worker);
    c.connect(worker, true);
    c.yields(id(1), 6..=7);
    c.end(id(1), returned("end"));
    c.connect(client, true);
    c.take(client, usize::MAX);
    assert_eq!(c.items(client, id(1)), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(c.outcome(client, id(1)), returned("end"));
    let last = c.got(client).iter().rposition(|d| matches!(d, Down::Item { .. }));
    let end = c.got(client).iter().position(|d| matches!(d, Down::Resolved { .. }));
    assert!(last < end, "the end comes last");
    assert!(c.items(watcher, id(1)).is_empty(), "who watches is told the outcome");
    assert_eq!(c.outcome(watcher, id(1)), returned("end"));
}

#[test]
pub(crate) fn l16_what_the_consumer_takes_is_room_for_the_producer() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 4));
    c.submit(client, id(1), stream("f"));
    let window = limits::STREAM_ITEMS as u64;
    c.yields(id(1), 1..=window);
    let (_, attempt) = c.running(id(1));
    assert!(c.credits(worker, attempt).is_empty());
    c.send(client, Up::Credit { task: id(1), taken: 5 });
    assert_eq!(c.credits(worker, attempt), [5]);
    // Neither less than before nor more than there are; and nobody else's word counts.
    let other = c.client(3);
    c.send(client, Up::Credit { task: id(1), taken: 4 });
    c.send(client, Up::Credit { task: id(1), taken: window + 1 });
    c.send(other, Up::Credit { task: id(1), taken: 9 });
    c.send(other, Up::Credit { task: id(77), taken: 9 });
    assert_eq!(c.credits(worker, attempt), [5]);
    c.yields(id(1), window + 1..=window + 5);
    // While the worker is away credits are one.
    c.cut(worker);
    for taken in 10..20 {
        c.send(client, Up::Credit { task: id(1), taken });
    }
    c.connect(worker, true);
    assert_eq!(c.credits(worker, attempt), [5, 19]);
    // A worker that sends more than it may ends its stream, and no item passes.
    c.yields(id(1), window + 6..=window + 19);
    let failure = {
        c.yields(id(1), window + 20..=window + 20);
        c.failure(client, id(1))
    };
    assert_eq!(failure.kind, FailureKind::ResourceExhausted);
    assert!(failure.message.contains("STREAM_ITEMS") && failure.message.contains(&format!("{} items", window + 19)));
    assert!(c.got(worker).contains(&Down::Fence(attempt)));
    assert_eq!(c.items(client, id(1)).len() as u64, window + 19);
}

#[test]
pub(crate) fn l23_bytes_bound_the_window_and_one_large_item_passes() {
    let mut c = Cluster::new();
    let (client, _) = (c.client(1), c.worker(2, &["f"], 4));
    c.submit(client, id(1), stream("f"));
    let (worker, attempt) = c.running(id(1));
    let large = Bytes::from(vec![1; 3 * limits::STREAM_BYTES]);
    c.send(worker, Up::Item { attempt, seq: 1, value: large.clone() });
    c.send(client, Up::Credit { task: id(1), taken: 1 });
    c.send(worker, Up::Item { attempt, seq: 2, value: large.clone() });
    assert!(c.outcomes(client, id(1)).is_empty());
    c.send(worker, Up::Item { attempt, seq: 3, value: Bytes::new() });
    assert_eq!(c.failure(client, id(1)).kind, FailureKind::ResourceExhausted);
    let whole = c.got(client).iter().filter(|d| matches!(d, Down::Item { value, .. } if *value == large));
    assert_eq!(whole.count(), 2);
}

#[test]
pub(crate) fn l23_a_stream_that_has_begun_never_starts_again() {
    let mut c = Cluster::new();
    let (client, first) = (c.client(1), c.worker(2, &["f"], 8));
    for n in 1..=4 {
        c.submit(
            client,
            id(n),
            Spec { options: farloop_core::spec::Options { max_attempts: 5, ..Default::default() }, ..stream("f") },
        );
    }
    c.yields(id(1), 1..=3);
    // Nothing came of the second: it starts again as any task does, after a failure and after a crash.
    c.end(id(2), raised("no"));
    c.end(id(4), raised("no"));
    let second = c.worker(3, &["f"], 8);
    c.yields(id(4), 1..=1);
    c.end(id(4), raised("in the middle"));
    assert_eq!(c.failure(client, id(4)).message, "in the middle", "an attempt that failed in the middle is the end");
    c.cut(first);
    c.pass(Duration::from_secs(4));
    let failure = c.failure(client, id(1));
    assert_eq!(failure.kind, FailureKind::WorkerLost);
    assert!(
        failure.message.contains("'peer 2'") && failure.message.ends_with("; 3 items of this stream had come before"),
        "{failure:?}"
    );
    for n in [2, 3] {
        assert_eq!(c.running(id(n)).0, second);
        c.yields(id(n), 1..=1);
        assert_eq!(c.items(client, id(n)), [1], "from the beginning");
    }
    // Handing back is no crash, and the middle of a stream all the same.
    c.send(second, Up::Bye);
    c.settle();
    let failure = c.failure(client, id(3));
    assert!(failure.message.contains("stopped") && failure.message.contains("; 1 item of"), "{failure:?}");
}

#[test]
pub(crate) fn l1_the_first_item_waits_for_the_record_that_there_is_no_second_beginning() {
    let mut c = Cluster::with(Config { durable: true, ..Config::default() });
    let (client, _) = (c.client(1), c.worker(2, &["f"], 8));
    c.submit(client, id(1), stream("f"));
    c.sync();
    c.yields(id(1), 1..=2);
    assert!(c.items(client, id(1)).is_empty());
    assert_eq!(c.records.last().map(|(_, r)| r), Some(&Record::Started { task: id(1) }));
    c.sync();
    assert_eq!(c.items(client, id(1)), [1, 2]);
    let records = c.records.len();
    c.yields(id(1), 3..=3);
    assert_eq!((c.items(client, id(1)), c.records.len()), (vec![1, 2, 3], records), "one record for all items");
}

#[test]
pub(crate) fn l7_a_stream_whose_consumer_is_gone_is_asked_to_stop_whoever_owns_it() {
    let mut c = Cluster::new();
    let (client, host, far) = (c.client(1), c.worker(2, &["f"], 8), c.worker(3, &["g"], 8));
    c.submit(client, id(1), spec("f"));
    let (_, creator) = c.running(id(1));
    c.submit_as(host, id(2), stream("g"), Owner::Root, Some(creator));
    c.submit_as(host, id(3), stream("g"), Owner::Nobody, Some(creator));
    c.submit(client, id(4), stream("g"));
    // Its creator has ended with an outcome: what it started goes on.
    c.end(id(1), returned("v"));
    c.yields(id(2), 1..=1);
    c.yields(id(3), 1..=1);
    assert_eq!(c.items(host, id(2)), [1]);
    c.send(host, Up::Bye);
    c.settle();
    let cancelled = |c: &Cluster, task| {
        let (_, attempt) = c.running(task);
        c.got(far).iter().filter(|d| matches!(d, Down::Cancel { attempt: a, .. } if *a == attempt)).count()
    };
    assert_eq!([2, 3, 4].map(|n| cancelled(&c, id(n))), [1, 1, 0]);
    // That cannot be withdrawn: nobody would ever make room again.
    c.send(client, Up::Uncancel(id(2)));
    assert_eq!(c.view(id(2)).cancelling, 1);
    c.cut(client);
    c.pass(Duration::from_secs(31));
    assert_eq!(cancelled(&c, id(4)), 1, "asked once, as its owner and as its consumer");
    for n in 2..=4 {
        c.end_delivered(id(n), Outcome::Cancelled(Default::default()), 1);
    }
    assert_eq!(c.core.stats().live, 0);
}

#[test]
pub(crate) fn l18_streams_of_one_session_have_a_bound_with_a_name() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 2_000));
    let limit = limits::STREAMS as u128;
    for n in 1..=limit {
        c.submit(client, id(n), stream("f"));
    }
    c.submit(client, id(5_000), stream("f"));
    let failure = c.failure(client, id(5_000));
    assert!(failure.kind == FailureKind::ResourceExhausted && failure.message.contains("STREAMS"), "{failure:?}");
    c.end(id(1), returned("v"));
    c.submit(client, id(5_001), stream("f"));
    assert_eq!(c.running(id(5_001)).0, worker);
    // The public API has no session that could consume one.
    let refused = c
        .ask(Call::Submit { task: id(5_002), spec: stream("f").into(), await_worker: true, request: None })
        .unwrap_err();
    assert_eq!(refused.kind, FailureKind::BadArguments);
}

#[test]
pub(crate) fn l4_items_of_an_older_attempt_and_of_a_task_that_is_no_stream_pass_to_nobody() {
    let mut c = Cluster::new();
    let (client, first) = (c.client(1), c.worker(2, &["f"], 8));
    c.submit(client, id(1), stream("f"));
    c.submit(client, id(2), spec("f"));
    let (_, old) = c.running(id(1));
    c.worker(3, &["f"], 8);
    c.cut(first);
    c.pass(Duration::from_secs(4));
    c.connect(first, true);
    c.send(first, Up::Item { attempt: old, seq: 1, value: item(1) });
    assert!(c.got(first).contains(&Down::Fence(old)) && c.items(client, id(1)).is_empty());
    c.yields(id(2), 1..=1);
    assert_eq!(c.failure(client, id(2)).kind, FailureKind::BadPayload);
    // Numbers without gaps: another one is a worker that cannot be trusted with this stream.
    let (worker, attempt) = c.running(id(1));
    c.send(worker, Up::Item { attempt, seq: 2, value: item(2) });
    assert_eq!(c.failure(client, id(1)).kind, FailureKind::BadPayload);
}

#[test]
pub(crate) fn l15_a_full_window_explains_itself() {
    let mut c = Cluster::new();
    let (client, _) = (c.client(1), c.worker(2, &["f"], 8));
    c.submit(client, id(1), stream("f"));
    c.yields(id(1), 1..=limits::STREAM_ITEMS as u64);
    let Ok(farloop_core::api::Reply::Explained { why, .. }) = c.ask(Call::Explain(id(1))) else { panic!("explained") };
    assert!(why.iter().any(|w| w.contains("256 items") && w.contains("waits for its consumer")), "{why:?}");
}
