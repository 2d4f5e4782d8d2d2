//! What people type about actors becomes what the core takes.

use std::collections::BTreeMap;
use std::time::Duration;

use farloop_core::actor::{Address, Host, Part, Placement, Restart, RestartWhen, Strategy};
use farloop_core::id::TaskId;
use farloop_core::limits;
use farloop_proto::v1;
use tonic::Status;

use super::request::{self, Draft};
use crate::errors;

/// A search that nobody waits for any more ends by itself, but not before what it makes was accepted.
const SHORTEST_SEARCH: Duration = Duration::from_secs(1);

/// Which actor a request names, as it was typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Id(String),
    Name { kind: String, name: String },
}

/// The actor that a request names.
pub(crate) fn named(actor_id: String, kind: String, name: String) -> Result<Named, Status> {
    match (actor_id.is_empty(), kind.is_empty(), name.is_empty()) {
        (false, true, true) => Ok(Named::Id(actor_id)),
        (true, false, false) => Ok(Named::Name { kind, name }),
        (true, true, true) => Err(errors::bad_field("actorId", "is missing; give it, or `type` and `name`")),
        (true, false, true) => {
            Err(errors::bad_field("name", "is missing next to `type`; give it, or the actor's id in `actorId`"))
        }
        (true, true, false) => Err(errors::bad_field("type", "is missing next to `name`; ListActorTypes shows them")),
        (false, ..) => {
            Err(errors::bad_field("actorId", "stands next to `type` or `name`; name the actor in one of the two ways"))
        }
    }
}

/// A method to call, of an actor that is not looked up yet.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) json_args: Vec<prost_types::Value>,
    pub(crate) args: Vec<v1::Argument>,
    pub(crate) options: v1::ActorCallOptions,
    pub(crate) request_id: String,
}

/// The call of a method at an actor of that type.
pub(crate) fn call(asked: Asked, kind: &str, to: Address) -> Result<Draft, Status> {
    let Asked { method, json_args, args, options, request_id } = asked;
    if method.is_empty() {
        return Err(errors::bad_field("method", "is empty; ListActorTypes shows the methods of each type"));
    }
    if method.contains('.') {
        return Err(errors::bad_field("method", format!("`{method}` is no method's name alone; the type is known")));
    }
    let draft = request::draft(v1::SubmitTaskRequest {
        function: format!("{kind}.{method}"),
        json_args,
        args,
        display_name: options.display_name,
        timeout: options.call_timeout,
        max_crashes: Some(options.max_crashes),
        cancel_grace: options.cancel_grace,
        labels: options.labels,
        request_id,
        ..Default::default()
    })?;
    Ok(draft.acting(Part::Call { to, waits: options.wait_for_room }))
}

/// An actor to make. What the request leaves open is as its type says, if somebody offers that.
pub(crate) fn host(
    request: &mut v1::SpawnActorRequest,
    usual: Option<Host>,
    near: Option<TaskId>,
) -> Result<Draft, Status> {
    if request.r#type.is_empty() {
        return Err(errors::bad_field("type", "is empty; ListActorTypes shows the types that workers offer"));
    }
    let named = !request.name.is_empty();
    if request.get_or_spawn && !named {
        return Err(errors::bad_field("getOrSpawn", "needs a name: it takes the actor that has it"));
    }
    let host = Host {
        name: named.then(|| request.name.as_str().into()),
        detached: true,
        // One that is asked for by itself stays, also where calls make others.
        on_demand: false,
        idle: None,
        ..options(request.options.take().unwrap_or_default(), usual.unwrap_or_default(), near)?
    };
    let draft = request::draft(v1::SubmitTaskRequest {
        function: request.r#type.clone(),
        json_args: std::mem::take(&mut request.json_args),
        args: std::mem::take(&mut request.args),
        labels: std::mem::take(&mut request.labels),
        request_id: if request.get_or_spawn { String::new() } else { request.request_id.clone() },
        await_worker: request.await_worker,
        ..Default::default()
    })?;
    Ok(draft.acting(Part::Host(host)))
}

/// A search for an actor of that type until it is up.
pub(crate) fn search(
    kind: &str,
    of: Address,
    within: Duration,
    await_worker: bool,
    request_id: String,
) -> Result<Draft, Status> {
    let draft = request::draft(v1::SubmitTaskRequest {
        function: kind.into(),
        timeout: Some(farloop_proto::convert::duration_to_wire(within.max(SHORTEST_SEARCH))),
        request_id,
        await_worker,
        ..Default::default()
    })?;
    Ok(draft.acting(Part::Find { of, up: true }))
}

/// A stop of an actor of that type.
pub(crate) fn stop(kind: &str, actor: TaskId) -> Result<Draft, Status> {
    let draft =
        request::draft(v1::SubmitTaskRequest { function: kind.into(), await_worker: true, ..Default::default() })?;
    Ok(draft.acting(Part::Stop(Address::Actor(actor))))
}

fn options(given: v1::ActorOptions, usual: Host, near: Option<TaskId>) -> Result<Host, Status> {
    let bound = |given: i32, usual: u32, field: &str| match request::count(given, field)? {
        0 => Ok::<_, Status>(usual),
        given => Ok(given),
    };
    let mailbox = bound(given.mailbox, usual.mailbox, "options.mailbox")?;
    let per_caller = bound(given.mailbox_per_caller, usual.per_caller, "options.mailboxPerCaller")?;
    let restart = match given.restart {
        Some(restart) => read_restart(restart, &usual.restart)?,
        None => usual.restart.clone(),
    };
    let placement = match given.placement {
        Some(placement) => read_placement(placement, near)?,
        None => usual.placement.clone(),
    };
    Ok(Host { mailbox, per_caller, restart, placement, ..usual })
}

