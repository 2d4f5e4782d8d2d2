//! A coordinator on a free port.

use std::net::SocketAddr;
use std::time::Duration;

use farloop_coordinator::{Config, Coordinator, StartError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), StartError>>,
}

pub(crate) async fn start(config: Config) -> Running {
    let coordinator = Coordinator::bind(Config { listen: "127.0.0.1:0".into(), ..config }).await.unwrap();
    let address = coordinator.local_addr();
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(coordinator.serve(async {
        let _ = stopped.await;
    }));
    Running { address, stop, served }
}

impl Running {
    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().tcp_nodelay(true).connect().await.unwrap()
    }

    pub(crate) fn begin_stop(self) -> JoinHandle<Result<(), StartError>> {
        let _ = self.stop.send(());
        self.served
    }
}
