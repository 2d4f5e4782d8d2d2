//! Bad input at the public API: the code and the reason, for programs, and the words, for people. After each of these the
//! coordinator answers as before.

use std::time::Duration;

use farloop_coordinator::{Config, Tokens};
use farloop_core::frame::{HelloReply, Role};
use farloop_proto::v1::argument::Source;
use farloop_proto::v1::cluster_service_client::ClusterServiceClient;
use farloop_proto::v1::task_service_client::TaskServiceClient;
use farloop_proto::{json, v1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::api::{add, submit};
use crate::peer::Peer;
use crate::setup::{PATIENCE, Running, start};

/// `ErrorInfo.reason`.
pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// The field that a bad request names.
fn field(status: &Status) -> String {
    let details = status.get_details_bad_request();
    details.and_then(|d| d.field_violations.into_iter().next()).map(|v| v.field).unwrap_or_default()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, expected: &str, says: &str) -> Status {
    let status = answer.map(drop).expect_err("it should be refused");
    assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{status:?}");
    assert!(status.message().contains(says), "'{}' should say '{says}'", status.message());
    status
}

async fn lives(running: &Running) {
    let mut client = ClusterServiceClient::new(running.channel().await);
    client.get_server_info(v1::GetServerInfoRequest {}).await.expect("it answers as before");
}

#[tokio::test]
async fn an_unknown_function_is_refused_with_what_was_meant() {
    let running = start(Config::default()).await;
    let _worker = Peer::worker(running.channel().await).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let call = || v1::SubmitTaskRequest { function: "demo.ad".into(), ..add(1, 2) };
    let answer = submit(&mut client, call()).await;
    refused(
        answer,
        Code::NotFound,
        "FUNCTION_NOT_FOUND",
        "no worker offers 'demo.ad'; offered: demo.add; did you mean 'demo.add'?",
    );
    let gather = v1::GatherRequest { calls: vec![add(1, 2), call()], ..Default::default() };
    let answer = client.gather(gather).await;
    refused(answer, Code::NotFound, "FUNCTION_NOT_FOUND", "did you mean 'demo.add'?");
    let waits = v1::SubmitTaskRequest { await_worker: true, ..call() };
    assert_eq!(submit(&mut client, waits).await.unwrap().state(), v1::TaskState::Pending);
}

#[tokio::test]
async fn a_payload_over_the_limit_is_refused_and_the_limit_named() {
    let mut config = Config::default();
    config.core.max_payload = 10_000;
    let running = start(config).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let sized = |n: usize| v1::SubmitTaskRequest {
        json_args: vec![json::to_wire(serde_json::json!("x".repeat(n)))],
        ..add(0, 0)
    };
    assert!(submit(&mut client, sized(9_000)).await.is_ok());
    // Beyond the limit of the core, and beyond what the transport takes in at all.
    refused(submit(&mut client, sized(11_000)).await, Code::ResourceExhausted, "LIMIT_REACHED", "MAX_PAYLOAD is 10000");
    let status = submit(&mut client, sized(3_000_000)).await;
    refused(status, Code::ResourceExhausted, "LIMIT_REACHED", "the limit MAX_PAYLOAD for its arguments is 10000");
    lives(&running).await;
}

#[tokio::test]
async fn a_request_that_depends_on_itself_is_refused() {
    let running = start(Config::default()).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let request_id = uuid::Uuid::now_v7().to_string();
    let args = vec![v1::Argument { source: Some(Source::TaskId(request_id.clone())) }];
    let request = v1::SubmitTaskRequest { function: "demo.add".into(), args, request_id, ..Default::default() };
    refused(submit(&mut client, request).await, Code::InvalidArgument, "DEPENDENCY_CYCLE", "itself");
}

#[tokio::test]
async fn ids_that_are_unknown_or_name_several_tasks_are_refused() {
    let running = start(Config::default()).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let unknown = uuid::Uuid::now_v7().to_string();
    let get = |id: &str| v1::GetTaskRequest { task_id: id.into(), ..Default::default() };
    refused(client.get_task(get(&unknown)).await, Code::NotFound, "TASK_NOT_FOUND", "never submitted");
    refused(client.get_task(get("abcdef")).await, Code::NotFound, "TASK_NOT_FOUND", "ends in 'abcdef'");
    let short = refused(client.get_task(get("abc")).await, Code::InvalidArgument, "BAD_FIELD", "no task id");
    assert_eq!(field(&short), "taskId");
    // Two ids with one ending.
    let base = uuid::Uuid::now_v7().to_string();
    let ids = ["7000", "7001"].map(|group| format!("{}-{}-{}", &base[..13], group, &base[19..]));
    for request_id in ids.clone() {
        submit(&mut client, v1::SubmitTaskRequest { request_id, ..add(1, 1) }).await.unwrap();
    }
    let ending = ids[0][ids[0].len() - 8..].to_owned();
    let several =
        refused(client.get_task(get(&ending)).await, Code::InvalidArgument, "AMBIGUOUS_ID", "several tasks end in");
    assert_eq!(field(&several), "taskId");
    assert!(several.message().contains("give more digits") && ids.iter().all(|id| several.message().contains(id)));
    for id in [unknown, ending] {
        let code = if id.len() > 8 { Code::NotFound } else { Code::InvalidArgument };
        let task_ids = vec![id];
        let wait = v1::WaitRequest { task_ids: task_ids.clone(), ..Default::default() };
        assert_eq!(client.wait(wait).await.unwrap_err().code(), code);
        let gather = v1::GatherRequest { task_ids: task_ids.clone(), ..Default::default() };
        assert_eq!(client.gather(gather).await.unwrap_err().code(), code);
        let completed = v1::AsCompletedRequest { task_ids, ..Default::default() };
        assert_eq!(client.as_completed(completed).await.unwrap_err().code(), code);
    }
    let many = v1::WaitRequest { task_ids: vec!["abcdef".into(); 300], ..Default::default() };
    refused(client.wait(many).await, Code::NotFound, "TASK_NOT_FOUND", "");
}

#[tokio::test]
async fn nothing_to_wait_for_and_no_time_to_do_so_are_refused() {
    let running = start(Config::default()).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let empty = refused(client.wait(v1::WaitRequest::default()).await, Code::InvalidArgument, "BAD_FIELD", "is empty");
    assert_eq!(field(&empty), "taskIds");
    let empty = client.as_completed(v1::AsCompletedRequest::default()).await;
    refused(empty, Code::InvalidArgument, "BAD_FIELD", "name at least one task");
    // As in asyncio: `await gather()` gives an empty list, and is no error.
    let gathered = client.gather(v1::GatherRequest::default()).await.unwrap().into_inner();
    assert_eq!((gathered.done, gathered.tasks.len()), (Some(true), 0));

    let task_id = submit(&mut client, add(1, 1)).await.unwrap().task_id;
    let negative = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    let wait = v1::WaitTaskRequest { task_id: task_id.clone(), timeout: negative, ..Default::default() };
    let status = refused(client.wait_task(wait).await, Code::InvalidArgument, "BAD_FIELD", "no length of time");
    assert_eq!(field(&status), "timeout");
    let long = Some(prost_types::Duration { seconds: 100_000, nanos: 0 });
    let wait = v1::WaitRequest { task_ids: vec![task_id], timeout: long, ..Default::default() };
    refused(client.wait(wait).await, Code::InvalidArgument, "BAD_FIELD", "one hour is the longest wait");
    let submitted = submit(&mut client, v1::SubmitTaskRequest { timeout: negative, ..add(1, 1) }).await;
    refused(submitted, Code::InvalidArgument, "BAD_FIELD", "timeout: ");
}

#[tokio::test]
async fn filters_and_page_tokens_that_say_nothing_are_refused() {
    let running = start(Config::default()).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    for (filter, says) in [
        ("status=DONE", "`status` is no key; state, function, parent and labels.NAME are"),
        ("state=DONE", "`DONE` is no state; PENDING, RUNNING, SUSPENDED"),
        ("running", "`running` is no term"),
        ("parent=xyz", "no task id"),
    ] {
        let list = v1::ListTasksRequest { filter: filter.into(), ..Default::default() };
        let status = refused(client.list_tasks(list).await, Code::InvalidArgument, "BAD_FIELD", says);
        assert_eq!(field(&status), "filter");
        let watch = v1::WatchTasksRequest { filter: filter.into(), ..Default::default() };
        refused(client.watch_tasks(watch).await, Code::InvalidArgument, "BAD_FIELD", says);
    }
    let list = v1::ListTasksRequest { page_token: "two".into(), ..Default::default() };
    refused(
        client.list_tasks(list).await,
        Code::InvalidArgument,
        "BAD_FIELD",
        "pageToken: is none that ListTasks gave",
    );
    let list = v1::ListTasksRequest { page_size: -1, ..Default::default() };
    refused(client.list_tasks(list).await, Code::InvalidArgument, "BAD_FIELD", "pageSize: -1 is negative");
}

#[tokio::test]
async fn arguments_given_twice_or_not_at_all_are_refused() {
    let running = start(Config::default()).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let args = vec![v1::Argument { source: Some(Source::TaskId("0700c321".into())) }];
    let twice = submit(&mut client, v1::SubmitTaskRequest { args, ..add(1, 2) }).await;
    refused(twice, Code::InvalidArgument, "BAD_FIELD", "jsonArgs: stands next to args");
    let none =
        v1::SubmitTaskRequest { args: vec![v1::Argument::default()], function: "f".into(), ..Default::default() };
    refused(submit(&mut client, none).await, Code::InvalidArgument, "BAD_FIELD", "args[0]: is empty");
    let both = v1::GatherRequest { task_ids: vec!["0700c321".into()], calls: vec![add(1, 1)], ..Default::default() };
    refused(client.gather(both).await, Code::InvalidArgument, "BAD_FIELD", "gather one kind at a time");
}

#[tokio::test]
async fn workers_that_are_unknown_cannot_be_drained() {
    let running = start(Config::default()).await;
    let mut client = ClusterServiceClient::new(running.channel().await);
    let mut drain = async |id: &str| client.drain_worker(v1::DrainWorkerRequest { worker_id: id.into() }).await;
    refused(drain("ffffffff").await, Code::NotFound, "WORKER_NOT_FOUND", "ListWorkers shows who is");
    refused(drain("").await, Code::InvalidArgument, "BAD_FIELD", "workerId: ");
}

#[tokio::test]
async fn a_token_is_asked_for_and_its_role_matters() {
    let tokens = Tokens::parse("client c\nworker w\noperator o\n").unwrap();
    let running = start(Config { tokens, ..Config::default() }).await;
    let call = async |token: Option<&str>| {
        let mut request = tonic::Request::new(v1::DrainWorkerRequest { worker_id: "ffffffff".into() });
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        ClusterServiceClient::new(running.channel().await).drain_worker(request).await
    };
    refused(call(None).await, Code::Unauthenticated, "TOKEN_REQUIRED", "authorization: Bearer TOKEN");
    refused(call(Some("x")).await, Code::Unauthenticated, "TOKEN_REQUIRED", "FARLOOP_TOKEN");
    refused(call(Some("c")).await, Code::PermissionDenied, "PERMISSION_DENIED", "use one of another role");
    refused(call(Some("o")).await, Code::NotFound, "WORKER_NOT_FOUND", "");
}

/// A call of any path with any bytes.
async fn raw(running: &Running, path: &'static str, message: &'static [u8]) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(running.channel().await);
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(path);
    grpc.unary(tonic::Request::new(message), path, raw::Bytes).await.map(drop)
}

