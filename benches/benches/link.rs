//! One end of a session to the other and back, without a wire: what numbering, windows and acknowledgements cost.

#![allow(missing_docs, reason = "criterion's macros make items without docs")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use farloop_benches::steady::submit;
use farloop_core::frame::Up;
use farloop_core::limits;
use farloop_core::link::Link;

/// Sends all frames over, with acknowledgements both ways; answers how many arrived.
fn over(from: &mut Link<Up>, to: &mut Link<Up>, frames: &[Up]) -> usize {
    let mut arrived = 0;
    for frame in frames {
        from.push(frame.clone());
    }
    while let Some(batch) = from.poll_batch(false) {
        to.receive(batch, |frame: Up| {
            black_box(frame);
            arrived += 1;
        })
        .expect("a link in one process loses nothing");
        if let Some(acknowledgement) = to.poll_batch(true) {
            from.receive(acknowledgement, |_: Up| {}).expect("an acknowledgement of what was sent");
        }
    }
    arrived
}

fn links(c: &mut Criterion) {
    let mut group = c.benchmark_group("link");
    for (name, size, count) in [("1000 small frames", 2, 1_000), ("10 payloads of 1 MiB", 1 << 20, 10)] {
        let args = Bytes::from(vec![7; size]);
        let frames: Vec<Up> = (0..count).map(|n| submit(n, &args)).collect();
        let (mut from, mut to) = (Link::new(limits::MAX_PAYLOAD), Link::new(limits::MAX_PAYLOAD));
        group.throughput(Throughput::Elements(frames.len() as u64));
        group.bench_function(name, |b| b.iter(|| assert_eq!(over(&mut from, &mut to, &frames), frames.len())));
    }
    group.finish();
}

criterion_group!(benches, links);
criterion_main!(benches);
