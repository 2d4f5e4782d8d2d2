//! What outlives an incarnation: snapshots, and reminders; and what does not: timers.

use farloop::actor::Restart;

use super::{BEAT, Cart, Diary, Kept, Ticking};
use crate::until;

/// What was saved is there again; what was not is gone. With the reply means: both, or neither.
///
/// # Errors
/// It is not so.
pub async fn snapshots() -> farloop::Result<()> {
    let diary = Diary::spawn().await?;
    let kept = Kept::spawn("it", &diary).restart(Restart::on_failure().at_most(5).backoff(BEAT)).await?;
    assert_eq!(kept.put_saved(1).await?, 1);
    assert_eq!(kept.put(2).await?, 2);
    assert!(kept.boom().await.is_err());
    assert_eq!(kept.items().await?, [1], "what was told with the reply");
    assert!(kept.put_and_fail(3).await.is_err());
    assert_eq!(kept.put(4).await?, 3);
    assert!(kept.boom().await.is_err());
    assert_eq!(kept.items().await?, [1, 3], "what was saved on the way");
    Ok(())
}

/// They tick while their actor is there, and not after.
///
/// # Errors
/// It is not so.
pub async fn timers() -> farloop::Result<()> {
    let diary = Diary::spawn().await?;
    let ticking = Ticking::spawn(&diary).await?;
    until("it ticks", async || (diary.lines().await.unwrap().len() >= 3).then_some(())).await;
    ticking.stop().await?;
    let ticks = diary.lines().await?.len();
    farloop::sleep(BEAT * 10).await?;
    assert_eq!(diary.lines().await?.len(), ticks);
    Ok(())
}

/// They wake their actor, until they are cancelled.
///
/// # Errors
/// It is not so.
pub async fn reminders() -> farloop::Result<()> {
    let cart = Cart::at("reminded");
    // Longer than it stays awake alone.
    let every = BEAT * 25;
    let reminder = cart.put("more").remind("more", every).every(every).start()?;
    until("it was woken", async || {
        farloop::sleep(every * 2).await.unwrap();
        (cart.put("x").await.unwrap() >= 4).then_some(())
    })
    .await;
    reminder.cancel(());
    assert!(reminder.await.unwrap_err().is_cancelled());
    // A call that it had made before may still be on its way.
    cart.put("x").await?;
    farloop::sleep(every).await?;
    let items = cart.put("y").await?;
    farloop::sleep(every * 3).await?;
    assert_eq!(cart.put("z").await?, items + 1);
    Ok(())
}
