//! The public API, as other languages use it.

use std::collections::BTreeMap;
use std::time::Duration;

use farloop_coordinator::Config;
use farloop_core::frame::Up;
use farloop_core::outcome::{Failure, FailureKind, Outcome};
use farloop_proto::v1::argument::Source;
use farloop_proto::v1::cluster_service_client::ClusterServiceClient;
use farloop_proto::v1::payload::Body;
use farloop_proto::v1::task_service_client::TaskServiceClient;
use farloop_proto::{json, v1};
use serde_json::json;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::peer::Peer;
use crate::setup::start;

pub(crate) type Client = TaskServiceClient<Channel>;

pub(crate) fn add(a: i64, b: i64) -> v1::SubmitTaskRequest {
    v1::SubmitTaskRequest {
        function: "demo.add".into(),
        json_args: vec![json::to_wire(json!(a)), json::to_wire(json!(b))],
        ..Default::default()
    }
}

pub(crate) async fn submit(client: &mut Client, request: v1::SubmitTaskRequest) -> Result<v1::Task, Status> {
    Ok(client.submit_task(request).await?.into_inner().task.unwrap())
}

async fn wait(client: &mut Client, task_id: &str) -> v1::WaitTaskResponse {
    client.wait_task(v1::WaitTaskRequest { task_id: task_id.into(), ..Default::default() }).await.unwrap().into_inner()
}

fn result(task: &v1::Task) -> prost_types::Value {
    match task.result.as_ref().and_then(|p| p.body.as_ref()) {
        Some(Body::Json(value)) => value.clone(),
        other => panic!("{other:?} in {task:?}"),
    }
}

/// A worker that adds until its test is over.
fn adding(mut worker: Peer) {
    tokio::spawn(async move {
        loop {
            let start = worker.next_start().await;
            let args = json::from_msgpack(&start.spec.args).unwrap();
            let numbers: Vec<i64> = args.as_array().unwrap().iter().filter_map(serde_json::Value::as_i64).collect();
            match numbers[..] {
                [a, b] => worker.returned(start.attempt, &json::to_msgpack(&(a + b)).unwrap()).await,
                _ => {
                    let message = format!("no two integers: {args}");
                    let mut failure = Failure::new(FailureKind::Raised, "demo.add".into(), message);
                    failure.causes = vec![("std::num::ParseIntError".into(), "invalid digit".into())];
                    let outcome = Outcome::Raised(failure.into());
                    worker.send(Up::Ended { attempt: start.attempt, outcome, delivered: 0 }).await;
                }
            }
        }
    });
}

#[tokio::test]
async fn json_goes_in_and_json_comes_out() {
    let running = start(Config::default()).await;
    adding(Peer::worker(running.channel().await).await);
    let mut client = TaskServiceClient::new(running.channel().await);
    let request = v1::SubmitTaskRequest {
        display_name: "sum".into(),
        labels: BTreeMap::from([("team".into(), "core".into())]),
        ..add(2, 3)
    };
    let task = submit(&mut client, request).await.unwrap();
    assert_eq!(task.display_name, "sum");
    let waited = wait(&mut client, &task.task_id).await;
    assert_eq!(waited.done, Some(true));
    let task = waited.task.unwrap();
    assert_eq!(task.state(), v1::TaskState::Succeeded);
    assert_eq!(result(&task), json::to_wire(json!(5)));
    assert_eq!((task.json_args.len(), task.args.len()), (2, 0));
    assert!(task.end_time.is_some() && !task.worker_id.is_empty());

    // The ending of an id will do; raw payloads come as they were encoded.
    let ending = &task.task_id[task.task_id.len() - 8..];
    let raw = v1::PayloadFormat::Raw.into();
    let read = client.get_task(v1::GetTaskRequest { task_id: ending.into(), payload_format: raw }).await.unwrap();
    let read = read.into_inner().task.unwrap();
    assert_eq!(read.task_id, task.task_id);
    assert_eq!(read.result.unwrap().body, Some(Body::Data(vec![5].into())));
}

