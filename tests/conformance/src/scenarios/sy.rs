//! SY: locks, events, queues and barriers (rows 349-354).

use std::cell::RefCell;
use std::rc::Rc;

use farloop::Error;
use farloop::prelude::*;
use farloop::sync::{Barrier, Condition, Event, Lock, Queue, Semaphore, SyncError};
use serde_json::json;

use crate::bodies::locks::{arrives, gets, puts, takes, uses, waits_for_event, waits_notified, waits_then};
use crate::judge::{Check, holds, same};
use crate::oracle::oracle;
use crate::registry::{Row, rows};
use crate::run::Run;

/// The rows of this file.
pub const ROWS: &[Row] = rows! {
    covered row_349_an_event_wakes_all_in_order_and_set_before_wait_does_not_block;
    covered row_350_locks_and_semaphores_are_first_in_first_out_and_cancel_safe;
    covered row_351_a_condition_takes_its_lock_again_even_when_cancelled;
    covered row_352_a_queue_is_bounded_ordered_and_cancel_safe;
    covered row_353_shutdown_unblocks_all_with_a_typed_error;
    covered row_354_a_barrier_and_its_reset_and_abort;
};

/// What it was refused with, here or in a body.
fn refused<T>(result: Result<T, Error>) -> Option<SyncError> {
    match result.err()? {
        Error::Sync(error) => Some(error),
        other => other.downcast(),
    }
}

/// Time for what was scheduled to come to its await: on the virtual clock one moment, across processes a while.
async fn parked(run: &Run) -> farloop::Result<()> {
    run.sleep(0.5).await
}

async fn row_349_an_event_wakes_all_in_order_and_set_before_wait_does_not_block(run: Run) -> Check {
    let (event, order) = (Event::new(), Queue::<u32>::new(0));
    let mut tasks = Vec::new();
    for n in 0..3 {
        tasks.push(create_task(waits_then(event.clone(), order.clone(), n)));
        parked(&run).await?;
    }
    holds(!event.is_set().await? && tasks.iter().all(|t| !t.done()), "all wait")?;
    event.set().await?;
    gather_all(tasks).await?;
    let mut woken = Vec::new();
    for _ in 0..3 {
        woken.push(order.get().await?);
    }
    // Woken in order, on three workers; each puts its number when it gets round to it.
    woken.sort_unstable();
    let want = oracle("SY1").out[0].as_array().expect("the probe's order")[..3].to_vec();
    same(&woken, &want)?;
    // On one loop the order of waking shows.
    event.clear().await?;
    let woken = Rc::new(RefCell::new(Vec::new()));
    let mut tasks = Vec::new();
    for n in 0..3 {
        let (event, woken) = (event.clone(), woken.clone());
        tasks.push(create_task(farloop::local(async move {
            event.wait().await?;
            woken.borrow_mut().push(n);
            Ok(())
        })));
        parked(&run).await?;
    }
    event.set().await?;
    gather_all(tasks).await?;
    same(&*woken.borrow(), &want)?;
    waits_for_event(event.clone()).await?;
    event.wait().await?;
    event.clear().await?;
    holds(!event.is_set().await?, "cleared")
}

async fn row_350_locks_and_semaphores_are_first_in_first_out_and_cancel_safe(run: Run) -> Check {
    // SY1: two at a time.
    let (semaphore, inside) = (Semaphore::new(2), Queue::<u32>::new(0));
    let began = run.time();
    let users = (0..5).map(|_| uses(run.journal.clone(), semaphore.clone(), inside.clone()));
    let peak = gather_all(users).await?.into_iter().max();
    same(peak, &oracle("SY1").out[1])?;
    if run.exact() {
        same(run.time() - began, &oracle("SY1").out[2])?;
    }
    holds(!semaphore.locked().await?, "all are back")?;
    // First in, first out; one that is cancelled in the line is passed over and keeps nothing.
    let lock = Lock::new();
    let guard = lock.lock().await?;
    let before = run.lines().len();
    let mut tasks = Vec::new();
    for name in ["a", "b", "c"] {
        tasks.push(create_task(takes(run.journal.clone(), lock.clone(), name.to_owned())));
        parked(&run).await?;
    }
    tasks[1].cancel(());
    holds(tasks[1].clone().await.is_err_and(|e| e.is_cancelled()), "cancelled")?;
    let first = guard.token();
    drop(guard);
    let tokens = gather((&tasks[0], &tasks[2])).await?;
    same(run.texts().split_off(before), ["got a", "got c"])?;
    holds(first < tokens.0 && tokens.0 < tokens.1, "tokens grow")?;
    // CA16, the lock: a cancel that comes with the release, whichever is first.
    let guard = lock.lock().await?;
    let task = create_task(takes(run.journal.clone(), lock.clone(), "raced".to_owned()));
    parked(&run).await?;
    drop(guard);
    task.cancel(());
    let _ = wait([&task]).await?;
    same(lock.locked().await?, &oracle("CA16").out[4])
}

async fn row_351_a_condition_takes_its_lock_again_even_when_cancelled(run: Run) -> Check {
    let condition = Condition::new();
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let ready = Event::new();
        tasks.push(create_task(waits_notified(condition.clone(), ready.clone())));
        ready.wait().await?;
    }
    let guard = condition.lock().await?;
    tasks[0].cancel("stop");
    parked(&run).await?;
    holds(!tasks[0].done(), "it waits for its lock")?;
    // Notified and cancelled: the notification is not lost.
    condition.notify(&guard, 1).await?;
    drop(guard);
    holds(tasks[0].clone().await.is_err_and(|e| e.is_cancelled()), "it had its lock again, or its check had failed")?;
    tasks[1].clone().await?;
    holds(!condition.condition_lock().locked().await?, "and let it go")
}

