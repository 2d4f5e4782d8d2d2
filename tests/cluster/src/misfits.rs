//! Functions whose results cannot travel, and signatures that fit no function of the counting worker.

use serde::{Serialize, Serializer};

/// A result without an encoding.
#[derive(Debug)]
pub struct Unspeakable;

impl Serialize for Unspeakable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("words fail me"))
    }
}

impl<'de> serde::Deserialize<'de> for Unspeakable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

/// Returns what does not encode.
#[farloop::task(name = "misfit.unspeakable")]
pub async fn unspeakable() -> Unspeakable {
    Unspeakable
}

/// Returns that many bytes of text.
#[farloop::task(name = "misfit.huge")]
pub async fn huge(bytes: usize) -> String {
    "x".repeat(bytes)
}

/// Takes a text and tells its length: an argument that may be too large.
#[farloop::task(name = "misfit.length")]
pub async fn length(text: String) -> usize {
    text.len()
}

/// What the counting worker calls `count.add`, as somebody remembers it who has it wrong.
pub mod misremembered {
    /// The worker's takes two numbers.
    #[farloop::task(name = "count.add")]
    pub async fn add(all: Vec<u64>) -> u64;
}

/// Another function of a name that is taken.
pub mod twin {
    /// It has the name of [`super::huge()`].
    #[farloop::task(name = "misfit.huge")]
    pub async fn another() {}
}

/// Offers them.
#[must_use]
pub fn offer(worker: farloop::Worker) -> farloop::Worker {
    worker.task::<unspeakable>().task::<huge>().task::<length>()
}
