//! Every frame comes back as it was sent; whatever else comes gives an error, never a panic.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farloop_core::actor::Part;
use farloop_core::frame::{Activity, Down, Held, Hello, HelloReply, Owner, Print, Role, Start, Stdio, Submit, Up};
use farloop_core::id::{AttemptId, Epoch, Life, PrimitiveId, SessionId, TaskId, WorkerId};
use farloop_core::link::{Batch, Item};
use farloop_core::outcome::{Cancellation, Failure, FailureKind, LostWorker, Outcome};
use farloop_core::spec::{
    Backoff, ContextValue, Dependency, Durability, FunctionDef, Limit, Options, Policy, Retention, Spec, Trace,
};
use farloop_core::sync::{
    Primitive, PrimitiveKind, PrimitiveName, SyncAction, SyncAnswer, SyncCall, SyncEnd, SyncRefusal, SyncView,
};
use farloop_proto::convert::{FromPeer, ToPeer, WireError};
use farloop_proto::v1::{self, ConnectRequest, ConnectResponse};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;

#[path = "round_trip/actors.rs"]
mod actors;
#[path = "round_trip/records.rs"]
mod records;

fn task() -> impl Strategy<Value = TaskId> {
    any::<u128>().prop_map(TaskId)
}
fn attempt() -> impl Strategy<Value = AttemptId> {
    (task(), any::<u64>()).prop_map(|(task, epoch)| AttemptId { task, epoch: Epoch(epoch) })
}
fn payload() -> impl Strategy<Value = Bytes> {
    // Past 128 bytes lengths take two, and past 4,096 payloads are no longer copied.
    prop_oneof![8 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 100..300), 1 => vec(any::<u8>(), 4_000..5_000)]
        .prop_map(Bytes::from)
}
fn text() -> impl Strategy<Value = String> {
    ".{0,12}"
}
fn time() -> impl Strategy<Value = Duration> {
    (0..i64::MAX.unsigned_abs(), 0..1_000_000_000u32).prop_map(|(s, n)| Duration::new(s, n))
}
fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((text(), text()), 0..3)
}

fn options() -> impl Strategy<Value = Options> {
    prop_oneof![
        Just(Options::default()),
        // Those of a call of an actor.
        Just(Options { max_crashes: 0, ..Options::default() }),
        (of(time()), any::<u32>(), any::<u32>(), of(any::<i32>()), of(time()), pairs(), policy()).prop_map(
            |(timeout, max_attempts, max_crashes, priority, cancel_grace, labels, policy)| Options {
                timeout,
                max_attempts,
                max_crashes,
                priority,
                cancel_grace,
                labels,
                policy
            }
        )
    ]
}
fn backoff() -> impl Strategy<Value = Backoff> {
    (time(), 1.0..9.0, time(), 0.0..=1.0).prop_map(|(initial, coefficient, maximum, jitter)| Backoff {
        initial,
        coefficient,
        maximum,
        jitter,
    })
}
fn policy() -> impl Strategy<Value = Option<Box<Policy>>> {
    let limit = (text(), any::<u32>()).prop_map(|(key, at_once)| Limit { key: key.into(), at_once });
    let keeping = (
        select(vec![Durability::Durable, Durability::Buffered, Durability::Memory]),
        prop_oneof![
            Just(Retention::Usual),
            time().prop_map(Retention::For),
            Just(Retention::UntilConsumed),
            Just(Retention::Pinned),
        ],
    );
    (of(backoff()), of(time()), of(time()), of(time()), of(limit), of(text()), keeping).prop_map(
        |(backoff, schedule_to_start, start_to_close, heartbeat, limit, key, (durability, retention))| {
            let fairness_key = key.map(Into::into);
            let policy = Policy {
                backoff,
                schedule_to_start,
                start_to_close,
                heartbeat,
                limit,
                fairness_key,
                durability,
                retention,
            };
            (policy != Policy::default()).then(|| Box::new(policy))
        },
    )
}
/// One in five has to do with an actor. The deepest that makes sense: a reminder, its call, and the actor that the call's
/// address says how to make.
fn spec() -> BoxedStrategy<Arc<Spec>> {
    let none = || Just(None).boxed();
    let some = |inside| actors::part(&inside).prop_map(Some).boxed();
    let inside = spec_with(prop_oneof![2 => none(), 1 => some(spec_with(none()))].boxed());
    spec_with(prop_oneof![4 => none(), 1 => some(inside)].boxed())
}
fn spec_with(actor: BoxedStrategy<Option<Arc<Part>>>) -> BoxedStrategy<Arc<Spec>> {
    let dependency = (any::<u32>(), vec(task(), 0..3), any::<bool>()).prop_map(|(position, tasks, list)| Dependency {
        position,
        tasks,
        list,
    });
    let trace = (text(), text()).prop_map(|(parent, state)| Arc::new(Trace { parent, state }));
    let dependencies = prop_oneof![Just(Vec::new()), vec(dependency, 0..3)];
    let value = (text(), payload()).prop_map(|(name, value)| ContextValue { name: name.into(), value });
    let context = of(vec(value, 1..3).prop_map(Arc::new));
    let rest = (context, any::<bool>(), actor);
    (text(), any::<u64>(), payload(), dependencies, of(text()), options(), of(trace), rest)
        .prop_map(|(function, fingerprint, args, dependencies, name, options, trace, (context, stream, actor))| {
            let name = name.map(Into::into);
            let function = function.into();
            Arc::new(Spec { function, fingerprint, args, dependencies, name, options, trace, context, stream, actor })
        })
        .boxed()
}
fn functions() -> impl Strategy<Value = Vec<FunctionDef>> {
    let def = (text(), any::<u64>(), pairs(), text(), any::<u32>(), of(actors::def())).prop_map(
        |(name, fingerprint, args, returns, concurrency, actor)| FunctionDef {
            name: name.into(),
            fingerprint,
            args,
            returns,
            concurrency,
            actor,
        },
    );
    vec(def, 0..3)
}

