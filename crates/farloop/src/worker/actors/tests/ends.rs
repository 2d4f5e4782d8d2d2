//! How actors end, and what is said of their calls then.

use std::time::Duration;

use farloop_core::frame::Down;
use farloop_core::limits;
use tokio::time::Instant;

use super::counter::{ADD, BOOM, SHARED, WITHIN, WITHIN_POLL, take_log};
use super::world::{World, attempt, call, host, inner, named, run};

/// Two calls that run, and two in line.
async fn busy(world: &mut World) {
    world.start([
        host(1, 0),
        call(11, 1, &SHARED, 2),
        call(12, 1, &SHARED, 3),
        call(13, 1, &ADD, 1),
        call(14, 1, &SHARED, 1),
    ]);
    world.told().await;
    take_log();
}

const NOTHING: [&str; 0] = [];

#[test]
fn one_that_is_stopped_says_goodbye() {
    run(4, async |world| {
        world.start([host(1, 7)]);
        world.told().await;
        world.send([Down::Stop(attempt(1))]);
        assert_eq!(world.told().await, ["runs 1"]);
        // Nobody should call it any more; whoever does learns that it did not run.
        world.start([call(11, 1, &ADD, 1)]);
        assert_eq!(world.told().await, ["back 11"]);
        assert_eq!(world.pass(1).await, ["state 7 of 1", "1 returned null"]);
        assert_eq!(take_log()[1..], ["stopping at 7", "stopped", "dropped at 7"]);
        assert!(world.worker.actors.is_empty());
    });
}

#[test]
fn one_that_is_stopped_ends_its_calls_before() {
    run(4, async |world| {
        world.start([host(1, 7), call(11, 1, &ADD, 1), call(12, 1, &ADD, 1)]);
        world.send([Down::Stop(attempt(1))]);
        world.told().await;
        assert_eq!(
            world.pass(3).await,
            ["11 returned 8", "parked 12", "12 returned 9", "runs 1", "state 9 of 1", "1 returned null"]
        );
    });
}

#[test]
fn one_that_moves_ends_its_turn_and_leaves_its_state() {
    run(4, async |world| {
        busy(world).await;
        world.send([Down::Move(attempt(1))]);
        assert_eq!(world.told().await, ["back 13", "back 14"]);
        // One more is given back, one that a call which runs waits for is not.
        world.start([call(15, 1, &SHARED, 0), inner(16, 1, &SHARED, 0)]);
        assert_eq!(world.told().await, ["back 15", "16 returned 0"]);
        assert_eq!(world.pass(3).await, ["11 returned 2", "12 returned 5", "state 5 of 1", "back 1"]);
        assert_eq!(take_log().last().map(String::as_str), Some("dropped at 5"));
        world.start([call(17, 1, &ADD, 0)]);
        assert_eq!(world.told().await, ["back 17"]);
    });
}

#[test]
fn one_that_is_cancelled_drops_everything() {
    run(4, async |world| {
        busy(world).await;
        world.cancel(1);
        let expected = ["11 raised ActorDied", "12 raised ActorDied", "back 13", "back 14", "1 cancelled"];
        assert_eq!(world.told().await, expected);
        assert_eq!(take_log(), ["add 2 over", "add 3 over", "dropped at 0"]);
        assert!(world.worker.actors.is_empty() && world.worker.placed.is_empty());
    });
}

#[test]
fn one_that_is_cancelled_while_it_stops_is_over() {
    run(4, async |world| {
        world.start([host(1, 7)]);
        world.send([Down::Stop(attempt(1))]);
        world.told().await;
        world.cancel(1);
        assert_eq!(world.told().await, ["1 cancelled"]);
        assert_eq!(take_log()[1..], ["stopping at 7", "dropped at 7"]);
    });
}

#[test]
fn one_that_is_cancelled_while_it_is_made_may_clean_up() {
    run(1, async |world| {
        world.start([host(1, 17), call(11, 1, &ADD, 0), host(2, 17), call(21, 2, &ADD, 0)]);
        world.told().await;
        world.cancel(1);
        assert_eq!(world.told().await, ["seen 1", "back 11", "1 cancelled"]);
        assert_eq!(take_log(), NOTHING);
    });
}