async fn row_352_a_queue_is_bounded_ordered_and_cancel_safe(run: Run) -> Check {
    let queue = Queue::<u32>::new(1);
    let mut told = Vec::new();
    queue.put_nowait(1).await?;
    if refused(queue.put_nowait(2).await) == Some(SyncError::QueueFull) {
        told.push("full".to_owned());
    }
    // A putter waits for room, and is served in order.
    let putter = create_task(puts(queue.clone(), 2));
    parked(&run).await?;
    holds(!putter.done() && queue.full().await?, "no room")?;
    same(queue.get_nowait().await?, 1)?;
    putter.await?;
    same(queue.get().await?, 2)?;
    if refused(queue.get_nowait().await) == Some(SyncError::QueueEmpty) {
        told.push("empty".to_owned());
    }
    let joined = create_task(farloop::local({
        let queue = queue.clone();
        async move { queue.join().await }
    }));
    queue.task_done().await?;
    holds(!joined.done(), "one is unfinished")?;
    queue.task_done().await?;
    joined.await?;
    let too_often = refused(queue.task_done().await);
    told.push(format!("ValueError({})", too_often.map_or_else(String::new, |e| e.to_string())));
    same(&told, &oracle("SY1").out[0].as_array().expect("the probe's order")[3..])?;
    // CA16: cancelled waiters leave nothing behind, and take nothing with them.
    let (queue, event, lock) = (Queue::<u32>::new(0), Event::new(), Lock::new());
    let guard = lock.lock().await?;
    let mut out = Vec::new();
    let getter = create_task(gets(queue.clone()));
    let waiter = create_task(waits_for_event(event));
    let locker = create_task(takes(run.journal.clone(), lock.clone(), "no".to_owned()));
    parked(&run).await?;
    getter.cancel(());
    waiter.cancel(());
    locker.cancel(());
    for ended in [getter.await.err(), waiter.await.err(), locker.await.err()] {
        out.push(json!(if ended.is_some_and(|e| e.is_cancelled()) { "cancelled" } else { "?" }));
    }
    queue.put_nowait(1).await?;
    out.push(json!(queue.qsize().await?));
    guard.release().await?;
    out.push(json!(lock.locked().await?));
    same(json!(out), oracle("CA16").out)?;
    // An item that crosses the cancel of its getter is either got or still there.
    let getter = create_task(gets(queue.clone()));
    getter.cancel(());
    match getter.await {
        Ok(item) => same(item, 1),
        Err(error) => {
            holds(error.is_cancelled(), "cancelled")?;
            same(queue.get().await?, 1)
        }
    }
}

async fn row_353_shutdown_unblocks_all_with_a_typed_error(run: Run) -> Check {
    // Not empty: what is in it may still be got.
    let queue = Queue::<u32>::new(1);
    queue.put(1).await?;
    let putter = create_task(puts(queue.clone(), 2));
    parked(&run).await?;
    queue.shutdown(false).await?;
    same(refused(putter.await), Some(SyncError::QueueShutDown))?;
    same(refused(queue.put_nowait(3).await), Some(SyncError::QueueShutDown))?;
    same(queue.get().await?, 1)?;
    same(refused(queue.get().await), Some(SyncError::QueueShutDown))?;
    // Empty: getters are told at once.
    let queue = Queue::<u32>::new(0);
    let getter = create_task(gets(queue.clone()));
    parked(&run).await?;
    queue.shutdown(false).await?;
    same(refused(getter.await), Some(SyncError::QueueShutDown))?;
    // Immediately: what is in it is dropped, and counts as done.
    let queue = Queue::<u32>::new(0);
    queue.put(1).await?;
    queue.shutdown(true).await?;
    queue.join().await?;
    same(refused(queue.get_nowait().await), Some(SyncError::QueueShutDown))?;
    same(queue.qsize().await?, 0)
}

async fn row_354_a_barrier_and_its_reset_and_abort(run: Run) -> Check {
    let barrier = Barrier::new(3);
    for _ in 0..2 {
        let mut indices = gather_all((0..3).map(|_| arrives(barrier.clone()))).await?;
        indices.sort_unstable();
        same(indices, [0, 1, 2])?;
    }
    let waiting = create_task(arrives(barrier.clone()));
    parked(&run).await?;
    same((barrier.n_waiting().await?, barrier.parties()), (1, 3))?;
    barrier.reset().await?;
    same(refused(waiting.await), Some(SyncError::BrokenBarrier))?;
    holds(!barrier.broken().await?, "as new")?;
    let waiting = create_task(arrives(barrier.clone()));
    parked(&run).await?;
    barrier.abort().await?;
    same(refused(waiting.await), Some(SyncError::BrokenBarrier))?;
    same(refused(barrier.wait().await), Some(SyncError::BrokenBarrier))?;
    holds(barrier.broken().await?, "until it is reset")?;
    barrier.reset().await?;
    // One that is cancelled does not count.
    let waiting = create_task(arrives(barrier.clone()));
    parked(&run).await?;
    waiting.cancel(());
    holds(waiting.await.is_err_and(|e| e.is_cancelled()), "cancelled")?;
    same(barrier.n_waiting().await?, 0)
}
