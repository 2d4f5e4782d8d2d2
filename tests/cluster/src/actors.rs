//! Actors that note when they begin, what they are told and when they are gone, so that a test can tell which of their
//! incarnations did what, where, and in which order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use farloop::Yielder;
use farloop::actor::{self, Interleaved};
use serde::{Deserialize, Serialize};

use crate::tally;
use crate::tasks::Body;

/// Notes what the incarnation did whose code runs here.
fn note(what: &str, label: &str) {
    let id = actor::this_id().map(|id| id.to_string()).unwrap_or_default();
    tally::mark(what, label, &id);
}

/// Is there as long as the state is: notes that it is gone, whatever way that came about.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Alive {
    label: String,
}

impl Alive {
    fn of(label: String) -> Self {
        Self { label }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        tally::mark("gone", &self.label, "");
    }
}

/// Keeps the numbers that it is told, in the order in which it is told them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Log {
    alive: Alive,
    said: Vec<u64>,
}

#[farloop::actor(name = "count.Log", snapshot)]
impl Log {
    /// `label` is what the test calls it.
    pub fn new(label: String) -> Self {
        Self { alive: Alive::of(label), said: Vec::new() }
    }

    /// Takes its time and keeps the number: whoever has the answer, how many there are, knows that it is saved.
    pub async fn say(&mut self, n: u64, millis: u64) -> farloop::Result<u64> {
        let _body = Body::begin(format!("{} {n}", self.alive.label));
        if millis > 0 {
            farloop::sleep(Duration::from_millis(millis)).await?;
        }
        self.said.push(n);
        actor::save_with_reply(&*self)?;
        Ok(self.said.len() as u64)
    }

    /// As [`say`](Self::say), and what is said is not saved.
    pub async fn murmur(&mut self, n: u64) -> u64 {
        self.said.push(n);
        self.said.len() as u64
    }

    /// Waits until the gate is open, then says it, and saves it in both ways.
    pub async fn hold(&mut self, label: String, gate: String, n: u64) -> farloop::Result<u64> {
        let _body = Body::begin(&label);
        while !tally::is_open(&gate) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.said.push(n);
        actor::save(&*self)?;
        actor::save_with_reply(&*self)?;
        note("passed", &label);
        Ok(self.said.len() as u64)
    }

    /// What it was told.
    pub async fn said(&self) -> Vec<u64> {
        self.said.clone()
    }

    /// In which process it is.
    pub async fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Kills its worker.
    pub async fn kills(&mut self) -> farloop::Result<()> {
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::KILL).map_err(farloop::Error::new)?;
        std::future::pending().await
    }

    /// Panics.
    pub async fn panics(&mut self) {
        panic!("on purpose");
    }

    async fn on_start(&mut self) {
        note("begun", &self.alive.label);
    }

    async fn on_restart(&mut self) {
        note("begun", &self.alive.label);
        note("again", &self.alive.label);
    }
}

/// Counts, and remembers nothing when it has to begin anew.
#[derive(Debug)]
pub struct Forgetful {
    alive: Alive,
    count: u64,
}

#[farloop::actor(name = "count.Forgetful")]
impl Forgetful {
    /// `label` is what the test calls it.
    pub fn new(label: String) -> Self {
        Self { alive: Alive::of(label), count: 0 }
    }

    /// One more. In which process, and how many.
    pub async fn count(&mut self) -> (u32, u64) {
        self.count += 1;
        (std::process::id(), self.count)
    }

    async fn on_start(&mut self) {
        note("begun", &self.alive.label);
    }
}

/// Shows that it is alive for as long as it is, though nobody calls it and its worker is cut off.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pulse {
    alive: Alive,
    count: u64,
}

#[farloop::actor(name = "count.Pulse", snapshot)]
impl Pulse {
    /// `label` is what the test calls it.
    pub fn new(label: String) -> Self {
        Self { alive: Alive::of(label), count: 0 }
    }

    /// Notes a beat again and again; the actor calls this itself.
    #[farloop(interleave)]
    pub async fn beats(this: &Interleaved<Self>) {
        loop {
            this.with(|pulse| note("beat", &pulse.alive.label));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// So many more, saved with the answer. In which process, and how many.
    #[farloop(interleave)]
    pub async fn add(this: &Interleaved<Self>, more: u64) -> farloop::Result<(u32, u64)> {
        this.with(|pulse| {
            pulse.count += more;
            actor::save_with_reply(&*pulse)?;
            Ok((std::process::id(), pulse.count))
        })
    }

    /// As [`add`](Self::add), when the gate is open; and it is saved without an answer, too.
    #[farloop(interleave)]
    pub async fn add_later(
        this: &Interleaved<Self>,
        label: String,
        gate: String,
        more: u64,
    ) -> farloop::Result<(u32, u64)> {
        let _body = Body::begin(&label);
        while !tally::is_open(&gate) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        this.with(|pulse| {
            pulse.count += more;
            actor::save(&*pulse)?;
            actor::save_with_reply(&*pulse)?;
            note("passed", &label);
            Ok((std::process::id(), pulse.count))
        })
    }

    async fn on_start(&mut self) -> farloop::Result<()> {
        note("begun", &self.alive.label);
        actor::this::<PulseRef>()?.beats().tell()
    }

    async fn on_restart(&mut self) -> farloop::Result<()> {
        note("begun", &self.alive.label);
        actor::this::<PulseRef>()?.beats().tell()
    }
}

/// One per name, there while somebody calls it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Cart {
    alive: Alive,
    items: Vec<String>,
}

#[farloop::actor(name = "count.Cart", on_demand, idle = "300ms", snapshot)]
impl Cart {
    /// Of that name.
    pub fn new(name: String) -> Self {
        Self { alive: Alive::of(name), items: Vec::new() }
    }

    /// One more. In which process, and what is in it.
    pub async fn put(&mut self, item: String) -> (u32, Vec<String>) {
        self.items.push(item);
        (std::process::id(), self.items.clone())
    }

    async fn on_start(&mut self) {
        note("begun", &self.alive.label);
    }

    async fn on_restart(&mut self) {
        note("begun", &self.alive.label);
    }
}

/// Asks others.
#[derive(Debug)]
pub struct Relay;

#[farloop::actor(name = "count.Relay")]
impl Relay {
    /// It needs to know nothing.
    pub fn new() -> Self {
        Self
    }

    /// Asks the first of those to ask the others; the last one tells in which process it is.
    pub async fn ask(&mut self, mut others: Vec<RelayRef>) -> farloop::Result<u32> {
        if others.is_empty() {
            return Ok(std::process::id());
        }
        let next = others.remove(0);
        next.ask(others).await
    }
}

/// Makes numbers.
#[derive(Debug)]
pub struct Source {
    made: AtomicU64,
}

#[farloop::actor(name = "count.Source")]
impl Source {
    /// It has made none.
    pub fn new() -> Self {
        Self { made: AtomicU64::new(0) }
    }

    /// Up to that one, each with so many bytes.
    pub async fn numbers(&self, to: u64, bytes: usize, out: Yielder<(u64, String)>) -> farloop::Result<()> {
        for n in 1..=to {
            self.made.store(n, Ordering::Relaxed);
            out.send((n, "x".repeat(bytes))).await?;
        }
        Ok(())
    }

    /// How far it has come; this may be asked while it makes them.
    pub async fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

/// Offers them.
#[must_use]
pub fn offer(worker: farloop::Worker) -> farloop::Worker {
    worker.actor::<Log>().actor::<Forgetful>().actor::<Pulse>().actor::<Cart>().actor::<Relay>().actor::<Source>()
}
