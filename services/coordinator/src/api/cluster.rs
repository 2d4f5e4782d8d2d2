//! ClusterService.

use std::sync::Arc;

use farloop_core::api::{Call, Reply};
use farloop_core::frame::PROTOCOL_VERSION;
use farloop_core::time::Time;
use farloop_proto::v1;
use farloop_proto::v1::cluster_service_server::ClusterService;
use tonic::{Code, Request, Response, Status};

use super::view;
use crate::driver::Driver;
use crate::errors;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) driver: Arc<Driver>,
}

#[tonic::async_trait]
impl ClusterService for Cluster {
    async fn list_workers(
        &self,
        _: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        match self.driver.call(Call::Workers).await.map_err(errors::refused)? {
            Reply::Workers(workers) => {
                let workers = workers.into_iter().map(view::worker).collect();
                Ok(Response::new(v1::ListWorkersResponse { workers }))
            }
            _ => Err(errors::status(Code::Internal, "INTERNAL", "the core gave an answer to another question")),
        }
    }

    async fn get_server_info(
        &self,
        _: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::GetServerInfoResponse>, Status> {
        Ok(Response::new(v1::GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").into(),
            protocol: view::clamp(PROTOCOL_VERSION),
            start_time: Some(view::timestamp(self.driver.on_the_wall(Time(0)))),
            store: self.driver.store_name().into(),
        }))
    }
}
