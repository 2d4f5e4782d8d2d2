//! Comparing a run with a recorded probe.
//!
//! The normalisation, written down:
//!
//! * Texts are equal, word for word. Bodies and scenarios log in the oracle's own words (`cancelled a ('m',)`, `True`), and
//!   errors are rendered as Python renders them ([`crate::python`]); there is no pattern matching.
//! * Names: a probe's local functions (`_.<locals>.c()`) and `Task-N` are matter of the scenario that compares them.
//! * Times, on the virtual clock: equal to two hundredths of a second (tokio's timers count in milliseconds).
//!   On the real clock: never early; lateness alone is no failure, as long as the order below holds.
//! * Order: lines at different oracle times keep their order. At one oracle time, CPython's single loop has an order that
//!   several machines do not have; how much of it must hold is [`Order`].

use serde::Serialize;
use serde_json::Value;

use crate::journal::Line;
use crate::oracle::OracleLine;

/// Why a scenario failed.
#[derive(Clone, Debug)]
pub struct Wrong(pub String);

/// What a scenario ends with.
pub type Check = Result<(), Wrong>;

impl From<farloop::Error> for Wrong {
    #[track_caller]
    fn from(error: farloop::Error) -> Self {
        let place = std::panic::Location::caller();
        Self(format!("{}:{}: an error where a value was expected: {error} ({error:?})", place.file(), place.line()))
    }
}

impl From<std::io::Error> for Wrong {
    #[track_caller]
    fn from(error: std::io::Error) -> Self {
        let place = std::panic::Location::caller();
        Self(format!("{}:{}: {error}", place.file(), place.line()))
    }
}

/// How much of the order of lines at one instant must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All of it: the lines come from one loop.
    Strict,
    /// Lines of one author keep their order, and what a body wrote before the main program did stays before it: an effect
    /// does not precede its cause. Two bodies at one instant have no order.
    Causal,
    /// Only lines of one author keep their order: main does not wait for the bodies it writes about.
    Loose,
}

const TICK: f64 = 0.02;

/// Compares the journal of a run with that of a probe.
///
/// # Errors
/// Says which line is missing, unexpected, early or out of order, and prints both journals.
pub fn same_log(want: &[OracleLine], got: &[Line], exact: bool, order: Order) -> Check {
    judge(want, got, exact, order).map_err(|what| {
        use std::fmt::Write as _;
        let mut text = format!("{what}\n    expected:");
        for line in want {
            let _ = write!(text, "\n      {} {}", line.time, line.text);
        }
        text.push_str("\n    got:");
        for line in got {
            let _ = write!(text, "\n      {:.3} {}  [{}]", line.time, line.text, line.who);
        }
        Wrong(text)
    })
}

fn judge(want: &[OracleLine], got: &[Line], exact: bool, order: Order) -> Result<(), String> {
    // The n-th line of a text in the oracle is the n-th of that text here.
    let mut taken = vec![false; got.len()];
    let mut places = Vec::with_capacity(want.len());
    for line in want {
        let place = (0..got.len())
            .find(|&at| !taken[at] && got[at].text == line.text)
            .ok_or_else(|| format!("missing line `{} {}`", line.time, line.text))?;
        taken[place] = true;
        let time = got[place].time;
        if time < line.time - TICK {
            return Err(format!("`{}` came early: at {time:.3}, expected at {}", line.text, line.time));
        }
        if exact && time > line.time + TICK {
            return Err(format!("`{}` came late: at {time:.3}, expected at {}", line.text, line.time));
        }
        places.push(place);
    }
    if let Some(extra) = taken.iter().position(|&taken| !taken) {
        return Err(format!("unexpected line `{:.3} {}`", got[extra].time, got[extra].text));
    }
    for (j, later) in want.iter().enumerate() {
        for (i, earlier) in want.iter().enumerate().take(j) {
            let (from, to) = (&got[places[i]], &got[places[j]]);
            let must = earlier.time < later.time
                || from.who == to.who
                || match order {
                    Order::Strict => true,
                    Order::Causal => from.who != "main" && to.who == "main",
                    Order::Loose => false,
                };
            if must && places[i] > places[j] {
                return Err(format!("`{}` must come before `{}`", earlier.text, later.text));
            }
        }
    }
    Ok(())
}

