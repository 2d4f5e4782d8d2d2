//! TaskService.

use std::collections::HashSet;
use std::sync::Arc;

use farloop_core::api::{Call, CallError, ListTasks, Reply, TaskView};
use farloop_core::id::TaskId;
use farloop_core::limits;
use farloop_core::outcome::FailureKind;
use farloop_core::spec::Trace;
use farloop_proto::v1;
use farloop_proto::v1::task_service_server::TaskService;
use tonic::{Code, Request, Response, Status};

use super::filter;
use super::request::{self, Draft};
use super::stream::Messages;
use super::view::{self, Show};
use crate::driver::Driver;
use crate::{errors, traces};

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    pub(crate) driver: Arc<Driver>,
}

/// The core answered something else than what was asked: a defect, and no reason to take the process down.
pub(super) fn unexpected() -> Status {
    errors::status(Code::Internal, "INTERNAL", "the core gave an answer to another question; please report this")
}

impl Tasks {
    pub(super) async fn ask(&self, call: Call) -> Result<Reply, Status> {
        self.driver.call(call).await.map_err(errors::refused)
    }

    pub(super) async fn ask_task(&self, call: Call) -> Result<TaskView, Status> {
        match self.ask(call).await? {
            Reply::Task(view) => Ok(view),
            _ => Err(unexpected()),
        }
    }

    /// A whole id, or the unique ending of one.
    pub(super) async fn find(&self, text: &str, field: &str) -> Result<TaskId, Status> {
        if text.is_empty() {
            return Err(errors::bad_field(field, "is empty; give a task id, or its last 6 or more characters"));
        }
        match TaskId::parse(text) {
            Some(task) => Ok(task),
            None => match self.driver.call(Call::Find(text.into())).await {
                Ok(Reply::Task(view)) => Ok(view.task),
                Ok(_) => Err(unexpected()),
                // No id, or the ending of several.
                Err(CallError { kind: FailureKind::BadArguments, message, about }) => {
                    Err(errors::bad_id(field, about, message))
                }
                Err(refused) => Err(errors::refused(refused)),
            },
        }
    }

    /// As [`Self::find`], in order. Endings are looked up one by one, so there may be only so many.
    pub(super) async fn find_all(&self, texts: impl Iterator<Item = &str>, field: &str) -> Result<Vec<TaskId>, Status> {
        let (mut tasks, mut short) = (Vec::new(), 0);
        for text in texts {
            short += usize::from(TaskId::parse(text).is_none());
            if short > limits::SHORT_IDS {
                let message = format!(
                    "more than {} ids are given by their ending, and that is the limit SHORT_IDS; give whole ids",
                    limits::SHORT_IDS
                );
                return Err(errors::bad_field(field, message));
            }
            tasks.push(self.find(text, field).await?);
        }
        Ok(tasks)
    }

    /// The tasks of a request that must name some.
    async fn members(&self, ids: &[String]) -> Result<Vec<TaskId>, Status> {
        if ids.is_empty() {
            return Err(errors::bad_field("taskIds", "is empty; name at least one task to wait for"));
        }
        if ids.len() > limits::GATHER_MEMBERS {
            let message = format!("{} tasks; the limit GATHER_MEMBERS is {}", ids.len(), limits::GATHER_MEMBERS);
            return Err(errors::bad_field("taskIds", message));
        }
        self.find_all(ids.iter().map(String::as_str), "taskIds").await
    }

    /// What a filter asks for.
    async fn query(&self, text: &str) -> Result<ListTasks, Status> {
        let filter = filter::parse(text)?;
        let parent = match filter.parent {
            None => None,
            Some(text) => Some(self.find(&text, "filter").await?),
        };
        Ok(ListTasks {
            state: filter.state,
            function: filter.function,
            labels: filter.labels,
            parent,
            ..ListTasks::default()
        })
    }

    /// The task, and whether this call started it.
    pub(super) async fn submit(&self, draft: Draft) -> Result<(TaskView, bool), Status> {
        let task = draft.task.unwrap_or_else(|| self.driver.new_task());
        let dependencies = self.find_all(draft.ids(), "args.taskId").await?;
        let (await_worker, request) = (draft.await_worker, draft.request.clone());
        match self.ask(Call::Submit { task, spec: draft.finish(dependencies), await_worker, request }).await? {
            Reply::Task(view) => Ok((view, true)),
            Reply::Again(view) => Ok((view, false)),
            _ => Err(unexpected()),
        }
    }

