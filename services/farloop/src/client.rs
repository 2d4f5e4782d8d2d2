//! What people ask a cluster: `list`, `get`, `wait`, `cancel`, `release`, `watch`, `explain`, `workers`, `functions`, `drain`,
//! `info`, `actors` and `actor`, and `api` for everything else. Each is one call of the public API; `--output json` prints its answer as it is.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::api::{Api, At};
use crate::table;

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Output {
    /// Columns for people
    Table,
    /// The answer as the public API gives it
    Json,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) at: At,
    /// How to print
    #[arg(long, short, env = "FARLOOP_OUTPUT", value_enum, default_value = "table")]
    pub(crate) output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Filter {
    /// Terms joined by AND: `state=RUNNING`, `function=demo.add`, `parent=0700c321`, `labels.team=core`
    #[arg(long, short, env = "FARLOOP_FILTER", default_value = "")]
    filter: String,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Client {
    /// List tasks, newest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// Tasks at most
        #[arg(long, env = "FARLOOP_LIMIT", default_value_t = 50)]
        limit: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Print a task as JSON
    Get {
        /// Its id, or the last 6 or more characters
        task: String,
        #[command(flatten)]
        at: At,
    },
    /// Wait for tasks, and print each as it is over: exit code 0 if all succeeded
    Wait {
        /// Their ids, or the last 6 or more characters
        #[arg(required = true)]
        tasks: Vec<String>,
        /// Seconds to wait
        #[arg(long, env = "FARLOOP_WAIT_TIMEOUT", default_value_t = 30.0)]
        timeout: f64,
        #[command(flatten)]
        common: Common,
    },
    /// Ask tasks to stop
    Cancel {
        /// Their ids, or the last 6 or more characters
        #[arg(required = true)]
        tasks: Vec<String>,
        /// What the coroutine is told
        #[arg(long, env = "FARLOOP_CANCEL_MESSAGE", default_value = "")]
        message: String,
        #[command(flatten)]
        common: Common,
    },
    /// Let go of outcomes: each is forgotten once its task is over
    Release {
        /// Their ids, or the last 6 or more characters
        #[arg(required = true)]
        tasks: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Show tasks, then each change as it happens, until Ctrl-C
    Watch {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        common: Common,
    },
    /// Say why a task stands where it stands
    Explain {
        /// Its id, or the last 6 or more characters
        task: String,
        #[command(flatten)]
        common: Common,
    },
    /// List workers
    Workers {
        #[command(flatten)]
        common: Common,
    },
    /// List the functions that workers offer
    Functions {
        #[command(flatten)]
        common: Common,
    },
    /// Tell a worker to finish what it runs and end
    Drain {
        /// Its id, the last 6 or more characters, or its name
        worker: String,
        #[command(flatten)]
        common: Common,
    },
    /// List actors, newest first
    Actors(crate::actors::List),
    /// Make, call, watch or stop an actor
    #[command(subcommand)]
    Actor(crate::actors::Actor),
    /// Print version and limits of the coordinator as JSON
    Info {
        #[command(flatten)]
        at: At,
    },
    /// Call a method of the public API: `farloop api TaskService/GetTask -d '{"taskId":"0700c321"}'`
    Api {
        /// `TaskService/GetTask`, `ClusterService/ListWorkers`, …
        method: String,
        /// The request
        #[arg(long, short, env = "FARLOOP_DATA", default_value = "{}")]
        data: String,
        #[command(flatten)]
        at: At,
    },
}

pub(crate) fn main(command: Client) -> anyhow::Result<ExitCode> {
    crate::runtime()?.block_on(async {
        tokio::select! {
            code = ask(command) => code,
            // Nothing here owns a task: leaving changes nothing in the cluster.
            () = crate::stop_signal() => Ok(ExitCode::from(130)),
        }
    })
}

async fn ask(command: Client) -> anyhow::Result<ExitCode> {
    match command {
        Client::List { filter, limit, common } => list(&filter.filter, limit, &common).await?,
        Client::Get { task, at } => {
            print(&at.connect().await?.call("TaskService/GetTask", json!({"taskId": task})).await?["task"])?;
        }
        Client::Wait { tasks, timeout, common } => return wait(&tasks, timeout, &common).await,
        Client::Cancel { tasks, message, common } => {
            let mut api = common.at.connect().await?;
            for task in tasks {
                let request = json!({"taskId": task, "message": message});
                let answer = api.call("TaskService/CancelTask", request).await?;
                match common.output {
                    Output::Json => print(&answer)?,
                    Output::Table if answer["cancelRequested"] == true => out(&format!("{task}: asked to stop"))?,
                    Output::Table => out(&format!("{task}: was over already"))?,
                }
            }
        }
        Client::Release { tasks, common } => {
            let mut api = common.at.connect().await?;
            for task in tasks {
                let answer = api.call("TaskService/ReleaseTask", json!({"taskId": task})).await?;
                match common.output {
                    Output::Json => print(&answer)?,
                    Output::Table => out(&format!("{task}: released"))?,
                }
            }
        }
        Client::Watch { filter, common } => watch(&filter.filter, &common).await?,
        Client::Explain { task, common } => {
            let answer = common.at.connect().await?.call("TaskService/ExplainTask", json!({"taskId": task})).await?;
            match common.output {
                Output::Json => print(&answer)?,
                Output::Table => {
                    for reason in answer["reasons"].as_array().into_iter().flatten() {
                        out(reason.as_str().unwrap_or_default())?;
                    }
                }
            }
        }
        Client::Workers { common } => {
            let answer = common.at.connect().await?.call("ClusterService/ListWorkers", json!({})).await?;
            show(&answer, "workers", common.output, &table::WORKERS)?;
        }
        Client::Functions { common } => {
            let request = json!({"pageSize": 1000});
            let answer = common.at.connect().await?.call("ClusterService/ListFunctions", request).await?;
            show(&answer, "functions", common.output, &table::FUNCTIONS)?;
        }
        Client::Drain { worker, common } => drain(&worker, &common).await?,
        Client::Actors(list) => crate::actors::list(list).await?,
        Client::Actor(command) => return crate::actors::ask(command).await,
        Client::Info { at } => print(&at.connect().await?.call("ClusterService/GetServerInfo", json!({})).await?)?,
        Client::Api { method, data, at } => {
            let request = serde_json::from_str(&data).context("--data is no JSON")?;
            let mut answers = at.connect().await?.open(&method, request).await?;
            while let Some(answer) = answers.next().await? {
                print(&answer)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(filter: &str, limit: u32, common: &Common) -> anyhow::Result<()> {
    let request = json!({"filter": filter, "pageSize": limit});
    let answer = common.at.connect().await?.call("TaskService/ListTasks", request).await?;
    show(&answer, "tasks", common.output, &table::TASKS)?;
    if common.output == Output::Table {
        let count = |name: &str| answer[name].as_u64().unwrap_or_default();
        let shown = answer["tasks"].as_array().map_or(0, Vec::len);
        eprintln!("{shown} of {} ({} dropped by retention)", count("totalSize"), count("droppedSize"));
    }
    Ok(())
}

async fn wait(tasks: &[String], timeout: f64, common: &Common) -> anyhow::Result<ExitCode> {
    let mut answers = common
        .at
        .connect()
        .await?
        .open("TaskService/AsCompleted", json!({"taskIds": tasks, "timeout": format!("{timeout}s")}))
        .await?;
    let mut well = true;
    while let Some(answer) = answers.next().await? {
        well &= answer["task"]["state"] == "TASK_STATE_SUCCEEDED";
        if common.output == Output::Json {
            print(&answer)?;
        } else if let Some(pending) = answer["pending"]["ids"].as_array() {
            let pending: Vec<&str> = pending.iter().filter_map(Value::as_str).collect();
            eprintln!("still pending after {timeout} s: {}", pending.join(", "));
        } else {
            out(&table::ended(&answer["task"]))?;
        }
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn watch(filter: &str, common: &Common) -> anyhow::Result<()> {
    let mut answers = common.at.connect().await?.open("TaskService/WatchTasks", json!({"filter": filter})).await?;
    while let Some(answer) = answers.next().await? {
        if common.output == Output::Json {
            print(&answer)?;
        } else if answer["task"].is_object() {
            out(&table::line(&table::TASKS, &answer["task"]))?;
        } else if let Some(lost) = answer["lostCount"].as_u64() {
            eprintln!("{lost} changes were lost: this reader is slower than the cluster");
        } else {
            eprintln!("these were there; what follows is live");
        }
    }
    Ok(())
}

async fn drain(worker: &str, common: &Common) -> anyhow::Result<()> {
    let mut api = common.at.connect().await?;
    let id = named(&mut api, worker).await?.unwrap_or_else(|| worker.to_owned());
    let answer = api.call("ClusterService/DrainWorker", json!({"workerId": id})).await?;
    match common.output {
        Output::Json => print(&answer),
        Output::Table => out(&format!(
            "{} drains: {} attempts are still there",
            answer["worker"]["displayName"].as_str().unwrap_or_default(),
            answer["worker"]["leased"].as_u64().unwrap_or_default()
        )),
    }
}

/// The id of the one worker with that name.
async fn named(api: &mut Api, name: &str) -> anyhow::Result<Option<String>> {
    let answer = api.call("ClusterService/ListWorkers", json!({})).await?;
    let workers = answer["workers"].as_array().cloned().unwrap_or_default();
    let mut named = workers.iter().filter(|w| w["displayName"] == name).filter_map(|w| w["workerId"].as_str());
    let first = named.next().map(str::to_owned);
    anyhow::ensure!(named.next().is_none(), "several workers are called '{name}'; give the id of one");
    Ok(first)
}

pub(crate) fn show(answer: &Value, of: &str, output: Output, columns: &[table::Column]) -> anyhow::Result<()> {
    match output {
        Output::Json => print(answer),
        Output::Table => out(&table::all(columns, answer[of].as_array().map_or(&[], Vec::as_slice))),
    }
}

pub(crate) fn print(value: &Value) -> anyhow::Result<()> {
    out(&serde_json::to_string_pretty(value)?)
}

/// A reader that went away (`| head`) is no reason to panic.
pub(crate) fn out(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("nobody reads what is printed")
}