fn plain_kind() -> impl Strategy<Value = FailureKind> {
    prop_oneof![
        Just(FailureKind::Raised),
        Just(FailureKind::Panicked),
        Just(FailureKind::WorkerLost),
        Just(FailureKind::TimedOut),
        Just(FailureKind::ResourceExhausted),
        Just(FailureKind::BadArguments),
        Just(FailureKind::BadPayload),
        Just(FailureKind::AlreadyExists),
        Just(FailureKind::Expired),
        Just(FailureKind::NotFound),
        Just(FailureKind::Stale),
        vec(task(), 0..3).prop_map(FailureKind::Deadlock),
        Just(FailureKind::DependencyCycle),
        Just(FailureKind::SessionLost),
        Just(FailureKind::SignatureMismatch),
        Just(FailureKind::ScheduleToStartTimeout),
        Just(FailureKind::StartToCloseTimeout),
        Just(FailureKind::HeartbeatTimeout),
        Just(FailureKind::ActorUnavailable),
        Just(FailureKind::ActorDied),
    ]
}
fn failure_of(kind: impl Strategy<Value = FailureKind>) -> impl Strategy<Value = Failure> {
    let place = (text(), of(task()), of(any::<u128>().prop_map(WorkerId)), any::<u32>(), of(text()));
    let says = (of(any::<bool>()), of(any::<bool>()));
    (kind, text(), text(), of(payload()), pairs(), place, says, vec(lost_worker(), 0..3)).prop_map(
        |(kind, type_name, message, details, causes, place, (retryable, may_have_run), crashes)| {
            let (function, task, worker, attempt, location) = place;
            let function = function.into();
            Failure {
                kind,
                type_name,
                message,
                details,
                causes,
                function,
                task,
                worker,
                attempt,
                location,
                retryable,
                may_have_run,
                crashes,
            }
        },
    )
}
fn lost_worker() -> impl Strategy<Value = LostWorker> {
    (any::<u128>(), text(), 0..u64::MAX / 2_000_000, of(".{1,12}"), 0..i32::MAX.unsigned_abs(), text()).prop_map(
        |(worker, name, at_ms, ending, company, log)| LostWorker {
            worker: WorkerId(worker),
            name,
            at_ms,
            ending,
            company,
            log,
        },
    )
}
fn failure() -> impl Strategy<Value = Failure> {
    failure_of(plain_kind()).prop_recursive(4, 8, 1, |inner| {
        let dependency =
            (task(), inner.clone()).prop_map(|(t, f)| FailureKind::DependencyFailed(Box::new((t, Arc::new(f)))));
        let group =
            vec(inner, 0..3).prop_map(|members| FailureKind::Group(members.into_iter().map(Arc::new).collect()));
        failure_of(prop_oneof![dependency, group])
    })
}
fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        payload().prop_map(Outcome::Returned),
        failure().prop_map(|f| Outcome::Raised(Arc::new(f))),
        (of(text()), any::<bool>())
            .prop_map(|(message, abandoned)| Outcome::Cancelled(Arc::new(Cancellation { message, abandoned }))),
    ]
}

