//! The errors that bodies raise: CPython's, by name and text.

use serde::{Deserialize, Serialize};

/// A value is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub String);

/// A key is not there. Python quotes the key in the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("'{0}'")]
pub struct KeyError(pub String);

/// Anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct RuntimeError(pub String);

/// Which error a body is told to raise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// [`ValueError`].
    Value(String),
    /// [`KeyError`].
    Key(String),
    /// A panic.
    Panic(String),
}

impl Fault {
    /// `ValueError(text)`.
    #[must_use]
    pub fn value(text: &str) -> Option<Self> {
        Some(Self::Value(text.to_owned()))
    }

    /// `KeyError(text)`.
    #[must_use]
    pub fn key(text: &str) -> Option<Self> {
        Some(Self::Key(text.to_owned()))
    }

    /// The error, typed.
    ///
    /// # Panics
    /// If a panic is what was asked for.
    #[must_use]
    pub fn raise(self) -> farloop::Error {
        match self {
            Self::Value(text) => farloop::Error::typed(ValueError(text)),
            Self::Key(text) => farloop::Error::typed(KeyError(text)),
            Self::Panic(text) => panic!("{text}"),
        }
    }
}
