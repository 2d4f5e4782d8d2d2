//! A session and a coordinator of which only the frames are there: what is said after a restart, and in which order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use farloop_core::frame::{Activity, Down, Held, Owner, Role, Start, Up};
use farloop_core::id::{AttemptId, Epoch, Life, SessionId, TaskId};
use farloop_core::limits;
use farloop_core::link::{Batch, Item};
use farloop_core::outcome::Outcome;
use farloop_core::spec::{Options, Spec};
use farloop_core::sync::{SyncAnswer, SyncEnd};

use crate::definition::TaskFn as _;
use crate::error::SyncError;
use crate::event_loop::LoopShared;
use crate::session::{SessionShared, Welcome};
use crate::stream::{Inbox, Pushed};
use crate::worker::host::WorkerShared;
use crate::worker::hosting::{Hosting, start_loops};

const CLUSTER: u128 = 7;

#[farloop::task]
async fn parks() -> farloop::Result<()> {
    farloop::sleep(Duration::from_secs(600)).await
}

#[farloop::task]
async fn nests() -> farloop::Result<()> {
    parks().await
}

static HELD: AtomicBool = AtomicBool::new(true);

/// Keeps its slot.
#[farloop::task]
fn holds() {
    while HELD.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[farloop::stream]
async fn counts(out: farloop::Yielder<u64>) -> farloop::Result<()> {
    for n in 1.. {
        out.send(n).await?;
    }
    Ok(())
}

/// The other end: keeps what came, acknowledges what it is told to.
struct Coordinator {
    session: Arc<SessionShared>,
    life: u64,
    /// Items that came, and of those how many are acknowledged.
    received: u64,
    acked: u64,
    sent: u64,
    got: Vec<Up>,
}

impl Coordinator {
    fn of(session: &Arc<SessionShared>) -> Self {
        let mut this = Self { session: session.clone(), life: 1, received: 0, acked: 0, sent: 0, got: Vec::new() };
        let hello = session.hello();
        assert!(!hello.resume && hello.life.is_none());
        this.welcome(false);
        this
    }

    fn welcome(&mut self, recovered: bool) {
        let life = Some(Life { cluster: CLUSTER, number: self.life });
        let welcome = Welcome { resumed: recovered, recovered, received: self.received, life };
        self.session.welcome(welcome).unwrap();
    }

    /// Takes one batch: how many items it had.
    fn take_one(&mut self) -> Option<usize> {
        let batch = self.session.poll_batch(true)?;
        if !batch.items.is_empty() {
            assert_eq!(batch.first, self.received, "items go on with their numbers");
        }
        self.received += batch.items.len() as u64;
        let count = batch.items.len();
        self.got.extend(batch.items.into_iter().filter_map(|item| match item {
            Item::Frame(frame) | Item::Tail(frame) => Some(frame),
            Item::Part(_) => None,
        }));
        Some(count)
    }

    /// Takes everything, and gives what came.
    fn take(&mut self) -> Vec<Up> {
        while self.take_one().is_some_and(|items| items > 0) {}
        std::mem::take(&mut self.got)
    }

    /// Takes until these attempts have said that they are parked.
    fn take_until_parked(&mut self, attempts: std::ops::Range<u64>) -> Vec<Up> {
        let (mut all, begun) = (Vec::new(), Instant::now());
        let parked = |frame: &Up, n: u64| matches!(frame, Up::Progress { attempt: a, activity: Activity::Suspended, .. } if *a == attempt(n));
        while !attempts.clone().all(|n| all.iter().any(|f| parked(f, n))) {
            assert!(begun.elapsed() < Duration::from_secs(20), "they do not park: {all:?}");
            all.extend(self.take());
            std::thread::yield_now();
        }
        all
    }

    /// Takes until a frame satisfies `wanted`.
    fn take_until(&mut self, wanted: impl Fn(&Up) -> bool) -> Vec<Up> {
        let (begun, mut all) = (Instant::now(), Vec::new());
        loop {
            all.extend(self.take());
            if all.iter().any(&wanted) {
                return all;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not come: {all:?}");
            std::thread::yield_now();
        }
    }

    fn send(&mut self, frames: Vec<Down>) {
        let items: Vec<_> = frames.into_iter().map(Item::Frame).collect();
        let batch = Batch { first: self.sent, ack: self.acked, items };
        self.sent += batch.items.len() as u64;
        self.session.receive(batch).unwrap();
    }

    /// All that came is on record.
    fn acknowledge(&mut self) {
        self.acked = self.received;
        self.send(Vec::new());
    }

    /// It is killed and comes back with what it acknowledged.
    fn restart(&mut self) {
        self.session.cut();
        let hello = self.session.hello();
        assert_eq!((hello.received, hello.acked), (self.sent, self.acked));
        assert_eq!(hello.life, Some(Life { cluster: CLUSTER, number: self.life }));
        assert!(hello.resume);
        self.life += 1;
        self.received = self.acked;
        self.got.clear();
        self.welcome(true);
    }
}

fn client() -> (Arc<SessionShared>, Arc<LoopShared>) {
    let session = SessionShared::new(Role::Client, "client".into());
    let home = LoopShared::new(session.clone(), None);
    (session, home)
}

fn submit(home: &Arc<LoopShared>) -> TaskId {
    let call = farloop::call("demo.some").returns::<()>().take();
    home.schedule(call, Owner::Root).id
}

fn worker(slots: u32) -> (Arc<WorkerShared>, Coordinator) {
    let session = SessionShared::new(Role::Worker, "worker".into());
    let mut hosting = Hosting::default();
    (hosting.loops, hosting.slots) = (1, slots);
    hosting.task::<parks>();
    hosting.task::<nests>();
    hosting.task::<holds>();
    hosting.task::<counts>();
    let worker = hosting.worker(&session, None);
    start_loops(&worker).unwrap();
    let coordinator = Coordinator::of(&session);
    (worker, coordinator)
}

fn attempt(n: u64) -> AttemptId {
    AttemptId { task: TaskId(u128::from(n)), epoch: Epoch(n) }
}

fn start(n: u64, definition: &'static farloop::definition::Definition, stream: bool) -> Down {
    let spec = Spec {
        function: definition.name.into(),
        fingerprint: definition.fingerprint,
        args: Bytes::from_static(&[0x90]),
        dependencies: Vec::new(),
        name: None,
        options: Options::default(),
        trace: None,
        context: None,
        stream,
        actor: None,
    };
    Down::Start(Start {
        attempt: attempt(n),
        number: 3,
        spec: Arc::new(spec),
        root: Some(SessionId(1)),
        depth: 0,
        remaining: None,
        cancels: 0,
        more: None,
    })
}

fn held(frames: &[Up]) -> Vec<&Held> {
    frames.iter().filter_map(|f| if let Up::Attempt(held) = f { Some(&**held) } else { None }).collect()
}

#[test]
fn what_was_queued_goes_first_and_what_was_acknowledged_is_watched() {
    let (session, home) = client();
    let mut coordinator = Coordinator::of(&session);
    let known = submit(&home);
    coordinator.take();
    coordinator.acknowledge();
    let sent = submit(&home);
    coordinator.take();
    let queued = submit(&home);
    coordinator.restart();
    let frames = coordinator.take();
    let expected = |frame: &Up, n| match frame {
        Up::Submit(submit) => n < 2 && submit.task == [sent, queued][n],
        Up::Watch(task) => n == 2 && *task == known,
        Up::Rejoined { starts: 0 } => n == 3,
        _ => false,
    };
    assert!(frames.len() == 4 && frames.iter().enumerate().all(|(n, f)| expected(f, n)), "{frames:?}");
    // The outcome comes once more, and the future has it.
    let cell = session.pending_cells().into_iter().find(|cell| cell.id == known);
    coordinator.send(vec![Down::Resolved { task: known, outcome: Outcome::Returned(Bytes::from_static(&[0xc0])) }]);
    assert!(cell.is_some() && !session.pending_cells().iter().any(|cell| cell.id == known));
}

/// A million watches neither fill the buffer that submits need nor wait in one batch.
#[test]
fn many_watches_go_in_pieces() {
    const MANY: usize = 100_000;
    let (session, home) = client();
    let mut coordinator = Coordinator::of(&session);
    for _ in 0..MANY {
        let _ = submit(&home);
        if session.full().is_some() {
            coordinator.take();
            coordinator.acknowledge();
        }
    }
    coordinator.take();
    coordinator.acknowledge();
    coordinator.restart();
    let mut frames = Vec::new();
    while coordinator.take_one().is_some_and(|items| items > 0) {
        assert!(session.full().is_none());
        if frames.len() < MANY {
            let _ = submit(&home);
        }
        coordinator.acknowledge();
        frames.append(&mut coordinator.got);
    }
    let watched: std::collections::HashSet<TaskId> =
        frames.iter().filter_map(|f| if let Up::Watch(task) = f { Some(*task) } else { None }).collect();
    let watches = frames.iter().filter(|f| matches!(f, Up::Watch(_))).count();
    let ends = frames.iter().filter(|f| matches!(f, Up::Rejoined { .. })).count();
    assert_eq!((watched.len(), watches, ends), (MANY, MANY, 1));
}

#[test]
fn a_worker_tells_what_it_holds_and_then_allows_starts() {
    let (worker, mut coordinator) = worker(2);
    coordinator.take_until(|f| matches!(f, Up::Grant(_)));
    coordinator.send(vec![start(1, nests::DEFINITION, false), start(2, parks::DEFINITION, false)]);
    let frames = coordinator.take_until_parked(1..3);
    let nested = frames.iter().find_map(|f| if let Up::Submit(s) = f { Some(s.task) } else { None });
    // Both have given their slots back, so these run as well, and these not.
    coordinator.send((3..8).map(|n| start(n, holds::DEFINITION, false)).collect());
    coordinator.session.push(Up::Grant(99));
    coordinator.acknowledge();
    coordinator.send(vec![Down::Input { attempt: attempt(9), task: TaskId(1), value: Bytes::new() }]);
    coordinator.restart();
    let frames = coordinator.take_until(|f| matches!(f, Up::Grant(_)));
    let held = held(&frames);
    let find = |n| held.iter().find(|h| h.attempt == attempt(n)).copied();
    let first = find(1).unwrap();
    assert!(first.begun && first.number == 3 && first.activity == Activity::Suspended);
    assert_eq!(first.awaits, nested.into_iter().collect::<Vec<_>>());
    assert!(find(2).is_some_and(|h| h.begun));
    let begun = (3..8).filter(|n| find(*n).is_some_and(|h| h.begun)).count();
    let waiting = (3..8).filter(|n| find(*n).is_some_and(|h| !h.begun)).count();
    assert_eq!((begun, waiting, held.len()), (2, 3, 7));
    let place = |wanted: fn(&Up) -> bool| frames.iter().position(wanted).unwrap();
    let rejoined = place(|f| matches!(f, Up::Rejoined { starts: 7 }));
    assert!(place(|f| matches!(f, Up::Watch(_))) < rejoined);
    assert_eq!(frames.iter().filter(|f| matches!(f, Up::Grant(_))).count(), 1);
    assert!(rejoined < place(|f| matches!(f, Up::Grant(_))), "{frames:?}");
    assert_eq!(worker.values_waiting(), 0);
    HELD.store(false, Ordering::Release);
}

/// A list that was cut short by the next restart is not taken for the new one.
#[test]
fn the_second_restart_begins_the_list_anew() {
    let (_worker, mut coordinator) = worker(8);
    coordinator.take_until(|f| matches!(f, Up::Grant(_)));
    coordinator.send((1..4).map(|n| start(n, parks::DEFINITION, false)).collect());
    coordinator.take_until_parked(1..4);
    coordinator.acknowledge();
    coordinator.restart();
    // The list arrives, and nobody hears that it did.
    coordinator.take_until(|f| matches!(f, Up::Grant(_)));
    // One of them is over for the cluster.
    coordinator.send(vec![Down::Fence(attempt(2))]);
    coordinator.restart();
    let frames = coordinator.take_until(|f| matches!(f, Up::Grant(_)));
    let listed: Vec<_> = held(&frames).into_iter().map(|h| h.attempt.epoch.0).collect();
    assert!(listed.len() == 2 && !listed.contains(&2), "{listed:?}");
    let last = frames.iter().rposition(|f| matches!(f, Up::Attempt(_)));
    let ends: Vec<_> = frames.iter().enumerate().filter(|(_, f)| matches!(f, Up::Rejoined { .. })).collect();
    assert!(ends.len() == 1 && Some(ends[0].0) > last, "{frames:?}");
}

#[test]
fn a_stream_is_told_from_the_first_item_that_was_not_taken() {
    let (_worker, mut coordinator) = worker(8);
    coordinator.take_until(|f| matches!(f, Up::Grant(_)));
    coordinator.send(vec![start(1, counts::DEFINITION, true)]);
    let last = limits::STREAM_ITEMS as u64;
    coordinator.take_until(|f| matches!(f, Up::Item { seq, .. } if *seq == last));
    coordinator.send(vec![Down::Credit { attempt: attempt(1), taken: 100 }]);
    coordinator.take_until(|f| matches!(f, Up::Item { seq, .. } if *seq == last + 100));
    // Of its items, none is acknowledged: all would come again.
    coordinator.restart();
    let frames = coordinator.take_until(|f| matches!(f, Up::Grant(_)));
    let told = frames.iter().position(|f| matches!(f, Up::Attempt(held) if held.taken == 100)).unwrap();
    let items: Vec<_> =
        frames[told..].iter().filter_map(|f| if let Up::Item { seq, .. } = f { Some(*seq) } else { None }).collect();
    assert!(items.iter().copied().eq(101..=last + 100), "{items:?}");
    // And it goes on.
    coordinator.send(vec![Down::Credit { attempt: attempt(1), taken: 101 }]);
    coordinator.take_until(|f| matches!(f, Up::Item { seq, .. } if *seq == last + 101));
}

#[test]
fn a_consumer_drops_what_it_has_and_says_what_it_took() {
    let inbox = Inbox::default();
    let push = |seq| match inbox.push(seq, Bytes::new(), false) {
        Pushed::Again { taken } => Some(taken),
        _ => None,
    };
    assert!((1..=10).all(|seq| push(seq).is_none()));
    for _ in 0..7 {
        assert!(inbox.take().is_some_and(|taken| taken.credit.is_none()));
    }
    let again: Vec<_> = (3..=12).map(push).collect();
    assert_eq!(again.iter().flatten().collect::<Vec<_>>(), [&7]);
    assert_eq!((again[7], inbox.received()), (Some(7), 12));
    assert_eq!(std::iter::from_fn(|| inbox.take()).count(), 5);
}

/// What waits at a primitive fails, what was never taken in is asked again, and what was held is held no more.
#[test]
fn primitives_begin_anew() {
    let (session, home) = client();
    let mut coordinator = Coordinator::of(&session);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    let calls = |frames: &[Up]| -> Vec<u64> {
        frames.iter().filter_map(|f| if let Up::Sync(call) = f { Some(call.call) } else { None }).collect()
    };
    runtime.block_on(async {
        crate::ambient::enter_thread(&home);
        let lock = farloop::sync::Lock::named("l");
        let mut taking = Box::pin(lock.lock());
        assert!(futures_util::poll!(&mut taking).is_pending());
        let first = calls(&coordinator.take());
        coordinator.acknowledge();
        coordinator.send(vec![Down::Sync { call: first[0], answer: SyncAnswer::Granted(5) }]);
        let guard = taking.await.unwrap();
        let mut lost = Box::pin(lock.lock());
        assert!(futures_util::poll!(&mut lost).is_pending());
        coordinator.take();
        coordinator.acknowledge();
        let mut unknown = Box::pin(lock.lock());
        assert!(futures_util::poll!(&mut unknown).is_pending());
        coordinator.take();
        let (mut kept, mut dropped) = (Box::pin(lock.lock()), Box::pin(lock.lock()));
        assert!(futures_util::poll!(&mut kept).is_pending() && futures_util::poll!(&mut dropped).is_pending());
        drop(dropped);
        coordinator.restart();
        let again = coordinator.take();
        let sent = calls(&again);
        assert_eq!(sent.len(), 1, "{again:?}");
        assert!(again.iter().any(|f| matches!(f, Up::SyncEnd { end: SyncEnd::Withdraw, .. })));
        for call in [lost, unknown] {
            let error = call.await.unwrap_err();
            assert!(matches!(error, farloop::Error::Sync(SyncError::Restarted)), "{error}");
            assert!(error.to_string().contains("started again"), "{error}");
        }
        let stale = guard.check().await.unwrap_err();
        assert!(stale.to_string().contains("started again"), "{stale}");
        coordinator.send(vec![Down::Sync { call: sent[0], answer: SyncAnswer::Granted(9) }]);
        assert_eq!(kept.await.unwrap().token(), 9);
        drop(guard);
    });
}
