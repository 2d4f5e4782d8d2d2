//! One line of JSON per measurement: what the load programs print and the harness reads.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one measurement found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Operations finished in the measured time.
    pub operations: u64,
    /// The measured time.
    pub seconds: f64,
    /// Median time of one operation, in microseconds.
    pub p50_us: f64,
    /// 99th percentile, in microseconds.
    pub p99_us: f64,
    /// Bytes of memory that one operation left behind, where that was the question.
    #[serde(default)]
    pub bytes_each: f64,
}

impl Figures {
    /// Sums up: sorts `nanos` in place.
    #[must_use]
    pub fn of(nanos: &mut [u32], measured: Duration) -> Self {
        nanos.sort_unstable();
        let at = |quantile: f64| {
            let last = nanos.len().saturating_sub(1);
            nanos.get((last as f64 * quantile) as usize).map_or(0.0, |n| f64::from(*n) / 1e3)
        };
        Self {
            operations: nanos.len() as u64,
            seconds: measured.as_secs_f64(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            bytes_each: 0.0,
        }
    }

    /// One operation that took that long.
    #[must_use]
    pub fn once(took: Duration) -> Self {
        let us = took.as_secs_f64() * 1e6;
        Self { operations: 1, seconds: took.as_secs_f64(), p50_us: us, p99_us: us, bytes_each: 0.0 }
    }

    /// Operations per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.operations as f64 / self.seconds } else { 0.0 }
    }

    /// Prints itself for the harness.
    pub fn print(&self) {
        println!("{}", serde_json::to_string(self).expect("numbers always serialize"));
    }
}

/// Median; zero of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_medians() {
        let mut nanos: Vec<u32> = (1..=100).rev().map(|n| n * 1_000).collect();
        let figures = Figures::of(&mut nanos, Duration::from_secs(2));
        assert_eq!((figures.p50_us, figures.p99_us, figures.rate()), (50.0, 99.0, 50.0));
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
        assert_eq!(Figures::of(&mut [], Duration::ZERO).rate(), 0.0);
    }
}
