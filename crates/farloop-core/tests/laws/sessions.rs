//! Sessions that break, come back, are taken over, and misbehave.

use std::time::Duration;

use bytes::Bytes;
use farloop_core::api::{Config, Input, Output};
use farloop_core::frame::{Down, Hello, Role, Up};
use farloop_core::id::ConnId;
use farloop_core::link::{Batch, Item};

use crate::driver::*;

#[test]
pub(crate) fn l10_what_happens_during_a_cut_is_told_afterwards_once() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    c.submit(client, id(1), spec("f"));
    c.submit(client, id(2), spec("f"));
    c.cut(client);
    c.end(id(1), returned("one"));
    assert!(c.outcomes(client, id(1)).is_empty());
    c.connect(client, true);
    assert!(c.peers[&client].resumed);
    assert_eq!(c.outcome(client, id(1)), returned("one"));
    // Sent, and lost on the way: the batch was taken from the core and never arrived.
    c.peers.get_mut(&client).expect("is there").conn = None;
    c.cut(worker);
    c.connect(worker, true);
    c.core.handle(c.now, Input::Tick);
    let (at, attempt) = c.running(id(2));
    c.peers.get_mut(&at).expect("is there").link.push(Up::Ended { attempt, outcome: returned("two"), delivered: 0 });
    let batch = c.peers.get_mut(&at).expect("is there").link.poll_batch(true).expect("a frame waits");
    let conn = c.peers[&at].conn.expect("connected");
    c.core.handle(c.now, Input::Batch { session: at, conn, batch });
    assert!(c.core.poll_batch(c.now, client, false).is_some(), "taken, and thrown away");
    while c.core.poll_output().is_some() {}
    c.connect(client, true);
    assert_eq!(c.outcome(client, id(2)), returned("two"));
}

#[test]
pub(crate) fn l10_an_outcome_outlives_its_record() {
    let mut c = Cluster::with(Config { retained_tasks: 0, ..Config::default() });
    let (client, _) = (c.client(1), c.worker(2, &["f"], 9));
    c.submit(client, id(1), spec("f"));
    c.cut(client);
    c.end(id(1), returned("one"));
    assert_eq!(c.core.stats().retained, 0);
    c.connect(client, true);
    assert_eq!(c.outcome(client, id(1)), returned("one"));
}

#[test]
pub(crate) fn l10_other_sessions_can_watch() {
    let mut c = Cluster::new();
    let (client, other, _) = (c.client(1), c.client(3), c.worker(2, &["f"], 9));
    c.submit(client, id(1), spec("f"));
    c.send(other, Up::Watch(id(1)));
    c.send(other, Up::Watch(id(1)));
    c.end(id(1), returned("one"));
    assert_eq!(c.outcome(client, id(1)), returned("one"));
    assert_eq!(c.outcome(other, id(1)), returned("one"));
    c.send(other, Up::Watch(id(9)));
    assert!(c.failure(other, id(9)).message.contains("is not known"));
}

#[test]
pub(crate) fn a_newer_connection_takes_over() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let old = c.peers[&client].conn.expect("connected");
    c.connect(client, true);
    assert!(c.peers[&client].conn != Some(old));
    assert!(c.closed.iter().any(|(s, why)| *s == client && why.contains("newer")));
    // What comes over the old one is ignored.
    c.input(Input::Batch { session: client, conn: old, batch: Batch { first: 99, ack: 99, items: vec![] } });
    c.input(Input::Cut { session: client, conn: old });
    assert!(c.peers[&client].conn.is_some());
}

#[test]
pub(crate) fn a_session_that_is_gone_is_fresh_when_it_comes_back() {
    let mut c = Cluster::new();
    let client = c.client(1);
    c.submit(client, id(1), spec("f"));
    c.cut(client);
    c.pass(Duration::from_secs(31));
    c.connect(client, true);
    assert!(!c.peers[&client].resumed);
    c.submit(client, id(2), spec("f"));
    assert_eq!(c.core.stats().live, 1);
}

#[test]
pub(crate) fn a_worker_is_dead_by_silence_even_while_connected() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 1));
    c.submit(client, id(1), spec("f"));
    c.now = c.now + Duration::from_millis(2_900);
    c.tick();
    assert_eq!(c.core.stats().sessions, 2);
    c.now = c.now + Duration::from_millis(200);
    c.tick();
    assert_eq!(c.core.stats().sessions, 1);
    assert!(c.closed.iter().any(|(s, why)| *s == worker && why.contains("nothing was heard")));
    assert_eq!((c.core.stats().leases, c.core.stats().queued), (0, 1));
}

#[test]
pub(crate) fn a_worker_that_comes_back_in_time_keeps_its_attempts() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 2));
    c.submit(client, id(1), spec("f"));
    c.cut(worker);
    c.submit(client, id(2), spec("f"));
    assert_eq!(c.starts(worker).len(), 1, "no new starts while it is away");
    c.pass(Duration::from_secs(2));
    c.connect(worker, true);
    assert_eq!(c.starts(worker).len(), 2);
    c.end(id(1), returned("v"));
    assert_eq!(c.outcome(client, id(1)), returned("v"));
}

