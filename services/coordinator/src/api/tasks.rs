//! TaskService.

use std::sync::Arc;

use farloop_core::api::{Call, ListTasks, Reply, TaskView};
use farloop_core::id::TaskId;
use farloop_core::limits;
use farloop_proto::v1;
use farloop_proto::v1::task_service_server::TaskService;
use tonic::{Code, Request, Response, Status};

use super::filter;
use super::request::{self, Draft};
use super::view::{self, Show};
use crate::driver::Driver;
use crate::errors;

/// Tasks a page unless the reader says otherwise.
const PAGE: usize = 50;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    pub(crate) driver: Arc<Driver>,
}

/// The core answered something else than what was asked: a defect, and no reason to take the process down.
fn unexpected() -> Status {
    errors::status(Code::Internal, "INTERNAL", "the core gave an answer to another question; please report this")
}

impl Tasks {
    async fn ask(&self, call: Call) -> Result<Reply, Status> {
        self.driver.call(call).await.map_err(errors::refused)
    }

    async fn ask_task(&self, call: Call) -> Result<TaskView, Status> {
        match self.ask(call).await? {
            Reply::Task(view) => Ok(view),
            _ => Err(unexpected()),
        }
    }

    /// A whole id, or the unique ending of one.
    async fn find(&self, text: &str, field: &str) -> Result<TaskId, Status> {
        if text.is_empty() {
            return Err(errors::bad_field(field, "is empty; give a task id, or its last 6 or more characters"));
        }
        match TaskId::parse(text) {
            Some(task) => Ok(task),
            None => Ok(self.ask_task(Call::Find(text.into())).await?.task),
        }
    }

    async fn submit(&self, draft: Draft) -> Result<TaskView, Status> {
        let task = draft.task;
        let mut dependencies = Vec::new();
        for id in draft.ids() {
            dependencies.push(self.find(id, "args.taskId").await?);
        }
        self.ask_task(Call::Submit { task, spec: draft.finish(dependencies) }).await
    }

    /// Starts all, or cancels what it started.
    async fn submit_all(&self, calls: Vec<v1::SubmitTaskRequest>) -> Result<Vec<TaskId>, Status> {
        let drafts = calls.into_iter().map(request::draft).collect::<Result<Vec<_>, _>>()?;
        let mut members = Vec::with_capacity(drafts.len());
        for draft in drafts {
            match self.submit(draft).await {
                Ok(view) => members.push(view.task),
                Err(refused) => {
                    for task in members {
                        let message = Some("another call of its gather was refused".into());
                        // What is over already needs no cancel.
                        let _ = self.ask(Call::Cancel { task, message }).await;
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
        let view = self.submit(request::draft(request.into_inner())?).await?;
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
        match self.ask(Call::Cancel { task, message }).await? {
            Reply::Cancelled { requested, task } => Ok(Response::new(v1::CancelTaskResponse {
                cancel_requested: Some(requested),
                task: Some(self.shown(task, Show::one(v1::PayloadFormat::Json))),
            })),
            _ => Err(unexpected()),
        }
    }

    async fn list_tasks(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::ListTasksResponse>, Status> {
        let request = request.into_inner();
        let show = Show::many(request.payload_format());
        let filter = filter::parse(&request.filter)?;
        let size = match usize::try_from(request.page_size) {
            Err(_) => return Err(errors::bad_field("pageSize", format!("{} is negative", request.page_size))),
            Ok(0) => PAGE,
            Ok(size) => size.min(limits::PAGE),
        };
        let before = match request.page_token.as_str() {
            "" => None,
            token => Some(TaskId::parse(token).ok_or_else(|| {
                errors::bad_field("pageToken", "is none that ListTasks gave; leave it out for the first page")
            })?),
        };
        let parent = match filter.parent {
            None => None,
            Some(text) => Some(self.find(&text, "filter").await?),
        };
        // One more than the page tells whether another one follows.
        let limit = (size + 1).min(limits::PAGE);
        let query =
            ListTasks { state: filter.state, function: filter.function, labels: filter.labels, parent, before, limit };
        match self.ask(Call::List(query)).await? {
            Reply::Tasks { mut tasks, total } => {
                let more = tasks.len() > size || tasks.len() == limits::PAGE;
                tasks.truncate(size);
                let next = tasks.last().filter(|_| more).map(|t| format!("{:032x}", t.task.0));
                Ok(Response::new(v1::ListTasksResponse {
                    tasks: tasks.into_iter().map(|t| self.shown(t, show)).collect(),
                    next_page_token: next.unwrap_or_default(),
                    total_size: Some(view::clamp(total)),
                }))
            }
            _ => Err(unexpected()),
        }
    }

    async fn gather(&self, request: Request<v1::GatherRequest>) -> Result<Response<v1::GatherResponse>, Status> {
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
            (true, _) => self.submit_all(request.calls).await?,
            (false, true) => {
                let mut members = Vec::with_capacity(request.task_ids.len());
                for id in &request.task_ids {
                    members.push(self.find(id, "taskIds").await?);
                }
                members
            }
        };
        match self.ask(Call::Gather { members, mode, timeout }).await? {
            Reply::Gathered { done, tasks } => Ok(Response::new(v1::GatherResponse {
                done: Some(done),
                tasks: tasks.into_iter().map(|t| self.shown(t, show)).collect(),
            })),
            _ => Err(unexpected()),
        }
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