#[tokio::test]
async fn one_request_id_starts_one_task() {
    let running = start(Config::default()).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    // A UUIDv7 is the task's id as well; any other text names the request alone.
    let uuid = uuid::Uuid::now_v7().to_string();
    for id in [uuid.clone(), "order 42".into()] {
        let request = |b| v1::SubmitTaskRequest { request_id: id.clone(), ..add(2, b) };
        let first = submit(&mut client, request(3)).await.unwrap();
        assert_eq!((first.task_id == id, &first.request_id), (id == uuid, &id));
        assert_eq!(submit(&mut client, request(3)).await.unwrap().task_id, first.task_id);
        let refused = submit(&mut client, request(4)).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists);
        assert_eq!(refused.get_details_error_info().unwrap().reason, "TASK_ALREADY_EXISTS");
        assert!(refused.message().contains(&first.task_id), "{refused}");
    }
    let long = "x".repeat(257);
    let refused = submit(&mut client, v1::SubmitTaskRequest { request_id: long, ..add(1, 1) }).await;
    assert_eq!(refused.unwrap_err().get_details_bad_request().unwrap().field_violations[0].field, "requestId");
}

#[tokio::test]
async fn a_callers_trace_goes_with_the_task() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let running = start(Config::default()).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    for (header, trace) in [(PARENT, Some(PARENT)), ("no trace", None)] {
        let mut request = tonic::Request::new(add(2, 3));
        request.metadata_mut().insert("traceparent", header.parse().unwrap());
        client.submit_task(request).await.unwrap();
        let carried = worker.next_start().await.spec.trace.clone();
        assert_eq!(carried.as_ref().map(|trace| trace.parent.as_str()), trace);
    }
}

#[tokio::test]
async fn a_failed_task_is_an_answer() {
    let running = start(Config::default()).await;
    adding(Peer::worker(running.channel().await).await);
    let mut client = TaskServiceClient::new(running.channel().await);
    let one = v1::SubmitTaskRequest { json_args: vec![json::to_wire(json!("two"))], ..add(0, 0) };
    let task = submit(&mut client, one).await.unwrap();
    let failed = wait(&mut client, &task.task_id).await.task.unwrap();
    assert_eq!(failed.state(), v1::TaskState::Failed);
    let failure = failed.failure.unwrap();
    assert_eq!(failure.kind(), v1::FailureKind::Raised);
    assert_eq!(failure.cause.unwrap().message, "invalid digit");

    // And its dependents say whose fault it was.
    let args = vec![
        v1::Argument { source: Some(Source::TaskId(task.task_id.clone())) },
        v1::Argument {
            source: Some(Source::Payload(v1::Payload {
                body: Some(Body::Json(json::to_wire(json!(1)))),
                ..Default::default()
            })),
        },
    ];
    let dependent = v1::SubmitTaskRequest { function: "demo.add".into(), args, ..Default::default() };
    let dependent = submit(&mut client, dependent).await.unwrap();
    let failure = wait(&mut client, &dependent.task_id).await.task.unwrap().failure.unwrap();
    assert_eq!(failure.kind(), v1::FailureKind::DependencyFailed);
    assert_eq!(failure.cause.unwrap().task_id, task.task_id);
}

#[tokio::test]
async fn a_wait_ends_in_time_and_a_cancel_ends_the_task() {
    let running = start(Config::default()).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let task = submit(&mut client, add(1, 2)).await.unwrap();
    let timeout = Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 });
    let request = v1::WaitTaskRequest { task_id: task.task_id.clone(), timeout, ..Default::default() };
    let waited = client.wait_task(request).await.unwrap().into_inner();
    assert_eq!((waited.done, waited.task.unwrap().state()), (Some(false), v1::TaskState::Pending));

    let explained = v1::ExplainTaskRequest { task_id: task.task_id.clone(), ..Default::default() };
    let explained = client.explain_task(explained).await.unwrap().into_inner();
    assert!(explained.reasons.join(" ").contains("demo.add"), "{:?}", explained.reasons);

    let cancel =
        || v1::CancelTaskRequest { task_id: task.task_id.clone(), message: "enough".into(), ..Default::default() };
    let cancelled = client.cancel_task(cancel()).await.unwrap().into_inner();
    assert_eq!(cancelled.cancel_requested, Some(true));
    let over = wait(&mut client, &task.task_id).await.task.unwrap();
    assert_eq!((over.state(), over.failure.unwrap().message.as_str()), (v1::TaskState::Cancelled, "enough"));
    assert_eq!(client.cancel_task(cancel()).await.unwrap().into_inner().cancel_requested, Some(false));
}

