//! The table, and the one line at its end.

use anyhow::{Result, bail};

use crate::figures::median;

/// What a number counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Micros,
    Millis,
    Rate,
    Bytes,
    Mebibytes,
    /// Syncs of the disk.
    Syncs,
}

/// What the design asks for: of the ratio to the relay where there is one, else of the figure itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    None,
    AtMost { must: f64, aim: f64 },
    AtLeast { must: f64, aim: f64 },
}

/// One row: what was found in each round.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    name: &'static str,
    kind: Kind,
    bound: Bound,
    relay: Vec<f64>,
    farloop: Vec<f64>,
}

impl Finding {
    pub(super) fn new(name: &'static str, kind: Kind, bound: Bound) -> Self {
        Self { name, kind, bound, relay: Vec::new(), farloop: Vec::new() }
    }

    pub(super) fn farloop(&mut self, value: f64) {
        self.farloop.push(value);
    }

    /// Both, measured one right after the other: what the machine did meanwhile falls on both.
    pub(super) fn both(&mut self, relay: f64, farloop: f64) {
        self.relay.push(relay);
        self.farloop.push(farloop);
    }

    /// Median of the rounds' ratios, not ratio of the medians: a slow minute is in both parts of its round.
    fn ratio(&self) -> Option<f64> {
        let each: Vec<f64> =
            self.relay.iter().zip(&self.farloop).filter(|(r, _)| **r > 0.0).map(|(r, f)| f / r).collect();
        (!each.is_empty()).then(|| median(&each))
    }

    fn verdict(&self) -> &'static str {
        let value = self.ratio().unwrap_or_else(|| median(&self.farloop));
        match self.bound {
            Bound::None => "",
            Bound::AtMost { aim, .. } if value <= aim => "aim",
            Bound::AtLeast { aim, .. } if value >= aim => "aim",
            Bound::AtMost { must, .. } if value <= must => "met",
            Bound::AtLeast { must, .. } if value >= must => "met",
            _ => "MISSED",
        }
    }

    fn asked(&self) -> String {
        let x = if self.ratio().is_some() { "x" } else { "" };
        match self.bound {
            Bound::None => String::new(),
            Bound::AtMost { must, aim } => format!("<= {must}{x} ({aim}{x})"),
            Bound::AtLeast { must, aim } => format!(">= {must}{x} ({aim}{x})"),
        }
    }

    fn short(&self) -> String {
        let ratio = self.ratio().map_or(String::new(), |r| format!(" ({r:.2}x relay)"));
        format!("{}{ratio}", self.kind.text(median(&self.farloop)))
    }
}

impl Kind {
    fn text(self, value: f64) -> String {
        match self {
            Self::Micros => format!("{value:.1}us"),
            Self::Millis if value < 10.0 => format!("{value:.1}ms"),
            Self::Millis => format!("{value:.0}ms"),
            Self::Rate if value >= 1e6 => format!("{:.2}M/s", value / 1e6),
            Self::Rate => format!("{:.0}k/s", value / 1e3),
            Self::Bytes => format!("{value:.0} B"),
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Syncs => format!("{value:.2} syncs"),
        }
    }
}

/// Median and, in brackets, the extremes.
fn spread(kind: Kind, values: &[f64]) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = kind.text(median(values));
    if values.len() == 1 { middle } else { format!("{middle} [{} .. {}]", kind.text(least), kind.text(most)) }
}

pub(super) fn print(findings: &[Finding]) {
    println!("{:<30} {:<32} {:<32} {:>7}  {:<18}", "median [min .. max]", "relay", "farloop", "ratio", "must (aim)");
    for f in findings {
        let ratio = f.ratio().map_or(String::new(), |r| format!("{r:.2}x"));
        let (relay, farloop) = (spread(f.kind, &f.relay), spread(f.kind, &f.farloop));
        println!("{:<30} {relay:<32} {farloop:<32} {ratio:>7}  {:<18} {}", f.name, f.asked(), f.verdict());
    }
    println!("{}", summary(findings));
}

/// The one line that a log, a commit message or a reader in a hurry needs.
fn summary(findings: &[Finding]) -> String {
    let of = |name: &str| findings.iter().find(|f| f.name.starts_with(name)).map_or("-".to_owned(), Finding::short);
    format!(
        "floor: rtt {} · pipelined {} · gather10k {} · cancel tree {} · first result {} · {}/pending task · actor call {} · {}/idle actor at its worker",
        of("round trip, p50"),
        of("pipelined, 1,024"),
        of("gather"),
        of("cancel"),
        of("start"),
        of("coordinator per pending"),
        of("actor call"),
        of("worker per idle"),
    )
}

pub(super) fn check(findings: &[Finding]) -> Result<()> {
    let missed: Vec<_> = findings.iter().filter(|f| f.verdict() == "MISSED").map(|f| f.name).collect();
    if !missed.is_empty() {
        bail!("missed: {}", missed.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_judges_the_ratio_and_the_line_names_it() {
        let mut p50 = Finding::new("round trip, p50", Kind::Micros, Bound::AtMost { must: 3.0, aim: 1.5 });
        p50.both(20.0, 24.0);
        p50.both(40.0, 48.0);
        p50.both(20.0, 100.0);
        assert_eq!(p50.ratio(), Some(1.2));
        assert_eq!(p50.verdict(), "aim");
        let mut pending =
            Finding::new("coordinator per pending task", Kind::Bytes, Bound::AtMost { must: 1.0, aim: 1.0 });
        pending.farloop(612.0);
        assert_eq!(pending.verdict(), "MISSED");
        let found = [p50, pending];
        assert!(check(&found).is_err());
        let line = summary(&found);
        assert!(line.starts_with("floor: rtt 48.0us (1.20x relay) · pipelined - ·"), "{line}");
        assert!(line.contains("· 612 B/pending task ·"), "{line}");
    }
}
