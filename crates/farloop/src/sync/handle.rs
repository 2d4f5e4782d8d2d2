//! Which primitive a handle stands for, and how it travels.

use std::fmt;
use std::sync::{Arc, OnceLock};

use farloop_core::id::{PrimitiveId, SessionId};
use farloop_core::sync::{Primitive, PrimitiveKind, PrimitiveName};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ambient;
use crate::body::Body;

/// What all handles of one primitive have in common.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Inner>);

struct Inner {
    name: Name,
    kind: PrimitiveKind,
    size: u64,
    /// For people.
    label: Arc<str>,
}

enum Name {
    Shared(Arc<str>),
    Own {
        id: PrimitiveId,
        /// Known where there is a loop: at the making, or else at the first use.
        owner: OnceLock<Option<SessionId>>,
    },
}

pub(crate) fn new_id() -> PrimitiveId {
    PrimitiveId(uuid::Uuid::now_v7().as_u128())
}

/// The session at the top of the task tree that runs here; none if that is detached.
fn owner_here() -> Option<Option<SessionId>> {
    let root = Body::current().and_then(|body| body.root());
    root.or_else(|| ambient::find().map(|home| Some(home.session().id())))
}

impl Handle {
    pub(crate) fn own(kind: PrimitiveKind, size: u64) -> Self {
        let owner = OnceLock::new();
        if let Some(here) = owner_here() {
            let _ = owner.set(here);
        }
        Self::make(Name::Own { id: new_id(), owner }, kind, size)
    }

    pub(crate) fn shared(name: Arc<str>, kind: PrimitiveKind, size: u64) -> Self {
        Self::make(Name::Shared(name), kind, size)
    }

    fn make(name: Name, kind: PrimitiveKind, size: u64) -> Self {
        let word = match kind {
            PrimitiveKind::Semaphore => "semaphore",
            PrimitiveKind::Lock => "lock",
            PrimitiveKind::Event => "event",
            PrimitiveKind::Queue | PrimitiveKind::LifoQueue | PrimitiveKind::PriorityQueue => "queue",
            PrimitiveKind::Barrier => "barrier",
        };
        let label = match &name {
            Name::Shared(name) => format!("{word} '{name}'"),
            Name::Own { id, .. } => format!("{word} {id}"),
        };
        Self(Arc::new(Inner { name, kind, size, label: label.into() }))
    }

    /// The same primitive as another kind: for a handle that nobody has used.
    pub(crate) fn with_kind(&self, kind: PrimitiveKind) -> Self {
        let name = match &self.0.name {
            Name::Shared(name) => Name::Shared(name.clone()),
            Name::Own { id, owner } => Name::Own { id: *id, owner: owner.clone() },
        };
        Self::make(name, kind, self.0.size)
    }

    pub(crate) fn size(&self) -> u64 {
        self.0.size
    }

    /// `lock 'db'`.
    pub(crate) fn label(&self) -> &Arc<str> {
        &self.0.label
    }

    pub(crate) fn name(&self) -> Option<&str> {
        match &self.0.name {
            Name::Shared(name) => Some(name),
            Name::Own { .. } => None,
        }
    }

    /// For the wire; called where there is a loop.
    pub(crate) fn primitive(&self) -> Primitive {
        let name = match &self.0.name {
            Name::Shared(name) => PrimitiveName::Shared(name.clone()),
            Name::Own { id, owner } => {
                PrimitiveName::Own { id: *id, owner: *owner.get_or_init(|| owner_here().flatten()) }
            }
        };
        Primitive { name, kind: self.0.kind, size: self.0.size }
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.0.name, &other.0.name) {
            (Name::Shared(a), Name::Shared(b)) => a == b,
            (Name::Own { id: a, .. }, Name::Own { id: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// How it travels.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
struct Travelling {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    kind: Kind,
    size: u64,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Semaphore,
    Lock,
    Event,
    Queue,
    LifoQueue,
    PriorityQueue,
    Barrier,
}

macro_rules! kinds {
    ($($name:ident)*) => {
        impl From<PrimitiveKind> for Kind {
            fn from(kind: PrimitiveKind) -> Self {
                match kind { $(PrimitiveKind::$name => Self::$name,)* }
            }
        }
        impl From<Kind> for PrimitiveKind {
            fn from(kind: Kind) -> Self {
                match kind { $(Kind::$name => Self::$name,)* }
            }
        }
    };
}
kinds!(Semaphore Lock Event Queue LifoQueue PriorityQueue Barrier);

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (name, id, owner) = match &self.0.name {
            Name::Shared(name) => (Some(name.to_string()), None, None),
            Name::Own { id, owner } => {
                let Some(owner) = owner.get().copied().or_else(owner_here) else {
                    return Err(serde::ser::Error::custom(format!(
                        "{} was made and never used where a loop runs: nobody would own it",
                        self.0.label
                    )));
                };
                (None, Some(id.to_string()), owner.map(|o| o.to_string()))
            }
        };
        Travelling { name, id, owner, kind: self.0.kind.into(), size: self.0.size }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Handle {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let it = Travelling::deserialize(from)?;
        let name = match (it.name, it.id) {
            (Some(name), None) => Name::Shared(name.into()),
            (None, Some(id)) => {
                let id = PrimitiveId::parse(&id).ok_or_else(|| D::Error::custom(format!("'{id}' is no id")))?;
                let owner = match it.owner {
                    None => None,
                    Some(text) => match SessionId::parse(&text) {
                        Some(owner) => Some(owner),
                        None => return Err(D::Error::custom(format!("'{text}' is no session id"))),
                    },
                };
                Name::Own { id, owner: OnceLock::from(owner) }
            }
            _ => return Err(D::Error::custom("a primitive has a name or an id")),
        };
        Ok(Self::make(name, it.kind.into(), it.size))
    }
}

/// Reads a handle of one of these kinds.
pub(crate) fn of_kind<'de, D: Deserializer<'de>>(kinds: &[PrimitiveKind], from: D) -> Result<Handle, D::Error> {
    let handle = Handle::deserialize(from)?;
    if kinds.contains(&handle.0.kind) {
        return Ok(handle);
    }
    Err(serde::de::Error::custom(format!("another primitive was expected, found {}", handle.0.label)))
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.0.label)
    }
}

/// What every handle type has: `Serialize`, `Deserialize`, equality by identity, `Debug`.
macro_rules! handle {
    ($name:ident, $kind:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
                self.0.serialize(to)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
                let kind = farloop_core::sync::PrimitiveKind::$kind;
                crate::sync::handle::of_kind(&[kind], from).map(Self)
            }
        }
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.is_same(&other.0)
            }
        }
        impl Eq for $name {}
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}
pub(crate) use handle;
