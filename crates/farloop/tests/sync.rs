//! Locks, semaphores, events, queues and barriers, in a cluster in this process with virtual time.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use farloop::Error;
use farloop::prelude::*;
use farloop::sync::{Barrier, Condition, Event, Lock, Queue, Semaphore, SyncError};
use farloop::testing::Cluster;

fn cluster() -> Cluster {
    Cluster::new().workers(3).slots(4)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn refused(error: &Error) -> SyncError {
    match error {
        Error::Sync(error) => error.clone(),
        other => panic!("{other:?}"),
    }
}

/// Enters, stays, leaves: what it says shows whether two were in at once.
#[farloop::task]
async fn critical(lock: Lock, log: Queue<String>, name: String) -> farloop::Result<u64> {
    let guard = lock.lock().await?;
    log.put(format!("in {name}")).await?;
    farloop::sleep(Duration::from_secs(1)).await?;
    log.put(format!("out {name}")).await?;
    Ok(guard.token())
}

#[test]
fn a_lock_lets_one_body_of_the_cluster_in_at_a_time_in_order() {
    let (tokens, lines) = cluster().run(async || {
        let (lock, log) = (Lock::new(), Queue::<String>::new(0));
        let tasks = ["a", "b", "c"].map(|n| create_task(critical(lock.clone(), log.clone(), n.to_owned())));
        let tokens = gather_all(tasks).await.unwrap();
        let mut lines = Vec::new();
        while !log.empty().await.unwrap() {
            lines.push(log.get().await.unwrap());
        }
        assert!(!lock.locked().await.unwrap());
        (tokens, lines)
    });
    for pair in lines.chunks(2) {
        assert_eq!(pair[0].replace("in ", ""), pair[1].replace("out ", ""), "{lines:?}");
    }
    assert_eq!(lines.len(), 6);
    let mut sorted = tokens.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 3, "{tokens:?}");
}

#[test]
fn a_guard_lets_go_when_it_is_dropped_and_says_so_when_it_is_released() {
    cluster().run(async || {
        let lock = Lock::named("db");
        let first = lock.lock().await.unwrap();
        assert!(lock.locked().await.unwrap());
        assert!(lock.try_lock().await.unwrap().is_none());
        first.check().await.unwrap();
        let token = first.token();
        drop(first);
        let second = Lock::named("db").try_lock().await.unwrap().expect("it was let go");
        assert!(second.token() > token);
        second.release().await.unwrap();
        assert!(!lock.locked().await.unwrap());
        assert!(matches!(refused(&lock.release(token).await.unwrap_err()), SyncError::Stale(_)));
    });
}

#[test]
fn a_token_of_one_who_lost_the_lock_is_stale() {
    cluster().run(async || {
        let lock = Lock::named("db");
        let guard = lock.lock().await.unwrap();
        lock.release(guard.token()).await.unwrap();
        let stale = guard.check().await.unwrap_err();
        assert!(matches!(refused(&stale), SyncError::Stale(_)), "{stale}");
        assert!(stale.to_string().contains("lock 'db'"), "{stale}");
        let next = lock.lock().await.unwrap();
        // The old guard's end does nothing to the new holder.
        drop(guard);
        next.check().await.unwrap();
    });
}

#[test]
fn a_name_means_one_kind_and_size() {
    cluster().run(async || {
        let _held = Semaphore::named("x", 3).acquire().await.unwrap();
        let error = Semaphore::named("x", 4).acquire().await.unwrap_err();
        assert!(matches!(refused(&error), SyncError::Mismatch(_)));
        assert_eq!(
            error.to_string(),
            "semaphore 'x' is in use as a semaphore of 3, and was asked for as a semaphore of 4"
        );
        let error = Lock::named("x").lock().await.unwrap_err();
        assert!(error.to_string().ends_with("was asked for as a lock"), "{error}");
    });
}

#[farloop::task]
async fn hold_and(lock: Lock, how: String) -> farloop::Result<u64> {
    let guard = lock.lock().await?;
    let token = guard.token();
    Box::leak(Box::new(guard));
    match how.as_str() {
        "return" => Ok(token),
        "fail" => Err(Error::msg("no")),
        "panic" => panic!("no"),
        _ => {
            farloop::sleep(Duration::from_secs(3_600)).await?;
            Ok(token)
        }
    }
}

