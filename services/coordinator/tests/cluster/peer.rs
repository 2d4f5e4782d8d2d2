//! One end of a session, by hand: what an SDK's transport does, without its retries.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use farloop_core::frame::{Down, Hello, HelloReply, Owner, PROTOCOL_VERSION, Role, Start, Submit, Up};
use farloop_core::id::{AttemptId, SessionId, TaskId};
use farloop_core::limits::MAX_PAYLOAD;
use farloop_core::link::Link;
use farloop_core::outcome::{Failure, FailureKind, Outcome};
use farloop_core::spec::{Dependency, FunctionDef, Options, Spec};
use farloop_proto::convert::{FromPeer, ToPeer};
use farloop_proto::v1::session_service_client::SessionServiceClient;
use farloop_proto::v1::{ConnectRequest, ConnectResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use crate::setup::PATIENCE;

pub(crate) struct Peer {
    hello: Hello,
    link: Link<Up>,
    inbox: VecDeque<Down>,
    wire: Option<(mpsc::Sender<ConnectRequest>, Streaming<ConnectResponse>)>,
    token: Option<&'static str>,
}

impl Peer {
    pub(crate) fn new(role: Role, name: &str) -> Self {
        let hello = Hello {
            session: SessionId(uuid::Uuid::now_v7().as_u128()),
            protocol: PROTOCOL_VERSION,
            role,
            name: name.into(),
            resume: false,
            received: 0,
            functions: Vec::new(),
            slots: 0,
            connection: 0,
            acked: 0,
            life: None,
            labels: Vec::new(),
            process: None,
        };
        Self { hello, link: Link::new(MAX_PAYLOAD), inbox: VecDeque::new(), wire: None, token: None }
    }

    pub(crate) fn hello(&self) -> Hello {
        self.hello.clone()
    }

    /// Speaks for another peer's session.
    pub(crate) fn take_over(&mut self, hello: Hello) {
        self.hello = hello;
    }

    /// Speaks another version of the protocol.
    pub(crate) fn speak(&mut self, version: u32) {
        self.hello.protocol = version;
    }

    /// A client that is connected.
    pub(crate) async fn client(channel: Channel) -> Self {
        let mut peer = Self::new(Role::Client, "a test");
        peer.connect(channel).await.unwrap();
        peer
    }

    /// A worker that is connected, offers `demo.add` and takes as many starts as come.
    pub(crate) async fn worker(channel: Channel) -> Self {
        let mut peer = Self::new(Role::Worker, "a test worker");
        let args = vec![("a".into(), "i64".into()), ("b".into(), "i64".into())];
        peer.hello.functions = vec![FunctionDef {
            name: "demo.add".into(),
            fingerprint: 7,
            args,
            returns: "i64".into(),
            concurrency: 0,
            actor: None,
        }];
        peer.hello.slots = 2;
        peer.connect(channel).await.unwrap();
        peer.send(Up::Grant(1_000_000)).await;
        peer
    }

    /// A worker in the zone `eu` that offers these, and takes as many starts as come.
    pub(crate) async fn actors(channel: Channel, functions: Vec<FunctionDef>) -> Self {
        let mut peer = Self::new(Role::Worker, "a test worker");
        peer.hello.functions = functions;
        peer.hello.slots = 2;
        peer.hello.labels = vec![("zone".into(), "eu".into())];
        peer.connect(channel).await.unwrap();
        peer.send(Up::Grant(1_000_000)).await;
        peer
    }

    pub(crate) fn with_token(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }

    /// Says hello on a new connection, resuming if there was one before.
    pub(crate) async fn connect(&mut self, channel: Channel) -> Result<HelloReply, Status> {
        self.hello.received = self.link.received();
        let (up, requests) = mpsc::channel(64);
        up.send(FromPeer::Hello(self.hello.clone()).into()).await.unwrap();
        let token = self.token;
        let with_token = move |mut request: Request<()>| {
            if let Some(token) = token {
                request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            }
            Ok(request)
        };
        let mut client = SessionServiceClient::new(InterceptedService::new(channel, with_token));
        let mut down = client.connect(ReceiverStream::new(requests)).await?.into_inner();
        let first = down.message().await?.expect("the coordinator answers a hello");
        let ToPeer::Reply(reply) = first.try_into().unwrap() else { panic!("a reply comes first") };
        if let HelloReply::Welcome { resumed, received, .. } = &reply {
            assert_eq!(*resumed, self.hello.resume);
            self.link.resume(*received).unwrap();
            self.hello.resume = true;
        }
        self.wire = Some((up, down));
        self.flush().await;
        Ok(reply)
    }

    /// The connection breaks without a word.
    pub(crate) fn cut(&mut self) {
        self.wire = None;
        self.link.cut();
    }

    /// Queues a frame, and sends it if there is a connection.
    pub(crate) async fn send(&mut self, frame: Up) {
        self.link.push(frame);
        self.flush().await;
    }

    async fn flush(&mut self) {
        let Some((up, _)) = &self.wire else { return };
        while let Some(batch) = self.link.poll_batch(false) {
            up.send(FromPeer::Batch(batch).into()).await.unwrap();
        }
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Down {
        loop {
            if let Some(frame) = self.inbox.pop_front() {
                return frame;
            }
            let next = tokio::time::timeout(PATIENCE, self.next_batch()).await.expect("a frame comes in time");
            next.expect("the stream goes on");
        }
    }

    /// Takes one batch in; an error or the end of the stream comes back.
    pub(crate) async fn next_batch(&mut self) -> Result<(), Option<Status>> {
        let (_, down) = self.wire.as_mut().expect("connected");
        let message = down.message().await.map_err(Some)?.ok_or(None)?;
        let ToPeer::Batch(batch) = message.try_into().unwrap() else { panic!("one reply is enough") };
        self.link.receive(batch, |frame| self.inbox.push_back(frame)).unwrap();
        Ok(())
    }

    /// Items the coordinator has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.link.in_flight()
    }

    pub(crate) async fn submit(&mut self, args: &[u8]) -> TaskId {
        let task = TaskId(uuid::Uuid::now_v7().as_u128());
        self.submit_with(task, args, Vec::new()).await;
        task
    }

    /// Submits under that id, with arguments from other tasks.
    pub(crate) async fn submit_with(&mut self, task: TaskId, args: &[u8], dependencies: Vec<Dependency>) {
        let spec = Arc::new(Spec {
            function: "demo.add".into(),
            fingerprint: 7,
            args: Bytes::copy_from_slice(args),
            dependencies,
            name: None,
            options: Options::default(),
            trace: None,
            context: None,
            stream: false,
            actor: None,
        });
        self.send(Up::Submit(Submit { task, spec, owner: Owner::Root, creator: None, within: None })).await;
    }

    pub(crate) async fn next_start(&mut self) -> Start {
        match self.next().await {
            Down::Start(start) => start,
            other => panic!("a start was expected, {other:?} came"),
        }
    }

    pub(crate) async fn raised(&mut self, attempt: AttemptId, message: &str) {
        let failure = Failure::new(FailureKind::Raised, "demo.add".into(), message.into());
        self.send(Up::Ended { attempt, outcome: Outcome::Raised(failure.into()), delivered: 0 }).await;
    }

    pub(crate) async fn returned(&mut self, attempt: AttemptId, value: &[u8]) {
        self.ended(attempt, Outcome::Returned(Bytes::copy_from_slice(value))).await;
    }

    pub(crate) async fn ended(&mut self, attempt: AttemptId, outcome: Outcome) {
        self.send(Up::Ended { attempt, outcome, delivered: 0 }).await;
    }
}
