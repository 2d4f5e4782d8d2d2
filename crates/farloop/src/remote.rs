//! The session over gRPC: one bidi stream on a thread of its own, so that a spinning body cannot stop heartbeats.
//!
//! What leaves is polled by the HTTP/2 connection itself (adaptive batching: whatever is ready when it can take more;
//! no timer, no channel in between). A connection that breaks is made again with backoff, and the link resumes.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::thread::ThreadId;
use std::time::Duration;

use farloop_core::frame::{HelloReply, Role, SUPERSEDED};
use farloop_core::limits;
use farloop_proto::convert::{FromPeer, ToPeer};
use farloop_proto::v1::session_service_client::SessionServiceClient;
use farloop_proto::v1::{ConnectRequest, ConnectResponse};
use futures_core::Stream;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::error::{Error, Result};
use crate::event_loop::LoopShared;
use crate::in_process::spawn_thread;
use crate::runtime::{Inner, Loop};
use crate::session::{SessionShared, Welcome};
use crate::token::Side;

/// How long a client waits for a coordinator before it gives up.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Pause before the first new try.
const MIN_BACKOFF: Duration = Duration::from_millis(50);
/// Longest pause between two tries.
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// How long a try may take to its connection.
const TRY_LIMIT: Duration = Duration::from_secs(3);
/// A worker has so many tries within the time after which it is taken for dead: a coordinator that was away and is back
/// must hear of what runs here before it gives it to others.
const WORKER_TRIES: u32 = 6;
/// Largest message, in bytes: a batch is far smaller, parts are 64 KiB.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// How long a connection may take to its welcome.
const WELCOME_LIMIT: Duration = Duration::from_secs(3);
/// How long a close waits for the coordinator to take what is left, and the Bye.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// How the connection stands.
#[derive(Clone, Debug)]
enum Standing {
    Connecting(String),
    Open,
    Refused(Error),
    Closed,
}

/// The thread that keeps a session connected.
pub(crate) struct Remote {
    standing: watch::Receiver<Standing>,
}

impl Remote {
    /// Starts the thread; it keeps trying until it is refused or the session closes.
    ///
    /// # Errors
    /// The address is none; no thread to be had.
    pub(crate) fn start(session: Arc<SessionShared>, address: &str, token: Option<String>) -> Result<Self> {
        let endpoint = endpoint(address)?;
        let authorization = match token {
            None => None,
            Some(token) => Some(
                format!("Bearer {token}")
                    .parse()
                    .map_err(|_| Error::msg("the token has characters that no header can carry"))?,
            ),
        };
        let (tell, standing) = watch::channel(Standing::Connecting("not tried yet".into()));
        let driver = Driver { session, endpoint, authorization, tell, urgent: OnceLock::new() };
        drop(spawn_thread("farloop-session".into(), move || driver.run())?);
        Ok(Self { standing })
    }

    /// Waits until the session is open.
    async fn open(&self, limit: Duration, address: &str) -> Result<()> {
        let mut standing = self.standing.clone();
        let settled = standing.wait_for(|s| !matches!(s, Standing::Connecting(_)));
        match tokio::time::timeout(limit, settled).await {
            Ok(Ok(now)) => match &*now {
                Standing::Refused(error) => Err(error.clone()),
                _ => Ok(()),
            },
            _ => {
                let last = match &*self.standing.borrow() {
                    Standing::Connecting(why) => why.clone(),
                    other => format!("{other:?}"),
                };
                Err(Error::msg(format!(
                    "no coordinator answered at {address} within {} s (last try: {last}); start one with `farloop dev`, or set FARLOOP_ADDRESS",
                    limit.as_secs()
                )))
            }
        }
    }

