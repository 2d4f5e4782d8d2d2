//! What is known about a failed task, with the chain of causes in a form that `std::error::Error` can walk.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use farloop_core::id::{TaskId, WorkerId};
use farloop_core::outcome::{Failure as Recorded, FailureKind, LostWorker};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a task did not return a value: what failed, where, and the chain of causes.
///
/// Cheap to clone. `Display` is for people and names function, task, worker and attempt where they are known;
/// the alternate form (`{:#}`) adds the causes.
#[derive(Clone)]
pub struct Failure(Arc<Inner>);

struct Inner {
    recorded: Arc<Recorded>,
    /// The error itself, where it was made in this process. It is kept alive because a cancellation may be hidden in
    /// it (see [`DeliveryToken`](crate::error::DeliveryToken)).
    origin: Option<BoxError>,
    /// The same chain as `recorded.causes`, linked, for `source()`.
    causes: Option<Box<Cause>>,
    /// The failed argument's own failure.
    dependency: Option<(TaskId, Failure)>,
}

impl Failure {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> &FailureKind {
        &self.0.recorded.kind
    }

    /// The error's type as the failing code names it (`std::num::ParseIntError`); empty where the cluster made the
    /// failure, or the error was only a text.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.0.recorded.type_name
    }

    /// The error's own text, without the places that `Display` adds.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.recorded.message
    }

    /// Function that failed first; empty for an error that has not left its body yet.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.0.recorded.function
    }

    /// Task that failed first: a failure that passes up through awaits keeps it.
    #[must_use]
    pub fn task(&self) -> Option<TaskId> {
        self.0.recorded.task
    }

    /// Worker that ran it.
    #[must_use]
    pub fn worker(&self) -> Option<WorkerId> {
        self.0.recorded.worker
    }

    /// Which attempt failed, from 1; 0 if the task never ran.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.recorded.attempt
    }

    /// `file:line:column` of a panic.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.0.recorded.location.as_deref()
    }

    /// Whether the body said that another attempt may help (`Some(true)`) or cannot (`Some(false)`).
    #[must_use]
    pub fn retryable(&self) -> Option<bool> {
        self.0.recorded.retryable
    }

    /// Of a call that an actor did not answer: whether its method may have run; none if that is not the question, or
    /// nobody knows.
    #[must_use]
    pub fn may_have_run(&self) -> Option<bool> {
        self.0.recorded.may_have_run
    }

    /// The texts of the causes, nearest first.
    pub fn causes(&self) -> impl Iterator<Item = &str> {
        self.0.recorded.causes.iter().map(|(_, text)| text.as_str())
    }

    /// Workers that were lost with the task, oldest first: how each ended as far as somebody saw it, whether others ran
    /// there, and the last lines that the task printed. The last eight are told.
    #[must_use]
    pub fn crashes(&self) -> &[LostWorker] {
        &self.0.recorded.crashes
    }

    /// The argument that failed, if that is why this task did not run.
    #[must_use]
    pub fn dependency(&self) -> Option<TaskId> {
        self.0.dependency.as_ref().map(|(task, _)| *task)
    }

    /// The error as the type it was declared with, if that type implements `Serialize` (or the body used
    /// [`Error::typed`](crate::Error::typed)) and its name matches: the last segment of the path counts, so that a
    /// client may have its own copy of the type. Looks through a failed argument to the failure behind it.
    #[must_use]
    pub fn downcast<E: DeserializeOwned + 'static>(&self) -> Option<E> {
        let own = self.0.recorded.details.as_ref().filter(|_| same_type::<E>(self.type_name()));
        match (own, &self.0.dependency) {
            (Some(details), _) => codec::decode(details).ok(),
            (None, Some((_, behind))) => behind.downcast(),
            (None, None) => None,
        }
    }

    /// The error itself, where it was made in this process and has not crossed to another one.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        let origin = self.0.origin.as_deref()?;
        // `with_retryable` wraps one failure in another.
        origin.downcast_ref().or_else(|| origin.downcast_ref::<Self>()?.downcast_ref())
    }

    /// An error that the body (or the caller) made: type name, text and chain, and the error kept alive.
    pub(crate) fn of_error(type_name: &str, origin: BoxError, details: Option<bytes::Bytes>) -> Self {
        let recorded = describe(type_name, &*origin, details);
        Self::assemble(Arc::new(recorded), Some(origin))
    }

    pub(crate) fn of_text(type_name: &str, message: String) -> Self {
        Self::assemble(Arc::new(text(type_name, message)), None)
    }

    pub(crate) fn recorded(&self) -> &Arc<Recorded> {
        &self.0.recorded
    }

    pub(crate) fn with_retryable(&self, retryable: bool) -> Self {
        let mut recorded = Recorded::clone(&self.0.recorded);
        recorded.retryable = Some(retryable);
        // The origin cannot be shared out of the old Arc: keep the whole old failure alive in its place.
        Self::assemble(Arc::new(recorded), Some(Box::new(self.clone())))
    }

    pub(crate) fn origin(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.origin.as_deref()
    }

    fn assemble(recorded: Arc<Recorded>, origin: Option<BoxError>) -> Self {
        let causes = recorded.causes.iter().rev().fold(None, |next, (type_name, text)| {
            Some(Box::new(Cause { type_name: type_name.clone(), text: text.clone(), next }))
        });
        let dependency = match &recorded.kind {
            FailureKind::DependencyFailed(behind) => Some((behind.0, Self::from(behind.1.clone()))),
            _ => None,
        };
        Self(Arc::new(Inner { recorded, origin, causes, dependency }))
    }
}

