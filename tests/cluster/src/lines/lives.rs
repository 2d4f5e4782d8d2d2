//! How an actor ends, and what begins again after that.

use farloop::Error;
use farloop::actor::{Restart, Supervisor};
use farloop::prelude::*;

use super::{BEAT, Counter, Diary, Kept};
use crate::until;

/// Stopping finishes the mailbox, killing does not; both are told to whoever calls or watches.
///
/// # Errors
/// It is not so.
pub async fn stops_and_kills() -> farloop::Result<()> {
    let counter = Counter::spawn(0).await?;
    let watch = counter.watch();
    let calls: Vec<_> = (0..3).map(|_| ensure_future(counter.slow_add(1))).collect();
    let stop = ensure_future(counter.stop());
    assert_eq!(gather_all(calls).await?, [1, 2, 3]);
    stop.await?;
    watch.await?;
    let dead = counter.peek().await.unwrap_err();
    assert!(matches!(dead, Error::ActorDied(_)) && dead.to_string().contains("stopped"), "{dead}");

    let counter = Counter::spawn(0).await?;
    let watch = counter.watch();
    assert_eq!(counter.add(1).await?, 1);
    let diary = Diary::spawn().await?;
    let (running, queued) = (ensure_future(counter.park_noted(&diary)), ensure_future(counter.slow_add(1)));
    until("it runs", async || (!diary.lines().await.unwrap().is_empty()).then_some(())).await;
    counter.kill().await?;
    let (running, queued) = (running.await.unwrap_err(), queued.await.unwrap_err());
    assert!(matches!(running, Error::ActorDied(_)), "{running:?}");
    assert_eq!(running.may_have_run(), Some(true), "{running:?}");
    assert!(matches!(queued, Error::ActorDied(_)), "{queued:?}");
    assert!(watch.await.unwrap_err().is_cancelled());
    counter.kill().await?;
    Ok(())
}

/// A panic ends the incarnation; the policy says what comes after it, and how often.
///
/// # Errors
/// It is not so.
pub async fn restarts() -> farloop::Result<()> {
    let policy = Restart::on_failure().at_most(1).backoff(BEAT);
    let counter = Counter::spawn(5).restart(policy).await?;
    let watch = counter.watch();
    counter.add(1).await?;
    let boom = counter.boom().await.unwrap_err();
    assert!(boom.to_string().contains("on purpose"), "{boom}");
    assert_eq!(counter.peek().await?, 5, "from the first arguments");
    assert!(!watch.done());
    assert!(counter.boom().await.is_err());
    let why = watch.await.unwrap_err();
    assert!(why.to_string().contains("on purpose"), "{why}");
    let dead = counter.peek().await.unwrap_err();
    assert!(matches!(dead, Error::ActorDied(_)) && dead.to_string().contains("on purpose"), "{dead}");

    let never = Counter::spawn(5).restart(Restart::never()).await?;
    assert!(never.boom().await.is_err());
    assert!(never.watch().await.is_err());

    let always = Counter::spawn(5).restart(Restart::always().at_most(2)).name("always").await?;
    always.add(1).await?;
    assert!(always.boom().await.is_err());
    assert_eq!(always.peek().await?, 5);
    always.kill().await?;
    Ok(())
}

/// `on_start`, `on_restart`, `on_stop`.
///
/// # Errors
/// It is not so.
pub async fn hooks() -> farloop::Result<()> {
    let diary = Diary::spawn().await?;
    let kept = Kept::spawn("it", &diary).restart(Restart::on_failure().at_most(1).backoff(BEAT)).await?;
    assert_eq!(kept.put_saved(1).await?, 1);
    assert!(kept.boom().await.is_err());
    assert_eq!(kept.items().await?, [1]);
    kept.stop().await?;
    assert_eq!(diary.lines().await?, ["it starts", "it starts again", "it stops"]);
    Ok(())
}

/// One starts again alone, or all of them together.
///
/// # Errors
/// It is not so.
pub async fn supervisors() -> farloop::Result<()> {
    let policy = || Restart::on_failure().at_most(3).backoff(BEAT);
    let team = Supervisor::one_for_one().restart(policy());
    let (a, b) = (team.spawn(Counter::spawn(1)).await?, team.spawn(Counter::spawn(2)).await?);
    gather((a.add(10), b.add(10))).await?;
    assert!(a.boom().await.is_err());
    assert_eq!(gather((a.peek(), b.peek())).await?, (1, 12));
    team.stop().await?;
    assert!(!a.exists().await? && !b.exists().await?);

    let team = Supervisor::one_for_all().restart(policy());
    let (a, b) = (team.spawn(Counter::spawn(1)).await?, team.spawn(Counter::spawn(2)).await?);
    gather((a.add(10), b.add(10))).await?;
    assert!(a.boom().await.is_err());
    assert_eq!(a.peek().await?, 1);
    until("the other one begins anew, too", async || (b.peek().await.unwrap() == 2).then_some(())).await;
    drop(team);
    assert!(a.watch().await.unwrap_err().is_cancelled());
    assert!(b.watch().await.unwrap_err().is_cancelled());
    Ok(())
}
