//! The public API, as people and other languages use it: the second witness of what the SDK says.

use farloop::TaskId;
use farloop_proto::v1;
use farloop_proto::v1::actor_service_client::ActorServiceClient;
use farloop_proto::v1::cluster_service_client::ClusterServiceClient;
use farloop_proto::v1::task_service_client::TaskServiceClient;
use tonic::Status;
use tonic::transport::Channel;

use crate::until;

pub use v1::TaskState as State;

/// Somebody with grpcurl.
#[derive(Clone, Debug)]
pub struct People {
    tasks: TaskServiceClient<Channel>,
    cluster: ClusterServiceClient<Channel>,
    actors: ActorServiceClient<Channel>,
}

impl People {
    /// Connects.
    ///
    /// # Panics
    /// If nobody answers there.
    pub async fn at(url: &str) -> Self {
        let endpoint = Channel::from_shared(url.to_owned()).expect("the url of a coordinator");
        let channel = endpoint.connect().await.expect("a coordinator listens");
        Self {
            tasks: TaskServiceClient::new(channel.clone()),
            cluster: ClusterServiceClient::new(channel.clone()),
            actors: ActorServiceClient::new(channel),
        }
    }

    /// All workers that the coordinator knows.
    ///
    /// # Panics
    /// If the call fails.
    pub async fn workers(&mut self) -> Vec<v1::Worker> {
        self.cluster.list_workers(v1::ListWorkersRequest {}).await.expect("ListWorkers").into_inner().workers
    }

    /// The worker of that name, if it has a connection.
    pub async fn worker(&mut self, name: &str) -> Option<v1::Worker> {
        self.workers().await.into_iter().find(|w| w.display_name == name && w.connected())
    }

    /// Waits until workers of these names have joined.
    pub async fn joined(&mut self, names: &[&str]) {
        for name in names {
            until(&format!("{name} joins"), async || self.worker(name).await).await;
        }
    }

    /// Submits a call of that function with a text as its argument. What is answered is acknowledged, and is sent only once.
    ///
    /// # Errors
    /// As `SubmitTask` says, and if the coordinator is gone before it has answered.
    pub async fn submit(&mut self, function: &str, text: &str) -> Result<TaskId, Status> {
        let text = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text.into())) };
        let request = v1::SubmitTaskRequest { function: function.into(), json_args: vec![text], ..Default::default() };
        let task = self.tasks.submit_task(request).await?.into_inner().task.unwrap_or_default();
        TaskId::parse(&task.task_id).ok_or_else(|| Status::internal("a task has an id"))
    }

    /// Tells that the process of that worker was killed, as whoever watches over it does: how many workers it was about.
    ///
    /// # Panics
    /// If the call fails.
    pub async fn report_killed(&mut self, worker: &v1::Worker) -> i32 {
        let request =
            v1::ReportWorkerExitRequest { worker_id: worker.worker_id.clone(), signal: Some(9), ..Default::default() };
        let told = self.cluster.report_worker_exit(request).await.expect("ReportWorkerExit").into_inner();
        told.worker_count.unwrap_or_default()
    }

    /// An actor.
    ///
    /// # Errors
    /// `NOT_FOUND`, and what else `GetActor` says.
    pub async fn actor(&mut self, id: TaskId) -> Result<v1::Actor, Status> {
        let request = v1::GetActorRequest { actor_id: id.to_string(), ..Default::default() };
        Ok(self.actors.get_actor(request).await?.into_inner().actor.unwrap_or_default())
    }

    /// A task.
    ///
    /// # Errors
    /// `NOT_FOUND`, and what else `GetTask` says.
    pub async fn task(&mut self, id: TaskId) -> Result<v1::Task, Status> {
        let request = v1::GetTaskRequest { task_id: id.to_string(), ..Default::default() };
        Ok(self.tasks.get_task(request).await?.into_inner().task.unwrap_or_default())
    }

    /// What a task printed, as `GetTask` and `ExplainTask` show it.
    ///
    /// # Panics
    /// If they disagree, though the task is over.
    pub async fn log(&mut self, id: TaskId) -> v1::TaskLog {
        let request = v1::GetTaskRequest { task_id: id.to_string(), ..Default::default() };
        let got = self.tasks.get_task(request).await.map(|r| r.into_inner()).unwrap_or_default();
        let request = v1::ExplainTaskRequest { task_id: id.to_string(), ..Default::default() };
        let explained = self.tasks.explain_task(request).await.map(|r| r.into_inner()).unwrap_or_default();
        let over = got.task.as_ref().is_some_and(|t| t.end_time.is_some());
        assert!(!over || got.log == explained.log, "{got:?} {explained:?}");
        got.log.unwrap_or_default()
    }

    /// Whether there is any task at all.
    ///
    /// # Panics
    /// If the call fails.
    pub async fn any_task(&mut self) -> bool {
        let request = v1::ListTasksRequest { page_size: 1, ..Default::default() };
        !self.tasks.list_tasks(request).await.expect("ListTasks").into_inner().tasks.is_empty()
    }

    /// How many tasks fit a filter, such as `state=PENDING`.
    ///
    /// # Panics
    /// If the call fails.
    pub async fn count(&mut self, filter: &str) -> usize {
        let request = v1::ListTasksRequest { page_size: 1, filter: filter.into(), ..Default::default() };
        let listed = self.tasks.list_tasks(request).await.expect("ListTasks").into_inner();
        usize::try_from(listed.total_size.unwrap_or_default()).unwrap_or_default()
    }

    /// What the coordinator says of its store.
    ///
    /// # Panics
    /// If the call fails, or nothing is kept.
    pub async fn store(&mut self) -> v1::StoreStatus {
        let info = self.cluster.get_server_info(v1::GetServerInfoRequest {}).await.expect("GetServerInfo");
        info.into_inner().store_status.expect("it keeps records")
    }

    /// The state of a task that exists, or [`State::Unspecified`].
    pub async fn state(&mut self, id: TaskId) -> State {
        self.task(id).await.map_or(State::Unspecified, |task| task.state())
    }

    /// Waits until a task is in that state.
    pub async fn reaches(&mut self, id: TaskId, state: State) {
        until(&format!("{id} becomes {state:?}"), async || (self.state(id).await == state).then_some(())).await;
    }

    /// Why a task stands where it stands; empty for one that is not known (yet).
    pub async fn explain(&mut self, id: TaskId) -> String {
        let request = v1::ExplainTaskRequest { task_id: id.to_string(), ..Default::default() };
        self.tasks.explain_task(request).await.map(|r| r.into_inner().reasons.join("; ")).unwrap_or_default()
    }
}