#[test]
fn what_an_attempt_holds_goes_back_when_it_ends_however_it_ends() {
    cluster().run(async || {
        let lock = Lock::new();
        for how in ["return", "fail", "panic", "cancel"] {
            let task = create_task(hold_and(lock.clone(), how.to_owned()));
            if how == "cancel" {
                farloop::sleep(secs(1)).await.unwrap();
                assert!(lock.locked().await.unwrap());
                task.cancel(());
            }
            let _ = wait([&task]).await.unwrap();
            let guard = tokio::time::timeout(secs(5), lock.lock()).await;
            drop(guard.unwrap_or_else(|_| panic!("the lock stays held after '{how}'")).unwrap());
        }
    });
}

#[farloop::task]
async fn take(lock: Lock) -> farloop::Result<u64> {
    Ok(lock.lock().await?.token())
}

#[test]
fn a_cancelled_waiter_keeps_nothing() {
    cluster().run(async || {
        let lock = Lock::new();
        let guard = lock.lock().await.unwrap();
        let waiting = create_task(take(lock.clone()));
        let behind = create_task(take(lock.clone()));
        farloop::sleep(secs(1)).await.unwrap();
        waiting.cancel("enough");
        assert!(waiting.await.unwrap_err().is_cancelled());
        drop(guard);
        behind.await.unwrap();
        // A future that is dropped in the line, and one whose permit is on its way.
        let guard = lock.lock().await.unwrap();
        let mut dropped = Box::pin(lock.lock());
        assert!(futures_util::poll!(&mut dropped).is_pending());
        drop(guard);
        drop(dropped);
        wait_for(farloop::local(async move { Ok(lock.lock().await?.token()) }), secs(5)).await.unwrap();
    });
}

#[test]
fn a_semaphore_lets_so_many_in() {
    #[farloop::task]
    async fn nap(semaphore: Semaphore) -> farloop::Result<()> {
        let _permit = semaphore.acquire().await?;
        farloop::sleep(Duration::from_secs(1)).await
    }
    let took = Cluster::new().workers(2).slots(1).run(async || {
        let semaphore = Semaphore::new(2);
        let began = tokio::time::Instant::now();
        let tasks: Vec<_> = (0..5).map(|_| create_task(nap(semaphore.clone()))).collect();
        farloop::sleep(Duration::from_millis(500)).await.unwrap();
        assert!(semaphore.locked().await.unwrap());
        gather_all(tasks).await.unwrap();
        let took = began.elapsed();
        let _one = semaphore.try_acquire().await.unwrap().expect("all are back");
        let _two = semaphore.acquire().await.unwrap();
        assert!(semaphore.try_acquire().await.unwrap().is_none());
        took
    });
    assert_eq!(took.as_millis(), 3_000);
}

#[test]
fn waiting_gives_the_slot_back() {
    #[farloop::task]
    async fn waits(event: Event) -> farloop::Result<()> {
        event.wait().await
    }
    #[farloop::task]
    async fn sets(event: Event) -> farloop::Result<()> {
        event.set().await
    }
    Cluster::new().slots(1).run(async || {
        let event = Event::new();
        let waiters: Vec<_> = (0..100).map(|_| create_task(waits(event.clone()))).collect();
        wait_for(sets(event.clone()), secs(10)).await.unwrap();
        gather_all(waiters).await.unwrap();
        assert!(event.is_set().await.unwrap());
        event.clear().await.unwrap();
        assert!(!event.is_set().await.unwrap());
    });
}

#[test]
fn set_and_cleared_at_once_an_event_lets_those_through_who_waited() {
    cluster().run(async || {
        let event = Event::named("go");
        let mut first = Box::pin(event.wait());
        assert!(futures_util::poll!(&mut first).is_pending());
        let (set, clear) = tokio::join!(event.set(), event.clear());
        set.unwrap();
        clear.unwrap();
        first.await.unwrap();
        assert!(!event.is_set().await.unwrap());
    });
}

