//! Records of the journal.

use farloop_core::record::{
    AttemptFailed, CancelRequested, Carried, Crash, LifeBegan, Record, Rostered, Saved, Standing, Submitted,
};
use farloop_core::time::Time;
use farloop_proto::convert::begins;
use farloop_proto::journal;
use proptest::strategy::Union;

use super::*;

fn moment() -> impl Strategy<Value = Time> {
    any::<u64>().prop_map(Time)
}
fn session() -> impl Strategy<Value = SessionId> {
    any::<u128>().prop_map(SessionId)
}
fn rostered() -> impl Strategy<Value = Rostered> {
    (any::<u128>(), text()).prop_map(|(worker, name)| Rostered { worker: WorkerId(worker), name })
}
fn began() -> impl Strategy<Value = LifeBegan> {
    (life(), any::<u64>(), moment()).prop_map(|(life, zero_ms, at)| LifeBegan { life, zero_ms, at })
}
fn crash() -> impl Strategy<Value = Crash> {
    (any::<u128>(), text(), moment(), of(text()), any::<u32>(), text()).prop_map(
        |(worker, name, at, ending, company, log)| Crash { worker: WorkerId(worker), name, at, ending, company, log },
    )
}
fn submitted() -> BoxedStrategy<Submitted> {
    let owner = select(vec![Owner::Await, Owner::Root, Owner::Nobody]);
    let parent = of((task(), any::<u64>().prop_map(Epoch)));
    let times = (moment(), of(moment()), of(moment()));
    let place = (of(session()), parent, any::<u32>(), any::<i32>(), of(session()));
    (task(), spec(), owner, place, of(text()), times, of(text()))
        .prop_map(
            |(task, spec, owner, (root, parent, depth, priority, consumer), key, (at, deadline, within), request)| {
                let (key, request) = (key.map(Into::into), request.map(Into::into));
                Submitted {
                    task,
                    spec,
                    owner,
                    root,
                    parent,
                    depth,
                    priority,
                    key,
                    at,
                    deadline,
                    within,
                    request,
                    consumer,
                }
            },
        )
        .boxed()
}
fn attempt_failed() -> BoxedStrategy<AttemptFailed> {
    let counts = (any::<u64>(), any::<u32>(), any::<u32>(), any::<u32>());
    let why = (of(payload()), of(failure().prop_map(Arc::new)), of(crash()));
    (task(), counts, moment(), of(moment()), why)
        .prop_map(|(task, (epoch, attempts, crashes, errors), at, next_at, (details, failure, crash))| AttemptFailed {
            task,
            epoch: Epoch(epoch),
            attempts,
            crashes,
            errors,
            at,
            next_at,
            details,
            failure,
            crash,
        })
        .boxed()
}
fn cancel() -> impl Strategy<Value = CancelRequested> {
    (task(), any::<u32>(), any::<u32>(), of(text()), of((session(), any::<u64>())))
        .prop_map(|(task, standing, number, message, by)| CancelRequested { task, standing, number, message, by })
}
fn carried() -> impl Strategy<Value = Carried> {
    let inputs = vec((task(), payload()), 0..3);
    let args_were = of((any::<u64>(), any::<u64>()));
    let more = (any::<(bool, bool)>(), of(cancel()), inputs, args_were, of((outcome(), moment())), of(payload()));
    (submitted(), of(attempt_failed()), vec(crash(), 0..3), more).prop_map(
        |(submitted, attempts, crashes, ((started, released), cancel, inputs, args_were, ended, snapshot))| Carried {
            submitted,
            attempts,
            crashes,
            started,
            released,
            cancel,
            inputs,
            args_were,
            ended,
            snapshot,
        },
    )
}
fn saved() -> impl Strategy<Value = Saved> {
    (task(), payload()).prop_map(|(actor, state)| Saved { actor, state })
}
fn record() -> impl Strategy<Value = Record> {
    let standing = (began(), vec(rostered(), 0..3), any::<u64>()).prop_map(|(began, roster, horizon_ms)| Standing {
        began,
        roster,
        horizon_ms,
    });
    // Boxed: their types nest so deep that a thread's stack would not hold them side by side.
    Union::new([
        began().prop_map(Record::Life).boxed(),
        standing.prop_map(Record::Standing).boxed(),
        rostered().prop_map(Record::WorkerJoined).boxed(),
        any::<u128>().prop_map(|worker| Record::WorkerLeft { worker: WorkerId(worker) }).boxed(),
        submitted().prop_map(|s| Record::Submitted(Box::new(s))).boxed(),
        (task(), outcome(), moment(), any::<bool>(), of(saved().prop_map(Box::new)))
            .prop_map(|(task, outcome, at, all, snapshot)| Record::Ended { task, outcome, at, all, snapshot })
            .boxed(),
        saved().prop_map(Record::Snapshot).boxed(),
        attempt_failed().prop_map(|a| Record::AttemptFailed(Box::new(a))).boxed(),
        task().prop_map(|task| Record::Started { task }).boxed(),
        task().prop_map(|task| Record::Released { task }).boxed(),
        cancel().prop_map(|c| Record::CancelRequested(Box::new(c))).boxed(),
        carried().prop_map(|c| Record::Carried(Box::new(c))).boxed(),
    ])
}

proptest! {
    #[test]
    fn records_come_back(record in record()) {
        let bytes = journal::Record::from(&record).encode_to_vec();
        prop_assert_eq!(begins(&bytes).unwrap(), record.begins());
        let read = journal::Record::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(Record::try_from(read).unwrap(), record);
    }

    #[test]
    fn damaged_records_are_errors(record in record(), hits in vec((any::<u16>(), any::<u8>()), 1..4)) {
        let mut bytes = journal::Record::from(&record).encode_to_vec();
        for (at, with) in hits {
            let at = usize::from(at) % bytes.len();
            bytes[at] = with;
        }
        // Either is well: what must not happen is a panic.
        let _ = begins(&bytes);
        let _ = journal::Record::decode(bytes.as_slice()).map(Record::try_from);
    }
}

#[test]
fn a_record_of_a_later_version_is_an_error() {
    let read = journal::Record::decode([0x9a, 0x06, 0x00].as_slice()).unwrap();
    assert!(matches!(Record::try_from(read), Err(WireError::Missing(_))));
}

/// State that belongs to nobody cannot be kept.
#[test]
fn a_snapshot_without_its_actor_is_an_error() {
    let saved = journal::Saved { actor: None, state: Bytes::from_static(b"state") };
    let record = |record| Record::try_from(journal::Record { record: Some(record) });
    let alone = record(journal::record::Record::Snapshot(saved.clone()));
    assert_eq!(alone, Err(WireError::Missing("the actor")));
    let Some(mut ended) = journal::Record::from(&Record::Ended {
        task: TaskId(1),
        outcome: Outcome::Returned(Bytes::new()),
        at: Time(1),
        all: false,
        snapshot: None,
    })
    .record
    else {
        panic!("a record was made")
    };
    if let journal::record::Record::Ended(ended) = &mut ended {
        ended.snapshot = Some(saved);
    }
    assert_eq!(record(ended), Err(WireError::Missing("the actor")));
}
