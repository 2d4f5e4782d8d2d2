//! What the core itself costs per no-op: accepted, leased, ended, told, forgotten. No wire, no runtime.

#![allow(missing_docs, reason = "criterion's macros make items without docs")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use farloop_benches::steady::Steady;

/// Tasks of one turn: about what one batch of a busy session carries.
const TURN: usize = 256;

fn no_op(c: &mut Criterion) {
    let mut group = c.benchmark_group("core no-op");
    group.throughput(Throughput::Elements(TURN as u64));
    for (name, live) in [("1,000 live", 1_000), ("10,000 live", 10_000), ("1,000,000 live", 1_000_000)] {
        group.bench_function(name, |b| {
            let mut steady = Steady::new(live, TURN as u64);
            b.iter(|| steady.turn(TURN));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = no_op
}
criterion_main!(benches);
