//! One worker, seen from the coordinator: what it says of its actors, in which order, and what their code did.

mod counter;
mod ends;
mod world;

use std::time::Duration;

use farloop_core::actor::Turns;
use farloop_core::frame::{Down, StartMore, Up};
use farloop_core::outcome::Outcome;

use self::counter::{ADD, BOOM, COUNT, COUNTER, FAMILY, KEEPS, MIXED, SHARED, TIMER, take_log};
use self::world::{attempt, call, encoded, host, inner, run};
use crate::definition::Body;

#[test]
fn an_actor_that_is_up_has_no_slot_and_no_body() {
    run(1, async |world| {
        world.start((1..=3).map(|n| host(n, n)));
        // With one slot they are made one after the other, and the slot is free each time.
        assert_eq!(world.told().await, ["parked 1", "parked 2", "parked 3"]);
        assert_eq!(take_log(), ["made at 1, again: false", "made at 2, again: false", "made at 3, again: false"]);
        assert_eq!((world.worker.slots().load(), world.worker.slots().arrived()), (0, 3));
        assert!(world.worker.all_actors().iter().all(|actor| actor.is_small()));
        assert!(world.worker.placed.is_empty());
        assert_eq!(super::instances::count(world.home.id), 3);
        world.start([call(11, 2, &ADD, 0)]);
        assert_eq!(world.told().await, ["11 returned 2"]);
        assert_eq!(world.worker.slots().arrived(), 3, "a call uses no grant");
        assert!(world.worker.all_actors().iter().all(|actor| actor.is_small()) && world.worker.placed.is_empty());
    });
}

#[test]
fn calls_have_their_turns_whatever_the_slots() {
    run(1, async |world| {
        world.start([host(1, 0), call(11, 1, &ADD, 2), call(12, 1, &SHARED, 1), call(13, 1, &SHARED, 2)]);
        world.start([call(14, 1, &ADD, 0), call(15, 1, &MIXED, 3), call(16, 1, &MIXED, 1)]);
        let mut told = world.told().await;
        told.extend(world.pass(8).await);
        let ends: Vec<_> = told.iter().filter(|text| text.contains("returned")).map(String::as_str).collect();
        // 13 begins with 12; 15 and 16 with each other; 14 alone.
        let expected =
            ["11 returned 2", "12 returned 3", "13 returned 5", "14 returned 5", "16 returned 6", "15 returned 9"];
        assert_eq!(ends, expected);
        let log = take_log();
        let expected = ["add 2", "add 2 over", "add 1", "add 2", "add 1 over", "add 2 over", "add 0", "add 0 over"];
        assert_eq!(log[1..9], expected);
        assert_eq!(log[9..], ["add 3", "add 1", "add 1 over", "add 3 over"]);
        assert_eq!(world.worker.slots().load(), 0);
    });
}

#[test]
fn a_call_that_comes_early_waits_for_the_actor() {
    run(1, async |world| {
        // The second has no slot as long as the first is made.
        world.start([host(1, 17), host(2, 5), call(11, 2, &ADD, 0), call(12, 1, &ADD, 0)]);
        // It gives the slot back where it sleeps. That is not told: only one that is up is suspended.
        assert_eq!(world.told().await, ["parked 2", "11 returned 5"]);
        assert_eq!(world.pass(1).await, ["parked 1", "12 returned 17"]);
    });
}

#[test]
fn who_cannot_be_called_says_so() {
    run(4, async |world| {
        world.start([host(1, 0), call(11, 2, &ADD, 0)]);
        let mut unknown = call(12, 1, &ADD, 0);
        std::sync::Arc::make_mut(&mut unknown.spec).function = "t.Counter.subtract".into();
        world.start([unknown]);
        let frames = world.frames().await;
        assert!(frames.contains(&Up::Returned(attempt(11))));
        let failure = frames.iter().find_map(|frame| match frame {
            Up::Ended { attempt: a, outcome: Outcome::Raised(failure), .. } if *a == attempt(12) => Some(failure),
            _ => None,
        });
        let failure = failure.unwrap();
        assert_eq!(failure.may_have_run, Some(false));
        assert!(
            failure.message.contains("t.Counter has no method") && failure.message.contains("add, shared"),
            "{failure:?}"
        );
    });
}

#[test]
fn a_call_in_line_leaves_it_at_once() {
    run(4, async |world| {
        world.start([host(1, 0)]);
        world.start([11, 12, 13, 14].map(|n| call(n, 1, if n == 12 { &ADD } else { &SHARED }, 5)));
        world.told().await;
        take_log();
        // The third may run beside the first once the second is out of the way.
        world.cancel(12);
        world.send([Down::Recall(attempt(14))]);
        assert_eq!(world.told().await, ["12 cancelled", "back 14", "parked 13"]);
        assert_eq!(take_log(), ["add 5"]);
        // One that runs is no call to be asked back, and a cancel reaches its body.
        world.send([Down::Recall(attempt(11))]);
        world.cancel(11);
        world.send([Down::Fence(attempt(13))]);
        assert_eq!(world.told().await, ["seen 11", "11 cancelled"]);
        world.start([call(15, 1, &ADD, 0)]);
        assert_eq!(world.told().await, ["15 returned 0"]);
    });
}

