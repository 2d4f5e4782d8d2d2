//! `farloop health`: whether a coordinator serves, or a worker has its session; what a container's healthcheck runs,
//! since an image made from scratch has no other program that could ask.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use farloop_proto::v1::cluster_service_client::ClusterServiceClient;
use farloop_proto::v1::{ListWorkersRequest, Worker};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// What `--ready` asks for: a coordinator that stops says here first that it takes no more work.
const READY: &str = "farloop.v1.TaskService";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Coordinator
    #[arg(long, env = "FARLOOP_ADDRESS", default_value = farloop::DEFAULT_ADDRESS)]
    address: String,
    /// Ask whether it takes tasks, not only whether it is there
    #[arg(long, env = "FARLOOP_HEALTH_READY")]
    ready: bool,
    /// Ask the coordinator whether the worker of that name is connected and takes work; without a name the one that
    /// FARLOOP_WORKER_NAME names, or any worker of this host
    #[arg(long, env = "FARLOOP_HEALTH_WORKER", value_name = "NAME", num_args = 0..=1, default_missing_value = "", conflicts_with = "ready")]
    worker: Option<String>,
    /// Seconds for the whole check
    #[arg(long, env = "FARLOOP_HEALTH_TIMEOUT", default_value_t = 3.0)]
    timeout: f64,
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    let limit = Duration::try_from_secs_f64(args.timeout)
        .with_context(|| format!("--timeout {} must be a number of seconds that is not negative", args.timeout))?;
    crate::runtime()?.block_on(async {
        let told = tokio::time::timeout(limit, check(&args)).await;
        println!("{}", told.with_context(|| format!("{} did not answer within {limit:?}", args.address))??);
        Ok(ExitCode::SUCCESS)
    })
}

/// What is well, in words.
///
/// # Errors
/// It is not, or nobody could be asked.
async fn check(args: &Args) -> anyhow::Result<String> {
    let address = if args.address.contains("://") { args.address.clone() } else { format!("http://{}", args.address) };
    let endpoint = Endpoint::from_shared(address.clone()).with_context(|| format!("'{address}' is no address"))?;
    let channel = endpoint.connect().await.with_context(|| format!("nobody answers at {address}"))?;
    match &args.worker {
        None => coordinator(channel, &address, args.ready).await,
        Some(name) => worker(channel, &wanted(name)).await,
    }
}

async fn coordinator(channel: Channel, address: &str, ready: bool) -> anyhow::Result<String> {
    let service = if ready { READY } else { "" };
    let request = HealthCheckRequest { service: service.into() };
    let status = HealthClient::new(channel).check(request).await?.into_inner().status;
    anyhow::ensure!(status == ServingStatus::Serving as i32, "the coordinator at {address} takes no work: it stops");
    Ok(format!("the coordinator at {address} serves"))
}

async fn worker(channel: Channel, wanted: &Wanted) -> anyhow::Result<String> {
    let mut request = tonic::Request::new(ListWorkersRequest::default());
    if let Some(token) = farloop::token::from_env(farloop::token::Side::Worker)? {
        let bearer: MetadataValue<Ascii> = format!("Bearer {token}").parse().context("the token is no header")?;
        request.metadata_mut().insert("authorization", bearer);
    }
    let workers = ClusterServiceClient::new(channel).list_workers(request).await?.into_inner().workers;
    judge(&workers, wanted)
}

/// Which worker is meant.
#[derive(Debug, PartialEq)]
enum Wanted {
    Named(String),
    /// Workers without a name of their own are called `host/pid`.
    OfHost(String),
}

impl Wanted {
    fn is(&self, worker: &Worker) -> bool {
        match self {
            Self::Named(name) => worker.display_name == *name,
            Self::OfHost(host) => worker.display_name.strip_prefix(host).is_some_and(|pid| pid.starts_with('/')),
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => write!(f, "the worker '{name}'"),
            Self::OfHost(host) => write!(f, "a worker of the host {host}"),
        }
    }
}

fn wanted(name: &str) -> Wanted {
    if !name.is_empty() {
        return Wanted::Named(name.into());
    }
    match std::env::var("FARLOOP_WORKER_NAME").ok().filter(|name| !name.is_empty()) {
        Some(name) => Wanted::Named(name),
        None => Wanted::OfHost(rustix::system::uname().nodename().to_string_lossy().into_owned()),
    }
}

fn judge(workers: &[Worker], wanted: &Wanted) -> anyhow::Result<String> {
    let known: Vec<&Worker> = workers.iter().filter(|worker| wanted.is(worker)).collect();
    match known.iter().find(|worker| worker.connected() && !worker.draining) {
        Some(worker) => Ok(format!("{} is connected and takes work", worker.display_name)),
        None if known.iter().any(|worker| worker.draining) => anyhow::bail!("{wanted} is draining"),
        None if known.is_empty() => anyhow::bail!("the coordinator knows {} workers, but not {wanted}", workers.len()),
        None => anyhow::bail!("{wanted} has lost its connection to the coordinator"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on fails
mod tests {
    use super::*;

    fn worker(name: &str, connected: bool, draining: bool) -> Worker {
        Worker { display_name: name.into(), connected: Some(connected), draining, ..Worker::default() }
    }

    #[test]
    fn a_worker_is_well_if_the_coordinator_says_so() {
        let workers = [worker("box/7", true, false), worker("box2/7", false, false), worker("gpu", true, true)];
        let told = |wanted| judge(&workers, &wanted).map_err(|error| error.to_string());
        assert_eq!(told(Wanted::OfHost("box".into())).unwrap(), "box/7 is connected and takes work");
        let lost = told(Wanted::OfHost("box2".into())).unwrap_err();
        assert_eq!(lost, "a worker of the host box2 has lost its connection to the coordinator");
        assert_eq!(told(Wanted::Named("gpu".into())).unwrap_err(), "the worker 'gpu' is draining");
        assert!(told(Wanted::Named("cpu".into())).unwrap_err().contains("knows 3 workers, but not the worker 'cpu'"));
    }
}
