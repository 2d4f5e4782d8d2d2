//! State that is called from anywhere.

use farloop::actor::Restart;
use farloop::prelude::*;

pub(crate) struct Counter {
    count: i64,
}

#[farloop::actor(name = "examples.Counter")]
impl Counter {
    pub async fn new(start: i64) -> Self {
        println!("a counter starts at {start}");
        Counter { count: start }
    }

    /// Alone: nobody sees the state in between.
    pub async fn add(&mut self, by: i64) -> farloop::Result<i64> {
        let before = self.count;
        farloop::sleep(Duration::from_millis(1)).await?;
        self.count = before + by;
        Ok(self.count)
    }

    /// Beside other readers.
    pub async fn get(&self) -> i64 {
        self.count
    }

    pub async fn divide(&mut self, by: i64) -> i64 {
        self.count /= by; // by zero: a panic ends this life of the actor, not the actor
        self.count
    }
}

pub(crate) async fn run() -> farloop::Result<()> {
    let policy = Restart::on_failure().at_most(3).backoff(Duration::from_millis(50));
    let hits = Counter::spawn(10).name("hits").restart(policy).get_or_spawn().await?;

    let coro = hits.add(1); // a coroutine object: nothing was sent
    println!("one more: {}", coro.await?);
    let sums = gather_all((0..5).map(|_| hits.add(1))).await?;
    println!("five more, in order: {sums:?}");

    let same = Counter::lookup("hits").await?; // in any program of the cluster
    same.add(100).tell()?; // sent, and nobody waits
    println!("now {}", hits.get().await?);

    match hits.divide(0).await {
        Err(error) => println!("refused: {error}"),
        Ok(n) => println!("{n}"),
    }
    println!("after its restart: {}", hits.get().await?);

    let end = hits.watch();
    hits.stop().await?;
    println!("it ended: {:?}", end.await);
    println!("and then: {}", hits.get().await.map_or_else(|error| error.to_string(), |n| n.to_string()));
    Ok(())
}