#[test]
fn a_queue_is_bounded_ordered_and_counts_its_work() {
    cluster().run(async || {
        let queue = Queue::<u32>::named("jobs", 2);
        queue.put(1).await.unwrap();
        queue.put_nowait(2).await.unwrap();
        assert_eq!(refused(&queue.put_nowait(3).await.unwrap_err()), SyncError::QueueFull);
        assert!(queue.full().await.unwrap());
        let mut third = Box::pin(queue.put(3));
        assert!(futures_util::poll!(&mut third).is_pending());
        assert_eq!(queue.get().await.unwrap(), 1);
        third.await.unwrap();
        assert_eq!((queue.get().await.unwrap(), queue.get_nowait().await.unwrap()), (2, 3));
        assert_eq!(refused(&queue.get_nowait().await.unwrap_err()), SyncError::QueueEmpty);
        let mut joined = Box::pin(queue.join());
        assert!(futures_util::poll!(&mut joined).is_pending());
        for _ in 0..3 {
            queue.task_done().await.unwrap();
        }
        joined.await.unwrap();
        let error = queue.task_done().await.unwrap_err();
        assert_eq!(error.to_string(), "task_done() called too many times");
    });
}

#[test]
fn lifo_and_priority() {
    cluster().run(async || {
        let stack = Queue::<u32>::new(0).lifo();
        let heap = Queue::<u32>::new(0).by_priority();
        for n in [3, 1, 2] {
            stack.put(n).await.unwrap();
            heap.put_at(i64::from(n), n * 10).await.unwrap();
        }
        for n in [2, 1, 3] {
            assert_eq!(stack.get().await.unwrap(), n);
        }
        for n in [10, 20, 30] {
            assert_eq!(heap.get().await.unwrap(), n);
        }
    });
}

#[test]
fn an_item_whose_getter_gave_up_stays() {
    #[farloop::task]
    async fn get(queue: Queue<u32>) -> farloop::Result<u32> {
        queue.get().await
    }
    cluster().run(async || {
        let queue = Queue::<u32>::new(0);
        let getter = create_task(get(queue.clone()));
        farloop::sleep(secs(1)).await.unwrap();
        let mut dropped = Box::pin(queue.get());
        assert!(futures_util::poll!(&mut dropped).is_pending());
        getter.cancel(());
        assert!(getter.await.unwrap_err().is_cancelled());
        // On its way to the future that is dropped before it looks.
        queue.put(1).await.unwrap();
        queue.put(2).await.unwrap();
        drop(dropped);
        assert_eq!(queue.get().await.unwrap(), 1);
        assert_eq!(queue.get().await.unwrap(), 2);
    });
}

#[test]
fn shutdown_unblocks_everybody() {
    cluster().run(async || {
        let queue = Queue::<u32>::new(1);
        queue.put(1).await.unwrap();
        let mut putter = Box::pin(queue.put(2));
        assert!(futures_util::poll!(&mut putter).is_pending());
        queue.shutdown(false).await.unwrap();
        assert_eq!(refused(&putter.await.unwrap_err()), SyncError::QueueShutDown);
        assert_eq!(refused(&queue.put_nowait(3).await.unwrap_err()), SyncError::QueueShutDown);
        assert_eq!(queue.get().await.unwrap(), 1);
        assert_eq!(refused(&queue.get().await.unwrap_err()), SyncError::QueueShutDown);

        let queue = Queue::<u32>::new(0);
        let mut getter = Box::pin(queue.get());
        assert!(futures_util::poll!(&mut getter).is_pending());
        queue.shutdown(true).await.unwrap();
        assert_eq!(refused(&getter.await.unwrap_err()), SyncError::QueueShutDown);
        let queue = Queue::<u32>::new(0);
        queue.put(1).await.unwrap();
        let mut joined = Box::pin(queue.join());
        assert!(futures_util::poll!(&mut joined).is_pending());
        queue.shutdown(true).await.unwrap();
        joined.await.unwrap();
        assert_eq!(queue.qsize().await.unwrap(), 0);
    });
}

#[test]
fn a_barrier_lets_all_go_together_and_can_break() {
    #[farloop::task]
    async fn meet(barrier: Barrier) -> farloop::Result<u64> {
        barrier.wait().await
    }
    cluster().run(async || {
        let barrier = Barrier::new(3);
        for _ in 0..2 {
            let mut indices = gather_all((0..3).map(|_| meet(barrier.clone()))).await.unwrap();
            indices.sort_unstable();
            assert_eq!(indices, [0, 1, 2]);
        }
        let waiting = create_task(meet(barrier.clone()));
        farloop::sleep(secs(1)).await.unwrap();
        assert_eq!(barrier.n_waiting().await.unwrap(), 1);
        barrier.reset().await.unwrap();
        let error = waiting.await.unwrap_err();
        assert_eq!(error.downcast::<SyncError>(), Some(SyncError::BrokenBarrier));
        assert!(!barrier.broken().await.unwrap());
        barrier.abort().await.unwrap();
        assert!(barrier.broken().await.unwrap());
        assert_eq!(refused(&barrier.wait().await.unwrap_err()), SyncError::BrokenBarrier);
        barrier.reset().await.unwrap();
        // One that gives up does not count.
        let waiting = create_task(meet(barrier.clone()));
        farloop::sleep(secs(1)).await.unwrap();
        waiting.cancel(());
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert_eq!(barrier.n_waiting().await.unwrap(), 0);
        assert!(Barrier::new(0).wait().await.unwrap_err().to_string().contains("parties must be > 0"));
    });
}

