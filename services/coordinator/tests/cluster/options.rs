//! Options of a submit that few set, and requests that are made twice.

use farloop_coordinator::Config;
use farloop_core::frame::{Activity, Up};
use farloop_core::spec::{Backoff, Durability, Limit, Retention};
use farloop_proto::v1;
use farloop_proto::v1::cluster_service_client::ClusterServiceClient;
use farloop_proto::v1::task_service_client::TaskServiceClient;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::api::{Client, add, submit};
use crate::peer::Peer;
use crate::setup::start;

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn keep(keep: v1::retention::Keep) -> Option<v1::Retention> {
    Some(v1::Retention { keep: Some(keep) })
}

fn field(status: &Status) -> String {
    status.get_details_bad_request().unwrap().field_violations[0].field.clone()
}

async fn get(client: &mut Client, task_id: &str) -> Result<v1::Task, Status> {
    let request = v1::GetTaskRequest { task_id: task_id.into(), ..Default::default() };
    Ok(client.get_task(request).await?.into_inner().task.unwrap())
}

#[tokio::test]
async fn every_option_reaches_the_worker() {
    let running = start(Config::default()).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let request = v1::SubmitTaskRequest {
        timeout: seconds(600),
        max_attempts: 4,
        max_crashes: Some(0),
        priority: 3,
        cancel_grace: seconds(7),
        schedule_to_start_timeout: seconds(60),
        start_to_close_timeout: seconds(50),
        heartbeat_timeout: seconds(40),
        backoff: Some(v1::RetryBackoff {
            initial_interval: seconds(1),
            coefficient: 3.0,
            maximum_interval: seconds(9),
            jitter: Some(0.5),
        }),
        limit: Some(v1::ConcurrencyLimit { key: "printer".into(), at_once: 2 }),
        fairness_key: "tenant".into(),
        durability: v1::Durability::Buffered.into(),
        retention: keep(v1::retention::Keep::For(seconds(30).unwrap())),
        ..add(2, 3)
    };
    submit(&mut client, request).await.unwrap();
    let options = worker.next_start().await.spec.options.clone();
    assert_eq!((options.timeout, options.max_attempts, options.max_crashes), (Some(Duration::from_secs(600)), 4, 0));
    assert_eq!((options.priority, options.cancel_grace), (Some(3), Some(Duration::from_secs(7))));
    let policy = options.policy.unwrap();
    assert_eq!(policy.schedule_to_start, Some(Duration::from_secs(60)));
    assert_eq!(policy.start_to_close, Some(Duration::from_secs(50)));
    assert_eq!(policy.heartbeat, Some(Duration::from_secs(40)));
    let second = Duration::from_secs(1);
    assert_eq!(policy.backoff, Some(Backoff { initial: second, coefficient: 3.0, maximum: 9 * second, jitter: 0.5 }));
    assert_eq!(policy.limit, Some(Limit { key: "printer".into(), at_once: 2 }));
    assert_eq!(policy.fairness_key.as_deref(), Some("tenant"));
    assert_eq!((policy.durability, policy.retention), (Durability::Buffered, Retention::For(30 * second)));
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused_by_name() {
    let running = start(Config::default()).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let backoff = |backoff| v1::SubmitTaskRequest { backoff: Some(backoff), ..add(2, 3) };
    let limit = |key: &str, at_once| v1::SubmitTaskRequest {
        limit: Some(v1::ConcurrencyLimit { key: key.into(), at_once }),
        ..add(2, 3)
    };
    let initial_interval = seconds(1);
    let wrong = [
        (backoff(v1::RetryBackoff::default()), "backoff.initialInterval"),
        (backoff(v1::RetryBackoff { initial_interval, coefficient: 0.5, ..Default::default() }), "backoff.coefficient"),
        (backoff(v1::RetryBackoff { initial_interval, jitter: Some(2.0), ..Default::default() }), "backoff.jitter"),
        (limit("", 1), "limit.key"),
        (limit("printer", 0), "limit.atOnce"),
        (v1::SubmitTaskRequest { heartbeat_timeout: seconds(-1), ..add(2, 3) }, "heartbeatTimeout"),
        (v1::SubmitTaskRequest { start_to_close_timeout: seconds(-1), ..add(2, 3) }, "startToCloseTimeout"),
        (v1::SubmitTaskRequest { schedule_to_start_timeout: seconds(-1), ..add(2, 3) }, "scheduleToStartTimeout"),
        (
            v1::SubmitTaskRequest { retention: keep(v1::retention::Keep::For(seconds(-1).unwrap())), ..add(2, 3) },
            "retention.for",
        ),
    ];
    for (request, named) in wrong {
        let refused = submit(&mut client, request).await.unwrap_err();
        assert_eq!((refused.code(), field(&refused).as_str()), (Code::InvalidArgument, named));
    }
}

#[tokio::test]
async fn a_limit_holds_back_and_a_missed_start_is_told() {
    let running = start(Config::default()).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let limited = || v1::SubmitTaskRequest {
        limit: Some(v1::ConcurrencyLimit { key: "printer".into(), at_once: 1 }),
        schedule_to_start_timeout: Some(prost_types::Duration { seconds: 0, nanos: 200_000_000 }),
        ..add(2, 3)
    };
    submit(&mut client, limited()).await.unwrap();
    let start = worker.next_start().await;
    let progress = Up::Progress { attempt: start.attempt, activity: Activity::Running, awaits: vec![], blocked: false };
    worker.send(progress).await;
    let held = submit(&mut client, limited()).await.unwrap();
    let waited = client.wait_task(v1::WaitTaskRequest { task_id: held.task_id, ..Default::default() }).await.unwrap();
    let failure = waited.into_inner().task.unwrap().failure.unwrap();
    assert_eq!(failure.kind(), v1::FailureKind::ScheduleToStartTimeout, "{failure:?}");
}

#[tokio::test]
async fn a_pinned_outcome_stays_until_it_is_released() {
    let mut config = Config::default();
    (config.core.retained_tasks, config.core.pinned_tasks) = (1, 1);
    let running = start(config).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let pin = || v1::SubmitTaskRequest { retention: keep(v1::retention::Keep::Pinned(true)), ..add(2, 3) };
    let pinned = submit(&mut client, pin()).await.unwrap();
    assert!(pinned.pinned);
    let refused = submit(&mut client, pin()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("PINNED_TASKS is 1"), "{refused}");
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(submit(&mut client, add(2, 3)).await.unwrap().task_id);
    }
    for _ in 0..4 {
        let start = worker.next_start().await;
        worker.returned(start.attempt, &[5]).await;
    }
    let last = others.last().unwrap().clone();
    client.wait_task(v1::WaitTaskRequest { task_id: last, ..Default::default() }).await.unwrap();
    assert!(get(&mut client, &pinned.task_id).await.unwrap().result.is_some());
    let gone = get(&mut client, &others[0]).await.unwrap_err();
    assert_eq!(gone.get_details_error_info().unwrap().reason, "TASK_EXPIRED");
    let release = v1::ReleaseTaskRequest { task_id: pinned.task_id.clone() };
    client.release_task(release).await.unwrap();
    let gone = get(&mut client, &pinned.task_id).await.unwrap_err();
    assert_eq!(gone.get_details_error_info().unwrap().reason, "TASK_EXPIRED");
}

