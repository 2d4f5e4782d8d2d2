//! Stands in for cargo in the image that ../run.sh builds the Dockerfile from: it checks that it is asked for what the
//! Dockerfile promises and that the sources came along, and hands over the binary that was built with the same words
//! outside. Compiled by itself, statically: the image holds nothing else.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

const ASKED: &str = "rustc --release --locked --package farloop-cli --bin farloop -- -C target-feature=+crt-static";
const NEEDED: &[&str] = &["Cargo.toml", "Cargo.lock", "services/farloop/src/main.rs", "proto/farloop/v1", "xtask/Cargo.toml"];
const UNWANTED: &[&str] = &["target", ".git"];
const BUILT: &str = "target/release/farloop";

fn main() -> ExitCode {
    match hand_over() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("stand-in for cargo: {why}");
            ExitCode::FAILURE
        }
    }
}

fn hand_over() -> Result<(), String> {
    let asked: Vec<String> = env::args().skip(1).collect();
    if asked.join(" ") != ASKED {
        return Err(format!("asked for `{}`, where run.sh has built `{ASKED}`", asked.join(" ")));
    }
    if let Some(missing) = NEEDED.iter().find(|path| !Path::new(path).exists()) {
        return Err(format!("{missing} is missing: .dockerignore leaves out too much"));
    }
    if let Some(unwanted) = UNWANTED.iter().find(|path| Path::new(path).exists()) {
        return Err(format!("{unwanted} was sent along: .dockerignore leaves out too little"));
    }
    fs::create_dir_all("target/release").map_err(|error| error.to_string())?;
    fs::copy("/farloop", BUILT).map(drop).map_err(|error| error.to_string())
}