mod raw {
    use bytes::{Buf as _, BufMut as _};
    use tonic::Status;
    use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

    /// Bytes as they are.
    #[derive(Clone, Copy, Debug, Default)]
    pub(super) struct Bytes;

    impl Codec for Bytes {
        type Encode = &'static [u8];
        type Decode = ();
        type Encoder = Self;
        type Decoder = Self;
        fn encoder(&mut self) -> Self {
            Self
        }
        fn decoder(&mut self) -> Self {
            Self
        }
    }

    impl Encoder for Bytes {
        type Item = &'static [u8];
        type Error = Status;
        fn encode(&mut self, item: &'static [u8], out: &mut EncodeBuf<'_>) -> Result<(), Status> {
            out.put_slice(item);
            Ok(())
        }
    }

    impl Decoder for Bytes {
        type Item = ();
        type Error = Status;
        fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
            message.advance(message.remaining());
            Ok(Some(()))
        }
    }
}

#[tokio::test]
async fn unknown_methods_and_messages_that_are_none_are_refused() {
    let running = start(Config::default()).await;
    let unknown = raw(&running, "/farloop.v1.TaskService/Sumbit", b"").await;
    refused(unknown, Code::Unimplemented, "UNKNOWN_METHOD", "`grpcurl ... list` shows what is");
    let garbage = raw(&running, "/farloop.v1.TaskService/SubmitTask", b"\xff\xff\xff not protobuf").await;
    refused(garbage, Code::InvalidArgument, "BAD_MESSAGE", "describe METHOD");
    lives(&running).await;
}

