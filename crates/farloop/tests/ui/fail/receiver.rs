//! There is no `self` in another process.
struct Counter(i64);

impl Counter {
    #[farloop::task]
    async fn get(&self) -> i64 {
        self.0
    }
}

fn main() {}