    /// Returns when the coordinator refused this session for good.
    pub(crate) async fn failed(&self) -> Error {
        let mut standing = self.standing.clone();
        loop {
            match &*standing.borrow_and_update() {
                Standing::Refused(error) => return error.clone(),
                Standing::Closed => return Error::LoopClosed,
                _ => {}
            }
            if standing.changed().await.is_err() {
                return Error::LoopClosed;
            }
        }
    }

    /// Returns when the Bye was taken, or after a short while.
    pub(crate) async fn closed(&self) {
        let mut standing = self.standing.clone();
        let closed = standing.wait_for(|s| matches!(s, Standing::Closed | Standing::Refused(_)));
        // Without a connection nobody can take the Bye; the coordinator notices by itself.
        let _ = tokio::time::timeout(CLOSE_LIMIT, closed).await;
    }
}

fn endpoint(address: &str) -> Result<Endpoint> {
    let full = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let wrong = |why: &dyn std::fmt::Display| {
        Error::msg(format!("'{address}' is no coordinator's address: {why}; it looks like http://127.0.0.1:7171"))
    };
    if !full.starts_with("http://") {
        return Err(wrong(&"only http:// is spoken so far"));
    }
    let endpoint = Endpoint::from_shared(full).map_err(|e| wrong(&e))?;
    Ok(endpoint
        .tcp_nodelay(true)
        .connect_timeout(TRY_LIMIT)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(8 * 1024 * 1024))
}

/// A client's loop over gRPC, not bound to a runtime yet.
pub(crate) async fn connect_client(address: &str, local: Option<ThreadId>) -> Result<Loop> {
    crate::report::watch_panics();
    let session = SessionShared::new(Role::Client, format!("client, pid {}", std::process::id()));
    let home = LoopShared::new(session.clone(), local);
    let remote = Remote::start(session.clone(), address, crate::token::from_env(Side::Client)?)?;
    if let Err(error) = remote.open(CONNECT_LIMIT, address).await {
        // Or its thread would go on trying.
        session.begin_close();
        return Err(error);
    }
    let flushed = Arc::new(tokio::sync::Notify::new());
    let told = flushed.clone();
    drop(tokio::spawn(async move {
        let mut standing = remote.standing.clone();
        let _ = standing.wait_for(|s| matches!(s, Standing::Closed | Standing::Refused(_))).await;
        told.notify_one();
    }));
    Ok(Loop::new(Inner {
        home,
        stop: Arc::default(),
        thread: std::sync::Mutex::new(None),
        others: Vec::new(),
        flushed,
    }))
}

type Authorization = tonic::metadata::MetadataValue<tonic::metadata::Ascii>;

struct Driver {
    session: Arc<SessionShared>,
    endpoint: Endpoint,
    authorization: Option<Authorization>,
    tell: watch::Sender<Standing>,
    /// Of a worker that was welcomed: time for one try, the pause before it included.
    urgent: OnceLock<Duration>,
}

/// Why a connection ended.
enum End {
    /// Try again.
    Cut(String),
    /// Never try again.
    Refused(Error),
    Closed,
}

impl Driver {
    async fn run(self) {
        let last = tokio::select! {
            last = self.keep_connected() => last,
            () = self.overdue() => Standing::Closed,
            () = self.watch_lease() => Standing::Closed,
        };
        self.tell.send_replace(last);
    }

    /// Over when the session has been closing for so long that nobody will take the Bye.
    async fn overdue(&self) {
        self.session.closing().await;
        tokio::time::sleep(CLOSE_LIMIT).await;
    }

    /// Of a worker: stops its named actors when the coordinator is out of reach for too long. Never over.
    async fn watch_lease(&self) {
        match self.session.worker() {
            Some(worker) => worker.watch_lease().await,
            None => std::future::pending().await,
        }
    }

