//! A scenario three times on one cluster: undisturbed, with the client's connections cut in the middle, and with the
//! worker's. Whatever is cut, the results are the same, and each task's body began once.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use crate::embedded::Embedded;
use crate::node::{Node, Program};
use crate::people::People;
use crate::proxy::{Cut, Proxy, Way};
use crate::tally::Tally;
use crate::{PATIENCE, bounded, until};

/// Long enough that no worker is taken for dead while it comes back, on however slow a machine.
const DEAD_AFTER: Duration = Duration::from_secs(12);

/// What a scenario sees of the run that it is in.
#[derive(Debug)]
pub struct Scene<'a> {
    /// What bodies did, in this run and in those before.
    pub tally: &'a Tally,
    run: &'static str,
    /// Marks of the runs before.
    skip: usize,
    cut: Option<Breaks<'a>>,
}

/// Bytes of a connection before the first batch.
#[derive(Clone, Copy, Debug)]
struct Greeting {
    up: u64,
    down: u64,
}

impl Scene<'_> {
    /// A name that no other run uses.
    #[must_use]
    pub fn own(&self, name: &str) -> String {
        format!("{name}, {}", self.run)
    }

    /// Marks of that kind and label that bodies made in this run.
    #[must_use]
    pub fn count(&self, what: &str, label: &str) -> usize {
        self.tally.marks().iter().skip(self.skip).filter(|m| m.what == what && m.label == label).count()
    }

    /// Waits until there are so many of them.
    pub async fn sees(&self, n: usize, what: &str, label: &str) {
        until(&format!("'{label}' is {what} {n} times"), async || (self.count(what, label) >= n).then_some(())).await;
    }

    /// The connections break from now on: inside the next frame that goes up, inside the greeting that follows, before
    /// the welcome, and inside what is sent again. Nothing in the undisturbed run.
    pub fn storm(&self) {
        if let Some(cut) = &self.cut {
            cut.proxy.plan(cut.storm());
        }
    }

    /// As [`storm`](Self::storm), but before it after each so many bytes on the way that is used first, so many times,
    /// and as often on the way back after it.
    pub fn storm_on(&self, bytes: u64, times: u64) {
        if let Some(cut) = &self.cut {
            let (there, back) = if cut.side == Side::Client { (Way::Up, Way::Down) } else { (Way::Down, Way::Up) };
            let each = |way| (0..times).map(move |_| Cut::after(way, bytes));
            cut.proxy.plan(each(there).chain(cut.storm()).chain(each(back)));
            cut.at_least.set(SURE + times);
        }
    }
}

/// Cuts of a storm that happen whatever a scenario sends.
const SURE: u64 = 3;

/// What breaks in a run.
#[derive(Debug)]
struct Breaks<'a> {
    side: Side,
    proxy: &'a Proxy,
    greeting: Greeting,
    at_least: Cell<u64>,
}

impl Breaks<'_> {
    fn storm(&self) -> [Cut; 5] {
        let Greeting { up, down } = self.greeting;
        [Cut::up(24), Cut::up(up / 2), Cut::down(0), Cut::up(up.saturating_sub(30)), Cut::down(down + 20)]
    }
}

/// Whose connections break.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Client,
    Worker,
}

struct Cluster {
    // Dropped in this order: the worker first, so that it does not look for a coordinator that is gone.
    _worker: Node,
    client_side: Proxy,
    worker_side: Proxy,
    _coordinator: Embedded,
    tally: Tally,
    /// How the worker greets: longer than a client, for it tells its functions.
    worker_greeting: Greeting,
}

/// Plays a scenario three times and compares.
///
/// # Panics
/// If a run ends otherwise than the others, or a body began twice, or less was cut than was planned.
pub fn play<T: Debug + PartialEq>(worker: &str, scenario: impl AsyncFn(&Scene<'_>) -> farloop::Result<T>) {
    let tally = Tally::new();
    let coordinator = Embedded::with(|core| core.worker_dead_after = DEAD_AFTER);
    let client_side = Proxy::to(coordinator.address());
    let worker_side = Proxy::to(coordinator.address());
    let worker = Program::new(worker).at(&worker_side.url()).named("counting").tally(&tally).start();
    bounded(async { People::at(&coordinator.url()).await.joined(&["counting"]).await });
    let worker_greeting = Greeting { up: worker_side.up(), down: worker_side.down() };
    let cluster =
        Cluster { _worker: worker, client_side, worker_side, _coordinator: coordinator, tally, worker_greeting };

    let undisturbed = cluster.run(None, &scenario);
    let client_cut = cluster.run(Some(Side::Client), &scenario);
    assert_eq!(client_cut, undisturbed, "with the client's connections cut");
    let worker_cut = cluster.run(Some(Side::Worker), &scenario);
    assert_eq!(worker_cut, undisturbed, "with the worker's connections cut");
}

impl Cluster {
    /// The result, and how many bodies of each label began.
    fn run<T>(
        &self,
        side: Option<Side>,
        scenario: &impl AsyncFn(&Scene<'_>) -> farloop::Result<T>,
    ) -> (T, BTreeMap<String, usize>) {
        let (run, proxy) = match side {
            None => ("undisturbed", None),
            Some(Side::Client) => ("client cut", Some(&self.client_side)),
            Some(Side::Worker) => ("worker cut", Some(&self.worker_side)),
        };
        let (skip, cuts) = (self.tally.marks().len(), proxy.map_or(0, Proxy::cuts));
        let result = bounded(async {
            let before = (self.client_side.up(), self.client_side.down());
            let event_loop = farloop::connect(self.client_side.url()).await.expect("the coordinator is there");
            let greeting = match side {
                Some(Side::Worker) => self.worker_greeting,
                _ => Greeting { up: self.client_side.up() - before.0, down: self.client_side.down() - before.1 },
            };
            let breaks = |(side, proxy)| Breaks { side, proxy, greeting, at_least: Cell::new(SURE) };
            let scene = Scene { tally: &self.tally, run, skip, cut: side.zip(proxy).map(breaks) };
            scene.storm();
            let result = tokio::time::timeout(PATIENCE, scenario(&scene)).await;
            if let Some(proxy) = proxy {
                proxy.plan([]);
            }
            event_loop.close().await;
            if let Some(cut) = scene.cut {
                let made = cut.proxy.cuts() - cuts;
                assert!(made >= cut.at_least.get(), "{run}: {made} cuts were made, not {}", cut.at_least.get());
            }
            match result {
                Ok(result) => result.unwrap_or_else(|error| panic!("{run}: {error:#}")),
                Err(_) => panic!("{run}: it waits for what never comes"),
            }
        });
        let mut labels = BTreeMap::new();
        for (task, (label, times)) in self.tally.begun_since(skip) {
            assert_eq!(times, 1, "{run}: how often the body of '{label}', task {task}, began");
            *labels.entry(label.replace(&format!(", {run}"), "")).or_insert(0) += 1;
        }
        (result, labels)
    }
}