#[test]
fn one_that_waits_for_a_slot_gives_its_calls_back() {
    run(1, async |world| {
        world.start([call(9, 8, &ADD, 0)]);
        assert_eq!(world.told().await, ["back 9"]);
        // Nothing has had a slot yet: all of this comes in one batch.
        let starts = (1..=5).flat_map(|n| [host(n, n), call(10 + n, n, &ADD, 0)]);
        let ends = [Down::Move(attempt(3)), Down::Recall(attempt(4)), Down::Fence(attempt(5))];
        let cancel = Down::Cancel { attempt: attempt(2), number: 1, message: None };
        world.send(starts.map(Down::Start).chain(ends).chain([cancel]));
        let told = world.told().await;
        let expected =
            ["back 12", "2 cancelled", "back 13", "back 3", "back 14", "back 4", "parked 1", "11 returned 1"];
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for pair in [["back 12", "2 cancelled"], ["back 13", "back 3"], ["back 14", "back 4"]] {
            let places = pair.map(|text| told.iter().position(|told| told == text).unwrap());
            assert!(places[0] < places[1], "{told:?}");
        }
        assert_eq!(world.worker.slots().load(), 0);
    });
}

#[test]
fn a_panic_is_the_end_of_the_incarnation() {
    run(4, async |world| {
        world.start([
            host(1, 7),
            call(11, 1, &SHARED, 2),
            call(12, 1, &BOOM, 0),
            call(13, 1, &ADD, 0),
            call(14, 1, &ADD, 0),
        ]);
        let told = world.told().await;
        let expected = [
            "parked 1",
            "parked 11",
            "12 raised Panicked",
            "11 raised ActorUnavailable",
            "back 13",
            "back 14",
            "1 raised Panicked",
        ];
        assert_eq!(told, expected);
        assert_eq!(take_log()[1..], ["add 2", "add 2 over", "dropped at 7"]);
    });
}

#[test]
fn one_that_cannot_be_made_says_why() {
    run(4, async |world| {
        world.start([host(1, 13), call(11, 1, &ADD, 0), call(12, 1, &ADD, 0)]);
        assert_eq!(world.told().await, ["back 11", "back 12", "1 raised Raised"]);
        let mut unknown = host(2, 0);
        std::sync::Arc::make_mut(&mut unknown.spec).function = "t.Nobody".into();
        world.start([unknown, call(21, 2, &ADD, 0)]);
        assert_eq!(world.told().await, ["back 21", "2 raised NotFound"]);
        assert_eq!((world.worker.slots().load(), world.worker.actors.len()), (0, 0));
    });
}

#[test]
fn one_that_is_fenced_says_nothing_more() {
    run(4, async |world| {
        busy(world).await;
        world.send([Down::Fence(attempt(1))]);
        assert_eq!(world.told().await, NOTHING);
        assert_eq!(world.pass(5).await, NOTHING);
        // Its loop drops the state, and the calls as they are polled.
        let mut log = take_log();
        log.sort();
        assert_eq!(log, ["add 2 over", "add 3 over", "dropped at 0"]);
        assert!(world.worker.actors.is_empty() && world.worker.placed.is_empty());
    });
}

#[test]
fn what_is_fenced_inside_a_poll_can_neither_save_nor_report() {
    run(4, async |world| {
        world.start([named(1), call(11, 1, &WITHIN_POLL, 0), call(12, 1, &ADD, 0)]);
        let worker = world.worker.clone();
        WITHIN.set(Some(Box::new(move || {
            let actor = worker.actor(attempt(1)).unwrap();
            worker.drop_actor(&actor, true);
        })));
        // The threads: it was inside, and came out.
        assert_eq!(world.told().await, ["parked 1", "back 12", "1 threads held", "back 1", "0 threads held"]);
        let log = take_log();
        assert!(log[1].starts_with("not saved: ") && log[1].contains("over for the cluster"), "{log:?}");
        assert_eq!(log[2..], ["with reply: false", "dropped at 0"]);
        assert_eq!(world.worker.slots().load(), 0);
    });
}

