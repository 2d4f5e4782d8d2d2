//! What calls and functions are to actors.

use farloop_core::actor::{
    ActorDef, Address, Host, Part, Placement, Reminder, Restart, RestartWhen, Strategy as Spreading, Turns,
};
use farloop_core::frame::{Snapshot, StartMore};
use farloop_core::limits::SPEC_NESTING;

use super::*;

fn restart() -> impl Strategy<Value = Restart> {
    let when = select(vec![RestartWhen::Never, RestartWhen::OnFailure, RestartWhen::Always]);
    let made = (when, any::<u32>(), time(), backoff()).prop_map(|(when, at_most, within, backoff)| Restart {
        when,
        at_most,
        within,
        backoff,
    });
    prop_oneof![Just(Restart::default()), made]
}
fn placement() -> impl Strategy<Value = Placement> {
    let made = (pairs(), select(vec![Spreading::Spread, Spreading::Pack]), of(task()))
        .prop_map(|(labels, strategy, near)| Placement { labels, strategy, near });
    prop_oneof![Just(Placement::default()), made]
}
fn host() -> impl Strategy<Value = Host> {
    let numbers = (any::<u32>(), any::<u32>());
    (of(text()), any::<bool>(), numbers, restart(), of(time()), placement(), of(any::<u128>())).prop_map(
        |(name, on_demand, (mailbox, per_caller), restart, idle, placement, group)| Host {
            name: name.map(Into::into),
            on_demand,
            detached: !on_demand,
            mailbox,
            per_caller,
            restart,
            idle,
            placement,
            group,
        },
    )
}
fn address(make: &BoxedStrategy<Arc<Spec>>) -> BoxedStrategy<Address> {
    let name = (text(), of(make.clone())).prop_map(|(name, make)| Address::Name { name: name.into(), make }).boxed();
    prop_oneof![task().prop_map(Address::Actor), name].boxed()
}

/// All that a spec can be to an actor, with such specs inside.
pub(super) fn part(inside: &BoxedStrategy<Arc<Spec>>) -> BoxedStrategy<Arc<Part>> {
    let remind =
        (address(inside), text(), time(), of(time()), inside.clone()).prop_map(|(to, name, first, every, call)| {
            Part::Remind(Reminder { to, name: name.into(), first, every, call })
        });
    prop_oneof![
        host().prop_map(Part::Host).boxed(),
        (address(inside), any::<bool>()).prop_map(|(to, waits)| Part::Call { to, waits }).boxed(),
        (address(inside), any::<bool>()).prop_map(|(of, up)| Part::Find { of, up }).boxed(),
        address(inside).prop_map(Part::Stop).boxed(),
        remind.boxed(),
    ]
    .prop_map(Arc::new)
    .boxed()
}
pub(super) fn def() -> BoxedStrategy<Arc<ActorDef>> {
    let method = select(vec![Turns::Alone, Turns::Shared, Turns::Interleaved]).prop_map(ActorDef::Method);
    prop_oneof![host().prop_map(ActorDef::Type), method].prop_map(Arc::new).boxed()
}
pub(super) fn snapshot() -> BoxedStrategy<Snapshot> {
    (attempt(), payload(), of(attempt()))
        .prop_map(|(incarnation, state, with)| Snapshot { incarnation, state, with })
        .boxed()
}
pub(super) fn more() -> BoxedStrategy<Option<Box<StartMore>>> {
    (of(payload()), of(attempt()), any::<bool>())
        .prop_map(|(details, incarnation, reenters)| {
            let more = StartMore { details, incarnation, reenters };
            (more != StartMore::default()).then(|| Box::new(more))
        })
        .boxed()
}

fn plain(actor: Option<Part>) -> Arc<Spec> {
    Arc::new(Spec {
        function: "bank.Account".into(),
        fingerprint: 0,
        args: Bytes::new(),
        dependencies: Vec::new(),
        name: None,
        options: Options::default(),
        trace: None,
        context: None,
        stream: false,
        actor: actor.map(Arc::new),
    })
}
fn submit(spec: Arc<Spec>) -> FromPeer {
    let submit = Submit { task: TaskId(1), spec, owner: Owner::Root, creator: None, within: None };
    FromPeer::Batch(Batch { first: 1, ack: 0, items: vec![Item::Frame(Up::Submit(submit))] })
}