    async fn keep_connected(&self) -> Standing {
        let mut pause = MIN_BACKOFF;
        loop {
            let end = self.connection().await;
            self.session.cut();
            match end {
                End::Closed => return Standing::Closed,
                End::Refused(error) => {
                    self.session.lost(&error.to_string());
                    return Standing::Refused(error);
                }
                End::Cut(why) => {
                    if matches!(*self.tell.borrow(), Standing::Open) {
                        // The coordinator is well and only the connection broke: a worker has no time to lose.
                        pause = MIN_BACKOFF;
                    }
                    tracing::debug!(why, ?pause, "connection to the coordinator is gone; trying again");
                    self.tell.send_replace(Standing::Connecting(why));
                    // Full jitter, so that many workers don't come back in one instant.
                    let jitter = uuid::Uuid::now_v7().as_u128() as u64 % 1_000;
                    tokio::time::sleep(pause.mul_f64(0.5 + jitter as f64 / 2_000.0)).await;
                    pause = (pause * 2).min(self.urgent.get().map_or(MAX_BACKOFF, |limit| MAX_BACKOFF.min(*limit)));
                }
            }
        }
    }

    async fn connection(&self) -> End {
        // A packet that was lost while the coordinator was away is sent again after a second at the earliest, and later
        // each time: rather a new try.
        let limit = self.urgent.get().map_or(TRY_LIMIT, |limit| TRY_LIMIT.min(*limit * 2));
        let channel = match tokio::time::timeout(limit, self.endpoint.connect()).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return End::Cut(chain(&error)),
            Err(_) => return End::Cut(format!("no connection within {limit:?}")),
        };
        let mut client = SessionServiceClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let gate = Arc::new(Gate::default());
        let outgoing = Outgoing { session: self.session.clone(), gate: gate.clone(), hello: true };
        let mut request = tonic::Request::new(outgoing);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        let end = self.speak(&mut client, request, &gate).await;
        gate.shut.store(true, Ordering::Release);
        self.session.wake_writer();
        end
    }

    async fn speak(
        &self,
        client: &mut SessionServiceClient<Channel>,
        request: tonic::Request<Outgoing>,
        gate: &Gate,
    ) -> End {
        let said_hello = Instant::now();
        let welcome = async {
            let mut incoming = client.connect(request).await.map_err(|status| refused_or_cut(&status))?.into_inner();
            let reply = first(&mut incoming).await?;
            Ok((incoming, reply))
        };
        let welcomed = tokio::time::timeout(WELCOME_LIMIT, welcome).await;
        let (mut incoming, reply) = match welcomed.unwrap_or_else(|_| Err(End::Cut("no welcome came".into()))) {
            Ok(welcomed) => welcomed,
            Err(end) => return end,
        };
        let dead_after = match reply {
            HelloReply::Welcome { resumed, recovered, received, dead_after, life, clock_ms, .. } => {
                self.session.set_clock(clock_ms);
                if let Err(error) = self.session.welcome(Welcome { resumed, recovered, received, life }) {
                    self.session.lost(&error.to_string());
                    return End::Cut(error.to_string());
                }
                dead_after
            }
            HelloReply::Rejected { reason, message } if reason == SUPERSEDED => return End::Cut(message),
            HelloReply::Rejected { reason, message } => {
                return End::Refused(Error::msg(format!("the coordinator refused this session ({reason}): {message}")));
            }
        };
        if let Some(worker) = self.session.worker() {
            worker.lease.welcomed(said_hello);
            let _ = self.urgent.set(dead_after / WORKER_TRIES);
        }
        gate.open.store(true, Ordering::Release);
        self.session.wake_writer();
        self.tell.send_replace(Standing::Open);
        self.read(&mut incoming, dead_after, gate).await
    }

    async fn read(&self, incoming: &mut tonic::Streaming<ConnectResponse>, dead_after: Duration, gate: &Gate) -> End {
        let mut beat = tokio::time::interval(dead_after / 3);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Each beat is answered. A connection that carries nothing more may look whole for long; it must be left while
        // there is time to come back before this peer is taken for dead.
        let patience = dead_after * 2 / 3;
        let mut heard = Instant::now();
        let mut silence = std::pin::pin!(tokio::time::sleep(patience));
        loop {
            let message = tokio::select! {
                biased;
                message = incoming.message() => message,
                _ = beat.tick() => {
                    gate.ack.store(true, Ordering::Release);
                    self.session.beat();
                    if self.session.is_closing() && self.session.is_flushed() {
                        return End::Closed;
                    }
                    continue;
                }
                () = &mut silence => {
                    // Moved only when it is due: a message costs no timer.
                    if heard.elapsed() >= patience {
                        return End::Cut(format!("nothing was heard for {patience:?}"));
                    }
                    silence.as_mut().reset(heard + patience);
                    continue;
                }
            };
            heard = Instant::now();
            match message {
                Ok(Some(message)) => match ToPeer::try_from(message) {
                    Ok(ToPeer::Batch(batch)) => {
                        if let Err(error) = self.session.receive(batch) {
                            return End::Cut(error.to_string());
                        }
                    }
                    Ok(ToPeer::Reply(_)) => return End::Cut("a second welcome came".into()),
                    Err(error) => return End::Cut(error.to_string()),
                },
                Ok(None) if self.session.is_closing() => return End::Closed,
                Ok(None) => return End::Cut("the coordinator ended the stream".into()),
                // The coordinator took the Bye. A connection that broke before that leaves something to be sent.
                Err(status) if self.session.is_closing() && status.code() == Code::Aborted => return End::Closed,
                Err(status) => return refused_or_cut(&status),
            }
        }
    }
}

