//! Calls with many answers, waits, workers that are told to leave, and what there is to know about a cluster.

use std::time::Duration;

use farloop_coordinator::Config;
use farloop_core::frame::{Down, Up};
use farloop_proto::v1;
use farloop_proto::v1::as_completed_response::Event as Completed;
use farloop_proto::v1::cluster_service_client::ClusterServiceClient;
use farloop_proto::v1::task_service_client::TaskServiceClient;
use farloop_proto::v1::watch_tasks_response::Event as Watched;
use tonic::{Code, Streaming};

use crate::api::{Client, add, submit};
use crate::peer::Peer;
use crate::setup::{PATIENCE, start};

fn seconds(seconds: f64) -> Option<prost_types::Duration> {
    Some(Duration::from_secs_f64(seconds).try_into().unwrap())
}

async fn next<T>(stream: &mut Streaming<T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, stream.message()).await.expect("a message comes in time").unwrap()
}

/// The next change, as text: the task by its place in `ids`.
async fn change(stream: &mut Streaming<v1::WatchTasksResponse>, ids: &[String]) -> String {
    match next(stream).await.and_then(|message| message.event) {
        Some(Watched::Task(task)) => {
            let at = ids.iter().position(|id| *id == task.task_id);
            format!("{at:?} {}", task.state().as_str_name().trim_start_matches("TASK_STATE_"))
        }
        other => format!("{other:?}"),
    }
}

