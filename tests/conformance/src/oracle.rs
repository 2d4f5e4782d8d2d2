//! The recorded probes: what CPython 3.13.0 printed. Expectations come from here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

/// One journal line of the oracle.
#[derive(Clone, Debug, PartialEq)]
pub struct OracleLine {
    /// Virtual time in seconds.
    pub time: f64,
    /// What was logged.
    pub text: String,
}

/// One recorded probe.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Its name in the probe sources.
    pub name: String,
    /// The value of its main.
    pub out: Value,
    /// Its journal.
    pub log: Vec<OracleLine>,
    /// Messages that reached the exception handler and were still there at the end.
    pub handler: Vec<String>,
    /// Warnings.
    pub warnings: Vec<String>,
}

impl Probe {
    /// The same probe with its journal passed through `edit`, line by line; `None` takes a line out.
    /// For what the design does differently on purpose: the scenario that calls this says why.
    #[must_use]
    pub fn edited(mut self, edit: impl Fn(&str) -> Option<String>) -> Self {
        self.log = self
            .log
            .into_iter()
            .filter_map(|line| edit(&line.text).map(|text| OracleLine { time: line.time, text }))
            .collect();
        self
    }

    /// The part of the journal from `from` on and before `to`, with its times counted from `from`: for probes that run two
    /// programs one after the other.
    #[must_use]
    pub fn between(mut self, from: f64, to: f64) -> Self {
        self.log.retain(|line| line.time >= from && line.time < to);
        for line in &mut self.log {
            line.time -= from;
        }
        self
    }
}

#[derive(Deserialize)]
struct Record {
    out: Value,
    log: Vec<String>,
    handler: Vec<Option<String>>,
    warn: Vec<String>,
}

static PROBES: LazyLock<BTreeMap<String, Probe>> = LazyLock::new(|| {
    let files = [
        include_str!("../recorded/p1_3.13.0.json"),
        include_str!("../recorded/p2_3.13.0.json"),
        include_str!("../recorded/p3_3.13.0.json"),
        include_str!("../recorded/p4_3.13.0.json"),
    ];
    let mut probes = BTreeMap::new();
    for file in files {
        let records: BTreeMap<String, Record> = serde_json::from_str(file).expect("a recorded probe file is JSON");
        for (name, record) in records {
            let probe = Probe {
                name: name.clone(),
                out: record.out,
                log: record.log.iter().map(|line| parse(line)).collect(),
                handler: record.handler.into_iter().flatten().collect(),
                warnings: record.warn,
            };
            probes.insert(name, probe);
        }
    }
    probes
});

fn parse(line: &str) -> OracleLine {
    let (time, text) = line.split_once(' ').expect("a journal line is `time text`");
    OracleLine { time: time.parse().expect("a journal line starts with its time"), text: text.to_owned() }
}

/// The probe of that name.
///
/// # Panics
/// If there is none: the scenario has a typing error.
#[must_use]
pub fn oracle(name: &str) -> Probe {
    PROBES.get(name).unwrap_or_else(|| panic!("no recorded probe is called {name}")).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_reads_as_recorded() {
        let probe = oracle("GA2");
        assert_eq!(probe.out, serde_json::json!([["a", "b", "c"], 3.0]));
        assert_eq!(probe.log[3], OracleLine { time: 1.0, text: "done b".into() });
    }

    #[test]
    fn a_part_of_a_journal_starts_its_own_clock() {
        let second = oracle("GA10").between(3.5, 100.0);
        assert_eq!(second.log[0], OracleLine { time: 0.5, text: "suppress a".into() });
    }
}