/// Every call that changes something, made once more: because the answer was lost, and while the first is under way.
#[tokio::test]
async fn a_call_that_is_made_twice_changes_nothing_more() {
    let running = start(Config::default()).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let named = |name: &str| v1::SubmitTaskRequest { request_id: name.into(), ..add(2, 3) };

    // SubmitTask: at the same time, and later.
    let (mut one, mut two) = (client.clone(), client.clone());
    let (first, second) = tokio::join!(submit(&mut one, named("a")), submit(&mut two, named("a")));
    let task = first.unwrap().task_id;
    assert_eq!(second.unwrap().task_id, task);
    let start = worker.next_start().await;
    assert_eq!(submit(&mut client, named("a")).await.unwrap().task_id, task);

    // Gather: its calls are those of the first, also while that one waits. A refused call takes none of them along.
    let gather = |last: &str| v1::GatherRequest {
        calls: vec![named("a"), named("b"), v1::SubmitTaskRequest { request_id: last.into(), ..add(2, 4) }],
        timeout: Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 }),
        ..Default::default()
    };
    let (mut one, mut two) = (client.clone(), client.clone());
    let (first, second) = tokio::join!(one.gather(gather("c")), two.gather(gather("c")));
    let ids = |gathered: Result<tonic::Response<v1::GatherResponse>, Status>| -> Vec<String> {
        gathered.unwrap().into_inner().tasks.into_iter().map(|t| t.task_id).collect()
    };
    let members = ids(first);
    assert_eq!(ids(second), members);
    assert_eq!(members[0], task);
    let refused = client.gather(gather("b")).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    for member in &members {
        assert_eq!(get(&mut client, member).await.unwrap().cancelling, 0);
    }
    let starts = [worker.next_start().await, worker.next_start().await];
    assert_eq!(starts.map(|s| s.attempt.task.to_string()), members[1..]);

    // CancelTask: one request, however often it is made.
    let cancel = || v1::CancelTaskRequest { task_id: task.clone(), request_id: "stop".into(), ..Default::default() };
    for _ in 0..2 {
        let answer = client.cancel_task(cancel()).await.unwrap().into_inner();
        assert_eq!((answer.cancel_requested, answer.task.unwrap().cancelling), (Some(true), 1));
    }
    worker.returned(start.attempt, &[5]).await;
    client.wait_task(v1::WaitTaskRequest { task_id: task.clone(), ..Default::default() }).await.unwrap();
    assert_eq!(client.cancel_task(cancel()).await.unwrap().into_inner().cancel_requested, Some(true));

    // ReleaseTask.
    for _ in 0..2 {
        let release = v1::ReleaseTaskRequest { task_id: task.clone() };
        assert_eq!(client.release_task(release).await.unwrap().into_inner(), v1::ReleaseTaskResponse {});
    }

    // DrainWorker.
    let mut cluster = ClusterServiceClient::new(running.channel().await);
    let workers = cluster.list_workers(v1::ListWorkersRequest {}).await.unwrap().into_inner().workers;
    for _ in 0..2 {
        let request = v1::DrainWorkerRequest { worker_id: workers[0].worker_id.clone() };
        assert!(cluster.drain_worker(request).await.unwrap().into_inner().worker.unwrap().draining);
    }
}