#[farloop::task]
async fn consume(condition: Condition, ready: Queue<u32>) -> farloop::Result<u64> {
    let mut guard = condition.lock().await?;
    let before = guard.token();
    ready.put(1).await?;
    let waited = condition.wait(&mut guard).await;
    guard.check().await?;
    assert!(guard.token() > before);
    waited.map(|()| guard.token())
}

#[test]
fn a_condition_takes_its_lock_again_even_when_cancelled() {
    cluster().run(async || {
        let (condition, ready) = (Condition::new(), Queue::<u32>::new(0));
        let tasks: Vec<_> = (0..3).map(|_| create_task(consume(condition.clone(), ready.clone()))).collect();
        for _ in 0..3 {
            ready.get().await.unwrap();
        }
        let guard = condition.lock().await.unwrap();
        tasks[0].cancel("stop");
        farloop::sleep(secs(1)).await.unwrap();
        assert!(!tasks[0].done(), "it waits for the lock, which is held here");
        condition.notify(&guard, 1).await.unwrap();
        farloop::sleep(secs(1)).await.unwrap();
        assert!(tasks.iter().all(|t| !t.done()), "whoever is notified waits for the lock");
        drop(guard);
        assert!(tasks[0].clone().await.unwrap_err().is_cancelled());
        let done = wait(&tasks[1..]).return_when(ReturnWhen::FirstCompleted).await.unwrap();
        assert_eq!((done.done.len(), done.pending.len()), (1, 1));
        let guard = condition.lock().await.unwrap();
        condition.notify_all(&guard).await.unwrap();
        drop(guard);
        gather_all(tasks[1..].to_vec()).await.unwrap();
        assert!(!condition.condition_lock().locked().await.unwrap());
    });
}

#[test]
fn a_notification_of_one_that_is_cancelled_goes_to_another() {
    cluster().run(async || {
        let (condition, ready) = (Condition::new(), Queue::<u32>::new(0));
        let first = create_task(consume(condition.clone(), ready.clone()));
        ready.get().await.unwrap();
        let second = create_task(consume(condition.clone(), ready.clone()));
        ready.get().await.unwrap();
        let guard = condition.lock().await.unwrap();
        condition.notify(&guard, 1).await.unwrap();
        first.cancel(());
        farloop::sleep(secs(1)).await.unwrap();
        drop(guard);
        assert!(first.await.unwrap_err().is_cancelled());
        wait_for(second, secs(5)).await.unwrap();
    });
}

#[test]
fn the_representation_says_what_a_task_waits_for() {
    cluster().run(async || {
        let lock = Lock::named("db");
        let _guard = lock.lock().await.unwrap();
        let task = create_task(farloop::local(async move { Ok(lock.lock().await?.token()) }));
        farloop::sleep(secs(1)).await.unwrap();
        let shown = format!("{task:?}");
        assert!(shown.contains("wait_for=<lock 'db'>"), "{shown}");
        task.cancel(());
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn errors_of_use() {
    let without = futures_executor(async { Lock::named("db").lock().await.unwrap_err() });
    assert!(matches!(without, Error::NoRunningLoop(_)), "{without:?}");
    cluster().run(async || {
        let (a, b) = (Lock::new(), Lock::new());
        let guard = a.lock().await.unwrap();
        let error = Condition::of(&b).notify(&guard, 1).await.unwrap_err();
        assert!(matches!(error, Error::Misuse(_)), "{error:?}");
        let error = Lock::named("n".repeat(300)).lock().await.unwrap_err();
        assert!(matches!(error, Error::ResourceExhausted(_)) && error.to_string().contains("MAX_NAME"), "{error}");
    });
}

fn futures_executor<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let waker = std::task::Waker::from(Arc::new(Nobody));
    match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it should fail at once"),
    }
}

struct Nobody;

impl std::task::Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}
