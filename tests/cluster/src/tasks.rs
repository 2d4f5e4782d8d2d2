//! Functions that note when their bodies begin and end, so that a test can tell what ran, where, and how often.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use farloop::prelude::*;
use tokio_stream::StreamExt as _;

use crate::tally;

/// A running body. What it noted first and last is true whatever way it ends.
pub(crate) struct Body {
    label: String,
    task: String,
}

impl Body {
    pub(crate) fn begin(label: impl ToString) -> Self {
        let task = farloop::current_task().map(|t| t.id().to_string()).unwrap_or_default();
        let body = Self { label: label.to_string(), task };
        body.note("begun");
        body
    }

    fn note(&self, what: &str) {
        tally::mark(what, &self.label, &self.task);
    }

    /// Passes a cancellation on, and says so.
    fn noting<T>(&self, result: farloop::Result<T>) -> farloop::Result<T> {
        if matches!(&result, Err(error) if error.is_cancelled()) {
            self.note("cancelled");
        }
        result
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.note("left");
    }
}

/// Sleeps that many milliseconds and gives `n` back.
#[farloop::task(name = "count.number")]
pub async fn number(n: u64, millis: u64) -> farloop::Result<u64> {
    let body = Body::begin(format!("number {n}"));
    body.noting(farloop::sleep(Duration::from_millis(millis)).await)?;
    Ok(n)
}

/// Sleeps, then fails with that text.
#[farloop::task(name = "count.fails")]
pub async fn fails(text: String, millis: u64) -> farloop::Result<u64> {
    let body = Body::begin(&text);
    body.noting(farloop::sleep(Duration::from_millis(millis)).await)?;
    Err(farloop::Error::msg(text))
}

/// Gives the text back.
#[farloop::task(name = "count.echo")]
pub async fn echo(text: String) -> String {
    let _body = Body::begin("echo");
    text
}

/// The sum.
#[farloop::task(name = "count.add")]
pub async fn add(a: u64, b: u64) -> u64 {
    let _body = Body::begin("add");
    a + b
}

/// The sum of many.
#[farloop::task(name = "count.total")]
pub async fn total(all: Vec<u64>) -> u64 {
    let _body = Body::begin("total");
    all.into_iter().sum()
}

/// Leaves of a binary tree of that depth, each a task.
#[farloop::task(name = "count.tree_sum")]
pub async fn tree_sum(depth: u32) -> farloop::Result<u64> {
    let _body = Body::begin(format!("tree_sum {depth}"));
    if depth == 0 {
        return Ok(1);
    }
    let (left, right) = gather((tree_sum(depth - 1), tree_sum(depth - 1))).await?;
    Ok(left + right)
}

/// A binary tree whose leaves wait to be cancelled.
#[farloop::task(name = "count.grow")]
pub async fn grow(depth: u32) -> farloop::Result<()> {
    let body = Body::begin(if depth == 0 { "leaf" } else { "branch" });
    if depth == 0 {
        return body.noting(farloop::sleep(Duration::from_secs(3_600)).await);
    }
    body.noting(gather((grow(depth - 1), grow(depth - 1))).await).map(|_| ())
}

/// Waits to be cancelled.
#[farloop::task(name = "count.park")]
pub async fn park(label: String) -> farloop::Result<()> {
    let body = Body::begin(label);
    body.noting(farloop::sleep(Duration::from_secs(3_600)).await)
}

/// Waits to be cancelled, and is not impressed when it is.
#[farloop::task(name = "count.stubborn")]
pub async fn stubborn(label: String) -> farloop::Result<()> {
    let body = Body::begin(label);
    loop {
        if body.noting(farloop::sleep(Duration::from_secs(3_600)).await).is_ok() {
            return Ok(());
        }
    }
}

/// Waits to be cancelled, and then holds its event loop for that many milliseconds.
#[farloop::task(name = "count.defiant")]
pub async fn defiant(label: String, millis: u64) -> farloop::Result<()> {
    let body = Body::begin(label);
    let cancelled = body.noting(farloop::sleep(Duration::from_secs(3_600)).await);
    let until = Instant::now() + Duration::from_millis(millis);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    cancelled
}