    /// Starts all, or cancels what it started.
    async fn submit_all(
        &self,
        calls: Vec<v1::SubmitTaskRequest>,
        trace: Option<Arc<Trace>>,
    ) -> Result<Vec<TaskId>, Status> {
        let drafts = calls.into_iter().map(request::draft).collect::<Result<Vec<_>, _>>()?;
        let mut members = Vec::with_capacity(drafts.len());
        // What an earlier request started is that one's.
        let mut started = Vec::new();
        for draft in drafts {
            match self.submit(draft.traced(trace.clone())).await {
                Ok((view, fresh)) => {
                    members.push(view.task);
                    started.extend(fresh.then_some(view.task));
                }
                Err(refused) => {
                    for task in started {
                        let message = Some("another call of its gather was refused".into());
                        // What is over already needs no cancel.
                        let _ = self.ask(Call::Cancel { task, message, request: None }).await;
                    }
                    return Err(refused);
                }
            }
        }
        Ok(members)
    }

    fn shown(&self, view: TaskView, show: Show) -> v1::Task {
        view::task(view, show, &self.driver)
    }
}

#[tonic::async_trait]
impl TaskService for Tasks {
    async fn submit_task(
        &self,
        request: Request<v1::SubmitTaskRequest>,
    ) -> Result<Response<v1::SubmitTaskResponse>, Status> {
        let trace = traces::of_caller(request.metadata());
        let (view, _) = self.submit(request::draft(request.into_inner())?.traced(trace)).await?;
        let task = Some(self.shown(view, Show::one(v1::PayloadFormat::Json)));
        Ok(Response::new(v1::SubmitTaskResponse { task }))
    }

    async fn wait_task(&self, request: Request<v1::WaitTaskRequest>) -> Result<Response<v1::WaitTaskResponse>, Status> {
        let request = request.into_inner();
        let show = Show::one(request.payload_format());
        let timeout = request::wait(request.timeout)?;
        let task = self.find(&request.task_id, "taskId").await?;
        let view = self.ask_task(Call::Wait { task, timeout }).await?;
        let done = Some(view.outcome.is_some());
        Ok(Response::new(v1::WaitTaskResponse { done, task: Some(self.shown(view, show)) }))
    }

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Result<Response<v1::GetTaskResponse>, Status> {
        let request = request.into_inner();
        let show = Show::one(request.payload_format());
        let task = self.find(&request.task_id, "taskId").await?;
        let view = self.ask_task(Call::Get(task)).await?;
        let log = view::log(&view);
        Ok(Response::new(v1::GetTaskResponse { task: Some(self.shown(view, show)), log }))
    }

    async fn cancel_task(
        &self,
        request: Request<v1::CancelTaskRequest>,
    ) -> Result<Response<v1::CancelTaskResponse>, Status> {
        let request = request.into_inner();
        if request.message.len() > limits::MAX_MESSAGE {
            let message = format!("{} bytes; the limit is {}", request.message.len(), limits::MAX_MESSAGE);
            return Err(errors::bad_field("message", message));
        }
        let task = self.find(&request.task_id, "taskId").await?;
        let message = (!request.message.is_empty()).then_some(request.message);
        let (_, named) = request::request_name(&request.request_id)?;
        match self.ask(Call::Cancel { task, message, request: named }).await? {
            Reply::Cancelled { requested, task } => Ok(Response::new(v1::CancelTaskResponse {
                cancel_requested: Some(requested),
                task: Some(self.shown(task, Show::one(v1::PayloadFormat::Json))),
            })),
            _ => Err(unexpected()),
        }
    }

    async fn release_task(
        &self,
        request: Request<v1::ReleaseTaskRequest>,
    ) -> Result<Response<v1::ReleaseTaskResponse>, Status> {
        let task = self.find(&request.into_inner().task_id, "taskId").await?;
        match self.ask(Call::Release(task)).await? {
            Reply::Released => Ok(Response::new(v1::ReleaseTaskResponse {})),
            _ => Err(unexpected()),
        }
    }

