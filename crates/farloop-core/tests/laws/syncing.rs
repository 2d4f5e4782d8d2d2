//! Locks, semaphores, events, queues and barriers (L10, L16, L18, L21, L24, L25).

use std::time::Duration;

use bytes::Bytes;
use farloop_core::api::{Call, Config, Reply};
use farloop_core::frame::{Down, Up};
use farloop_core::id::{AttemptId, PrimitiveId, SessionId, TaskId};
use farloop_core::limits;
use farloop_core::sync::{
    Primitive, PrimitiveKind, PrimitiveName, SyncAction, SyncAnswer, SyncCall, SyncEnd, SyncRefusal,
};

use crate::driver::*;

fn named(name: &str, kind: PrimitiveKind, size: u64) -> Primitive {
    Primitive { name: PrimitiveName::Shared(name.into()), kind, size }
}

fn lock() -> Primitive {
    named("db", PrimitiveKind::Lock, 0)
}

fn queue(size: u64) -> Primitive {
    named("jobs", PrimitiveKind::Queue, size)
}

fn event() -> Primitive {
    named("go", PrimitiveKind::Event, 0)
}

const ACQUIRE: SyncAction = SyncAction::Acquire { now: false };
const GET: SyncAction = SyncAction::Get { now: false };

fn put(n: u8) -> SyncAction {
    SyncAction::Put { item: Bytes::from(vec![n]), priority: 0, now: false }
}

impl Cluster {
    fn ask_sync(&mut self, from: SessionId, call: u64, primitive: Primitive, action: SyncAction) {
        self.send(from, Up::Sync(Box::new(SyncCall { call, primitive, attempt: None, action })));
    }

    /// A call by the body of a task.
    fn ask_in(&mut self, task: TaskId, call: u64, primitive: Primitive, action: SyncAction) -> AttemptId {
        let (worker, attempt) = self.running(task);
        self.send(worker, Up::Sync(Box::new(SyncCall { call, primitive, attempt: Some(attempt), action })));
        attempt
    }

    fn end_call(&mut self, from: SessionId, call: u64, end: SyncEnd) {
        self.send(from, Up::SyncEnd { call, end });
    }

    /// The one answer to a call, if it came.
    fn answer(&self, to: SessionId, call: u64) -> Option<SyncAnswer> {
        let answers = self.got(to).iter().filter_map(|d| match d {
            Down::Sync { call: c, answer } if *c == call => Some(answer.clone()),
            _ => None,
        });
        let answers: Vec<SyncAnswer> = answers.collect();
        assert!(answers.len() <= 1, "L10: call {call} was answered {} times", answers.len());
        answers.into_iter().next()
    }

    fn token(&self, to: SessionId, call: u64) -> u64 {
        match self.answer(to, call) {
            Some(SyncAnswer::Granted(token)) => token,
            other => panic!("call {call}: {other:?}"),
        }
    }

    fn item(&self, to: SessionId, call: u64) -> u8 {
        match self.answer(to, call) {
            Some(SyncAnswer::Item(item)) => item[0],
            other => panic!("call {call}: {other:?}"),
        }
    }

    fn why(&self, to: SessionId, call: u64) -> SyncRefusal {
        match self.answer(to, call) {
            Some(SyncAnswer::Refused { why, message }) => {
                assert!(!message.is_empty(), "a refusal says why");
                why
            }
            other => panic!("call {call}: {other:?}"),
        }
    }

    fn done(&self, to: SessionId, call: u64) -> bool {
        self.answer(to, call) == Some(SyncAnswer::Done)
    }

    fn waits(&self, to: SessionId, call: u64) -> bool {
        self.answer(to, call).is_none()
    }
}

