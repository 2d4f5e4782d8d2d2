//! What the wire costs per small frame: `cargo run --release -p farloop-proto --example wire_cost`.
//!
//! Batches of 64, as they form under load; each figure is encode (core to bytes) or decode (bytes to core) per frame.

use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use farloop_core::frame::{Down, Owner, Start, Submit, Up};
use farloop_core::id::{AttemptId, Epoch, SessionId, TaskId};
use farloop_core::link::{Batch, Item};
use farloop_core::outcome::Outcome;
use farloop_core::spec::{Options, Spec};
use farloop_proto::convert::{FromPeer, ToPeer};
use farloop_proto::v1::{ConnectRequest, ConnectResponse};
use prost::Message;

const ITEMS: u64 = 64;
const ROUNDS: u32 = 20_000;

fn main() {
    let task = TaskId(0x0199_0000_0000_7000_8000_0000_0000_0001);
    let attempt = AttemptId { task, epoch: Epoch(1_000_000) };
    let args = Bytes::from_static(&[0x92, 2, 3]);
    let spec = Arc::new(Spec {
        function: "demo.add".into(),
        fingerprint: 0x1234_5678_9abc_def0,
        args,
        dependencies: Vec::new(),
        name: None,
        options: Options::default(),
        trace: None,
        context: None,
        stream: false,
        actor: None,
    });
    let outcome = || Outcome::Returned(Bytes::from_static(&[5]));
    let submit = Submit { task, spec: spec.clone(), owner: Owner::Root, creator: None, within: None };
    let start =
        Start { attempt, number: 1, spec, root: Some(SessionId(7)), depth: 0, remaining: None, cancels: 0, more: None };
    up("submit", &Up::Submit(submit));
    down("start", &Down::Start(start));
    up("ended", &Up::Ended { attempt, outcome: outcome(), delivered: 0 });
    down("resolved", &Down::Resolved { task, outcome: outcome() });
}

fn up(name: &str, frame: &Up) {
    let batch = Batch { first: 1_000_000, ack: 1_000_000, items: vec![Item::Frame(frame.clone()); ITEMS as usize] };
    measure(name, || ConnectRequest::from(FromPeer::Batch(batch.clone())), FromPeer::try_from);
}

fn down(name: &str, frame: &Down) {
    let batch = Batch { first: 1_000_000, ack: 1_000_000, items: vec![Item::Frame(frame.clone()); ITEMS as usize] };
    measure(name, || ConnectResponse::from(ToPeer::Batch(batch.clone())), ToPeer::try_from);
}

fn measure<M: Message + Default, T, E: std::fmt::Debug>(
    name: &str,
    message: impl Fn() -> M,
    read: impl Fn(M) -> Result<T, E>,
) {
    let mut buffer = BytesMut::with_capacity(1 << 16);
    let encode = time(|| {
        buffer.clear();
        black_box(message()).encode(&mut buffer).expect("a BytesMut grows");
    });
    let bytes = buffer.freeze();
    let decode = time(|| {
        let message = M::decode(bytes.clone()).expect("just encoded");
        black_box(read(message).expect("just encoded"));
    });
    println!("{name:<9} {:>4} bytes  encode {encode:>5.0} ns  decode {decode:>5.0} ns", bytes.len() as u64 / ITEMS);
}

/// Nanoseconds that this process was on a CPU: a busy machine does not count. Linux only; elsewhere the wall.
fn on_cpu() -> f64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    let wall = || BEGIN.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e9;
    let stat = std::fs::read_to_string("/proc/self/schedstat").ok();
    stat.and_then(|s| s.split(' ').next()?.parse().ok()).unwrap_or_else(wall)
}

/// Nanoseconds per frame, best of five.
fn time(mut round: impl FnMut()) -> f64 {
    let best = (0..5).map(|_| {
        let begin = on_cpu();
        (0..ROUNDS / 5).for_each(|_| round());
        (on_cpu() - begin) / f64::from(ROUNDS / 5) / ITEMS as f64
    });
    best.fold(f64::INFINITY, f64::min)
}
