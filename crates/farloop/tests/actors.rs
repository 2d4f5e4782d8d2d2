//! Actors as a program sees them, on clusters in this process with virtual time.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::sync::atomic::{AtomicU32, Ordering};

use farloop::actor::{self, Interleaved, Restart, Supervisor};
use farloop::prelude::*;
use farloop::testing::Cluster;
use farloop::{Error, Stream, Yielder};

struct Counter {
    count: i64,
}

#[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize, PartialEq)]
#[error("{0} is below zero")]
struct Negative(i64);

#[farloop::actor]
impl Counter {
    pub async fn new(start: i64) -> Result<Self, Negative> {
        if start < 0 { Err(Negative(start)) } else { Ok(Self { count: start }) }
    }
    pub async fn add(&mut self, by: i64) -> i64 {
        self.count += by;
        self.count
    }
    pub async fn take(&mut self, by: i64) -> Result<i64, Negative> {
        if by > self.count {
            return Err(Negative(self.count - by));
        }
        self.count -= by;
        Ok(self.count)
    }
    pub async fn slow_add(&mut self, by: i64) -> farloop::Result<i64> {
        let before = self.count;
        farloop::sleep(Duration::from_secs(1)).await?;
        self.count = before + by;
        Ok(self.count)
    }
    pub async fn get(&self) -> farloop::Result<i64> {
        farloop::sleep(Duration::from_secs(1)).await?;
        Ok(self.count)
    }
    pub fn peek(&self) -> i64 {
        self.count
    }
    #[farloop(interleave)]
    pub async fn meanwhile(this: &Interleaved<Self>, by: i64) -> farloop::Result<i64> {
        farloop::sleep(Duration::from_secs(1)).await?;
        Ok(this.with(|counter| {
            counter.count += by;
            counter.count
        }))
    }
    pub fn countdown(&self) -> impl Stream<Item = i64> {
        futures_util::stream::iter((0..self.count).rev())
    }
    pub async fn count_up(&mut self, to: i64, out: Yielder<i64>) -> farloop::Result<()> {
        while self.count < to {
            self.count += 1;
            out.send(self.count).await?;
        }
        Ok(())
    }
    pub async fn boom(&mut self) -> i64 {
        panic!("on purpose");
    }
    pub async fn give(&self, other: CounterRef) -> farloop::Result<i64> {
        other.add(self.count).await
    }
    pub async fn call_me(&self) -> farloop::Result<i64> {
        actor::this::<CounterRef>()?.add(1).await
    }
}

#[farloop::task]
async fn add_from_a_task(counter: CounterRef, by: i64) -> farloop::Result<i64> {
    counter.add(by).await
}

#[farloop::test(workers = 2)]
async fn calls_are_coroutines() -> farloop::Result<()> {
    let counter = Counter::spawn(10).await?;
    assert_eq!(counter.add(1).await?, 11);
    let task = ensure_future(counter.add(1));
    assert_eq!(gather((&task, counter.add(2))).await?, (12, 14));
    assert_eq!(wait_for(shield(counter.add(0)), Duration::from_secs(1)).await?, 14);
    assert_eq!(add_from_a_task(&counter, 6).await?, 20);
    // A task stands for an argument: the value never comes here.
    assert_eq!(counter.add(ensure_future(counter.peek())).await?, 40);
    assert_eq!(counter.give(&Counter::spawn(2).await?).await?, 42);
    counter.peek().close();
    Ok(())
}

#[farloop::test]
async fn an_error_answers_the_caller_and_the_actor_lives() -> farloop::Result<()> {
    let counter = Counter::spawn(1).await?;
    let error = counter.take(5).await.unwrap_err();
    assert_eq!(error.downcast::<Negative>(), Some(Negative(-4)));
    assert_eq!(counter.take(1).await?, 0);
    let error = Counter::spawn(-1).restart(Restart::never()).await.unwrap_err();
    assert_eq!(error.downcast::<Negative>(), Some(Negative(-1)), "{error:?}");
    Ok(())
}

#[farloop::test]
async fn turns_alone_shared_and_interleaved() -> farloop::Result<()> {
    let counter = Counter::spawn(0).await?;
    let clock = farloop::get_running_loop()?;
    let started = clock.time();
    let seconds = || (clock.time() - started).as_secs();
    assert_eq!(gather_all((0..3).map(|_| counter.slow_add(1))).await?, [1, 2, 3]);
    assert_eq!(seconds(), 3, "one at a time");
    assert_eq!(gather_all((0..5).map(|_| counter.get())).await?, [3; 5]);
    assert_eq!(seconds(), 4, "readers together");
    let mut sums = gather_all((0..5).map(|_| counter.meanwhile(1))).await?;
    sums.sort_unstable();
    assert_eq!((sums, seconds()), (vec![4, 5, 6, 7, 8], 5));
    Ok(())
}