#[test]
pub(crate) fn l24_a_lock_has_one_holder_in_order_and_its_tokens_grow() {
    let mut c = Cluster::new();
    let (a, b) = (c.client(1), c.client(2));
    c.ask_sync(a, 1, lock(), ACQUIRE);
    c.ask_sync(b, 1, lock(), ACQUIRE);
    c.ask_sync(a, 2, lock(), ACQUIRE);
    c.ask_sync(b, 2, lock(), SyncAction::Acquire { now: true });
    let first = c.token(a, 1);
    assert!(c.waits(b, 1) && c.waits(a, 2));
    assert_eq!(c.why(b, 2), SyncRefusal::Busy);
    c.end_call(a, 1, SyncEnd::Release);
    let second = c.token(b, 1);
    assert!(second > first && c.waits(a, 2));
    // Whoever knows the token may release it; the one before is stale.
    c.ask_sync(a, 3, lock(), SyncAction::Release(first));
    assert_eq!(c.why(a, 3), SyncRefusal::Stale);
    c.ask_sync(a, 4, lock(), SyncAction::Check(second));
    c.ask_sync(a, 5, lock(), SyncAction::Release(second));
    assert!(c.done(a, 4) && c.done(a, 5));
    let third = c.token(a, 2);
    c.end_call(b, 1, SyncEnd::Release);
    c.ask_sync(b, 6, lock(), SyncAction::Check(third));
    assert!(third > second && c.done(b, 6), "an old holder's end is nothing to the new one");
    // Unused, it is forgotten; its tokens go on growing.
    c.end_call(a, 2, SyncEnd::Release);
    assert_eq!((c.core.stats().primitives, c.core.stats().sync_calls), (0, 0));
    c.ask_sync(b, 7, lock(), ACQUIRE);
    assert!(c.token(b, 7) > third);
}

#[test]
pub(crate) fn l24_what_a_lost_worker_held_goes_to_the_next_and_its_token_is_stale() {
    let mut c = Cluster::new();
    let (client, w) = (c.client(1), c.worker(2, &["f"], 9));
    c.submit(client, id(1), spec("f"));
    let old = c.ask_in(id(1), 1, lock(), ACQUIRE);
    let first = c.token(w, 1);
    c.ask_sync(client, 1, lock(), ACQUIRE);
    c.lose(w);
    c.pass(Duration::from_secs(1));
    assert!(c.waits(client, 1), "it may come back");
    let other = c.worker(3, &["f"], 9);
    c.peers.get_mut(&w).expect("is there").conn = None;
    c.pass(limits::WORKER_DEAD_AFTER);
    let second = c.token(client, 1);
    assert!(second > first);
    // The old worker is back as a new session and has not noticed.
    c.connect(w, true);
    c.send(
        w,
        Up::Sync(Box::new(SyncCall {
            call: 9,
            primitive: lock(),
            attempt: Some(old),
            action: SyncAction::Acquire { now: false },
        })),
    );
    assert_eq!(c.why(w, 9), SyncRefusal::Stale);
    c.ask_sync(w, 10, lock(), SyncAction::Check(first));
    assert_eq!(c.why(w, 10), SyncRefusal::Stale);
    c.end_call(w, 1, SyncEnd::Release);
    c.ask_sync(client, 2, lock(), SyncAction::Check(second));
    assert!(c.done(client, 2));
    // The next attempt waits as any other does.
    assert_eq!(c.running(id(1)).0, other);
    c.ask_in(id(1), 1, lock(), ACQUIRE);
    assert!(c.waits(other, 1));
    c.end_call(client, 1, SyncEnd::Release);
    assert!(c.token(other, 1) > second);
}

