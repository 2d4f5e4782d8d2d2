//! Demo actors: one that is made, and one that its name makes.

use farloop::Error;
use serde::{Deserialize, Serialize};

/// A number that stays where it is, and is added to from anywhere.
#[derive(Debug)]
pub struct Counter {
    count: i64,
}

#[farloop::actor(name = "demo.Counter", backoff = "100ms")]
impl Counter {
    /// Begins there, and begins there again after a panic: it saves nothing.
    pub async fn new(start: i64) -> Self {
        Self { count: start }
    }

    /// Adds, and tells the sum.
    pub async fn add(&mut self, by: i64) -> farloop::Result<i64> {
        let sum = self.count.checked_add(by);
        self.count = sum.ok_or_else(|| Error::msg(format!("{} + {by} does not fit into 64 bits", self.count)))?;
        Ok(self.count)
    }

    /// The sum so far; beside others that only look.
    pub async fn get(&self) -> i64 {
        self.count
    }

    /// Tells the sum after that many seconds: what a call that takes longer looks like.
    pub async fn after(&self, seconds: f64) -> farloop::Result<i64> {
        farloop::sleep(crate::demo::length(seconds)?).await?;
        Ok(self.count)
    }

    /// Ends this incarnation with that message.
    pub async fn panics(&mut self, message: String) {
        panic!("{message}")
    }
}

/// Visits of a page, by its name: made by the first, asleep when nobody comes for a while, and moved with what it knows.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page {
    name: String,
    visits: u64,
}

#[farloop::actor(name = "demo.Page", on_demand, idle = "1m", snapshot)]
impl Page {
    /// It is its name.
    pub async fn new(name: String) -> Self {
        Self { name, visits: 0 }
    }

    /// One more; tells which it was.
    pub async fn visit(&mut self) -> String {
        self.visits += 1;
        format!("visit {} of {}", self.visits, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farloop::testing::Cluster;

    #[test]
    fn a_counter_counts_wherever_it_is() {
        Cluster::new().run(async || {
            let counter = Counter::spawn(1).await.unwrap();
            assert_eq!(counter.add(2).await.unwrap(), 3);
            assert!(counter.add(i64::MAX).await.is_err());
            assert_eq!(counter.after(0.0).await.unwrap(), 3);
            assert!(counter.panics("enough").await.is_err());
            assert_eq!(counter.get().await.unwrap(), 1, "a new incarnation");
        });
    }
}
