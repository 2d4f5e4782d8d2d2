//! The floor: client -> relay -> worker and back over bidi streams, batched adaptively, one thread per process.
//!
//! The relay keeps one table entry per item, as a coordinator must, and decides nothing. No runtime that sends each
//! task through a coordinator over tonic can do better by much; how close farloop comes is the question.

mod client;
mod server;
#[rustfmt::skip]
#[path = "relay/generated.rs"]
#[allow(missing_docs, missing_debug_implementations, unreachable_pub, clippy::all)]
mod wire;

pub use client::Client;
pub use server::{serve_relay, serve_worker};

use std::time::Duration;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};
use wire::relay_client::RelayClient;
use wire::{Batch, Item};

/// Items of one gRPC message at most.
const BATCH_ITEMS: usize = 256;
/// Items that may wait to be batched.
const QUEUED_ITEMS: usize = 65_536;
/// Batches that may wait for the stream.
const QUEUED_BATCHES: usize = 16;
/// With the id about 64 bytes on the wire.
const PAYLOAD: usize = 54;

/// Adaptive batching: whatever is ready goes out as one message, at once when the stream is idle, more at a time
/// when it is busy. No timer.
async fn batch(mut items: mpsc::Receiver<Item>, out: mpsc::Sender<Batch>) {
    loop {
        let mut ready = Vec::with_capacity(64);
        if items.recv_many(&mut ready, BATCH_ITEMS).await == 0 || out.send(Batch { items: ready }).await.is_err() {
            return;
        }
    }
}

async fn connect(address: &str) -> anyhow::Result<RelayClient<Channel>> {
    let endpoint = Endpoint::from_shared(address.to_owned())?.tcp_nodelay(true).connect_timeout(Duration::from_secs(3));
    Ok(RelayClient::new(endpoint.connect().await?))
}
