//! What people ask actors: `farloop actors` lists them, `farloop actor …` does the rest. An actor is written as its id, or
//! as `TYPE/NAME`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::client::{Common, Output, out, print, show};
use crate::table;

/// Which actors to list.
#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    /// Only of this type
    #[arg(long = "type", env = "FARLOOP_ACTOR_TYPE")]
    kind: Option<String>,
    /// Only at this worker: its id, or the last 6 or more characters
    #[arg(long, env = "FARLOOP_ACTOR_WORKER")]
    worker: Option<String>,
    /// Also actors that are over and still remembered
    #[arg(long, env = "FARLOOP_ACTOR_ALL")]
    all: bool,
    /// Actors at most
    #[arg(long, env = "FARLOOP_LIMIT", default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Actor {
    /// List the types of actors that workers offer, with their methods
    Types {
        #[command(flatten)]
        common: Common,
    },
    /// Make an actor that nobody owns, and print its id when it is up
    Spawn {
        /// Its type: `demo.Counter`, or `demo.Counter/NAME` for one with a name
        actor: String,
        /// Arguments as JSON; what is no JSON is taken as text
        args: Vec<String>,
        /// If somebody has the name, take that one
        #[arg(long, env = "FARLOOP_GET_OR_SPAWN")]
        get_or_spawn: bool,
        /// Only at workers with this label, written KEY=VALUE
        #[arg(long = "on", env = "FARLOOP_ACTOR_ON", value_delimiter = ',', value_parser = label)]
        labels: Vec<(String, String)>,
        /// Seconds to wait until it is up
        #[arg(long, env = "FARLOOP_WAIT_TIMEOUT", default_value_t = 30.0)]
        timeout: f64,
        #[command(flatten)]
        common: Common,
    },
    /// Print an actor as JSON
    Get {
        /// Its id, the last 6 or more characters, or TYPE/NAME
        actor: String,
        #[command(flatten)]
        at: crate::api::At,
    },
    /// Call a method and print what it returns
    Call {
        /// Its id, the last 6 or more characters, or TYPE/NAME
        actor: String,
        /// Method, as `farloop actor types` names it
        method: String,
        /// Arguments as JSON; what is no JSON is taken as text
        args: Vec<String>,
        /// Seconds to wait for the answer
        #[arg(long, env = "FARLOOP_WAIT_TIMEOUT", default_value_t = 30.0)]
        timeout: f64,
        #[command(flatten)]
        common: Common,
    },
    /// Call a method, print the call's id, and don't wait
    Tell {
        /// Its id, the last 6 or more characters, or TYPE/NAME
        actor: String,
        /// Method, as `farloop actor types` names it
        method: String,
        /// Arguments as JSON; what is no JSON is taken as text
        args: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Let actors finish the calls that they have, and stop
    Stop {
        /// Their ids, the last 6 or more characters, or TYPE/NAME
        #[arg(required = true)]
        actors: Vec<String>,
        /// Drop them at once, with what runs there
        #[arg(long, env = "FARLOOP_KILL")]
        kill: bool,
        /// With --kill: what callers are told
        #[arg(long, env = "FARLOOP_CANCEL_MESSAGE", default_value = "", requires = "kill")]
        message: String,
        /// Seconds to wait until it is over
        #[arg(long, env = "FARLOOP_WAIT_TIMEOUT", default_value_t = 30.0)]
        timeout: f64,
        #[command(flatten)]
        common: Common,
    },
    /// Show an actor, then each change, until it is over or Ctrl-C
    Watch {
        /// Its id, the last 6 or more characters, or TYPE/NAME
        actor: String,
        #[command(flatten)]
        common: Common,
    },
}

/// A label of a worker, as it is typed.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().into(), value.trim().into())),
        _ => Err("a label is written KEY=VALUE".into()),
    }
}