#[farloop::test]
async fn calls_of_one_caller_keep_their_order() -> farloop::Result<()> {
    let counter = Counter::spawn(0).await?;
    let sums = gather_all((0..500).map(|_| counter.add(1))).await?;
    assert_eq!(sums, (1..=500).collect::<Vec<_>>());
    counter.add(1).tell()?;
    counter.add(1).tell()?;
    assert_eq!(counter.peek().await?, 502);
    Ok(())
}

#[farloop::test]
async fn streams_of_an_actor() -> farloop::Result<()> {
    let counter = Counter::spawn(3).await?;
    assert_eq!(counter.countdown().collect().await?, [2, 1, 0]);
    assert_eq!(counter.count_up(6).collect().await?, [4, 5, 6]);
    assert_eq!(counter.peek().await?, 6);
    Ok(())
}

#[farloop::test]
async fn cancelling_a_call_in_the_queue_removes_it() -> farloop::Result<()> {
    let counter = Counter::spawn(0).await?;
    let running = ensure_future(counter.slow_add(1));
    let queued = ensure_future(counter.add(10));
    farloop::sleep(Duration::from_millis(500)).await?;
    queued.cancel("not any more");
    assert!(queued.await.unwrap_err().is_cancelled());
    assert_eq!(running.await?, 1);
    let running = ensure_future(counter.slow_add(1));
    farloop::sleep(Duration::from_millis(500)).await?;
    running.cancel(());
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(counter.peek().await?, 1, "neither left a trace");
    Ok(())
}

