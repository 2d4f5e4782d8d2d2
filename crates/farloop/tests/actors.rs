//! What takes its time with actors, to the second: on clusters in this process, whose time is virtual. What they promise
//! wherever they are is tested line by line on both backends (`tests/cluster`).

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::sync::atomic::{AtomicU32, Ordering};

use farloop::actor::{self, Interleaved};
use farloop::prelude::*;
use farloop::testing::Cluster;
use farloop::{Error, Stream};

struct Counter {
    count: i64,
}

#[farloop::actor]
impl Counter {
    pub fn new(start: i64) -> Self {
        Self { count: start }
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

#[farloop::task]
async fn leaves_one() -> farloop::Result<CounterRef> {
    Counter::spawn(1).await
}

#[farloop::test]
async fn what_a_body_makes_lasts_as_long_as_the_session() -> farloop::Result<()> {
    assert_eq!(leaves_one().await?.peek().await?, 1);
    let (first, told) = TaskGroup::scope(async |group| {
        let first = group.spawn(Counter::spawn(0)).await?;
        let told = ensure_future(first.slow_add(1));
        Ok((first, told))
    })
    .await?;
    assert_eq!(told.result()?, 1, "the group lets it finish its mailbox, and waits for that");
    first.watch().await
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
