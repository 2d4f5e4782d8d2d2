//! Actors: what a call or a function is to them.

use std::sync::Arc;

use farloop_core::actor::{ActorDef, Address, Host, Part, Placement, Reminder, Restart, RestartWhen, Strategy, Turns};
use farloop_core::frame::Snapshot;

use super::{WireError, duration_from_wire, duration_to_wire, scalar, spec};
use crate::v1;
use crate::v1::actor_address::Address as WireAddress;
use crate::v1::actor_def::Def;
use crate::v1::actor_part::Part as Wire;

/// Pairs of one enum here and there.
macro_rules! pairs {
    ($to:ident, $from:ident, $core:ident, $wire:ident, $what:literal, $($name:ident)*) => {
        fn $to(value: $core) -> i32 {
            match value {
                $($core::$name => v1::$wire::$name.into(),)*
            }
        }
        fn $from(value: i32) -> Result<$core, WireError> {
            match v1::$wire::try_from(value) {
                $(Ok(v1::$wire::$name) => Ok($core::$name),)*
                Ok(v1::$wire::Unspecified) | Err(_) => Err(WireError::Unknown { what: $what, value }),
            }
        }
    };
}
pairs!(when, read_when, RestartWhen, RestartWhen, "time to restart", Never OnFailure Always);
pairs!(strategy, read_strategy, Strategy, PlacementStrategy, "strategy of placement", Spread Pack);
pairs!(turns, read_turns, Turns, Turns, "kind of turn", Alone Shared Interleaved);

pub(super) fn to_wire(part: &Part) -> v1::ActorPart {
    let part = match part {
        Part::Host(host) => Wire::Host(host_to_wire(host)),
        Part::Call { to, waits } => Wire::Call(Box::new(v1::ActorCall { to: address(to), waits: *waits })),
        Part::Find { of, up } => Wire::Find(Box::new(v1::ActorFind { of: address(of), up: *up })),
        Part::Stop(of) => Wire::Stop(Box::new(address_to_wire(of))),
        Part::Remind(reminder) => Wire::Remind(Box::new(v1::Reminder {
            to: address(&reminder.to),
            name: reminder.name.as_ref().into(),
            first: Some(duration_to_wire(reminder.first)),
            every: reminder.every.map(duration_to_wire),
            call: Some(Box::new(spec::to_wire(&reminder.call))),
        })),
    };
    v1::ActorPart { part: Some(part) }
}

/// Reads what a spec is to an actor, where that spec is inside of `level` others.
pub(super) fn from_wire(part: v1::ActorPart, level: usize) -> Result<Part, WireError> {
    Ok(match part.part.ok_or(WireError::Missing("what the call is to its actor"))? {
        Wire::Host(host) => Part::Host(read_host(host)?),
        Wire::Call(call) => Part::Call { to: read_address(call.to, level)?, waits: call.waits },
        Wire::Find(find) => Part::Find { of: read_address(find.of, level)?, up: find.up },
        Wire::Stop(of) => Part::Stop(read_address(Some(of), level)?),
        Wire::Remind(reminder) => {
            let reminder = *reminder;
            let first = reminder.first.ok_or(WireError::Missing("when the reminder is due"))?;
            Part::Remind(Reminder {
                to: read_address(reminder.to, level)?,
                name: reminder.name.into(),
                first: duration_from_wire(first, "the time of the reminder")?,
                every: reminder.every.map(|d| duration_from_wire(d, "the pause of the reminder")).transpose()?,
                call: spec::read(reminder.call.map(|call| *call), level + 1)?,
            })
        }
    })
}

fn address(address: &Address) -> Option<Box<v1::ActorAddress>> {
    Some(Box::new(address_to_wire(address)))
}

fn address_to_wire(address: &Address) -> v1::ActorAddress {
    let address = match address {
        Address::Actor(id) => WireAddress::Actor((*id).into()),
        Address::Name { name, make } => WireAddress::Named(Box::new(v1::ActorName {
            name: name.as_ref().into(),
            make: make.as_deref().map(|make| Box::new(spec::to_wire(make))),
        })),
    };
    v1::ActorAddress { address: Some(address) }
}

