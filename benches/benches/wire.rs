//! A batch of 256 submits, of tasks and of calls of actors, to protobuf bytes and back, conversions included.

#![allow(missing_docs, reason = "criterion's macros make items without docs")]

use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use farloop_benches::steady::{ended, submit};
use farloop_core::actor::{Address, Part};
use farloop_core::frame::Up;
use farloop_core::id::{AttemptId, Epoch, TaskId};
use farloop_core::link::{Batch, Item};
use farloop_proto::convert::FromPeer;
use farloop_proto::v1::ConnectRequest;
use prost::Message;

const FRAMES: u128 = 256;

fn batch(frame: impl Fn(u128) -> Up) -> FromPeer {
    FromPeer::Batch(Batch {
        first: 1_000_000,
        ack: 1_000_000,
        items: (0..FRAMES).map(|n| Item::Frame(frame(n))).collect(),
    })
}

fn encode(batch: FromPeer) -> Bytes {
    ConnectRequest::from(batch).encode_to_vec().into()
}

/// A call as the SDK makes it.
fn call(task: u128, args: &Bytes, to: Address) -> Up {
    let Up::Submit(mut made) = submit(task, args) else { unreachable!("submit() makes a submit") };
    let spec = Arc::make_mut(&mut made.spec);
    spec.options.max_crashes = 0;
    spec.actor = Some(Arc::new(Part::Call { to, waits: false }));
    Up::Submit(made)
}

fn wire(c: &mut Criterion) {
    let args = Bytes::from_static(&[0x90]);
    // Ids as they are in life: 128 bits, all used.
    let id = |n: u128| 0x019a_0000_0000_7000_8000_0000_0000_0000 + n;
    let submits = batch(|n| submit(id(n), &args));
    let ends = batch(|n| ended(AttemptId { task: TaskId(id(n)), epoch: Epoch(n as u64) }));
    let by_id = batch(|n| call(id(n), &args, Address::Actor(TaskId(id(n % 16) << 1))));
    // An option that few set, and the generated code takes over.
    let unusual = batch(|n| {
        let Up::Submit(mut made) = call(id(n), &args, Address::Actor(TaskId(id(n % 16) << 1))) else { unreachable!() };
        Arc::make_mut(&mut made.spec).options.priority = Some(0);
        Up::Submit(made)
    });
    let by_name = batch(|n| call(id(n), &args, Address::Name { name: format!("user-{}", n % 16).into(), make: None }));
    let mut group = c.benchmark_group("wire");
    group.throughput(Throughput::Elements(FRAMES as u64));
    for (name, batch) in
        [("submit", submits), ("ended", ends), ("call", by_id), ("call by name", by_name), ("unusual call", unusual)]
    {
        let bytes = encode(batch.clone());
        println!("{name}: {} bytes a frame", bytes.len() / FRAMES as usize);
        group.bench_function(format!("encode {name}"), |b| {
            b.iter_batched(|| batch.clone(), encode, BatchSize::SmallInput);
        });
        group.bench_function(format!("decode {name}"), |b| {
            b.iter(|| {
                let request = ConnectRequest::decode(bytes.clone()).expect("bytes that were just encoded");
                FromPeer::try_from(request).expect("a batch that was just converted")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, wire);
criterion_main!(benches);