async fn first(incoming: &mut tonic::Streaming<ConnectResponse>) -> std::result::Result<HelloReply, End> {
    match incoming.message().await {
        Ok(Some(message)) => match ToPeer::try_from(message) {
            Ok(ToPeer::Reply(reply)) => Ok(reply),
            Ok(ToPeer::Batch(_)) => Err(End::Cut("a batch came before the welcome".into())),
            Err(error) => Err(End::Cut(error.to_string())),
        },
        Ok(None) => Err(End::Cut("the coordinator ended the stream before its welcome".into())),
        Err(status) => Err(refused_or_cut(&status)),
    }
}

fn refused_or_cut(status: &tonic::Status) -> End {
    let text = format!("{}: {}", status.code(), status.message());
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented => End::Refused(Error::msg(format!(
            "the coordinator refused this session: {text}; set FARLOOP_TOKEN or FARLOOP_TOKEN_FILE if it wants a token"
        ))),
        _ => End::Cut(text),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[derive(Debug, Default)]
struct Gate {
    /// The welcome came: batches may leave.
    open: AtomicBool,
    /// The connection is over.
    shut: AtomicBool,
    /// The next batch carries an acknowledgement, even if it is empty.
    ack: AtomicBool,
}

/// What leaves: a hello, then batches as the connection takes them.
struct Outgoing {
    session: Arc<SessionShared>,
    gate: Arc<Gate>,
    hello: bool,
}

impl Stream for Outgoing {
    type Item = ConnectRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ConnectRequest>> {
        if std::mem::take(&mut self.hello) {
            return Poll::Ready(Some(FromPeer::Hello(self.session.hello()).into()));
        }
        if self.gate.shut.load(Ordering::Acquire) {
            // Before it registers: the place may be its successor's already.
            return Poll::Ready(None);
        }
        self.session.register_writer(cx.waker());
        if self.gate.shut.load(Ordering::Acquire) {
            return Poll::Ready(None);
        }
        if !self.gate.open.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        match self.session.poll_batch(self.gate.ack.swap(false, Ordering::AcqRel)) {
            Some(batch) => {
                debug_assert!(batch.items.len() <= limits::BATCH_ITEMS);
                Poll::Ready(Some(FromPeer::Batch(batch).into()))
            }
            None => Poll::Pending,
        }
    }
}
