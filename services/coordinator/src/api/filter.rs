//! `state=RUNNING AND function=demo.add AND labels.team=core`, and no more than that.

use farloop_core::api::TaskState;
use tonic::Status;

use crate::errors;

/// A filter, read. The parent is still text: it may be the ending of an id.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) state: Option<TaskState>,
    pub(crate) function: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
}

const STATES: [(&str, TaskState); 6] = [
    ("PENDING", TaskState::Pending),
    ("RUNNING", TaskState::Running),
    ("SUSPENDED", TaskState::Suspended),
    ("SUCCEEDED", TaskState::Succeeded),
    ("FAILED", TaskState::Failed),
    ("CANCELLED", TaskState::Cancelled),
];

pub(crate) fn parse(text: &str) -> Result<Filter, Status> {
    let mut filter = Filter::default();
    if text.trim().is_empty() {
        return Ok(filter);
    }
    for term in text.split(" AND ") {
        let Some((key, value)) = term.split_once('=') else {
            let message = format!(
                "`{}` is no term; write `state=RUNNING AND function=demo.add AND labels.team=core`",
                term.trim()
            );
            return Err(errors::bad_field("filter", message));
        };
        let (key, value) = (key.trim(), value.trim().trim_matches('"'));
        let twice = match key {
            "state" => filter.state.replace(state(value)?).is_some(),
            "function" => filter.function.replace(value.into()).is_some(),
            "parent" => filter.parent.replace(value.into()).is_some(),
            _ => match key.strip_prefix("labels.") {
                Some(label) => {
                    filter.labels.push((label.into(), value.into()));
                    false
                }
                None => {
                    let message = format!("`{key}` is no key; state, function, parent and labels.NAME are");
                    return Err(errors::bad_field("filter", message));
                }
            },
        };
        if twice {
            return Err(errors::bad_field("filter", format!("`{key}` stands twice, and no task meets both")));
        }
    }
    Ok(filter)
}

fn state(text: &str) -> Result<TaskState, Status> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("TASK_STATE_").unwrap_or(&upper);
    STATES.iter().find(|(n, _)| *n == name).map(|(_, state)| *state).ok_or_else(|| {
        let names = STATES.map(|(name, _)| name).join(", ");
        errors::bad_field("filter", format!("`{text}` is no state; {names} are"))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on fails
mod tests {
    use super::*;

    #[test]
    fn terms_are_joined_by_and() {
        let filter = parse("state=running AND function = demo.add AND labels.team=\"core\"").unwrap();
        assert_eq!(filter.state, Some(TaskState::Running));
        assert_eq!(filter.function.as_deref(), Some("demo.add"));
        assert_eq!(filter.labels, [("team".into(), "core".into())]);
        assert_eq!(parse("state=TASK_STATE_FAILED").unwrap().state, Some(TaskState::Failed));
        assert_eq!(parse("  ").unwrap(), Filter::default());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let says = |text: &str| parse(text).unwrap_err().message().to_owned();
        assert!(says("state=DONE").contains("`DONE` is no state; PENDING, RUNNING"));
        assert!(says("name=x").contains("`name` is no key"));
        assert!(says("running").contains("`running` is no term"));
        assert!(says("state=FAILED AND state=RUNNING").contains("stands twice"));
    }
}
