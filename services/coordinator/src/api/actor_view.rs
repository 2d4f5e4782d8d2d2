//! What the core knows of actors becomes what people read.

use std::collections::BTreeMap;

use farloop_core::actor::{ActorDef, Host, Part, Placement, Restart, RestartWhen, Strategy, Turns};
use farloop_core::api::{ActorView, TaskState, Told, WorkerView};
use farloop_core::id::WorkerId;
use farloop_core::spec::{Backoff, FunctionDef};
use farloop_core::time::Time;
use farloop_proto::convert::duration_to_wire;
use farloop_proto::v1;

use super::view::{self, Show, clamp};
use crate::driver::Driver;

pub(crate) fn actor(actor: ActorView, show: Show, driver: &Driver) -> v1::Actor {
    let state = state(&actor).into();
    let ActorView { task, name, worker, incarnation, mailbox, running, served, restarts, snapshot, .. } = actor;
    let stamp = |at: Time| view::timestamp(driver.on_the_wall(at));
    // Of one that is over nothing is counted any more.
    let count = |count: Option<i32>| count.filter(|_| task.outcome.is_none());
    let host = match task.spec.actor.as_deref() {
        Some(Part::Host(host)) => Some(host),
        _ => None,
    };
    v1::Actor {
        actor_id: task.task.to_string(),
        r#type: task.spec.function.as_ref().into(),
        name: name.as_deref().unwrap_or_default().into(),
        state,
        worker_id: worker.map(|w| w.to_string()).unwrap_or_default(),
        incarnation: Some(clamp(incarnation)),
        restarts: count(Some(clamp(restarts))),
        mailbox_depth: count(Some(clamp(mailbox))),
        running_calls: count(Some(clamp(running))),
        served_calls: count(Some(clamp(served))),
        snapshot_bytes: count(Some(clamp(snapshot))),
        json_args: view::arguments(&task.spec, show).0,
        failure: view::why_no_value(&task, show),
        on_demand: host.is_some_and(|host| host.on_demand),
        root_session_id: task.root.map(|s| s.to_string()).unwrap_or_default(),
        create_time: Some(stamp(task.created)),
        start_time: task.started.map(stamp),
        end_time: task.ended.map(stamp),
        restart_time: task.retry_at.map(stamp),
        labels: task.spec.options.labels.iter().cloned().collect(),
        options: host.map(options),
    }
}

fn state(actor: &ActorView) -> v1::ActorState {
    match actor.task.state {
        TaskState::Succeeded => v1::ActorState::Stopped,
        TaskState::Failed => v1::ActorState::Failed,
        TaskState::Cancelled => v1::ActorState::Killed,
        _ if actor.stopping => v1::ActorState::Stopping,
        _ if actor.asleep => v1::ActorState::Asleep,
        _ if actor.up => v1::ActorState::Up,
        _ if actor.worker.is_some() => v1::ActorState::Starting,
        _ => v1::ActorState::Pending,
    }
}

/// A message of WatchActor.
pub(crate) fn watched(told: Told, show: Show, driver: &Driver) -> Option<v1::watch_actor_response::Event> {
    use v1::watch_actor_response::Event;
    match told {
        Told::Actor(view) => Some(Event::Actor(actor(*view, show, driver))),
        Told::Lost(count) => Some(Event::LostCount(clamp(count))),
        Told::Task(_) | Told::SnapshotEnd | Told::Pending(_) => None,
    }
}

fn options(host: &Host) -> v1::ActorOptions {
    v1::ActorOptions {
        mailbox: clamp(host.mailbox),
        mailbox_per_caller: clamp(host.per_caller),
        restart: Some(restart(&host.restart)),
        placement: (!host.placement.is_anywhere()).then(|| placement(&host.placement)),
    }
}

