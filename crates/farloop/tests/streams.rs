//! Remote generators, on clusters in this process with virtual time (L23).

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farloop::prelude::*;
use farloop::testing::Cluster;
use farloop::{Stream, Yielder};
use futures_util::StreamExt;
use futures_util::stream;

#[farloop::stream]
fn countdown(from: u32) -> impl Stream<Item = u32> {
    stream::iter((0..from).rev())
}

#[farloop::stream]
async fn ticking(from: u32, every: u64, out: Yielder<u32>) -> farloop::Result<()> {
    for n in (0..from).rev() {
        out.send(n).await?;
        farloop::sleep(Duration::from_millis(every)).await?;
    }
    Ok(())
}

#[farloop::test]
async fn items_come_in_order_and_end() -> farloop::Result<()> {
    let mut ticks = countdown(3);
    assert!(ticks.task_id().is_none(), "inert until the first item is asked for");
    let mut seen = Vec::new();
    while let Some(n) = ticks.next().await {
        seen.push(n?);
    }
    assert_eq!(seen, [2, 1, 0]);
    assert!(ticks.next().await.is_none() && ticks.yielded() == 3);
    assert_eq!(ticking(3, 10).collect().await?, [2, 1, 0]);
    assert!(countdown(0).collect().await?.is_empty());
    Ok(())
}

#[farloop::test(workers = 2)]
async fn it_is_a_stream_like_any_other() -> farloop::Result<()> {
    let doubled: Vec<u32> =
        StreamExt::collect::<Vec<_>>(countdown(1_000).map(|n| n.unwrap() * 2)).await.into_iter().rev().collect();
    assert_eq!(doubled, (0..1_000).map(|n| n * 2).collect::<Vec<_>>());
    Ok(())
}

#[farloop::test]
async fn options_and_untyped_calls() -> farloop::Result<()> {
    // A definition is learnt by the first typed call.
    assert_eq!(countdown(1).name("down").label("a", "b").priority(2).collect().await?, [0]);
    let mut ticks = farloop::call("farloop.countdown").arg(2).stream::<u8>().start();
    assert!(ticks.task_id().is_some());
    assert_eq!(ticks.next().await.unwrap()?, 1);
    assert_eq!(ticks.next().await.unwrap()?, 0);
    assert!(ticks.next().await.is_none());
    // Without a consumer the items are one list.
    assert_eq!(farloop::call("farloop.countdown").arg(3).returns::<Vec<u32>>().await?, [2, 1, 0]);
    assert_eq!(farloop::call("farloop.countdown").arg(0).await?, serde_json::json!([]));
    let wrong = farloop::call("farloop.countdown").arg("x").stream::<u32>().collect().await.unwrap_err();
    assert!(wrong.to_string().contains("argument 1"), "{wrong}");
    let slow = ticking(9, 1_000).timeout(Duration::from_millis(1_500)).collect().await.unwrap_err();
    assert!(matches!(slow, farloop::Error::TimedOut(_)), "{slow:?}");
    assert!(slow.to_string().contains("2 items of this stream had come"), "{slow}");
    countdown(1).close();
    Ok(())
}

#[farloop::task]
async fn plain(n: u32) -> u32 {
    n
}

#[farloop::test]
async fn what_is_no_stream_says_so() -> farloop::Result<()> {
    assert_eq!(plain(1).await?, 1);
    let error = farloop::call("farloop.plain").arg(1).stream::<u32>().collect().await.unwrap_err();
    assert!(error.to_string().contains("is no stream"), "{error}");
    // Items of another type than the caller thinks: an error, and the producer is stopped.
    assert_eq!(countdown(1).collect().await?, [0]);
    let mut wrong = farloop::call("farloop.countdown").arg(1_000_000).stream::<String>();
    let error = wrong.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("expected alloc::string::String"), "{error}");
    assert!(wrong.next().await.is_none());
    Ok(())
}

#[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize, PartialEq)]
#[error("no more after {0}")]
struct NoMore(u32);

#[farloop::stream]
fn failing(after: u32) -> impl Stream<Item = Result<u32, NoMore>> {
    stream::iter((0..).map(move |n| if n < after { Ok(n) } else { Err(NoMore(n)) }))
}

