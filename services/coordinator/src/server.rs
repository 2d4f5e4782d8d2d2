//! Bind, serve, stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use farloop_core::api::Input;
use farloop_proto::v1::cluster_service_server::ClusterServiceServer;
use farloop_proto::v1::session_service_server::SessionServiceServer;
use farloop_proto::v1::task_service_server::TaskServiceServer;
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::oneshot;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::api::{Cluster, Tasks};
use crate::auth::{Guard, Tokens};
use crate::config::{Config, StartError};
use crate::driver::Driver;
use crate::errors;
use crate::session::Sessions;

const MIB: u32 = 1024 * 1024;
/// A batch is bounded in payload, not in the rest of its frames; this bounds both.
const SESSION_MESSAGE: usize = 64 * MIB as usize;
/// What a request may have around its payload.
const AROUND_PAYLOAD: usize = MIB as usize;
const SERVICES: [&str; 4] = ["", "farloop.v1.TaskService", "farloop.v1.ClusterService", "farloop.v1.SessionService"];
/// How often a stop looks whether all is quiet.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A coordinator that listens and does not answer yet.
#[derive(Debug)]
pub struct Coordinator {
    listener: TcpListener,
    local_addr: SocketAddr,
    driver: Arc<Driver>,
    tokens: Tokens,
    stop_within: Duration,
    max_payload: usize,
}

impl Coordinator {
    /// Opens the listener.
    ///
    /// # Errors
    /// It cannot be opened, or may not be: the error says what to do.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let Config { listen, tokens, core, store, stop_within } = config;
        let bad = |source| StartError::BadAddress { listen: listen.clone(), source };
        let places: Vec<SocketAddr> = lookup_host(&listen).await.map_err(bad)?.collect();
        if tokens.is_empty() && !places.iter().all(|place| place.ip().is_loopback()) {
            return Err(StartError::NoToken { listen });
        }
        let listener = TcpListener::bind(places.as_slice()).await.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => StartError::PortBusy { listen: listen.clone() },
            _ => StartError::Listen { listen: listen.clone(), source },
        })?;
        let local_addr =
            listener.local_addr().map_err(|source| StartError::Listen { listen: listen.clone(), source })?;
        let max_payload = core.max_payload;
        Ok(Self { listener, local_addr, driver: Driver::new(core, store), tokens, stop_within, max_payload })
    }

    /// Where it listens, with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Whether callers must send a token.
    #[must_use]
    pub fn asks_for_token(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Serves until `shutdown` is over; then tells every peer, waits for them no longer than the configuration says,
    /// and ends.
    ///
    /// # Errors
    /// The server or the store failed.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), StartError> {
        let Self { listener, driver, tokens, stop_within, max_payload, .. } = self;
        let (reporter, health) = tonic_health::server::health_reporter();
        set_health(&reporter, ServingStatus::NotServing).await;
        let routes = routes(&driver, max_payload)?.add_service(health);
        let (close, closing) = oneshot::channel::<()>();
        let server = Server::builder()
            .layer(Guard::new(tokens, max_payload))
            .accept_http1(false)
            .max_concurrent_streams(1024)
            .http2_max_pending_accept_reset_streams(Some(200))
            .http2_max_local_error_reset_streams(Some(1024))
            .initial_stream_window_size(MIB)
            .initial_connection_window_size(16 * MIB)
            .http2_keepalive_interval(Some(Duration::from_secs(10)))
            .http2_keepalive_timeout(Some(Duration::from_secs(5)))
            .add_routes(routes)
            .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async {
                let _ = closing.await;
            });
        let time = tokio::spawn(driver.clone().keep_time());
        set_health(&reporter, ServingStatus::Serving).await;
        let ended = tokio::select! {
            ended = run(server, shutdown, close, &driver, &reporter, stop_within) => ended,
            failure = driver.store_failed() => Err(failure.into()),
        };
        time.abort();
        ended
    }
}

async fn run(
    server: impl Future<Output = Result<(), tonic::transport::Error>>,
    shutdown: impl Future<Output = ()>,
    close: oneshot::Sender<()>,
    driver: &Driver,
    reporter: &HealthReporter,
    stop_within: Duration,
) -> Result<(), StartError> {
    let mut server = std::pin::pin!(server);
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = shutdown => {}
    }
    let stop = async {
        set_health(reporter, ServingStatus::NotServing).await;
        driver.handle(Input::Drain);
        while driver.stats().leases > 0 && driver.open_connections() > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        _ = tokio::time::timeout(stop_within, stop) => {}
    }
    driver.hang_up(&stopping());
    // The server waits for every connection, for ever if need be; a second is enough to say goodbye.
    let _ = close.send(());
    match tokio::time::timeout(Duration::from_secs(1), server).await {
        Ok(ended) => Ok(ended?),
        Err(_) => Ok(()),
    }
}

fn stopping() -> Status {
    errors::status(Code::Unavailable, "STOPPING", "the coordinator stops; reconnect when it is back")
}

async fn set_health(reporter: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}

fn routes(driver: &Arc<Driver>, max_payload: usize) -> Result<Routes, StartError> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(farloop_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let session = SessionServiceServer::new(Sessions { driver: driver.clone() })
        .max_decoding_message_size(SESSION_MESSAGE)
        .max_encoding_message_size(SESSION_MESSAGE);
    let tasks = TaskServiceServer::new(Tasks { driver: driver.clone() })
        .max_decoding_message_size(max_payload + AROUND_PAYLOAD);
    Ok(Routes::new(session)
        .add_service(tasks)
        .add_service(ClusterServiceServer::new(Cluster { driver: driver.clone() }))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}
