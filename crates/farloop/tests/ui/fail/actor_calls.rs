//! What callers cannot do.

use farloop::prelude::*;

struct Counter(i64);

#[farloop::actor(snapshot)]
impl Counter {
    pub fn new(start: i64) -> Self {
        Self(start)
    }
    pub async fn add(&mut self, by: i64) -> i64 {
        self.0 += by;
        self.0
    }
    fn local(&self) -> i64 {
        self.0
    }
}

struct Plain;

#[deny(unused_must_use)]
async fn caller() -> farloop::Result<()> {
    let counter = Counter::spawn("ten").await?;
    counter.local();
    counter.add(1);
    Counter::spawn(1);
    Counter::at("x");
    TaskGroup::scope(async |group| {
        group.create_task(Counter::spawn(1));
        Ok(())
    })
    .await
}

fn main() {
    fn is_actor<A: farloop::ActorType>() {}
    is_actor::<Plain>();
}
