//! Bind, serve, stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use farloop_core::api::Input;
use farloop_core::bounds;
use farloop_proto::v1::actor_service_server::ActorServiceServer;
use farloop_proto::v1::cluster_service_server::ClusterServiceServer;
use farloop_proto::v1::session_service_server::SessionServiceServer;
use farloop_proto::v1::task_service_server::TaskServiceServer;
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::oneshot;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower_layer::{Identity, Stack};

use crate::api::{Actors, Cluster, Tasks};
use crate::auth::Guard;
use crate::config::{Config, StartError};
use crate::driver::Driver;
use crate::errors;
use crate::incoming::Incoming;
use crate::replay;
use crate::session::Sessions;

const MIB: u32 = 1024 * 1024;
/// A batch is bounded in payload, not in the rest of its frames; this bounds both.
const SESSION_MESSAGE: usize = 64 * MIB as usize;
/// What a request may have around its payload.
const AROUND_PAYLOAD: usize = MIB as usize;
const SERVICES: [&str; 5] =
    ["", "farloop.v1.TaskService", "farloop.v1.ActorService", "farloop.v1.ClusterService", "farloop.v1.SessionService"];
/// How long a start may take until callers hear that it does.
const MOMENT: Duration = Duration::from_millis(200);
/// How long a stop waits for the store to take the last records.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);
/// How often a stop looks whether all is quiet.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A coordinator that listens and does not answer yet.
#[derive(Debug)]
pub struct Coordinator {
    listener: TcpListener,
    local_addr: SocketAddr,
    config: Config,
}

impl Coordinator {
    /// Opens the listener.
    ///
    /// # Errors
    /// It cannot be opened, or may not be: the error says what to do.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let listen = config.listen.clone();
        let bad = |source| StartError::BadAddress { listen: listen.clone(), source };
        let places: Vec<SocketAddr> = lookup_host(&listen).await.map_err(bad)?.collect();
        if config.tokens.is_empty() && !places.iter().all(|place| place.ip().is_loopback()) {
            return Err(StartError::NoToken { listen });
        }
        let listener = TcpListener::bind(places.as_slice()).await.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => StartError::PortBusy { listen: listen.clone() },
            _ => StartError::Listen { listen: listen.clone(), source },
        })?;
        let local_addr =
            listener.local_addr().map_err(|source| StartError::Listen { listen: listen.clone(), source })?;
        Ok(Self { listener, local_addr, config })
    }

    /// Where it listens, with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Whether callers must send a token.
    #[must_use]
    pub fn asks_for_token(&self) -> bool {
        !self.config.tokens.is_empty()
    }

    /// Reads what the store has, if there is one; then serves until `shutdown` is over; then tells every peer, waits
    /// for them no longer than the configuration says, and ends. While it reads, health answers NOT_SERVING and every
    /// other call is refused with UNAVAILABLE.
    ///
    /// # Errors
    /// The records cannot be read, or the server or the store failed.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), StartError> {
        let Self { listener, config: Config { core, store, tokens, stop_within, connections, .. }, .. } = self;
        let (bounds, retention, max_payload) = (bounds::in_force(&core), core.retention, core.max_payload);
        let guard = Guard::new(tokens, max_payload);
        let mut shutdown = std::pin::pin!(shutdown);
        let (replayed, store) = match store {
            None => (replay::fresh(core), None),
            Some(open) => {
                let same = duplicate(&listener)?;
                let (replayed, store) = tokio::select! {
                    read = replay::replay(core, open) => read.map_err(StartError::Records)?,
                    ended = meanwhile(same, connections, guard.clone()) => return ended,
                    () = &mut shutdown => return Ok(()),
                };
                (replayed, Some(store))
            }
        };
        let (records, took) = (replayed.records, replayed.took);
        let driver = Driver::new(replayed, store, bounds, retention);
        let stats = driver.begin_life();
        // Nobody hears of a life that the next one would not know of: its number stands before its leases and tokens.
        driver.flush().await;
        let (tasks, retained) = (stats.live, stats.retained);
        if let Some(standing) = driver.store_standing() {
            tracing::info!(tasks, retained, records, bytes = standing.bytes, ?took, "ready");
        }
        let (reporter, health) = tonic_health::server::health_reporter();
        set_health(&reporter, ServingStatus::NotServing).await;
        let routes = routes(&driver, max_payload)?.add_service(health);
        let (close, closing) = oneshot::channel::<()>();
        let incoming = Incoming::new(listener, connections);
        let server = builder(guard).add_routes(routes).serve_with_incoming_shutdown(incoming, async {
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

/// As every server here is set up.
fn builder(guard: Guard) -> Server<Stack<Guard, Identity>> {
    Server::builder()
        .layer(guard)
        .accept_http1(false)
        .max_concurrent_streams(1024)
        .http2_max_pending_accept_reset_streams(Some(200))
        .http2_max_local_error_reset_streams(Some(1024))
        .initial_stream_window_size(MIB)
        .initial_connection_window_size(16 * MIB)
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
}

/// The same port once more, for whoever answers there until the real one does.
fn duplicate(listener: &TcpListener) -> Result<TcpListener, StartError> {
    let same = listener.as_fd().try_clone_to_owned().and_then(|same| TcpListener::from_std(same.into()));
    same.map_err(|source| StartError::Listen { listen: "the same port once more".into(), source })
}

/// What answers while records are read: health, and a refusal of everything else. It only ends with an error.
async fn meanwhile(listener: TcpListener, connections: usize, guard: Guard) -> Result<(), StartError> {
    // Few records are read in a moment: whoever comes in it waits, rather than to be refused.
    tokio::time::sleep(MOMENT).await;
    let (reporter, health) = tonic_health::server::health_reporter();
    set_health(&reporter, ServingStatus::NotServing).await;
    let incoming = Incoming::new(listener, connections);
    // A connection outlives the server that accepted it, unless that could be asked to shut down: then its connections are
    // told to go away when it is dropped, and whoever comes back finds the real one.
    let never = std::future::pending();
    Ok(builder(guard.recovering()).add_service(health).serve_with_incoming_shutdown(incoming, never).await?)
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
    let ended = match tokio::time::timeout(Duration::from_secs(1), server).await {
        Ok(ended) => ended.map_err(Into::into),
        Err(_) => Ok(()),
    };
    // What was not to wait for the disk still gets there.
    let _ = tokio::time::timeout(FLUSH_WITHIN, driver.flush()).await;
    ended
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
    let actors = ActorServiceServer::new(Actors { tasks: Tasks { driver: driver.clone() } })
        .max_decoding_message_size(max_payload + AROUND_PAYLOAD);
    Ok(Routes::new(session)
        .add_service(tasks)
        .add_service(actors)
        .add_service(ClusterServiceServer::new(Cluster { driver: driver.clone() }))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}
