//! Other programs of the workspace, built and run by cargo.
//!
//! Always in release and always by binary name, never by `--package`: cargo then unites the features of the whole
//! workspace each time, and tokio, tonic and the rest are compiled once for all of them.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};

/// Builds these binaries.
pub(crate) fn build(binaries: &[&str]) -> Result<()> {
    let mut command = cargo("build")?;
    for binary in binaries {
        command.args(["--bin", binary]);
    }
    succeed(command.status(), &format!("building {}", binaries.join(", ")))
}

/// Builds and runs one binary. Ends this process with the binary's own exit code if it fails: it has said why.
pub(crate) fn run(binary: &str, features: &[&str], arguments: &[String]) -> Result<()> {
    let mut command = cargo("run")?;
    command.args(["--bin", binary]);
    for feature in features {
        command.args(["--features", feature]);
    }
    command.arg("--").args(arguments);
    let status = command.status().context("cargo could not be run")?;
    if !status.success() {
        std::process::exit(status.code().unwrap_or(1));
    }
    Ok(())
}

/// Runs one file of tests with that in its environment, and shows what it prints.
pub(crate) fn test(package: &str, file: &str, env: &[(&str, &str)]) -> Result<()> {
    let mut command = cargo("test")?;
    command.args(["--package", package, "--test", file, "--", "--nocapture"]).envs(env.iter().copied());
    succeed(command.status(), &format!("the test `{file}`"))
}

/// The workspace, wherever the command was typed.
pub(crate) fn root() -> Result<PathBuf> {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    Ok(xtask.parent().context("xtask lies in the workspace")?.to_owned())
}

fn cargo(command: &str) -> Result<Command> {
    // Set by cargo for what it runs: the same toolchain again.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = Command::new(program);
    cargo.current_dir(root()?).args([command, "--quiet", "--release"]);
    Ok(cargo)
}

fn succeed(status: std::io::Result<ExitStatus>, what: &str) -> Result<()> {
    let status = status.context("cargo could not be run")?;
    if !status.success() {
        bail!("{what} failed: {status}");
    }
    Ok(())
}
