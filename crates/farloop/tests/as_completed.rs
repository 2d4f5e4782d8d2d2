//! `as_completed` yields each input once, however many are ready at the same moment (L9).

use farloop::prelude::*;
use farloop::testing::Cluster;

#[farloop::task]
async fn echo(n: u32) -> u32 {
    n
}

#[test]
fn l9_many_that_end_together_are_all_yielded() {
    Cluster::new().workers(2).run(async || {
        let mut seen = Vec::new();
        let mut next = as_completed((0..1_000).map(echo));
        while let Some(completed) = next.next().await {
            seen.push(completed.unwrap().result.unwrap());
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
    });
}

#[test]
fn l9_map_yields_each_item_within_its_limit() {
    Cluster::new().run(async || {
        let doubled = map(|n| echo(n * 2), 0..500).limit(7).ordered().collect().await.unwrap();
        assert_eq!(doubled, (0..500).map(|n| n * 2).collect::<Vec<_>>());
    });
}
