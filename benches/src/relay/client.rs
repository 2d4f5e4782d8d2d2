//! The client side: send one item, await its answer, many at a time over one stream.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::wire::{Batch, Item};
use super::{PAYLOAD, QUEUED_BATCHES, QUEUED_ITEMS, batch, connect};

type Waiting = Rc<RefCell<HashMap<u64, oneshot::Sender<Item>>>>;

/// A connection to a relay. Lives on one thread, inside a `LocalSet`.
#[derive(Debug)]
pub struct Client {
    waiting: Waiting,
    next: RefCell<u64>,
    items: mpsc::Sender<Item>,
    reader: JoinHandle<()>,
}

impl Client {
    /// Connects and opens the stream.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn connect(address: &str) -> Result<Self> {
        let (items, queued) = mpsc::channel(QUEUED_ITEMS);
        let (out, batches) = mpsc::channel(QUEUED_BATCHES);
        tokio::spawn(batch(queued, out));
        let answers = connect(address).await?.exec(ReceiverStream::new(batches)).await?.into_inner();
        let waiting = Waiting::default();
        let reader = tokio::task::spawn_local(read(answers, waiting.clone()));
        Ok(Self { waiting, next: RefCell::new(0), items, reader })
    }

    /// One item there and back.
    ///
    /// # Errors
    /// The stream ended.
    pub async fn call(&self) -> Result<()> {
        let id = {
            let mut next = self.next.borrow_mut();
            *next += 1;
            *next
        };
        let (answer, answered) = oneshot::channel();
        self.waiting.borrow_mut().insert(id, answer);
        self.items.send(Item { id, payload: vec![7; PAYLOAD] }).await.context("the relay is gone")?;
        answered.await.context("the relay is gone")?;
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(mut answers: Streaming<Batch>, waiting: Waiting) {
    while let Ok(Some(batch)) = answers.message().await {
        let mut waiting = waiting.borrow_mut();
        for item in batch.items {
            if let Some(answer) = waiting.remove(&item.id) {
                // A caller that stopped waiting needs no answer.
                let _ = answer.send(item);
            }
        }
    }
    // Whoever still waits learns that nothing more will come.
    waiting.borrow_mut().clear();
}
