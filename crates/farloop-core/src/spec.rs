//! What a coroutine is before it runs: function, arguments, options.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use crate::id::TaskId;

/// A described call. Shared, never changed: submit frame, task record and start frame hold the same one.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Registered function: `package.function`.
    pub function: Arc<str>,
    /// Fingerprint of the signature as the caller knows it; 0 if the caller does not know (untyped calls).
    pub fingerprint: u64,
    /// The arguments: one MessagePack array. Where a dependency stands for an argument the array holds nil.
    pub args: Bytes,
    /// Arguments that are other tasks' results.
    pub dependencies: Vec<Dependency>,
    /// Name for people (`Task-7`); need not be unique.
    pub name: Option<Arc<str>>,
    /// The rest.
    pub options: Options,
    /// W3C trace context of the caller, if it is traced.
    pub trace: Option<Arc<Trace>>,
    /// The caller's context variables, sorted by name; at most [`limits::CONTEXT`](crate::limits::CONTEXT) bytes.
    pub context: Option<Arc<Vec<ContextValue>>>,
    /// The caller wants the items one by one: the submitting session is their consumer. Not set for a call of a stream
    /// function whose caller wants all items as one list.
    pub stream: bool,
}

impl Spec {
    /// Bytes of its parts besides the arguments that have no fixed size.
    #[must_use]
    pub fn aside_len(&self) -> usize {
        let dependencies: usize = self.dependencies.iter().map(|d| 8 + d.tasks.len() * 20).sum();
        let labels: usize = self.options.labels.iter().map(|(k, v)| k.len() + v.len() + 8).sum();
        let trace = self.trace.as_ref().map_or(0, |t| t.parent.len() + t.state.len());
        let context = self.context_len();
        self.function.len() + self.name.as_ref().map_or(0, |n| n.len()) + dependencies + labels + trace + context
    }

    /// Bytes of the context variables.
    #[must_use]
    pub fn context_len(&self) -> usize {
        self.context.iter().flat_map(|values| values.iter()).map(ContextValue::size).sum()
    }
}

/// A context variable and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextValue {
    /// Its name.
    pub name: Arc<str>,
    /// Its value, in MessagePack.
    pub value: Bytes,
}

impl ContextValue {
    /// What it counts against [`limits::CONTEXT`](crate::limits::CONTEXT), in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        16 + self.name.len() + self.value.len()
    }
}

/// An argument whose value is the result of another task, or the list of the results of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Which argument, from 0.
    pub position: u32,
    /// One task, or the members of a gather in order.
    pub tasks: Vec<TaskId>,
    /// Whether the argument is a list (a gather) rather than a single value.
    pub list: bool,
}

/// Options of a coroutine.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Time for all attempts together, from acceptance; none: without limit.
    pub timeout: Option<Duration>,
    /// Attempts at most when the body fails (user errors). From 1.
    pub max_attempts: u32,
    /// Lost workers that the task survives. 0: runs at most once.
    pub max_crashes: u32,
    /// Higher first.
    pub priority: i32,
    /// Time from the delivery of a cancel to the end of patience; none: for ever.
    pub cancel_grace: Option<Duration>,
    /// Labels to select by.
    pub labels: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: None,
            max_attempts: 1,
            max_crashes: crate::limits::MAX_CRASHES,
            priority: 0,
            cancel_grace: Some(crate::limits::CANCEL_GRACE),
            labels: Vec::new(),
        }
    }
}

/// W3C trace context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// `traceparent`.
    pub parent: String,
    /// `tracestate`; may be empty.
    pub state: String,
}

/// A function that a worker offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionDef {
    /// `package.function`.
    pub name: Arc<str>,
    /// Hash of the signature's text; equal on both sides or the call is refused.
    pub fingerprint: u64,
    /// Names and types of the arguments, as written: for people and for error messages.
    pub args: Vec<(String, String)>,
    /// Type of the result, as written.
    pub returns: String,
}