/// A peer decides how deep the reader goes, and so there is an end to it.
#[test]
fn specs_inside_specs_end_somewhere() {
    let nested = |levels| {
        (0..levels)
            .fold(plain(None), |make, _| plain(Some(Part::Stop(Address::Name { name: "a".into(), make: Some(make) }))))
    };
    let sent = |levels| {
        let bytes = ConnectRequest::from(submit(nested(levels))).encode_to_vec();
        FromPeer::try_from(ConnectRequest::decode(bytes.as_slice()).unwrap())
    };
    assert_eq!(sent(SPEC_NESTING), Ok(submit(nested(SPEC_NESTING))));
    let refused = sent(SPEC_NESTING + 1).unwrap_err();
    assert_eq!(refused, WireError::TooDeep("specs"));
    assert_eq!(refused.to_string(), "specs are inside of each other more than 4 deep (SPEC_NESTING)");
    // Here protobuf itself gives up, at a hundred messages.
    assert_eq!(sent(30), Err(WireError::Malformed));
}

/// What becomes of an item that the generated code wrote.
fn told(item: v1::up_item::Item) -> Result<FromPeer, WireError> {
    let batch = v1::UpBatch { first: 1, ack: 0, items: vec![v1::UpItem { tail: false, item: Some(item) }] };
    let bytes = Request { hello: None, batch: Some(batch) }.encode_to_vec();
    FromPeer::try_from(ConnectRequest::decode(bytes.as_slice()).unwrap())
}
fn submitted(part: v1::ActorPart) -> Result<FromPeer, WireError> {
    let spec = v1::Spec { function: "bank.Account".into(), actor: Some(Box::new(part)), ..Default::default() };
    let mut submit = v1::Submit { task: Some(TaskId(1).into()), spec: Some(spec), ..Default::default() };
    submit.set_owner(v1::Owner::Root);
    told(v1::up_item::Item::Submit(submit))
}

#[test]
fn half_a_part_is_an_error_that_says_which_half() {
    use v1::actor_part::Part as Wire;
    let of = |part| submitted(v1::ActorPart { part: Some(part) }).unwrap_err();
    assert_eq!(submitted(v1::ActorPart::default()).unwrap_err(), WireError::Missing("what the call is to its actor"));
    assert_eq!(of(Wire::Call(Box::default())), WireError::Missing("the actor"));
    assert_eq!(of(Wire::Find(Box::default())), WireError::Missing("the actor"));
    assert_eq!(of(Wire::Stop(Box::default())), WireError::Missing("the actor"));

    let to = v1::ActorAddress { address: Some(v1::actor_address::Address::Actor(TaskId(1).into())) };
    let remind = v1::Reminder { to: Some(Box::new(to)), ..Default::default() };
    assert_eq!(of(Wire::Remind(Box::new(remind.clone()))), WireError::Missing("when the reminder is due"));
    let remind = v1::Reminder { first: Some(prost_types::Duration::default()), ..remind };
    assert_eq!(of(Wire::Remind(Box::new(remind.clone()))), WireError::Missing("the spec"));
    let remind = v1::Reminder { every: Some(prost_types::Duration { seconds: -1, nanos: 0 }), ..remind };
    assert_eq!(of(Wire::Remind(Box::new(remind))), WireError::BadDuration("the pause of the reminder"));

    let host = |restart, placement| of(Wire::Host(v1::ActorHost { restart, placement, ..Default::default() }));
    let restart = v1::Restart { within: Some(prost_types::Duration::default()), ..Default::default() };
    assert_eq!(host(Some(v1::Restart::default()), None), WireError::Missing("the window of restarts"));
    let unknown = WireError::Unknown { what: "time to restart", value: 0 };
    assert_eq!(host(Some(v1::Restart { backoff: Some(v1::Backoff::default()), ..restart }), None), unknown);
    assert_eq!(host(Some(v1::Restart { when: 1, ..restart }), None), WireError::Missing("the pause before a restart"));
    let unknown = WireError::Unknown { what: "strategy of placement", value: 9 };
    assert_eq!(host(None, Some(v1::Placement { strategy: 9, ..Default::default() })), unknown);
}

#[test]
fn a_function_of_no_known_kind_is_an_error() {
    let offered = |actor| {
        let def = v1::FunctionDef { name: "bank.Account".into(), actor: Some(actor), ..Default::default() };
        told(v1::up_item::Item::Offer(v1::Offer { functions: vec![def] })).unwrap_err()
    };
    assert_eq!(offered(v1::ActorDef::default()), WireError::Missing("what the function is to an actor"));
    let turns = v1::ActorDef { def: Some(v1::actor_def::Def::Method(7)) };
    assert_eq!(offered(turns), WireError::Unknown { what: "kind of turn", value: 7 });
}

/// A host of which only the bounds were said has the restarts that its documentation names.
#[test]
fn what_is_absent_is_the_default() {
    let host = v1::ActorHost { mailbox: 10, per_caller: 2, ..Default::default() };
    let part = v1::ActorPart { part: Some(v1::actor_part::Part::Host(host)) };
    let host = Host { mailbox: 10, per_caller: 2, ..Host::default() };
    assert_eq!(submitted(part), Ok(submit(plain(Some(Part::Host(host))))));
}