#[tokio::test]
async fn garbage_and_http_1_on_the_port_close_that_connection_and_no_other() {
    let running = start(Config::default()).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let garbage: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for bytes in
        [&b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &garbage[..], &b"\x16\x03\x01\x02\x00\x01\x00"[..]]
    {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        // It may be closed before all was written.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is closed");
        assert!(closed.is_err() || rest.len() < 1_000, "not a word of HTTP/1: {rest:?}");
        assert!(!rest.starts_with(b"HTTP/1"));
    }
    assert!(submit(&mut client, add(1, 2)).await.is_ok(), "others do not notice");
}

#[tokio::test]
async fn l18_sessions_beyond_the_limit_are_refused_in_words() {
    let mut config = Config::default();
    config.core.max_sessions = 2;
    let running = start(config).await;
    let _first = Peer::client(running.channel().await).await;
    let _second = Peer::client(running.channel().await).await;
    let mut third = Peer::new(Role::Client, "one too many");
    let HelloReply::Rejected { reason, message } = third.connect(running.channel().await).await.unwrap() else {
        panic!("it is refused")
    };
    assert_eq!(reason, "TOO_MANY_SESSIONS");
    assert!(message.contains("the limit MAX_SESSIONS is 2"), "{message}");
    lives(&running).await;
}

