//! What actors promise, line by line, as scenarios that do not know where they run: `tests/lines.rs` plays each one on a
//! cluster in its own process, with virtual time, and on a coordinator with two worker processes. What needs a kill, a
//! freeze, a drain or a cut network is in `tests/actors.rs`.
//!
//! A scenario waits for what it needs to see. How long a method sleeps decides nothing but how long the test takes.

#![allow(clippy::unwrap_used)] // a scenario that cannot go on fails

mod calls;
mod identity;
mod lives;
mod state;

use std::time::Duration;

use farloop::actor::{self, Interleaved};
use farloop::{Stream, Yielder};
use serde::{Deserialize, Serialize};

use crate::until;

pub use self::calls::*;
pub use self::identity::*;
pub use self::lives::*;
pub use self::state::*;

/// A short while.
pub(crate) const BEAT: Duration = Duration::from_millis(30);

/// An error of a method.
#[derive(Debug, thiserror::Error, Serialize, Deserialize, PartialEq, Eq)]
#[error("{0} is below zero")]
pub struct Negative(pub i64);

/// Counts, in every manner.
#[derive(Debug)]
pub struct Counter {
    count: i64,
    inside: u32,
    cancelled: u32,
    met: std::sync::atomic::AtomicU32,
}

#[farloop::actor(name = "lines.Counter")]
impl Counter {
    /// Begins with that.
    ///
    /// # Errors
    /// It is below zero.
    pub async fn new(start: i64) -> Result<Self, Negative> {
        if start < 0 {
            return Err(Negative(start));
        }
        Ok(Self { count: start, inside: 0, cancelled: 0, met: 0.into() })
    }

    /// The new count.
    pub async fn add(&mut self, by: i64) -> i64 {
        self.count += by;
        self.count
    }

    /// As [`add`](Self::add), after a while. Nobody else may be inside.
    ///
    /// # Errors
    /// Somebody is.
    pub async fn slow_add(&mut self, by: i64) -> farloop::Result<i64> {
        self.inside += 1;
        let (alone, before) = (self.inside == 1, self.count);
        farloop::sleep(BEAT).await?;
        self.inside -= 1;
        self.count = before + by;
        if alone { Ok(self.count) } else { Err(farloop::Error::msg("two are inside")) }
    }

    /// Takes away.
    ///
    /// # Errors
    /// There is not so much.
    pub async fn take(&mut self, by: i64) -> Result<i64, Negative> {
        if by > self.count {
            return Err(Negative(self.count - by));
        }
        self.count -= by;
        Ok(self.count)
    }

    /// The count.
    pub fn peek(&self) -> i64 {
        self.count
    }

    /// Waits inside until so many are there at once.
    ///
    /// # Errors
    /// They do not come.
    pub async fn meet(&self, expected: u32) -> farloop::Result<u32> {
        use std::sync::atomic::Ordering::SeqCst;
        self.met.fetch_add(1, SeqCst);
        until("all are inside", async || (self.met.load(SeqCst) >= expected).then_some(())).await;
        Ok(self.met.load(SeqCst))
    }

    /// As [`meet`](Self::meet), and counts one up between two awaits.
    ///
    /// # Errors
    /// They do not come.
    #[farloop(interleave)]
    pub async fn weave(this: &Interleaved<Self>, expected: i64) -> farloop::Result<i64> {
        this.with(|counter| counter.count += 1);
        until("all are inside", async || this.with(|counter| counter.count >= expected).then_some(())).await;
        Ok(this.with(|counter| counter.count))
    }

    /// Calls itself and awaits that, among those that may be inside together.
    ///
    /// # Errors
    /// The call's.
    #[farloop(interleave)]
    pub async fn reenter(this: &Interleaved<Self>, depth: u32) -> farloop::Result<u32> {
        this.with(|counter| counter.count += 1);
        if depth == 0 {
            return Ok(0);
        }
        Ok(1 + actor::this::<CounterRef>()?.reenter(depth - 1).await?)
    }

    /// Counts down.
    pub fn countdown(&self) -> impl Stream<Item = i64> {
        tokio_stream::iter((0..self.count).rev())
    }

    /// Counts up, item by item.
    ///
    /// # Errors
    /// Nobody takes them any more.
    pub async fn count_up(&mut self, to: i64, out: Yielder<i64>) -> farloop::Result<()> {
        while self.count < to {
            self.count += 1;
            out.send(self.count).await?;
        }
        Ok(())
    }

    /// Waits until it is cancelled, and counts that.
    ///
    /// # Errors
    /// The cancellation.
    pub async fn park(&mut self) -> farloop::Result<()> {
        let ended = farloop::sleep(Duration::from_secs(3_600)).await;
        self.cancelled += u32::from(ended.as_ref().is_err_and(farloop::Error::is_cancelled));
        ended
    }

    /// As [`park`](Self::park), and says when it has begun.
    ///
    /// # Errors
    /// The cancellation; the diary's.
    pub async fn park_noted(&mut self, diary: DiaryRef) -> farloop::Result<()> {
        diary.note("parked").await?;
        self.park().await
    }

    /// How often that was.
    pub fn cancelled(&self) -> u32 {
        self.cancelled
    }

    /// Parks at another one.
    ///
    /// # Errors
    /// The call's.
    pub async fn park_at(&self, other: CounterRef) -> farloop::Result<()> {
        other.park().await
    }

    /// Hands what it has to another one.
    ///
    /// # Errors
    /// The call's.
    pub async fn give(&self, other: CounterRef) -> farloop::Result<i64> {
        other.add(self.count).await
    }

