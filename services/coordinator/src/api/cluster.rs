//! ClusterService.

use std::collections::BTreeMap;
use std::sync::Arc;

use farloop_core::api::{Call, CallError, Exited, Reply, WorkerView};
use farloop_core::frame::PROTOCOL_VERSION;
use farloop_core::id::WorkerId;
use farloop_core::outcome::FailureKind;
use farloop_core::spec::FunctionDef;
use farloop_proto::v1;
use farloop_proto::v1::cluster_service_server::ClusterService;
use tonic::{Code, Request, Response, Status};

use super::{request, view};
use crate::driver::Driver;
use crate::errors;

/// Signals that end processes, on Linux.
const SIGNALS: &[(i32, &str)] = &[
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (13, "SIGPIPE"),
    (15, "SIGTERM"),
    (24, "SIGXCPU"),
    (31, "SIGSYS"),
];

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) driver: Arc<Driver>,
}

fn unexpected() -> Status {
    errors::status(Code::Internal, "INTERNAL", "the core gave an answer to another question; please report this")
}

/// `exit code 3`, `signal 9 (SIGKILL) of process 4711`.
fn ending(request: &v1::ReportWorkerExitRequest) -> Result<String, Status> {
    let how = match (request.exit_code, request.signal) {
        (Some(code), None) => format!("exit code {code}"),
        (None, Some(signal)) => match SIGNALS.iter().find(|(number, _)| *number == signal) {
            Some((_, name)) => format!("signal {signal} ({name})"),
            None => format!("signal {signal}"),
        },
        _ => return Err(errors::bad_field("exitCode", "or `signal` says how the process ended: give one of them")),
    };
    Ok(match request.pid {
        Some(pid) => format!("{how} of process {pid}"),
        None => how,
    })
}

impl Cluster {
    async fn workers(&self) -> Result<Vec<WorkerView>, Status> {
        match self.driver.call(Call::Workers).await.map_err(errors::refused)? {
            Reply::Workers(workers) => Ok(workers),
            _ => Err(unexpected()),
        }
    }
}

#[tonic::async_trait]
impl ClusterService for Cluster {
    async fn list_workers(
        &self,
        _: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let workers = self.workers().await?.into_iter().map(view::worker).collect();
        Ok(Response::new(v1::ListWorkersResponse { workers }))
    }

    async fn list_functions(
        &self,
        request: Request<v1::ListFunctionsRequest>,
    ) -> Result<Response<v1::ListFunctionsResponse>, Status> {
        let request = request.into_inner();
        let size = request::page_size(request.page_size)?;
        let from = request::page_from(&request.page_token, "ListFunctions")?;
        let workers = self.workers().await?;
        // By name, and by signature where workers disagree.
        let mut offered: BTreeMap<(&str, String), (&FunctionDef, Vec<WorkerId>)> = BTreeMap::new();
        for worker in &workers {
            for def in worker.functions.iter().filter(|def| def.actor.is_none()) {
                let offer = offered.entry((&def.name, view::signature(def))).or_insert_with(|| (def, Vec::new()));
                offer.1.push(worker.worker);
            }
        }
        let total = offered.len();
        let functions = offered.values().skip(from).take(size).map(|(def, workers)| view::function(def, workers));
        let functions: Vec<_> = functions.collect();
        let next = from.saturating_add(functions.len());
        Ok(Response::new(v1::ListFunctionsResponse {
            functions,
            next_page_token: if next < total { next.to_string() } else { String::new() },
            total_size: Some(view::clamp(total)),
        }))
    }

    async fn drain_worker(
        &self,
        request: Request<v1::DrainWorkerRequest>,
    ) -> Result<Response<v1::DrainWorkerResponse>, Status> {
        let text = request.into_inner().worker_id;
        match self.driver.call(Call::DrainWorker(text)).await {
            Ok(Reply::Worker(worker)) => {
                Ok(Response::new(v1::DrainWorkerResponse { worker: Some(view::worker(worker)) }))
            }
            Ok(_) => Err(unexpected()),
            Err(CallError { kind: FailureKind::BadArguments, message, about }) => {
                Err(errors::bad_id("workerId", about, message))
            }
            Err(refused) => Err(errors::refused(refused)),
        }
    }

    async fn report_worker_exit(
        &self,
        request: Request<v1::ReportWorkerExitRequest>,
    ) -> Result<Response<v1::ReportWorkerExitResponse>, Status> {
        let request = request.into_inner();
        let who = match (request.worker_id.as_str(), request.process.as_str()) {
            ("", "") => return Err(errors::bad_field("workerId", "is missing; so is `process`")),
            (worker, "") => Exited::Worker(worker.into()),
            ("", process) => {
                Exited::Process(WorkerId::parse(process).ok_or_else(|| errors::bad_field("process", "is no UUID"))?.0)
            }
            _ => return Err(errors::bad_field("process", "stands beside `workerId`; one of them says which is meant")),
        };
        let ending = ending(&request)?;
        match self.driver.call(Call::WorkerExit { who, ending }).await {
            Ok(Reply::WorkerExit { workers }) => {
                Ok(Response::new(v1::ReportWorkerExitResponse { worker_count: Some(view::clamp(workers)) }))
            }
            Ok(_) => Err(unexpected()),
            Err(CallError { kind: FailureKind::BadArguments, message, .. }) => {
                Err(errors::bad_field("workerId", message))
            }
            Err(refused) => Err(errors::refused(refused)),
        }
    }

    async fn get_server_info(
        &self,
        _: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::GetServerInfoResponse>, Status> {
        Ok(Response::new(v1::GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").into(),
            protocol: view::clamp(PROTOCOL_VERSION),
            start_time: Some(view::timestamp(self.driver.began())),
            store: self.driver.store_name().unwrap_or("memory").into(),
            store_status: self.driver.store_standing().map(view::store),
            limits: self.driver.bounds().iter().map(|(name, bound)| view::limit(name, *bound)).collect(),
        }))
    }
}
