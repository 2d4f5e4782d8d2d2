//! Sessions: one stream in, one stream out, and nothing in between.
//!
//! The stream out is polled by HTTP/2 whenever it can take the next message, and asks the core at that moment. So
//! batches are as large as what gathered in the meantime: one frame when it is quiet, a thousand when it is not. No
//! timer, no channel.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use farloop_core::api::Input;
use farloop_core::frame::{Hello, HelloReply, Up};
use farloop_core::id::{ConnId, SessionId};
use farloop_core::link::{Batch, Item};
use farloop_proto::convert::{FromPeer, ToPeer, WireError};
use farloop_proto::v1;
use farloop_proto::v1::session_service_server::SessionService;
use futures_core::Stream;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status, Streaming};

use crate::auth::Granted;
use crate::driver::Driver;
use crate::errors;

/// Silence after which a connection that has not said hello is closed.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// How often a peer that must wait for the store counts as heard: below [`farloop_core::limits::WORKER_DEAD_AFTER`].
const HEARD_EVERY: Duration = Duration::from_millis(500);

/// What the reading side, the writing side and the core know of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Set by the hello.
    session: Option<SessionId>,
    /// To be sent before anything else.
    reply: Option<HelloReply>,
    welcome: bool,
    /// The peer beats and wants to hear something.
    ack: bool,
    /// The last thing to say.
    end: Option<Status>,
    waker: Option<Waker>,
}

impl Connection {
    pub(crate) fn new(id: ConnId) -> Self {
        Self { id, state: Mutex::default() }
    }

    pub(crate) fn session(&self) -> Option<SessionId> {
        self.state().session
    }

    /// The core answers the hello; a session comes back if it stands.
    pub(crate) fn answer(&self, reply: HelloReply) -> Option<SessionId> {
        let mut state = self.state();
        match &reply {
            HelloReply::Welcome { .. } => state.welcome = true,
            HelloReply::Rejected { .. } => state.end = Some(Status::ok("")),
        }
        state.reply = Some(reply);
        wake(&mut state);
        state.session.filter(|_| state.welcome)
    }

    pub(crate) fn wake(&self) {
        wake(&mut self.state());
    }

    /// Nothing more is sent after this; the first reason wins.
    pub(crate) fn end(&self, status: Status) {
        let mut state = self.state();
        state.end.get_or_insert(status);
        wake(&mut state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

fn wake(state: &mut State) {
    if let Some(waker) = state.waker.take() {
        waker.wake();
    }
}

/// The rpc.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    pub(crate) driver: Arc<Driver>,
}

#[tonic::async_trait]
impl SessionService for Sessions {
    type ConnectStream = Outgoing;

    async fn connect(&self, request: Request<Streaming<v1::ConnectRequest>>) -> Result<Response<Outgoing>, Status> {
        let granted = request.extensions().get::<Granted>().copied().unwrap_or(Granted::NOTHING);
        let connection = self.driver.connected();
        let reader = tokio::spawn(read(self.driver.clone(), connection.clone(), granted, request.into_inner()));
        Ok(Response::new(Outgoing { driver: self.driver.clone(), connection, reader }))
    }
}

/// Takes in what the peer says until it stops; then the writing side ends too.
async fn read(
    driver: Arc<Driver>,
    connection: Arc<Connection>,
    granted: Granted,
    mut stream: Streaming<v1::ConnectRequest>,
) {
    let end = match read_hello(&connection, granted, &mut stream).await {
        Ok(hello) => {
            let session = hello.session;
            driver.handle(Input::Hello { conn: connection.id, hello });
            read_batches(&driver, &connection, session, &mut stream).await
        }
        Err(status) => Err(status),
    };
    connection.end(end.err().unwrap_or_else(|| Status::ok("")));
}

async fn read_hello(
    connection: &Connection,
    granted: Granted,
    stream: &mut Streaming<v1::ConnectRequest>,
) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO_WITHIN, stream.message()).await;
    let Ok(first) = first else {
        let message = format!("no hello came within {HELLO_WITHIN:?}; it is the first message of each connection");
        return Err(errors::status(tonic::Code::DeadlineExceeded, "HELLO_TIMEOUT", message));
    };
    match first?.map(FromPeer::try_from) {
        Some(Ok(FromPeer::Hello(hello))) => {
            granted.check(hello.role)?;
            connection.state().session = Some(hello.session);
            Ok(hello)
        }
        Some(Ok(FromPeer::Batch(_))) | None => {
            Err(errors::status(tonic::Code::InvalidArgument, "NO_HELLO", "the first message must be a hello"))
        }
        Some(Err(error)) => Err(garbage(&error)),
    }
}