    async fn list_tasks(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::ListTasksResponse>, Status> {
        let request = request.into_inner();
        let show = Show::many(request.payload_format());
        let size = request::page_size(request.page_size)?;
        let before = request::page_before(&request.page_token, "ListTasks")?;
        // One more than the page tells whether another one follows.
        let limit = (size + 1).min(limits::PAGE);
        let query = ListTasks { before, limit, ..self.query(&request.filter).await? };
        match self.ask(Call::List(query)).await? {
            Reply::Tasks { mut tasks, total, dropped } => {
                let more = tasks.len() > size || tasks.len() == limits::PAGE;
                tasks.truncate(size);
                let next = tasks.last().filter(|_| more).map(|t| format!("{:032x}", t.task.0));
                Ok(Response::new(v1::ListTasksResponse {
                    tasks: tasks.into_iter().map(|t| self.shown(t, show)).collect(),
                    next_page_token: next.unwrap_or_default(),
                    total_size: Some(view::clamp(total)),
                    dropped_size: Some(view::clamp(dropped)),
                }))
            }
            _ => Err(unexpected()),
        }
    }

    async fn gather(&self, request: Request<v1::GatherRequest>) -> Result<Response<v1::GatherResponse>, Status> {
        let trace = traces::of_caller(request.metadata());
        let request = request.into_inner();
        let show = Show::one(request.payload_format());
        let mode = request::gather_mode(request.mode());
        let timeout = request::wait(request.timeout)?;
        let count = request.task_ids.len().max(request.calls.len());
        if count > limits::GATHER_MEMBERS {
            let message = format!("{count} members; the limit GATHER_MEMBERS is {}", limits::GATHER_MEMBERS);
            return Err(errors::bad_field("calls", message));
        }
        let members = match (request.task_ids.is_empty(), request.calls.is_empty()) {
            (false, false) => {
                return Err(errors::bad_field("calls", "stands next to taskIds; gather one kind at a time"));
            }
            (true, _) => self.submit_all(request.calls, trace).await?,
            (false, true) => self.find_all(request.task_ids.iter().map(String::as_str), "taskIds").await?,
        };
        match self.ask(Call::Gather { members, mode, timeout }).await? {
            Reply::Gathered { done, tasks } => Ok(Response::new(v1::GatherResponse {
                done: Some(done),
                tasks: tasks.into_iter().map(|t| self.shown(t, show)).collect(),
            })),
            _ => Err(unexpected()),
        }
    }

    async fn wait(&self, request: Request<v1::WaitRequest>) -> Result<Response<v1::WaitResponse>, Status> {
        let request = request.into_inner();
        let show = Show::one(request.payload_format());
        let mode = request::return_when(request.return_when());
        let timeout = request::wait(request.timeout)?;
        let mut members = self.members(&request.task_ids).await?;
        // A set, as asyncio's, but one that keeps the order.
        let mut seen = HashSet::new();
        members.retain(|task| seen.insert(*task));
        match self.ask(Call::Gather { members, mode, timeout }).await? {
            Reply::Gathered { tasks, .. } => {
                let (done, pending): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|t| t.outcome.is_some());
                let shown = |tasks: Vec<TaskView>| tasks.into_iter().map(|t| self.shown(t, show)).collect();
                Ok(Response::new(v1::WaitResponse { done: shown(done), pending: shown(pending) }))
            }
            _ => Err(unexpected()),
        }
    }

    type AsCompletedStream = Messages<v1::AsCompletedResponse>;

    async fn as_completed(
        &self,
        request: Request<v1::AsCompletedRequest>,
    ) -> Result<Response<Self::AsCompletedStream>, Status> {
        let request = request.into_inner();
        let show = Show::one(request.payload_format());
        let timeout = request::wait(request.timeout)?;
        let tasks = self.members(&request.task_ids).await?;
        let opened = self.driver.open(Call::AsCompleted { tasks, timeout }).await.map_err(errors::refused)?;
        let driver = self.driver.clone();
        Ok(Response::new(Messages::new(opened, move |told| v1::AsCompletedResponse {
            event: view::completed(told, show, &driver),
        })))
    }

    type WatchTasksStream = Messages<v1::WatchTasksResponse>;

    async fn watch_tasks(
        &self,
        request: Request<v1::WatchTasksRequest>,
    ) -> Result<Response<Self::WatchTasksStream>, Status> {
        let request = request.into_inner();
        let show = Show::many(request.payload_format());
        let query = self.query(&request.filter).await?;
        let opened = self.driver.open(Call::WatchTasks(query)).await.map_err(errors::refused)?;
        let driver = self.driver.clone();
        Ok(Response::new(Messages::new(opened, move |told| v1::WatchTasksResponse {
            event: view::watched(told, show, &driver),
        })))
    }

    async fn explain_task(
        &self,
        request: Request<v1::ExplainTaskRequest>,
    ) -> Result<Response<v1::ExplainTaskResponse>, Status> {
        let request = request.into_inner();
        let show = Show::many(request.payload_format());
        let task = self.find(&request.task_id, "taskId").await?;
        match self.ask(Call::Explain(task)).await? {
            Reply::Explained { task, why } => {
                let log = view::log(&task);
                Ok(Response::new(v1::ExplainTaskResponse { reasons: why, task: Some(self.shown(task, show)), log }))
            }
            _ => Err(unexpected()),
        }
    }
}
