//! Answers of the public API in columns.

use serde_json::Value;

/// A heading, and what stands below it.
pub(crate) type Column = (&'static str, fn(&Value) -> String);

/// Of tasks.
pub(crate) const TASKS: [Column; 7] = [
    ("ID", |t| ending(&t["taskId"])),
    ("FUNCTION", |t| text(&t["function"])),
    ("STATE", state),
    ("WORKER", |t| ending(&t["workerId"])),
    ("ATTEMPT", |t| text(&t["attempt"])),
    ("TOOK", took),
    ("NAME", |t| text(&t["displayName"])),
];

/// Of workers.
pub(crate) const WORKERS: [Column; 7] = [
    ("ID", |w| ending(&w["workerId"])),
    ("NAME", |w| text(&w["displayName"])),
    ("SLOTS", |w| text(&w["slots"])),
    ("RUNNING", |w| text(&w["running"])),
    ("SUSPENDED", |w| text(&w["suspended"])),
    ("STATE", |w| {
        let drains = w["draining"] == true;
        let here = w["connected"] == true;
        if drains {
            "draining"
        } else if here {
            "connected"
        } else {
            "away"
        }
        .into()
    }),
    ("FUNCTIONS", |w| w["functions"].as_array().map_or(0, Vec::len).to_string()),
];

/// Of functions.
pub(crate) const FUNCTIONS: [Column; 3] = [
    ("FUNCTION", |f| text(&f["function"])),
    ("SIGNATURE", |f| text(&f["signature"])),
    ("WORKERS", |f| f["workerIds"].as_array().map_or(0, Vec::len).to_string()),
];

/// Of actors.
pub(crate) const ACTORS: [Column; 8] = [
    ("ID", |a| ending(&a["actorId"])),
    ("TYPE", |a| text(&a["type"])),
    ("NAME", |a| text(&a["name"])),
    ("STATE", actor_state),
    ("WORKER", |a| ending(&a["workerId"])),
    ("INCARNATION", |a| text(&a["incarnation"])),
    ("MAILBOX", |a| text(&a["mailboxDepth"])),
    ("SERVED", |a| text(&a["servedCalls"])),
];

/// Of types of actors.
pub(crate) const ACTOR_TYPES: [Column; 4] = [
    ("TYPE", |t| text(&t["type"])),
    ("NEW", |t| {
        let made = text(&t["signature"]);
        if t["onDemand"] == true { format!("{made} on demand") } else { made }
    }),
    ("METHODS", |t| {
        let methods = t["methods"].as_array().into_iter().flatten();
        methods.map(|m| format!("{}{}", text(&m["method"]), text(&m["signature"]))).collect::<Vec<_>>().join("; ")
    }),
    ("WORKERS", |t| t["workerIds"].as_array().map_or(0, Vec::len).to_string()),
];

/// The last characters of an id: what people copy, and what every command takes.
fn ending(id: &Value) -> String {
    let id = id.as_str().unwrap_or_default();
    id.get(id.len().saturating_sub(8)..).unwrap_or(id).into()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace(['\n', '\t'], " "),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn state(task: &Value) -> String {
    text(&task["state"]).trim_start_matches("TASK_STATE_").to_ascii_lowercase()
}

pub(crate) fn actor_state(actor: &Value) -> String {
    text(&actor["state"]).trim_start_matches("ACTOR_STATE_").to_ascii_lowercase()
}

fn took(task: &Value) -> String {
    let at = |name: &str| task[name].as_str()?.parse::<prost_types::Timestamp>().ok()?.try_into().ok();
    let (Some(start), Some(end)) = (at("startTime"), at("endTime")) else { return String::new() };
    let (start, end): (std::time::SystemTime, std::time::SystemTime) = (start, end);
    end.duration_since(start).map_or_else(|_| String::new(), |took| format!("{took:.1?}"))
}

/// One task that is over: its end, and what came of it.
pub(crate) fn ended(task: &Value) -> String {
    let result = &task["result"]["json"];
    let came = match (task["failure"]["message"].as_str(), result) {
        (Some(message), _) => message.to_owned(),
        (None, Value::Null) => String::new(),
        (None, result) => result.to_string(),
    };
    format!("{}  {}  {came}", text(&task["taskId"]), state(task)).trim_end().into()
}

/// One line, in columns wide enough for most.
pub(crate) fn line(columns: &[Column], row: &Value) -> String {
    let cells = columns.iter().map(|(head, cell)| format!("{:width$}", cell(row), width = head.len().max(9)));
    cells.collect::<Vec<_>>().join("  ").trim_end().into()
}

/// A heading and a line each, as wide as they need.
pub(crate) fn all(columns: &[Column], rows: &[Value]) -> String {
    let heads = columns.iter().map(|(head, _)| (*head).to_owned()).collect::<Vec<_>>();
    let cells: Vec<Vec<String>> =
        std::iter::once(heads).chain(rows.iter().map(|r| columns.iter().map(|(_, c)| c(r)).collect())).collect();
    let width = |at: usize| cells.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let shown = |row: &Vec<String>| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    cells.iter().map(shown).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_they_need() {
        let tasks = [json!({
            "taskId": "01890000-0000-7000-8000-00000700c321", "function": "demo.add", "state": "TASK_STATE_SUCCEEDED",
            "attempt": 1, "startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:00:01.500Z",
        })];
        let shown = all(&TASKS, &tasks);
        assert_eq!(shown.lines().next(), Some("ID        FUNCTION  STATE      WORKER  ATTEMPT  TOOK  NAME"));
        assert_eq!(shown.lines().nth(1), Some("0700c321  demo.add  succeeded          1        1.5s"));
    }
}
