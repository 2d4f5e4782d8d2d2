//! What a coroutine is before it runs: function, arguments, options.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use crate::actor::{ActorDef, Part};
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
    /// What it is to an actor, if it has to do with one.
    pub actor: Option<Arc<Part>>,
}

impl Spec {
    /// Bytes of its parts besides the arguments that have no fixed size.
    #[must_use]
    pub fn aside_len(&self) -> usize {
        let dependencies: usize = self.dependencies.iter().map(|d| 8 + d.tasks.len() * 20).sum();
        let labels: usize = self.options.labels.iter().map(|(k, v)| k.len() + v.len() + 8).sum();
        let trace = self.trace.as_ref().map_or(0, |t| t.parent.len() + t.state.len());
        let context = self.context_len();
        let policy = self.options.policy.as_ref().map_or(0, |p| p.keys_len());
        let name = self.name.as_ref().map_or(0, |n| n.len());
        let actor = self.actor.as_ref().map_or(0, |part| part.weight());
        self.function.len() + name + dependencies + labels + trace + context + policy + actor
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
    /// Time for all attempts together, from acceptance (schedule to close); none: without limit.
    pub timeout: Option<Duration>,
    /// Attempts at most when the body fails (user errors). From 1.
    pub max_attempts: u32,
    /// Lost workers that the task survives. 0: runs at most once.
    pub max_crashes: u32,
    /// Higher first; none: that of the task that creates it, or 0 at the top of a tree.
    pub priority: Option<i32>,
    /// Time from a cancel to the end of patience; none: for ever. It runs from the moment at which the request is sent
    /// to the host of the body, and anew from the moment at which the host says that it reached the body.
    pub cancel_grace: Option<Duration>,
    /// Labels to select by. They describe this one task: what it creates has its own.
    pub labels: Vec<(String, String)>,
    /// What few calls set; none if all of it is at its default.
    pub policy: Option<Box<Policy>>,
}

/// Options that few calls set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Pause before the next attempt after one that failed; none: it follows at once.
    pub backoff: Option<Backoff>,
    /// Longest wait for a slot at a worker, from the moment at which the task could run; none: without limit.
    pub schedule_to_start: Option<Duration>,
    /// Time for one attempt, from its start; none: without limit.
    pub start_to_close: Option<Duration>,
    /// Longest time between two heartbeats of an attempt, the first from its start; none: without limit.
    pub heartbeat: Option<Duration>,
    /// How many tasks that name the same key may be at workers at once, over the whole cluster.
    pub limit: Option<Limit>,
    /// Within one priority of one function keys take turns; none: that of the task that creates it.
    pub fairness_key: Option<Arc<str>>,
    /// What the coordinator's records promise.
    pub durability: Durability,
    /// How long the outcome is kept.
    pub retention: Retention,
}

/// What becomes of a task when the coordinator's process or machine dies. Without a durable store all are `Memory`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Accepted once its record is on disk, and over once its outcome is.
    #[default]
    Durable,
    /// Recorded, and nobody waits for the disk: what was accepted in the last moments may be lost with the machine.
    Buffered,
    /// Not recorded: lost with the coordinator's process.
    Memory,
}

/// How long an outcome is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// As long as the coordinator keeps outcomes.
    #[default]
    Usual,
    /// That long, but no longer than bounds on count and bytes allow.
    For(Duration),
    /// Until everybody who asked for it has it; no longer than usual.
    UntilConsumed,
    /// Until it is released. Counts against the bounds, and is refused above them.
    Pinned,
}

impl Policy {
    /// Whether a worker has to say when the body begins ([`Up::Progress`](crate::frame::Up::Progress)): clocks begin or
    /// end there.
    #[must_use]
    pub fn has_clocks(&self) -> bool {
        self.schedule_to_start.is_some() || self.start_to_close.is_some() || self.heartbeat.is_some()
    }

    fn keys_len(&self) -> usize {
        self.limit.as_ref().map_or(0, |l| l.key.len()) + self.fairness_key.as_ref().map_or(0, |k| k.len())
    }
}

/// How the pause between attempts grows.
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    /// After the first failed attempt.
    pub initial: Duration,
    /// Each pause is that many times the one before. At least 1.
    pub coefficient: f64,
    /// No pause is longer.
    pub maximum: Duration,
    /// Part of a pause that is left to chance, from 0 (none) to 1: a pause is drawn between that much less and all of
    /// it, so that what failed together does not come back together.
    pub jitter: f64,
}

impl Backoff {
    /// Growth, unless told otherwise.
    pub const COEFFICIENT: f64 = 2.0;
    /// Chance's part, unless told otherwise.
    pub const JITTER: f64 = 0.1;

    /// Doubles up to a hundred times the first pause, a tenth of it left to chance.
    #[must_use]
    pub fn new(initial: Duration) -> Self {
        let maximum = initial.saturating_mul(100);
        Self { initial, coefficient: Self::COEFFICIENT, maximum, jitter: Self::JITTER }
    }

    /// Each pause is that many times the one before; 1 for pauses of one length.
    #[must_use]
    pub fn coefficient(self, coefficient: f64) -> Self {
        Self { coefficient, ..self }
    }

    /// No pause is longer.
    #[must_use]
    pub fn maximum(self, maximum: Duration) -> Self {
        Self { maximum, ..self }
    }

    /// Part of each pause that is left to chance, from 0 to 1.
    #[must_use]
    pub fn jitter(self, jitter: f64) -> Self {
        Self { jitter, ..self }
    }

    /// The longest pause after that many failed attempts, before chance has taken its part.
    #[must_use]
    pub fn pause(&self, failed: u32) -> Duration {
        let maximum = self.maximum.as_micros() as f64;
        let mut micros = self.initial.as_micros() as f64;
        for _ in 1..failed {
            if micros >= maximum || micros == 0.0 || self.coefficient <= 1.0 {
                break;
            }
            micros *= self.coefficient;
        }
        Duration::from_micros(micros.min(maximum) as u64)
    }

    /// The pause, where `chance` is drawn evenly from 0 to 1.
    #[must_use]
    pub fn draw(&self, failed: u32, chance: f64) -> Duration {
        let longest = self.pause(failed).as_micros() as f64;
        Duration::from_micros((longest * (1.0 - self.jitter * chance)) as u64)
    }
}

impl From<Duration> for Backoff {
    fn from(initial: Duration) -> Self {
        Self::new(initial)
    }
}

/// A bound on what runs at once under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The name. One over all functions of the cluster.
    pub key: Arc<str>,
    /// Tasks at workers at once, at most. Of several tasks that name the key with another number, the last one
    /// accepted decides.
    pub at_once: u32,
}

impl Options {
    /// The options that few calls set, made if there are none.
    pub fn policy_mut(&mut self) -> &mut Policy {
        self.policy.get_or_insert_default()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: None,
            max_attempts: 1,
            max_crashes: crate::limits::MAX_CRASHES,
            priority: None,
            cancel_grace: Some(crate::limits::CANCEL_GRACE),
            labels: Vec::new(),
            policy: None,
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
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionDef {
    /// `package.function`.
    pub name: Arc<str>,
    /// Hash of the signature's text; equal on both sides or the call is refused.
    pub fingerprint: u64,
    /// Names and types of the arguments, as written: for people and for error messages.
    pub args: Vec<(String, String)>,
    /// Type of the result, as written.
    pub returns: String,
    /// Tasks of the function that may be at workers at once, over the whole cluster; 0: without limit.
    pub concurrency: u32,
    /// What it is to an actor, if it has to do with one.
    pub actor: Option<Arc<ActorDef>>,
}
