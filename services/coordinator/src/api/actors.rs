//! ActorService. An actor is a task, and so is each call of one: what is done with tasks is [`Tasks`]' to do here, too.

use std::time::Duration;

use farloop_core::actor::Address;
use farloop_core::api::{ActorView, Call, ListActors, Reply, TaskView, Whom, WorkerView};
use farloop_core::id::{TaskId, WorkerId};
use farloop_core::limits;
use farloop_core::outcome::Outcome;
use farloop_proto::v1;
use farloop_proto::v1::actor_service_server::ActorService;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::acting::{self, Asked, Named};
use super::stream::Messages;
use super::tasks::{Tasks, unexpected};
use super::view::{self, Show};
use super::{actor_view, request};
use crate::{errors, traces};

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Actors {
    pub(crate) tasks: Tasks,
}

/// How actors show what they were made of: as plain JSON.
const SHOW: v1::PayloadFormat = v1::PayloadFormat::Json;

/// The id that a search found: 16 bytes, as MessagePack's binary.
fn found(view: &TaskView) -> Option<TaskId> {
    let Some(Outcome::Returned(value)) = &view.outcome else { return None };
    let id = value.strip_prefix(&[0xc4, 16])?;
    Some(TaskId(u128::from_be_bytes(id.try_into().ok()?)))
}

impl Actors {
    async fn workers(&self) -> Result<Vec<WorkerView>, Status> {
        match self.tasks.ask(Call::Workers).await? {
            Reply::Workers(workers) => Ok(workers),
            _ => Err(unexpected()),
        }
    }

    async fn whom(&self, named: Named) -> Result<Whom, Status> {
        Ok(match named {
            Named::Id(text) => Whom::Id(self.tasks.find(&text, "actorId").await?),
            Named::Name { kind, name } => Whom::Name { kind, name },
        })
    }

    async fn look(&self, whom: Whom) -> Result<ActorView, Status> {
        match self.tasks.ask(Call::Actor(whom)).await? {
            Reply::Actor(view) => Ok(*view),
            _ => Err(unexpected()),
        }
    }

    fn shown(&self, view: ActorView) -> Option<v1::Actor> {
        Some(actor_view::actor(view, Show::one(SHOW), &self.tasks.driver))
    }

    /// Starts the call of a method.
    async fn start(&self, named: Named, asked: Asked, metadata: &MetadataMap) -> Result<TaskView, Status> {
        let (kind, to) = match self.whom(named).await? {
            Whom::Name { kind, name } => (kind, Address::Name { name: name.into(), make: None }),
            Whom::Id(id) => {
                let kind = self.look(Whom::Id(id)).await?.task.spec.function.as_ref().into();
                (kind, Address::Actor(id))
            }
        };
        let draft = acting::call(asked, &kind, to)?.traced(traces::of_caller(metadata));
        Ok(self.tasks.submit(draft).await?.0)
    }

    /// The actor with that name, or a new one; and the search that waits until it is up.
    async fn get_or_spawn(
        &self,
        request: &mut v1::SpawnActorRequest,
        draft: request::Draft,
        timeout: Duration,
    ) -> Result<(TaskId, TaskView), Status> {
        let (kind, name) = (request.r#type.clone(), request.name.clone());
        let dependencies = self.tasks.find_all(draft.ids(), "args.taskId").await?;
        let of = Address::Name { name: name.as_str().into(), make: Some(draft.finish(dependencies)) };
        let named = std::mem::take(&mut request.request_id);
        let search = acting::search(&kind, of, timeout, request.await_worker, named)?;
        let (search, _) = self.tasks.submit(search).await?;
        if let Some(actor) = found(&search) {
            return Ok((actor, search));
        }
        match self.look(Whom::Name { kind, name }).await {
            Ok(actor) => Ok((actor.task.task, search)),
            // It was over before anybody could look; how is what the search says.
            Err(gone) => {
                let search = self.tasks.ask_task(Call::Wait { task: search.task, timeout }).await?;
                match (found(&search), &search.outcome) {
                    (Some(actor), _) => Ok((actor, search)),
                    (None, Some(Outcome::Raised(why))) => {
                        Err(errors::status(Code::FailedPrecondition, "ACTOR_DIED", why.message.clone()))
                    }
                    _ => Err(gone),
                }
            }
        }
    }

    /// The worker that a filter names.
    async fn worker(&self, text: &str) -> Result<WorkerId, Status> {
        if let Some(worker) = WorkerId::parse(text) {
            return Ok(worker);
        }
        let workers = self.workers().await?;
        let plain = |text: &str| text.replace('-', "").to_ascii_lowercase();
        let ending = plain(text);
        let fits = |worker: &&WorkerView| ending.len() >= 6 && plain(&worker.worker.to_string()).ends_with(&ending);
        let mut fitting = workers.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(worker), None) => Ok(worker.worker),
            (None, _) => {
                let message = format!("no worker that is connected has an id that is '{text}' or ends in it");
                Err(errors::bad_field("filter", message))
            }
            (Some(_), Some(_)) => {
                Err(errors::bad_field("filter", format!("several workers end in '{text}'; give more digits")))
            }
        }
    }
}

