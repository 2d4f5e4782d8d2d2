//! Who an actor is: a handle, a name, a name that makes it; and how long it lasts.

use farloop::Error;
use farloop::prelude::*;

use super::{BEAT, Cart, Counter, leaves_two};
use crate::until;

/// `spawn`, `name`, `get_or_spawn`, `lookup`, `exists`.
///
/// # Errors
/// It is not so.
pub async fn names() -> farloop::Result<()> {
    let missing = Counter::lookup("hits").await.unwrap_err();
    assert!(matches!(missing, Error::ActorDied(_)), "{missing:?}");
    let hits = Counter::spawn(1).name("hits").get_or_spawn().await?;
    assert_eq!((hits.name(), hits.id().is_some()), (Some("hits"), true));
    let again = Counter::spawn(100).name("hits").get_or_spawn().await?;
    assert_eq!(hits, again);
    again.add(1).await?;
    assert_eq!(Counter::lookup("hits").await?.peek().await?, 2);
    let taken = Counter::spawn(5).name("hits").await.unwrap_err();
    assert!(taken.to_string().contains("hits"), "{taken}");
    // Before it is up: calls wait for it.
    let early = Counter::spawn(7).name("early").get_or_spawn().start()?;
    assert_eq!(early.add(1).await?, 8);
    assert!(early.exists().await?);
    early.stop().await?;
    assert!(!early.exists().await?);
    Ok(())
}

/// Made by a first call, asleep when nobody calls, and awake with what it had.
///
/// # Errors
/// It is not so.
pub async fn on_demand() -> farloop::Result<()> {
    let cart = Cart::at("ada");
    assert_eq!(cart.put("tea").await?, 1);
    assert_eq!(gather((cart.owner(), Cart::at("bob").owner())).await?, (("ada".into(), 1), ("bob".into(), 1)));
    let mut pause = BEAT * 10;
    until("it slept", async || {
        farloop::sleep(pause).await.unwrap();
        pause *= 2;
        (cart.owner().await.unwrap().1 > 1).then_some(())
    })
    .await;
    assert_eq!(cart.put("milk").await?, 2, "it remembers");
    Ok(())
}

/// Ends with its body, its group, or nobody.
///
/// # Errors
/// It is not so.
pub async fn lifetimes() -> farloop::Result<()> {
    let (owned, nobodys) = leaves_two().await?;
    assert!(owned.watch().await.unwrap_err().is_cancelled());
    assert_eq!(nobodys.peek().await?, 2);
    nobodys.stop().await?;

    let (member, told) = TaskGroup::scope(async |group| {
        let member = group.spawn(Counter::spawn(0)).await?;
        let told = ensure_future(member.slow_add(1));
        Ok((member, told))
    })
    .await?;
    assert_eq!(told.await?, 1, "the group lets it finish its mailbox");
    member.watch().await?;

    let mut killed = None;
    let failed = TaskGroup::scope(async |group| {
        killed = Some(group.spawn(Counter::spawn(0)).await?);
        Err::<(), _>(Error::msg("no"))
    })
    .await;
    assert!(matches!(failed, Err(Error::Group(_))), "{failed:?}");
    let Some(killed) = killed else { return Err(Error::msg("the group made none")) };
    assert!(killed.watch().await.unwrap_err().is_cancelled());
    Ok(())
}