impl From<Arc<Recorded>> for Failure {
    fn from(recorded: Arc<Recorded>) -> Self {
        Self::assemble(recorded, None)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = &*self.0.recorded;
        // These name the function in their own sentence.
        let told = matches!(failure.kind, FailureKind::BadArguments | FailureKind::BadPayload)
            && failure.message.contains(&*failure.function);
        if !failure.function.is_empty() && !told {
            let verb = match failure.kind {
                FailureKind::Raised | FailureKind::Group(_) => "failed",
                FailureKind::Panicked => "panicked",
                FailureKind::WorkerLost => "was lost",
                FailureKind::ActorUnavailable | FailureKind::ActorDied => match failure.may_have_run {
                    Some(true) => "was cut off",
                    _ => "did not run",
                },
                FailureKind::DependencyFailed(_) => "did not run",
                FailureKind::TimedOut
                | FailureKind::ScheduleToStartTimeout
                | FailureKind::StartToCloseTimeout
                | FailureKind::HeartbeatTimeout => "timed out",
                _ => "was refused",
            };
            write!(f, "{} {verb}: ", failure.function)?;
        }
        f.write_str(&failure.message)?;
        if f.alternate() {
            for cause in self.causes() {
                write!(f, ": {cause}")?;
            }
            if let Some((_, behind)) = &self.0.dependency {
                write!(f, ": {behind:#}")?;
            }
        }
        let places = [
            (!failure.type_name.is_empty() && !failure.function.is_empty()).then(|| failure.type_name.clone()),
            failure.location.as_ref().map(|at| format!("at {at}")),
            failure.task.map(|task| format!("task {task}")),
            failure.worker.map(|worker| format!("worker {worker}")),
            (failure.attempt > 0).then(|| format!("attempt {}", failure.attempt)),
        ];
        let places: Vec<String> = places.into_iter().flatten().collect();
        if places.is_empty() { Ok(()) } else { write!(f, " ({})", places.join(", ")) }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = &*self.0.recorded;
        let mut out = f.debug_struct("Failure");
        out.field("kind", &failure.kind).field("message", &failure.message);
        if !failure.type_name.is_empty() {
            out.field("type_name", &failure.type_name);
        }
        if !failure.function.is_empty() {
            out.field("function", &failure.function);
        }
        if let Some(task) = failure.task {
            out.field("task", &task).field("attempt", &failure.attempt);
        }
        if !failure.causes.is_empty() {
            out.field("causes", &self.causes().collect::<Vec<_>>());
        }
        out.finish_non_exhaustive()
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        if let Some((_, behind)) = &self.0.dependency {
            return Some(behind);
        }
        // A real chain is better than its texts: one can downcast along it.
        if let Some(source) = self.0.origin.as_deref().and_then(StdError::source) {
            return Some(source);
        }
        self.0.causes.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

/// One link of a chain of causes that came from another process.
#[derive(Debug)]
pub struct Cause {
    type_name: String,
    text: String,
    next: Option<Box<Cause>>,
}

impl Cause {
    /// The cause's type, if it is known; else empty.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.type_name
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.next.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

/// Encodes an error for `downcast` on the other side; an error that does not encode crosses as text.
pub(crate) fn details<E: Serialize>(error: &E) -> Option<bytes::Bytes> {
    codec::encode(error).ok()
}

/// Writes an error down: type name, text and chain.
pub(crate) fn describe(type_name: &str, error: &(dyn StdError + 'static), details: Option<bytes::Bytes>) -> Recorded {
    let mut recorded = text(type_name, error.to_string());
    recorded.causes = chain_texts(error);
    recorded.details = details;
    recorded
}

fn text(type_name: &str, message: String) -> Recorded {
    let mut recorded = Recorded::new(FailureKind::Raised, "".into(), message);
    type_name.clone_into(&mut recorded.type_name);
    recorded
}

/// Links of a chain that is followed before it is taken for endless.
const CHAIN: usize = 64;

fn chain_texts(error: &(dyn StdError + 'static)) -> Vec<(String, String)> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        if causes.len() == CHAIN {
            break;
        }
        let type_name = cause.downcast_ref::<Cause>().map_or("", Cause::type_name);
        causes.push((type_name.to_owned(), cause.to_string()));
        next = cause.source();
    }
    causes
}

fn same_type<E: 'static>(recorded: &str) -> bool {
    fn last(path: &str) -> &str {
        let plain = path.split('<').next().unwrap_or(path);
        plain.rsplit("::").next().unwrap_or(plain)
    }
    !recorded.is_empty() && last(recorded) == last(std::any::type_name::<E>())
}
