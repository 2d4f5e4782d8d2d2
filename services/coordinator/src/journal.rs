//! The store's own thread: it appends what came since the last sync, syncs once, and tells the core how far it is.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, Weak};

use farloop_core::api::Input;
use farloop_store::{Entry, Store, StoreError};
use tokio::sync::oneshot;

use crate::driver::Driver;

/// Feeds the store's thread, which ends with this.
#[derive(Debug)]
pub(crate) struct Journal {
    name: String,
    entries: Sender<Entry>,
    failure: Mutex<Option<oneshot::Receiver<StoreError>>>,
}

impl Journal {
    pub(crate) fn start(store: Box<dyn Store>, driver: Weak<Driver>) -> Self {
        let name = store.name().to_owned();
        let (entries, queue) = channel();
        let (failed, failure) = oneshot::channel();
        std::thread::Builder::new()
            .name("farloop-store".into())
            .spawn(move || {
                if let Err(error) = write(store, &queue, &driver) {
                    // Nobody listens any more once the server stopped.
                    let _ = failed.send(error);
                }
            })
            .expect("a process that cannot start one thread cannot serve");
        Self { name, entries, failure: Mutex::new(Some(failure)) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Queues a record. Their number is bounded by what the core accepts.
    pub(crate) fn append(&self, entry: Entry) {
        // The thread ends early only after a failure, of which the server learns by `failed`.
        let _ = self.entries.send(entry);
    }

    /// Why the store gave up; for ever pending if it does not.
    pub(crate) async fn failed(&self) -> StoreError {
        let failure = self.failure.lock().expect("nothing panics under this lock").take();
        match failure {
            Some(failure) => match failure.await {
                Ok(error) => error,
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

/// Group commit: while one sync runs the next records gather.
fn write(mut store: Box<dyn Store>, queue: &Receiver<Entry>, driver: &Weak<Driver>) -> Result<(), StoreError> {
    while let Ok(first) = queue.recv() {
        store.append(first)?;
        for next in queue.try_iter() {
            store.append(next)?;
        }
        let durable = store.sync()?;
        let Some(driver) = driver.upgrade() else { return Ok(()) };
        driver.handle(Input::Durable(durable));
    }
    Ok(())
}