#[farloop::stream]
async fn refusing(ok: bool) -> farloop::Result<impl Stream<Item = u32>> {
    farloop::sleep(Duration::from_secs(1)).await?;
    if ok { Ok(stream::iter([7])) } else { Err(farloop::Error::msg("not today")) }
}

#[farloop::stream]
async fn panicking(out: Yielder<u32>) {
    out.send(1).await.unwrap();
    panic!("on purpose");
}

#[farloop::test]
async fn a_failure_is_the_last_item() -> farloop::Result<()> {
    let mut items = failing(2);
    assert_eq!(items.next().await.unwrap()?, 0);
    assert_eq!(items.next().await.unwrap()?, 1);
    let error = items.next().await.unwrap().unwrap_err();
    assert_eq!(error.downcast::<NoMore>(), Some(NoMore(2)));
    assert!(items.next().await.is_none());
    assert_eq!(refusing(true).collect().await?, [7]);
    assert!(refusing(false).collect().await.unwrap_err().to_string().contains("not today"));
    let mut items = panicking();
    assert_eq!(items.next().await.unwrap()?, 1);
    assert!(items.next().await.unwrap().unwrap_err().to_string().contains("on purpose"));
    Ok(())
}

static TRIES: AtomicU32 = AtomicU32::new(0);

#[farloop::stream(attempts = 3)]
async fn trying(before_first: bool, out: Yielder<u32>) -> farloop::Result<()> {
    let try_ = TRIES.fetch_add(1, Ordering::Relaxed) + 1;
    if !before_first || try_ == 3 {
        out.send(try_).await?;
    }
    if before_first && try_ == 3 { Ok(()) } else { Err(farloop::Error::msg(format!("try {try_}"))) }
}

#[farloop::test]
async fn it_is_tried_again_until_an_item_has_come_and_never_after() -> farloop::Result<()> {
    assert_eq!(trying(true).collect().await?, [3]);
    TRIES.store(0, Ordering::Relaxed);
    let mut items = trying(false);
    assert_eq!(items.next().await.unwrap()?, 1);
    assert!(items.next().await.unwrap().unwrap_err().to_string().contains("try 1"));
    assert_eq!(TRIES.load(Ordering::Relaxed), 1);
    Ok(())
}

#[derive(Default)]
struct Seen {
    made: AtomicU64,
    notes: Mutex<Vec<String>>,
}

impl Seen {
    fn note(&self, what: impl Into<String>) {
        self.notes.lock().unwrap().push(what.into());
    }
    fn notes(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.lock().unwrap())
    }
    fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

/// Notes when it is dropped.
struct Guard<'a>(&'a Seen);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.note("dropped");
    }
}

#[farloop::stream]
fn endless(#[state] seen: &Arc<Seen>, size: usize) -> impl Stream<Item = Vec<u8>> {
    let guard = Guard(seen);
    stream::repeat_with(move || {
        guard.0.made.fetch_add(1, Ordering::Relaxed);
        vec![7; size]
    })
}

/// Parked at an await of farloop's, and tidies up.
#[farloop::stream]
async fn tidy(#[state] seen: &Arc<Seen>, out: Yielder<u32>) -> farloop::Result<()> {
    let _guard = Guard(seen);
    let ended = async {
        for n in 0.. {
            out.send(n).await?;
            farloop::sleep(Duration::from_secs(1)).await?;
        }
        Ok(())
    };
    let ended: farloop::Result<()> = ended.await;
    seen.note(format!("cancelled {}", ended.as_ref().is_err_and(farloop::Error::is_cancelled)));
    farloop::sleep(Duration::from_secs(2)).await?;
    seen.note("tidied up");
    ended
}

/// Parked at an await of somebody else's.
#[farloop::stream]
fn foreign(#[state] seen: &Arc<Seen>) -> impl Stream<Item = u32> {
    let guard = Guard(seen);
    stream::unfold(guard, |guard| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((1, guard))
    })
}

/// Lets everything happen that can happen at this moment.
async fn settled() {
    farloop::sleep(Duration::from_millis(50)).await.unwrap();
}

