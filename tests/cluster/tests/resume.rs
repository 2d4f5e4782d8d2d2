//! Every combinator while connections break: the client's, then the worker's. Nothing is lost and nothing doubled
//! (L10): results are those of an undisturbed run, and each task's body begins once.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farloop::prelude::*;
use farloop_test_cluster::storm::{Scene, play};
use farloop_test_cluster::tasks::{add, echo, fails, gated, grow, number, park, total, tree_sum, yields};

const WORKER: &str = env!("CARGO_BIN_EXE_counting_worker");

/// A task that waits to be cancelled, and has begun.
async fn parked(scene: &Scene<'_>) -> Task<()> {
    let task = ensure_future(park("parked"));
    scene.sees(1, "begun", "parked").await;
    task
}

/// Cancels and tells whether it worked, and how often the body heard of it.
async fn cancelled(scene: &Scene<'_>, task: &Task<()>) -> (bool, usize) {
    assert!(task.cancel("enough"));
    let cancelled = task.clone().await.is_err_and(|error| error.is_cancelled());
    (cancelled, scene.count("cancelled", "parked"))
}

#[test]
fn awaits() {
    play(WORKER, async |_| number(7, 50).await);
}

#[test]
fn a_callback_runs_once() {
    play(WORKER, async |_| {
        let task = ensure_future(number(7, 50));
        let called = Arc::new(AtomicUsize::new(0));
        let counter = called.clone();
        task.add_done_callback(move |task| {
            assert!(task.done());
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let value = task.clone().await?;
        // A handle that is done calls back in the next turn.
        farloop::yield_now().await?;
        Ok((value, task.result()?, called.load(Ordering::SeqCst)))
    });
}

#[test]
fn gather_keeps_its_order() {
    play(WORKER, async |scene| {
        let many = gather_all((0..40).map(|n| number(n, (40 - n) * 3)));
        let both = gather((number(100, 5), fails("one of two", 60)));
        let error = both.await.unwrap_err();
        scene.storm();
        Ok((many.await?, error.failure().map(|f| f.message().to_owned())))
    });
}

#[test]
fn gather_settled_tells_all() {
    play(WORKER, async |_| {
        let settled = gather_settled_all([number(1, 60), fails("two", 10), number(3, 30)]).await?;
        Ok(settled.into_iter().map(|r| r.map_err(|e| e.failure().map(|f| f.message().to_owned()))).collect::<Vec<_>>())
    });
}

#[test]
fn wait_for_all_for_the_first_and_for_the_first_failure() {
    play(WORKER, async |scene| {
        let all = wait_coros((0..5).map(|n| number(n, n * 10))).await?;
        let parked = parked(scene).await;
        let as_number = |done: Vec<Task<u64>>| done.into_iter().map(|t| t.result().ok()).collect::<Vec<_>>();

        let slow = ensure_future(number(8, 3_600_000));
        scene.sees(1, "begun", "number 8").await;
        scene.storm();
        let quick = ensure_future(number(9, 50));
        let first = wait([&slow, &quick]).return_when(ReturnWhen::FirstCompleted).await?;
        let failing = ensure_future(fails("boom", 50));
        let failed = wait([&slow, &failing]).return_when(ReturnWhen::FirstException).await?;
        scene.storm();
        let too_early = wait([&parked]).timeout(Duration::from_millis(100)).await?;
        let counts = (all.done.len(), all.pending.len(), first.pending.len(), failed.pending.len());
        let timeout = (too_early.done.len(), too_early.pending.len());
        let end = cancelled(scene, &parked).await;
        Ok((counts, as_number(first.done), as_number(failed.done), timeout, end))
    });
}

#[test]
fn as_completed_yields_each_once() {
    play(WORKER, async |scene| {
        let gates: Vec<String> = (0..3).map(|n| scene.own(&format!("gate {n}"))).collect();
        let coros = gates.iter().map(|gate| gated(gate.clone(), gate.clone()).name(gate.clone()));
        let mut done = as_completed(coros);
        let mut order = Vec::new();
        for n in [1, 0, 2] {
            scene.tally.open(&gates[n]);
            let next = done.next().await.expect("three are yielded")?;
            order.push(next.task.name() == gates[n] && next.result.is_ok());
            scene.storm();
        }
        Ok((order, done.next().await.is_none()))
    });
}

#[test]
fn wait_for_returns_or_cancels() {
    play(WORKER, async |scene| {
        let value = wait_for(number(7, 50), Duration::from_secs(30)).await?;
        let parked = parked(scene).await;
        scene.storm();
        let error = wait_for(&parked, Duration::from_millis(50)).await.unwrap_err();
        let heard = scene.count("cancelled", "parked");
        Ok((value, error.to_string(), parked.cancelled(), heard))
    });
}

#[test]
fn a_shield_holds() {
    play(WORKER, async |scene| {
        let gate = scene.own("gate");
        let inner = ensure_future(gated("shielded", gate.clone()));
        scene.sees(1, "begun", "shielded").await;
        let outer = shield(&inner);
        outer.cancel("only the shield");
        let passed_on = outer.await.is_err_and(|error| error.is_cancelled());
        scene.storm();
        scene.tally.open(&gate);
        Ok((passed_on, inner.await.is_ok()))
    });
}

#[test]
fn map_calls_each_once() {
    play(WORKER, async |scene| {
        scene.storm_on(700, 3);
        map(|n| number(n, 5), 0..60).limit(6).ordered().collect().await
    });
}

#[test]
fn a_tree_adds_up() {
    play(WORKER, async |_| tree_sum(6).await);
}

#[test]
fn cancelling_a_tree_reaches_each_leaf_once() {
    play(WORKER, async |scene| {
        let root = ensure_future(grow(3));
        scene.sees(8, "begun", "leaf").await;
        scene.storm();
        assert!(root.cancel("enough"));
        let error = root.await.unwrap_err();
        let message = match &error {
            farloop::Error::Cancelled(cancelled) => cancelled.message().map(str::to_owned),
            _ => None,
        };
        Ok((error.is_cancelled(), message, scene.count("cancelled", "leaf")))
    });
}

#[test]
fn tasks_stand_for_arguments() {
    play(WORKER, async |scene| {
        let seven = ensure_future(number(7, 50));
        let sum = ensure_future(add(&seven, 10));
        let numbers = gather_all((0..10).map(|n| number(n, 10)));
        scene.storm();
        let all = ensure_future(total(&numbers));
        Ok((add(&sum, &seven).await?, all.await?))
    });
}

#[test]
fn four_mebibytes_there_and_back() {
    play(WORKER, async |scene| {
        scene.storm_on(1_000_000, 3);
        let text: String = (0..4 * 1024 * 1024).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
        let back = echo(text.clone()).await?;
        Ok((back.len(), back == text))
    });
}

#[test]
fn five_hundred_at_once_through_many_cuts() {
    play(WORKER, async |scene| {
        scene.storm_on(1_500, 4);
        Ok(gather_all((0..500).map(|n| number(n, n % 7))).await?.into_iter().sum::<u64>())
    });
}

#[test]
fn items_of_streams_come_in_order_each_once() {
    play(WORKER, async |scene| {
        let mut quick = yields("quick", 3_000, 10, 0, "");
        let mut slow = yields("slow", 600, 2_000, 0, "").start();
        let mut seen = Vec::new();
        while let Some(item) = quick.next().await {
            let (n, _) = item?;
            if n % 1_000 == 500 {
                scene.storm();
            }
            if n % 10 == 0
                && let Some(item) = slow.next().await
            {
                seen.push(item?.0);
            }
            seen.push(n);
        }
        while let Some(item) = slow.next().await {
            seen.push(item?.0);
        }
        Ok(seen)
    });
}