fn restart(restart: &Restart) -> v1::ActorRestart {
    let when = match restart.when {
        RestartWhen::Never => v1::RestartWhen::Never,
        RestartWhen::OnFailure => v1::RestartWhen::OnFailure,
        RestartWhen::Always => v1::RestartWhen::Always,
    };
    let Backoff { initial, coefficient, maximum, jitter } = &restart.backoff;
    v1::ActorRestart {
        when: when.into(),
        at_most: Some(clamp(restart.at_most)),
        within: Some(duration_to_wire(restart.within)),
        backoff: Some(v1::RetryBackoff {
            initial_interval: Some(duration_to_wire(*initial)),
            coefficient: *coefficient,
            maximum_interval: Some(duration_to_wire(*maximum)),
            jitter: Some(*jitter),
        }),
    }
}

fn placement(placement: &Placement) -> v1::ActorPlacement {
    let strategy = match placement.strategy {
        Strategy::Spread => v1::PlacementStrategy::Spread,
        Strategy::Pack => v1::PlacementStrategy::Pack,
    };
    v1::ActorPlacement {
        labels: placement.labels.iter().cloned().collect(),
        strategy: strategy.into(),
        near_actor_id: placement.near.map(|near| near.to_string()).unwrap_or_default(),
    }
}

/// All types of actors that these workers offer: by name, and by signature where workers disagree.
pub(crate) fn types(workers: &[WorkerView]) -> Vec<v1::ActorType> {
    let mut offered: BTreeMap<(&str, String), v1::ActorType> = BTreeMap::new();
    for worker in workers {
        for def in &worker.functions {
            let Some(ActorDef::Type(host)) = def.actor.as_deref() else { continue };
            let shown = actor_type(def, host, worker);
            // Methods are a part of the signature: callers of either are not alike.
            let methods: Vec<&str> = shown.methods.iter().map(|method| method.signature.as_str()).collect();
            let signature = format!("{} {}", shown.signature, methods.join(" "));
            let offer = offered.entry((&def.name, signature)).or_insert(shown);
            offer.worker_ids.push(WorkerId::to_string(&worker.worker));
        }
    }
    offered.into_values().collect()
}

/// How the actors of a type are, unless somebody says otherwise.
pub(crate) fn usual(workers: &[WorkerView], kind: &str) -> Option<Host> {
    let defs = workers.iter().flat_map(|worker| &worker.functions).filter(|def| *def.name == *kind);
    defs.filter_map(|def| def.actor.as_deref()).find_map(|def| match def {
        ActorDef::Type(host) => Some(host.clone()),
        ActorDef::Method(_) => None,
    })
}

fn actor_type(def: &FunctionDef, host: &Host, worker: &WorkerView) -> v1::ActorType {
    let method = |other: &FunctionDef| {
        let name = other.name.strip_prefix(&*def.name)?.strip_prefix('.')?;
        match other.actor.as_deref() {
            Some(ActorDef::Method(turns)) => Some(method(name, other, *turns)),
            _ => None,
        }
    };
    let mut methods: Vec<v1::ActorMethod> = worker.functions.iter().filter_map(method).collect();
    methods.sort_by(|a, b| a.method.cmp(&b.method));
    let args: Vec<String> = def.args.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    v1::ActorType {
        r#type: def.name.as_ref().into(),
        signature: format!("({})", args.join(", ")),
        parameters: view::parameters(def),
        methods,
        on_demand: host.on_demand,
        idle_timeout: host.idle.filter(|_| host.on_demand).map(duration_to_wire),
        options: Some(options(host)),
        worker_ids: Vec::new(),
    }
}

fn method(name: &str, def: &FunctionDef, turns: Turns) -> v1::ActorMethod {
    let turns = match turns {
        Turns::Alone => v1::Turns::Alone,
        Turns::Shared => v1::Turns::Shared,
        Turns::Interleaved => v1::Turns::Interleaved,
    };
    v1::ActorMethod {
        method: name.into(),
        signature: view::signature(def),
        parameters: view::parameters(def),
        returns: def.returns.clone(),
        result_schema: view::schema_of(&def.returns),
        turns: turns.into(),
    }
}