fn read_address(address: Option<Box<v1::ActorAddress>>, level: usize) -> Result<Address, WireError> {
    Ok(match address.and_then(|a| a.address).ok_or(WireError::Missing("the actor"))? {
        WireAddress::Actor(id) => Address::Actor(id.into()),
        WireAddress::Named(named) => Address::Name {
            name: named.name.into(),
            make: named.make.map(|make| spec::read(Some(*make), level + 1)).transpose()?,
        },
    })
}

fn host_to_wire(host: &Host) -> v1::ActorHost {
    v1::ActorHost {
        name: host.name.as_deref().map(Into::into),
        on_demand: host.on_demand,
        detached: host.detached,
        mailbox: host.mailbox,
        per_caller: host.per_caller,
        // Also where it is the default: a journal is read by later versions, and theirs may be another one.
        restart: Some(v1::Restart {
            when: when(host.restart.when),
            at_most: host.restart.at_most,
            within: Some(duration_to_wire(host.restart.within)),
            backoff: Some(spec::backoff(&host.restart.backoff)),
        }),
        idle: host.idle.map(duration_to_wire),
        placement: (!host.placement.is_anywhere()).then(|| v1::Placement {
            labels: spec::labels(&host.placement.labels),
            strategy: strategy(host.placement.strategy),
            near: host.placement.near.map(Into::into),
        }),
        group: host.group.map(scalar::id_to_wire),
    }
}

fn read_host(host: v1::ActorHost) -> Result<Host, WireError> {
    Ok(Host {
        name: host.name.map(Into::into),
        on_demand: host.on_demand,
        detached: host.detached,
        mailbox: host.mailbox,
        per_caller: host.per_caller,
        restart: host.restart.map_or_else(|| Ok(Restart::default()), read_restart)?,
        idle: host.idle.map(|d| duration_from_wire(d, "idle")).transpose()?,
        placement: host.placement.map_or_else(|| Ok(Placement::default()), read_placement)?,
        group: host.group.map(|id| scalar::whole(id.high, id.low)),
    })
}

fn read_restart(restart: v1::Restart) -> Result<Restart, WireError> {
    let within = restart.within.ok_or(WireError::Missing("the window of restarts"))?;
    Ok(Restart {
        when: read_when(restart.when)?,
        at_most: restart.at_most,
        within: duration_from_wire(within, "the window of restarts")?,
        backoff: spec::read_backoff(restart.backoff.ok_or(WireError::Missing("the pause before a restart"))?)?,
    })
}

fn read_placement(placement: v1::Placement) -> Result<Placement, WireError> {
    Ok(Placement {
        labels: spec::read_labels(placement.labels),
        strategy: read_strategy(placement.strategy)?,
        near: placement.near.map(Into::into),
    })
}

pub(super) fn def_to_wire(def: &ActorDef) -> v1::ActorDef {
    let def = match def {
        ActorDef::Type(host) => Def::Type(host_to_wire(host)),
        ActorDef::Method(kind) => Def::Method(turns(*kind)),
    };
    v1::ActorDef { def: Some(def) }
}

pub(super) fn read_def(def: v1::ActorDef) -> Result<Arc<ActorDef>, WireError> {
    Ok(Arc::new(match def.def.ok_or(WireError::Missing("what the function is to an actor"))? {
        Def::Type(host) => ActorDef::Type(read_host(host)?),
        Def::Method(kind) => ActorDef::Method(read_turns(kind)?),
    }))
}

pub(super) fn snapshot_to_wire(snapshot: Snapshot) -> v1::ActorSnapshot {
    v1::ActorSnapshot {
        incarnation: Some(snapshot.incarnation.into()),
        state: snapshot.state,
        with: snapshot.with.map(Into::into),
    }
}

pub(super) fn read_snapshot(snapshot: v1::ActorSnapshot) -> Result<Snapshot, WireError> {
    Ok(Snapshot {
        incarnation: snapshot.incarnation.map(Into::into).ok_or(WireError::Missing("the incarnation"))?,
        state: snapshot.state,
        with: snapshot.with.map(Into::into),
    })
}