#[tokio::test]
async fn l18_connections_beyond_the_limit_are_refused_in_words() {
    let running = start(Config { connections: 2, ..Config::default() }).await;
    let mut first = TaskServiceClient::new(running.channel().await);
    let mut second = TaskServiceClient::new(running.channel().await);
    assert!(submit(&mut first, add(1, 2)).await.is_ok() && submit(&mut second, add(1, 2)).await.is_ok());
    let told = async |preface: &[u8]| {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(preface).await.unwrap();
        let mut told = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut told)).await.expect("it is closed");
        closed.map(|_| told).unwrap_or_default()
    };
    let told_one = told(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    // SETTINGS, then GOAWAY with ENHANCE_YOUR_CALM.
    assert_eq!((&told_one[..9], told_one[12], told_one[25]), (&[0, 0, 0, 4, 0, 0, 0, 0, 0][..], 7, 0xb));
    let text = String::from_utf8_lossy(&told_one);
    assert!(text.contains("the limit CONNECTIONS is 2; close some"), "{text}");
    let refused = submit(&mut TaskServiceClient::new(running.channel().await), add(1, 2)).await;
    assert!(refused.is_err(), "{refused:?}");
    // However many come, those that are there do not notice, and one that leaves makes room.
    for _ in 0..200 {
        drop(TcpStream::connect(running.address).await.unwrap());
    }
    assert!(submit(&mut first, add(1, 2)).await.is_ok());
    drop(second);
    let again = tokio::time::timeout(PATIENCE, async {
        while submit(&mut TaskServiceClient::new(running.channel().await), add(1, 2)).await.is_err() {}
    });
    again.await.expect("there is room again");
}

#[tokio::test]
async fn l18_watches_beyond_the_limit_are_refused() {
    let running = start(Config::default()).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let mut open = Vec::new();
    let over = loop {
        match client.watch_tasks(v1::WatchTasksRequest::default()).await {
            Ok(stream) => open.push(stream),
            Err(status) => break status,
        }
    };
    assert_eq!(open.len(), farloop_core::limits::WATCHES);
    refused::<()>(Err(over), Code::ResourceExhausted, "LIMIT_REACHED", "WATCHES");
    drop(open);
    // The server hears of it when it next looks at those connections.
    let again = tokio::time::timeout(Duration::from_secs(10), async {
        while client.watch_tasks(v1::WatchTasksRequest::default()).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    again.await.expect("there is room again");
}