    /// Makes another one, and gives its address away.
    ///
    /// # Errors
    /// It could not be made.
    pub async fn twin(&self) -> farloop::Result<CounterRef> {
        Self::spawn(self.count).await
    }

    /// Calls itself, and cannot be inside twice.
    ///
    /// # Errors
    /// So it is told.
    pub async fn call_me(&self) -> farloop::Result<i64> {
        actor::this::<CounterRef>()?.add(1).await
    }

    /// Calls the other one, which calls this one.
    ///
    /// # Errors
    /// So it is told.
    pub async fn call_round(&mut self, others: Vec<CounterRef>) -> farloop::Result<i64> {
        let Some((next, rest)) = others.split_first() else { return Ok(self.count) };
        next.call_round(rest.to_vec()).await
    }

    /// Panics.
    pub async fn boom(&mut self) -> i64 {
        panic!("on purpose");
    }
}

/// Writes down what others tell it.
#[derive(Debug, Default)]
pub struct Diary(Vec<String>);

#[farloop::actor(name = "lines.Diary")]
impl Diary {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more line.
    pub async fn note(&mut self, line: String) {
        self.0.push(line);
    }

    /// All of them.
    pub async fn lines(&self) -> Vec<String> {
        self.0.clone()
    }
}

/// Lets a diary know of its life, and saves what it is told to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    label: String,
    diary: DiaryRef,
    items: Vec<u64>,
}

#[farloop::actor(name = "lines.Kept", snapshot)]
impl Kept {
    /// `label` is what the diary calls it.
    pub fn new(label: String, diary: DiaryRef) -> Self {
        Self { label, diary, items: Vec::new() }
    }

    /// Keeps it until this incarnation is over.
    pub async fn put(&mut self, item: u64) -> usize {
        self.items.push(item);
        self.items.len()
    }

    /// Keeps it and saves all, with the reply.
    ///
    /// # Errors
    /// It cannot be saved.
    pub async fn put_saved(&mut self, item: u64) -> farloop::Result<usize> {
        self.items.push(item);
        actor::save_with_reply(&*self)?;
        Ok(self.items.len())
    }

    /// Saves all, and then fails.
    ///
    /// # Errors
    /// Always.
    pub async fn put_and_fail(&mut self, item: u64) -> farloop::Result<usize> {
        self.items.push(item);
        actor::save(&*self)?;
        Err(farloop::Error::msg("saved, and failed"))
    }

    /// What it has.
    pub async fn items(&self) -> Vec<u64> {
        self.items.clone()
    }

    /// Panics.
    pub async fn boom(&mut self) {
        panic!("on purpose");
    }

    async fn on_start(&mut self) -> farloop::Result<()> {
        self.diary.note(format!("{} starts", self.label)).await
    }

    async fn on_restart(&mut self) -> farloop::Result<()> {
        self.diary.note(format!("{} starts again", self.label)).await
    }

    async fn on_stop(&mut self) -> farloop::Result<()> {
        self.diary.note(format!("{} stops", self.label)).await
    }
}

/// One for each name: made by its first call, asleep while nobody calls.
#[derive(Debug, Serialize, Deserialize)]
pub struct Cart {
    user: String,
    items: Vec<String>,
    lives: u32,
}

#[farloop::actor(name = "lines.Cart", on_demand, idle = "500ms", snapshot)]
impl Cart {
    fn new(name: String) -> Self {
        Self { user: name, items: Vec::new(), lives: 1 }
    }

    /// How many there are then.
    pub async fn put(&mut self, item: String) -> usize {
        self.items.push(item);
        self.items.len()
    }

    /// Whose it is, and how often it woke.
    pub async fn owner(&self) -> (String, u32) {
        (self.user.clone(), self.lives)
    }

    async fn on_restart(&mut self) {
        self.lives += 1;
    }
}

/// Ticks by itself, and tells a diary.
#[derive(Debug)]
pub struct Ticking {
    diary: DiaryRef,
}

#[farloop::actor(name = "lines.Ticking")]
impl Ticking {
    /// Whom it tells.
    pub fn new(diary: DiaryRef) -> Self {
        Self { diary }
    }

    /// One tick.
    ///
    /// # Errors
    /// The diary's.
    pub async fn tick(&mut self) -> farloop::Result<()> {
        self.diary.note("tick".to_owned()).await
    }

    async fn on_start(&mut self) -> farloop::Result<()> {
        let me = actor::this::<TickingRef>()?;
        actor::every(BEAT, move || me.tick())?;
        Ok(())
    }
}

/// Calls an actor that came as an argument.
///
/// # Errors
/// The call's.
#[farloop::task(name = "lines.add_from_a_task")]
pub async fn add_from_a_task(counter: CounterRef, by: i64) -> farloop::Result<i64> {
    counter.add(by).await
}

/// Leaves two behind: one that ends with this body, and one that does not.
///
/// # Errors
/// They could not be made.
#[farloop::task(name = "lines.leaves_two")]
pub async fn leaves_two() -> farloop::Result<(CounterRef, CounterRef)> {
    let owned = Counter::spawn(1).owned().await?;
    owned.add(1).await?;
    Ok((owned, Counter::spawn(2).detached().await?))
}

/// Lets a worker offer all of it.
#[must_use]
pub fn offer(worker: farloop::Worker) -> farloop::Worker {
    worker
        .actor::<Counter>()
        .actor::<Diary>()
        .actor::<Kept>()
        .actor::<Cart>()
        .actor::<Ticking>()
        .task::<add_from_a_task>()
        .task::<leaves_two>()
}
