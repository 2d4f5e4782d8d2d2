//! One run of a body, seen from inside: the arguments as they came, and how they become values.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use farloop_core::outcome::FailureKind;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::codec;
use crate::definition::{BodyError, Definition};
use crate::state::StateMap;

/// What a body is given.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Name of the function.
    pub function: Arc<str>,
    /// One MessagePack array; nil where an input stands in.
    pub args: Bytes,
    /// Values of arguments that were tasks.
    pub inputs: Vec<Input>,
    /// The worker's shared state.
    pub state: Arc<StateMap>,
}

/// The value of an argument that was a task, or the values of one that was a gather.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Which argument, from 0.
    pub position: u32,
    /// Whether the argument is the list of the values, rather than the one value.
    pub list: bool,
    /// Encoded, in order.
    pub values: Vec<Bytes>,
}

impl Invocation {
    /// Begins to read the arguments of `definition`.
    ///
    /// # Errors
    /// `BadArguments` if they are not one array of as many as the function takes.
    pub fn decoder(&self, definition: &'static Definition) -> Result<ArgDecoder<'_>, BodyError> {
        let refused = |message| Err(BodyError::refused(FailureKind::BadArguments, definition.name, message));
        let Some((given, elements)) = array(&self.args) else {
            return refused(format!("function {}: the arguments are not one MessagePack array", definition.name));
        };
        let takes = definition.args.len();
        if given as usize != takes {
            return refused(format!(
                "function {} takes {takes} {} ({}), {given} {} given",
                definition.name,
                if takes == 1 { "argument" } else { "arguments" },
                definition.arguments(),
                if given == 1 { "was" } else { "were" },
            ));
        }
        Ok(ArgDecoder { definition, inputs: &self.inputs, rest: rmp_serde::Deserializer::new(elements), position: 0 })
    }

    /// The worker's shared value of type `T`.
    ///
    /// # Errors
    /// There is none; the text says how to hand one in.
    pub fn state<T: Send + Sync + 'static>(&self, definition: &'static Definition) -> Result<Arc<T>, BodyError> {
        self.state.get().ok_or_else(|| {
            let wanted = std::any::type_name::<T>();
            let there = match self.state.type_names().join(", ") {
                none if none.is_empty() => "nothing".to_owned(),
                names => names,
            };
            let message = format!(
                "function {} wants the state {wanted}, and this worker has {there}: hand it in with Worker::with(..)",
                definition.name
            );
            BodyError::refused(FailureKind::Raised, definition.name, message)
        })
    }
}

/// Turns the arguments into values, one after the other.
pub struct ArgDecoder<'a> {
    definition: &'static Definition,
    inputs: &'a [Input],
    /// Stands at the element for `position`.
    rest: rmp_serde::Deserializer<rmp_serde::decode::ReadReader<&'a [u8]>>,
    position: u32,
}

impl<'a> ArgDecoder<'a> {
    /// The next argument.
    ///
    /// # Errors
    /// `BadArguments`, naming function, argument, position, the expected type and what was found.
    pub fn next_arg<T: DeserializeOwned>(&mut self) -> Result<T, BodyError> {
        let position = self.position;
        self.position += 1;
        let here: &'a [u8] = self.rest.get_ref();
        match self.inputs.iter().find(|input| input.position == position) {
            None => match T::deserialize(&mut self.rest) {
                Ok(value) => Ok(value),
                Err(error) => self.typed_by_hand(here).ok_or_else(|| self.wrong(position, "", here, &error)),
            },
            Some(input) => {
                // Its place in the array is nil.
                IgnoredAny::deserialize(&mut self.rest).map_err(|error| self.wrong(position, "", here, &error))?;
                let value = input.bytes();
                rmp_serde::from_slice(&value)
                    .map_err(|error| self.wrong(position, ", the result of another task", &value, &error))
            }
        }
    }

    /// The argument at the head of `here`, which is no `T` as it stands: JSON has no whole numbers past 2^53, so people
    /// type them as texts, which is also how they are shown.
    fn typed_by_hand<T: DeserializeOwned>(&mut self, here: &'a [u8]) -> Option<T> {
        let mut rest = rmp_serde::Deserializer::new(here);
        IgnoredAny::deserialize(&mut rest).ok()?;
        let (value, after) = here.split_at(here.len() - rest.get_ref().len());
        let value = rmp_serde::from_slice(&codec::large_numbers(value)?).ok()?;
        // Where a deserializer stands that has failed is nobody's promise.
        self.rest = rmp_serde::Deserializer::new(after);
        Some(value)
    }

    fn wrong(&self, position: u32, what: &str, bytes: &[u8], error: &rmp_serde::decode::Error) -> BodyError {
        let (name, of) = self.definition.args.get(position as usize).copied().unwrap_or(("?", "?"));
        let message = format!(
            "function {}, argument {} ({name}: {of}){what}: {}",
            self.definition.name,
            position + 1,
            codec::mismatch(of, bytes, error)
        );
        BodyError::refused(FailureKind::BadArguments, self.definition.name, message)
    }
}

impl fmt::Debug for ArgDecoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArgDecoder")
            .field("function", &self.definition.name)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Input {
    fn bytes(&self) -> Bytes {
        match (self.list, self.values.as_slice()) {
            (false, [value]) => value.clone(),
            // The members are encoded values already: a list of them is a header and the values.
            (_, values) => {
                let mut list = Vec::with_capacity(5 + values.iter().map(Bytes::len).sum::<usize>());
                codec::array_header(&mut list, values.len());
                for value in values {
                    list.extend_from_slice(value);
                }
                list.into()
            }
        }
    }
}

/// Length of the array that `bytes` begin with, and what follows the header.
fn array(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&marker, rest) = bytes.split_first()?;
    match marker {
        0x90..=0x9f => Some((u32::from(marker & 0x0f), rest)),
        0xdc => rest.split_first_chunk().map(|(n, rest)| (u32::from(u16::from_be_bytes(*n)), rest)),
        0xdd => rest.split_first_chunk().map(|(n, rest)| (u32::from_be_bytes(*n), rest)),
        _ => None,
    }
}
