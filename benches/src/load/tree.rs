//! One cancel call at the root of a tree of tasks, until the last of them is over.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use farloop::prelude::*;
use farloop_proto::v1::ListTasksRequest;
use farloop_proto::v1::task_service_client::TaskServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::figures::Figures;

const FUNCTION: &str = "demo.tree";
/// How long the tree may take to stand, and to fall.
const LIMIT: Duration = Duration::from_secs(30);
/// Seconds that a leaf sleeps: longer than everything else here may take.
const SLEEP: f64 = 120.0;

/// Grows a tree in which every task awaits a gather of `fan_out` children and leaves sleep; cancels its root.
///
/// # Errors
/// The tree did not grow or did not end in time.
pub async fn cancel_tree(address: &str, fan_out: u32, depth: u32) -> Result<Figures> {
    let tasks: u64 = (0..=depth).map(|level| u64::from(fan_out).pow(level)).sum();
    let mut census = Census::connect(address).await?;
    let root = ensure_future(farloop::call(FUNCTION).arg(fan_out).arg(depth).arg(SLEEP).returns::<u64>());

    let begin = Instant::now();
    // The last level runs or waits for a slot; everything above awaits it. Only then is the whole tree there.
    while census.living().await? < tasks {
        if root.done() {
            bail!("the tree ended before it was cancelled: {:?}", root.result());
        }
        if begin.elapsed() > LIMIT {
            bail!("{} of {tasks} tasks after {LIMIT:?}", census.living().await?);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let begin = Instant::now();
    root.cancel("measured");
    let outcome = root.await;
    match outcome {
        Err(farloop::Error::Cancelled(_)) => {}
        other => bail!("the root ended as {other:?}"),
    }
    // The root's own outcome comes after its children's; the count is the proof, not the assumption.
    while census.living().await? > 0 {
        if begin.elapsed() > LIMIT {
            bail!("{} tasks are alive {LIMIT:?} after the cancel", census.living().await?);
        }
    }
    Ok(Figures::once(begin.elapsed()))
}

/// Counts tasks of the tree that are not over, as any operator could.
struct Census(TaskServiceClient<Channel>);

impl Census {
    async fn connect(address: &str) -> Result<Self> {
        let channel = Endpoint::from_shared(address.to_owned())?.tcp_nodelay(true).connect().await?;
        Ok(Self(TaskServiceClient::new(channel)))
    }

    async fn living(&mut self) -> Result<u64> {
        let mut sum = 0;
        for state in ["PENDING", "RUNNING", "SUSPENDED"] {
            let filter = format!("state={state} AND function={FUNCTION}");
            let request = ListTasksRequest { filter, page_size: 1, ..Default::default() };
            let answer = self.0.list_tasks(request).await.context("listing tasks")?.into_inner();
            sum += u64::try_from(answer.total_size.unwrap_or_default()).unwrap_or_default();
        }
        Ok(sum)
    }
}
