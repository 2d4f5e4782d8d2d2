//! Development commands of the workspace.

mod cargo;
mod codegen;
mod relay_codegen;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
Development commands of the workspace: cargo xtask <command>

  codegen [--check]        proto/ to generated Rust; --check only says whether what is checked in is fresh
  conformance [args]       asyncio's laws, one scenario each, judged against CPython's recorded answers
  sim [args]               seeded simulation of whole clusters under faults: --seeds N, --seed S, --planted BUG
  soak [TASKS]             ten million tasks through a coordinator that keeps its records: memory and disk stay flat
  floor [--quick] [args]   farloop beside a bare tonic relay: the figures and their ratios

Every command but codegen passes its arguments on; `cargo xtask sim --help` shows what the simulator takes.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // The chain of causes on one line; a backtrace of this program would help nobody.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else {
        println!("{USAGE}");
        return Ok(());
    };
    match command.as_str() {
        "codegen" => {
            let check = match rest {
                [] => false,
                [flag] if flag == "--check" => true,
                _ => bail!("codegen takes --check or nothing, not `{}`", rest.join(" ")),
            };
            codegen::run(check)?;
            relay_codegen::run(check)
        }
        "conformance" => cargo::run("farloop-test-conformance", &[], rest),
        "sim" => {
            // The planted bugs are compiled in only where one is asked for.
            let planted = rest.iter().any(|argument| argument.starts_with("--planted"));
            let features: &[&str] = if planted { &["farloop-test-simulation/planted-bugs"] } else { &[] };
            cargo::run("farloop-test-simulation", features, rest)
        }
        "soak" => {
            let tasks = match rest {
                [] => "10000000",
                [tasks] if tasks.parse::<u64>().is_ok() => tasks,
                _ => bail!("soak takes a number of tasks or nothing, not `{}`", rest.join(" ")),
            };
            cargo::test("farloop-test-cluster", "soak", &[("FARLOOP_SOAK_TASKS", tasks)])
        }
        "floor" => {
            cargo::build(&["farloop", "relay", "load", "durable", "floor"])?;
            cargo::run("floor", &[], rest)
        }
        "help" | "-h" | "--help" => {
            println!("{USAGE}");
            Ok(())
        }
        unknown => bail!("there is no command `{unknown}`\n\n{USAGE}"),
    }
}
