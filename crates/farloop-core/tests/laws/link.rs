//! The link under cuts, duplicates and delays: exactly once, in the order of each lane (L10).

use bytes::Bytes;
use farloop_core::frame::{Down, Up};
use farloop_core::id::{AttemptId, Epoch, TaskId};
use farloop_core::limits;
use farloop_core::link::{Batch, Lane, Link, LinkFrame};
use proptest::prelude::*;

use crate::driver::cases;

#[derive(Clone, Debug)]
enum Op {
    Push {
        control: bool,
        size: usize,
    },
    /// A batch leaves; it arrives, is lost, or arrives twice.
    Send {
        arrives: usize,
    },
    /// The receiver acknowledges.
    Ack,
    /// The connection breaks and comes back.
    Cut,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let size = prop_oneof![4 => 0..100usize, 1 => limits::PART - 1..limits::PART + 2, 1 => 0..5 * limits::PART];
    let op = prop_oneof![
        4 => (any::<bool>(), size).prop_map(|(control, size)| Op::Push { control, size }),
        3 => (1..3usize).prop_map(|arrives| Op::Send { arrives }),
        1 => Just(Op::Send { arrives: 0 }),
        2 => Just(Op::Ack),
        1 => Just(Op::Cut),
    ];
    prop::collection::vec(op, 1..120)
}

fn frame(number: u64, control: bool, size: usize) -> Up {
    let task = TaskId(u128::from(number));
    if control {
        return Up::Uncancel(task);
    }
    let value = Bytes::from(vec![number as u8; size]);
    let attempt = AttemptId { task, epoch: Epoch(number) };
    Up::Ended { attempt, outcome: farloop_core::outcome::Outcome::Returned(value), delivered: 0 }
}

/// A connection that breaks loses what is on the way: both ends cut, then compare notes.
fn reconnect(a: &mut Link<Up>, b: &mut Link<Down>) {
    a.cut();
    b.cut();
    let (of_a, of_b) = (a.received(), b.received());
    a.resume(of_b).expect("nothing was forgotten");
    b.resume(of_a).expect("nothing was forgotten");
}

fn transfer(a: &mut Link<Up>, b: &mut Link<Down>, got: &mut Vec<Up>, arrives: usize) -> bool {
    let Some(batch): Option<Batch<Up>> = a.poll_batch(false) else { return false };
    assert!(batch.items.len() <= limits::BATCH_ITEMS);
    for _ in 0..arrives {
        b.receive(batch.clone(), |f| got.push(f)).expect("no gap");
    }
    if arrives == 0 {
        reconnect(a, b);
    }
    true
}