fn print() -> impl Strategy<Value = Print> {
    let stream = prop_oneof![Just(Stdio::Out), Just(Stdio::Err)];
    (stream, text(), any::<u32>()).prop_map(|(stream, text, lost)| Print { stream, text, lost })
}
fn primitive() -> impl Strategy<Value = Primitive> {
    use PrimitiveKind::{Barrier, Event, LifoQueue, Lock, PriorityQueue, Queue, Semaphore};
    let own = (any::<u128>(), of(any::<u128>().prop_map(SessionId)))
        .prop_map(|(id, owner)| PrimitiveName::Own { id: PrimitiveId(id), owner });
    let name = prop_oneof![text().prop_map(|name| PrimitiveName::Shared(name.into())), own];
    let kind = select(vec![Semaphore, Lock, Event, Queue, LifoQueue, PriorityQueue, Barrier]);
    (name, kind, any::<u64>()).prop_map(|(name, kind, size)| Primitive { name, kind, size })
}
fn action() -> impl Strategy<Value = SyncAction> {
    let condition = || any::<u128>().prop_map(PrimitiveId);
    use SyncAction as A;
    prop_oneof![
        any::<bool>().prop_map(|now| A::Acquire { now }),
        any::<u64>().prop_map(A::Release),
        any::<u64>().prop_map(A::Check),
        (condition(), any::<u64>()).prop_map(|(condition, token)| A::WaitNotified { condition, token }),
        (condition(), any::<u64>(), any::<u64>()).prop_map(|(condition, token, count)| A::Notify {
            condition,
            token,
            count
        }),
        (payload(), any::<i64>(), any::<bool>()).prop_map(|(item, priority, now)| A::Put { item, priority, now }),
        any::<bool>().prop_map(|now| A::Get { now }),
        any::<bool>().prop_map(|immediate| A::ShutDown { immediate }),
        select(vec![A::Set, A::Clear, A::Wait, A::TaskDone, A::Join, A::Arrive, A::Reset, A::Abort, A::Look]),
    ]
}
fn answer() -> impl Strategy<Value = SyncAnswer> {
    use SyncRefusal::{Broken, Busy, Exhausted, Gone, Mismatch, Misuse, ShutDown, Stale, TooManyDone};
    let why = select(vec![Stale, Mismatch, Exhausted, Gone, Busy, ShutDown, Broken, TooManyDone, Misuse]);
    prop_oneof![
        Just(SyncAnswer::Done),
        any::<u64>().prop_map(SyncAnswer::Granted),
        payload().prop_map(SyncAnswer::Item),
        any::<u64>().prop_map(SyncAnswer::Index),
        (any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(count, waiting, unfinished, flag)| {
            SyncAnswer::View(SyncView { count, waiting, unfinished, flag })
        }),
        (why, text()).prop_map(|(why, message)| SyncAnswer::Refused { why, message }),
    ]
}

fn held() -> impl Strategy<Value = Held> {
    let activity = prop_oneof![Just(Activity::Running), Just(Activity::Suspended)];
    let numbers = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u64>());
    (attempt(), activity, vec(task(), 0..4), any::<bool>(), any::<bool>(), numbers).prop_map(
        |(attempt, activity, awaits, blocked, begun, (number, told, seen, taken))| Held {
            attempt,
            number,
            begun,
            activity,
            awaits,
            blocked,
            told,
            seen,
            taken,
        },
    )
}

fn life() -> impl Strategy<Value = Life> {
    (any::<u128>(), any::<u64>()).prop_map(|(cluster, number)| Life { cluster, number })
}