#[farloop::test(workers = 2)]
async fn names_lookup_and_get_or_spawn() -> farloop::Result<()> {
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

#[farloop::test]
async fn stopping_finishes_the_mailbox_and_killing_does_not() -> farloop::Result<()> {
    let counter = Counter::spawn(0).await?;
    let watch = counter.watch();
    let calls: Vec<_> = (0..3).map(|_| ensure_future(counter.slow_add(1))).collect();
    let stop = ensure_future(counter.stop());
    let late = ensure_future(counter.add(1));
    assert_eq!(gather_all(calls).await?, [1, 2, 3]);
    stop.await?;
    watch.await?;
    let late = late.await.unwrap_err();
    assert!(matches!(late, Error::ActorDied(_)) && late.to_string().contains("stopping"), "{late}");
    let dead = counter.peek().await.unwrap_err();
    assert!(matches!(dead, Error::ActorDied(_)) && dead.to_string().contains("stopped"), "{dead}");

    let counter = Counter::spawn(0).await?;
    let watch = counter.watch();
    let (running, queued) = (ensure_future(counter.slow_add(1)), ensure_future(counter.slow_add(1)));
    farloop::sleep(Duration::from_millis(500)).await?;
    counter.kill().await?;
    let (running, queued) = (running.await.unwrap_err(), queued.await.unwrap_err());
    assert!(matches!(running, Error::ActorDied(_)), "{running:?}");
    assert_eq!(running.may_have_run(), Some(true), "{running:?}");
    assert!(matches!(queued, Error::ActorDied(_)), "{queued:?}");
    assert!(watch.await.unwrap_err().is_cancelled());
    counter.kill().await?;
    Ok(())
}

#[farloop::test]
async fn a_panic_ends_the_incarnation_and_the_actor_starts_again() -> farloop::Result<()> {
    let counter = Counter::spawn(5).restart(Restart::on_failure().at_most(1).backoff(Duration::from_secs(1))).await?;
    let watch = counter.watch();
    counter.add(1).await?;
    let boom = counter.boom().await.unwrap_err();
    assert!(boom.to_string().contains("on purpose"), "{boom}");
    assert_eq!(counter.peek().await?, 5, "from the first arguments");
    assert!(!watch.done());
    let boom = ensure_future(counter.boom());
    assert!(boom.await.is_err());
    let why = watch.await.unwrap_err();
    assert!(why.to_string().contains("on purpose"), "{why}");
    let dead = counter.peek().await.unwrap_err();
    assert!(matches!(dead, Error::ActorDied(_)) && dead.to_string().contains("on purpose"), "{dead}");
    Ok(())
}

#[farloop::test]
async fn a_full_mailbox_refuses_or_waits() -> farloop::Result<()> {
    let counter = Counter::spawn(0).mailbox(2).await?;
    let calls: Vec<_> = (0..3).map(|_| ensure_future(counter.slow_add(1))).collect();
    let refused = counter.slow_add(1).await.unwrap_err();
    assert!(matches!(refused, Error::ResourceExhausted(_)) && refused.to_string().contains("MAILBOX"), "{refused}");
    let waiting = ensure_future(counter.slow_add(1).waits());
    assert_eq!(gather_all(calls).await?, [1, 2, 3]);
    assert_eq!(waiting.await?, 4);
    let counter = Counter::spawn(0).per_caller(1).await?;
    let first = ensure_future(counter.slow_add(1));
    let refused = counter.slow_add(1).await.unwrap_err();
    assert!(refused.to_string().contains("MAILBOX_PER_CALLER"), "{refused}");
    first.await?;
    Ok(())
}

#[farloop::test]
async fn an_actor_that_awaits_itself_is_told() -> farloop::Result<()> {
    let counter = Counter::spawn(0).await?;
    let error = counter.call_me().await.unwrap_err();
    assert!(error.to_string().contains("deadlock"), "{error}");
    assert_eq!(counter.add(1).await?, 1, "it lives, and the call that could never have its turn did not get it");
    Ok(())
}

#[farloop::task]
async fn owns_one() -> farloop::Result<CounterRef> {
    let owned = Counter::spawn(0).owned().await?;
    owned.add(1).await?;
    Ok(owned)
}

#[farloop::task]
async fn leaves_two() -> farloop::Result<(CounterRef, CounterRef)> {
    Ok((Counter::spawn(1).await?, Counter::spawn(2).detached().await?))
}

#[farloop::test]
async fn lifetimes_of_a_body_a_session_a_group_and_none() -> farloop::Result<()> {
    let owned = owns_one().await?;
    let why = owned.watch().await.unwrap_err();
    assert!(why.is_cancelled(), "{why}");
    let (session, nobody) = leaves_two().await?;
    assert_eq!(gather((session.peek(), nobody.peek())).await?, (1, 2));
    nobody.stop().await?;

    let (first, told) = TaskGroup::scope(async |group| {
        let first = group.spawn(Counter::spawn(0)).await?;
        group.create_task(add_from_a_task(&first, 3));
        let told = ensure_future(first.slow_add(1));
        Ok((first, told))
    })
    .await?;
    assert_eq!(told.result()?, 1, "the group lets it finish its mailbox");
    first.watch().await?;

    let mut killed = None;
    let failed = TaskGroup::scope(async |group| {
        killed = Some(group.spawn(Counter::spawn(0)).await?);
        Err::<(), _>(Error::msg("no"))
    })
    .await;
    assert!(matches!(failed, Err(Error::Group(_))), "{failed:?}");
    assert!(killed.unwrap().watch().await.unwrap_err().is_cancelled());
    Ok(())
}

#[farloop::test]
async fn giving_up_on_a_start_ends_the_actor() -> farloop::Result<()> {
    let late = Slow::spawn().timeout(Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(late, Error::TimedOut(_)), "{late:?}");
    let late = wait_for(Slow::spawn(), Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(late, Error::TimedOut(_)), "{late:?}");
    assert_eq!(gather((Counter::spawn(1), Counter::spawn(2))).await?.1.peek().await?, 2);
    farloop::sleep(Duration::from_secs(60)).await?;
    assert_eq!(MADE.load(Ordering::SeqCst), 0, "nobody waited, so none was made");
    Ok(())
}

static MADE: AtomicU32 = AtomicU32::new(0);

struct Slow;

#[farloop::actor]
impl Slow {
    pub async fn new() -> farloop::Result<Self> {
        farloop::sleep(Duration::from_secs(10)).await?;
        MADE.fetch_add(1, Ordering::SeqCst);
        Ok(Self)
    }
}

#[farloop::test]
async fn supervisors_start_one_or_all_again() -> farloop::Result<()> {
    let policy = || Restart::on_failure().at_most(3).backoff(Duration::from_millis(10));
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
    assert_eq!(gather((a.peek(), b.peek())).await?, (1, 2));
    drop(team);
    assert!(a.watch().await.unwrap_err().is_cancelled());
    assert!(b.watch().await.unwrap_err().is_cancelled());
    Ok(())
}

/// One per user: made by its first call, asleep while nobody calls.
#[derive(serde::Serialize, serde::Deserialize)]
struct Cart {
    user: String,
    items: Vec<String>,
    lives: u32,
}

#[farloop::actor(on_demand, idle = "1m", snapshot)]
impl Cart {
    fn new(name: String) -> Self {
        Cart { user: name, items: Vec::new(), lives: 1 }
    }
    async fn put(&mut self, item: String) -> usize {
        self.items.push(item);
        self.items.len()
    }
    async fn put_safely(&mut self, item: String) -> farloop::Result<usize> {
        self.items.push(item);
        actor::save_with_reply(&*self)?;
        Ok(self.items.len())
    }
    async fn lives(&self) -> u32 {
        self.lives
    }
    async fn owner(&self) -> String {
        self.user.clone()
    }
    async fn crash(&mut self) {
        panic!("on purpose");
    }
    async fn on_restart(&mut self) {
        self.lives += 1;
    }
}

#[test]
fn on_demand_actors_are_made_sleep_and_remember() {
    Cluster::new().workers(2).actor::<Cart>().run(async || {
        let cart = Cart::at("ada");
        assert_eq!(cart.put("tea").await.unwrap(), 1);
        assert_eq!(gather((cart.owner(), Cart::at("bob").owner())).await.unwrap(), ("ada".into(), "bob".into()));
        farloop::sleep(Duration::from_secs(600)).await.unwrap();
        assert_eq!(cart.put("milk").await.unwrap(), 2, "it slept, and remembers");
        assert_eq!(cart.lives().await.unwrap(), 2);
        assert_eq!(cart.put_safely("cake").await.unwrap(), 3);
        assert_eq!(cart.put("lost").await.unwrap(), 4);
        assert!(cart.crash().await.is_err());
        assert_eq!(cart.put("bread").await.unwrap(), 4, "from the last snapshot");
        // A reminder wakes it.
        let every = Duration::from_secs(3_600);
        let reminder = cart.put("reminded").remind("more", every).every(every).start().unwrap();
        farloop::sleep(every * 3 + Duration::from_secs(1)).await.unwrap();
        assert_eq!(cart.put("x").await.unwrap(), 8);
        reminder.cancel(());
        farloop::sleep(every * 3).await.unwrap();
        assert_eq!(cart.put("y").await.unwrap(), 9);
    });
}

struct Ticking {
    ticks: u32,
}

#[farloop::actor]
impl Ticking {
    pub fn new() -> Self {
        Self { ticks: 0 }
    }
    pub async fn tick(&mut self) {
        TICKS.fetch_add(1, Ordering::SeqCst);
        self.ticks += 1;
    }
    pub async fn ticks(&self) -> u32 {
        self.ticks
    }
    async fn on_start(&mut self) -> farloop::Result<()> {
        let me = actor::this::<TickingRef>()?;
        let again = me.clone();
        actor::every(Duration::from_secs(1), move || me.tick())?;
        actor::after(Duration::from_millis(500), move || again.tick())?;
        Ok(())
    }
}

static TICKS: AtomicU32 = AtomicU32::new(0);

#[farloop::test]
async fn timers_stop_with_their_actor() -> farloop::Result<()> {
    let ticking = Ticking::spawn().await?;
    farloop::sleep(Duration::from_millis(3_700)).await?;
    assert_eq!(ticking.ticks().await?, 4);
    ticking.stop().await?;
    let ticks = TICKS.load(Ordering::SeqCst);
    farloop::sleep(Duration::from_secs(10)).await?;
    assert_eq!(TICKS.load(Ordering::SeqCst), ticks);
    Ok(())
}

struct Parked;

#[farloop::actor]
impl Parked {
    pub fn new() -> Self {
        Self
    }
    pub fn for_ever(&self) -> impl Stream<Item = u32> {
        use futures_util::StreamExt;
        futures_util::stream::iter([1]).chain(futures_util::stream::pending())
    }
    pub fn naps(&self) -> impl Stream<Item = u32> {
        futures_util::stream::unfold(0, |n| async move {
            farloop::sleep(Duration::from_secs(1)).await.ok()?;
            Some((n, n + 1))
        })
    }
    pub async fn wait(&self) {
        std::future::pending().await
    }
}

#[farloop::test]
async fn what_nobody_waits_for_does_not_keep_its_actor_from_stopping() -> farloop::Result<()> {
    let parked = Parked::spawn().await?;
    let mut items = [parked.naps().start(), parked.for_ever().start(), parked.naps().start()];
    for items in &mut items {
        assert!(items.next().await.unwrap()? <= 1);
    }
    let waiting = ensure_future(parked.wait());
    let [dropped, also, closed] = items;
    drop((dropped, also));
    closed.close();
    waiting.cancel(());
    wait_for(parked.stop(), Duration::from_secs(60)).await?;
    assert!(waiting.await.is_err());
    Ok(())
}
