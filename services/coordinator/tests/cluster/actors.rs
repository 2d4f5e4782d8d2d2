//! ActorService, as other languages use it, with a worker made by hand that counts.

use std::collections::BTreeMap;
use std::time::Duration;

use farloop_coordinator::Config;
use farloop_core::actor::{ActorDef, Host, Part, Turns};
use farloop_core::frame::{Activity, Down, Up};
use farloop_core::id::AttemptId;
use farloop_core::outcome::{Cancellation, Failure, FailureKind, Outcome};
use farloop_core::spec::FunctionDef;
use farloop_proto::v1::actor_service_client::ActorServiceClient;
use farloop_proto::v1::cluster_service_client::ClusterServiceClient;
use farloop_proto::v1::payload::Body;
use farloop_proto::v1::task_service_client::TaskServiceClient;
use farloop_proto::v1::watch_actor_response::Event;
use farloop_proto::{json, v1};
use serde_json::{Value, json};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::peer::Peer;
use crate::setup::{PATIENCE, start};

type Actors = ActorServiceClient<Channel>;

fn offered(on_demand: bool) -> Vec<FunctionDef> {
    let def = |name: &str, args: &[(&str, &str)], returns: &str, actor| FunctionDef {
        name: name.into(),
        fingerprint: 7,
        args: args.iter().map(|(name, ty)| ((*name).into(), (*ty).into())).collect(),
        returns: returns.into(),
        concurrency: 0,
        actor: Some(std::sync::Arc::new(actor)),
    };
    let host = Host { on_demand, mailbox: 50, ..Host::default() };
    let start = if on_demand { ("name", "String") } else { ("start", "i64") };
    vec![
        def("demo.Counter", &[start], "()", ActorDef::Type(host)),
        def("demo.Counter.add", &[("by", "i64")], "i64", ActorDef::Method(Turns::Alone)),
        def("demo.Counter.get", &[], "i64", ActorDef::Method(Turns::Shared)),
    ]
}

/// A worker that counts until its test is over. `get` of a counter at 13 never returns; `add` of 0 panics.
fn counting(mut worker: Peer) {
    tokio::spawn(async move {
        let mut counters: BTreeMap<AttemptId, i64> = BTreeMap::new();
        loop {
            match worker.next().await {
                Down::Start(start) => {
                    let args = json::from_msgpack(&start.spec.args).unwrap();
                    let number = args.get(0).and_then(Value::as_i64).unwrap_or_default();
                    if let Some(Part::Host(_)) = start.spec.actor.as_deref() {
                        counters.insert(start.attempt, number);
                        let (attempt, activity) = (start.attempt, Activity::Suspended);
                        worker.send(Up::Progress { attempt, activity, awaits: Vec::new(), blocked: false }).await;
                        continue;
                    }
                    let host = start.more.as_ref().and_then(|more| more.incarnation).unwrap();
                    let counter = counters.get_mut(&host).unwrap();
                    if start.spec.function.ends_with(".add") {
                        *counter += number;
                        if number == 0 {
                            counters.remove(&host);
                            worker.ended(start.attempt, failed(FailureKind::Panicked, "nothing to add")).await;
                            worker.ended(host, failed(FailureKind::Panicked, "nothing to add")).await;
                            continue;
                        }
                    }
                    if *counter != 13 {
                        worker.returned(start.attempt, &json::to_msgpack(counter).unwrap()).await;
                    }
                }
                Down::Stop(host) => {
                    counters.remove(&host);
                    worker.returned(host, &[0xc0]).await;
                }
                Down::Cancel { attempt, .. } => {
                    counters.remove(&attempt);
                    worker.ended(attempt, Outcome::Cancelled(Cancellation::default().into())).await;
                }
                _ => {}
            }
        }
    });
}

fn failed(kind: FailureKind, message: &str) -> Outcome {
    Outcome::Raised(Failure::new(kind, "demo.Counter".into(), message.into()).into())
}

fn seconds(seconds: f64) -> Option<prost_types::Duration> {
    Some(Duration::from_secs_f64(seconds).try_into().unwrap())
}

fn spawn(name: &str, start: i64) -> v1::SpawnActorRequest {
    v1::SpawnActorRequest {
        r#type: "demo.Counter".into(),
        json_args: vec![json::to_wire(json!(start))],
        name: name.into(),
        ..Default::default()
    }
}

