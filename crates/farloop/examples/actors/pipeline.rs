//! Streams from actor to actor: each works while the others do, and none runs ahead of the slowest.

use farloop::{Stream, Yielder};

pub(crate) struct Source {
    made: u64,
}

#[farloop::actor(name = "examples.Source")]
impl Source {
    pub fn new() -> Self {
        Source { made: 0 }
    }

    pub async fn numbers(&mut self, to: u64, out: Yielder<u64>) -> farloop::Result<()> {
        for n in 1..=to {
            out.send(n).await?; // waits when nobody takes them
            self.made = n;
        }
        Ok(())
    }
}

pub(crate) struct Doubler {
    source: SourceRef,
}

#[farloop::actor(name = "examples.Doubler")]
impl Doubler {
    /// A reference is an argument like any other.
    pub fn new(source: SourceRef) -> Self {
        Doubler { source }
    }

    pub fn doubled(&self, to: u64) -> impl Stream<Item = farloop::Result<u64>> {
        use futures_util::StreamExt;
        self.source.numbers(to).map(|n| n.map(|n| n * 2))
    }
}

pub(crate) async fn run() -> farloop::Result<()> {
    let source = Source::spawn().await?;
    let doubler = Doubler::spawn(&source).near(&source).await?;
    let mut doubled = doubler.doubled(100_000);
    let (mut count, mut sum) = (0_u64, 0);
    while let Some(n) = doubled.next().await {
        sum += n?;
        count += 1;
    }
    println!("{count} numbers came through, and their sum is {sum}");
    let few = doubler.doubled(3).collect().await?;
    println!("then {few:?}");
    Ok(())
}