/// Runs a test on a cluster whose bodies share what it is given.
fn with_seen(slots: u32, test: impl AsyncFnOnce(Arc<Seen>) + 'static) {
    let seen = Arc::new(Seen::default());
    Cluster::new().slots(slots).with(seen.clone()).run(async move || test(seen).await);
}

#[test]
fn the_consumers_pace_is_the_producers() {
    with_seen(1, async |seen| {
        let items = farloop::STREAM_ITEMS as u64;
        let mut small = endless(1).start();
        settled().await;
        // One more is made than has room: that one waits to be sent.
        assert_eq!(seen.made(), items + 1);
        for _ in 0..items {
            small.next().await.unwrap().unwrap();
        }
        settled().await;
        assert!((2 * items..=2 * items + 1).contains(&seen.made()), "{}", seen.made());
        assert_eq!(small.yielded(), items);
        // While it waits for room it has no slot: with one slot another body runs.
        assert_eq!(plain(4).await.unwrap(), 4);
        drop(small);
        settled().await;
        assert_eq!(seen.notes(), ["dropped"]);

        let before = seen.made();
        let large = endless(100_000).start();
        settled().await;
        assert_eq!(seen.made() - before, farloop::STREAM_BYTES as u64 / 100_000 + 2);
        drop(large);
    });
}

#[test]
fn dropping_it_stops_the_producer() {
    with_seen(4, async |seen| {
        let mut ticks = tidy();
        assert_eq!(ticks.next().await.unwrap().unwrap(), 0);
        drop(ticks);
        settled().await;
        assert_eq!(seen.notes(), ["cancelled true"], "at its next await");
        farloop::sleep(Duration::from_secs(3)).await.unwrap();
        assert_eq!(seen.notes(), ["tidied up", "dropped"]);

        let mut ticks = foreign();
        assert_eq!(ticks.next().await.unwrap().unwrap(), 1);
        drop(ticks);
        settled().await;
        assert_eq!(seen.notes(), ["dropped"], "a stream that is parked elsewhere is dropped there");

        // One that was never polled to its first item, and one that never started.
        drop(foreign().start());
        foreign().close();
        settled().await;
        let notes = seen.notes();
        assert!(notes.is_empty() || notes == ["dropped"], "{notes:?}");
        assert_eq!(farloop::all_tasks().unwrap().len(), 1, "only this one");
    });
}

#[test]
fn cancelling_the_producer_ends_it_with_cancelled() {
    with_seen(4, async |seen| {
        let mut ticks = tidy();
        assert_eq!(ticks.next().await.unwrap().unwrap(), 0);
        assert!(ticks.cancel("enough"));
        match ticks.next().await.unwrap().unwrap_err() {
            farloop::Error::Cancelled(c) => assert!(c.message() == Some("enough") && !c.is_mine(), "{c:?}"),
            other => panic!("{other:?}"),
        }
        assert!(ticks.next().await.is_none() && !ticks.cancel(()));
        assert_eq!(seen.notes(), ["cancelled true", "tidied up", "dropped"]);
    });
}

/// Consumes a stream that never ends, in a body.
#[farloop::task]
async fn consuming(#[state] seen: &Arc<Seen>) -> farloop::Result<u32> {
    let mut ticks = tidy();
    let mut sum = 0;
    while let Some(n) = ticks.next().await {
        match n {
            Ok(n) => sum += n,
            Err(error) => {
                let mine = matches!(&error, farloop::Error::Cancelled(c) if c.is_mine());
                seen.note(format!("consumer cancelled {mine}"));
                return Err(error);
            }
        }
    }
    Ok(sum)
}

#[test]
fn cancelling_the_consumer_cancels_the_producer_and_waits_for_it() {
    with_seen(1, async |seen| {
        let consumer = ensure_future(consuming());
        // One slot: consumer and producer give it to each other.
        farloop::sleep(Duration::from_millis(2_500)).await.unwrap();
        assert!(consumer.cancel("stop"));
        assert!(consumer.clone().await.unwrap_err().is_cancelled());
        assert_eq!(seen.notes(), ["cancelled true", "tidied up", "dropped", "consumer cancelled true"]);
    });
}

