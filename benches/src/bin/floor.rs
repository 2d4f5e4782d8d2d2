//! `cargo xtask floor`: farloop beside the bare relay.

use anyhow::Result;
use clap::Parser;
use farloop_benches::floor::{Options, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    run(Options::parse()).await
}
