//! A coordinator on a store that does as the test says: it is slow, full, broken, or outlives its coordinator.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use farloop_coordinator::{Config, StartError};
use farloop_core::frame::{Down, Up};
use farloop_core::id::TaskId;
use farloop_core::outcome::Outcome;
use farloop_core::record::Record;
use farloop_core::time::Time;
use farloop_proto::v1;
use farloop_proto::v1::cluster_service_client::ClusterServiceClient;
use farloop_proto::v1::task_service_client::TaskServiceClient;
use farloop_store::{Entry, MemoryStore, Part, Room, Store, StoreError};
use tonic::{Code, Status};
use tonic_health::ServingStatus;

use crate::api::{add, submit};
use crate::bad::reason;
use crate::peer::Peer;
use crate::setup::{PATIENCE, Running, begin, start};

/// What the test wants of the store.
#[derive(Default)]
struct Orders {
    records: MemoryStore,
    hold_sync: bool,
    hold_replay: bool,
    fails: bool,
    room: Room,
    leaving: Option<Part>,
    left: Vec<u64>,
    /// Only the store of the last life is written to.
    life: u32,
}

#[derive(Clone, Default)]
struct Desk(Arc<(Mutex<Orders>, Condvar)>);

impl Desk {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.0.0.lock().unwrap()
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders());
        self.0.1.notify_all();
    }

    fn wait_while(&self, held: impl Fn(&Orders) -> bool) -> MutexGuard<'_, Orders> {
        let (guard, late) = self.0.1.wait_timeout_while(self.orders(), PATIENCE, |orders| held(orders)).unwrap();
        assert!(!late.timed_out(), "a test lets go of what it holds");
        guard
    }

    /// A coordinator on these records; one before it writes nothing more.
    async fn start(&self) -> Running {
        self.start_with(|_| {}).await
    }

    async fn start_with(&self, change: impl FnOnce(&mut Config)) -> Running {
        let mut config = self.config();
        change(&mut config);
        start(config).await
    }

    /// Of one that may still read its records.
    fn config(&self) -> Config {
        self.order(|orders| orders.life += 1);
        let store = Scripted { desk: self.clone(), life: self.orders().life };
        Config::default().keeping_with(store)
    }
}

struct Scripted {
    desk: Desk,
    life: u32,
}

impl Scripted {
    fn last_life(&self) -> Result<MutexGuard<'_, Orders>, StoreError> {
        let orders = self.desk.orders();
        if orders.life == self.life { Ok(orders) } else { Err(StoreError::Stopped) }
    }
}

impl Store for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }
    fn append(&mut self, entry: Entry) -> Result<(), StoreError> {
        self.last_life()?.records.append(entry)
    }
    fn sync(&mut self) -> Result<u64, StoreError> {
        drop(self.desk.wait_while(|orders| orders.hold_sync));
        let mut orders = self.last_life()?;
        if orders.fails {
            let source = std::io::Error::other("the disk is broken");
            return Err(StoreError::Io { what: "cannot sync /data/1.journal".into(), source });
        }
        orders.records.sync()
    }
    fn durable(&self) -> u64 {
        self.desk.orders().records.durable()
    }
    fn replay(&mut self, each: &mut dyn FnMut(Entry)) -> Result<(), StoreError> {
        let mut orders = self.desk.wait_while(|orders| orders.hold_replay);
        orders.records.crash();
        orders.records.replay(each)
    }
    fn bytes(&self) -> u64 {
        4_711
    }
    fn room(&mut self) -> Room {
        self.desk.orders().room.clone()
    }
    fn leaving(&mut self, _: Time) -> Result<Option<Part>, StoreError> {
        Ok(self.desk.orders().leaving.clone())
    }
    fn drop_part(&mut self, number: u64) -> Result<(), StoreError> {
        let mut orders = self.desk.orders();
        orders.leaving = None;
        orders.left.push(number);
        Ok(())
    }
}

/// Looks again and again until `look` gives something.
async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looks = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looks).await.expect("it happens in time")
}

async fn info(running: &Running) -> v1::GetServerInfoResponse {
    let mut client = ClusterServiceClient::new(running.channel().await);
    client.get_server_info(v1::GetServerInfoRequest {}).await.unwrap().into_inner()
}

async fn get(running: &Running, task_id: &str) -> Result<v1::Task, Status> {
    let request = v1::GetTaskRequest { task_id: task_id.into(), ..Default::default() };
    let answer = TaskServiceClient::new(running.channel().await).get_task(request).await?;
    Ok(answer.into_inner().task.unwrap())
}

