//! Development commands of the workspace.

mod cargo;
mod codegen;
mod relay_codegen;

use anyhow::{Result, bail};

const USAGE: &str = "\
Development commands of the workspace: cargo xtask <command>

  codegen [--check]        proto/ to generated Rust; --check only says whether what is checked in is fresh
  conformance [args]       asyncio's laws, one scenario each, judged against CPython's recorded answers
  sim [args]               seeded simulation of whole clusters under faults: --seeds N, --seed S
  floor [--quick] [args]   farloop beside a bare tonic relay: the figures and their ratios

Every command but codegen passes its arguments on; `cargo xtask sim --help` shows what the simulator takes.";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
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
        "conformance" => cargo::run("farloop-test-conformance", rest),
        "sim" => cargo::run("farloop-test-simulation", rest),
        "floor" => {
            cargo::build(&["farloop", "relay", "load", "floor"])?;
            cargo::run("floor", rest)
        }
        "help" | "-h" | "--help" => {
            println!("{USAGE}");
            Ok(())
        }
        unknown => bail!("there is no command `{unknown}`\n\n{USAGE}"),
    }
}