/// Holds its slot until the gate is open; tells in which process it ran.
#[farloop::task(name = "count.gated")]
pub async fn gated(label: String, gate: String) -> u32 {
    let _body = Body::begin(label);
    while !tally::is_open(&gate) {
        // Tokio's sleep, not farloop's: to farloop this is foreign work, which keeps the slot.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    std::process::id()
}

/// Prints two lines and kills its own worker.
#[farloop::task(name = "count.deadly", max_crashes = 1)]
pub async fn deadly(label: String) -> farloop::Result<()> {
    let _body = Body::begin(&label);
    println!("{label} takes aim");
    println!("{label} shoots");
    // Until what it printed has left.
    farloop::sleep(Duration::from_millis(300)).await?;
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::KILL).map_err(farloop::Error::new)?;
    std::future::pending().await
}

/// Prints that many lines, the last one without an end, and one to standard error; then it waits for the gate, if one
/// is named.
#[farloop::task(name = "count.says")]
pub async fn says(label: String, lines: u32, gate: String) -> farloop::Result<String> {
    for n in 1..lines {
        println!("{label} {n}");
    }
    eprintln!("{label} err");
    print!("{label} {lines}");
    aside(&label);
    while !gate.is_empty() && !tally::is_open(&gate) {
        farloop::sleep(Duration::from_millis(10)).await?;
    }
    Ok(label)
}

/// A helper that prints for a body.
fn aside(label: &str) {
    use farloop::println;
    println!(" by {label}");
}

/// Holds its slot until the gate is open; fails the first time, if it shall. Tells in which process it ran.
#[farloop::task(name = "count.flaky")]
pub async fn flaky(label: String, gate: String, fails_first: bool) -> farloop::Result<u32> {
    let _body = Body::begin(&label);
    while !tally::is_open(&gate) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if fails_first && tally::is_first(&label) {
        return Err(farloop::Error::msg("it fails the first time"));
    }
    Ok(std::process::id())
}

/// Two of them, of which the second is tried twice.
#[farloop::task(name = "count.pair")]
pub async fn pair(gate: String) -> farloop::Result<(u32, u32)> {
    let _body = Body::begin("pair");
    gather((flaky("left", &*gate, false), flaky("right", gate, true).attempts(2))).await
}

/// Yields the numbers up to `items`, each so many bytes long; before the one numbered `stop` it waits for the gate.
#[farloop::stream(name = "count.yields")]
pub async fn yields(
    label: String,
    items: u64,
    bytes: usize,
    stop: u64,
    gate: String,
    out: farloop::Yielder<(u64, String)>,
) -> farloop::Result<()> {
    let body = Body::begin(label);
    for n in 1..=items {
        while n == stop && !tally::is_open(&gate) {
            body.noting(farloop::sleep(Duration::from_millis(10)).await)?;
        }
        body.noting(out.send((n, "x".repeat(bytes))).await)?;
    }
    Ok(())
}

/// Prints each number before it sends it.
#[farloop::stream(name = "count.says_sent")]
pub async fn says_sent(label: String, items: u32, out: farloop::Yielder<u32>) -> farloop::Result<()> {
    for n in 1..=items {
        println!("{label} sends {n}");
        out.send(n).await?;
    }
    println!("{label} has sent");
    Ok(())
}

/// Prints each number when it is asked for.
#[farloop::stream(name = "count.says_made")]
pub fn says_made(label: String, items: u32) -> impl farloop::Stream<Item = u32> {
    tokio_stream::iter(1..=items).map(move |n| {
        println!("{label} makes {n}");
        n
    })
}