async fn watch(client: &mut Client, filter: &str) -> Streaming<v1::WatchTasksResponse> {
    let request = v1::WatchTasksRequest { filter: filter.into(), ..Default::default() };
    client.watch_tasks(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn who_watches_sees_a_snapshot_and_then_each_change() {
    let running = start(Config::default()).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let mut ids = vec![submit(&mut client, add(1, 1)).await.unwrap().task_id];
    let mut stream = watch(&mut client, "function=demo.add").await;
    assert_eq!(change(&mut stream, &ids).await, "Some(0) PENDING");
    assert_eq!(next(&mut stream).await.unwrap().event, Some(Watched::SnapshotEnd(true)));
    let mut worker = Peer::worker(running.channel().await).await;
    let first = worker.next_start().await;
    assert_eq!(change(&mut stream, &ids).await, "Some(0) RUNNING");
    worker.returned(first.attempt, &[2]).await;
    assert_eq!(change(&mut stream, &ids).await, "Some(0) SUCCEEDED");
    ids.push(submit(&mut client, add(2, 2)).await.unwrap().task_id);
    assert_eq!(change(&mut stream, &ids).await, "Some(1) PENDING");

    // By a parent's shortened id, of which nothing is there.
    let ending = &ids[0][ids[0].len() - 8..];
    let mut children = watch(&mut client, &format!("parent={ending}")).await;
    assert_eq!(next(&mut children).await.unwrap().event, Some(Watched::SnapshotEnd(true)));
}

#[tokio::test]
async fn a_stop_ends_every_stream_with_a_reason() {
    let running = start(Config { stop_within: Duration::from_millis(200), ..Config::default() }).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let task = submit(&mut client, add(1, 1)).await.unwrap().task_id;
    let mut watched = watch(&mut client, "").await;
    while next(&mut watched).await.unwrap().event != Some(Watched::SnapshotEnd(true)) {}
    let request = v1::AsCompletedRequest { task_ids: vec![task], ..Default::default() };
    let mut completed = client.as_completed(request).await.unwrap().into_inner();
    let served = running.begin_stop();
    for end in [watched.message().await.map(|_| ()).unwrap_err(), completed.message().await.map(|_| ()).unwrap_err()] {
        assert_eq!((end.code(), crate::bad::reason(&end).as_str()), (Code::Unavailable, "STOPPING"));
    }
    tokio::time::timeout(PATIENCE, served).await.expect("it stops").unwrap().unwrap();
}

#[tokio::test]
async fn l9_as_completed_gives_each_once_and_names_what_is_late() {
    let running = start(Config::default()).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let mut ids = Vec::new();
    let mut starts = Vec::new();
    for n in 0..3 {
        ids.push(submit(&mut client, add(n, n)).await.unwrap().task_id);
        starts.push(worker.next_start().await);
    }
    // Shortened, and one of them twice.
    let mut task_ids: Vec<String> = ids.iter().map(|id| id[id.len() - 12..].to_owned()).collect();
    task_ids.push(ids[0].clone());
    let request = v1::AsCompletedRequest { task_ids, timeout: seconds(0.5), ..Default::default() };
    let mut stream = client.as_completed(request).await.unwrap().into_inner();
    worker.returned(starts[2].attempt, &[4]).await;
    worker.returned(starts[0].attempt, &[0]).await;
    for expected in [&ids[2], &ids[0]] {
        let Some(Completed::Task(task)) = next(&mut stream).await.unwrap().event else { panic!("a task") };
        assert_eq!((&task.task_id, task.state()), (expected, v1::TaskState::Succeeded));
    }
    let late = next(&mut stream).await.unwrap().event;
    assert_eq!(late, Some(Completed::Pending(v1::TaskIds { ids: vec![ids[1].clone()] })));
    assert!(next(&mut stream).await.is_none(), "that was the last");
}

#[tokio::test]
async fn l9_wait_tells_done_and_pending() {
    let running = start(Config::default()).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let mut ids = Vec::new();
    let mut starts = Vec::new();
    for n in 0..3 {
        ids.push(submit(&mut client, add(n, n)).await.unwrap().task_id);
        starts.push(worker.next_start().await);
    }
    let mut task_ids: Vec<String> = ids.iter().map(|id| id[id.len() - 8..].to_owned()).collect();
    task_ids.push(ids[2].clone());
    let request = |when: v1::ReturnWhen, timeout| v1::WaitRequest {
        task_ids: task_ids.clone(),
        return_when: when.into(),
        timeout,
        ..Default::default()
    };
    let names = |tasks: &[v1::Task]| tasks.iter().map(|t| t.task_id.clone()).collect::<Vec<_>>();

    // Time over is an answer, and cancels nothing.
    let early = client.wait(request(v1::ReturnWhen::AllCompleted, seconds(0.0))).await.unwrap().into_inner();
    assert_eq!((names(&early.done), names(&early.pending)), (vec![], ids.clone()));
    worker.returned(starts[1].attempt, &[2]).await;
    let first = client.wait(request(v1::ReturnWhen::FirstCompleted, None)).await.unwrap().into_inner();
    assert_eq!(names(&first.done), [ids[1].clone()]);
    assert_eq!(names(&first.pending), [ids[0].clone(), ids[2].clone()]);
    assert!(first.pending.iter().all(|t| t.state() == v1::TaskState::Running));

    // A cancelled task is no exception; a failed one is.
    client.cancel_task(v1::CancelTaskRequest { task_id: ids[0].clone(), ..Default::default() }).await.unwrap();
    let Down::Cancel { number, .. } = worker.next().await else { panic!("a cancel") };
    let outcome = farloop_core::outcome::Outcome::Cancelled(Default::default());
    worker.send(Up::Ended { attempt: starts[0].attempt, outcome, delivered: number }).await;
    let short = client.wait(request(v1::ReturnWhen::FirstException, seconds(0.2))).await.unwrap().into_inner();
    assert_eq!(names(&short.pending), [ids[2].clone()]);
    worker.raised(starts[2].attempt, "no").await;
    let all = client.wait(request(v1::ReturnWhen::FirstException, None)).await.unwrap().into_inner();
    assert_eq!((names(&all.done), all.pending.len()), (ids, 0));
}

#[tokio::test]
async fn a_worker_that_is_drained_is_told_to_leave() {
    let running = start(Config::default()).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = ClusterServiceClient::new(running.channel().await);
    let mut tasks = TaskServiceClient::new(running.channel().await);
    submit(&mut tasks, add(1, 1)).await.unwrap();
    let start = worker.next_start().await;
    let id = client.list_workers(v1::ListWorkersRequest {}).await.unwrap().into_inner().workers[0].worker_id.clone();
    let request = v1::DrainWorkerRequest { worker_id: id[id.len() - 6..].into() };
    let told = client.drain_worker(request.clone()).await.unwrap().into_inner().worker.unwrap();
    assert!(told.draining && told.worker_id == id);
    // It may have begun: it is asked back, and its worker may say that it goes on.
    loop {
        match worker.next().await {
            Down::Leave => break,
            Down::Recall(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(client.drain_worker(request).await.is_ok(), "twice is once");
    worker.send(Up::Drain).await;
    worker.returned(start.attempt, &[2]).await;
    let end = loop {
        if let Err(end) = worker.next_batch().await {
            break end;
        }
    };
    assert!(end.is_some_and(|status| status.message().contains("drained")));
    assert!(client.list_workers(v1::ListWorkersRequest {}).await.unwrap().into_inner().workers.is_empty());
}

#[tokio::test]
async fn functions_are_listed_with_their_schemas_in_pages() {
    let running = start(Config::default()).await;
    let _worker = Peer::worker(running.channel().await).await;
    let _other = Peer::worker(running.channel().await).await;
    let mut client = ClusterServiceClient::new(running.channel().await);
    let list = client.list_functions(v1::ListFunctionsRequest::default()).await.unwrap().into_inner();
    assert_eq!((list.total_size, list.next_page_token.as_str()), (Some(1), ""));
    let add = &list.functions[0];
    assert_eq!((add.function.as_str(), add.signature.as_str()), ("demo.add", "(a: i64, b: i64) -> i64"));
    assert_eq!(add.worker_ids.len(), 2);
    assert_eq!((add.parameters[1].name.as_str(), add.parameters[1].r#type.as_str()), ("b", "i64"));
    let schema = add.parameters[1].schema.clone().unwrap();
    let schema = farloop_proto::json::to_msgpack(&farloop_proto::json::Typed(&schema)).unwrap();
    let schema = farloop_proto::json::from_msgpack(&schema).unwrap();
    assert_eq!(schema, serde_json::json!({"type": ["integer", "string"], "format": "i64"}));
    let request = v1::ListFunctionsRequest { page_token: "x".into(), ..Default::default() };
    let bad = client.list_functions(request).await.unwrap_err();
    assert!(bad.message().starts_with("pageToken: is none that ListFunctions gave"), "{bad:?}");
}

#[tokio::test]
async fn limits_are_told_as_they_are_in_force() {
    let mut config = Config::default();
    config.core.max_sessions = 7;
    let running = start(config).await;
    let mut client = ClusterServiceClient::new(running.channel().await);
    let limits = client.get_server_info(v1::GetServerInfoRequest {}).await.unwrap().into_inner().limits;
    let of = |name: &str| limits.iter().find(|l| l.name == name).and_then(|l| l.value);
    assert_eq!(of("MAX_SESSIONS"), Some(v1::limit::Value::Amount(7)));
    assert_eq!(of("MAX_PAYLOAD"), Some(v1::limit::Value::Amount(64 * 1024 * 1024)));
    assert_eq!(of("SESSION_TTL"), Some(v1::limit::Value::Time(prost_types::Duration { seconds: 30, nanos: 0 })));
}

#[tokio::test]
async fn lists_count_what_was_dropped() {
    let mut config = Config::default();
    config.core.retained_tasks = 2;
    let running = start(config).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    for n in 0..5 {
        let task_id = submit(&mut client, add(n, n)).await.unwrap().task_id;
        client.cancel_task(v1::CancelTaskRequest { task_id, ..Default::default() }).await.unwrap();
    }
    let list = client.list_tasks(v1::ListTasksRequest::default()).await.unwrap().into_inner();
    assert_eq!((list.tasks.len(), list.total_size, list.dropped_size), (2, Some(2), Some(3)));
}
