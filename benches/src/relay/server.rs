//! The relay and the worker behind it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};

use super::wire::relay_client::RelayClient;
use super::wire::relay_server::{Relay, RelayServer};
use super::wire::{Batch, Item};
use super::{QUEUED_BATCHES, QUEUED_ITEMS, batch, connect};

type Batches = Pin<Box<dyn Stream<Item = Result<Batch, Status>> + Send>>;

/// Runs each item as a task that does nothing. Prints its address, serves until killed.
///
/// # Errors
/// The listener could not be opened or broke.
pub async fn serve_worker() -> Result<()> {
    serve(EchoWorker).await
}

/// Stands in the middle: remembers each item, passes it on, forgets it when its answer passes back.
///
/// # Errors
/// The worker cannot be reached; the listener could not be opened or broke.
pub async fn serve_relay(worker: &str) -> Result<()> {
    serve(Middle { worker: connect(worker).await? }).await
}

async fn serve(service: impl Relay) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    // `serve_with_incoming` leaves Nagle's algorithm on, which would cost 40 ms a round trip.
    let connections = TcpListenerStream::new(listener).map(|connection| {
        let connection = connection?;
        connection.set_nodelay(true)?;
        std::io::Result::Ok(connection)
    });
    Server::builder().add_service(RelayServer::new(service)).serve_with_incoming(connections).await?;
    Ok(())
}

fn answer(batches: mpsc::Receiver<Batch>) -> Response<Batches> {
    Response::new(Box::pin(ReceiverStream::new(batches).map(Ok)))
}

struct EchoWorker;

#[tonic::async_trait]
impl Relay for EchoWorker {
    type ExecStream = Batches;

    async fn exec(&self, request: Request<Streaming<Batch>>) -> Result<Response<Batches>, Status> {
        let mut incoming = request.into_inner();
        let (done, results) = mpsc::channel(QUEUED_ITEMS);
        let (out, batches) = mpsc::channel(QUEUED_BATCHES);
        tokio::spawn(async move {
            while let Ok(Some(batch)) = incoming.message().await {
                for item in batch.items {
                    let done = done.clone();
                    tokio::spawn(async move {
                        // The receiver is gone only when the stream is.
                        let _ = done.send(item).await;
                    });
                }
            }
        });
        tokio::spawn(batch(results, out));
        Ok(answer(batches))
    }
}

struct Middle {
    worker: RelayClient<Channel>,
}

#[tonic::async_trait]
impl Relay for Middle {
    type ExecStream = Batches;

    async fn exec(&self, request: Request<Streaming<Batch>>) -> Result<Response<Batches>, Status> {
        let table = Table::default();
        let (to_worker, batches) = mpsc::channel(QUEUED_BATCHES);
        let (up, queued) = mpsc::channel(QUEUED_ITEMS);
        let entries = table.clone();
        forward(request.into_inner(), up, move |item| entries.insert(item));
        tokio::spawn(batch(queued, to_worker));
        let results = self.worker.clone().exec(ReceiverStream::new(batches)).await?.into_inner();

        let (to_client, batches) = mpsc::channel(QUEUED_BATCHES);
        let (down, queued) = mpsc::channel(QUEUED_ITEMS);
        forward(results, down, move |item| table.remove(item));
        tokio::spawn(batch(queued, to_client));
        Ok(answer(batches))
    }
}

fn forward(mut from: Streaming<Batch>, to: mpsc::Sender<Item>, mut seen: impl FnMut(&Item) + Send + 'static) {
    tokio::spawn(async move {
        while let Ok(Some(batch)) = from.message().await {
            for item in batch.items {
                seen(&item);
                if to.send(item).await.is_err() {
                    return;
                }
            }
        }
    });
}

/// What is under way: the least a coordinator has to know.
#[derive(Clone, Default)]
struct Table(Arc<Mutex<HashMap<u64, usize>>>);

impl Table {
    fn insert(&self, item: &Item) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(item.id, item.payload.len());
    }
    fn remove(&self, item: &Item) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&item.id);
    }
}