#[tokio::test]
async fn l1_a_submit_is_answered_when_it_is_durable_and_not_before() {
    let desk = Desk::default();
    let running = desk.start().await;
    let mut worker = Peer::worker(running.channel().await).await;
    until(async || (info(&running).await.store_status?.waiting_records == 0).then_some(())).await;
    desk.order(|orders| orders.hold_sync = true);
    let mut client = TaskServiceClient::new(running.channel().await);
    let submitted = tokio::spawn(async move { submit(&mut client, add(2, 3)).await });
    until(async || (info(&running).await.store_status?.waiting_records > 0).then_some(())).await;
    assert!(!submitted.is_finished());
    desk.order(|orders| orders.hold_sync = false);
    let task = submitted.await.unwrap().unwrap();
    // The outcome waits as well, and whoever waits for it.
    let start = worker.next_start().await;
    desk.order(|orders| orders.hold_sync = true);
    worker.returned(start.attempt, &[5]).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let request = v1::WaitTaskRequest { task_id: task.task_id, ..Default::default() };
    let waited = tokio::spawn(async move { client.wait_task(request).await });
    until(async || (info(&running).await.store_status?.waiting_records > 0).then_some(())).await;
    assert!(!waited.is_finished());
    desk.order(|orders| orders.hold_sync = false);
    assert_eq!(waited.await.unwrap().unwrap().into_inner().done, Some(true));
}

#[tokio::test]
async fn a_sync_that_fails_stops_the_coordinator_and_names_the_file() {
    let desk = Desk::default();
    let running = desk.start().await;
    let mut client = TaskServiceClient::new(running.channel().await);
    submit(&mut client, add(1, 1)).await.unwrap();
    desk.order(|orders| orders.fails = true);
    let submitted = tokio::spawn(async move { submit(&mut client, add(2, 2)).await });
    let failed = running.ended().await.unwrap_err();
    assert!(!submitted.is_finished(), "nobody is told that it was accepted");
    assert!(matches!(failed, StartError::Store(_)), "{failed:?}");
    let text = failed.to_string();
    assert!(text.contains("cannot sync /data/1.journal") && text.contains("the disk is broken"), "{text}");
}

#[tokio::test]
async fn l18_without_room_new_tasks_are_refused_and_what_runs_ends() {
    let desk = Desk::default();
    let running = desk.start().await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut client = TaskServiceClient::new(running.channel().await);
    submit(&mut client, add(1, 1)).await.unwrap();
    let start = worker.next_start().await;
    desk.order(|orders| orders.room = Room::Low("the disk of /data is full".into()));
    // The record that finds out is still taken.
    let refused = until(async || submit(&mut client, add(2, 2)).await.err()).await;
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(info(&running).await.store_status.unwrap().full.contains("the disk of /data is full"));
    let mut peer = Peer::client(running.channel().await).await;
    let task = peer.submit(&[0x92, 2, 3]).await;
    let Down::Resolved { task: resolved, outcome: Outcome::Raised(failure) } = peer.next().await else {
        panic!("a submit without room is refused")
    };
    assert_eq!(resolved, task);
    assert!(failure.message.contains("disk"), "{}", failure.message);
    // What was accepted goes on.
    worker.returned(start.attempt, &[2]).await;
    let ended = |t: v1::Task| (t.state() == v1::TaskState::Succeeded).then_some(());
    let id = uuid::Uuid::from_u128(start.attempt.task.0).to_string();
    until(async || get(&running, &id).await.ok().and_then(ended)).await;
    desk.order(|orders| orders.room = Room::Plenty);
    until(async || submit(&mut client, add(3, 3)).await.ok()).await;
    assert_eq!(info(&running).await.store_status.unwrap().full, "");
}

#[tokio::test]
async fn while_records_are_read_health_says_so_and_calls_are_told_to_come_again() {
    let desk = Desk::default();
    let first = desk.start().await;
    let mut client = TaskServiceClient::new(first.channel().await);
    let task = submit(&mut client, add(2, 3)).await.unwrap();
    first.begin_stop().await.unwrap().unwrap();

    desk.order(|orders| orders.hold_replay = true);
    let second = begin(desk.config()).await;
    assert_eq!(second.health().await, ServingStatus::NotServing as i32);
    let refused = get(&second, &task.task_id).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "RECOVERING"));
    let refused =
        Peer::new(farloop_core::frame::Role::Client, "early").connect(second.channel().await).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    // One that came too early and keeps its channel.
    let mut early = TaskServiceClient::new(second.channel().await);
    let request = v1::GetTaskRequest { task_id: task.task_id.clone(), ..Default::default() };
    assert_eq!(early.get_task(request.clone()).await.unwrap_err().code(), Code::Unavailable);
    desk.order(|orders| orders.hold_replay = false);
    until(async || early.get_task(request.clone()).await.ok()).await;
    let known = until(async || get(&second, &task.task_id).await.ok()).await;
    assert_eq!((known.task_id, known.create_time), (task.task_id, task.create_time));
    assert_eq!(second.health().await, ServingStatus::Serving as i32);

    // One that is told to stop while it reads does not wait for that.
    drop(second.begin_stop().await);
    desk.order(|orders| orders.hold_replay = true);
    let third = begin(desk.config()).await;
    assert!(third.begin_stop().await.unwrap().is_ok());
    desk.order(|orders| orders.hold_replay = false);
}

