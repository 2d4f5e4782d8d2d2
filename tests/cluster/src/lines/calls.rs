//! Calls: coroutines, in order, in turns, with errors, cancels, deadlines, streams and bounded mailboxes.

use std::time::Duration;

use farloop::Error;
use farloop::prelude::*;

use super::{BEAT, Counter, Diary, Negative, add_from_a_task};
use crate::until;

/// Inert until awaited or scheduled; then what tasks are to `gather`, `wait_for`, `shield` and as arguments.
///
/// # Errors
/// It is not so.
pub async fn calls_are_coroutines() -> farloop::Result<()> {
    let counter = Counter::spawn(10).await?;
    counter.add(1_000).close();
    assert_eq!(counter.add(1).await?, 11);
    let task = ensure_future(counter.add(1));
    assert_eq!(gather((&task, counter.add(2))).await?, (12, 14));
    assert_eq!(wait_for(shield(counter.add(0)), Duration::from_secs(30)).await?, 14);
    let both = [ensure_future(counter.add(1)), ensure_future(counter.add(1))];
    let sets = wait(both).await?;
    assert_eq!((sets.done.len(), sets.pending.len()), (2, 0));
    // A task stands for an argument: the value never comes here.
    assert_eq!(counter.add(ensure_future(counter.peek())).await?, 32);
    Ok(())
}

/// In arguments and results, of calls and of tasks.
///
/// # Errors
/// It is not so.
pub async fn references_travel() -> farloop::Result<()> {
    let (counter, other) = gather((Counter::spawn(10), Counter::spawn(2))).await?;
    assert_eq!(add_from_a_task(&counter, 6).await?, 16);
    assert_eq!(counter.give(&other).await?, 18);
    let twin = counter.twin().await?;
    assert_ne!(twin, counter);
    assert_eq!(twin.peek().await?, 16);
    let bytes = serde_json::to_vec(&twin).map_err(Error::new)?;
    let again: super::CounterRef = serde_json::from_slice(&bytes).map_err(Error::new)?;
    assert_eq!(again.add(1).await?, 17);
    Ok(())
}

/// It answers its caller, and the actor lives.
///
/// # Errors
/// It is not so.
pub async fn errors_of_methods() -> farloop::Result<()> {
    let counter = Counter::spawn(1).await?;
    let error = counter.take(5).await.unwrap_err();
    assert_eq!(error.downcast::<Negative>(), Some(Negative(-4)));
    assert_eq!(counter.take(1).await?, 0);
    let error = Counter::spawn(-1).restart(farloop::actor::Restart::never()).await.unwrap_err();
    assert_eq!(error.downcast::<Negative>(), Some(Negative(-1)), "{error:?}");
    Ok(())
}

/// L13: `&mut self` one at a time, `&self` together, `interleave` together and with itself.
///
/// # Errors
/// It is not so.
pub async fn turns() -> farloop::Result<()> {
    let counter = Counter::spawn(0).await?;
    assert_eq!(gather_all((0..4).map(|_| counter.slow_add(1))).await?, [1, 2, 3, 4]);
    assert_eq!(gather_all((0..3).map(|_| counter.meet(3))).await?, [3; 3]);
    assert_eq!(gather_all((0..3).map(|_| counter.weave(7))).await?, [7; 3]);
    assert_eq!(counter.reenter(3).await?, 3, "who waits inside does not keep its own calls out");
    Ok(())
}

/// L12: as they were sent, also those that nobody waits for.
///
/// # Errors
/// It is not so.
pub async fn order() -> farloop::Result<()> {
    let counter = Counter::spawn(0).await?;
    let sums = gather_all((0..500).map(|_| counter.add(1))).await?;
    assert_eq!(sums, (1..=500).collect::<Vec<_>>());
    counter.add(1).tell()?;
    counter.add(1).tell()?;
    assert_eq!(counter.peek().await?, 502);
    Ok(())
}

