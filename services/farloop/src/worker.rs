//! `farloop worker`: the reference worker with the demo functions. Your own worker is a program of yours.

use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Coordinator
    #[arg(long, env = "FARLOOP_ADDRESS", default_value = farloop::DEFAULT_ADDRESS)]
    address: String,
    /// Name for people
    #[arg(long, env = "FARLOOP_WORKER_NAME")]
    name: Option<String>,
    /// Attempts that may hold a slot at once
    #[arg(long, env = "FARLOOP_SLOTS", default_value_t = farloop::DEFAULT_SLOTS)]
    slots: u32,
    /// Event loops (threads); one per core unless given
    #[arg(long, env = "FARLOOP_LOOPS")]
    loops: Option<usize>,
    /// Attempts hosted before new roots are held back
    #[arg(long, env = "FARLOOP_MAX_RESIDENT", default_value_t = farloop::DEFAULT_MAX_RESIDENT)]
    max_resident: usize,
    /// Seconds that running work may go on after SIGTERM
    #[arg(long, env = "FARLOOP_DRAIN_SECONDS", default_value_t = farloop::DRAIN_LIMIT.as_secs())]
    drain_seconds: u64,
    /// Seconds that an event loop may be stuck in a body that nobody waits for; then the worker ends with an error
    #[arg(long, env = "FARLOOP_STUCK_SECONDS", default_value_t = farloop::STUCK_LIMIT.as_secs())]
    stuck_seconds: u64,
    /// What it says of itself, for the placement of actors: KEY=VALUE, several with commas between them
    #[arg(long = "label", env = "FARLOOP_LABELS", value_delimiter = ',', value_parser = crate::actors::label)]
    labels: Vec<(String, String)>,
    /// Run it as a child of this process, which starts it again when it crashes, after a pause that grows, and tells the
    /// coordinator how it ended
    #[arg(long, env = "FARLOOP_RESTART")]
    restart: bool,
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    if args.restart {
        let token = farloop::token::from_env(farloop::token::Side::Worker)?;
        let to = crate::supervise::Coordinator { address: args.address, token };
        return crate::runtime()?.block_on(crate::supervise::restarting(to));
    }
    let mut worker = farloop_worker::demo(farloop::Worker::from_env())
        .address(args.address)
        .slots(args.slots)
        .max_resident(args.max_resident)
        .drain_limit(std::time::Duration::from_secs(args.drain_seconds))
        .stuck_limit(std::time::Duration::from_secs(args.stuck_seconds));
    for (key, value) in args.labels {
        worker = worker.label(key, value);
    }
    if let Some(name) = args.name {
        worker = worker.name(name);
    }
    if let Some(loops) = args.loops {
        worker = worker.loops(loops);
    }
    crate::runtime()?.block_on(worker.run())?;
    Ok(ExitCode::SUCCESS)
}