#[tokio::test]
async fn l1_what_was_acknowledged_is_there_in_the_next_life() {
    let desk = Desk::default();
    let first = desk.start().await;
    let told = info(&first).await;
    let status = told.store_status.unwrap();
    assert_eq!((told.store.as_str(), status.life, status.size_bytes), ("scripted", 1, 4_711));
    let mut worker = Peer::worker(first.channel().await).await;
    let mut client = TaskServiceClient::new(first.channel().await);
    let done = submit(&mut client, add(2, 3)).await.unwrap();
    let start = worker.next_start().await;
    worker.returned(start.attempt, &[5]).await;
    let request = v1::WaitTaskRequest { task_id: done.task_id.clone(), ..Default::default() };
    client.wait_task(request).await.unwrap();
    let waiting =
        submit(&mut client, v1::SubmitTaskRequest { function: "demo.later".into(), await_worker: true, ..add(1, 1) });
    let waiting = waiting.await.unwrap();
    // As a kill: nothing is said to anybody, and nothing more is written.
    first.abort().await;

    let second = desk.start().await;
    assert_eq!(until(async || info(&second).await.store_status).await.life, 2);
    let known = get(&second, &done.task_id).await.unwrap();
    assert_eq!((known.state(), known.create_time), (v1::TaskState::Succeeded, done.create_time));
    assert_eq!(get(&second, &waiting.task_id).await.unwrap().state(), v1::TaskState::Pending);
    // Under the same id it is the same task.
    let again = v1::SubmitTaskRequest {
        function: "demo.later".into(),
        await_worker: true,
        request_id: waiting.task_id.clone(),
        ..add(1, 1)
    };
    let mut client = TaskServiceClient::new(second.channel().await);
    assert_eq!(submit(&mut client, again).await.unwrap().task_id, waiting.task_id);
}

#[tokio::test]
async fn a_part_leaves_after_what_counts_of_it_was_said_again() {
    let desk = Desk::default();
    let running = desk.start().await;
    let mut client = TaskServiceClient::new(running.channel().await);
    let task = submit(&mut client, v1::SubmitTaskRequest { await_worker: true, ..add(2, 3) }).await.unwrap();
    let id = TaskId(uuid::Uuid::parse_str(&task.task_id).unwrap().as_u128());
    let part = Part { number: 7, tasks: vec![id, TaskId(1)] };
    desk.order(|orders| orders.leaving = Some(part));
    // Any record lets the store look.
    submit(&mut client, v1::SubmitTaskRequest { await_worker: true, ..add(4, 5) }).await.unwrap();
    until(async || (desk.orders().left == [7]).then_some(())).await;
    let mut carried = Vec::new();
    let mut standing = 0;
    let each = &mut |entry: Entry| match entry.record {
        Record::Carried(known) => carried.push(known.submitted.task),
        Record::Standing(_) => standing += 1,
        _ => {}
    };
    desk.orders().records.replay(each).unwrap();
    assert_eq!((carried, standing), (vec![id], 1), "durable, each once, and nothing of what is not known");
}

/// What is not read stays with its peers: the queue to the disk is bounded, and nobody is taken for dead meanwhile.
#[tokio::test]
async fn l18_a_disk_that_hangs_holds_peers_back_and_loses_none() {
    const MIB: usize = 1024 * 1024;
    let desk = Desk::default();
    let running = desk.start_with(|config| config.core.worker_dead_after = Duration::from_secs(3)).await;
    let mut worker = Peer::worker(running.channel().await).await;
    let mut first = Peer::client(running.channel().await).await;
    let early = first.submit(b"early").await;
    let start = worker.next_start().await;
    until(async || (info(&running).await.store_status?.waiting_records == 0).then_some(())).await;
    desk.order(|orders| orders.hold_sync = true);
    let mut floods = Vec::new();
    for _ in 0..8 {
        let mut client = Peer::client(running.channel().await).await;
        floods.push(tokio::spawn(async move {
            for _ in 0..15 {
                client.submit(&vec![0; MIB]).await;
            }
            client
        }));
    }
    // Longer than silence may last, with a worker that beats all the time.
    let hung = std::time::Instant::now();
    while hung.elapsed() < Duration::from_secs(5) {
        worker.send(Up::Heartbeat).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let waiting = info(&running).await.store_status.unwrap().waiting_records;
    assert!((60..80).contains(&waiting), "{waiting} records of 1 MiB wait, of 120, and 64 MiB may");
    worker.returned(start.attempt, &[1]).await;
    desk.order(|orders| orders.hold_sync = false);
    for _ in 0..8 * 15 {
        worker.next_start().await;
        worker.send(Up::Heartbeat).await;
    }
    let outcome = Outcome::Returned(Bytes::from_static(&[1]));
    assert_eq!(first.next().await, Down::Resolved { task: early, outcome });
    for flood in floods {
        flood.await.unwrap();
    }
}