#[test]
fn the_lease_of_a_named_one_ends_before_its_name_is_given_away() {
    run(4, async |world| {
        let worker = world.worker.clone();
        tokio::task::spawn_local(async move { worker.watch_lease().await });
        world.worker.lease.welcomed(Instant::now());
        world.start([named(1), call(11, 1, &ADD, 60), call(12, 1, &ADD, 0), host(2, 0)]);
        world.told().await;
        // As long as signs of life are acknowledged it goes on.
        for _ in 0..5 {
            world.session.beat();
            world.pass(3).await;
            world.send([]);
        }
        take_log();
        assert_eq!(world.worker.actors.len(), 2);
        // The connection is gone: nothing is acknowledged any more. The last sign of life is three seconds old.
        let begun = Instant::now();
        world.session.cut();
        while world.worker.actors.len() == 2 {
            tokio::time::advance(Duration::from_millis(100)).await;
            tokio::task::yield_now().await;
        }
        let took = begun.elapsed();
        assert!(took + Duration::from_secs(3) <= limits::ACTOR_LEASE * 2 / 3 + Duration::from_millis(200), "{took:?}");
        assert!(took >= Duration::from_secs(3), "{took:?}");
        assert_eq!(world.told().await, ["back 12", "back 1"]);
        let mut log = take_log();
        log.sort();
        assert_eq!(log, ["add 60 over", "dropped at 0"]);
        // The one without a name is still there.
        world.start([call(21, 2, &ADD, 0)]);
        assert_eq!(world.told().await, ["21 returned 0"]);
    });
}

#[test]
fn a_session_that_is_lost_takes_all_along() {
    run(4, async |world| {
        busy(world).await;
        world.start([host(2, 17)]);
        world.told().await;
        world.session.lost("test");
        assert!(world.worker.actors.is_empty());
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let log = take_log();
        assert!(log.contains(&"dropped at 0".to_owned()) && !log.iter().any(|line| line.contains("made")), "{log:?}");
        assert_eq!((world.worker.slots().load(), world.worker.placed.len()), (0, 0));
        assert_eq!(super::super::instances::count(world.home.id), 0);
    });
}

#[test]
fn a_worker_that_drains_waits_until_its_actors_have_moved() {
    run(4, async |world| {
        world.start([host(1, 7)]);
        world.told().await;
        let worker = world.worker.clone();
        let drained = tokio::task::spawn_local(async move { worker.drain().await });
        assert_eq!(world.told().await, ["drains"]);
        assert!(!drained.is_finished());
        world.send([Down::Move(attempt(1))]);
        assert_eq!(world.told().await, ["state 7 of 1", "back 1"]);
        assert!(drained.is_finished());
    });
}

#[test]
fn a_coordinator_that_started_again_is_told_of_actors_and_their_calls() {
    run(2, async |world| {
        world.start([host(1, 0), call(11, 1, &ADD, 60), call(12, 1, &ADD, 1), call(13, 1, &ADD, 1), host(2, 17)]);
        world.told().await;
        world.send([]);
        world.restart();
        let told = world.told().await;
        let place =
            |text: &str| told.iter().position(|told| told == text).unwrap_or_else(|| panic!("{text}: {told:?}"));
        // The actor, what runs there, and what waits, in order.
        let first = place("holds 1 begun Suspended");
        let rest = ["holds 11 begun Suspended", "holds 12 waiting Running", "holds 13 waiting Running"];
        assert_eq!(told[first + 1..first + 4], rest);
        place("holds 2 begun Running");
        assert_eq!(told.len(), 6, "{told:?}");
        assert_eq!(told.last().map(String::as_str), Some("rejoined after 2"));
        // And they are there as before.
        world.send([Down::Recall(attempt(12))]);
        assert_eq!(world.told().await, ["back 12"]);
    });
}