#[test]
pub(crate) fn frames_beyond_a_role_close_the_connection() {
    let mut c = Cluster::new();
    let client = c.client(1);
    c.send(client, Up::Grant(1));
    assert!(c.closed.iter().any(|(s, why)| *s == client && why.contains("may not send")));
    assert!(c.peers[&client].conn.is_none());
}

#[test]
pub(crate) fn a_gap_closes_the_connection_and_the_session_resumes() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let conn = c.peers[&client].conn.expect("connected");
    let batch = Batch { first: 7, ack: 0, items: vec![Item::Frame(Up::Heartbeat)] };
    c.input(Input::Batch { session: client, conn, batch });
    assert!(c.closed[0].1.contains("was expected"));
    c.connect(client, true);
    assert!(c.peers[&client].resumed);
}

#[test]
pub(crate) fn a_payload_beyond_the_limit_ends_the_session() {
    let mut c = Cluster::with(Config { max_payload: 100_000, ..Config::default() });
    let client = c.client(1);
    let conn = c.peers[&client].conn.expect("connected");
    let part = || Item::Part(Bytes::from(vec![0; 60_000]));
    c.input(Input::Batch { session: client, conn, batch: Batch { first: 0, ack: 0, items: vec![part(), part()] } });
    c.settle();
    assert_eq!(c.core.stats().sessions, 0);
}

#[test]
pub(crate) fn hellos_are_refused_with_a_reason() {
    type Change = fn(&mut Hello);
    let cases: [(&str, Change); 3] = [
        ("PROTOCOL_MISMATCH", |h| h.protocol += 1),
        ("NO_SESSION", |h| h.role = Role::Operator),
        ("NAME_TOO_LONG", |h| h.name = "n".repeat(1_000)),
    ];
    for (reason, change) in cases {
        let mut c = Cluster::new();
        let mut hello = Hello {
            session: session(1),
            protocol: farloop_core::frame::PROTOCOL_VERSION,
            role: Role::Client,
            name: String::new(),
            resume: false,
            received: 0,
            functions: vec![],
            slots: 0,
            connection: 1,
            acked: 0,
            life: None,
            labels: Vec::new(),
            process: None,
        };
        change(&mut hello);
        c.core.handle(c.now, Input::Hello { conn: ConnId(1), hello });
        let Some(Output::Hello { reply, .. }) = c.core.poll_output() else { panic!("no answer") };
        assert!(
            matches!(&reply, farloop_core::frame::HelloReply::Rejected { reason: r, .. } if r == reason),
            "{reply:?}"
        );
    }
}

/// The peer gave up on a connection, came back over another and has told and heard things there since; only now the
/// hello of the first one arrives. It once ended the session: what it says was received is too old to resume from.
#[test]
fn l10_a_hello_that_comes_after_its_successors_changes_nothing() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let late = Hello {
        session: client,
        protocol: farloop_core::frame::PROTOCOL_VERSION,
        role: Role::Client,
        name: String::new(),
        resume: true,
        received: 0,
        functions: vec![],
        slots: 0,
        connection: 2,
        acked: 0,
        life: None,
        labels: Vec::new(),
        process: None,
    };
    c.cut(client);
    c.connect(client, true);
    c.connect(client, true);
    c.submit(client, id(7), spec("nowhere"));
    let before = c.peers[&client].conn;
    c.core.handle(c.now, Input::Hello { conn: ConnId(99), hello: late });
    let Some(Output::Hello { conn: ConnId(99), reply }) = c.core.poll_output() else { panic!("no answer") };
    assert!(
        matches!(&reply, farloop_core::frame::HelloReply::Rejected { reason, .. } if reason == farloop_core::frame::SUPERSEDED),
        "{reply:?}"
    );
    assert!(c.core.poll_output().is_none(), "nobody else was told anything");
    assert_eq!(c.peers[&client].conn, before);
}

#[test]
pub(crate) fn one_wake_until_the_shell_has_run_dry() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 100));
    let conn = c.peers[&client].conn.expect("connected");
    let mut wakes = 0;
    for n in 1..=10 {
        let peer = c.peers.get_mut(&client).expect("is there");
        peer.link.push(Up::Submit(farloop_core::frame::Submit {
            task: id(n),
            spec: spec("f").into(),
            owner: farloop_core::frame::Owner::Root,
            creator: None,
            within: None,
        }));
        let batch = peer.link.poll_batch(true).expect("a frame waits");
        c.core.handle(c.now, Input::Batch { session: client, conn, batch });
        while let Some(output) = c.core.poll_output() {
            wakes += usize::from(matches!(output, Output::Wake(s) if s == worker));
        }
    }
    assert_eq!(wakes, 1);
    c.take(worker, usize::MAX);
    assert_eq!(c.starts(worker).len(), 10);
}

#[test]
pub(crate) fn a_coordinator_that_stops_tells_everybody_and_starts_nothing() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    c.input(Input::Drain);
    assert!(c.got(client).contains(&Down::Drain) && c.got(worker).contains(&Down::Drain));
    c.submit(client, id(1), spec("f"));
    assert!(c.starts(worker).is_empty());
}
