//! Methods that cannot be called from elsewhere, and names that are taken.

use farloop::actor::Interleaved;

struct Account(i64);

#[farloop::actor]
impl Account {
    pub async fn new(&self, start: i64) -> Self {
        Self(start)
    }
    pub async fn close(self) -> i64 {
        self.0
    }
    pub fn peek(&self) -> &i64 {
        &self.0
    }
    pub async fn of<T>(&self, value: T) -> T {
        value
    }
    #[farloop(interleave)]
    pub async fn swap(&self, value: i64) -> i64 {
        value
    }
    pub async fn unmarked(this: &Interleaved<Self>) -> i64 {
        this.with(|state| state.0)
    }
    #[farloop(exclusive)]
    pub async fn exclusive(&self) {}
    #[farloop(name = "x")]
    pub async fn renamed(&self) {}
    pub async fn spawn(&self) {}
    async fn on_start(&self) {}
    async fn on_stop(&mut self) -> i64 {
        1
    }
}

fn main() {}