#[test]
pub(crate) fn l24_an_attempt_that_ends_lets_go_however_it_ends() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    let three = named("three", PrimitiveKind::Semaphore, 3);
    for n in 1..=3 {
        c.submit(client, id(n), spec("f"));
        c.ask_in(id(n), n as u64, three.clone(), ACQUIRE);
    }
    for n in 4..=6 {
        c.submit(client, id(n), spec("f"));
        c.ask_in(id(n), n as u64, three.clone(), ACQUIRE);
        assert!(c.waits(worker, n as u64));
    }
    // One that waits is over before its turn.
    c.end(id(4), raised("no"));
    c.end(id(1), returned("a"));
    assert!(c.waits(worker, 4) && c.waits(worker, 6));
    let fifth = c.token(worker, 5);
    c.end_delivered(id(2), raised("no"), 0);
    assert!(c.token(worker, 6) > fifth);
    for n in [3, 5, 6] {
        c.end(id(n), returned("b"));
    }
    assert_eq!((c.core.stats().primitives, c.core.stats().sync_calls), (0, 0));
}

#[test]
fn l24_a_grant_that_crosses_a_withdrawal_goes_to_the_next() {
    let mut c = Cluster::new();
    let (a, b) = (c.client(1), c.client(2));
    c.ask_sync(a, 1, lock(), ACQUIRE);
    c.ask_sync(b, 1, lock(), ACQUIRE);
    c.ask_sync(a, 2, lock(), ACQUIRE);
    c.end_call(a, 1, SyncEnd::Release);
    c.token(b, 1);
    // Told, and given up before it arrived.
    c.end_call(b, 1, SyncEnd::Withdraw);
    c.token(a, 2);
    // Twice, or about what is not there: nothing.
    c.end_call(b, 1, SyncEnd::Withdraw);
    c.end_call(b, 77, SyncEnd::Taken);
    c.ask_sync(b, 3, lock(), ACQUIRE);
    c.end_call(b, 3, SyncEnd::Withdraw);
    c.end_call(a, 2, SyncEnd::Release);
    assert!(c.waits(b, 3));
    assert_eq!(c.core.stats().sync_calls, 0);
}

#[test]
pub(crate) fn l25_an_item_on_its_way_to_one_that_is_lost_goes_back_to_its_place() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 9));
    c.submit(client, id(1), spec("f"));
    for n in 1..=3 {
        c.ask_sync(client, u64::from(n), queue(0), put(n));
        assert!(c.done(client, n.into()));
    }
    c.ask_in(id(1), 1, queue(0), GET);
    c.ask_in(id(1), 2, queue(0), GET);
    assert_eq!((c.item(worker, 1), c.item(worker, 2)), (1, 2));
    c.end_call(worker, 1, SyncEnd::Taken);
    // The first arrived; the second did not.
    c.end(id(1), raised("no"));
    c.ask_sync(client, 11, queue(0), GET);
    c.ask_sync(client, 12, queue(0), GET);
    assert_eq!((c.item(client, 11), c.item(client, 12)), (2, 3));
    c.end_call(client, 12, SyncEnd::Withdraw);
    c.ask_sync(client, 13, queue(0), GET);
    assert_eq!(c.item(client, 13), 3);
    for call in [11, 13] {
        c.end_call(client, call, SyncEnd::Taken);
    }
    // Three were put: three are done.
    c.ask_sync(client, 20, queue(0), SyncAction::Join);
    for call in 21..=23 {
        assert!(c.waits(client, 20));
        c.ask_sync(client, call, queue(0), SyncAction::TaskDone);
    }
    c.ask_sync(client, 24, queue(0), SyncAction::TaskDone);
    assert!(c.done(client, 20));
    assert_eq!(c.why(client, 24), SyncRefusal::TooManyDone);
    assert_eq!(c.core.stats().primitives, 0);
}

