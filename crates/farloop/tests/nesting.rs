//! Tasks that call tasks: slots are given back while they wait, so that one slot carries any tree.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farloop::prelude::*;
use farloop::testing::Cluster;

#[farloop::task]
async fn tree_sum(depth: u32) -> farloop::Result<u64> {
    if depth == 0 {
        return Ok(1);
    }
    let (left, right) = gather((tree_sum(depth - 1), tree_sum(depth - 1))).await?;
    Ok(left + right)
}

#[farloop::task]
async fn chain(depth: u32) -> farloop::Result<u32> {
    if depth == 0 {
        return Ok(0);
    }
    Ok(chain(depth - 1).await? + 1)
}

#[farloop::task]
async fn awaits(other: Task<u32>) -> farloop::Result<u32> {
    other.await
}

#[farloop::task]
async fn sleeper(seconds: u64) -> farloop::Result<u64> {
    farloop::sleep(Duration::from_secs(seconds)).await?;
    Ok(seconds)
}

#[farloop::task]
async fn parent(seconds: u64) -> farloop::Result<u64> {
    let (a, b) = gather((sleeper(seconds), sleeper(seconds + 1))).await?;
    Ok(a + b)
}

#[test]
fn tree_sum_of_8191_tasks_completes_on_one_slot() {
    let sum = Cluster::new().slots(1).run(async || tree_sum(12).await);
    assert_eq!(sum.unwrap(), 4096);
}

#[test]
fn chain_of_1000_awaits_completes_on_one_slot() {
    let depth = Cluster::new().slots(1).run(async || chain(1_000).await);
    assert_eq!(depth.unwrap(), 1_000);
}

#[test]
fn tree_sum_over_three_workers() {
    let sum = Cluster::new().workers(3).slots(2).run(async || tree_sum(10).await);
    assert_eq!(sum.unwrap(), 1024);
}

#[test]
fn a_future_as_an_argument_never_passes_through_the_caller() {
    #[farloop::task]
    async fn add(a: i64, b: i64) -> i64 {
        a + b
    }
    #[farloop::task]
    async fn total(all: Vec<i64>) -> i64 {
        all.iter().sum()
    }
    Cluster::new().workers(2).run(async || {
        let seven = ensure_future(add(3, 4));
        assert_eq!(add(&seven, 10).await.unwrap(), 17);
        let all = gather_all((0..10).map(|i| add(i, i)));
        assert_eq!(total(all).await.unwrap(), 90);
    });
}

#[test]
fn a_task_may_await_a_handle_it_was_given() {
    Cluster::new().slots(1).run(async || {
        let inner = ensure_future(chain(3));
        assert_eq!(awaits(Task::clone(&inner)).await.unwrap(), 3);
    });
}

#[test]
fn cancelling_a_parent_reaches_what_it_awaits() {
    Cluster::new().workers(2).run(async || {
        let began = tokio::time::Instant::now();
        let task = ensure_future(parent(100));
        farloop::sleep(Duration::from_secs(1)).await.unwrap();
        assert!(task.cancel("enough"));
        let error = task.clone().await.unwrap_err();
        assert!(error.is_cancelled(), "{error:?}");
        assert!(task.cancelled());
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(farloop::all_tasks().unwrap().iter().all(|t| t.name == "main"));
    });
}

/// Awaits the task twice; how often it was told of a deadlock instead.
async fn insist(on: &Task<u32>) -> farloop::Result<u32> {
    let mut deadlocks = 0;
    for _ in 0..2 {
        match on.clone().await {
            Err(farloop::Error::Deadlock(_)) => deadlocks += 1,
            other => return other.map(|more| deadlocks + more),
        }
    }
    Ok(deadlocks)
}

#[farloop::task]
async fn insists(on: String) -> farloop::Result<u32> {
    insist(&Task::attach(farloop::TaskId::parse(&on).expect("an id"))).await
}

#[farloop::task]
async fn awaits_who_awaits_it() -> farloop::Result<u32> {
    let me = farloop::current_task().expect("a task runs this").id();
    insist(&ensure_future(insists(me.to_string()))).await
}

#[test]
fn a_deadlock_is_told_each_time_it_comes_about() {
    Cluster::new().run(async || {
        let told = wait_for(awaits_who_awaits_it(), Duration::from_secs(60)).await;
        assert_eq!(told.expect("nobody waits for ever"), 2);
    });
}

#[farloop::task]
async fn awaits_or_hears(on: String) -> farloop::Result<u32> {
    let other = Task::<u32>::attach(farloop::TaskId::parse(&on).expect("an id"));
    tokio::select! {
        answer = other => answer,
        // It could be woken by this, so nobody can say that it is in a deadlock.
        () = tokio::time::sleep(Duration::from_secs(3_600)) => Ok(0),
    }
}

#[farloop::task]
async fn half_of_a_circle() -> farloop::Result<u32> {
    let me = farloop::current_task().expect("a task runs this").id();
    awaits_or_hears(me.to_string()).await
}

#[test]
fn l6_a_cancel_does_not_go_round_for_ever() {
    Cluster::new().workers(2).run(async || {
        let circle = ensure_future(half_of_a_circle());
        farloop::sleep(Duration::from_millis(50)).await.expect("nobody cancels this");
        circle.cancel("enough");
        let ended = wait_for(&circle, Duration::from_secs(5)).await;
        assert!(circle.cancelled(), "{ended:?}");
    });
}

#[farloop::task]
async fn depth_here() -> u32 {
    farloop::current_task().map_or(0, |me| me.depth())
}

/// Calls from a coroutine of its worker's loop, while it runs; the depth of what that calls.
#[farloop::task]
async fn calls_inside() -> farloop::Result<u32> {
    let inside = farloop::local(async {
        let further = ensure_future(farloop::local(async { depth_here().await }));
        further.await
    });
    ensure_future(inside).await
}

#[test]
fn what_a_coroutine_of_a_body_calls_is_the_attempts() {
    let depth = Cluster::new().slots(1).run(async || calls_inside().await);
    assert_eq!(depth.unwrap(), 1);
}

/// How many coroutines of bodies there are.
#[derive(Clone, Default)]
struct Inside(Arc<AtomicUsize>);

struct Left(Inside);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[farloop::task]
async fn leaves_one_inside(#[state] inside: &Inside, seconds: u64) -> farloop::Result<()> {
    inside.0.fetch_add(1, Ordering::SeqCst);
    let left = Left(inside.clone());
    drop(ensure_future(farloop::local(async move {
        let _left = left;
        farloop::sleep(Duration::from_secs(3_600)).await
    })));
    farloop::sleep(Duration::from_secs(seconds)).await
}

#[test]
fn l7_a_fenced_attempt_takes_the_coroutines_of_its_body_along() {
    let inside = Inside::default();
    Cluster::new().with(inside.clone()).run(async move || {
        let silent = leaves_one_inside(60).max_crashes(0).heartbeat_timeout(Duration::from_secs(3));
        assert!(silent.await.is_err(), "nobody knows what became of it");
        farloop::sleep(Duration::from_secs(1)).await.unwrap();
        assert_eq!(inside.0.load(Ordering::SeqCst), 0);
        // One that ends by itself leaves them, as asyncio does.
        leaves_one_inside(1).await.unwrap();
        farloop::sleep(Duration::from_secs(1)).await.unwrap();
        assert_eq!(inside.0.load(Ordering::SeqCst), 1);
    });
}
