//! The `farloop` command: what people install. Each command is a module; this file is the list of them.

mod actors;
mod admin;
mod api;
mod client;
mod dev;
mod health;
mod run;
mod supervise;
mod table;
mod token;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// asyncio across machines: coordinator, workers and a client in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "farloop",
    version,
    about,
    propagate_version = true,
    after_help = "The bearer token comes from FARLOOP_TOKEN, or from the file that FARLOOP_TOKEN_FILE names."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a coordinator and a few workers on this machine, for development
    Dev(dev::Args),
    /// Run a coordinator
    Coordinator(farloop_coordinator::Flags),
    /// Run a worker that offers the demo functions
    Worker(worker::Args),
    /// Call a function and print what it returns
    Run(run::Args),
    /// Tell whether a coordinator serves, or a worker is connected: exit code 0 or 1
    Health(health::Args),
    /// Print the token that a client needs, out of the token file
    Token(token::Args),
    /// Look after the records of a coordinator on its disk
    Admin(admin::Args),
    #[command(flatten)]
    Client(client::Client),
}

/// Runs the command line; what `main` of the binary does.
///
/// Exit codes: 0 done; 1 the task failed, or the command did; 2 wrong usage; 130 interrupted.
#[must_use]
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    // Dropped last: the spans of what has just ended leave then.
    let _telemetry = farloop_telemetry::init(match &command {
        Command::Coordinator(_) => "farloop-coordinator",
        Command::Worker(_) => "farloop-worker",
        _ => "farloop",
    });
    let ran = match command {
        Command::Dev(args) => dev::main(args),
        Command::Coordinator(flags) => farloop_coordinator::run(flags).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::Worker(args) => worker::main(args),
        Command::Run(args) => run::main(args),
        Command::Health(args) => health::main(args),
        Command::Token(args) => token::main(&args),
        Command::Admin(args) => admin::main(args),
        Command::Client(command) => client::main(command),
    };
    match ran {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", in_words(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes. One that says what its cause says is not repeated: errors of the libraries do both ways.
fn in_words(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |mut said, cause| {
        if !said.contains(&cause) {
            if !said.is_empty() {
                said.push_str(": ");
            }
            said.push_str(&cause);
        }
        said
    })
}

/// A current-thread runtime: with several processes on few cores, wake-ups across threads cost more than the work.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Ctrl-C, SIGTERM, or the terminal that goes away. The handlers are there when this returns, not only when it is
/// awaited. Where none can be had, the signal ends the process by itself.
fn stop_signal() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let handler = |kind: SignalKind| {
        let handler = signal(kind).inspect_err(|error| tracing::warn!(%error, ?kind, "no handler for this signal"));
        async move {
            match handler {
                Ok(mut signal) => drop(signal.recv().await),
                Err(_) => std::future::pending().await,
            }
        }
    };
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [interrupt, terminate, hangup] = kinds.map(handler);
    async move {
        tokio::select! {
            () = interrupt => {}
            () = terminate => {}
            () = hangup => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::{Cli, in_words};

    #[test]
    fn a_cause_is_told_once() {
        let disk = std::io::Error::other("Input/output error");
        let store =
            anyhow::Error::from(disk).context("syncing 7.journal: Input/output error").context("the store failed");
        assert_eq!(in_words(&store), "the store failed: syncing 7.journal: Input/output error");
    }

    #[test]
    fn the_commands_fit_together() {
        Cli::command().debug_assert();
    }

    /// Every flag of every command can be set by the environment: a container has no command line to speak of.
    #[test]
    fn every_flag_has_an_environment_variable() {
        let mut flags = 0;
        for command in Cli::command().get_subcommands() {
            for flag in command.get_arguments().filter(|a| a.get_long().is_some()) {
                let (command, name) = (command.get_name(), flag.get_id().as_str());
                if matches!(name, "help" | "version") {
                    continue;
                }
                let variable = flag.get_env().and_then(|v| v.to_str()).unwrap_or_default();
                assert!(variable.starts_with("FARLOOP_"), "`farloop {command} --{name}` has no variable");
                flags += 1;
            }
        }
        assert!(flags > 20, "{flags} flags were looked at");
    }
}