fn read_restart(given: v1::ActorRestart, usual: &Restart) -> Result<Restart, Status> {
    let when = match given.when() {
        v1::RestartWhen::Unspecified => usual.when,
        v1::RestartWhen::Never => RestartWhen::Never,
        v1::RestartWhen::OnFailure => RestartWhen::OnFailure,
        v1::RestartWhen::Always => RestartWhen::Always,
    };
    let within = request::duration(given.within, "options.restart.within")?;
    if within == Some(Duration::ZERO) {
        return Err(errors::bad_field("options.restart.within", "is no window; write \"60s\""));
    }
    Ok(Restart {
        when,
        at_most: match given.at_most {
            Some(at_most) => request::count(at_most, "options.restart.atMost")?,
            None => usual.at_most,
        },
        within: within.unwrap_or(usual.within),
        backoff: match given.backoff {
            Some(backoff) => request::backoff(backoff)?,
            None => usual.backoff.clone(),
        },
    })
}

fn read_placement(given: v1::ActorPlacement, near: Option<TaskId>) -> Result<Placement, Status> {
    let strategy = match given.strategy() {
        v1::PlacementStrategy::Unspecified | v1::PlacementStrategy::Spread => Strategy::Spread,
        v1::PlacementStrategy::Pack => Strategy::Pack,
    };
    if given.labels.len() > limits::WORKER_LABELS {
        let message = format!("{} labels; the limit WORKER_LABELS is {}", given.labels.len(), limits::WORKER_LABELS);
        return Err(errors::bad_field("options.placement.labels", message));
    }
    // In one order: the same request again must be the same actor.
    let labels: BTreeMap<_, _> = given.labels.into_iter().collect();
    Ok(Placement { labels: labels.into_iter().collect(), strategy, near })
}

/// What a filter of actors asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) kind: Option<String>,
    pub(crate) worker: Option<String>,
}

/// `type=demo.Counter AND worker=0700c321`, and no more than that.
pub(crate) fn filter(text: &str) -> Result<Filter, Status> {
    let mut filter = Filter::default();
    for term in text.split(" AND ").map(str::trim).filter(|_| !text.trim().is_empty()) {
        let (key, value) = term.split_once('=').ok_or_else(|| {
            let message = format!("`{term}` is no term; write `type=demo.Counter AND worker=0700c321`");
            errors::bad_field("filter", message)
        })?;
        let (key, value) = (key.trim(), value.trim().trim_matches('"'));
        let place = match key {
            "type" => &mut filter.kind,
            "worker" => &mut filter.worker,
            _ => return Err(errors::bad_field("filter", format!("`{key}` is no key; type and worker are"))),
        };
        if place.replace(value.into()).is_some() {
            return Err(errors::bad_field("filter", format!("`{key}` stands twice, and no actor meets both")));
        }
    }
    Ok(filter)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on fails
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_named_in_one_way() {
        let said = |id: &str, kind: &str, name: &str| named(id.into(), kind.into(), name.into());
        assert_eq!(said("0700c321", "", "").unwrap(), Named::Id("0700c321".into()));
        assert_eq!(said("", "a.B", "c").unwrap(), Named::Name { kind: "a.B".into(), name: "c".into() });
        let wrong = |id, kind, name| said(id, kind, name).unwrap_err().message().to_owned();
        assert!(wrong("", "", "").contains("give it, or `type` and `name`"));
        assert!(wrong("", "a.B", "").starts_with("name: is missing"));
        assert!(wrong("", "", "c").starts_with("type: is missing"));
        assert!(wrong("0700c321", "a.B", "").contains("in one of the two ways"));
    }

    #[test]
    fn a_filter_is_read_or_explained() {
        let read = filter("type=a.B AND worker = 0700c321").unwrap();
        assert_eq!((read.kind.as_deref(), read.worker.as_deref()), (Some("a.B"), Some("0700c321")));
        assert_eq!(filter(" ").unwrap(), Filter::default());
        assert!(filter("state=UP").unwrap_err().message().contains("type and worker are"));
        assert!(filter("type=a AND type=b").unwrap_err().message().contains("stands twice"));
        assert!(filter("counter").unwrap_err().message().contains("is no term"));
    }

    #[test]
    fn what_a_request_leaves_open_is_as_the_type_says() {
        let usual = Host { mailbox: 7, on_demand: true, idle: Some(Duration::from_secs(1)), ..Host::default() };
        let given = v1::ActorOptions {
            restart: Some(v1::ActorRestart { at_most: Some(0), ..Default::default() }),
            ..Default::default()
        };
        let read = options(given, usual.clone(), None).unwrap();
        assert_eq!((read.mailbox, read.restart.at_most), (7, 0));
        assert_eq!((read.restart.within, read.idle), (usual.restart.within, usual.idle));
        let bad = v1::ActorOptions { mailbox: -1, ..Default::default() };
        assert!(options(bad, usual, None).unwrap_err().message().starts_with("options.mailbox"));
    }
}
