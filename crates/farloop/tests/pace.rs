//! Retries with pauses, timeouts, heartbeats, progress, limits and turns, as programs see them. Time is virtual.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use farloop::error::Error;
use farloop::prelude::*;
use farloop::testing::Cluster;
use farloop::{Backoff, heartbeat, heartbeat_details, set_progress};
use farloop_core::outcome::FailureKind;
use futures_util::StreamExt as _;
use tokio::time::Instant;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn kind(error: &Error) -> Option<FailureKind> {
    assert!(matches!(error, Error::TimedOut(_)), "{error:?}");
    error.failure().map(|f| f.kind().clone())
}

static FAILED: AtomicU32 = AtomicU32::new(0);

#[farloop::task(attempts = 4, backoff = "1s", backoff_coefficient = 3, backoff_maximum = "5s")]
async fn third_time(lucky: u32) -> farloop::Result<u32> {
    let attempt = FAILED.fetch_add(1, Ordering::Relaxed) + 1;
    if attempt < lucky { Err(Error::msg(format!("attempt {attempt}"))) } else { Ok(attempt) }
}

#[test]
fn attempts_are_made_after_pauses_that_grow() {
    Cluster::new().run(async || {
        let begun = Instant::now();
        assert_eq!(third_time(4).await.unwrap(), 4);
        // One second, three, and five instead of nine; up to a tenth of each is left to chance.
        let took = begun.elapsed();
        assert!(took > secs(8) && took <= Duration::from_millis(9_010), "{took:?}");
        FAILED.store(0, Ordering::Relaxed);
        let even = Backoff::new(secs(1)).coefficient(1.0).jitter(0.0);
        let begun = Instant::now();
        let error = third_time(9).attempts(3).backoff(even).await.unwrap_err();
        assert_eq!((error.attempt(), begun.elapsed().as_secs()), (Some(3), 2));
    });
}

static PERMANENT: AtomicU32 = AtomicU32::new(0);

#[farloop::task(attempts = 5)]
async fn gives_up() -> farloop::Result<()> {
    PERMANENT.fetch_add(1, Ordering::Relaxed);
    Err(Error::msg("no use").permanent())
}

#[farloop::task]
async fn nap(seconds: u64) -> farloop::Result<u64> {
    farloop::sleep(secs(seconds)).await?;
    Ok(seconds)
}

#[test]
fn a_permanent_error_is_not_tried_again() {
    Cluster::new().run(async || {
        assert!(gives_up().await.is_err());
        assert_eq!(PERMANENT.load(Ordering::Relaxed), 1);
    });
}

#[farloop::task]
async fn tidy(first_only: bool) -> farloop::Result<String> {
    let attempt = farloop::current_task().map(|t| t.id()).is_some();
    assert!(attempt);
    match farloop::sleep(secs(60)).await {
        Err(error) if error.is_cancelled() => {
            farloop::sleep(secs(1)).await?;
            set_progress("tidied up")?;
            Err(error)
        }
        _ if first_only => Ok("done".into()),
        other => other.map(|()| "done".into()),
    }
}

#[test]
fn each_timeout_has_a_failure_of_its_own() {
    Cluster::new().slots(1).run(async || {
        // Start to close: cancelled with grace, and it used it.
        let task = ensure_future(tidy(false).start_to_close(secs(5)));
        let mut said = task.progress::<String>();
        let begun = Instant::now();
        let error = task.await.unwrap_err();
        assert_eq!(kind(&error), Some(FailureKind::StartToCloseTimeout));
        assert_eq!(begun.elapsed().as_secs(), 6, "the second it took to tidy up is within its grace");
        assert!(error.to_string().contains("start_to_close of 5s"), "{error}");
        assert_eq!(said.next().await.unwrap().unwrap(), "tidied up");
        assert!(said.next().await.is_none());

        // Schedule to close.
        let error = nap(60).timeout(secs(2)).await.unwrap_err();
        assert_eq!(kind(&error), Some(FailureKind::TimedOut));

        // Heartbeat.
        let error = silent(60).max_crashes(1).heartbeat_timeout(secs(3)).await.unwrap_err();
        assert_eq!(kind(&error), Some(FailureKind::HeartbeatTimeout));
        assert!(error.to_string().contains("heartbeat_timeout of 3s"), "{error}");

        // Schedule to start: the one slot is taken.
        let long = ensure_future(hold(100));
        tokio::task::yield_now().await;
        let waits = ensure_future(nap(1).schedule_to_start(secs(4)));
        let error = waits.await.unwrap_err();
        assert_eq!(kind(&error), Some(FailureKind::ScheduleToStartTimeout));
        assert!(error.to_string().contains("schedule_to_start of 4s"), "{error}");
        long.cancel(());
        drop(long);
    });
}

/// Keeps its slot: to farloop this is foreign work.
#[farloop::task]
async fn hold(seconds: u64) -> u64 {
    tokio::time::sleep(secs(seconds)).await;
    seconds
}