/// The two are the same as JSON.
///
/// # Errors
/// Prints both.
#[track_caller]
pub fn same(got: impl Serialize, want: impl Serialize) -> Check {
    let (got, want) = (as_json(&got)?, as_json(&want)?);
    if got == want { Ok(()) } else { Err(wrong(&format!("expected {want}, got {got}"))) }
}

/// As [`same`] where fractional numbers are times of a probe: integers, texts and truth values are equal, times are equal
/// on the virtual clock and not early on the real one.
///
/// # Errors
/// Prints both.
#[track_caller]
pub fn same_with_times(got: impl Serialize, want: impl Serialize, exact: bool) -> Check {
    let (got, want) = (as_json(&got)?, as_json(&want)?);
    if agree(&got, &want, exact) { Ok(()) } else { Err(wrong(&format!("expected {want}, got {got}"))) }
}

fn agree(got: &Value, want: &Value, exact: bool) -> bool {
    match (got, want) {
        (Value::Array(got), Value::Array(want)) => {
            got.len() == want.len() && got.iter().zip(want).all(|(got, want)| agree(got, want, exact))
        }
        (Value::Number(got), Value::Number(want)) if want.is_f64() => {
            let (Some(got), Some(want)) = (got.as_f64(), want.as_f64()) else { return false };
            got >= want - TICK && (!exact || got <= want + TICK)
        }
        _ => got == want,
    }
}

/// The condition holds.
///
/// # Errors
/// Says what does not.
#[track_caller]
pub fn holds(condition: bool, what: &str) -> Check {
    if condition { Ok(()) } else { Err(wrong(&format!("does not hold: {what}"))) }
}

/// A failure at the caller's line.
#[track_caller]
#[must_use]
pub fn wrong(what: &str) -> Wrong {
    let place = std::panic::Location::caller();
    Wrong(format!("{}:{}: {what}", place.file(), place.line()))
}

#[track_caller]
fn as_json(value: &impl Serialize) -> Result<Value, Wrong> {
    serde_json::to_value(value).map_err(|error| wrong(&format!("not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(lines: &[(f64, &str)]) -> Vec<OracleLine> {
        lines.iter().map(|&(time, text)| OracleLine { time, text: text.into() }).collect()
    }

    fn got(lines: &[(f64, &str, &str)]) -> Vec<Line> {
        lines.iter().map(|&(time, who, text)| Line { time, who: who.into(), text: text.into() }).collect()
    }

    #[test]
    fn two_bodies_at_one_instant_have_no_order_unless_strict() {
        let want = want(&[(1.0, "done a"), (1.0, "done b")]);
        let got = got(&[(1.0, "b", "done b"), (1.0, "a", "done a")]);
        assert!(same_log(&want, &got, true, Order::Causal).is_ok());
        assert!(same_log(&want, &got, true, Order::Strict).is_err());
    }

    #[test]
    fn an_effect_in_main_does_not_precede_its_cause() {
        let want = want(&[(1.0, "fail a"), (1.0, "raised")]);
        let got = got(&[(1.0, "main", "raised"), (1.0, "a", "fail a")]);
        assert!(same_log(&want, &got, true, Order::Causal).is_err());
        assert!(same_log(&want, &got, true, Order::Loose).is_ok());
    }

    #[test]
    fn the_real_clock_may_be_late_and_never_early() {
        let want = want(&[(1.0, "done a")]);
        assert!(same_log(&want, &got(&[(1.7, "a", "done a")]), false, Order::Causal).is_ok());
        assert!(same_log(&want, &got(&[(1.7, "a", "done a")]), true, Order::Causal).is_err());
        assert!(same_log(&want, &got(&[(0.7, "a", "done a")]), false, Order::Causal).is_err());
    }

    #[test]
    fn missing_and_unexpected_lines_are_failures() {
        let want = want(&[(1.0, "done a")]);
        assert!(same_log(&want, &[], true, Order::Loose).is_err());
        let twice = got(&[(1.0, "a", "done a"), (1.0, "a", "done a")]);
        assert!(same_log(&want, &twice, true, Order::Loose).is_err());
    }
}