fn up() -> impl Strategy<Value = Up> {
    let owner = prop_oneof![Just(Owner::Await), Just(Owner::Root), Just(Owner::Nobody)];
    let activity = prop_oneof![Just(Activity::Running), Just(Activity::Suspended)];
    prop_oneof![
        (task(), spec(), owner, of(attempt()), of(time())).prop_map(|(task, spec, owner, creator, within)| {
            Up::Submit(Submit { task, spec, owner, creator, within })
        }),
        task().prop_map(Up::Watch),
        (task(), of(text())).prop_map(|(task, message)| Up::Cancel { task, message }),
        task().prop_map(Up::Uncancel),
        task().prop_map(Up::Release),
        functions().prop_map(Up::Offer),
        any::<u64>().prop_map(Up::Grant),
        (attempt(), activity, vec(task(), 0..4), any::<bool>())
            .prop_map(|(attempt, activity, awaits, blocked)| Up::Progress { attempt, activity, awaits, blocked }),
        held().prop_map(|held| Up::Attempt(Box::new(held))),
        any::<u64>().prop_map(|starts| Up::Rejoined { starts }),
        (attempt(), any::<u32>()).prop_map(|(attempt, seen)| Up::CancelSeen { attempt, seen }),
        (attempt(), outcome(), any::<u32>()).prop_map(|(attempt, outcome, delivered)| Up::Ended {
            attempt,
            outcome,
            delivered
        }),
        attempt().prop_map(Up::Returned),
        (attempt(), print()).prop_map(|(attempt, print)| Up::Print { attempt, print }),
        (any::<u64>(), primitive(), of(attempt()), action()).prop_map(|(call, primitive, attempt, action)| {
            Up::Sync(Box::new(SyncCall { call, primitive, attempt, action }))
        }),
        (any::<u64>(), select(vec![SyncEnd::Release, SyncEnd::Withdraw, SyncEnd::Taken, SyncEnd::Rejoin]))
            .prop_map(|(call, end)| Up::SyncEnd { call, end }),
        Just(Up::Heartbeat),
        (attempt(), payload()).prop_map(|(attempt, details)| Up::TaskHeartbeat { attempt, details }),
        (attempt(), payload()).prop_map(|(attempt, value)| Up::TaskProgress { attempt, value }),
        task().prop_map(Up::WatchProgress),
        any::<u32>().prop_map(Up::Abandoned),
        actors::snapshot().prop_map(|snapshot| Up::Snapshot(Box::new(snapshot))),
        Just(Up::Drain),
        Just(Up::Bye),
        (attempt(), any::<u64>(), payload()).prop_map(|(attempt, seq, value)| Up::Item { attempt, seq, value }),
        (task(), any::<u64>()).prop_map(|(task, taken)| Up::Credit { task, taken }),
    ]
}
fn down() -> impl Strategy<Value = Down> {
    let root = of(any::<u128>().prop_map(SessionId));
    prop_oneof![
        (task(), outcome()).prop_map(|(task, outcome)| Down::Resolved { task, outcome }),
        (task(), text()).prop_map(|(task, why)| Down::Stranded { task, why }),
        (task(), print()).prop_map(|(task, print)| Down::Print { task, print }),
        (task(), any::<u32>()).prop_map(|(task, count)| Down::CancelCount { task, count }),
        (attempt(), task(), payload()).prop_map(|(attempt, task, value)| Down::Input { attempt, task, value }),
        (attempt(), any::<u32>(), spec(), root, any::<u32>(), of(time()), any::<u32>(), actors::more()).prop_map(
            |(attempt, number, spec, root, depth, remaining, cancels, more)| {
                Down::Start(Start { attempt, number, spec, root, depth, remaining, cancels, more })
            }
        ),
        (task(), payload()).prop_map(|(task, value)| Down::TaskProgress { task, value }),
        (attempt(), any::<u32>(), of(text())).prop_map(|(attempt, number, message)| Down::Cancel {
            attempt,
            number,
            message
        }),
        (attempt(), any::<u32>()).prop_map(|(attempt, standing)| Down::CancelWithdrawn { attempt, standing }),
        attempt().prop_map(Down::Fence),
        attempt().prop_map(Down::Recall),
        (attempt(), vec(task(), 0..4)).prop_map(|(attempt, cycle)| Down::Deadlock { attempt, cycle }),
        (any::<u64>(), answer()).prop_map(|(call, answer)| Down::Sync { call, answer }),
        attempt().prop_map(Down::Stop),
        attempt().prop_map(Down::Move),
        Just(Down::Drain),
        Just(Down::Leave),
        (task(), any::<u64>(), payload()).prop_map(|(task, seq, value)| Down::Item { task, seq, value }),
        (attempt(), any::<u64>()).prop_map(|(attempt, taken)| Down::Credit { attempt, taken }),
    ]
}
fn batch<F: std::fmt::Debug + Clone>(frame: impl Strategy<Value = F> + Clone) -> impl Strategy<Value = Batch<F>> {
    let item =
        prop_oneof![frame.clone().prop_map(Item::Frame), frame.prop_map(Item::Tail), payload().prop_map(Item::Part),];
    (any::<u64>(), any::<u64>(), vec(item, 0..6)).prop_map(|(first, ack, items)| Batch { first, ack, items })
}