#[test]
fn a_call_whose_time_is_up_in_line_does_not_run() {
    run(4, async |world| {
        let mut late = call(12, 1, &ADD, 1);
        late.remaining = Some(Duration::from_secs(2));
        world.start([host(1, 0), call(11, 1, &ADD, 3), late, call(13, 1, &ADD, 0)]);
        let mut told = world.told().await;
        told.extend(world.pass(4).await);
        assert_eq!(told[2..], ["11 returned 3", "12 raised TimedOut", "13 returned 3"]);
    });
}

#[test]
fn a_call_made_by_one_that_runs_goes_first_if_it_may() {
    run(4, async |world| {
        world.start([host(1, 0), call(11, 1, &SHARED, 2), call(12, 1, &ADD, 0)]);
        world.start([inner(13, 1, &SHARED, 1)]);
        world.told().await;
        assert_eq!(world.pass(2).await, ["13 returned 1", "11 returned 3", "12 returned 3"]);
    });
}

#[test]
fn items_of_a_method_go_out_one_by_one() {
    run(4, async |world| {
        let mut stream = call(11, 1, &COUNT, 2);
        std::sync::Arc::make_mut(&mut stream.spec).stream = true;
        world.start([host(1, 0), stream, call(12, 1, &COUNT, 2)]);
        let expected = ["parked 1", "item 1 of 11", "item 2 of 11", "11 returned 2", "12 returned [0,1]"];
        assert_eq!(world.told().await, expected);
    });
}

#[test]
fn what_is_saved_goes_out_at_once_or_with_the_reply() {
    run(4, async |world| {
        world.start([host(1, 5), call(11, 1, &KEEPS, 0), call(12, 1, &KEEPS, 1)]);
        let expected = [
            "parked 1",
            "state 5 of 1",
            "state 6 of 1 with 11",
            "11 returned 6",
            "state 6 of 1",
            "state 7 of 1 with 12",
            "12 raised Raised",
        ];
        assert_eq!(world.told().await, expected);
        // A panic saves nothing with itself.
        world.start([call(13, 1, &KEEPS, 2)]);
        assert_eq!(world.told().await, ["state 7 of 1", "13 raised Panicked", "1 raised Panicked"]);
    });
}

#[test]
fn nothing_is_saved_where_no_actor_is() {
    let error = crate::actor::save(&1).unwrap_err();
    assert!(matches!(error, crate::Error::Misuse(_)) && error.to_string().contains("save()"), "{error}");
    assert!(crate::actor::save_with_reply(&1).is_err() && crate::actor::this_id().is_err());
    let error = crate::actor::spawn_with_actor("every", async {}).unwrap_err();
    assert!(error.to_string().contains("every()"), "{error}");
}

#[test]
fn a_snapshot_is_what_it_begins_with() {
    run(4, async |world| {
        let value = encoded(42);
        world.send([Down::Input { attempt: attempt(1), task: attempt(1).task, value }]);
        let mut again = host(2, 3);
        again.number = 2;
        world.start([host(1, 5), again]);
        world.told().await;
        assert_eq!(take_log(), ["made at 42, again: true", "made at 3, again: true"]);
        assert_eq!(world.worker.values_waiting(), 0);
    });
}

#[test]
fn what_stays_with_an_actor_goes_with_it() {
    run(4, async |world| {
        world.start([host(1, 19)]);
        world.told().await;
        world.pass(20).await;
        assert_eq!(take_log(), ["made at 19, again: false", "tick", "tick", "tick"]);
        world.send([Down::Fence(attempt(1))]);
        assert_eq!(world.told().await, [] as [&str; 0]);
        assert_eq!(take_log(), ["timer dropped", "dropped at 19"]);
        // One that is stopped by hand leaves nothing behind, and one that panics takes the actor along.
        world.start([host(2, 0), call(21, 2, &TIMER, 1), call(22, 2, &TIMER, 0)]);
        assert_eq!(world.told().await, ["parked 2", "21 returned 0", "22 returned 0"]);
        assert_eq!(take_log()[1..], ["tick", "timer dropped"]);
        assert!(world.worker.all_actors()[0].is_small());
        world.start([call(23, 2, &TIMER, 1), call(24, 2, &ADD, 20), call(25, 2, &ADD, 20), call(26, 2, &TIMER, 2)]);
        world.told().await;
        world.cancel(24);
        world.cancel(25);
        let mut told = world.told().await;
        told.extend(world.told().await);
        assert_eq!(told.last().map(String::as_str), Some("2 raised Panicked"), "{told:?}");
    });
}

#[test]
fn a_type_is_offered_whole() {
    run(1, async |world| {
        assert!(!world.worker.learn(&ADD).unwrap());
        let offered = crate::worker::hosting::Hosting::default().registry.clone().insert_family(&ADD).unwrap();
        assert_eq!(offered.len(), FAMILY.len());
    });
    let alone = FAMILY.iter().filter(|d| matches!(d.body, Some(Body::Method(m)) if m.turns == Turns::Alone)).count();
    assert_eq!(alone, 5);
    assert!(COUNTER.function_def().actor.is_some() && BOOM.function_def().actor.is_some());
    assert!(MIXED.name.starts_with(COUNTER.name));
    assert_eq!(StartMore::default().incarnation, None);
}

/// What an idle actor weighs beside its state and its entry in a map, at a worker: `cargo xtask floor` measures the rest.
#[test]
fn an_idle_actor_holds_no_body_and_no_future() {
    assert!(size_of::<super::Incarnation>() <= 256, "{}", size_of::<super::Incarnation>());
}
