//! A coordinator that keeps its records, as a process that is killed and started again on the same port.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Channel;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::node::{Node, Program};
use crate::within;

/// Seconds of silence after which a worker is dead, for [`serve`].
pub const DEAD_AFTER: &str = "FARLOOP_TEST_DEAD_AFTER";
/// Outcomes that are kept at most, for [`serve`].
pub const RETAINED: &str = "FARLOOP_TEST_RETAINED";
/// Seconds for which a session outlives its connection, for [`serve`].
pub const SESSION_TTL: &str = "FARLOOP_TEST_SESSION_TTL";
/// Long enough that no worker is taken for dead while it comes back, on however slow a machine.
const LONG: u64 = 30;

/// The process and its directory, which are gone when this is dropped.
#[derive(Debug)]
pub struct Kept {
    binary: &'static str,
    dir: TempDir,
    address: SocketAddr,
    /// Its environment.
    env: Vec<(&'static str, String)>,
    node: Node,
}

impl Kept {
    /// Starts one, of the binary `kept_coordinator`, which serves when this returns.
    pub async fn start(binary: &'static str) -> Self {
        Self::start_with(binary, LONG).await
    }

    /// As [`start`](Self::start), with so many seconds after which a silent worker is dead.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_with(binary: &'static str, dead_after: u64) -> Self {
        Self::start_keeping(binary, &[(DEAD_AFTER, &dead_after.to_string())]).await
    }

    /// As [`start`](Self::start), with that in its environment.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_keeping(binary: &'static str, env: &[(&'static str, &str)]) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let env: Vec<_> = env.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let (node, address) = begin(binary, dir.path(), 0, &env);
        let kept = Self { binary, dir, address, env, node };
        kept.serves(Instant::now()).await;
        kept
    }

    /// Where it listens, before and after.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where its records are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process of this moment.
    pub fn node(&mut self) -> &mut Node {
        &mut self.node
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.node.kill();
    }

    /// A new process on the same records; how long it took until it served.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn again(&mut self) -> Duration {
        let began = Instant::now();
        let (node, address) = begin(self.binary, self.dir.path(), self.address.port(), &self.env);
        assert_eq!(address, self.address);
        self.node = node;
        self.serves(began).await
    }

    async fn serves(&self, began: Instant) -> Duration {
        let endpoint = Channel::from_shared(self.url()).expect("an address is a url");
        let serving = within(crate::PATIENCE, async || {
            let request = HealthCheckRequest { service: "farloop.v1.TaskService".into() };
            let told = HealthClient::new(endpoint.connect().await.ok()?).check(request).await.ok()?.into_inner();
            (told.status == ServingStatus::Serving as i32).then_some(())
        });
        serving.await.expect("it serves in time");
        began.elapsed()
    }
}

fn begin(binary: &str, dir: &Path, port: u16, env: &[(&str, String)]) -> (Node, SocketAddr) {
    let program = Program::new(binary).arg(&dir.display().to_string()).arg(&port.to_string());
    let node = env.iter().fold(program, |program, (name, value)| program.env(name, value)).start();
    let line = node.line();
    (node, line.parse().unwrap_or_else(|_| panic!("'{line}' is an address")))
}

/// What the binary does: `kept_coordinator DIR PORT`.
///
/// # Errors
/// As [`farloop_coordinator::Coordinator::serve`].
///
/// # Panics
/// If it is called otherwise.
pub fn serve() -> Result<(), farloop_coordinator::StartError> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [dir, port] = &words[..] else { panic!("usage: kept_coordinator DIR PORT") };
    let listen = format!("127.0.0.1:{port}");
    let config = farloop_coordinator::Config { listen, ..Default::default() };
    let mut config = config.keeping_in(dir);
    let number = |variable: &str| std::env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(retained) = number(RETAINED) {
        config.core.retained_tasks = retained as usize;
    }
    if let Some(seconds) = number(SESSION_TTL) {
        config.core.session_ttl = Duration::from_secs(seconds);
    }
    config.stop_within = Duration::from_secs(1);
    config.core.worker_dead_after = Duration::from_secs(number(DEAD_AFTER).unwrap_or(LONG));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
    runtime.block_on(async {
        let coordinator = farloop_coordinator::Coordinator::bind(config).await?;
        let mut asked = signal(SignalKind::terminate()).expect("signal handlers can be installed here");
        println!("{}", coordinator.local_addr());
        let stop = async move {
            asked.recv().await;
        };
        coordinator.serve(stop).await
    })
}