#[test]
fn a_bounded_queue_lets_putters_and_getters_wait_in_order() {
    let mut c = Cluster::new();
    let (a, b) = (c.client(1), c.client(2));
    c.ask_sync(a, 1, queue(1), put(1));
    c.ask_sync(a, 2, queue(1), put(2));
    c.ask_sync(b, 3, queue(1), put(3));
    assert!(c.done(a, 1) && c.waits(a, 2) && c.waits(b, 3));
    c.end_call(a, 2, SyncEnd::Withdraw);
    for (call, n) in [(4, 1), (5, 3)] {
        c.ask_sync(b, call, queue(1), GET);
        assert_eq!(c.item(b, call), n);
        c.end_call(b, call, SyncEnd::Taken);
    }
    assert!(c.done(b, 3) && c.waits(a, 2));
    c.ask_sync(b, 6, queue(1), GET);
    c.ask_sync(a, 7, queue(1), GET);
    c.ask_sync(a, 8, queue(1), put(8));
    c.ask_sync(a, 9, queue(1), put(9));
    assert_eq!((c.item(b, 6), c.item(a, 7)), (8, 9));
    // Shut down: what is in it may still be got, and then no more.
    c.ask_sync(a, 10, queue(1), put(10));
    c.ask_sync(a, 11, queue(1), put(11));
    c.ask_sync(b, 12, queue(1), SyncAction::ShutDown { immediate: false });
    assert_eq!(c.why(a, 11), SyncRefusal::ShutDown);
    c.ask_sync(b, 13, queue(1), GET);
    c.ask_sync(b, 14, queue(1), GET);
    assert_eq!(c.item(b, 13), 10);
    assert_eq!(c.why(b, 14), SyncRefusal::ShutDown);
}

