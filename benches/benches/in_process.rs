//! The whole way of a task without a wire: client, core and worker in one process.

#![allow(missing_docs, reason = "criterion's macros make items without docs")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use farloop::prelude::*;
use farloop_benches::load::noop;
use tokio::runtime::{Builder, Runtime};

fn cluster() -> (Runtime, farloop::Loop) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let event_loop = runtime.block_on(async { farloop::in_process().workers(1).start() });
    (runtime, event_loop.expect("a cluster in this process"))
}

fn in_process(c: &mut Criterion) {
    let (runtime, _cluster) = cluster();
    let mut group = c.benchmark_group("in process");
    group.bench_function("round trip", |b| {
        b.iter(|| runtime.block_on(async { noop().await.expect("a no-op") }));
    });
    for size in [10, 1_000] {
        group.throughput(Throughput::Elements(size));
        group.bench_function(format!("gather of {size}"), |b| {
            b.iter(|| runtime.block_on(async { gather_all((0..size).map(|_| noop())).await.expect("no-ops") }));
        });
    }
    group.finish();
}

criterion_group!(benches, in_process);
criterion_main!(benches);