async fn read_batches(
    driver: &Driver,
    connection: &Connection,
    session: SessionId,
    stream: &mut Streaming<v1::ConnectRequest>,
) -> Result<(), Status> {
    while let Some(message) = stream.message().await? {
        match FromPeer::try_from(message) {
            Ok(FromPeer::Batch(batch)) => {
                wait_for_room(driver, connection, session).await;
                let beat = batch.items.iter().any(|item| matches!(item, Item::Frame(Up::Heartbeat)));
                driver.handle(Input::Batch { session, conn: connection.id, batch });
                if beat {
                    // An answer to each beat: the peer sees that this end lives, and may forget what arrived.
                    let mut state = connection.state();
                    state.ack = true;
                    wake(&mut state);
                }
            }
            Ok(FromPeer::Hello(_)) => {
                let message = "a second hello on one connection; reconnect to resume";
                return Err(errors::status(tonic::Code::InvalidArgument, "SECOND_HELLO", message));
            }
            Err(error) => return Err(garbage(&error)),
        }
    }
    Ok(())
}

/// What makes records waits here while too many wait for the disk. That is no silence of the peer: it may say something
/// that is not read yet, so the core hears of the connection all the same.
async fn wait_for_room(driver: &Driver, connection: &Connection, session: SessionId) {
    let mut room = std::pin::pin!(driver.room());
    while tokio::time::timeout(HEARD_EVERY, &mut room).await.is_err() {
        let nothing = Batch { first: 0, ack: 0, items: Vec::new() };
        driver.handle(Input::Batch { session, conn: connection.id, batch: nothing });
    }
}

fn garbage(error: &WireError) -> Status {
    errors::status(tonic::Code::InvalidArgument, "BAD_MESSAGE", error.to_string())
}

/// The stream out. Dropped when the connection is gone, however that came about.
#[derive(Debug)]
pub(crate) struct Outgoing {
    driver: Arc<Driver>,
    connection: Arc<Connection>,
    reader: JoinHandle<()>,
}

impl Stream for Outgoing {
    type Item = Result<v1::ConnectResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let connection = &self.connection;
        let (session, ack) = {
            let mut state = connection.state();
            if let Some(reply) = state.reply.take() {
                return Poll::Ready(Some(Ok(ToPeer::Reply(reply).into())));
            }
            // Before the core is asked: what becomes ready after that must find somebody to wake.
            match &mut state.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            (state.session.filter(|_| state.welcome && state.end.is_none()), std::mem::take(&mut state.ack))
        };
        if let Some(session) = session {
            let current = || connection.state().end.is_none();
            if let Some(batch) = self.driver.poll_batch(session, ack, current) {
                return Poll::Ready(Some(Ok(ToPeer::Batch(batch).into())));
            }
        }
        let mut state = connection.state();
        match &state.end {
            None => Poll::Pending,
            Some(status) if status.code() == tonic::Code::Ok => Poll::Ready(None),
            Some(_) => {
                let status = state.end.replace(Status::ok(""));
                Poll::Ready(status.map(Err))
            }
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.reader.abort();
        self.driver.disconnected(&self.connection);
    }
}