#[farloop::task]
async fn abandoning(#[state] seen: &Arc<Seen>) -> farloop::Result<()> {
    let mut ticks = tidy().start();
    ticks.next().await.transpose()?;
    seen.note("leaves");
    Err(farloop::Error::msg("and takes it along"))
}

#[test]
fn a_consuming_attempt_that_ends_takes_its_stream_along() {
    with_seen(4, async |seen| {
        assert!(abandoning().await.is_err());
        farloop::sleep(Duration::from_secs(3)).await.unwrap();
        assert_eq!(seen.notes(), ["leaves", "cancelled true", "tidied up", "dropped"]);
    });
}

#[farloop::stream]
async fn doubled(from: u32, out: Yielder<u32>) -> farloop::Result<()> {
    let mut source = countdown(from);
    while let Some(n) = source.next().await {
        out.send(n? * 2).await?;
    }
    Ok(())
}

#[farloop::test(workers = 2)]
async fn streams_of_streams() -> farloop::Result<()> {
    let all = doubled(2_000).collect().await?;
    assert_eq!(all, (0..2_000).rev().map(|n| n * 2).collect::<Vec<_>>());
    Ok(())
}

#[farloop::test]
async fn an_item_that_takes_long_can_be_waited_for_with_a_limit() -> farloop::Result<()> {
    let mut ticks = ticking(2, 1_000);
    assert_eq!(ticks.next_within(Duration::from_millis(500)).await.unwrap()?, 1);
    let late = ticks.next_within(Duration::from_millis(500)).await.unwrap().unwrap_err();
    assert!(matches!(late, farloop::Error::TimedOut(_)), "{late:?}");
    assert_eq!(ticks.next_within(Duration::from_millis(600)).await.unwrap()?, 0);
    // A `next` that is dropped loses nothing either.
    let mut ticks = ticking(2, 1_000);
    assert_eq!(ticks.next().await.unwrap()?, 1);
    for _ in 0..3 {
        tokio::select! {
            biased;
            item = ticks.next() => panic!("{item:?} came too soon"),
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
        }
    }
    assert_eq!(ticks.next().await.unwrap()?, 0);
    Ok(())
}

#[test]
fn a_timeout_around_the_wait_for_an_item_ends_the_stream_as_in_asyncio() {
    with_seen(4, async |seen| {
        let mut ticks = tidy();
        let all = farloop::timeout(Duration::from_millis(1_500), async {
            while let Some(n) = ticks.next().await {
                n?;
            }
            Ok(())
        });
        // The producer sees the cancel at its await, tidies up for two seconds, and then the wait is over.
        assert!(matches!(all.await, Err(farloop::Error::TimedOut(_))));
        assert_eq!(ticks.yielded(), 2);
        assert_eq!(seen.notes(), ["cancelled true", "tidied up", "dropped"]);
        assert!(ticks.next().await.is_none());
    });
}

#[test]
fn a_cancel_finds_a_consumer_that_always_has_something_to_take() {
    #[farloop::task]
    async fn hungry() -> farloop::Result<()> {
        let mut all = countdown(u32::MAX);
        while let Some(n) = all.next().await {
            n?;
        }
        Ok(())
    }
    Cluster::new().run(async || {
        let task = ensure_future(hungry());
        farloop::yield_now().await.unwrap();
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert!(task.cancel(()));
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn bodies_are_ordinary_functions() {
    Cluster::new().run(async || {
        assert_eq!(StreamExt::collect::<Vec<_>>(countdown::local(2)).await, [1, 0]);
        let out = Yielder::keeping();
        ticking::local(2, 1, out.clone()).await.unwrap();
        assert_eq!(out.sent().unwrap(), [1, 0]);
    });
}

#[test]
fn signatures_tell_streams_from_tasks() {
    use farloop::definition::TaskFn;
    assert_eq!(countdown::DEFINITION.signature(), "farloop.countdown(from: u32) -> impl Stream<Item = u32>");
    assert_eq!(ticking::DEFINITION.signature(), "farloop.ticking(from: u32, every: u64) -> impl Stream<Item = u32>");
    assert_eq!(failing::DEFINITION.returns, "impl Stream<Item = u32>");
}