fn from_peer() -> impl Strategy<Value = FromPeer> {
    let role = prop_oneof![Just(Role::Client), Just(Role::Worker), Just(Role::Operator)];
    let session = any::<u128>().prop_map(SessionId);
    prop_oneof![
        1 => (session, any::<u32>(), role, text(), any::<bool>(), any::<u64>(), functions(), (any::<u32>(), any::<u64>()),
            (any::<u64>(), of(life()), pairs(), of(any::<u128>())))
            .prop_map(|(session, protocol, role, name, resume, received, functions, numbers, more)| {
                let (slots, connection) = numbers;
                let (acked, life, labels, process) = more;
                FromPeer::Hello(Hello {
                    session, protocol, role, name, resume, received, functions, slots, connection, acked, life, labels,
                    process
                })
            }),
        8 => batch(up().boxed()).prop_map(FromPeer::Batch),
    ]
}
fn to_peer() -> impl Strategy<Value = ToPeer> {
    let reply = prop_oneof![
        (any::<bool>(), any::<u64>(), time(), any::<u64>(), of(life()), any::<bool>(), any::<u64>()).prop_map(
            |(resumed, received, dead_after, max_payload, life, recovered, clock_ms)| {
                HelloReply::Welcome { resumed, received, dead_after, max_payload, life, recovered, clock_ms }
            }
        ),
        (text(), text()).prop_map(|(reason, message)| HelloReply::Rejected { reason, message }),
    ];
    prop_oneof![1 => reply.prop_map(ToPeer::Reply), 8 => batch(down().boxed()).prop_map(ToPeer::Batch)]
}

/// What the generated code makes of the messages that are written by hand. A oneof is two fields to it.
#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(message, optional, tag = "1")]
    hello: Option<v1::Hello>,
    #[prost(message, optional, tag = "2")]
    batch: Option<v1::UpBatch>,
}
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    reply: Option<v1::HelloReply>,
    #[prost(message, optional, tag = "2")]
    batch: Option<v1::DownBatch>,
}

