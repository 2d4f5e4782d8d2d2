//! Clusters for tests: N workers, a coordinator and the test itself on one paused runtime. Time is virtual (tokio's):
//! a sleep of an hour takes no time, and every time is exact.

use std::future::Future;
use std::time::Duration;

use crate::ambient;
use crate::blocking::EventLoop;
use crate::definition::{ActorType, TaskFn};
use crate::error::Result;
use crate::hub::Hub;
use crate::in_process::{self, InProcess};
use crate::runtime::{Inner, Loop};
use crate::worker::host::Host;

/// An in-process cluster on one thread with virtual time.
///
/// ```
/// # use farloop::prelude::*;
/// # use std::time::Duration;
/// #[farloop::task]
/// async fn nap() -> farloop::Result<u32> {
///     farloop::sleep(Duration::from_secs(3_600)).await?;
///     Ok(7)
/// }
/// let slept = farloop::testing::Cluster::new().workers(3).run(async || nap().await);
/// assert_eq!(slept.unwrap(), 7);
/// ```
#[derive(Debug)]
pub struct Cluster(InProcess);

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Cluster {
    /// One worker with one loop.
    #[must_use]
    pub fn new() -> Self {
        Self(in_process::builder().loops(1))
    }

    /// See [`InProcess::workers`].
    #[must_use]
    pub fn workers(self, n: usize) -> Self {
        Self(self.0.workers(n))
    }

    /// See [`InProcess::loops`].
    #[must_use]
    pub fn loops(self, n: usize) -> Self {
        Self(self.0.loops(n))
    }

    /// See [`InProcess::slots`].
    #[must_use]
    pub fn slots(self, n: u32) -> Self {
        Self(self.0.slots(n))
    }

    /// See [`InProcess::max_resident`].
    #[must_use]
    pub fn max_resident(self, n: usize) -> Self {
        Self(self.0.max_resident(n))
    }

    /// See [`InProcess::with`].
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(self, state: T) -> Self {
        Self(self.0.with(state))
    }

    /// See [`InProcess::task`].
    #[must_use]
    pub fn task<F: TaskFn>(self) -> Self {
        Self(self.0.task::<F>())
    }

    /// See [`InProcess::actor`].
    #[must_use]
    pub fn actor<A: ActorType>(self) -> Self {
        Self(self.0.actor::<A>())
    }

    /// Runs the test as a task of the cluster's client loop, then closes everything.
    ///
    /// # Panics
    /// If two functions have one name; if the test panics.
    pub fn run<F, Fut, R>(self, test: F) -> R
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = R> + 'static,
        R: 'static,
    {
        crate::report::watch_panics();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build_local(Default::default())
            .expect("the operating system gives a test an event queue and a timer");
        let _forget = Forget(runtime.handle().clone());
        runtime.block_on(async move {
            let cluster = match self.0.local(std::thread::current().id()).assemble() {
                Ok(cluster) => cluster,
                Err(error) => panic!("{error}"),
            };
            for worker in &cluster.workers {
                for home in worker.loops() {
                    tokio::task::spawn_local(home.clone().run_here(Some(Host::new(worker.clone()))));
                }
            }
            let home = cluster.home.clone();
            ambient::bind(&home);
            tokio::task::spawn_local(home.clone().run(None));
            let hub = Hub::new(cluster.sessions, cluster.stop.clone(), cluster.flushed.clone());
            let hub = tokio::task::spawn_local(hub);
            let result = crate::runtime::run_as_task(test()).await;
            home.session().begin_close();
            cluster.flushed.notified().await;
            cluster.stop.store(true, std::sync::atomic::Ordering::Release);
            home.session().wake_writer();
            // The hub ends by itself; it panics only where a law is broken.
            hub.await.expect("the coordinator of the test cluster stops cleanly");
            for worker in &cluster.workers {
                worker.loops().iter().for_each(|l| l.close());
            }
            home.close();
            ambient::unbind(&home);
            result
        })
    }

    /// An event loop that the test runs by hand. The whole cluster is on its runtime: time is virtual, and passes while
    /// the loop runs.
    ///
    /// # Errors
    /// Two functions of one name; no runtime to be had.
    pub fn event_loop(self) -> Result<EventLoop> {
        let runtime = crate::blocking::local_runtime(true)?;
        let here = std::thread::current().id();
        let connection = runtime.block_on(async move {
            let cluster = self.0.local(here).assemble()?;
            for worker in &cluster.workers {
                for home in worker.loops() {
                    tokio::task::spawn_local(home.clone().run_here(Some(Host::new(worker.clone()))));
                }
            }
            tokio::task::spawn_local(Hub::new(cluster.sessions, cluster.stop.clone(), cluster.flushed.clone()));
            Ok::<_, crate::Error>(Loop::new(Inner {
                home: cluster.home,
                stop: cluster.stop,
                thread: std::sync::Mutex::new(None),
                others: cluster.workers.iter().flat_map(|w| w.loops().to_vec()).collect(),
                flushed: cluster.flushed,
            }))
        })?;
        Ok(EventLoop::of(runtime, connection))
    }
}

/// Lets the virtual time of a [`Cluster::event_loop`] pass while the loop does not run: what becomes due meanwhile is
/// late.
///
/// # Panics
/// If the loop's time is real.
pub fn advance(event_loop: &EventLoop, by: Duration) {
    event_loop.block_on(tokio::time::advance(by));
}

/// The ambient loop of a runtime that ends is forgotten with it.
struct Forget(tokio::runtime::Handle);

impl Drop for Forget {
    fn drop(&mut self) {
        ambient::forget(&self.0);
    }
}

/// What `#[farloop::test]` calls.
///
/// # Panics
/// If the test returns an error.
#[doc(hidden)]
pub fn run_test<F>(workers: usize, test: F)
where
    F: Future + 'static,
    F::Output: TestResult + 'static,
{
    Cluster::new().workers(workers).run(move || test).check();
}

/// What a test may return.
#[doc(hidden)]
pub trait TestResult {
    fn check(self);
}

impl TestResult for () {
    fn check(self) {}
}

impl<E: std::fmt::Debug> TestResult for Result<(), E> {
    fn check(self) {
        if let Err(error) = self {
            panic!("the test returned an error: {error:?}");
        }
    }
}
