use farloop::*;

#[farloop::stream]
async fn one_value(n: u32) -> u32 {
    n
}

#[farloop::stream]
fn twice(out: Yielder<u32>) -> impl Stream<Item = u32> {}

#[farloop::stream]
fn blocking(out: Yielder<u32>) {}

#[farloop::stream]
async fn with_an_end(out: Yielder<u32>) -> u32 {
    1
}

#[farloop::stream]
async fn two_ways_out(out: Yielder<u32>, other: Yielder<u32>) {}

#[farloop::stream]
async fn sends_errors(out: Yielder<farloop::Result<u32>>) {}

#[farloop::task]
async fn no_stream(out: Yielder<u32>) {}

#[farloop::stream]
fn fine() -> impl Stream<Item = u32> {
    futures_util::stream::iter([1])
}

fn main() {
    fine().close();
}
