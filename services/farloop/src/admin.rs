//! `farloop admin`: what concerns the records on a coordinator's disk rather than a coordinator: whether they are whole,
//! and a copy of them. Both read only, and work beside a coordinator that writes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use farloop_store::Report;
use farloop_store::disk::RealDisk;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Read all records of a data directory, and say what is there and whether it is whole: exit code 0 or 1
    Verify {
        /// The directory that `farloop coordinator --data-dir` was given
        dir: PathBuf,
    },
    /// Copy the records of a data directory: a coordinator can be started on the copy
    Snapshot {
        /// The directory that `farloop coordinator --data-dir` was given
        dir: PathBuf,
        /// Where to: a directory that is empty, or not there. On the same file system the copy shares files that are
        /// written no more; for a backup that survives the disk, name a place on another one
        to: PathBuf,
    },
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Verify { dir } => verify(&dir),
        Command::Snapshot { dir, to } => {
            let report = farloop_store::snapshot(&dir, &to)?;
            print!("{}", told(&report));
            println!("copied to {}", to.display());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn verify(dir: &Path) -> anyhow::Result<ExitCode> {
    let disk = RealDisk::existing(dir).with_context(|| format!("cannot open {}", dir.display()))?;
    let report = farloop_store::verify(&disk)?;
    anyhow::ensure!(report.segments > 0 || !report.damage.is_empty(), "there are no records in {}", dir.display());
    print!("{}", told(&report));
    if report.damage.is_empty() {
        println!("whole");
        return Ok(ExitCode::SUCCESS);
    }
    for damage in &report.damage {
        eprintln!("damaged: {damage}");
    }
    eprintln!("a coordinator does not start on this; restore a copy that `farloop admin snapshot` made");
    Ok(ExitCode::FAILURE)
}

/// What is there, a line each.
fn told(report: &Report) -> String {
    let (first, last) = report.numbers;
    let mut lines = vec![
        format!("segments   {} with records, {} ahead of need", report.segments, report.reserved),
        format!("bytes      {}, {} of them of tasks that are not over", report.bytes, report.live_bytes),
        format!("payloads   {} in files of their own", report.blobs),
        format!("records    {} ({first} to {last})", report.records.values().sum::<u64>()),
    ];
    lines.extend(report.records.iter().map(|(kind, count)| format!("  {kind:<17} {count}")));
    lines.push(format!("tasks      {} that are not over", report.live));
    if let Some((file, offset)) = &report.torn {
        lines.push(format!("torn       the end of {file} from byte {offset} on: nothing that was acknowledged"));
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_told_in_lines() {
        let mut report = Report::default();
        report.records = [("life", 1), ("submitted", 41)].into();
        (report.numbers, report.live) = ((1, 42), 7);
        report.torn = Some(("1.segment".into(), 4_096));
        let text = told(&report);
        assert!(text.contains("records    42 (1 to 42)\n  life              1\n  submitted         41\n"), "{text}");
        assert!(text.contains("tasks      7 that are not over\n"), "{text}");
        assert!(text.contains("torn       the end of 1.segment from byte 4096 on"), "{text}");
    }
}