fn ack(a: &mut Link<Up>, b: &mut Link<Down>) -> bool {
    match b.poll_batch(true) {
        Some(batch) => {
            a.receive(batch, |f| panic!("nothing was sent this way: {f:?}")).expect("a true acknowledgement");
            true
        }
        None => false,
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn l10_every_frame_arrives_once_in_the_order_of_its_lane(ops in ops()) {
        let (mut a, mut b) = (Link::<Up>::new(usize::MAX), Link::<Down>::new(usize::MAX));
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        for op in ops {
            match op {
                Op::Push { control, size } => {
                    let f = frame(sent.len() as u64, control, size);
                    sent.push(f.clone());
                    a.push(f);
                }
                Op::Send { arrives } => {
                    transfer(&mut a, &mut b, &mut got, arrives);
                }
                Op::Ack => {
                    ack(&mut a, &mut b);
                }
                Op::Cut => reconnect(&mut a, &mut b),
            }
        }
        while transfer(&mut a, &mut b, &mut got, 1) || ack(&mut a, &mut b) {}
        for lane in [Lane::Control, Lane::Data] {
            let of = |frames: &[Up]| frames.iter().filter(|f| f.lane() == lane).cloned().collect::<Vec<_>>();
            prop_assert_eq!(of(&sent), of(&got));
        }
        prop_assert_eq!((a.queued(), a.in_flight()), (0, 0));
    }
}

#[test]
fn a_cancel_waits_for_one_part_at_most() {
    let (mut a, mut b) = (Link::<Up>::new(usize::MAX), Link::<Down>::new(usize::MAX));
    a.push(frame(1, false, 40 * limits::PART));
    let mut got = Vec::new();
    assert!(transfer(&mut a, &mut b, &mut got, 1));
    a.push(frame(2, true, 0));
    assert!(transfer(&mut a, &mut b, &mut got, 1));
    assert!(matches!(got[..], [Up::Uncancel(_)]), "it overtook the rest of the payload");
}

#[test]
fn a_full_window_stops_data_and_lets_control_pass() {
    let mut a = Link::<Up>::new(usize::MAX);
    for n in 0..limits::WINDOW_ITEMS as u64 + 10 {
        a.push(frame(n, false, 0));
    }
    while a.poll_batch(false).is_some() {}
    assert!(!a.has_window() && !a.ready());
    a.push(frame(7, true, 0));
    assert!(a.ready());
    assert_eq!(a.poll_batch(false).map(|b| b.items.len()), Some(1));
}

/// A payload that was under way to a peer that started again: its parts arrive, and what they belonged to does not.
#[test]
fn l10_what_is_rewritten_arrives_as_rewritten_and_the_rest_once() {
    let (mut a, mut b) = (Link::<Up>::new(limits::MAX_PAYLOAD), Link::<Down>::new(limits::MAX_PAYLOAD));
    let mut got = Vec::new();
    a.push(frame(1, false, 10));
    assert!(transfer(&mut a, &mut b, &mut got, 1) && ack(&mut a, &mut b));
    for (number, control, size) in
        [(2, false, 3 * limits::PART), (3, true, 0), (4, false, 5), (5, false, 2 * limits::PART)]
    {
        a.push(frame(number, control, size));
        // The first leaves in part; the rest has no number yet.
        if number == 2 {
            let _ = a.poll_batch(false).expect("parts that fit one batch");
            a.cut();
        }
    }
    assert_eq!(a.acked(), 1);
    let mut seen = 0;
    a.rewrite(|frame, sent| {
        seen += 1;
        assert_eq!(sent, matches!(frame, Up::Ended { attempt, .. } if attempt.epoch.0 == 2));
        if matches!(frame, Up::Ended { attempt, .. } if attempt.epoch.0 == 2 || attempt.epoch.0 == 4) {
            *frame = Up::Heartbeat;
        }
    });
    assert_eq!(seen, 4);
    reconnect(&mut a, &mut b);
    got.clear();
    while transfer(&mut a, &mut b, &mut got, 1) {}
    let expected = [Up::Heartbeat, frame(3, true, 0), Up::Heartbeat, frame(5, false, 2 * limits::PART)];
    assert!(ack(&mut a, &mut b) && a.in_flight() == 0 && a.queued_bytes() == 0 && a.has_window());
    assert_eq!(got, expected);
}

/// Half of a payload came from a peer that started again; the next one begins anew.
#[test]
fn half_of_a_payload_is_dropped_with_who_sent_it() {
    let (mut a, mut b) = (Link::<Up>::new(limits::MAX_PAYLOAD), Link::<Down>::new(limits::MAX_PAYLOAD));
    a.push(frame(1, false, 3 * limits::PART));
    let mut batch = a.poll_batch(false).expect("parts");
    batch.items.truncate(1);
    b.receive(batch, |f: Up| panic!("only a part came: {f:?}")).expect("no gap");
    b.drop_assembly();
    let next = frame(2, false, 2 * limits::PART);
    let mut successor = Link::<Up>::new(limits::MAX_PAYLOAD);
    successor.push(next.clone());
    let mut batch = successor.poll_batch(false).expect("parts");
    batch.first = b.received();
    let mut got = Vec::new();
    b.receive(batch, |f: Up| got.push(f)).expect("no gap");
    assert_eq!(got, [next]);
}
