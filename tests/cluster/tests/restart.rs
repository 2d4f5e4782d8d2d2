//! The coordinator is killed with SIGKILL and started again while a client and its workers are in the middle of
//! something: every future resolves, with the result of an undisturbed run, and no body begins twice.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::time::Duration;

use farloop::prelude::*;
use farloop_test_cluster::kept::Kept;
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::People;
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::tasks::{fails, gated, grow, number, park, stubborn, tree_sum, yields};
use farloop_test_cluster::{bounded, until};

const KEPT: &str = env!("CARGO_BIN_EXE_kept_coordinator");
const COUNTING: &str = env!("CARGO_BIN_EXE_counting_worker");

/// A coordinator that is killed, with workers, and this process as their client.
struct Scene {
    kept: Kept,
    tally: Tally,
    workers: Vec<Node>,
    _event_loop: farloop::Loop,
}

impl Scene {
    async fn of(names: &[&str]) -> Self {
        Self::with(names, Kept::start(KEPT).await).await
    }

    async fn with(names: &[&str], kept: Kept) -> Self {
        let tally = Tally::new();
        let start = |name: &&str| Program::new(COUNTING).at(&kept.url()).named(name).tally(&tally).start();
        let workers = names.iter().map(start).collect();
        People::at(&kept.url()).await.joined(names).await;
        let _event_loop = farloop::connect(kept.url()).await.unwrap();
        Self { kept, tally, workers, _event_loop }
    }

    async fn restart(&mut self) {
        self.kept.kill();
        self.kept.again().await;
    }

    /// How often bodies began that began more than once.
    fn begun_again(&self) -> Vec<(String, usize)> {
        self.tally.begun_since(0).into_values().filter(|(_, times)| *times != 1).collect()
    }
}

#[test]
fn every_combinator_goes_on_over_a_restart() {
    bounded(async {
        let mut scene = Scene::of(&["one", "two"]).await;
        let tree = tree_sum(4);
        let waited = async {
            let of = wait((0..10).map(|n| ensure_future(number(n, 400)))).await?;
            Ok::<_, farloop::Error>((of.done.len(), of.pending.len()))
        };
        let completed = async {
            let (mut sum, mut done) = (0, as_completed((10..20).map(|n| number(n, 300 + 10 * n))));
            while let Some(next) = done.next().await {
                sum += next?.result?;
            }
            Ok::<_, farloop::Error>(sum)
        };
        let limited = wait_for(number(20, 500), Duration::from_secs(40));
        let shielded = shield(number(21, 500));
        let failing = fails("on purpose", 300);
        let gated = async {
            // 64 slots each: some of these wait in a worker, and some at the coordinator.
            gather_all((0..200).map(|n| gated(format!("gated {n}"), "gate"))).await
        };
        let disturbed = async {
            until("the slots are taken", async || (scene.tally.marks().len() > 128).then_some(())).await;
            scene.restart().await;
            scene.restart().await;
            scene.tally.open("gate");
        };
        let (tree, waited, completed, limited, shielded, failing, gated, ()) = tokio::join!(
            async { tree.await },
            waited,
            completed,
            limited,
            shielded,
            async { failing.await },
            gated,
            disturbed
        );
        assert_eq!((tree.unwrap(), waited.unwrap(), completed.unwrap()), (16, (10, 0), (10..20).sum::<u64>()));
        assert_eq!((limited.unwrap(), shielded.unwrap(), gated.unwrap().len()), (20, 21, 200));
        assert!(failing.unwrap_err().to_string().contains("on purpose"));
        assert_eq!(scene.begun_again(), []);
    });
}

#[test]
fn l6_a_cancel_in_flight_is_delivered_once() {
    bounded(async {
        let mut scene = Scene::of(&["one"]).await;
        let (parked, defiant) = (ensure_future(park("parked")), ensure_future(stubborn("stubborn")));
        let tree = ensure_future(grow(3));
        scene.tally.sees(1, "begun", "parked").await;
        scene.tally.sees(1, "begun", "stubborn").await;
        scene.tally.sees(8, "begun", "leaf").await;
        assert!(parked.cancel("enough") && defiant.cancel("once") && tree.cancel("all"));
        // Whether it left before or not: it counts once.
        tokio::task::yield_now().await;
        scene.restart().await;
        assert!(parked.await.unwrap_err().is_cancelled());
        assert!(tree.await.unwrap_err().is_cancelled());
        scene.tally.sees(1, "cancelled", "stubborn").await;
        scene.restart().await;
        assert_eq!(number(1, 300).await.unwrap(), 1);
        let count = |label: &str| scene.tally.of("cancelled", label).len();
        assert_eq!((count("parked"), count("stubborn"), count("leaf")), (1, 1, 8));
        assert_eq!(scene.begun_again(), []);
    });
}

