//! Processes that are interrupted: what Ctrl-C does to a loop that is run by hand, to `run`, and to a process in which no
//! loop runs. Each says `ready` when it may be, and prints one JSON value at its end.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use farloop::blocking::EventLoop;
use serde_json::{Value, json};

use crate::bodies::stubborn::tells_its_end;
use crate::judge::{Wrong, wrong};
use crate::process::{Mode, binary};
use crate::run::Backend;
use crate::run::by_hand::text;

/// No such process takes longer, whatever happens.
const LONGEST: Duration = Duration::from_secs(20);

/// Runs the process for `case` and interrupts it each time it is ready; its exit code and what else it printed.
pub(crate) fn interrupt(case: &str, backend: Backend) -> Result<(Option<i32>, Vec<Value>), Wrong> {
    let mut command = Command::new(binary());
    if backend == Backend::InProcess {
        command.env_remove(farloop::runtime::ADDRESS_VARIABLE);
    }
    let mut child = command.arg(Mode::Interrupted.word()).arg(case).stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().ok_or_else(|| wrong("the process has an output"))?;
    let mut told = Vec::new();
    for line in BufReader::new(out).lines() {
        let line = line?;
        if line == "ready" {
            let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
            if !sent.success() {
                return Err(wrong("SIGINT could not be sent"));
            }
        } else {
            told.push(serde_json::from_str(&line).map_err(|error| wrong(&format!("{error}: {line}")))?);
        }
    }
    Ok((child.wait()?.code(), told))
}

pub(crate) fn run(case: &str) {
    std::thread::spawn(|| {
        std::thread::sleep(LONGEST);
        std::process::exit(3);
    });
    let told = match case {
        "loop" => by_hand().unwrap_or_else(|error| json!(text(&error))),
        "call" => call_by_hand().unwrap_or_else(|error| json!(text(&error))),
        "stubborn loop" => stubborn_by_hand().unwrap_or_else(|error| json!(text(&error))),
        "run" => cancelled(),
        "stubborn" => stubborn(),
        "main" => farloop::runtime::main(async {
            println!("ready");
            farloop::sleep(LONGEST * 2).await.map(|()| json!("slept"))
        })
        .unwrap_or_else(|error| json!(text(&error))),
        _ => idle(),
    };
    println!("{told}");
}

/// LO16: the run ends, other tasks are untouched, and the loop runs again. The block was nobody's but the run's: it has
/// been cancelled and has ended.
fn by_hand() -> farloop::Result<Value> {
    let event_loop = EventLoop::from_env()?;
    let (gate, opened) = event_loop.create_future::<()>();
    let other = event_loop.create_task(farloop::local(async {
        opened.await?;
        Ok("o".to_owned())
    }));
    let (tell, told) = std::sync::mpsc::channel();
    let interrupted = event_loop.run_until_complete(async move {
        println!("ready");
        let slept = farloop::sleep(LONGEST * 2).await;
        farloop::sleep(Duration::from_millis(20)).await?;
        let _ = tell.send(if slept.is_err() { "cleaned up" } else { "slept" });
        slept
    });
    let seen: Vec<_> = told.try_iter().collect();
    let told = json!([ended(interrupted), seen, other.done(), other.cancelling()]);
    // What was given as a handle is left: the run ends, and another one waits on.
    println!("ready");
    let given = ended(event_loop.run_until_complete(other.clone()));
    let left = farloop::all_tasks()?.into_iter().map(|task| task.cancelling).collect::<Vec<_>>();
    gate.set_result(())?;
    let then = event_loop.run_until_complete(other)?;
    event_loop.close()?;
    Ok(json!([told, given, left, then]))
}

fn ended<T>(result: farloop::Result<T>) -> Option<String> {
    result.err().map(|error| text(&error))
}

/// A coroutine of the cluster says by itself when it is ready, and that it had its time to clean up.
fn call_by_hand() -> farloop::Result<Value> {
    let event_loop = EventLoop::from_env()?;
    let interrupted = ended(event_loop.run_until_complete(tells_its_end()));
    let left = farloop::all_tasks()?.len();
    event_loop.close()?;
    Ok(json!([interrupted, left]))
}

/// The second Ctrl-C gives up what declines the first; it is still there.
fn stubborn_by_hand() -> farloop::Result<Value> {
    let event_loop = EventLoop::from_env()?;
    let interrupted = ended(event_loop.run_until_complete(declines()));
    let left = farloop::all_tasks()?.len();
    event_loop.close()?;
    Ok(json!([interrupted, left]))
}

/// Ready before each await, and unmoved by each request.
async fn declines() -> farloop::Result<()> {
    loop {
        println!("ready");
        drop(farloop::sleep(LONGEST * 2).await);
    }
}

/// RU2.
fn cancelled() -> Value {
    let (tell, told) = std::sync::mpsc::channel();
    let cancelled = farloop::run(async move {
        println!("ready");
        let slept = farloop::sleep(LONGEST * 2).await;
        if slept.as_ref().is_err_and(farloop::Error::is_cancelled) {
            let _ = tell.send("main cancelled");
        }
        slept
    });
    let seen: Vec<_> = told.try_iter().collect();
    json!([ended(cancelled), seen])
}

/// The second Ctrl-C gives up what the first could not stop.
fn stubborn() -> Value {
    json!(ended(farloop::run(declines())))
}

/// No loop runs: the first is kept for the next run, the second ends the process.
fn idle() -> Value {
    let first = EventLoop::new().and_then(|event_loop| {
        event_loop.run_until_complete(async { Ok(()) })?;
        println!("ready");
        // Runs end at once until it has come.
        let begun = std::time::Instant::now();
        while begun.elapsed() < LONGEST {
            std::thread::sleep(Duration::from_millis(5));
            event_loop.run_until_complete(async { Ok(()) })?;
        }
        Ok(())
    });
    if !matches!(first, Err(farloop::Error::Interrupted)) {
        return json!("it was not interrupted");
    }
    println!("ready");
    std::thread::sleep(Duration::from_millis(300));
    println!("ready");
    std::thread::sleep(LONGEST);
    json!("it goes on")
}
