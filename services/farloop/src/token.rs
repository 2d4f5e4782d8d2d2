//! `farloop token`: prints the token that a client needs, out of the token file. In a container made from scratch
//! nothing else could: `export FARLOOP_TOKEN=$(docker-compose exec -T coordinator /farloop token)`.

use std::process::ExitCode;

use anyhow::Context;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The coordinator's token file; FARLOOP_TOKEN_FILE unless given
    file: Option<std::path::PathBuf>,
}

pub(crate) fn main(args: &Args) -> anyhow::Result<ExitCode> {
    let token = match &args.file {
        Some(path) => farloop::token::from_file(path, farloop::token::Side::Client).map(Some),
        None => farloop::token::from_env(farloop::token::Side::Client),
    };
    println!("{}", token?.context("no token file: name it, or set FARLOOP_TOKEN_FILE")?);
    Ok(ExitCode::SUCCESS)
}