#[test]
fn l1_submits_in_flight_run_once_each() {
    bounded(async {
        let mut scene = Scene::of(&["one", "two"]).await;
        let mut tasks = Vec::new();
        for round in 0..3 {
            tasks.extend((0..400).map(|n| ensure_future(number(round * 1_000 + n, n % 5))));
            if round > 0 {
                // Some have left by now, some are on record, some ran.
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            scene.kept.kill();
            tasks.extend((400..500).map(|n| ensure_future(number(round * 1_000 + n, n % 5))));
            scene.kept.again().await;
        }
        let numbers = (0..3).flat_map(|round| (0..500).map(move |n| round * 1_000 + n));
        for (expected, task) in numbers.zip(tasks) {
            assert_eq!(task.await.unwrap(), expected);
        }
        assert_eq!(scene.begun_again(), []);
        assert_eq!(scene.tally.begun_since(0).len(), 1_500);
    });
}

#[test]
fn l23_a_running_stream_misses_no_item_and_repeats_none() {
    bounded(async {
        let mut scene = Scene::of(&["one"]).await;
        let mut items = yields("items", 3_000, 200, 2_990, "gate");
        for n in 1..=2_989 {
            assert_eq!(items.next().await.unwrap().unwrap().0, n);
            if n % 1_000 == 500 {
                scene.restart().await;
            }
        }
        scene.tally.open("gate");
        for n in 2_990..=3_000 {
            assert_eq!(items.next().await.unwrap().unwrap().0, n);
        }
        assert!(items.next().await.is_none());
        assert_eq!(scene.begun_again(), []);
    });
}

/// Both at once: what the dead worker held begins once more on the other, and nothing else does.
#[test]
fn a_worker_dies_with_the_coordinator() {
    bounded(async {
        let kept = Kept::start_with(KEPT, 3).await;
        let mut scene = Scene::with(&["dies", "lives"], kept).await;
        let tasks: Vec<_> = (0..20).map(|n| ensure_future(gated(format!("gated {n}"), "gate"))).collect();
        let tree = ensure_future(grow(2));
        scene.tally.sees(4, "begun", "leaf").await;
        until("all have begun", async || {
            (0..20).all(|n| scene.tally.of("begun", &format!("gated {n}")).len() == 1).then_some(())
        })
        .await;
        let dead = scene.workers[0].pid();
        let held = |label: &String| scene.tally.of("begun", label)[0].pid == dead;
        let lost: Vec<String> = (0..20).map(|n| format!("gated {n}")).filter(held).collect();
        assert!(!lost.is_empty() && lost.len() < 20);
        scene.kept.kill();
        scene.workers[0].kill();
        scene.kept.again().await;
        for label in &lost {
            scene.tally.sees(2, "begun", label).await;
        }
        scene.tally.open("gate");
        let lives = scene.workers[1].pid();
        for task in tasks {
            assert_eq!(task.await.unwrap(), lives);
        }
        let twice: Vec<_> =
            (0..20).map(|n| format!("gated {n}")).filter(|label| scene.tally.of("begun", label).len() != 1).collect();
        assert_eq!(twice, lost);
        assert!(tree.cancel("enough") && tree.await.unwrap_err().is_cancelled());
    });
}

/// A worker that waited for a coordinator for long is back in time all the same.
#[test]
fn a_worker_is_back_in_time_after_a_long_absence() {
    bounded(async {
        let kept = Kept::start_with(KEPT, 3).await;
        let mut scene = Scene::with(&["one"], kept).await;
        let task = ensure_future(gated("gated", "gate"));
        scene.tally.sees(1, "begun", "gated").await;
        scene.kept.kill();
        // Long enough for the longest pause between two tries.
        tokio::time::sleep(Duration::from_secs(8)).await;
        scene.kept.again().await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        scene.tally.open("gate");
        assert_eq!(task.await.unwrap(), scene.workers[0].pid());
        assert_eq!(scene.begun_again(), []);
    });
}

#[test]
fn locks_are_lost_with_the_coordinator_and_say_so() {
    bounded(async {
        let mut scene = Scene::of(&["one"]).await;
        let lock = farloop::sync::Lock::named("restart");
        let guard = lock.lock().await.unwrap();
        let mut waiter = Box::pin(lock.lock());
        // The coordinator has heard of both when it answers.
        tokio::select! {
            biased;
            early = &mut waiter => panic!("it is held: {early:?}"),
            one = number(1, 0) => assert_eq!(one.unwrap(), 1),
        }
        scene.restart().await;
        let error = waiter.await.unwrap_err();
        assert!(error.to_string().contains("the coordinator started again"), "{error}");
        let stale = guard.check().await.unwrap_err();
        assert!(stale.to_string().contains("the coordinator started again"), "{stale}");
        assert!(lock.lock().await.unwrap().token() > guard.token());
    });
}