#[farloop::task]
async fn silent(seconds: u64) -> farloop::Result<()> {
    farloop::sleep(secs(seconds)).await
}

static SEEN: Mutex<Vec<Option<u32>>> = Mutex::new(Vec::new());

/// Counts to ten, a second each, and hangs at six the first time.
#[farloop::task(heartbeat_timeout = "3s")]
async fn resumes() -> farloop::Result<u32> {
    let before: Option<u32> = heartbeat_details()?;
    SEEN.lock().unwrap().push(before);
    for step in before.map_or(1, |n| n + 1)..=10 {
        if step == 6 && before.is_none() {
            farloop::sleep(secs(3_600)).await?;
        }
        farloop::sleep(secs(1)).await?;
        heartbeat(step)?;
        // As often as one likes: the newest details win.
        heartbeat(step)?;
    }
    Ok(10)
}

#[test]
fn the_next_attempt_goes_on_where_the_silent_one_was() {
    Cluster::new().workers(2).run(async || {
        let begun = Instant::now();
        assert_eq!(resumes().await.unwrap(), 10);
        assert_eq!(*SEEN.lock().unwrap(), [None, Some(5)]);
        let took = begun.elapsed().as_secs();
        assert!((12..=14).contains(&took), "five seconds, three of silence, five more: {took}");
    });
}

#[farloop::task]
async fn counts(to: u32) -> farloop::Result<()> {
    for n in 1..=to {
        set_progress(n)?;
        farloop::sleep(Duration::from_millis(10)).await?;
    }
    Ok(())
}

#[test]
fn progress_is_told_in_its_newest_form_and_ends_with_the_task() {
    Cluster::new().run(async || {
        let task = ensure_future(counts(500));
        let values: Vec<u32> = task.progress::<u32>().map(|v| v.unwrap()).collect().await;
        assert_eq!(values.last(), Some(&500), "the last one is always told");
        assert!(values.is_sorted() && values.len() > 20 && values.len() < 150, "coalesced: {}", values.len());
        task.await.unwrap();
        // What is not for the body of a task says so.
        assert!(heartbeat_details::<u32>().is_ok(), "the test is a task of its loop");
        let outside = std::thread::spawn(|| set_progress(1).unwrap_err().to_string()).join().unwrap();
        assert!(outside.contains("set_progress"), "{outside}");
        let large = ensure_future(tells_much());
        assert!(matches!(large.await, Err(Error::ResourceExhausted(_))));
    });
}

#[farloop::task]
async fn tells_much() -> farloop::Result<()> {
    set_progress("x".repeat(40_000))
}

static RUNNING: AtomicU32 = AtomicU32::new(0);
static MOST: AtomicU32 = AtomicU32::new(0);

async fn busy(millis: u64) -> farloop::Result<()> {
    let now = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
    MOST.fetch_max(now, Ordering::SeqCst);
    let slept = farloop::sleep(Duration::from_millis(millis)).await;
    RUNNING.fetch_sub(1, Ordering::SeqCst);
    slept
}

#[farloop::task]
async fn keyed(millis: u64) -> farloop::Result<()> {
    busy(millis).await
}

#[farloop::task(concurrency = 4)]
async fn four_at_once(millis: u64) -> farloop::Result<()> {
    busy(millis).await
}

#[test]
fn limits_hold_over_all_workers() {
    Cluster::new().workers(3).run(async || {
        let most = || (MOST.swap(0, Ordering::SeqCst), RUNNING.load(Ordering::SeqCst));
        gather_all((0..40).map(|_| keyed(100).limit_key("tenant-7", 3))).await.unwrap();
        assert_eq!(most(), (3, 0));
        gather_all((0..40).map(|_| four_at_once(100))).await.unwrap();
        assert_eq!(most(), (4, 0));
        // Suspended is not over: a sleeping body keeps its place.
        gather_all((0..40).map(|_| keyed(100))).await.unwrap();
        assert_eq!(most(), (40, 0));
    });
}

static ORDER: Mutex<Vec<char>> = Mutex::new(Vec::new());

#[farloop::task]
async fn serve(tenant: char) -> farloop::Result<()> {
    ORDER.lock().unwrap().push(tenant);
    tokio::time::sleep(Duration::from_millis(10)).await;
    Ok(())
}

#[test]
fn a_tenant_with_many_tasks_does_not_hold_up_one_with_few() {
    Cluster::new().slots(1).run(async || {
        let many = (0..1_000).map(|_| ensure_future(serve('a').fairness_key("a"))).collect::<Vec<_>>();
        let few = (0..5).map(|_| ensure_future(serve('b').fairness_key("b"))).collect::<Vec<_>>();
        gather_all(few).await.unwrap();
        let served = ORDER.lock().unwrap().len();
        assert!(served < 60, "{served} were served before the five were");
        gather_all(many).await.unwrap();
    });
}
