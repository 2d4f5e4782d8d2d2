//! A coordinator on a free port.

use std::net::SocketAddr;
use std::time::Duration;

use farloop_coordinator::{Config, Coordinator, StartError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), StartError>>,
}

/// One that serves.
pub(crate) async fn start(config: Config) -> Running {
    let running = begin(config).await;
    let ready = async {
        while running.health().await != ServingStatus::Serving as i32 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("it serves in time");
    running
}

/// One that may still read its records.
pub(crate) async fn begin(config: Config) -> Running {
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

    /// Whether it takes tasks.
    pub(crate) async fn health(&self) -> i32 {
        let request = HealthCheckRequest { service: "farloop.v1.TaskService".into() };
        HealthClient::new(self.channel().await).check(request).await.unwrap().into_inner().status
    }

    /// It is gone at once, without a word to anybody.
    pub(crate) async fn abort(self) {
        self.served.abort();
        let _ = self.served.await;
    }

    /// How it ended by itself.
    pub(crate) async fn ended(self) -> Result<(), StartError> {
        tokio::time::timeout(PATIENCE, self.served).await.expect("it ends in time").unwrap()
    }

    pub(crate) fn begin_stop(self) -> JoinHandle<Result<(), StartError>> {
        let _ = self.stop.send(());
        self.served
    }
}