/// The fields by which a request names an actor. An id has no slash.
fn whom(actor: &str) -> Map<String, Value> {
    let named = match actor.split_once('/') {
        Some((kind, name)) => json!({"type": kind, "name": name}),
        None => json!({"actorId": actor}),
    };
    match named {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn request(actor: &str, more: Value) -> Value {
    let mut fields = whom(actor);
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    Value::Object(fields)
}

fn values(args: &[String]) -> Vec<Value> {
    args.iter().map(|text| crate::run::value(text)).collect()
}

pub(crate) async fn list(list: List) -> anyhow::Result<()> {
    let List { kind, worker, all, limit, common } = list;
    let terms = [kind.map(|kind| format!("type={kind}")), worker.map(|worker| format!("worker={worker}"))];
    let filter = terms.into_iter().flatten().collect::<Vec<_>>().join(" AND ");
    let request = json!({"filter": filter, "includeOver": all, "pageSize": limit});
    let answer = common.at.connect().await?.call("ActorService/ListActors", request).await?;
    show(&answer, "actors", common.output, &table::ACTORS)?;
    if common.output == Output::Table {
        let shown = answer["actors"].as_array().map_or(0, Vec::len);
        eprintln!("{shown} of {}", answer["totalSize"].as_u64().unwrap_or_default());
    }
    Ok(())
}

pub(crate) async fn ask(command: Actor) -> anyhow::Result<ExitCode> {
    match command {
        Actor::Types { common } => {
            let request = json!({"pageSize": 1000});
            let answer = common.at.connect().await?.call("ActorService/ListActorTypes", request).await?;
            show(&answer, "types", common.output, &table::ACTOR_TYPES)?;
        }
        Actor::Spawn { actor, args, get_or_spawn, labels, timeout, common } => {
            let (kind, name) = actor.split_once('/').unwrap_or((&actor, ""));
            let labels: Map<String, Value> = labels.into_iter().map(|(key, value)| (key, value.into())).collect();
            let mut request = json!({
                "type": kind, "name": name, "jsonArgs": values(&args), "getOrSpawn": get_or_spawn,
                "timeout": format!("{timeout}s"),
            });
            if !labels.is_empty() {
                request["options"] = json!({"placement": {"labels": labels}});
            }
            let answer = common.at.connect().await?.call("ActorService/SpawnActor", request).await?;
            match common.output {
                Output::Json => print(&answer)?,
                Output::Table => out(answer["actor"]["actorId"].as_str().unwrap_or_default())?,
            }
            if answer["up"] != true {
                eprintln!("{}", not_up(&answer["actor"], timeout));
                return Ok(ExitCode::FAILURE);
            }
        }
        Actor::Get { actor, at } => {
            let answer = at.connect().await?.call("ActorService/GetActor", whom(&actor).into()).await?;
            print(&answer["actor"])?;
        }
        Actor::Call { actor, method, args, timeout, common } => {
            let more = json!({"method": method, "jsonArgs": values(&args), "timeout": format!("{timeout}s")});
            let answer = common.at.connect().await?.call("ActorService/CallActor", request(&actor, more)).await?;
            return called(&answer, timeout, &common);
        }
        Actor::Tell { actor, method, args, common } => {
            let more = json!({"method": method, "jsonArgs": values(&args)});
            let answer = common.at.connect().await?.call("ActorService/TellActor", request(&actor, more)).await?;
            match common.output {
                Output::Json => print(&answer)?,
                Output::Table => out(answer["task"]["taskId"].as_str().unwrap_or_default())?,
            }
        }
        Actor::Stop { actors, kill, message, timeout, common } => {
            let mut api = common.at.connect().await?;
            let mut all = true;
            for actor in actors {
                let more = json!({"kill": kill, "message": message, "timeout": format!("{timeout}s")});
                let answer = api.call("ActorService/StopActor", request(&actor, more)).await?;
                all &= answer["stopped"] == true;
                match common.output {
                    Output::Json => print(&answer)?,
                    Output::Table => out(&format!("{actor}: {}", table::actor_state(&answer["actor"])))?,
                }
            }
            return Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Actor::Watch { actor, common } => {
            let mut answers = common.at.connect().await?.open("ActorService/WatchActor", whom(&actor).into()).await?;
            while let Some(answer) = answers.next().await? {
                if common.output == Output::Json {
                    print(&answer)?;
                } else if let Some(lost) = answer["lostCount"].as_u64() {
                    eprintln!("{lost} changes were lost: this reader is slower than the actor");
                } else {
                    out(&table::line(&table::ACTORS, &answer["actor"]))?;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a call came to: its result as JSON, or its failure with exit code 1.
fn called(answer: &Value, timeout: f64, common: &Common) -> anyhow::Result<ExitCode> {
    let task = &answer["task"];
    let well = task["state"] == "TASK_STATE_SUCCEEDED";
    if common.output == Output::Json {
        print(answer)?;
    } else if well {
        print(&task["result"]["json"])?;
    } else if answer["done"] == true {
        let may = match task["failure"]["mayHaveRun"].as_bool() {
            Some(true) => " (it may have run)",
            Some(false) => " (it has not run)",
            None => "",
        };
        eprintln!("error: {}{may}", task["failure"]["message"].as_str().unwrap_or("cancelled"));
    } else {
        let task = task["taskId"].as_str().unwrap_or_default();
        eprintln!("no answer after {timeout} s; `farloop wait {task}` waits for it");
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn not_up(actor: &Value, timeout: f64) -> String {
    let id = actor["actorId"].as_str().unwrap_or_default();
    match actor["failure"]["message"].as_str() {
        Some(why) => format!("it is over: {why}"),
        None => format!("it is not up after {timeout} s; `farloop explain {id}` says what it waits for"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_an_id_or_a_type_and_a_name() {
        assert_eq!(Value::from(whom("0700c321")), json!({"actorId": "0700c321"}));
        assert_eq!(Value::from(whom("demo.Counter/a/b")), json!({"type": "demo.Counter", "name": "a/b"}));
        assert_eq!(request("0700c321", json!({"kill": true})), json!({"actorId": "0700c321", "kill": true}));
    }
}