fn call(name: &str, method: &str, args: &[i64]) -> v1::CallActorRequest {
    v1::CallActorRequest {
        r#type: "demo.Counter".into(),
        name: name.into(),
        method: method.into(),
        json_args: args.iter().map(|n| json::to_wire(json!(n))).collect(),
        ..Default::default()
    }
}

fn get(name: &str) -> v1::GetActorRequest {
    v1::GetActorRequest { r#type: "demo.Counter".into(), name: name.into(), ..Default::default() }
}

async fn spawned(client: &mut Actors, request: v1::SpawnActorRequest) -> Result<v1::Actor, Status> {
    let answer = client.spawn_actor(request).await?.into_inner();
    assert_eq!(answer.up, Some(answer.actor.as_ref().unwrap().state() == v1::ActorState::Up));
    Ok(answer.actor.unwrap())
}

fn number(n: i64) -> prost_types::Value {
    json::to_wire(json!(n))
}

async fn answer(client: &mut Actors, request: v1::CallActorRequest) -> prost_types::Value {
    let answer = client.call_actor(request).await.unwrap().into_inner();
    assert_eq!(answer.done, Some(true));
    match answer.task.unwrap().result.unwrap().body {
        Some(Body::Json(value)) => value,
        other => panic!("{other:?}"),
    }
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

async fn state(stream: &mut Streaming<v1::WatchActorResponse>) -> Option<(i32, v1::ActorState)> {
    let next = tokio::time::timeout(PATIENCE, stream.message()).await.expect("a message comes in time").unwrap();
    match next?.event {
        Some(Event::Actor(actor)) => Some((actor.incarnation.unwrap(), actor.state())),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_actor_is_made_called_listed_and_stopped() {
    let running = start(Config::default()).await;
    counting(Peer::actors(running.channel().await, offered(false)).await);
    let mut client = ActorServiceClient::new(running.channel().await);
    let actor = spawned(&mut client, spawn("page", 1)).await.unwrap();
    assert_eq!((actor.name.as_str(), actor.state(), actor.incarnation), ("page", v1::ActorState::Up, Some(1)));
    assert_eq!(actor.json_args, [json::to_wire(json!(1))]);
    // What the request left open is as the type says.
    assert_eq!(actor.options.as_ref().unwrap().mailbox, 50);

    assert_eq!(answer(&mut client, call("page", "add", &[2])).await, number(3));
    let ending = actor.actor_id[actor.actor_id.len() - 8..].to_owned();
    let by_id = v1::CallActorRequest { actor_id: ending.clone(), method: "get".into(), ..Default::default() };
    assert_eq!(answer(&mut client, by_id).await, number(3));
    let told = v1::TellActorRequest {
        actor_id: ending.clone(),
        method: "add".into(),
        json_args: vec![json::to_wire(json!(4))],
        ..Default::default()
    };
    let told = client.tell_actor(told).await.unwrap().into_inner().task.unwrap();
    assert_eq!(told.function, "demo.Counter.add");
    assert_eq!(answer(&mut client, call("page", "get", &[])).await, number(7), "calls run in their order");

    // One of the name is the answer, or a refusal.
    let taken = spawned(&mut client, spawn("page", 9)).await.unwrap_err();
    assert_eq!((taken.code(), reason(&taken).as_str()), (Code::AlreadyExists, "ACTOR_ALREADY_EXISTS"));
    let same = spawned(&mut client, v1::SpawnActorRequest { get_or_spawn: true, ..spawn("page", 9) }).await.unwrap();
    assert_eq!(same.actor_id, actor.actor_id);
    let other = spawned(&mut client, v1::SpawnActorRequest { get_or_spawn: true, ..spawn("other", 9) }).await.unwrap();
    assert_eq!(other.root_session_id, "", "nobody owns it");

    let read = client.get_actor(get("page")).await.unwrap().into_inner().actor.unwrap();
    assert_eq!((read.mailbox_depth, read.running_calls, read.served_calls), (Some(0), Some(0), Some(4)));
    let list = v1::ListActorsRequest { filter: "type=demo.Counter".into(), page_size: 1, ..Default::default() };
    let page = client.list_actors(list.clone()).await.unwrap().into_inner();
    assert_eq!((page.actors[0].actor_id.as_str(), page.total_size), (other.actor_id.as_str(), Some(2)));
    let rest = v1::ListActorsRequest { page_token: page.next_page_token, ..list };
    let rest = client.list_actors(rest).await.unwrap().into_inner();
    assert_eq!((rest.actors[0].actor_id.as_str(), rest.next_page_token.as_str()), (actor.actor_id.as_str(), ""));
    let there = format!("worker={}", &read.worker_id[read.worker_id.len() - 8..]);
    let there = v1::ListActorsRequest { filter: there, ..Default::default() };
    assert_eq!(client.list_actors(there).await.unwrap().into_inner().total_size, Some(2));

    let stop = v1::StopActorRequest { r#type: "demo.Counter".into(), name: "page".into(), ..Default::default() };
    let stopped = client.stop_actor(stop).await.unwrap().into_inner();
    assert_eq!((stopped.stopped, stopped.actor.unwrap().state()), (Some(true), v1::ActorState::Stopped));
    assert_eq!(reason(&client.get_actor(get("page")).await.unwrap_err()), "ACTOR_NOT_FOUND");
    // By its id it is known still, stopped once more, and called in vain.
    let stop = v1::StopActorRequest { actor_id: ending.clone(), ..Default::default() };
    assert_eq!(client.stop_actor(stop).await.unwrap().into_inner().stopped, Some(true));
    let dead = v1::CallActorRequest { actor_id: ending, method: "get".into(), ..Default::default() };
    let dead = client.call_actor(dead).await.unwrap_err();
    assert_eq!((dead.code(), reason(&dead).as_str()), (Code::FailedPrecondition, "ACTOR_DIED"));
    assert!(dead.message().contains("it was stopped"), "{dead}");
    let kill =
        v1::StopActorRequest { actor_id: other.actor_id, kill: true, message: "enough".into(), ..Default::default() };
    let killed = client.stop_actor(kill).await.unwrap().into_inner().actor.unwrap();
    assert_eq!((killed.state(), killed.failure.unwrap().message.as_str()), (v1::ActorState::Killed, "enough"));
    let over = v1::ListActorsRequest { include_over: true, ..Default::default() };
    assert_eq!(client.list_actors(over).await.unwrap().into_inner().total_size, Some(2));
    // Searches and stops of this service leave nothing behind: two actors, and their calls.
    let mut tasks = TaskServiceClient::new(running.channel().await);
    let listed = tasks.list_tasks(v1::ListTasksRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.total_size, Some(6), "{:?}", listed.tasks);
}

#[tokio::test]
async fn a_call_that_takes_longer_is_a_task_to_wait_for() {
    let running = start(Config::default()).await;
    counting(Peer::actors(running.channel().await, offered(false)).await);
    let mut client = ActorServiceClient::new(running.channel().await);
    let actor = spawned(&mut client, spawn("page", 13)).await.unwrap();
    let hangs = v1::CallActorRequest {
        timeout: seconds(0.05),
        request_id: "hangs".into(),
        payload_format: v1::PayloadFormat::Raw.into(),
        ..call("page", "get", &[])
    };
    let asked = client.call_actor(hangs.clone()).await.unwrap().into_inner();
    let task = asked.task.unwrap();
    assert_eq!((asked.done, task.state()), (Some(false), v1::TaskState::Running));
    let again = client.call_actor(hangs).await.unwrap().into_inner().task.unwrap();
    assert_eq!(again.task_id, task.task_id, "one request, one call");
    // Its actor stops when it is over, and takes no more calls.
    let stop = v1::StopActorRequest { actor_id: actor.actor_id.clone(), timeout: seconds(0.0), ..Default::default() };
    let stopping = client.stop_actor(stop).await.unwrap().into_inner();
    assert_eq!((stopping.stopped, stopping.actor.unwrap().state()), (Some(false), v1::ActorState::Stopping));
    assert_eq!(reason(&client.call_actor(call("page", "get", &[])).await.unwrap_err()), "ACTOR_DIED");
    // Killed, what ran there may have run.
    let kill = v1::StopActorRequest { actor_id: actor.actor_id, kill: true, ..Default::default() };
    assert_eq!(client.stop_actor(kill).await.unwrap().into_inner().stopped, Some(true));
    let mut tasks = TaskServiceClient::new(running.channel().await);
    let waited = v1::WaitTaskRequest { task_id: task.task_id, ..Default::default() };
    let failure = tasks.wait_task(waited).await.unwrap().into_inner().task.unwrap().failure.unwrap();
    assert_eq!((failure.kind(), failure.may_have_run), (v1::FailureKind::ActorDied, Some(true)), "{failure:?}");
}

#[tokio::test]
async fn who_watches_an_actor_sees_each_incarnation_and_its_end() {
    let running = start(Config::default()).await;
    counting(Peer::actors(running.channel().await, offered(false)).await);
    let mut client = ActorServiceClient::new(running.channel().await);
    let restart = v1::ActorRestart {
        at_most: Some(1),
        backoff: Some(v1::RetryBackoff { initial_interval: seconds(0.01), ..Default::default() }),
        ..Default::default()
    };
    let options = Some(v1::ActorOptions { restart: Some(restart), ..Default::default() });
    let actor = spawned(&mut client, v1::SpawnActorRequest { options, ..spawn("page", 1) }).await.unwrap();
    let watch = v1::WatchActorRequest { actor_id: actor.actor_id.clone(), ..Default::default() };
    let mut stream = client.watch_actor(watch).await.unwrap().into_inner();
    assert_eq!(state(&mut stream).await, Some((1, v1::ActorState::Up)));
    let panics = client.call_actor(call("page", "add", &[0])).await.unwrap().into_inner().task.unwrap();
    assert_eq!(panics.failure.unwrap().kind(), v1::FailureKind::Panicked);
    assert_eq!(state(&mut stream).await, Some((1, v1::ActorState::Pending)));
    assert_eq!(state(&mut stream).await, Some((2, v1::ActorState::Starting)));
    assert_eq!(state(&mut stream).await, Some((2, v1::ActorState::Up)));
    assert_eq!(answer(&mut client, call("page", "get", &[])).await, number(1), "made again of what it was made of");
    client.call_actor(call("page", "add", &[0])).await.unwrap();
    assert_eq!(state(&mut stream).await, Some((2, v1::ActorState::Failed)), "one restart is all it has");
    assert_eq!(state(&mut stream).await, None, "and the stream ends");
    let read = v1::GetActorRequest { actor_id: actor.actor_id, ..Default::default() };
    let read = client.get_actor(read).await.unwrap().into_inner().actor.unwrap();
    assert!(read.failure.unwrap().message.contains("started again 1 times"));
    assert_eq!(read.served_calls, None, "nothing is counted any more");
}

#[tokio::test]
async fn types_and_labels_are_shown() {
    let running = start(Config::default()).await;
    counting(Peer::actors(running.channel().await, offered(true)).await);
    let mut client = ActorServiceClient::new(running.channel().await);
    let types = client.list_actor_types(v1::ListActorTypesRequest::default()).await.unwrap().into_inner();
    assert_eq!((types.total_size, types.types.len()), (Some(1), 1));
    let shown = &types.types[0];
    assert_eq!(
        (shown.r#type.as_str(), shown.signature.as_str(), shown.on_demand),
        ("demo.Counter", "(name: String)", true)
    );
    let methods: Vec<_> = shown.methods.iter().map(|m| (m.method.as_str(), m.signature.as_str(), m.turns())).collect();
    assert_eq!(methods, [("add", "(by: i64) -> i64", v1::Turns::Alone), ("get", "() -> i64", v1::Turns::Shared)]);
    assert!(shown.methods[0].parameters[0].schema.is_some() && shown.methods[0].result_schema.is_some());
    let mut cluster = ClusterServiceClient::new(running.channel().await);
    let worker = cluster.list_workers(v1::ListWorkersRequest::default()).await.unwrap().into_inner().workers.remove(0);
    assert_eq!(worker.labels, BTreeMap::from([("zone".to_owned(), "eu".to_owned())]));
    assert_eq!((worker.functions.len(), worker.actor_types), (0, vec!["demo.Counter".to_owned()]));
    let functions = cluster.list_functions(v1::ListFunctionsRequest::default()).await.unwrap().into_inner();
    assert_eq!(functions.total_size, Some(0), "types and methods are no functions");

    // Made by a call of its name, where its labels are; elsewhere it waits.
    assert_eq!(answer(&mut client, call("page", "add", &[2])).await, number(2));
    let made = client.get_actor(get("page")).await.unwrap().into_inner().actor.unwrap();
    assert!(made.on_demand);
    let somewhere = |zone: &str| v1::SpawnActorRequest {
        json_args: vec![json::to_wire(json!(zone))],
        timeout: seconds(0.05),
        options: Some(v1::ActorOptions {
            placement: Some(v1::ActorPlacement {
                labels: BTreeMap::from([("zone".into(), zone.into())]),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..spawn(zone, 0)
    };
    let near = spawned(&mut client, v1::SpawnActorRequest { timeout: seconds(5.0), ..somewhere("eu") }).await.unwrap();
    assert!(!near.on_demand, "one that is asked for by itself stays");
    let far = spawned(&mut client, somewhere("us")).await.unwrap();
    assert_eq!((far.state(), far.worker_id.as_str()), (v1::ActorState::Pending, ""));
}

#[tokio::test]
async fn what_is_wrong_is_said_with_what_to_do() {
    let running = start(Config::default()).await;
    counting(Peer::actors(running.channel().await, offered(false)).await);
    let mut client = ActorServiceClient::new(running.channel().await);
    spawned(&mut client, spawn("page", 1)).await.unwrap();
    let says = |status: Status, reason: &str, text: &str| {
        assert_eq!(self::reason(&status), reason, "{status}");
        assert!(status.message().contains(text), "{status}");
    };
    let wrong = spawned(&mut client, v1::SpawnActorRequest { r#type: "demo.Countr".into(), ..spawn("", 1) }).await;
    says(wrong.unwrap_err(), "ACTOR_TYPE_NOT_FOUND", "did you mean 'demo.Counter'?");
    let wrong = spawned(&mut client, v1::SpawnActorRequest { json_args: Vec::new(), ..spawn("", 1) }).await;
    says(wrong.unwrap_err(), "BAD_ARGUMENTS", "takes 1 arguments, (start: i64), and 0 were given");
    let wrong = spawned(&mut client, v1::SpawnActorRequest { get_or_spawn: true, ..spawn("", 1) }).await;
    says(wrong.unwrap_err(), "BAD_FIELD", "getOrSpawn: needs a name");
    let wrong = client.call_actor(call("page", "ad", &[1])).await;
    says(wrong.unwrap_err(), "METHOD_NOT_FOUND", "it has: add, get; did you mean 'add'?");
    let wrong = client.call_actor(call("page", "demo.Counter.add", &[1])).await;
    says(wrong.unwrap_err(), "BAD_FIELD", "is no method's name alone");
    let wrong = client.call_actor(call("page", "add", &[])).await;
    says(wrong.unwrap_err(), "BAD_ARGUMENTS", "(by: i64)");
    let wrong = client.call_actor(call("nobody", "add", &[1])).await;
    says(wrong.unwrap_err(), "ACTOR_DIED", "makes none on demand: spawn it first");
    let wrong = client.call_actor(call("", "add", &[1])).await;
    says(wrong.unwrap_err(), "BAD_FIELD", "name: is missing");
    let wrong = client.get_actor(get("nobody")).await;
    says(wrong.unwrap_err(), "ACTOR_NOT_FOUND", "has the name 'nobody'");
    let stop = |kill, message: &str| v1::StopActorRequest {
        r#type: "demo.Counter".into(),
        name: "page".into(),
        kill,
        message: message.into(),
        ..Default::default()
    };
    says(client.stop_actor(stop(false, "why")).await.unwrap_err(), "BAD_FIELD", "stands without `kill`");
    let list = |filter: &str| v1::ListActorsRequest { filter: filter.into(), ..Default::default() };
    says(client.list_actors(list("state=UP")).await.unwrap_err(), "BAD_FIELD", "type and worker are");
    says(client.list_actors(list("worker=ffffffff")).await.unwrap_err(), "BAD_FIELD", "no worker that is connected");
    let mut tasks = TaskServiceClient::new(running.channel().await);
    let task = v1::SubmitTaskRequest { function: "demo.Counter.get".into(), ..Default::default() };
    says(tasks.submit_task(task).await.unwrap_err(), "BAD_ARGUMENTS", "CallActor calls it");
}
