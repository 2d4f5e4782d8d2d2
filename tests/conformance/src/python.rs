//! Values and errors in the words of the recorded probes, so that texts can be compared as they are.

use farloop::Error;

/// `True` or `False`.
#[must_use]
pub fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// The `args` of a cancelled error: `('why',)` with a message, `()` without.
#[must_use]
pub fn args(error: &Error) -> String {
    message(error).map_or_else(|| "()".to_owned(), |text| format!("('{text}',)"))
}

/// The same as a list for comparison with a probe's value: `["why"]` or `[]`.
#[must_use]
pub fn arg_list(error: &Error) -> Vec<String> {
    message(error).into_iter().collect()
}

/// The message of a cancelled error.
#[must_use]
pub fn message(error: &Error) -> Option<String> {
    match error {
        Error::Cancelled(cancelled) => cancelled.message().map(ToOwned::to_owned),
        _ => None,
    }
}

/// An error as the probes' `ex` prints it: `Type(text)`. The types of farloop have asyncio's names here; an error raised by a
/// body has the last segment of its own type's name.
#[must_use]
pub fn ex(error: &Error) -> String {
    match error {
        Error::Cancelled(cancelled) => format!("CancelledError({})", cancelled.message().unwrap_or_default()),
        Error::TimedOut(_) => "TimeoutError()".to_owned(),
        Error::InvalidState(state) => format!("InvalidStateError({state})"),
        Error::Group(group) => {
            let members: Vec<String> = group.errors().iter().map(ex).collect();
            format!("ExceptionGroup[{}]", members.join(", "))
        }
        Error::Misuse(misuse) => format!("Misuse({misuse})"),
        Error::LoopMismatch => "LoopMismatch()".to_owned(),
        Error::LoopClosed => "LoopClosed()".to_owned(),
        Error::NoRunningLoop(_) => "NoRunningLoop()".to_owned(),
        Error::BrokenPromise => "BrokenPromise()".to_owned(),
        Error::Deadlock(_) => "Deadlock()".to_owned(),
        Error::Failed(failure) => {
            let name = failure.type_name().rsplit("::").next().unwrap_or_default();
            format!("{name}({})", failure.message())
        }
        other => format!("{other:?}"),
    }
}

/// The outcome of an await as one value: the value, or the error as [`ex`] prints it.
#[must_use]
pub fn value_or_ex(result: Result<String, Error>) -> String {
    result.unwrap_or_else(|error| ex(&error))
}
