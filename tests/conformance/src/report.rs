//! Runs rows on backends and tells how each area stands.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::backend::cluster::Processes;
use crate::backend::{Verdict, in_process};
use crate::judge::Wrong;
use crate::registry::{Area, Row, Scenario, Standing, areas};
use crate::run::Backend;

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Areas by code; empty: all.
    pub areas: Vec<String>,
    /// Rows by number; empty: all.
    pub rows: Vec<u16>,
    /// Backends; empty: both.
    pub backends: Vec<Backend>,
}

impl Selection {
    fn areas(&self) -> Vec<(Area, Vec<Row>)> {
        areas()
            .into_iter()
            .filter(|area| self.areas.is_empty() || self.areas.iter().any(|code| code.eq_ignore_ascii_case(area.code)))
            .map(|area| {
                let rows = area.sorted();
                (
                    area,
                    rows.into_iter().filter(|row| self.rows.is_empty() || self.rows.contains(&row.number())).collect(),
                )
            })
            .filter(|(_, rows): &(Area, Vec<Row>)| !rows.is_empty())
            .collect()
    }

    fn backends(&self) -> Vec<Backend> {
        if self.backends.is_empty() { Backend::ALL.to_vec() } else { self.backends.clone() }
    }
}

/// Verdicts by row and backend.
#[derive(Debug, Default)]
pub struct Outcome {
    verdicts: BTreeMap<(u16, Backend), Verdict>,
    selection: Selection,
}

/// Runs what is selected.
///
/// # Errors
/// If the cluster's processes cannot be started.
pub fn run(selection: Selection) -> Result<Outcome, Wrong> {
    crate::process::plain_panics();
    let rows: Vec<Row> = selection.areas().into_iter().flat_map(|(_, rows)| rows).collect();
    let scenarios: Vec<(u16, Scenario)> = rows.iter().filter_map(|row| Some((row.number(), row.scenario()?))).collect();
    let mut verdicts = BTreeMap::new();
    for backend in selection.backends() {
        match backend {
            Backend::InProcess => verdicts
                .extend(on_one_thread_each(&scenarios).into_iter().map(|(row, verdict)| ((row, backend), verdict))),
            Backend::Cluster if scenarios.is_empty() => {}
            Backend::Cluster => {
                let all: Vec<Scenario> = scenarios.iter().map(|(_, scenario)| *scenario).collect();
                let numbers: BTreeMap<&str, u16> =
                    scenarios.iter().map(|(row, scenario)| (scenario.name, *row)).collect();
                Processes::start()?.play(&all, |scenario, verdict| {
                    verdicts.insert((numbers[scenario.name], backend), verdict);
                })?;
            }
        }
    }
    Ok(Outcome { verdicts, selection })
}

/// Virtual clocks do not mind each other: as many at a time as there are cores.
fn on_one_thread_each(scenarios: &[(u16, Scenario)]) -> Vec<(u16, Verdict)> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((row, scenario)) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = in_process::play(*scenario);
                    if let Ok(mut verdicts) = verdicts.lock() {
                        verdicts.push((*row, verdict));
                    }
                }
            });
        }
    });
    verdicts.into_inner().unwrap_or_default()
}

/// How often each thing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows.
    pub rows: usize,
    /// Scenarios that ask for CPython's behaviour and hold everywhere they ran.
    pub covered: usize,
    /// Rows that do not compile.
    pub impossible: usize,
    /// Scenarios that ask for the design's own behaviour and hold everywhere they ran.
    pub deviate: usize,
    /// Rows with nothing.
    pub missing: usize,
    /// Rows with a scenario that does not hold somewhere.
    pub failed: usize,
}

impl Outcome {
    /// Why a row failed, per backend.
    #[must_use]
    pub fn failures(&self, row: &Row) -> Vec<(Backend, String)> {
        Backend::ALL
            .into_iter()
            .filter_map(|backend| match &self.verdicts.get(&(row.number(), backend))?.check {
                Ok(()) => None,
                Err(Wrong(text)) => Some((backend, text.clone())),
            })
            .collect()
    }

    fn count(&self, rows: &[Row]) -> Counts {
        let mut counts = Counts { rows: rows.len(), ..Counts::default() };
        for row in rows {
            match row.standing {
                _ if !self.failures(row).is_empty() => counts.failed += 1,
                Standing::Covered(_) => counts.covered += 1,
                Standing::Deviates(..) => counts.deviate += 1,
                Standing::Impossible(..) => counts.impossible += 1,
                Standing::Missing(..) => counts.missing += 1,
            }
        }
        counts
    }

    /// The counts over all that was selected.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.count(&self.selection.areas().into_iter().flat_map(|(_, rows)| rows).collect::<Vec<_>>())
    }

    /// How each area stands, row by row where there is something to say, and one line of counts.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (area, rows) in self.selection.areas() {
            let counts = self.count(&rows);
            let _ = writeln!(
                text,
                "{}  {:<30} rows {:>3}-{:<3}  {:>2} covered, {} impossible, {} deviate, {} missing, {} failed",
                area.code,
                area.title,
                area.span.0,
                area.span.1,
                counts.covered,
                counts.impossible,
                counts.deviate,
                counts.missing,
                counts.failed
            );
            for row in &rows {
                match row.standing {
                    Standing::Impossible(_, why) => {
                        let _ = writeln!(text, "      {}: does not compile: {why}", row.name);
                    }
                    Standing::Deviates(_, why) => {
                        let _ = writeln!(text, "      {}: deviates: {why}", row.name);
                    }
                    Standing::Missing(_, why) => {
                        let _ = writeln!(text, "      {}: MISSING: {why}", row.name);
                    }
                    Standing::Covered(_) => {}
                }
                for (backend, why) in self.failures(row) {
                    let _ = writeln!(text, "      {}: FAILED ({backend}): {why}", row.name);
                }
            }
        }
        let repeated: u32 = self.verdicts.values().map(|verdict| verdict.repeated).sum();
        if repeated > 0 {
            let _ = writeln!(
                text,
                "{repeated} runs were not judged and repeated, because this machine stood still during them"
            );
        }
        let _ = write!(text, "{}", self.closing_line());
        text
    }

    /// `conformance: 215 rows in scope: …`.
    #[must_use]
    pub fn closing_line(&self) -> String {
        let counts = self.counts();
        let backends = self.selection.backends();
        let on = match backends.as_slice() {
            [one] => format!("covered {one}"),
            _ => "covered on both backends".to_owned(),
        };
        format!(
            "conformance: {} rows in scope: {} {on}, {} impossible in Rust, {} deviate on purpose, {} missing; {} failed",
            counts.rows, counts.covered, counts.impossible, counts.deviate, counts.missing, counts.failed
        )
    }
}