#[tonic::async_trait]
impl ActorService for Actors {
    async fn list_actor_types(
        &self,
        request: Request<v1::ListActorTypesRequest>,
    ) -> Result<Response<v1::ListActorTypesResponse>, Status> {
        let request = request.into_inner();
        let size = request::page_size(request.page_size)?;
        let from = request::page_from(&request.page_token, "ListActorTypes")?;
        let all = actor_view::types(&self.workers().await?);
        let total = all.len();
        let types: Vec<_> = all.into_iter().skip(from).take(size).collect();
        let next = from.saturating_add(types.len());
        Ok(Response::new(v1::ListActorTypesResponse {
            types,
            next_page_token: if next < total { next.to_string() } else { String::new() },
            total_size: Some(view::clamp(total)),
        }))
    }

    async fn spawn_actor(
        &self,
        request: Request<v1::SpawnActorRequest>,
    ) -> Result<Response<v1::SpawnActorResponse>, Status> {
        let trace = traces::of_caller(request.metadata());
        let mut request = request.into_inner();
        let timeout = request::wait(request.timeout)?;
        let near = request.options.as_ref().and_then(|o| o.placement.as_ref()).map(|p| p.near_actor_id.as_str());
        let near = match near.filter(|near| !near.is_empty()) {
            Some(near) => Some(self.tasks.find(near, "options.placement.nearActorId").await?),
            None => None,
        };
        let usual = actor_view::usual(&self.workers().await?, &request.r#type);
        let draft = acting::host(&mut request, usual, near)?.traced(trace);
        let (actor, search) = if request.get_or_spawn {
            self.get_or_spawn(&mut request, draft, timeout).await?
        } else {
            let (host, _) = self.tasks.submit(draft).await?;
            let of = Address::Actor(host.task);
            let search = acting::search(&request.r#type, of, timeout, true, String::new())?;
            match self.tasks.submit(search).await {
                Ok((search, _)) => (host.task, search),
                // It is over already, and the answer says how.
                Err(_) => (host.task, host),
            }
        };
        if search.task != actor && search.outcome.is_none() {
            self.tasks.ask(Call::Wait { task: search.task, timeout }).await?;
        }
        if search.task != actor && search.request.is_none() {
            // Nobody knows of it, so nobody needs it.
            self.tasks.ask(Call::Release(search.task)).await?;
        }
        let view = self.look(Whom::Id(actor)).await?;
        Ok(Response::new(v1::SpawnActorResponse { up: Some(view.up), actor: self.shown(view) }))
    }

    async fn call_actor(
        &self,
        request: Request<v1::CallActorRequest>,
    ) -> Result<Response<v1::CallActorResponse>, Status> {
        let metadata = request.metadata().clone();
        let request = request.into_inner();
        let show = Show::one(request.payload_format());
        let timeout = request::wait(request.timeout)?;
        let named = acting::named(request.actor_id, request.r#type, request.name)?;
        let asked = Asked {
            method: request.method,
            json_args: request.json_args,
            args: request.args,
            options: request.options.unwrap_or_default(),
            request_id: request.request_id,
        };
        let call = self.start(named, asked, &metadata).await?;
        let call = match call.outcome {
            Some(_) => call,
            None => self.tasks.ask_task(Call::Wait { task: call.task, timeout }).await?,
        };
        let done = Some(call.outcome.is_some());
        let task = Some(view::task(call, show, &self.tasks.driver));
        Ok(Response::new(v1::CallActorResponse { done, task }))
    }

    async fn tell_actor(
        &self,
        request: Request<v1::TellActorRequest>,
    ) -> Result<Response<v1::TellActorResponse>, Status> {
        let metadata = request.metadata().clone();
        let request = request.into_inner();
        let named = acting::named(request.actor_id, request.r#type, request.name)?;
        let asked = Asked {
            method: request.method,
            json_args: request.json_args,
            args: request.args,
            options: request.options.unwrap_or_default(),
            request_id: request.request_id,
        };
        let call = self.start(named, asked, &metadata).await?;
        let task = Some(view::task(call, Show::one(SHOW), &self.tasks.driver));
        Ok(Response::new(v1::TellActorResponse { task }))
    }

    async fn get_actor(&self, request: Request<v1::GetActorRequest>) -> Result<Response<v1::GetActorResponse>, Status> {
        let request = request.into_inner();
        let whom = self.whom(acting::named(request.actor_id, request.r#type, request.name)?).await?;
        let view = self.look(whom).await?;
        Ok(Response::new(v1::GetActorResponse { actor: self.shown(view) }))
    }

    async fn list_actors(
        &self,
        request: Request<v1::ListActorsRequest>,
    ) -> Result<Response<v1::ListActorsResponse>, Status> {
        let request = request.into_inner();
        let size = request::page_size(request.page_size)?;
        let before = request::page_before(&request.page_token, "ListActors")?;
        let filter = acting::filter(&request.filter)?;
        let worker = match filter.worker {
            Some(text) => Some(self.worker(&text).await?),
            None => None,
        };
        // One more than the page tells whether another one follows.
        let limit = (size + 1).min(limits::PAGE);
        let query = ListActors { kind: filter.kind, worker, over: request.include_over, before, limit };
        let Reply::Actors { mut actors, total } = self.tasks.ask(Call::Actors(query)).await? else {
            return Err(unexpected());
        };
        let more = actors.len() > size || actors.len() == limits::PAGE;
        actors.truncate(size);
        let next = actors.last().filter(|_| more).map(|actor| format!("{:032x}", actor.task.task.0));
        let show = Show::many(v1::PayloadFormat::Unspecified);
        Ok(Response::new(v1::ListActorsResponse {
            actors: actors.into_iter().map(|actor| actor_view::actor(actor, show, &self.tasks.driver)).collect(),
            next_page_token: next.unwrap_or_default(),
            total_size: Some(view::clamp(total)),
        }))
    }

    async fn stop_actor(
        &self,
        request: Request<v1::StopActorRequest>,
    ) -> Result<Response<v1::StopActorResponse>, Status> {
        let request = request.into_inner();
        let timeout = request::wait(request.timeout)?;
        if request.message.len() > limits::MAX_MESSAGE {
            let message = format!("{} bytes; the limit is {}", request.message.len(), limits::MAX_MESSAGE);
            return Err(errors::bad_field("message", message));
        }
        if !request.kill && !request.message.is_empty() {
            return Err(errors::bad_field(
                "message",
                "stands without `kill`; an actor that is let stop is not told why",
            ));
        }
        let whom = self.whom(acting::named(request.actor_id, request.r#type, request.name)?).await?;
        let mut view = self.look(whom).await?;
        let actor = view.task.task;
        if view.task.outcome.is_none() {
            if request.kill {
                let message = (!request.message.is_empty()).then_some(request.message);
                self.tasks.ask(Call::Cancel { task: actor, message, request: None }).await?;
            } else {
                match self.tasks.submit(acting::stop(&view.task.spec.function, actor)?).await {
                    // Nobody knows of it, so nobody needs it.
                    Ok((stop, _)) => drop(self.tasks.ask(Call::Release(stop.task)).await?),
                    // It came to its end by itself in between.
                    Err(refused) if refused.code() == Code::FailedPrecondition => {}
                    Err(refused) => return Err(refused),
                }
            }
            self.tasks.ask(Call::Wait { task: actor, timeout }).await?;
            view = self.look(Whom::Id(actor)).await?;
        }
        let stopped = Some(view.task.outcome.is_some());
        Ok(Response::new(v1::StopActorResponse { stopped, actor: self.shown(view) }))
    }

    type WatchActorStream = Messages<v1::WatchActorResponse>;

    async fn watch_actor(
        &self,
        request: Request<v1::WatchActorRequest>,
    ) -> Result<Response<Self::WatchActorStream>, Status> {
        let request = request.into_inner();
        let whom = self.whom(acting::named(request.actor_id, request.r#type, request.name)?).await?;
        let opened = self.tasks.driver.open(Call::WatchActor(whom)).await.map_err(errors::refused)?;
        let driver = self.tasks.driver.clone();
        Ok(Response::new(Messages::new(opened, move |told| v1::WatchActorResponse {
            event: actor_view::watched(told, Show::one(SHOW), &driver),
        })))
    }
}
