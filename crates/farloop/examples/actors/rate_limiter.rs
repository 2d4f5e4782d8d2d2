//! A token bucket for the whole cluster: whoever wants to go asks, and waits inside of the actor.

use farloop::actor::Interleaved;
use farloop::prelude::*;
use tokio::time::Instant;

pub(crate) struct Limiter {
    every: Duration,
    next: Instant,
}

#[farloop::actor(name = "examples.Limiter")]
impl Limiter {
    pub fn new(per_second: f64) -> Self {
        Limiter { every: Duration::from_secs_f64(1.0 / per_second), next: Instant::now() }
    }

    /// Returns when its caller may go. Waiting callers do not keep others from asking, and a cancel ends the wait.
    #[farloop(interleave)]
    pub async fn acquire(this: &Interleaved<Self>) -> farloop::Result<()> {
        let mine = this.with(|limiter| {
            let mine = limiter.next.max(Instant::now());
            limiter.next = mine + limiter.every;
            mine
        });
        farloop::sleep(mine.saturating_duration_since(Instant::now())).await
    }
}

pub(crate) async fn run() -> farloop::Result<()> {
    let limiter = Limiter::spawn(20.0).await?;
    let began = Instant::now();
    gather_all((0..10).map(|_| limiter.acquire())).await?;
    println!("10 went in {} ms, at 20 per second", began.elapsed().as_millis());
    match wait_for(limiter.acquire(), Duration::from_millis(10)).await {
        Err(error) => println!("no patience: {error}"),
        Ok(()) => println!("at once"),
    }
    limiter.stop().await
}