proptest! {
    /// Written by hand, read and written by the generated code, read by hand.
    #[test]
    fn the_generated_code_understands_what_is_written_by_hand(up in from_peer(), down in to_peer()) {
        let bytes = ConnectRequest::from(up.clone()).encode_to_vec();
        prop_assert_eq!(bytes.len(), ConnectRequest::from(up.clone()).encoded_len());
        let generated = Request::decode(bytes.as_slice()).unwrap().encode_to_vec();
        let read = ConnectRequest::decode(generated.as_slice()).unwrap();
        prop_assert_eq!(FromPeer::try_from(read).unwrap(), up);

        let bytes = ConnectResponse::from(down.clone()).encode_to_vec();
        prop_assert_eq!(bytes.len(), ConnectResponse::from(down.clone()).encoded_len());
        let generated = Response::decode(bytes.as_slice()).unwrap().encode_to_vec();
        let read = ConnectResponse::decode(generated.as_slice()).unwrap();
        prop_assert_eq!(ToPeer::try_from(read).unwrap(), down);
    }

    #[test]
    fn what_a_peer_says_comes_back(message in from_peer()) {
        let bytes = ConnectRequest::from(message.clone()).encode_to_vec();
        let read = ConnectRequest::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(FromPeer::try_from(read).unwrap(), message);
    }

    #[test]
    fn what_the_coordinator_says_comes_back(message in to_peer()) {
        let bytes = ConnectResponse::from(message.clone()).encode_to_vec();
        let read = ConnectResponse::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(ToPeer::try_from(read).unwrap(), message);
    }

    /// Bytes that were a message once, with a few of them changed: the likeliest garbage.
    #[test]
    fn garbage_is_an_error(up in from_peer(), down in to_peer(), hits in vec((any::<u16>(), any::<u8>()), 0..4)) {
        let spoil = |mut bytes: Vec<u8>| {
            for &(at, by) in &hits {
                let at = usize::from(at) % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= by;
                }
            }
            bytes
        };
        if let Ok(read) = ConnectRequest::decode(spoil(ConnectRequest::from(up).encode_to_vec()).as_slice()) {
            let _ = FromPeer::try_from(read);
        }
        if let Ok(read) = ConnectResponse::decode(spoil(ConnectResponse::from(down).encode_to_vec()).as_slice()) {
            let _ = ToPeer::try_from(read);
        }
    }
}

/// What has no name here may be a field of a later version.
#[test]
fn unknown_fields_are_passed_over() {
    let batch = Batch { first: 7, ack: 8, items: vec![Item::Frame(Up::Grant(9)), Item::Frame(Up::Watch(TaskId(1)))] };
    let mut bytes = ConnectRequest::from(FromPeer::Batch(batch.clone())).encode_to_vec();
    // Field 5, a varint, inside the batch and beside it.
    bytes.extend([0x28, 1]);
    bytes[1] += 2;
    bytes.extend([0x28, 1]);
    let read = ConnectRequest::decode(bytes.as_slice()).unwrap();
    assert_eq!(FromPeer::try_from(read), Ok(FromPeer::Batch(batch)));
}

#[test]
fn nothing_is_an_error() {
    let empty = ConnectRequest::decode([].as_slice()).unwrap();
    assert_eq!(FromPeer::try_from(empty), Err(WireError::Missing("a hello or a batch")));
    // A batch whose one item is empty, and one whose item is no protobuf.
    let no_item = ConnectRequest::decode([0x12, 2, 0x1a, 0].as_slice()).unwrap();
    assert_eq!(FromPeer::try_from(no_item), Err(WireError::Missing("the item")));
    let malformed = ConnectRequest::decode([0x12, 3, 0x1a, 1, 0xff].as_slice()).unwrap();
    assert_eq!(FromPeer::try_from(malformed), Err(WireError::Malformed));
}

/// A thousand tasks, each an argument of the next, and the first one fails: the reader must take the news.
#[test]
fn a_long_chain_of_failures_keeps_its_root() {
    let root = Failure::new(FailureKind::Raised, "demo.fail".into(), "no such luck".into());
    let chain = (1..=1_000).fold(root.clone(), |inner, n| {
        let kind = FailureKind::DependencyFailed(Box::new((TaskId(n), Arc::new(inner))));
        Failure::new(kind, "demo.add".into(), "an argument failed".into())
    });
    let outcome = Outcome::Raised(Arc::new(chain));
    let frame = Item::Frame(Down::Resolved { task: TaskId(0), outcome });
    let bytes = ConnectResponse::from(ToPeer::Batch(Batch { first: 0, ack: 0, items: vec![frame] })).encode_to_vec();
    let read = ToPeer::try_from(ConnectResponse::decode(bytes.as_slice()).unwrap()).unwrap();
    let ToPeer::Batch(batch) = read else { panic!("a batch was sent") };
    let Item::Frame(Down::Resolved { outcome: Outcome::Raised(failure), .. }) = &batch.items[0] else {
        panic!("a failure was sent")
    };
    let mut at = failure;
    let mut last = None;
    while let FailureKind::DependencyFailed(inner) = &at.kind {
        last = Some(inner.0);
        at = &inner.1;
    }
    assert_eq!((**at).clone(), root);
    assert_eq!(last, Some(TaskId(1)), "the task that failed first is named");
}
