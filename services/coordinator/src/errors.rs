//! What a call answers that failed: a gRPC status with google.rpc details.
//!
//! The message is one sentence for people and says what to do; `ErrorInfo.reason` is for programs and stays as it is.
//! A *task* that failed is an answer and never comes here.

use std::collections::HashMap;
use std::time::Duration;

use farloop_core::api::{About, CallError};
use farloop_core::outcome::FailureKind;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

const DOMAIN: &str = "farloop.dev";
/// When to try again what a limit refused.
const RETRY_IN: Duration = Duration::from_secs(1);
/// Status text goes into a header, and headers are bounded.
const LONGEST: usize = 1_024;

/// A status with a reason.
pub(crate) fn status(code: Code, reason: &str, message: impl Into<String>) -> Status {
    with(code, reason, message, ErrorDetails::new())
}

/// A field of the request is not as it must be; `field` as it is written in JSON.
pub(crate) fn bad_field(field: &str, message: impl Into<String>) -> Status {
    let message = message.into();
    let details = ErrorDetails::with_bad_request_violation(field, message.clone());
    with(Code::InvalidArgument, "BAD_FIELD", format!("{field}: {message}"), details)
}

/// The id in a field is none, or the ending of several.
pub(crate) fn bad_id(field: &str, about: About, message: String) -> Status {
    if about != About::Ending {
        return bad_field(field, message);
    }
    let details = ErrorDetails::with_bad_request_violation(field, message.clone());
    with(Code::InvalidArgument, "AMBIGUOUS_ID", format!("{field}: {message}"), details)
}

/// What the core refused.
pub(crate) fn refused(error: CallError) -> Status {
    let CallError { kind, message, about } = error;
    match kind {
        FailureKind::NotFound => match about {
            About::Task => missing("TASK_NOT_FOUND", "task", message),
            About::Function => missing("FUNCTION_NOT_FOUND", "function", message),
            About::Worker => missing("WORKER_NOT_FOUND", "worker", message),
            About::Actor => missing("ACTOR_NOT_FOUND", "actor", message),
            About::Type => missing("ACTOR_TYPE_NOT_FOUND", "actor type", message),
            About::Method => missing("METHOD_NOT_FOUND", "method", message),
            About::Ending => status(Code::NotFound, "NOT_FOUND", message),
        },
        FailureKind::Expired => missing("TASK_EXPIRED", "task", message),
        FailureKind::BadArguments => status(Code::InvalidArgument, "BAD_ARGUMENTS", message),
        FailureKind::BadPayload => status(Code::InvalidArgument, "BAD_PAYLOAD", message),
        FailureKind::DependencyCycle => status(Code::InvalidArgument, "DEPENDENCY_CYCLE", message),
        FailureKind::AlreadyExists if about == About::Actor => {
            status(Code::AlreadyExists, "ACTOR_ALREADY_EXISTS", message)
        }
        FailureKind::AlreadyExists => status(Code::AlreadyExists, "TASK_ALREADY_EXISTS", message),
        FailureKind::ActorDied => status(Code::FailedPrecondition, "ACTOR_DIED", message),
        FailureKind::ActorUnavailable => {
            let mut details = ErrorDetails::new();
            details.set_retry_info(Some(RETRY_IN));
            with(Code::Unavailable, "ACTOR_UNAVAILABLE", message, details)
        }
        FailureKind::SignatureMismatch => status(Code::FailedPrecondition, "SIGNATURE_MISMATCH", message),
        FailureKind::Stale => status(Code::FailedPrecondition, "STALE", message),
        FailureKind::ResourceExhausted => {
            let mut details = ErrorDetails::with_quota_failure_violation("farloop", message.clone());
            details.set_retry_info(Some(RETRY_IN));
            with(Code::ResourceExhausted, "LIMIT_REACHED", message, details)
        }
        _ => status(Code::Internal, "INTERNAL", message),
    }
}

/// What tonic refused before any of this code saw it, in the words of the rest: a reason for programs, and what to do.
pub(crate) fn of_transport(status: &Status, max_payload: usize) -> Option<Status> {
    if !status.details().is_empty() {
        return None;
    }
    match status.code() {
        Code::OutOfRange if status.message().contains("message length too large") => {
            let found = status.message().split(' ').find_map(|word| word.parse::<usize>().ok()).unwrap_or_default();
            let message = format!(
                "the request has {found} bytes and the limit MAX_PAYLOAD for its arguments is {max_payload}; put the \
                 data where both sides reach it, and pass its name"
            );
            let details = ErrorDetails::with_quota_failure_violation("MAX_PAYLOAD", message.clone());
            Some(with(Code::ResourceExhausted, "LIMIT_REACHED", message, details))
        }
        Code::Internal => {
            let message = format!(
                "the request is no message of this method ({}); `grpcurl ... describe METHOD` shows what is",
                status.message()
            );
            Some(self::status(Code::InvalidArgument, "BAD_MESSAGE", message))
        }
        _ => None,
    }
}

fn missing(reason: &str, what: &str, message: String) -> Status {
    let mut details = ErrorDetails::new();
    details.set_resource_info(what, "", "", message.clone());
    with(Code::NotFound, reason, message, details)
}

fn with(code: Code, reason: &str, message: impl Into<String>, mut details: ErrorDetails) -> Status {
    let mut message = message.into();
    if message.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    details.set_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}
