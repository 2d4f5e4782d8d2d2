//! Every row of the table in scope, and how it stands.

use futures_util::future::LocalBoxFuture;

use crate::judge::Check;
use crate::run::Run;

/// The program of a scenario.
pub type Play = fn(Run) -> LocalBoxFuture<'static, Check>;

/// A scenario by name.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// `row_082_results_come_in_argument_order`.
    pub name: &'static str,
    /// Its program.
    pub play: Play,
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// How a row stands.
#[derive(Clone, Copy, Debug)]
pub enum Standing {
    /// The scenario asks for what CPython does.
    Covered(Scenario),
    /// The scenario asks for what the design does instead, and why it does.
    Deviates(Scenario, &'static str),
    /// The program of the row does not compile: `ui/<case>.rs` proves it.
    Impossible(&'static str, &'static str),
    /// Nothing, and why.
    Missing(&'static str, &'static str),
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name: `row_<number>_<sentence>`.
    pub name: &'static str,
    /// How it stands.
    pub standing: Standing,
}

impl Row {
    /// Its number in the table.
    ///
    /// # Panics
    /// If the name does not begin with `row_<number>_`.
    #[must_use]
    pub fn number(&self) -> u16 {
        let digits = self.name.strip_prefix("row_").and_then(|rest| rest.get(..3)).expect("row_<number>_");
        digits.parse().expect("row_<number>_")
    }

    /// The scenario, if it has one.
    #[must_use]
    pub fn scenario(&self) -> Option<Scenario> {
        match self.standing {
            Standing::Covered(scenario) | Standing::Deviates(scenario, _) => Some(scenario),
            Standing::Impossible(..) | Standing::Missing(..) => None,
        }
    }
}

/// The rows of one scenario file, in its own words:
/// `covered row_x`, `deviates row_x "why"`, `impossible row_x "why"`, `missing row_x "why"`.
macro_rules! rows {
    (@one covered $name:ident) => {
        $crate::registry::Standing::Covered($crate::registry::Scenario {
            name: stringify!($name),
            play: |run| Box::pin($name(run)),
        })
    };
    (@one deviates $name:ident $why:literal) => {
        $crate::registry::Standing::Deviates(
            $crate::registry::Scenario { name: stringify!($name), play: |run| Box::pin($name(run)) },
            $why,
        )
    };
    (@one impossible $name:ident $why:literal) => { $crate::registry::Standing::Impossible(stringify!($name), $why) };
    (@one missing $name:ident $why:literal) => { $crate::registry::Standing::Missing(stringify!($name), $why) };
    ($($how:ident $name:ident $($why:literal)?;)*) => {
        &[$($crate::registry::Row {
            name: stringify!($name),
            standing: $crate::registry::rows!(@one $how $name $($why)?),
        }),*]
    };
}
pub(crate) use rows;

/// An area of the table, with its rows in scope.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// Two letters.
    pub code: &'static str,
    /// In words.
    pub title: &'static str,
    /// First and last row.
    pub span: (u16, u16),
    /// Whether every row must be there; otherwise nine in ten.
    pub complete: bool,
    /// The rows.
    pub rows: &'static [&'static [Row]],
}

impl Area {
    /// Its rows, in order of the table.
    #[must_use]
    pub fn sorted(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.rows.iter().flat_map(|part| part.iter().copied()).collect();
        rows.sort_by_key(Row::number);
        rows
    }
}

/// The areas in scope.
#[must_use]
pub fn areas() -> Vec<Area> {
    use crate::scenarios::{ac, ca, cb, co, er, fu, ga, inside, lo, ne, ru, sc, sh, sy, tg, th, ti, to, ts, wa, wf};
    let area = |code, title, span, complete, rows| Area { code, title, span, complete, rows };
    vec![
        area("CO", "Coroutine objects", (1, 12), false, &[co::ROWS]),
        area("SC", "Scheduling", (13, 24), false, &[sc::ROWS]),
        area("TS", "Task states and representation", (25, 48), false, &[ts::ROWS]),
        area("FU", "Future (promise)", (49, 61), false, &[fu::ROWS]),
        area("CB", "Done callbacks", (62, 79), false, &[cb::ROWS]),
        area("GA", "gather", (80, 114), true, &[ga::results::ROWS, ga::failures::ROWS, ga::cancelling::ROWS]),
        area("WA", "wait", (115, 133), true, &[wa::ROWS]),
        area("AC", "as_completed", (134, 147), true, &[ac::ROWS]),
        area("WF", "wait_for", (148, 164), true, &[wf::ROWS]),
        area("TO", "timeout scopes", (165, 180), true, &[to::ROWS]),
        area("SH", "shield", (181, 192), true, &[sh::ROWS]),
        area("TG", "TaskGroup", (193, 220), true, &[tg::failing::ROWS, tg::leaving::ROWS]),
        area("CA", "Cancellation", (221, 251), true, &[ca::requests::ROWS, ca::forwarding::ROWS]),
        area("LO", "Event loop lifecycle", (252, 280), true, &[lo::running::ROWS, lo::lifecycle::ROWS]),
        area("RU", "run() and Runner", (281, 287), true, &[ru::ROWS]),
        area("TH", "Entering from other threads", (288, 303), true, &[th::ROWS]),
        area("TI", "Timers and sleep", (304, 319), true, &[ti::ROWS]),
        area("IN", "Introspection, names, context", (320, 328), false, &[inside::ROWS]),
        area("NE", "Nested coroutines", (329, 336), true, &[ne::ROWS]),
        area("ER", "Error reporting", (337, 343), false, &[er::ROWS]),
        area("SY", "Locks, events, queues, barriers", (349, 354), true, &[sy::ROWS]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_in_scope_is_there_once_and_every_impossible_one_has_its_proof() {
        let ui = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/farloop/tests/ui/impossible");
        for area in areas() {
            let numbers: Vec<u16> = area.sorted().iter().map(Row::number).collect();
            let expected: Vec<u16> = (area.span.0..=area.span.1).collect();
            assert_eq!(numbers, expected, "the rows of {}", area.code);
            for row in area.sorted() {
                if let Standing::Impossible(case, _) = row.standing {
                    assert!(ui.join(format!("{case}.rs")).exists(), "ui/{case}.rs");
                    assert!(ui.join(format!("{case}.stderr")).exists(), "ui/{case}.stderr");
                }
            }
        }
    }

    #[test]
    fn required_areas_are_complete_and_the_others_nearly() {
        for area in areas() {
            let rows = area.sorted();
            let missing = rows.iter().filter(|row| matches!(row.standing, Standing::Missing(..))).count();
            let allowed = if area.complete { 0 } else { rows.len() / 10 };
            assert!(missing <= allowed, "{}: {missing} rows missing, {allowed} allowed", area.code);
        }
    }
}