#[test]
fn l18_items_have_bounds() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let mut big = |call, bytes| {
        let item = Bytes::from(vec![0; bytes]);
        c.ask_sync(client, call, queue(0), SyncAction::Put { item, priority: 0, now: true });
        c.answer(client, call)
    };
    assert_eq!(big(1, limits::SYNC_QUEUE_BYTES), Some(SyncAnswer::Done));
    match big(2, 1) {
        Some(SyncAnswer::Refused { why: SyncRefusal::Busy, message }) => {
            assert!(message.contains("SYNC_QUEUE_BYTES"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    let long = named(&"n".repeat(limits::MAX_NAME + 1), PrimitiveKind::Lock, 0);
    c.ask_sync(client, 3, long, ACQUIRE);
    assert_eq!(c.why(client, 3), SyncRefusal::Exhausted);
    c.ask_sync(client, 4, named("b", PrimitiveKind::Barrier, 1 << 40), SyncAction::Arrive);
    assert_eq!(c.why(client, 4), SyncRefusal::Exhausted);
    c.ask_sync(client, 5, named("b", PrimitiveKind::Barrier, 0), SyncAction::Arrive);
    assert_eq!(c.why(client, 5), SyncRefusal::Misuse);
}

#[test]
fn l21_an_event_with_100_000_waiters_is_set_in_pieces() {
    let mut c = Cluster::new();
    let client = c.client(1);
    let other = c.client(2);
    for call in 1..=100_000 {
        let call = SyncCall { call, primitive: event(), attempt: None, action: SyncAction::Wait };
        c.peers.get_mut(&client).expect("is there").link.push(Up::Sync(Box::new(call)));
    }
    c.deliver(client);
    c.ask_sync(other, 1, event(), SyncAction::Set);
    c.ask_sync(other, 2, event(), SyncAction::Clear);
    let told = |c: &Cluster| c.got(client).iter().filter(|d| matches!(d, Down::Sync { .. })).count();
    assert!(told(&c) <= 5 * limits::TOUCH, "{} at once", told(&c));
    assert_eq!(c.core.next_deadline(), Some(c.now), "the rest is queued");
    // Who comes after the clear waits.
    c.ask_sync(other, 3, event(), SyncAction::Wait);
    c.settle();
    // The window is full until the peer says how far it has received.
    c.deliver(client);
    c.take(client, usize::MAX);
    assert_eq!(told(&c), 100_000);
    assert!(c.waits(other, 3));
    let order: Vec<u64> = c
        .got(client)
        .iter()
        .filter_map(|d| match d {
            Down::Sync { call, .. } => Some(*call),
            _ => None,
        })
        .collect();
    assert!(order.is_sorted(), "first in, first out");
    c.end_call(other, 3, SyncEnd::Withdraw);
    assert_eq!(c.core.stats().primitives, 0);
}

#[test]
fn a_barrier_lets_go_breaks_and_forgets_who_leaves() {
    let mut c = Cluster::new();
    let (a, b) = (c.client(1), c.client(2));
    let three = || named("b", PrimitiveKind::Barrier, 3);
    c.ask_sync(a, 1, three(), SyncAction::Arrive);
    c.ask_sync(b, 1, three(), SyncAction::Arrive);
    c.end_call(b, 1, SyncEnd::Withdraw);
    c.ask_sync(a, 2, three(), SyncAction::Arrive);
    assert!(c.waits(a, 1) && c.waits(a, 2));
    c.ask_sync(b, 2, three(), SyncAction::Arrive);
    assert_eq!(c.answer(a, 1), Some(SyncAnswer::Index(0)));
    assert_eq!(c.answer(a, 2), Some(SyncAnswer::Index(1)));
    assert_eq!(c.answer(b, 2), Some(SyncAnswer::Index(2)));
    c.ask_sync(a, 3, three(), SyncAction::Arrive);
    c.ask_sync(b, 3, three(), SyncAction::Abort);
    c.ask_sync(b, 4, three(), SyncAction::Arrive);
    assert_eq!((c.why(a, 3), c.why(b, 4)), (SyncRefusal::Broken, SyncRefusal::Broken));
    c.ask_sync(b, 5, three(), SyncAction::Reset);
    assert!(c.done(b, 5));
    assert_eq!(c.core.stats().primitives, 0);
}

#[test]
fn a_condition_moves_waiters_to_the_line_for_its_lock() {
    let mut c = Cluster::new();
    let (a, b) = (c.client(1), c.client(2));
    let condition = PrimitiveId(7);
    for call in [1, 2, 3] {
        c.ask_sync(a, call, lock(), ACQUIRE);
        let token = c.token(a, call);
        c.ask_sync(a, call + 10, lock(), SyncAction::WaitNotified { condition, token });
    }
    c.ask_sync(b, 1, lock(), ACQUIRE);
    let token = c.token(b, 1);
    c.ask_sync(b, 2, lock(), SyncAction::Notify { condition, token: token + 1, count: 1 });
    assert_eq!(c.why(b, 2), SyncRefusal::Stale);
    c.ask_sync(b, 3, lock(), SyncAction::Notify { condition, token, count: 1 });
    assert!(c.done(b, 3) && c.waits(a, 11));
    // The notified one was cancelled: the next is notified for it, and it takes the lock all the same.
    c.end_call(a, 11, SyncEnd::Rejoin);
    c.end_call(b, 1, SyncEnd::Release);
    c.token(a, 11);
    assert!(c.waits(a, 12) && c.waits(a, 13));
    c.end_call(a, 11, SyncEnd::Release);
    c.token(a, 12);
    c.end_call(a, 12, SyncEnd::Release);
    assert!(c.waits(a, 13), "nobody notified it");
    c.end_call(a, 13, SyncEnd::Rejoin);
    c.token(a, 13);
}

#[test]
fn l10_a_cut_loses_and_doubles_no_answer() {
    let mut c = Cluster::new();
    let (a, b) = (c.client(1), c.client(2));
    c.ask_sync(a, 1, lock(), ACQUIRE);
    c.ask_sync(b, 1, lock(), ACQUIRE);
    c.cut(b);
    c.peers.get_mut(&b).expect("is there").link.push(Up::Sync(Box::new(SyncCall {
        call: 2,
        primitive: event(),
        attempt: None,
        action: SyncAction::Set,
    })));
    c.end_call(a, 1, SyncEnd::Release);
    assert!(c.waits(b, 1));
    c.connect(b, true);
    c.token(b, 1);
    assert!(c.done(b, 2));
    c.ask_sync(a, 2, lock(), ACQUIRE);
    c.cut(b);
    c.pass(limits::SESSION_TTL + Duration::from_secs(1));
    c.token(a, 2);
}

#[test]
fn an_anonymous_primitive_is_over_with_its_owner() {
    let mut c = Cluster::new();
    let (a, b) = (c.client(1), c.client(2));
    let own =
        |kind| Primitive { name: PrimitiveName::Own { id: PrimitiveId(kind as u128), owner: Some(a) }, kind, size: 0 };
    c.ask_sync(a, 1, own(PrimitiveKind::Lock), ACQUIRE);
    c.ask_sync(b, 1, own(PrimitiveKind::Lock), ACQUIRE);
    c.ask_sync(b, 2, own(PrimitiveKind::Event), SyncAction::Set);
    c.ask_sync(b, 3, own(PrimitiveKind::Queue), put(1));
    c.ask_sync(b, 4, own(PrimitiveKind::Queue), GET);
    assert_eq!(c.core.stats().primitives, 3);
    c.send(a, Up::Bye);
    c.settle();
    assert_eq!(c.why(b, 1), SyncRefusal::Gone);
    c.ask_sync(b, 5, own(PrimitiveKind::Event), SyncAction::Wait);
    assert_eq!(c.why(b, 5), SyncRefusal::Gone);
    // The item had been got: it may still arrive.
    c.end_call(b, 4, SyncEnd::Taken);
    assert_eq!((c.core.stats().primitives, c.core.stats().sync_calls), (0, 0));
}

#[test]
fn a_name_means_one_thing_while_it_is_used_and_is_forgotten_in_the_end() {
    let mut c = Cluster::with(Config { retention: Duration::from_secs(60), ..Config::default() });
    let a = c.client(1);
    c.ask_sync(a, 1, event(), SyncAction::Set);
    c.ask_sync(a, 2, named("go", PrimitiveKind::Lock, 0), ACQUIRE);
    assert_eq!(c.why(a, 2), SyncRefusal::Mismatch);
    c.ask_sync(a, 3, event(), SyncAction::Arrive);
    assert_eq!(c.why(a, 3), SyncRefusal::Misuse);
    c.pass(Duration::from_secs(40));
    c.ask_sync(a, 4, event(), SyncAction::Wait);
    assert!(c.done(a, 4));
    c.pass(Duration::from_secs(40));
    assert_eq!(c.core.stats().primitives, 1, "it was used");
    c.pass(Duration::from_secs(60));
    assert_eq!(c.core.stats().primitives, 0);
}

#[test]
fn l15_a_task_says_what_it_waits_for_and_who_has_it() {
    let mut c = Cluster::new();
    let (client, _) = (c.client(1), c.worker(2, &["f"], 9));
    for n in [1, 2] {
        c.submit(client, id(n), spec("f"));
        c.ask_in(id(n), n as u64, lock(), ACQUIRE);
    }
    let mut why = |task| match c.ask(Call::Explain(task)) {
        Ok(Reply::Explained { why, .. }) => why.join("; "),
        other => panic!("{other:?}"),
    };
    let waits = why(id(2));
    assert!(waits.contains(&format!("it waits for lock 'db', held by task {}", id(1))), "{waits}");
    let holds = why(id(1));
    assert!(holds.contains("it holds lock 'db' (token 1)"), "{holds}");
}

/// Whoever holds a token of a former life holds one that is lower than all that are given now.
#[test]
pub(crate) fn l24_tokens_grow_over_a_restart() {
    let mut c = Cluster::durable();
    let a = c.client(1);
    c.ask_sync(a, 1, lock(), ACQUIRE);
    let first = c.token(a, 1);
    c.pass(Duration::from_secs(1));
    c.restart();
    c.all_back();
    let b = c.client(2);
    c.ask_sync(b, 1, lock(), ACQUIRE);
    assert!(c.token(b, 1) > first);
}
