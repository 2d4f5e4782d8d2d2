//! A name on the wire stands for one function.
#[farloop::task]
async fn first<T>(xs: Vec<T>) -> T {
    xs.into_iter().next().unwrap()
}

#[farloop::task]
async fn by_trait(x: impl Into<i64>) -> i64 {
    x.into()
}

fn main() {}
