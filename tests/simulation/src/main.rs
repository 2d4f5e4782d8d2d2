//! `cargo xtask sim`: runs the simulator from the command line.

use std::process::ExitCode;
use std::time::Instant;

use farloop_test_simulation::{Options, catch, plantable, run, run_seed};

const USAGE: &str =
    "usage: farloop-test-simulation [--seeds N] [--from N] [--seed S] [--planted NAME|all] [--trace] [--first] [--safety|--liveness] [--actors]

  --seeds N       run N seeds (default 2000)
  --from N        beginning with this one (default 0)
  --seed S        run one seed, and print its last lines if it fails
  --trace         with --seed: print every line
  --safety        in worlds with a store faults never stop: nothing may break, and nothing has to end
  --liveness      in worlds with a store faults stop, and everything has to end; without either the seed draws
  --actors        worlds of actors rather than of tasks
  --first         stop at the first seed that fails
  --planted NAME  plant a bug in the core and say after how many seeds it is caught; `all` does so for every bug
                  (needs --features planted-bugs)";

struct Command {
    seeds: u64,
    from: u64,
    seed: Option<u64>,
    options: Options,
}

fn main() -> ExitCode {
    let command = match parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // A world that panics is reported as a failed seed, with its trace; the default message would only interleave.
    std::panic::set_hook(Box::new(|_| {}));
    if command.options.planted.is_some() && command.seed.is_none() {
        return planted(&command);
    }
    if let Some(seed) = command.seed {
        return one(seed, &command.options);
    }
    let began = Instant::now();
    let mut told = Instant::now();
    let report = run(command.from..command.from + command.seeds, &command.options, |so_far| {
        if told.elapsed().as_secs() >= 10 {
            told = Instant::now();
            let failed = so_far.failed.iter().map(|f| f.seed).take(5).collect::<Vec<_>>();
            eprintln!(
                "{} seeds in {:.0} s, {} failed {failed:?}",
                so_far.seeds,
                began.elapsed().as_secs_f64(),
                so_far.failed.len()
            );
        }
    });
    for failed in report.failed.iter().take(3) {
        println!("{failed}\n");
    }
    for failed in report.failed.iter().skip(3).take(20) {
        println!("seed {} fails: {}", failed.seed, failed.law);
    }
    println!("took {:.1} s", began.elapsed().as_secs_f64());
    println!("{report}");
    ExitCode::from(u8::from(!report.failed.is_empty()))
}

fn one(seed: u64, options: &Options) -> ExitCode {
    let outcome = run_seed(seed, options);
    if let Some(failed) = &outcome.failed {
        println!("{failed}\n");
    }
    println!(
        "sim: 1 seeds, {} failed, {} steps, trace hash {:016x}",
        u8::from(outcome.failed.is_some()),
        outcome.steps,
        outcome.hash
    );
    ExitCode::from(u8::from(outcome.failed.is_some()))
}

/// Each bug must be caught: that the simulator finds nothing in a sound core says little if it finds nothing here.
fn planted(command: &Command) -> ExitCode {
    let wanted = command.options.planted.clone().unwrap_or_default();
    let names = plantable().into_iter().filter(|n| wanted == "all" || *n == wanted).collect::<Vec<_>>();
    if names.is_empty() {
        eprintln!("no such bug, or none at all: build with --features planted-bugs; there are {:?}", plantable());
        return ExitCode::from(2);
    }
    let (mut missed, total) = (0, names.len());
    for name in names {
        let caught = catch(&name, command.from..command.from + command.seeds, command.options.actors);
        match caught {
            Some((after, failed)) => {
                let what = failed.what.lines().next().unwrap_or_default();
                println!("{name}: caught after {after} seeds by {} ({:.110})", failed.law, what);
            }
            None => {
                missed += 1;
                println!("{name}: NOT caught in {} seeds", command.seeds);
            }
        }
    }
    println!("sim: {total} planted bugs, {missed} missed");
    ExitCode::from(u8::from(missed > 0))
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut command = Command { seeds: 2_000, from: 0, seed: None, options: Options::default() };
    while let Some(arg) = args.next() {
        let mut value = |what: &str| args.next().ok_or_else(|| format!("{what} wants a value"));
        let number = |text: String| text.parse::<u64>().map_err(|e| format!("{text}: {e}"));
        match arg.as_str() {
            "--seeds" => command.seeds = number(value("--seeds")?)?,
            "--from" => command.from = number(value("--from")?)?,
            "--seed" => command.seed = Some(number(value("--seed")?)?),
            "--planted" => command.options.planted = Some(value("--planted")?),
            "--safety" => command.options.safety = Some(true),
            "--liveness" => command.options.safety = Some(false),
            "--actors" => command.options.actors = true,
            "--trace" => command.options.trace = true,
            "--first" => command.options.first = true,
            "--help" | "-h" => return Err(String::new()),
            other => return Err(format!("{other} is unknown")),
        }
    }
    Ok(command)
}
