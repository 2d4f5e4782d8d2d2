//! What points to an actor: its type and its address. No connection and no lease: it is as cheap as a name.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;

use farloop_core::actor::{ActorDef, Address, Host, Part};
use farloop_core::id::TaskId;
use farloop_core::spec::{Options, Spec};
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::coro::{self, Coro};
use crate::definition::Definition;
use crate::error::{Error, Result};

/// What every reference can do, whatever the type of its actor: a `CounterRef` dereferences to it. (Where a method of
/// the type has the same name as one of these, that one is called; this one is then `Handle::stop(&counter)`.)
///
/// A reference made by `spawn` or `lookup` means that one actor, by its id: through restarts and moves it is the same one,
/// and once it is over ([`Error::ActorDied`]) the reference is of no use, whoever has its name then. One made by
/// `at("user-42")` means whoever has the name.
///
/// **Dropping** a reference does nothing to the actor. Two are equal if they are of one type and have the same id, or the
/// same name where they have no id.
#[derive(Clone)]
pub struct Handle(Arc<Target>);

struct Target {
    definition: &'static Definition,
    /// Where the address itself does not say it.
    name: Option<Arc<str>>,
    /// What each call by this reference is, made once.
    call: Arc<Part>,
}

/// A reference that `#[farloop::actor]` wrote: `CounterRef`.
pub trait ActorRef:
    Deref<Target = Handle> + From<Handle> + Clone + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The definition of the actor's type.
    #[doc(hidden)]
    const DEFINITION: &'static Definition;
}

impl Handle {
    pub(crate) fn new(definition: &'static Definition, to: Address, name: Option<Arc<str>>) -> Self {
        Self(Arc::new(Target { definition, name, call: Arc::new(Part::Call { to, waits: false }) }))
    }

    /// By its name, whoever that is.
    pub(crate) fn named(definition: &'static Definition, name: Arc<str>) -> Self {
        let make = on_demand(definition, &name);
        Self::new(definition, Address::Name { name, make }, None)
    }

    /// What a call of it is.
    pub(crate) fn part(&self) -> &Arc<Part> {
        &self.0.call
    }

    pub(crate) fn definition(&self) -> &'static Definition {
        self.0.definition
    }

    pub(crate) fn address(&self) -> &Address {
        match &*self.0.call {
            Part::Call { to, .. } => to,
            _ => unreachable!("a handle is made with a call, above"),
        }
    }

    /// The actor's type, as it is called on the wire: `package.Type`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.0.definition.name
    }

    /// The id of the actor, which is that of its task; none for a reference by name (`at`).
    #[must_use]
    pub fn id(&self) -> Option<TaskId> {
        match self.address() {
            Address::Actor(id) => Some(*id),
            Address::Name { .. } => None,
        }
    }

    /// The name, where this reference knows it: it was made by `at`, or by awaiting `spawn(..).name(..)`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self.address() {
            Address::Name { name, .. } => Some(name),
            Address::Actor(_) => self.0.name.as_deref(),
        }
    }

    /// Asks the coordinator who that is now.
    pub(crate) fn find<R>(&self, location: &'static Location<'static>) -> Coro<R> {
        let find = Part::Find { of: self.address().clone(), up: false };
        Coro::from_spec(coro::about(self.0.definition, find, location))
    }

    /// The id, asked for where it is not known.
    pub(crate) async fn resolve(&self, location: &'static Location<'static>) -> Result<TaskId> {
        match self.id() {
            Some(id) => Ok(id),
            None => Ok(self.find::<Found>(location).await?.0),
        }
    }

    /// Whether the actor is there: made, and not over. It may be on its way from one worker to another. An actor that is
    /// made on demand and sleeps is not.
    ///
    /// # Errors
    /// No loop, a lost session; `Cancelled` of the asking task.
    #[track_caller]
    pub fn exists(&self) -> impl Future<Output = Result<bool>> + Send + use<> {
        let found = self.find::<Found>(Location::caller());
        async move {
            match found.await {
                Ok(_) => Ok(true),
                Err(Error::ActorDied(_)) => Ok(false),
                Err(error) => Err(error),
            }
        }
    }

    /// Reads a reference to an actor of that type.
    #[doc(hidden)]
    pub fn read<'de, D: Deserializer<'de>>(definition: &'static Definition, from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader(definition))
    }
}

impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        let key = |handle: &Self| (handle.id(), handle.id().is_none().then(|| handle.name().map(str::to_owned)));
        self.type_name() == other.type_name() && key(self) == key(other)
    }
}
impl Eq for Handle {}

impl Hash for Handle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.id() {
            Some(id) => id.hash(state),
            None => self.name().hash(state),
        }
    }
}

impl fmt::Debug for Handle {
    /// `<actor demo.Counter 'hits'>`, with the id where there is no name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<actor {}", self.type_name())?;
        match (self.name(), self.id()) {
            (Some(name), _) => write!(f, " '{name}'>"),
            (None, Some(id)) => write!(f, " {id}>"),
            (None, None) => f.write_str(">"),
        }
    }
}

// ---- as an argument, a result, or JSON that a person reads: {"actor": "demo.Counter", "id": "0198…", "name": "hits"}

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (id, name) = (self.id(), self.name());
        let mut map = to.serialize_map(Some(1 + usize::from(id.is_some()) + usize::from(name.is_some())))?;
        map.serialize_entry("actor", self.type_name())?;
        if let Some(id) = id {
            map.serialize_entry("id", &id.to_string())?;
        }
        if let Some(name) = name {
            map.serialize_entry("name", name)?;
        }
        map.end()
    }
}

struct Reader(&'static Definition);

impl<'de> Visitor<'de> for Reader {
    type Value = Handle;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a reference to an actor of type {}", self.0.name)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Handle, M::Error> {
        let (mut id, mut name) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "actor" => {
                    let of: String = map.next_value()?;
                    if of != self.0.name {
                        let text =
                            format!("a reference to an actor of type {of}, where one of type {} belongs", self.0.name);
                        return Err(de::Error::custom(text));
                    }
                }
                "id" => id = map.next_value::<Option<String>>()?,
                "name" => name = map.next_value::<Option<String>>()?,
                _ => drop(map.next_value::<de::IgnoredAny>()?),
            }
        }
        let name = name.map(Arc::from);
        match (id, name) {
            (Some(text), name) => match TaskId::parse(&text) {
                Some(id) => Ok(Handle::new(self.0, Address::Actor(id), name)),
                None => Err(de::Error::custom(format!("'{text}' is no actor's id"))),
            },
            (None, Some(name)) => Ok(Handle::named(self.0, name)),
            (None, None) => Err(de::Error::custom("a reference to an actor has an id or a name")),
        }
    }

    /// What the coordinator says of an actor that was asked for.
    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Handle, E> {
        Ok(Handle::new(self.0, Address::Actor(id_of(bytes)?), None))
    }
}

/// The coordinator's answer to `Find`, for an actor of any type.
pub(crate) struct Found(pub(crate) TaskId);

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Found;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the 16 bytes of an actor's id")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Found, E> {
                id_of(bytes).map(Found)
            }
        }
        from.deserialize_bytes(Bytes)
    }
}

fn id_of<E: de::Error>(bytes: &[u8]) -> Result<TaskId, E> {
    let id = bytes.try_into().map_err(|_| E::custom("an actor's id has 16 bytes"))?;
    Ok(TaskId(u128::from_be_bytes(id)))
}

/// How an actor is made that a call of its name makes. Each call says it: a coordinator that has just started, or a worker of
/// this process that learns definitions as they are used, does not know the type yet.
fn on_demand(definition: &'static Definition, name: &Arc<str>) -> Option<Arc<Spec>> {
    let ActorDef::Type(host) = (definition.actor?.def)() else { return None };
    if !host.on_demand {
        return None;
    }
    let host = Host { name: Some(name.clone()), detached: true, ..host };
    Some(Arc::new(Spec {
        function: definition.name.into(),
        fingerprint: definition.fingerprint,
        args: crate::codec::encode(&(&**name,)).ok()?,
        dependencies: Vec::new(),
        name: None,
        options: Options::default(),
        trace: None,
        context: None,
        stream: false,
        actor: Some(Arc::new(Part::Host(host))),
    }))
}
