//! A coordinator inside the test, for settings that have no flag.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use farloop_coordinator::{Config, Coordinator};
use tokio::sync::oneshot;

/// A coordinator on a thread of its own. Dropped, it is gone at once, without goodbyes.
#[derive(Debug)]
pub struct Embedded {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Starts one with the core's settings changed.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn with(change: impl FnOnce(&mut farloop_core::api::Config)) -> Self {
        let mut config = Config { listen: "127.0.0.1:0".into(), ..Config::default() };
        change(&mut config.core);
        let (tell, told) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
            runtime.block_on(async {
                let coordinator = Coordinator::bind(config).await.expect("a free port on loopback");
                tell.send(coordinator.local_addr()).expect("the test waits for the address");
                tokio::select! {
                    served = coordinator.serve(std::future::pending()) => served.expect("it serves until it is dropped"),
                    _ = stopped => {}
                }
            });
        });
        let address = told.recv().expect("the coordinator says where it listens");
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same, as clients and workers want it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was printed; a second one from here would hide the test's own.
            drop(thread.join());
        }
    }
}