/// In the queue it is removed; where it runs it surfaces inside the method.
///
/// # Errors
/// It is not so.
pub async fn cancels() -> farloop::Result<()> {
    let (counter, diary) = gather((Counter::spawn(0), Diary::spawn())).await?;
    let running = ensure_future(counter.park_noted(&diary));
    let queued = ensure_future(counter.add(10));
    until("it runs", async || (!diary.lines().await.unwrap().is_empty()).then_some(())).await;
    queued.cancel("not any more");
    assert!(queued.await.unwrap_err().is_cancelled());
    running.cancel(());
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(gather((counter.cancelled(), counter.peek())).await?, (1, 0));
    Ok(())
}

/// A call's time goes with the calls that it makes.
///
/// # Errors
/// It is not so.
pub async fn deadlines() -> farloop::Result<()> {
    let (counter, other) = gather((Counter::spawn(0), Counter::spawn(0))).await?;
    let late = counter.park_at(&other).timeout(BEAT * 10).await.unwrap_err();
    assert!(matches!(late, Error::TimedOut(_)), "{late:?}");
    // Neither is busy any more.
    assert_eq!(gather((counter.add(1), other.add(2))).await?, (1, 2));
    Ok(())
}

/// L23: as fast as they are taken.
///
/// # Errors
/// It is not so.
pub async fn streams() -> farloop::Result<()> {
    let counter = Counter::spawn(3).await?;
    assert_eq!(counter.countdown().collect().await?, [2, 1, 0]);
    assert_eq!(counter.count_up(6).collect().await?, [4, 5, 6]);
    let many = 10 * farloop_core::limits::STREAM_ITEMS as i64;
    let mut slow = counter.count_up(many).start();
    assert_eq!(slow.next().await.transpose()?, Some(7));
    farloop::sleep(BEAT * 10).await?;
    drop(slow);
    let reached = counter.peek().await?;
    assert!(reached < many, "{reached}: it did not run ahead of who takes");
    Ok(())
}

/// Full means an error that names the limit, or waiting.
///
/// # Errors
/// It is not so.
pub async fn mailboxes() -> farloop::Result<()> {
    let counter = Counter::spawn(0).mailbox(2).await?;
    // All in one turn of the loop: they leave together.
    let running = ensure_future(counter.park());
    let calls: Vec<_> = (0..2).map(|_| ensure_future(counter.slow_add(1))).collect();
    let refused = counter.slow_add(1).await.unwrap_err();
    assert!(matches!(refused, Error::ResourceExhausted(_)) && refused.to_string().contains("MAILBOX"), "{refused}");
    let waiting = ensure_future(counter.slow_add(1).waits());
    running.cancel(());
    assert_eq!(gather_all(calls).await?, [1, 2]);
    assert_eq!(waiting.await?, 3);
    let counter = Counter::spawn(0).per_caller(1).await?;
    let first = ensure_future(counter.park());
    let refused = counter.slow_add(1).await.unwrap_err();
    assert!(refused.to_string().contains("MAILBOX_PER_CALLER"), "{refused}");
    first.cancel(());
    assert!(first.await.is_err());
    Ok(())
}

/// A cycle is found and answered with its path, and everybody in it lives.
///
/// # Errors
/// It is not so.
pub async fn cycles() -> farloop::Result<()> {
    let (a, b) = gather((Counter::spawn(1), Counter::spawn(2))).await?;
    let error = a.call_me().await.unwrap_err();
    assert!(error.to_string().contains("deadlock"), "{error}");
    let error = a.call_round(vec![b.clone(), a.clone()]).await.unwrap_err();
    let Error::Deadlock(path) = &error else { return Err(Error::msg(format!("it ended as {error}"))) };
    assert_eq!(path.len(), 3, "two calls of one and one of the other");
    assert_eq!(gather((a.add(1), b.add(1))).await?, (2, 3));
    Ok(())
}
