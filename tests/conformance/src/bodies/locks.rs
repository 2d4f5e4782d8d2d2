//! Bodies that wait for locks, events, queues and barriers of the cluster, wherever they run.

use farloop::sync::{Barrier, Condition, Event, Lock, Queue, Semaphore};

use crate::journal::Journal;

/// SY1: waits, then says so in a queue.
#[farloop::task]
pub async fn waits_then(event: Event, order: Queue<u32>, number: u32) -> farloop::Result<()> {
    event.wait().await?;
    order.put(number).await
}

/// Waits for an event.
#[farloop::task]
pub async fn waits_for_event(event: Event) -> farloop::Result<()> {
    event.wait().await
}

/// SY1: one second with a permit; how many were in at once, as the queue of those who are in says.
#[farloop::task]
pub async fn uses(journal: Journal, semaphore: Semaphore, inside: Queue<u32>) -> farloop::Result<u64> {
    let _permit = semaphore.acquire().await?;
    inside.put(1).await?;
    let now = inside.qsize().await?;
    farloop::sleep(journal.seconds(1.0)).await?;
    inside.get().await?;
    Ok(now)
}

/// Takes the lock, and says so.
#[farloop::task]
pub async fn takes(journal: Journal, lock: Lock, name: String) -> farloop::Result<u64> {
    let guard = lock.lock().await?;
    journal.by(&name).log(format!("got {name}"));
    Ok(guard.token())
}

/// Gets an item.
#[farloop::task]
pub async fn gets(queue: Queue<u32>) -> farloop::Result<u32> {
    queue.get().await
}

/// Puts an item.
#[farloop::task]
pub async fn puts(queue: Queue<u32>, item: u32) -> farloop::Result<()> {
    queue.put(item).await
}

/// Waits at a barrier.
#[farloop::task]
pub async fn arrives(barrier: Barrier) -> farloop::Result<u64> {
    barrier.wait().await
}

/// Waits to be notified, and whatever happens, asks whether it has its lock again.
#[farloop::task]
pub async fn waits_notified(condition: Condition, ready: Event) -> farloop::Result<()> {
    let mut guard = condition.lock().await?;
    ready.set().await?;
    let waited = condition.wait(&mut guard).await;
    guard.check().await?;
    waited
}

/// Adds the bodies of this file.
#[must_use]
pub fn offered(worker: farloop::Worker) -> farloop::Worker {
    worker
        .task::<waits_then>()
        .task::<waits_for_event>()
        .task::<uses>()
        .task::<takes>()
        .task::<gets>()
        .task::<puts>()
        .task::<arrives>()
        .task::<waits_notified>()
}