#[tokio::test]
async fn a_caller_that_leaves_hangs_up() {
    let running = start(Config::default()).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let task = submit(&mut client, add(1, 2)).await.unwrap();
    let request = v1::WaitTaskRequest { task_id: task.task_id.clone(), ..Default::default() };
    let left = tokio::time::timeout(Duration::from_millis(50), client.wait_task(request)).await;
    assert!(left.is_err());
    let read = v1::GetTaskRequest { task_id: task.task_id, ..Default::default() };
    assert!(client.get_task(read).await.is_ok(), "and the connection goes on");
}

#[tokio::test]
async fn gather_answers_in_argument_order() {
    let running = start(Config::default()).await;
    adding(Peer::worker(running.channel().await).await);
    let mut client = TaskServiceClient::new(running.channel().await);
    let calls = (0..10).map(|n| add(n, n)).collect();
    let gathered = client.gather(v1::GatherRequest { calls, ..Default::default() }).await.unwrap().into_inner();
    assert_eq!(gathered.done, Some(true));
    let sums: Vec<_> = gathered.tasks.iter().map(result).collect();
    assert_eq!(sums, (0..10).map(|n| json::to_wire(json!(2 * n))).collect::<Vec<_>>());

    let task_ids: Vec<_> = gathered.tasks.iter().rev().take(2).map(|t| t.task_id.clone()).collect();
    let again = v1::GatherRequest { task_ids: task_ids.clone(), ..Default::default() };
    let again = client.gather(again).await.unwrap().into_inner();
    assert_eq!(again.tasks.iter().map(|t| t.task_id.clone()).collect::<Vec<_>>(), task_ids);
}

#[tokio::test]
async fn lists_come_in_pages_newest_first() {
    let running = start(Config::default()).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let mut ids = Vec::new();
    for n in 0..5 {
        let labels = BTreeMap::from([("odd".into(), (n % 2).to_string())]);
        ids.push(submit(&mut client, v1::SubmitTaskRequest { labels, ..add(n, n) }).await.unwrap().task_id);
    }
    ids.sort();
    ids.reverse();
    let mut seen = Vec::new();
    let mut request = v1::ListTasksRequest { page_size: 2, ..Default::default() };
    loop {
        let page = client.list_tasks(request.clone()).await.unwrap().into_inner();
        assert_eq!(page.total_size, Some(5));
        seen.extend(page.tasks.into_iter().map(|t| t.task_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, ids);
    let filter = "state=PENDING AND function=demo.add AND labels.odd=1".into();
    let odd = client.list_tasks(v1::ListTasksRequest { filter, ..Default::default() }).await.unwrap().into_inner();
    assert_eq!(odd.tasks.len(), 2);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_words_and_for_programs() {
    let running = start(Config::default()).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let get = |task_id: &str| v1::GetTaskRequest { task_id: task_id.into(), ..Default::default() };
    let missing = client.get_task(get(&uuid::Uuid::now_v7().to_string())).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert_eq!(missing.get_details_error_info().unwrap().reason, "TASK_NOT_FOUND");
    for (ending, code) in [("abcdef", Code::NotFound), ("abc", Code::InvalidArgument), ("", Code::InvalidArgument)] {
        assert_eq!(client.get_task(get(ending)).await.unwrap_err().code(), code, "{ending}");
    }
    let empty = submit(&mut client, v1::SubmitTaskRequest::default()).await.unwrap_err();
    assert!(empty.message().starts_with("function: is empty"), "{}", empty.message());
}

#[tokio::test]
async fn workers_and_their_functions_are_listed() {
    let running = start(Config::default()).await;
    let _worker = Peer::worker(running.channel().await).await;
    let mut client = ClusterServiceClient::new(running.channel().await);
    let workers = client.list_workers(v1::ListWorkersRequest {}).await.unwrap().into_inner().workers;
    assert_eq!((workers.len(), workers[0].display_name.as_str()), (1, "a test worker"));
    assert_eq!(workers[0].functions[0].signature, "(a: i64, b: i64) -> i64");
    let info = client.get_server_info(v1::GetServerInfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.store.as_str(), info.protocol), ("memory", 1));
}