/// Coroutines of the worker's own loop, which share what cannot leave its thread: one adds up, the other asks another
/// task. The sum.
#[farloop::task(name = "count.splits")]
pub async fn splits(label: String, n: u64) -> farloop::Result<u64> {
    let body = Body::begin(&label);
    let sum = Rc::new(Cell::new(0));
    let adds = |more: u64| {
        let (sum, label) = (sum.clone(), label.clone());
        farloop::local(async move {
            let more = add(more, 1).await?;
            println!("{label} adds {more}");
            sum.set(sum.get() + more);
            Ok(())
        })
    };
    let (first, second) = (ensure_future(adds(n)), ensure_future(adds(2 * n)));
    body.noting(gather((first, second)).await)?;
    Ok(sum.get())
}

/// Waits to be cancelled in a coroutine of the worker's own loop.
#[farloop::task(name = "count.parks_inside")]
pub async fn parks_inside(label: String) -> farloop::Result<()> {
    let outer = Body::begin(&label);
    let inner = ensure_future(farloop::local(async move {
        let inside = Body::begin(format!("inside {label}"));
        inside.noting(farloop::sleep(Duration::from_secs(3_600)).await)
    }));
    outer.noting(inner.await)
}

/// Holds its event loop until the gate is open, without a single await.
#[farloop::task(name = "count.spins")]
pub async fn spins(label: String, gate: String) {
    let _body = Body::begin(label);
    while !tally::is_open(&gate) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// As [`spins()`], on the blocking pool.
#[farloop::task(name = "count.grinds")]
pub fn grinds(label: String, gate: String) {
    let _body = Body::begin(label);
    while !tally::is_open(&gate) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Tells how far it came and waits to be killed; the next attempt gives back what it was told.
#[farloop::task(name = "count.resumes")]
pub async fn resumes(label: String) -> farloop::Result<Option<u32>> {
    let body = Body::begin(label);
    let before = farloop::heartbeat_details()?;
    if before.is_none() {
        farloop::heartbeat(7)?;
        farloop::set_progress("seven")?;
        body.noting(farloop::sleep(Duration::from_secs(3_600)).await)?;
    }
    Ok(before)
}

/// Holds a lock until the gate is open: it has begun when it has the lock. The token it had.
#[farloop::task(name = "count.guarded")]
pub async fn guarded(label: String, lock: farloop::sync::Lock) -> farloop::Result<u64> {
    let guard = lock.lock().await?;
    let _body = Body::begin(&label);
    while !tally::is_open("gate") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let token = guard.token();
    guard.release().await?;
    Ok(token)
}

/// Gets an item.
#[farloop::task(name = "count.takes_item")]
pub async fn takes_item(label: String, queue: farloop::sync::Queue<u32>) -> farloop::Result<u32> {
    let body = Body::begin(&label);
    body.noting(queue.get().await)
}

/// Starts a task of its own, and waits for it.
#[farloop::task(name = "count.parent")]
pub async fn parent(label: String) -> farloop::Result<()> {
    let body = Body::begin(&label);
    let child = ensure_future(park(format!("child of {label}")));
    body.noting(child.await)
}

/// Offers the functions of that name, or all of them.
///
/// # Panics
/// If there is none of that name.
#[must_use]
pub fn offer(worker: farloop::Worker, only: Option<&str>) -> farloop::Worker {
    match only {
        None => crate::lines::offer(crate::actors::offer(crate::misfits::offer(offer_all(worker)))),
        Some("park") => worker.task::<park>(),
        Some("parent") => worker.task::<parent>(),
        Some(other) => panic!("no worker of a test offers '{other}' alone"),
    }
}

fn offer_all(worker: farloop::Worker) -> farloop::Worker {
    worker
        .task::<number>()
        .task::<fails>()
        .task::<echo>()
        .task::<add>()
        .task::<total>()
        .task::<tree_sum>()
        .task::<grow>()
        .task::<park>()
        .task::<stubborn>()
        .task::<defiant>()
        .task::<gated>()
        .task::<spins>()
        .task::<grinds>()
        .task::<resumes>()
        .task::<parent>()
        .task::<says>()
        .task::<deadly>()
        .task::<flaky>()
        .task::<pair>()
        .task::<yields>()
        .task::<says_sent>()
        .task::<says_made>()
        .task::<splits>()
        .task::<parks_inside>()
        .task::<guarded>()
        .task::<takes_item>()
}
