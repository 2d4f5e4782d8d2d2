//! A model client: it makes actors, calls them in bursts, asks some to stop, and remembers what it has not been told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farloop_core::actor::{Address, Host, Part, Restart};
use farloop_core::frame::{Down, Owner, Submit, Up};
use farloop_core::id::{SessionId, TaskId};
use farloop_core::spec::{Backoff, Options, Spec};
use farloop_core::time::Time;

use super::judge::Judge;
use super::{DEMAND, Method, NAMED, Ticket};
use crate::peer::new_task;
use crate::rng::Rng;

/// Whom a client calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whom {
    Actor(TaskId),
    Named(u8),
    Demand(u8),
}

impl Whom {
    fn kind(&self) -> &'static str {
        if matches!(self, Self::Demand(_)) { DEMAND } else { NAMED }
    }

    fn address(&self) -> Address {
        match self {
            Self::Actor(id) => Address::Actor(*id),
            Self::Named(n) => Address::Name { name: format!("n{n}").into(), make: None },
            Self::Demand(n) => Address::Name { name: format!("d{n}").into(), make: None },
        }
    }
}

fn plain(function: String, part: Part) -> Spec {
    Spec {
        function: function.into(),
        fingerprint: 0,
        args: Bytes::new(),
        dependencies: Vec::new(),
        name: None,
        options: Options::default(),
        trace: None,
        context: None,
        stream: false,
        actor: Some(Arc::new(part)),
    }
}

/// A call of a method.
pub(crate) fn call(whom: &Whom, method: Method, ticket: Ticket, retries: u32, waits: bool) -> Spec {
    let part = Part::Call { to: whom.address(), waits };
    let mut spec = plain(format!("{}.{}", whom.kind(), method.name()), part);
    spec.args = ticket.encode();
    spec.options.max_crashes = retries;
    spec
}

fn host(name: Option<String>, rng: &mut Rng) -> Spec {
    let restart = Restart {
        at_most: *rng.pick(&[0, 1, 3, 100]),
        within: Duration::from_secs(10),
        backoff: Backoff::new(Duration::from_millis(rng.between(1, 300))),
        ..Restart::default()
    };
    let host = Host {
        detached: true,
        name: name.map(Into::into),
        mailbox: *rng.pick(&[3, 20, 1_000]),
        per_caller: *rng.pick(&[2, 10, 1_000]),
        restart,
        ..Host::default()
    };
    plain(NAMED.into(), Part::Host(host))
}

/// A client process.
#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) actions: usize,
    /// What it has not been told.
    pub(crate) outstanding: BTreeSet<TaskId>,
    pub(crate) seqs: BTreeMap<Whom, u64>,
    pub(crate) calls: Vec<TaskId>,
    /// Whose ends it knows.
    pub(crate) known: BTreeSet<TaskId>,
}

impl Client {
    pub(crate) fn lost(&mut self) {
        // Its session may go on under the same id: it goes on counting.
        self.outstanding.clear();
        self.calls.clear();
    }

    pub(crate) fn rejoin(&self, unsaid: &BTreeSet<TaskId>, out: &mut Vec<Up>) {
        out.extend(self.outstanding.difference(unsaid).map(|task| Up::Watch(*task)));
        out.push(Up::Rejoined { starts: 0 });
    }

    pub(crate) fn hear(&mut self, frame: &Down, judge: &mut Judge) {
        if let Down::Resolved { task, outcome } = frame {
            // A refusal has no record: after a restart of the coordinator it may be told once more.
            self.known.insert(*task);
            if self.outstanding.remove(task) {
                judge.told(*task, outcome);
            }
        }
    }

    /// Does the next thing.
    pub(crate) fn act(
        &mut self,
        session: SessionId,
        now: Time,
        rng: &mut Rng,
        hosts: &mut Vec<TaskId>,
        judge: &mut Judge,
    ) -> Vec<Up> {
        let mut out = Vec::new();
        if self.actions == 0 {
            return out;
        }
        self.actions -= 1;
        match rng.below(20) {
            0 | 1 => {
                let task = new_task(rng, now);
                let spec = host(None, rng);
                hosts.push(task);
                // Its own end is not waited for: it may live for ever.
                out.push(Up::Submit(Submit {
                    task,
                    spec: Arc::new(spec),
                    owner: Owner::Nobody,
                    creator: None,
                    within: None,
                }));
                self.outstanding.insert(task);
            }
            2 | 3 => {
                let name = rng.below(3);
                let make = host(Some(format!("n{name}")), rng);
                let of = Address::Name { name: format!("n{name}").into(), make: Some(Arc::new(make)) };
                self.submit(plain(NAMED.into(), Part::Find { of, up: true }), now, rng, &mut out);
            }
            4 if !hosts.is_empty() => {
                let task = *rng.pick(hosts);
                out.push(Up::Cancel { task, message: None });
            }
            5 => {
                let whom = self.whom(rng, hosts);
                self.submit(plain(whom.kind().into(), Part::Stop(whom.address())), now, rng, &mut out);
            }
            6 if !self.calls.is_empty() => {
                let task = *rng.pick(&self.calls);
                out.push(Up::Cancel { task, message: None });
            }
            _ => {
                let whom = self.whom(rng, hosts);
                for _ in 0..*rng.pick(&[1, 1, 3, 12]) {
                    self.call(&whom, session, now, rng, &mut out, judge);
                }
            }
        }
        out
    }

    fn whom(&self, rng: &mut Rng, hosts: &[TaskId]) -> Whom {
        match rng.below(4) {
            0 if !hosts.is_empty() => Whom::Actor(*rng.pick(hosts)),
            1 => Whom::Named(rng.below(3) as u8),
            _ => Whom::Demand(rng.below(3) as u8),
        }
    }

    fn call(
        &mut self,
        whom: &Whom,
        session: SessionId,
        now: Time,
        rng: &mut Rng,
        out: &mut Vec<Up>,
        judge: &mut Judge,
    ) {
        let seq = self.seqs.entry(whom.clone()).or_default();
        *seq += 1;
        let ticket = Ticket { caller: session, seq: *seq };
        let method = match rng.below(30) {
            0 => Method::Boom,
            1..=3 => Method::Relay,
            4..=9 => Method::Save,
            10..=15 => Method::Peek,
            16..=18 => Method::Weave,
            _ => Method::Add,
        };
        let retries = if rng.chance(200) { 3 } else { 0 };
        let spec = call(whom, method, ticket, retries, rng.chance(300));
        let task = self.submit(spec, now, rng, out);
        judge.made(task, method, retries == 0);
        self.calls.push(task);
    }

    fn submit(&mut self, spec: Spec, now: Time, rng: &mut Rng, out: &mut Vec<Up>) -> TaskId {
        let task = new_task(rng, now);
        self.outstanding.insert(task);
        out.push(Up::Submit(Submit { task, spec: Arc::new(spec), owner: Owner::Root, creator: None, within: None }));
        task
    }
}
